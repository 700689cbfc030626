/* The Anthropic dialect: recorded bytes, what the API insists on, and the laws over many seeds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "dialect_case.h"

/* ---- The laws -------------------------------------------------------------------------------- */

static const struct dialect_target targets[] = {
    {{"claude-opus-5-5", 15}, LLM_QUIRK_NO_SAMPLING, 0, false},
    {{"claude-opus-4-6", 15}, 0, 64000, false},
    {{"claude-sonnet-4-5", 17}, 0, 64000, false},
    {{"claude-3-5-sonnet-latest", 24}, 0, 8192, false},
};

static const struct case_laws laws = {
    .dialect = &dialect_anthropic,
    .targets = targets,
    .target_count = sizeof targets / sizeof *targets,
    .takes_turns = true,
    .seeds = 2500,
    .golden = "golden/anthropic",
};

/* ---- Through both directions: a body of our door as a body for the API ----------------------- */

/* Decodes `body`, encodes it for `target`, and compares bytes and losses. */
static void expect_trip(const char *body, const struct dialect_target *target, const char *expected,
                        const char *losses)
{
    struct case_trip trip;
    case_trip_begin(&trip, &dialect_anthropic, body);
    assert_string_equal(trip.error.message, "");
    case_expect_encoded(&trip, target, expected, losses);
    case_trip_end(&trip);
}

#define HEAD(model)  "{\"model\":\"" model "\",\"max_tokens\":9000,"
#define TARGET(name) (&(struct dialect_target){.model = STR(name)})

static void test_same_body(void **state)
{
    (void)state;
    static const char body[] = HEAD(
        "claude-opus-5-5") "\"system\":[{\"type\":\"text\",\"text\":\"Be brief.\"}],"
                           "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
                           "\"text\":\"Look\"},"
                           "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":"
                           "\"image/png\","
                           "\"data\":\"iVBORw0KGgo=\"}},"
                           "{\"type\":\"document\",\"source\":{\"type\":\"text\",\"media_type\":"
                           "\"text/plain\","
                           "\"data\":\"H\xC3\xA9\"},\"title\":\"n.txt\"},"
                           "{\"type\":\"document\",\"source\":{\"type\":\"file\",\"file_id\":"
                           "\"file_1\"}}]},"
                           "{\"role\":\"assistant\",\"content\":["
                           "{\"type\":\"thinking\",\"thinking\":\"Hm\",\"signature\":\"c2ln\"},"
                           "{\"type\":\"redacted_thinking\",\"data\":\"eA==\"},"
                           "{\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"f\",\"input\":{"
                           "\"x\":1}}]},"
                           "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_"
                           "id\":\"toolu_1\","
                           "\"content\":[{\"type\":\"text\",\"text\":\"42\"}],\"is_error\":true},"
                           "{\"type\":\"text\",\"text\":\"and?\"}]}],"
                           "\"tools\":[{\"name\":\"f\",\"description\":\"d\",\"input_schema\":{"
                           "\"type\":\"object\"},"
                           "\"strict\":true}],"
                           "\"tool_choice\":{\"type\":\"auto\",\"disable_parallel_tool_use\":true},"
                           "\"thinking\":{\"type\":\"adaptive\"},"
                           "\"output_config\":{\"effort\":\"xhigh\",\"format\":{\"type\":\"json_"
                           "schema\","
                           "\"schema\":{\"type\":\"object\"}}},"
                           "\"stop_sequences\":[\"END\"],\"metadata\":{\"user_id\":\"u1\"},"
                           "\"stream\":true}";
    expect_trip(body, TARGET("claude-opus-5-5"), body, "");
}

#define MESSAGES(text) "\"messages\":[" text "]"
#define USER_HI        "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"hi\"}]}"

/* What the API would refuse is repaired, and said. */
static void test_repairs(void **state)
{
    (void)state;
    static const struct {
        const char *messages;
        const char *expected;
        const char *losses;
    } cases[] = {
        /* turns of one side are merged */
        {USER_HI "," USER_HI,
         "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"hi\"},"
         "{\"type\":\"text\",\"text\":\"hi\"}]}",
         "messages[1].boundary"},
        /* empty and blank texts are dropped */
        {"{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"\"},"
         "{\"type\":\"text\",\"text\":\"hi\"}]},{\"role\":\"assistant\",\"content\":\" \"}",
         USER_HI, "messages[0].parts[0], messages[1]"},
        /* a later system message becomes the user's, inside a marker */
        {USER_HI ",{\"role\":\"system\",\"content\":\"now French\"}",
         "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"hi\"},{\"type\":\"text\","
         "\"text\":\"<system>\\nnow French\\n</system>\"}]}",
         "messages[1].boundary, messages[1].role"},
        /* an orphan call gets an error result */
        {USER_HI ",{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"a\","
                 "\"name\":\"f\",\"input\":{}}]}",
         USER_HI ",{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"a\","
                 "\"name\":\"f\",\"input\":{}}]},{\"role\":\"user\",\"content\":[{\"type\":"
                 "\"tool_result\",\"tool_use_id\":\"a\",\"content\":\"No result: the call was not "
                 "carried out.\",\"is_error\":true}]}",
         "messages[1].parts[0].added_result"},
        /* an orphan result is dropped */
        {"{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"a\"},"
         "{\"type\":\"text\",\"text\":\"hi\"}]}",
         USER_HI, "messages[0]"},
        /* results go first, from whichever message */
        {"{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"a\",\"name\":\"f\","
         "\"input\":{}}]}," USER_HI ",{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\","
         "\"tool_use_id\":\"a\"}]}",
         "{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"a\",\"name\":\"f\","
         "\"input\":{}}]},{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\","
         "\"tool_use_id\":\"a\"},{\"type\":\"text\",\"text\":\"hi\"}]}",
         "messages[2].position"},
        /* ids are mapped, alike in call and result, and never twice the same */
        {"{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"a.b\",\"name\":"
         "\"f\",\"input\":{}},{\"type\":\"tool_use\",\"id\":\"a_b\",\"name\":\"g\",\"input\":{}}]},"
         "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"a_b\"},"
         "{\"type\":\"tool_result\",\"tool_use_id\":\"a.b\"}]}",
         "{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"a_b\",\"name\":"
         "\"f\",\"input\":{}},{\"type\":\"tool_use\",\"id\":\"a_b_2\",\"name\":\"g\",\"input\":{}}"
         "]},{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"a_b_2\"},"
         "{\"type\":\"tool_result\",\"tool_use_id\":\"a_b\"}]}",
         "messages[0].parts[0].call_id, messages[0].parts[1].call_id, "
         "messages[1].parts[0].call_id, messages[1].parts[1].call_id"},
        /* thinking without a signature is not the model's own */
        {USER_HI ",{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"x\","
                 "\"signature\":\"\"},{\"type\":\"text\",\"text\":\"y\"}]}",
         USER_HI ",{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"y\"}]}",
         "messages[1].parts[0]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char body[2048], expected[2048];
        snprintf(body, sizeof body, HEAD("m") MESSAGES("%s") "}", cases[i].messages);
        snprintf(expected, sizeof expected, HEAD("m") MESSAGES("%s") "}", cases[i].expected);
        expect_trip(body, TARGET("m"), expected, cases[i].losses);
    }
}

/* How each family of models is asked to think. */
static void test_parameters(void **state)
{
    (void)state;
    static const struct {
        const char *model;
        unsigned quirks;
        const char *given;
        const char *expected; /* behind the messages */
        const char *losses;
    } cases[] = {
        {"claude-opus-5-5", 0, "\"output_config\":{\"effort\":\"low\"}",
         "\"thinking\":{\"type\":\"adaptive\"},\"output_config\":{\"effort\":\"low\"}", ""},
        {"claude-opus-5-5", 0, "\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":8192}",
         "\"thinking\":{\"type\":\"adaptive\"},\"output_config\":{\"effort\":\"medium\"}", ""},
        {"claude-opus-5-5", 0, "\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1024}",
         "\"thinking\":{\"type\":\"adaptive\"},\"output_config\":{\"effort\":\"low\"}", "effort"},
        {"claude-sonnet-4-5-20250929", 0,
         "\"output_config\":{\"effort\":\"low\"},\"temperature\":0.5,\"top_k\":3,\"top_p\":0.97",
         "\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":2048},\"top_p\":0.97",
         "temperature, top_k"},
        {"anthropic.claude-sonnet-4-5-v1:0", 0, "\"output_config\":{\"effort\":\"max\"}",
         "\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":7976}", "effort"},
        {"claude-3-5-haiku-20241022", 0,
         "\"output_config\":{\"effort\":\"max\",\"format\":{\"type\":\"json_schema\",\"schema\":{}}"
         "}",
         "", "effort, format"},
        {"claude-opus-5-5", 0, "\"thinking\":{\"type\":\"disabled\"}",
         "\"thinking\":{\"type\":\"disabled\"}", ""},
        {"claude-opus-4-6", 0, "\"temperature\":1.7,\"top_p\":0.5,\"top_k\":7",
         "\"temperature\":1,\"top_p\":0.5,\"top_k\":7", "temperature"},
        {"claude-opus-5-5", LLM_QUIRK_NO_SAMPLING, "\"temperature\":1,\"top_p\":0.5,\"top_k\":7",
         "", "temperature, top_p, top_k"},
        {"claude-opus-5-5", 0,
         "\"tools\":[{\"name\":\"f\",\"input_schema\":{}}],\"tool_choice\":{\"type\":\"any\"},"
         "\"output_config\":{\"effort\":\"high\"}",
         "\"tools\":[{\"name\":\"f\",\"input_schema\":{\"type\":\"object\"}}],"
         "\"tool_choice\":{\"type\":\"any\"},\"output_config\":{\"effort\":\"high\"}",
         "tools[0].schema"},
        {"claude-opus-5-5", 0, "\"tool_choice\":{\"type\":\"any\"},\"stop_sequences\":[\"\\n\"]",
         "", "tool_choice, stops"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char body[2048], expected[2048];
        snprintf(body, sizeof body, HEAD("m") MESSAGES(USER_HI) ",%s}", cases[i].given);
        snprintf(expected, sizeof expected,
                 "{\"model\":\"%s\",\"max_tokens\":9000," MESSAGES(USER_HI) "%s%s}", cases[i].model,
                 cases[i].expected[0] ? "," : "", cases[i].expected);
        struct dialect_target target = {.model = str_from_cstr(cases[i].model),
                                        .quirks = cases[i].quirks};
        expect_trip(body, &target, expected, cases[i].losses);
    }
}

/* A turn of calls that another model made has no thinking to begin with. */
static void test_budget_needs_thinking(void **state)
{
    (void)state;
#define LOOP(thinking)                                                                             \
    MESSAGES("{\"role\":\"assistant\",\"content\":[" thinking "{\"type\":\"tool_use\",\"id\":"     \
             "\"a\",\"name\":\"f\",\"input\":{}}]},{\"role\":\"user\",\"content\":[{\"type\":"     \
             "\"tool_result\",\"tool_use_id\":\"a\"}]}")
#define THINKING "{\"type\":\"thinking\",\"thinking\":\"x\",\"signature\":\"s\"},"
#define EFFORT   ",\"output_config\":{\"effort\":\"low\"}}"
    const struct dialect_target *target = TARGET("claude-sonnet-4-5");
    expect_trip(HEAD("m") LOOP("") EFFORT, target, HEAD("claude-sonnet-4-5") LOOP("") "}",
                "effort");
    expect_trip(HEAD("m") LOOP(THINKING) EFFORT, target,
                HEAD("claude-sonnet-4-5")
                    LOOP(THINKING) ",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":2048}}",
                "");
}

/* Signatures go back to the dialect and the model that made them, whatever date its name bears. */
static void test_foreign_signatures(void **state)
{
    (void)state;
    static const struct {
        const char *dialect;
        const char *model;
        bool is_kept;
    } cases[] = {
        {"anthropic", "", true},
        {"anthropic", "claude-opus-5-5", true},
        {"anthropic", "claude-opus-5-5-20261001", true},
        {"anthropic", "claude-opus-5", false},
        {"gemini", "claude-opus-5-5", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct llm_opaque opaque = {str_from_cstr(cases[i].dialect), str_from_cstr(cases[i].model),
                                    STR("signature"), STR("s")};
        struct llm_part parts[] = {
            {.kind = LLM_PART_REASONING, .text = STR("hm"), .opaque = &opaque, .opaque_count = 1},
            {.kind = LLM_PART_TEXT, .text = STR("x")}};
        struct llm_message message = {LLM_ASSISTANT, STR(""), parts, 2};
        struct llm_request request = {.messages = &message, .message_count = 1};
        struct arena *arena = arena_new(CASE_BYTES_MAX);
        struct buf out;
        struct llm_losses losses;
        buf_init(&out, CASE_BYTES_MAX);
        llm_losses_init(&losses, arena);
        assert_int_equal(dialect_anthropic.encode_request(
                             arena, &request, TARGET("claude-opus-5-5"), &out, &losses, NULL),
                         ERR_OK);
        assert_int_equal(str_find(buf_str(&out), STR("signature")) != SIZE_MAX, cases[i].is_kept);
        assert_int_equal(llm_losses_has(&losses, LLM_FIELD_PART, 0, 0), !cases[i].is_kept);
        buf_done(&out);
        arena_free(arena);
    }
}

/* Nothing is sent that does not fit. */
static void test_too_big(void **state)
{
    (void)state;
    struct case_trip trip;
    case_trip_begin(&trip, &dialect_anthropic, HEAD("m") MESSAGES(USER_HI) "}");
    struct buf small;
    buf_init(&small, 40);
    assert_int_equal(dialect_anthropic.encode_request(trip.arena, &trip.request, TARGET("m"),
                                                      &small, NULL, &trip.error),
                     ERR_TOO_BIG);
    buf_done(&small);
    case_trip_end(&trip);
}

/* ---- The door -------------------------------------------------------------------------------- */

static void test_refused_bodies(void **state)
{
    (void)state;
    static const struct case_refused cases[] = {
        {"[]", ""},
        {"{\"max_tokens\":1,\"messages\":[]}", "model"},
        {"{\"model\":\"m\",\"max_tokens\":1}", "messages"},
        {"{\"model\":1}", "model"},
        {"{\"max_tokens\":\"1\"}", "max_tokens"},
        {"{\"model\":\"m\",\"messages\":[],\"max_tokens\":-1}", "max_tokens"},
        {"{\"messages\":{}}", "messages"},
        {"{\"messages\":[1]}", "messages[0]"},
        {"{\"messages\":[{\"content\":\"\"}]}", "messages[0].role"},
        {"{\"messages\":[{\"role\":\"tool\",\"content\":\"\"}]}", "messages[0].role"},
        {"{\"messages\":[{\"role\":\"user\"}]}", "messages[0].content"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":7}]}", "messages[0].content"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[\"a\"]}]}", "messages[0].content[0]"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{}]}]}", "messages[0].content[0].type"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]}",
         "messages[0].content[0].text"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"tool_use\"}]}]}",
         "messages[0].content[0]"},
        {"{\"messages\":[{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"a\","
         "\"name\":\"f\",\"input\":\"{}\"}]}]}",
         "messages[0].content[0].input"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image\",\"source\":{\"type\":"
         "\"base64\",\"media_type\":\"image/png\"}}]}]}",
         "messages[0].content[0].source.data"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image\"}]}]}",
         "messages[0].content[0].source"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":"
         "\"a\",\"content\":[{\"type\":\"tool_use\"}]}]}]}",
         "messages[0].content[0].content[0]"},
        {"{\"system\":[{\"type\":\"image\"}]}", "system[0]"},
        {"{\"stop_sequences\":[1]}", "stop_sequences[0]"},
        {"{\"stream\":\"yes\"}", "stream"},
        {"{\"temperature\":\"1\"}", "temperature"},
        {"{\"tools\":[{\"name\":\"f\"}]}", "tools[0].input_schema"},
        {"{\"tool_choice\":\"auto\"}", "tool_choice"},
        {"{\"tool_choice\":{\"type\":\"required\"}}", "tool_choice.type"},
        {"{\"tool_choice\":{\"type\":\"tool\"}}", "tool_choice.name"},
        {"{\"thinking\":{\"type\":\"enabled\"}}", "thinking.budget_tokens"},
        {"{\"output_config\":{\"effort\":\"huge\"}}", "output_config.effort"},
        {"{\"output_config\":{\"format\":{\"type\":\"json_schema\"}}}",
         "output_config.format.schema"},
    };
    case_expect_refused(&dialect_anthropic, cases, sizeof cases / sizeof *cases);
}

static void test_unmapped(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "service_tier",
        "system[0].cache_control",
        "messages[0].content[0].citations",
        "messages[0].content[1]",
        "messages[0].content[2].source",
        "tools[0]",
        "tools[1].input_examples",
        "thinking.display",
        "output_config.effort",
    };
    struct case_trip trip;
    case_trip_begin(
        &trip, &dialect_anthropic,
        HEAD("m") "\"service_tier\":\"auto\",\"container\":null,\"system\":[{\"type\":"
                  "\"text\",\"text\":\"s\",\"cache_control\":{\"type\":\"ephemeral\"}}],"
                  "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":"
                  "\"x\",\"citations\":[]},{\"type\":\"search_result\",\"source\":\"s\"},"
                  "{\"type\":\"document\",\"source\":{\"type\":\"content\",\"content\":"
                  "\"x\"}}]}],\"tools\":[{\"type\":\"web_search_20250305\",\"name\":\"w\"},"
                  "{\"type\":\"custom\",\"name\":\"f\",\"input_schema\":{},"
                  "\"input_examples\":[]}],\"thinking\":{\"type\":\"disabled\",\"display\":"
                  "\"omitted\"},\"output_config\":{\"effort\":\"low\"}}");
    assert_int_equal(trip.status, ERR_OK);
    case_expect_unmapped(&trip.request, paths, sizeof paths / sizeof *paths);
    assert_int_equal(trip.request.tool_count, 1);
    assert_int_equal(trip.request.effort, LLM_EFFORT_NONE);
    case_trip_end(&trip);
}

/* A user's turn with results becomes two messages; results get the names of their calls. */
static void test_results_are_split(void **state)
{
    (void)state;
    struct case_trip trip;
    case_trip_begin(
        &trip, &dialect_anthropic,
        HEAD("m") "\"messages\":[{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\","
                  "\"id\":\"a\",\"name\":\"f\",\"input\":{\"x\":1.50}}]},{\"role\":\"user\","
                  "\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"a\",\"content\":"
                  "\"42\"},{\"type\":\"text\",\"text\":\"go on\"}]}],\"system\":\"last\"}");
    assert_int_equal(trip.status, ERR_OK);
    assert_int_equal(trip.request.message_count, 4);
    const struct llm_message *messages = trip.request.messages;
    assert_int_equal(messages[0].role, LLM_SYSTEM);
    assert_int_equal(messages[2].role, LLM_TOOL);
    assert_true(str_eq(messages[2].parts[0].name, STR("f")));
    assert_true(str_eq(messages[2].parts[0].content[0].text, STR("42")));
    assert_int_equal(messages[2].parts[0].origin, LLM_ORIGIN_TOOL);
    assert_int_equal(messages[2].parts[0].content[0].origin, LLM_ORIGIN_TOOL);
    assert_int_equal(messages[3].role, LLM_USER);
    assert_int_equal(messages[3].parts[0].origin, LLM_ORIGIN_TYPED);
    case_trip_end(&trip);
}

/* ---- Answers to our callers ------------------------------------------------------------------ */

#define FRAME(type, rest) "event: " type "\ndata: {\"type\":\"" type "\"" rest "}\n\n"

static void test_stream_bytes(void **state)
{
    (void)state;
    const struct llm_event events[] = {
        {.kind = LLM_EVENT_START, .id = STR("msg_1"), .model = STR("m")},
        {.kind = LLM_EVENT_TEXT, .text = STR("Hi\n")},
        {.kind = LLM_EVENT_TOOL_START, .index = 0, .id = STR("a"), .name = STR("f")},
        {.kind = LLM_EVENT_TOOL_START, .index = 1, .id = STR("b"), .name = STR("g")},
        {.kind = LLM_EVENT_TOOL_ARGUMENTS, .index = 0, .text = STR("{\"x\":1}")},
        {.kind = LLM_EVENT_TOOL_END, .index = 0},
        {.kind = LLM_EVENT_USAGE, .usage = {112, 100, -1, 25, -1, false}},
        {.kind = LLM_EVENT_FINISH, .finish = LLM_FINISH_TOOL_CALLS},
        {.kind = LLM_EVENT_END},
        {.kind = LLM_EVENT_TEXT, .text = STR("late")},
    };
    struct buf out;
    buf_init(&out, CASE_BYTES_MAX);
    case_encode_all(&dialect_anthropic, 0, events, sizeof events / sizeof *events, &out, NULL);
    case_expect_text(
        &out,
        FRAME("message_start",
              ",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\","
              "\"model\":\"m\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,"
              "\"usage\":{\"input_tokens\":0,\"output_tokens\":0}}")
            FRAME("content_block_start", ",\"index\":0,\"content_block\":{\"type\":\"text\","
                                         "\"text\":\"\"}")
                FRAME("content_block_delta",
                      ",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hi\\n\"}")
                    FRAME("content_block_stop", ",\"index\":0")
                        FRAME("content_block_start",
                              ",\"index\":1,\"content_block\":{\"type\":\"tool_use\","
                              "\"id\":\"a\",\"name\":\"f\",\"input\":{}}")
                            FRAME("content_block_start",
                                  ",\"index\":2,\"content_block\":{\"type\":\"tool_use\","
                                  "\"id\":\"b\",\"name\":\"g\",\"input\":{}}")
                                FRAME("content_block_delta",
                                      ",\"index\":1,\"delta\":{\"type\":\"input_json_delta\","
                                      "\"partial_json\":\"{\\\"x\\\":1}\"}")
                                    FRAME("content_block_stop", ",\"index\":1")
                                        FRAME("content_block_stop", ",\"index\":2") FRAME(
                                            "message_delta",
                                            ",\"delta\":{\"stop_reason\":\"tool_use\",\"stop_"
                                            "sequence\":null,"
                                            "\"stop_details\":null},\"usage\":{\"input_tokens\":12,"
                                            "\"cache_read_input_tokens\":100,\"output_tokens\":25}")
                                            FRAME("message_stop", ""));
    buf_done(&out);
}

static void test_stream_failure(void **state)
{
    (void)state;
    struct llm_error error = {.class = ERR_OVERLOADED, .message = "full"};
    const struct llm_event events[] = {
        {.kind = LLM_EVENT_ERROR, .error = &error},
        {.kind = LLM_EVENT_END},
    };
    struct buf out;
    buf_init(&out, CASE_BYTES_MAX);
    case_encode_all(&dialect_anthropic, 0, events, 2, &out, NULL);
    case_expect_text(&out, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":"
                           "\"overloaded_error\",\"message\":\"full\"}}\n\n");
    buf_done(&out);
}

/* Every class reads back as itself, as far as the shape can tell. */
static void test_error_shapes(void **state)
{
    (void)state;
    static const struct {
        enum err class;
        int status;
        enum err read_back;
    } cases[] = {
        {ERR_INVALID, 400, ERR_INVALID},
        {ERR_TOO_BIG, 413, ERR_INVALID},
        {ERR_UNAUTHENTICATED, 401, ERR_AUTHENTICATION},
        {ERR_FORBIDDEN, 403, ERR_PERMISSION},
        {ERR_MODEL_NOT_FOUND, 404, ERR_MODEL_NOT_FOUND},
        {ERR_RATE_LIMITED, 429, ERR_RATE_LIMITED},
        {ERR_QUOTA_EXHAUSTED, 402, ERR_QUOTA_EXHAUSTED},
        {ERR_OVERLOADED, 529, ERR_OVERLOADED},
        {ERR_TIMEOUT, 504, ERR_TIMEOUT},
        {ERR_SERVER, 502, ERR_SERVER},
        {ERR_NETWORK, 502, ERR_SERVER},
        {ERR_AUTHENTICATION, 502, ERR_SERVER}, /* our key, not the caller's */
        {ERR_CONTEXT_LENGTH, 400, ERR_CONTEXT_LENGTH},
        {ERR_INTERNAL, 500, ERR_SERVER},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena *arena = arena_new(CASE_BYTES_MAX);
        struct llm_error error = {.class = cases[i].class, .message = "why"};
        struct llm_error back;
        struct buf out;
        buf_init(&out, CASE_BYTES_MAX);
        str_copy(STR("req_1"), error.request_id, sizeof error.request_id);
        int status = dialect_anthropic.encode_error(&error, &out);
        assert_int_equal(status, cases[i].status);
        dialect_anthropic.decode_error(arena, status, NULL, buf_str(&out), &back);
        assert_int_equal(back.class, cases[i].read_back);
        assert_string_equal(back.request_id, "req_1");
        assert_non_null(strstr(back.message, "why"));
        buf_done(&out);
        arena_free(arena);
    }
}

static void test_error_code_is_kept(void **state)
{
    (void)state;
    struct llm_error error = {
        .class = ERR_QUOTA_EXHAUSTED, .message = "m", .code = "enforced_spend_limit_reached"};
    struct buf out;
    buf_init(&out, CASE_BYTES_MAX);
    dialect_anthropic.encode_error(&error, &out);
    case_expect_text(&out,
                     "{\"type\":\"error\",\"error\":{\"type\":\"billing_error\",\"message\":\"m\","
                     "\"details\":{\"error_code\":\"enforced_spend_limit_reached\"}}}");
    buf_done(&out);
}

/* ---- The rest -------------------------------------------------------------------------------- */

static void test_models(void **state)
{
    (void)state;
    struct arena *arena = arena_new(CASE_BYTES_MAX);
    struct llm_model_info *models;
    size_t count = 0;
    assert_int_equal(
        dialect_anthropic.decode_models(
            arena,
            STR("{\"data\":[{\"type\":\"model\",\"id\":\"claude-opus-5-5\",\"display_name\":"
                "\"Claude Opus 5.5\",\"max_input_tokens\":1000000,\"max_tokens\":128000},{},"
                "{\"id\":\"x\"}],\"has_more\":false}"),
            &models, &count),
        ERR_OK);
    assert_int_equal(count, 2);
    assert_true(str_eq(models[0].id, STR("claude-opus-5-5")));
    assert_true(str_eq(models[0].display_name, STR("Claude Opus 5.5")));
    assert_int_equal(models[0].context_tokens, 1000000);
    assert_int_equal(models[0].output_tokens_max, 128000);
    assert_int_equal(models[1].context_tokens, 0);
    assert_int_equal(dialect_anthropic.decode_models(arena, STR("{}"), &models, &count),
                     ERR_SERVER);
    assert_int_equal(dialect_anthropic.decode_models(arena, STR("<"), &models, &count), ERR_SERVER);
    arena_free(arena);
}

static void test_increments_are_free(void **state)
{
    (void)state;
    case_increments_are_free(&dialect_anthropic,
                             "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{"
                             "\"type\":\"text\",\"text\":\"\"}}",
                             "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":"
                             "\"text_delta\",\"text\":\"x\"}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE_LAWS(&laws),
        cmocka_unit_test(test_same_body),
        cmocka_unit_test(test_repairs),
        cmocka_unit_test(test_parameters),
        cmocka_unit_test(test_budget_needs_thinking),
        cmocka_unit_test(test_foreign_signatures),
        cmocka_unit_test(test_too_big),
        cmocka_unit_test(test_refused_bodies),
        cmocka_unit_test(test_unmapped),
        cmocka_unit_test(test_results_are_split),
        cmocka_unit_test(test_stream_bytes),
        cmocka_unit_test(test_stream_failure),
        cmocka_unit_test(test_error_shapes),
        cmocka_unit_test(test_error_code_is_kept),
        cmocka_unit_test(test_models),
        cmocka_unit_test(test_increments_are_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
