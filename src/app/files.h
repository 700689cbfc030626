/* Small files, read whole. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

/* Appends the file's bytes (at most the buffer's maximum: ERR_TOO_BIG). ERR_NOT_FOUND when there is
 * none, ERR_STORAGE when it cannot be read; messages name the path. Blocks. */
MUST_USE enum err file_read(const char *path, struct buf *out, struct error *error);
