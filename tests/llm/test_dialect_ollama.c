/* The Ollama dialect: recorded bytes, both directions of requests, and the laws over many seeds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "dialect_case.h"

/* ---- The laws -------------------------------------------------------------------------------- */

static const struct dialect_target qwen = {.model = {"qwen3:8b", 8}};

static const struct case_laws laws = {
    .dialect = &dialect_ollama,
    .targets = &qwen,
    .target_count = 1,
    .seeds = 2500,
    .golden = "golden/ollama",
};

/* ---- Requests -------------------------------------------------------------------------------- */

static const struct dialect_target target = {.model = {"q", 1}};

static void test_same_body(void **state)
{
    (void)state;
    static const char body[] =
        "{\"model\":\"q\",\"messages\":[{\"role\":\"system\",\"content\":\"s\"},"
        "{\"role\":\"user\",\"content\":\"Look\",\"images\":[\"iVBORw0KGgo=\",\"/9j/4A==\"]},"
        "{\"role\":\"assistant\",\"content\":\"\",\"thinking\":\"Hm\",\"tool_calls\":[{\"id\":"
        "\"call_1\",\"function\":{\"index\":0,\"name\":\"f\",\"arguments\":{\"x\":1}}}]},"
        "{\"role\":\"tool\",\"content\":\"42\",\"tool_name\":\"f\",\"tool_call_id\":\"call_1\"}],"
        "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"d\","
        "\"parameters\":{\"type\":\"object\",\"properties\":{}}}}],"
        "\"format\":{\"type\":\"object\"},\"think\":\"max\",\"options\":{\"num_predict\":100,"
        "\"seed\":-1,\"top_k\":40,\"temperature\":0.8,\"top_p\":0.9,\"frequency_penalty\":0.5,"
        "\"presence_penalty\":0.25,\"stop\":[\"END\"]},\"stream\":false}";
    struct case_trip trip;
    case_trip_begin(&trip, &dialect_ollama, body);
    assert_int_equal(trip.status, ERR_OK);
    assert_true(str_eq(trip.request.messages[1].parts[1].media.mime, STR("image/png")));
    assert_true(str_eq(trip.request.messages[1].parts[2].media.mime, STR("image/jpeg")));
    case_expect_encoded(&trip, &target, body, "");
    case_trip_end(&trip);
}

/* What clients leave out: the stream flag, ids of calls and results, names of results. */
static void test_defaults(void **state)
{
    (void)state;
    struct case_trip trip;
    case_trip_begin(&trip, &dialect_ollama,
                    "{\"model\":\"q\",\"messages\":[{\"role\":\"Assistant\",\"tool_calls\":["
                    "{\"function\":{\"name\":\"a\",\"arguments\":{}}},"
                    "{\"function\":{\"name\":\"b\"}},{\"id\":\"x\",\"function\":{\"name\":\"c\"}}"
                    "]},{\"role\":\"tool\",\"content\":\"2\",\"tool_name\":\"b\"},"
                    "{\"role\":\"tool\",\"content\":\"1\"},"
                    "{\"role\":\"tool\",\"content\":\"\",\"tool_call_id\":\"x\"},"
                    "{\"role\":\"tool\",\"content\":\"nobody's\"}],"
                    "\"format\":\"\",\"think\":true,\"options\":{\"num_predict\":-1}}");
    assert_int_equal(trip.status, ERR_OK);
    const struct llm_request *request = &trip.request;
    assert_true(request->stream);
    assert_int_equal(request->format, LLM_FORMAT_UNSET);
    assert_int_equal(request->effort, LLM_EFFORT_MEDIUM);
    assert_false(request->max_output_tokens.is_set);
    assert_int_equal(request->message_count, 2);
    const struct llm_part *calls = request->messages[0].parts;
    const struct llm_part *results = request->messages[1].parts;
    assert_int_equal(request->messages[0].part_count, 3);
    assert_int_equal(request->messages[1].part_count, 4);
    assert_int_equal(calls[0].call_id.len, 29);
    assert_true(str_eq(results[0].call_id, calls[1].call_id));
    assert_true(str_eq(results[1].call_id, calls[0].call_id));
    assert_true(str_eq(results[1].name, STR("a")));
    assert_true(str_eq(results[2].name, STR("c")));
    assert_int_equal(results[2].content_count, 0);
    assert_int_equal(results[3].call_id.len, 29);
    case_trip_end(&trip);
}

static void test_losses(void **state)
{
    (void)state;
    struct llm_part parts[] = {
        {.kind = LLM_PART_IMAGE, .media = {.url = STR("https://x/y.png")}},
        {.kind = LLM_PART_IMAGE, .media = {.mime = STR("image/gif"), .data = STR("/9j/4A==")}},
        {.kind = LLM_PART_TEXT, .text = STR("a")},
        {.kind = LLM_PART_TEXT, .text = STR("b")},
    };
    struct llm_message message = {LLM_USER, STR("bob"), parts, 4};
    struct llm_tool tool = {.name = STR("f")};
    struct case_trip trip;
    case_trip_begin(&trip, &dialect_ollama, "{\"model\":\"q\"}");
    trip.request = (struct llm_request){.messages = &message,
                                        .message_count = 1,
                                        .tools = &tool,
                                        .tool_count = 1,
                                        .tool_choice = LLM_TOOL_CHOICE_NONE,
                                        .effort = LLM_EFFORT_XHIGH,
                                        .user = STR("u")};
    case_expect_encoded(
        &trip, &target,
        "{\"model\":\"q\",\"messages\":[{\"role\":\"user\",\"content\":\"ab\",\"images\":"
        "[\"/9j/4A==\"]}],\"think\":\"max\",\"options\":{},\"stream\":false}",
        "messages[0].parts[0], messages[0].parts[1].mime, messages[0].parts[2].position, "
        "messages[0].parts[3].position, messages[0].parts[3].boundary, "
        "messages[0].name, tool_choice, tools, effort, user");
    case_trip_end(&trip);
}

static void test_refused_bodies(void **state)
{
    (void)state;
    static const struct case_refused cases[] = {
        {"[]", ""},
        {"{}", "model"},
        {"{\"model\":7}", "model"},
        {"{\"messages\":{}}", "messages"},
        {"{\"messages\":[{\"content\":\"x\"}]}", "messages[0].role"},
        {"{\"messages\":[{\"role\":\"developer\"}]}", "messages[0].role"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[]}]}", "messages[0].content"},
        {"{\"messages\":[{\"role\":\"user\",\"images\":[1]}]}", "messages[0].images[0]"},
        {"{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{}]}]}",
         "messages[0].tool_calls[0]"},
        {"{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\","
         "\"arguments\":\"{}\"}}]}]}",
         "messages[0].tool_calls[0].function.arguments"},
        {"{\"tools\":[{\"type\":\"web\"}]}", "tools[0].type"},
        {"{\"tools\":[{\"type\":\"function\"}]}", "tools[0]"},
        {"{\"format\":\"yaml\"}", "format"},
        {"{\"think\":\"hard\"}", "think"},
        {"{\"options\":{\"stop\":\"x\"}}", "options.stop"},
        {"{\"options\":{\"seed\":1.5}}", "options.seed"},
    };
    case_expect_refused(&dialect_ollama, cases, sizeof cases / sizeof *cases);
}

static void test_unmapped(void **state)
{
    (void)state;
    static const char *const paths[] = {"keep_alive", "options.num_ctx", "truncate"};
    struct case_trip trip;
    case_trip_begin(&trip, &dialect_ollama,
                    "{\"model\":\"q\",\"keep_alive\":\"5m\",\"options\":{\"num_ctx\":4096},"
                    "\"truncate\":false}");
    assert_int_equal(trip.status, ERR_OK);
    case_expect_unmapped(&trip.request, paths, sizeof paths / sizeof *paths);
    case_trip_end(&trip);
}

/* ---- Answers to our callers ------------------------------------------------------------------ */

#define LINE(rest) "{\"model\":\"q\",\"created_at\":\"2025-11-22T08:26:40.000Z\"," rest "}\n"

/* A call goes out whole; what comes behind an open one waits for it. */
static void test_stream_bytes(void **state)
{
    (void)state;
    const struct llm_event events[] = {
        {.kind = LLM_EVENT_START, .id = STR("id"), .model = STR("q")},
        {.kind = LLM_EVENT_REASONING, .text = STR("Hm")},
        {.kind = LLM_EVENT_TOOL_START, .index = 0, .id = STR("a"), .name = STR("f")},
        {.kind = LLM_EVENT_TOOL_START, .index = 1, .id = STR("b"), .name = STR("g")},
        {.kind = LLM_EVENT_TOOL_ARGUMENTS, .index = 1, .text = STR("not JSON")},
        {.kind = LLM_EVENT_TOOL_END, .index = 1},
        {.kind = LLM_EVENT_TEXT, .text = STR("behind")},
        {.kind = LLM_EVENT_TOOL_ARGUMENTS, .index = 0, .text = STR("{\"x\"")},
        {.kind = LLM_EVENT_TOOL_ARGUMENTS, .index = 0, .text = STR(":\n1}")},
        {.kind = LLM_EVENT_TOOL_END, .index = 0},
        {.kind = LLM_EVENT_USAGE, .usage = {11, 3, -1, 18, -1, false}},
        {.kind = LLM_EVENT_FINISH, .finish = LLM_FINISH_TOOL_CALLS, .finish_raw = STR("stop")},
        {.kind = LLM_EVENT_END},
        {.kind = LLM_EVENT_TEXT, .text = STR("late")},
    };
    struct arena *arena = arena_new(CASE_BYTES_MAX);
    struct llm_losses losses;
    struct buf out;
    llm_losses_init(&losses, arena);
    buf_init(&out, CASE_BYTES_MAX);
    case_encode_all(&dialect_ollama, 1763800000000, events, sizeof events / sizeof *events, &out,
                    &losses);
    case_expect_text(
        &out,
        LINE("\"message\":{\"role\":\"assistant\",\"content\":\"\",\"thinking\":\"Hm\"},"
             "\"done\":false") LINE("\"message\":{\"role\":\"assistant\",\"content\":\"\",\"tool_"
                                    "calls\":[{\"id\":\"a\","
                                    "\"function\":{\"index\":0,\"name\":\"f\",\"arguments\":{\"x\":"
                                    "1}}}]},\"done\":false")
            LINE("\"message\":{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"id\":"
                 "\"b\","
                 "\"function\":{\"index\":1,\"name\":\"g\",\"arguments\":{}}}]},\"done\":false")
                LINE("\"message\":{\"role\":\"assistant\",\"content\":\"behind\"},\"done\":false")
                    LINE("\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,"
                         "\"done_reason\":\"stop\",\"prompt_eval_count\":11,\"eval_count\":18"));
    buf_clear(&out);
    llm_losses_write(&losses, &out, 4096);
    case_expect_text(&out, "id, parts[2].arguments, usage.input_cache_read");
    buf_done(&out);
    arena_free(arena);
}

static void test_stream_failure(void **state)
{
    (void)state;
    struct llm_error error = {.class = ERR_SERVER, .message = "it \"broke\""};
    const struct llm_event events[] = {
        {.kind = LLM_EVENT_START, .model = STR("q")},
        {.kind = LLM_EVENT_TOOL_START, .index = 0, .id = STR("a"), .name = STR("f")},
        {.kind = LLM_EVENT_ERROR, .error = &error},
        {.kind = LLM_EVENT_END},
    };
    struct buf out;
    buf_init(&out, CASE_BYTES_MAX);
    case_encode_all(&dialect_ollama, 1763800000000, events, 4, &out, NULL);
    case_expect_text(&out, "{\"error\":\"it \\\"broke\\\"\"}\n");
    buf_done(&out);
}

static void test_whole_answer(void **state)
{
    (void)state;
    struct llm_part parts[] = {
        {.kind = LLM_PART_REFUSAL, .text = STR("I will not.")},
        {.kind = LLM_PART_REASONING, .text = STR("Hm")},
    };
    struct llm_response response = {.model = STR("q"),
                                    .parts = parts,
                                    .part_count = 2,
                                    .finish = LLM_FINISH_CONTENT_FILTERED,
                                    .finish_raw = STR("stop"),
                                    .usage = LLM_USAGE_UNKNOWN};
    struct arena *arena = arena_new(CASE_BYTES_MAX);
    struct llm_losses losses;
    struct buf out;
    llm_losses_init(&losses, arena);
    buf_init(&out, CASE_BYTES_MAX);
    dialect_ollama.encode_response(arena, &response, 1763800000000, &out, &losses);
    buf_append_char(&out, '\n');
    case_expect_text(&out, LINE("\"message\":{\"role\":\"assistant\",\"content\":\"I will not.\","
                                "\"thinking\":\"Hm\"},\"done\":true,\"done_reason\":\"stop\""));
    buf_clear(&out);
    llm_losses_write(&losses, &out, 4096);
    case_expect_text(&out, "parts[0].kind, parts[1].position, finish");
    buf_done(&out);
    arena_free(arena);
}

/* ---- Errors and models ----------------------------------------------------------------------- */

static void test_error_shape(void **state)
{
    (void)state;
    struct llm_error error = {.class = ERR_MODEL_NOT_FOUND, .message = "model 'x' not found"};
    struct buf out;
    buf_init(&out, CASE_BYTES_MAX);
    assert_int_equal(dialect_ollama.encode_error(&error, &out), 404);
    case_expect_text(&out, "{\"error\":\"model 'x' not found\"}");
    buf_clear(&out);
    error = (struct llm_error){.class = ERR_OVERLOADED};
    assert_int_equal(dialect_ollama.encode_error(&error, &out), 503);
    case_expect_text(&out, "{\"error\":\"The provider is overloaded.\"}");
    buf_done(&out);
}

static void test_models(void **state)
{
    (void)state;
    struct arena *arena = arena_new(CASE_BYTES_MAX);
    struct llm_model_info *models;
    size_t count = 0;
    assert_int_equal(
        dialect_ollama.decode_models(
            arena,
            STR("{\"models\":[{\"name\":\"qwen3:8b\",\"model\":\"qwen3:8b\",\"size\":1,\"details\":"
                "{\"family\":\"qwen3\",\"context_length\":40960}},{\"name\":\"old\"},{}]}"),
            &models, &count),
        ERR_OK);
    assert_int_equal(count, 2);
    assert_true(str_eq(models[0].id, STR("qwen3:8b")));
    assert_int_equal(models[0].context_tokens, 40960);
    assert_true(str_eq(models[1].id, STR("old")));
    assert_int_equal(dialect_ollama.decode_models(arena, STR("[]"), &models, &count), ERR_SERVER);
    arena_free(arena);
}

static void test_increments_are_free(void **state)
{
    (void)state;
    case_increments_are_free(&dialect_ollama, NULL,
                             "{\"model\":\"q\",\"message\":{\"content\":\"x\"},\"done\":false}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE_LAWS(&laws),
        cmocka_unit_test(test_same_body),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_losses),
        cmocka_unit_test(test_refused_bodies),
        cmocka_unit_test(test_unmapped),
        cmocka_unit_test(test_stream_bytes),
        cmocka_unit_test(test_stream_failure),
        cmocka_unit_test(test_whole_answer),
        cmocka_unit_test(test_error_shape),
        cmocka_unit_test(test_models),
        cmocka_unit_test(test_increments_are_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
