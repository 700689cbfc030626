/* Cell: the live state of one target, shared by all loops: breaker, pace, latency, load, and who
 * waits for a place. It outlives every configuration. One short lock each; nothing is called and
 * nothing is allocated under it, but for the wake of a waiter, which must only post. */
#pragma once

#include <pthread.h>

#include "base/err.h"
#include "base/list.h"
#include "base/str.h"
#include "route/breaker.h"
#include "route/latency.h"
#include "route/pacer.h"

/* What the configuration says about a target's load. */
struct cell_limits {
    int concurrency_max; /* calls at once; 0: no limit */
    int64_t requests_per_minute;
    int64_t tokens_per_minute;
    int waiters_max; /* [256] */
};

/* Who goes first when a place is free. */
enum cell_priority { CELL_INTERACTIVE, CELL_BACKGROUND /* titles, summaries */, CELL_BATCH };

struct cell;

/* A call's place at a target: taken by cell_acquire, given back by exactly one of cell_succeed,
 * cell_fail and cell_forget. */
struct cell_lease {
    struct cell *cell; /* NULL: none */
    uint64_t probe;    /* not 0: this call is the breaker's probe */
    int64_t tokens;    /* reserved */
    uint64_t since;    /* breaker.probes when it was granted: of another one, it is old news */
    bool is_hedge;
    uint64_t first_content_us; /* kept to be told with the end; 0: nothing is kept */
};

enum cell_verdict {
    CELL_GRANTED,
    CELL_FULL,   /* as many calls as may be, or others wait already */
    CELL_PACED,  /* within the provider's pace there is no room now */
    CELL_PAUSED, /* the provider said when to come back */
    CELL_OPEN,   /* the breaker refuses */
    CELL_BENCHED /* taken out, by an administrator or for a cause that does not pass by itself */
};
const char *cell_verdict_name(enum cell_verdict verdict);

/* Somebody in a cell's queue. Filled by cell_wait; zeroed is in none. */
struct cell_waiter {
    struct list link;
    struct cell *cell;
    enum cell_priority priority;
    /* It is worth asking again: called under the cell's lock, on any thread (also within
     * cell_wait); may only post. May come in vain. The first in the queue is woken by what may let
     * it go: a place given back, a breaker that closed, whoever was before it granted or gone.
     * It is not woken by time: it asks again at until_us by itself; those behind it need not. */
    void (*wake)(void *user);
    void *user;
};

struct cell_ask {
    uint64_t now_us;
    int64_t tokens; /* estimated, input and output */
    enum cell_priority priority;
    bool is_hedge;
    const struct cell_limits *limits;
    const struct breaker_policy *breaker;
    const struct cell_waiter *waiter; /* whoever waits here already; NULL: nobody */
};

struct cell_answer {
    enum cell_verdict verdict;
    uint64_t until_us; /* when to ask again; 0 for CELL_FULL (a wake comes) */
};

/* Asks for a place; CELL_GRANTED fills *ret_lease, and takes the waiter out of the queue when there
 * is one. Nobody passes those who wait with the same or a better priority. Any thread. */
struct cell_answer cell_acquire(struct cell *cell, const struct cell_ask *ask,
                                struct cell_lease *ret_lease);
/* Into the queue, behind those of the same priority. False when it is full. A waiter that is in the
 * queue already stays where it is. Should a place have come free since it asked, it is woken at
 * once. */
bool cell_wait(struct cell *cell, struct cell_waiter *waiter, enum cell_priority priority,
               int waiters_max, void (*wake)(void *user), void *user);
/* Out of it; no wake comes after it returns. Nothing happens when it is in none. */
void cell_wait_end(struct cell_waiter *waiter);

/* ---- What happened to a call with a lease ---------------------------------------------------- */

/* The provider's headers came. `connect_us`: 0 when a kept connection was used. Costs nothing when they
 * say nothing. */
void cell_note_head(const struct cell_lease *lease, uint64_t now_us, uint64_t connect_us,
                    const struct llm_limits *limits);
/* Its first content came, so long after the request. */
void cell_note_content(const struct cell_lease *lease, uint64_t now_us, uint64_t first_content_us);
/* The same of a whole answer, whose end comes in this same callback: told with it, under one lock. */
static inline void cell_keep_content(struct cell_lease *lease, uint64_t first_content_us)
{
    lease->first_content_us = first_content_us;
}
/* The three ends; each empties the lease. `tokens`: really used, or -1. */
void cell_succeed(struct cell_lease *lease, const struct breaker_policy *policy, uint64_t now_us,
                  int64_t tokens);
/* By the target's own fault. `retry_after_us`: its hint, 0: none; nobody asks the target before
 * that (CELL_PAUSED). */
void cell_fail(struct cell_lease *lease, const struct breaker_policy *policy, uint64_t now_us,
               int64_t tokens, enum err class, const char *message, uint64_t retry_after_us,
               struct random *random);
/* Nothing is known about the target from it: cancelled, or the caller's own fault. */
void cell_forget(struct cell_lease *lease, uint64_t now_us, int64_t tokens);

/* ---- Looking and ordering -------------------------------------------------------------------- */

/* What a strategy and an administrator want to know. */
struct cell_view {
    enum cell_verdict verdict; /* what an ask of no size would hear now, CELL_FULL included */
    uint64_t until_us;
    enum breaker_state breaker;
    bool probe_due; /* half-open or past its cooldown, and no probe is under way */
    int calls;      /* under way */
    int waiting;
    uint64_t first_content_us; /* average; 0: unknown */
    uint64_t p95_us;
    uint64_t connect_us; /* average; 0: unknown */
    int failed_percent;  /* within the breaker's window */
    uint64_t succeeded;  /* since the start */
    uint64_t failed;
};
void cell_look(struct cell *cell, const struct cell_limits *limits,
               const struct breaker_policy *policy, uint64_t now_us, struct cell_view *ret_view);
/* What an administrator is to read of a failure that is none of the target's own (cell_forget): a
 * refused key, a used-up quota. */
void cell_note_error(struct cell *cell, uint64_t now_us, enum err class, const char *message);
/* The last failure, for a person; ERR_OK when there was none. `ret_message` is cut to its size. */
enum err cell_last_error(struct cell *cell, uint64_t *ret_when_us, char *ret_message, size_t size);
/* Takes it out until then, or for longer when it is out already; cell_restore brings it back, with
 * its breaker closed, and nothing that is under way then counts for the breaker. `reason` (of the
 * longest) is kept for cell_bench_reason. */
void cell_bench(struct cell *cell, uint64_t until_us, const char *reason);
void cell_restore(struct cell *cell);
void cell_bench_reason(struct cell *cell, char *ret_reason, size_t size);
/* Whether the target has refused to continue an answer that was begun elsewhere. */
void cell_set_refuses_prefill(struct cell *cell);
bool cell_refuses_prefill(struct cell *cell);

/* ---- All of them ----------------------------------------------------------------------------- */

struct cells;
struct cells *cells_new(void);
void cells_free(struct cells *cells);
/* The cell of that target, made when it is new; lives as long as `cells`. Over CELLS_MAX all new
 * ones share one cell. Any thread. */
enum { CELLS_MAX = 65536 };
struct cell *cells_get(struct cells *cells, struct str target_id);

/* What hedging and its like count for each route, in the same map. */
struct route_live {
    _Atomic uint64_t requests;
    _Atomic uint64_t hedges;
    _Atomic int64_t spent_nano; /* nano-dollars */
    _Atomic int64_t hedge_spent_nano;
};
struct route_live *cells_route(struct cells *cells, struct str route_name);
