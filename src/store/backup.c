/* Backup, on two threads: backup_run waits on the caller's, the writer takes the steps. SQLite
 * keeps the copy up to date with what its source connection writes, which is why that connection
 * has to be the writer's: through any other a busy database would make it begin again for ever. */
#include "store/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/backup_contents.h"
#include "store/file.h"
#include "store/writer.h"

enum { STEP_PAGES = 256 }; /* 1 MiB: about a millisecond that writing waits */

struct backup {
    struct sqlite *target;
    sqlite3_backup *copy; /* the writer's thread's */
    int result;           /* of the last step; SQLITE_DONE when complete */
    pthread_mutex_t lock; /* guards ended */
    pthread_cond_t changed;
    bool ended;
};

bool backup_step(struct backup *backup, struct sqlite *source)
{
    if (!backup->copy)
        backup->copy = sqlite3_backup_init(sqlite_handle(backup->target), "main",
                                           sqlite_handle(source), "main");
    backup->result = backup->copy ? sqlite3_backup_step(backup->copy, STEP_PAGES)
                                  : sqlite3_extended_errcode(sqlite_handle(backup->target));
    return backup->result == SQLITE_OK;
}

void backup_end(struct backup *backup)
{
    int result = backup->copy ? sqlite3_backup_finish(backup->copy) : SQLITE_OK;
    if (backup->result == SQLITE_DONE && result != SQLITE_OK)
        backup->result = result;
    pthread_mutex_lock(&backup->lock);
    backup->ended = true;
    pthread_cond_signal(&backup->changed);
    pthread_mutex_unlock(&backup->lock);
}

static enum err wait_for_end(struct backup *backup, struct writer *writer, struct error *error)
{
    if (writer_add_backup(writer, backup) != ERR_OK)
        return error_set(error, ERR_CONFLICT, NULL, "another backup is being made");
    pthread_mutex_lock(&backup->lock);
    while (!backup->ended)
        pthread_cond_wait(&backup->changed, &backup->lock);
    pthread_mutex_unlock(&backup->lock);
    if (backup->result == SQLITE_DONE)
        return ERR_OK;
    if (backup->result == SQLITE_OK)
        return error_set(error, ERR_STORAGE, NULL, "the backup was interrupted");
    return sqlite_failed(backup->target, backup->result, error);
}

static enum err copy_to(struct writer *writer, const char *directory, const char *path,
                        uint64_t *bytes, struct error *error)
{
    struct backup backup = {.result = SQLITE_OK};
    const struct sqlite_options options = {.path = path, .role = SQLITE_ROLE_WRITER};
    enum err code = sqlite_open(&options, &backup.target, error);
    if (code != ERR_OK)
        return code;
    pthread_mutex_init(&backup.lock, NULL);
    pthread_cond_init(&backup.changed, NULL);
    code = wait_for_end(&backup, writer, error);
    if (code == ERR_OK)
        code = backup_contents(backup.target, directory, path, bytes, error);
    pthread_cond_destroy(&backup.changed);
    pthread_mutex_destroy(&backup.lock);
    sqlite_close(backup.target);
    return code;
}

static enum err make_durable(const char *path, uint64_t *bytes, struct error *error)
{
    char directory[FILE_PATH_BYTES_MAX];
    struct stat status;
    const char *slash = strrchr(path, '/');
    int length = slash ? (int)(slash - path) : 0;
    snprintf(directory, sizeof directory, "%.*s", slash ? length : 1, slash ? path : ".");
    if (slash == path)
        snprintf(directory, sizeof directory, "/");
    if (stat(path, &status) != 0)
        return error_set(error, ERR_STORAGE, NULL, "cannot look at %s: %s", path, strerror(errno));
    *bytes += (uint64_t)status.st_size;
    return file_sync_directory(directory, error);
}

enum err backup_run(struct writer *writer, const char *directory, const char *path,
                    uint64_t *ret_bytes, struct error *error)
{
    if (strlen(path) >= FILE_PATH_BYTES_MAX)
        return error_set(error, ERR_INVALID, "path", "is too long");
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST)
        return error_set(error, ERR_CONFLICT, "path", "%s exists already", path);
    if (fd < 0)
        return error_set(error, ERR_STORAGE, "path", "cannot make %s: %s", path, strerror(errno));
    close(fd);
    uint64_t bytes = 0;
    enum err code = copy_to(writer, directory, path, &bytes, error);
    if (code == ERR_OK)
        code = make_durable(path, &bytes, error);
    if (code != ERR_OK) {
        unlink(path);
        return code;
    }
    *ret_bytes = bytes;
    return ERR_OK;
}
