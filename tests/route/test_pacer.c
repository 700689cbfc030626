/* The pacer: rate and burst, both buckets or none, settling, learning, and what it promises. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "route/pacer.h"

#define S ((uint64_t)1000 * 1000)

static const uint64_t start_us = 5000 * S;

static struct pacer configured(int64_t requests, int64_t tokens)
{
    struct pacer pacer = {0};
    pacer_configure(&pacer, requests, tokens, start_us);
    return pacer;
}

static struct llm_limits says(int64_t limit, int64_t remaining, int64_t reset_ms)
{
    struct llm_limits limits = LLM_LIMITS_UNKNOWN;
    limits.requests = (struct llm_limit){limit, remaining, reset_ms};
    return limits;
}

static bool may_go(struct pacer *pacer, uint64_t now_us, int64_t tokens)
{
    return pacer_when(pacer, now_us, tokens) <= now_us;
}

static void without_limits_all_go(void **state)
{
    (void)state;
    struct pacer pacer = {0};
    for (uint64_t i = 0; i < 1000; i++) {
        assert_true(may_go(&pacer, i, 1000000));
        pacer_take(&pacer, i, 1000000);
    }
    pacer_settle(&pacer, 1000, 1000000, 5);
    assert_int_equal(pacer.tokens.level, 0);
}

static void a_burst_then_the_rate(void **state)
{
    (void)state;
    struct pacer pacer = configured(6, 0);
    for (int i = 0; i < 6; i++) {
        assert_true(may_go(&pacer, start_us, 0));
        pacer_take(&pacer, start_us, 0);
    }
    assert_true(pacer_when(&pacer, start_us, 0) == start_us + 10 * S);
    assert_true(pacer_when(&pacer, start_us + 3 * S, 0) == start_us + 10 * S);
    pacer_take(&pacer, start_us + 10 * S, 0);
    assert_true(pacer_when(&pacer, start_us + 10 * S, 0) == start_us + 20 * S);
    assert_true(may_go(&pacer, start_us + 1000 * S, 0));
    assert_int_equal(pacer.requests.level, 6); /* never more than full */
    pacer_take(&pacer, start_us, 0);           /* a thread with an earlier clock */
    assert_int_equal(pacer.requests.level, 5);
}

/* What is asked often gains no more and no less than what is asked seldom. */
static void small_steps_lose_nothing(void **state)
{
    (void)state;
    struct pacer pacer = configured(7, 0);
    for (int i = 0; i < 7; i++)
        pacer_take(&pacer, start_us, 0);
    int gone = 0;
    for (uint64_t now_us = start_us; now_us < start_us + 600 * S; now_us += 997) {
        if (!may_go(&pacer, now_us, 0))
            continue;
        pacer_take(&pacer, now_us, 0);
        gone++;
    }
    assert_in_range(gone, 69, 70);
}

static void both_or_none(void **state)
{
    (void)state;
    struct pacer pacer = configured(10, 1000);
    pacer_take(&pacer, start_us, 900);
    uint64_t when_us = pacer_when(&pacer, start_us, 200);
    assert_true(when_us == start_us + 6 * S);  /* 100 more tokens */
    assert_int_equal(pacer.requests.level, 9); /* asking takes nothing */
    assert_int_equal(pacer.tokens.level, 100);
    assert_true(may_go(&pacer, start_us, 100));
    for (int i = 0; i < 9; i++)
        pacer_take(&pacer, start_us, 0);
    assert_true(pacer_when(&pacer, start_us, 200) == start_us + 6 * S);
    pacer_take(&pacer, start_us, -5); /* nonsense takes no tokens */
    assert_true(pacer_when(&pacer, start_us, 200) == start_us + 12 * S); /* of requests */
}

static void a_call_larger_than_the_bucket(void **state)
{
    (void)state;
    struct pacer pacer = configured(0, 1000);
    assert_true(may_go(&pacer, start_us, 5000));
    pacer_take(&pacer, start_us, 1);
    assert_true(pacer_when(&pacer, start_us, 5000) == start_us + 60000);
    pacer_take(&pacer, start_us + S, 2500); /* from 1000 */
    assert_int_equal(pacer.tokens.level, -1500);
    assert_true(pacer_when(&pacer, start_us + S, 100) == start_us + S + 96 * S);
    pacer_take(&pacer, start_us + S, INT64_MAX); /* bounded, or nobody would ever go again */
    assert_true(pacer_when(&pacer, start_us + S, INT64_MAX) == start_us + S + 11 * 60 * S);
}

static void settling(void **state)
{
    (void)state;
    struct pacer pacer = configured(0, 1000);
    pacer_take(&pacer, start_us, 600);
    pacer_settle(&pacer, start_us, 600, 200);
    assert_int_equal(pacer.tokens.level, 800);
    pacer_take(&pacer, start_us, 600);
    pacer_settle(&pacer, start_us, 600, -1);
    assert_int_equal(pacer.tokens.level, 200);
    pacer_settle(&pacer, start_us, 100, 500);
    assert_int_equal(pacer.tokens.level, -200);
    pacer_settle(&pacer, start_us, INT64_MAX, 0);
    assert_int_equal(pacer.tokens.level, 1000);
}

static void configuring_again(void **state)
{
    (void)state;
    struct pacer pacer = configured(10, 0);
    for (int i = 0; i < 4; i++)
        pacer_take(&pacer, start_us, 0);
    pacer_configure(&pacer, 10, 0, start_us);
    assert_int_equal(pacer.requests.level, 6);
    pacer_configure(&pacer, 20, 0, start_us);
    assert_int_equal(pacer.requests.level, 16);
    pacer_configure(&pacer, 2, 0, start_us);
    assert_int_equal(pacer.requests.level, -2);
    pacer_configure(&pacer, 0, 0, start_us);
    assert_true(may_go(&pacer, start_us, 0));
    pacer_configure(&pacer, -7, INT64_MAX, start_us);
    assert_true(may_go(&pacer, start_us, INT64_MAX));
    assert_int_equal(pacer.requests.capacity, 0);
}

static void the_providers_word_lowers_what_is_configured(void **state)
{
    (void)state;
    struct pacer pacer = configured(60, 0);
    struct llm_limits limits = says(1000, 3, 100);
    pacer_learn(&pacer, start_us, &limits, 0, 0);
    assert_int_equal(pacer.requests.level, 3);
    assert_int_equal(pacer.requests.capacity, 60);
    assert_int_equal(pacer.requests.period_us, 60 * S);
    limits = says(1000, 900, 100);
    pacer_learn(&pacer, start_us, &limits, 0, 0);
    assert_int_equal(pacer.requests.level, 3);
    limits = says(-1, -1, -1);
    pacer_learn(&pacer, start_us, &limits, 0, 0);
    assert_int_equal(pacer.requests.level, 3);
    pacer_configure(&pacer, 60, 0, start_us);
    assert_int_equal(pacer.requests.level, 3);
}

static void limits_are_learned(void **state)
{
    (void)state;
    struct pacer pacer = {0};
    struct llm_limits limits = says(100, 20, 40000); /* 80 in 40 s: 100 in 50 s */
    limits.tokens = (struct llm_limit){5000, 4990, 900};
    pacer_learn(&pacer, start_us, &limits, 3, 300);
    assert_int_equal(pacer.requests.capacity, 100);
    assert_int_equal(pacer.requests.level, 20);
    assert_int_equal(pacer.requests.period_us, 50 * S);
    assert_int_equal(pacer.tokens.level, 4990);
    assert_int_equal(pacer.tokens.period_us, 60 * S); /* so little used says nothing of its pace */
    pacer_configure(&pacer, 0, 0, start_us);          /* "no limit" does not forget them */
    assert_int_equal(pacer.requests.level, 20);
    for (int i = 0; i < 20; i++)
        pacer_take(&pacer, start_us, 0);
    assert_true(pacer_when(&pacer, start_us, 0) == start_us + S / 2);
    /* It says more than we thought: what is under way it may not have counted. */
    limits = says(100, 8, -1);
    pacer_learn(&pacer, start_us, &limits, 5, 0);
    assert_int_equal(pacer.requests.level, 3);
    pacer_learn(&pacer, start_us, &limits, 50, 0); /* which takes nothing away */
    assert_int_equal(pacer.requests.level, 3);
    limits = says(200, 108, -1); /* a better contract */
    pacer_learn(&pacer, start_us, &limits, 50, 0);
    assert_int_equal(pacer.requests.level, 103);
    pacer_configure(&pacer, 10, 0, start_us); /* and now somebody says so */
    assert_int_equal(pacer.requests.capacity, 10);
    assert_int_equal(pacer.requests.period_us, 60 * S);
}

static void a_slow_pace_survives_learning_often(void **state)
{
    (void)state;
    struct pacer pacer = {0};
    struct llm_limits limits = says(10, 0, 100 * 1000);
    for (uint64_t i = 0; i <= 100; i++) {
        limits.requests.remaining = (int64_t)i / 10;
        limits.requests.reset_ms = (int64_t)(100 - i) * 1000;
        pacer_learn(&pacer, start_us + i * S, &limits, 1000, 0);
        assert_in_range(pacer.requests.level, i < 20 ? 0 : i / 10 - 1, i / 10);
    }
}

static void hostile_words(void **state)
{
    (void)state;
    struct random random;
    random_init(&random, 11);
    static const int64_t values[] = {-1, 0, 1, 2, 60, 86400000, INT64_MAX, INT64_MAX - 1, 1000000};
    struct pacer pacer = {0};
    uint64_t now_us = 0;
    for (int i = 0; i < 100000; i++) {
        int64_t v[10];
        for (int n = 0; n < 10; n++)
            v[n] = values[random_below(&random, sizeof values / sizeof *values)];
        struct llm_limits limits = {{v[0], v[1], v[2]}, {v[3], v[4], v[5]}};
        now_us += random_below(&random, 100 * S);
        pacer_learn(&pacer, now_us, &limits, v[6], v[7]);
        pacer_take(&pacer, now_us, v[8]);
        pacer_settle(&pacer, now_us, v[8], v[9]);
        uint64_t when_us = pacer_when(&pacer, now_us, v[6]);
        assert_true(when_us - now_us <= (uint64_t)12 * 24 * 3600 * S);
        if (i % 100 == 0)
            pacer_configure(&pacer, v[6], v[7], now_us);
    }
}

/* When it says a time, a call may go at that time, and not a moment before; and never more go than
 * a full bucket and what the time brings. */
static void promises_hold(void **state)
{
    (void)state;
    struct random random;
    random_init(&random, 5);
    for (int round = 0; round < 200; round++) {
        int64_t requests = 1 + (int64_t)random_below(&random, 100);
        int64_t tokens = 1 + (int64_t)random_below(&random, 1u << random_below(&random, 24));
        struct pacer pacer = configured(requests, tokens);
        uint64_t now_us = start_us;
        int64_t taken = 0;
        int64_t calls = 0;
        for (int i = 0; i < 300; i++) {
            int64_t size = (int64_t)random_below(&random, (uint64_t)tokens + 1);
            uint64_t when_us = pacer_when(&pacer, now_us, size);
            if (when_us > now_us)
                assert_false(may_go(&pacer, when_us - 1, size));
            assert_true(may_go(&pacer, when_us, size));
            now_us = when_us + random_below(&random, 2) * random_below(&random, S);
            pacer_take(&pacer, now_us, size);
            taken += size;
            calls++;
            uint64_t passed_us = now_us - start_us;
            assert_true(calls <= requests + (int64_t)(passed_us * (uint64_t)requests / (60 * S)));
            assert_true(taken <= tokens + (int64_t)(passed_us * (uint64_t)tokens / (60 * S)));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_limits_all_go),
        cmocka_unit_test(a_burst_then_the_rate),
        cmocka_unit_test(small_steps_lose_nothing),
        cmocka_unit_test(both_or_none),
        cmocka_unit_test(a_call_larger_than_the_bucket),
        cmocka_unit_test(settling),
        cmocka_unit_test(configuring_again),
        cmocka_unit_test(the_providers_word_lowers_what_is_configured),
        cmocka_unit_test(limits_are_learned),
        cmocka_unit_test(a_slow_pace_survives_learning_often),
        cmocka_unit_test(hostile_words),
        cmocka_unit_test(promises_hold),
    };
    return cmocka_run_group_tests_name("route/pacer", tests, NULL, NULL);
}
