/* For tests of the flow: a world with a clock that stands still, targets with real cells, attempts
 * that do what the test says, and a record of everything that was done and told.
 *
 * What the caller hears is written down as text, a word for each event: "<a/m" START with its id,
 * "'Hel'" TEXT, "~hm" REASONING, "no!" REFUSAL, "opaque", "tool", "arguments", "tool-end", "7/2"
 * USAGE ("7/2?" when estimated), "stop" FINISH, "error(timeout)", "end", "raw(bytes)",
 * "rewind(3)". A star before an event: it came as bytes too. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "llm/estimate.h"
#include "route/flow.h"

#define S ((uint64_t)1000 * 1000)

enum { WORLD_TARGETS = 3, WORLD_STARTS_MAX = 64 };

/* An attempt that was begun. */
struct world_start {
    int slot;
    int target;
    enum route_mode mode;
    char partial[64];
    uint64_t at_us;
    uint64_t total_us;
};

struct world_row {
    struct flow_row row;
    enum err class; /* ERR_OK: no error */
};

struct world {
    struct arena *arena;
    struct cells *cells;
    struct random random;
    struct random chance; /* of what the test itself does to cells */
    uint64_t now_us;
    uint64_t timer_us; /* 0: none */
    struct target targets[WORLD_TARGETS];
    const struct target *order[WORLD_TARGETS];
    struct route_group groups[WORLD_TARGETS];
    struct route_policy policy;
    struct route_live *live;
    struct route_plan plan;
    struct llm_needs needs;
    struct flow_ops ops;
    struct flow_request request;
    struct flow *flow;
    struct buf heard;
    int heard_count;   /* callbacks */
    int cancel_at;     /* within that one; 0: never */
    bool is_cancelled; /* by that or by the test: nothing more may be heard */
    bool has_ended;    /* END was heard */
    bool was_refused;  /* flow_begin has failed */
    bool raw;          /* attempts pass bytes through */
    struct llm_usage cancel_usage;
    struct llm_usage provider_usage; /* what ops.cancel says */
    enum err refuse_start[WORLD_TARGETS];
    struct world_start starts[WORLD_STARTS_MAX];
    int start_count;
    struct world_row rows[WORLD_STARTS_MAX];
    int row_count;
    int wakes;
    bool is_active[FLOW_SLOTS];
    uint64_t takes_us; /* what the flow does at now_us */
};

/* ---- What the flow does ---------------------------------------------------------------------- */

static inline uint64_t world_now(void *user)
{
    return ((struct world *)user)->now_us;
}

static inline uint64_t world_moment(void *user)
{
    const struct world *w = user;
    return w->now_us + w->takes_us;
}

static inline enum err world_start(void *user, struct flow_start *start,
                                   struct llm_error *ret_error)
{
    struct world *w = user;
    int target = (int)(start->target - w->targets);
    assert_false(w->is_active[start->slot]);
    if (w->refuse_start[target] != ERR_OK) {
        *ret_error = (struct llm_error){.class = w->refuse_start[target],
                                        .retry_after_ms = -1,
                                        .field = "messages",
                                        .message = "cannot be said there"};
        return w->refuse_start[target];
    }
    assert_true(w->start_count < WORLD_STARTS_MAX);
    struct world_start *record = &w->starts[w->start_count++];
    *record = (struct world_start){.slot = start->slot,
                                   .target = target,
                                   .mode = start->mode,
                                   .at_us = w->now_us,
                                   .total_us = start->total_us};
    assert_int_equal(start->number, w->start_count);
    str_copy(start->partial, record->partial, sizeof record->partial);
    start->passes_through = w->raw && start->mode == ROUTE_WHOLE;
    w->is_active[start->slot] = true;
    return ERR_OK;
}

static inline void world_cancel(void *user, int slot, struct llm_usage *ret_usage)
{
    struct world *w = user;
    assert_true(w->is_active[slot]);
    w->is_active[slot] = false;
    if (w->provider_usage.input_total >= 0)
        *ret_usage = w->provider_usage;
}

static inline void world_timer(void *user, uint64_t at_us)
{
    ((struct world *)user)->timer_us = at_us;
}

static inline void world_wake(void *user)
{
    ((struct world *)user)->wakes++;
}

static inline void *world_wake_user(void *user)
{
    return user;
}

/* Something was told: perhaps the caller has had enough. */
static inline void world_heard(struct world *w)
{
    assert_false(w->is_cancelled);
    if (++w->heard_count != w->cancel_at)
        return;
    w->is_cancelled = true;
    flow_cancel(w->flow, &w->cancel_usage);
}

static inline void world_write_event(struct buf *out, const struct llm_event *event)
{
    static const char *const words[] = {[LLM_EVENT_OPAQUE] = "opaque ",
                                        [LLM_EVENT_TOOL_START] = "tool ",
                                        [LLM_EVENT_TOOL_ARGUMENTS] = "arguments ",
                                        [LLM_EVENT_TOOL_END] = "tool-end ",
                                        [LLM_EVENT_END] = "end "};
    if (event->kind == LLM_EVENT_START)
        buf_printf(out, "<%.*s ", STR_ARG(event->id));
    else if (event->kind == LLM_EVENT_TEXT)
        buf_printf(out, "'%.*s' ", STR_ARG(event->text));
    else if (event->kind == LLM_EVENT_REASONING)
        buf_printf(out, "~%.*s ", STR_ARG(event->text));
    else if (event->kind == LLM_EVENT_REFUSAL)
        buf_printf(out, "%.*s! ", STR_ARG(event->text));
    else if (event->kind == LLM_EVENT_USAGE)
        buf_printf(out, "%d/%d%s ", (int)event->usage.input_total, (int)event->usage.output_total,
                   event->usage.is_estimated ? "?" : "");
    else if (event->kind == LLM_EVENT_FINISH)
        buf_printf(out, "%s ", llm_finish_name(event->finish));
    else if (event->kind == LLM_EVENT_ERROR)
        buf_printf(out, "error(%s) ", err_info(event->error->class)->name);
    else
        buf_append(out, str_from_cstr(words[event->kind]));
}

static inline void world_event(void *user, const struct llm_event *event)
{
    struct world *w = user;
    assert_false(w->has_ended);
    if (flow_is_raw(w->flow))
        buf_append_char(&w->heard, '*');
    world_write_event(&w->heard, event);
    w->has_ended = event->kind == LLM_EVENT_END;
    world_heard(w);
}

static inline void world_raw(void *user, struct str content_type, struct str bytes)
{
    struct world *w = user;
    assert_true(str_eq(content_type, STR("text/x")));
    buf_printf(&w->heard, "raw(%.*s) ", STR_ARG(bytes));
    world_heard(w);
    assert_true(bytes.len > 0 && bytes.data[0]); /* they live until this returns */
}

static inline void world_rewind(void *user, size_t text_bytes)
{
    struct world *w = user;
    buf_printf(&w->heard, "rewind(%zu) ", text_bytes);
    world_heard(w);
}

static inline void world_ledger(void *user, const struct flow_row *row)
{
    struct world *w = user;
    assert_true(w->row_count < w->start_count);
    w->rows[w->row_count++] =
        (struct world_row){.row = *row, .class = row->error ? row->error->class : ERR_OK};
}

static const struct flow_ops world_ops = {
    .now_us = world_now,
    .moment_us = world_moment,
    .start = world_start,
    .cancel = world_cancel,
    .timer = world_timer,
    .wake = world_wake,
    .wake_user = world_wake_user,
    .event = world_event,
    .raw = world_raw,
    .ledger = world_ledger,
};

/* ---- Making and ending ----------------------------------------------------------------------- */

static inline int world_setup(void **state)
{
    static const char *const ids[] = {"a/m", "b/m", "c/m"};
    struct world *w = calloc(1, sizeof *w);
    w->arena = arena_new(64 * 1024 * 1024);
    w->cells = cells_new();
    random_init(&w->random, 7);
    random_init(&w->chance, 8);
    w->now_us = 1000 * S;
    w->ops = world_ops;
    w->policy = route_policy_default;
    w->needs.input_tokens = 10;
    w->provider_usage = LLM_USAGE_UNKNOWN;
    w->live = cells_route(w->cells, STR("r"));
    buf_init(&w->heard, 1024 * 1024);
    for (size_t i = 0; i < WORLD_TARGETS; i++) {
        w->order[i] = &w->targets[i];
        w->groups[i] = (struct route_group){.targets = &w->order[i], .count = 1};
        w->targets[i] = (struct target){.id = str_from_cstr(ids[i]),
                                        .model = STR("m"),
                                        .limits = {.waiters_max = 2},
                                        .cell = cells_get(w->cells, str_from_cstr(ids[i]))};
    }
    w->plan = (struct route_plan){.name = STR("r"),
                                  .policy = &w->policy,
                                  .groups = w->groups,
                                  .group_count = 1,
                                  .target_count = 1,
                                  .live = w->live};
    w->request = (struct flow_request){.plan = &w->plan,
                                       .needs = &w->needs,
                                       .is_streamed = true,
                                       .arena = w->arena,
                                       .random = &w->random};
    *state = w;
    return 0;
}

/* So many targets, each the fallback of the one before. */
static inline void world_chain(struct world *w, size_t count)
{
    w->plan.group_count = w->plan.target_count = count;
}

static inline enum err world_try_begin(struct world *w, struct llm_error *ret_error)
{
    w->flow = flow_new(&w->request, &w->ops, w);
    enum err code = flow_begin(w->flow, ret_error);
    assert_int_equal(w->heard_count, 0); /* whatever becomes of it is told later */
    w->was_refused = code != ERR_OK;
    assert_non_null(flow_target(w->flow));
    return code;
}

static inline void world_begin(struct world *w)
{
    struct llm_error error;
    if (world_try_begin(w, &error) != ERR_OK)
        fail_msg("flow_begin: %s", error.message);
}

/* What holds at the end of every flow, however it came: the caller has heard of it once, each start
 * has its one row, and nothing is left at any target. */
static inline void world_check_end(struct world *w)
{
    assert_int_equal(
        w->has_ended + w->was_refused + w->is_cancelled - (w->has_ended && w->is_cancelled), 1);
    assert_int_equal(w->row_count, w->start_count);
    assert_int_equal(w->timer_us, 0);
    assert_false(w->is_active[0] || w->is_active[1]);
    for (size_t i = 0; i < WORLD_TARGETS; i++) {
        struct cell_view view;
        cell_look(w->targets[i].cell, &w->targets[i].limits, &w->policy.breaker, w->now_us, &view);
        assert_int_equal(view.calls + view.waiting, 0);
    }
}

static inline int world_teardown(void **state)
{
    struct world *w = *state;
    if (w->flow) {
        world_check_end(w);
        flow_done(w->flow);
    }
    buf_done(&w->heard);
    cells_free(w->cells);
    arena_free(w->arena);
    free(w);
    return 0;
}

/* The same once more: another flow in the same world, whose past its cells remember. */
static inline void world_again(struct world *w)
{
    world_check_end(w);
    flow_done(w->flow);
    w->flow = NULL;
    w->start_count = w->row_count = w->heard_count = 0;
    w->has_ended = w->was_refused = w->is_cancelled = false;
    buf_clear(&w->heard);
}

/* ---- What happens ---------------------------------------------------------------------------- */

static inline void world_say(struct world *w, int slot, struct llm_event event)
{
    if (event.kind == LLM_EVENT_END)
        w->is_active[slot] = false;
    flow_on_event(w->flow, slot, &event);
}

static inline void say_start(struct world *w, int slot)
{
    struct str id = w->targets[w->starts[w->start_count - 1].target].id;
    for (int i = 0; i < w->start_count; i++)
        if (w->starts[i].slot == slot)
            id = w->targets[w->starts[i].target].id;
    world_say(w, slot, (struct llm_event){.kind = LLM_EVENT_START, .id = id});
}

static inline void say_text(struct world *w, int slot, const char *text)
{
    world_say(w, slot, (struct llm_event){.kind = LLM_EVENT_TEXT, .text = str_from_cstr(text)});
}

static inline void say(struct world *w, int slot, enum llm_event_kind kind)
{
    world_say(w, slot, (struct llm_event){.kind = kind, .text = STR("x")});
}

static inline void say_usage(struct world *w, int slot, int64_t input, int64_t output)
{
    struct llm_usage usage = LLM_USAGE_UNKNOWN;
    usage.input_total = input;
    usage.output_total = output;
    world_say(w, slot, (struct llm_event){.kind = LLM_EVENT_USAGE, .usage = usage});
}

static inline void say_stop(struct world *w, int slot)
{
    world_say(w, slot, (struct llm_event){.kind = LLM_EVENT_FINISH, .finish = LLM_FINISH_STOP});
    say(w, slot, LLM_EVENT_END);
}

/* The attempt fails, as an answer of that status (0: none) would. */
static inline void say_error(struct world *w, int slot, enum err class, int status,
                             int64_t retry_after_ms)
{
    const struct llm_error error = {.class = class,
                                    .http_status = status,
                                    .retry_after_ms = retry_after_ms,
                                    .message = "it said no"};
    world_say(w, slot, (struct llm_event){.kind = LLM_EVENT_ERROR, .error = &error});
    say(w, slot, LLM_EVENT_END);
}

/* START and a first text. */
static inline void say_begun(struct world *w, int slot, const char *text)
{
    say_start(w, slot);
    say_text(w, slot, text);
}

static inline void say_raw(struct world *w, int slot, const char *bytes)
{
    flow_on_raw(w->flow, slot, STR("text/x"), str_from_cstr(bytes));
}

/* Time passes until the timer, which fires. */
static inline void fire(struct world *w)
{
    assert_true(w->timer_us > 0);
    if (w->timer_us > w->now_us)
        w->now_us = w->timer_us;
    flow_on_timer(w->flow);
}

static inline void cancel_it(struct world *w)
{
    w->is_cancelled = true;
    flow_cancel(w->flow, &w->cancel_usage);
}

/* ---- Cells ----------------------------------------------------------------------------------- */

/* Somebody else's call there. */
static inline struct cell_lease occupy(struct world *w, int target)
{
    struct cell_lease lease;
    const struct cell_ask ask = {
        .now_us = w->now_us, .limits = &w->targets[target].limits, .breaker = &w->policy.breaker};
    assert_int_equal(cell_acquire(w->targets[target].cell, &ask, &lease).verdict, CELL_GRANTED);
    return lease;
}

static inline struct cell_view look_at(struct world *w, int target)
{
    struct cell_view view;
    cell_look(w->targets[target].cell, &w->targets[target].limits, &w->policy.breaker, w->now_us,
              &view);
    return view;
}

/* Others have failed there so often that the breaker opens. */
static inline void open_breaker(struct world *w, int target)
{
    for (int i = 0; i < w->policy.breaker.failures_max; i++) {
        struct cell_lease lease = occupy(w, target);
        cell_fail(&lease, &w->policy.breaker, w->now_us, -1, ERR_SERVER, "broken", 0, &w->chance);
    }
    assert_int_equal(look_at(w, target).verdict, CELL_OPEN);
}

/* Others have had their first content there so fast, often enough for a 95th percentile. */
static inline void make_known(struct world *w, int target, uint64_t first_content_us)
{
    for (int i = 0; i < LATENCY_SAMPLES_MIN; i++) {
        struct cell_lease lease = occupy(w, target);
        cell_note_content(&lease, w->now_us, first_content_us);
        cell_succeed(&lease, &w->policy.breaker, w->now_us, -1);
    }
}

/* ---- What was done --------------------------------------------------------------------------- */

/* All that was told since the last time. */
static inline void expect(struct world *w, const char *heard)
{
    if (!str_eq(buf_str(&w->heard), str_from_cstr(heard)))
        fail_msg("heard \"%.*s\" instead of \"%s\"", STR_ARG(buf_str(&w->heard)), heard);
    buf_clear(&w->heard);
}

/* The newest attempt is the number'th, at that target, in that mode. */
static inline const struct world_start *expect_start(struct world *w, int number, int target,
                                                     enum route_mode mode)
{
    assert_int_equal(w->start_count, number);
    const struct world_start *start = &w->starts[number - 1];
    assert_int_equal(start->target, target);
    assert_string_equal(route_mode_name(start->mode), route_mode_name(mode));
    return start;
}

static inline const struct flow_row *expect_row(struct world *w, int index, int target,
                                                enum flow_outcome outcome, enum err class)
{
    assert_true(index < w->row_count);
    const struct world_row *row = &w->rows[index];
    assert_ptr_equal(row->row.target, &w->targets[target]);
    assert_string_equal(flow_outcome_name(row->row.outcome), flow_outcome_name(outcome));
    assert_string_equal(err_info(row->class)->name, err_info(class)->name);
    return &row->row;
}

#define FLOW_TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
