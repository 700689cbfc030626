/* Breaker: what stands between a failing target and everybody who would keep asking it. A cell holds
 * one for each target, under its lock; the states and their arrows are drawn in breaker.h, and
 *
 *   --failure-->: breaker_failure, to_open      --ask-->: breaker_ask, to_half_open
 *   --success-->: breaker_content, breaker_success, to_closed
 *   --forget-->:  breaker_forget             --reset-->: breaker_reset
 *
 * Whether a word counts is told by its number alone: while it is not closed only the probe is
 * believed; afterwards the newest number is the call that closed it, older ones come from before. */
#include "route/breaker.h"

#include <stddef.h>
#include <string.h>

const struct breaker_policy breaker_policy_default = BREAKER_POLICY_DEFAULT;

const char *breaker_state_name(enum breaker_state state)
{
    static const char *const names[] = {
        [BREAKER_CLOSED] = "closed",
        [BREAKER_OPEN] = "open",
        [BREAKER_HALF_OPEN] = "half_open",
    };
    return (size_t)state < sizeof names / sizeof *names ? names[state] : "unknown";
}

/* ---- The window ------------------------------------------------------------------------------ */

static uint64_t half_us(const struct breaker_policy *policy)
{
    return policy->window_us / 2 + 1;
}

/* How many whole halves have passed since the newer one began. */
static uint64_t halves_passed(const struct breaker *breaker, const struct breaker_policy *policy,
                              uint64_t now_us)
{
    uint64_t since_us = breaker->half_since_us;
    return now_us > since_us ? (now_us - since_us) / half_us(policy) : 0;
}

static void window_count(struct breaker *breaker, const struct breaker_policy *policy,
                         uint64_t now_us, bool failed)
{
    uint64_t passed = halves_passed(breaker, policy, now_us);
    if (passed) {
        breaker->half_calls[1] = passed == 1 ? breaker->half_calls[0] : 0;
        breaker->half_failures[1] = passed == 1 ? breaker->half_failures[0] : 0;
        breaker->half_calls[0] = breaker->half_failures[0] = 0;
        breaker->half_since_us += passed * half_us(policy);
    }
    breaker->half_calls[0]++;
    breaker->half_failures[0] += failed;
}

/* What is left of the window now: its calls, and how many of them failed. */
static int64_t window_sum(const struct breaker *breaker, const struct breaker_policy *policy,
                          uint64_t now_us, int64_t *ret_failures)
{
    uint64_t passed = halves_passed(breaker, policy, now_us);
    int64_t calls = 0;
    *ret_failures = 0;
    for (uint64_t i = 0; i + passed < 2; i++) {
        calls += breaker->half_calls[i];
        *ret_failures += breaker->half_failures[i];
    }
    return calls;
}

int breaker_failed_percent(const struct breaker *breaker, const struct breaker_policy *policy,
                           uint64_t now_us)
{
    int64_t failures;
    int64_t calls = window_sum(breaker, policy, now_us, &failures);
    return calls ? (int)(failures * 100 / calls) : 0;
}

/* ---- State ----------------------------------------------------------------------------------- */

/* Whether a call of that number may say nothing: it began before the breaker opened, or another
 * probe has taken its place. */
static bool is_stale(const struct breaker *breaker, uint64_t probe)
{
    if (breaker->state == BREAKER_CLOSED)
        return probe && probe != breaker->probes;
    return !probe || probe != breaker->probe;
}

static void to_closed(struct breaker *breaker)
{
    *breaker = (struct breaker){.probes = breaker->probes};
}

static uint64_t saturating_sum(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static uint64_t cooldown_us(const struct breaker *breaker, const struct breaker_policy *policy,
                            struct random *random)
{
    uint64_t us = policy->cooldown_us;
    for (int i = 1; i < breaker->openings && us < policy->cooldown_max_us; i++)
        us = saturating_sum(us, us);
    if (us > policy->cooldown_max_us)
        us = policy->cooldown_max_us;
    return saturating_sum(us, random_below(random, us / 5 + 1));
}

static void to_open(struct breaker *breaker, const struct breaker_policy *policy, uint64_t now_us,
                    uint64_t not_before_us, struct random *random)
{
    if (breaker->openings < INT32_MAX)
        breaker->openings++;
    uint64_t until_us = saturating_sum(now_us, cooldown_us(breaker, policy, random));
    breaker->open_until_us = until_us > not_before_us ? until_us : not_before_us;
    breaker->state = BREAKER_OPEN;
    breaker->probe = 0;
}

static void to_half_open(struct breaker *breaker, const struct breaker_policy *policy,
                         uint64_t now_us)
{
    breaker->state = BREAKER_HALF_OPEN;
    breaker->probe = ++breaker->probes;
    breaker->probe_until_us = saturating_sum(now_us, policy->lease_us);
}

static bool has_failed_too_often(const struct breaker *breaker, const struct breaker_policy *policy,
                                 uint64_t now_us)
{
    if (policy->failures_max > 0 && breaker->failures_in_row >= policy->failures_max)
        return true;
    int64_t failures;
    int64_t calls = window_sum(breaker, policy, now_us, &failures);
    return policy->ratio_percent > 0 && calls >= policy->ratio_calls_min &&
           failures * 100 >= calls * policy->ratio_percent;
}

/* ---- Asking ---------------------------------------------------------------------------------- */

enum breaker_verdict breaker_look(const struct breaker *breaker, uint64_t now_us,
                                  uint64_t *ret_until_us)
{
    if (breaker->state == BREAKER_CLOSED)
        return BREAKER_ALLOWS;
    if (breaker->state == BREAKER_HALF_OPEN && !breaker->probe)
        return BREAKER_PROBES;
    uint64_t until_us =
        breaker->state == BREAKER_OPEN ? breaker->open_until_us : breaker->probe_until_us;
    if (now_us >= until_us)
        return BREAKER_PROBES;
    *ret_until_us = until_us;
    return BREAKER_REFUSES;
}

enum breaker_verdict breaker_ask(struct breaker *breaker, const struct breaker_policy *policy,
                                 uint64_t now_us, bool may_probe, uint64_t *ret_probe,
                                 uint64_t *ret_until_us)
{
    enum breaker_verdict verdict = breaker_look(breaker, now_us, ret_until_us);
    if (verdict == BREAKER_PROBES && !may_probe) {
        *ret_until_us = saturating_sum(now_us, policy->lease_us);
        return BREAKER_REFUSES;
    }
    if (verdict == BREAKER_PROBES) {
        to_half_open(breaker, policy, now_us);
        *ret_probe = breaker->probe;
    }
    return verdict;
}

/* ---- What became of a call ------------------------------------------------------------------- */

void breaker_content(struct breaker *breaker, uint64_t probe)
{
    if (breaker->state == BREAKER_HALF_OPEN && !is_stale(breaker, probe))
        to_closed(breaker);
}

void breaker_success(struct breaker *breaker, const struct breaker_policy *policy, uint64_t now_us,
                     uint64_t probe)
{
    if (is_stale(breaker, probe))
        return;
    if (breaker->state != BREAKER_CLOSED)
        to_closed(breaker);
    breaker->failures_in_row = 0;
    window_count(breaker, policy, now_us, false);
}

void breaker_failure(struct breaker *breaker, const struct breaker_policy *policy, uint64_t now_us,
                     uint64_t probe, uint64_t not_before_us, struct random *random)
{
    if (is_stale(breaker, probe))
        return;
    if (breaker->failures_in_row < INT32_MAX)
        breaker->failures_in_row++;
    window_count(breaker, policy, now_us, true);
    if (breaker->state != BREAKER_CLOSED || has_failed_too_often(breaker, policy, now_us))
        to_open(breaker, policy, now_us, not_before_us, random);
}

void breaker_forget(struct breaker *breaker, uint64_t probe)
{
    if (breaker->state == BREAKER_HALF_OPEN && !is_stale(breaker, probe))
        breaker->probe = 0;
}

void breaker_reset(struct breaker *breaker)
{
    breaker->probes++; /* so that nothing from before may speak */
    to_closed(breaker);
}
