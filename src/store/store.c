/* The store as a whole: takes the directory, opens the writer and the readers in it, and hands
 * jobs to them. The work is in writer.c, reader.c and backup.c; what jobs do is in record_*.c. */
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/crypto.h"
#include "store/backup.h"
#include "store/file.h"
#include "store/lock.h"
#include "store/reader.h"
#include "store/secret.h"
#include "store/sqlite.h"
#include "store/writer.h"

enum { READERS_DEFAULT = 2, CHECKPOINT_PAGES_DEFAULT = 1000, BUSY_TIMEOUT_DEFAULT_MS = 5000 };

struct store {
    char path[FILE_PATH_BYTES_MAX];
    char directory[FILE_PATH_BYTES_MAX];
    struct log *log;
    int lock_fd;
    unsigned char secret[SECRET_BYTES];
    struct writer *writer;
    struct readers *readers;
};

/* SQLite makes files with the mode of the database, and the database with 0644: so it is made here.
 * Only while no connection is open: closing the file drops the process's locks on it. */
static enum err make_database(const char *path, bool *ret_made, struct error *error)
{
    *ret_made = access(path, F_OK) != 0;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set(error, ERR_STORAGE, NULL, "cannot open %s: %s", path, strerror(errno));
    close(fd);
    return ERR_OK;
}

static enum err prepare_directory(struct store *store, const struct store_options *options,
                                  struct error *error)
{
    bool database_made, secret_made;
    enum err code;
    str_copy(str_from_cstr(options->directory), store->directory, sizeof store->directory);
    if ((code = file_path(options->directory, "parley.db", store->path, error)) != ERR_OK ||
        (code = file_make_directory(options->directory, error)) != ERR_OK ||
        (code = lock_take(options->directory, &store->lock_fd, error)) != ERR_OK ||
        (code = secret_load(options->directory, store->secret, &secret_made, error)) != ERR_OK ||
        (code = make_database(store->path, &database_made, error)) != ERR_OK)
        return code;
    if (secret_made && !database_made)
        log_warning(store->log,
                    "secret.key was missing beside the database and was made anew: API keys and "
                    "sealed settings from before no longer work",
                    LOG_CSTR("directory", options->directory));
    return file_sync_directory(options->directory, error);
}

static enum err open_threads(struct store *store, const struct store_options *options,
                             struct error *error)
{
    int readers = options->readers ? options->readers : READERS_DEFAULT;
    if (readers < 1 || readers > READERS_MAX)
        return error_set(error, ERR_INVALID, "readers", "must be from 1 to %d", (int)READERS_MAX);
    struct writer_options writer = {
        .sqlite = {.path = store->path,
                   .vfs = options->vfs,
                   .role = SQLITE_ROLE_WRITER,
                   .busy_timeout_ms = options->busy_timeout_ms ? options->busy_timeout_ms
                                                               : BUSY_TIMEOUT_DEFAULT_MS},
        .checkpoint_pages =
            options->checkpoint_pages ? options->checkpoint_pages : CHECKPOINT_PAGES_DEFAULT,
        .log = options->log,
        .metrics = options->metrics,
    };
    enum err code = writer_open(&writer, &store->writer, error);
    if (code != ERR_OK)
        return code;
    return readers_open(&writer.sqlite, readers, &store->readers, error);
}

enum err store_open(const struct store_options *options, struct store **ret_store,
                    struct error *error)
{
    crypto_init();
    sqlite_init();
    struct store *store = calloc(1, sizeof *store);
    ASSERT(store);
    store->lock_fd = -1;
    store->log = options->log;
    enum err code = prepare_directory(store, options, error);
    if (code == ERR_OK)
        code = open_threads(store, options, error);
    if (code != ERR_OK) {
        store_close(store);
        return code;
    }
    *ret_store = store;
    return ERR_OK;
}

void store_stop(struct store *store)
{
    readers_stop(store->readers);
    writer_stop(store->writer);
}

void store_close(struct store *store)
{
    if (!store)
        return;
    readers_close(store->readers);
    writer_close(store->writer); /* the last connection: moves the log into the database */
    lock_release(store->lock_fd);
    sodium_memzero(store->secret, sizeof store->secret);
    free(store);
}

void store_write(struct store *store, struct loop *loop, struct store_job *job)
{
    queue_put(writer_queue(store->writer), loop, job);
}

void store_read(struct store *store, struct loop *loop, struct store_job *job)
{
    queue_put(readers_queue(store->readers), loop, job);
}

/* ---- Waiting for a job -------------------------------------------------------------------------
 */
struct waiter {
    struct store_job job;
    enum err (*run)(struct store_tx *tx, void *user, struct error *error);
    void *user;
    pthread_mutex_t lock; /* guards finished */
    pthread_cond_t changed;
    bool finished;
};

static enum err run_waited(struct store_tx *tx, void *user, struct error *error)
{
    struct waiter *waiter = user;
    return waiter->run(tx, waiter->user, error);
}

static void on_waited(void *user, enum err code, const struct error *error)
{
    (void)code, (void)error; /* they stay in the job */
    struct waiter *waiter = user;
    pthread_mutex_lock(&waiter->lock);
    waiter->finished = true;
    pthread_cond_signal(&waiter->changed);
    pthread_mutex_unlock(&waiter->lock);
}

static enum err run_now(struct queue *queue,
                        enum err (*run)(struct store_tx *tx, void *user, struct error *error),
                        void *user, struct error *error)
{
    struct waiter waiter = {.run = run, .user = user};
    waiter.job.run = run_waited;
    waiter.job.done = on_waited;
    waiter.job.user = &waiter;
    pthread_mutex_init(&waiter.lock, NULL);
    pthread_cond_init(&waiter.changed, NULL);
    queue_put(queue, NULL, &waiter.job);
    pthread_mutex_lock(&waiter.lock);
    while (!waiter.finished)
        pthread_cond_wait(&waiter.changed, &waiter.lock);
    pthread_mutex_unlock(&waiter.lock);
    pthread_cond_destroy(&waiter.changed);
    pthread_mutex_destroy(&waiter.lock);
    if (waiter.job.code != ERR_OK && error)
        *error = waiter.job.error;
    return waiter.job.code;
}

enum err store_write_now(struct store *store,
                         enum err (*run)(struct store_tx *tx, void *user, struct error *error),
                         void *user, struct error *error)
{
    return run_now(writer_queue(store->writer), run, user, error);
}

enum err store_read_now(struct store *store,
                        enum err (*run)(struct store_tx *tx, void *user, struct error *error),
                        void *user, struct error *error)
{
    return run_now(readers_queue(store->readers), run, user, error);
}

enum err store_backup(struct store *store, const char *path, uint64_t *ret_bytes,
                      struct error *error)
{
    return backup_run(store->writer, store->directory, path, ret_bytes, error);
}

const unsigned char *store_secret(const struct store *store)
{
    return store->secret;
}
