/* Builder: taking text back, keeping views. That events become parts is the law's business (law.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "llm/response.h"

struct fixture {
    struct arena *arena;
    struct llm_builder *builder;
};

static int set_up(void **state)
{
    static struct fixture fixture;
    fixture.arena = arena_new(1024 * 1024);
    fixture.builder = llm_builder_new(fixture.arena, 1000 * 1000);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    arena_free(fixture->arena);
    return 0;
}

static void add(struct fixture *fixture, enum llm_event_kind kind, const char *text)
{
    struct llm_event event = {
        .kind = kind, .text = str_from_cstr(text), .id = STR("c1"), .name = STR("f")};
    assert_int_equal(llm_builder_add(fixture->builder, &event), ERR_OK);
}

static const struct llm_part *part(struct fixture *fixture, size_t index, size_t count)
{
    const struct llm_response *response = llm_builder_response(fixture->builder);
    assert_int_equal(response->part_count, count);
    return &response->parts[index];
}

static void assert_text(const struct llm_part *part, enum llm_part_kind kind, const char *text)
{
    assert_int_equal(part->kind, kind);
    assert_true(str_eq(part->text, str_from_cstr(text)));
}

static void test_text_goes_on_where_it_was_cut(void **state)
{
    struct fixture *fixture = *state;
    add(fixture, LLM_EVENT_REASONING, "hm");
    add(fixture, LLM_EVENT_TEXT, "one two");
    llm_builder_rewind(fixture->builder, 4);
    add(fixture, LLM_EVENT_TEXT, "three");
    assert_text(part(fixture, 0, 2), LLM_PART_REASONING, "hm");
    assert_text(part(fixture, 1, 2), LLM_PART_TEXT, "one three");
}

static void test_what_came_behind_goes(void **state)
{
    struct fixture *fixture = *state;
    add(fixture, LLM_EVENT_TEXT, "one");
    add(fixture, LLM_EVENT_TOOL_START, "");
    add(fixture, LLM_EVENT_TOOL_ARGUMENTS, "{\"a\":1}");
    add(fixture, LLM_EVENT_TEXT, "two");
    llm_builder_rewind(fixture->builder, 2);
    assert_text(part(fixture, 0, 1), LLM_PART_TEXT, "on");
    add(fixture, LLM_EVENT_TOOL_START, "");
    add(fixture, LLM_EVENT_TOOL_ARGUMENTS, "{}");
    assert_true(str_eq(part(fixture, 1, 2)->arguments, STR("{}")));
}

static void test_counts_over_several_texts(void **state)
{
    struct fixture *fixture = *state;
    add(fixture, LLM_EVENT_TEXT, "one");
    add(fixture, LLM_EVENT_REASONING, "hm");
    add(fixture, LLM_EVENT_TEXT, "two");
    llm_builder_rewind(fixture->builder, 100); /* there is no more: nothing happens */
    assert_text(part(fixture, 2, 3), LLM_PART_TEXT, "two");
    llm_builder_rewind(fixture->builder, 4);
    assert_text(part(fixture, 2, 3), LLM_PART_TEXT, "t");
    llm_builder_rewind(fixture->builder, 0);
    assert_text(part(fixture, 0, 1), LLM_PART_TEXT, "");
}

static void test_views_are_kept_until_more_comes(void **state)
{
    struct fixture *fixture = *state;
    char text[] = "one", id[] = "c1";
    const struct llm_event begun = {.kind = LLM_EVENT_TEXT, .text = STR_FROM(text, 3)};
    const struct llm_event empty = {.kind = LLM_EVENT_REASONING};
    const struct llm_event call = {.kind = LLM_EVENT_TOOL_START, .id = STR_FROM(id, 2)};
    assert_int_equal(llm_builder_add_view(fixture->builder, &begun), ERR_OK);
    assert_ptr_equal(part(fixture, 0, 1)->text.data, text);
    assert_int_equal(llm_builder_add_view(fixture->builder, &begun), ERR_OK);
    assert_text(part(fixture, 0, 1), LLM_PART_TEXT, "oneone");
    add(fixture, LLM_EVENT_TEXT, " two");
    text[0] = 'x'; /* it is a copy by now */
    assert_text(part(fixture, 0, 1), LLM_PART_TEXT, "oneone two");
    assert_int_equal(llm_builder_add_view(fixture->builder, &empty), ERR_OK);
    assert_text(part(fixture, 1, 2), LLM_PART_REASONING, "");
    assert_int_equal(llm_builder_add_view(fixture->builder, &call), ERR_OK);
    assert_ptr_equal(part(fixture, 2, 3)->call_id.data, id);
    add(fixture, LLM_EVENT_TOOL_ARGUMENTS, "{}");
    assert_true(str_eq(part(fixture, 2, 3)->arguments, STR("{}")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_text_goes_on_where_it_was_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_came_behind_goes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_counts_over_several_texts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_views_are_kept_until_more_comes, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
