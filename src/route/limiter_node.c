/* Node: one subject's buckets and counters, as the limiter asks and charges them.
 *
 *   limiter_node_fits ──no──▶ refusal
 *         │ yes, as at all others
 *         ▼
 *   limiter_node_take: held ──limiter_node_settle──▶ used
 *
 * What is held counts against calendar limits whichever period it began in, and is charged in the
 * one it ends in. */
#include "route/limiter_node.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "route/limiter_calendar.h"

enum { HELD_GUESS_MS = 1000 }; /* when those under way may have ended */
/* What is counted stays below: sums of two cannot overflow. */
static const int64_t count_max = INT64_MAX / 4;

struct limiter_node *limiter_node_new(enum quota_kind kind, struct str id)
{
    struct limiter_node *node = calloc(1, sizeof *node + id.len);
    ASSERT(node);
    node->kind = kind;
    node->day_start_ms = INT64_MAX;
    node->id_length = id.len;
    if (id.len)
        memcpy(node->id, id.data, id.len);
    return node;
}

void limiter_node_free(struct limiter_node *node)
{
    free(node->own);
    free(node);
}

static int64_t requests_capacity(const struct quota *quota)
{
    return quota->requests_burst ? quota->requests_burst : quota->requests_per_minute;
}

static int64_t tokens_capacity(const struct quota *quota)
{
    return quota->tokens_burst ? quota->tokens_burst : quota->tokens_per_minute;
}

static void add(int64_t *sum, int64_t amount)
{
    if (amount > 0)
        *sum = *sum > count_max - amount ? count_max : *sum + amount;
}

/* ---- Time ------------------------------------------------------------------------------------ */

void limiter_node_refill(struct limiter_node *node, const struct quota *quota, uint64_t now_us)
{
    bucket_refill(&node->requests, quota->requests_per_minute, now_us);
    bucket_refill(&node->tokens, quota->tokens_per_minute, now_us);
}

void limiter_node_turn(struct limiter_node *node, int64_t wall_ms)
{
    if (wall_ms >= node->day_start_ms && wall_ms - node->day_start_ms < CALENDAR_DAY_MS)
        return;
    for (int period = 0; period < QUOTA_PERIODS; period++) {
        struct limiter_counter *counter = &node->counters[period];
        int64_t index = calendar_advance((enum quota_period)period, counter->index, wall_ms);
        if (index != counter->index)
            *counter = (struct limiter_counter){.index = index};
    }
    node->day_start_ms = calendar_start_ms(QUOTA_DAY, node->counters[QUOTA_DAY].index);
}

static uint64_t until_turn_ms(const struct limiter_node *node, enum quota_period period,
                              int64_t wall_ms)
{
    int64_t end_ms = calendar_start_ms(period, node->counters[period].index + 1);
    return end_ms > wall_ms ? (uint64_t)(end_ms - wall_ms) : 0;
}

/* ---- Refusing -------------------------------------------------------------------------------- */

static void refuse(const struct limiter_node *node, const struct limiter_refusal *refusal,
                   struct limiter_refusal *worst)
{
    bool is_worse = !worst->what || (refusal->is_never != worst->is_never
                                         ? refusal->is_never
                                         : refusal->retry_after_ms > worst->retry_after_ms);
    if (!is_worse)
        return;
    *worst = *refusal;
    worst->kind = node->kind;
    str_copy(limiter_node_id(node), worst->id, sizeof worst->id);
}

static bool minute_fits(const struct limiter_node *node, const struct bucket *bucket,
                        const char *what, int64_t per_minute, int64_t capacity, int64_t amount,
                        uint64_t now_us, struct limiter_refusal *worst)
{
    if (per_minute == 0 || bucket_fits(bucket, capacity, amount))
        return true;
    struct limiter_refusal refusal = {.what = what, .limit = per_minute};
    if (amount > capacity) /* one request fits always: it is tokens */
        refusal = (struct limiter_refusal){
            .what = "tokens in one burst", .limit = capacity, .is_never = true};
    else
        refusal.retry_after_ms =
            (bucket_wait_us(bucket, per_minute, capacity, amount, now_us) + 999) / 1000;
    refuse(node, &refusal, worst);
    return false;
}

static bool streams_fit(const struct limiter_node *node, const struct quota *quota,
                        struct limiter_refusal *worst)
{
    if (quota->streams_max == 0 || node->streams < quota->streams_max)
        return true;
    refuse(node,
           &(struct limiter_refusal){.what = "requests at once",
                                     .limit = quota->streams_max,
                                     .retry_after_ms = HELD_GUESS_MS},
           worst);
    return false;
}

/* Whether a limit of a period has room: for what was used, is held and comes. */
static bool has_room(int64_t limit, int64_t used, int64_t held, int64_t amount)
{
    int64_t left = limit - amount; /* after it; below zero: never */
    return limit == 0 || (used <= left && held <= left - used);
}

enum sum { SUM_REQUESTS, SUM_TOKENS, SUM_COST };

/* Such a limit has none. */
static void refuse_sum(const struct limiter_node *node, enum quota_period period, enum sum sum,
                       const struct quota *quota, const struct limiter_ask *ask,
                       struct limiter_refusal *worst)
{
    static const char *const words[QUOTA_PERIODS][3] = {
        {"requests per day", "tokens per day", "budget per day"},
        {"requests per week", "tokens per week", "budget per week"},
        {"requests per month", "tokens per month", "budget per month"},
    };
    const struct limiter_counter *counter = &node->counters[period];
    const int64_t limits[] = {quota->requests[period], quota->tokens[period],
                              quota->hard_nano[period]};
    const int64_t used[] = {counter->requests, counter->tokens, counter->cost_nano};
    const int64_t amounts[] = {1, ask->tokens, ask->cost_nano};
    struct limiter_refusal refusal = {.what = words[period][sum],
                                      .limit = limits[sum],
                                      .is_budget = sum == SUM_COST,
                                      .is_never = amounts[sum] > limits[sum]};
    if (!refusal.is_never) /* those under way may end with less than is held for them */
        refusal.retry_after_ms = used[sum] <= limits[sum] - amounts[sum]
                                     ? HELD_GUESS_MS
                                     : until_turn_ms(node, period, ask->now.wall_ms);
    refuse(node, &refusal, worst);
}

static bool period_fits(const struct limiter_node *node, const struct quota *quota,
                        enum quota_period period, const struct limiter_ask *ask,
                        struct limiter_refusal *worst)
{
    const struct limiter_counter *counter = &node->counters[period];
    bool requests = has_room(quota->requests[period], counter->requests, 0, 1);
    bool tokens = has_room(quota->tokens[period], counter->tokens, node->held_tokens, ask->tokens);
    bool cost = ask->cost_nano == 0 || has_room(quota->hard_nano[period], counter->cost_nano,
                                                node->held_nano, ask->cost_nano);
    if (!requests)
        refuse_sum(node, period, SUM_REQUESTS, quota, ask, worst);
    if (!tokens)
        refuse_sum(node, period, SUM_TOKENS, quota, ask, worst);
    if (!cost)
        refuse_sum(node, period, SUM_COST, quota, ask, worst);
    return requests && tokens && cost;
}

bool limiter_node_fits(const struct limiter_node *node, const struct quota *quota,
                       const struct limiter_ask *ask, struct limiter_refusal *worst)
{
    bool fits = streams_fit(node, quota, worst);
    fits &= minute_fits(node, &node->requests, "requests per minute", quota->requests_per_minute,
                        requests_capacity(quota), 1, ask->now.monotonic_us, worst);
    fits &= minute_fits(node, &node->tokens, "tokens per minute", quota->tokens_per_minute,
                        tokens_capacity(quota), ask->tokens, ask->now.monotonic_us, worst);
    for (int period = 0; period < QUOTA_PERIODS; period++)
        fits &= period_fits(node, quota, (enum quota_period)period, ask, worst);
    return fits;
}

/* ---- Holding and charging -------------------------------------------------------------------- */

uint64_t limiter_node_take(struct limiter_node *node, const struct quota *quota,
                           const struct limiter_ask *ask)
{
    node->streams++;
    node->held_tokens += ask->tokens;
    node->held_nano += ask->cost_nano;
    for (int period = 0; period < QUOTA_PERIODS; period++)
        add(&node->counters[period].requests, 1);
    if (quota->requests_per_minute)
        bucket_take(&node->requests, 1);
    return quota->tokens_per_minute ? bucket_take(&node->tokens, ask->tokens)
                                    : bucket_no_mark(&node->tokens);
}

void limiter_node_settle(struct limiter_node *node, const struct quota *quota, uint64_t mark,
                         const struct limiter_lease *held, int64_t tokens, int64_t cost_nano)
{
    ASSERT(node->streams > 0 && node->held_tokens >= held->tokens &&
           node->held_nano >= held->cost_nano);
    node->streams--;
    node->held_tokens -= held->tokens;
    node->held_nano -= held->cost_nano;
    for (int period = 0; period < QUOTA_PERIODS; period++) {
        add(&node->counters[period].tokens, tokens);
        add(&node->counters[period].cost_nano, cost_nano);
    }
    if (quota->tokens_per_minute)
        bucket_settle(&node->tokens, mark, held->tokens, tokens);
}

void limiter_node_charge(struct limiter_node *node, enum quota_period period, int64_t requests,
                         int64_t tokens, int64_t cost_nano)
{
    struct limiter_counter *counter = &node->counters[period];
    add(&counter->requests, requests);
    add(&counter->tokens, tokens);
    add(&counter->cost_nano, cost_nano);
}

/* ---- Telling --------------------------------------------------------------------------------- */

bool limiter_node_tells(struct limiter_node *node, const struct quota *quota, char ret_soft[256])
{
    for (int period = 0; period < QUOTA_PERIODS; period++) {
        struct limiter_counter *counter = &node->counters[period];
        int64_t soft = quota->soft_nano[period], used = counter->cost_nano + node->held_nano;
        if (soft == 0 || counter->soft_told || used <= soft)
            continue;
        char id[100];
        counter->soft_told = true;
        str_copy(limiter_node_id(node), id, sizeof id);
        snprintf(ret_soft, 256, "soft budget per %s of %s %s passed: %.2f of %.2f USD",
                 quota_period_name((enum quota_period)period), quota_kind_name(node->kind), id,
                 (double)used / (double)QUOTA_NANO_PER_USD,
                 (double)soft / (double)QUOTA_NANO_PER_USD);
        return true;
    }
    return false;
}

/* A limit per minute goes before one per day. */
static bool is_scarcer(const struct limiter_left *least, bool is_minute, int64_t remaining)
{
    if (!least->node || is_minute != least->is_minute)
        return !least->node || is_minute;
    return remaining < least->remaining;
}

static void look_at_minute(struct limiter_left *least, const struct limiter_node *node,
                           const struct bucket *bucket, int64_t per_minute, int64_t capacity)
{
    if (!per_minute)
        return;
    int64_t remaining = bucket_free_tokens(bucket, capacity);
    if (is_scarcer(least, true, remaining))
        *least = (struct limiter_left){.node = node,
                                       .bucket = bucket,
                                       .per_minute = per_minute,
                                       .is_minute = true,
                                       .limit = capacity,
                                       .remaining = remaining};
}

static void look_at_day(struct limiter_left *least, const struct limiter_node *node, int64_t limit,
                        int64_t taken)
{
    if (!limit)
        return;
    int64_t remaining = limit > taken ? limit - taken : 0;
    if (is_scarcer(least, false, remaining))
        *least = (struct limiter_left){
            .node = node, .is_whole = taken == 0, .limit = limit, .remaining = remaining};
}

void limiter_node_view(const struct limiter_node *node, const struct quota *quota,
                       struct limiter_scarce *scarce)
{
    const struct limiter_counter *day = &node->counters[QUOTA_DAY];
    look_at_minute(&scarce->requests, node, &node->requests, quota->requests_per_minute,
                   requests_capacity(quota));
    look_at_minute(&scarce->tokens, node, &node->tokens, quota->tokens_per_minute,
                   tokens_capacity(quota));
    look_at_day(&scarce->requests, node, quota->requests[QUOTA_DAY], day->requests);
    look_at_day(&scarce->tokens, node, quota->tokens[QUOTA_DAY], day->tokens + node->held_tokens);
}

uint64_t limiter_left_reset_ms(const struct limiter_left *left, int64_t wall_ms)
{
    if (!left->node || left->is_whole)
        return 0;
    return left->is_minute ? (bucket_full_us(left->bucket, left->per_minute) + 999) / 1000
                           : until_turn_ms(left->node, QUOTA_DAY, wall_ms);
}

bool limiter_node_is_idle(const struct limiter_node *node, const struct quota *quota)
{
    if (node->own || node->streams)
        return false;
    if (!quota)
        return true;
    bool is_owed = (quota->requests_per_minute && node->requests.spent) ||
                   (quota->tokens_per_minute && node->tokens.spent);
    for (int period = 0; period < QUOTA_PERIODS && !is_owed; period++) {
        const struct limiter_counter *counter = &node->counters[period];
        bool has_money = quota->hard_nano[period] || quota->soft_nano[period];
        is_owed = (quota->requests[period] && counter->requests) ||
                  (quota->tokens[period] && counter->tokens) || (has_money && counter->cost_nano);
    }
    return !is_owed;
}
