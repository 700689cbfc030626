/* Requests in the Gemini dialect, reading: what a door gets. Model and stream are in the path, the
 * caller sets them. Strict about types; members that the canonical model has no place for are
 * listed in `unmapped`. A repeated field may be a single object, as Google's own examples have it.
 */
#include "llm/dialect_gemini_reader.h"

#include <string.h>

#include "base/vec.h"

enum { MISSES_MAX = 64 };

/* ---- Parts ----------------------------------------------------------------------------------- */

/* One content on its way; results are kept apart from what is said beside them. */
struct content {
    struct llm_part *parts;
    size_t part_count, part_capacity;
    struct llm_part *results;
    size_t result_count, result_capacity;
};

static enum llm_part_kind kind_of_mime(struct str mime)
{
    if (str_starts_with_nocase(mime, STR("image/")))
        return LLM_PART_IMAGE;
    return str_starts_with_nocase(mime, STR("audio/")) ? LLM_PART_AUDIO : LLM_PART_DOCUMENT;
}

static void read_media(struct gemini_reader *reader, const struct gemini_path *up, yyjson_val *part,
                       struct llm_part *ret_part)
{
    static const char *const known[] = {"mimeType", "data", "fileUri", NULL};
    bool is_inline = gemini_get(part, "inlineData") != NULL;
    const char *name = is_inline ? "inlineData" : "fileData";
    const char *member = is_inline ? "data" : "fileUri";
    const struct gemini_path place = {up, name, 0};
    yyjson_val *value = gemini_read_obj(reader, up, part, name);
    struct str bytes = gemini_read_str(reader, &place, value, member);
    if (!bytes.len)
        gemini_reader_fail(reader, &(struct gemini_path){&place, member, 0},
                           "must be a string that is not empty");
    ret_part->media.mime = gemini_read_str(reader, &place, value, "mimeType");
    ret_part->kind = kind_of_mime(ret_part->media.mime);
    if (is_inline)
        ret_part->media.data = bytes;
    else
        ret_part->media.file_id = bytes;
    gemini_note_others(reader, &place, value, known);
}

static void add_signature(struct gemini_reader *reader, struct llm_part *part, struct str signature)
{
    if (!signature.len || str_eq(signature, GEMINI_SENTINEL))
        return;
    part->opaque = ARENA_NEW(reader->arena, struct llm_opaque);
    part->opaque_count = 1;
    *part->opaque = (struct llm_opaque){GEMINI_NAME, STR_NONE, GEMINI_SIGNATURE, signature};
}

static void read_call(struct gemini_reader *reader, const struct gemini_path *up, yyjson_val *part,
                      struct llm_part *ret_part)
{
    static const char *const known[] = {"id", "name", "args", NULL};
    const struct gemini_path place = {up, "functionCall", 0};
    yyjson_val *call = gemini_read_obj(reader, up, part, "functionCall");
    yyjson_val *args = gemini_read_obj(reader, &place, call, "args");
    ret_part->kind = LLM_PART_TOOL_CALL;
    ret_part->call_id = gemini_read_str(reader, &place, call, "id");
    ret_part->name = gemini_read_str(reader, &place, call, "name");
    ret_part->arguments = args ? json_text(reader->arena, args) : STR("{}");
    if (!ret_part->name.data)
        gemini_reader_fail(reader, &(struct gemini_path){&place, "name", 0}, "must be a string");
    gemini_note_others(reader, &place, call, known);
}

static void take_nested(struct gemini_reader *reader, const struct gemini_path *place,
                        yyjson_val *element, void *user)
{
    struct llm_part *result = user;
    struct llm_part *part = &result->content[result->content_count];
    *part = (struct llm_part){.origin = LLM_ORIGIN_TOOL};
    if (!gemini_get(element, "inlineData") && !gemini_get(element, "fileData")) {
        gemini_note_unmapped(reader, place);
        return;
    }
    read_media(reader, place, element, part);
    result->content_count++;
}

/* {"output":"..."} and {"error":"..."} hold a text; any other object is one, as JSON. */
static bool read_response_text(struct arena *arena, yyjson_val *response, struct str *ret_text,
                               bool *ret_is_error)
{
    if (!yyjson_obj_size(response))
        return false;
    yyjson_val *only = yyjson_obj_size(response) == 1 ? json_get(response, "output") : NULL;
    yyjson_val *error = yyjson_obj_size(response) == 1 ? json_get(response, "error") : NULL;
    *ret_is_error = error != NULL;
    yyjson_val *value = error ? error : only ? only : response;
    *ret_text = yyjson_is_str(value) ? json_str(value) : json_text(arena, value);
    return true;
}

static void read_result(struct gemini_reader *reader, const struct gemini_path *up,
                        yyjson_val *part, struct llm_part *ret_part)
{
    static const char *const known[] = {"id", "name", "response", "parts", NULL};
    const struct gemini_path place = {up, "functionResponse", 0};
    yyjson_val *result = gemini_read_obj(reader, up, part, "functionResponse");
    yyjson_val *response = gemini_read_obj(reader, &place, result, "response");
    size_t nested = yyjson_arr_size(json_get(result, "parts"));
    *ret_part = (struct llm_part){.kind = LLM_PART_TOOL_RESULT, .origin = LLM_ORIGIN_TOOL};
    ret_part->call_id = gemini_read_str(reader, &place, result, "id");
    ret_part->name = gemini_read_str(reader, &place, result, "name");
    ret_part->content = ARENA_NEW_ARRAY(reader->arena, nested + 2, struct llm_part);
    struct str text;
    if (read_response_text(reader->arena, response, &text, &ret_part->is_error))
        ret_part->content[ret_part->content_count++] =
            (struct llm_part){.kind = LLM_PART_TEXT, .origin = LLM_ORIGIN_TOOL, .text = text};
    gemini_read_each(reader, &place, result, "parts", take_nested, ret_part);
    gemini_note_others(reader, &place, result, known);
}

static void read_text(struct gemini_reader *reader, const struct gemini_path *place,
                      yyjson_val *part, struct llm_part *ret_part)
{
    bool is_thought = gemini_read_bool(reader, place, part, "thought");
    ret_part->kind = is_thought ? LLM_PART_REASONING : LLM_PART_TEXT;
    ret_part->text = gemini_read_str(reader, place, part, "text");
}

typedef void part_fn(struct gemini_reader *reader, const struct gemini_path *place,
                     yyjson_val *part, struct llm_part *ret_part);
static const struct {
    const char *member;
    part_fn *read;
} part_readers[] = {
    {"functionCall", read_call}, {"functionResponse", read_result},
    {"inlineData", read_media},  {"fileData", read_media},
    {"text", read_text},         {"thoughtSignature", read_text},
};

static void take_part(struct gemini_reader *reader, const struct gemini_path *place,
                      yyjson_val *element, void *user)
{
    static const char *const known[] = {
        "functionCall", "functionResponse", "inlineData", "fileData",
        "text",         "thoughtSignature", "thought",    NULL};
    struct content *content = user;
    struct llm_part part = {0};
    size_t i = 0;
    const size_t count = sizeof part_readers / sizeof *part_readers;
    if (!yyjson_is_obj(element)) {
        gemini_reader_fail(reader, place, "must be an object");
        return;
    }
    gemini_note_others(reader, place, element, known);
    while (i < count && !gemini_get(element, part_readers[i].member))
        i++;
    if (i == count)
        return; /* what it holds is noted */
    part_readers[i].read(reader, place, element, &part);
    add_signature(reader, &part, gemini_read_str(reader, place, element, "thoughtSignature"));
    if (part.kind == LLM_PART_TOOL_RESULT)
        *VEC_PUSH(reader->arena, content->results, content->result_count,
                  content->result_capacity) = part;
    else
        *VEC_PUSH(reader->arena, content->parts, content->part_count, content->part_capacity) =
            part;
}

/* ---- Messages -------------------------------------------------------------------------------- */

static void add_message(struct gemini_reader *reader, enum llm_role role, struct llm_part *parts,
                        size_t count)
{
    struct llm_request *request = reader->request;
    if (count)
        *VEC_PUSH(reader->arena, request->messages, request->message_count,
                  reader->message_capacity) =
            (struct llm_message){.role = role, .parts = parts, .part_count = count};
}

/* The results of one turn are one message, though they come in several contents. */
static void add_results(struct gemini_reader *reader, const struct content *content)
{
    struct llm_request *request = reader->request;
    struct llm_message *last =
        request->message_count ? &request->messages[request->message_count - 1] : NULL;
    if (!last || last->role != LLM_TOOL) {
        add_message(reader, LLM_TOOL, content->results, content->result_count);
        return;
    }
    size_t count = last->part_count + content->result_count;
    last->parts = arena_realloc(reader->arena, last->parts, last->part_count * sizeof *last->parts,
                                count * sizeof *last->parts);
    memcpy(last->parts + last->part_count, content->results,
           content->result_count * sizeof *last->parts);
    last->part_count = count;
}

static void take_content(struct gemini_reader *reader, const struct gemini_path *place,
                         yyjson_val *element, void *user)
{
    (void)user;
    static const char *const known[] = {"role", "parts", NULL};
    struct content content = {0};
    if (!yyjson_is_obj(element)) {
        gemini_reader_fail(reader, place, "must be an object");
        return;
    }
    struct str role = gemini_read_str(reader, place, element, "role");
    bool is_model = str_eq(role, STR("model"));
    bool is_user = !role.len || str_eq(role, STR("user")) || str_eq(role, STR("function"));
    if (!is_model && !is_user)
        gemini_reader_fail(reader, &(struct gemini_path){place, "role", 0},
                           "must be \"user\" or \"model\"");
    gemini_read_each(reader, place, element, "parts", take_part, &content);
    gemini_note_others(reader, place, element, known);
    if (content.result_count)
        add_results(reader, &content);
    add_message(reader, is_model ? LLM_ASSISTANT : LLM_USER, content.parts, content.part_count);
}

static void read_system(struct gemini_reader *reader, yyjson_val *root)
{
    const struct gemini_path place = {NULL, "systemInstruction", 0};
    struct content content = {0};
    yyjson_val *value = gemini_read_obj(reader, NULL, root, "systemInstruction");
    gemini_read_each(reader, &place, value, "parts", take_part, &content);
    add_message(reader, LLM_SYSTEM, content.parts, content.part_count);
}

/* ---- Ids of calls that have none ------------------------------------------------------------- */

/* Results without an id belong to the calls of the turn before in order and by name. The ids are
 * made from the position, so that the same conversation always gets the same ones. */
static void name_call(struct gemini_reader *reader, struct llm_part *call)
{
    if (!call->call_id.len)
        call->call_id = arena_printf(reader->arena, "call_gemini_%zu", reader->made_ids++);
}

static bool takes_result(const struct llm_part *call, const struct llm_part *result)
{
    return call->kind == LLM_PART_TOOL_CALL && str_eq(call->name, result->name);
}

static void match_results(const struct llm_message *calls, struct llm_message *results)
{
    size_t next = 0; /* calls before it are taken */
    size_t misses = 0;
    for (size_t i = 0; i < results->part_count && misses < MISSES_MAX; i++) {
        struct llm_part *result = &results->parts[i];
        if (result->call_id.len)
            continue;
        size_t at = next;
        while (at < calls->part_count && !takes_result(&calls->parts[at], result))
            at++;
        if (at == calls->part_count) {
            misses++;
            continue;
        }
        result->call_id = calls->parts[at].call_id;
        next = at + 1;
    }
}

static void name_calls(struct gemini_reader *reader)
{
    struct llm_message *calls = NULL;
    for (size_t m = 0; m < reader->request->message_count; m++) {
        struct llm_message *message = &reader->request->messages[m];
        if (message->role == LLM_ASSISTANT) {
            calls = message;
            for (size_t i = 0; i < message->part_count; i++)
                if (message->parts[i].kind == LLM_PART_TOOL_CALL)
                    name_call(reader, &message->parts[i]);
        } else if (message->role == LLM_TOOL && calls) {
            match_results(calls, message);
        }
    }
}

/* ---- Tools ----------------------------------------------------------------------------------- */

struct tool_list {
    size_t capacity;
};

static void take_function(struct gemini_reader *reader, const struct gemini_path *place,
                          yyjson_val *element, void *user)
{
    static const char *const known[] = {"name", "description", "parameters", "parametersJsonSchema",
                                        NULL};
    struct tool_list *list = user;
    struct llm_request *request = reader->request;
    struct llm_tool tool = {.name = gemini_read_str(reader, place, element, "name"),
                            .description = gemini_read_str(reader, place, element, "description")};
    if (!tool.name.len)
        gemini_reader_fail(reader, &(struct gemini_path){place, "name", 0},
                           "must be a string that is not empty");
    yyjson_val *json_schema = gemini_read_obj(reader, place, element, "parametersJsonSchema");
    yyjson_val *schema = gemini_read_obj(reader, place, element, "parameters");
    if (json_schema)
        tool.schema = json_text(reader->arena, json_schema);
    else if (schema)
        tool.schema = gemini_schema_text(reader->arena, schema);
    gemini_note_others(reader, place, element, known);
    *VEC_PUSH(reader->arena, request->tools, request->tool_count, list->capacity) = tool;
}

static void take_tool(struct gemini_reader *reader, const struct gemini_path *place,
                      yyjson_val *element, void *user)
{
    static const char *const known[] = {"functionDeclarations", NULL};
    gemini_read_each(reader, place, element, "functionDeclarations", take_function, user);
    gemini_note_others(reader, place, element, known);
}

static void read_allowed(struct gemini_reader *reader, const struct gemini_path *up,
                         yyjson_val *config)
{
    const struct gemini_path place = {up, "allowedFunctionNames", 0};
    yyjson_val *names = gemini_get(config, "allowedFunctionNames");
    size_t count = yyjson_arr_size(names);
    if (!count)
        return;
    struct str first = json_str(yyjson_arr_get_first(names));
    if (count > 1 || !first.data || reader->request->tool_choice != LLM_TOOL_CHOICE_REQUIRED) {
        gemini_note_unmapped(reader, &place);
        return;
    }
    reader->request->tool_choice = LLM_TOOL_CHOICE_NAMED;
    reader->request->tool_choice_name = first;
}

static void read_tool_choice(struct gemini_reader *reader, yyjson_val *root)
{
    static const char *const known[] = {"functionCallingConfig", NULL};
    static const char *const known_inside[] = {"mode", "allowedFunctionNames", NULL};
    const struct gemini_path outer = {NULL, "toolConfig", 0};
    const struct gemini_path place = {&outer, "functionCallingConfig", 0};
    yyjson_val *config = gemini_read_obj(reader, NULL, root, "toolConfig");
    yyjson_val *calling = gemini_read_obj(reader, &outer, config, "functionCallingConfig");
    struct str mode = gemini_read_str(reader, &place, calling, "mode");
    struct llm_request *request = reader->request;
    if (str_eq_nocase(mode, STR("AUTO")) || str_eq_nocase(mode, STR("VALIDATED")))
        request->tool_choice = LLM_TOOL_CHOICE_AUTO;
    else if (str_eq_nocase(mode, STR("NONE")))
        request->tool_choice = LLM_TOOL_CHOICE_NONE;
    else if (str_eq_nocase(mode, STR("ANY")))
        request->tool_choice = LLM_TOOL_CHOICE_REQUIRED;
    else if (mode.len && !str_eq_nocase(mode, STR("MODE_UNSPECIFIED")))
        gemini_reader_fail(reader, &(struct gemini_path){&place, "mode", 0},
                           "must be AUTO, ANY, NONE or VALIDATED");
    read_allowed(reader, &place, calling);
    gemini_note_others(reader, &outer, config, known);
    gemini_note_others(reader, &place, calling, known_inside);
}

/* ---- generationConfig ------------------------------------------------------------------------ */

static void take_stop(struct gemini_reader *reader, const struct gemini_path *place,
                      yyjson_val *element, void *user)
{
    if (!yyjson_is_str(element))
        gemini_reader_fail(reader, place, "must be a string");
    else
        *VEC_PUSH(reader->arena, reader->request->stops, reader->request->stop_count,
                  *(size_t *)user) = json_str(element);
}

static void read_format(struct gemini_reader *reader, const struct gemini_path *place,
                        yyjson_val *config)
{
    struct llm_request *request = reader->request;
    struct str mime = gemini_read_str(reader, place, config, "responseMimeType");
    yyjson_val *json_schema = gemini_read_obj(reader, place, config, "responseJsonSchema");
    yyjson_val *schema = gemini_read_obj(reader, place, config, "responseSchema");
    if (str_eq(mime, STR("application/json")))
        request->format = LLM_FORMAT_JSON;
    else if (str_eq(mime, STR("text/plain")))
        request->format = LLM_FORMAT_TEXT;
    else if (mime.len)
        gemini_note_unmapped(reader, &(struct gemini_path){place, "responseMimeType", 0});
    if (!json_schema && !schema)
        return;
    request->format = LLM_FORMAT_SCHEMA;
    request->format_schema = json_schema ? json_text(reader->arena, json_schema)
                                         : gemini_schema_text(reader->arena, schema);
}

static void read_thinking(struct gemini_reader *reader, const struct gemini_path *up,
                          yyjson_val *config)
{
    static const char *const known[] = {"includeThoughts", "thinkingLevel", "thinkingBudget", NULL};
    const struct gemini_path place = {up, "thinkingConfig", 0};
    yyjson_val *thinking = gemini_read_obj(reader, up, config, "thinkingConfig");
    struct str level = gemini_read_str(reader, &place, thinking, "thinkingLevel");
    struct llm_int budget = gemini_read_int(reader, &place, thinking, "thinkingBudget");
    enum llm_effort *effort = &reader->request->effort;
    if (level.len)
        *effort = gemini_effort_of_level(level);
    else if (budget.is_set)
        *effort = gemini_effort_of_budget(budget.value);
    if (level.len && *effort == LLM_EFFORT_UNSET)
        gemini_note_unmapped(reader, &(struct gemini_path){&place, "thinkingLevel", 0});
    gemini_note_others(reader, &place, thinking, known);
}

static void read_config(struct gemini_reader *reader, yyjson_val *root)
{
    static const char *const known[] = {"temperature",
                                        "topP",
                                        "topK",
                                        "seed",
                                        "stopSequences",
                                        "maxOutputTokens",
                                        "responseSchema",
                                        "thinkingConfig",
                                        "responseJsonSchema",
                                        "candidateCount",
                                        "presencePenalty",
                                        "frequencyPenalty",
                                        "responseMimeType",
                                        NULL};
    const struct gemini_path place = {NULL, "generationConfig", 0};
    struct llm_request *request = reader->request;
    yyjson_val *config = gemini_read_obj(reader, NULL, root, "generationConfig");
    size_t stop_capacity = 0;
    request->temperature = gemini_read_amount(reader, &place, config, "temperature");
    request->top_p = gemini_read_amount(reader, &place, config, "topP");
    request->top_k = gemini_read_int(reader, &place, config, "topK");
    request->seed = gemini_read_int(reader, &place, config, "seed");
    request->max_output_tokens = gemini_read_count(reader, &place, config, "maxOutputTokens");
    request->presence_penalty = gemini_read_double(reader, &place, config, "presencePenalty");
    request->frequency_penalty = gemini_read_double(reader, &place, config, "frequencyPenalty");
    gemini_read_each(reader, &place, config, "stopSequences", take_stop, &stop_capacity);
    read_format(reader, &place, config);
    read_thinking(reader, &place, config);
    struct llm_int candidates = gemini_read_int(reader, &place, config, "candidateCount");
    if (candidates.is_set && candidates.value != 1)
        gemini_note_unmapped(reader, &(struct gemini_path){&place, "candidateCount", 0});
    gemini_note_others(reader, &place, config, known);
}

/* ---- All of it ------------------------------------------------------------------------------- */

enum err gemini_decode_request(struct arena *arena, yyjson_val *root,
                               struct llm_request *ret_request, struct error *error)
{
    static const char *const known[] = {"contents",   "systemInstruction", "tools",
                                        "toolConfig", "generationConfig",  NULL};
    struct llm_request request = {0};
    struct gemini_reader reader = {.arena = arena, .request = &request, .error = error};
    struct tool_list tools = {0};
    if (!yyjson_is_obj(root))
        return error_set(error, ERR_INVALID, NULL, "the body must be a JSON object");
    if (!gemini_get(root, "contents"))
        gemini_reader_fail(&reader, &(struct gemini_path){NULL, "contents", 0}, "is missing");
    read_system(&reader, root);
    gemini_read_each(&reader, NULL, root, "contents", take_content, NULL);
    gemini_read_each(&reader, NULL, root, "tools", take_tool, &tools);
    read_tool_choice(&reader, root);
    read_config(&reader, root);
    gemini_note_others(&reader, NULL, root, known);
    if (!gemini_reader_ok(&reader))
        return reader.err;
    name_calls(&reader);
    *ret_request = request;
    return ERR_OK;
}
