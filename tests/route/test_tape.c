/* Tape: what goes on comes off, in its order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "route/tape.h"

static struct llm_event next(struct tape_place *place)
{
    struct llm_event event;
    assert_true(tape_next(place, &event));
    return event;
}

static void events_keep_all_that_they_say(void **state)
{
    (void)state;
    struct tape tape;
    tape_init(&tape, 65536);
    const struct llm_usage usage = {7, 3, 1, 9, 2, true};
    const struct llm_event events[] = {
        {.kind = LLM_EVENT_START, .id = STR("id"), .model = STR("m")},
        {.kind = LLM_EVENT_TEXT, .text = STR("Hel"), .item = STR("i1")},
        {.kind = LLM_EVENT_TEXT, .text = STR("")},
        {.kind = LLM_EVENT_OPAQUE,
         .index = -1,
         .opaque = {STR("anthropic"), STR("m"), STR("signature"), STR("data\0data")}},
        {.kind = LLM_EVENT_TOOL_START, .index = 3, .id = STR("call"), .name = STR("f")},
        {.kind = LLM_EVENT_USAGE, .usage = usage},
        {.kind = LLM_EVENT_FINISH, .finish = LLM_FINISH_TOOL_CALLS, .finish_raw = STR("tool_use")},
        {.kind = LLM_EVENT_END},
    };
    enum { COUNT = sizeof events / sizeof events[0] };
    for (size_t i = 0; i < COUNT; i++)
        tape_add_event(&tape, &events[i]);
    assert_true(tape_is_whole(&tape));
    struct tape_place place = {.chunk = tape.first};
    for (size_t i = 0; i < COUNT; i++) {
        struct llm_event event = next(&place);
        assert_int_equal(event.kind, events[i].kind);
        assert_int_equal(event.index, events[i].index);
        assert_int_equal(event.finish, events[i].finish);
        assert_true(str_eq(event.text, events[i].text));
        assert_true(str_eq(event.id, events[i].id));
        assert_true(str_eq(event.name, events[i].name));
        assert_true(str_eq(event.item, events[i].item));
        assert_true(str_eq(event.model, events[i].model));
        assert_true(str_eq(event.finish_raw, events[i].finish_raw));
        assert_true(str_eq(event.opaque.data, events[i].opaque.data));
        assert_true(str_eq(event.opaque.kind, events[i].opaque.kind));
        assert_int_equal(event.text.data != NULL, events[i].text.data != NULL);
        if (event.kind == LLM_EVENT_USAGE)
            assert_memory_equal(&event.usage, &usage, sizeof usage);
    }
    struct llm_event event;
    assert_false(tape_next(&place, &event));
    assert_false(tape_next(&place, &event));
    tape_done(&tape);
}

static void bytes_are_put_together(void **state)
{
    (void)state;
    struct tape tape;
    tape_init(&tape, 65536);
    tape_add_bytes(&tape, STR("data: 1\n\n"));
    tape_add_bytes(&tape, STR(""));
    tape_add_bytes(&tape, STR("data: 2\n\n"));
    struct tape_place place = {.chunk = tape.first};
    assert_true(
        str_eq(STR_FROM(place.chunk->bytes, place.chunk->len), STR("data: 1\n\ndata: 2\n\n")));
    assert_null(place.chunk->next);
    tape_done(&tape);
}

static void too_much_is_told(void **state)
{
    (void)state;
    struct tape tape;
    tape_init(&tape, 1024);
    tape_add_event(&tape, &(struct llm_event){.kind = LLM_EVENT_TEXT, .text = STR("short")});
    assert_true(tape_is_whole(&tape));
    for (int i = 0; i < 300; i++)
        tape_add_event(&tape, &(struct llm_event){.kind = LLM_EVENT_TEXT, .text = STR("more")});
    assert_false(tape_is_whole(&tape));
    tape_done(&tape);
}

static const struct llm_event pieces[] = {
    {.kind = LLM_EVENT_TEXT, .text = {"a", 1}},
    {.kind = LLM_EVENT_TEXT, .text = {"b", 1}},
    {.kind = LLM_EVENT_TEXT, .index = 1, .text = {"c", 1}}, /* another part */
    {.kind = LLM_EVENT_TEXT, .index = 1, .text = {"d", 1}, .item = {"i", 1}},
    {.kind = LLM_EVENT_TEXT, .index = 1, .text = {"e", 1}},
    {.kind = LLM_EVENT_REASONING, .index = 1, .text = {"f", 1}},
    {.kind = LLM_EVENT_REASONING, .index = 1, .text = {"g", 1}}, /* each has what is its own */
    {.kind = LLM_EVENT_TOOL_ARGUMENTS, .index = 1, .text = {"h", 1}},
    {.kind = LLM_EVENT_TOOL_ARGUMENTS, .index = 1, .text = {"i", 1}},
    {.kind = LLM_EVENT_TOOL_ARGUMENTS, .index = 2, .text = {"j", 1}},
};

static void pieces_stay_apart(void **state)
{
    (void)state;
    enum { COUNT = sizeof pieces / sizeof pieces[0] };
    struct tape tape;
    tape_init(&tape, 65536);
    for (size_t i = 0; i < COUNT; i++)
        tape_add_event(&tape, &pieces[i]);
    struct tape_place place = {.chunk = tape.first};
    for (size_t i = 0; i < COUNT; i++) {
        struct llm_event event = next(&place);
        assert_int_equal(event.kind, pieces[i].kind);
        assert_int_equal(event.index, pieces[i].index);
        assert_true(str_eq(event.text, pieces[i].text));
        assert_true(str_eq(event.item, pieces[i].item));
    }
    assert_false(tape_next(&place, &(struct llm_event){0}));
    tape_done(&tape);
}

static void they_take_little_room(void **state)
{
    (void)state;
    struct tape tape;
    tape_init(&tape, 65536);
    for (int i = 0; i < 1000; i++)
        tape_add_event(&tape, &(struct llm_event){.kind = LLM_EVENT_TEXT, .text = STR("more")});
    assert_true(tape_is_whole(&tape));
    struct tape_place place = {.chunk = tape.first};
    assert_true(tape.size <= 6 * 1000 + 3000);
    for (int i = 0; i < 1000; i++)
        assert_true(str_eq(next(&place).text, STR("more")));
    assert_false(tape_next(&place, &(struct llm_event){0}));
    tape_done(&tape);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_keep_all_that_they_say),
        cmocka_unit_test(bytes_are_put_together),
        cmocka_unit_test(too_much_is_told),
        cmocka_unit_test(pieces_stay_apart),
        cmocka_unit_test(they_take_little_room),
    };
    return cmocka_run_group_tests_name("route/tape", tests, NULL, NULL);
}
