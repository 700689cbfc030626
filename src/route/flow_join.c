/* Flow, joining: what of a second answer is shown behind the part of the first one that was shown
 * already.
 *
 * The ladder: a target that is known to continue an answer is given it as its own beginning
 * (PREFILL); else it is asked for the whole again, of which is dropped what equals the text that was
 * shown (SPLICE); at a difference it is left, and asked to go on behind the quoted text (CONTINUE).
 * A caller that can take text back needs no CONTINUE: at a difference it is rewound to there. */
#include "route/flow_internal.h"

#include <string.h>

bool flow_can_recover(const struct flow *flow)
{
    return flow->request.is_streamed && flow->policy->recovery != ROUTE_WHOLE &&
           !flow->unjoinable && !flow->too_long &&
           flow->recovery_count < flow->policy->recoveries_max;
}

enum route_mode flow_recovery_mode(const struct flow *flow, const struct flow_candidate *candidate)
{
    enum route_mode last = flow->policy->recovery;
    const struct target *target = candidate->target;
    if (flow->sent.len == 0)
        return ROUTE_SPLICE; /* no text was shown: any answer goes behind none */
    if (target->traits.prefill == LLM_TRUE && !candidate->prefill_refused &&
        !cell_refuses_prefill(target->cell))
        return ROUTE_PREFILL;
    if (last >= ROUTE_SPLICE && (!flow->has_differed || flow->ops->rewind))
        return ROUTE_SPLICE;
    return last >= ROUTE_CONTINUE ? ROUTE_CONTINUE : ROUTE_WHOLE;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

void flow_join_begin(struct flow *flow, enum route_mode mode)
{
    struct str sent = buf_str(&flow->sent);
    if (flow->join)
        join_done(flow->join);
    else
        flow->join = ARENA_NEW(flow->request.arena, struct join);
    flow->join_active = mode == ROUTE_SPLICE || mode == ROUTE_CONTINUE;
    if (flow->join_active)
        join_init(flow->join, sent, mode == ROUTE_SPLICE);
    flow->joint_pending = true;
    flow->trims = mode == ROUTE_PREFILL && sent.len && is_space(sent.data[sent.len - 1]);
}

static void note_joint(struct flow *flow, const struct flow_attempt *attempt)
{
    if (!flow->joint_pending)
        return;
    flow->joint_pending = false;
    if (!flow->joints)
        flow->joints = ARENA_NEW_ARRAY(flow->request.arena, FLOW_JOINTS_MAX, struct flow_joint);
    if (flow->joint_count < FLOW_JOINTS_MAX)
        flow->joints[flow->joint_count++] = (struct flow_joint){
            .text_bytes = flow->sent.len,
            .mode = attempt->mode,
            .from = flow->broke_target,
            .to = flow->candidates[attempt->candidate].target,
            .class = flow->broke_class,
        };
}

static void tell_text(struct flow *flow, struct flow_attempt *attempt, struct str text)
{
    if (!text.len || flow->state == FLOW_ENDED)
        return;
    note_joint(flow, attempt);
    attempt->was_shown = true;
    flow_note_text(flow, text);
    flow_tell(flow, &(struct llm_event){.kind = LLM_EVENT_TEXT, .text = text});
}

/* The second answer is another one: the caller goes back to where it begins to be, or the next rung
 * is tried. Whether the attempt goes on. */
static bool differs(struct flow *flow, int slot, struct str rest)
{
    struct flow_attempt *attempt = flow->attempts[slot];
    if (!flow->ops->rewind) {
        flow->has_differed = true;
        flow_end_attempt(flow, slot, FLOW_DIFFERED, true, NULL);
        flow->shown = -1;
        flow_next(flow);
        return false;
    }
    flow->sent.len = flow->join->matched;
    flow->ops->rewind(flow->user, flow->join->matched);
    if (flow->state == FLOW_ENDED)
        return false;
    note_joint(flow, attempt);
    tell_text(flow, attempt, rest);
    return flow->state != FLOW_ENDED;
}

/* Shows what of a piece is new; or, at the answer's end (`piece` is STR_NONE), what was held. */
static bool add_text(struct flow *flow, int slot, struct str piece)
{
    struct flow_attempt *attempt = flow->attempts[slot];
    if (!flow->join_active) {
        while (flow->trims && piece.len && is_space(piece.data[0]))
            piece = str_skip(piece, 1);
        flow->trims = flow->trims && !piece.len;
        tell_text(flow, attempt, piece);
        return flow->state != FLOW_ENDED;
    }
    bool had_differed = flow->join->state == JOIN_DIFFERS;
    struct str text = piece.data ? join_add(flow->join, piece) : join_finish(flow->join);
    flow->join_active = piece.data != NULL; /* once finished it is over */
    bool goes_on = true;
    if (flow->join->state == JOIN_DIFFERS && !had_differed)
        goes_on = differs(flow, slot, text);
    else
        tell_text(flow, attempt, text);
    return goes_on && flow->state != FLOW_ENDED;
}

/* Of the whole answer: an attempt that went on behind another one's text has counted its own part
 * only, and one that is under way may have counted less than was shown. */
struct llm_usage flow_joined_usage(const struct flow *flow, const struct flow_attempt *attempt,
                                   bool has_ended)
{
    struct llm_usage usage = attempt->usage;
    int64_t shown = llm_estimate_text(buf_str(&flow->sent));
    bool is_part = attempt->mode == ROUTE_PREFILL || attempt->mode == ROUTE_CONTINUE;
    if (usage.input_total < 0)
        usage.input_total = flow->request.needs->input_tokens;
    if (is_part || usage.output_total < (has_ended ? 0 : shown)) {
        usage.output_total = shown;
        usage.is_estimated = true;
    }
    return usage;
}

static void finish(struct flow *flow, int slot, const struct llm_event *event)
{
    struct flow_attempt *attempt = flow->attempts[slot];
    if (!add_text(flow, slot, STR_NONE))
        return;
    note_joint(flow, attempt);
    attempt->was_shown = true;
    struct llm_usage usage = flow_joined_usage(flow, attempt, true);
    flow_tell(flow, &(struct llm_event){.kind = LLM_EVENT_USAGE, .usage = usage});
    flow_tell(flow, event);
}

/* Of one attempt only: when the first one has shown some, what it thought is not thought again. */
static void show_reasoning(struct flow *flow, struct flow_attempt *attempt,
                           const struct llm_event *event)
{
    if (flow->reasoning_shown && !attempt->was_shown)
        return;
    flow->reasoning_shown = attempt->was_shown = true;
    flow_tell(flow, event);
}

void flow_show_joined(struct flow *flow, int slot, const struct llm_event *event)
{
    switch (event->kind) {
    case LLM_EVENT_TEXT:
        add_text(flow, slot, event->text.data ? event->text : STR(""));
        break;
    case LLM_EVENT_REASONING: /* of an answer whose text has begun it is of no use any more */
        if (flow->sent.len == 0)
            show_reasoning(flow, flow->attempts[slot], event);
        break;
    case LLM_EVENT_REFUSAL:
    case LLM_EVENT_TOOL_START:
    case LLM_EVENT_TOOL_ARGUMENTS:
    case LLM_EVENT_TOOL_END:
        if (!flow->unjoinable && !add_text(flow, slot, STR_NONE))
            break;
        note_joint(flow, flow->attempts[slot]);
        flow->attempts[slot]->was_shown = true;
        flow->unjoinable = true;
        flow_tell(flow, event);
        break;
    case LLM_EVENT_FINISH:
        finish(flow, slot, event);
        break;
    default:
        break;
    }
}
