/* Route: the names of what a configuration chooses, and the policy of a route that says nothing. */
#include "route/route.h"

const char *route_strategy_name(enum route_strategy strategy)
{
    static const char *const names[] = {
        [ROUTE_PRIORITY] = "priority", [ROUTE_WEIGHTED] = "weighted",
        [ROUTE_LATENCY] = "latency",   [ROUTE_LEAST_BUSY] = "least_busy",
        [ROUTE_COST] = "cost",         [ROUTE_REGION] = "region",
        [ROUTE_BALANCED] = "balanced",
    };
    return names[strategy];
}

const char *route_mode_name(enum route_mode mode)
{
    static const char *const names[] = {
        [ROUTE_WHOLE] = "whole",
        [ROUTE_PREFILL] = "prefill",
        [ROUTE_SPLICE] = "splice",
        [ROUTE_CONTINUE] = "continue",
    };
    return names[mode];
}

#define SECOND_US ((uint64_t)1000000)
#define MINUTE_US (60 * SECOND_US)

const struct route_policy route_policy_default = {
    .attempts_max = 3,
    .attempts_total_max = 12,
    .backoff_us = 2 * SECOND_US,
    .backoff_max_us = 30 * SECOND_US,
    .queue_wait_us = 30 * SECOND_US,
    .total_us = 60 * MINUTE_US,
    .recovery = ROUTE_CONTINUE,
    .recoveries_max = 4,
    .hedge = false,
    .hedge_percent = 5,
    .coalesce = false,
    .cache_seconds = 0,
    .prompt_cache = false,
    .cost_max_nano = 0,
    .bench_us = 10 * MINUTE_US,
    .breaker = BREAKER_POLICY_DEFAULT,
};
