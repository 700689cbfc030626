/* World: time passes here. One heap of what will happen; each turn takes the first, lets it happen,
 * and looks whether everything still holds. Nothing is allocated in a turn once the first day has
 * grown what is reused: requests, their arenas, the heap. */
#include "world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/list.h"

/* Watchdog: who is alive so long after the deadline has missed it. */
enum { DEADLINE_SLACK_US = 20000, ARENA_BYTES_MAX = 1 << 20, TURNS_NOW_MAX = 20000 };

static const char *const names[INVARIANT_COUNT] = {
    [INVARIANT_NONE] = "none",
    [INVARIANT_ONE_END] = "one terminal event per request",
    [INVARIANT_ORDER] = "order of events",
    [INVARIANT_SILENCE] = "silence after the end",
    [INVARIANT_WHOLE] = "never a truncated success",
    [INVARIANT_TOOLS] = "tool calls are never spliced",
    [INVARIANT_PARTIAL] = "the partial answer is what was shown",
    [INVARIANT_USAGE] = "usage is reported",
    [INVARIANT_ATTEMPTS] = "no more attempts than configured",
    [INVARIANT_FITS] = "only targets that fit",
    [INVARIANT_BREAKER] = "no attempt on an open target but the probe",
    [INVARIANT_BENCH] = "no attempt on a benched target",
    [INVARIANT_RETRY_AFTER] = "no attempt before Retry-After",
    [INVARIANT_CONCURRENCY] = "concurrency",
    [INVARIANT_PACE] = "requests per minute",
    [INVARIANT_LEASES] = "leases equal calls under way",
    [INVARIANT_LEDGER] = "ledger rows equal attempts",
    [INVARIANT_DEADLINE] = "every request ends by its deadline",
    [INVARIANT_PROGRESS] = "time goes on",
    [INVARIANT_STARVED] = "no target starved",
    [INVARIANT_GIVEN_UP] = "nobody gives up while a target could answer",
};

const char *invariant_name(enum invariant invariant)
{
    return names[invariant];
}

/* ---- Time and chance ------------------------------------------------------------------------- */

void world_at(struct simulation *world, struct world_node *node, uint64_t at_us)
{
    heap_set(&world->heap, &node->heap, at_us > world->now_us ? at_us : world->now_us);
}

void world_not(struct simulation *world, struct world_node *node)
{
    heap_remove(&world->heap, &node->heap);
}

uint64_t world_between(struct random *random, uint64_t least, uint64_t most)
{
    return least + random_below(random, most - least + 1);
}

bool world_chance(struct simulation *world, int percent)
{
    return percent > 0 && random_below(&world->world_random, 100) < (uint64_t)percent;
}

/* ---- What is known of a day ------------------------------------------------------------------ */

void world_broken(struct simulation *world, enum invariant invariant, int request,
                  const char *format, ...)
{
    struct simulation_result *result = world->result;
    if (result->broken)
        return;
    result->broken = invariant;
    result->request = request;
    result->at_us = world->now_us;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(result->message, sizeof result->message, format, arguments);
    va_end(arguments);
}

static void add_to_hash(struct simulation *world, uint64_t value)
{
    uint64_t hash = (world->result->hash ^ value) * 0x9E3779B97F4A7C15u;
    world->result->hash = hash ^ hash >> 32;
}

void world_note(struct world_request *request, const char *what, int64_t a, int64_t b)
{
    struct simulation *world = request->world;
    const struct simulation_options *options = world->options;
    if (world->result->broken)
        return;
    add_to_hash(world, world->now_us);
    add_to_hash(world, (uint64_t)(unsigned char)what[0] << 48 ^ (uint64_t)request->id << 32 ^
                           (uint64_t)a << 16 ^ (uint64_t)b);
    if (!options->trace || (options->trace_request >= 0 && options->trace_request != request->id))
        return;
    fprintf(options->trace, "%11.6f  request %-3d  %-22s %" PRId64 " %" PRId64 "\n",
            (double)world->now_us / 1e6, request->id, what, a, b);
}

/* ---- What the flow asks of the world --------------------------------------------------------- */

static uint64_t now(void *user)
{
    struct world_request *request = user;
    return request->world->now_us;
}

/* A loop's timers are late by up to a turn. */
static void set_timer(void *user, uint64_t at_us)
{
    struct world_request *request = user;
    struct simulation *world = request->world;
    if (at_us == 0) {
        world_not(world, &request->timer);
        return;
    }
    if (request->state != REQUEST_ALIVE) {
        world_broken(world, INVARIANT_SILENCE, request->id, "a timer was set after the end");
        return;
    }
    uint64_t late_us = random_below(&world->world_random, (uint64_t)world->day.late_us + 1);
    world_at(world, &request->timer, (at_us > world->now_us ? at_us : world->now_us) + late_us);
}

static void wake(void *user)
{
    struct world_request *request = user;
    if (request->state == REQUEST_ALIVE)
        world_at(request->world, &request->wake, request->world->now_us);
    else
        world_broken(request->world, INVARIANT_SILENCE, request->id, "woken after the end");
}

static void *wake_user(void *user)
{
    return user;
}

const struct flow_ops world_ops = {
    .now_us = now,
    .moment_us = now,
    .start = answer_start,
    .cancel = answer_cancel,
    .timer = set_timer,
    .wake = wake,
    .wake_user = wake_user,
    .event = caller_event,
    .raw = caller_raw,
    .rewind = caller_rewind,
    .ledger = shadow_ledger,
};

/* ---- Requests -------------------------------------------------------------------------------- */

static struct world_request *new_request(struct simulation *world)
{
    struct world_request *request = calloc(1, sizeof *request);
    ASSERT(request);
    if (world->all_count == world->all_capacity) {
        world->all_capacity = world->all_capacity ? world->all_capacity * 2 : 64;
        world->all = realloc(world->all, world->all_capacity * sizeof *world->all);
        ASSERT(world->all);
    }
    world->all[world->all_count++] = request;
    request->world = world;
    request->arena = arena_new(ARENA_BYTES_MAX);
    return request;
}

static struct world_request *take_request(struct simulation *world)
{
    struct world_request *request = world->free;
    if (request)
        world->free = request->next_free;
    else
        request = new_request(world);
    memset(&request->id, 0,
           offsetof(struct world_request, attempts) - offsetof(struct world_request, id));
    for (int i = 0; i < FLOW_SLOTS; i++)
        memset(&request->attempts[i], 0, offsetof(struct world_attempt, text));
    request->timer = (struct world_node){.kind = NODE_TIMER, .owner = request};
    request->wake = (struct world_node){.kind = NODE_WAKE, .owner = request};
    request->caller = (struct world_node){.kind = NODE_CALLER, .owner = request};
    request->delivering = -1;
    request->state = REQUEST_ALIVE;
    request->ops = world->options->ops ? *world->options->ops : world_ops;
    world->live_count++;
    return request;
}

/* The flow is gone from here on; what of it was not in the arena is given back. */
static void release_request(struct world_request *request)
{
    struct simulation *world = request->world;
    world_not(world, &request->timer);
    world_not(world, &request->wake);
    world_not(world, &request->caller);
    for (int i = 0; i < FLOW_SLOTS; i++)
        world_not(world, &request->attempts[i].node);
    if (request->flow)
        flow_done(request->flow);
    request->flow = NULL;
    arena_reset(request->arena);
    world->live_count--;
    request->next_free = world->free;
    world->free = request;
}

/* What must hold of a request that is over, however it ended. */
static void check_over(struct world_request *request)
{
    struct simulation *world = request->world;
    for (int i = 0; i < FLOW_SLOTS; i++)
        if (request->attempts[i].is_active)
            world_broken(world, INVARIANT_LEDGER, request->id, "attempt %d goes on after the end",
                         request->attempts[i].number);
    if (request->rows != request->started_numbers)
        world_broken(world, INVARIANT_LEDGER, request->id,
                     "attempts 0x%" PRIx64 " were begun, rows 0x%" PRIx64 " were written",
                     request->started_numbers, request->rows);
    if (world->now_us > request->deadline_us + DEADLINE_SLACK_US)
        world_broken(world, INVARIANT_DEADLINE, request->id, "it ended after its deadline");
}

void world_cancel(struct world_request *request)
{
    struct simulation *world = request->world;
    struct llm_usage usage = LLM_USAGE_UNKNOWN;
    request->state = REQUEST_CANCELLED;
    world_note(request, "cancel", 0, 0);
    flow_cancel(request->flow, &usage);
    world->totals.cancelled++;
    world->dying = request;
    check_over(request);
}

static void count_end(struct world_request *request)
{
    struct simulation_totals *totals = &request->world->totals;
    if (request->had_error) {
        totals->failed[request->error]++;
        return;
    }
    totals->answered++;
    totals->rescued += request->failures > 0;
    totals->recovered[request->last_mode]++;
}

/* Who came to an end in this event is put away, when nothing of the flow is running any more. */
static void bury(struct simulation *world)
{
    struct world_request *request = world->dying;
    world->dying = NULL;
    if (!request)
        return;
    if (request->state == REQUEST_ENDED) {
        check_over(request);
        if (request->had_error)
            shadow_failed(request);
        count_end(request);
    }
    release_request(request);
}

static void begin_flow(struct world_request *request)
{
    struct simulation *world = request->world;
    struct llm_error error = {0};
    request->is_beginning = true;
    enum err code = flow_begin(request->flow, &error);
    request->is_beginning = false;
    if (code == ERR_OK) {
        if (request->caller.heap.index == 0)
            world_at(world, &request->caller, request->deadline_us + DEADLINE_SLACK_US);
        return;
    }
    world_note(request, "refused", code, 0);
    if (request->heard)
        world_broken(world, INVARIANT_SILENCE, request->id, "heard of though it was refused");
    request->error = code;
    request->state = REQUEST_CANCELLED;
    shadow_refused(request, &error);
    check_over(request);
    world->totals.refused++;
    world->dying = request;
}

/* ---- What happens ---------------------------------------------------------------------------- */

static void next_arrival(struct simulation *world)
{
    struct world_day *day = &world->day;
    if (++world->arrived >= day->requests)
        return;
    uint64_t gap_us = random_below(&world->world_random, 2 * day->gap_us);
    if (world->in_burst > 0) {
        world->in_burst--;
        gap_us = 0;
    } else if (world_chance(world, 2)) {
        world->in_burst = (int)random_below(&world->world_random, 20);
    }
    world_at(world, &world->arrival, world->now_us + gap_us);
}

static void arrive(struct simulation *world)
{
    struct world_request *request = take_request(world);
    struct flow_request wanted;
    request->id = world->arrived;
    request->arrival_us = world->now_us;
    request->deadline_us = world->now_us + world->day.policy.total_us;
    plan_request(world, request, &wanted);
    world->totals.requests++;
    world_note(request, "arrives", request->is_streamed, request->can_rewind);
    request->flow = flow_new(&wanted, &request->ops, request);
    next_arrival(world);
    begin_flow(request);
}

/* The caller leaves, or should have been answered long ago. */
static void caller_acts(struct world_request *request)
{
    struct simulation *world = request->world;
    if (world->now_us <= request->deadline_us) {
        world_cancel(request);
        return;
    }
    world_broken(world, request->flow_is_dead ? INVARIANT_ONE_END : INVARIANT_DEADLINE, request->id,
                 "no END by the deadline");
}

static void dispatch(struct simulation *world, struct world_node *node)
{
    struct world_request *request = node->owner;
    switch (node->kind) {
    case NODE_ARRIVAL:
        arrive(world);
        break;
    case NODE_ATTEMPT:
        answer_step(node->owner);
        break;
    case NODE_TIMER:
        world_note(request, "timer", 0, 0);
        flow_on_timer(request->flow);
        break;
    case NODE_WAKE:
        world_note(request, "wake", 0, 0);
        flow_on_wake(request->flow);
        break;
    case NODE_CALLER:
        caller_acts(request);
        break;
    }
}

/* Whom the event is about. */
static int request_of(const struct world_node *node)
{
    if (node->kind == NODE_ARRIVAL)
        return -1;
    const struct world_request *request = node->owner;
    const struct world_attempt *attempt = node->owner;
    return node->kind == NODE_ATTEMPT ? attempt->request->id : request->id;
}

static bool turn(struct simulation *world)
{
    struct heap_node *first = heap_first(&world->heap);
    if (!first || world->result->broken)
        return false;
    heap_remove(&world->heap, first);
    world->turns_now = world->now_us == first->key ? world->turns_now + 1 : 0;
    world->now_us = first->key;
    if (world->turns_now > TURNS_NOW_MAX)
        world_broken(world, INVARIANT_PROGRESS,
                     request_of(LIST_ENTRY(first, struct world_node, heap)),
                     "%d events without end", TURNS_NOW_MAX);
    world->totals.events++;
    dispatch(world, LIST_ENTRY(first, struct world_node, heap));
    bury(world);
    shadow_check(world);
    return true;
}

/* ---- Days ------------------------------------------------------------------------------------ */

struct simulation *simulation_new(void)
{
    struct simulation *world = calloc(1, sizeof *world);
    ASSERT(world);
    return world;
}

void simulation_free(struct simulation *world)
{
    for (size_t i = 0; i < world->all_count; i++) {
        arena_free(world->all[i]->arena);
        free(world->all[i]);
    }
    free(world->all);
    heap_done(&world->heap);
    free(world);
}

static void begin_day(struct simulation *world)
{
    uint64_t seed = world->options->seed;
    random_init(&world->plan_random, seed * 4 + 1);
    random_init(&world->world_random, seed * 4 + 2);
    random_init(&world->flow_random, seed * 4 + 3);
    world->now_us = 3600ull * WORLD_SECOND;
    world->arrived = world->in_burst = world->turns_now = 0;
    world->dirty = 0;
    world->cells = cells_new();
    plan_day(world);
    if (world->options->trace)
        plan_print(world, world->options->trace);
    world->arrival = (struct world_node){.kind = NODE_ARRIVAL};
    world_at(world, &world->arrival, world->now_us);
}

/* A day that broke leaves requests behind. */
static void clear_day(struct simulation *world)
{
    world_not(world, &world->arrival);
    for (size_t i = 0; i < world->all_count; i++) {
        struct world_request *request = world->all[i];
        if (!request->flow)
            continue;
        if (request->state == REQUEST_ALIVE && !request->flow_is_dead) {
            request->state = REQUEST_CANCELLED;
            flow_cancel(request->flow, NULL);
        }
        release_request(request);
    }
    world->dying = NULL;
}

bool simulation_day(struct simulation *world, const struct simulation_options *options,
                    struct simulation_result *ret_result)
{
    *ret_result = (struct simulation_result){.request = -1};
    world->options = options;
    world->result = ret_result;
    begin_day(world);
    while (turn(world))
        ;
    if (!ret_result->broken && world->live_count)
        world_broken(world, INVARIANT_ONE_END, -1, "%zu requests never ended", world->live_count);
    if (!ret_result->broken)
        shadow_day_end(world);
    clear_day(world);
    cells_free(world->cells);
    world->totals.days++;
    return !ret_result->broken;
}

const struct simulation_totals *simulation_totals(const struct simulation *world)
{
    return &world->totals;
}
