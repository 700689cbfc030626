/* Percentiles by nearest rank. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above */
#include <cmocka.h>

#include "samples.h"

static void test_percentiles(void **state)
{
    (void)state;
    struct samples samples = {0};
    assert_int_equal(samples_percentile(&samples, 50), 0);
    for (uint64_t i = 5000; i > 0; i--)
        samples_add(&samples, i);
    assert_int_equal(samples_percentile(&samples, 0), 1);
    assert_int_equal(samples_percentile(&samples, 50), 2500);
    assert_int_equal(samples_percentile(&samples, 99), 4950);
    assert_int_equal(samples_percentile(&samples, 100), 5000);
    samples_done(&samples);
    samples_add(&samples, 7);
    assert_int_equal(samples_percentile(&samples, 99), 7);
    samples_done(&samples);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_percentiles)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
