/* Rows of the ledger as bytes: what goes in comes out, what is too long is cut, and no bytes that
 * are not a row are taken for one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "route/ledger_row.h"
#include "route/route.h"

struct made {
    struct ledger_row row;
    struct id groups[LEDGER_GROUPS_MAX];
    struct str tags[LEDGER_TAGS_MAX];
};

static void make(struct made *made, struct random *random)
{
    static const struct str words[] = {{"", 0}, {"gpt-5.5", 7}, {"user:\xc3\xbc", 7}, {"a\0b", 3}};
#define WORD() words[random_below(random, 4)]
    for (size_t i = 0; i < LEDGER_GROUPS_MAX; i++)
        made->groups[i] = id_new((int64_t)i);
    for (size_t i = 0; i < LEDGER_TAGS_MAX; i++)
        made->tags[i] = WORD();
    made->row = (struct ledger_row){
        .start_ms = (int64_t)random_below(random, UINT64_C(1) << 45),
        .origin = {.request_id = WORD(),
                   .user = random_below(random, 2) ? id_new(7) : (struct id){0},
                   .key = random_below(random, 2) ? id_new(8) : (struct id){0},
                   .groups = made->groups,
                   .group_count = random_below(random, LEDGER_GROUPS_MAX + 1),
                   .tags = made->tags,
                   .tag_count = random_below(random, LEDGER_TAGS_MAX + 1),
                   .door = STR("openai"),
                   .model = WORD()},
        .number = (int)random_below(random, 256),
        .target = WORD(),
        .mode = route_mode_name((enum route_mode)random_below(random, 4)),
        .outcome = (enum ledger_outcome)random_below(random, LEDGER_OUTCOME_COUNT),
        .is_streamed = random_below(random, 2),
        .is_hedge = random_below(random, 2),
        .is_batch = random_below(random, 2),
        .reached = random_below(random, 2),
        .error_class = (enum err)random_below(random, ERR_COUNT),
        .http_status = (int)random_below(random, 1000),
        .usage = {(int64_t)random_below(random, 5000) - 1, -1, 0, LEDGER_TOKENS_MAX, 3, true},
        .cost_nano = (int64_t)random_below(random, 1000) - 1,
        .first_content_us = random_next(random),
        .duration_us = random_next(random),
        .losses = WORD(),
    };
}

static void assert_same(const struct ledger_row *a, const struct ledger_row *b)
{
    assert_true(a->start_ms == b->start_ms && a->number == b->number);
    assert_true(str_eq(a->origin.request_id, b->origin.request_id));
    assert_true(id_eq(&a->origin.user, &b->origin.user) && id_eq(&a->origin.key, &b->origin.key));
    assert_true(str_eq(a->origin.door, b->origin.door) && str_eq(a->origin.model, b->origin.model));
    assert_int_equal(a->origin.group_count, b->origin.group_count);
    for (size_t i = 0; i < a->origin.group_count; i++)
        assert_true(id_eq(&a->origin.groups[i], &b->origin.groups[i]));
    assert_int_equal(a->origin.tag_count, b->origin.tag_count);
    for (size_t i = 0; i < a->origin.tag_count; i++)
        assert_true(str_eq(a->origin.tags[i], b->origin.tags[i]));
    assert_true(str_eq(a->target, b->target) && str_eq(a->losses, b->losses));
    assert_string_equal(a->mode, b->mode);
    assert_true(a->outcome == b->outcome && a->error_class == b->error_class);
    assert_true(a->is_streamed == b->is_streamed && a->is_hedge == b->is_hedge &&
                a->is_batch == b->is_batch && a->reached == b->reached);
    assert_true(a->http_status == b->http_status && a->cost_nano == b->cost_nano);
    assert_true(a->usage.input_total == b->usage.input_total &&
                a->usage.input_cache_read == b->usage.input_cache_read &&
                a->usage.input_cache_write == b->usage.input_cache_write &&
                a->usage.output_total == b->usage.output_total &&
                a->usage.output_reasoning == b->usage.output_reasoning &&
                a->usage.is_estimated == b->usage.is_estimated);
    assert_true(a->first_content_us == b->first_content_us && a->duration_us == b->duration_us);
}

static void test_round_trip(void **state)
{
    (void)state;
    struct random random;
    random_init(&random, 1);
    for (int i = 0; i < 2000; i++) {
        struct made made;
        char packed[LEDGER_ROW_BYTES_MAX];
        struct ledger_row_space space;
        struct ledger_row row;
        make(&made, &random);
        size_t length = ledger_row_pack(&made.row, packed);
        assert_true(ledger_row_unpack(STR_FROM(packed, length), &space, &row));
        assert_same(&made.row, &row);
        assert_false(ledger_row_unpack(STR_FROM(packed, length - 1), &space, &row));
        packed[length] = 0;
        assert_false(ledger_row_unpack(STR_FROM(packed, length + 1), &space, &row));
    }
}

static void test_reached_is_set_in_place(void **state)
{
    (void)state;
    struct random random;
    struct made made;
    char packed[LEDGER_ROW_BYTES_MAX];
    struct ledger_row_space space;
    struct ledger_row row;
    random_init(&random, 2);
    make(&made, &random);
    made.row.reached = false;
    size_t length = ledger_row_pack(&made.row, packed);
    ledger_row_set_reached(packed);
    assert_true(ledger_row_unpack(STR_FROM(packed, length), &space, &row));
    assert_true(row.reached);
    row.reached = false;
    assert_same(&made.row, &row);
}

/* What was packed when it began becomes what is packed at the end, unless its texts have changed. */
static void test_what_has_begun_ends(void **state)
{
    (void)state;
    struct random random;
    struct made made;
    char begun[LEDGER_ROW_BYTES_MAX], packed[LEDGER_ROW_BYTES_MAX];
    random_init(&random, 4);
    for (int i = 0; i < 5000; i++) {
        make(&made, &random);
        struct ledger_row row = made.row;
        size_t length = ledger_row_pack_begun(&row, begun);
        bool is_new = row.error_class || row.losses.len;
        if (row.origin.group_count && !random_below(&random, 4)) {
            made.groups[random_below(&random, row.origin.group_count)].text[ID_LENGTH - 1] = '!';
            is_new = true;
        }
        if (!random_below(&random, 4)) {
            size_t groups = random_below(&random, LEDGER_GROUPS_MAX + 1);
            is_new |= groups != row.origin.group_count;
            row.origin.group_count = groups;
        }
        memcpy(packed, begun, length);
        assert_int_equal(ledger_row_end(&row, packed), !is_new);
        if (is_new)
            assert_memory_equal(packed, begun, length);
        assert_int_equal(ledger_row_pack(&row, begun) == length || is_new, true);
        if (!is_new)
            assert_memory_equal(packed, begun, length);
    }
}

/* Of an attempt that has begun nothing is known but who asks whom. */
static void test_what_begins_is_interrupted(void **state)
{
    (void)state;
    struct random random;
    struct made made;
    char packed[LEDGER_ROW_BYTES_MAX];
    struct ledger_row_space space;
    struct ledger_row row;
    random_init(&random, 5);
    for (int i = 0; i < 500; i++) {
        make(&made, &random);
        struct ledger_row expected = made.row;
        size_t length = ledger_row_pack_begun(&made.row, packed);
        assert_true(ledger_row_unpack(STR_FROM(packed, length), &space, &row));
        expected.outcome = LEDGER_INTERRUPTED;
        expected.reached = false;
        expected.error_class = ERR_OK;
        expected.http_status = 0;
        expected.usage = LLM_USAGE_UNKNOWN;
        expected.cost_nano = -1;
        expected.first_content_us = expected.duration_us = 0;
        expected.losses = STR("");
        assert_same(&expected, &row);
    }
}

static void test_what_is_too_large_is_cut(void **state)
{
    (void)state;
    char text[1000], packed[LEDGER_ROW_BYTES_MAX];
    struct ledger_row_space space;
    struct ledger_row row, large = {.usage = LLM_USAGE_UNKNOWN, .mode = "whole"};
    for (size_t i = 0; i < sizeof text; i += 2)
        memcpy(text + i, "\xc3\xbc", 2);
    struct str tags[20];
    struct id groups[30];
    for (size_t i = 0; i < 20; i++)
        tags[i] = STR_FROM(text, sizeof text);
    for (size_t i = 0; i < 30; i++)
        groups[i] = id_new(1);
    large.origin = (struct ledger_origin){.request_id = tags[0],
                                          .groups = groups,
                                          .group_count = 30,
                                          .tags = tags,
                                          .tag_count = 20,
                                          .door = tags[0],
                                          .model = STR_FROM(text + 1, 999)};
    large.target = large.losses = tags[0];
    large.number = 1000;
    large.http_status = 100000;
    large.usage.output_total = INT64_MAX;
    large.cost_nano = INT64_MAX;
    size_t length = ledger_row_pack(&large, packed);
    assert_true(length <= sizeof packed);
    assert_true(ledger_row_unpack(STR_FROM(packed, length), &space, &row));
    assert_int_equal(row.origin.request_id.len, LEDGER_TEXT_BYTES_MAX);
    assert_true(row.losses.len == 254 && row.number == 255 && row.http_status == 0);
    assert_true(row.origin.group_count == LEDGER_GROUPS_MAX &&
                row.origin.tag_count == LEDGER_TAGS_MAX);
    assert_true(row.usage.output_total == LEDGER_TOKENS_MAX &&
                row.cost_nano == LEDGER_COST_NANO_MAX && row.usage.input_total == -1);
}

static void test_damage_is_safe(void **state)
{
    (void)state;
    struct random random;
    struct made made;
    random_init(&random, 3);
    for (int i = 0; i < 20000; i++) {
        char packed[LEDGER_ROW_BYTES_MAX];
        struct ledger_row_space space;
        struct ledger_row row;
        make(&made, &random);
        size_t length = ledger_row_pack(&made.row, packed);
        packed[random_below(&random, length)] = (char)random_next(&random);
        char *exact = malloc(length); /* so that a byte too far is seen */
        memcpy(exact, packed, length);
        if (ledger_row_unpack(STR_FROM(exact, length), &space, &row))
            assert_true(row.origin.group_count <= LEDGER_GROUPS_MAX &&
                        row.outcome < LEDGER_OUTCOME_COUNT);
        free(exact);
    }
}

static void test_names_of_outcomes(void **state)
{
    (void)state;
    for (int i = 0; i < LEDGER_OUTCOME_COUNT; i++)
        for (int k = 0; k < i; k++)
            assert_string_not_equal(ledger_outcome_name((enum ledger_outcome)i),
                                    ledger_outcome_name((enum ledger_outcome)k));
    assert_string_equal(ledger_outcome_name(LEDGER_OUTCOME_COUNT), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_reached_is_set_in_place),
        cmocka_unit_test(test_what_has_begun_ends),
        cmocka_unit_test(test_what_begins_is_interrupted),
        cmocka_unit_test(test_what_is_too_large_is_cut),
        cmocka_unit_test(test_damage_is_safe),
        cmocka_unit_test(test_names_of_outcomes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
