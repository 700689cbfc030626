/* The flow choosing: who can be asked at all, and the queue, pace and probe of whom it asks. */
#include "helper_flow.h"

/* ---- Who can be asked at all ----------------------------------------------------------------- */

static void what_does_not_fit_is_passed_over(void **state)
{
    struct world *w = *state;
    struct llm_error error;
    world_chain(w, 2);
    w->needs.images = true;
    w->targets[0].traits.images = LLM_FALSE;
    world_begin(w);
    expect_start(w, 1, 1, ROUTE_WHOLE);
    cancel_it(w);
    world_again(w);
    w->targets[1].traits.images = LLM_FALSE;
    assert_int_equal(world_try_begin(w, &error), ERR_INVALID);
    assert_non_null(strstr(error.message, "images"));
    world_again(w);
    w->needs = (struct llm_needs){.input_tokens = 100000};
    w->targets[0].traits.context_tokens = w->targets[1].traits.context_tokens = 8000;
    assert_int_equal(world_try_begin(w, &error), ERR_CONTEXT_LENGTH);
    world_again(w);
    world_chain(w, 1); /* one by itself says so itself */
    world_begin(w);
    cancel_it(w);
}

static void what_cannot_be_begun_is_passed_over(void **state)
{
    struct world *w = *state;
    struct llm_error error;
    world_chain(w, 2);
    w->refuse_start[0] = ERR_INVALID;
    world_begin(w);
    expect_start(w, 1, 1, ROUTE_WHOLE);
    cancel_it(w);
    world_again(w);
    w->refuse_start[1] = ERR_INVALID;
    assert_int_equal(world_try_begin(w, &error), ERR_INVALID);
    assert_string_equal(error.field, "messages");
    assert_string_equal(error.message, "cannot be said there");
}

static void when_all_are_out_it_is_said_for_how_long(void **state)
{
    struct world *w = *state;
    struct llm_error error;
    world_chain(w, 2);
    open_breaker(w, 1);
    w->now_us += 10 * S;
    open_breaker(w, 0);
    assert_int_equal(world_try_begin(w, &error), ERR_UNAVAILABLE);
    uint64_t until = look_at(w, 1).until_us; /* the first to be asked again */
    assert_int_equal(error.retry_after_ms, (until - w->now_us + 999) / 1000);
    assert_non_null(strstr(error.message, "b/m rests"));
}

static void cost_has_a_limit(void **state)
{
    struct world *w = *state;
    struct llm_error error;
    world_chain(w, 2);
    w->policy.backoff_us = 0;
    w->needs = (struct llm_needs){.input_tokens = 1000, .output_tokens = 100};
    for (int i = 0; i < 2; i++) {
        w->targets[i].has_price = true;
        w->targets[i].price = (struct price){.input = 1000,
                                             .output = 1000,
                                             .cache_read = -1,
                                             .cache_write = -1,
                                             .long_input = -1,
                                             .long_output = -1};
    }
    w->targets[0].price.input = 10000; /* 10 000 + 100 nano-dollars; the other one: 1100 */
    w->policy.cost_max_nano = 2000;
    world_begin(w);
    expect_start(w, 1, 1, ROUTE_WHOLE);
    say_start(w, 0);
    say_usage(w, 0, 1000, 0);
    say_error(w, 0, ERR_SERVER, 500, -1); /* it has cost 1000: another try would be too dear */
    expect(w, "error(provider_error) end ");
    assert_int_equal(w->rows[0].row.cost_nano, 1000);
    assert_int_equal(atomic_load(&w->live->spent_nano), 1000);
    world_again(w);
    w->policy.cost_max_nano = 1000;
    assert_int_equal(world_try_begin(w, &error), ERR_UNAVAILABLE);
    assert_non_null(strstr(error.message, "cost more than allowed"));
}

/* ---- Waiting for a place --------------------------------------------------------------------- */

static void a_busy_target_is_queued_for(void **state)
{
    struct world *w = *state;
    w->targets[0].limits.concurrency_max = 1;
    struct cell_lease lease = occupy(w, 0);
    world_begin(w);
    assert_int_equal(w->start_count, 0);
    assert_int_equal(look_at(w, 0).waiting, 1);
    assert_int_equal(w->timer_us, w->now_us + w->policy.queue_wait_us);
    flow_on_wake(w->flow); /* in vain */
    assert_int_equal(w->start_count, 0);
    w->now_us += S;
    cell_forget(&lease, w->now_us, -1);
    assert_true(w->wakes > 0);
    flow_on_wake(w->flow);
    expect_start(w, 1, 0, ROUTE_WHOLE);
    assert_int_equal(look_at(w, 0).waiting, 0);
    flow_on_wake(w->flow); /* one that was on its way */
    assert_int_equal(w->start_count, 1);
    say_begun(w, 0, "Hi");
    assert_int_equal(flow_overhead_us(w->flow), 0); /* waiting is no work of ours */
    say_stop(w, 0);
}

static void a_fallback_is_asked_before_a_queue_is_joined(void **state)
{
    struct world *w = *state;
    world_chain(w, 2);
    w->targets[0].limits.concurrency_max = 1;
    struct cell_lease lease = occupy(w, 0);
    world_begin(w);
    expect_start(w, 1, 1, ROUTE_WHOLE);
    cell_forget(&lease, w->now_us, -1);
    cancel_it(w);
}

static void a_full_queue_refuses(void **state)
{
    struct world *w = *state;
    struct llm_error error;
    w->targets[0].limits = (struct cell_limits){.concurrency_max = 1, .waiters_max = 0};
    struct cell_lease lease = occupy(w, 0);
    assert_int_equal(world_try_begin(w, &error), ERR_RATE_LIMITED);
    assert_true(error.retry_after_ms > 0);
    assert_string_equal(error.code, "no_place");
    cell_forget(&lease, w->now_us, -1);
}

static void the_time_in_a_queue_is_limited(void **state)
{
    struct world *w = *state;
    w->targets[0].limits.concurrency_max = 1;
    struct cell_lease lease = occupy(w, 0);
    world_begin(w);
    fire(w);
    expect(w, "error(rate_limited) end ");
    assert_true(w->now_us == 1000 * S + w->policy.queue_wait_us);
    cell_forget(&lease, w->now_us, -1);
}

static void a_pace_is_kept(void **state)
{
    struct world *w = *state;
    w->targets[0].limits.requests_per_minute = 1;
    struct cell_lease lease = occupy(w, 0);
    cell_forget(&lease, w->now_us, -1);
    w->policy.queue_wait_us = 61 * S;
    world_begin(w);
    assert_int_equal(w->start_count, 0);
    fire(w);
    expect_start(w, 1, 0, ROUTE_WHOLE);
    assert_true(w->now_us <= 1061 * S);
    cancel_it(w);
}

static void a_pace_beyond_the_queue_refuses_at_once(void **state)
{
    struct world *w = *state;
    struct llm_error error;
    w->targets[0].limits.requests_per_minute = 1;
    struct cell_lease lease = occupy(w, 0);
    cell_forget(&lease, w->now_us, -1);
    assert_int_equal(world_try_begin(w, &error), ERR_RATE_LIMITED);
    assert_true(error.retry_after_ms > 30000 && error.retry_after_ms <= 60000);
}

/* A backoff ends also when nobody gives a place back. */
static void a_queue_does_not_hide_a_backoff(void **state)
{
    struct world *w = *state;
    w->policy.backoff_us = 0;
    w->policy.queue_wait_us = S;
    world_chain(w, 2);
    w->targets[1].limits.concurrency_max = 1;
    struct cell_lease lease = occupy(w, 1);
    world_begin(w);
    say_error(w, 0, ERR_RATE_LIMITED, 429, 5000);
    assert_int_equal(look_at(w, 1).waiting, 1);
    fire(w); /* its time in the queue is over; the first one may be asked in 4 s */
    assert_int_equal(look_at(w, 1).waiting, 0);
    expect(w, "");
    fire(w);
    expect_start(w, 2, 0, ROUTE_WHOLE);
    assert_true(w->now_us == 1005 * S);
    cell_forget(&lease, w->now_us, -1);
    cancel_it(w);
}

/* ---- The breaker's probe --------------------------------------------------------------------- */

static void a_probe_brings_the_target_back(void **state)
{
    struct world *w = *state;
    open_breaker(w, 0);
    w->now_us = look_at(w, 0).until_us;
    world_begin(w);
    say_begun(w, 0, "Hi");
    assert_int_equal(look_at(w, 0).breaker, BREAKER_CLOSED);
    say_stop(w, 0);
    assert_true(expect_row(w, 0, 0, FLOW_ANSWERED, ERR_OK)->is_probe);
}

static void a_cancelled_probe_gives_its_place_back(void **state)
{
    struct world *w = *state;
    open_breaker(w, 0);
    w->now_us = look_at(w, 0).until_us;
    for (int i = 0; i < 2; i++) {
        world_begin(w);
        cancel_it(w);
        assert_true(expect_row(w, 0, 0, FLOW_CANCELLED, ERR_OK)->is_probe);
        assert_int_equal(look_at(w, 0).breaker, BREAKER_HALF_OPEN);
        world_again(w);
    }
    world_begin(w);
    cancel_it(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FLOW_TEST(what_does_not_fit_is_passed_over),
        FLOW_TEST(what_cannot_be_begun_is_passed_over),
        FLOW_TEST(when_all_are_out_it_is_said_for_how_long),
        FLOW_TEST(cost_has_a_limit),
        FLOW_TEST(a_busy_target_is_queued_for),
        FLOW_TEST(a_fallback_is_asked_before_a_queue_is_joined),
        FLOW_TEST(a_full_queue_refuses),
        FLOW_TEST(the_time_in_a_queue_is_limited),
        FLOW_TEST(a_pace_is_kept),
        FLOW_TEST(a_pace_beyond_the_queue_refuses_at_once),
        FLOW_TEST(a_queue_does_not_hide_a_backoff),
        FLOW_TEST(a_probe_brings_the_target_back),
        FLOW_TEST(a_cancelled_probe_gives_its_place_back),
    };
    return cmocka_run_group_tests_name("route/flow_choose", tests, NULL, NULL);
}
