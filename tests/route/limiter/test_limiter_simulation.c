/* The limiter through many runs of its simulation; and that enough happens in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "simulation.h"

enum { RUNS = 60, STEPS = 1500 };

static void test_all_holds(void **state)
{
    (void)state;
    struct simulation_result result, sum = {0};
    for (uint64_t seed = 1; seed <= RUNS; seed++) {
        if (!simulation_run(seed, STEPS, &result))
            fail_msg("seed %d, step %d: %s: %s", (int)seed, result.step,
                     invariant_name(result.broken), result.text);
        sum.granted += result.granted;
        sum.refused += result.refused;
        sum.settled += result.settled;
        sum.waits += result.waits;
        sum.changes += result.changes;
    }
    assert_true(sum.granted > 10000 && sum.refused > 5000 && sum.waits > 300);
    assert_int_equal(sum.settled, sum.granted);
    assert_true(sum.changes > 500);
}

static void test_the_same_seed_is_the_same_run(void **state)
{
    (void)state;
    struct simulation_result first, second;
    simulation_run(5, STEPS, &first);
    simulation_run(5, STEPS, &second);
    assert_int_equal(first.granted, second.granted);
    assert_int_equal(first.refused, second.refused);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_holds),
        cmocka_unit_test(test_the_same_seed_is_the_same_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
