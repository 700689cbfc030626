/* Shadow: what must hold at the targets, counted here once more from what is seen from outside:
 * attempts that begin and end, and the ledger. The cells are only asked what they believe. */
#include "world.h"

#include <inttypes.h>
#include <string.h>

static void look(struct world_target *target, struct cell_view *ret_view)
{
    struct simulation *world = target->world;
    cell_look(target->target.cell, &target->target.limits, &world->day.policy.breaker,
              world->now_us, ret_view);
}

/* Whose place does not hang on tokens, which a look cannot tell. */
static bool is_unpaced(const struct world_target *target)
{
    return !target->target.limits.tokens_per_minute && !target->target.limits.requests_per_minute &&
           !target->tells_limits;
}

static bool fits(const struct world_request *request, const struct world_target *target)
{
    return llm_traits_fit(&target->target.traits, &request->needs, NULL);
}

/* Whether that target would certainly take the request now. */
static bool could_answer(const struct world_request *request, struct world_target *target,
                         struct cell_view *ret_view)
{
    if (request->world->day.policy.cost_max_nano || !is_unpaced(target) || !fits(request, target))
        return false;
    look(target, ret_view);
    return ret_view->verdict == CELL_GRANTED && ret_view->waiting == 0;
}

/* ---- How often ------------------------------------------------------------------------------- */

static void check_count(struct world_attempt *attempt, const struct flow_start *start)
{
    struct world_request *request = attempt->request;
    struct simulation *world = request->world;
    const struct route_policy *policy = &world->day.policy;
    int index = attempt->target->index;
    int more = policy->attempts_max == 1 && request->reused_at[index] > 0;
    bool is_recovery = start->mode != ROUTE_WHOLE;
    if (start->number != ++request->started)
        world_broken(world, INVARIANT_ATTEMPTS, request->id, "attempt %d is called number %d",
                     request->started, start->number);
    if (++request->started_at[index] > policy->attempts_max + more)
        world_broken(world, INVARIANT_ATTEMPTS, request->id, "more than %d attempts at target %d",
                     policy->attempts_max, index);
    if (request->started > policy->attempts_total_max)
        world_broken(world, INVARIANT_ATTEMPTS, request->id, "more than %d attempts",
                     policy->attempts_total_max);
    if (is_recovery && ++request->recoveries > policy->recoveries_max)
        world_broken(world, INVARIANT_ATTEMPTS, request->id, "more than %d recoveries",
                     policy->recoveries_max);
    if (is_recovery && start->partial.len && start->mode > policy->recovery)
        world_broken(world, INVARIANT_ATTEMPTS, request->id,
                     "recovered by %s, which is not allowed", route_mode_name(start->mode));
    if (request->is_final)
        world_broken(world, INVARIANT_ATTEMPTS, request->id, "asked again what is wrong in itself");
    if (request->left & 1u << index)
        world_broken(world, INVARIANT_ATTEMPTS, request->id,
                     "asked target %d again, which was to be left", index);
    if (start->number < WORLD_NUMBERS_MAX)
        request->started_numbers |= 1ull << start->number;
}

/* ---- What is asked --------------------------------------------------------------------------- */

static void check_question(struct world_attempt *attempt, const struct flow_start *start)
{
    struct world_request *request = attempt->request;
    struct simulation *world = request->world;
    bool is_recovery = start->mode != ROUTE_WHOLE;
    if (is_recovery != request->had_content)
        world_broken(world, INVARIANT_PARTIAL, request->id, "asked for %s, but %s was shown",
                     route_mode_name(start->mode), request->had_content ? "something" : "nothing");
    if (is_recovery && !str_eq(start->partial, STR_FROM(request->text, request->text_bytes)))
        world_broken(world, INVARIANT_PARTIAL, request->id,
                     "the partial answer has %zu bytes, %zu were shown", start->partial.len,
                     request->text_bytes);
    if (is_recovery && request->tools_bytes)
        world_broken(world, INVARIANT_TOOLS, request->id, "joins to an answer with tool calls");
    if (start->total_us != request->deadline_us - world->now_us)
        world_broken(world, INVARIANT_DEADLINE, request->id, "the attempt may take %" PRIu64 " us",
                     start->total_us);
    if (world->day.target_count > 1 && !fits(request, attempt->target))
        world_broken(world, INVARIANT_FITS, request->id, "target %d cannot take it",
                     attempt->target->index);
}

/* ---- Whether the target may be asked --------------------------------------------------------- */

static void check_pace(struct world_attempt *attempt)
{
    struct world_target *target = attempt->target;
    struct simulation *world = target->world;
    double capacity = (double)target->target.limits.requests_per_minute;
    if (capacity <= 0)
        return;
    double passed_us = (double)(world->now_us - target->pace_us);
    target->pace_us = world->now_us;
    target->pace_level += passed_us * capacity / 60e6;
    if (target->pace_level > capacity)
        target->pace_level = capacity;
    target->pace_level -= 1;
    if (target->pace_level < -0.1)
        world_broken(world, INVARIANT_PACE, attempt->request->id,
                     "more than %.0f requests a minute at target %d", capacity, target->index);
}

static void check_place(struct world_attempt *attempt)
{
    struct world_target *target = attempt->target;
    struct simulation *world = target->world;
    int request = attempt->request->id, most = target->target.limits.concurrency_max;
    if (world->now_us < target->benched_until_us)
        world_broken(world, INVARIANT_BENCH, request, "target %d is benched", target->index);
    if (world->now_us < target->not_before_us)
        world_broken(world, INVARIANT_RETRY_AFTER, request, "target %d said %.3f s more",
                     target->index, (double)(target->not_before_us - world->now_us) / 1e6);
    if (most && target->calls > most)
        world_broken(world, INVARIANT_CONCURRENCY, request, "%d calls at target %d, which takes %d",
                     target->calls, target->index, most);
    check_pace(attempt);
}

/* A place was granted: it is the probe's when the breaker is not closed. */
void shadow_granted(struct world_attempt *attempt)
{
    struct world_target *target = attempt->target;
    struct simulation *world = target->world;
    int request = attempt->request->id;
    struct cell_view view;
    look(target, &view);
    if (view.breaker == BREAKER_OPEN ||
        (target->breaker.is_open && world->now_us < target->breaker.open_until_us))
        world_broken(world, INVARIANT_BREAKER, request,
                     "target %d is open: its cell says %s, it must be so for %.3f s", target->index,
                     breaker_state_name(view.breaker),
                     target->breaker.is_open
                         ? ((double)target->breaker.open_until_us - (double)world->now_us) / 1e6
                         : 0.0);
    attempt->is_probe = view.breaker == BREAKER_HALF_OPEN;
    if (attempt->is_probe && world->now_us < target->probe_until_us)
        world_broken(world, INVARIANT_BREAKER, request, "a second probe at target %d",
                     target->index);
    if (target->breaker.is_open && !attempt->is_probe)
        world_broken(world, INVARIANT_BREAKER, request, "no probe, but target %d was open",
                     target->index);
    if (attempt->is_probe) {
        target->probes++;
        target->probe_until_us = world->now_us + world->day.policy.breaker.lease_us;
        if (attempt->fault == FAULT_NO_START)
            target->probe_until_us = 0;
    }
    attempt->since = target->probes;
}

/* ---- Whether another one should have been ---------------------------------------------------- */

static size_t group_of(const struct simulation *world, const struct world_target *target)
{
    return (size_t)target->index < world->day.groups[0].count ? 0 : 1;
}

static bool prefers_probes(enum route_strategy strategy)
{
    return strategy == ROUTE_WEIGHTED || strategy == ROUTE_LATENCY ||
           strategy == ROUTE_LEAST_BUSY || strategy == ROUTE_BALANCED;
}

/* A request's first attempt: earlier groups go first, and in a group who may have recovered. */
static void check_choice(struct world_attempt *attempt)
{
    struct world_request *request = attempt->request;
    struct simulation *world = request->world;
    size_t group = group_of(world, attempt->target);
    enum route_strategy strategy = world->day.groups[group].strategy;
    if (!request->is_beginning || request->started != 1)
        return;
    for (int i = 0; i < world->day.target_count; i++) {
        struct world_target *other = &world->day.targets[i];
        struct cell_view view;
        if ((request->tried & 1u << i) || group_of(world, other) > group ||
            !could_answer(request, other, &view))
            continue;
        bool is_before = group_of(world, other) < group ||
                         (strategy == ROUTE_PRIORITY && i < attempt->target->index);
        if (is_before || (view.probe_due && !attempt->is_probe && prefers_probes(strategy)))
            world_broken(world, INVARIANT_STARVED, request->id, "target %d was passed over for %d",
                         i, attempt->target->index);
    }
}

/* Whoever was not asked and would have taken the request. (What is too long for one target is ruled
 * out at others that are not known to take more.) */
static void check_given_up(struct world_request *request)
{
    struct simulation *world = request->world;
    if (request->own_fault == FAULT_CONTEXT && request->started)
        return;
    for (int i = 0; i < world->day.target_count; i++) {
        struct cell_view view;
        if (!(request->tried & 1u << i) && could_answer(request, &world->day.targets[i], &view))
            world_broken(world, INVARIANT_GIVEN_UP, request->id,
                         "it ends with '%s', but target %d could answer",
                         err_info(request->error)->name, i);
    }
}

void shadow_refused(struct world_request *request, const struct llm_error *error)
{
    if (error->class != request->error)
        world_broken(request->world, INVARIANT_ORDER, request->id, "refused without an error");
    if (request->error == ERR_UNAVAILABLE || request->error == ERR_RATE_LIMITED)
        check_given_up(request);
}

static bool concerns_the_target(enum err class)
{
    switch (class) {
    case ERR_RATE_LIMITED:
    case ERR_OVERLOADED:
    case ERR_SERVER:
    case ERR_NETWORK:
    case ERR_TIMEOUT:
    case ERR_AUTHENTICATION:
    case ERR_PERMISSION:
    case ERR_QUOTA_EXHAUSTED:
    case ERR_MODEL_NOT_FOUND:
    case ERR_UNAVAILABLE:
        return true;
    default:
        return false;
    }
}

void shadow_failed(struct world_request *request)
{
    const struct simulation *world = request->world;
    if (!request->had_content && concerns_the_target(request->error) &&
        request->started < world->day.policy.attempts_total_max &&
        world->now_us + WORLD_SECOND < request->deadline_us)
        check_given_up(request);
}

/* ---- Attempts -------------------------------------------------------------------------------- */

void shadow_start(struct world_attempt *attempt, const struct flow_start *start)
{
    struct world_request *request = attempt->request;
    struct simulation *world = request->world;
    struct world_target *target = attempt->target;
    target->calls++;
    target->attempts++;
    world->totals.attempts++;
    world->dirty |= 1u << target->index;
    if (request->state != REQUEST_ALIVE)
        world_broken(world, INVARIANT_SILENCE, request->id, "an attempt begins after the end");
    check_count(attempt, start);
    check_question(attempt, start);
    check_place(attempt);
    check_choice(attempt);
}

/* Nobody else may be the probe, or needs to. */
static void end_probe(struct world_attempt *attempt)
{
    if (attempt->is_probe && attempt->since == attempt->target->probes)
        attempt->target->probe_until_us = 0;
}

/* The probe's first content closes the breaker. */
void shadow_content(struct world_attempt *attempt)
{
    struct world_target *target = attempt->target;
    if (attempt->is_probe && attempt->since == target->probes)
        target->breaker = (struct shadow_breaker){0};
    end_probe(attempt);
}

void shadow_end(struct world_attempt *attempt)
{
    struct world_target *target = attempt->target;
    attempt->is_active = false;
    world_not(target->world, &attempt->node);
    target->calls--;
    target->world->dirty |= 1u << target->index;
    end_probe(attempt);
}

/* ---- The ledger ------------------------------------------------------------------------------ */

static bool has_failed(const struct flow_row *row)
{
    return row->outcome == FLOW_FAILED || row->outcome == FLOW_CUT;
}

static void check_row(struct world_request *request, const struct flow_row *row)
{
    struct simulation *world = request->world;
    uint64_t bit = row->number > 0 && row->number < WORLD_NUMBERS_MAX ? 1ull << row->number : 0;
    if (!(request->started_numbers & bit))
        world_broken(world, INVARIANT_LEDGER, request->id, "a row for an attempt that never was");
    if (request->rows & bit)
        world_broken(world, INVARIANT_LEDGER, request->id, "a second row for attempt %d",
                     row->number);
    request->rows |= bit;
    if (has_failed(row) != (row->error != NULL))
        world_broken(world, INVARIANT_LEDGER, request->id, "attempt %d %s, and its error is %s",
                     row->number, flow_outcome_name(row->outcome),
                     row->error ? row->error->message : "not there");
    if ((row->cost_nano < 0) == row->target->has_price)
        world_broken(world, INVARIANT_LEDGER, request->id, "attempt %d cost %" PRId64, row->number,
                     row->cost_nano);
    if (row->is_hedge && row->is_probe)
        world_broken(world, INVARIANT_BREAKER, request->id, "a hedge is the probe");
}

static struct world_attempt *attempt_of(struct world_request *request, const struct flow_row *row)
{
    for (int i = 0; i < FLOW_SLOTS; i++)
        if (request->attempts[i].number == row->number)
            return &request->attempts[i];
    return NULL;
}

/* Its failure is the attempt's own, not that of another one. */
static void check_blame(struct world_request *request, const struct world_attempt *attempt,
                        const struct flow_row *row)
{
    bool is_deadline = row->error && strcmp(row->error->code, "total") == 0;
    if (&attempt->target->target != row->target || attempt->is_probe != row->is_probe)
        world_broken(request->world, INVARIANT_LEDGER, request->id,
                     "the row of attempt %d is another one's", row->number);
    if (row->error && !is_deadline && row->error->class != attempt->failed)
        world_broken(request->world, INVARIANT_LEDGER, request->id,
                     "attempt %d failed with '%s', its row says '%s'", row->number,
                     err_info(attempt->failed)->name, err_info(row->error->class)->name);
}

static bool counts_against(const struct llm_error *error)
{
    switch (error->class) {
    case ERR_RATE_LIMITED:
    case ERR_OVERLOADED:
    case ERR_SERVER:
    case ERR_TIMEOUT:
        return strcmp(error->code, "total") != 0;
    case ERR_NETWORK:
        return strcmp(error->code, "reused") != 0;
    default:
        return false;
    }
}

/* The breaker once more. Days with a ratio would need its window, and are left to what the cell
 * itself says of its state. */
static void count_failure(struct world_attempt *attempt)
{
    struct world_target *target = attempt->target;
    struct simulation *world = target->world;
    const struct breaker_policy *policy = &world->day.policy.breaker;
    struct shadow_breaker *breaker = &target->breaker;
    bool decides = attempt->is_probe && !attempt->had_content; /* by which it had closed before */
    if (policy->ratio_percent || attempt->since != target->probes || (breaker->is_open && !decides))
        return;
    if (!breaker->is_open && ++breaker->failures_in_row < policy->failures_max)
        return;
    breaker->is_open = true;
    breaker->open_until_us = world->now_us + policy->cooldown_us;
}

static void count_success(struct world_attempt *attempt)
{
    struct shadow_breaker *breaker = &attempt->target->breaker;
    bool decides = attempt->is_probe && !attempt->had_content;
    bool counts = decides || !breaker->is_open;
    if (counts && attempt->since == attempt->target->probes)
        *breaker = (struct shadow_breaker){0};
}

static void count_outcome(struct world_attempt *attempt, const struct flow_row *row)
{
    struct world_target *target = attempt->target;
    struct simulation *world = target->world;
    if (row->outcome == FLOW_ANSWERED || row->outcome == FLOW_DIFFERED)
        count_success(attempt);
    if (!has_failed(row) || !row->error)
        return;
    enum err class = row->error->class;
    if (counts_against(row->error)) {
        count_failure(attempt);
        uint64_t wait_us =
            row->error->retry_after_ms > 0 ? (uint64_t)row->error->retry_after_ms * 1000 : 0;
        if (wait_us && target->not_before_us < world->now_us + wait_us)
            target->not_before_us = world->now_us + wait_us;
    }
    if ((class == ERR_AUTHENTICATION || class == ERR_QUOTA_EXHAUSTED) &&
        target->benched_until_us < world->now_us + world->day.policy.bench_us)
        target->benched_until_us = world->now_us + world->day.policy.bench_us;
    if (attempt->fault == FAULT_REUSED)
        attempt->request->reused_at[target->index]++;
}

/* What a failure says about asking again: the same target, or anybody. */
static void note_verdict(struct world_request *request, const struct world_attempt *attempt,
                         const struct flow_row *row)
{
    uint32_t bit = 1u << attempt->target->index;
    if (!has_failed(row) || !row->error)
        return;
    switch (row->error->class) {
    case ERR_AUTHENTICATION:
    case ERR_PERMISSION:
    case ERR_QUOTA_EXHAUSTED:
    case ERR_MODEL_NOT_FOUND:
    case ERR_CONTEXT_LENGTH:
    case ERR_TIMEOUT: /* all of ours are of silence */
        request->left |= bit;
        break;
    case ERR_INVALID:
    case ERR_CONTENT_FILTERED: /* unless a hedge says otherwise, or part of it was shown before */
        if (row->mode == ROUTE_PREFILL)
            break;
        request->left |= bit;
        request->is_final = !request->had_content && !request->attempts[!attempt->slot].is_active;
        break;
    default:
        break;
    }
}

void shadow_ledger(void *user, const struct flow_row *row)
{
    struct world_request *request = user;
    struct world_attempt *attempt = attempt_of(request, row);
    world_note(request, flow_outcome_name(row->outcome), row->number,
               row->error ? (int64_t)row->error->class : 0);
    check_row(request, row);
    request->failures += has_failed(row);
    request->world->totals.hedges += row->is_hedge;
    if (row->outcome == FLOW_ANSWERED)
        request->last_mode = row->mode;
    if (!attempt)
        return;
    check_blame(request, attempt, row);
    note_verdict(request, attempt, row);
    count_outcome(attempt, row);
}

/* ---- After each event, and at the end -------------------------------------------------------- */

static void check_calls(struct world_target *target)
{
    struct cell_view view;
    look(target, &view);
    if (view.calls != target->calls)
        world_broken(target->world, INVARIANT_LEASES, -1,
                     "%d calls are under way at target %d, its cell counts %d", target->calls,
                     target->index, view.calls);
}

void shadow_check(struct simulation *world)
{
    for (int i = 0; world->dirty; i++) {
        if (world->dirty & 1u << i)
            check_calls(&world->day.targets[i]);
        world->dirty &= ~(1u << i);
    }
}

/* Who was well all day, and could take everything, had its share of a group that shares. */
static void check_share(struct world_target *target)
{
    struct simulation *world = target->world;
    const struct world_day *day = &world->day;
    enum route_strategy strategy = day->groups[0].strategy;
    bool shares =
        strategy == ROUTE_WEIGHTED || strategy == ROUTE_LEAST_BUSY || strategy == ROUTE_LATENCY;
    bool takes_all = !target->target.traits.context_tokens && is_unpaced(target) &&
                     target->target.traits.tools != LLM_FALSE && !day->policy.cost_max_nano;
    if (group_of(world, target) == 0 && shares && takes_all && !target->phase_count &&
        !target->attempts)
        world_broken(world, INVARIANT_STARVED, -1, "target %d got nothing all day", target->index);
}

void shadow_day_end(struct simulation *world)
{
    for (int i = 0; i < world->day.target_count; i++) {
        struct world_target *target = &world->day.targets[i];
        struct cell_view view;
        look(target, &view);
        if (view.calls || view.waiting || target->calls)
            world_broken(world, INVARIANT_LEASES, -1,
                         "target %d has %d calls and %d waiting at the day's end", i, view.calls,
                         view.waiting);
        check_share(target);
    }
}
