/* Flow, choosing: the next attempt, a wait, or giving up. Groups go in their order; within one the
 * strategy says who is asked first; a target whose cell refuses is passed over. When all refuse for
 * a while the request waits: for the end of a backoff, or in the queue of one target. */
#include "route/flow_internal.h"

#include <stdatomic.h>
#include <string.h>

enum {
    OUTPUT_TOKENS_GUESS = 1000,      /* reserved when the request does not say */
    FALLBACK_US_GUESS = 1000 * 1000, /* until another target's first content, when unknown */
    RETRY_AFTER_MS_GUESS = 1000
};

/* What a search for a target that can be asked now has found out. */
struct search {
    uint64_t now_us;
    uint64_t backoff_us;             /* the first backoff to end; 0: none */
    uint64_t pace_us;                /* the first pace or pause to end; 0: none */
    struct flow_candidate *queue_at; /* has no place now */
    int queue_worth;                 /* of queue_at */
    bool is_full;                    /* one has as many calls as may be: places come by wakes */
    uint64_t rest_until_us;          /* the first breaker or bench to end; 0: none */
    const struct target *resting;
};

static uint64_t now_of(const struct flow *flow)
{
    return flow->ops->now_us(flow->user);
}

/* 0: never. */
static uint64_t earlier(uint64_t a, uint64_t b)
{
    return !a || (b && b < a) ? b : a;
}

/* ---- Who may be asked at all ----------------------------------------------------------------- */

bool flow_rule_out_unfit(struct flow *flow)
{
    const char *lacks = NULL;
    bool is_any = false;
    bool is_context = true;
    if (flow->candidate_count == 1)
        return true; /* there is no choice: it says itself what it cannot take */
    for (size_t i = 0; i < flow->candidate_count; i++) {
        struct flow_candidate *candidate = &flow->candidates[i];
        const struct llm_traits *traits = &candidate->target->traits;
        candidate->out = !llm_traits_fit(traits, flow->request.needs, &lacks);
        is_any = is_any || !candidate->out;
        is_context = is_context && strncmp(lacks ? lacks : "", "a context", 9) == 0;
    }
    if (!is_any)
        flow_set_error(flow, is_context ? ERR_CONTEXT_LENGTH : ERR_INVALID, "no_target_fits", -1,
                       "no target of '%.*s' can take this request: it needs %s",
                       STR_ARG(flow->request.plan->name), lacks);
    return is_any;
}

static int64_t output_tokens_of(const struct flow *flow)
{
    int64_t asked = flow->request.needs->output_tokens;
    return asked > 0 && asked < OUTPUT_TOKENS_GUESS ? asked : OUTPUT_TOKENS_GUESS;
}

/* About what an attempt there costs; 0 when no price is known. */
static int64_t expected_nano(const struct flow *flow, const struct target *target)
{
    struct llm_usage usage = LLM_USAGE_UNKNOWN;
    usage.input_total = flow->request.needs->input_tokens;
    usage.output_total = output_tokens_of(flow);
    return target->has_price ? price_cost_nano(&target->price, &usage) : 0;
}

/* Whether an attempt there would go over what the request may cost. */
static bool is_too_dear(const struct flow *flow, const struct target *target)
{
    int64_t cost_nano = flow->cost_nano + expected_nano(flow, target);
    if (!flow->policy->cost_max_nano || !target->has_price)
        return false;
    for (int i = 0; i < FLOW_SLOTS; i++)
        if (flow_is_active(flow, i)) /* beside which it would be a hedge */
            cost_nano += expected_nano(flow, flow->candidates[flow->attempts[i]->candidate].target);
    return cost_nano > flow->policy->cost_max_nano;
}

static bool is_usable(const struct flow *flow, const struct flow_candidate *candidate)
{
    return !candidate->out && candidate->attempts < flow->policy->attempts_max &&
           !(flow->broken && flow_recovery_mode(flow, candidate) == ROUTE_WHOLE) &&
           !is_too_dear(flow, candidate->target);
}

static void look(const struct flow *flow, const struct flow_candidate *candidate, uint64_t now_us,
                 struct cell_view *ret_view)
{
    cell_look(candidate->target->cell, &candidate->target->limits, &flow->policy->breaker, now_us,
              ret_view);
}

/* ---- Beginning an attempt -------------------------------------------------------------------- */

static void plan_hedge(struct flow *flow, const struct flow_candidate *candidate, uint64_t now_us)
{
    struct cell_view view;
    flow->hedge_us = 0;
    if (!flow->policy->hedge || !flow->request.plan->live || flow->candidate_count < 2)
        return;
    look(flow, candidate, now_us, &view);
    if (view.p95_us)
        flow->hedge_us = now_us + view.p95_us;
}

static struct flow_attempt *prepare(struct flow *flow, int slot,
                                    const struct flow_candidate *candidate,
                                    const struct cell_lease *lease, uint64_t now_us)
{
    if (!flow->attempts[slot])
        flow->attempts[slot] = ARENA_NEW(flow->request.arena, struct flow_attempt);
    struct flow_attempt *attempt = flow->attempts[slot];
    *attempt = (struct flow_attempt){
        .active = true,
        .is_hedge = lease->is_hedge,
        .is_probe = lease->probe != 0,
        .candidate = (uint8_t)(candidate - flow->candidates),
        .mode = flow->broken ? flow_recovery_mode(flow, candidate) : ROUTE_WHOLE,
        .number = flow->attempt_count + 1,
        .lease = *lease,
        .start_us = now_us,
        .usage = LLM_USAGE_UNKNOWN,
    };
    buf_init(&attempt->raw, SIZE_MAX / 2); /* the flow commits before it is large */
    if (flow->broken)
        flow_join_begin(flow, attempt->mode);
    return attempt;
}

/* With a place at the target. False: it cannot be begun there, which rules the target out. */
static bool begin_attempt(struct flow *flow, int slot, struct flow_candidate *candidate,
                          const struct cell_lease *lease, uint64_t now_us)
{
    struct llm_error error;
    struct flow_attempt *attempt = prepare(flow, slot, candidate, lease, now_us);
    struct flow_start start = {
        .slot = slot,
        .target = candidate->target,
        .mode = attempt->mode,
        .partial = buf_str(&flow->sent),
        .total_us = flow->deadline_us - now_us,
        .number = attempt->number,
        .is_hedge = attempt->is_hedge,
    };
    llm_error_init(&error, ERR_INTERNAL);
    if (flow->ops->start(flow->user, &start, &error) != ERR_OK) {
        attempt->active = false;
        candidate->out = true;
        cell_forget(&attempt->lease, now_of(flow), 0);
        if (!flow->error)
            flow_keep_error(flow, &error);
        return false;
    }
    attempt->is_raw = start.passes_through;
    flow->newest = slot;
    flow->attempt_count++;
    candidate->attempts++;
    if (flow->broken)
        flow->recovery_count++;
    return true;
}

static struct cell_answer ask(struct flow *flow, const struct flow_candidate *candidate,
                              bool is_hedge, uint64_t now_us, struct cell_lease *ret_lease)
{
    const struct target *target = candidate->target;
    bool waits_here = flow->waiter.cell == target->cell;
    const struct cell_ask question = {
        .now_us = now_us,
        .tokens = flow->request.needs->input_tokens + output_tokens_of(flow),
        .priority = flow->request.priority,
        .is_hedge = is_hedge,
        .limits = &target->limits,
        .breaker = &flow->policy->breaker,
        .waiter = waits_here ? &flow->waiter : NULL,
    };
    return cell_acquire(target->cell, &question, ret_lease);
}

/* How good a queue is. One that wakes us is better than one that is only a matter of time. But
 * whoever stands in a queue stays there, unless its target rests: two queues whose first ones think
 * the other one better would change places for ever. */
static int queue_worth(const struct flow *flow, const struct flow_candidate *candidate,
                       enum cell_verdict verdict)
{
    bool waits_here = flow->waiter.cell == candidate->target->cell;
    if (waits_here && verdict != CELL_PAUSED)
        return 4;
    if (verdict == CELL_FULL)
        return 3;
    return waits_here ? 2 : 1;
}

static void note_busy(const struct flow *flow, struct search *search,
                      struct flow_candidate *candidate, const struct cell_answer *answer)
{
    int worth = queue_worth(flow, candidate, answer->verdict);
    if (worth > search->queue_worth) {
        search->queue_at = candidate;
        search->queue_worth = worth;
    }
    search->is_full = search->is_full || answer->verdict == CELL_FULL;
    search->pace_us = earlier(search->pace_us, answer->until_us);
}

/* Asks the cell for a place and begins there. */
static bool try_candidate(struct flow *flow, struct flow_candidate *candidate,
                          struct search *search)
{
    struct cell_lease lease;
    struct cell_answer answer = ask(flow, candidate, false, search->now_us, &lease);
    switch (answer.verdict) {
    case CELL_GRANTED:
        cell_wait_end(&flow->waiter); /* it may have waited for another one */
        if (!begin_attempt(flow, 0, candidate, &lease, search->now_us))
            return false;
        if (flow->broken)
            flow->hedge_us = 0;
        else
            plan_hedge(flow, candidate, search->now_us);
        flow_become_idle(flow);
        flow_set_state(flow, FLOW_TRYING);
        return true;
    case CELL_FULL:
    case CELL_PACED:
    case CELL_PAUSED:
        note_busy(flow, search, candidate, &answer);
        return false;
    case CELL_OPEN:
    case CELL_BENCHED:
        if (earlier(search->rest_until_us, answer.until_us) == answer.until_us)
            search->resting = candidate->target;
        search->rest_until_us = earlier(search->rest_until_us, answer.until_us);
        return false;
    }
    return false;
}

/* ---- Searching ------------------------------------------------------------------------------- */

/* The candidates of a group that may be asked now. Backoffs that still run are noted. */
static size_t list_group(struct flow *flow, size_t group, struct search *search,
                         struct pick_entry entries[ROUTE_TARGETS_MAX],
                         struct flow_candidate **ret_first)
{
    const struct route_group *row = &flow->request.plan->groups[group];
    struct flow_candidate *first = flow->candidates;
    size_t count = 0;
    while (first->group != group)
        first++;
    *ret_first = first;
    for (size_t i = 0; i < row->count; i++) {
        if (!is_usable(flow, &first[i]))
            continue;
        if (first[i].not_before_us > search->now_us) {
            search->backoff_us = earlier(search->backoff_us, first[i].not_before_us);
            continue;
        }
        entries[count].index = i;
        if (row->count > 1)
            look(flow, &first[i], search->now_us, &entries[count].view);
        count++;
    }
    return count;
}

static bool search_group(struct flow *flow, size_t group, struct search *search)
{
    struct pick_entry entries[ROUTE_TARGETS_MAX];
    struct flow_candidate *first;
    const struct pick_context context = {flow->request.needs, flow->request.priority,
                                         flow->request.random};
    size_t count = list_group(flow, group, search, entries, &first);
    while (count > 0) {
        size_t chosen =
            count == 1 ? 0 : pick(&flow->request.plan->groups[group], entries, count, &context);
        if (try_candidate(flow, &first[entries[chosen].index], search))
            return true;
        memmove(&entries[chosen], &entries[chosen + 1], (count - chosen - 1) * sizeof entries[0]);
        count--;
    }
    return false;
}

/* ---- Waiting --------------------------------------------------------------------------------- */

/* Whether to wait for the target that has just failed rather than to ask another one: when the wait
 * is shorter than what the other one would take. */
static bool prefers_waiting(struct flow *flow, uint64_t now_us)
{
    const struct flow_candidate *last = &flow->candidates[flow->last_failed];
    if (flow->attempt_count == 0 || !is_usable(flow, last) || last->not_before_us <= now_us)
        return false;
    for (size_t i = 0; i < flow->candidate_count; i++) {
        struct flow_candidate *other = &flow->candidates[i];
        struct cell_view view;
        if (other == last || !is_usable(flow, other) || other->not_before_us > now_us)
            continue;
        look(flow, other, now_us, &view);
        uint64_t expected = view.first_content_us ? view.first_content_us : FALLBACK_US_GUESS;
        if (view.verdict == CELL_GRANTED)
            return last->not_before_us - now_us <= expected;
    }
    return false; /* no other one: the search finds out how long to wait */
}

static void wait_until(struct flow *flow, uint64_t until_us)
{
    flow->wait_until_us = until_us;
    flow_become_idle(flow);
    flow_set_state(flow, FLOW_WAITING);
}

static int64_t ms_until(uint64_t now_us, uint64_t until_us)
{
    return until_us > now_us ? (int64_t)((until_us - now_us + 999) / 1000) : RETRY_AFTER_MS_GUESS;
}

/* Into the queue of a target that has no place now. False: it is full, or the time for it is over.
 */
static bool enqueue(struct flow *flow, const struct search *search)
{
    const struct flow_candidate *candidate = search->queue_at;
    if (!flow->queue_until_us)
        flow->queue_until_us = search->now_us + flow->policy->queue_wait_us;
    if (search->now_us >= flow->queue_until_us ||
        (!search->is_full && search->pace_us > flow->queue_until_us))
        return false;
    if (flow->waiter.cell && flow->waiter.cell != candidate->target->cell)
        cell_wait_end(&flow->waiter);
    return cell_wait(candidate->target->cell, &flow->waiter, flow->request.priority,
                     candidate->target->limits.waiters_max, flow->ops->wake,
                     flow->ops->wake_user(flow->user));
}

/* Nothing can be asked, now or soon: says why, if no failure says it already. */
static void say_why(struct flow *flow, const struct search *search)
{
    char reason[256] = "";
    if (search->queue_at) {
        int64_t retry_ms = ms_until(search->now_us, search->pace_us);
        const struct target *target = search->queue_at->target;
        flow_set_error(flow, ERR_RATE_LIMITED, "no_place", retry_ms,
                       "%.*s has no place for this request now", STR_ARG(target->id));
        return;
    }
    if (flow->error)
        return;
    if (!search->resting) {
        flow_set_error(flow, ERR_UNAVAILABLE, "no_target", -1,
                       "no target of '%.*s' may be asked: it would cost more than allowed",
                       STR_ARG(flow->request.plan->name));
        return;
    }
    cell_bench_reason(search->resting->cell, reason, sizeof reason);
    flow_set_error(flow, ERR_UNAVAILABLE, "target_rests",
                   ms_until(search->now_us, search->rest_until_us), "%.*s rests: %s",
                   STR_ARG(search->resting->id),
                   reason[0] ? reason : "it has failed repeatedly, and is tried again soon");
}

/* Nobody can be asked now. */
static void wait_or_give_up(struct flow *flow, struct search *search)
{
    bool was_waiting = flow->waiter.cell != NULL;
    if (search->queue_at && enqueue(flow, search)) {
        /* A place may have become free before it was in the queue: nobody would tell. */
        if (!was_waiting && try_candidate(flow, search->queue_at, search))
            return;
        if (flow->waiter.cell)
            wait_until(flow, earlier(search->backoff_us, search->pace_us));
        else
            flow_next(flow); /* there was one, but nothing can be begun there */
        return;
    }
    cell_wait_end(&flow->waiter);
    if (search->backoff_us) {
        wait_until(flow, search->backoff_us);
        return;
    }
    say_why(flow, search);
    flow_give_up(flow);
}

void flow_next(struct flow *flow)
{
    struct search search = {.now_us = now_of(flow)};
    bool may_go_on = flow->attempt_count < flow->policy->attempts_total_max &&
                     (!flow->broken || flow_can_recover(flow));
    if (!may_go_on) {
        flow_give_up(flow);
        return;
    }
    if (prefers_waiting(flow, search.now_us)) {
        cell_wait_end(
            &flow->waiter); /* it would hold up who is behind it, and its time may be over */
        wait_until(flow, flow->candidates[flow->last_failed].not_before_us);
        return;
    }
    for (size_t group = 0; group < flow->request.plan->group_count; group++)
        if (search_group(flow, group, &search))
            return;
    wait_or_give_up(flow, &search);
}

/* ---- Hedging --------------------------------------------------------------------------------- */

/* Within its share of requests and of money. */
static bool hedge_is_affordable(struct flow *flow)
{
    struct route_live *live = flow->request.plan->live;
    uint64_t percent = (uint64_t)flow->policy->hedge_percent;
    uint64_t requests = atomic_load(&live->requests);
    uint64_t hedges = atomic_load(&live->hedges);
    int64_t spent = atomic_load(&live->spent_nano);
    int64_t hedge_spent = atomic_load(&live->hedge_spent_nano);
    if ((hedges + 1) * 100 > requests * percent)
        return false;
    return hedge_spent * 100 <= spent * (int64_t)percent;
}

void flow_hedge(struct flow *flow)
{
    uint64_t now = now_of(flow);
    int running = flow_is_active(flow, 0) ? 0 : 1;
    bool may = !flow->broken && flow_is_active(flow, running) && !flow_is_active(flow, !running) &&
               flow->attempt_count < flow->policy->attempts_total_max && hedge_is_affordable(flow);
    for (size_t i = 0; may && i < flow->candidate_count; i++) {
        struct flow_candidate *candidate = &flow->candidates[i];
        struct cell_lease lease;
        if (i == flow->attempts[running]->candidate || !is_usable(flow, candidate) ||
            candidate->not_before_us > now)
            continue;
        if (ask(flow, candidate, true, now, &lease).verdict != CELL_GRANTED)
            continue;
        if (begin_attempt(flow, !running, candidate, &lease, now)) {
            atomic_fetch_add(&flow->request.plan->live->hedges, 1);
            break;
        }
    }
    flow_set_state(flow, FLOW_TRYING);
}
