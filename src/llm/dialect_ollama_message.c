/* Ollama: a message as it stands in requests and in answers. Its content is one string, its images
 * are a list beside it, and so are thinking and calls: parts of a kind are joined, and read back
 * in one order. */
#include "llm/dialect_ollama.h"

/* The places in a message, in the order in which they are read back. */
enum place { PLACE_NONE, PLACE_THINKING, PLACE_CONTENT, PLACE_IMAGES, PLACE_CALLS, PLACE_COUNT };

/* Where a part goes, or PLACE_NONE: it cannot be carried. */
static enum place place_of(const struct llm_part *part, enum llm_role role)
{
    switch (part->kind) {
    case LLM_PART_REFUSAL: /* words for a person, too */
    case LLM_PART_TEXT:
        return part->text.len ? PLACE_CONTENT : PLACE_NONE;
    case LLM_PART_REASONING:
        return role == LLM_ASSISTANT && part->text.len ? PLACE_THINKING : PLACE_NONE;
    case LLM_PART_IMAGE:
        return role == LLM_USER && part->media.data.len ? PLACE_IMAGES : PLACE_NONE;
    case LLM_PART_TOOL_CALL:
        return role == LLM_ASSISTANT ? PLACE_CALLS : PLACE_NONE;
    default:
        return PLACE_NONE;
    }
}

static void note_details(struct arena *arena, const struct llm_part *part, int message, int index,
                         struct llm_losses *losses)
{
    const struct llm_media *media = &part->media;
    bool is_image = part->kind == LLM_PART_IMAGE;
    bool is_call = part->kind == LLM_PART_TOOL_CALL;
    if (part->kind == LLM_PART_REFUSAL)
        llm_losses_add(losses, LLM_FIELD_PART_KIND, message, index);
    if (part->opaque_count)
        llm_losses_add(losses, LLM_FIELD_PART_OPAQUE, message, index);
    if (is_image && !str_eq(media->mime, ollama_image_mime(media->data)))
        llm_losses_add(losses, LLM_FIELD_PART_MIME, message, index);
    if (is_image && media->filename.len)
        llm_losses_add(losses, LLM_FIELD_PART_FILENAME, message, index);
    if (is_image && media->detail.len)
        llm_losses_add(losses, LLM_FIELD_PART_DETAIL, message, index);
    if (is_call && !ollama_is_object(arena, part->arguments))
        llm_losses_add(losses, LLM_FIELD_PART_ARGUMENTS, message, index);
    if (is_call && !part->call_id.len)
        llm_losses_add(losses, LLM_FIELD_PART_CALL_ID, message, index);
}

size_t ollama_note_parts(struct arena *arena, const struct llm_part *parts, size_t count,
                         enum llm_role role, int message, struct llm_losses *losses)
{
    size_t kept = 0;
    bool is_used[PLACE_COUNT] = {false};
    enum place farthest = PLACE_NONE;
    for (int i = 0; i < (int)count; i++) {
        enum place place = place_of(&parts[i], role);
        if (place == PLACE_NONE) {
            llm_losses_add(losses, LLM_FIELD_PART, message, i);
            continue;
        }
        kept++;
        note_details(arena, &parts[i], message, i, losses);
        if (place < farthest)
            llm_losses_add(losses, LLM_FIELD_PART_MOVED, message, i);
        if (is_used[place] && (place == PLACE_THINKING || place == PLACE_CONTENT))
            llm_losses_add(losses, LLM_FIELD_PART_BOUNDARY, message, i);
        is_used[place] = true;
        farthest = place > farthest ? place : farthest;
    }
    return kept;
}

/* ---- Pieces ---------------------------------------------------------------------------------- */

struct str ollama_image_mime(struct str data)
{
    static const struct {
        const char *head;
        const char *mime;
    } heads[] = {{"iVBORw0KGgo", "image/png"},
                 {"/9j/", "image/jpeg"},
                 {"R0lGOD", "image/gif"},
                 {"UklGR", "image/webp"}};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        if (str_starts_with(data, str_from_cstr(heads[i].head)))
            return str_from_cstr(heads[i].mime);
    return STR_NONE;
}

bool ollama_is_object(struct arena *arena, struct str text)
{
    yyjson_val *root;
    return json_read(arena, text, &root, NULL) == ERR_OK && yyjson_is_obj(root);
}

/* On one line: the text may hold line ends, and a line of the stream must not. */
static void write_arguments(struct json_writer *w, struct arena *arena, struct str text)
{
    yyjson_val *root;
    if (json_read(arena, text, &root, NULL) == ERR_OK && yyjson_is_obj(root))
        json_key_raw(w, "arguments", json_text(arena, root));
    else
        json_key_raw(w, "arguments", STR("{}"));
}

void ollama_write_call(struct json_writer *w, struct arena *arena, const struct llm_part *part,
                       int index)
{
    json_begin_object(w);
    if (part->call_id.len)
        json_key_str(w, "id", part->call_id);
    json_key_object(w, "function");
    json_key_int(w, "index", index);
    json_key_str(w, "name", part->name.data ? part->name : STR(""));
    write_arguments(w, arena, part->arguments);
    json_end_object(w);
    json_end_object(w);
}

/* ---- The message ----------------------------------------------------------------------------- */

struct message_writer {
    struct json_writer *w;
    struct arena *arena;
    const struct llm_part *parts;
    size_t count;
    enum llm_role role;
};

static bool has_place(const struct message_writer *m, enum place place)
{
    for (size_t i = 0; i < m->count; i++)
        if (place_of(&m->parts[i], m->role) == place)
            return true;
    return false;
}

static void write_joined(const struct message_writer *m, const char *key, enum place place)
{
    json_key(m->w, str_from_cstr(key));
    json_begin_str(m->w);
    for (size_t i = 0; i < m->count; i++)
        if (place_of(&m->parts[i], m->role) == place)
            json_str_part(m->w, m->parts[i].text);
    json_end_str(m->w);
}

static void write_list(const struct message_writer *m, const char *key, enum place place)
{
    int index = 0;
    json_key_array(m->w, key);
    for (size_t i = 0; i < m->count; i++) {
        const struct llm_part *part = &m->parts[i];
        if (place_of(part, m->role) != place)
            continue;
        if (place == PLACE_IMAGES)
            json_put_str(m->w, part->media.data);
        else
            ollama_write_call(m->w, m->arena, part, index++);
    }
    json_end_array(m->w);
}

static void write_members(const struct message_writer *m, const char *content_key)
{
    write_joined(m, content_key, PLACE_CONTENT);
    if (has_place(m, PLACE_THINKING))
        write_joined(m, "thinking", PLACE_THINKING);
    if (has_place(m, PLACE_IMAGES))
        write_list(m, "images", PLACE_IMAGES);
    if (has_place(m, PLACE_CALLS))
        write_list(m, "tool_calls", PLACE_CALLS);
}

void ollama_write_message(struct json_writer *w, struct arena *arena, struct str role,
                          const struct llm_part *parts, size_t count)
{
    enum llm_role canonical = str_eq(role, STR("assistant")) ? LLM_ASSISTANT
                              : str_eq(role, STR("user"))    ? LLM_USER
                                                             : LLM_SYSTEM;
    const struct message_writer m = {w, arena, parts, count, canonical};
    json_begin_object(w);
    json_key_str(w, "role", role);
    write_members(&m, "content");
    json_end_object(w);
}

void ollama_write_generated(struct json_writer *w, struct arena *arena,
                            const struct llm_part *parts, size_t count)
{
    const struct message_writer m = {w, arena, parts, count, LLM_ASSISTANT};
    write_members(&m, "response");
}
