/* The flow up to the first content, and how it ends: what commits, what is asked again, whose fault
 * it is, the deadline, and the books. What follows a break is in test_flow_join.c. */
#include "helper_flow.h"

/* ---- Committing ------------------------------------------------------------------------------ */

static void the_first_content_commits_and_replays_what_was_held(void **state)
{
    struct world *w = *state;
    world_begin(w);
    say_start(w, 0);
    say(w, 0, LLM_EVENT_OPAQUE);
    say_usage(w, 0, 7, -1);
    say_text(w, 0, ""); /* a part begins, which is no content yet */
    expect(w, "");
    say_text(w, 0, "Hel");
    expect(w, "<a/m opaque '' 7/-1 'Hel' ");
    say_text(w, 0, "lo");
    expect(w, "'lo' ");
    say_usage(w, 0, 7, 2);
    say_stop(w, 0);
    expect(w, "7/2 stop end ");
    assert_int_equal(flow_attempts(w->flow), 1);
    assert_ptr_equal(flow_target(w->flow), &w->targets[0]);
}

static void an_error_before_it_takes_back_what_was_held(void **state)
{
    struct world *w = *state;
    w->policy.backoff_us = 0;
    world_begin(w);
    say_start(w, 0);
    say(w, 0, LLM_EVENT_OPAQUE);
    say_error(w, 0, ERR_SERVER, 500, -1); /* no backoff: it is begun again at once */
    say_begun(w, 0, "Hi");
    expect(w, "<a/m 'Hi' ");
    say_stop(w, 0);
    expect(w, "10/1? stop end ");
}

static void an_answer_without_content_is_one(void **state)
{
    struct world *w = *state;
    world_begin(w);
    say_start(w, 0);
    say_usage(w, 0, 7, 0);
    say_stop(w, 0);
    expect(w, "<a/m 7/0 stop end ");
    expect_row(w, 0, 0, FLOW_ANSWERED, ERR_OK);
}

static void a_finish_that_says_error_is_one(void **state)
{
    struct world *w = *state;
    w->policy.attempts_max = 1;
    world_begin(w);
    say_start(w, 0);
    world_say(w, 0, (struct llm_event){.kind = LLM_EVENT_FINISH, .finish = LLM_FINISH_ERROR});
    say(w, 0, LLM_EVENT_END);
    expect(w, "error(provider_error) end ");
    expect_row(w, 0, 0, FLOW_FAILED, ERR_SERVER);
}

static void more_than_is_held_commits(void **state)
{
    struct world *w = *state;
    world_begin(w);
    say_start(w, 0);
    for (int i = 0; i < 1000 && !w->heard_count; i++)
        say(w, 0, LLM_EVENT_OPAQUE);
    assert_true(w->heard_count > 0);
    buf_clear(&w->heard);
    say_error(w, 0, ERR_INVALID, 400, -1);
    expect(w, "error(invalid_request) end ");
    expect_row(w, 0, 0, FLOW_CUT, ERR_INVALID); /* it was shown */
}

static void bytes_are_held_and_come_first(void **state)
{
    struct world *w = *state;
    w->raw = true;
    world_begin(w);
    assert_false(flow_is_raw(w->flow)); /* nobody's yet */
    say_start(w, 0);
    say_raw(w, 0, "[1]");
    say_raw(w, 0, "[2]");
    expect(w, "");
    say_text(w, 0, "Hi");
    assert_true(flow_is_raw(w->flow));
    say_raw(w, 0, "[3]");
    expect(w, "raw([1][2]) *<a/m *'Hi' raw([3]) ");
    say_raw(w, 0, ""); /* the rest had no bytes */
    assert_false(flow_is_raw(w->flow));
    say_stop(w, 0);
    expect(w, "10/1? stop end ");
}

static void bytes_of_an_attempt_that_failed_are_nobodys(void **state)
{
    struct world *w = *state;
    w->raw = true;
    w->policy.backoff_us = 0;
    world_begin(w);
    say_start(w, 0);
    say_raw(w, 0, "[bad]");
    say_error(w, 0, ERR_NETWORK, 0, -1);
    say_raw(w, 0, "[good]");
    say_begun(w, 0, "Hi");
    say_stop(w, 0);
    expect(w, "raw([good]) *<a/m *'Hi' *10/1? *stop *end ");
}

/* What was held had come as bytes, even when the attempt is committed by what has none. */
static void held_bytes_without_an_end(void **state)
{
    struct world *w = *state;
    w->raw = true;
    world_begin(w);
    say_start(w, 0);
    say_raw(w, 0, "[1]");
    say_raw(w, 0, "");
    say_stop(w, 0);
    expect(w, "raw([1]) *<a/m 10/0? stop end ");
    assert_false(flow_is_raw(w->flow));
}

static void a_whole_answers_bytes_come_before_its_events(void **state)
{
    struct world *w = *state;
    w->raw = true;
    w->request.is_streamed = false;
    world_begin(w);
    say_raw(w, 0, "{}");
    expect(w, "raw({}) ");
    assert_true(flow_is_raw(w->flow));
    say_begun(w, 0, "Hi");
    say_stop(w, 0);
    expect(w, "*<a/m *'Hi' *10/1? *stop *end ");
}

static void many_bytes_commit(void **state)
{
    struct world *w = *state;
    char bytes[1025];
    memset(bytes, 'x', 1024);
    bytes[1024] = '\0';
    w->raw = true;
    world_begin(w);
    for (int i = 0; i < 65; i++)
        say_raw(w, 0, bytes);
    assert_int_equal(w->heard_count, 1); /* and no START that nobody has said */
    buf_clear(&w->heard);
    say_begun(w, 0, "Hi");
    say_stop(w, 0);
    expect(w, "*<a/m *'Hi' *10/1? *stop *end ");
}

/* ---- Retrying -------------------------------------------------------------------------------- */

static void a_failure_is_retried_after_a_backoff(void **state)
{
    struct world *w = *state;
    w->policy.backoff_us = 2 * S;
    world_begin(w);
    for (int number = 1; number <= 3; number++) {
        uint64_t begun = w->now_us;
        expect_start(w, number, 0, ROUTE_WHOLE);
        assert_true(w->timer_us == 1000 * S + w->policy.total_us);
        say_error(w, 0, ERR_OVERLOADED, 503, -1);
        if (number == 3)
            break;
        expect(w, "");
        assert_true(w->timer_us <= begun + (uint64_t)number * 2 * S);
        flow_on_timer(w->flow); /* too early: nothing is begun */
        assert_int_equal(w->start_count, number);
        fire(w);
    }
    expect(w, "error(overloaded) end ");
    const struct flow_failure *failures;
    assert_int_equal(flow_failures(w->flow, &failures), 3);
    assert_ptr_equal(failures[2].target, &w->targets[0]);
    assert_int_equal(failures[2].class, ERR_OVERLOADED);
}

static void what_the_provider_says_is_the_floor(void **state)
{
    struct world *w = *state;
    w->policy.backoff_us = 0;
    world_begin(w);
    say_error(w, 0, ERR_RATE_LIMITED, 429, 7000);
    assert_true(w->timer_us == w->now_us + 7 * S);
    fire(w);
    expect_start(w, 2, 0, ROUTE_WHOLE);
    say_begun(w, 0, "Hi");
    say_stop(w, 0);
    expect(w, "<a/m 'Hi' 10/1? stop end ");
    expect_row(w, 0, 0, FLOW_FAILED, ERR_RATE_LIMITED);
    expect_row(w, 1, 0, FLOW_ANSWERED, ERR_OK);
}

static void a_wait_that_is_too_long_is_not_waited_for(void **state)
{
    struct world *w = *state;
    world_begin(w);
    say_error(w, 0, ERR_RATE_LIMITED, 429, 31000);
    expect(w, "error(rate_limited) end ");
}

static void a_wait_longer_than_the_fallback_goes_there_at_once(void **state)
{
    struct world *w = *state;
    w->policy.backoff_us = 0;
    world_chain(w, 2);
    make_known(w, 1, S / 2);
    world_begin(w);
    say_error(w, 0, ERR_RATE_LIMITED, 429, 100); /* shorter: it is waited for */
    assert_int_equal(w->start_count, 1);
    fire(w);
    expect_start(w, 2, 0, ROUTE_WHOLE);
    say_error(w, 0, ERR_RATE_LIMITED, 429, 2000);
    expect_start(w, 3, 1, ROUTE_WHOLE);
    assert_true(w->starts[2].at_us == 1000 * S + S / 10);
    say_begun(w, 0, "Hi");
    say_stop(w, 0);
    expect(w, "<b/m 'Hi' 10/1? stop end ");
    assert_int_equal(flow_attempts(w->flow), 3);
}

static void a_backoff_is_waited_for_when_the_others_are_out(void **state)
{
    struct world *w = *state;
    w->policy.backoff_us = 0;
    world_chain(w, 2);
    world_begin(w);
    say_error(w, 0, ERR_RATE_LIMITED, 429, 5000);
    expect_start(w, 2, 1, ROUTE_WHOLE);
    say_error(w, 0, ERR_PERMISSION, 403, -1);
    assert_true(w->timer_us == 1005 * S);
    fire(w);
    expect_start(w, 3, 0, ROUTE_WHOLE);
    cancel_it(w);
}

static void attempts_in_total_are_limited(void **state)
{
    struct world *w = *state;
    w->policy.backoff_us = 0;
    w->policy.attempts_max = 10;
    w->policy.attempts_total_max = 4;
    w->policy.breaker.failures_max = 100;
    world_begin(w);
    for (int i = 1; i <= 4; i++) {
        assert_int_equal(w->start_count, i);
        say_error(w, 0, ERR_SERVER, 500, -1);
    }
    expect(w, "error(provider_error) end ");
}

/* A kept connection was dead, which says nothing of how the target is. */
static void say_stale(struct world *w)
{
    const struct llm_error error = {
        .class = ERR_NETWORK, .retry_after_ms = -1, .code = "reused", .message = "ended"};
    world_say(w, 0, (struct llm_event){.kind = LLM_EVENT_ERROR, .error = &error});
    say(w, 0, LLM_EVENT_END);
}

static void a_dead_kept_connection_is_tried_again_at_once(void **state)
{
    struct world *w = *state;
    world_begin(w);
    say_stale(w);
    expect_start(w, 2, 0, ROUTE_WHOLE);
    assert_true(w->starts[1].at_us == w->starts[0].at_us);
    assert_int_equal(look_at(w, 0).failed, 0);
    expect_row(w, 0, 0, FLOW_FAILED, ERR_NETWORK);
    cancel_it(w);
    world_again(w);
    w->policy.attempts_max = 1; /* then it was no attempt, but once only */
    world_begin(w);
    say_stale(w);
    expect_start(w, 2, 0, ROUTE_WHOLE);
    say_stale(w);
    expect(w, "error(network) end ");
}

/* ---- Whose fault it is ----------------------------------------------------------------------- */

static void silence_leaves_the_target(void **state)
{
    struct world *w = *state;
    world_chain(w, 2);
    world_begin(w);
    say_error(w, 0, ERR_TIMEOUT, 0, -1);
    expect_start(w, 2, 1, ROUTE_WHOLE);
    say_error(w, 0, ERR_TIMEOUT, 0, -1);
    expect(w, "error(timeout) end ");
    assert_int_equal(look_at(w, 0).failed, 1); /* it was its own fault */
}

static void a_refused_key_benches(void **state)
{
    struct world *w = *state;
    static const enum err classes[] = {ERR_AUTHENTICATION, ERR_QUOTA_EXHAUSTED};
    world_chain(w, 3);
    for (int i = 0; i < 2; i++) {
        world_begin(w);
        say_error(w, 0, classes[i], 401, -1);
        assert_int_equal(look_at(w, i).verdict, CELL_BENCHED);
        assert_int_equal(look_at(w, i).failed, 0);
        assert_true(look_at(w, i).until_us == w->now_us + w->policy.bench_us);
        expect_start(w, 2, i + 1,
                     ROUTE_WHOLE); /* of the next flow, target i is out from the start */
        cancel_it(w);
        world_again(w);
    }
    world_chain(w, 2);
    struct llm_error error;
    assert_int_equal(world_try_begin(w, &error), ERR_UNAVAILABLE);
    assert_int_equal(error.retry_after_ms, w->policy.bench_us / 1000);
    assert_non_null(strstr(error.message, "it said no"));
}

static void without_a_chain_a_refused_key_is_shown_at_once(void **state)
{
    struct world *w = *state;
    world_begin(w);
    say_error(w, 0, ERR_AUTHENTICATION, 401, -1);
    expect(w, "error(provider_authentication) end ");
}

static void too_long_a_context_goes_to_a_larger_one(void **state)
{
    struct world *w = *state;
    world_chain(w, 3);
    w->targets[0].traits.context_tokens = 8000;
    w->targets[1].traits.context_tokens = 4000;
    w->targets[2].traits.context_tokens = 100000;
    world_begin(w);
    say_error(w, 0, ERR_CONTEXT_LENGTH, 400, -1);
    expect_start(w, 2, 2, ROUTE_WHOLE);
    say_error(w, 0, ERR_CONTEXT_LENGTH, 400, -1);
    expect(w, "error(context_length) end ");
    assert_int_equal(look_at(w, 0).failed, 0);
}

static void what_is_final_is_told_at_once(void **state)
{
    struct world *w = *state;
    static const enum err classes[] = {ERR_CONTENT_FILTERED, ERR_INVALID};
    static const char *const told[] = {"error(content_filtered) end ",
                                       "error(invalid_request) end "};
    world_chain(w, 2);
    for (int i = 0; i < 2; i++) {
        world_begin(w);
        say_error(w, 0, classes[i], 400, -1);
        expect(w, told[i]);
        assert_int_equal(w->start_count, 1);
        assert_int_equal(look_at(w, 0).failed, 0);
        world_again(w);
    }
    world_begin(w);
    cancel_it(w);
}

/* ---- The deadline ---------------------------------------------------------------------------- */

static void the_deadline_ends_it_in_every_state(void **state)
{
    struct world *w = *state;
    w->policy.total_us = 10 * S;
    w->policy.backoff_us = 0;
    world_begin(w); /* TRYING */
    assert_true(w->starts[0].total_us == 10 * S);
    fire(w);
    expect(w, "error(timeout) end ");
    expect_row(w, 0, 0, FLOW_FAILED, ERR_TIMEOUT);
    assert_int_equal(look_at(w, 0).failed, 0); /* which is nobody's fault */
    world_again(w);

    world_begin(w); /* WAITING */
    say_error(w, 0, ERR_SERVER, 500, 15000);
    fire(w);
    expect(w, "error(timeout) end ");
    w->now_us += 10 * S;
    world_again(w);

    world_begin(w); /* SHOWING */
    say_begun(w, 0, "Hi");
    fire(w);
    expect(w, "<a/m 'Hi' error(timeout) end ");
    expect_row(w, 0, 0, FLOW_CUT, ERR_TIMEOUT);
}

/* ---- The books ------------------------------------------------------------------------------- */

static void rows_say_what_an_attempt_took(void **state)
{
    struct world *w = *state;
    w->targets[0].has_price = true;
    w->targets[0].price = (struct price){1000, -1, -1, 3000, 0, -1, -1, 0};
    w->policy.backoff_us = 0;
    world_begin(w);
    w->now_us += 5;
    say_error(w, 0, ERR_SERVER, 500, -1);
    say_start(w, 0);
    w->now_us += 20;
    say_text(w, 0, "Hi");
    w->now_us += 30;
    say_usage(w, 0, 7, 2);
    say_stop(w, 0);
    const struct flow_row *row = expect_row(w, 0, 0, FLOW_FAILED, ERR_SERVER);
    assert_int_equal(row->number, 1);
    assert_int_equal(row->usage.output_total, -1); /* nothing is known, nothing was written */
    assert_int_equal(row->cost_nano, 0);
    assert_int_equal(row->end_us, 5);
    row = expect_row(w, 1, 0, FLOW_ANSWERED, ERR_OK);
    assert_int_equal(row->number, 2);
    assert_int_equal(row->usage.input_total, 7);
    assert_false(row->usage.is_estimated);
    assert_int_equal(row->cost_nano, 13);
    assert_int_equal(row->start_us, 1000 * S + 5);
    assert_int_equal(row->first_content_us, 20);
    assert_int_equal(row->end_us, 50);
    assert_string_equal(route_mode_name(row->mode), "whole");
    assert_int_equal(atomic_load(&w->live->spent_nano), 13);
    assert_int_equal(atomic_load(&w->live->requests), 1);
}

static void what_the_provider_did_not_count_is_counted(void **state)
{
    struct world *w = *state;
    world_begin(w);
    say_begun(w, 0, "one two three");
    say_usage(w, 0, 7, 1); /* from its beginning */
    cancel_it(w);
    int64_t counted = llm_estimate_text(STR("one two three"));
    const struct flow_row *row = expect_row(w, 0, 0, FLOW_CANCELLED, ERR_OK);
    assert_int_equal(row->usage.input_total, 7);
    assert_int_equal(row->usage.output_total, counted);
    assert_true(row->usage.is_estimated);
    assert_int_equal(row->cost_nano, -1);
    assert_int_equal(w->cancel_usage.output_total, counted);
    world_again(w);
    world_begin(w);
    w->provider_usage = LLM_USAGE_UNKNOWN;
    w->provider_usage.input_total = w->provider_usage.output_total = 99;
    cancel_it(w);
    assert_int_equal(w->rows[0].row.usage.output_total, 99);
}

static void say_whole(struct world *w, int64_t output_tokens)
{
    struct llm_usage usage = LLM_USAGE_UNKNOWN;
    usage.input_total = 7;
    usage.output_total = output_tokens;
    world_say(w, 0, (struct llm_event){.kind = LLM_EVENT_START, .usage = usage, .is_whole = true});
    world_say(
        w, 0,
        (struct llm_event){.kind = LLM_EVENT_TEXT, .text = STR("one two three"), .is_whole = true});
}

static void a_whole_answer_says_first_what_it_used(void **state)
{
    struct world *w = *state;
    w->policy.recovery = ROUTE_WHOLE; /* no text is kept */
    world_begin(w);
    w->now_us += 1000;
    say_whole(w, 2);
    say_stop(w, 0);
    assert_int_equal(look_at(w, 0).first_content_us, 1000);
    const struct flow_row *row = expect_row(w, 0, 0, FLOW_ANSWERED, ERR_OK);
    assert_int_equal(row->usage.output_total, 2);
    assert_false(row->usage.is_estimated);
    world_again(w);
    world_begin(w);
    say_whole(w, -1);
    say_stop(w, 0);
    row = expect_row(w, 0, 0, FLOW_ANSWERED, ERR_OK);
    assert_int_equal(row->usage.output_total, llm_estimate_text(STR("one two three")));
    assert_true(row->usage.is_estimated);
}

/* Text that is kept is counted at the end; what is too long to be kept is not forgotten. */
static void a_long_text_is_counted(void **state)
{
    enum { PIECE_BYTES = 600, PIECES = 7500 };
    struct world *w = *state;
    char piece[PIECE_BYTES + 1] = "";
    for (int i = 0; i < PIECE_BYTES; i++)
        piece[i] = i % 5 ? 'a' : ' ';
    world_begin(w);
    say_start(w, 0);
    for (int i = 0; i < PIECES; i++)
        world_say(w, 0,
                  (struct llm_event){.kind = LLM_EVENT_TEXT, .text = STR_FROM(piece, PIECE_BYTES)});
    say_stop(w, 0);
    const struct flow_row *row = expect_row(w, 0, 0, FLOW_ANSWERED, ERR_OK);
    int64_t all = llm_estimate_text(STR_FROM(piece, PIECE_BYTES)) * PIECES;
    assert_in_range(row->usage.output_total, all * 9 / 10, all * 11 / 10);
}

static void overhead_is_what_we_do_ourselves(void **state)
{
    struct world *w = *state;
    w->policy.backoff_us = 0;
    world_begin(w);
    w->now_us += 50; /* the provider thinks */
    assert_int_equal(flow_overhead_us(w->flow), 0);
    say_error(w, 0, ERR_SERVER, 500, 1000);
    w->now_us += 3; /* the timer is late, which is a wait too */
    fire(w);
    w->now_us += 50;
    say_begun(w, 0, "Hi");
    assert_int_equal(flow_overhead_us(w->flow), 0);
    say_stop(w, 0);
}

/* The time of what happens stands still meanwhile, and the overhead is counted all the same. */
static void overhead_is_measured(void **state)
{
    struct world *w = *state;
    w->policy.backoff_us = 0;
    w->takes_us = 7;
    world_begin(w);
    assert_int_equal(flow_overhead_us(w->flow), 7);
    w->now_us += 50;
    say_error(w, 0, ERR_SERVER, 500, 0);
    assert_int_equal(flow_overhead_us(w->flow), 14);
    w->now_us += 50;
    say_begun(w, w->starts[w->start_count - 1].slot, "Hi");
    assert_int_equal(flow_overhead_us(w->flow), 14);
    say_stop(w, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FLOW_TEST(the_first_content_commits_and_replays_what_was_held),
        FLOW_TEST(an_error_before_it_takes_back_what_was_held),
        FLOW_TEST(an_answer_without_content_is_one),
        FLOW_TEST(a_finish_that_says_error_is_one),
        FLOW_TEST(more_than_is_held_commits),
        FLOW_TEST(bytes_are_held_and_come_first),
        FLOW_TEST(bytes_of_an_attempt_that_failed_are_nobodys),
        FLOW_TEST(held_bytes_without_an_end),
        FLOW_TEST(a_whole_answers_bytes_come_before_its_events),
        FLOW_TEST(many_bytes_commit),
        FLOW_TEST(a_failure_is_retried_after_a_backoff),
        FLOW_TEST(what_the_provider_says_is_the_floor),
        FLOW_TEST(a_wait_that_is_too_long_is_not_waited_for),
        FLOW_TEST(a_wait_longer_than_the_fallback_goes_there_at_once),
        FLOW_TEST(a_backoff_is_waited_for_when_the_others_are_out),
        FLOW_TEST(attempts_in_total_are_limited),
        FLOW_TEST(a_dead_kept_connection_is_tried_again_at_once),
        FLOW_TEST(silence_leaves_the_target),
        FLOW_TEST(a_refused_key_benches),
        FLOW_TEST(without_a_chain_a_refused_key_is_shown_at_once),
        FLOW_TEST(too_long_a_context_goes_to_a_larger_one),
        FLOW_TEST(what_is_final_is_told_at_once),
        FLOW_TEST(the_deadline_ends_it_in_every_state),
        FLOW_TEST(rows_say_what_an_attempt_took),
        FLOW_TEST(what_the_provider_did_not_count_is_counted),
        FLOW_TEST(a_whole_answer_says_first_what_it_used),
        FLOW_TEST(a_long_text_is_counted),
        FLOW_TEST(overhead_is_what_we_do_ourselves),
        FLOW_TEST(overhead_is_measured),
    };
    return cmocka_run_group_tests_name("route/flow", tests, NULL, NULL);
}
