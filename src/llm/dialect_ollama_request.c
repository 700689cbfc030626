/* Ollama: the canonical request as the body of POST /api/chat. */
#include "base/map.h"
#include "llm/dialect_ollama.h"
#include "llm/encoder.h"

/* Everything that one encoding needs. */
struct encoding {
    struct arena *arena;
    const struct llm_request *request;
    struct llm_losses *losses;
    struct json_writer w;
    struct map *names;    /* of the calls so far, by id */
    bool is_after_result; /* the message written last was a tool result */
};

static void lose(struct encoding *encoding, enum llm_field field)
{
    llm_losses_add(encoding->losses, field, -1, -1);
}

/* ---- Messages -------------------------------------------------------------------------------- */

/* Its content is one string: anything but one text is joined or dropped. */
static void write_result_content(struct encoding *encoding, const struct llm_part *part,
                                 int message, int index)
{
    bool is_same = part->content_count == 0;
    json_key(&encoding->w, STR("content"));
    json_begin_str(&encoding->w);
    for (size_t i = 0; i < part->content_count; i++) {
        const struct llm_part *inner = &part->content[i];
        if (inner->kind != LLM_PART_TEXT)
            continue;
        json_str_part(&encoding->w, inner->text);
        is_same = part->content_count == 1 && inner->text.len && !inner->opaque_count;
    }
    json_end_str(&encoding->w);
    if (!is_same)
        llm_losses_add(encoding->losses, LLM_FIELD_PART_CONTENT, message, index);
}

static void write_result(struct encoding *encoding, int message, int index)
{
    struct json_writer *w = &encoding->w;
    struct llm_losses *losses = encoding->losses;
    const struct llm_part *part = &encoding->request->messages[message].parts[index];
    struct str name =
        part->name.len ? part->name : llm_call_names_find(encoding->names, part->call_id);
    json_begin_object(w);
    json_key_str(w, "role", STR("tool"));
    write_result_content(encoding, part, message, index);
    if (name.len)
        json_key_str(w, "tool_name", name);
    if (part->call_id.len)
        json_key_str(w, "tool_call_id", part->call_id);
    json_end_object(w);
    if (!str_eq(name, part->name))
        llm_losses_add(losses, LLM_FIELD_PART_NAME, message, index);
    if (!part->call_id.len)
        llm_losses_add(losses, LLM_FIELD_PART_CALL_ID, message, index);
    if (part->is_error)
        llm_losses_add(losses, LLM_FIELD_PART_IS_ERROR, message, index);
    if (part->opaque_count)
        llm_losses_add(losses, LLM_FIELD_PART_OPAQUE, message, index);
}

/* One message for each result; neighbours read back as one message. */
static size_t write_results(struct encoding *encoding, int message)
{
    const struct llm_message *source = &encoding->request->messages[message];
    size_t kept = 0;
    for (int i = 0; i < (int)source->part_count; i++) {
        if (source->parts[i].kind != LLM_PART_TOOL_RESULT) {
            llm_losses_add(encoding->losses, LLM_FIELD_PART, message, i);
            continue;
        }
        write_result(encoding, message, i);
        kept++;
    }
    return kept;
}

static size_t write_parts(struct encoding *encoding, int message)
{
    static const char *const roles[] = {
        [LLM_SYSTEM] = "system", [LLM_USER] = "user", [LLM_ASSISTANT] = "assistant"};
    const struct llm_message *source = &encoding->request->messages[message];
    size_t kept = ollama_note_parts(encoding->arena, source->parts, source->part_count,
                                    source->role, message, encoding->losses);
    if (kept)
        ollama_write_message(&encoding->w, encoding->arena, str_from_cstr(roles[source->role]),
                             source->parts, source->part_count);
    for (size_t i = 0; i < source->part_count; i++)
        llm_call_names_note(&encoding->names, &source->parts[i]);
    return kept;
}

/* Notes what became of a message as a whole. */
static void close_message(struct encoding *encoding, int message, size_t kept)
{
    const struct llm_message *source = &encoding->request->messages[message];
    if (!kept) {
        llm_losses_add(encoding->losses, LLM_FIELD_MESSAGE, message, -1);
        return;
    }
    bool is_tool = source->role == LLM_TOOL;
    if (source->name.len)
        llm_losses_add(encoding->losses, LLM_FIELD_MESSAGE_NAME, message, -1);
    if (is_tool && encoding->is_after_result)
        llm_losses_add(encoding->losses, LLM_FIELD_MESSAGE_BOUNDARY, message, -1);
    encoding->is_after_result = is_tool;
}

static void write_messages(struct encoding *encoding)
{
    encoding->names = NULL;
    json_key_array(&encoding->w, "messages");
    for (int i = 0; i < (int)encoding->request->message_count; i++) {
        bool is_tool = encoding->request->messages[i].role == LLM_TOOL;
        close_message(encoding, i, is_tool ? write_results(encoding, i) : write_parts(encoding, i));
    }
    json_end_array(&encoding->w);
    map_free(encoding->names);
}

/* ---- Tools ----------------------------------------------------------------------------------- */

static void write_tool(struct encoding *encoding, int index)
{
    struct json_writer *w = &encoding->w;
    const struct llm_tool *tool = &encoding->request->tools[index];
    bool has_schema = ollama_is_object(encoding->arena, tool->schema);
    json_begin_object(w);
    json_key_str(w, "type", STR("function"));
    json_key_object(w, "function");
    json_key_str(w, "name", tool->name);
    if (tool->description.len)
        json_key_str(w, "description", tool->description);
    json_key_raw(w, "parameters",
                 has_schema ? tool->schema : STR("{\"type\":\"object\",\"properties\":{}}"));
    json_end_object(w);
    json_end_object(w);
    if (!has_schema)
        llm_losses_add(encoding->losses, LLM_FIELD_TOOL_SCHEMA, index, -1);
    if (tool->strict != LLM_UNSET)
        llm_losses_add(encoding->losses, LLM_FIELD_TOOL_STRICT, index, -1);
}

/* There is no choice of tools: none at all is the one that can be obeyed. */
static void write_tools(struct encoding *encoding)
{
    const struct llm_request *request = encoding->request;
    bool is_none = request->tool_choice == LLM_TOOL_CHOICE_NONE;
    llm_lose_tool_choice(encoding->losses, request);
    if (!request->tool_count)
        return;
    if (is_none) {
        lose(encoding, LLM_FIELD_TOOLS);
        return;
    }
    json_key_array(&encoding->w, "tools");
    for (int i = 0; i < (int)request->tool_count; i++)
        write_tool(encoding, i);
    json_end_array(&encoding->w);
}

/* ---- Parameters ------------------------------------------------------------------------------ */

static void write_format(struct encoding *encoding)
{
    const struct llm_request *request = encoding->request;
    if (request->format == LLM_FORMAT_JSON) {
        json_key_str(&encoding->w, "format", STR("json"));
    } else if (request->format == LLM_FORMAT_SCHEMA &&
               ollama_is_object(encoding->arena, request->format_schema)) {
        json_key_raw(&encoding->w, "format", request->format_schema);
        llm_lose_format_words(encoding->losses, request);
    } else if (request->format != LLM_FORMAT_UNSET) {
        lose(encoding, LLM_FIELD_FORMAT);
    }
}

static void write_effort(struct encoding *encoding)
{
    static const struct {
        const char *word; /* NULL: not sent */
        bool is_exact;
    } words[] = {
        [LLM_EFFORT_UNSET] = {NULL, true},      [LLM_EFFORT_NONE] = {"false", true},
        [LLM_EFFORT_MINIMAL] = {"low", false},  [LLM_EFFORT_LOW] = {"low", true},
        [LLM_EFFORT_MEDIUM] = {"medium", true}, [LLM_EFFORT_HIGH] = {"high", true},
        [LLM_EFFORT_XHIGH] = {"max", false},    [LLM_EFFORT_MAX] = {"max", true},
    };
    enum llm_effort effort = encoding->request->effort;
    if (effort == LLM_EFFORT_NONE)
        json_key_bool(&encoding->w, "think", false);
    else if (words[effort].word)
        json_key_str(&encoding->w, "think", str_from_cstr(words[effort].word));
    if (!words[effort].is_exact)
        lose(encoding, LLM_FIELD_EFFORT);
}

static void write_stops(struct encoding *encoding)
{
    const struct llm_request *request = encoding->request;
    if (!request->stop_count)
        return;
    json_key_array(&encoding->w, "stop");
    for (size_t i = 0; i < request->stop_count; i++)
        json_put_str(&encoding->w, request->stops[i].data ? request->stops[i] : STR(""));
    json_end_array(&encoding->w);
}

static void write_double(struct encoding *encoding, const char *name, struct llm_double value)
{
    if (value.is_set)
        json_key_double(&encoding->w, name, value.value);
}

/* A negative num_predict means no limit, as does none. */
static void write_options(struct encoding *encoding)
{
    struct json_writer *w = &encoding->w;
    const struct llm_request *request = encoding->request;
    json_key_object(w, "options");
    if (request->max_output_tokens.is_set && request->max_output_tokens.value >= 0)
        json_key_int(w, "num_predict", request->max_output_tokens.value);
    else if (request->max_output_tokens.is_set)
        lose(encoding, LLM_FIELD_MAX_OUTPUT_TOKENS);
    if (request->seed.is_set)
        json_key_int(w, "seed", request->seed.value);
    if (request->top_k.is_set)
        json_key_int(w, "top_k", request->top_k.value);
    write_double(encoding, "temperature", request->temperature);
    write_double(encoding, "top_p", request->top_p);
    write_double(encoding, "frequency_penalty", request->frequency_penalty);
    write_double(encoding, "presence_penalty", request->presence_penalty);
    write_stops(encoding);
    json_end_object(w);
}

enum err ollama_encode_request(struct arena *arena, const struct llm_request *request,
                               const struct dialect_target *target, struct buf *out,
                               struct llm_losses *losses, struct error *error)
{
    struct encoding encoding = {.arena = arena, .request = request, .losses = losses};
    json_writer_init(&encoding.w, out);
    json_begin_object(&encoding.w);
    json_key_str(&encoding.w, "model", target->model);
    write_messages(&encoding);
    write_tools(&encoding);
    write_format(&encoding);
    write_effort(&encoding);
    write_options(&encoding);
    json_key_bool(&encoding.w, "stream", request->stream);
    json_end_object(&encoding.w);
    if (request->user.len)
        lose(&encoding, LLM_FIELD_USER);
    if (request->stream_usage)
        lose(&encoding, LLM_FIELD_STREAM_USAGE);
    if (buf_ok(out))
        return ERR_OK;
    return error_set(error, ERR_TOO_BIG, NULL, "the request is larger than %zu bytes",
                     out->bytes_max);
}
