/* Cell: where all loops meet at one target. The flow asks here before each attempt and says here
 * what became of it; breaker, pacer and latency do the thinking, this file is their lock, the count
 * of calls, and the queue.
 *
 * The queue never sleeps over a free place: whatever may let its first waiter go wakes that one
 * (wake_first), each grant wakes the next, and so on until one is refused. Whoever is refused with a
 * time comes back by itself; the others stand behind it. */
#include "route/cell.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/map.h"

enum {
    PRIORITIES = CELL_BATCH + 1,
    TEXT_BYTES = 256,  /* of a message or reason, with its NUL */
    CONNECT_WEIGHT = 8 /* a sample moves the average by one part of so many */
};

struct cell {
    pthread_mutex_t lock; /* guards all below but the atomic */
    struct breaker breaker;
    struct pacer pacer;
    struct latency latency;
    uint64_t connect_us;
    int concurrency_max; /* of the newest ask */
    int calls;
    int64_t tokens_under_way;
    int waiting;
    struct list waiters[PRIORITIES];
    uint64_t paused_until_us;
    uint64_t benched_until_us;
    uint64_t succeeded;
    uint64_t failed;
    enum err error;
    uint64_t error_us;
    char message[TEXT_BYTES];
    char reason[TEXT_BYTES];
    _Atomic bool refuses_prefill;
};

const char *cell_verdict_name(enum cell_verdict verdict)
{
    static const char *const names[] = {
        [CELL_GRANTED] = "granted", [CELL_FULL] = "full", [CELL_PACED] = "paced",
        [CELL_PAUSED] = "paused",   [CELL_OPEN] = "open", [CELL_BENCHED] = "benched",
    };
    return (size_t)verdict < sizeof names / sizeof *names ? names[verdict] : "unknown";
}

/* ---- The queue ------------------------------------------------------------------------------- */

/* The first one of this priority or a better one, or NULL. */
static struct cell_waiter *first_waiter(const struct cell *cell, enum cell_priority priority)
{
    for (size_t i = 0; cell->waiting && i <= (size_t)priority; i++)
        if (!list_is_empty(&cell->waiters[i]))
            return LIST_ENTRY(cell->waiters[i].next, struct cell_waiter, link);
    return NULL;
}

static void wake_first(const struct cell *cell)
{
    struct cell_waiter *waiter = first_waiter(cell, CELL_BATCH);
    if (waiter)
        waiter->wake(waiter->user);
}

static void remove_waiter(struct cell *cell, struct cell_waiter *waiter)
{
    list_remove(&waiter->link);
    waiter->cell = NULL;
    cell->waiting--;
}

static bool has_room(const struct cell *cell)
{
    return cell->concurrency_max <= 0 || cell->calls < cell->concurrency_max;
}

bool cell_wait(struct cell *cell, struct cell_waiter *waiter, enum cell_priority priority,
               int waiters_max, void (*wake)(void *user), void *user)
{
    if (waiter->cell == cell)
        return true;
    ASSERT(!waiter->cell && (size_t)priority < PRIORITIES);
    pthread_mutex_lock(&cell->lock);
    bool fits = cell->waiting < waiters_max;
    if (fits) {
        *waiter =
            (struct cell_waiter){.cell = cell, .priority = priority, .wake = wake, .user = user};
        list_append(&cell->waiters[priority], &waiter->link);
        cell->waiting++;
        if (first_waiter(cell, CELL_BATCH) == waiter && has_room(cell))
            wake(user); /* between its ask and now a place may have come free unseen */
    }
    pthread_mutex_unlock(&cell->lock);
    return fits;
}

void cell_wait_end(struct cell_waiter *waiter)
{
    struct cell *cell = waiter->cell;
    if (!cell)
        return;
    pthread_mutex_lock(&cell->lock);
    bool was_first = first_waiter(cell, CELL_BATCH) == waiter;
    remove_waiter(cell, waiter);
    if (was_first)
        wake_first(cell);
    pthread_mutex_unlock(&cell->lock);
}

/* ---- Asking ---------------------------------------------------------------------------------- */

static const struct cell_waiter *waiter_here(const struct cell *cell, const struct cell_ask *ask)
{
    return ask->waiter && ask->waiter->cell == cell ? ask->waiter : NULL;
}

static bool others_go_first(const struct cell *cell, const struct cell_ask *ask)
{
    if (ask->is_hedge)
        return cell->waiting > 0;
    const struct cell_waiter *self = waiter_here(cell, ask);
    const struct cell_waiter *first = first_waiter(cell, self ? self->priority : ask->priority);
    return first && first != self;
}

/* Takes over what the asker's configuration says, should it be another one. */
static void follow(struct cell *cell, const struct cell_ask *ask)
{
    const struct cell_limits *limits = ask->limits;
    pacer_configure(&cell->pacer, limits->requests_per_minute, limits->tokens_per_minute,
                    ask->now_us);
    if (cell->concurrency_max == limits->concurrency_max)
        return;
    cell->concurrency_max = limits->concurrency_max;
    wake_first(cell);
}

/* Whether the breaker would refuse; changes nothing: its probe is taken only by a grant. */
static bool breaker_is_against(struct cell *cell, const struct cell_ask *ask,
                               uint64_t *ret_until_us)
{
    uint64_t probe;
    enum breaker_verdict verdict =
        ask->is_hedge
            ? breaker_ask(&cell->breaker, ask->breaker, ask->now_us, false, &probe, ret_until_us)
            : breaker_look(&cell->breaker, ask->now_us, ret_until_us);
    return verdict == BREAKER_REFUSES;
}

/* What an ask hears now. */
static struct cell_answer judge(struct cell *cell, const struct cell_ask *ask)
{
    uint64_t until_us = 0;
    follow(cell, ask);
    if (ask->now_us < cell->benched_until_us)
        return (struct cell_answer){CELL_BENCHED, cell->benched_until_us};
    if (breaker_is_against(cell, ask, &until_us))
        return (struct cell_answer){CELL_OPEN, until_us};
    if (ask->now_us < cell->paused_until_us)
        return (struct cell_answer){CELL_PAUSED, cell->paused_until_us};
    if (!has_room(cell) || others_go_first(cell, ask))
        return (struct cell_answer){CELL_FULL, 0};
    until_us = pacer_when(&cell->pacer, ask->now_us, ask->tokens);
    if (until_us > ask->now_us)
        return (struct cell_answer){CELL_PACED, until_us};
    return (struct cell_answer){CELL_GRANTED, 0};
}

/* What judge has found to be possible. */
static void grant(struct cell *cell, const struct cell_ask *ask, struct cell_lease *ret_lease)
{
    uint64_t probe = 0;
    uint64_t until_us;
    int64_t tokens = ask->tokens > 0 ? ask->tokens : 0;
    breaker_ask(&cell->breaker, ask->breaker, ask->now_us, !ask->is_hedge, &probe, &until_us);
    pacer_take(&cell->pacer, ask->now_us, tokens);
    cell->calls++;
    cell->tokens_under_way += tokens;
    *ret_lease = (struct cell_lease){.cell = cell,
                                     .probe = probe,
                                     .tokens = tokens,
                                     .since = cell->breaker.probes,
                                     .is_hedge = ask->is_hedge};
    if (!waiter_here(cell, ask))
        return;
    remove_waiter(cell, first_waiter(cell, ask->waiter->priority));
    if (has_room(cell))
        wake_first(cell);
}

struct cell_answer cell_acquire(struct cell *cell, const struct cell_ask *ask,
                                struct cell_lease *ret_lease)
{
    pthread_mutex_lock(&cell->lock);
    struct cell_answer answer = judge(cell, ask);
    if (answer.verdict == CELL_GRANTED)
        grant(cell, ask, ret_lease);
    pthread_mutex_unlock(&cell->lock);
    return answer;
}

/* ---- What happened to a call with a lease ---------------------------------------------------- */

/* Whether the breaker hears of this call: not when it opened and closed again meanwhile. (Of a probe
 * it knows that by itself.) */
static bool counts(const struct cell *cell, const struct cell_lease *lease)
{
    return lease->probe || lease->since == cell->breaker.probes;
}

/* Ends a lease, under the lock. */
static void give_back(struct cell *cell, struct cell_lease *lease, uint64_t now_us, int64_t tokens)
{
    ASSERT(cell->calls > 0);
    cell->calls--;
    cell->tokens_under_way -= lease->tokens;
    pacer_settle(&cell->pacer, now_us, lease->tokens, tokens);
    *lease = (struct cell_lease){0};
    wake_first(cell);
}

static bool says_anything(const struct llm_limits *limits)
{
    return limits->requests.limit >= 0 || limits->requests.remaining >= 0 ||
           limits->tokens.limit >= 0 || limits->tokens.remaining >= 0;
}

void cell_note_head(const struct cell_lease *lease, uint64_t now_us, uint64_t connect_us,
                    const struct llm_limits *limits)
{
    struct cell *cell = lease->cell;
    if (limits && !says_anything(limits))
        limits = NULL;
    if (!cell || (!connect_us && !limits))
        return;
    pthread_mutex_lock(&cell->lock);
    if (connect_us && cell->connect_us)
        cell->connect_us = (cell->connect_us * (CONNECT_WEIGHT - 1) + connect_us) / CONNECT_WEIGHT;
    else if (connect_us)
        cell->connect_us = connect_us;
    if (limits)
        pacer_learn(&cell->pacer, now_us, limits, cell->calls - 1,
                    cell->tokens_under_way - lease->tokens);
    pthread_mutex_unlock(&cell->lock);
}

/* Under the lock. */
static void hear_content(struct cell *cell, const struct cell_lease *lease, uint64_t now_us,
                         uint64_t first_content_us)
{
    latency_add(&cell->latency, now_us, first_content_us);
    bool was_closed = cell->breaker.state == BREAKER_CLOSED;
    breaker_content(&cell->breaker, lease->probe);
    if (!was_closed && cell->breaker.state == BREAKER_CLOSED)
        wake_first(cell);
}

/* What was kept for the end, which is near: under the lock, before anything else is said. */
static void hear_kept(struct cell *cell, const struct cell_lease *lease, uint64_t now_us)
{
    if (lease->first_content_us)
        hear_content(cell, lease, now_us, lease->first_content_us);
}

void cell_note_content(const struct cell_lease *lease, uint64_t now_us, uint64_t first_content_us)
{
    struct cell *cell = lease->cell;
    if (!cell)
        return;
    pthread_mutex_lock(&cell->lock);
    hear_content(cell, lease, now_us, first_content_us);
    pthread_mutex_unlock(&cell->lock);
}

void cell_succeed(struct cell_lease *lease, const struct breaker_policy *policy, uint64_t now_us,
                  int64_t tokens)
{
    struct cell *cell = lease->cell;
    if (!cell)
        return;
    pthread_mutex_lock(&cell->lock);
    hear_kept(cell, lease, now_us);
    cell->succeeded++;
    if (counts(cell, lease))
        breaker_success(&cell->breaker, policy, now_us, lease->probe);
    give_back(cell, lease, now_us, tokens);
    pthread_mutex_unlock(&cell->lock);
}

static void note_error(struct cell *cell, uint64_t now_us, enum err class, const char *message)
{
    cell->error = class;
    cell->error_us = now_us;
    str_copy(str_from_cstr(message), cell->message, sizeof cell->message);
}

void cell_fail(struct cell_lease *lease, const struct breaker_policy *policy, uint64_t now_us,
               int64_t tokens, enum err class, const char *message, uint64_t retry_after_us,
               struct random *random)
{
    struct cell *cell = lease->cell;
    if (!cell)
        return;
    uint64_t not_before_us = retry_after_us > UINT64_MAX - now_us ? UINT64_MAX
                             : retry_after_us                     ? now_us + retry_after_us
                                                                  : 0;
    pthread_mutex_lock(&cell->lock);
    hear_kept(cell, lease, now_us);
    cell->failed++;
    note_error(cell, now_us, class, message);
    if (cell->paused_until_us < not_before_us)
        cell->paused_until_us = not_before_us;
    if (counts(cell, lease))
        breaker_failure(&cell->breaker, policy, now_us, lease->probe, not_before_us, random);
    give_back(cell, lease, now_us, tokens);
    pthread_mutex_unlock(&cell->lock);
}

void cell_forget(struct cell_lease *lease, uint64_t now_us, int64_t tokens)
{
    struct cell *cell = lease->cell;
    if (!cell)
        return;
    pthread_mutex_lock(&cell->lock);
    hear_kept(cell, lease, now_us);
    breaker_forget(&cell->breaker, lease->probe);
    give_back(cell, lease, now_us, tokens);
    pthread_mutex_unlock(&cell->lock);
}

/* ---- Looking and ordering -------------------------------------------------------------------- */

void cell_look(struct cell *cell, const struct cell_limits *limits,
               const struct breaker_policy *policy, uint64_t now_us, struct cell_view *ret_view)
{
    struct cell_ask ask = {.now_us = now_us, .limits = limits, .breaker = policy};
    uint64_t until_us;
    pthread_mutex_lock(&cell->lock);
    struct cell_answer answer = judge(cell, &ask);
    *ret_view = (struct cell_view){
        .verdict = answer.verdict,
        .until_us = answer.until_us,
        .breaker = cell->breaker.state,
        .probe_due = breaker_look(&cell->breaker, now_us, &until_us) == BREAKER_PROBES,
        .calls = cell->calls,
        .waiting = cell->waiting,
        .first_content_us = latency_average_us(&cell->latency, now_us),
        .p95_us = latency_p95_us(&cell->latency),
        .connect_us = cell->connect_us,
        .failed_percent = breaker_failed_percent(&cell->breaker, policy, now_us),
        .succeeded = cell->succeeded,
        .failed = cell->failed,
    };
    pthread_mutex_unlock(&cell->lock);
}

void cell_note_error(struct cell *cell, uint64_t now_us, enum err class, const char *message)
{
    pthread_mutex_lock(&cell->lock);
    note_error(cell, now_us, class, message);
    pthread_mutex_unlock(&cell->lock);
}

enum err cell_last_error(struct cell *cell, uint64_t *ret_when_us, char *ret_message, size_t size)
{
    pthread_mutex_lock(&cell->lock);
    enum err class = cell->error;
    *ret_when_us = cell->error_us;
    str_copy(str_from_cstr(cell->message), ret_message, size);
    pthread_mutex_unlock(&cell->lock);
    return class;
}

void cell_bench(struct cell *cell, uint64_t until_us, const char *reason)
{
    pthread_mutex_lock(&cell->lock);
    if (until_us > cell->benched_until_us) {
        cell->benched_until_us = until_us;
        str_copy(str_from_cstr(reason), cell->reason, sizeof cell->reason);
        wake_first(cell); /* whoever waits had better go elsewhere */
    }
    pthread_mutex_unlock(&cell->lock);
}

void cell_restore(struct cell *cell)
{
    pthread_mutex_lock(&cell->lock);
    breaker_reset(&cell->breaker);
    cell->benched_until_us = cell->paused_until_us = 0;
    cell->reason[0] = '\0';
    wake_first(cell);
    pthread_mutex_unlock(&cell->lock);
}

void cell_bench_reason(struct cell *cell, char *ret_reason, size_t size)
{
    pthread_mutex_lock(&cell->lock);
    str_copy(str_from_cstr(cell->reason), ret_reason, size);
    pthread_mutex_unlock(&cell->lock);
}

void cell_set_refuses_prefill(struct cell *cell)
{
    atomic_store(&cell->refuses_prefill, true);
}

bool cell_refuses_prefill(struct cell *cell)
{
    return atomic_load(&cell->refuses_prefill);
}

/* ---- All of them ----------------------------------------------------------------------------- */

struct cells {
    pthread_mutex_t lock; /* guards the maps; what they hold never moves and never goes */
    struct map *cells;
    struct map *routes;
    struct cell *spare; /* all that are too many */
    struct route_live *spare_route;
};

static void *allocate(size_t size)
{
    void *memory = calloc(1, size);
    ASSERT(memory);
    return memory;
}

static void *make_cell(void)
{
    struct cell *cell = allocate(sizeof *cell);
    pthread_mutex_init(&cell->lock, NULL);
    for (size_t i = 0; i < PRIORITIES; i++)
        list_init(&cell->waiters[i]);
    return cell;
}

static void *make_route(void)
{
    return allocate(sizeof(struct route_live));
}

static void free_cell(struct cell *cell)
{
    pthread_mutex_destroy(&cell->lock);
    free(cell);
}

struct cells *cells_new(void)
{
    struct cells *cells = allocate(sizeof *cells);
    pthread_mutex_init(&cells->lock, NULL);
    cells->cells = map_new();
    cells->routes = map_new();
    cells->spare = make_cell();
    cells->spare_route = make_route();
    return cells;
}

void cells_free(struct cells *cells)
{
    if (!cells)
        return;
    size_t position = 0;
    for (struct cell *cell; (cell = map_next(cells->cells, &position, NULL));)
        free_cell(cell);
    position = 0;
    for (struct route_live *live; (live = map_next(cells->routes, &position, NULL));)
        free(live);
    map_free(cells->cells);
    map_free(cells->routes);
    free_cell(cells->spare);
    free(cells->spare_route);
    pthread_mutex_destroy(&cells->lock);
    free(cells);
}

/* What `map` has under that name, made when it is new; the spare one when there are too many. */
static void *get(struct cells *cells, struct map *map, struct str name, void *(*make)(void),
                 void *spare)
{
    pthread_mutex_lock(&cells->lock);
    void *found = map_get(map, name);
    if (!found && map_count(map) < CELLS_MAX)
        map_set(map, name, found = make());
    pthread_mutex_unlock(&cells->lock);
    return found ? found : spare;
}

struct cell *cells_get(struct cells *cells, struct str target_id)
{
    return get(cells, cells->cells, target_id, make_cell, cells->spare);
}

struct route_live *cells_route(struct cells *cells, struct str route_name)
{
    return get(cells, cells->routes, route_name, make_route, cells->spare_route);
}
