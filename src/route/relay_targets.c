/* Relay's targets: one pass over the candidates finds one that has a place; when none has, the first
 * that is only busy is queued at, or the first backoff is waited for. Below relay.c. */
#include "route/relay_targets.h"

#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "llm/traits.h"
#include "route/pick.h"

enum { RETRY_AFTER_MS_GUESS = 1000 };

/* What a pass has found out. */
struct search {
    uint64_t now_us;
    uint64_t backoff_us;              /* the first backoff to end; 0: none */
    uint64_t pace_us;                 /* the first pace or pause to end; 0: none */
    struct relay_candidate *queue_at; /* has no place now */
    bool is_full;                     /* queue_at has as many calls as may be: a wake comes */
    uint64_t rest_until_us;
    const struct target *resting;
};

/* 0: never. */
static uint64_t earlier(uint64_t a, uint64_t b)
{
    return !a || (b && b < a) ? b : a;
}

/* ---- Order ----------------------------------------------------------------------------------- */

static void add_group(struct relay_targets *targets, const struct route_group *group,
                      uint64_t now_us)
{
    struct pick_entry entries[ROUTE_TARGETS_MAX];
    const struct llm_needs needs = {.input_tokens = targets->tokens};
    const struct pick_context context = {&needs, targets->priority, targets->random};
    size_t count = group->count;
    for (size_t i = 0; i < count; i++) {
        const struct target *target = group->targets[i];
        entries[i].index = i;
        if (count > 1)
            cell_look(target->cell, &target->limits, &targets->policy->breaker, now_us,
                      &entries[i].view);
    }
    for (; count > 0; count--) {
        size_t chosen = count == 1 ? 0 : pick(group, entries, count, &context);
        targets->items[targets->count++] =
            (struct relay_candidate){.target = group->targets[entries[chosen].index]};
        memmove(&entries[chosen], &entries[chosen + 1], (count - chosen - 1) * sizeof entries[0]);
    }
}

void relay_targets_init(struct relay_targets *targets, struct arena *arena,
                        const struct route_plan *plan, enum cell_priority priority, int64_t tokens,
                        bool is_retried, struct random *random, uint64_t now_us)
{
    *targets = (struct relay_targets){
        .items = ARENA_NEW_ARRAY(arena, plan->target_count, struct relay_candidate),
        .policy = plan->policy,
        .random = random,
        .priority = priority,
        .tokens = tokens,
        .attempts_max = is_retried ? plan->policy->attempts_total_max : 1,
        .deadline_us = now_us + plan->policy->total_us,
    };
    for (size_t i = 0; i < plan->group_count; i++)
        add_group(targets, &plan->groups[i], now_us);
}

void relay_targets_done(struct relay_targets *targets)
{
    cell_wait_end(&targets->waiter);
}

/* ---- Searching ------------------------------------------------------------------------------- */

static void note_refusal(struct search *search, struct relay_candidate *candidate,
                         const struct cell_answer *answer)
{
    if (answer->verdict == CELL_OPEN || answer->verdict == CELL_BENCHED) {
        if (earlier(search->rest_until_us, answer->until_us) == answer->until_us)
            search->resting = candidate->target;
        search->rest_until_us = earlier(search->rest_until_us, answer->until_us);
        return;
    }
    search->pace_us = earlier(search->pace_us, answer->until_us);
    if (search->queue_at)
        return;
    search->queue_at = candidate;
    search->is_full = answer->verdict == CELL_FULL;
}

static bool try_candidate(struct relay_targets *targets, struct relay_candidate *candidate,
                          struct search *search, struct cell_lease *ret_lease)
{
    const struct target *target = candidate->target;
    if (candidate->out)
        return false;
    if (candidate->not_before_us > search->now_us) {
        search->backoff_us = earlier(search->backoff_us, candidate->not_before_us);
        return false;
    }
    const struct cell_ask ask = {
        .now_us = search->now_us,
        .priority = targets->priority,
        .tokens = targets->tokens,
        .limits = &target->limits,
        .breaker = &targets->policy->breaker,
        .waiter = targets->waiter.cell == target->cell ? &targets->waiter : NULL,
    };
    struct cell_answer answer = cell_acquire(target->cell, &ask, ret_lease);
    if (answer.verdict == CELL_GRANTED)
        return true;
    note_refusal(search, candidate, &answer);
    return false;
}

/* Into the queue of who is only busy. False: it is full, or the time for it is over. */
static bool enqueue(struct relay_targets *targets, const struct search *search,
                    void (*wake)(void *user), void *wake_user)
{
    const struct target *target = search->queue_at->target;
    if (!targets->queue_until_us)
        targets->queue_until_us = search->now_us + targets->policy->queue_wait_us;
    if (search->now_us >= targets->queue_until_us ||
        (!search->is_full && search->pace_us > targets->queue_until_us))
        return false;
    if (targets->waiter.cell && targets->waiter.cell != target->cell)
        cell_wait_end(&targets->waiter);
    return cell_wait(target->cell, &targets->waiter, targets->priority, target->limits.waiters_max,
                     wake, wake_user);
}

static void say_why(const struct search *search, struct llm_error *ret)
{
    const struct target *busy = search->queue_at ? search->queue_at->target : NULL;
    uint64_t until_us = busy ? search->pace_us : search->rest_until_us;
    uint64_t wait_ms =
        until_us > search->now_us ? (until_us - search->now_us + 999) / 1000 : RETRY_AFTER_MS_GUESS;
    char reason[256] = "";
    *ret = (struct llm_error){.class = busy ? ERR_RATE_LIMITED : ERR_UNAVAILABLE,
                              .retry_after_ms = (int64_t)wait_ms};
    if (search->resting)
        cell_bench_reason(search->resting->cell, reason, sizeof reason);
    if (busy)
        snprintf(ret->message, sizeof ret->message, "%.*s has no place for this request now",
                 STR_ARG(busy->id));
    else if (search->resting)
        snprintf(ret->message, sizeof ret->message, "%.*s rests: %s", STR_ARG(search->resting->id),
                 reason[0] ? reason : "it has failed repeatedly, and is tried again soon");
    else
        snprintf(ret->message, sizeof ret->message, "nobody is left who could be asked");
    snprintf(ret->code, sizeof ret->code, "%s", busy ? "no_place" : "target_rests");
}

static void wait_or_give_up(struct relay_targets *targets, const struct search *search,
                            void (*wake)(void *user), void *wake_user, struct relay_choice *ret)
{
    ret->verdict = RELAY_WAIT;
    ret->until_us = search->backoff_us;
    if (search->queue_at && enqueue(targets, search, wake, wake_user)) {
        ret->until_us = earlier(earlier(ret->until_us, search->pace_us), targets->queue_until_us);
        return;
    }
    cell_wait_end(&targets->waiter);
    if (search->backoff_us)
        return;
    ret->verdict = RELAY_NONE;
    say_why(search, &ret->why);
}

void relay_targets_next(struct relay_targets *targets, uint64_t now_us, void (*wake)(void *user),
                        void *wake_user, struct relay_choice *ret)
{
    struct search search = {.now_us = now_us};
    bool may = targets->attempts < targets->attempts_max && now_us < targets->deadline_us;
    *ret = (struct relay_choice){.verdict = RELAY_GO};
    for (size_t i = 0; may && i < targets->count; i++) {
        if (!try_candidate(targets, &targets->items[i], &search, &ret->lease))
            continue;
        ret->candidate = &targets->items[i];
        cell_wait_end(&targets->waiter);
        return;
    }
    wait_or_give_up(targets, &search, wake, wake_user, ret);
}

/* ---- Attempts -------------------------------------------------------------------------------- */

void relay_targets_begun(struct relay_targets *targets, struct relay_candidate *candidate)
{
    targets->attempts++;
    candidate->attempts++;
}

/* By chance, up to a bound that doubles with every attempt; the provider's word is the floor. */
static uint64_t backoff_us(const struct relay_targets *targets, int attempts,
                           const struct llm_error *error)
{
    const struct route_policy *policy = targets->policy;
    uint64_t bound = policy->backoff_us;
    for (int i = 1; i < attempts && bound < policy->backoff_max_us; i++)
        bound *= 2;
    bound = bound < policy->backoff_max_us ? bound : policy->backoff_max_us;
    uint64_t wait = random_below(targets->random, bound + 1);
    uint64_t floor = error->retry_after_ms > 0 ? (uint64_t)error->retry_after_ms * 1000 : 0;
    return wait > floor ? wait : floor;
}

static void rule_out_smaller(struct relay_targets *targets, const struct target *target)
{
    for (size_t i = 0; i < targets->count; i++)
        if (targets->items[i].target->traits.context_tokens <= target->traits.context_tokens)
            targets->items[i].out = true;
}

bool relay_targets_failed(struct relay_targets *targets, struct relay_candidate *candidate,
                          const struct llm_error *error, uint64_t now_us)
{
    struct attribution attribution = attribution_of(error);
    if (attribution.is_stale && !candidate->was_stale) { /* the same again, at once */
        candidate->was_stale = true;
        return targets->attempts < targets->attempts_max;
    }
    candidate->out |= targets->is_aside;
    if (!attribution.retries && !attribution.leaves)
        return targets->is_aside;
    uint64_t wait = backoff_us(targets, candidate->attempts, error);
    if (attribution.enlarges)
        rule_out_smaller(targets, candidate->target);
    if (!attribution.retries || candidate->attempts >= targets->policy->attempts_max ||
        wait > targets->policy->backoff_max_us)
        candidate->out = true;
    else
        candidate->not_before_us = now_us + wait;
    return true;
}
