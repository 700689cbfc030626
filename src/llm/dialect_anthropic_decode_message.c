/* Anthropic: messages, system prompt and their blocks, as canonical messages; strictly. */
#include "base/crypto.h"
#include "base/vec.h"
#include "llm/dialect_anthropic_decode.h"

/* ---- Messages that grow ---------------------------------------------------------------------- */

static struct llm_part *add_part(struct llm_reader *reader, struct anthropic_parts *parts,
                                 enum llm_part_kind kind)
{
    struct llm_part *part = VEC_PUSH(reader->arena, parts->items, parts->count, parts->capacity);
    part->kind = kind;
    part->origin = kind == LLM_PART_TOOL_RESULT ? LLM_ORIGIN_TOOL : parts->origin;
    return part;
}

/* Makes a message of the parts gathered. */
static void close_message(struct llm_reader *reader, struct anthropic_decoding *decoding,
                          bool even_empty)
{
    struct llm_request *request = &decoding->request;
    if (!decoding->parts.count && !even_empty)
        return;
    *VEC_PUSH(reader->arena, request->messages, request->message_count,
              decoding->message_capacity) =
        (struct llm_message){.role = decoding->role,
                             .parts = decoding->parts.items,
                             .part_count = decoding->parts.count};
    decoding->parts = (struct anthropic_parts){.origin = LLM_ORIGIN_TYPED};
}

/* ---- Blocks ---------------------------------------------------------------------------------- */

/* All members that any block that we carry has. */
struct block {
    struct str type;
    struct str text;
    struct str thinking;
    struct str signature;
    struct str data;
    struct str id;
    struct str tool_use_id;
    struct str name;
    struct str input;
    struct str title;
    bool is_error;
    struct llm_media media; /* from `source` */
    bool is_source_unmapped;
    struct anthropic_parts content; /* of a tool result */
};

struct source {
    struct str type;
    struct str media_type;
    struct str data;
    struct str url;
    struct str file_id;
    yyjson_val *content;
};

static const struct llm_member source_members[] = {
    {"type", llm_read_str, offsetof(struct source, type)},
    {"media_type", llm_read_str, offsetof(struct source, media_type)},
    {"data", llm_read_str, offsetof(struct source, data)},
    {"url", llm_read_str, offsetof(struct source, url)},
    {"file_id", llm_read_str, offsetof(struct source, file_id)},
    {"content", llm_read_value, offsetof(struct source, content)},
};

static struct str text_as_base64(struct arena *arena, struct str text)
{
    char *data = arena_alloc(arena, base64_length(text.len));
    return STR_FROM(data, base64_encode(text, data));
}

static enum err read_source(struct llm_reader *reader, yyjson_val *value, void *target)
{
    struct block *block = target;
    struct source source = {0};
    enum err status = LLM_READ_OBJECT(reader, value, source_members, &source);
    if (status)
        return status;
    if (str_eq(source.type, STR("base64")) || str_eq(source.type, STR("text"))) {
        bool is_text = str_eq(source.type, STR("text"));
        NEED(reader, "data", source.data);
        NEED(reader, "media_type", source.media_type);
        block->media.mime = source.media_type;
        block->media.data = is_text ? text_as_base64(reader->arena, source.data) : source.data;
    } else if (str_eq(source.type, STR("url"))) {
        NEED(reader, "url", source.url);
        block->media.url = source.url;
    } else if (str_eq(source.type, STR("file"))) {
        NEED(reader, "file_id", source.file_id);
        block->media.file_id = source.file_id;
    } else {
        NEED(reader, "type", source.type);
        block->is_source_unmapped = true;
        llm_reader_unmapped(reader);
    }
    return ERR_OK;
}

static enum err read_content(struct llm_reader *reader, yyjson_val *value,
                             struct anthropic_parts *parts,
                             enum err (*read)(struct llm_reader *, yyjson_val *, void *),
                             void *target)
{
    if (yyjson_is_arr(value))
        return llm_read_array(reader, value, read, target);
    if (!yyjson_is_str(value))
        return llm_reader_fail(reader, "must be a string or an array of blocks");
    add_part(reader, parts, LLM_PART_TEXT)->text = json_str(value);
    return ERR_OK;
}

static enum err read_nested(struct llm_reader *reader, yyjson_val *value, void *target);

static enum err read_result_content(struct llm_reader *reader, yyjson_val *value, void *target)
{
    struct block *block = target;
    block->content.origin = LLM_ORIGIN_TOOL;
    return read_content(reader, value, &block->content, read_nested, &block->content);
}

#define BLOCK_STR(name, member)                                                                    \
    {                                                                                              \
        name, llm_read_str, offsetof(struct block, member)                                         \
    }

static const struct llm_member text_members[] = {BLOCK_STR("type", type), BLOCK_STR("text", text)};
static const struct llm_member media_members[] = {
    BLOCK_STR("type", type),
    BLOCK_STR("title", title),
    {"source", read_source, 0},
};
static const struct llm_member thinking_members[] = {
    BLOCK_STR("type", type), BLOCK_STR("thinking", thinking), BLOCK_STR("signature", signature)};
static const struct llm_member redacted_members[] = {BLOCK_STR("type", type),
                                                     BLOCK_STR("data", data)};
static const struct llm_member use_members[] = {
    BLOCK_STR("type", type),
    BLOCK_STR("id", id),
    BLOCK_STR("name", name),
    {"input", llm_read_json, offsetof(struct block, input)},
};
static const struct llm_member result_members[] = {
    BLOCK_STR("type", type),
    BLOCK_STR("tool_use_id", tool_use_id),
    {"is_error", llm_read_bool, offsetof(struct block, is_error)},
    {"content", read_result_content, 0},
};

typedef enum err put_fn(struct llm_reader *reader, const struct block *block,
                        struct anthropic_parts *parts);

static enum err put_text(struct llm_reader *reader, const struct block *block,
                         struct anthropic_parts *parts)
{
    NEED(reader, "text", block->text);
    add_part(reader, parts, LLM_PART_TEXT)->text = block->text;
    return ERR_OK;
}

static enum err put_media(struct llm_reader *reader, const struct block *block,
                          struct anthropic_parts *parts)
{
    const struct llm_media *media = &block->media;
    if (block->is_source_unmapped)
        return ERR_OK;
    NEED(reader, "source",
         media->data.data  ? media->data
         : media->url.data ? media->url
                           : media->file_id);
    bool is_image = str_eq(block->type, STR("image"));
    struct llm_part *part = add_part(reader, parts, is_image ? LLM_PART_IMAGE : LLM_PART_DOCUMENT);
    part->media = *media;
    if (!is_image)
        part->media.filename = block->title;
    return ERR_OK;
}

static void add_opaque(struct llm_reader *reader, struct llm_part *part, struct str kind,
                       struct str data)
{
    if (!data.len)
        return;
    part->opaque = ARENA_NEW(reader->arena, struct llm_opaque);
    *part->opaque = (struct llm_opaque){.dialect = STR("anthropic"), .kind = kind, .data = data};
    part->opaque_count = 1;
}

static enum err put_thinking(struct llm_reader *reader, const struct block *block,
                             struct anthropic_parts *parts)
{
    NEED(reader, "thinking", block->thinking);
    struct llm_part *part = add_part(reader, parts, LLM_PART_REASONING);
    part->text = block->thinking;
    add_opaque(reader, part, STR("signature"), block->signature);
    return ERR_OK;
}

static enum err put_redacted(struct llm_reader *reader, const struct block *block,
                             struct anthropic_parts *parts)
{
    NEED(reader, "data", block->data);
    add_opaque(reader, add_part(reader, parts, LLM_PART_REASONING), STR("redacted"), block->data);
    return ERR_OK;
}

static enum err put_use(struct llm_reader *reader, const struct block *block,
                        struct anthropic_parts *parts)
{
    NEED(reader, "id", block->id);
    NEED(reader, "name", block->name);
    NEED(reader, "input", block->input);
    struct llm_part *part = add_part(reader, parts, LLM_PART_TOOL_CALL);
    part->call_id = block->id;
    part->name = block->name;
    part->arguments = block->input;
    return ERR_OK;
}

static enum err put_result(struct llm_reader *reader, const struct block *block,
                           struct anthropic_parts *parts)
{
    NEED(reader, "tool_use_id", block->tool_use_id);
    struct llm_part *part = add_part(reader, parts, LLM_PART_TOOL_RESULT);
    part->call_id = block->tool_use_id;
    part->is_error = block->is_error;
    part->content = block->content.items;
    part->content_count = block->content.count;
    return ERR_OK;
}

enum { IN_USER = 1, IN_ASSISTANT = 2, IN_RESULT = 4, IN_SYSTEM = 8 };

/* A type of block: its members, what it becomes, and where it may stand. */
struct block_type {
    const char *name;
    const struct llm_member *members;
    size_t member_count;
    put_fn *put;
    unsigned places;
};

static const struct block_type block_types[] = {
    {"text", text_members, COUNT_OF(text_members), put_text,
     IN_USER | IN_ASSISTANT | IN_RESULT | IN_SYSTEM},
    {"image", media_members, COUNT_OF(media_members), put_media, IN_USER | IN_RESULT},
    {"document", media_members, COUNT_OF(media_members), put_media,
     IN_USER | IN_RESULT | IN_ASSISTANT /* by the older version */},
    {"thinking", thinking_members, COUNT_OF(thinking_members), put_thinking, IN_ASSISTANT},
    {"redacted_thinking", redacted_members, COUNT_OF(redacted_members), put_redacted, IN_ASSISTANT},
    {"tool_use", use_members, COUNT_OF(use_members), put_use, IN_ASSISTANT},
    {"tool_result", result_members, COUNT_OF(result_members), put_result, IN_USER},
};

/* The type of a block; *ret_type stays NULL for one that we have no place for (then unmapped). */
static enum err find_type(struct llm_reader *reader, yyjson_val *value, unsigned place,
                          const struct block_type **ret_type)
{
    struct str name = json_get_str(value, "type");
    if (!yyjson_is_obj(value))
        return llm_reader_fail(reader, "must be an object");
    NEED(reader, "type", name);
    for (size_t i = 0; i < COUNT_OF(block_types); i++) {
        if (!str_eq(name, str_from_cstr(block_types[i].name)))
            continue;
        if (!(block_types[i].places & place))
            return llm_reader_fail(reader, "is a block that cannot stand here");
        *ret_type = &block_types[i];
        return ERR_OK;
    }
    llm_reader_unmapped(reader);
    return ERR_OK;
}

static enum err read_block(struct llm_reader *reader, yyjson_val *value,
                           const struct block_type *type, struct anthropic_parts *parts)
{
    struct block block = {0};
    enum err status = llm_read_object(reader, value, type->members, type->member_count, &block);
    return status ? status : type->put(reader, &block, parts);
}

static enum err read_nested(struct llm_reader *reader, yyjson_val *value, void *target)
{
    const struct block_type *type = NULL;
    enum err status = find_type(reader, value, IN_RESULT, &type);
    return status || !type ? status : read_block(reader, value, type, target);
}

/* ---- Messages -------------------------------------------------------------------------------- */

/* A user's turn may hold tool results and other blocks: they become messages of their own. */
static enum err read_message_block(struct llm_reader *reader, yyjson_val *value, void *target)
{
    static const unsigned places[] = {[LLM_SYSTEM] = IN_SYSTEM,
                                      [LLM_USER] = IN_USER,
                                      [LLM_ASSISTANT] = IN_ASSISTANT,
                                      [LLM_TOOL] = IN_USER};
    struct anthropic_decoding *decoding = target;
    const struct block_type *type = NULL;
    enum err status = find_type(reader, value, places[decoding->role], &type);
    if (status || !type)
        return status;
    if (places[decoding->role] == IN_USER) {
        enum llm_role role = type->put == put_result ? LLM_TOOL : LLM_USER;
        if (role != decoding->role)
            close_message(reader, decoding, false);
        decoding->role = role;
    }
    return read_block(reader, value, type, &decoding->parts);
}

static enum err read_message_content(struct llm_reader *reader, yyjson_val *value, void *target)
{
    struct anthropic_decoding *decoding = target;
    size_t before = decoding->request.message_count;
    enum err status = read_content(reader, value, &decoding->parts, read_message_block, decoding);
    close_message(reader, decoding, decoding->request.message_count == before);
    return status;
}

static bool role_from_name(struct str name, enum llm_role *ret)
{
    static const char *const names[] = {
        [LLM_SYSTEM] = "system", [LLM_USER] = "user", [LLM_ASSISTANT] = "assistant"};
    for (enum llm_role role = LLM_SYSTEM; role <= LLM_ASSISTANT; role++) {
        if (!str_eq(name, str_from_cstr(names[role])))
            continue;
        *ret = role;
        return true;
    }
    return false;
}

struct message {
    struct str role;
    yyjson_val *content;
};

static const struct llm_member message_members[] = {
    {"role", llm_read_str, offsetof(struct message, role)},
    {"content", llm_read_value, offsetof(struct message, content)},
};

static enum err read_message(struct llm_reader *reader, yyjson_val *value, void *target)
{
    struct anthropic_decoding *decoding = target;
    struct message message = {0};
    enum err status = LLM_READ_OBJECT(reader, value, message_members, &message);
    if (status)
        return status;
    NEED(reader, "role", message.role);
    if (!role_from_name(message.role, &decoding->role))
        return llm_reader_fail_member(reader, "role", "must be user or assistant");
    if (!message.content)
        return llm_reader_fail_member(reader, "content", "is required");
    size_t mark = llm_reader_enter(reader, "content");
    status = read_message_content(reader, message.content, decoding);
    llm_reader_leave(reader, mark);
    return status;
}

enum err anthropic_read_messages(struct llm_reader *reader, yyjson_val *value, void *target)
{
    return llm_read_array(reader, value, read_message, target);
}

/* The system prompt goes in front of what was read already, if it comes later in the body. */
enum err anthropic_read_system(struct llm_reader *reader, yyjson_val *value, void *target)
{
    struct anthropic_decoding *decoding = target;
    struct llm_request *request = &decoding->request;
    decoding->role = LLM_SYSTEM;
    enum err status = read_content(reader, value, &decoding->parts, read_message_block, decoding);
    size_t before = request->message_count;
    close_message(reader, decoding, false);
    if (status || before == request->message_count)
        return status;
    struct llm_message system = request->messages[before];
    for (size_t i = before; i > 0; i--)
        request->messages[i] = request->messages[i - 1];
    request->messages[0] = system;
    return ERR_OK;
}
