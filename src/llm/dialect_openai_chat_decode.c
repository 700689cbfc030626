/* OpenAI Chat Completions: body to canonical request. Strict, it is our door: a wrong type is an
 * error that names its place. */
#include <stddef.h>

#include "base/vec.h"
#include "llm/dialect_openai_chat.h"

/* What is being read; the request's growing arrays beside it. */
struct body {
    struct openai_body common; /* first: members' offsets are those of the request */
    size_t result_capacity;    /* of the tool message at the end */
    size_t stop_capacity;
    struct llm_int legacy_max_tokens;
    struct llm_int legacy_seed;
};

#define AT(member)      offsetof(struct body, member)
#define REQUEST(member) offsetof(struct body, common.request.member)

/* ---- Content --------------------------------------------------------------------------------- */

static enum err read_text_part(struct llm_reader *reader, yyjson_val *value,
                               struct openai_parts *parts)
{
    static const struct llm_member members[] = {
        {"type", NULL, 0}, {"text", llm_read_str, offsetof(struct llm_part, text)}};
    return openai_read_text_part(reader, value, parts, LLM_PART_TEXT, members, 2, "text");
}

static enum err read_image_url_object(struct llm_reader *reader, yyjson_val *value, void *field)
{
    static const struct llm_member members[] = {
        {"url", openai_read_image_url, 0},
        {"detail", llm_read_str, offsetof(struct llm_media, detail)},
    };
    enum err code = LLM_READ_OBJECT(reader, value, members, field);
    const struct llm_media *media = field;
    if (code || media->url.len || media->data.len)
        return code;
    return llm_reader_fail_member(reader, "url", "must be a string");
}

static enum err read_image_part(struct llm_reader *reader, yyjson_val *value,
                                struct openai_parts *parts)
{
    static const struct llm_member members[] = {{"type", NULL, 0},
                                                {"image_url", read_image_url_object, 0}};
    struct llm_part *part = openai_part_add(reader, parts, LLM_PART_IMAGE);
    if (!json_get(value, "image_url"))
        return llm_reader_fail_member(reader, "image_url", "must be an object");
    return LLM_READ_OBJECT(reader, value, members, &part->media);
}

static enum err read_audio_format(struct llm_reader *reader, yyjson_val *value, void *field)
{
    struct str format;
    enum err code = llm_read_str(reader, value, &format);
    if (code)
        return code;
    if (!str_eq(format, STR("wav")) && !str_eq(format, STR("mp3")))
        return llm_reader_fail(reader, "must be wav or mp3");
    *(struct str *)field = str_eq(format, STR("wav")) ? STR("audio/wav") : STR("audio/mpeg");
    return ERR_OK;
}

static enum err read_audio_object(struct llm_reader *reader, yyjson_val *value, void *field)
{
    static const struct llm_member members[] = {
        {"data", llm_read_str, offsetof(struct llm_media, data)},
        {"format", read_audio_format, offsetof(struct llm_media, mime)},
    };
    enum err code = LLM_READ_OBJECT(reader, value, members, field);
    const struct llm_media *media = field;
    if (code)
        return code;
    if (!media->data.len)
        return llm_reader_fail_member(reader, "data", "must be base64 data");
    return media->mime.len ? ERR_OK
                           : llm_reader_fail_member(reader, "format", "must be wav or mp3");
}

static enum err read_audio_part(struct llm_reader *reader, yyjson_val *value,
                                struct openai_parts *parts)
{
    static const struct llm_member members[] = {{"type", NULL, 0},
                                                {"input_audio", read_audio_object, 0}};
    struct llm_part *part = openai_part_add(reader, parts, LLM_PART_AUDIO);
    if (!json_get(value, "input_audio"))
        return llm_reader_fail_member(reader, "input_audio", "must be an object");
    return LLM_READ_OBJECT(reader, value, members, &part->media);
}

static enum err read_file_object(struct llm_reader *reader, yyjson_val *value, void *field)
{
    static const struct llm_member members[] = {
        {"file_id", llm_read_str, offsetof(struct llm_media, file_id)},
        {"file_data", openai_read_file_data, 0},
        {"filename", llm_read_str, offsetof(struct llm_media, filename)},
    };
    enum err code = LLM_READ_OBJECT(reader, value, members, field);
    const struct llm_media *media = field;
    if (code || !media->file_id.len != !media->data.len)
        return code;
    return llm_reader_fail(reader, "must have either file_id or file_data");
}

static enum err read_file_part(struct llm_reader *reader, yyjson_val *value,
                               struct openai_parts *parts)
{
    static const struct llm_member members[] = {{"type", NULL, 0}, {"file", read_file_object, 0}};
    struct llm_part *part = openai_part_add(reader, parts, LLM_PART_DOCUMENT);
    if (!json_get(value, "file"))
        return llm_reader_fail_member(reader, "file", "must be an object");
    return LLM_READ_OBJECT(reader, value, members, &part->media);
}

static enum err read_part(struct llm_reader *reader, yyjson_val *value, void *target)
{
    static const struct openai_part_type types[] = {
        {"text", read_text_part},
        {"image_url", read_image_part},
        {"input_audio", read_audio_part},
        {"file", read_file_part},
        {"refusal", openai_read_refusal_part},
    };
    return openai_read_part(reader, value, target, types, sizeof types / sizeof types[0]);
}

static enum err read_content(struct llm_reader *reader, yyjson_val *value,
                             struct openai_parts *parts)
{
    if (!value || yyjson_is_null(value))
        return ERR_OK;
    size_t mark = llm_reader_enter(reader, "content");
    enum err code = ERR_OK;
    if (yyjson_is_str(value))
        openai_part_add(reader, parts, LLM_PART_TEXT)->text = json_str(value);
    else if (yyjson_is_arr(value))
        code = llm_read_array(reader, value, read_part, parts);
    else
        code = llm_reader_fail(reader, "must be a string or an array of parts");
    if (!code)
        llm_reader_leave(reader, mark);
    return code;
}

/* ---- Tool calls ------------------------------------------------------------------------------ */

static enum err read_call_function(struct llm_reader *reader, yyjson_val *value, void *field)
{
    static const struct llm_member members[] = {
        {"name", llm_read_str, offsetof(struct llm_part, name)},
        {"arguments", llm_read_str, offsetof(struct llm_part, arguments)},
    };
    enum err code = LLM_READ_OBJECT(reader, value, members, field);
    if (code || ((struct llm_part *)field)->name.data)
        return code;
    return llm_reader_fail_member(reader, "name", "must be a string");
}

static enum err read_call(struct llm_reader *reader, yyjson_val *value, void *target)
{
    static const struct llm_member members[] = {
        {"id", llm_read_str, offsetof(struct llm_part, call_id)},
        {"type", NULL, 0},
        {"index", NULL, 0}, /* some clients send back what they streamed */
        {"function", read_call_function, 0},
    };
    if (!openai_is_function(reader, value))
        return ERR_OK;
    struct llm_part *part = openai_part_add(reader, target, LLM_PART_TOOL_CALL);
    enum err code = LLM_READ_OBJECT(reader, value, members, part);
    if (code)
        return code;
    if (!part->call_id.data)
        return llm_reader_fail_member(reader, "id", "must be a string");
    return part->name.data ? ERR_OK
                           : llm_reader_fail_member(reader, "function", "must be an object");
}

/* ---- Messages -------------------------------------------------------------------------------- */

/* The members of a message, to be read in the order of the canonical parts. */
struct message_members {
    struct str role, name, reasoning_content, reasoning, refusal, tool_call_id;
    yyjson_val *content, *tool_calls;
};

static enum err read_tool_message(struct llm_reader *reader, struct body *body,
                                  const struct message_members *members)
{
    struct openai_parts parts = {0};
    if (!members->tool_call_id.data)
        return llm_reader_fail_member(reader, "tool_call_id", "must be a string");
    enum err code = read_content(reader, members->content, &parts);
    if (code)
        return code;
    struct llm_part *result = openai_tail_part(reader, &body->common.messages, LLM_TOOL,
                                               LLM_PART_TOOL_RESULT, &body->result_capacity);
    result->call_id = members->tool_call_id;
    result->name = members->name;
    result->content = parts.items;
    result->content_count = parts.count;
    return ERR_OK;
}

static enum err read_assistant_message(struct llm_reader *reader, struct body *body,
                                       const struct message_members *members)
{
    struct openai_parts parts = {0};
    struct str reasoning =
        members->reasoning_content.len ? members->reasoning_content : members->reasoning;
    if (reasoning.len)
        openai_part_add(reader, &parts, LLM_PART_REASONING)->text = reasoning;
    enum err code = read_content(reader, members->content, &parts);
    if (code)
        return code;
    if (members->refusal.len)
        openai_part_add(reader, &parts, LLM_PART_REFUSAL)->text = members->refusal;
    if (members->tool_calls) {
        size_t mark = llm_reader_enter(reader, "tool_calls");
        code = llm_read_array(reader, members->tool_calls, read_call, &parts);
        if (code)
            return code;
        llm_reader_leave(reader, mark);
    }
    openai_message_add(reader, &body->common.messages, LLM_ASSISTANT, members->name, &parts);
    return ERR_OK;
}

static enum err read_plain_message(struct llm_reader *reader, struct body *body, enum llm_role role,
                                   const struct message_members *members)
{
    struct openai_parts parts = {0};
    if (!members->content)
        return llm_reader_fail_member(reader, "content", "must be a string or an array of parts");
    enum err code = read_content(reader, members->content, &parts);
    if (!code)
        openai_message_add(reader, &body->common.messages, role, members->name, &parts);
    return code;
}

static enum err read_message(struct llm_reader *reader, yyjson_val *value, void *target)
{
#define MEMBER(member) offsetof(struct message_members, member)
    static const struct llm_member table[] = {
        {"role", llm_read_str, MEMBER(role)},
        {"content", llm_read_value, MEMBER(content)},
        {"name", llm_read_str, MEMBER(name)},
        {"refusal", llm_read_str, MEMBER(refusal)},
        {"reasoning_content", llm_read_str, MEMBER(reasoning_content)},
        {"reasoning", llm_read_str, MEMBER(reasoning)},
        {"tool_calls", llm_read_value, MEMBER(tool_calls)},
        {"tool_call_id", llm_read_str, MEMBER(tool_call_id)},
    };
#undef MEMBER
    struct message_members members = {0};
    enum err code = LLM_READ_OBJECT(reader, value, table, &members);
    if (code)
        return code;
    if (str_eq(members.role, STR("user")))
        return read_plain_message(reader, target, LLM_USER, &members);
    if (str_eq(members.role, STR("assistant")))
        return read_assistant_message(reader, target, &members);
    if (str_eq(members.role, STR("tool")))
        return read_tool_message(reader, target, &members);
    if (str_eq(members.role, STR("system")) || str_eq(members.role, STR("developer")))
        return read_plain_message(reader, target, LLM_SYSTEM, &members);
    return llm_reader_fail_member(reader, "role",
                                  "must be system, developer, user, assistant or tool");
}

static enum err read_messages(struct llm_reader *reader, yyjson_val *value, void *target)
{
    struct openai_messages *messages = &((struct body *)target)->common.messages;
    VEC_RESERVE(reader->arena, messages->items, messages->count, messages->capacity,
                yyjson_arr_size(value));
    return llm_read_array(reader, value, read_message, target);
}

/* ---- Tools ----------------------------------------------------------------------------------- */

static enum err read_tool_function(struct llm_reader *reader, yyjson_val *value, void *field)
{
    static const struct llm_member members[] = {
        {"name", llm_read_str, offsetof(struct llm_tool, name)},
        {"description", llm_read_str, offsetof(struct llm_tool, description)},
        {"parameters", llm_read_json, offsetof(struct llm_tool, schema)},
        {"strict", llm_read_tristate, offsetof(struct llm_tool, strict)},
    };
    enum err code = LLM_READ_OBJECT(reader, value, members, field);
    if (code || ((struct llm_tool *)field)->name.data)
        return code;
    return llm_reader_fail_member(reader, "name", "must be a string");
}

static enum err read_tool(struct llm_reader *reader, yyjson_val *value, void *target)
{
    static const struct llm_member members[] = {{"type", NULL, 0},
                                                {"function", read_tool_function, 0}};
    if (!openai_is_function(reader, value))
        return ERR_OK;
    struct llm_tool *tool = openai_tool_add(reader, target);
    enum err code = LLM_READ_OBJECT(reader, value, members, tool);
    if (code || tool->name.data)
        return code;
    return llm_reader_fail_member(reader, "function", "must be an object");
}

static enum err read_tools(struct llm_reader *reader, yyjson_val *value, void *target)
{
    return llm_read_array(reader, value, read_tool, target);
}

static enum err read_tool_choice(struct llm_reader *reader, yyjson_val *value, void *target)
{
    return openai_read_tool_choice(reader, value, target, true);
}

/* ---- Parameters ------------------------------------------------------------------------------ */

static enum err read_json_schema(struct llm_reader *reader, yyjson_val *value, void *target)
{
    static const struct llm_member members[] = {OPENAI_SCHEMA_MEMBERS};
    return LLM_READ_OBJECT(reader, value, members, target);
}

static enum err read_format(struct llm_reader *reader, yyjson_val *value, void *target)
{
    static const struct llm_member members[] = {{"type", openai_read_format_type, 0},
                                                {"json_schema", read_json_schema, 0}};
    struct llm_request *request = target;
    enum err code = LLM_READ_OBJECT(reader, value, members, target);
    if (!code && request->format == LLM_FORMAT_UNSET)
        return llm_reader_fail_member(reader, "type", "must be text, json_object or json_schema");
    if (!code && request->format == LLM_FORMAT_SCHEMA && !json_get(value, "json_schema"))
        return llm_reader_fail_member(reader, "json_schema", "must be an object");
    return code;
}

static enum err read_stop(struct llm_reader *reader, yyjson_val *value, void *target)
{
    struct body *body = target;
    struct llm_request *request = &body->common.request;
    struct str stop;
    enum err code = llm_read_str(reader, value, &stop);
    if (!code)
        *VEC_PUSH(reader->arena, request->stops, request->stop_count, body->stop_capacity) = stop;
    return code;
}

static enum err read_stops(struct llm_reader *reader, yyjson_val *value, void *target)
{
    if (yyjson_is_str(value))
        return read_stop(reader, value, target);
    if (!yyjson_is_arr(value))
        return llm_reader_fail(reader, "must be a string or an array of strings");
    return llm_read_array(reader, value, read_stop, target);
}

static enum err read_stream_options(struct llm_reader *reader, yyjson_val *value, void *target)
{
    static const struct llm_member members[] = {
        {"include_usage", llm_read_bool, offsetof(struct llm_request, stream_usage)},
        {"include_obfuscation", NULL, 0}, /* noise against observers: we never send it */
    };
    return LLM_READ_OBJECT(reader, value, members, target);
}

/* Only one answer is ever made; asking for one is asking for nothing. */
enum { CHOICES_MAX = 128 };

static enum err read_n(struct llm_reader *reader, yyjson_val *value, void *target)
{
    struct llm_int count;
    (void)target;
    enum err code = llm_read_positive(reader, value, &count);
    if (!code && count.value > CHOICES_MAX)
        return llm_reader_fail(reader, "must be 128 at most");
    if (!code && count.value != 1)
        llm_reader_unmapped(reader);
    return code;
}

static const struct llm_member body_members[] = {
    {"model", llm_read_str, REQUEST(model)},
    {"messages", read_messages, 0},
    {"tools", read_tools, 0},
    {"tool_choice", read_tool_choice, 0},
    {"parallel_tool_calls", llm_read_tristate, REQUEST(parallel_tool_calls)},
    {"response_format", read_format, 0},
    {"reasoning_effort", openai_read_effort, REQUEST(effort)},
    {"max_completion_tokens", llm_read_positive, REQUEST(max_output_tokens)},
    {"max_tokens", llm_read_positive, AT(legacy_max_tokens)},
    {"temperature", llm_read_amount, REQUEST(temperature)},
    {"top_p", llm_read_amount, REQUEST(top_p)},
    {"top_k", llm_read_int, REQUEST(top_k)},
    {"frequency_penalty", llm_read_double, REQUEST(frequency_penalty)},
    {"presence_penalty", llm_read_double, REQUEST(presence_penalty)},
    {"seed", llm_read_int, REQUEST(seed)},
    {"random_seed", llm_read_int, AT(legacy_seed)},
    {"stop", read_stops, 0},
    {"safety_identifier", llm_read_str, REQUEST(user)},
    {"user", llm_read_str, AT(common.legacy_user)},
    {"stream", llm_read_bool, REQUEST(stream)},
    {"stream_options", read_stream_options, 0},
    {"n", read_n, 0},
};

static void take_legacy(struct body *body)
{
    struct llm_request *request = &body->common.request;
    if (!request->max_output_tokens.is_set)
        request->max_output_tokens = body->legacy_max_tokens;
    if (!request->seed.is_set)
        request->seed = body->legacy_seed;
}

enum err openai_chat_decode_request(struct arena *arena, yyjson_val *root,
                                    struct llm_request *ret_request, struct error *error)
{
    struct body body = {0};
    struct llm_reader reader;
    llm_reader_init(&reader, arena, &body.common.request, error);
    enum err code = openai_read_body(&reader, root, body_members,
                                     sizeof body_members / sizeof body_members[0], &body.common);
    if (code)
        return code;
    if (!json_get(root, "messages"))
        return llm_reader_fail_member(&reader, "messages", "must be an array");
    take_legacy(&body);
    openai_body_done(&body.common, ret_request);
    return ERR_OK;
}
