/* OpenAI Chat Completions: the laws, golden bytes, the strict door, errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "dialect_case.h"

static const struct dialect *const dialect = &dialect_openai_chat;

static const struct dialect_target targets[] = {
    {.model = {"gpt-6-sol", 9}},
    {.model = {"some-model", 10},
     .quirks = LLM_QUIRK_MAX_TOKENS | LLM_QUIRK_NO_DEVELOPER_ROLE | LLM_QUIRK_NO_STREAM_OPTIONS},
    {.model = {"mistral-large", 13}, .quirks = LLM_QUIRK_MISTRAL | LLM_QUIRK_NO_DEVELOPER_ROLE},
    {.model = {"deepseek-v4", 11},
     .quirks = LLM_QUIRK_REASONING_BACK | LLM_QUIRK_NO_DEVELOPER_ROLE | LLM_QUIRK_MAX_TOKENS},
    {.model = {"llama", 5}, .quirks = LLM_QUIRK_NO_NAME | LLM_QUIRK_NO_SAMPLING},
};

static const struct case_laws laws = {
    .dialect = &dialect_openai_chat,
    .targets = targets,
    .target_count = sizeof targets / sizeof targets[0],
    .seeds = 2000,
    .golden = "golden/openai_chat",
};

/* ---- The door -------------------------------------------------------------------------------- */

static void wrong_types_name_their_place(void **state)
{
    (void)state;
    static const struct case_refused wrongs[] = {
        {"[]", ""},
        {"{\"messages\":[]}", "model"},
        {"{\"model\":7,\"messages\":[]}", "model"},
        {"{\"model\":\"m\"}", "messages"},
        {"{\"model\":\"m\",\"messages\":{}}", "messages"},
        {"{\"model\":\"m\",\"messages\":[1]}", "messages[0]"},
        {"{\"model\":\"m\",\"messages\":[{\"role\":\"bot\",\"content\":\"\"}]}",
         "messages[0].role"},
        {"{\"model\":\"m\",\"messages\":[{\"role\":\"user\"}]}", "messages[0].content"},
        {"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":4}]}",
         "messages[0].content"},
        {"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"user\","
         "\"content\":"
         "[{\"type\":\"text\",\"text\":\"x\"},{\"type\":\"image_url\",\"image_url\":{\"url\":5}}]}]"
         "}",
         "messages[1].content[1].image_url.url"},
        {"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\","
         "\"image_url\":\"https://x\"}]}]}",
         "messages[0].content[0].image_url"},
        {"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\","
         "\"image_url\":{\"url\":\"data:image/png,raw\"}}]}]}",
         "messages[0].content[0].image_url.url"},
        {"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_audio\","
         "\"input_audio\":{\"data\":\"AA==\",\"format\":\"ogg\"}}]}]}",
         "messages[0].content[0].input_audio.format"},
        {"{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"a\","
         "\"function\":{\"name\":\"f\",\"arguments\":{}}}]}]}",
         "messages[0].tool_calls[0].function.arguments"},
        {"{\"model\":\"m\",\"messages\":[{\"role\":\"tool\",\"content\":\"x\"}]}",
         "messages[0].tool_call_id"},
        {"{\"model\":\"m\",\"messages\":[],\"max_tokens\":0}", "max_tokens"},
        {"{\"model\":\"m\",\"messages\":[],\"temperature\":\"1\"}", "temperature"},
        {"{\"model\":\"m\",\"messages\":[],\"seed\":1.5}", "seed"},
        {"{\"model\":\"m\",\"messages\":[],\"stop\":[\"a\",2]}", "stop[1]"},
        {"{\"model\":\"m\",\"messages\":[],\"stream\":\"yes\"}", "stream"},
        {"{\"model\":\"m\",\"messages\":[],\"stream_options\":{\"include_usage\":1}}",
         "stream_options.include_usage"},
        {"{\"model\":\"m\",\"messages\":[],\"tools\":[{\"type\":\"function\",\"function\":{}}]}",
         "tools[0].function.name"},
        {"{\"model\":\"m\",\"messages\":[],\"tool_choice\":\"maybe\"}", "tool_choice"},
        {"{\"model\":\"m\",\"messages\":[],\"response_format\":{\"type\":\"yaml\"}}",
         "response_format.type"},
        {"{\"model\":\"m\",\"messages\":[],\"reasoning_effort\":\"huge\"}", "reasoning_effort"},
    };
    case_expect_refused(dialect, wrongs, sizeof wrongs / sizeof wrongs[0]);
}

static void bodies_are_understood(void **state)
{
    (void)state;
    case_expect_request(
        dialect,
        "{\"model\":\"m\",\"messages\":[{\"role\":\"developer\",\"content\":\"be kind\"},"
        "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"hi\",\"prompt_cache_"
        "breakpoint\":{}},"
        "{\"type\":\"video_url\"},{\"type\":\"image_url\",\"image_url\":{\"url\":"
        "\"data:image/png;base64,AAAA\",\"detail\":\"low\"}}]},"
        "{\"role\":\"assistant\",\"content\":null,\"reasoning_content\":\"hm\",\"tool_calls\":"
        "[{\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\"}},"
        "{\"id\":\"b\",\"type\":\"custom\",\"custom\":{}}],\"audio\":{\"id\":\"x\"}},"
        "{\"role\":\"tool\",\"tool_call_id\":\"a\",\"content\":\"1\"},"
        "{\"role\":\"tool\",\"tool_call_id\":\"z\",\"content\":\"2\"}],"
        "\"max_tokens\":5,\"stop\":\"x\",\"user\":\"u\",\"n\":2,\"logit_bias\":{\"1\":2},\"store\":"
        "null,"
        "\"stream\":true,\"stream_options\":{\"include_usage\":true}}",
        "request model=\"m\"\n"
        "  system\n    text \"be kind\"\n"
        "  user\n    text \"hi\"\n    image mime=\"image/png\" data=\"AAAA\" detail=\"low\"\n"
        "  assistant\n    reasoning \"hm\"\n    tool_call call_id=\"a\" name=\"f\" "
        "arguments=\"{\"\n"
        "  tool\n    tool_result call_id=\"a\" name=\"f\"\n      text \"1\"\n"
        "    tool_result call_id=\"z\"\n      text \"2\"\n"
        "  choice=0 parallel=0 effort=0 stream=1 stream_usage=1 format=0 strict=0"
        " max_output_tokens=5 stop=\"x\" user=\"u\"\n"
        "  unmapped messages[1].content[0].prompt_cache_breakpoint\n"
        "  unmapped messages[1].content[1]\n"
        "  unmapped messages[2].audio\n"
        "  unmapped messages[2].tool_calls[1]\n"
        "  unmapped n\n"
        "  unmapped logit_bias\n");
}

/* Row 25 of compat.md: what small servers do not know is not sent. */
static void quirks_change_what_is_sent(void **state)
{
    (void)state;
    struct llm_part rule = {.kind = LLM_PART_TEXT, .text = STR("be kind")};
    struct llm_part thought = {.kind = LLM_PART_REASONING, .text = STR("hm")};
    struct llm_part call = {.kind = LLM_PART_TOOL_CALL,
                            .call_id = STR("call_1"),
                            .name = STR("f"),
                            .arguments = STR("{}")};
    struct llm_part turn[] = {thought, call};
    struct llm_message messages[] = {{LLM_SYSTEM, STR("n"), &rule, 1},
                                     {LLM_ASSISTANT, STR_NONE, turn, 2}};
    struct llm_request request = {.messages = messages,
                                  .message_count = 2,
                                  .user = STR("u"),
                                  .max_output_tokens = {true, 9},
                                  .stream = true,
                                  .stream_usage = true,
                                  .seed = {true, 3}};
    struct dialect_target target = {.model = STR("m")};
    case_expect_body(
        dialect, &request, &target,
        "{\"model\":\"m\",\"messages\":[{\"role\":\"developer\",\"name\":\"n\",\"content\":\"be "
        "kind\"},"
        "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"call_1\",\"type\":"
        "\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}],"
        "\"max_completion_tokens\":9,\"seed\":3,\"safety_identifier\":\"u\",\"stream\":true,"
        "\"stream_options\":{\"include_usage\":true}}");
    target.quirks = LLM_QUIRK_MAX_TOKENS | LLM_QUIRK_NO_DEVELOPER_ROLE |
                    LLM_QUIRK_NO_STREAM_OPTIONS | LLM_QUIRK_REASONING_BACK | LLM_QUIRK_NO_NAME;
    case_expect_body(
        dialect, &request, &target,
        "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"be kind\"},"
        "{\"role\":\"assistant\",\"content\":null,\"reasoning_content\":\"hm\",\"tool_calls\":"
        "[{\"id\":\"call_1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}"
        "\"}}]}],"
        "\"max_tokens\":9,\"seed\":3,\"user\":\"u\",\"stream\":true}");
    target.quirks = LLM_QUIRK_MISTRAL;
    messages[1].parts = &call;
    messages[1].part_count = 1;
    call.call_id = STR("aB3dE6g01");
    case_expect_body(
        dialect, &request, &target,
        "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"be kind\"},"
        "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"aB3dE6g01\",\"type\":"
        "\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}],"
        "\"max_tokens\":9,\"random_seed\":3,\"stream\":true}");
}

static void models_are_listed(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1024 * 1024);
    struct llm_model_info *models;
    size_t count;
    assert_int_equal(dialect->decode_models(
                         arena,
                         STR("{\"data\":[{\"id\":\"a\",\"max_model_len\":4096},{\"x\":1},"
                             "{\"id\":\"b\",\"name\":\"B\",\"context_length\":9,\"top_provider\":"
                             "{\"max_completion_tokens\":7}}]}"),
                         &models, &count),
                     ERR_OK);
    assert_int_equal(count, 2);
    assert_int_equal(models[0].context_tokens, 4096);
    assert_true(str_eq(models[1].display_name, STR("B")));
    assert_int_equal(models[1].output_tokens_max, 7);
    assert_int_equal(dialect->decode_models(arena, STR("[{\"id\":\"t\"}]"), &models, &count),
                     ERR_OK);
    assert_int_equal(count, 1);
    assert_int_equal(dialect->decode_models(arena, STR("<html>"), &models, &count), ERR_SERVER);
    arena_free(arena);
}

/* Every class survives being written and read as an error of this dialect. */
static void classes_come_back(void **state)
{
    (void)state;
    static const enum err classes[] = {
        ERR_INVALID,          ERR_RATE_LIMITED,   ERR_QUOTA_EXHAUSTED, ERR_OVERLOADED, ERR_SERVER,
        ERR_CONTENT_FILTERED, ERR_CONTEXT_LENGTH, ERR_MODEL_NOT_FOUND, ERR_TIMEOUT};
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
        struct arena *arena = arena_new(1024 * 1024);
        struct llm_error error, again = {0};
        struct buf body;
        buf_init(&body, 4096);
        dialect_error_set(&error, classes[i], "so it is");
        int status = dialect->encode_error(&error, &body);
        assert_int_equal(status, err_info(classes[i])->http_status);
        dialect->decode_error(arena, status, NULL, buf_str(&body), &again);
        assert_int_equal(again.class, classes[i]);
        assert_string_equal(again.message, "so it is");
        buf_done(&body);
        arena_free(arena);
    }
}

static void durations_are_parsed(void **state)
{
    (void)state;
    assert_int_equal(dialect_parse_duration_ms(STR("1.5s")), 1500);
    assert_int_equal(dialect_parse_duration_ms(STR("20ms")), 20);
    assert_int_equal(dialect_parse_duration_ms(STR("6m0s")), 360000);
    assert_int_equal(dialect_parse_duration_ms(STR("1h2m3s")), 3723000);
    assert_int_equal(dialect_parse_duration_ms(STR("99h")), 86400000);
    assert_int_equal(dialect_parse_duration_ms(STR("")), -1);
    assert_int_equal(dialect_parse_duration_ms(STR("5")), -1);
    assert_int_equal(dialect_parse_duration_ms(STR("-5s")), -1);
    assert_int_equal(dialect_parse_duration_ms(STR("5s later")), -1);
    assert_int_equal(dialect_retry_after_ms(NULL, STR("Try again in 20 seconds.")), 20000);
    assert_int_equal(dialect_retry_after_ms(NULL, STR("no idea")), -1);
}

/* A stream of rubbish ends in an error, not in silence. */
static void rubbish_ends(void **state)
{
    (void)state;
    struct buf stream, events;
    buf_init(&stream, 4096);
    buf_init(&events, 4096);
    for (int i = 0; i < 20; i++)
        buf_append(&stream, STR("data: {nonsense\n\n"));
    law_decode_stream(dialect, buf_str(&stream), 0, 0, &events);
    assert_true(str_eq(buf_str(&events), STR("error provider_error \"the stream is not what this"
                                             " protocol says\"\nend\n")));
    buf_done(&stream);
    buf_done(&events);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE_LAWS(&laws),
        cmocka_unit_test(wrong_types_name_their_place),
        cmocka_unit_test(bodies_are_understood),
        cmocka_unit_test(quirks_change_what_is_sent),
        cmocka_unit_test(models_are_listed),
        cmocka_unit_test(classes_come_back),
        cmocka_unit_test(durations_are_parsed),
        cmocka_unit_test(rubbish_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
