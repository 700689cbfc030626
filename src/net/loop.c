/* Event loop: libuv, plus timers in one heap, deferred calls, messages, and flushing once a turn.
 *
 * One turn:  timers -> poll (callbacks queue tasks and output) -> check: tasks, records, flushes.
 * and once more before the wait, for what timers and messages left behind: nothing is left queued
 * while the loop sleeps. Whoever sends in the middle of a turn runs the records first.
 *
 * The time that a callback has asked for holds until it returns, or the next task begins. */
#include "net/loop.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/clock.h"

enum {
    SCRATCHES_KEPT = 4,               /* as deep as callbacks that borrow are nested, and more */
    SCRATCH_BYTES_KEPT = 48 * 1024,   /* of each: the JSON values of a request of 16 KiB */
    BUFS_KEPT = STOCK_KEEPS ? 64 : 0, /* of some 64 requests at once */
    BUF_BYTES_KEPT = 16 * 1024,       /* of each, at most */
    BUFS_BYTES_KEPT = 512 * 1024,     /* of all */
    STOCK_BYTES_KEPT = 512 * 1024     /* of some 64 requests at once */
};

struct loop {
    uv_loop_t uv;
    uv_timer_t timer;     /* one for all: set to the first of the heap */
    uv_prepare_t prepare; /* before waiting: what timers and posts left behind */
    uv_check_t check;     /* after waiting: what the callbacks left behind */
    uv_async_t wake;
    struct heap timers;
    uint64_t timer_due; /* what `timer` is set to; 0: not set */
    struct list tasks;
    struct list records;
    struct list flushes;
    pthread_mutex_t lock; /* guards posted, closing */
    struct list posted;
    bool closing;
    bool stop;
    int index;
    struct log *log;
    struct arena *scratches[SCRATCHES_KEPT]; /* the first scratch_count wait to be borrowed */
    size_t scratch_count;
    struct buf bufs[BUFS_KEPT + 1]; /* the first buf_count have memory to lend */
    size_t buf_count;
    size_t buf_bytes; /* of these */
    struct transit *transit;
    struct stock *stock;
    bool is_inside;  /* a callback */
    uint64_t now_us; /* of what is handled now; 0: nobody has asked */
    int64_t wall_ms; /* likewise */
    char read_buffer[LOOP_READ_BYTES];
};

/* ---- Time ------------------------------------------------------------------------------------ */

/* What follows is another thing, with a time of its own. */
static void forget_time(struct loop *loop)
{
    loop->now_us = 0;
    loop->wall_ms = 0;
}

void loop_enter(struct loop *loop)
{
    forget_time(loop);
    loop->is_inside = true;
}

void loop_leave(struct loop *loop)
{
    loop->is_inside = false;
}

uint64_t loop_now_ms(const struct loop *loop)
{
    return uv_now(&loop->uv);
}

uint64_t loop_now_us(struct loop *loop)
{
    if (!loop->is_inside || !loop->now_us)
        loop->now_us = clock_monotonic_ns() / 1000;
    return loop->now_us;
}

int64_t loop_wall_ms(struct loop *loop)
{
    if (!loop->is_inside || !loop->wall_ms)
        loop->wall_ms = clock_wall_ms();
    return loop->wall_ms;
}

/* ---- Turns ----------------------------------------------------------------------------------- */

static void run_tasks(struct loop *loop, struct list *tasks)
{
    while (!list_is_empty(tasks)) {
        struct loop_task *task = LIST_ENTRY(tasks->next, struct loop_task, link);
        list_remove(&task->link);
        forget_time(loop);
        task->run(task->user);
    }
}

static void end_turn(struct loop *loop)
{
    loop_enter(loop);
    while (!list_is_empty(&loop->tasks) || !list_is_empty(&loop->records) ||
           !list_is_empty(&loop->flushes)) {
        run_tasks(loop, &loop->tasks);
        run_tasks(loop, &loop->records);
        run_tasks(loop, &loop->flushes);
    }
    loop_leave(loop);
}

static void on_prepare(uv_prepare_t *handle)
{
    end_turn(handle->data);
}

static void on_check(uv_check_t *handle)
{
    end_turn(handle->data);
}

static void arm_timer(struct loop *loop);

static void on_timer(uv_timer_t *handle)
{
    struct loop *loop = handle->data;
    uint64_t now = uv_now(&loop->uv);
    loop->timer_due = 0;
    struct heap_node *first;
    loop_enter(loop);
    while ((first = heap_first(&loop->timers)) && first->key <= now) {
        struct loop_timer *timer = LIST_ENTRY(first, struct loop_timer, node);
        heap_remove(&loop->timers, first);
        forget_time(loop);
        timer->fire(timer->user);
    }
    loop_leave(loop);
    arm_timer(loop);
}

static void arm_timer(struct loop *loop)
{
    struct heap_node *first = heap_first(&loop->timers);
    if (!first || (loop->timer_due && loop->timer_due <= first->key))
        return; /* a timer that fires early finds nothing due and is set again */
    uint64_t now = uv_now(&loop->uv);
    loop->timer_due = first->key;
    uv_timer_start(&loop->timer, on_timer, first->key > now ? first->key - now : 0, 0);
}

static void on_wake(uv_async_t *handle)
{
    struct loop *loop = handle->data;
    struct list posted;
    list_init(&posted);
    pthread_mutex_lock(&loop->lock);
    while (!list_is_empty(&loop->posted)) {
        struct list *link = loop->posted.next;
        list_remove(link);
        list_append(&posted, link);
    }
    bool stop = loop->stop;
    pthread_mutex_unlock(&loop->lock);
    loop_enter(loop);
    run_tasks(loop, &posted);
    loop_leave(loop);
    if (stop)
        uv_stop(&loop->uv);
}

struct loop *loop_new(int index, struct log *log)
{
    struct loop *loop = calloc(1, sizeof *loop);
    ASSERT(loop);
    loop->index = index;
    loop->log = log;
    loop->transit = transit_new();
    loop->stock = stock_new(STOCK_BYTES_KEPT);
    list_init(&loop->tasks);
    list_init(&loop->records);
    list_init(&loop->flushes);
    list_init(&loop->posted);
    pthread_mutex_init(&loop->lock, NULL);
    ASSERT(uv_loop_init(&loop->uv) == 0);
    uv_timer_init(&loop->uv, &loop->timer);
    uv_prepare_init(&loop->uv, &loop->prepare);
    uv_check_init(&loop->uv, &loop->check);
    ASSERT(uv_async_init(&loop->uv, &loop->wake, on_wake) == 0);
    loop->timer.data = loop->prepare.data = loop->check.data = loop->wake.data = loop;
    uv_prepare_start(&loop->prepare, on_prepare);
    uv_check_start(&loop->check, on_check);
    /* Only work keeps a loop alive; loop_run adds its own reference through `wake`. */
    uv_unref((uv_handle_t *)&loop->prepare);
    uv_unref((uv_handle_t *)&loop->check);
    return loop;
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    pthread_mutex_lock(&loop->lock);
    loop->closing = true;
    pthread_mutex_unlock(&loop->lock);
    on_wake(&loop->wake); /* what was posted still runs: its owners count on it */
    end_turn(loop);
    uv_unref((uv_handle_t *)&loop->wake);
    uv_run(&loop->uv, UV_RUN_DEFAULT); /* pool work and closing streams end here, timers running */
    uv_close((uv_handle_t *)&loop->wake, NULL);
    uv_close((uv_handle_t *)&loop->timer, NULL);
    uv_close((uv_handle_t *)&loop->prepare, NULL);
    uv_close((uv_handle_t *)&loop->check, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    ASSERT(uv_loop_close(&loop->uv) == 0);
    heap_done(&loop->timers);
    transit_free(loop->transit);
    stock_free(loop->stock);
    while (loop->scratch_count)
        arena_free(loop->scratches[--loop->scratch_count]);
    while (loop->buf_count)
        buf_done(&loop->bufs[--loop->buf_count]);
    pthread_mutex_destroy(&loop->lock);
    free(loop);
}

void loop_run(struct loop *loop)
{
    uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void loop_run_once(struct loop *loop)
{
    uv_run(&loop->uv, UV_RUN_ONCE);
}

void loop_stop(struct loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    loop->stop = true;
    if (!loop->closing)
        uv_async_send(&loop->wake);
    pthread_mutex_unlock(&loop->lock);
}

int loop_index(const struct loop *loop)
{
    return loop->index;
}

struct log *loop_log(const struct loop *loop)
{
    return loop->log;
}

uv_loop_t *loop_uv(struct loop *loop)
{
    return &loop->uv;
}

char *loop_read_buffer(struct loop *loop)
{
    return loop->read_buffer;
}

struct arena *loop_scratch_borrow(struct loop *loop)
{
    if (loop->scratch_count)
        return loop->scratches[--loop->scratch_count];
    return arena_new_sized(SIZE_MAX, SCRATCH_BYTES_KEPT);
}

void loop_scratch_return(struct loop *loop, struct arena *scratch)
{
    if (loop->scratch_count == SCRATCHES_KEPT) {
        arena_free(scratch);
        return;
    }
    arena_reset(scratch);
    loop->scratches[loop->scratch_count++] = scratch;
}

void loop_buf_lend(struct loop *loop, struct buf *buf)
{
    if (buf->data || !loop->buf_count || buf->bytes_max < BUF_BYTES_KEPT)
        return;
    const struct buf *spare = &loop->bufs[--loop->buf_count];
    buf->data = spare->data;
    buf->capacity = spare->capacity;
    loop->buf_bytes -= spare->capacity;
}

void loop_buf_keep(struct loop *loop, struct buf *buf)
{
    if (!buf->data || buf->capacity > BUF_BYTES_KEPT || loop->buf_count == BUFS_KEPT ||
        loop->buf_bytes + buf->capacity > BUFS_BYTES_KEPT) {
        buf_done(buf);
        return;
    }
    loop->buf_bytes += buf->capacity;
    loop->bufs[loop->buf_count++] = (struct buf){.data = buf->data, .capacity = buf->capacity};
    *buf = (struct buf){.bytes_max = buf->bytes_max};
}

struct stock *loop_stock(struct loop *loop)
{
    return loop->stock;
}

struct transit *loop_transit(struct loop *loop)
{
    return loop->transit;
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t delay_ms,
                    void (*fire)(void *user), void *user)
{
    timer->fire = fire;
    timer->user = user;
    heap_set(&loop->timers, &timer->node, uv_now(&loop->uv) + delay_ms);
    arm_timer(loop);
}

void loop_timer_cancel(struct loop *loop, struct loop_timer *timer)
{
    heap_remove(&loop->timers, &timer->node);
    if (!heap_first(&loop->timers)) {
        uv_timer_stop(&loop->timer);
        loop->timer_due = 0;
    }
}

static void queue(struct list *tasks, struct loop_task *task, void (*run)(void *user), void *user)
{
    task->run = run;
    task->user = user;
    if (!list_is_linked(&task->link))
        list_append(tasks, &task->link);
}

void loop_defer(struct loop *loop, struct loop_task *task, void (*run)(void *user), void *user)
{
    queue(&loop->tasks, task, run, user);
}

void loop_defer_flush(struct loop *loop, struct loop_task *task, void (*run)(void *user),
                      void *user)
{
    queue(&loop->flushes, task, run, user);
}

void loop_defer_record(struct loop *loop, struct loop_task *task, void (*run)(void *user),
                       void *user)
{
    queue(&loop->records, task, run, user);
}

void loop_run_records(struct loop *loop)
{
    run_tasks(loop, &loop->records);
}

void loop_task_cancel(struct loop_task *task)
{
    list_remove(&task->link);
}

bool loop_post(struct loop *loop, struct loop_task *task, void (*run)(void *user), void *user)
{
    pthread_mutex_lock(&loop->lock);
    bool open = !loop->closing;
    if (open) {
        queue(&loop->posted, task, run, user);
        uv_async_send(&loop->wake);
    }
    pthread_mutex_unlock(&loop->lock);
    return open;
}

static void work_run(uv_work_t *request)
{
    struct loop_work *work = request->data;
    work->run(work->user);
}

static void work_done(uv_work_t *request, int status)
{
    (void)status; /* never cancelled */
    struct loop_work *work = request->data;
    struct loop *loop = work->loop; /* `done` may free it */
    loop_enter(loop);
    work->done(work->user);
    loop_leave(loop);
}

void loop_work_start(struct loop *loop, struct loop_work *work, void (*run)(void *user),
                     void (*done)(void *user), void *user)
{
    work->loop = loop;
    work->run = run;
    work->done = done;
    work->user = user;
    work->request.data = work;
    ASSERT(uv_queue_work(&loop->uv, &work->request, work_run, work_done) == 0);
}
