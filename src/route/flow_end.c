/* Flow, the end of an attempt: what went wrong is kept, what it wrote is counted, its place goes back,
 * the cell hears how the target was, and the ledger gets its one row. */
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/utf8.h"
#include "route/flow_internal.h"

/* ---- Errors ---------------------------------------------------------------------------------- */

static struct llm_error *error_of(struct flow *flow)
{
    if (!flow->error)
        flow->error = ARENA_NEW(flow->request.arena, struct llm_error);
    return flow->error;
}

void flow_set_error(struct flow *flow, enum err class, const char *code, int64_t retry_after_ms,
                    const char *format, ...)
{
    struct llm_error *error = error_of(flow);
    va_list arguments;
    *error = (struct llm_error){.class = class, .retry_after_ms = retry_after_ms};
    snprintf(error->code, sizeof error->code, "%s", code);
    va_start(arguments, format);
    int length = vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    if (length >= (int)sizeof error->message)
        error->message[utf8_cut(STR_FROM(error->message, sizeof error->message - 1),
                                sizeof error->message - 1)] = '\0';
}

void flow_keep_error(struct flow *flow, const struct llm_error *error)
{
    *error_of(flow) = *error;
}

/* ---- Counting -------------------------------------------------------------------------------- */

static bool keeps_text(const struct flow *flow)
{
    bool may_join = flow->policy->recovery != ROUTE_WHOLE && flow->request.is_streamed;
    return may_join && !flow->too_long;
}

/* It is too long; of the first answer it has not been counted yet. */
static void forget_text(struct flow *flow, struct str text)
{
    if (!flow->broken) {
        struct llm_estimate *output = &flow->attempts[flow->shown]->output;
        llm_estimate_add_long(output, buf_str(&flow->sent));
        llm_estimate_add_long(output, text);
    }
    flow->too_long = true;
    buf_release(&flow->sent);
}

void flow_note_text(struct flow *flow, struct str text)
{
    if (!keeps_text(flow))
        return;
    buf_append(&flow->sent, text);
    if (!buf_ok(&flow->sent))
        forget_text(flow, text);
}

/* A whole answer that says what it used need not be counted. Nor does a text that is kept, which
 * is counted at the end if the provider has not told by then. */
void flow_count_output(const struct flow *flow, struct flow_attempt *attempt,
                       const struct llm_event *event)
{
    bool is_counted = (event->is_whole && attempt->usage.output_total >= 0) ||
                      (event->kind == LLM_EVENT_TEXT && !flow->broken && keeps_text(flow));
    attempt->has_usage = attempt->has_usage || event->kind == LLM_EVENT_USAGE;
    if (event->kind == LLM_EVENT_USAGE || (event->kind == LLM_EVENT_START && event->is_whole))
        attempt->usage = event->usage;
    else if (llm_event_is_content(event->kind) && !is_counted)
        llm_estimate_add_long(&attempt->output, event->text);
}

/* The text of the first answer is counted only now, if it was kept. */
static int64_t counted_output(const struct flow *flow, const struct flow_attempt *attempt)
{
    struct llm_estimate output = attempt->output;
    bool is_shown = flow->shown >= 0 && flow->attempts[flow->shown] == attempt;
    if (is_shown && !flow->broken)
        llm_estimate_add_long(&output, buf_str(&flow->sent));
    return llm_estimate_tokens(&output);
}

void flow_complete_usage(const struct flow *flow, struct flow_attempt *attempt,
                         enum flow_outcome outcome)
{
    struct llm_usage *usage = &attempt->usage;
    bool has_ended = outcome == FLOW_ANSWERED || outcome == FLOW_FAILED;
    bool must_count = usage->output_total < 0 || !has_ended;
    int64_t counted = must_count ? counted_output(flow, attempt) : 0;
    if (outcome == FLOW_FAILED && !attempt->content_us)
        return;
    if (usage->input_total < 0) {
        usage->input_total = flow->request.needs->input_tokens;
        usage->is_estimated = true;
    }
    if (usage->output_total < 0 || (!has_ended && usage->output_total < counted)) {
        usage->output_total = counted;
        usage->is_estimated = true;
    }
}

/* ---- Its books ------------------------------------------------------------------------------- */

static int64_t tokens_of(const struct llm_usage *usage)
{
    if (usage->input_total < 0 && usage->output_total < 0)
        return -1;
    return (usage->input_total > 0 ? usage->input_total : 0) +
           (usage->output_total > 0 ? usage->output_total : 0);
}

static void tell_cell(struct flow *flow, struct flow_attempt *attempt, enum flow_outcome outcome,
                      const struct attribution *attribution, uint64_t now)
{
    const struct llm_error *error = flow->error;
    struct cell *cell = attempt->lease.cell;
    int64_t tokens = tokens_of(&attempt->usage);
    if (outcome == FLOW_ANSWERED || outcome == FLOW_DIFFERED)
        cell_succeed(&attempt->lease, &flow->policy->breaker, now, tokens);
    else if (attribution && attribution->counts)
        cell_fail(&attempt->lease, &flow->policy->breaker, now, tokens, error->class,
                  error->message,
                  error->retry_after_ms > 0 ? (uint64_t)error->retry_after_ms * 1000 : 0,
                  flow->request.random);
    else
        cell_forget(&attempt->lease, now, tokens);
    if (attribution && attribution->benches) {
        cell_note_error(cell, now, error->class, error->message);
        cell_bench(cell, now + flow->policy->bench_us, error->message);
    }
}

static void count_cost(struct flow *flow, const struct flow_attempt *attempt, int64_t cost_nano)
{
    struct route_live *live = flow->request.plan->live;
    if (cost_nano < 0)
        return;
    flow->cost_nano += cost_nano;
    if (!live)
        return;
    atomic_fetch_add(&live->spent_nano, cost_nano);
    if (attempt->is_hedge)
        atomic_fetch_add(&live->hedge_spent_nano, cost_nano);
}

static void note_failure(struct flow *flow, const struct target *target)
{
    if (!flow->failures)
        flow->failures = ARENA_NEW_ARRAY(flow->request.arena, FLOW_JOINTS_MAX, struct flow_failure);
    if (flow->failure_count < FLOW_JOINTS_MAX)
        flow->failures[flow->failure_count++] = (struct flow_failure){target, flow->error->class};
}

void flow_end_attempt(struct flow *flow, int slot, enum flow_outcome outcome, bool is_cancelled,
                      const struct attribution *attribution)
{
    struct flow_attempt *attempt = flow->attempts[slot];
    const struct target *target = flow->candidates[attempt->candidate].target;
    uint64_t now = flow->ops->now_us(flow->user);
    attempt->active = false;
    if (is_cancelled)
        flow->ops->cancel(flow->user, slot, &attempt->usage);
    flow_complete_usage(flow, attempt, outcome);
    tell_cell(flow, attempt, outcome, attribution, now);
    bool has_failed = outcome == FLOW_FAILED || outcome == FLOW_CUT;
    struct flow_row row = {
        .slot = slot,
        .target = target,
        .number = attempt->number,
        .mode = attempt->mode,
        .outcome = outcome,
        .is_hedge = attempt->is_hedge,
        .is_probe = attempt->is_probe,
        .error = has_failed ? flow->error : NULL,
        .usage = attempt->usage,
        .cost_nano = target->has_price ? price_cost_nano(&target->price, &attempt->usage) : -1,
        .start_us = attempt->start_us,
        .first_content_us = attempt->content_us,
        .end_us = now - attempt->start_us,
    };
    count_cost(flow, attempt, row.cost_nano);
    if (has_failed)
        note_failure(flow, target);
    buf_done(&attempt->raw);
    flow->ops->ledger(flow->user, &row);
}
