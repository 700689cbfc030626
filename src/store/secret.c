/* The root of everything encrypted or signed. It is written to a temporary file, synced and
 * renamed, so that no crash leaves half a key behind. */
#include "store/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/random.h"
#include "store/file.h"

static enum err failed(struct error *error, const char *what, const char *path, int reason)
{
    return error_set(error, ERR_STORAGE, NULL, "cannot %s %s: %s", what, path, strerror(reason));
}

static enum err read_secret(int fd, const char *path, unsigned char ret_secret[SECRET_BYTES],
                            struct error *error)
{
    unsigned char bytes[SECRET_BYTES + 1];
    ssize_t length = file_read_at(fd, bytes, sizeof bytes, 0);
    int reason = errno;
    if (length == SECRET_BYTES)
        memcpy(ret_secret, bytes, SECRET_BYTES);
    sodium_memzero(bytes, sizeof bytes);
    if (length == SECRET_BYTES)
        return ERR_OK;
    if (length < 0)
        return failed(error, "read", path, reason);
    error_set(error, ERR_CORRUPT, NULL, "%s must have exactly %d bytes", path, SECRET_BYTES);
    error_remedy(error, "Restore it from a backup: without it stored keys cannot be read.");
    return ERR_CORRUPT;
}

static enum err write_secret(const char *path, const unsigned char secret[SECRET_BYTES],
                             struct error *error)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return failed(error, "make", path, errno);
    struct str bytes = STR_FROM((const char *)secret, SECRET_BYTES);
    int reason = file_write_at(fd, bytes, 0) != 0 || fsync(fd) != 0 ? errno : 0;
    close(fd);
    return reason ? failed(error, "write", path, reason) : ERR_OK;
}

static enum err make_secret(const char *directory, const char *path,
                            unsigned char ret_secret[SECRET_BYTES], struct error *error)
{
    char temporary[FILE_PATH_BYTES_MAX];
    enum err code = file_path(directory, "secret.key.new", temporary, error);
    if (code != ERR_OK)
        return code;
    random_bytes(ret_secret, SECRET_BYTES);
    code = write_secret(temporary, ret_secret, error);
    if (code == ERR_OK && rename(temporary, path) != 0)
        code = failed(error, "make", path, errno);
    if (code != ERR_OK) {
        unlink(temporary);
        return code;
    }
    return file_sync_directory(directory, error);
}

enum err secret_load(const char *directory, unsigned char ret_secret[SECRET_BYTES], bool *ret_made,
                     struct error *error)
{
    char path[FILE_PATH_BYTES_MAX];
    enum err code = file_path(directory, "secret.key", path, error);
    if (code != ERR_OK)
        return code;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT)
        return failed(error, "open", path, errno);
    *ret_made = fd < 0;
    if (fd < 0)
        return make_secret(directory, path, ret_secret, error);
    code = read_secret(fd, path, ret_secret, error);
    close(fd);
    return code;
}
