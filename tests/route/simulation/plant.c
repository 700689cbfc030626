/* Plant: each mistake is made now and then, as mistakes are. None is made when none is planted. */
#include "plant.h"

#include "base/arena.h"
#include "base/list.h"
#include "world.h"

static bool is_planted(const struct world_request *request, enum plant plant)
{
    return request->world->options->plant == (int)plant;
}

/* ---- Among the actions ----------------------------------------------------------------------- */

/* The flow has ended, and its caller does not hear of it. */
static void lose_end(struct world_request *request)
{
    request->flow_is_dead = true;
}

static void finish_cut(struct world_request *request)
{
    caller_event(request, &(struct llm_event){.kind = LLM_EVENT_USAGE});
    caller_event(request, &(struct llm_event){.kind = LLM_EVENT_FINISH, .finish = LLM_FINISH_STOP});
}

/* What is told in place of an event; false: the event itself. */
static bool event_is_spoiled(struct world_request *request, const struct llm_event *event)
{
    bool now_and_then = request->id % 20 == 7;
    switch (event->kind) {
    case LLM_EVENT_END:
        if (is_planted(request, PLANT_END_TWICE) && now_and_then)
            caller_event(request, event);
        if (!is_planted(request, PLANT_END_LOST) || !now_and_then)
            return false;
        lose_end(request);
        return true;
    case LLM_EVENT_TEXT:
        if (is_planted(request, PLANT_TEXT_TWICE) && now_and_then)
            caller_event(request, event);
        return is_planted(request, PLANT_TEXT_LOST) && now_and_then;
    case LLM_EVENT_TOOL_END:
        return is_planted(request, PLANT_TOOL_END_LOST);
    case LLM_EVENT_USAGE:
        return is_planted(request, PLANT_USAGE_LOST) && now_and_then;
    case LLM_EVENT_ERROR:
        if (!is_planted(request, PLANT_CUT_IS_FINISHED) || !request->text_bytes ||
            request->tools_bytes)
            return false;
        finish_cut(request);
        return true;
    default:
        return false;
    }
}

static void spoil_event(void *user, const struct llm_event *event)
{
    if (!event_is_spoiled(user, event))
        caller_event(user, event);
}

static void spoil_rewind(void *user, size_t text_bytes)
{
    if (!is_planted(user, PLANT_REWIND_LOST))
        caller_rewind(user, text_bytes);
}

static void spoil_timer(void *user, uint64_t at_us)
{
    struct world_request *request = user;
    if (is_planted(request, PLANT_TIMER_LOST) && at_us == request->deadline_us)
        at_us = 0;
    if (is_planted(request, PLANT_TIMER_AT_ONCE) && at_us && at_us != request->deadline_us)
        at_us = request->world->now_us;
    world_ops.timer(user, at_us);
}

static void spoil_ledger(void *user, const struct flow_row *row)
{
    struct world_request *request = user;
    bool now_and_then = request->id % 20 == 7;
    if (is_planted(request, PLANT_ROW_LOST) && now_and_then)
        return;
    shadow_ledger(user, row);
    if (is_planted(request, PLANT_ROW_TWICE) && now_and_then)
        shadow_ledger(user, row);
    if (is_planted(request, PLANT_HEARD_AFTER_CANCEL) && row->outcome == FLOW_CANCELLED)
        caller_event(user, &(struct llm_event){.kind = LLM_EVENT_TEXT, .text = STR("more")});
}

static uint64_t now(void *user)
{
    return world_ops.now_us(user);
}

static void wake(void *user)
{
    world_ops.wake(user);
}

static void *wake_user(void *user)
{
    return world_ops.wake_user(user);
}

const struct flow_ops plant_ops = {
    .now_us = now,
    .moment_us = now,
    .start = answer_start,
    .cancel = answer_cancel,
    .timer = spoil_timer,
    .wake = wake,
    .wake_user = wake_user,
    .event = spoil_event,
    .raw = caller_raw,
    .rewind = spoil_rewind,
    .ledger = spoil_ledger,
};

/* ---- Around the flow ------------------------------------------------------------------------- */

/* It is given another policy than what the simulation holds it to. */
struct flow *flow_new(const struct flow_request *request, const struct flow_ops *ops, void *user)
{
    bool more = is_planted(user, PLANT_MORE_ATTEMPTS);
    bool later = is_planted(user, PLANT_LATER_DEADLINE);
    if (!more && !later)
        return plant_flow_new(request, ops, user);
    struct route_policy *policy = ARENA_NEW(request->arena, struct route_policy);
    struct route_plan *plan = ARENA_NEW(request->arena, struct route_plan);
    struct flow_request spoiled = *request;
    *policy = *request->plan->policy;
    *plan = *request->plan;
    policy->attempts_max += more;
    policy->attempts_total_max += 2 * more;
    policy->total_us *= later ? 2 : 1;
    plan->policy = policy;
    spoiled.plan = plan;
    return plant_flow_new(&spoiled, ops, user);
}

/* ---- Beneath the flow ------------------------------------------------------------------------ */

/* The limits that an ask names are those of a target of the day. */
static struct world_target *target_of(const struct cell_ask *ask)
{
    const struct target *target = LIST_ENTRY(ask->limits, struct target, limits);
    return LIST_ENTRY(target, struct world_target, target);
}

/* The verdict that this plant does not respect, or CELL_GRANTED. */
static enum cell_verdict ignored_by(const struct world_target *target)
{
    const struct simulation *world = target->world;
    bool is_open = target->breaker.is_open;
    switch (world->options->plant) {
    case PLANT_OPEN_ASKED: /* on other days only the cell itself could tell */
        return world->day.policy.breaker.ratio_percent ? CELL_GRANTED : CELL_OPEN;
    case PLANT_BENCHED_ASKED:
        return is_open ? CELL_GRANTED : CELL_BENCHED;
    case PLANT_PAUSED_ASKED:
        return is_open ? CELL_GRANTED : CELL_PAUSED;
    default:
        return CELL_GRANTED;
    }
}

static struct cell_limits limits_of(const struct world_target *target)
{
    struct cell_limits limits = target->target.limits;
    if (target->world->options->plant == PLANT_FULL_ASKED)
        limits.concurrency_max = 0;
    if (target->world->options->plant == PLANT_PACED_ASKED)
        limits.requests_per_minute = 0;
    return limits;
}

struct cell_answer plant_cell_acquire(struct cell *cell, const struct cell_ask *ask,
                                      struct cell_lease *ret_lease)
{
    struct world_target *target = target_of(ask);
    struct simulation *world = target->world;
    struct cell_limits limits = limits_of(target);
    struct cell_ask spoiled = *ask;
    struct cell_lease leaked;
    spoiled.limits = &limits;
    if (world->options->plant == PLANT_ALL_REFUSE && world->arrived % 20 == 7)
        return (struct cell_answer){CELL_OPEN, world->now_us + WORLD_SECOND};
    struct cell_answer answer = cell_acquire(cell, &spoiled, ret_lease);
    if (answer.verdict != CELL_GRANTED && answer.verdict == ignored_by(target)) {
        cell_restore(cell);
        answer = cell_acquire(cell, &spoiled, ret_lease);
    }
    if (answer.verdict == CELL_GRANTED && world->options->plant == PLANT_LEASE_LEAKED)
        cell_acquire(cell, &spoiled, &leaked);
    return answer;
}

size_t plant_pick(const struct route_group *group, const struct pick_entry *entries, size_t count,
                  const struct pick_context *context)
{
    const struct simulation *world = LIST_ENTRY(context->random, struct simulation, flow_random);
    return world->options->plant == PLANT_FIRST_PICKED ? 0 : pick(group, entries, count, context);
}

bool plant_llm_traits_fit(const struct llm_traits *traits, const struct llm_needs *needs,
                          const char **ret_lacks)
{
    const struct world_request *request = LIST_ENTRY(needs, struct world_request, needs);
    return is_planted(request, PLANT_UNFIT_ASKED) || llm_traits_fit(traits, needs, ret_lacks);
}
