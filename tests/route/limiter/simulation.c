/* Simulation of the limiter: the world, and what is compared after each step. */
#include "simulation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/random.h"

enum { SUBJECTS = 8, LEASES = 64, ASKED_MAX = 4, HOUR_MS = 3600 * 1000 };

struct under_way {
    bool is_open;
    uint64_t number;
    struct limiter_lease lease;
    struct limiter_ask ask;
    struct limiter_subject subjects[ASKED_MAX];
    bool is_counted[SUBJECTS]; /* in the shadow: what had a quota */
};

/* All that the limiter shows of a subject. */
struct seen {
    bool is_known;
    int64_t streams;
    struct limiter_view view;
    struct limiter_used used[QUOTA_PERIODS];
};

struct world {
    struct random random;
    struct limiter *limiter;
    struct limiter_time now;
    uint64_t latest_us; /* of the limiter's uses */
    struct shadow shadows[SUBJECTS];
    bool has_own[SUBJECTS];
    bool has_star; /* of addresses */
    struct quota star;
    struct under_way leases[LEASES];
    uint64_t numbers;
    struct simulation_result *result;
};

static const struct {
    enum quota_kind kind;
    const char *id;
} names[SUBJECTS] = {
    {QUOTA_KEY, "a"},
    {QUOTA_KEY, "b"},
    {QUOTA_USER, "a"},
    {QUOTA_GROUP, "g"},
    {QUOTA_MODEL, "m"},
    {QUOTA_TAG, "user:x"},
    {QUOTA_ADDRESS, "192.0.2.1"},
    {QUOTA_ADDRESS, "192.0.2.2"},
};

static uint64_t below(struct world *world, uint64_t limit)
{
    return random_below(&world->random, limit);
}

static bool one_in(struct world *world, uint64_t count)
{
    return below(world, count) == 0;
}

static void fail_with(struct world *world, enum invariant invariant, const char *text)
{
    if (world->result->broken)
        return;
    world->result->broken = invariant;
    snprintf(world->result->text, SHADOW_TEXT, "%s", text);
}

/* ---- Time ------------------------------------------------------------------------------------ */

static void advance_ms(struct world *world, uint64_t ms)
{
    world->now.monotonic_us += ms * 1000;
    world->now.wall_ms += (int64_t)ms;
}

static void let_time_pass(struct world *world)
{
    static const uint64_t spans_ms[] = {
        2, 100, 3000, 20000, 90000, HOUR_MS, 30 * HOUR_MS, 200 * HOUR_MS, (uint64_t)1500 * HOUR_MS};
    uint64_t kind =
        one_in(world, 8) ? below(world, sizeof spans_ms / sizeof *spans_ms) : below(world, 4);
    advance_ms(world, below(world, spans_ms[kind]));
    world->now.monotonic_us += below(world, 1000);
    if (one_in(world, 40))
        world->now.wall_ms -= (int64_t)below(world, 2 * HOUR_MS);
}

/* ---- Looking --------------------------------------------------------------------------------- */

static struct seen look(struct world *world, int i)
{
    struct seen seen;
    memset(&seen, 0, sizeof seen);
    struct limiter_subject subject = world->shadows[i].subject;
    world->latest_us = world->now.monotonic_us;
    seen.is_known = limiter_look(world->limiter, subject, world->now, &seen.streams, &seen.view);
    for (int period = 0; period < QUOTA_PERIODS; period++)
        limiter_used(world->limiter, subject, (enum quota_period)period, world->now.wall_ms,
                     &seen.used[period]);
    return seen;
}

static void look_at_all(struct world *world, struct seen seen[SUBJECTS])
{
    for (int i = 0; i < SUBJECTS; i++)
        seen[i] = look(world, i);
}

/* The limiter's counters are the shadow's. */
static void compare_counts(struct world *world, int i, const struct seen *seen)
{
    const struct shadow *shadow = &world->shadows[i];
    if (!seen->is_known)
        return;
    if (seen->streams != shadow->streams)
        fail_with(world, INVARIANT_STREAMS, "another number under way");
    for (int period = 0; period < QUOTA_PERIODS; period++) {
        const struct limiter_used *used = &seen->used[period];
        const struct shadow_period *own = &shadow->periods[period];
        if (used->requests != own->requests || used->tokens != own->tokens ||
            used->cost_nano != own->cost_nano)
            fail_with(world, INVARIANT_COUNTS, quota_period_name((enum quota_period)period));
    }
}

static void compare_all(struct world *world)
{
    for (int i = 0; i < SUBJECTS; i++) {
        shadow_turn(&world->shadows[i], world->now.wall_ms);
        struct seen seen = look(world, i);
        compare_counts(world, i, &seen);
    }
}

/* ---- Quotas ---------------------------------------------------------------------------------- */

static int64_t some_limit(struct world *world, uint64_t most)
{
    return one_in(world, 3) ? 1 + (int64_t)below(world, most) : 0;
}

static struct quota some_quota(struct world *world)
{
    struct quota quota = {
        .requests_per_minute = some_limit(world, one_in(world, 2) ? 10 : 200),
        .tokens_per_minute = some_limit(world, one_in(world, 2) ? 500 : 20000),
        .streams_max = some_limit(world, 12),
    };
    if (quota.requests_per_minute)
        quota.requests_burst = some_limit(world, 30);
    if (quota.tokens_per_minute)
        quota.tokens_burst = some_limit(world, 3000);
    for (int i = 0; i < QUOTA_PERIODS; i++) {
        quota.requests[i] = one_in(world, 3) ? some_limit(world, 500) : 0;
        quota.tokens[i] = one_in(world, 3) ? some_limit(world, 100000) : 0;
        quota.hard_nano[i] = one_in(world, 3) ? some_limit(world, 5000) : 0;
        quota.soft_nano[i] = some_limit(world, 5000);
    }
    return quota;
}

/* Addresses without their own live by the star. */
static void set_star(struct world *world)
{
    world->has_star = !one_in(world, 4);
    world->star = some_quota(world);
    const struct quota *quota = world->has_star ? &world->star : NULL;
    limiter_set(world->limiter, (struct limiter_subject){QUOTA_ADDRESS, STR("*")}, quota);
    for (int i = 0; i < SUBJECTS; i++)
        if (names[i].kind == QUOTA_ADDRESS && !world->has_own[i])
            shadow_set(&world->shadows[i], quota, world->latest_us);
}

static void set_own(struct world *world, int i)
{
    struct shadow *shadow = &world->shadows[i];
    bool is_under_star = names[i].kind == QUOTA_ADDRESS && world->has_star;
    struct quota quota = some_quota(world);
    world->has_own[i] = !one_in(world, 4);
    limiter_set(world->limiter, shadow->subject, world->has_own[i] ? &quota : NULL);
    shadow_set(shadow,
               world->has_own[i] ? &quota
               : is_under_star   ? &world->star
                                 : NULL,
               world->latest_us);
    shadow->is_known |= world->has_own[i];
}

static void change_some(struct world *world)
{
    world->result->changes++;
    compare_all(world);
    if (one_in(world, 5))
        set_star(world);
    else
        set_own(world, (int)below(world, SUBJECTS));
    compare_all(world);
}

/* ---- Asking ---------------------------------------------------------------------------------- */

static int index_of(const struct limiter_subject *subject)
{
    for (int i = 0; i < SUBJECTS; i++)
        if (names[i].kind == subject->kind && str_eq(str_from_cstr(names[i].id), subject->id))
            return i;
    return 0;
}

static bool is_among(const struct limiter_ask *ask, int i)
{
    for (size_t at = 0; at < ask->count; at++)
        if (index_of(&ask->subjects[at]) == i)
            return true;
    return false;
}

static void note_grant(struct world *world, struct under_way *lease)
{
    char text[SHADOW_TEXT];
    lease->is_open = true;
    lease->number = ++world->numbers;
    world->result->granted++;
    for (int i = 0; i < SUBJECTS; i++) {
        struct shadow *shadow = &world->shadows[i];
        lease->is_counted[i] = shadow->has_quota && is_among(&lease->ask, i);
        if (!lease->is_counted[i])
            continue;
        enum invariant broken = shadow_grant(shadow, &lease->ask, lease->number, text);
        if (broken)
            fail_with(world, broken, text);
    }
}

static void note_refusal(struct world *world, const struct limiter_ask *ask,
                         const struct limiter_refusal *refusal)
{
    char text[SHADOW_TEXT];
    const struct limiter_subject subject = {refusal->kind, str_from_cstr(refusal->id)};
    world->result->refused++;
    enum invariant broken = shadow_refuse(&world->shadows[index_of(&subject)], ask, refusal, text);
    if (broken)
        fail_with(world, broken, text);
}

static bool is_same(const struct seen *a, const struct seen *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

/* Asks, and sees that nothing but what was granted has changed. A subject that is asked for with a
 * quota for the first time becomes known. */
static bool ask(struct world *world, struct under_way *lease, struct limiter_refusal *refusal)
{
    struct seen before[SUBJECTS], after;
    lease->ask.subjects = lease->subjects;
    lease->ask.now = world->now;
    for (int i = 0; i < SUBJECTS; i++)
        shadow_turn(&world->shadows[i], world->now.wall_ms);
    look_at_all(world, before);
    bool granted = limiter_reserve(world->limiter, &lease->ask, &lease->lease, refusal, NULL, NULL);
    world->latest_us = world->now.monotonic_us;
    for (int i = 0; i < SUBJECTS; i++) {
        bool is_new = !before[i].is_known;
        world->shadows[i].is_known |= world->shadows[i].has_quota && is_among(&lease->ask, i);
        after = look(world, i);
        if (!(granted && is_among(&lease->ask, i)) && !is_new && !is_same(&before[i], &after))
            fail_with(world, INVARIANT_WHOLE, names[i].id);
    }
    if (granted)
        note_grant(world, lease);
    else
        note_refusal(world, &lease->ask, refusal);
    compare_all(world);
    return granted;
}

static struct under_way *free_lease(struct world *world)
{
    for (int i = 0; i < LEASES; i++)
        if (!world->leases[i].is_open)
            return &world->leases[i];
    return NULL;
}

static void draw_ask(struct world *world, struct under_way *lease)
{
    memset(lease, 0, sizeof *lease);
    lease->ask.count = 1 + below(world, ASKED_MAX);
    for (size_t i = 0; i < lease->ask.count; i++)
        lease->subjects[i] = world->shadows[below(world, SUBJECTS)].subject;
    lease->ask.tokens = (int64_t)below(world, one_in(world, 4) ? 3000 : 200);
    lease->ask.cost_nano = one_in(world, 3) ? 0 : (int64_t)below(world, 300);
}

/* ---- Ending ---------------------------------------------------------------------------------- */

static void settle(struct world *world, struct under_way *lease, int64_t tokens, int64_t cost_nano)
{
    for (int i = 0; i < SUBJECTS; i++) {
        shadow_turn(&world->shadows[i], world->now.wall_ms);
        if (lease->is_counted[i])
            shadow_settle(&world->shadows[i], lease->number, lease->ask.tokens,
                          lease->ask.cost_nano, tokens, cost_nano);
    }
    limiter_settle(world->limiter, &lease->lease, tokens, cost_nano, world->now);
    world->latest_us = world->now.monotonic_us;
    world->result->settled++;
    lease->is_open = false;
    if (lease->lease.count)
        fail_with(world, INVARIANT_HELD, "a settled lease is not empty");
    compare_all(world);
}

/* Ends one of them as things go: mostly with less, now and then with more. */
static void settle_some(struct world *world)
{
    struct under_way *lease = &world->leases[below(world, LEASES)];
    if (!lease->is_open)
        return;
    uint64_t most = (uint64_t)lease->ask.tokens + 1;
    int64_t tokens = (int64_t)below(world, one_in(world, 6) ? 3 * most : most);
    settle(world, lease, tokens, lease->ask.cost_nano ? (int64_t)below(world, 400) : 0);
}

/* As it was estimated: what others have to do, so that nobody starves. */
static bool settle_one(struct world *world)
{
    for (int i = 0; i < LEASES; i++)
        if (world->leases[i].is_open) {
            settle(world, &world->leases[i], world->leases[i].ask.tokens,
                   world->leases[i].ask.cost_nano);
            return true;
        }
    return false;
}

static void settle_rest(struct world *world)
{
    while (settle_one(world))
        ;
}

/* ---- Coming back ------------------------------------------------------------------------------
 */

/* With nobody under way the wait told is true to the millisecond. */
static void try_wait(struct world *world, struct under_way *lease,
                     const struct limiter_refusal *first)
{
    struct limiter_refusal refusal;
    if (first->is_never)
        return;
    world->result->waits++;
    if (first->retry_after_ms == 0)
        fail_with(world, INVARIANT_WAIT, "no wait is told");
    advance_ms(world, first->retry_after_ms - 1);
    if (ask(world, lease, &refusal)) {
        fail_with(world, INVARIANT_WAIT, "goes before its time");
        return;
    }
    advance_ms(world, 1);
    if (!ask(world, lease, &refusal))
        fail_with(world, INVARIANT_WAIT, refusal.what);
}

/* With others under way, one of whom ends at each try, it gets in after at most all of them and two
 * more tries: those who are in the way end, and then the wait is true. */
static void come_back(struct world *world, struct under_way *lease,
                      const struct limiter_refusal *first)
{
    struct limiter_refusal refusal = *first;
    for (int tries = 0; tries < LEASES + 2; tries++) {
        if (refusal.is_never)
            return;
        settle_one(world);
        advance_ms(world, refusal.retry_after_ms);
        if (ask(world, lease, &refusal))
            return;
    }
    fail_with(world, INVARIANT_STARVED, refusal.what);
}

static void ask_some(struct world *world)
{
    struct limiter_refusal refusal = {0};
    struct under_way *lease = free_lease(world);
    if (!lease)
        return;
    draw_ask(world, lease);
    if (ask(world, lease, &refusal) || !one_in(world, 10))
        return;
    if (one_in(world, 2)) {
        come_back(world, lease, &refusal);
        return;
    }
    settle_rest(world);
    if (!ask(world, lease, &refusal))
        try_wait(world, lease, &refusal);
}

/* ---- A run ------------------------------------------------------------------------------------
 */

static void step(struct world *world)
{
    uint64_t what = below(world, 100);
    if (what < 55)
        ask_some(world);
    else if (what < 80)
        settle_some(world);
    else if (what < 98)
        let_time_pass(world);
    else
        change_some(world);
}

/* Nothing is held: exactly what a new limit leaves free fits. */
static void check_held(struct world *world, int i)
{
    struct under_way *lease = &world->leases[0];
    struct limiter_refusal refusal;
    int64_t used = world->shadows[i].periods[QUOTA_DAY].tokens;
    int64_t spent = world->shadows[i].periods[QUOTA_DAY].cost_nano;
    struct quota quota = {.tokens = {used + 10}, .hard_nano = {spent + 10}};
    limiter_set(world->limiter, world->shadows[i].subject, &quota);
    shadow_set(&world->shadows[i], &quota, world->latest_us);
    memset(lease, 0, sizeof *lease);
    lease->ask = (struct limiter_ask){.count = 1, .tokens = 10, .cost_nano = 10};
    lease->subjects[0] = world->shadows[i].subject;
    if (!ask(world, lease, &refusal))
        fail_with(world, INVARIANT_HELD, refusal.what);
    else
        settle(world, lease, 0, 0);
}

static void world_init(struct world *world, uint64_t seed, struct simulation_result *result)
{
    memset(world, 0, sizeof *world);
    random_init(&world->random, seed);
    world->limiter = limiter_new();
    world->result = result;
    world->now = (struct limiter_time){1000000 + below(world, 1000000000),
                                       1700000000000 + (int64_t)below(world, 100000000000)};
    world->latest_us = world->now.monotonic_us;
    for (int i = 0; i < SUBJECTS; i++) {
        struct shadow *shadow = &world->shadows[i];
        shadow_init(shadow, (struct limiter_subject){names[i].kind, str_from_cstr(names[i].id)});
        if (!one_in(world, 4))
            set_own(world, i);
    }
    set_star(world);
}

bool simulation_run(uint64_t seed, int steps, struct simulation_result *ret_result)
{
    struct world *world = malloc(sizeof *world);
    ASSERT(world);
    *ret_result = (struct simulation_result){0};
    world_init(world, seed, ret_result);
    for (int i = 0; i < steps && !ret_result->broken; i++) {
        ret_result->step = i;
        step(world);
    }
    /* Also when something is broken: leases are given back before the limiter goes. */
    settle_rest(world);
    for (int i = 0; i < SUBJECTS && !ret_result->broken; i++)
        check_held(world, i);
    limiter_free(world->limiter);
    free(world);
    return !ret_result->broken;
}
