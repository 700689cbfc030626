/* The readers' threads: beside the writer, whose log lets everybody read the last committed state.
 * Every job is one short transaction, so that the log can be moved into the database in between. */
#include "store/reader.h"

#include <stdlib.h>

#include "base/assert.h"

struct reader {
    struct readers *readers;
    struct sqlite *sqlite;
    pthread_t thread;
    bool started;
};

struct readers {
    struct queue queue;
    struct sqlite_options options;
    int count;
    struct reader each[READERS_MAX];
};

static void run_job(struct reader *reader, struct store_job *job)
{
    struct store_tx tx = {.sqlite = reader->sqlite};
    job->code = sqlite_run(reader->sqlite, "BEGIN", &job->error);
    if (job->code == ERR_OK)
        job_run(job, &tx);
    /* Nothing was written: how it ends makes no difference to the result. */
    if (!sqlite3_get_autocommit(sqlite_handle(reader->sqlite)) &&
        sqlite_run(reader->sqlite, "ROLLBACK", NULL) != ERR_OK)
        job->code = error_set(&job->error, ERR_STORAGE, NULL, "the database cannot be read");
    job_finish(job);
}

static void *reader_main(void *user)
{
    struct reader *reader = user;
    bool closing = false;
    while (!closing) {
        struct store_job *job = queue_take(&reader->readers->queue, 1, true, &closing);
        if (job)
            run_job(reader, job);
    }
    return NULL;
}

enum err readers_open(const struct sqlite_options *options, int count, struct readers **ret_readers,
                      struct error *error)
{
    ASSERT(count >= 1 && count <= READERS_MAX);
    struct readers *readers = calloc(1, sizeof *readers);
    ASSERT(readers);
    queue_init(&readers->queue);
    readers->options = *options;
    readers->options.role = SQLITE_ROLE_READER;
    readers->count = count;
    for (int i = 0; i < count; i++) {
        struct reader *reader = &readers->each[i];
        reader->readers = readers;
        enum err code = sqlite_open(&readers->options, &reader->sqlite, error);
        if (code != ERR_OK) {
            readers_close(readers);
            return code;
        }
        ASSERT(pthread_create(&reader->thread, NULL, reader_main, reader) == 0);
        reader->started = true;
    }
    *ret_readers = readers;
    return ERR_OK;
}

void readers_stop(struct readers *readers)
{
    queue_close(&readers->queue);
    for (int i = 0; i < readers->count; i++) {
        if (readers->each[i].started)
            pthread_join(readers->each[i].thread, NULL);
        readers->each[i].started = false;
    }
}

void readers_close(struct readers *readers)
{
    if (!readers)
        return;
    readers_stop(readers);
    for (int i = 0; i < readers->count; i++)
        sqlite_close(readers->each[i].sqlite);
    queue_done(&readers->queue);
    free(readers);
}

struct queue *readers_queue(struct readers *readers)
{
    return &readers->queue;
}
