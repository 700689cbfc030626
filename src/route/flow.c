/* Flow: what happens to one request. Between the router, which brings events and takes actions to
 * the world, and the cells, which know how each target is.
 *
 *   NEW --flow_begin: flow_next--> TRYING            an attempt was begun
 *                             \--> WAITING           every target is busy, paced or resting
 *                             \--> (an error)        nothing fits, nothing is left
 *   TRYING --first content: commit--> SHOWING        a hedge that lost is cancelled
 *   TRYING --failed: flow_next--> TRYING             another target, or the same one again
 *                            \--> WAITING            a backoff
 *                            \--> ENDED              flow_give_up: ERROR, END
 *   TRYING --flow_on_timer: flow_hedge--> TRYING     a second attempt beside the first
 *   WAITING --flow_on_timer, flow_on_wake: flow_next--> as above
 *   SHOWING --END: answered--> ENDED                 FINISH was shown
 *   SHOWING --failed: broke_off, flow_next--> TRYING a rung of recovery; what it brings is joined
 *   SHOWING --differed: flow_next--> TRYING          (flow_join.c) the next rung
 *   any --deadline--> ENDED                          ERROR (timeout), END
 *   any --flow_cancel--> ENDED                       nothing is heard
 */
#include "route/flow.h"

#include <stdatomic.h>
#include <string.h>

#include "route/flow_internal.h"

enum {
    HELD_BYTES_MAX = 64 * 1024, /* of events and bytes before the first content */
    HELD_EVENT_COST = 256,
    SENT_BYTES_MAX = 4 * 1024 * 1024,
};

const char *flow_outcome_name(enum flow_outcome outcome)
{
    static const char *const names[] = {"answered",  "failed", "cut",
                                        "cancelled", "lost",   "differed"};
    return names[outcome];
}

static uint64_t now_of(const struct flow *flow)
{
    return flow->ops->now_us(flow->user);
}

/* ---- State ----------------------------------------------------------------------------------- */

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return b && b < a ? b : a;
}

void flow_set_state(struct flow *flow, enum flow_state state)
{
    flow->state = state;
    uint64_t at = flow->deadline_us;
    if (state == FLOW_TRYING)
        at = sooner(at, flow->hedge_us);
    else if (state == FLOW_WAITING)
        at = sooner(sooner(at, flow->wait_until_us), flow->waiter.cell ? flow->queue_until_us : 0);
    flow->ops->timer(flow->user, state == FLOW_ENDED ? 0 : at);
}

/* It does something itself from now on; and: it waits for others again. The difference is what it
 * costs the caller. */
static void become_busy(struct flow *flow)
{
    if (!flow->committed && !flow->mark_us)
        flow->mark_us = now_of(flow);
}

void flow_become_idle(struct flow *flow)
{
    if (flow->mark_us)
        flow->overhead_us += flow->ops->moment_us(flow->user) - flow->mark_us;
    flow->mark_us = 0;
}

void flow_tell(struct flow *flow, const struct llm_event *event)
{
    flow->finished = flow->finished || event->kind == LLM_EVENT_FINISH;
    if (flow->state != FLOW_ENDED)
        flow->ops->event(flow->user, event);
}

static void tell_end(struct flow *flow)
{
    flow_set_state(flow, FLOW_ENDED);
    flow->ops->event(flow->user, &(struct llm_event){.kind = LLM_EVENT_END});
}

/* ---- A failure ------------------------------------------------------------------------------- */

void flow_give_up(struct flow *flow)
{
    cell_wait_end(&flow->waiter);
    flow_become_idle(flow);
    if (flow->beginning) {
        flow_set_state(flow, FLOW_ENDED);
        return;
    }
    flow_tell(flow, &(struct llm_event){.kind = LLM_EVENT_ERROR, .error = flow->error});
    if (flow->state != FLOW_ENDED)
        tell_end(flow);
}

/* Ends every attempt that is under way. */
static void cancel_attempts(struct flow *flow, enum flow_outcome outcome)
{
    for (int i = 0; i < FLOW_SLOTS; i++)
        if (flow_is_active(flow, i))
            flow_end_attempt(flow, i, outcome, true, NULL);
}

static bool has_active(const struct flow *flow)
{
    return flow_is_active(flow, 0) || flow_is_active(flow, 1);
}

/* By chance, up to a bound that doubles with every attempt; the provider's word is the floor. */
static uint64_t backoff_us(struct flow *flow, const struct flow_candidate *candidate)
{
    uint64_t bound = flow->policy->backoff_us;
    for (int i = 1; i < candidate->attempts && bound < flow->policy->backoff_max_us; i++)
        bound *= 2;
    if (bound > flow->policy->backoff_max_us)
        bound = flow->policy->backoff_max_us;
    uint64_t wait = random_below(flow->request.random, bound + 1);
    uint64_t floor =
        flow->error->retry_after_ms > 0 ? (uint64_t)flow->error->retry_after_ms * 1000 : 0;
    return wait > floor ? wait : floor;
}

/* A request that was too long for one target fits only those known to take more. */
static void rule_out_smaller(struct flow *flow, const struct target *target)
{
    for (size_t i = 0; i < flow->candidate_count; i++)
        if (flow->candidates[i].target->traits.context_tokens <= target->traits.context_tokens)
            flow->candidates[i].out = true;
}

/* A kept connection was dead. Where one attempt is all that is allowed, this was none. */
static void forgive(struct flow *flow, struct flow_candidate *candidate)
{
    if (flow->policy->attempts_max == 1 && !candidate->was_stale)
        candidate->attempts--;
    candidate->was_stale = true;
    candidate->out = candidate->attempts >= flow->policy->attempts_max;
}

/* What the failure means for asking this target again. */
static void judge(struct flow *flow, struct flow_candidate *candidate,
                  const struct attribution *attribution, enum route_mode mode)
{
    if (attribution->is_stale) {
        forgive(flow, candidate);
        return;
    }
    uint64_t wait = backoff_us(flow, candidate);
    if (attribution->enlarges)
        rule_out_smaller(flow, candidate->target);
    if (mode == ROUTE_PREFILL && flow->error->class == ERR_INVALID) {
        candidate->prefill_refused = true; /* the next rung, at once */
        cell_set_refuses_prefill(candidate->target->cell);
    } else if (!attribution->retries || candidate->attempts >= flow->policy->attempts_max ||
               wait > flow->policy->backoff_max_us) {
        candidate->out = true;
    } else {
        candidate->not_before_us = now_of(flow) + wait;
    }
}

/* What was shown has lost its source. */
static void broke_off(struct flow *flow, const struct flow_candidate *candidate)
{
    flow->broken = true;
    flow->shown = -1;
    flow->broke_target = candidate->target;
    flow->broke_class = flow->error->class;
}

/* END came after ERROR. */
static void failed(struct flow *flow, int slot)
{
    struct flow_attempt *attempt = flow->attempts[slot];
    struct flow_candidate *candidate = &flow->candidates[attempt->candidate];
    struct attribution attribution = attribution_of(flow->error);
    bool is_final = !attribution.retries && !attribution.leaves && !flow->broken;
    bool was_shown = flow->shown == slot;
    become_busy(flow);
    flow->last_failed = attempt->candidate;
    flow_end_attempt(flow, slot, attempt->was_shown ? FLOW_CUT : FLOW_FAILED, false, &attribution);
    judge(flow, candidate, &attribution, attempt->mode);
    if (was_shown)
        broke_off(flow, candidate);
    if (has_active(flow))
        return; /* a hedge goes on by itself */
    if (is_final)
        flow_give_up(flow);
    else
        flow_next(flow);
}

static void note_error(struct flow *flow, struct flow_attempt *attempt,
                       const struct llm_error *error)
{
    flow_keep_error(flow, error);
    attempt->has_failed = true;
}

/* ---- Showing --------------------------------------------------------------------------------- */

static void tell_held(struct flow *flow, struct flow_attempt *attempt)
{
    if (attempt->has_start)
        flow_tell(flow, &(struct llm_event){.kind = LLM_EVENT_START,
                                            .id = attempt->start_id,
                                            .model = attempt->start_model,
                                            .usage = attempt->usage,
                                            .is_whole = attempt->is_whole});
    for (struct flow_held *held = attempt->held_first; held; held = held->next)
        flow_tell(flow, &held->event);
    if (attempt->has_usage)
        flow_tell(flow, &(struct llm_event){.kind = LLM_EVENT_USAGE, .usage = attempt->usage});
}

/* Out of the attempt first: who hears it may cancel, which ends the attempt and what it holds. */
static void tell_held_raw(struct flow *flow, struct flow_attempt *attempt)
{
    struct buf raw = attempt->raw;
    buf_init(&attempt->raw, raw.bytes_max);
    if (raw.len)
        flow->ops->raw(flow->user, attempt->raw_type, buf_str(&raw));
    buf_done(&raw);
}

/* The first content of an attempt: from now on it is this one. */
static void commit(struct flow *flow, int slot)
{
    struct flow_attempt *attempt = flow->attempts[slot];
    bool is_first = !flow->committed;
    flow->shown = slot;
    flow->committed = true;
    if (flow_is_active(flow, !slot))
        flow_end_attempt(flow, !slot, FLOW_LOST, true, NULL);
    flow_set_state(flow, FLOW_SHOWING);
    if (!is_first)
        return;
    attempt->was_shown = true;
    tell_held_raw(flow, attempt);
    tell_held(flow, attempt);
    attempt->is_raw = attempt->is_raw && !attempt->raw_has_ended;
}

static void note_content(struct flow *flow, struct flow_attempt *attempt, bool is_whole)
{
    uint64_t now = now_of(flow);
    attempt->content_us = now > attempt->start_us ? now - attempt->start_us : 1;
    if (is_whole)
        cell_keep_content(&attempt->lease, attempt->content_us);
    else
        cell_note_content(&attempt->lease, now, attempt->content_us);
}

static void note_shown(struct flow *flow, struct flow_attempt *attempt,
                       const struct llm_event *event)
{
    attempt->was_shown = true;
    switch (event->kind) {
    case LLM_EVENT_TEXT:
        flow_note_text(flow, event->text);
        break;
    case LLM_EVENT_REASONING:
        flow->reasoning_shown = true;
        break;
    case LLM_EVENT_REFUSAL:
    case LLM_EVENT_TOOL_START:
    case LLM_EVENT_TOOL_ARGUMENTS:
    case LLM_EVENT_TOOL_END:
        flow->unjoinable = true;
        break;
    default:
        break;
    }
}

/* An event of the first answer. */
static void show(struct flow *flow, int slot, const struct llm_event *event)
{
    struct flow_attempt *attempt = flow->attempts[slot];
    if (llm_event_is_content(event->kind))
        note_shown(flow, attempt, event);
    if (event->kind == LLM_EVENT_FINISH && attempt->usage.output_total < 0) {
        flow_complete_usage(flow, attempt, FLOW_ANSWERED);
        flow_tell(flow, &(struct llm_event){.kind = LLM_EVENT_USAGE, .usage = attempt->usage});
    }
    flow_tell(flow, event);
}

/* ---- Before the first content ---------------------------------------------------------------- */

static void hold(struct flow *flow, struct flow_attempt *attempt, const struct llm_event *event)
{
    struct arena *arena = flow->request.arena;
    struct flow_held *held = ARENA_NEW(arena, struct flow_held);
    held->event = *event;
    held->event.text = arena_str(arena, event->text);
    held->event.item = arena_str(arena, event->item);
    held->event.opaque.dialect = arena_str(arena, event->opaque.dialect);
    held->event.opaque.model = arena_str(arena, event->opaque.model);
    held->event.opaque.kind = arena_str(arena, event->opaque.kind);
    held->event.opaque.data = arena_str(arena, event->opaque.data);
    if (attempt->held_last)
        attempt->held_last->next = held;
    else
        attempt->held_first = held;
    attempt->held_last = held;
    attempt->held_bytes += HELD_EVENT_COST + event->text.len + event->opaque.data.len;
}

static bool is_substance(const struct llm_event *event)
{
    bool is_text = event->kind == LLM_EVENT_TEXT || event->kind == LLM_EVENT_REASONING ||
                   event->kind == LLM_EVENT_REFUSAL;
    return llm_event_is_content(event->kind) && (!is_text || event->text.len > 0);
}

static struct str keep(const struct flow *flow, const struct llm_event *event, struct str text)
{
    return event->is_whole ? text : arena_str(flow->request.arena, text);
}

/* Whether the event is what the attempt is committed by; else it is kept. */
static bool commits(struct flow *flow, struct flow_attempt *attempt, const struct llm_event *event)
{
    if (is_substance(event) || event->kind == LLM_EVENT_FINISH)
        return true;
    if (event->kind == LLM_EVENT_START) {
        attempt->has_start = true;
        attempt->is_whole = event->is_whole;
        attempt->start_id = keep(flow, event, event->id);
        attempt->start_model = keep(flow, event, event->model);
    } else if (event->kind != LLM_EVENT_USAGE && !flow->broken) {
        if (attempt->held_bytes > HELD_BYTES_MAX)
            return true; /* more than is kept: it cannot be taken back any more */
        hold(flow, attempt, event);
    }
    return false;
}

/* ---- What happens ---------------------------------------------------------------------------- */

static void answered(struct flow *flow, int slot)
{
    flow_end_attempt(flow, slot, FLOW_ANSWERED, false, NULL);
    tell_end(flow);
}

static void on_answer_event(struct flow *flow, int slot, const struct llm_event *event)
{
    struct flow_attempt *attempt = flow->attempts[slot];
    flow_count_output(flow, attempt, event);
    if (!attempt->content_us && is_substance(event))
        note_content(flow, attempt, event->is_whole);
    if (flow->shown != slot) {
        if (!commits(flow, attempt, event))
            return;
        commit(flow, slot);
    }
    if (flow->state == FLOW_ENDED)
        return; /* by the caller, who has heard what was held */
    if (flow->broken)
        flow_show_joined(flow, slot, event);
    else
        show(flow, slot, event);
}

void flow_on_event(struct flow *flow, int slot, const struct llm_event *event)
{
    struct flow_attempt *attempt = flow->attempts[slot];
    static const struct llm_error gave_up = {
        .class = ERR_SERVER, .retry_after_ms = -1, .message = "the provider gave the answer up"};
    if (!flow_is_active(flow, slot) || flow->state == FLOW_ENDED)
        return;
    if (event->kind == LLM_EVENT_END && attempt->has_failed)
        failed(flow, slot);
    else if (event->kind == LLM_EVENT_END)
        answered(flow, slot);
    else if (attempt->has_failed)
        ;
    else if (event->kind == LLM_EVENT_ERROR)
        note_error(flow, attempt, event->error);
    else if (event->kind == LLM_EVENT_FINISH && event->finish == LLM_FINISH_ERROR)
        note_error(flow, attempt, &gave_up);
    else
        on_answer_event(flow, slot, event);
}

static void hold_raw(struct flow *flow, int slot, struct str content_type, struct str bytes)
{
    struct flow_attempt *attempt = flow->attempts[slot];
    if (!attempt->raw_type.data)
        attempt->raw_type = arena_str(flow->request.arena, content_type);
    buf_append(&attempt->raw, bytes);
    if (attempt->raw.len > HELD_BYTES_MAX)
        commit(flow, slot);
}

/* What follows has no bytes. */
static void end_raw(struct flow_attempt *attempt)
{
    attempt->raw_has_ended = true;
    attempt->is_raw = attempt->is_raw && attempt->raw.len > 0; /* what is held has */
}

void flow_on_raw(struct flow *flow, int slot, struct str content_type, struct str bytes)
{
    struct flow_attempt *attempt = flow->attempts[slot];
    if (!flow_is_active(flow, slot) || flow->state == FLOW_ENDED || flow->broken)
        return;
    if (flow->shown != slot && bytes.len && !flow->request.is_streamed)
        commit(flow, slot); /* a whole answer, which was understood */
    if (!bytes.len)
        end_raw(attempt);
    else if (flow->shown == slot)
        flow->ops->raw(flow->user, content_type, bytes);
    else
        hold_raw(flow, slot, content_type, bytes);
}

void flow_on_head(struct flow *flow, int slot, uint64_t connect_us, const struct llm_limits *limits)
{
    if (flow_is_active(flow, slot))
        cell_note_head(&flow->attempts[slot]->lease, now_of(flow), connect_us, limits);
}

static void deadline_passed(struct flow *flow)
{
    if (flow->finished) { /* the caller has the whole answer: END is all that is missing */
        flow_end_attempt(flow, flow->shown, FLOW_ANSWERED, true, NULL);
        tell_end(flow);
        return;
    }
    flow_set_error(flow, ERR_TIMEOUT, "total", -1, "the answer took longer than %llu ms",
                   (unsigned long long)(flow->policy->total_us / 1000));
    for (int i = 0; i < FLOW_SLOTS; i++)
        if (flow_is_active(flow, i))
            flow_end_attempt(flow, i, flow->attempts[i]->was_shown ? FLOW_CUT : FLOW_FAILED, true,
                             NULL);
    flow_give_up(flow);
}

void flow_on_timer(struct flow *flow)
{
    uint64_t now = now_of(flow);
    if (flow->state == FLOW_ENDED)
        return;
    if (now >= flow->deadline_us) {
        deadline_passed(flow);
    } else if (flow->state == FLOW_WAITING) {
        become_busy(flow);
        flow_next(flow);
    } else if (flow->state == FLOW_TRYING && flow->hedge_us && now >= flow->hedge_us) {
        flow->hedge_us = 0;
        flow_hedge(flow);
    } else {
        flow_set_state(flow, flow->state); /* it came early */
    }
}

void flow_on_wake(struct flow *flow)
{
    if (flow->state != FLOW_WAITING)
        return;
    become_busy(flow);
    flow_next(flow);
}

/* ---- Life ------------------------------------------------------------------------------------ */

static void add_candidates(struct flow *flow)
{
    const struct route_plan *plan = flow->request.plan;
    flow->candidates =
        ARENA_NEW_ARRAY(flow->request.arena, plan->target_count, struct flow_candidate);
    for (size_t g = 0; g < plan->group_count; g++)
        for (size_t i = 0; i < plan->groups[g].count; i++)
            flow->candidates[flow->candidate_count++] =
                (struct flow_candidate){.target = plan->groups[g].targets[i], .group = (uint8_t)g};
}

struct flow *flow_new(const struct flow_request *request, const struct flow_ops *ops, void *user)
{
    struct flow *flow = ARENA_NEW(request->arena, struct flow);
    flow->request = *request;
    flow->ops = ops;
    flow->user = user;
    flow->policy = request->plan->policy;
    flow->start_us = flow->mark_us = ops->now_us(user);
    flow->deadline_us = flow->start_us + flow->policy->total_us;
    flow->shown = -1;
    flow->attempts[0] = ARENA_NEW(request->arena, struct flow_attempt);
    buf_init(&flow->sent, SENT_BYTES_MAX);
    add_candidates(flow);
    return flow;
}

void flow_done(struct flow *flow)
{
    buf_done(&flow->sent);
    for (int i = 0; i < FLOW_SLOTS; i++)
        if (flow->attempts[i])
            buf_done(&flow->attempts[i]->raw);
    if (flow->join)
        join_done(flow->join);
}

enum err flow_begin(struct flow *flow, struct llm_error *ret_error)
{
    struct route_live *live = flow->request.plan->live;
    if (live)
        atomic_fetch_add(&live->requests, 1);
    flow->beginning = true;
    if (flow_rule_out_unfit(flow))
        flow_next(flow);
    else
        flow_give_up(flow);
    flow->beginning = false;
    if (flow->state != FLOW_ENDED)
        return ERR_OK;
    *ret_error = *flow->error;
    return flow->error->class;
}

void flow_cancel(struct flow *flow, struct llm_usage *ret_usage)
{
    int slot = flow_slot(flow);
    if (ret_usage)
        *ret_usage = LLM_USAGE_UNKNOWN;
    if (flow->state == FLOW_ENDED)
        return;
    cell_wait_end(&flow->waiter);
    cancel_attempts(flow, FLOW_CANCELLED);
    if (ret_usage && flow->broken)
        *ret_usage = flow_joined_usage(flow, flow->attempts[slot], false);
    else if (ret_usage && flow->attempt_count)
        *ret_usage = flow->attempts[slot]->usage;
    flow_set_state(flow, FLOW_ENDED);
}

/* ---- Asking ---------------------------------------------------------------------------------- */

int flow_slot(const struct flow *flow)
{
    return flow->shown >= 0 ? flow->shown : flow->newest;
}

const struct target *flow_target(const struct flow *flow)
{
    return flow->candidates[flow->attempts[flow_slot(flow)]->candidate].target;
}

bool flow_is_raw(const struct flow *flow)
{
    return flow->shown >= 0 && flow->attempts[flow->shown]->is_raw;
}

int flow_attempts(const struct flow *flow)
{
    return flow->attempt_count;
}

uint64_t flow_overhead_us(const struct flow *flow)
{
    uint64_t running_us = flow->mark_us ? flow->ops->moment_us(flow->user) - flow->mark_us : 0;
    return flow->overhead_us + running_us;
}

size_t flow_joints(const struct flow *flow, const struct flow_joint **ret_joints)
{
    *ret_joints = flow->joints;
    return flow->joint_count;
}

size_t flow_failures(const struct flow *flow, const struct flow_failure **ret_failures)
{
    *ret_failures = flow->failures;
    return flow->failure_count;
}
