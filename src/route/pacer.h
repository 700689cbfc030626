/* Pacer: keeps within a provider's requests and tokens per minute, configured or learned from its
 * headers. Two token buckets; a call takes its place in both, or in none. Pure; whoever shares one
 * locks it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "llm/limits.h"

/* One bucket: `level` of at most `capacity`, refilled with `capacity` per `period_us`. */
struct pacer_bucket {
    int64_t capacity; /* 0: no limit */
    int64_t level;    /* may fall below 0 when a call took more than it had said */
    uint64_t period_us;
    uint64_t filled_us; /* when level was last brought up to date */
    uint64_t rest;      /* of the next one, in parts of period_us */
    bool is_configured; /* the provider's words only lower the level, not the capacity */
};

struct pacer {
    struct pacer_bucket requests;
    struct pacer_bucket tokens;
};
/* Zeroed has no limits. */

/* Sets what the configuration says: per minute; 0: no limit, or what is learned. Levels stay when
 * nothing changes. */
void pacer_configure(struct pacer *pacer, int64_t requests_per_minute, int64_t tokens_per_minute,
                     uint64_t now_us);
/* When a call of so many tokens may go: now_us or earlier when now. A call larger than the bucket
 * may go when the bucket is full. */
uint64_t pacer_when(struct pacer *pacer, uint64_t now_us, int64_t tokens);
/* Takes the place of one. */
void pacer_take(struct pacer *pacer, uint64_t now_us, int64_t tokens);
/* The call has ended: it took `actual` instead of `reserved` tokens (-1: unknown, nothing
 * changes). */
void pacer_settle(struct pacer *pacer, uint64_t now_us, int64_t reserved, int64_t actual);
/* What the provider says, in the answer to one call. `requests` and `tokens` of other calls are
 * under way, and it may not have counted them yet: what it says is left may be less than we thought,
 * but where it is more, these are not given back. Its limits are learned where none is configured:
 * capacity from limit, pace from how long the rest takes to come back (once an eighth is used:
 * before, rounding says more than the provider). */
void pacer_learn(struct pacer *pacer, uint64_t now_us, const struct llm_limits *limits,
                 int64_t requests, int64_t tokens);
