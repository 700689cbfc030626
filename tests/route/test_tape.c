/* Tape: what goes on comes off, in its order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "route/tape.h"

static struct tape_item next(struct str text, struct tape_place *place)
{
    struct tape_item item;
    assert_true(tape_next(text, place, &item));
    return item;
}

static void events_keep_all_that_they_say(void **state)
{
    (void)state;
    struct tape tape;
    struct tape_place place = {0};
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
    struct str text = tape_text(&tape);
    for (size_t i = 0; i < COUNT; i++) {
        struct llm_event event = next(text, &place).event;
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
    struct tape_item item;
    assert_false(tape_next(text, &place, &item));
    assert_false(tape_next(text, &place, &item));
    tape_done(&tape);
}

static void bytes_keep_their_pieces_and_type(void **state)
{
    (void)state;
    struct tape tape;
    struct tape_place place = {0};
    char type[] = "text/event-stream";
    tape_init(&tape, 65536);
    tape_add_bytes(&tape, str_from_cstr(type), STR("data: 1\n\n"));
    memset(type, 'x', sizeof type); /* it was borrowed */
    tape_add_event(&tape, &(struct llm_event){.kind = LLM_EVENT_TEXT, .text = STR("1")});
    tape_add_bytes(&tape, STR("text/event-stream"), STR("data: 2\n\n"));
    tape_add_bytes(&tape, STR("text/other"), STR("3"));
    struct str text = tape_text(&tape);
    struct tape_item item = next(text, &place);
    assert_true(item.has_bytes && str_eq(item.bytes, STR("data: 1\n\n")));
    assert_true(str_eq(item.content_type, STR("text/event-stream")));
    assert_false(next(text, &place).has_bytes);
    item = next(text, &place);
    assert_true(str_eq(item.bytes, STR("data: 2\n\n")));
    assert_true(str_eq(item.content_type, STR("text/event-stream")));
    item = next(text, &place);
    assert_true(str_eq(item.bytes, STR("3")) && str_eq(item.content_type, STR("text/other")));
    tape_done(&tape);
}

static void too_much_is_told(void **state)
{
    (void)state;
    struct tape tape;
    tape_init(&tape, 64);
    tape_add_event(&tape, &(struct llm_event){.kind = LLM_EVENT_TEXT, .text = STR("short")});
    assert_true(tape_is_whole(&tape));
    for (int i = 0; i < 8; i++)
        tape_add_event(&tape, &(struct llm_event){.kind = LLM_EVENT_TEXT, .text = STR("more")});
    assert_false(tape_is_whole(&tape));
    tape_done(&tape);
}

static void what_stands_before_it_stays(void **state)
{
    (void)state;
    struct tape tape;
    struct tape_place place = {0};
    tape_init(&tape, 65536);
    buf_append(&tape.bytes, STR("a key"));
    tape_begin(&tape);
    assert_int_equal(tape_text(&tape).len, 0);
    for (int i = 0; i < 1000; i++)
        tape_add_event(&tape, &(struct llm_event){.kind = LLM_EVENT_TEXT, .text = STR("more")});
    assert_true(tape_is_whole(&tape));
    for (int i = 0; i < 1000; i++)
        assert_true(str_eq(next(tape_text(&tape), &place).event.text, STR("more")));
    assert_int_equal(place.at, tape_text(&tape).len);
    assert_true(str_eq(str_slice(buf_str(&tape.bytes), 0, 5), STR("a key")));
    assert_true(tape.bytes.capacity < tape.bytes.len + tape.bytes.len / 3);
    tape_done(&tape);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_keep_all_that_they_say),
        cmocka_unit_test(bytes_keep_their_pieces_and_type),
        cmocka_unit_test(too_much_is_told),
        cmocka_unit_test(what_stands_before_it_stays),
    };
    return cmocka_run_group_tests_name("route/tape", tests, NULL, NULL);
}
