/* The writer's thread. Everything that gathered while the last group was being committed becomes
 * the next group: one transaction, one savepoint a job, one COMMIT, and only then the answers.
 *
 *              take_group                      commit ok: finish_group, checkpoint
 *     IDLE ------------------> COMMITTING ------------------------------------------> IDLE
 *      ^                           |
 *      |  recover ok               |  full, input/output error: fail_group
 *      +--------------- BROKEN <---+
 *                        |  ^
 *                        +--+ recover fails: fail_group (ERR_STORAGE), reading goes on
 *
 * A failed COMMIT may have left a whole transaction in the operating system's cache that a later
 * crash would bring to life, though its callers were told it is lost; and after a failed fsync the
 * system may call pages clean that are not on the disk. So nothing is retried: the connection is
 * thrown away, a new one is opened and checked, and a small transaction of our own (the probe) is
 * committed, which overwrites what the failed one left in the log. Only then new jobs run. */
#include "store/writer.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/clock.h"
#include "store/backup.h"
#include "store/migrations.h"

enum { GROUP_JOBS_MAX = 512 }; /* so that the first of a group does not wait for ever */
/* Beyond this many times checkpoint_pages the log is also begun anew, waiting for readers. */
enum { CHECKPOINT_RESTART_FACTOR = 16 };

struct writer {
    struct writer_options options;
    struct sqlite *sqlite; /* NULL while BROKEN and not opened again */
    bool broken;
    int log_pages; /* in the write-ahead log after the last commit */
    struct queue queue;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock; /* guards backup_next */
    struct backup *backup_next;
    struct backup *backup; /* under way; the thread's own */
    struct metric *jobs_total;
    struct metric *groups_total;
    struct metric *failures_total;
    struct metric *commit_seconds;
    struct metric *log_pages_gauge;
};

static const double commit_bounds[] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
                                       0.05,   0.1,   0.25,   0.5,   1,    5};
static const struct metric_definition metric_jobs = {
    "parley_store_write_jobs_total", "Jobs that were committed.", METRIC_COUNTER, NULL, 0};
static const struct metric_definition metric_groups = {
    "parley_store_commits_total", "Transactions that were committed.", METRIC_COUNTER, NULL, 0};
static const struct metric_definition metric_failures = {
    "parley_store_write_failures_total", "Transactions that could not be committed.",
    METRIC_COUNTER, NULL, 0};
static const struct metric_definition metric_commit = {
    "parley_store_commit_seconds", "Time from BEGIN to the end of COMMIT.", METRIC_HISTOGRAM,
    commit_bounds, sizeof commit_bounds / sizeof commit_bounds[0]};
static const struct metric_definition metric_log_pages = {
    "parley_store_log_pages", "Pages in the write-ahead log.", METRIC_GAUGE, NULL, 0};

/* ---- Opening and recovering --------------------------------------------------------------------
 */
static int on_log(void *user, sqlite3 *handle, const char *name, int pages)
{
    (void)handle, (void)name;
    struct writer *writer = user;
    writer->log_pages = pages;
    return SQLITE_OK;
}

static enum err open_connection(struct writer *writer, struct error *error)
{
    enum err code = sqlite_open(&writer->options.sqlite, &writer->sqlite, error);
    if (code == ERR_OK)
        sqlite3_wal_hook(sqlite_handle(writer->sqlite), on_log, writer);
    return code;
}

/* Proves that a transaction gets to the disk. */
static enum err write_probe(struct writer *writer, struct error *error)
{
    return sqlite_exec(writer->sqlite, "UPDATE probe SET count = count + 1 WHERE id = 1", error);
}

static void end_backup(struct writer *writer)
{
    struct backup *over = writer->backup;
    if (!over)
        return;
    writer->backup = NULL;
    pthread_mutex_lock(&writer->lock);
    writer->backup_next = NULL;
    pthread_mutex_unlock(&writer->lock);
    backup_end(over);
}

static void drop_connection(struct writer *writer)
{
    end_backup(writer); /* it reads through this connection */
    sqlite_close(writer->sqlite);
    writer->sqlite = NULL;
}

/* BROKEN to IDLE, or an error and still BROKEN. */
static enum err recover(struct writer *writer, struct error *error)
{
    drop_connection(writer);
    enum err code = open_connection(writer, error);
    if (code == ERR_OK)
        code = migrations_verify(writer->sqlite, error);
    if (code == ERR_OK)
        code = write_probe(writer, error);
    if (code != ERR_OK)
        return code;
    writer->broken = false;
    log_warning(writer->options.log, "the database takes writes again",
                LOG_CSTR("path", writer->options.sqlite.path));
    return ERR_OK;
}

/* ---- One group ---------------------------------------------------------------------------------
 */
static void finish_group(struct writer *writer, struct store_job *jobs)
{
    while (jobs) {
        struct store_job *job = jobs;
        jobs = job->next; /* the job is its owner's as soon as it is finished */
        if (writer->jobs_total && job->code == ERR_OK)
            metric_add(writer->jobs_total, 1);
        job_finish(job);
    }
}

/* Nothing of the group was kept: whoever was to hear "committed" hears why not. */
static void fail_group(struct writer *writer, struct store_job *jobs, const struct error *error)
{
    log_error(writer->options.log, "the database cannot be written",
              LOG_CSTR("reason", error_message(error)));
    if (writer->failures_total)
        metric_add(writer->failures_total, 1);
    for (struct store_job *job = jobs; job; job = job->next) {
        if (job->code != ERR_OK)
            continue;
        job->code = error->code;
        job->error = *error;
    }
    finish_group(writer, jobs);
}

/* Runs one job inside a savepoint of its own. An error here is the whole transaction's. */
static enum err run_in_savepoint(struct writer *writer, struct store_job *job, struct error *error)
{
    struct sqlite *sqlite = writer->sqlite;
    struct store_tx tx = {.sqlite = sqlite};
    enum err code = sqlite_run(sqlite, "SAVEPOINT job", error);
    if (code != ERR_OK)
        return code;
    job_run(job, &tx);
    if (sqlite_is_broken(sqlite) || sqlite3_get_autocommit(sqlite_handle(sqlite))) {
        /* Full or worse: SQLite may have rolled back everything before this job as well. */
        if (job->code != ERR_STORAGE && job->code != ERR_CORRUPT)
            return error_set(error, ERR_STORAGE, NULL, "the transaction was rolled back");
        *error = job->error;
        return job->code;
    }
    if (job->code != ERR_OK && (code = sqlite_run(sqlite, "ROLLBACK TO job", error)) != ERR_OK)
        return code;
    return sqlite_run(sqlite, "RELEASE job", error);
}

static enum err run_group(struct writer *writer, struct store_job *jobs, struct error *error)
{
    enum err code = sqlite_run(writer->sqlite, "BEGIN IMMEDIATE", error);
    for (struct store_job *job = jobs; job && code == ERR_OK; job = job->next)
        code = run_in_savepoint(writer, job, error);
    if (code == ERR_OK)
        code = sqlite_run(writer->sqlite, "COMMIT", error);
    return code;
}

/* After an error: whatever is still open is rolled back, or the connection is not used again. */
static void roll_back(struct writer *writer)
{
    bool open = !sqlite3_get_autocommit(sqlite_handle(writer->sqlite));
    if (open && sqlite_exec(writer->sqlite, "ROLLBACK", NULL) != ERR_OK)
        writer->broken = true;
    if (sqlite_is_broken(writer->sqlite))
        writer->broken = true;
}

/* Moves the log into the database. Failing is no harm: the log has it all, and it is tried again.
 */
static void checkpoint(struct writer *writer)
{
    if (writer->log_pages < writer->options.checkpoint_pages)
        return;
    bool restart =
        writer->log_pages >= writer->options.checkpoint_pages * CHECKPOINT_RESTART_FACTOR;
    int log_pages = 0, moved = 0;
    int result = sqlite3_wal_checkpoint_v2(
        sqlite_handle(writer->sqlite), NULL,
        restart ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_PASSIVE, &log_pages, &moved);
    if (result == SQLITE_OK || (result & 0xff) == SQLITE_BUSY)
        return;
    struct error error = {0};
    sqlite_failed(writer->sqlite, result, &error);
    log_error(writer->options.log, "the log cannot be moved into the database",
              LOG_CSTR("reason", error_message(&error)));
    writer->broken = true;
}

static void commit_group(struct writer *writer, struct store_job *jobs)
{
    struct error error = {0};
    uint64_t begun_ns = clock_monotonic_ns();
    enum err code = writer->broken ? recover(writer, &error) : ERR_OK;
    if (code == ERR_OK) {
        code = run_group(writer, jobs, &error);
        if (code != ERR_OK)
            roll_back(writer);
    }
    if (code != ERR_OK) {
        fail_group(writer, jobs, &error);
        return;
    }
    if (writer->groups_total) {
        metric_add(writer->groups_total, 1);
        metric_observe(writer->commit_seconds, (double)(clock_monotonic_ns() - begun_ns) / 1e9);
        metric_set(writer->log_pages_gauge, writer->log_pages);
    }
    finish_group(writer, jobs);
    checkpoint(writer);
}

/* ---- The thread --------------------------------------------------------------------------------
 */
static void adopt_backup(struct writer *writer)
{
    if (writer->backup)
        return;
    pthread_mutex_lock(&writer->lock);
    writer->backup = writer->backup_next;
    pthread_mutex_unlock(&writer->lock);
}

static void step_backup(struct writer *writer)
{
    adopt_backup(writer);
    if (!writer->backup)
        return;
    if (writer->broken || !writer->sqlite || !backup_step(writer->backup, writer->sqlite))
        end_backup(writer);
}

static void *writer_main(void *user)
{
    struct writer *writer = user;
    bool closing = false;
    while (!closing) {
        struct store_job *jobs =
            queue_take(&writer->queue, GROUP_JOBS_MAX, !writer->backup, &closing);
        if (jobs)
            commit_group(writer, jobs);
        step_backup(writer);
    }
    adopt_backup(writer);
    end_backup(writer);
    return NULL;
}

static void find_metrics(struct writer *writer)
{
    struct metric_registry *metrics = writer->options.metrics;
    if (!metrics)
        return;
    writer->jobs_total = metric_get(metrics, &metric_jobs, "");
    writer->groups_total = metric_get(metrics, &metric_groups, "");
    writer->failures_total = metric_get(metrics, &metric_failures, "");
    writer->commit_seconds = metric_get(metrics, &metric_commit, "");
    writer->log_pages_gauge = metric_get(metrics, &metric_log_pages, "");
}

static void free_writer(struct writer *writer)
{
    drop_connection(writer);
    queue_done(&writer->queue);
    pthread_mutex_destroy(&writer->lock);
    free(writer);
}

enum err writer_open(const struct writer_options *options, struct writer **ret_writer,
                     struct error *error)
{
    struct writer *writer = calloc(1, sizeof *writer);
    ASSERT(writer);
    writer->options = *options;
    queue_init(&writer->queue);
    pthread_mutex_init(&writer->lock, NULL);
    find_metrics(writer);
    enum err code = open_connection(writer, error);
    if (code == ERR_OK)
        code = migrations_apply(writer->sqlite, error);
    if (code == ERR_OK)
        code = write_probe(writer, error);
    if (code != ERR_OK) {
        free_writer(writer);
        return code;
    }
    ASSERT(pthread_create(&writer->thread, NULL, writer_main, writer) == 0);
    writer->has_thread = true;
    *ret_writer = writer;
    return ERR_OK;
}

void writer_stop(struct writer *writer)
{
    queue_close(&writer->queue);
    if (writer->has_thread)
        pthread_join(writer->thread, NULL);
    writer->has_thread = false;
}

void writer_close(struct writer *writer)
{
    if (!writer)
        return;
    writer_stop(writer);
    free_writer(writer);
}

struct queue *writer_queue(struct writer *writer)
{
    return &writer->queue;
}

enum err writer_add_backup(struct writer *writer, struct backup *backup)
{
    pthread_mutex_lock(&writer->lock);
    bool free_place = !writer->backup_next;
    if (free_place)
        writer->backup_next = backup;
    pthread_mutex_unlock(&writer->lock);
    if (!free_place)
        return ERR_CONFLICT;
    queue_prod(&writer->queue);
    return ERR_OK;
}
