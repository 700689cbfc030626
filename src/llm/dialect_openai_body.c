/* Bodies of requests, what OpenAI's two dialects do alike: at our door, and on the way out. What
 * the APIs nest or name differently is in their own files. */
#include <stddef.h>

#include "base/vec.h"
#include "llm/dialect_openai.h"

/* ---- Written --------------------------------------------------------------------------------- */

enum err openai_put_body(struct openai_encoder *e, struct buf *out,
                         void (*put_members)(struct openai_encoder *e), struct error *error)
{
    json_writer_init(&e->w, out);
    e->names = NULL;
    json_begin_object(&e->w);
    json_key_str(&e->w, "model", e->target->model);
    put_members(e);
    json_end_object(&e->w);
    map_free(e->names);
    return buf_ok(out) ? ERR_OK
                       : error_set(error, ERR_TOO_BIG, NULL, "the request is too large to send");
}

bool openai_has_quirk(const struct openai_encoder *e, unsigned quirks)
{
    return (e->target->quirks & quirks) != 0;
}

void openai_lose(struct openai_encoder *e, enum llm_field field)
{
    llm_losses_add(e->losses, field, -1, -1);
}

void openai_lose_part(struct openai_encoder *e, enum llm_field field, int message, int part)
{
    llm_losses_add(e->losses, field, message, part);
}

struct str openai_some(struct str text)
{
    return text.data ? text : STR("");
}

void openai_put_text_part(struct openai_encoder *e, const char *type, const char *key,
                          struct str text)
{
    json_begin_object(&e->w);
    json_key_str(&e->w, "type", str_from_cstr(type));
    json_key_str(&e->w, key, openai_some(text));
    json_end_object(&e->w);
}

void openai_note_calls(struct openai_encoder *e, const struct llm_message *message)
{
    for (size_t p = 0; p < message->part_count; p++)
        llm_call_names_note(&e->names, &message->parts[p]);
}

void openai_note_result(struct openai_encoder *e, const struct llm_part *result, int message,
                        int part)
{
    if (!str_eq(result->name, llm_call_names_find(e->names, result->call_id)))
        openai_lose_part(e, LLM_FIELD_PART_NAME, message, part);
    if (result->is_error)
        openai_lose_part(e, LLM_FIELD_PART_IS_ERROR, message, part);
}

void openai_put_tools(struct openai_encoder *e,
                      void (*put_tool)(struct openai_encoder *e, const struct llm_tool *tool,
                                       int index),
                      void (*put_choice)(struct openai_encoder *e))
{
    const struct llm_request *request = e->request;
    if (request->tool_count == 0) {
        llm_lose_tool_choice(e->losses, request);
        return;
    }
    json_key_array(&e->w, "tools");
    for (size_t i = 0; i < request->tool_count; i++)
        put_tool(e, &request->tools[i], (int)i);
    json_end_array(&e->w);
    if (request->tool_choice != LLM_TOOL_CHOICE_UNSET)
        put_choice(e);
    openai_key_tristate(&e->w, "parallel_tool_calls", request->parallel_tool_calls);
}

const char *openai_choice_word(enum llm_tool_choice choice)
{
    static const char *const words[LLM_TOOL_CHOICE_NAMED + 1] = {
        [LLM_TOOL_CHOICE_AUTO] = "auto",
        [LLM_TOOL_CHOICE_NONE] = "none",
        [LLM_TOOL_CHOICE_REQUIRED] = "required",
    };
    return words[choice];
}

void openai_put_schema(struct openai_encoder *e)
{
    const struct llm_request *request = e->request;
    json_key_str(&e->w, "name", request->format_name.len ? request->format_name : STR("answer"));
    if (!request->format_name.len)
        openai_lose(e, LLM_FIELD_FORMAT_NAME);
    if (request->format_description.len)
        json_key_str(&e->w, "description", request->format_description);
    if (request->format_schema.len)
        json_key_raw(&e->w, "schema", request->format_schema);
    openai_key_tristate(&e->w, "strict", request->format_strict);
}

/* ---- Read ------------------------------------------------------------------------------------ */

enum err openai_read_body(struct llm_reader *reader, yyjson_val *root,
                          const struct llm_member *members, size_t count, struct openai_body *body)
{
    enum err code = llm_read_object(reader, root, members, count, body);
    if (code || body->request.model.len || json_get(root, "models"))
        return code; /* a list of models to try is for the door to read */
    return llm_reader_fail_member(reader, "model", "must be a string");
}

void openai_body_done(struct openai_body *body, struct llm_request *ret_request)
{
    body->request.messages = body->messages.items;
    body->request.message_count = body->messages.count;
    if (!body->request.user.len)
        body->request.user = body->legacy_user;
    llm_request_name_results(&body->request);
    *ret_request = body->request;
}

enum err openai_read_part(struct llm_reader *reader, yyjson_val *value, struct openai_parts *parts,
                          const struct openai_part_type *types, size_t count)
{
    if (!yyjson_is_obj(value))
        return llm_reader_fail(reader, "must be an object");
    struct str type = json_get_str(value, "type");
    if (!type.data)
        return llm_reader_fail_member(reader, "type", "must be a string");
    for (size_t i = 0; i < count; i++)
        if (str_eq(type, str_from_cstr(types[i].type)))
            return types[i].read(reader, value, parts);
    llm_reader_unmapped(reader);
    return ERR_OK;
}

enum err openai_read_text_part(struct llm_reader *reader, yyjson_val *value,
                               struct openai_parts *parts, enum llm_part_kind kind,
                               const struct llm_member *members, size_t count, const char *key)
{
    struct llm_part *part = openai_part_add(reader, parts, kind);
    enum err code = llm_read_object(reader, value, members, count, part);
    if (code || part->text.data)
        return code;
    return llm_reader_fail_member(reader, key, "must be a string");
}

enum err openai_read_refusal_part(struct llm_reader *reader, yyjson_val *value,
                                  struct openai_parts *parts)
{
    static const struct llm_member members[] = {
        {"type", NULL, 0}, {"refusal", llm_read_str, offsetof(struct llm_part, text)}};
    return openai_read_text_part(reader, value, parts, LLM_PART_REFUSAL, members, 2, "refusal");
}

enum err openai_read_file_data(struct llm_reader *reader, yyjson_val *value, void *field)
{
    struct str url;
    enum err code = llm_read_str(reader, value, &url);
    return code ? code : openai_read_data_url(reader, url, field);
}

bool openai_is_function(struct llm_reader *reader, yyjson_val *value)
{
    struct str type = json_get_str(value, "type");
    if (!type.data || str_eq(type, STR("function")))
        return true;
    llm_reader_unmapped(reader);
    return false;
}

struct llm_tool *openai_tool_add(struct llm_reader *reader, struct openai_body *body)
{
    struct llm_request *request = &body->request;
    return VEC_PUSH(reader->arena, request->tools, request->tool_count, body->tool_capacity);
}

enum err openai_read_tool_choice(struct llm_reader *reader, yyjson_val *value,
                                 struct llm_request *request, bool is_nested)
{
    if (yyjson_is_str(value))
        return openai_read_choice_word(reader, json_str(value), request);
    if (!yyjson_is_obj(value))
        return llm_reader_fail(reader, "must be auto, none, required or an object");
    if (!str_eq(json_get_str(value, "type"), STR("function"))) {
        llm_reader_unmapped(reader);
        return ERR_OK;
    }
    struct str name = json_get_str(is_nested ? json_get(value, "function") : value, "name");
    if (!name.data)
        return llm_reader_fail_member(reader, is_nested ? "function.name" : "name",
                                      "must be a string");
    request->tool_choice = LLM_TOOL_CHOICE_NAMED;
    request->tool_choice_name = name;
    return ERR_OK;
}
