/* The flow behind a break: the rungs of recovery, what of a second answer is shown, and when it is
 * an error after all. */
#include "helper_flow.h"

/* "Hello " of a/m was shown, then it broke off; everything was asked for again at once. */
static void begin_and_break(struct world *w, size_t targets)
{
    w->policy.backoff_us = 0;
    world_chain(w, targets);
    world_begin(w);
    say_begun(w, 0, "Hello ");
    expect(w, "<a/m 'Hello ' ");
    say_error(w, 0, ERR_NETWORK, 0, -1);
}

static const struct flow_joint *expect_joint(struct world *w, size_t index, size_t text_bytes,
                                             enum route_mode mode, int from, int to)
{
    const struct flow_joint *joints;
    assert_true(flow_joints(w->flow, &joints) > index);
    assert_int_equal(joints[index].text_bytes, text_bytes);
    assert_string_equal(route_mode_name(joints[index].mode), route_mode_name(mode));
    assert_ptr_equal(joints[index].from, &w->targets[from]);
    assert_ptr_equal(joints[index].to, &w->targets[to]);
    return &joints[index];
}

static void expect_no_joint(struct world *w)
{
    const struct flow_joint *joints;
    assert_int_equal(flow_joints(w->flow, &joints), 0);
}

/* ---- Prefill --------------------------------------------------------------------------------- */

static void prefill_goes_on_where_it_is_known_to_work(void **state)
{
    struct world *w = *state;
    w->targets[0].traits.prefill = LLM_TRUE;
    begin_and_break(w, 1);
    assert_string_equal(expect_start(w, 2, 0, ROUTE_PREFILL)->partial, "Hello ");
    say_begun(w, 0, " ");
    expect(w, ""); /* its white space was shown already; nor is there a second START */
    say_text(w, 0, " world");
    expect(w, "'world' ");
    say_usage(w, 0, 20, 1); /* of its own part */
    say_stop(w, 0);
    char end[64];
    snprintf(end, sizeof end, "20/%d? stop end ", (int)llm_estimate_text(STR("Hello world")));
    expect(w, end);
    assert_int_equal(expect_joint(w, 0, 6, ROUTE_PREFILL, 0, 0)->class, ERR_NETWORK);
    const struct flow_row *row = expect_row(w, 0, 0, FLOW_CUT, ERR_NETWORK);
    assert_true(row->usage.is_estimated && row->usage.output_total > 0);
    row = expect_row(w, 1, 0, FLOW_ANSWERED, ERR_OK);
    assert_int_equal(row->mode, ROUTE_PREFILL);
    assert_int_equal(row->usage.output_total, 1);
}

static void a_rejected_prefill_is_remembered(void **state)
{
    struct world *w = *state;
    w->targets[0].traits.prefill = LLM_TRUE;
    begin_and_break(w, 1);
    expect_start(w, 2, 0, ROUTE_PREFILL);
    say_error(w, 0, ERR_INVALID, 400, -1);
    expect_start(w, 3, 0, ROUTE_SPLICE); /* at once, and it stays the caller's secret */
    cancel_it(w);
    assert_true(cell_refuses_prefill(w->targets[0].cell));
    world_again(w);
    begin_and_break(w, 1);
    expect_start(w, 2, 0, ROUTE_SPLICE); /* the next one does not try */
    cancel_it(w);
}

/* ---- Splice ---------------------------------------------------------------------------------- */

static void a_splice_that_equals_has_no_seam(void **state)
{
    struct world *w = *state;
    begin_and_break(w, 2);
    expect_start(w, 2, 0, ROUTE_SPLICE);
    say_begun(w, 0, "Hel");
    say_text(w, 0, "lo wor");
    expect(w, "'wor' ");
    say_text(w, 0, "ld");
    say_usage(w, 0, 7, 3); /* of the whole */
    say_stop(w, 0);
    expect(w, "'ld' 7/3 stop end ");
    expect_joint(w, 0, 6, ROUTE_SPLICE, 0, 0);
}

static void a_splice_that_differs_is_left_for_the_next_rung(void **state)
{
    struct world *w = *state;
    begin_and_break(w, 1);
    expect_start(w, 2, 0, ROUTE_SPLICE);
    say_begun(w, 0, "Help");
    assert_string_equal(expect_start(w, 3, 0, ROUTE_CONTINUE)->partial, "Hello ");
    expect_row(w, 1, 0, FLOW_DIFFERED, ERR_OK);
    assert_int_equal(look_at(w, 0).failed, 1); /* only that of the break */
    say_begun(w, 0, "world, and more of it.");
    say_stop(w, 0);
    if (str_find(buf_str(&w->heard), STR("world, and more of it.")) == SIZE_MAX)
        fail_msg("%.*s", STR_ARG(buf_str(&w->heard)));
    expect_joint(w, 0, 6, ROUTE_CONTINUE, 0, 0);
}

static void a_second_answer_that_is_shorter_differs(void **state)
{
    struct world *w = *state;
    begin_and_break(w, 1);
    say_begun(w, 0, "Hell");
    world_say(w, 0, (struct llm_event){.kind = LLM_EVENT_FINISH, .finish = LLM_FINISH_STOP});
    expect_start(w, 3, 0, ROUTE_CONTINUE);
    expect_row(w, 1, 0, FLOW_DIFFERED, ERR_OK);
    cancel_it(w);
}

static void a_caller_that_can_take_back_is_rewound(void **state)
{
    struct world *w = *state;
    w->ops.rewind = world_rewind;
    begin_and_break(w, 1);
    say_begun(w, 0, "Hel");
    expect(w, "");
    say_text(w, 0, "p me");
    expect(w, "rewind(3) 'p me' ");
    say_stop(w, 0);
    expect_joint(w, 0, 3, ROUTE_SPLICE, 0, 0);
    assert_int_equal(w->start_count, 2);
    expect_row(w, 1, 0, FLOW_ANSWERED, ERR_OK);
}

/* What was rewound is what the next one is joined to. */
static void a_rewound_answer_may_break_again(void **state)
{
    struct world *w = *state;
    w->ops.rewind = world_rewind;
    begin_and_break(w, 1);
    say_begun(w, 0, "Help");
    say_error(w, 0, ERR_NETWORK, 0, -1);
    expect(w, "rewind(3) 'p' ");
    expect_start(w, 3, 0, ROUTE_SPLICE);
    say_begun(w, 0, "Help me");
    say_usage(w, 0, 7, 2);
    say_stop(w, 0);
    expect(w, "' me' 7/2 stop end ");
    expect_row(w, 1, 0, FLOW_CUT, ERR_NETWORK);
}

/* ---- Continue -------------------------------------------------------------------------------- */

static void what_is_repeated_is_dropped(void **state)
{
    struct world *w = *state;
    w->policy.backoff_us = 0;
    world_begin(w);
    say_begun(w, 0, "The quick brown fox jumps over");
    say_error(w, 0, ERR_SERVER, 0, -1);
    say_begun(w, 0, "A quick");
    expect_start(w, 3, 0, ROUTE_CONTINUE);
    buf_clear(&w->heard);
    say_begun(w, 0, "fox jumps over");
    say_text(w, 0, " the lazy dog.");
    say_usage(w, 0, 30, 9);
    say_stop(w, 0);
    if (!str_starts_with(buf_str(&w->heard), STR("' the lazy dog.' 30/")))
        fail_msg("%.*s", STR_ARG(buf_str(&w->heard)));
    assert_true(flow_joints(w->flow, &(const struct flow_joint *){NULL}) == 1);
}

/* ---- Raw bytes ------------------------------------------------------------------------------- */

static void behind_a_break_nothing_passes_through(void **state)
{
    struct world *w = *state;
    w->raw = true;
    w->policy.backoff_us = 0;
    world_begin(w);
    say_begun(w, 0, "Hello ");
    say_raw(w, 0, "[1]");
    assert_true(flow_is_raw(w->flow));
    say_error(w, 0, ERR_NETWORK, 0, -1);
    assert_false(flow_is_raw(w->flow));
    expect_start(w, 2, 0, ROUTE_SPLICE);
    say_begun(w, 0, "Hello you");
    say_raw(w, 0, "[2]"); /* which nobody has asked for */
    assert_false(flow_is_raw(w->flow));
    say_usage(w, 0, 7, 2);
    say_stop(w, 0);
    expect(w, "*<a/m *'Hello ' raw([1]) 'you' 7/2 stop end ");
}

/* ---- What is no text ------------------------------------------------------------------------- */

static void tools_that_were_shown_are_never_joined(void **state)
{
    struct world *w = *state;
    static const enum llm_event_kind kinds[] = {LLM_EVENT_TOOL_START, LLM_EVENT_REFUSAL};
    world_chain(w, 2);
    w->policy.backoff_us = 0;
    for (int i = 0; i < 2; i++) {
        world_begin(w);
        say_begun(w, 0, "Hello");
        say(w, 0, kinds[i]);
        say_error(w, 0, ERR_NETWORK, 0, -1);
        expect(w,
               i ? "<a/m 'Hello' x! error(network) end " : "<a/m 'Hello' tool error(network) end ");
        assert_int_equal(w->start_count, 1);
        expect_row(w, 0, 0, FLOW_CUT, ERR_NETWORK);
        world_again(w);
    }
    world_begin(w);
    cancel_it(w);
}

static void tools_of_the_second_answer_are_shown(void **state)
{
    struct world *w = *state;
    begin_and_break(w, 1);
    say_begun(w, 0, "Hello ");
    say(w, 0, LLM_EVENT_TOOL_START);
    say(w, 0, LLM_EVENT_TOOL_ARGUMENTS);
    say(w, 0, LLM_EVENT_TOOL_END);
    expect(w, "tool arguments tool-end ");
    say_error(w, 0, ERR_NETWORK, 0, -1); /* and are not begun a third time */
    expect(w, "error(network) end ");
    expect_joint(w, 0, 6, ROUTE_SPLICE, 0, 0);
}

static void reasoning_is_shown_of_one_answer(void **state)
{
    struct world *w = *state;
    w->policy.backoff_us = 0;
    world_begin(w);
    say_start(w, 0);
    say(w, 0, LLM_EVENT_REASONING);
    expect(w, "<a/m ~x ");
    say_error(w, 0, ERR_NETWORK, 0, -1);
    expect_start(w, 2, 0, ROUTE_SPLICE);
    say_start(w, 0);
    say(w, 0, LLM_EVENT_REASONING);
    expect(w, "");
    say_text(w, 0, "Hi");
    say_usage(w, 0, 7, 2);
    say_stop(w, 0);
    expect(w, "'Hi' 7/2 stop end ");
}

/* ---- Errors after all ------------------------------------------------------------------------ */

static void without_recovery_it_is_an_error(void **state)
{
    struct world *w = *state;
    w->policy.recovery = ROUTE_WHOLE;
    begin_and_break(w, 2);
    expect(w, "error(network) end ");
    assert_int_equal(w->start_count, 1);
    expect_no_joint(w);
}

static void the_last_rung_that_is_allowed_is_the_last(void **state)
{
    struct world *w = *state;
    w->policy.recovery = ROUTE_PREFILL; /* which a/m is not known for */
    begin_and_break(w, 1);
    expect(w, "error(network) end ");
    world_again(w);
    w->targets[1].traits.prefill = LLM_TRUE;
    begin_and_break(w, 2);
    expect_start(w, 2, 1, ROUTE_PREFILL);
    cancel_it(w);
    world_again(w);
    w->policy.recovery = ROUTE_SPLICE;
    begin_and_break(w, 1);
    say_begun(w, 0, "Help");
    expect(w, "error(network) end ");
    assert_int_equal(w->start_count, 2);
}

static void recoveries_are_limited(void **state)
{
    struct world *w = *state;
    w->policy.recoveries_max = 2;
    w->policy.attempts_max = 10;
    begin_and_break(w, 1);
    for (int i = 2; i <= 3; i++) {
        expect_start(w, i, 0, ROUTE_SPLICE);
        say_error(w, 0, ERR_NETWORK, 0, -1);
    }
    expect(w, "error(network) end ");
    expect_row(w, 2, 0, FLOW_FAILED, ERR_NETWORK);
}

static void attempts_in_total_include_recovery(void **state)
{
    struct world *w = *state;
    w->policy.attempts_total_max = 2;
    begin_and_break(w, 3);
    say_error(w, 0, ERR_NETWORK, 0, -1);
    expect(w, "error(network) end ");
    assert_int_equal(w->start_count, 2);
}

static void a_final_word_ends_recovery_at_that_target_only(void **state)
{
    struct world *w = *state;
    begin_and_break(w, 2);
    expect_start(w, 2, 0, ROUTE_SPLICE);
    say_error(w, 0, ERR_CONTENT_FILTERED, 400, -1);
    expect_start(w, 3, 1, ROUTE_SPLICE);
    say_error(w, 0, ERR_INVALID, 400, -1);
    expect(w, "error(invalid_request) end ");
}

/* The caller of a whole answer has seen nothing of it: there is nothing to be joined. */
static void a_whole_answer_is_asked_for_again(void **state)
{
    struct world *w = *state;
    w->request.is_streamed = false;
    w->policy.backoff_us = 0;
    world_begin(w);
    say_error(w, 0, ERR_NETWORK, 0, -1);
    expect_start(w, 2, 0, ROUTE_WHOLE);
    say_begun(w, 0, "Hi");
    say_stop(w, 0);
    expect(w, "<a/m 'Hi' 10/1? stop end ");
}

static void recovery_waits_like_everything_else(void **state)
{
    struct world *w = *state;
    w->policy.backoff_us = 0;
    world_begin(w);
    say_begun(w, 0, "Hello ");
    say_error(w, 0, ERR_OVERLOADED, 0, 3000);
    assert_int_equal(w->start_count, 1);
    fire(w);
    assert_true(expect_start(w, 2, 0, ROUTE_SPLICE)->at_us == 1003 * S);
    w->now_us = w->starts[0].at_us + w->policy.total_us;
    flow_on_timer(w->flow);
    expect(w, "<a/m 'Hello ' error(timeout) end ");
}

static void a_cancel_gives_the_usage_of_what_was_shown(void **state)
{
    struct world *w = *state;
    begin_and_break(w, 1);
    say_begun(w, 0, "Hello and");
    cancel_it(w);
    assert_int_equal(w->cancel_usage.output_total, llm_estimate_text(STR("Hello and")));
    assert_true(w->cancel_usage.is_estimated);
    world_again(w);
    begin_and_break(w, 1);
    cancel_it(w); /* the second attempt has written nothing */
    assert_int_equal(w->cancel_usage.output_total, llm_estimate_text(STR("Hello ")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FLOW_TEST(prefill_goes_on_where_it_is_known_to_work),
        FLOW_TEST(a_rejected_prefill_is_remembered),
        FLOW_TEST(a_splice_that_equals_has_no_seam),
        FLOW_TEST(a_splice_that_differs_is_left_for_the_next_rung),
        FLOW_TEST(a_second_answer_that_is_shorter_differs),
        FLOW_TEST(a_caller_that_can_take_back_is_rewound),
        FLOW_TEST(a_rewound_answer_may_break_again),
        FLOW_TEST(what_is_repeated_is_dropped),
        FLOW_TEST(behind_a_break_nothing_passes_through),
        FLOW_TEST(tools_that_were_shown_are_never_joined),
        FLOW_TEST(tools_of_the_second_answer_are_shown),
        FLOW_TEST(reasoning_is_shown_of_one_answer),
        FLOW_TEST(without_recovery_it_is_an_error),
        FLOW_TEST(the_last_rung_that_is_allowed_is_the_last),
        FLOW_TEST(recoveries_are_limited),
        FLOW_TEST(attempts_in_total_include_recovery),
        FLOW_TEST(a_final_word_ends_recovery_at_that_target_only),
        FLOW_TEST(a_whole_answer_is_asked_for_again),
        FLOW_TEST(recovery_waits_like_everything_else),
        FLOW_TEST(a_cancel_gives_the_usage_of_what_was_shown),
    };
    return cmocka_run_group_tests_name("route/flow_join", tests, NULL, NULL);
}
