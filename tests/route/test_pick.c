/* Picking: each strategy's order, and its distribution where chance decides. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "route/pick.h"

enum { TARGETS = 4, ROUNDS = 20000 };

struct fixture {
    struct target targets[TARGETS];
    const struct target *list[TARGETS];
    uint32_t numbers[TARGETS]; /* weights or ranks */
    struct route_group group;
    struct pick_entry entries[TARGETS];
    struct llm_needs needs;
    struct random random;
    struct pick_context context;
};

static const struct price price_free;

static struct price price_of(int64_t input, int64_t output)
{
    return (struct price){.input = input * PRICE_PER_MILLION,
                          .cache_read = -1,
                          .cache_write = -1,
                          .output = output * PRICE_PER_MILLION,
                          .long_input = -1,
                          .long_output = -1};
}

static void fixture_init(struct fixture *f, enum route_strategy strategy)
{
    *f = (struct fixture){.needs = {.input_tokens = 1000, .output_tokens = 1000}};
    for (size_t i = 0; i < TARGETS; i++) {
        f->list[i] = &f->targets[i];
        f->entries[i].index = i;
    }
    f->group = (struct route_group){.strategy = strategy, .targets = f->list, .count = TARGETS};
    random_init(&f->random, 42);
    f->context = (struct pick_context){&f->needs, CELL_INTERACTIVE, &f->random};
}

static size_t pick_one(struct fixture *f)
{
    return pick(&f->group, f->entries, TARGETS, &f->context);
}

/* How often each is picked. */
static void count_picks(struct fixture *f, size_t *ret_counts)
{
    memset(ret_counts, 0, TARGETS * sizeof *ret_counts);
    for (int i = 0; i < ROUNDS; i++)
        ret_counts[pick_one(f)]++;
}

static void set_price(struct fixture *f, size_t i, struct price price)
{
    f->targets[i].price = price;
    f->targets[i].has_price = true;
}

static void swap_entries(struct fixture *f, size_t a, size_t b)
{
    struct pick_entry entry = f->entries[a];
    f->entries[a] = f->entries[b];
    f->entries[b] = entry;
}

static void only_one_is_picked_by_all(void **state)
{
    (void)state;
    for (int strategy = ROUTE_PRIORITY; strategy <= ROUTE_BALANCED; strategy++) {
        struct fixture f;
        fixture_init(&f, (enum route_strategy)strategy);
        f.entries[0].index = 3;
        assert_int_equal(pick(&f.group, f.entries, 1, &f.context), 0);
    }
}

static void priority_takes_the_lowest_index(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, ROUTE_PRIORITY);
    swap_entries(&f, 0, 2);
    f.entries[2].view.calls = 100;
    f.entries[1].view.probe_due = true;
    assert_int_equal(pick_one(&f), 2);
    assert_int_equal(pick(&f.group, f.entries, 2, &f.context), 1);
}

static void weights_are_proportions(void **state)
{
    (void)state;
    struct fixture f;
    size_t counts[TARGETS];
    fixture_init(&f, ROUTE_WEIGHTED);
    f.group.weights = f.numbers;
    memcpy(f.numbers, (uint32_t[]){1, 0, 3, 6}, sizeof f.numbers);
    swap_entries(&f, 0, 3); /* weights belong to the index, not to the position */
    count_picks(&f, counts);
    assert_in_range(counts[0], ROUNDS * 58 / 100, ROUNDS * 62 / 100);
    assert_int_equal(counts[1], 0);
    assert_in_range(counts[2], ROUNDS * 28 / 100, ROUNDS * 32 / 100);
    assert_in_range(counts[3], ROUNDS * 9 / 100, ROUNDS * 11 / 100);
    memcpy(f.numbers, (uint32_t[]){UINT32_MAX, UINT32_MAX, 0, 0}, sizeof f.numbers);
    count_picks(&f, counts);
    assert_in_range(counts[1], ROUNDS * 48 / 100, ROUNDS * 52 / 100);
    assert_in_range(counts[3], ROUNDS * 48 / 100, ROUNDS * 52 / 100);
}

static void no_weights_are_all_alike(void **state)
{
    (void)state;
    struct fixture f;
    size_t counts[TARGETS];
    fixture_init(&f, ROUTE_WEIGHTED);
    for (int round = 0; round < 2; round++) {
        f.group.weights = round ? f.numbers : NULL; /* all 0 */
        count_picks(&f, counts);
        for (size_t i = 0; i < TARGETS; i++)
            assert_in_range(counts[i], ROUNDS * 23 / 100, ROUNDS * 27 / 100);
    }
}

static void latency_takes_the_faster_of_two(void **state)
{
    (void)state;
    struct fixture f;
    size_t counts[TARGETS];
    fixture_init(&f, ROUTE_LATENCY);
    for (size_t i = 0; i < TARGETS; i++)
        f.entries[i].view.first_content_us = 1000 * (i + 1);
    f.entries[0].view.calls = 9; /* 10 000: the slowest */
    count_picks(&f, counts);
    assert_int_equal(counts[0], 0);
    assert_in_range(counts[1], ROUNDS * 48 / 100, ROUNDS * 52 / 100);
    assert_in_range(counts[2], ROUNDS * 31 / 100, ROUNDS * 35 / 100);
    assert_in_range(counts[3], ROUNDS * 15 / 100, ROUNDS * 19 / 100);
    f.entries[0].view.first_content_us = 0; /* unknown: first whenever it is one of the two */
    count_picks(&f, counts);
    assert_in_range(counts[0], ROUNDS * 48 / 100, ROUNDS * 52 / 100);
}

static void least_busy_takes_fewest_calls(void **state)
{
    (void)state;
    struct fixture f;
    size_t counts[TARGETS];
    fixture_init(&f, ROUTE_LEAST_BUSY);
    static const int calls[TARGETS] = {3, 1, 2, 1};
    for (size_t i = 0; i < TARGETS; i++)
        f.entries[i].view.calls = calls[i];
    count_picks(&f, counts);
    assert_int_equal(counts[0] + counts[2], 0);
    assert_in_range(counts[1], ROUNDS * 48 / 100, ROUNDS * 52 / 100);
    for (size_t i = 0; i < TARGETS; i++)
        f.entries[i].view.calls = 7;
    count_picks(&f, counts);
    for (size_t i = 0; i < TARGETS; i++)
        assert_in_range(counts[i], ROUNDS * 23 / 100, ROUNDS * 27 / 100);
}

static void cost_depends_on_the_request(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, ROUTE_COST);
    set_price(&f, 1, price_of(1, 10)); /* cheap to read */
    set_price(&f, 2, price_of(3, 4));  /* cheap to write */
    f.needs = (struct llm_needs){.input_tokens = 10000, .output_tokens = 100};
    assert_int_equal(pick_one(&f), 1);
    f.needs = (struct llm_needs){.input_tokens = 100, .output_tokens = 10000};
    assert_int_equal(pick_one(&f), 2);
    /* 1000 tokens of answer where nothing is said: 3000 in are even, less is for the writer */
    f.needs = (struct llm_needs){.input_tokens = 2999};
    assert_int_equal(pick_one(&f), 2);
    f.needs = (struct llm_needs){.input_tokens = 3001};
    assert_int_equal(pick_one(&f), 1);
    f.needs = (struct llm_needs){.input_tokens = 3000}; /* even: the first by index */
    assert_int_equal(pick_one(&f), 1);
    swap_entries(&f, 1, 2);
    assert_int_equal(pick_one(&f), 2);
}

static void cost_knows_long_requests_and_unknown_prices(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, ROUTE_COST);
    assert_int_equal(pick_one(&f), 0); /* none is known */
    set_price(&f, 3, price_of(100, 100));
    assert_int_equal(pick_one(&f), 3); /* the only known one */
    struct price price = price_of(1, 1);
    price.long_from_tokens = 200000;
    price.long_input = 2 * PRICE_PER_MILLION;
    set_price(&f, 2, price);
    set_price(&f, 3,
              (struct price){.input = 3 * PRICE_PER_MILLION / 2,
                             .output = 3 * PRICE_PER_MILLION / 2,
                             .long_input = -1,
                             .long_output = -1});
    f.needs = (struct llm_needs){.input_tokens = 100000};
    assert_int_equal(pick_one(&f), 2);
    f.needs = (struct llm_needs){.input_tokens = 300000};
    assert_int_equal(pick_one(&f), 3);
    set_price(&f, 1, price_free);
    assert_int_equal(pick_one(&f), 1);
}

static void region_goes_by_rank_then_by_distance(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, ROUTE_REGION);
    static const uint64_t connects[TARGETS] = {30, 20, 10, 10};
    for (size_t i = 0; i < TARGETS; i++)
        f.entries[i].view.connect_us = connects[i];
    assert_int_equal(pick_one(&f), 2);
    f.group.ranks = f.numbers;
    memcpy(f.numbers, (uint32_t[]){1, 0, 2, 2}, sizeof f.numbers);
    assert_int_equal(pick_one(&f), 1);
    f.numbers[0] = 0;
    assert_int_equal(pick_one(&f), 1);
    f.entries[0].view.connect_us = 0; /* unknown: it is measured by asking */
    assert_int_equal(pick_one(&f), 0);
    f.group.ranks = NULL;
    f.entries[3].view.connect_us = 0;
    swap_entries(&f, 0, 3);
    assert_int_equal(pick_one(&f), 3); /* both unknown: by index */
}

/* Two alike but for one side each. */
static void balanced_weighs_three_sides(void **state)
{
    (void)state;
    struct fixture f;
    size_t counts[TARGETS];
    fixture_init(&f, ROUTE_BALANCED);
    for (size_t i = 0; i < TARGETS; i++) {
        set_price(&f, i, price_of(4, 4));
        f.entries[i].view.first_content_us = 400;
        f.entries[i].view.failed_percent = 50;
    }
    count_picks(&f, counts); /* all alike: by chance */
    for (size_t i = 0; i < TARGETS; i++)
        assert_in_range(counts[i], ROUNDS * 23 / 100, ROUNDS * 27 / 100);
    set_price(&f, 1, price_of(1, 1));
    assert_int_equal(pick_one(&f), 1); /* others: 4 + 1 + 1; it: 1 + 1 + 1 */
    f.entries[2].view.first_content_us = 80;
    assert_int_equal(pick_one(&f), 2); /* 4 + 1 + 1 against 1 + 5 + 1 */
    f.context.priority = CELL_BATCH;
    assert_int_equal(pick_one(&f), 1); /* 4 x 4 + 1 + 1 against 4 x 1 + 5 + 1 */
    f.context.priority = CELL_INTERACTIVE;
    f.entries[2].view.failed_percent = 100;
    f.entries[3].view.failed_percent = 0;
    assert_int_equal(pick_one(&f), 1);
}

static void balanced_bears_what_it_does_not_know(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, ROUTE_BALANCED);
    for (size_t i = 0; i < TARGETS; i++)
        f.entries[i].view.first_content_us = 100 * (i + 1);
    assert_int_equal(pick_one(&f), 0); /* no price known at all: latency decides */
    f.entries[3].view.first_content_us = 0;
    f.entries[0].view.failed_percent = 20;
    assert_int_equal(pick_one(&f), 3); /* nobody knows how fast: tried */
    set_price(&f, 1, price_of(1, 1));
    set_price(&f, 2, price_of(9, 9));
    assert_int_equal(pick_one(&f), 1); /* 3 is as dear as the dearest known */
    set_price(&f, 0, price_free);
    f.entries[0].view.first_content_us = 100000;
    f.entries[0].view.failed_percent = 99;
    assert_int_equal(pick_one(&f), 3); /* nothing outweighs all: 10 at most for each side */
}

static void due_probes_go_first(void **state)
{
    (void)state;
    static const struct {
        enum route_strategy strategy;
        bool goes_first;
    } rows[] = {{ROUTE_PRIORITY, false},  {ROUTE_WEIGHTED, true}, {ROUTE_LATENCY, true},
                {ROUTE_LEAST_BUSY, true}, {ROUTE_COST, false},    {ROUTE_REGION, false},
                {ROUTE_BALANCED, true}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fixture f;
        fixture_init(&f, rows[i].strategy);
        f.group.weights = f.numbers;
        f.numbers[0] = 1;
        f.entries[2].view = (struct cell_view){.probe_due = true,
                                               .calls = 50,
                                               .first_content_us = 1000000,
                                               .connect_us = 1000000,
                                               .failed_percent = 100};
        assert_true((pick_one(&f) == 2) == rows[i].goes_first);
    }
}

static void names_and_defaults(void **state)
{
    (void)state;
    assert_string_equal(route_strategy_name(ROUTE_PRIORITY), "priority");
    assert_string_equal(route_strategy_name(ROUTE_LEAST_BUSY), "least_busy");
    assert_string_equal(route_strategy_name(ROUTE_BALANCED), "balanced");
    assert_string_equal(route_mode_name(ROUTE_WHOLE), "whole");
    assert_string_equal(route_mode_name(ROUTE_CONTINUE), "continue");
    const struct route_policy *policy = &route_policy_default;
    assert_int_equal(policy->attempts_max, 3);
    assert_int_equal(policy->attempts_total_max, 12);
    assert_int_equal(policy->recovery, ROUTE_CONTINUE);
    assert_int_equal(policy->breaker.failures_max, 5);
    assert_true(policy->backoff_us == 2000000 && policy->total_us == 3600000000u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_one_is_picked_by_all),
        cmocka_unit_test(priority_takes_the_lowest_index),
        cmocka_unit_test(weights_are_proportions),
        cmocka_unit_test(no_weights_are_all_alike),
        cmocka_unit_test(latency_takes_the_faster_of_two),
        cmocka_unit_test(least_busy_takes_fewest_calls),
        cmocka_unit_test(cost_depends_on_the_request),
        cmocka_unit_test(cost_knows_long_requests_and_unknown_prices),
        cmocka_unit_test(region_goes_by_rank_then_by_distance),
        cmocka_unit_test(balanced_weighs_three_sides),
        cmocka_unit_test(balanced_bears_what_it_does_not_know),
        cmocka_unit_test(due_probes_go_first),
        cmocka_unit_test(names_and_defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
