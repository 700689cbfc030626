/* The system calls below everything that is kept in DATA_DIR: used by lock, secret and journal;
 * the database does its own through SQLite's VFS. */
#include "store/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum err file_path(const char *directory, const char *name, char ret[FILE_PATH_BYTES_MAX],
                   struct error *error)
{
    int length = snprintf(ret, FILE_PATH_BYTES_MAX, "%s/%s", directory, name);
    if (length < 0 || length >= FILE_PATH_BYTES_MAX)
        return error_set(error, ERR_INVALID, NULL, "the path %s/%s is too long", directory, name);
    return ERR_OK;
}

static enum err make_one(const char *path, struct error *error)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return ERR_OK;
    int reason = errno;
    error_set(error, ERR_STORAGE, NULL, "cannot make the folder %s: %s", path, strerror(reason));
    error_remedy(error, "Give a folder that this user may make and write.");
    return ERR_STORAGE;
}

enum err file_make_directory(const char *path, struct error *error)
{
    struct stat status;
    if (stat(path, &status) == 0) {
        if (S_ISDIR(status.st_mode))
            return ERR_OK;
        return error_set(error, ERR_STORAGE, NULL, "%s is not a folder", path);
    }
    char part[FILE_PATH_BYTES_MAX];
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof part)
        return error_set(error, ERR_INVALID, NULL, "the path of the folder is empty or too long");
    memcpy(part, path, length + 1);
    for (size_t i = 1; i < length; i++) {
        if (part[i] != '/')
            continue;
        part[i] = '\0';
        enum err code = make_one(part, error);
        if (code != ERR_OK)
            return code;
        part[i] = '/';
    }
    return make_one(part, error);
}

enum err file_sync_directory(const char *path, struct error *error)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int failed = fd < 0 || fsync(fd) != 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    if (failed)
        return error_set(error, ERR_STORAGE, NULL, "cannot sync the folder %s: %s", path,
                         strerror(failed));
    return ERR_OK;
}

int file_write_at(int fd, struct str data, off_t offset)
{
    while (data.len) {
        ssize_t written = pwrite(fd, data.data, data.len, offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            errno = written == 0 ? ENOSPC : errno;
            return -1;
        }
        data = str_skip(data, (size_t)written);
        offset += written;
    }
    return 0;
}

ssize_t file_read_at(int fd, void *ret, size_t size, off_t offset)
{
    size_t got = 0;
    while (got < size) {
        ssize_t part = pread(fd, (char *)ret + got, size - got, offset + (off_t)got);
        if (part < 0 && errno == EINTR)
            continue;
        if (part < 0)
            return -1;
        if (part == 0)
            break;
        got += (size_t)part;
    }
    return (ssize_t)got;
}
