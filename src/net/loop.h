/* Event loop: libuv, one loop per thread, with timers, messages between threads, work for the
 * pool, and a place to flush output once per turn. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/log.h"
#include "base/stock.h"
#include "base/transit.h"

struct loop;

/* A new loop, run by nobody yet. `index`: its number among the program's loops (0 to 255).
 * `log` is borrowed for its life. Free with loop_free after loop_run has returned. */
struct loop *loop_new(int index, struct log *log);
void loop_free(struct loop *loop);

/* Runs until loop_stop, on the calling thread, which is the loop's thread from then on. */
void loop_run(struct loop *loop);
/* Makes loop_run return at the end of the turn. Any thread. */
void loop_stop(struct loop *loop);
/* One turn that waits at most until something happens; for tests. */
void loop_run_once(struct loop *loop);

int loop_index(const struct loop *loop);
struct log *loop_log(const struct loop *loop);

/* ---- Time: what code on a loop asks; clock.h is for other threads, and for measuring how long the
 * caller's own work takes. On the loop's thread. ---------------------------------------------- */
/* Of this turn: every decision within one turn sees the same. Monotonic milliseconds. */
uint64_t loop_now_ms(const struct loop *loop);
/* Of the one thing that is handled now (a socket that is ready, a timer, a task, a message), as of
 * when it was first asked for: the clock is read once for each of them. Microseconds of
 * clock_monotonic_ns; only grows. Outside of callbacks it is read every time. */
uint64_t loop_now_us(struct loop *loop);
/* Likewise, milliseconds of clock_wall_ms. */
int64_t loop_wall_ms(struct loop *loop);

/* For code of the net floor that makes libuv handles. */
uv_loop_t *loop_uv(struct loop *loop);
/* Around what each callback of libuv does. Without it everything is right, but the clock is read
 * every time that it is asked for. */
void loop_enter(struct loop *loop);
void loop_leave(struct loop *loop);
/* 64 KiB to read into, shared by everything on the loop, valid within one callback. */
enum { LOOP_READ_BYTES = 65536 };
char *loop_read_buffer(struct loop *loop);

/* An empty arena for what is needed within one callback only, and is not to leave holes between
 * what streams keep: parsed JSON, what encoding needs on the way. Give it back before the callback
 * returns. Who borrows while another is borrowed gets another one. */
struct arena *loop_scratch_borrow(struct loop *loop);
/* Forgets what is in it. */
void loop_scratch_return(struct loop *loop, struct arena *scratch);
/* Memory of small buffers goes from one to the next, for what every request writes and drops again
 * soon: it may be larger than what is written, so nothing that lasts as long as a stream.
 * Lend gives an empty one what another has left, if there is any; keep takes it, in place of buf_done.
 * What is kept has a bound. */
void loop_buf_lend(struct loop *loop, struct buf *buf);
void loop_buf_keep(struct loop *loop, struct buf *buf);
/* For what begins and ends with every request. All is to be given back before loop_free. */
struct stock *loop_stock(struct loop *loop);
/* For bytes that wait across callbacks, but not for long. All is to be dropped before loop_free. */
struct transit *loop_transit(struct loop *loop);

/* ---- Timers: members of their owner; setting and cancelling never allocate and never fail ------
 */
struct loop_timer {
    struct heap_node node;
    void (*fire)(void *user);
    void *user;
};
/* Zeroed is unset. Calls fire(user) once, `delay_ms` from this turn's time; setting it again moves
 * it. Cancelled or fired timers may be freed at once. Loop's thread only. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t delay_ms,
                    void (*fire)(void *user), void *user);
void loop_timer_cancel(struct loop *loop, struct loop_timer *timer);
static inline bool loop_timer_is_set(const struct loop_timer *timer)
{
    return timer->node.index != 0;
}

/* ---- Deferred calls: run later in this turn, or in the next -------------------------------------
 */
struct loop_task {
    struct list link;
    void (*run)(void *user);
    void *user;
};
/* Calls run(user) after the current callback has returned, before the loop waits again. A task
 * that is queued already is not queued twice; one that always queues itself again hangs the loop.
 * Loop's thread only. */
void loop_defer(struct loop *loop, struct loop_task *task, void (*run)(void *user), void *user);
/* Calls run(user) once at the end of this turn, after everything else has run: where output that
 * gathered during the turn is written. The same rules. */
void loop_defer_flush(struct loop *loop, struct loop_task *task, void (*run)(void *user),
                      void *user);
/* Calls run(user) once before any stream of this loop sends a byte, at the end of this turn at the
 * latest: what is recorded here must be with the operating system before somebody else hears of it.
 * The same rules. */
void loop_defer_record(struct loop *loop, struct loop_task *task, void (*run)(void *user),
                       void *user);
/* Runs what loop_defer_record queued, now: whoever sends calls this first. */
void loop_run_records(struct loop *loop);
/* Takes it out of any queue; nothing happens when it is in none. */
void loop_task_cancel(struct loop_task *task);

/* ---- Messages from other threads ------------------------------------------------------------- */
/* Calls run(user) on the loop's thread, in the order of posting. `task` is the caller's until it
 * runs. Any thread. Returns false when the loop is closing (nothing will run). */
bool loop_post(struct loop *loop, struct loop_task *task, void (*run)(void *user), void *user);

/* ---- Blocking work --------------------------------------------------------------------------- */
struct loop_work {
    uv_work_t request;
    struct loop *loop;
    void (*run)(void *user);  /* on a pool thread */
    void (*done)(void *user); /* on the loop, always, even if the loop is stopping */
    void *user;
};
/* Runs `run` in the pool, then `done` on the loop. The struct and what it points to must live until
 * `done`; it cannot be cancelled. */
void loop_work_start(struct loop *loop, struct loop_work *work, void (*run)(void *user),
                     void (*done)(void *user), void *user);
