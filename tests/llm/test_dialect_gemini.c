/* The Gemini dialect: the laws over generated values, golden files, and what Google's documents
 * say, case by case. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "law.h"

enum { SEEDS = 30000, BYTES_MAX = 16 * 1024 * 1024 };

/* ---- Laws ------------------------------------------------------------------------------------ */

static const char *const target_models[] = {
    "some-model",       "gemini-2.5-flash", "gemini-2.5-pro",         "gemini-3-pro-preview",
    "gemini-3.8-flash", "gemma-3-27b-it",   "models/gemini-2.0-flash"};

static void requests_come_back(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        size_t model = seed % (sizeof target_models / sizeof *target_models);
        struct dialect_target target = {.model = str_from_cstr(target_models[model])};
        law_request_roundtrip(&dialect_gemini, &target, seed);
    }
}

static void responses_come_back(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        law_response_roundtrip(&dialect_gemini, seed);
}

static void streams_come_back(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        law_stream_roundtrip(&dialect_gemini, seed);
}

static void golden_files_hold(void **state)
{
    (void)state;
    law_golden(&dialect_gemini, "golden/gemini");
}

/* ---- Requests: what comes in at a door, and what goes out ------------------------------------ */

struct rig {
    struct arena *arena;
    struct buf out;
    struct buf names;
    struct llm_losses losses;
    struct error error;
};

static void rig_init(struct rig *rig)
{
    *rig = (struct rig){.arena = arena_new(BYTES_MAX)};
    buf_init(&rig->out, BYTES_MAX);
    buf_init(&rig->names, BYTES_MAX);
    llm_losses_init(&rig->losses, rig->arena);
}

static void rig_done(struct rig *rig)
{
    arena_free(rig->arena);
    buf_done(&rig->out);
    buf_done(&rig->names);
}

static enum err decode(struct rig *rig, const char *body, struct llm_request *ret_request)
{
    yyjson_val *root = NULL;
    assert_int_equal(json_read(rig->arena, str_from_cstr(body), &root, &rig->error), ERR_OK);
    return dialect_gemini.decode_request(rig->arena, root, ret_request, &rig->error);
}

static void encode(struct rig *rig, const struct llm_request *request, const char *model)
{
    struct dialect_target target = {.model = str_from_cstr(model)};
    assert_int_equal(dialect_gemini.encode_request(rig->arena, request, &target, &rig->out,
                                                   &rig->losses, &rig->error),
                     ERR_OK);
    llm_losses_write(&rig->losses, &rig->names, 4096);
}

static void assert_text(struct str got, const char *expected)
{
    if (!str_eq(got, str_from_cstr(expected)))
        print_error("got\n%.*s\ninstead of\n%s\n", STR_ARG(got), expected);
    assert_true(str_eq(got, str_from_cstr(expected)));
}

struct passage {
    const char *model;
    const char *in;
    const char *out;
    const char *lost;
};

static const struct passage passages[] = {
    /* snake_case, single objects for lists, the role left out */
    {"gemini-2.5-flash",
     "{\"system_instruction\":{\"parts\":{\"text\":\"Be brief.\"}},"
     "\"contents\":{\"parts\":{\"text\":\"Hi\"}},"
     "\"generation_config\":{\"max_output_tokens\":9,\"top_k\":40.0,\"stop_sequences\":[\"x\"],"
     "\"thinking_config\":{\"thinking_budget\":1000}}}",
     "{\"systemInstruction\":{\"parts\":[{\"text\":\"Be brief.\"}]},"
     "\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"Hi\"}]}],"
     "\"generationConfig\":{\"topK\":40,\"maxOutputTokens\":9,\"stopSequences\":[\"x\"],"
     "\"thinkingConfig\":{\"includeThoughts\":true,\"thinkingBudget\":1024}}}",
     ""},
    /* calls without ids, answered by name in another order: ids by position, sorted */
    {"gemini-2.5-flash",
     "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"Hi\"}]},"
     "{\"role\":\"model\",\"parts\":[{\"functionCall\":{\"name\":\"f\",\"args\":{\"x\":1}}},"
     "{\"functionCall\":{\"name\":\"g\"}}]},"
     "{\"role\":\"function\",\"parts\":[{\"functionResponse\":{\"name\":\"f\",\"response\":"
     "{\"temperature\":5}}}]},"
     "{\"role\":\"user\",\"parts\":[{\"functionResponse\":{\"name\":\"g\",\"response\":"
     "{\"error\":\"no\"}}},{\"text\":\"Go on\"}]}]}",
     "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"Hi\"}]},"
     "{\"role\":\"model\",\"parts\":[{\"functionCall\":{\"id\":\"call_gemini_0\",\"name\":\"f\","
     "\"args\":{\"x\":1}}},{\"functionCall\":{\"id\":\"call_gemini_1\",\"name\":\"g\",\"args\":{}}}"
     "]},{\"role\":\"user\",\"parts\":[{\"functionResponse\":{\"id\":\"call_gemini_0\",\"name\":"
     "\"f\",\"response\":{\"temperature\":5}}},{\"functionResponse\":{\"id\":\"call_gemini_1\","
     "\"name\":\"g\",\"response\":{\"error\":\"no\"}}},{\"text\":\"Go on\"}]}]}",
     ""},
    /* Gemini 3: the first call of the current turn gets the sentinel, an older turn none */
    {"gemini-3-pro-preview",
     "{\"contents\":[{\"parts\":[{\"text\":\"a\"}]},"
     "{\"role\":\"model\",\"parts\":[{\"functionCall\":{\"id\":\"1\",\"name\":\"f\"}}]},"
     "{\"parts\":[{\"functionResponse\":{\"id\":\"1\",\"name\":\"f\",\"response\":{}}}]},"
     "{\"role\":\"model\",\"parts\":[{\"text\":\"b\"}]},{\"parts\":[{\"text\":\"c\"}]},"
     "{\"role\":\"model\",\"parts\":[{\"functionCall\":{\"id\":\"2\",\"name\":\"f\"}},"
     "{\"functionCall\":{\"id\":\"3\",\"name\":\"f\"}}]},"
     "{\"parts\":[{\"functionResponse\":{\"id\":\"2\",\"name\":\"f\",\"response\":{}}},"
     "{\"functionResponse\":{\"id\":\"3\",\"name\":\"f\",\"response\":{}}}]},"
     "{\"role\":\"model\",\"parts\":[{\"functionCall\":{\"id\":\"4\",\"name\":\"f\"},"
     "\"thoughtSignature\":\"c2ln\"}]},"
     "{\"parts\":[{\"functionResponse\":{\"id\":\"4\",\"name\":\"f\",\"response\":{}}}]}]}",
     "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"a\"}]},"
     "{\"role\":\"model\",\"parts\":[{\"functionCall\":{\"id\":\"1\",\"name\":\"f\",\"args\":{}}}]}"
     ","
     "{\"role\":\"user\",\"parts\":[{\"functionResponse\":{\"id\":\"1\",\"name\":\"f\","
     "\"response\":"
     "{}}}]},{\"role\":\"model\",\"parts\":[{\"text\":\"b\"}]},"
     "{\"role\":\"user\",\"parts\":[{\"text\":\"c\"}]},"
     "{\"role\":\"model\",\"parts\":[{\"functionCall\":{\"id\":\"2\",\"name\":\"f\",\"args\":{}},"
     "\"thoughtSignature\":\"skip_thought_signature_validator\"},"
     "{\"functionCall\":{\"id\":\"3\",\"name\":\"f\",\"args\":{}}}]},"
     "{\"role\":\"user\",\"parts\":[{\"functionResponse\":{\"id\":\"2\",\"name\":\"f\","
     "\"response\":"
     "{}}},{\"functionResponse\":{\"id\":\"3\",\"name\":\"f\",\"response\":{}}}]},"
     "{\"role\":\"model\",\"parts\":[{\"functionCall\":{\"id\":\"4\",\"name\":\"f\",\"args\":{}},"
     "\"thoughtSignature\":\"c2ln\"}]},"
     "{\"role\":\"user\",\"parts\":[{\"functionResponse\":{\"id\":\"4\",\"name\":\"f\","
     "\"response\":"
     "{}}}]}]}",
     ""},
    /* tools: Google's own schemas become JSON Schema; one function is forced */
    {"gemini-3-flash-preview",
     "{\"contents\":[{\"parts\":[{\"text\":\"a\"}]}],\"tools\":[{\"functionDeclarations\":[{"
     "\"name\":"
     "\"f\",\"description\":\"d\",\"parameters\":{\"type\":\"OBJECT\",\"properties\":{\"type\":"
     "{\"type\":\"STRING\",\"nullable\":true},\"l\":{\"type\":\"ARRAY\",\"items\":{\"type\":"
     "\"INTEGER\"}}},\"required\":[\"type\"]}}]}],\"toolConfig\":{\"functionCallingConfig\":"
     "{\"mode\":\"ANY\",\"allowedFunctionNames\":[\"f\"]}},\"generationConfig\":"
     "{\"thinkingConfig\":{\"thinkingLevel\":\"low\"}}}",
     "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"a\"}]}],\"tools\":"
     "[{\"functionDeclarations\":[{\"name\":\"f\",\"description\":\"d\",\"parametersJsonSchema\":"
     "{\"type\":\"object\",\"properties\":{\"type\":{\"type\":[\"string\",\"null\"]},\"l\":{"
     "\"type\":"
     "\"array\",\"items\":{\"type\":\"integer\"}}},\"required\":[\"type\"]}}]}],\"toolConfig\":"
     "{\"functionCallingConfig\":{\"mode\":\"ANY\",\"allowedFunctionNames\":[\"f\"]}},"
     "\"generationConfig\":{\"thinkingConfig\":{\"includeThoughts\":true,\"thinkingLevel\":\"LOW\"}"
     "}}",
     ""},
    /* media, formats; a choice without tools; a budget that this model does not know */
    {"gemini-2.0-flash",
     "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"inline_data\":{\"mime_type\":\"image/png\","
     "\"data\":\"aGk=\"}},{\"fileData\":{\"fileUri\":\"https://x/files/1\",\"mimeType\":"
     "\"application/pdf\"}}]}],\"toolConfig\":{\"functionCallingConfig\":{\"mode\":\"AUTO\"}},"
     "\"generationConfig\":{\"responseMimeType\":\"application/json\",\"responseSchema\":{\"type\":"
     "\"STRING\"},\"thinkingConfig\":{\"thinkingBudget\":0}}}",
     "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"inlineData\":{\"mimeType\":\"image/png\","
     "\"data\":\"aGk=\"}},{\"fileData\":{\"mimeType\":\"application/pdf\",\"fileUri\":"
     "\"https://x/files/1\"}}]}],\"generationConfig\":{\"responseMimeType\":\"application/json\","
     "\"responseJsonSchema\":{\"type\":\"string\"}}}",
     "tool_choice, effort"},
    /* Gemma knows no system: it is the user's first words */
    {"gemma-3-27b-it",
     "{\"systemInstruction\":{\"parts\":[{\"text\":\"s\"}]},\"contents\":[{\"parts\":[{\"text\":"
     "\"a\"}]}]}",
     "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"s\"},{\"text\":\"a\"}]}]}",
     "messages[0].role, messages[1].boundary"},
};

static void requests_pass_through(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof passages / sizeof *passages; i++) {
        struct rig rig;
        struct llm_request request = {0};
        rig_init(&rig);
        assert_int_equal(decode(&rig, passages[i].in, &request), ERR_OK);
        assert_int_equal(request.unmapped_count, 0);
        encode(&rig, &request, passages[i].model);
        assert_text(buf_str(&rig.out), passages[i].out);
        assert_text(buf_str(&rig.names), passages[i].lost);
        rig_done(&rig);
    }
}

#define TEXT_PART(literal) ((struct llm_part){.kind = LLM_PART_TEXT, .text = STR(literal)})

/* Other providers' histories: foreign signatures, orphans, late system messages. */
static void foreign_history_is_made_to_fit(void **state)
{
    (void)state;
    struct llm_opaque foreign = {STR("anthropic"), STR("m"), STR("signature"), STR("abc")};
    struct llm_part question = TEXT_PART("q"), late = TEXT_PART("late"), thanks = TEXT_PART("t");
    struct llm_part said[] = {
        {.kind = LLM_PART_REASONING, .text = STR("hm"), .opaque = &foreign, .opaque_count = 1},
        {.kind = LLM_PART_TOOL_CALL,
         .call_id = STR("c1"),
         .name = STR("f"),
         .arguments = STR("not json")},
        {.kind = LLM_PART_TOOL_CALL, .call_id = STR("c2"), .name = STR("g")}};
    struct llm_part content[] = {TEXT_PART("a"), TEXT_PART("b")};
    struct llm_part results[] = {
        {.kind = LLM_PART_TOOL_RESULT, .call_id = STR("nobody"), .name = STR("x")},
        {.kind = LLM_PART_TOOL_RESULT,
         .call_id = STR("c2"),
         .content = content,
         .content_count = 2}};
    struct llm_message messages[] = {
        {.role = LLM_USER, .name = STR("ann"), .parts = &question, .part_count = 1},
        {.role = LLM_ASSISTANT, .parts = said, .part_count = 3},
        {.role = LLM_SYSTEM, .parts = &late, .part_count = 1},
        {.role = LLM_TOOL, .parts = results, .part_count = 2},
        {.role = LLM_USER, .parts = &thanks, .part_count = 1}};
    struct llm_request request = {.messages = messages, .message_count = 5};
    struct rig rig;
    rig_init(&rig);
    encode(&rig, &request, "models/gemini-3.8-flash");
    assert_text(
        buf_str(&rig.out),
        "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"q\"}]},"
        "{\"role\":\"model\",\"parts\":[{\"functionCall\":{\"id\":\"c1\",\"name\":\"f\",\"args\":{}"
        "},"
        "\"thoughtSignature\":\"skip_thought_signature_validator\"},{\"functionCall\":{\"id\":"
        "\"c2\","
        "\"name\":\"g\",\"args\":{}}}]},{\"role\":\"user\",\"parts\":[{\"functionResponse\":{"
        "\"id\":"
        "\"c1\",\"name\":\"f\",\"response\":{\"error\":\"The tool gave no result.\"}}},"
        "{\"functionResponse\":{\"id\":\"c2\",\"name\":\"g\",\"response\":{\"output\":\"a\\nb\"}}},"
        "{\"text\":\"late\"},{\"text\":\"t\"}]}]}");
    assert_true(llm_losses_has(&rig.losses, LLM_FIELD_PART, 1, 0));
    assert_true(llm_losses_has(&rig.losses, LLM_FIELD_PART_ARGUMENTS, 1, 1));
    assert_true(llm_losses_has(&rig.losses, LLM_FIELD_PART_ADDED, 1, 1));
    assert_true(llm_losses_has(&rig.losses, LLM_FIELD_MESSAGE_ROLE, 2, -1));
    assert_true(llm_losses_has(&rig.losses, LLM_FIELD_MESSAGE_MOVED, 3, -1));
    assert_true(llm_losses_has(&rig.losses, LLM_FIELD_PART, 3, 0));
    assert_true(llm_losses_has(&rig.losses, LLM_FIELD_PART_NAME, 3, 1));
    assert_true(llm_losses_has(&rig.losses, LLM_FIELD_PART_CONTENT, 3, 1));
    assert_true(llm_losses_has(&rig.losses, LLM_FIELD_MESSAGE_BOUNDARY, 4, -1));
    rig_done(&rig);
}

static void a_system_message_alone_is_asked(void **state)
{
    (void)state;
    struct llm_part first = TEXT_PART("one"), second = TEXT_PART("two");
    struct llm_message messages[] = {{.role = LLM_SYSTEM, .parts = &first, .part_count = 1},
                                     {.role = LLM_SYSTEM, .parts = &second, .part_count = 1}};
    struct llm_request request = {.messages = messages, .message_count = 2};
    struct rig rig;
    rig_init(&rig);
    encode(&rig, &request, "gemini-2.5-flash");
    assert_text(buf_str(&rig.out),
                "{\"systemInstruction\":{\"parts\":[{\"text\":\"one\"}]},"
                "\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"two\"}]}]}");
    assert_text(buf_str(&rig.names), "messages[1].role");
    rig_done(&rig);
}

static void wrong_requests_name_the_field(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        {"[]", "", "the body must be a JSON object"},
        {"{}", "contents", "is missing"},
        {"{\"contents\":1}", "contents", "must be an array"},
        {"{\"contents\":[1]}", "contents[0]", "must be an object"},
        {"{\"contents\":[{\"role\":\"assistant\"}]}", "contents[0].role",
         "must be \"user\" or \"model\""},
        {"{\"contents\":[{\"parts\":[{\"text\":1}]}]}", "contents[0].parts[0].text",
         "must be a string"},
        {"{\"contents\":[{\"parts\":[{\"text\":\"\"},{\"functionCall\":{}}]}]}",
         "contents[0].parts[1].functionCall.name", "must be a string"},
        {"{\"contents\":[{\"parts\":[{\"functionCall\":{\"name\":\"f\",\"args\":[]}}]}]}",
         "contents[0].parts[0].functionCall.args", "must be an object"},
        {"{\"contents\":[{\"parts\":[{\"inlineData\":{\"mimeType\":\"image/png\"}}]}]}",
         "contents[0].parts[0].inlineData.data", "must be a string that is not empty"},
        {"{\"contents\":[],\"generationConfig\":{\"topK\":1.5}}", "generationConfig.topK",
         "must be an integer"},
        {"{\"contents\":[],\"generation_config\":{\"stopSequences\":[\"a\",2]}}",
         "generationConfig.stopSequences[1]", "must be a string"},
        {"{\"contents\":[],\"tools\":[{\"functionDeclarations\":[{}]}]}",
         "tools[0].functionDeclarations[0].name", "must be a string that is not empty"},
        {"{\"contents\":[],\"toolConfig\":{\"functionCallingConfig\":{\"mode\":\"SOME\"}}}",
         "toolConfig.functionCallingConfig.mode", "must be AUTO, ANY, NONE or VALIDATED"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig rig;
        struct llm_request request = {0};
        rig_init(&rig);
        assert_int_equal(decode(&rig, rows[i][0], &request), ERR_INVALID);
        assert_string_equal(rig.error.field, rows[i][1]);
        assert_string_equal(rig.error.message, rows[i][2]);
        rig_done(&rig);
    }
}

static void unknown_members_are_listed(void **state)
{
    (void)state;
    static const char *const expected[] = {
        "contents[0].parts[0].videoMetadata",
        "contents[0].parts[1].executableCode",
        "tools[0].googleSearch",
        "generationConfig.candidateCount",
        "generationConfig.responseModalities",
        "safetySettings",
    };
    struct rig rig;
    struct llm_request request = {0};
    rig_init(&rig);
    assert_int_equal(
        decode(&rig,
               "{\"contents\":[{\"parts\":[{\"text\":\"a\",\"videoMetadata\":{}},"
               "{\"executableCode\":{}}]}],\"safetySettings\":[],\"cachedContent\":null,"
               "\"tools\":[{\"googleSearch\":{}}],\"generationConfig\":{\"candidateCount\":2,"
               "\"responseModalities\":[\"TEXT\"]}}",
               &request),
        ERR_OK);
    assert_int_equal(request.unmapped_count, sizeof expected / sizeof *expected);
    for (size_t i = 0; i < request.unmapped_count; i++)
        assert_text(request.unmapped[i], expected[i]);
    rig_done(&rig);
}

static void too_many_parts_are_refused(void **state)
{
    (void)state;
    struct rig rig;
    struct buf body;
    struct llm_request request = {0};
    rig_init(&rig);
    arena_free(rig.arena);
    rig.arena = arena_new(256 * 1024);
    buf_init(&body, BYTES_MAX);
    buf_append(&body, STR("{\"contents\":[{\"parts\":[{}"));
    for (int i = 0; i < 20000; i++)
        buf_append(&body, STR(",{\"text\":\"\"}"));
    buf_append(&body, STR("]}]}"));
    buf_append_char(&body, '\0');
    assert_int_equal(decode(&rig, body.data, &request), ERR_TOO_BIG);
    buf_done(&body);
    rig_done(&rig);
}

/* ---- Streams --------------------------------------------------------------------------------- */

static void write_event(void *user, const struct llm_event *event)
{
    law_event_text(event, STR(""), user);
}

static void feed(struct dialect_decoder *decoder, struct arena *scratch, const char *data,
                 struct buf *out)
{
    dialect_gemini.decode_frame(decoder, scratch, STR(""), str_from_cstr(data), write_event, out);
}

static void too_many_bad_frames_fail(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    struct dialect_decoder *decoder = dialect_gemini.decoder_new(rig.arena);
    for (int i = 0; i < 15; i++)
        feed(decoder, rig.arena, i % 2 ? "{\"x\":1}" : "{{", &rig.out);
    assert_int_equal(rig.out.len, 0);
    feed(decoder, rig.arena, "null", &rig.out);
    feed(decoder, rig.arena, "{\"candidates\":[{\"finishReason\":\"STOP\"}]}", &rig.out);
    dialect_gemini.decode_end(decoder, write_event, &rig.out);
    assert_text(buf_str(&rig.out),
                "start id=\"\" model=\"\"\n"
                "error provider_error \"the provider sent what is no answer of this protocol\"\n"
                "end\n");
    rig_done(&rig);
}

static void an_empty_stream_was_cut_off(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    struct dialect_decoder *decoder = dialect_gemini.decoder_new(rig.arena);
    dialect_gemini.decode_end(decoder, write_event, &rig.out);
    dialect_gemini.decode_end(decoder, write_event, &rig.out);
    assert_text(buf_str(&rig.out), "start id=\"\" model=\"\"\n"
                                   "error provider_error \"the answer was cut off\"\nend\n");
    rig_done(&rig);
}

/* Two calls at once, whose pieces alternate, and a signature that comes last. */
static void streamed_calls_are_gathered(void **state)
{
    (void)state;
    struct llm_opaque signature = {STR("gemini"), STR("m"), STR("thought_signature"), STR("sg")};
    const struct llm_event events[] = {
        {.kind = LLM_EVENT_START, .id = STR("i"), .model = STR("m")},
        {.kind = LLM_EVENT_TOOL_START, .index = 0, .id = STR("a"), .name = STR("f")},
        {.kind = LLM_EVENT_TOOL_START, .index = 1, .id = STR("b"), .name = STR("g")},
        {.kind = LLM_EVENT_TOOL_ARGUMENTS, .index = 1, .text = STR("{\"y\":")},
        {.kind = LLM_EVENT_TOOL_ARGUMENTS, .index = 0, .text = STR("{\n}")},
        {.kind = LLM_EVENT_TOOL_ARGUMENTS, .index = 1, .text = STR("2}")},
        {.kind = LLM_EVENT_TOOL_END, .index = 1},
        {.kind = LLM_EVENT_TOOL_END, .index = 0},
        {.kind = LLM_EVENT_OPAQUE, .index = 0, .opaque = signature},
        {.kind = LLM_EVENT_FINISH, .finish = LLM_FINISH_TOOL_CALLS, .finish_raw = STR("STOP")},
        {.kind = LLM_EVENT_END}};
    struct rig rig;
    rig_init(&rig);
    struct dialect_encoder *encoder = dialect_gemini.encoder_new(rig.arena, 0, false);
    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        dialect_gemini.encode_event(encoder, &events[i], &rig.out, &rig.losses);
#define FRAME(part, more)                                                                          \
    "data: {\"candidates\":[{\"content\":{\"parts\":[" part "],\"role\":\"model\"}," more          \
    "\"index\":0}],\"modelVersion\":\"m\",\"responseId\":\"i\"}\r\n\r\n"
    assert_text(buf_str(&rig.out),
                FRAME("{\"functionCall\":{\"id\":\"a\",\"name\":\"f\",\"args\":{}},"
                      "\"thoughtSignature\":\"sg\"}",
                      "")
                    FRAME("{\"functionCall\":{\"id\":\"b\",\"name\":\"g\",\"args\":{\"y\":2}}}", "")
                        FRAME("{\"text\":\"\"}", "\"finishReason\":\"STOP\","));
    assert_int_equal(rig.losses.count, 0);
    rig_done(&rig);
}

/* ---- Errors ---------------------------------------------------------------------------------- */

static void errors_keep_their_class(void **state)
{
    (void)state;
    for (int class = ERR_INVALID; class < ERR_COUNT; class ++) {
        struct rig rig;
        struct llm_error error = {.class = (enum err) class, .retry_after_ms = 1500}, read;
        rig_init(&rig);
        str_copy(STR("what is wrong"), error.message, sizeof error.message);
        str_copy(STR("contents[0]"), error.field, sizeof error.field);
        int status = dialect_gemini.encode_error(&error, &rig.out);
        assert_in_range(status, 400, 599);
        dialect_gemini.decode_error(rig.arena, status, NULL, buf_str(&rig.out), &read);
        assert_int_equal(read.class, class);
        assert_int_equal(read.http_status, status);
        assert_int_equal(read.retry_after_ms, 1500);
        assert_string_equal(read.message, error.message);
        assert_string_equal(read.field, error.field);
        rig_done(&rig);
    }
}

static void an_error_has_googles_shape(void **state)
{
    (void)state;
    struct rig rig;
    struct llm_error error = {.class = ERR_RATE_LIMITED, .retry_after_ms = 53000};
    rig_init(&rig);
    assert_int_equal(dialect_gemini.encode_error(&error, &rig.out), 429);
    assert_text(buf_str(&rig.out),
                "{\"error\":{\"code\":429,\"message\":\"Too many requests.\",\"status\":"
                "\"RESOURCE_EXHAUSTED\",\"details\":[{\"@type\":"
                "\"type.googleapis.com/google.rpc.ErrorInfo\",\"reason\":\"RATE_LIMITED\","
                "\"domain\":\"parley\"},{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\","
                "\"retryDelay\":\"53.000s\"}]}}");
    rig_done(&rig);
}

static void hostile_bodies_are_survived(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "",
        "null",
        "[]",
        "[[[]]]",
        "{\"error\":null}",
        "{\"error\":[]}",
        "{\"error\":{\"code\":\"x\",\"details\":[1,{},{\"@type\":1}]}}",
        "{\"error\":{\"details\":[{\"@type\":\"a.QuotaFailure\",\"violations\":[1,{}]}]}}",
        "{\"candidates\":{}}",
        "{\"candidates\":[[]]}",
        "{\"candidates\":[{\"content\":[],\"finishReason\":5}]}",
        "{\"candidates\":[{\"content\":{\"parts\":{\"text\":\"x\"}},\"finishReason\":\"STOP\"}]}",
        "{\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"args\":7}}]}}]}",
        "{\"models\":{}}",
        "{\"models\":[1,{\"name\":5}]}",
        "\xFF\xFE{"};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct rig rig;
        struct llm_error error = {0};
        struct llm_response response = {0};
        struct llm_model_info *models = NULL;
        size_t count = 0;
        struct str body = str_from_cstr(bodies[i]);
        rig_init(&rig);
        dialect_gemini.decode_error(rig.arena, 500, NULL, body, &error);
        assert_int_not_equal(error.class, ERR_OK);
        (void)!dialect_gemini.decode_response(rig.arena, body, &response, &error);
        (void)!dialect_gemini.decode_models(rig.arena, body, &models, &count);
        struct dialect_decoder *decoder = dialect_gemini.decoder_new(rig.arena);
        feed(decoder, rig.arena, bodies[i], &rig.out);
        dialect_gemini.decode_end(decoder, write_event, &rig.out);
        assert_true(str_ends_with(buf_str(&rig.out), STR("end\n")));
        rig_done(&rig);
    }
}

/* ---- Models ---------------------------------------------------------------------------------- */

static void models_are_listed(void **state)
{
    (void)state;
    struct rig rig;
    struct llm_model_info *models = NULL;
    size_t count = 0;
    rig_init(&rig);
    struct str body = STR(
        "{\"models\":[{\"name\":\"models/gemini-3.8-flash\",\"version\":\"001\",\"displayName\":"
        "\"Gemini 3.8 Flash\",\"inputTokenLimit\":1048576,\"outputTokenLimit\":65536,"
        "\"supportedGenerationMethods\":[\"generateContent\"]},{\"name\":\"tunedModels/mine\"},"
        "{\"displayName\":\"nameless\"}],\"nextPageToken\":\"x\"}");
    assert_int_equal(dialect_gemini.decode_models(rig.arena, body, &models, &count), ERR_OK);
    assert_int_equal(count, 2);
    assert_text(models[0].id, "gemini-3.8-flash");
    assert_text(models[0].display_name, "Gemini 3.8 Flash");
    assert_int_equal(models[0].context_tokens, 1048576);
    assert_int_equal(models[0].output_tokens_max, 65536);
    assert_text(models[1].id, "tunedModels/mine");
    assert_int_equal(models[1].context_tokens, 0);
    assert_int_equal(dialect_gemini.decode_models(rig.arena, STR("{}"), &models, &count), ERR_OK);
    assert_int_equal(count, 0);
    assert_int_equal(
        dialect_gemini.decode_models(rig.arena, STR("{\"error\":{}}"), &models, &count),
        ERR_SERVER);
    assert_int_equal(dialect_gemini.decode_models(rig.arena, STR("<html>"), &models, &count),
                     ERR_SERVER);
    rig_done(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_come_back),
        cmocka_unit_test(responses_come_back),
        cmocka_unit_test(streams_come_back),
        cmocka_unit_test(golden_files_hold),
        cmocka_unit_test(requests_pass_through),
        cmocka_unit_test(foreign_history_is_made_to_fit),
        cmocka_unit_test(a_system_message_alone_is_asked),
        cmocka_unit_test(wrong_requests_name_the_field),
        cmocka_unit_test(unknown_members_are_listed),
        cmocka_unit_test(too_many_parts_are_refused),
        cmocka_unit_test(too_many_bad_frames_fail),
        cmocka_unit_test(an_empty_stream_was_cut_off),
        cmocka_unit_test(streamed_calls_are_gathered),
        cmocka_unit_test(errors_keep_their_class),
        cmocka_unit_test(an_error_has_googles_shape),
        cmocka_unit_test(hostile_bodies_are_survived),
        cmocka_unit_test(models_are_listed),
    };
    return cmocka_run_group_tests_name("dialect_gemini", tests, NULL, NULL);
}
