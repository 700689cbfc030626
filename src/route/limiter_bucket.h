/* Bucket: a token bucket that knows what is owed to it. What was taken and has not yet been refilled
 * is `spent`; what is free is the capacity less that, below zero when more was used than estimated.
 * Pure; whole numbers without drift: one token is BUCKET_UNIT parts, of which a rate of one token
 * per minute refills one each microsecond.
 *
 * The bound: in any time at all, what is taken (less what of it is given back later) is at most
 * capacity + rate x time. So a hold that is given back late must not count twice: as far as it has
 * been refilled meanwhile, there is nothing to give back. Refilling pays for what was taken in the
 * order of taking; `passed` counts what has been paid so far, and a hold's mark is where it ends in
 * that order. (A hold lying behind one that was given back is thought to be paid earlier than it is:
 * on the safe side.) */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Marks hold as long as less than 150 billion tokens pass in the life of one hold. */
enum { BUCKET_UNIT = 60 * 1000 * 1000, BUCKET_TOKENS_MAX = 1000 * 1000 * 1000 };

/* Zeroed is full. Rates and capacities are those of the caller, at most BUCKET_TOKENS_MAX; a rate of
 * 0 refills nothing. */
struct bucket {
    uint64_t spent;  /* in parts */
    uint64_t passed; /* in parts; wraps */
    uint64_t updated_us;
};

/* Before anything else at a time, and before the rate changes. A time before the last is that. */
void bucket_refill(struct bucket *bucket, int64_t per_minute, uint64_t now_us);
bool bucket_fits(const struct bucket *bucket, int64_t capacity, int64_t tokens);
/* Until `tokens`, at most the capacity, fit: exact, 0 when they do. Rate not 0. */
uint64_t bucket_wait_us(const struct bucket *bucket, int64_t per_minute, int64_t capacity,
                        int64_t tokens, uint64_t now_us);
/* Takes them, whether they fit or not; returns their mark, for bucket_settle. */
uint64_t bucket_take(struct bucket *bucket, int64_t tokens);
/* The mark of a hold that was not taken here: gives nothing back. */
static inline uint64_t bucket_no_mark(const struct bucket *bucket)
{
    return bucket->passed;
}
/* Of the `held` ones `used` were used, or more. */
void bucket_settle(struct bucket *bucket, uint64_t mark, int64_t held, int64_t used);
/* Whole tokens that are free; 0 when they are owed. */
int64_t bucket_free_tokens(const struct bucket *bucket, int64_t capacity);
/* Until it is full. Rate not 0. */
uint64_t bucket_full_us(const struct bucket *bucket, int64_t per_minute);
