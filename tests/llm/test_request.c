/* Equality of canonical values, names of results, losses, and the laws' own machinery. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/map.h"
#include "law.h"

static struct arena *arena;

static int set_up(void **state)
{
    (void)state;
    arena = arena_new(64 * 1024 * 1024);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static void equal_values_compare_equal(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 500; seed++) {
        struct random a, b, c;
        struct llm_request x, y, z;
        random_init(&a, seed);
        random_init(&b, seed);
        random_init(&c, seed + 100000);
        law_make_request(arena, &a, &x);
        law_make_request(arena, &b, &y);
        law_make_request(arena, &c, &z);
        assert_true(llm_request_equal(arena, &x, &y));
        assert_false(llm_request_equal(arena, &x, &z));
        arena_reset(arena);
    }
}

static void json_texts_compare_as_values(void **state)
{
    (void)state;
    struct llm_part call = {.kind = LLM_PART_TOOL_CALL, .arguments = STR("{\"a\":1,\"b\":[2]}")};
    struct llm_part same = call, other = call, broken = call;
    same.arguments = STR(" { \"b\" : [ 2 ], \"a\" : 1 } ");
    other.arguments = STR("{\"a\":1,\"b\":[3]}");
    broken.arguments = STR("{\"a\":1,");
    assert_true(llm_parts_equal(arena, &call, 1, &same, 1));
    assert_false(llm_parts_equal(arena, &call, 1, &other, 1));
    assert_false(llm_parts_equal(arena, &call, 1, &broken, 1));
    assert_true(llm_parts_equal(arena, &broken, 1, &broken, 1));
    same.origin = LLM_ORIGIN_WEB;
    assert_true(llm_parts_equal(arena, &call, 1, &same, 1));
}

static void results_take_the_names_of_their_calls(void **state)
{
    (void)state;
    struct llm_part calls[] = {
        {.kind = LLM_PART_TOOL_CALL, .call_id = STR("1"), .name = STR("f")},
        {.kind = LLM_PART_TOOL_CALL, .call_id = STR("2"), .name = STR("g")},
    };
    struct llm_part results[] = {
        {.kind = LLM_PART_TOOL_RESULT, .call_id = STR("2")},
        {.kind = LLM_PART_TOOL_RESULT, .call_id = STR("1"), .name = STR("own")},
        {.kind = LLM_PART_TOOL_RESULT, .call_id = STR("3")},
    };
    struct llm_message messages[] = {{.role = LLM_ASSISTANT, .parts = calls, .part_count = 2},
                                     {.role = LLM_TOOL, .parts = results, .part_count = 3}};
    struct llm_request request = {.messages = messages, .message_count = 2};
    llm_request_name_results(&request);
    assert_true(str_eq(results[0].name, STR("g")));
    assert_true(str_eq(results[1].name, STR("own")));
    assert_int_equal(results[2].name.len, 0);
}

static void assert_losses(const struct llm_losses *losses, size_t bytes_max, const char *expected)
{
    struct buf out;
    buf_init(&out, 4096);
    llm_losses_write(losses, &out, bytes_max);
    buf_append_char(&out, '\0');
    assert_string_equal(out.data, expected);
    buf_done(&out);
}

static void losses_name_places(void **state)
{
    (void)state;
    struct llm_losses losses;
    llm_losses_init(&losses, arena);
    llm_losses_add(NULL, LLM_FIELD_SEED, -1, -1);
    llm_losses_add(&losses, LLM_FIELD_SEED, -1, -1);
    llm_losses_add(&losses, LLM_FIELD_SEED, -1, -1);
    llm_losses_add(&losses, LLM_FIELD_MESSAGE_NAME, 2, -1);
    llm_losses_add(&losses, LLM_FIELD_PART_DETAIL, 2, 1);
    llm_losses_add(&losses, LLM_FIELD_PART, -1, 3);
    llm_losses_add(&losses, LLM_FIELD_TOOL_STRICT, 0, -1);
    assert_true(llm_losses_has(&losses, LLM_FIELD_PART_DETAIL, 2, 1));
    assert_false(llm_losses_has(&losses, LLM_FIELD_PART_DETAIL, 2, 0));
    assert_losses(&losses, 1000,
                  "seed, messages[2].name, messages[2].parts[1].detail, parts[3], tools[0].strict");
    assert_losses(&losses, 30, "seed, messages[2].name, ...");
    assert_losses(&losses, 28, "seed, messages[2].name, ...");
    assert_losses(&losses, 26, "seed, ...");
    assert_losses(&losses, 3, "...");
    assert_losses(&losses, 2, "");
}

static void what_is_gone_covers_its_parts(void **state)
{
    (void)state;
    struct llm_losses losses;
    llm_losses_init(&losses, arena);
    llm_losses_add(&losses, LLM_FIELD_TOOL_SCHEMA, 1, -1);
    llm_losses_add(&losses, LLM_FIELD_PART_DETAIL, 1, 0);
    llm_losses_add(&losses, LLM_FIELD_PART, 1, 0);
    llm_losses_add(&losses, LLM_FIELD_MESSAGE_NAME, 1, -1);
    llm_losses_add(&losses, LLM_FIELD_PART_DETAIL, 0, 0);
    assert_losses(&losses, 1000,
                  "tools[1].schema, messages[1].parts[0], messages[1].name, "
                  "messages[0].parts[0].detail");
    llm_losses_add(&losses, LLM_FIELD_MESSAGE, 1, -1);
    llm_losses_add(&losses, LLM_FIELD_PART, 1, 1);
    assert_losses(&losses, 1000, "tools[1].schema, messages[0].parts[0].detail, messages[1]");
}

static void losses_are_bounded(void **state)
{
    (void)state;
    struct llm_losses losses;
    llm_losses_init(&losses, arena);
    for (int i = 0; i < LLM_LOSSES_MAX + 10; i++)
        llm_losses_add(&losses, LLM_FIELD_MESSAGE_NAME, i, -1);
    assert_int_equal(losses.count, LLM_LOSSES_MAX);
}

/* ---- The laws' machinery: does it see what it must see? -------------------------------------- */

static struct llm_part text(const char *content)
{
    return (struct llm_part){.kind = LLM_PART_TEXT, .text = str_from_cstr(content)};
}

static void structural_losses_apply(void **state)
{
    (void)state;
    struct llm_part one[] = {text("one")}, two[] = {text("two"), text("three")};
    struct llm_part rule[] = {text("rule")};
    struct llm_message given[] = {{LLM_USER, STR_NONE, one, 1},
                                  {LLM_SYSTEM, STR_NONE, rule, 1},
                                  {LLM_USER, STR("bob"), two, 2}};
    struct llm_part joined[] = {text("one"), text("twothree")};
    struct llm_message got[] = {{LLM_SYSTEM, STR_NONE, rule, 1}, {LLM_USER, STR_NONE, joined, 2}};
    struct llm_request x = {.messages = given, .message_count = 3};
    struct llm_request y = {.messages = got, .message_count = 2};
    struct llm_losses losses;
    llm_losses_init(&losses, arena);
    llm_losses_add(&losses, LLM_FIELD_MESSAGE_MOVED, 1, -1);
    llm_losses_add(&losses, LLM_FIELD_MESSAGE_BOUNDARY, 2, -1);
    llm_losses_add(&losses, LLM_FIELD_MESSAGE_NAME, 2, -1);
    llm_losses_add(&losses, LLM_FIELD_PART_BOUNDARY, 2, 1);
    assert_true(law_request_matches(arena, &x, &y, &losses, SIZE_MAX));
    for (size_t i = 0; i < losses.count; i++)
        assert_false(law_request_matches(arena, &x, &y, &losses, i));
}

static void parts_move_by_rank(void **state)
{
    (void)state;
    struct llm_part call = {.kind = LLM_PART_TOOL_CALL, .call_id = STR("1"), .name = STR("f")};
    struct llm_part thought = {.kind = LLM_PART_REASONING, .text = STR("hm")};
    struct llm_part given[] = {call, text("a"), thought, text("b")};
    struct llm_part got[] = {thought, text("ab"), call};
    struct llm_response x = {.parts = given, .part_count = 4};
    struct llm_response y = {.parts = got, .part_count = 3};
    struct llm_losses losses;
    llm_losses_init(&losses, arena);
    llm_losses_add(&losses, LLM_FIELD_PART_MOVED, -1, 1);
    llm_losses_add(&losses, LLM_FIELD_PART_MOVED, -1, 2);
    llm_losses_add(&losses, LLM_FIELD_PART_MOVED, -1, 3);
    llm_losses_add(&losses, LLM_FIELD_PART_BOUNDARY, -1, 3);
    assert_true(law_response_matches(arena, &x, &y, &losses, SIZE_MAX));
    for (size_t i = 0; i < losses.count; i++)
        assert_false(law_response_matches(arena, &x, &y, &losses, i));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(equal_values_compare_equal, set_up, tear_down),
        cmocka_unit_test_setup_teardown(json_texts_compare_as_values, set_up, tear_down),
        cmocka_unit_test_setup_teardown(results_take_the_names_of_their_calls, set_up, tear_down),
        cmocka_unit_test_setup_teardown(losses_name_places, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_gone_covers_its_parts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(losses_are_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(structural_losses_apply, set_up, tear_down),
        cmocka_unit_test_setup_teardown(parts_move_by_rank, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
