/* The flow with two attempts at once; and cancelled at every moment there is. */
#include "helper_flow.h"

/* ---- Hedging --------------------------------------------------------------------------------- */

/* a/m is known to begin within a quarter of a second, and others have asked often enough. */
static void begin_hedging(struct world *w)
{
    world_chain(w, 2);
    w->policy.hedge = true;
    w->policy.backoff_us = 0;
    atomic_store(&w->live->requests, 1000);
    make_known(w, 0, S / 4);
    world_begin(w);
    assert_true(w->timer_us == w->now_us + look_at(w, 0).p95_us);
}

static void begin_both(struct world *w)
{
    begin_hedging(w);
    fire(w);
    expect_start(w, 2, 1, ROUTE_WHOLE);
    assert_true(w->is_active[0] && w->is_active[1]);
    assert_int_equal(atomic_load(&w->live->hedges), 1);
    assert_true(w->timer_us == 1000 * S + w->policy.total_us);
}

static void a_hedge_that_is_faster_wins(void **state)
{
    struct world *w = *state;
    w->targets[1].has_price = true;
    w->targets[1].price = (struct price){1000, -1, -1, 1000, 0, -1, -1, 0};
    begin_both(w);
    say_start(w, 0); /* no content yet */
    say_begun(w, 1, "Hi");
    expect(w, "<b/m 'Hi' ");
    const struct flow_row *row = expect_row(w, 0, 0, FLOW_LOST, ERR_OK);
    assert_false(row->is_hedge);
    assert_true(row->usage.is_estimated && row->usage.input_total == 10); /* it was sent */
    say_text(w, 0, "too late");
    say_usage(w, 1, 7, 2);
    say_stop(w, 1);
    expect(w, "7/2 stop end ");
    assert_true(expect_row(w, 1, 1, FLOW_ANSWERED, ERR_OK)->is_hedge);
    assert_ptr_equal(flow_target(w->flow), &w->targets[1]);
    assert_int_equal(flow_slot(w->flow), 1);
    assert_int_equal(atomic_load(&w->live->hedge_spent_nano), 9);
}

static void a_hedge_that_is_slower_loses(void **state)
{
    struct world *w = *state;
    begin_both(w);
    say_begun(w, 0, "Hi");
    assert_true(expect_row(w, 0, 1, FLOW_LOST, ERR_OK)->is_hedge);
    say_stop(w, 0);
    expect(w, "<a/m 'Hi' 10/1? stop end ");
    assert_int_equal(look_at(w, 1).failed + look_at(w, 1).succeeded,
                     0); /* nothing is known of it */
}

static void what_is_left_of_two_goes_on(void **state)
{
    struct world *w = *state;
    for (int failing = 0; failing < 2; failing++) {
        begin_both(w);
        say_error(w, failing, ERR_SERVER, 500, -1);
        assert_int_equal(w->start_count, 2);
        expect(w, "");
        say_begun(w, !failing, "Hi");
        say_stop(w, !failing);
        expect(w, failing ? "<a/m 'Hi' 10/1? stop end " : "<b/m 'Hi' 10/1? stop end ");
        world_again(w);
        w->now_us = 1000 * S;
        atomic_store(&w->live->hedges, 0);
    }
    begin_both(w);
    say_error(w, 1, ERR_PERMISSION, 403, -1);
    say_error(w, 0, ERR_SERVER, 500, -1);
    expect_start(w, 3, 0, ROUTE_WHOLE); /* both have failed: as without a hedge */
    cancel_it(w);
}

static void a_winner_that_breaks_off_is_recovered(void **state)
{
    struct world *w = *state;
    begin_both(w);
    say_begun(w, 1, "Hello ");
    say_error(w, 1, ERR_NETWORK, 0, -1);
    expect_start(w, 3, 0, ROUTE_SPLICE);
    say_begun(w, 0, "Hello you");
    say_usage(w, 0, 7, 3);
    say_stop(w, 0);
    expect(w, "<b/m 'Hello ' 'you' 7/3 stop end ");
}

static void not_every_request_may_hedge(void **state)
{
    struct world *w = *state;
    begin_hedging(w);
    atomic_store(&w->live->hedges, 50); /* five in a hundred were */
    fire(w);
    assert_int_equal(w->start_count, 1);
    say_begun(w, 0, "Hi");
    say_stop(w, 0);
    world_again(w);
    w->now_us = 1000 * S;
    atomic_store(&w->live->hedges, 0);
    begin_hedging(w);
    atomic_store(&w->live->spent_nano, 1000);
    atomic_store(&w->live->hedge_spent_nano, 51);
    fire(w);
    assert_int_equal(w->start_count, 1);
    cancel_it(w);
}

static void a_hedge_counts_against_the_cost_limit(void **state)
{
    struct world *w = *state;
    w->needs.output_tokens = 10;
    w->policy.cost_max_nano = 30; /* of 20 for each */
    for (int i = 0; i < 2; i++) {
        w->targets[i].has_price = true;
        w->targets[i].price = (struct price){1000, -1, -1, 1000, 0, -1, -1, 0};
    }
    begin_hedging(w);
    fire(w);
    assert_int_equal(w->start_count, 1);
    cancel_it(w);
}

static void a_hedge_is_never_the_probe(void **state)
{
    struct world *w = *state;
    open_breaker(w, 1);
    w->now_us = look_at(w, 1).until_us;
    begin_hedging(w);
    fire(w);
    assert_int_equal(w->start_count, 1);
    cancel_it(w);
}

static void nobody_hedges_unasked_or_in_the_dark(void **state)
{
    struct world *w = *state;
    world_chain(w, 2);
    make_known(w, 0, S / 4);
    world_begin(w); /* not allowed */
    assert_true(w->timer_us == w->now_us + w->policy.total_us);
    cancel_it(w);
    world_again(w);
    w->policy.hedge = true;
    w->targets[0].cell = cells_get(w->cells, STR("new/m")); /* not known */
    world_begin(w);
    assert_true(w->timer_us == w->now_us + w->policy.total_us);
    cancel_it(w);
}

/* ---- Cancelling ------------------------------------------------------------------------------ */

static void it_can_be_cancelled_in_every_state(void **state)
{
    struct world *w = *state;
    w->policy.backoff_us = 0;
    world_begin(w); /* TRYING */
    cancel_it(w);
    assert_int_equal(w->cancel_usage.input_total, 10);
    expect_row(w, 0, 0, FLOW_CANCELLED, ERR_OK);
    world_again(w);

    world_begin(w); /* WAITING for a backoff */
    say_error(w, 0, ERR_SERVER, 500, 1000);
    cancel_it(w);
    flow_on_timer(w->flow); /* and what was on its way says nothing */
    flow_on_wake(w->flow);
    say_begun(w, 0, "Hi");
    w->now_us += S;
    world_again(w);

    w->targets[0].limits.concurrency_max = 1; /* WAITING for a place */
    struct cell_lease lease = occupy(w, 0);
    world_begin(w);
    cancel_it(w);
    assert_int_equal(w->cancel_usage.input_total, -1); /* nothing was asked */
    cell_forget(&lease, w->now_us, -1);
    world_again(w);

    world_begin(w); /* SHOWING */
    say_begun(w, 0, "Hi");
    cancel_it(w);
    expect(w, "<a/m 'Hi' ");
    say_text(w, 0, "more");
    say_raw(w, 0, "more");
    flow_on_head(w->flow, 0, 5, NULL);
    flow_cancel(w->flow, &w->cancel_usage); /* a second time: nothing happens */
    assert_int_equal(w->cancel_usage.input_total, -1);
}

/* Everything that can be told: what was held, bytes, a break, a rewind, a joint, usage, the end; or
 * an error. Ends early when it was cancelled, as a router does. */
static void play(struct world *w, bool fails)
{
    world_begin(w);
    say_raw(w, 0, "[1]");
    say_start(w, 0);
    say(w, 0, LLM_EVENT_OPAQUE);
    say_usage(w, 0, 7, -1);
    say_text(w, 0, "Hello ");
    say_raw(w, 0, "[2]");
    if (!w->is_cancelled)
        say_error(w, 0, ERR_NETWORK, 0, -1);
    say_begun(w, 0, "Hel");
    say_text(w, 0, "p me");
    say_text(w, 0, " now");
    if (fails && !w->is_cancelled)
        say(w, 0, LLM_EVENT_TOOL_START);
    if (fails && !w->is_cancelled)
        say_error(w, 0, ERR_NETWORK, 0, -1);
    else if (!w->is_cancelled)
        say_stop(w, 0);
}

static void it_can_be_cancelled_inside_every_callback(void **state)
{
    struct world *w = *state;
    w->raw = true;
    w->ops.rewind = world_rewind;
    w->policy.backoff_us = 0;
    for (int fails = 0; fails < 2; fails++) {
        int callbacks = 100;
        w->cancel_at = 0;
        for (int at = 0; at <= callbacks; at++) {
            w->cancel_at = at;
            w->policy.breaker.failures_max = 1000;
            w->policy.breaker.ratio_percent = 0;
            play(w, fails);
            if (at == 0)
                callbacks = w->heard_count;
            assert_int_equal(w->heard_count, at ? at : callbacks);
            if (at < callbacks)
                world_again(w);
            else
                break;
        }
        assert_true(callbacks >= 10);
        if (!fails)
            world_again(w);
    }
}

/* The first content of one of two ends the other one; whoever hears of it may leave. */
static void it_can_be_cancelled_when_a_hedge_wins(void **state)
{
    struct world *w = *state;
    w->raw = true;
    begin_both(w);
    say_raw(w, 1, "[1]");
    w->cancel_at = 1;
    say_begun(w, 1, "Hi");
    expect(w, "raw([1]) ");
    expect_row(w, 0, 0, FLOW_LOST, ERR_OK);
    expect_row(w, 1, 1, FLOW_CANCELLED, ERR_OK);
}

static void a_whole_answer_can_be_cancelled_by_its_bytes(void **state)
{
    struct world *w = *state;
    w->raw = true;
    w->request.is_streamed = false;
    w->cancel_at = 1;
    world_begin(w);
    say_raw(w, 0, "{}");
    expect(w, "raw({}) ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FLOW_TEST(a_hedge_that_is_faster_wins),
        FLOW_TEST(a_hedge_that_is_slower_loses),
        FLOW_TEST(what_is_left_of_two_goes_on),
        FLOW_TEST(a_winner_that_breaks_off_is_recovered),
        FLOW_TEST(not_every_request_may_hedge),
        FLOW_TEST(a_hedge_counts_against_the_cost_limit),
        FLOW_TEST(a_hedge_is_never_the_probe),
        FLOW_TEST(nobody_hedges_unasked_or_in_the_dark),
        FLOW_TEST(it_can_be_cancelled_in_every_state),
        FLOW_TEST(it_can_be_cancelled_inside_every_callback),
        FLOW_TEST(it_can_be_cancelled_when_a_hedge_wins),
        FLOW_TEST(a_whole_answer_can_be_cancelled_by_its_bytes),
    };
    return cmocka_run_group_tests_name("route/flow_hedge", tests, NULL, NULL);
}
