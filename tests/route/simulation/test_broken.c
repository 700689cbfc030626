/* A flow with a bug in itself is caught: this program is built once for each, from a copy of the
 * flow in which one function that it calls is replaced by a wrong one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broken.h"
#include "simulation.h"

enum { DAYS = 60 };

struct str broken_join_add(struct join *join, struct str piece)
{
    join_add(join, piece);
    return piece;
}

struct attribution broken_attribution_of(const struct llm_error *error)
{
    struct attribution attribution = attribution_of(error);
    attribution.retries = true;
    return attribution;
}

void broken_cell_fail(struct cell_lease *lease, const struct breaker_policy *policy,
                      uint64_t now_us, int64_t tokens, enum err class, const char *message,
                      uint64_t retry_after_us, struct random *random)
{
    struct breaker_policy deaf = *policy;
    deaf.failures_max = INT32_MAX;
    deaf.ratio_percent = 0;
    cell_fail(lease, &deaf, now_us, tokens, class, message, retry_after_us, random);
}

static void test_caught(void **state)
{
    (void)state;
    struct simulation *simulation = simulation_new();
    struct simulation_result result = {0};
    for (uint64_t seed = 1; seed <= DAYS && !result.broken; seed++)
        simulation_day(simulation, &(struct simulation_options){.seed = seed, .trace_request = -1},
                       &result);
    assert_string_equal(invariant_name(result.broken), invariant_name(CAUGHT_BY));
    simulation_free(simulation);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_caught)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
