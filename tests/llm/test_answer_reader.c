/* Answer reader: what an answer's bytes say, whole or streamed, in every dialect. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "llm/answer_reader.h"

struct heard {
    struct buf text;
    enum llm_finish finish;
    int64_t output;
    int starts;
    int errors;
    int ends;
};

static void on_event(void *user, const struct llm_event *event)
{
    struct heard *heard = user;
    heard->starts += event->kind == LLM_EVENT_START;
    heard->errors += event->kind == LLM_EVENT_ERROR;
    heard->ends += event->kind == LLM_EVENT_END;
    if (event->kind == LLM_EVENT_TEXT)
        buf_append(&heard->text, event->text);
    if (event->kind == LLM_EVENT_USAGE)
        heard->output = event->usage.output_total;
    if (event->kind == LLM_EVENT_FINISH)
        heard->finish = event->finish;
}

/* An answer of two texts in that dialect. */
static void write_answer(const struct dialect *dialect, bool is_streamed, struct buf *out)
{
    static const struct llm_event events[] = {
        {.kind = LLM_EVENT_START, .id = {"id", 2}, .model = {"m", 1}},
        {.kind = LLM_EVENT_TEXT, .text = {"Hel", 3}},
        {.kind = LLM_EVENT_TEXT, .text = {"lo", 2}},
        {.kind = LLM_EVENT_USAGE, .usage = {7, -1, -1, 3, -1, false}},
        {.kind = LLM_EVENT_FINISH, .finish = LLM_FINISH_STOP},
        {.kind = LLM_EVENT_END},
    };
    struct arena *arena = arena_new(1024 * 1024);
    if (is_streamed) {
        struct dialect_encoder *encoder = dialect->encoder_new(arena, 0, true);
        for (size_t i = 0; i < sizeof events / sizeof events[0]; i++)
            dialect->encode_event(encoder, &events[i], out, NULL);
    } else {
        struct llm_builder *builder = llm_builder_new(arena, 1024);
        for (size_t i = 0; i < sizeof events / sizeof events[0]; i++)
            assert_int_equal(llm_builder_add(builder, &events[i]), ERR_OK);
        dialect->encode_response(arena, llm_builder_response(builder), 0, out, NULL);
    }
    arena_free(arena);
}

static struct heard read_bytes(const struct dialect *dialect, bool is_streamed, struct str bytes,
                               size_t piece)
{
    struct answer_reader reader;
    struct heard heard = {.output = -1};
    buf_init(&heard.text, 1024);
    answer_reader_init(&reader, dialect, is_streamed, on_event, &heard);
    for (size_t at = 0; at < bytes.len; at += piece)
        answer_reader_feed(&reader, str_slice(bytes, at, piece));
    answer_reader_finish(&reader);
    answer_reader_done(&reader);
    return heard;
}

static void expect_answer(const struct dialect *dialect, bool is_streamed, size_t piece)
{
    struct buf bytes;
    buf_init(&bytes, 65536);
    write_answer(dialect, is_streamed, &bytes);
    struct heard heard = read_bytes(dialect, is_streamed, buf_str(&bytes), piece);
    assert_true(str_eq(buf_str(&heard.text), STR("Hello")));
    assert_int_equal(heard.finish, LLM_FINISH_STOP);
    assert_int_equal(heard.output, 3);
    assert_int_equal(heard.starts, 1);
    assert_int_equal(heard.errors, 0);
    assert_int_equal(heard.ends, 1);
    buf_done(&heard.text);
    buf_done(&bytes);
}

static void every_dialect_is_read(void **state)
{
    (void)state;
    for (size_t i = 0; dialects[i]; i++) {
        if (!dialects[i]->decode_response)
            continue; /* a door's only */
        expect_answer(dialects[i], false, SIZE_MAX / 2);
        expect_answer(dialects[i], true, SIZE_MAX / 2);
        expect_answer(dialects[i], true, 1);
    }
}

static void what_is_no_answer_is_an_error(void **state)
{
    (void)state;
    struct heard whole = read_bytes(&dialect_openai_chat, false, STR("{\"wrong\":"), 100);
    struct heard cut = read_bytes(&dialect_openai_chat, true, STR("data: {\"choices\":[]}\n\n"), 9);
    assert_int_equal(whole.errors, 1);
    assert_int_equal(whole.ends, 1);
    assert_int_equal(cut.errors, 1);
    assert_int_equal(cut.ends, 1);
    buf_done(&whole.text);
    buf_done(&cut.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_dialect_is_read),
        cmocka_unit_test(what_is_no_answer_is_an_error),
    };
    return cmocka_run_group_tests_name("llm/answer_reader", tests, NULL, NULL);
}
