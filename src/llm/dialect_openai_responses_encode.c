/* OpenAI Responses: canonical request to body. A message of the assistant becomes items in the
 * order of its parts: reasoning, message, function_call. */
#include "llm/dialect_openai_responses.h"

enum { USER_BYTES_MAX = 64 };

/* ---- Content --------------------------------------------------------------------------------- */

static void put_image(struct openai_encoder *e, const struct llm_media *media)
{
    json_begin_object(&e->w);
    json_key_str(&e->w, "type", STR("input_image"));
    if (media->file_id.len) {
        json_key_str(&e->w, "file_id", media->file_id);
    } else {
        json_key(&e->w, STR("image_url"));
        if (media->data.len)
            openai_put_data_url(&e->w, media);
        else
            json_put_str(&e->w, media->url);
    }
    if (openai_detail_ok(media->detail, true))
        json_key_str(&e->w, "detail", media->detail);
    json_end_object(&e->w);
}

static void put_document(struct openai_encoder *e, const struct llm_media *media)
{
    json_begin_object(&e->w);
    json_key_str(&e->w, "type", STR("input_file"));
    if (media->file_id.len) {
        json_key_str(&e->w, "file_id", media->file_id);
    } else if (media->url.len) {
        json_key_str(&e->w, "file_url", media->url);
    } else {
        if (media->filename.len)
            json_key_str(&e->w, "filename", media->filename);
        json_key(&e->w, STR("file_data"));
        openai_put_data_url(&e->w, media);
    }
    json_end_object(&e->w);
}

/* What a medium loses on the way: the type unless it stands in a data URL, the name unless it is a
 * document's. */
static bool media_is_whole(const struct llm_part *part)
{
    const struct llm_media *media = &part->media;
    bool keeps_name = part->kind == LLM_PART_DOCUMENT && media->data.len;
    return (media->data.len || !media->mime.len) && (keeps_name || !media->filename.len) &&
           (!media->detail.len || openai_detail_ok(media->detail, true));
}

static void note_media(struct openai_encoder *e, const struct llm_part *part, int m, int p)
{
    const struct llm_media *media = &part->media;
    bool keeps_name = part->kind == LLM_PART_DOCUMENT && media->data.len;
    if (media->mime.len && !media->data.len)
        openai_lose_part(e, LLM_FIELD_PART_MIME, m, p);
    if (media->filename.len && !keeps_name)
        openai_lose_part(e, LLM_FIELD_PART_FILENAME, m, p);
    if (media->detail.len && !openai_detail_ok(media->detail, true))
        openai_lose_part(e, LLM_FIELD_PART_DETAIL, m, p);
}

static bool is_input(const struct llm_part *part)
{
    return part->kind == LLM_PART_TEXT || part->kind == LLM_PART_IMAGE ||
           part->kind == LLM_PART_DOCUMENT;
}

static void put_input(struct openai_encoder *e, const struct llm_part *part)
{
    if (part->kind == LLM_PART_TEXT)
        openai_put_text_part(e, "input_text", "text", part->text);
    else if (part->kind == LLM_PART_IMAGE)
        put_image(e, &part->media);
    else
        put_document(e, &part->media);
}

/* ---- Messages of system and user ------------------------------------------------------------- */

static size_t count_inputs(const struct llm_part *parts, size_t count)
{
    size_t inputs = 0;
    for (size_t i = 0; i < count; i++)
        inputs += is_input(&parts[i]);
    return inputs;
}

/* One text alone is a plain string. */
static void put_inputs(struct openai_encoder *e, const char *key, const struct llm_part *parts,
                       size_t count)
{
    json_key(&e->w, str_from_cstr(key));
    if (count_inputs(parts, count) == 1)
        for (size_t i = 0; i < count; i++)
            if (parts[i].kind == LLM_PART_TEXT) {
                json_put_str(&e->w, openai_some(parts[i].text));
                return;
            }
    json_begin_array(&e->w);
    for (size_t i = 0; i < count; i++)
        if (is_input(&parts[i]))
            put_input(e, &parts[i]);
    json_end_array(&e->w);
}

static void note_inputs(struct openai_encoder *e, const struct llm_message *message, int m)
{
    for (size_t p = 0; p < message->part_count; p++) {
        const struct llm_part *part = &message->parts[p];
        if (!is_input(part))
            openai_lose_part(e, LLM_FIELD_PART, m, (int)p);
        else if (part->kind != LLM_PART_TEXT)
            note_media(e, part, m, (int)p);
        if (part->opaque_count)
            openai_lose_part(e, LLM_FIELD_PART_OPAQUE, m, (int)p);
    }
}

static bool put_plain_message(struct openai_encoder *e, const struct llm_message *message, int m)
{
    bool developer = !openai_has_quirk(e, LLM_QUIRK_NO_DEVELOPER_ROLE);
    if (!count_inputs(message->parts, message->part_count))
        return false;
    json_begin_object(&e->w);
    json_key_str(&e->w, "type", STR("message"));
    json_key_str(&e->w, "role",
                 message->role == LLM_USER ? STR("user")
                 : developer               ? STR("developer")
                                           : STR("system"));
    put_inputs(e, "content", message->parts, message->part_count);
    json_end_object(&e->w);
    note_inputs(e, message, m);
    return true;
}

/* ---- Messages of the assistant --------------------------------------------------------------- */

static void put_reasoning(struct openai_encoder *e, const struct llm_part *part,
                          const struct llm_opaque *encrypted)
{
    json_begin_object(&e->w);
    json_key_str(&e->w, "type", STR("reasoning"));
    json_key_array(&e->w, "summary");
    if (part->text.len)
        openai_put_text_part(e, "summary_text", "text", part->text);
    json_end_array(&e->w);
    json_key_str(&e->w, "encrypted_content", encrypted->data);
    json_end_object(&e->w);
}

static void put_call(struct openai_encoder *e, const struct llm_part *part)
{
    json_begin_object(&e->w);
    json_key_str(&e->w, "type", STR("function_call"));
    json_key_str(&e->w, "call_id", openai_some(part->call_id));
    json_key_str(&e->w, "name", openai_some(part->name));
    json_key_str(&e->w, "arguments", openai_some(part->arguments));
    json_end_object(&e->w);
}

static bool is_spoken(const struct llm_part *part)
{
    return part->kind == LLM_PART_TEXT || part->kind == LLM_PART_REFUSAL;
}

/* A run of texts and refusals as one message item; returns where it ends. */
static size_t put_spoken(struct openai_encoder *e, const struct llm_message *message, size_t from)
{
    json_begin_object(&e->w);
    json_key_str(&e->w, "type", STR("message"));
    json_key_str(&e->w, "role", STR("assistant"));
    json_key_array(&e->w, "content");
    for (; from < message->part_count && is_spoken(&message->parts[from]); from++) {
        const struct llm_part *part = &message->parts[from];
        if (part->kind == LLM_PART_TEXT)
            openai_put_text_part(e, "output_text", "text", part->text);
        else
            openai_put_text_part(e, "refusal", "refusal", part->text);
    }
    json_end_array(&e->w);
    json_end_object(&e->w);
    return from;
}

/* What the part loses: all of it, or opaque that is not its encrypted content. */
static bool note_assistant_part(struct openai_encoder *e, const struct llm_part *part, int m, int p)
{
    const struct llm_opaque *encrypted = openai_responses_encrypted(part, e->target->model);
    bool kept = is_spoken(part) || part->kind == LLM_PART_TOOL_CALL || encrypted;
    if (!kept)
        openai_lose_part(e, LLM_FIELD_PART, m, p);
    else if (part->opaque_count > (encrypted ? 1 : 0))
        openai_lose_part(e, LLM_FIELD_PART_OPAQUE, m, p);
    return kept;
}

static bool put_assistant_message(struct openai_encoder *e, const struct llm_message *message,
                                  int m)
{
    bool any = false;
    for (size_t p = 0; p < message->part_count; p++)
        any |= note_assistant_part(e, &message->parts[p], m, (int)p);
    for (size_t p = 0; p < message->part_count;) {
        const struct llm_part *part = &message->parts[p];
        const struct llm_opaque *encrypted = openai_responses_encrypted(part, e->target->model);
        if (is_spoken(part)) {
            p = put_spoken(e, message, p);
            continue;
        }
        if (encrypted)
            put_reasoning(e, part, encrypted);
        else if (part->kind == LLM_PART_TOOL_CALL)
            put_call(e, part);
        p++;
    }
    return any;
}

/* ---- Tool results ---------------------------------------------------------------------------- */

static void put_result(struct openai_encoder *e, const struct llm_part *result, int m, int p)
{
    size_t inputs = count_inputs(result->content, result->content_count);
    bool whole = inputs == result->content_count && inputs;
    json_begin_object(&e->w);
    json_key_str(&e->w, "type", STR("function_call_output"));
    json_key_str(&e->w, "call_id", openai_some(result->call_id));
    if (inputs)
        put_inputs(e, "output", result->content, result->content_count);
    else
        json_key_str(&e->w, "output", STR(""));
    json_end_object(&e->w);
    for (size_t i = 0; i < result->content_count; i++)
        whole &= result->content[i].kind == LLM_PART_TEXT || media_is_whole(&result->content[i]);
    if (!whole)
        openai_lose_part(e, LLM_FIELD_PART_CONTENT, m, p);
    openai_note_result(e, result, m, p);
    if (result->opaque_count)
        openai_lose_part(e, LLM_FIELD_PART_OPAQUE, m, p);
}

static bool put_tool_message(struct openai_encoder *e, const struct llm_message *message, int m)
{
    bool any = false;
    for (size_t p = 0; p < message->part_count; p++) {
        bool is_result = message->parts[p].kind == LLM_PART_TOOL_RESULT;
        if (is_result)
            put_result(e, &message->parts[p], m, (int)p);
        else
            openai_lose_part(e, LLM_FIELD_PART, m, (int)p);
        any |= is_result;
    }
    return any;
}

/* ---- Input ----------------------------------------------------------------------------------- */

static bool put_message(struct openai_encoder *e, const struct llm_message *message, int m)
{
    if (message->role == LLM_ASSISTANT)
        return put_assistant_message(e, message, m);
    if (message->role == LLM_TOOL)
        return put_tool_message(e, message, m);
    return put_plain_message(e, message, m);
}

/* Items have no message around them: neighbours of the assistant, or results, read back as one. */
static void put_input_items(struct openai_encoder *e)
{
    bool any = false;
    enum llm_role before = LLM_USER;
    json_key_array(&e->w, "input");
    for (size_t i = 0; i < e->request->message_count; i++) {
        const struct llm_message *message = &e->request->messages[i];
        openai_note_calls(e, message);
        if (!put_message(e, message, (int)i)) {
            llm_losses_add(e->losses, LLM_FIELD_MESSAGE, (int)i, -1);
            continue;
        }
        if (message->name.len)
            llm_losses_add(e->losses, LLM_FIELD_MESSAGE_NAME, (int)i, -1);
        bool joins = message->role == LLM_ASSISTANT || message->role == LLM_TOOL;
        if (any && joins && before == message->role)
            llm_losses_add(e->losses, LLM_FIELD_MESSAGE_BOUNDARY, (int)i, -1);
        before = message->role;
        any = true;
    }
    json_end_array(&e->w);
}

/* ---- Tools ----------------------------------------------------------------------------------- */

static void put_tool(struct openai_encoder *e, const struct llm_tool *tool, int index)
{
    bool ok = tool->schema.len && openai_is_json_object(e->arena, tool->schema);
    json_begin_object(&e->w);
    json_key_str(&e->w, "type", STR("function"));
    json_key_str(&e->w, "name", openai_some(tool->name));
    if (tool->description.len)
        json_key_str(&e->w, "description", tool->description);
    json_key_raw(&e->w, "parameters", ok ? tool->schema : STR("null"));
    if (tool->schema.len && !ok)
        llm_losses_add(e->losses, LLM_FIELD_TOOL_SCHEMA, index, -1);
    if (tool->strict == LLM_UNSET)
        json_key_null(&e->w, "strict");
    openai_key_tristate(&e->w, "strict", tool->strict);
    json_end_object(&e->w);
}

static void put_tool_choice(struct openai_encoder *e)
{
    const char *word = openai_choice_word(e->request->tool_choice);
    if (word) {
        json_key_str(&e->w, "tool_choice", str_from_cstr(word));
        return;
    }
    json_key_object(&e->w, "tool_choice");
    json_key_str(&e->w, "type", STR("function"));
    json_key_str(&e->w, "name", openai_some(e->request->tool_choice_name));
    json_end_object(&e->w);
}

/* ---- Parameters ------------------------------------------------------------------------------ */

/* Here the schema is required: without a usable one plain JSON is asked for. */
static void put_schema(struct openai_encoder *e)
{
    if (!openai_is_json_object(e->arena, e->request->format_schema)) {
        json_key_str(&e->w, "type", STR("json_object"));
        openai_lose(e, LLM_FIELD_FORMAT);
        return;
    }
    json_key_str(&e->w, "type", STR("json_schema"));
    openai_put_schema(e);
}

static void put_format(struct openai_encoder *e)
{
    if (e->request->format == LLM_FORMAT_UNSET)
        return;
    json_key_object(&e->w, "text");
    json_key_object(&e->w, "format");
    if (e->request->format == LLM_FORMAT_SCHEMA)
        put_schema(e);
    else
        json_key_str(&e->w, "type",
                     e->request->format == LLM_FORMAT_TEXT ? STR("text") : STR("json_object"));
    json_end_object(&e->w);
    json_end_object(&e->w);
}

static void note_parameters(struct openai_encoder *e)
{
    const struct llm_request *request = e->request;
    const struct {
        bool is_set;
        enum llm_field field;
    } table[] = {
        {request->seed.is_set, LLM_FIELD_SEED},
        {request->top_k.is_set, LLM_FIELD_TOP_K},
        {request->frequency_penalty.is_set, LLM_FIELD_FREQUENCY_PENALTY},
        {request->presence_penalty.is_set, LLM_FIELD_PRESENCE_PENALTY},
        {request->stop_count > 0, LLM_FIELD_STOPS},
        {request->user.len > USER_BYTES_MAX, LLM_FIELD_USER},
        {request->stream_usage, LLM_FIELD_STREAM_USAGE}, /* it comes unasked */
        {request->temperature.is_set && openai_has_quirk(e, LLM_QUIRK_NO_SAMPLING),
         LLM_FIELD_TEMPERATURE},
        {request->top_p.is_set && openai_has_quirk(e, LLM_QUIRK_NO_SAMPLING), LLM_FIELD_TOP_P},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].is_set)
            openai_lose(e, table[i].field);
}

static void put_parameters(struct openai_encoder *e)
{
    const struct llm_request *request = e->request;
    if (request->effort != LLM_EFFORT_UNSET) {
        json_key_object(&e->w, "reasoning");
        json_key_str(&e->w, "effort", str_from_cstr(openai_effort_name(request->effort)));
        json_end_object(&e->w);
    }
    if (request->max_output_tokens.is_set)
        json_key_int(&e->w, "max_output_tokens", request->max_output_tokens.value);
    if (!openai_has_quirk(e, LLM_QUIRK_NO_SAMPLING)) {
        openai_key_double(&e->w, "temperature", request->temperature);
        openai_key_double(&e->w, "top_p", request->top_p);
    }
    if (request->user.len && request->user.len <= USER_BYTES_MAX)
        json_key_str(&e->w, "safety_identifier", request->user);
    if (request->stream)
        json_key_bool(&e->w, "stream", true);
    if (!openai_has_quirk(e, LLM_QUIRK_STORE_FALSE))
        return;
    json_key_bool(&e->w, "store", false);
    json_key_array(&e->w, "include");
    json_put_str(&e->w, STR("reasoning.encrypted_content"));
    json_end_array(&e->w);
}

static void put_members(struct openai_encoder *e)
{
    put_input_items(e);
    openai_put_tools(e, put_tool, put_tool_choice);
    put_format(e);
    put_parameters(e);
    note_parameters(e);
}

enum err openai_responses_encode_request(struct arena *arena, const struct llm_request *request,
                                         const struct dialect_target *target, struct buf *out,
                                         struct llm_losses *losses, struct error *error)
{
    struct openai_encoder e = {
        .arena = arena, .request = request, .target = target, .losses = losses};
    return openai_put_body(&e, out, put_members, error);
}
