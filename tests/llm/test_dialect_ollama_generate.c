/* Ollama's generate, which only a door speaks: its requests, and the laws of its answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "dialect_case.h"

static const struct case_laws laws = {
    .dialect = &dialect_ollama_generate,
    .seeds = 1000,
    .golden = "golden/ollama_generate",
};

static void requests_are_read(void **state)
{
    (void)state;
    struct case_trip trip;
    case_trip_begin(&trip, &dialect_ollama_generate,
                    "{\"model\":\"q\",\"prompt\":\"Look\",\"system\":\"s\",\"images\":["
                    "\"iVBORw0KGgo=\"],\"format\":\"json\",\"think\":\"low\",\"options\":{"
                    "\"num_predict\":5,\"seed\":7,\"stop\":[\"E\"]},\"suffix\":\"x\",\"template\":"
                    "\"t\",\"raw\":true,\"context\":[1],\"keep_alive\":\"5m\"}");
    static const char *const paths[] = {"suffix", "template", "raw", "context", "keep_alive"};
    const struct llm_request *request = &trip.request;
    assert_int_equal(trip.status, ERR_OK);
    assert_true(request->stream); /* by default */
    assert_int_equal(request->message_count, 2);
    assert_int_equal(request->messages[0].role, LLM_SYSTEM);
    assert_int_equal(request->messages[1].role, LLM_USER);
    assert_int_equal(request->messages[1].part_count, 2);
    assert_true(str_eq(request->messages[1].parts[0].text, STR("Look")));
    assert_int_equal(request->messages[1].parts[1].kind, LLM_PART_IMAGE);
    assert_int_equal(request->format, LLM_FORMAT_JSON);
    assert_int_equal(request->effort, LLM_EFFORT_LOW);
    assert_int_equal(request->max_output_tokens.value, 5);
    assert_int_equal(request->stop_count, 1);
    case_expect_unmapped(request, paths, sizeof paths / sizeof *paths);
    case_trip_end(&trip);
}

static void nothing_is_asked(void **state)
{
    (void)state;
    struct case_trip trip;
    case_trip_begin(&trip, &dialect_ollama_generate, "{\"model\":\"q\",\"prompt\":\"\"}");
    assert_int_equal(trip.status, ERR_OK);
    assert_int_equal(trip.request.message_count, 0);
    case_trip_end(&trip);
}

static void refused(void **state)
{
    (void)state;
    static const struct case_refused cases[] = {
        {"{\"prompt\":\"a\"}", "model"},
        {"{\"model\":\"q\",\"prompt\":[]}", "prompt"},
        {"{\"model\":\"q\",\"prompt\":\"a\",\"system\":1}", "system"},
        {"{\"model\":\"q\",\"prompt\":\"a\",\"images\":[1]}", "images[0]"},
        {"{\"model\":\"q\",\"prompt\":\"a\",\"stream\":1}", "stream"},
    };
    case_expect_refused(&dialect_ollama_generate, cases, sizeof cases / sizeof *cases);
}

static void lines(void **state)
{
    (void)state;
    const struct llm_event events[] = {
        {.kind = LLM_EVENT_START, .model = STR("q")},
        {.kind = LLM_EVENT_REASONING, .text = STR("Hm")},
        {.kind = LLM_EVENT_TEXT, .text = STR("a")},
        {.kind = LLM_EVENT_USAGE, .usage = {3, -1, -1, 4, -1, false}},
        {.kind = LLM_EVENT_FINISH, .finish = LLM_FINISH_STOP, .finish_raw = STR("stop")},
        {.kind = LLM_EVENT_END},
    };
    struct buf out;
    buf_init(&out, 4096);
    case_encode_all(&dialect_ollama_generate, 0, events, sizeof events / sizeof *events, &out,
                    NULL);
    case_expect_text(
        &out, "{\"model\":\"q\",\"created_at\":\"1970-01-01T00:00:00.000Z\",\"response\":\"\","
              "\"thinking\":\"Hm\",\"done\":false}\n"
              "{\"model\":\"q\",\"created_at\":\"1970-01-01T00:00:00.000Z\",\"response\":\"a\","
              "\"done\":false}\n"
              "{\"model\":\"q\",\"created_at\":\"1970-01-01T00:00:00.000Z\",\"response\":\"\","
              "\"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":3,\"eval_count\":4}\n");
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE_LAW(case_responses_come_back, &laws),
        CASE_LAW(case_streams_come_back, &laws),
        CASE_LAW(case_golden_bytes_are_read, &laws),
        cmocka_unit_test(requests_are_read),
        cmocka_unit_test(nothing_is_asked),
        cmocka_unit_test(refused),
        cmocka_unit_test(lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
