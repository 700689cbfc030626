/* Small files, read whole. */
#include "app/files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { PIECE_BYTES = 16 * 1024 };

static enum err read_all(int fd, const char *path, struct buf *out, struct error *error)
{
    char piece[PIECE_BYTES];
    for (;;) {
        ssize_t count = read(fd, piece, sizeof piece);
        if (count == 0)
            return ERR_OK;
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return error_set(error, ERR_STORAGE, NULL, "%s: %s", path, strerror(errno));
        buf_append(out, STR_FROM(piece, (size_t)count));
        if (!buf_ok(out))
            return error_set(error, ERR_TOO_BIG, NULL, "%s is too large", path);
    }
}

enum err file_read(const char *path, struct buf *out, struct error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return error_set(error, ERR_NOT_FOUND, NULL, "%s does not exist", path);
    if (fd < 0)
        return error_set(error, ERR_STORAGE, NULL, "%s: %s", path, strerror(errno));
    enum err code = read_all(fd, path, out, error);
    close(fd);
    return code;
}
