/* The lock on DATA_DIR: taken first by store_open, released last by store_close. The file stays:
 * removing it would let two processes hold two different files of the same name. */
#include "store/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "store/file.h"

static enum err held_by_another(int fd, const char *directory, struct error *error)
{
    char text[32];
    ssize_t length = file_read_at(fd, text, sizeof text, 0);
    uint64_t pid = 0;
    if (length <= 0 || !str_to_u64(str_trim(STR_FROM(text, (size_t)length)), &pid))
        error_set(error, ERR_CONFLICT, NULL, "another process is using %s", directory);
    else
        error_set(error, ERR_CONFLICT, NULL, "process %llu is using %s", (unsigned long long)pid,
                  directory);
    error_remedy(error, "Stop it first, or choose another data directory.");
    return ERR_CONFLICT;
}

enum err lock_take(const char *directory, int *ret_fd, struct error *error)
{
    char path[FILE_PATH_BYTES_MAX];
    enum err code = file_path(directory, "lock", path, error);
    if (code != ERR_OK)
        return code;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set(error, ERR_STORAGE, NULL, "cannot open %s: %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        code = errno == EWOULDBLOCK ? held_by_another(fd, directory, error)
                                    : error_set(error, ERR_STORAGE, NULL, "cannot lock %s: %s",
                                                path, strerror(errno));
        close(fd);
        return code;
    }
    /* The id is only a help for people: on a full disk the lock itself still holds. */
    char text[32];
    int length = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || file_write_at(fd, STR_FROM(text, (size_t)length), 0) != 0)
        errno = 0;
    *ret_fd = fd;
    return ERR_OK;
}

void lock_release(int fd)
{
    if (fd >= 0)
        close(fd);
}
