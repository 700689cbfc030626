/* Broken: what a broken limiter calls in place of the right function; see test_limiter_broken.c. */
#pragma once

#include "route/limiter_bucket.h"
#include "route/limiter_calendar.h"
#include "route/limiter_node.h"

/* Gives back what was not used, whether or not it has been refilled meanwhile. */
void broken_naive_return(struct bucket *bucket, uint64_t mark, int64_t held, int64_t used);
/* Full again at each minute of the clock. */
void broken_fixed_minutes(struct bucket *bucket, int64_t per_minute, uint64_t now_us);
/* Tells half the wait. */
uint64_t broken_half_wait(const struct bucket *bucket, int64_t per_minute, int64_t capacity,
                          int64_t tokens, uint64_t now_us);
/* Tells twice the wait. */
uint64_t broken_long_wait(const struct bucket *bucket, int64_t per_minute, int64_t capacity,
                          int64_t tokens, uint64_t now_us);
/* A clock set back begins a day anew. */
int64_t broken_forgetful_day(enum quota_period period, int64_t index, int64_t wall_ms);
/* One more at once than may be. */
bool broken_one_more(const struct limiter_node *node, const struct quota *quota,
                     const struct limiter_ask *ask, struct limiter_refusal *worst);
/* Takes from one subject before the next has been asked. */
bool broken_part_taken(const struct limiter_node *node, const struct quota *quota,
                       const struct limiter_ask *ask, struct limiter_refusal *worst);
/* Does not count what is held. */
bool broken_unheld(const struct limiter_node *node, const struct quota *quota,
                   const struct limiter_ask *ask, struct limiter_refusal *worst);
/* Some of what was held for more than was used stays held. */
void broken_leak(struct limiter_node *node, const struct quota *quota, uint64_t mark,
                 const struct limiter_lease *held, int64_t tokens, int64_t cost_nano);
/* Charges no more than was estimated. */
void broken_cheap(struct limiter_node *node, const struct quota *quota, uint64_t mark,
                  const struct limiter_lease *held, int64_t tokens, int64_t cost_nano);
/* What was used is forgotten when the quota changes: the bucket is full at each new rate. */
void broken_full_at_reload(struct limiter_node *node, const struct quota *quota, uint64_t now_us);
