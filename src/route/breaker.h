/* Breaker: keeps requests away from a target that fails. Pure; whoever shares one locks it.
 *
 *   CLOSED --failure: too many in a row, or too large a share--> OPEN
 *   OPEN --ask, once the cooldown is over--> HALF_OPEN, and the asker is the probe
 *   HALF_OPEN --probe's success--> CLOSED        HALF_OPEN --probe's failure--> OPEN, for longer
 *   HALF_OPEN --forget, or the lease runs out--> HALF_OPEN without a probe: the next asker is it
 *   any --reset--> CLOSED
 *
 * Times are microseconds of any clock that only grows. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/random.h"

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };
const char *breaker_state_name(enum breaker_state state);

struct breaker_policy {
    int failures_max;         /* in a row that open it [5] */
    int ratio_percent;        /* of failures within the window that opens it [50]; 0: never */
    int ratio_calls_min;      /* with fewer calls in the window the ratio says nothing [20] */
    uint64_t window_us;       /* [60 s] */
    uint64_t cooldown_us;     /* of the first opening [60 s]; doubled with every one that follows a
                                 failed probe, and with 0 to 20 % of jitter on top */
    uint64_t cooldown_max_us; /* [10 min] */
    uint64_t lease_us;        /* how long a probe may take before another one may go [2 min] */
};
/* The values in brackets, as an initialiser, for policies that hold one of these. */
#define BREAKER_POLICY_DEFAULT                                                                     \
    {                                                                                              \
        .failures_max = 5, .ratio_percent = 50, .ratio_calls_min = 20, .window_us = 60000000,      \
        .cooldown_us = 60000000, .cooldown_max_us = 600000000, .lease_us = 120000000               \
    }
extern const struct breaker_policy breaker_policy_default;

struct breaker {
    enum breaker_state state;
    int failures_in_row;
    int openings; /* since it was last closed by a success */
    uint64_t open_until_us;
    uint64_t probe; /* number of the one under way; 0: none */
    uint64_t probe_until_us;
    uint64_t probes; /* numbers given or passed over so far */
    /* The window: two halves, the older one dropped when the newer is full. */
    uint64_t half_since_us;
    int half_calls[2];
    int half_failures[2];
};
/* Zeroed is closed and new. */

enum breaker_verdict { BREAKER_ALLOWS, BREAKER_PROBES, BREAKER_REFUSES };

/* Whether a call may go now. BREAKER_PROBES gives *ret_probe (not 0), which every later word about
 * this call must name; other calls name 0. `may_probe` false: as if the probe were under way
 * (hedges are never one). BREAKER_REFUSES sets *ret_until_us to when it is worth asking again.
 * State changes only by BREAKER_PROBES. */
enum breaker_verdict breaker_ask(struct breaker *breaker, const struct breaker_policy *policy,
                                 uint64_t now_us, bool may_probe, uint64_t *ret_probe,
                                 uint64_t *ret_until_us);
/* The same without any change: what an ask would say. */
enum breaker_verdict breaker_look(const struct breaker *breaker, uint64_t now_us,
                                  uint64_t *ret_until_us);
/* The probe's first content came: it has recovered. Nothing for any other call (they are counted
 * by their end). */
void breaker_content(struct breaker *breaker, uint64_t probe);
/* A call ended well. */
void breaker_success(struct breaker *breaker, const struct breaker_policy *policy, uint64_t now_us,
                     uint64_t probe);
/* A call failed by the target's fault. `not_before_us`: the provider's own word on when to come
 * back, the floor of a cooldown; 0: none. A word about a call that began before the breaker opened
 * never closes it or lengthens its cooldown; one that names a probe whose place another took says
 * nothing. (Of the calls that name 0, whoever shares the breaker withholds those from before it was
 * last closed: they were granted with another count of `probes`.) */
void breaker_failure(struct breaker *breaker, const struct breaker_policy *policy, uint64_t now_us,
                     uint64_t probe, uint64_t not_before_us, struct random *random);
/* A call ended and says nothing about the target: a probe gives its place back. */
void breaker_forget(struct breaker *breaker, uint64_t probe);
/* An administrator says that it is well: what is under way may say nothing any more. */
void breaker_reset(struct breaker *breaker);
/* Share of the window's calls that failed; 0 without calls. */
int breaker_failed_percent(const struct breaker *breaker, const struct breaker_policy *policy,
                           uint64_t now_us);
