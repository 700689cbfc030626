/* OpenAI Responses: body to canonical request. Strict, it is our door. Items of the assistant that
 * stand together are one message; so are the outputs of functions. `store`, `include` and
 * previous_response_id, conversation and background are known here and read by the door, whose business they are. */
#include <stddef.h>
#include <string.h>

#include "base/vec.h"
#include "llm/dialect_openai_responses.h"

struct body {
    struct openai_body common; /* first */
    size_t tail_capacity;      /* of the last message's parts */
    struct str instructions;
};

#define AT(member)      offsetof(struct body, member)
#define REQUEST(member) offsetof(struct body, common.request.member)
#define MEDIA(member)   offsetof(struct llm_media, member)

/* ---- Content parts --------------------------------------------------------------------------- */

static enum err read_text_part(struct llm_reader *reader, yyjson_val *value,
                               struct openai_parts *parts)
{
    static const struct llm_member members[] = {
        {"type", NULL, 0},
        {"text", llm_read_str, offsetof(struct llm_part, text)},
        {"annotations", NULL, 0}, /* sent back from an answer */
        {"logprobs", NULL, 0},
    };
    return openai_read_text_part(reader, value, parts, LLM_PART_TEXT, members,
                                 sizeof members / sizeof members[0], "text");
}

static enum err read_image_part(struct llm_reader *reader, yyjson_val *value,
                                struct openai_parts *parts)
{
    static const struct llm_member members[] = {
        {"type", NULL, 0},
        {"image_url", openai_read_image_url, 0},
        {"file_id", llm_read_str, MEDIA(file_id)},
        {"detail", llm_read_str, MEDIA(detail)},
    };
    struct llm_media *media = &openai_part_add(reader, parts, LLM_PART_IMAGE)->media;
    enum err code = LLM_READ_OBJECT(reader, value, members, media);
    bool has_url = media->url.len || media->data.len;
    if (code || has_url != (media->file_id.len > 0))
        return code;
    return llm_reader_fail(reader, "must have either image_url or file_id");
}

static enum err read_file_part(struct llm_reader *reader, yyjson_val *value,
                               struct openai_parts *parts)
{
    static const struct llm_member members[] = {
        {"type", NULL, 0},
        {"file_id", llm_read_str, MEDIA(file_id)},
        {"file_url", llm_read_str, MEDIA(url)},
        {"file_data", openai_read_file_data, 0},
        {"filename", llm_read_str, MEDIA(filename)},
    };
    struct llm_media *media = &openai_part_add(reader, parts, LLM_PART_DOCUMENT)->media;
    enum err code = LLM_READ_OBJECT(reader, value, members, media);
    int sources = (media->file_id.len > 0) + (media->url.len > 0) + (media->data.len > 0);
    if (code || sources == 1)
        return code;
    return llm_reader_fail(reader, "must have one of file_id, file_url and file_data");
}

static enum err read_part(struct llm_reader *reader, yyjson_val *value, void *target)
{
    static const struct openai_part_type types[] = {
        {"input_text", read_text_part},   {"output_text", read_text_part},
        {"text", read_text_part},         {"refusal", openai_read_refusal_part},
        {"input_image", read_image_part}, {"input_file", read_file_part},
    };
    return openai_read_part(reader, value, target, types, sizeof types / sizeof types[0]);
}

/* A string, or a list of parts. */
static enum err read_parts(struct llm_reader *reader, yyjson_val *value, void *target)
{
    if (yyjson_is_str(value)) {
        openai_part_add(reader, target, LLM_PART_TEXT)->text = json_str(value);
        return ERR_OK;
    }
    if (!yyjson_is_arr(value))
        return llm_reader_fail(reader, "must be a string or an array of parts");
    return llm_read_array(reader, value, read_part, target);
}

/* ---- Items ----------------------------------------------------------------------------------- */

struct message_item {
    struct str role;
    struct openai_parts parts;
};

static enum err read_message_item(struct llm_reader *reader, yyjson_val *value, struct body *body)
{
    static const struct llm_member members[] = {
        {"type", NULL, 0},
        {"id", NULL, 0},
        {"status", NULL, 0},
        {"role", llm_read_str, offsetof(struct message_item, role)},
        {"content", read_parts, offsetof(struct message_item, parts)},
    };
    struct message_item item = {0};
    enum err code = LLM_READ_OBJECT(reader, value, members, &item);
    if (code)
        return code;
    if (!json_get(value, "content"))
        return llm_reader_fail_member(reader, "content", "must be a string or an array of parts");
    if (str_eq(item.role, STR("assistant"))) {
        for (size_t i = 0; i < item.parts.count; i++)
            *openai_tail_part(reader, &body->common.messages, LLM_ASSISTANT, LLM_PART_TEXT,
                              &body->tail_capacity) = item.parts.items[i];
        return ERR_OK;
    }
    bool is_user = str_eq(item.role, STR("user"));
    if (!is_user && !str_eq(item.role, STR("system")) && !str_eq(item.role, STR("developer")))
        return llm_reader_fail_member(reader, "role",
                                      "must be user, assistant, system or developer");
    openai_message_add(reader, &body->common.messages, is_user ? LLM_USER : LLM_SYSTEM, STR_NONE,
                       &item.parts);
    return ERR_OK;
}

static enum err read_call_item(struct llm_reader *reader, yyjson_val *value, struct body *body)
{
    static const struct llm_member members[] = {
        {"type", NULL, 0},
        {"id", NULL, 0},
        {"status", NULL, 0},
        {"call_id", llm_read_str, offsetof(struct llm_part, call_id)},
        {"name", llm_read_str, offsetof(struct llm_part, name)},
        {"arguments", llm_read_str, offsetof(struct llm_part, arguments)},
    };
    struct llm_part *part = openai_tail_part(reader, &body->common.messages, LLM_ASSISTANT,
                                             LLM_PART_TOOL_CALL, &body->tail_capacity);
    enum err code = LLM_READ_OBJECT(reader, value, members, part);
    if (code)
        return code;
    if (!part->call_id.data)
        return llm_reader_fail_member(reader, "call_id", "must be a string");
    return part->name.data ? ERR_OK : llm_reader_fail_member(reader, "name", "must be a string");
}

struct output_item {
    struct str call_id;
    struct openai_parts parts;
};

static enum err read_output_item(struct llm_reader *reader, yyjson_val *value, struct body *body)
{
    static const struct llm_member members[] = {
        {"type", NULL, 0},
        {"id", NULL, 0},
        {"status", NULL, 0},
        {"call_id", llm_read_str, offsetof(struct output_item, call_id)},
        {"output", read_parts, offsetof(struct output_item, parts)},
    };
    struct output_item item = {0};
    enum err code = LLM_READ_OBJECT(reader, value, members, &item);
    if (code)
        return code;
    if (!item.call_id.data)
        return llm_reader_fail_member(reader, "call_id", "must be a string");
    struct llm_part *result = openai_tail_part(reader, &body->common.messages, LLM_TOOL,
                                               LLM_PART_TOOL_RESULT, &body->tail_capacity);
    result->call_id = item.call_id;
    result->content = item.parts.items;
    result->content_count = item.parts.count;
    return ERR_OK;
}

struct reasoning_item {
    struct openai_parts summary, content;
    struct str encrypted;
};

static enum err read_reasoning_text(struct llm_reader *reader, yyjson_val *value, void *target)
{
    struct str text = json_get_str(value, "text");
    if (!text.data)
        return llm_reader_fail_member(reader, "text", "must be a string");
    openai_part_add(reader, target, LLM_PART_TEXT)->text = text;
    return ERR_OK;
}

static enum err read_reasoning_texts(struct llm_reader *reader, yyjson_val *value, void *target)
{
    return llm_read_array(reader, value, read_reasoning_text, target);
}

/* The texts of a summary with an empty line between. */
static struct str join_texts(struct arena *arena, const struct openai_parts *parts)
{
    size_t length = 0;
    for (size_t i = 0; i < parts->count; i++)
        length += parts->items[i].text.len + 2;
    char *joined = arena_alloc(arena, length);
    size_t at = 0;
    for (size_t i = 0; i < parts->count; i++) {
        struct str text = parts->items[i].text;
        if (i)
            joined[at++] = '\n';
        if (i)
            joined[at++] = '\n';
        memcpy(joined + at, text.data, text.len);
        at += text.len;
    }
    return STR_FROM(joined, at);
}

static enum err read_reasoning_item(struct llm_reader *reader, yyjson_val *value, struct body *body)
{
    static const struct llm_member members[] = {
        {"type", NULL, 0},
        {"id", NULL, 0},
        {"status", NULL, 0},
        {"summary", read_reasoning_texts, offsetof(struct reasoning_item, summary)},
        {"content", read_reasoning_texts, offsetof(struct reasoning_item, content)},
        {"encrypted_content", llm_read_str, offsetof(struct reasoning_item, encrypted)},
    };
    struct reasoning_item item = {0};
    enum err code = LLM_READ_OBJECT(reader, value, members, &item);
    if (code)
        return code;
    struct llm_part *part = openai_tail_part(reader, &body->common.messages, LLM_ASSISTANT,
                                             LLM_PART_REASONING, &body->tail_capacity);
    part->text = join_texts(reader->arena, item.summary.count ? &item.summary : &item.content);
    if (!item.encrypted.len)
        return ERR_OK;
    part->opaque = ARENA_NEW(reader->arena, struct llm_opaque);
    part->opaque_count = 1;
    *part->opaque = (struct llm_opaque){
        .dialect = RESPONSES_NAME, .kind = RESPONSES_ENCRYPTED, .data = item.encrypted};
    return ERR_OK;
}

static enum err read_item(struct llm_reader *reader, yyjson_val *value, void *target)
{
    static const struct {
        const char *type;
        enum err (*read)(struct llm_reader *reader, yyjson_val *value, struct body *body);
    } types[] = {
        {"message", read_message_item},
        {"function_call", read_call_item},
        {"function_call_output", read_output_item},
        {"reasoning", read_reasoning_item},
    };
    if (!yyjson_is_obj(value))
        return llm_reader_fail(reader, "must be an object");
    yyjson_val *type = json_get(value, "type");
    if (!type || yyjson_is_null(type))
        return read_message_item(reader, value, target);
    if (!yyjson_is_str(type))
        return llm_reader_fail_member(reader, "type", "must be a string");
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (str_eq(json_str(type), str_from_cstr(types[i].type)))
            return types[i].read(reader, value, target);
    llm_reader_unmapped(reader);
    return ERR_OK;
}

static enum err read_input(struct llm_reader *reader, yyjson_val *value, void *target)
{
    struct body *body = target;
    struct openai_parts parts = {0};
    if (yyjson_is_arr(value))
        return llm_read_array(reader, value, read_item, target);
    if (!yyjson_is_str(value))
        return llm_reader_fail(reader, "must be a string or an array of items");
    openai_part_add(reader, &parts, LLM_PART_TEXT)->text = json_str(value);
    openai_message_add(reader, &body->common.messages, LLM_USER, STR_NONE, &parts);
    return ERR_OK;
}

/* ---- Tools ----------------------------------------------------------------------------------- */

static enum err read_tool(struct llm_reader *reader, yyjson_val *value, void *target)
{
    static const struct llm_member members[] = {
        {"type", NULL, 0},
        {"name", llm_read_str, offsetof(struct llm_tool, name)},
        {"description", llm_read_str, offsetof(struct llm_tool, description)},
        {"parameters", llm_read_json, offsetof(struct llm_tool, schema)},
        {"strict", llm_read_tristate, offsetof(struct llm_tool, strict)},
    };
    if (!openai_is_function(reader, value))
        return ERR_OK;
    struct llm_tool *tool = openai_tool_add(reader, target);
    enum err code = LLM_READ_OBJECT(reader, value, members, tool);
    if (code || tool->name.data)
        return code;
    return llm_reader_fail_member(reader, "name", "must be a string");
}

static enum err read_tools(struct llm_reader *reader, yyjson_val *value, void *target)
{
    return llm_read_array(reader, value, read_tool, target);
}

static enum err read_tool_choice(struct llm_reader *reader, yyjson_val *value, void *target)
{
    return openai_read_tool_choice(reader, value, target, false);
}

/* ---- Parameters ------------------------------------------------------------------------------ */

static enum err read_format(struct llm_reader *reader, yyjson_val *value, void *target)
{
    static const struct llm_member members[] = {
        {"type", openai_read_format_type, 0},
        OPENAI_SCHEMA_MEMBERS,
    };
    struct llm_request *request = target;
    enum err code = LLM_READ_OBJECT(reader, value, members, target);
    if (code)
        return code;
    if (request->format == LLM_FORMAT_UNSET)
        return llm_reader_fail_member(reader, "type", "must be text, json_object or json_schema");
    if (request->format == LLM_FORMAT_SCHEMA && !request->format_schema.len)
        return llm_reader_fail_member(reader, "schema", "must be an object");
    return ERR_OK;
}

static enum err read_text_options(struct llm_reader *reader, yyjson_val *value, void *target)
{
    static const struct llm_member members[] = {{"format", read_format, 0}};
    return LLM_READ_OBJECT(reader, value, members, target);
}

static enum err read_reasoning_options(struct llm_reader *reader, yyjson_val *value, void *target)
{
    static const struct llm_member members[] = {
        {"effort", openai_read_effort, offsetof(struct llm_request, effort)}};
    return LLM_READ_OBJECT(reader, value, members, target);
}

static const struct llm_member body_members[] = {
    {"model", llm_read_str, REQUEST(model)},
    {"input", read_input, 0},
    {"instructions", llm_read_str, AT(instructions)},
    {"tools", read_tools, 0},
    {"tool_choice", read_tool_choice, 0},
    {"parallel_tool_calls", llm_read_tristate, REQUEST(parallel_tool_calls)},
    {"text", read_text_options, 0},
    {"reasoning", read_reasoning_options, 0},
    {"max_output_tokens", llm_read_positive, REQUEST(max_output_tokens)},
    {"temperature", llm_read_amount, REQUEST(temperature)},
    {"top_p", llm_read_amount, REQUEST(top_p)},
    {"safety_identifier", llm_read_str, REQUEST(user)},
    {"user", llm_read_str, AT(common.legacy_user)},
    {"stream", llm_read_bool, REQUEST(stream)},
    {"stream_options", NULL, 0}, /* nothing but obfuscation */
    {"store", NULL, 0},
    {"include", NULL, 0},
    {"previous_response_id", NULL, 0},
    {"conversation", NULL, 0},
    {"background", NULL, 0},
};

/* instructions stand in front of everything. */
static void put_instructions(struct llm_reader *reader, struct body *body)
{
    struct openai_messages all = {0};
    struct openai_parts parts = {0};
    if (!body->instructions.data)
        return;
    openai_part_add(reader, &parts, LLM_PART_TEXT)->text = body->instructions;
    openai_message_add(reader, &all, LLM_SYSTEM, STR_NONE, &parts);
    for (size_t i = 0; i < body->common.messages.count; i++)
        *VEC_PUSH(reader->arena, all.items, all.count, all.capacity) =
            body->common.messages.items[i];
    body->common.messages = all;
}

enum err openai_responses_decode_request(struct arena *arena, yyjson_val *root,
                                         struct llm_request *ret_request, struct error *error)
{
    struct body body = {0};
    struct llm_reader reader;
    llm_reader_init(&reader, arena, &body.common.request, error);
    enum err code = openai_read_body(&reader, root, body_members,
                                     sizeof body_members / sizeof body_members[0], &body.common);
    if (code)
        return code;
    put_instructions(&reader, &body);
    openai_body_done(&body.common, ret_request);
    return ERR_OK;
}
