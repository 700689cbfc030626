/* Pacer: spreads the calls to one target over its provider's minute. A cell holds one for each
 * target, under its lock. Whole numbers throughout: a bucket never gains what it did not wait for,
 * and what pacer_when promises for a time holds at that time. */
#include "route/pacer.h"

__extension__ typedef unsigned __int128 uint128;

/* No provider deals in more; it keeps every sum far from overflowing. */
#define AMOUNT_MAX ((int64_t)1000 * 1000 * 1000 * 1000)

enum {
    LEARNED_SHARE = 8, /* of its limit: an eighth used says how fast it comes back */
    DEBT_MAX = 10      /* capacities: one monstrous call does not shut a target for days */
};

static const uint64_t minute_us = 60u * 1000 * 1000;
static const uint64_t period_min_us = 1000 * 1000;
static const uint64_t period_max_us = (uint64_t)24 * 60 * 60 * 1000 * 1000;

static int64_t clamp(int64_t value, int64_t least, int64_t most)
{
    return value < least ? least : value > most ? most : value;
}

/* ---- One bucket ------------------------------------------------------------------------------ */

static void set_level(struct pacer_bucket *bucket, int64_t level)
{
    bucket->level = clamp(level, -DEBT_MAX * bucket->capacity, bucket->capacity);
}

/* Whatever has come since the last time. */
static void bucket_fill(struct pacer_bucket *bucket, uint64_t now_us)
{
    if (!bucket->capacity || now_us <= bucket->filled_us)
        return;
    uint128 grown =
        (uint128)(now_us - bucket->filled_us) * (uint64_t)bucket->capacity + bucket->rest;
    uint128 gained = grown / bucket->period_us;
    bucket->filled_us = now_us;
    if (gained >= (uint64_t)(bucket->capacity - bucket->level)) {
        bucket->level = bucket->capacity;
        bucket->rest = 0;
    } else {
        bucket->level += (int64_t)gained;
        bucket->rest = (uint64_t)(grown - gained * bucket->period_us);
    }
}

/* When so much more will have come. */
static uint64_t time_of(const struct pacer_bucket *bucket, int64_t missing)
{
    uint128 growth = (uint128)missing * bucket->period_us - bucket->rest;
    uint64_t capacity = (uint64_t)bucket->capacity;
    return bucket->filled_us + (uint64_t)((growth + capacity - 1) / capacity);
}

static uint64_t bucket_when(struct pacer_bucket *bucket, uint64_t now_us, int64_t amount)
{
    bucket_fill(bucket, now_us);
    int64_t missing = clamp(amount, 0, bucket->capacity) - bucket->level;
    return missing <= 0 ? now_us : time_of(bucket, missing);
}

/* Takes it, or gives it back when it is negative. */
static void bucket_take(struct pacer_bucket *bucket, uint64_t now_us, int64_t amount)
{
    if (!bucket->capacity)
        return;
    bucket_fill(bucket, now_us);
    set_level(bucket, bucket->level - clamp(amount, -AMOUNT_MAX, AMOUNT_MAX));
}

/* Another capacity; what was used stays used. */
static void bucket_resize(struct pacer_bucket *bucket, int64_t capacity, uint64_t now_us)
{
    bucket_fill(bucket, now_us);
    int64_t used = bucket->capacity - bucket->level;
    if (!bucket->capacity)
        bucket->filled_us = now_us;
    bucket->capacity = capacity;
    set_level(bucket, capacity - used);
}

/* Another pace; a part of one that has come stays that part. */
static void set_period(struct pacer_bucket *bucket, uint64_t period_us)
{
    if (bucket->period_us)
        bucket->rest = (uint64_t)((uint128)bucket->rest * period_us / bucket->period_us);
    bucket->period_us = period_us;
}

static void bucket_configure(struct pacer_bucket *bucket, int64_t per_minute, uint64_t now_us)
{
    int64_t capacity = clamp(per_minute, 0, AMOUNT_MAX);
    if (bucket->is_configured ? bucket->capacity == capacity : capacity == 0)
        return;
    if (!capacity) {
        *bucket = (struct pacer_bucket){0};
        return;
    }
    bucket_resize(bucket, capacity, now_us);
    set_period(bucket, minute_us);
    bucket->is_configured = true;
}

/* How long a whole capacity takes, from how long what is used takes. */
static void learn_pace(struct pacer_bucket *bucket, const struct llm_limit *limit)
{
    int64_t used = bucket->capacity - limit->remaining;
    if (limit->reset_ms < 0 || limit->remaining < 0 || used < 1 ||
        used < bucket->capacity / LEARNED_SHARE)
        return;
    uint128 wanted_us = (uint128)limit->reset_ms * 1000 * bucket->capacity / (uint64_t)used;
    uint64_t period_us = wanted_us < period_min_us   ? period_min_us
                         : wanted_us > period_max_us ? period_max_us
                                                     : (uint64_t)wanted_us;
    set_period(bucket, period_us);
}

static void bucket_learn(struct pacer_bucket *bucket, uint64_t now_us,
                         const struct llm_limit *limit, int64_t under_way)
{
    bucket_fill(bucket, now_us);
    if (!bucket->is_configured && limit->limit > 0) {
        if (!bucket->capacity)
            set_period(bucket, minute_us);
        bucket_resize(bucket, clamp(limit->limit, 1, AMOUNT_MAX), now_us);
        learn_pace(bucket, limit);
    }
    if (!bucket->capacity || limit->remaining < 0)
        return;
    int64_t most = clamp(limit->remaining, 0, bucket->capacity);
    int64_t least = most - clamp(under_way, 0, AMOUNT_MAX);
    set_level(bucket, clamp(bucket->level, bucket->is_configured ? INT64_MIN : least, most));
}

/* ---- Both ------------------------------------------------------------------------------------ */

void pacer_configure(struct pacer *pacer, int64_t requests_per_minute, int64_t tokens_per_minute,
                     uint64_t now_us)
{
    bucket_configure(&pacer->requests, requests_per_minute, now_us);
    bucket_configure(&pacer->tokens, tokens_per_minute, now_us);
}

uint64_t pacer_when(struct pacer *pacer, uint64_t now_us, int64_t tokens)
{
    uint64_t request_us = bucket_when(&pacer->requests, now_us, 1);
    uint64_t tokens_us = bucket_when(&pacer->tokens, now_us, tokens);
    return request_us > tokens_us ? request_us : tokens_us;
}

void pacer_take(struct pacer *pacer, uint64_t now_us, int64_t tokens)
{
    bucket_take(&pacer->requests, now_us, 1);
    bucket_take(&pacer->tokens, now_us, clamp(tokens, 0, AMOUNT_MAX));
}

void pacer_settle(struct pacer *pacer, uint64_t now_us, int64_t reserved, int64_t actual)
{
    if (actual < 0)
        return;
    bucket_take(&pacer->tokens, now_us,
                clamp(actual, 0, AMOUNT_MAX) - clamp(reserved, 0, AMOUNT_MAX));
}

void pacer_learn(struct pacer *pacer, uint64_t now_us, const struct llm_limits *limits,
                 int64_t requests, int64_t tokens)
{
    bucket_learn(&pacer->requests, now_us, &limits->requests, requests);
    bucket_learn(&pacer->tokens, now_us, &limits->tokens, tokens);
}
