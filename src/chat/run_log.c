/* Run log: a ring of events behind a mutex that is held for a copy at most.
 *
 * Waking a listener on another loop is a posted task. It belongs to the listener; when the listener
 * detaches while one is under way, the task frees it instead. */
#include "chat/run_log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

struct event {
    const char *type;
    size_t offset; /* in bytes, counted from the log's beginning */
    size_t len;
};

struct run_log {
    _Atomic int references;
    pthread_mutex_t lock;
    struct loop *home;
    run_log_snapshot_fn *snapshot;
    void *user;
    struct loop_task snapshot_task;
    bool snapshot_asked;
    uint64_t first; /* sequence number of events[0] */
    uint64_t last;  /* of the newest; 0: none */
    struct event *events;
    size_t count;
    size_t capacity;
    struct buf bytes;
    size_t bytes_dropped; /* offset of bytes.data[0] */
    struct buf snapshot_json;
    uint64_t snapshot_sequence; /* 0: none made */
    struct list listeners;
    bool closed;
};

struct run_listener {
    struct list link;
    struct run_log *log;
    struct loop *loop;
    struct loop_task task;
    void (*on_ready)(void *user);
    void *user;
    uint64_t position; /* the last sequence number it has had */
    bool waking;       /* a task is under way */
    bool detached;
};

struct run_log *run_log_new(struct loop *home, run_log_snapshot_fn *snapshot, void *user)
{
    struct run_log *log = calloc(1, sizeof *log);
    ASSERT(log);
    log->references = 1;
    log->home = home;
    log->snapshot = snapshot;
    log->user = user;
    log->first = 1;
    pthread_mutex_init(&log->lock, NULL);
    buf_init(&log->bytes, (size_t)(snapshot ? RUN_LOG_BYTES_MAX : RUN_LOG_WHOLE_BYTES_MAX) +
                              RUN_LOG_EVENT_BYTES_MAX);
    buf_init(&log->snapshot_json, RUN_LOG_EVENT_BYTES_MAX);
    list_init(&log->listeners);
    return log;
}

struct run_log *run_log_ref(struct run_log *log)
{
    atomic_fetch_add(&log->references, 1);
    return log;
}

void run_log_unref(struct run_log *log)
{
    if (!log || atomic_fetch_sub(&log->references, 1) != 1)
        return;
    pthread_mutex_destroy(&log->lock);
    buf_done(&log->bytes);
    buf_done(&log->snapshot_json);
    free(log->events);
    free(log);
}

static void listener_free(struct run_listener *listener)
{
    run_log_unref(listener->log);
    free(listener);
}

static void wake(void *user)
{
    struct run_listener *listener = user;
    pthread_mutex_lock(&listener->log->lock);
    listener->waking = false;
    bool detached = listener->detached;
    pthread_mutex_unlock(&listener->log->lock);
    if (detached)
        listener_free(listener);
    else
        listener->on_ready(listener->user);
}

static void wake_locked(struct run_listener *listener)
{
    if (!listener->waking)
        listener->waking = loop_post(listener->loop, &listener->task, wake, listener);
}

static void wake_all_locked(struct run_log *log)
{
    LIST_EACH (&log->listeners, link)
        wake_locked(LIST_ENTRY(link, struct run_listener, link));
}

/* Forgets the oldest `drop` events. */
static void drop_locked(struct run_log *log, size_t drop)
{
    size_t bytes =
        drop < log->count ? log->events[drop].offset - log->bytes_dropped : log->bytes.len;
    buf_consume(&log->bytes, bytes);
    log->bytes_dropped += bytes;
    log->first += drop;
    log->count -= drop;
    memmove(log->events, log->events + drop, log->count * sizeof *log->events);
}

/* Forgets the older half, again and again, until the ring is within its bounds. */
static void trim_locked(struct run_log *log)
{
    while (log->snapshot && (log->count > RUN_LOG_EVENTS_MAX || log->bytes.len > RUN_LOG_BYTES_MAX))
        drop_locked(log, (log->count + 1) / 2);
}

uint64_t run_log_append(struct run_log *log, const char *type, struct str json)
{
    ASSERT(json.len <= RUN_LOG_EVENT_BYTES_MAX);
    pthread_mutex_lock(&log->lock);
    trim_locked(log);
    if (log->count == log->capacity) {
        log->capacity = log->capacity ? log->capacity * 2 : 64;
        log->events = realloc(log->events, log->capacity * sizeof *log->events);
        ASSERT(log->events);
    }
    log->events[log->count++] = (struct event){type, log->bytes_dropped + log->bytes.len, json.len};
    buf_append(&log->bytes, json);
    ASSERT(buf_ok(&log->bytes)); /* there was room: trimmed, then one event */
    uint64_t sequence = ++log->last;
    wake_all_locked(log);
    pthread_mutex_unlock(&log->lock);
    return sequence;
}

/* Whether the newest event carries the whole message: no snapshot may stand in its place. */
static bool is_saved_locked(const struct run_log *log)
{
    return log->count && strcmp(log->events[log->count - 1].type, "saved") == 0;
}

void run_log_close(struct run_log *log)
{
    pthread_mutex_lock(&log->lock);
    if (log->snapshot_asked && !log->closed && !is_saved_locked(log)) {
        /* Who waits for a snapshot gets the last one there is. */
        buf_clear(&log->snapshot_json);
        log->snapshot(log->user, &log->snapshot_json);
        log->snapshot_sequence = log->last;
    }
    log->closed = true;
    wake_all_locked(log);
    pthread_mutex_unlock(&log->lock);
}

uint64_t run_log_last_sequence(struct run_log *log)
{
    pthread_mutex_lock(&log->lock);
    uint64_t last = log->last;
    pthread_mutex_unlock(&log->lock);
    return last;
}

struct run_listener *run_log_attach(struct run_log *log, struct loop *loop, uint64_t after,
                                    void (*on_ready)(void *user), void *user)
{
    struct run_listener *listener = calloc(1, sizeof *listener);
    ASSERT(listener);
    listener->log = run_log_ref(log);
    listener->loop = loop;
    listener->on_ready = on_ready;
    listener->user = user;
    pthread_mutex_lock(&log->lock);
    listener->position = after > log->last ? log->last : after;
    list_append(&log->listeners, &listener->link);
    wake_locked(listener);
    pthread_mutex_unlock(&log->lock);
    return listener;
}

void run_log_detach(struct run_listener *listener)
{
    pthread_mutex_lock(&listener->log->lock);
    list_remove(&listener->link);
    listener->detached = true;
    bool waking = listener->waking;
    pthread_mutex_unlock(&listener->log->lock);
    if (!waking)
        listener_free(listener);
}

/* On the home loop: somebody has fallen behind. */
static void make_snapshot(void *user)
{
    struct run_log *log = user;
    pthread_mutex_lock(&log->lock);
    if (!log->closed) {
        buf_clear(&log->snapshot_json);
        log->snapshot(log->user, &log->snapshot_json);
        log->snapshot_sequence = log->last;
    }
    log->snapshot_asked = false;
    wake_all_locked(log);
    pthread_mutex_unlock(&log->lock);
    run_log_unref(log);
}

/* For a position before the ring: the snapshot that is there if it is recent enough, else asks. */
static enum run_pull pull_snapshot_locked(struct run_listener *listener, uint64_t *ret_sequence,
                                          const char **ret_type, struct buf *out)
{
    struct run_log *log = listener->log;
    if (log->snapshot_sequence + 1 >= log->first && log->snapshot_sequence > listener->position) {
        buf_append(out, buf_str(&log->snapshot_json));
        *ret_sequence = listener->position = log->snapshot_sequence;
        *ret_type = "snapshot";
        return RUN_PULL_EVENT;
    }
    if (log->closed) { /* the newest event is `saved`, or it is all that can be told */
        listener->position = log->last - 1;
        return RUN_PULL_AGAIN;
    }
    if (!log->snapshot_asked) {
        log->snapshot_asked = true;
        run_log_ref(log);
        if (!loop_post(log->home, &log->snapshot_task, make_snapshot, log))
            atomic_fetch_sub(&log->references, 1);
    }
    return RUN_PULL_EMPTY;
}

enum run_pull run_log_pull(struct run_listener *listener, uint64_t *ret_sequence,
                           const char **ret_type, struct buf *out)
{
    struct run_log *log = listener->log;
    enum run_pull result = RUN_PULL_AGAIN;
    pthread_mutex_lock(&log->lock);
    if (listener->position + 1 < log->first)
        result = pull_snapshot_locked(listener, ret_sequence, ret_type, out);
    if (result != RUN_PULL_AGAIN) {
        ;
    } else if (listener->position < log->last) {
        const struct event *event = &log->events[listener->position + 1 - log->first];
        buf_append(out,
                   STR_FROM(log->bytes.data + (event->offset - log->bytes_dropped), event->len));
        *ret_sequence = ++listener->position;
        *ret_type = event->type;
        result = RUN_PULL_EVENT;
    } else {
        result = log->closed ? RUN_PULL_END : RUN_PULL_EMPTY;
    }
    pthread_mutex_unlock(&log->lock);
    return result;
}

bool run_log_is_closed(struct run_log *log)
{
    pthread_mutex_lock(&log->lock);
    bool closed = log->closed;
    pthread_mutex_unlock(&log->lock);
    return closed;
}
