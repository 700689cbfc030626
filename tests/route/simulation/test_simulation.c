/* The simulation itself: some days hold, the same seed plays the same day, and every planted bug is
 * caught by the invariant that is there for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plant.h"

enum { DAYS = 200, FRESH_DAYS = 40, PLANT_DAYS = 60 };

static bool play(struct simulation *simulation, uint64_t seed, bool is_fresh,
                 struct simulation_result *ret_result)
{
    return simulation_day(
        simulation,
        &(struct simulation_options){.seed = seed, .trace_request = -1, .is_fresh = is_fresh},
        ret_result);
}

static void days_hold(struct simulation *simulation, uint64_t from, uint64_t count, bool is_fresh)
{
    for (uint64_t seed = from; seed < from + count; seed++) {
        struct simulation_result result;
        if (!play(simulation, seed, is_fresh, &result))
            fail_msg("day %llu: %s: request %d at %llu us: %s", (unsigned long long)seed,
                     invariant_name(result.broken), result.request,
                     (unsigned long long)result.at_us, result.message);
    }
}

/* Bad days are survived, and they are bad enough to say something. */
static void test_days(void **state)
{
    (void)state;
    struct simulation *simulation = simulation_new();
    days_hold(simulation, 1, DAYS, false);
    const struct simulation_totals *totals = simulation_totals(simulation);
    assert_int_equal(totals->days, DAYS);
    assert_in_range(totals->requests, DAYS * 400, DAYS * 600);
    assert_in_range(totals->rescued, DAYS * 10, totals->answered);
    for (int mode = ROUTE_PREFILL; mode <= ROUTE_CONTINUE; mode++)
        assert_in_range(totals->recovered[mode], DAYS / 10, totals->answered);
    assert_in_range(totals->hedges, DAYS / 10, totals->attempts);
    assert_in_range(totals->cancelled, DAYS, totals->requests);
    assert_int_equal(totals->failed[ERR_OK] + totals->failed[ERR_INTERNAL], 0);
    simulation_free(simulation);
}

/* With memory that is really given back, also from within END. */
static void test_fresh_memory(void **state)
{
    (void)state;
    struct simulation *simulation = simulation_new();
    days_hold(simulation, 1000, FRESH_DAYS, true);
    simulation_free(simulation);
}

static void test_same_seed(void **state)
{
    (void)state;
    struct simulation *first = simulation_new(), *second = simulation_new();
    struct simulation_result one, other, again;
    days_hold(first, 500, 3, false); /* what went before does not matter */
    assert_true(play(first, 7, false, &one));
    assert_true(play(second, 7, true, &again));
    assert_true(play(second, 8, false, &other));
    assert_true(one.hash == again.hash);
    assert_true(one.hash != other.hash);
    simulation_free(first);
    simulation_free(second);
}

/* ---- Planted bugs ---------------------------------------------------------------------------- */

static const struct {
    enum plant plant;
    enum invariant caught_by;
} plants[] = {
    {PLANT_END_LOST, INVARIANT_ONE_END},           {PLANT_END_TWICE, INVARIANT_ONE_END},
    {PLANT_TEXT_TWICE, INVARIANT_WHOLE},           {PLANT_TEXT_LOST, INVARIANT_WHOLE},
    {PLANT_CUT_IS_FINISHED, INVARIANT_WHOLE},      {PLANT_TOOL_END_LOST, INVARIANT_TOOLS},
    {PLANT_USAGE_LOST, INVARIANT_USAGE},           {PLANT_REWIND_LOST, INVARIANT_WHOLE},
    {PLANT_HEARD_AFTER_CANCEL, INVARIANT_SILENCE}, {PLANT_TIMER_LOST, INVARIANT_DEADLINE},
    {PLANT_TIMER_AT_ONCE, INVARIANT_PROGRESS},     {PLANT_ROW_LOST, INVARIANT_LEDGER},
    {PLANT_ROW_TWICE, INVARIANT_LEDGER},           {PLANT_OPEN_ASKED, INVARIANT_BREAKER},
    {PLANT_BENCHED_ASKED, INVARIANT_BENCH},        {PLANT_PAUSED_ASKED, INVARIANT_RETRY_AFTER},
    {PLANT_FULL_ASKED, INVARIANT_CONCURRENCY},     {PLANT_PACED_ASKED, INVARIANT_PACE},
    {PLANT_LEASE_LEAKED, INVARIANT_LEASES},        {PLANT_ALL_REFUSE, INVARIANT_GIVEN_UP},
    {PLANT_FIRST_PICKED, INVARIANT_STARVED},       {PLANT_MORE_ATTEMPTS, INVARIANT_ATTEMPTS},
    {PLANT_LATER_DEADLINE, INVARIANT_DEADLINE},    {PLANT_UNFIT_ASKED, INVARIANT_FITS},
};

static bool play_planted(struct simulation *simulation, uint64_t seed, enum plant plant,
                         struct simulation_result *ret_result)
{
    struct simulation_options options = {
        .seed = seed, .ops = &plant_ops, .plant = (int)plant, .trace_request = -1};
    return simulation_day(simulation, &options, ret_result);
}

static void expect_caught(enum plant plant, enum invariant caught_by)
{
    struct simulation *simulation = simulation_new();
    struct simulation_result result, again;
    uint64_t seed = 1;
    while (seed <= PLANT_DAYS && play_planted(simulation, seed, plant, &result))
        seed++;
    if (seed > PLANT_DAYS)
        fail_msg("plant %d was not caught within %d days", plant, PLANT_DAYS);
    if (result.broken != caught_by)
        fail_msg("plant %d was caught by '%s' on day %llu: %s", plant,
                 invariant_name(result.broken), (unsigned long long)seed, result.message);
    assert_false(play_planted(simulation, seed, plant, &again));
    if (again.hash != result.hash || again.at_us != result.at_us)
        fail_msg("plant %d is caught differently in a replay", plant);
    simulation_free(simulation);
}

static void test_plants(void **state)
{
    (void)state;
    assert_int_equal(sizeof plants / sizeof *plants, PLANT_COUNT - 1);
    for (size_t i = 0; i < sizeof plants / sizeof *plants; i++)
        expect_caught(plants[i].plant, plants[i].caught_by);
}

/* Between the flow and its world they do nothing by themselves. */
static void test_no_plant(void **state)
{
    (void)state;
    struct simulation *simulation = simulation_new();
    struct simulation_result planted, plain;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        assert_true(play_planted(simulation, seed, PLANT_NONE, &planted));
        assert_true(play(simulation, seed, false, &plain));
        assert_true(planted.hash == plain.hash);
    }
    simulation_free(simulation);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_days),      cmocka_unit_test(test_fresh_memory),
        cmocka_unit_test(test_same_seed), cmocka_unit_test(test_no_plant),
        cmocka_unit_test(test_plants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
