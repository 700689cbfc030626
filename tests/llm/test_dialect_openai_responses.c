/* OpenAI Responses: the laws, golden bytes, the strict door, errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "dialect_case.h"

static const struct dialect *const dialect = &dialect_openai_responses;

static const struct dialect_target targets[] = {
    {.model = {"gpt-6-sol", 9}},
    {.model = {"some-model", 10}, .quirks = LLM_QUIRK_STORE_FALSE},
    {.model = {"clone", 5}, .quirks = LLM_QUIRK_NO_DEVELOPER_ROLE | LLM_QUIRK_NO_SAMPLING},
};

static const struct case_laws laws = {
    .dialect = &dialect_openai_responses,
    .targets = targets,
    .target_count = sizeof targets / sizeof targets[0],
    .seeds = 2000,
    .golden = "golden/openai_responses",
};

/* ---- The door -------------------------------------------------------------------------------- */

static void wrong_types_name_their_place(void **state)
{
    (void)state;
    static const struct case_refused wrongs[] = {
        {"{\"model\":\"m\",\"input\":4}", "input"},
        {"{\"input\":\"x\"}", "model"},
        {"{\"model\":\"m\",\"input\":[{\"type\":5}]}", "input[0].type"},
        {"{\"model\":\"m\",\"input\":[{\"role\":\"x\",\"content\":\"\"}]}", "input[0].role"},
        {"{\"model\":\"m\",\"input\":[{\"role\":\"user\"}]}", "input[0].content"},
        {"{\"model\":\"m\",\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_image\","
         "\"image_url\":{}}]}]}",
         "input[0].content[0].image_url"},
        {"{\"model\":\"m\",\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_file\"}]}]"
         "}",
         "input[0].content[0]"},
        {"{\"model\":\"m\",\"input\":[{\"type\":\"function_call\",\"name\":\"f\"}]}",
         "input[0].call_id"},
        {"{\"model\":\"m\",\"input\":[{\"type\":\"function_call_output\",\"call_id\":\"a\","
         "\"output\":1}]}",
         "input[0].output"},
        {"{\"model\":\"m\",\"input\":[{\"type\":\"reasoning\",\"summary\":[{}]}]}",
         "input[0].summary[0].text"},
        {"{\"model\":\"m\",\"text\":{\"format\":{\"type\":\"json_schema\",\"name\":\"n\"}}}",
         "text.format.schema"},
        {"{\"model\":\"m\",\"reasoning\":{\"effort\":1}}", "reasoning.effort"},
        {"{\"model\":\"m\",\"tools\":[{\"type\":\"function\"}]}", "tools[0].name"},
        {"{\"model\":\"m\",\"tool_choice\":{\"type\":\"function\"}}", "tool_choice.name"},
        {"{\"model\":\"m\",\"max_output_tokens\":-1}", "max_output_tokens"},
    };
    case_expect_refused(dialect, wrongs, sizeof wrongs / sizeof wrongs[0]);
}

static void bodies_are_understood(void **state)
{
    (void)state;
    case_expect_request(
        dialect,
        "{\"model\":\"m\",\"input\":\"hi\",\"instructions\":\"be kind\",\"store\":false,"
        "\"previous_response_id\":\"resp_1\",\"reasoning\":{\"effort\":\"low\","
        "\"summary\":\"auto\"}}",
        "request model=\"m\"\n"
        "  system\n    text \"be kind\"\n"
        "  user\n    text \"hi\"\n"
        "  choice=0 parallel=0 effort=3 stream=0 stream_usage=0 format=0 strict=0\n"
        "  unmapped reasoning.summary\n");
    case_expect_request(
        dialect,
        "{\"model\":\"m\",\"input\":[{\"type\":\"reasoning\",\"id\":\"rs\",\"summary\":[{\"type\":"
        "\"summary_text\",\"text\":\"a\"},{\"type\":\"summary_text\",\"text\":\"b\"}],"
        "\"encrypted_content\":\"gA\"},{\"type\":\"message\",\"role\":\"assistant\",\"content\":"
        "[{\"type\":\"output_text\",\"text\":\"T\",\"annotations\":[]}]},{\"type\":\"function_"
        "call\","
        "\"call_id\":\"c\",\"name\":\"f\",\"arguments\":\"{}\"},{\"type\":\"item_reference\","
        "\"id\":\"x\"},"
        "{\"type\":\"function_call_output\",\"call_id\":\"c\",\"output\":[{\"type\":\"input_"
        "image\","
        "\"file_id\":\"file-1\"}]}]}",
        "request model=\"m\"\n"
        "  assistant\n    reasoning \"a\\n\\nb\"\n"
        "      opaque dialect=\"openai_responses\" kind=\"encrypted_content\" \"gA\"\n"
        "    text \"T\"\n    tool_call call_id=\"c\" name=\"f\" arguments=\"{}\"\n"
        "  tool\n    tool_result call_id=\"c\" name=\"f\"\n      image file_id=\"file-1\"\n"
        "  choice=0 parallel=0 effort=0 stream=0 stream_usage=0 format=0 strict=0\n"
        "  unmapped input[3]\n");
}

/* With store:false the reasoning goes back in front of the call it led to, to its model only. */
static void reasoning_goes_back_to_its_model(void **state)
{
    (void)state;
    struct llm_opaque encrypted = {STR("openai_responses"), STR("m"), STR("encrypted_content"),
                                   STR("gA")};
    struct llm_part turn[] = {
        {.kind = LLM_PART_REASONING, .text = STR("hm"), .opaque = &encrypted, .opaque_count = 1},
        {.kind = LLM_PART_TOOL_CALL,
         .call_id = STR("c"),
         .name = STR("f"),
         .arguments = STR("{}")}};
    struct llm_message message = {LLM_ASSISTANT, STR_NONE, turn, 2};
    struct llm_request request = {.messages = &message, .message_count = 1};
    struct dialect_target target = {.model = STR("m"), .quirks = LLM_QUIRK_STORE_FALSE};
    case_expect_body(dialect, &request, &target,
                     "{\"model\":\"m\",\"input\":[{\"type\":\"reasoning\",\"summary\":[{\"type\":"
                     "\"summary_text\","
                     "\"text\":\"hm\"}],\"encrypted_content\":\"gA\"},{\"type\":\"function_call\","
                     "\"call_id\":\"c\","
                     "\"name\":\"f\",\"arguments\":\"{}\"}],\"store\":false,"
                     "\"include\":[\"reasoning.encrypted_content\"]}");
    target = (struct dialect_target){.model = STR("other")};
    case_expect_body(
        dialect, &request, &target,
        "{\"model\":\"other\",\"input\":[{\"type\":\"function_call\",\"call_id\":\"c\","
        "\"name\":\"f\",\"arguments\":\"{}\"}]}");
}

/* The types of the events that a small answer becomes, in order. */
static void streams_follow_the_grammar(void **state)
{
    (void)state;
    static const char *const order[] = {
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.done",
        "response.reasoning_summary_part.done",
        "response.output_item.done",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    };
    struct llm_event events[] = {
        {.kind = LLM_EVENT_START, .id = STR("r"), .model = STR("m")},
        {.kind = LLM_EVENT_REASONING, .text = STR("hm")},
        {.kind = LLM_EVENT_TEXT, .text = STR("T")},
        {.kind = LLM_EVENT_TOOL_START, .id = STR("c"), .name = STR("f")},
        {.kind = LLM_EVENT_TOOL_ARGUMENTS, .text = STR("{}")},
        {.kind = LLM_EVENT_TOOL_END},
        {.kind = LLM_EVENT_FINISH, .finish = LLM_FINISH_TOOL_CALLS},
        {.kind = LLM_EVENT_END},
    };
    struct arena *arena = arena_new(1024 * 1024);
    struct buf out;
    buf_init(&out, 1024 * 1024);
    struct dialect_encoder *encoder = dialect->encoder_new(arena, 1000, true);
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++)
        dialect->encode_event(encoder, &events[i], &out, NULL);
    struct str rest = buf_str(&out);
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        struct str event = str_next(&rest, '\n'), data = str_next(&rest, '\n');
        yyjson_val *root;
        int64_t number = -1;
        assert_true(str_eq(str_skip(event, 7), str_from_cstr(order[i])));
        assert_int_equal(json_read(arena, str_skip(data, 6), &root, NULL), ERR_OK);
        assert_true(str_eq(json_get_str(root, "type"), str_from_cstr(order[i])));
        assert_true(json_get_int(root, "sequence_number", &number));
        assert_int_equal(number, i);
        str_next(&rest, '\n');
    }
    assert_int_equal(rest.len, 0);
    buf_done(&out);
    arena_free(arena);
}

static size_t count_of(struct str text, const char *wanted)
{
    size_t count = 0, len = strlen(wanted);
    for (size_t i = 0; i + len <= text.len; i++)
        count += memcmp(text.data + i, wanted, len) == 0;
    return count;
}

/* A message that was begun in a provider's bytes is ended under its id by whoever goes on. */
static void an_item_keeps_the_id_that_it_had(void **state)
{
    (void)state;
    const struct llm_event events[] = {
        {.kind = LLM_EVENT_START, .id = STR("r"), .model = STR("m")},
        {.kind = LLM_EVENT_TEXT, .index = -1, .text = STR("Hel"), .item = STR("msg_theirs")},
        {.kind = LLM_EVENT_TEXT, .index = -1, .text = STR("lo"), .item = STR("msg_another")},
        {.kind = LLM_EVENT_FINISH, .finish = LLM_FINISH_STOP},
        {.kind = LLM_EVENT_END},
    };
    struct arena *arena = arena_new(1024 * 1024);
    struct buf out;
    buf_init(&out, 1024 * 1024);
    struct dialect_encoder *encoder = dialect->encoder_new(arena, 1000, true);
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++)
        dialect->encode_event(encoder, &events[i], &out, NULL);
    /* added and done, the response's output; and part added, two deltas, text and part done */
    assert_int_equal(count_of(buf_str(&out), "\"id\":\"msg_theirs\""), 3);
    assert_int_equal(count_of(buf_str(&out), "\"item_id\":\"msg_theirs\""), 5);
    assert_int_equal(count_of(buf_str(&out), "msg_"), 8);
    buf_done(&out);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE_LAWS(&laws),
        cmocka_unit_test(wrong_types_name_their_place),
        cmocka_unit_test(bodies_are_understood),
        cmocka_unit_test(reasoning_goes_back_to_its_model),
        cmocka_unit_test(streams_follow_the_grammar),
        cmocka_unit_test(an_item_keeps_the_id_that_it_had),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
