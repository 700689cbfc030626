/* Lock: one process per DATA_DIR. */
#pragma once

#include "base/err.h"

/* Takes DATA_DIR/lock (flock, process id inside) until lock_release or the end of the process.
 * ERR_CONFLICT when another holds it: the message names its process id. */
MUST_USE enum err lock_take(const char *directory, int *ret_fd, struct error *error);
void lock_release(int fd);
