/* The queue: which batches there are, and whose turn it is. A run (batch_run.c) is one batch.
 *
 *   bell -> look --store--> on_listed: new runs, cancelled ones -> wake -> pump: each run a line in
 *   turn, until as many are under way as may be; a line that ends wakes it again */
#include "chat/batch.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/assert.h"
#include "chat/batch_internal.h"

enum { UNFINISHED_MAX = 10000, CLEAN_AT_ONCE = 500, TIDY_MS = 60 * 1000 };
enum { LIST_BYTES_MAX = 256 * 1024 * 1024 };

/* ---- The bell -------------------------------------------------------------------------------- */

struct batch_bell {
    pthread_mutex_t lock; /* guards everything below */
    struct batch_queue *queue;
    struct loop *loop;
    struct loop_task task;
    bool is_posted;
};

struct batch_bell *batch_bell_new(void)
{
    struct batch_bell *bell = calloc(1, sizeof *bell);
    ASSERT(bell);
    pthread_mutex_init(&bell->lock, NULL);
    return bell;
}

void batch_bell_free(struct batch_bell *bell)
{
    if (!bell)
        return;
    ASSERT(!bell->queue);
    pthread_mutex_destroy(&bell->lock);
    free(bell);
}

static void look(struct batch_queue *queue);

static void on_bell(void *user)
{
    struct batch_bell *bell = user;
    pthread_mutex_lock(&bell->lock);
    struct batch_queue *queue = bell->queue;
    bell->is_posted = false;
    pthread_mutex_unlock(&bell->lock);
    if (queue)
        look(queue);
}

void batch_bell_ring(struct batch_bell *bell)
{
    pthread_mutex_lock(&bell->lock);
    if (bell->queue && !bell->is_posted)
        bell->is_posted = loop_post(bell->loop, &bell->task, on_bell, bell);
    pthread_mutex_unlock(&bell->lock);
}

static void attend(struct batch_bell *bell, struct batch_queue *queue, struct loop *loop)
{
    pthread_mutex_lock(&bell->lock);
    bell->queue = queue;
    bell->loop = loop;
    pthread_mutex_unlock(&bell->lock);
}

/* ---- Stopping -------------------------------------------------------------------------------- */

static struct batch_run *run_of(struct list *link)
{
    return LIST_ENTRY(link, struct batch_run, link);
}

static void say_stopped(void *user)
{
    struct batch_queue *queue = user;
    void (*on_stopped)(void *) = queue->on_stopped;
    queue->on_stopped = NULL;
    if (on_stopped)
        on_stopped(queue->stopped_user);
}

static void check_stopped(struct batch_queue *queue)
{
    if (queue->is_listing || queue->is_cleaning)
        return;
    LIST_EACH (&queue->runs, link)
        if (!batch_run_is_idle(run_of(link)))
            return;
    loop_defer(queue->options.loop, &queue->stopped_task, say_stopped, queue);
}

void batch_queue_stop(struct batch_queue *queue, void (*on_stopped)(void *user), void *user)
{
    atomic_store(&queue->is_stopping, true);
    queue->on_stopped = on_stopped;
    queue->stopped_user = user;
    loop_timer_cancel(queue->options.loop, &queue->tidy_timer);
    LIST_EACH (&queue->runs, link)
        batch_run_stop(run_of(link));
    check_stopped(queue);
}

/* ---- Whose turn it is ------------------------------------------------------------------------ */

/* Fair: every batch gets a line before one gets another. */
static void pump(void *user)
{
    struct batch_queue *queue = user;
    bool any = true;
    if (queue->is_stopping) {
        check_stopped(queue);
        return;
    }
    while (any && queue->line_count < queue->options.concurrency) {
        any = false;
        LIST_EACH (&queue->runs, link)
            if (queue->line_count < queue->options.concurrency && batch_run_step(run_of(link)))
                any = true;
    }
}

void batch_queue_wake(struct batch_queue *queue)
{
    loop_defer(queue->options.loop, &queue->pump_task, pump, queue);
}

/* ---- Lines that are not needed any more ------------------------------------------------------ */

static void clean(struct batch_queue *queue);

static enum err run_clean(struct store_tx *tx, void *user, struct error *error)
{
    struct batch_queue *queue = user;
    return store_batch_line_clean(tx, CLEAN_AT_ONCE, &queue->cleaned, error);
}

static void on_cleaned(void *user, enum err code, const struct error *error)
{
    struct batch_queue *queue = user;
    bool is_more = code == ERR_OK && queue->cleaned == CLEAN_AT_ONCE;
    queue->is_cleaning = false;
    if (code != ERR_OK)
        log_warning(queue->options.log, "lines of ended batches were not deleted",
                    LOG_CSTR("error", error_message(error)));
    if (!queue->is_stopping && (is_more || queue->clean_again))
        clean(queue);
    batch_queue_wake(queue);
}

static void clean(struct batch_queue *queue)
{
    queue->clean_again = queue->is_cleaning;
    if (queue->is_cleaning)
        return;
    queue->is_cleaning = true;
    queue->clean_job = (struct store_job){.run = run_clean, .done = on_cleaned, .user = queue};
    store_write(queue->options.store, queue->options.loop, &queue->clean_job);
}

void batch_queue_forget(struct batch_run *run)
{
    struct batch_queue *queue = run->queue;
    list_remove(&run->link);
    batch_run_free(run);
    if (!queue->is_stopping)
        clean(queue);
    look(queue); /* there may be more than are listed at once */
    batch_queue_wake(queue);
}

/* ---- What the store has ---------------------------------------------------------------------- */

static struct batch_run *find_run(struct batch_queue *queue, const struct id *id)
{
    LIST_EACH (&queue->runs, link)
        if (id_eq(&run_of(link)->batch.id, id))
            return run_of(link);
    return NULL;
}

static void take(struct batch_queue *queue, const struct store_batch *batch)
{
    struct batch_run *run = find_run(queue, &batch->id);
    if (run)
        batch_run_update(run, batch);
    else
        list_append(&queue->runs, &batch_run_new(queue, batch)->link);
}

static enum err run_list(struct store_tx *tx, void *user, struct error *error)
{
    struct batch_queue *queue = user;
    return store_batch_list_unfinished(tx, queue->list_arena, UNFINISHED_MAX, &queue->list,
                                       &queue->list_count, error);
}

static void on_listed(void *user, enum err code, const struct error *error)
{
    struct batch_queue *queue = user;
    queue->is_listing = false;
    if (code != ERR_OK)
        log_error(queue->options.log, "the batches cannot be read",
                  LOG_CSTR("error", error_message(error)));
    for (size_t i = 0; code == ERR_OK && !queue->is_stopping && i < queue->list_count; i++)
        take(queue, &queue->list[i]);
    arena_free(queue->list_arena);
    queue->list_arena = NULL;
    if (queue->rang_again && !queue->is_stopping)
        look(queue);
    batch_queue_wake(queue);
}

static void look(struct batch_queue *queue)
{
    queue->rang_again = queue->is_listing;
    if (queue->is_listing || queue->is_stopping)
        return;
    queue->is_listing = true;
    queue->list_arena = arena_new(LIST_BYTES_MAX);
    queue->list_count = 0;
    queue->list_job = (struct store_job){.run = run_list, .done = on_listed, .user = queue};
    store_read(queue->options.store, queue->options.loop, &queue->list_job);
}

/* Once a minute: what has expired of files goes, and what could not be read before is tried again. */
static void tidy(void *user)
{
    struct batch_queue *queue = user;
    files_expire(queue->options.files, queue->options.loop);
    look(queue);
    loop_timer_set(queue->options.loop, &queue->tidy_timer, TIDY_MS, tidy, queue);
}

/* When the loop runs: a program that fails to start leaves no job behind. */
static void begin(void *user)
{
    struct batch_queue *queue = user;
    clean(queue);
    tidy(queue);
}

/* ---- Life ------------------------------------------------------------------------------------ */

struct batch_queue *batch_queue_new(const struct batch_options *options)
{
    struct batch_queue *queue = calloc(1, sizeof *queue);
    ASSERT(queue);
    queue->options = *options;
    list_init(&queue->runs);
    attend(options->bell, queue, options->loop);
    loop_timer_set(options->loop, &queue->tidy_timer, 0, begin, queue);
    return queue;
}

void batch_queue_free(struct batch_queue *queue)
{
    if (!queue)
        return;
    attend(queue->options.bell, NULL, NULL);
    LIST_EACH (&queue->runs, link)
        batch_run_free(run_of(link));
    loop_timer_cancel(queue->options.loop, &queue->tidy_timer);
    loop_task_cancel(&queue->pump_task);
    loop_task_cancel(&queue->stopped_task);
    arena_free(queue->list_arena);
    free(queue);
}
