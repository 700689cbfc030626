/* Anthropic: parts as content blocks: what fits where, and how it is written. */
#include "base/crypto.h"
#include "base/utf8.h"
#include "llm/dialect_anthropic.h"

/* ---- What fits ------------------------------------------------------------------------------- */

/* Where a loss of the part at hand is noted. */
struct place {
    struct llm_losses *losses;
    int message;
    int index;
    bool is_nested; /* inside a tool result: every loss is one of its content */
};

static void lose(const struct place *place, enum llm_field field)
{
    llm_losses_add(place->losses, place->is_nested ? LLM_FIELD_PART_CONTENT : field, place->message,
                   place->index);
}

static bool lose_part(const struct place *place)
{
    lose(place, LLM_FIELD_PART);
    return false;
}

static struct str image_mime(struct str mime)
{
    static const char *const known[] = {"image/jpeg", "image/png", "image/gif", "image/webp"};
    if (str_eq_nocase(mime, STR("image/jpg")))
        return STR("image/jpeg");
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (str_eq_nocase(mime, str_from_cstr(known[i])))
            return str_from_cstr(known[i]);
    return STR_NONE;
}

static struct str document_mime(struct str mime)
{
    if (str_eq_nocase(mime, STR("application/pdf")))
        return STR("application/pdf");
    return str_starts_with_nocase(mime, STR("text/")) ? STR("text/plain") : STR_NONE;
}

/* The text of a text document, or false when its bytes are none. */
static bool document_text(struct arena *arena, const struct llm_media *media, struct str *ret)
{
    return base64_decode(arena, media->data, ret) && ret->len && utf8_valid(*ret, NULL);
}

static bool media_fits(struct arena *arena, const struct llm_part *part, struct str mime,
                       const struct place *place)
{
    const struct llm_media *media = &part->media;
    struct str text;
    if (media->data.len && !mime.len)
        return lose_part(place);
    if (media->data.len && str_eq(mime, STR("text/plain")) && !document_text(arena, media, &text))
        return lose_part(place);
    if (!media->data.len && !media->url.len && !media->file_id.len)
        return lose_part(place);
    if (!str_eq(media->mime, media->data.len ? mime : STR("")))
        lose(place, LLM_FIELD_PART_MIME);
    if (media->detail.len)
        lose(place, LLM_FIELD_PART_DETAIL);
    return true;
}

static bool image_fits(struct arena *arena, const struct llm_part *part, const struct place *place)
{
    if (!media_fits(arena, part, image_mime(part->media.mime), place))
        return false;
    if (part->media.filename.len)
        lose(place, LLM_FIELD_PART_FILENAME);
    return true;
}

static bool document_fits(struct arena *arena, const struct llm_part *part,
                          const struct place *place)
{
    return media_fits(arena, part, document_mime(part->media.mime), place);
}

/* Text of white space only is refused by the API like an empty one. */
static bool text_fits(const struct llm_part *part, const struct place *place)
{
    return str_trim(part->text).len || lose_part(place);
}

static bool call_fits(struct arena *arena, const struct llm_part *part, const struct place *place)
{
    if (!anthropic_arguments(arena, part->arguments))
        lose(place, LLM_FIELD_PART_ARGUMENTS);
    return true;
}

/* Of reasoning only what this model signed itself may go back. */
static bool reasoning_fits(const struct llm_part *part, struct str model, const struct place *place)
{
    bool is_signed = anthropic_opaque(part, STR("signature"), model);
    bool is_redacted = anthropic_opaque(part, STR("redacted"), model) && !part->text.len;
    if (!is_signed && !is_redacted)
        return lose_part(place);
    if (part->opaque_count > 1)
        lose(place, LLM_FIELD_PART_OPAQUE);
    return true;
}

static bool nested_fits(struct arena *arena, const struct llm_part *part, const struct place *place)
{
    if (part->opaque_count)
        lose(place, LLM_FIELD_PART_OPAQUE);
    switch (part->kind) {
    case LLM_PART_TEXT:
        return text_fits(part, place);
    case LLM_PART_IMAGE:
        return image_fits(arena, part, place);
    case LLM_PART_DOCUMENT:
        return document_fits(arena, part, place);
    default:
        return lose_part(place);
    }
}

static bool result_fits(struct arena *arena, const struct llm_part *part, const struct place *place)
{
    struct place nested = *place;
    nested.is_nested = true;
    for (size_t i = 0; i < part->content_count; i++)
        nested_fits(arena, &part->content[i], &nested);
    return true;
}

/* Which kinds a message of each role may hold. */
static bool role_takes(enum llm_role role, enum llm_part_kind kind)
{
    static const unsigned kinds[] = {
        [LLM_SYSTEM] = 1u << LLM_PART_TEXT,
        [LLM_USER] = 1u << LLM_PART_TEXT | 1u << LLM_PART_IMAGE | 1u << LLM_PART_DOCUMENT,
        [LLM_ASSISTANT] = 1u << LLM_PART_TEXT | 1u << LLM_PART_REASONING |
                          1u << LLM_PART_TOOL_CALL | 1u << LLM_PART_REFUSAL,
        [LLM_TOOL] = 1u << LLM_PART_TOOL_RESULT,
    };
    return kinds[role] >> kind & 1;
}

bool anthropic_part_fits(const struct anthropic_plan *plan, int message, int index)
{
    const struct llm_message *source = &plan->request->messages[message];
    const struct llm_part *part = &source->parts[index];
    const struct place place = {plan->losses, message, index, false};
    if (!role_takes(source->role, part->kind))
        return lose_part(&place);
    if (part->opaque_count && part->kind != LLM_PART_REASONING)
        lose(&place, LLM_FIELD_PART_OPAQUE);
    switch (part->kind) {
    case LLM_PART_REFUSAL:
        lose(&place, LLM_FIELD_PART_KIND);
        return text_fits(part, &place);
    case LLM_PART_TEXT:
        return text_fits(part, &place);
    case LLM_PART_IMAGE:
        return image_fits(plan->arena, part, &place);
    case LLM_PART_DOCUMENT:
        return document_fits(plan->arena, part, &place);
    case LLM_PART_TOOL_CALL:
        return call_fits(plan->arena, part, &place);
    case LLM_PART_TOOL_RESULT:
        return result_fits(plan->arena, part, &place);
    default:
        return reasoning_fits(part, plan->target->model, &place);
    }
}

yyjson_val *anthropic_arguments(struct arena *arena, struct str text)
{
    yyjson_val *root;
    return json_read(arena, text, &root, NULL) == ERR_OK && yyjson_is_obj(root) ? root : NULL;
}

/* "claude-opus-4-5-20251101", "claude-opus-4-5@20251101", "claude-opus-4-5-latest": all are
 * "claude-opus-4-5". */
static struct str model_without_date(struct str model)
{
    if (str_ends_with(model, STR("-latest")))
        return str_slice(model, 0, model.len - 7);
    uint64_t date;
    if (model.len < 10 || !str_to_u64(str_skip(model, model.len - 8), &date) || date < 20000000)
        return model;
    char before = model.data[model.len - 9];
    return before == '-' || before == '@' ? str_slice(model, 0, model.len - 9) : model;
}

const struct llm_opaque *anthropic_opaque(const struct llm_part *part, struct str kind,
                                          struct str model)
{
    for (size_t i = 0; i < part->opaque_count; i++) {
        const struct llm_opaque *opaque = &part->opaque[i];
        bool is_ours = str_eq(opaque->dialect, STR("anthropic")) && str_eq(opaque->kind, kind);
        if (is_ours && opaque->data.len &&
            (!opaque->model.len || !model.len ||
             str_eq(model_without_date(opaque->model), model_without_date(model))))
            return opaque;
    }
    return NULL;
}

/* ---- Writing --------------------------------------------------------------------------------- */

static void begin_block(struct json_writer *w, const char *type)
{
    json_begin_object(w);
    json_key_str(w, "type", str_from_cstr(type));
}

static void write_text(struct json_writer *w, struct str text)
{
    json_open_piece(w, STR("{\"type\":\"text\",\"text\":"));
    json_put_str(w, text);
    json_end_object(w);
}

/* The marker that stands for the role where a system message cannot. */
static void write_marked(struct json_writer *w, struct str text)
{
    begin_block(w, "text");
    json_key(w, STR("text"));
    json_begin_str(w);
    json_str_part(w, STR("<system>\n"));
    json_str_part(w, text);
    json_str_part(w, STR("\n</system>"));
    json_end_str(w);
    json_end_object(w);
}

static void write_bytes(struct json_writer *w, struct arena *arena, const struct llm_media *media,
                        struct str mime)
{
    bool is_text = str_eq(mime, STR("text/plain"));
    struct str data = media->data;
    if (is_text)
        document_text(arena, media, &data);
    begin_block(w, is_text ? "text" : "base64");
    json_key_str(w, "media_type", mime);
    json_key_str(w, "data", data);
    json_end_object(w);
}

static void write_media(struct json_writer *w, struct arena *arena, const struct llm_part *part)
{
    const struct llm_media *media = &part->media;
    bool is_image = part->kind == LLM_PART_IMAGE;
    begin_block(w, is_image ? "image" : "document");
    json_key(w, STR("source"));
    if (media->data.len) {
        write_bytes(w, arena, media,
                    is_image ? image_mime(media->mime) : document_mime(media->mime));
    } else {
        begin_block(w, media->url.len ? "url" : "file");
        json_key_str(w, media->url.len ? "url" : "file_id",
                     media->url.len ? media->url : media->file_id);
        json_end_object(w);
    }
    if (!is_image && media->filename.len)
        json_key_str(w, "title", media->filename);
    json_end_object(w);
}

static void write_reasoning(struct json_writer *w, const struct llm_part *part, struct str model)
{
    const struct llm_opaque *signature = anthropic_opaque(part, STR("signature"), model);
    if (signature) {
        begin_block(w, "thinking");
        json_key_str(w, "thinking", part->text.data ? part->text : STR(""));
        json_key_str(w, "signature", signature->data);
    } else {
        begin_block(w, "redacted_thinking");
        json_key_str(w, "data", anthropic_opaque(part, STR("redacted"), model)->data);
    }
    json_end_object(w);
}

static void write_call(struct json_writer *w, struct arena *arena,
                       const struct anthropic_item *item)
{
    begin_block(w, "tool_use");
    json_key_str(w, "id", item->id);
    json_key_str(w, "name", item->part->name);
    bool is_object = anthropic_arguments(arena, item->part->arguments);
    json_key_raw(w, "input", is_object ? item->part->arguments : STR("{}"));
    json_end_object(w);
}

static void write_result_content(struct json_writer *w, struct arena *arena,
                                 const struct llm_part *part)
{
    const struct place nowhere = {.is_nested = true};
    bool is_begun = false;
    for (size_t i = 0; i < part->content_count; i++) {
        const struct llm_part *inner = &part->content[i];
        if (!nested_fits(arena, inner, &nowhere))
            continue;
        if (!is_begun)
            json_key_array(w, "content");
        is_begun = true;
        if (inner->kind == LLM_PART_TEXT)
            write_text(w, inner->text);
        else
            write_media(w, arena, inner);
    }
    if (is_begun)
        json_end_array(w);
}

static void write_result(struct json_writer *w, struct arena *arena,
                         const struct anthropic_item *item)
{
    begin_block(w, "tool_result");
    json_key_str(w, "tool_use_id", item->id);
    if (item->part)
        write_result_content(w, arena, item->part);
    else
        json_key_str(w, "content", STR("No result: the call was not carried out."));
    if (!item->part || item->part->is_error)
        json_key_bool(w, "is_error", true);
    json_end_object(w);
}

void anthropic_write_item(struct json_writer *w, struct arena *arena,
                          const struct dialect_target *target, const struct anthropic_item *item)
{
    if (!item->part || item->part->kind == LLM_PART_TOOL_RESULT)
        write_result(w, arena, item);
    else if (item->part->kind == LLM_PART_TOOL_CALL)
        write_call(w, arena, item);
    else if (item->part->kind == LLM_PART_REASONING)
        write_reasoning(w, item->part, target->model);
    else if (item->part->kind == LLM_PART_IMAGE || item->part->kind == LLM_PART_DOCUMENT)
        write_media(w, arena, item->part);
    else if (item->is_marked)
        write_marked(w, item->part->text);
    else
        write_text(w, item->part->text);
}
