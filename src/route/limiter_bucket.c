/* Bucket: the limits per minute of the limiter. */
#include "route/limiter_bucket.h"

/* Above this nothing more is counted as owed; far from where the difference of two marks wraps. */
static const uint64_t spent_max = (uint64_t)9 * 1000 * 1000 * 1000 * 1000 * 1000 * 1000;
static const int64_t settle_max = (int64_t)100 * 1000 * 1000 * 1000;

static uint64_t parts(int64_t tokens)
{
    return tokens > 0 ? (uint64_t)tokens * BUCKET_UNIT : 0;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t divide_up(uint64_t amount, int64_t rate)
{
    return amount / (uint64_t)rate + (amount % (uint64_t)rate != 0);
}

static void spend(struct bucket *bucket, uint64_t amount)
{
    bucket->spent = least(bucket->spent + amount, spent_max);
}

static void pay(struct bucket *bucket, uint64_t amount)
{
    bucket->spent -= amount;
    bucket->passed += amount;
}

void bucket_refill(struct bucket *bucket, int64_t per_minute, uint64_t now_us)
{
    if (now_us <= bucket->updated_us || per_minute <= 0)
        return;
    uint64_t paid;
    bool is_huge = __builtin_mul_overflow(now_us - bucket->updated_us, (uint64_t)per_minute, &paid);
    bucket->updated_us = now_us;
    pay(bucket, is_huge ? bucket->spent : least(paid, bucket->spent));
}

bool bucket_fits(const struct bucket *bucket, int64_t capacity, int64_t tokens)
{
    return tokens <= capacity && bucket->spent <= parts(capacity - tokens);
}

uint64_t bucket_wait_us(const struct bucket *bucket, int64_t per_minute, int64_t capacity,
                        int64_t tokens, uint64_t now_us)
{
    uint64_t allowed = parts(capacity - tokens);
    if (bucket->spent <= allowed)
        return 0;
    uint64_t behind_us = bucket->updated_us > now_us ? bucket->updated_us - now_us : 0;
    return behind_us + divide_up(bucket->spent - allowed, per_minute);
}

uint64_t bucket_take(struct bucket *bucket, int64_t tokens)
{
    spend(bucket, parts(tokens));
    return bucket->passed + bucket->spent;
}

void bucket_settle(struct bucket *bucket, uint64_t mark, int64_t held, int64_t used)
{
    if (used > settle_max)
        used = settle_max;
    if (used >= held) {
        spend(bucket, parts(used - held));
        return;
    }
    uint64_t unpaid = mark - bucket->passed;
    if (unpaid == 0 || unpaid >> 63) /* all of it is paid */
        return;
    pay(bucket, least(least(unpaid, parts(held - used)), bucket->spent));
}

int64_t bucket_free_tokens(const struct bucket *bucket, int64_t capacity)
{
    uint64_t size = parts(capacity);
    return size > bucket->spent ? (int64_t)((size - bucket->spent) / BUCKET_UNIT) : 0;
}

uint64_t bucket_full_us(const struct bucket *bucket, int64_t per_minute)
{
    return divide_up(bucket->spent, per_minute);
}
