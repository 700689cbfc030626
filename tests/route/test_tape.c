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
    tape_init(&tape, NULL, 65536);
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

/* All of it, in as many steps as it takes. */
static void assert_bytes(const struct tape *tape, struct str expected)
{
    struct tape_place place = {.chunk = tape->first};
    struct buf bytes;
    size_t at = 0;
    buf_init(&bytes, 1024 * 1024);
    while (tape_next_bytes(&place, &bytes)) {
        assert_true(str_eq(buf_str(&bytes), str_slice(expected, at, bytes.len)));
        at += bytes.len;
        buf_clear(&bytes);
    }
    assert_int_equal(at, expected.len);
    assert_false(tape_next_bytes(&place, &bytes));
    buf_done(&bytes);
}

static void bytes_are_put_together(void **state)
{
    (void)state;
    struct tape tape;
    tape_init(&tape, NULL, 65536);
    assert_bytes(&tape, STR(""));
    tape_add_bytes(&tape, STR("data: 1\n\n"));
    tape_add_bytes(&tape, STR(""));
    tape_add_bytes(&tape, STR("data: 2\n\n"));
    assert_bytes(&tape, STR("data: 1\n\ndata: 2\n\n"));
    tape_done(&tape);
}

/* A stream of frames, of two shapes, with what is no frame between them. */
static void write_stream(struct buf *out, int frames)
{
    for (int i = 0; i < frames; i++) {
        if (i % 50 == 7)
            buf_append(out, STR(": a comment\n\n\n\n"));
        buf_printf(
            out, "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,"
                 "\"model\":\"one-2026-01-01\",\"system_fingerprint\":\"fp_0123456789\",");
        if (i % 90 > 60)
            buf_printf(out, "\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[%d]}}]}\n\n", i);
        else
            buf_printf(out, "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"word %d\"}}]}\n\n",
                       i);
    }
    for (int i = 0; i < 5000; i++) /* longer than a base, and than a chunk */
        buf_append_char(out, (char)('a' + i % 7));
    buf_append(out, STR("data: {\"id\":\"chatcmpl-1\"}"));
}

/* However it is cut. */
static void frames_take_what_differs(void **state)
{
    (void)state;
    static const size_t steps[] = {1, 7, 150, 151, 1000, 20000, SIZE_MAX};
    struct buf stream;
    buf_init(&stream, 1024 * 1024);
    write_stream(&stream, 400);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct tape tape;
        tape_init(&tape, NULL, 4 * 1024 * 1024);
        for (size_t at = 0; at < stream.len; at += str_slice(buf_str(&stream), at, steps[i]).len)
            tape_add_bytes(&tape, str_slice(buf_str(&stream), at, steps[i]));
        assert_bytes(&tape, buf_str(&stream));
        if (steps[i] == SIZE_MAX)
            assert_true(tape.size < stream.len / 2);
        tape_done(&tape);
    }
    buf_done(&stream);
}

/* Long texts are a good part of their frames, however much that is. */
static void frames_of_long_texts_take_their_texts(void **state)
{
    (void)state;
    static const size_t lens[] = {5, 50, 64, 65, 66, 67, 68, 80, 120, 180};
    enum { FRAMES = 2000 };
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        struct tape tape;
        struct buf stream;
        buf_init(&stream, 1024 * 1024);
        for (int frame = 0; frame < FRAMES; frame++) {
            buf_printf(&stream, "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\","
                                "\"created\":1,\"model\":\"one-2026-01-01\",\"choices\":"
                                "[{\"index\":0,\"delta\":{\"content\":\"");
            for (size_t at = 0; at < lens[i]; at++)
                buf_append_char(&stream, (char)('a' + (frame + (int)at) % 26));
            buf_append(&stream, STR("\"},\"finish_reason\":null}]}\n\n"));
        }
        tape_init(&tape, NULL, 4 * 1024 * 1024);
        tape_add_bytes(&tape, buf_str(&stream));
        assert_bytes(&tape, buf_str(&stream));
        assert_true(tape.size < FRAMES * (lens[i] + 16) + 8192);
        tape_done(&tape);
        buf_done(&stream);
    }
}

static void too_much_is_told(void **state)
{
    (void)state;
    struct tape tape;
    tape_init(&tape, NULL, 1024);
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
    tape_init(&tape, NULL, 65536);
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
    tape_init(&tape, NULL, 65536);
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
        cmocka_unit_test(frames_take_what_differs),
        cmocka_unit_test(frames_of_long_texts_take_their_texts),
        cmocka_unit_test(too_much_is_told),
        cmocka_unit_test(pieces_stay_apart),
        cmocka_unit_test(they_take_little_room),
    };
    return cmocka_run_group_tests_name("route/tape", tests, NULL, NULL);
}
