/* Usage reader: counts of answers that are handed through, whole and streamed, and of nonsense. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "api/usage_reader.h"

#define OPENAI                                                                                     \
    "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\n"          \
    "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],"     \
    "\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n"
#define OLLAMA                                                                                     \
    "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"Hi\"},\"done\":false}\n"   \
    "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,"        \
    "\"done_reason\":\"stop\",\"prompt_eval_count\":5,\"eval_count\":3}\n"

static void streams(void **state)
{
    static const struct {
        const struct dialect *dialect;
        const char *bytes;
        int64_t input, output;
    } rows[] = {
        {&dialect_openai_chat, OPENAI, 7, 2},
        {&dialect_ollama, OLLAMA, 5, 3},
        {&dialect_openai_chat, "data: nonsense\n\n", -1, -1},
        {&dialect_anthropic, "", -1, -1},
    };
    struct loop *loop = loop_new(0, NULL);
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct usage_reader reader;
        usage_reader_begin(&reader, loop, rows[i].dialect);
        for (const char *c = rows[i].bytes; *c; c++) /* wherever the bytes are cut */
            usage_reader_feed(&reader, STR_FROM(c, 1));
        assert_int_equal(reader.usage.input_total, rows[i].input);
        assert_int_equal(reader.usage.output_total, rows[i].output);
        usage_reader_done(&reader);
        usage_reader_done(&reader);
        usage_reader_feed(&reader, STR("data: x\n\n"));
    }
    loop_free(loop);
}

/* What a stream does not count itself, or not to its end, is estimated; what it does is believed. */
static void what_is_not_counted(void **state)
{
    static const char text[] = "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{"
                               "\"content\":\"one two three four five six seven\"}}]}\n\n";
    static const char end[] = "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},"
                              "\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    static const struct {
        const char *pieces[2];
        int64_t input, output_min, output_max;
        bool is_estimated;
    } rows[] = {
        {{text, end}, 50, 6, 9, true},
        {{text, ""}, 50, 6, 9, true}, /* the caller has left */
        {{"", ""}, -1, -1, -1, false},
        {{OPENAI, ""}, 7, 2, 2, false},
    };
    struct loop *loop = loop_new(0, NULL);
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct usage_reader reader;
        usage_reader_begin(&reader, loop, &dialect_openai_chat);
        for (int p = 0; p < 2; p++)
            usage_reader_feed(&reader, str_from_cstr(rows[i].pieces[p]));
        usage_reader_done(&reader);
        struct llm_usage usage = usage_reader_result(&reader, 50);
        assert_int_equal(usage.input_total, rows[i].input);
        assert_true(usage.output_total >= rows[i].output_min &&
                    usage.output_total <= rows[i].output_max);
        assert_int_equal(usage.is_estimated, rows[i].is_estimated);
    }
    loop_free(loop);
}

static void whole_ones(void **state)
{
    static const struct {
        const struct dialect *dialect;
        const char *body;
        int64_t input, output;
    } rows[] = {
        {NULL, "{\"usage\":{\"input_tokens\":50,\"output_tokens\":272}}", 50, 272},
        {NULL, "{\"usage\":{\"prompt_tokens\":8,\"total_tokens\":8}}", 8, 0},
        {NULL, "{\"usage\":{\"type\":\"duration\",\"seconds\":9}}", -1, -1},
        {NULL, "{\"usage\":{\"input_tokens\":-4}}", -1, -1},
        {NULL, "ID3", -1, -1},
        {&dialect_openai_chat,
         "{\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"message\":{\"role\":"
         "\"assistant\",\"content\":\"Hi\"},\"finish_reason\":\"stop\"}],\"usage\":{"
         "\"prompt_tokens\":7,\"completion_tokens\":2}}",
         7, 2},
    };
    struct loop *loop = loop_new(0, NULL);
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct llm_usage usage = LLM_USAGE_UNKNOWN;
        usage_read(loop, rows[i].dialect, str_from_cstr(rows[i].body), &usage);
        assert_int_equal(usage.input_total, rows[i].input);
        assert_int_equal(usage.output_total, rows[i].output);
    }
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(streams),
                                       cmocka_unit_test(what_is_not_counted),
                                       cmocka_unit_test(whole_ones)};
    return cmocka_run_group_tests_name("api/usage_reader", tests, NULL, NULL);
}
