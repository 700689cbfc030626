/* Arbitrary canonical values from a seed. */
#include <string.h>

#include "base/vec.h"
#include "law.h"

enum { MESSAGES_MAX = 8, PARTS_MAX = 4, CALLS_MAX = 64 };

struct maker {
    struct arena *arena;
    struct random *random;
    struct str call_ids[CALLS_MAX]; /* made so far */
    struct str call_names[CALLS_MAX];
    size_t call_count;
    size_t last_turn; /* the first call of the latest assistant message */
};

static size_t below(struct maker *maker, size_t limit)
{
    return (size_t)random_below(maker->random, limit);
}

static bool one_in(struct maker *maker, size_t count)
{
    return below(maker, count) == 0;
}

#define LITERAL(text)                                                                              \
    {                                                                                              \
        (text), sizeof(text) - 1                                                                   \
    }
#define PICK(maker, table) ((table)[below((maker), sizeof(table) / sizeof((table)[0]))])

static struct str pick_text(struct maker *maker)
{
    static const struct str pieces[] = {
        LITERAL(""),
        LITERAL("a"),
        LITERAL("Hello, world"),
        LITERAL("H\xC3\xA9"),
        LITERAL("\xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E"),
        LITERAL("\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x92\xBB"),
        LITERAL("e\xCC\x81"),
        LITERAL("\xEF\xBB\xBF"),
        LITERAL("\xF4\x8F\xBF\xBF"),
        LITERAL("\xE2\x80\xA8\xE2\x80\xA9"),
        LITERAL("a\0b"),
        LITERAL("\"quoted\" \\ \x01\x1f\x7f"),
        LITERAL("line\nline\r\nline\r"),
        LITERAL("data: [DONE]\n\n"),
        LITERAL("[DONE]"),
        LITERAL("null"),
        LITERAL("{\"a\":1}"),
        LITERAL("<think>x</think>"),
        LITERAL(" lead and trail "),
    };
    return PICK(maker, pieces);
}

/* Up to three pieces; may be empty. */
static struct str make_text(struct maker *maker)
{
    struct str text = pick_text(maker);
    for (size_t i = below(maker, 3); i > 0; i--) {
        struct str more = pick_text(maker);
        char *joined = arena_alloc(maker->arena, text.len + more.len + 1);
        memcpy(joined, text.data, text.len);
        memcpy(joined + text.len, more.data, more.len);
        text = STR_FROM(joined, text.len + more.len);
    }
    return text;
}

static struct str make_some_text(struct maker *maker)
{
    struct str text = make_text(maker);
    return text.len ? text : STR("x");
}

static struct str make_name(struct maker *maker)
{
    static const struct str names[] = {LITERAL("get_weather"), LITERAL("f"),
                                       LITERAL("search-web"),  LITERAL("A_9"),
                                       LITERAL("calculate"),   LITERAL("f")};
    return PICK(maker, names);
}

static struct str make_schema(struct maker *maker)
{
    static const char *const schemas[] = {
        "",
        "{\"type\":\"object\"}",
        "{\"type\":\"object\",\"properties\":{}}",
        "{\"type\":\"object\",\"properties\":{\"q\":{\"type\":\"string\",\"enum\":[\"a\","
        "\"\xC3\xA9\"]},"
        "\"n\":{\"type\":\"integer\",\"minimum\":-1}},\"required\":[\"q\"],"
        "\"additionalProperties\":false}",
        "{ \"type\" : \"object\" }",
        "{not json",
        "[1]",
    };
    return str_from_cstr(PICK(maker, schemas));
}

static struct str make_arguments(struct maker *maker)
{
    static const char *const arguments[] = {
        "{}",
        "{\"q\":\"x\"}",
        "{\"n\":1.5,\"list\":[1,2,{\"k\":null}],\"s\":\"\\u00e9\\n\"}",
        "{ \"spaced\" : true }",
        "",
        "{\"cut\":",
        "not json",
        "[1,2]",
        "\"text\"",
        "{\"big\":12345678901234567890}",
    };
    return str_from_cstr(PICK(maker, arguments));
}

/* ---- Opaque ---------------------------------------------------------------------------------- */

static struct llm_opaque make_opaque(struct maker *maker)
{
    static const char *const kinds[][3] = {
        {"anthropic", "signature", "EuYBCkQYAiJA+/=="},
        {"anthropic", "redacted", "EmwKAhgBEgy3va3pzix"},
        {"gemini", "thought_signature", "CiQB0e2Kb5"},
        {"openai_responses", "encrypted_content", "gAAAAABo"},
        {"openai_responses", "item_id", "rs_0123"},
        {"openai_chat", "reasoning_details", "[{\"type\":\"reasoning.text\"}]"},
        {"ollama", "signature", "x"},
        {"elsewhere", "unheard_of", "\xE2\x98\x83"},
    };
    static const char *const models[] = {"", "", "some-model", "another-model"};
    const char *const *kind = PICK(maker, kinds);
    return (struct llm_opaque){str_from_cstr(kind[0]), str_from_cstr(PICK(maker, models)),
                               str_from_cstr(kind[1]), str_from_cstr(kind[2])};
}

static void add_opaque(struct maker *maker, struct llm_part *part)
{
    static const size_t counts[] = {0, 0, 0, 1, 1, 2};
    part->opaque_count = PICK(maker, counts);
    part->opaque = ARENA_NEW_ARRAY(maker->arena, part->opaque_count, struct llm_opaque);
    for (size_t i = 0; i < part->opaque_count; i++)
        part->opaque[i] = make_opaque(maker);
}

/* ---- Parts ----------------------------------------------------------------------------------- */

static struct llm_media make_media(struct maker *maker, enum llm_part_kind kind)
{
    static const char *const images[] = {"image/png", "image/jpeg", "image/webp", "image/heic"};
    static const char *const documents[] = {"application/pdf", "text/plain", "text/csv"};
    static const char *const sounds[] = {"audio/wav", "audio/mpeg", "audio/ogg", "audio/x-wav"};
    static const char *const details[] = {"", "", "low", "high", "auto", "original"};
    static const char *const contents[] = {"aGk=", "AAECAwQF", "/+7/", "QQ=="};
    const char *mime = kind == LLM_PART_IMAGE      ? PICK(maker, images)
                       : kind == LLM_PART_DOCUMENT ? PICK(maker, documents)
                                                   : PICK(maker, sounds);
    struct llm_media media = {.mime = str_from_cstr(mime)};
    size_t where = below(maker, 4);
    if (where >= 2)
        media.data = str_from_cstr(PICK(maker, contents));
    else if (one_in(maker, 2))
        media.mime = STR("");
    if (where == 0)
        media.url = STR("https://example.org/a?b=1&c=%20");
    if (where == 1)
        media.file_id = STR("file-0123");
    if (one_in(maker, 3))
        media.filename = STR("r\xC3\xA9sum\xC3\xA9 1.pdf");
    if (kind == LLM_PART_IMAGE)
        media.detail = str_from_cstr(PICK(maker, details));
    return media;
}

static void make_call(struct maker *maker, struct llm_part *part)
{
    static const char *const forms[] = {"call_%zu", "toolu_%zu", "aB3dE6g%02zu",
                                        "call:%zu/\xC3\xBC",
                                        "call_0123456789012345678901234567890123456789%zu"};
    part->kind = LLM_PART_TOOL_CALL;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    part->call_id = arena_printf(maker->arena, PICK(maker, forms), maker->call_count);
#pragma GCC diagnostic pop
    part->name = make_name(maker);
    part->arguments = make_arguments(maker);
    add_opaque(maker, part);
    if (maker->call_count < CALLS_MAX) {
        maker->call_names[maker->call_count] = part->name;
        maker->call_ids[maker->call_count++] = part->call_id;
    }
}

static void make_assistant_part(struct maker *maker, struct llm_part *part)
{
    static const enum llm_part_kind kinds[] = {LLM_PART_TEXT,      LLM_PART_TEXT,
                                               LLM_PART_REASONING, LLM_PART_TOOL_CALL,
                                               LLM_PART_TOOL_CALL, LLM_PART_REFUSAL};
    part->kind = PICK(maker, kinds);
    if (part->kind == LLM_PART_TOOL_CALL) {
        make_call(maker, part);
        return;
    }
    part->text = make_text(maker);
    if (part->kind != LLM_PART_REFUSAL)
        add_opaque(maker, part);
}

static void make_user_part(struct maker *maker, struct llm_part *part)
{
    static const enum llm_part_kind kinds[] = {LLM_PART_TEXT,     LLM_PART_TEXT,  LLM_PART_IMAGE,
                                               LLM_PART_DOCUMENT, LLM_PART_AUDIO, LLM_PART_IMAGE};
    part->kind = PICK(maker, kinds);
    if (part->kind == LLM_PART_TEXT)
        part->text = make_text(maker);
    else
        part->media = make_media(maker, part->kind);
}

static void make_result_content(struct maker *maker, struct llm_part *result)
{
    static const enum llm_part_kind kinds[] = {LLM_PART_TEXT, LLM_PART_TEXT, LLM_PART_TEXT,
                                               LLM_PART_IMAGE, LLM_PART_DOCUMENT};
    static const size_t counts[] = {0, 1, 1, 1, 1, 2, 3};
    result->content_count = PICK(maker, counts);
    result->content = ARENA_NEW_ARRAY(maker->arena, result->content_count, struct llm_part);
    for (size_t i = 0; i < result->content_count; i++) {
        struct llm_part *part = &result->content[i];
        part->kind = PICK(maker, kinds);
        if (part->kind == LLM_PART_TEXT)
            part->text = make_text(maker);
        else
            part->media = make_media(maker, part->kind);
    }
}

/* Of the next call without one, of any call, or of none. */
static void make_result(struct maker *maker, struct llm_part *part, size_t *next)
{
    part->kind = LLM_PART_TOOL_RESULT;
    part->call_id = STR("call_nobody_made");
    part->name = make_name(maker);
    size_t call = SIZE_MAX;
    if (*next < maker->call_count && !one_in(maker, 8))
        call = (*next)++;
    else if (maker->call_count && one_in(maker, 3))
        call = below(maker, maker->call_count);
    if (call != SIZE_MAX) {
        part->call_id = maker->call_ids[call];
        part->name = one_in(maker, 5) ? part->name : maker->call_names[call];
    }
    if (one_in(maker, 8))
        part->name = STR("");
    part->is_error = one_in(maker, 4);
    make_result_content(maker, part);
}

/* ---- Messages -------------------------------------------------------------------------------- */

static void make_parts(struct maker *maker, struct llm_message *message)
{
    static const size_t counts[] = {0, 1, 1, 1, 2, 2, 3, PARTS_MAX};
    message->part_count = PICK(maker, counts);
    if (message->part_count == 0 && !one_in(maker, 3))
        message->part_count = 1;
    message->parts = ARENA_NEW_ARRAY(maker->arena, message->part_count, struct llm_part);
    if (message->role == LLM_ASSISTANT)
        maker->last_turn = maker->call_count;
    size_t next = maker->last_turn;
    if (one_in(maker, 6))
        next++;
    for (size_t i = 0; i < message->part_count; i++) {
        struct llm_part *part = &message->parts[i];
        if (message->role == LLM_SYSTEM)
            *part = (struct llm_part){.kind = LLM_PART_TEXT, .text = make_text(maker)};
        else if (message->role == LLM_USER)
            make_user_part(maker, part);
        else if (message->role == LLM_ASSISTANT)
            make_assistant_part(maker, part);
        else
            make_result(maker, part, &next);
    }
}

static bool has_calls(const struct llm_message *message)
{
    for (size_t i = 0; i < message->part_count; i++)
        if (message->parts[i].kind == LLM_PART_TOOL_CALL)
            return true;
    return false;
}

static void make_messages(struct maker *maker, struct llm_request *request)
{
    static const enum llm_role roles[] = {LLM_SYSTEM,    LLM_USER,      LLM_USER,
                                          LLM_ASSISTANT, LLM_ASSISTANT, LLM_TOOL};
    request->message_count = 1 + below(maker, MESSAGES_MAX);
    request->messages = ARENA_NEW_ARRAY(maker->arena, request->message_count, struct llm_message);
    for (size_t i = 0; i < request->message_count; i++) {
        struct llm_message *message = &request->messages[i];
        message->role = PICK(maker, roles);
        if (i && has_calls(message - 1) && !one_in(maker, 4))
            message->role = LLM_TOOL;
        if (one_in(maker, 8))
            message->name = STR("alice");
        make_parts(maker, message);
    }
}

/* ---- The rest of a request ------------------------------------------------------------------- */

static void make_tools(struct maker *maker, struct llm_request *request)
{
    static const size_t counts[] = {0, 0, 1, 2, 3};
    request->tool_count = PICK(maker, counts);
    request->tools = ARENA_NEW_ARRAY(maker->arena, request->tool_count, struct llm_tool);
    for (size_t i = 0; i < request->tool_count; i++) {
        struct llm_tool *tool = &request->tools[i];
        tool->name = arena_printf(maker->arena, "tool_%zu", i);
        if (one_in(maker, 2))
            tool->description = make_text(maker);
        tool->schema = make_schema(maker);

        tool->strict = (enum llm_tristate)below(maker, 3);
    }
    if (one_in(maker, 2))
        request->tool_choice = (enum llm_tool_choice)below(maker, LLM_TOOL_CHOICE_NAMED + 1);
    if (request->tool_choice == LLM_TOOL_CHOICE_NAMED)
        request->tool_choice_name = one_in(maker, 6) ? STR("unknown_tool") : STR("tool_0");
    if (one_in(maker, 3))
        request->parallel_tool_calls = (enum llm_tristate)below(maker, 3);
}

static void make_format(struct maker *maker, struct llm_request *request)
{
    if (one_in(maker, 2))
        request->format = (enum llm_format)below(maker, LLM_FORMAT_SCHEMA + 1);
    if (request->format != LLM_FORMAT_SCHEMA)
        return;
    request->format_name = one_in(maker, 3) ? STR("") : make_name(maker);
    request->format_description = one_in(maker, 2) ? STR("") : make_some_text(maker);
    request->format_schema = make_schema(maker);

    request->format_strict = (enum llm_tristate)below(maker, 3);
}

static struct llm_double make_double(struct maker *maker)
{
    static const double values[] = {0, 0.1, 0.7, 1, 1.25, 2, 1e-7, 0.3333333333333333};
    struct llm_double unset = {false, 0};
    return one_in(maker, 3) ? (struct llm_double){true, PICK(maker, values)} : unset;
}

static struct llm_int make_int(struct maker *maker, bool any)
{
    static const int64_t values[] = {1, 40, 4096, 100000, 2147483647};
    static const int64_t wild[] = {0, -1, 42, 2147483648, 9007199254740993, INT64_MAX};
    if (!one_in(maker, 3))
        return (struct llm_int){false, 0};
    return (struct llm_int){true, any ? PICK(maker, wild) : PICK(maker, values)};
}

static void make_parameters(struct maker *maker, struct llm_request *request)
{
    if (one_in(maker, 2))
        request->effort = (enum llm_effort)below(maker, LLM_EFFORT_MAX + 1);
    request->max_output_tokens = make_int(maker, false);
    request->seed = make_int(maker, true);
    request->top_k = make_int(maker, false);
    request->temperature = make_double(maker);
    request->top_p = make_double(maker);
    request->frequency_penalty = make_double(maker);
    request->presence_penalty = make_double(maker);
    request->stop_count = one_in(maker, 3) ? below(maker, 6) : 0;
    request->stops = ARENA_NEW_ARRAY(maker->arena, request->stop_count, struct str);
    for (size_t i = 0; i < request->stop_count; i++)
        request->stops[i] = make_some_text(maker);
    if (one_in(maker, 4))
        request->user = STR("user-17");
    if (one_in(maker, 40))
        request->user = STR("u0123456789012345678901234567890123456789012345678901234567890123456");
    request->stream = one_in(maker, 2);
    request->stream_usage = one_in(maker, 3);
}

void law_make_request(struct arena *arena, struct random *random, struct llm_request *ret_request)
{
    struct maker maker = {.arena = arena, .random = random};
    *ret_request = (struct llm_request){.model = STR("some-model")};
    make_messages(&maker, ret_request);
    make_tools(&maker, ret_request);
    make_format(&maker, ret_request);
    make_parameters(&maker, ret_request);
}

/* ---- Responses and events -------------------------------------------------------------------- */

static struct llm_usage make_usage(struct maker *maker)
{
    struct llm_usage usage = LLM_USAGE_UNKNOWN;
    if (one_in(maker, 4))
        return usage;
    if (!one_in(maker, 12))
        usage.input_total = 20 + (int64_t)below(maker, 100000);
    if (!one_in(maker, 12))
        usage.output_total = 10 + (int64_t)below(maker, 1000);
    if (usage.input_total >= 0 && one_in(maker, 2))
        usage.input_cache_read = (int64_t)below(maker, 10);
    if (usage.input_total >= 0 && one_in(maker, 3))
        usage.input_cache_write = (int64_t)below(maker, 10);
    if (usage.output_total >= 0 && one_in(maker, 2))
        usage.output_reasoning = (int64_t)below(maker, 10);
    usage.is_estimated = (usage.input_total >= 0 || usage.output_total >= 0) && one_in(maker, 6);
    return usage;
}

static enum llm_finish make_finish(struct maker *maker, struct str *ret_raw)
{
    static const enum llm_finish finishes[] = {
        LLM_FINISH_STOP,   LLM_FINISH_STOP,  LLM_FINISH_LENGTH,    LLM_FINISH_CONTENT_FILTERED,
        LLM_FINISH_PAUSED, LLM_FINISH_OTHER, LLM_FINISH_TOOL_CALLS};
    static const char *const raws[] = {"",           "stop",          "end_turn", "STOP",
                                       "length",     "completed",     "tool_use", "tool_calls",
                                       "max_tokens", "weird \xC3\xA9"};
    *ret_raw = str_from_cstr(PICK(maker, raws));
    return PICK(maker, finishes);
}

void law_make_response(struct arena *arena, struct random *random,
                       struct llm_response *ret_response)
{
    struct maker maker = {.arena = arena, .random = random};
    struct llm_message message = {.role = LLM_ASSISTANT};
    make_parts(&maker, &message);
    *ret_response = (struct llm_response){
        .id = one_in(&maker, 6) ? STR("") : STR("resp-42"),
        .model = one_in(&maker, 6) ? STR("") : STR("some-model"),
        .parts = message.parts,
        .part_count = message.part_count,
        .usage = make_usage(&maker),
    };
    ret_response->finish = make_finish(&maker, &ret_response->finish_raw);
}

struct event_list {
    struct llm_event *items;
    size_t count, capacity;
};

static struct llm_event *push_event(struct maker *maker, struct event_list *list,
                                    enum llm_event_kind kind)
{
    struct llm_event *event = VEC_PUSH(maker->arena, list->items, list->count, list->capacity);
    event->kind = kind;
    event->index = -1;
    return event;
}

static void push_opaque(struct maker *maker, struct event_list *list, int index)
{
    struct llm_event *event = push_event(maker, list, LLM_EVENT_OPAQUE);
    event->index = index;
    event->opaque = make_opaque(maker);
}

static void push_texts(struct maker *maker, struct event_list *list, enum llm_event_kind kind)
{
    if (kind == LLM_EVENT_REASONING && one_in(maker, 8)) { /* redacted: nothing but opaque */
        push_event(maker, list, kind)->text = STR("");
        push_opaque(maker, list, -1);
        return;
    }
    for (size_t i = 1 + below(maker, 3); i > 0; i--)
        push_event(maker, list, kind)->text = make_some_text(maker);
    if (kind != LLM_EVENT_REFUSAL && one_in(maker, 3))
        push_opaque(maker, list, -1);
}

/* The arguments in up to three increments, cut between characters. */
static void push_arguments(struct maker *maker, struct event_list *list, int index)
{
    struct str left = make_arguments(maker);
    while (left.len) {
        size_t length = 1 + below(maker, left.len);
        struct llm_event *event = push_event(maker, list, LLM_EVENT_TOOL_ARGUMENTS);
        event->index = index;
        event->text = str_slice(left, 0, length);
        left = str_skip(left, length);
    }
}

static void push_call(struct maker *maker, struct event_list *list, int index)
{
    struct llm_part call = {0};
    make_call(maker, &call);
    struct llm_event *start = push_event(maker, list, LLM_EVENT_TOOL_START);
    start->index = index;
    start->id = call.call_id;
    start->name = call.name;
    if (one_in(maker, 4))
        push_opaque(maker, list, index);
    push_arguments(maker, list, index);
    push_event(maker, list, LLM_EVENT_TOOL_END)->index = index;
}

struct llm_event *law_make_events(struct arena *arena, struct random *random, size_t *ret_count)
{
    static const enum llm_event_kind kinds[] = {
        LLM_EVENT_TEXT,    LLM_EVENT_TEXT,       LLM_EVENT_REASONING, LLM_EVENT_REASONING,
        LLM_EVENT_REFUSAL, LLM_EVENT_TOOL_START, LLM_EVENT_TOOL_START};
    struct maker maker = {.arena = arena, .random = random};
    struct event_list list = {0};
    struct llm_event *start = push_event(&maker, &list, LLM_EVENT_START);
    start->id = STR("resp-42");
    start->model = one_in(&maker, 4) ? STR("") : STR("some-model");
    int calls = 0;
    for (size_t i = below(&maker, 6); i > 0; i--) {
        enum llm_event_kind kind = PICK(&maker, kinds);
        if (kind == LLM_EVENT_TOOL_START)
            push_call(&maker, &list, calls++);
        else
            push_texts(&maker, &list, kind);
    }
    struct llm_usage usage = make_usage(&maker);
    if (usage.input_total >= 0 || usage.output_total >= 0)
        push_event(&maker, &list, LLM_EVENT_USAGE)->usage = usage;
    struct llm_event *finish = push_event(&maker, &list, LLM_EVENT_FINISH);
    finish->finish = make_finish(&maker, &finish->finish_raw);
    push_event(&maker, &list, LLM_EVENT_END);
    *ret_count = list.count;
    return list.items;
}
