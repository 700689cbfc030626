/* Secret: the 32 random bytes that exist once per DATA_DIR. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

enum { SECRET_BYTES = 32 };

/* Reads DATA_DIR/secret.key, or makes it (mode 0600, durable before it is used; *ret_made is then
 * true). ERR_CORRUPT when it has another size, ERR_STORAGE when it cannot be read or made. */
MUST_USE enum err secret_load(const char *directory, unsigned char ret_secret[SECRET_BYTES],
                              bool *ret_made, struct error *error);
