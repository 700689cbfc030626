/* What tests of the limiter share: its subjects, its time, and asking it. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "route/limiter.h"

#define S     ((uint64_t)1000 * 1000)
#define USD   QUOTA_NANO_PER_USD
#define KEY_A ((struct limiter_subject){QUOTA_KEY, STR("a")})

/* A Wednesday. */
static inline struct limiter_time time_at(uint64_t after_us)
{
    int64_t wall_ms = clock_parse(STR("2026-11-18T12:00:00.000Z"));
    return (struct limiter_time){5000 * S + after_us, wall_ms + (int64_t)(after_us / 1000)};
}

struct answer {
    bool granted;
    struct limiter_lease lease;
    struct limiter_refusal refusal;
    struct limiter_view view;
    char soft[256];
};

static inline struct answer ask_all(struct limiter *limiter, const struct limiter_subject *subjects,
                                    size_t count, int64_t tokens, int64_t cost_nano,
                                    struct limiter_time now)
{
    struct answer answer = {0};
    struct limiter_ask ask = {subjects, count, tokens, cost_nano, now};
    answer.granted =
        limiter_reserve(limiter, &ask, &answer.lease, &answer.refusal, &answer.view, answer.soft);
    return answer;
}

static inline struct answer ask_one(struct limiter *limiter, struct limiter_subject subject,
                                    int64_t tokens, int64_t cost_nano, struct limiter_time now)
{
    return ask_all(limiter, &subject, 1, tokens, cost_nano, now);
}
