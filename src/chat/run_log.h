/* Run log: the events of one running answer, numbered from 1, in a bounded ring that any thread may
 * read. One writer (the run, on its home loop), any number of listeners on any loop.
 *
 * Listeners pull: the log only tells them that there is more, so a slow one costs nothing and slows
 * nobody. One that falls behind the ring gets a snapshot of the whole message instead. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/id.h"
#include "net/loop.h"

struct run_log;
struct run_listener;

/* How much is kept for listeners that come late or read slowly, where there are snapshots. */
enum { RUN_LOG_BYTES_MAX = 512 * 1024, RUN_LOG_EVENTS_MAX = 4096 };
/* The longest event. */
enum { RUN_LOG_EVENT_BYTES_MAX = 128 * 1024 * 1024 };
/* How much of a log that forgets nothing, before its last event. */
enum { RUN_LOG_WHOLE_BYTES_MAX = 16 * 1024 * 1024 };

/* Makes the JSON object of a `snapshot` event: everything up to now. On the writer's loop. */
typedef void run_log_snapshot_fn(void *user, struct buf *out);

/* `home`: the writer's loop. One reference is the writer's. `snapshot` NULL: nothing is forgotten,
 * and the writer appends no more than RUN_LOG_WHOLE_BYTES_MAX and one event. */
struct run_log *run_log_new(struct loop *home, run_log_snapshot_fn *snapshot, void *user);
struct run_log *run_log_ref(struct run_log *log);
void run_log_unref(struct run_log *log);

/* Appends an event: `type` is a string that lives for ever (NULL: `json` is bytes to be sent as they
 * are, and has its name in it), `json` its whole object (copied,
 * at most RUN_LOG_EVENT_BYTES_MAX). Returns its sequence number. The writer only. */
uint64_t run_log_append(struct run_log *log, const char *type, struct str json);
/* No more events will come; snapshot is not called any more. The writer only. */
void run_log_close(struct run_log *log);
uint64_t run_log_last_sequence(struct run_log *log);

/* Listens from after `after`. `on_ready(user)` comes on `loop`, a turn later at the earliest,
 * whenever there is something to pull that was not there before. Call from `loop`'s thread. */
struct run_listener *run_log_attach(struct run_log *log, struct loop *loop, uint64_t after,
                                    void (*on_ready)(void *user), void *user);
/* Nothing is heard after it returns; the listener is dead. On its loop. */
void run_log_detach(struct run_listener *listener);

enum run_pull {
    RUN_PULL_EVENT, /* one event was given */
    RUN_PULL_EMPTY, /* nothing now; on_ready will come */
    RUN_PULL_END,   /* nothing now, and nothing will come */
    RUN_PULL_AGAIN  /* never given to callers */
};
/* The next event: its number, type, and JSON appended to `out` (unless it was EMPTY or END). */
enum run_pull run_log_pull(struct run_listener *listener, uint64_t *ret_sequence,
                           const char **ret_type, struct buf *out);

/* Whether the writer has said that no more will come. */
bool run_log_is_closed(struct run_log *log);
