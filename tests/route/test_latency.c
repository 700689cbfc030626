/* The latency: up at once, down slowly, forgotten without samples; the percentile against a sorted
 * array. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/random.h"
#include "route/latency.h"

#define MS ((uint64_t)1000)
#define S  ((uint64_t)1000 * 1000)

static void unknown_at_first(void **state)
{
    (void)state;
    struct latency latency = {0};
    assert_int_equal(latency_average_us(&latency, 100 * S), 0);
    assert_int_equal(latency_p95_us(&latency), 0);
    latency_add(&latency, 100 * S, 0); /* at once is not: unknown */
    assert_int_equal(latency_average_us(&latency, 100 * S), 1);
}

static void rises_at_once_and_falls_slowly(void **state)
{
    (void)state;
    struct latency latency = {0};
    latency_add(&latency, 100 * S, 200 * MS);
    assert_int_equal(latency_average_us(&latency, 100 * S), 200 * MS);
    latency_add(&latency, 101 * S, 2000 * MS);
    assert_int_equal(latency_average_us(&latency, 101 * S), 2000 * MS);
    latency_add(&latency, 101 * S, 200 * MS); /* no time has passed */
    assert_int_equal(latency_average_us(&latency, 101 * S), 2000 * MS);
    latency_add(&latency, 111 * S, 200 * MS); /* 200 + 1800/e */
    uint64_t average = latency_average_us(&latency, 111 * S);
    assert_in_range(average, 862 * MS, 863 * MS);
    for (uint64_t at = 112; at < 200; at++) {
        latency_add(&latency, at * S, 200 * MS);
        assert_true(latency_average_us(&latency, at * S) <= average);
        average = latency_average_us(&latency, at * S);
    }
    assert_in_range(average, 200 * MS, 201 * MS);
    latency_add(&latency, 150 * S, 100 * MS); /* a thread with an earlier clock */
    assert_in_range(latency_average_us(&latency, 150 * S), 199 * MS, 201 * MS);
}

static void falls_to_half_without_samples(void **state)
{
    (void)state;
    struct latency latency = {0};
    latency_add(&latency, 100 * S, 1000 * MS);
    uint64_t before = latency_average_us(&latency, 100 * S);
    for (uint64_t at = 101; at <= 130; at++) {
        uint64_t now = latency_average_us(&latency, at * S);
        assert_true(now < before);
        before = now;
    }
    assert_int_equal(before, 500 * MS);
    assert_int_equal(latency_average_us(&latency, 10000 * S), 500 * MS);
    assert_int_equal(latency_average_us(&latency, 1), 1000 * MS);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* It is never below the true one, and at most a quarter above. */
static void the_percentile_is_within_its_range(void **state)
{
    (void)state;
    struct random random;
    random_init(&random, 3);
    for (int round = 0; round < 300; round++) {
        struct latency latency = {0};
        uint64_t samples[1000];
        size_t count = LATENCY_SAMPLES_MIN + random_below(&random, 900);
        uint64_t span = 2 * MS << random_below(&random, 18);
        for (size_t i = 0; i < count; i++) {
            if (i < LATENCY_SAMPLES_MIN)
                assert_int_equal(latency_p95_us(&latency), 0);
            samples[i] = MS + random_below(&random, span);
            latency_add(&latency, i, samples[i]);
        }
        qsort(samples, count, sizeof *samples, compare);
        uint64_t wanted = samples[count - count / 20 - 1];
        assert_in_range(latency_p95_us(&latency), wanted, wanted * 5 / 4 + 1);
    }
}

static void extremes_are_counted_at_the_ends(void **state)
{
    (void)state;
    struct latency latency = {0};
    for (uint64_t i = 0; i < 100; i++)
        latency_add(&latency, i, i % 20);
    assert_int_equal(latency_p95_us(&latency), 1250);
    for (uint64_t i = 0; i < 1000; i++)
        latency_add(&latency, i, UINT64_MAX);
    assert_true(latency_p95_us(&latency) > 1000 * S);
    assert_true(latency_p95_us(&latency) < 2000 * S);
}

static void old_samples_fade(void **state)
{
    (void)state;
    struct latency latency = {0};
    for (uint64_t i = 0; i < 5000; i++)
        latency_add(&latency, i, 10 * S);
    assert_true(latency.count < 1024);
    for (uint64_t i = 0; i < 20000; i++)
        latency_add(&latency, i, 100 * MS);
    assert_in_range(latency_p95_us(&latency), 100 * MS, 125 * MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_at_first),
        cmocka_unit_test(rises_at_once_and_falls_slowly),
        cmocka_unit_test(falls_to_half_without_samples),
        cmocka_unit_test(the_percentile_is_within_its_range),
        cmocka_unit_test(extremes_are_counted_at_the_ends),
        cmocka_unit_test(old_samples_fade),
    };
    return cmocka_run_group_tests_name("route/latency", tests, NULL, NULL);
}
