/* Files and folders of DATA_DIR: the few system calls that must be done in the right order to
 * survive a power cut. Errors are ERR_STORAGE with the path and the system's reason. */
#pragma once

#include <sys/types.h>

#include "base/err.h"

enum { FILE_PATH_BYTES_MAX = 1024 };

/* "directory/name" into ret; ERR_INVALID when it is too long. */
MUST_USE enum err file_path(const char *directory, const char *name, char ret[FILE_PATH_BYTES_MAX],
                            struct error *error);
/* Makes `path` and what is missing above it, each with mode 0700. There already: ERR_OK. */
MUST_USE enum err file_make_directory(const char *path, struct error *error);
/* Makes what was created, renamed or removed in `path` durable. */
MUST_USE enum err file_sync_directory(const char *path, struct error *error);
/* All of `data` at `offset` (>= 0), or -1 with errno. Interrupted and short writes go on. */
int file_write_at(int fd, struct str data, off_t offset);
/* Up to `size` bytes from `offset`, fewer only at the end of the file; -1 with errno. */
ssize_t file_read_at(int fd, void *ret, size_t size, off_t offset);
