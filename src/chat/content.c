/* Content: parts of a message to JSON and back. */
#include "chat/content.h"

#include <stdio.h>

#include "base/crypto.h"
#include "base/utf8.h"
#include "base/vec.h"

enum { TITLE_CHARACTERS = 60 };

/* ---- From a person --------------------------------------------------------------------------- */

static enum err wrong(struct error *error, size_t index, const char *member, const char *what)
{
    char field[96];
    snprintf(field, sizeof field, "content[%zu]%s%s", index, member[0] ? "." : "", member);
    return error_set(error, ERR_INVALID, field, "%s", what);
}

static enum err parse_text(yyjson_val *value, size_t index, struct llm_part *ret_part,
                           struct error *error)
{
    struct str text = json_get_str(value, "text");
    if (!text.data)
        return wrong(error, index, "text", "must be a string");
    if (text.len > CONTENT_TEXT_BYTES_MAX)
        return error_set(error, ERR_TOO_BIG, "content", "a text may have %d bytes at most",
                         CONTENT_TEXT_BYTES_MAX);
    ret_part->kind = LLM_PART_TEXT;
    ret_part->text = text;
    return ERR_OK;
}

static bool is_image_type(struct str mime)
{
    static const char *const types[] = {"image/png", "image/jpeg", "image/gif", "image/webp"};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (str_eq(mime, str_from_cstr(types[i])))
            return true;
    return false;
}

static enum err parse_image(struct arena *arena, yyjson_val *value, size_t index,
                            struct llm_part *ret_part, struct error *error)
{
    struct llm_media *media = &ret_part->media;
    struct str bytes;
    ret_part->kind = LLM_PART_IMAGE;
    ret_part->origin = LLM_ORIGIN_ATTACHED;
    media->url = json_get_str(value, "url");
    if (media->url.data)
        return str_starts_with(media->url, STR("https://"))
                   ? ERR_OK
                   : wrong(error, index, "url", "must begin with https://");
    media->mime = json_get_str(value, "mime");
    media->data = json_get_str(value, "data");
    if (!is_image_type(media->mime))
        return wrong(error, index, "mime",
                     "must be image/png, image/jpeg, image/gif or image/webp");
    if (!media->data.len)
        return wrong(error, index, "data", "must be the image in base64");
    if (media->data.len > CONTENT_IMAGE_BYTES_MAX)
        return error_set(error, ERR_TOO_BIG, "content", "an image may have %d bytes of base64",
                         CONTENT_IMAGE_BYTES_MAX);
    if (!base64_decode(arena, media->data, &bytes) || !bytes.len)
        return wrong(error, index, "data", "is not valid base64");
    char *encoded = arena_alloc(arena, base64_length(bytes.len)); /* in the form of llm_media */
    media->data = STR_FROM(encoded, base64_encode(bytes, encoded));
    return ERR_OK;
}

static enum err check_members(yyjson_val *value, size_t index, const char *const *allowed,
                              struct error *error)
{
    yyjson_obj_iter members;
    yyjson_obj_iter_init(value, &members);
    for (yyjson_val *key; (key = yyjson_obj_iter_next(&members));) {
        bool known = false;
        for (const char *const *name = allowed; *name && !known; name++)
            known = str_eq(json_str(key), str_from_cstr(*name));
        if (!known) {
            char name[64];
            str_copy(json_str(key), name, sizeof name);
            return wrong(error, index, name, "is not a member of this kind of part");
        }
    }
    return ERR_OK;
}

static enum err parse_part(struct arena *arena, yyjson_val *value, size_t index,
                           struct llm_part *ret_part, struct error *error)
{
    static const char *const text_members[] = {"type", "text", NULL};
    static const char *const image_members[] = {"type", "mime", "data", "url", NULL};
    struct str type = json_get_str(value, "type");
    bool is_image = str_eq(type, STR("image"));
    if (!yyjson_is_obj(value))
        return wrong(error, index, "", "must be an object");
    if (!is_image && !str_eq(type, STR("text")))
        return wrong(error, index, "type", "must be \"text\" or \"image\"");
    enum err code = check_members(value, index, is_image ? image_members : text_members, error);
    if (code != ERR_OK)
        return code;
    return is_image ? parse_image(arena, value, index, ret_part, error)
                    : parse_text(value, index, ret_part, error);
}

/* Whether anything is there to answer: an image, or a text with more than white space. */
static bool says_something(const struct llm_part *parts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (parts[i].kind != LLM_PART_TEXT || str_trim(parts[i].text).len)
            return true;
    return false;
}

enum err content_parse(struct arena *arena, yyjson_val *value, struct llm_part **ret_parts,
                       size_t *ret_count, struct error *error)
{
    size_t count = yyjson_is_str(value) ? 1 : yyjson_arr_size(value);
    if (!yyjson_is_str(value) && !yyjson_is_arr(value))
        return error_set(error, ERR_INVALID, "content", "must be a string or a list of parts");
    if (count > CONTENT_PARTS_MAX)
        return error_set(error, ERR_TOO_BIG, "content", "a message has %d parts at most",
                         CONTENT_PARTS_MAX);
    struct llm_part *parts = ARENA_NEW_ARRAY(arena, count + 1, struct llm_part);
    if (yyjson_is_str(value)) {
        parts[0] = (struct llm_part){.kind = LLM_PART_TEXT, .text = json_str(value)};
        if (parts[0].text.len > CONTENT_TEXT_BYTES_MAX)
            return error_set(error, ERR_TOO_BIG, "content", "a text may have %d bytes at most",
                             CONTENT_TEXT_BYTES_MAX);
    }
    for (size_t i = 0; i < count && !yyjson_is_str(value); i++) {
        enum err code = parse_part(arena, yyjson_arr_get(value, i), i, &parts[i], error);
        if (code != ERR_OK)
            return code;
    }
    if (!says_something(parts, count))
        return error_set(error, ERR_INVALID, "content", "must not be empty");
    *ret_parts = parts;
    *ret_count = count;
    return ERR_OK;
}

/* ---- Our own form ---------------------------------------------------------------------------- */

static const char *const kind_names[] = {
    [LLM_PART_TEXT] = "text",
    [LLM_PART_IMAGE] = "image",
    [LLM_PART_DOCUMENT] = "document",
    [LLM_PART_AUDIO] = "audio",
    [LLM_PART_REASONING] = "reasoning",
    [LLM_PART_TOOL_CALL] = "tool_call",
    [LLM_PART_TOOL_RESULT] = "tool_result",
    [LLM_PART_REFUSAL] = "refusal",
};
enum { KIND_COUNT = sizeof kind_names / sizeof kind_names[0] };

static const char *const origin_names[] = {
    [LLM_ORIGIN_TYPED] = "typed",
    [LLM_ORIGIN_ATTACHED] = "attached",
    [LLM_ORIGIN_TOOL] = "tool",
    [LLM_ORIGIN_WEB] = "web",
};
enum { ORIGIN_COUNT = sizeof origin_names / sizeof origin_names[0] };

static void key_if_some(struct json_writer *w, const char *key, struct str value)
{
    if (value.len)
        json_key_str(w, key, value);
}

static void write_opaque(struct json_writer *w, const struct llm_part *part)
{
    json_key_array(w, "opaque");
    for (size_t i = 0; i < part->opaque_count; i++) {
        const struct llm_opaque *opaque = &part->opaque[i];
        json_begin_object(w);
        json_key_str(w, "dialect", opaque->dialect);
        key_if_some(w, "model", opaque->model);
        json_key_str(w, "kind", opaque->kind);
        json_key_str(w, "data", opaque->data);
        json_end_object(w);
    }
    json_end_array(w);
}

static void write_media(struct json_writer *w, const struct llm_media *media)
{
    key_if_some(w, "mime", media->mime);
    key_if_some(w, "data", media->data);
    key_if_some(w, "url", media->url);
    key_if_some(w, "file_id", media->file_id);
    key_if_some(w, "filename", media->filename);
    key_if_some(w, "detail", media->detail);
}

static void write_part(struct json_writer *w, const struct llm_part *part, bool for_storage)
{
    json_begin_object(w);
    json_key_str(w, "type", str_from_cstr(kind_names[part->kind]));
    switch (part->kind) {
    case LLM_PART_TEXT:
    case LLM_PART_REASONING:
    case LLM_PART_REFUSAL:
        json_key_str(w, "text", part->text.data ? part->text : STR(""));
        break;
    case LLM_PART_IMAGE:
    case LLM_PART_DOCUMENT:
    case LLM_PART_AUDIO:
        write_media(w, &part->media);
        break;
    case LLM_PART_TOOL_CALL:
        json_key_str(w, "id", part->call_id);
        json_key_str(w, "name", part->name);
        json_key_str(w, "arguments", part->arguments.data ? part->arguments : STR(""));
        break;
    case LLM_PART_TOOL_RESULT:
        json_key_str(w, "id", part->call_id);
        key_if_some(w, "name", part->name);
        json_key_bool(w, "is_error", part->is_error);
        json_key(w, STR("content"));
        content_write(w, part->content, part->content_count, for_storage);
        break;
    }
    if (for_storage && part->origin != LLM_ORIGIN_TYPED)
        json_key_str(w, "origin", str_from_cstr(origin_names[part->origin]));
    if (for_storage && part->opaque_count)
        write_opaque(w, part);
    json_end_object(w);
}

void content_write(struct json_writer *w, const struct llm_part *parts, size_t count,
                   bool for_storage)
{
    json_begin_array(w);
    for (size_t i = 0; i < count; i++)
        write_part(w, &parts[i], for_storage);
    json_end_array(w);
}

static size_t index_of(const char *const *names, size_t count, struct str name)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq(name, str_from_cstr(names[i])))
            return i;
    return SIZE_MAX;
}

static void read_opaque(struct arena *arena, yyjson_val *list, struct llm_part *part)
{
    part->opaque = ARENA_NEW_ARRAY(arena, yyjson_arr_size(list) + 1, struct llm_opaque);
    size_t index, count;
    yyjson_val *item;
    yyjson_arr_foreach (list, index, count, item) {
        part->opaque[part->opaque_count++] =
            (struct llm_opaque){json_get_str(item, "dialect"), json_get_str(item, "model"),
                                json_get_str(item, "kind"), json_get_str(item, "data")};
    }
}

static void read_parts(struct arena *arena, yyjson_val *list, struct llm_part **ret_parts,
                       size_t *ret_count);

static bool read_part(struct arena *arena, yyjson_val *value, struct llm_part *part)
{
    size_t kind = index_of(kind_names, KIND_COUNT, json_get_str(value, "type"));
    size_t origin = index_of(origin_names, ORIGIN_COUNT, json_get_str(value, "origin"));
    if (kind == SIZE_MAX)
        return false;
    part->kind = (enum llm_part_kind)kind;
    part->origin = origin == SIZE_MAX ? LLM_ORIGIN_TYPED : (enum llm_origin)origin;
    part->text = json_get_str(value, "text");
    part->media =
        (struct llm_media){json_get_str(value, "mime"),     json_get_str(value, "data"),
                           json_get_str(value, "url"),      json_get_str(value, "file_id"),
                           json_get_str(value, "filename"), json_get_str(value, "detail")};
    part->call_id = json_get_str(value, "id");
    part->name = json_get_str(value, "name");
    part->arguments = json_get_str(value, "arguments");
    json_get_bool(value, "is_error", &part->is_error);
    if (part->kind == LLM_PART_TOOL_RESULT)
        read_parts(arena, json_get(value, "content"), &part->content, &part->content_count);
    if (json_get(value, "opaque"))
        read_opaque(arena, json_get(value, "opaque"), part);
    return true;
}

static void read_parts(struct arena *arena, yyjson_val *list, struct llm_part **ret_parts,
                       size_t *ret_count)
{
    struct llm_part *parts = ARENA_NEW_ARRAY(arena, yyjson_arr_size(list) + 1, struct llm_part);
    size_t index, count, kept = 0;
    yyjson_val *item;
    yyjson_arr_foreach (list, index, count, item) {
        if (read_part(arena, item, &parts[kept]))
            kept++;
    }
    *ret_parts = parts;
    *ret_count = kept;
}

enum err content_read(struct arena *arena, struct str text, struct llm_part **ret_parts,
                      size_t *ret_count)
{
    yyjson_val *root;
    if (json_read(arena, text, &root, NULL) != ERR_OK || !yyjson_is_arr(root))
        return ERR_CORRUPT;
    read_parts(arena, root, ret_parts, ret_count);
    return ERR_OK;
}

static void key_count(struct json_writer *w, const char *key, int64_t count)
{
    if (count < 0)
        json_key_null(w, key);
    else
        json_key_int(w, key, count);
}

void content_write_usage(struct json_writer *w, const struct llm_usage *usage)
{
    if (usage->input_total < 0 && usage->output_total < 0) {
        json_put_null(w);
        return;
    }
    json_begin_object(w);
    key_count(w, "input", usage->input_total);
    key_count(w, "input_cached", usage->input_cache_read);
    key_count(w, "output", usage->output_total);
    key_count(w, "reasoning", usage->output_reasoning);
    json_key_bool(w, "estimated", usage->is_estimated);
    json_end_object(w);
}

void content_write_error(struct json_writer *w, const struct llm_error *error)
{
    const struct err_info *info = err_info(error->class);
    json_begin_object(w);
    json_key_str(w, "code", str_from_cstr(info->name));
    json_key_str(w, "message", str_from_cstr(error->message[0] ? error->message : info->message));
    json_key_str(w, "remedy", str_from_cstr(info->remedy));
    json_end_object(w);
}

struct str content_title(struct arena *arena, const struct llm_part *parts, size_t count)
{
    struct str text = STR("");
    for (size_t i = 0; i < count && !text.len; i++)
        if (parts[i].kind == LLM_PART_TEXT)
            text = str_trim(parts[i].text);
    text = str_trim(str_slice(text, 0, str_find_char(text, '\n')));
    size_t end = 0, space = 0, characters = 0;
    while (end < text.len && characters < TITLE_CHARACTERS) {
        size_t length = utf8_length_at(text, end);
        if (text.data[end] == ' ')
            space = end;
        end += length ? length : 1;
        characters++;
    }
    if (end >= text.len)
        return text.len ? arena_str(arena, text) : STR(CONTENT_TITLE_DEFAULT);
    return arena_printf(arena, "%.*s…", (int)(space > end / 2 ? space : end), text.data);
}
