/* Route: a named way to answer: targets, in groups that follow each other, and the policy that says
 * how often, how long, and what to do when an answer breaks off. Immutable, part of a catalog's
 * snapshot; "provider/model" is a route of one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "llm/call.h"
#include "llm/price.h"
#include "llm/traits.h"
#include "route/cell.h"

/* A model at a provider. */
struct target {
    struct str id;             /* "provider/model" */
    struct provider *provider; /* borrowed from the snapshot; opaque to the flow */
    struct str model;          /* as the provider names it */
    struct llm_traits traits;
    struct price price;
    bool has_price;
    struct cell_limits limits;
    struct cell *cell; /* its live state; outlives the snapshot */
};

enum route_strategy {
    ROUTE_PRIORITY,   /* the first that can */
    ROUTE_WEIGHTED,   /* by chance, in proportion to the weights */
    ROUTE_LATENCY,    /* the faster one of two taken by chance */
    ROUTE_LEAST_BUSY, /* fewest calls under way */
    ROUTE_COST,       /* the cheapest for this request */
    ROUTE_REGION,     /* configured order, else the shortest time to connect */
    ROUTE_BALANCED    /* cost, latency and availability scored together */
};
const char *route_strategy_name(enum route_strategy strategy);

/* How an attempt asks for the answer, and the rungs of recovery in their order. */
enum route_mode {
    ROUTE_WHOLE,   /* as the caller asked */
    ROUTE_PREFILL, /* the target continues the partial answer */
    ROUTE_SPLICE,  /* asked for the whole again; what equals the text that was sent is dropped */
    ROUTE_CONTINUE /* asked to go on behind the quoted partial answer */
};
const char *route_mode_name(enum route_mode mode);

struct route_policy {
    int attempts_max;        /* at one target for one request [3] */
    int attempts_total_max;  /* at all of them together, recovery included [12] */
    uint64_t backoff_us;     /* upper end of the first wait [2 s]; doubles; the wait is by chance */
    uint64_t backoff_max_us; /* [30 s] also the longest Retry-After that is waited for */
    uint64_t queue_wait_us;  /* longest time in a target's queue [30 s] */
    uint64_t total_us;       /* the request's one deadline [1 h] */
    enum route_mode recovery; /* the last rung allowed [CONTINUE]; WHOLE: none, an error */
    int recoveries_max;       /* attempts at recovering one answer [4] */
    bool hedge;               /* [no] */
    int hedge_percent;        /* of the route's requests, and of its money, at most [5] */
    bool coalesce;            /* [no] */
    int cache_seconds;        /* how long whole answers are kept and given again; 0: not [0] */
    bool prompt_cache;        /* prompts are marked to be kept by providers that need marks [no] */
    int64_t cost_max_nano;    /* for all attempts at one request, nano-dollars; 0: no limit */
    uint64_t bench_us;        /* after a refused key or a used-up quota [10 min] */
    struct breaker_policy breaker;
    struct llm_timeouts timeouts; /* 0: the provider's own */
};
extern const struct route_policy route_policy_default;

/* Targets among which one strategy chooses. Later groups are for when the earlier ones cannot. */
struct route_group {
    enum route_strategy strategy;
    const struct target *const *targets;
    const uint32_t *weights; /* WEIGHTED: one for each; NULL: all alike */
    const uint32_t *ranks;   /* REGION: one for each, 0 first; NULL: by connect time */
    size_t count;
};

enum { ROUTE_TARGETS_MAX = 32 }; /* of all groups together */

struct route_plan {
    struct str name; /* the route's, or the target's id */
    const struct route_policy *policy;
    const struct route_group *groups;
    size_t group_count;
    size_t target_count;     /* of all groups: 1 to ROUTE_TARGETS_MAX */
    struct route_live *live; /* NULL: nobody counts (no hedging) */
};
