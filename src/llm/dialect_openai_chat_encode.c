/* OpenAI Chat Completions: canonical request to body. Losses are reported where a member is left
 * out or changed, so each function reads as: may it go, write it, else note it. */
#include "llm/dialect_openai_chat.h"

enum { STOPS_MAX = 4, USER_BYTES_MAX = 64, MISTRAL_ID_LENGTH = 9 };

/* ---- Call ids -------------------------------------------------------------------------------- */

static bool is_mistral_id(struct str id)
{
    if (id.len != MISTRAL_ID_LENGTH)
        return false;
    for (size_t i = 0; i < id.len; i++) {
        char c = id.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')))
            return false;
    }
    return true;
}

/* Mistral takes ids of exactly nine letters and digits: others are mapped by a hash, so that call
 * and result still agree. */
static void put_call_id(struct openai_encoder *e, const char *key, struct str id, int m, int p)
{
    static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    if (!openai_has_quirk(e, LLM_QUIRK_MISTRAL) || is_mistral_id(id)) {
        json_key_str(&e->w, key, openai_some(id));
        return;
    }
    char mapped[MISTRAL_ID_LENGTH];
    uint64_t hash = str_hash(id);
    for (size_t i = 0; i < sizeof mapped; i++, hash /= 62)
        mapped[i] = letters[hash % 62];
    json_key_str(&e->w, key, STR_FROM(mapped, sizeof mapped));
    openai_lose_part(e, LLM_FIELD_PART_CALL_ID, m, p);
}

/* ---- Content parts --------------------------------------------------------------------------- */

static void put_image(struct openai_encoder *e, const struct llm_media *media, int m, int p)
{
    json_key_str(&e->w, "type", STR("image_url"));
    json_key_object(&e->w, "image_url");
    json_key(&e->w, STR("url"));
    if (media->data.len)
        openai_put_data_url(&e->w, media);
    else
        json_put_str(&e->w, media->url);
    if (openai_detail_ok(media->detail, false))
        json_key_str(&e->w, "detail", media->detail);
    else if (media->detail.len)
        openai_lose_part(e, LLM_FIELD_PART_DETAIL, m, p);
    if (media->mime.len && !media->data.len)
        openai_lose_part(e, LLM_FIELD_PART_MIME, m, p);
    if (media->filename.len)
        openai_lose_part(e, LLM_FIELD_PART_FILENAME, m, p);
    json_end_object(&e->w);
}

/* The format word of a sound, or NULL; *ret_exact: whether reading it gives the same type. */
static const char *audio_format(struct str mime, bool *ret_exact)
{
    static const struct {
        const char *mime, *format;
        bool exact;
    } table[] = {
        {"audio/wav", "wav", true},  {"audio/x-wav", "wav", false}, {"audio/wave", "wav", false},
        {"audio/mpeg", "mp3", true}, {"audio/mp3", "mp3", false},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (!str_eq(mime, str_from_cstr(table[i].mime)))
            continue;
        *ret_exact = table[i].exact;
        return table[i].format;
    }
    return NULL;
}

static void put_audio(struct openai_encoder *e, const struct llm_media *media, int m, int p)
{
    bool exact = true;
    json_key_str(&e->w, "type", STR("input_audio"));
    json_key_object(&e->w, "input_audio");
    json_key_str(&e->w, "data", media->data);
    json_key_str(&e->w, "format", str_from_cstr(audio_format(media->mime, &exact)));
    json_end_object(&e->w);
    if (!exact)
        openai_lose_part(e, LLM_FIELD_PART_MIME, m, p);
    if (media->filename.len)
        openai_lose_part(e, LLM_FIELD_PART_FILENAME, m, p);
}

static void put_document(struct openai_encoder *e, const struct llm_media *media, int m, int p)
{
    json_key_str(&e->w, "type", STR("file"));
    json_key_object(&e->w, "file");
    if (media->data.len) {
        if (media->filename.len)
            json_key_str(&e->w, "filename", media->filename);
        json_key(&e->w, STR("file_data"));
        openai_put_data_url(&e->w, media);
    } else {
        json_key_str(&e->w, "file_id", media->file_id);
        if (media->mime.len)
            openai_lose_part(e, LLM_FIELD_PART_MIME, m, p);
        if (media->filename.len)
            openai_lose_part(e, LLM_FIELD_PART_FILENAME, m, p);
    }
    json_end_object(&e->w);
}

static bool can_carry(const struct llm_part *part, enum llm_role role)
{
    const struct llm_media *media = &part->media;
    bool ignored;
    switch (part->kind) {
    case LLM_PART_TEXT:
        return role != LLM_TOOL;
    case LLM_PART_REFUSAL:
    case LLM_PART_TOOL_CALL:
        return role == LLM_ASSISTANT;
    case LLM_PART_IMAGE:
        return role == LLM_USER && (media->data.len || media->url.len);
    case LLM_PART_DOCUMENT:
        return role == LLM_USER && (media->data.len || media->file_id.len);
    case LLM_PART_AUDIO:
        return role == LLM_USER && media->data.len && audio_format(media->mime, &ignored);
    case LLM_PART_TOOL_RESULT:
        return role == LLM_TOOL;
    case LLM_PART_REASONING:
        return false; /* put_reasoning knows the exception */
    }
    return false;
}

static void put_part(struct openai_encoder *e, const struct llm_part *part, int m, int p)
{
    if (part->kind == LLM_PART_TEXT) {
        openai_put_text_part(e, "text", "text", part->text);
        return;
    }
    if (part->kind == LLM_PART_REFUSAL) {
        openai_put_text_part(e, "refusal", "refusal", part->text);
        return;
    }
    json_begin_object(&e->w);
    if (part->kind == LLM_PART_IMAGE)
        put_image(e, &part->media, m, p);
    else if (part->kind == LLM_PART_AUDIO)
        put_audio(e, &part->media, m, p);
    else
        put_document(e, &part->media, m, p);
    json_end_object(&e->w);
}

/* ---- Messages -------------------------------------------------------------------------------- */

static bool is_content(const struct llm_part *part)
{
    return part->kind != LLM_PART_TOOL_CALL && part->kind != LLM_PART_REASONING;
}

/* The parts that stand in the array, texts and media before refusals; one text alone is a plain
 * string, which every server takes. */
static void put_content(struct openai_encoder *e, const struct llm_message *message,
                        const bool *kept, int m)
{
    const struct llm_part *only = NULL;
    size_t count = 0;
    for (size_t p = 0; p < message->part_count; p++)
        if (kept[p] && is_content(&message->parts[p])) {
            only = &message->parts[p];
            count++;
        }
    json_key(&e->w, STR("content"));
    if (count == 0) {
        json_put_null(&e->w);
        return;
    }
    if (count == 1 && only->kind == LLM_PART_TEXT) {
        json_put_str(&e->w, openai_some(only->text));
        return;
    }
    json_begin_array(&e->w);
    for (int refusals = 0; refusals <= 1; refusals++)
        for (size_t p = 0; p < message->part_count; p++) {
            const struct llm_part *part = &message->parts[p];
            if (kept[p] && is_content(part) && (part->kind == LLM_PART_REFUSAL) == refusals)
                put_part(e, part, m, (int)p);
        }
    json_end_array(&e->w);
}

static void put_calls(struct openai_encoder *e, const struct llm_message *message, int m)
{
    bool open = false;
    for (size_t p = 0; p < message->part_count; p++) {
        const struct llm_part *part = &message->parts[p];
        if (part->kind != LLM_PART_TOOL_CALL)
            continue;
        if (!open)
            json_key_array(&e->w, "tool_calls");
        open = true;
        json_begin_object(&e->w);
        put_call_id(e, "id", part->call_id, m, (int)p);
        json_key_str(&e->w, "type", STR("function"));
        json_key_object(&e->w, "function");
        json_key_str(&e->w, "name", openai_some(part->name));
        json_key_str(&e->w, "arguments", openai_some(part->arguments));
        json_end_object(&e->w);
        json_end_object(&e->w);
    }
    if (open)
        json_end_array(&e->w);
}

static bool has_calls(const struct llm_message *message)
{
    for (size_t p = 0; p < message->part_count; p++)
        if (message->parts[p].kind == LLM_PART_TOOL_CALL)
            return true;
    return false;
}

/* DeepSeek wants the reasoning of turns with calls back, even if it is empty. */
static void put_reasoning(struct openai_encoder *e, const struct llm_message *message,
                          const bool *kept, int m)
{
    if (!openai_has_quirk(e, LLM_QUIRK_REASONING_BACK) || !has_calls(message))
        return;
    bool is_first = true;
    json_key(&e->w, STR("reasoning_content"));
    json_begin_str(&e->w);
    for (size_t p = 0; p < message->part_count; p++) {
        if (message->parts[p].kind != LLM_PART_REASONING || !kept[p])
            continue;
        json_str_part(&e->w, message->parts[p].text);
        if (!is_first)
            openai_lose_part(e, LLM_FIELD_PART_BOUNDARY, m, (int)p);
        is_first = false;
    }
    json_end_str(&e->w);
}

static void put_name(struct openai_encoder *e, const struct llm_message *message, int m)
{
    if (!message->name.len)
        return;
    if (openai_has_quirk(e, LLM_QUIRK_NO_NAME | LLM_QUIRK_MISTRAL))
        llm_losses_add(e->losses, LLM_FIELD_MESSAGE_NAME, m, -1);
    else
        json_key_str(&e->w, "name", message->name);
}

/* Which parts go along; the others are noted. False when none does. */
static bool choose_parts(struct openai_encoder *e, const struct llm_message *message, bool *kept,
                         int m)
{
    bool any = false;
    bool reasoning = message->role == LLM_ASSISTANT &&
                     openai_has_quirk(e, LLM_QUIRK_REASONING_BACK) && has_calls(message);
    for (size_t p = 0; p < message->part_count; p++) {
        const struct llm_part *part = &message->parts[p];
        kept[p] = can_carry(part, message->role) ||
                  (reasoning && part->kind == LLM_PART_REASONING && part->text.len);
        any |= kept[p];
        if (!kept[p])
            openai_lose_part(e, LLM_FIELD_PART, m, (int)p);
        else if (part->opaque_count)
            openai_lose_part(e, LLM_FIELD_PART_OPAQUE, m, (int)p);
    }
    return any;
}

static void put_message(struct openai_encoder *e, const struct llm_message *message,
                        const bool *kept, int m)
{
    bool developer = !openai_has_quirk(e, LLM_QUIRK_NO_DEVELOPER_ROLE | LLM_QUIRK_MISTRAL);
    struct str role = message->role == LLM_USER        ? STR("user")
                      : message->role == LLM_ASSISTANT ? STR("assistant")
                      : developer                      ? STR("developer")
                                                       : STR("system");
    json_begin_object(&e->w);
    json_key_str(&e->w, "role", role);
    put_name(e, message, m);
    put_content(e, message, kept, m);
    if (message->role == LLM_ASSISTANT) {
        put_reasoning(e, message, kept, m);
        put_calls(e, message, m);
    }
    json_end_object(&e->w);
    openai_note_order(e->losses, m, message->parts, message->part_count, kept);
}

/* ---- Tool results ---------------------------------------------------------------------------- */

static void put_result_content(struct openai_encoder *e, const struct llm_part *result, int m,
                               int p)
{
    size_t texts = 0;
    for (size_t i = 0; i < result->content_count; i++)
        texts += result->content[i].kind == LLM_PART_TEXT;
    if (texts != result->content_count || texts == 0)
        openai_lose_part(e, LLM_FIELD_PART_CONTENT, m, p);
    json_key(&e->w, STR("content"));
    if (texts != 1)
        texts ? json_begin_array(&e->w) : json_put_str(&e->w, STR(""));
    for (size_t i = 0; i < result->content_count; i++) {
        struct str text = result->content[i].text;
        if (result->content[i].kind != LLM_PART_TEXT)
            continue;
        if (texts == 1)
            json_put_str(&e->w, openai_some(text));
        else
            openai_put_text_part(e, "text", "text", text);
    }
    if (texts > 1)
        json_end_array(&e->w);
}

static void put_result(struct openai_encoder *e, const struct llm_part *result, int m, int p)
{
    json_begin_object(&e->w);
    json_key_str(&e->w, "role", STR("tool"));
    put_call_id(e, "tool_call_id", result->call_id, m, p);
    put_result_content(e, result, m, p);
    json_end_object(&e->w);
    openai_note_result(e, result, m, p);
}

/* Each result is a message on the wire; neighbours read back as one. *after_results: whether the
 * message before was such. */
static void put_tool_message(struct openai_encoder *e, const struct llm_message *message,
                             const bool *kept, int m, bool after_results)
{
    for (size_t p = 0; p < message->part_count; p++)
        if (kept[p])
            put_result(e, &message->parts[p], m, (int)p);
    if (message->name.len)
        llm_losses_add(e->losses, LLM_FIELD_MESSAGE_NAME, m, -1);
    if (after_results)
        llm_losses_add(e->losses, LLM_FIELD_MESSAGE_BOUNDARY, m, -1);
}

static void put_messages(struct openai_encoder *e)
{
    bool after_results = false;
    json_key_array(&e->w, "messages");
    for (size_t i = 0; i < e->request->message_count; i++) {
        const struct llm_message *message = &e->request->messages[i];
        bool *kept = ARENA_NEW_ARRAY(e->arena, message->part_count, bool);
        openai_note_calls(e, message);
        if (!choose_parts(e, message, kept, (int)i)) {
            llm_losses_add(e->losses, LLM_FIELD_MESSAGE, (int)i, -1);
            continue;
        }
        if (message->role == LLM_TOOL)
            put_tool_message(e, message, kept, (int)i, after_results);
        else
            put_message(e, message, kept, (int)i);
        after_results = message->role == LLM_TOOL;
    }
    json_end_array(&e->w);
}

/* ---- Tools ----------------------------------------------------------------------------------- */

static void put_tool(struct openai_encoder *e, const struct llm_tool *tool, int index)
{
    json_begin_object(&e->w);
    json_key_str(&e->w, "type", STR("function"));
    json_key_object(&e->w, "function");
    json_key_str(&e->w, "name", openai_some(tool->name));
    if (tool->description.len)
        json_key_str(&e->w, "description", tool->description);
    if (tool->schema.len && openai_is_json_object(e->arena, tool->schema))
        json_key_raw(&e->w, "parameters", tool->schema);
    else if (tool->schema.len)
        llm_losses_add(e->losses, LLM_FIELD_TOOL_SCHEMA, index, -1);
    openai_key_tristate(&e->w, "strict", tool->strict);
    json_end_object(&e->w);
    json_end_object(&e->w);
}

static void put_tool_choice(struct openai_encoder *e)
{
    const struct llm_request *request = e->request;
    const char *word = openai_choice_word(request->tool_choice);
    if (request->tool_choice == LLM_TOOL_CHOICE_REQUIRED && openai_has_quirk(e, LLM_QUIRK_MISTRAL))
        word = "any";
    if (word) {
        json_key_str(&e->w, "tool_choice", str_from_cstr(word));
        return;
    }
    json_key_object(&e->w, "tool_choice");
    json_key_str(&e->w, "type", STR("function"));
    json_key_object(&e->w, "function");
    json_key_str(&e->w, "name", request->tool_choice_name);
    json_end_object(&e->w);
    json_end_object(&e->w);
}

/* ---- Parameters ------------------------------------------------------------------------------ */

static void put_format(struct openai_encoder *e)
{
    const struct llm_request *request = e->request;
    bool is_schema = request->format == LLM_FORMAT_SCHEMA;
    bool broken = is_schema && request->format_schema.len &&
                  !openai_is_json_object(e->arena, request->format_schema);
    if (request->format == LLM_FORMAT_UNSET)
        return;
    json_key_object(&e->w, "response_format");
    if (is_schema && !broken) {
        json_key_str(&e->w, "type", STR("json_schema"));
        json_key_object(&e->w, "json_schema");
        openai_put_schema(e);
        json_end_object(&e->w);
    } else if (request->format == LLM_FORMAT_TEXT) {
        json_key_str(&e->w, "type", STR("text"));
    } else {
        json_key_str(&e->w, "type", STR("json_object"));
    }
    json_end_object(&e->w);
    if (broken)
        openai_lose(e, LLM_FIELD_FORMAT);
}

static void put_sampling(struct openai_encoder *e)
{
    const struct llm_request *request = e->request;
    bool refused = openai_has_quirk(e, LLM_QUIRK_NO_SAMPLING);
    if (refused && request->temperature.is_set)
        openai_lose(e, LLM_FIELD_TEMPERATURE);
    else
        openai_key_double(&e->w, "temperature", request->temperature);
    if (refused && request->top_p.is_set)
        openai_lose(e, LLM_FIELD_TOP_P);
    else
        openai_key_double(&e->w, "top_p", request->top_p);
    openai_key_double(&e->w, "frequency_penalty", request->frequency_penalty);
    openai_key_double(&e->w, "presence_penalty", request->presence_penalty);
    if (request->top_k.is_set)
        openai_lose(e, LLM_FIELD_TOP_K);
    if (request->seed.is_set)
        json_key_int(&e->w, openai_has_quirk(e, LLM_QUIRK_MISTRAL) ? "random_seed" : "seed",
                     request->seed.value);
}

static void put_stops(struct openai_encoder *e)
{
    const struct llm_request *request = e->request;
    if (request->stop_count == 0)
        return;
    json_key_array(&e->w, "stop");
    for (size_t i = 0; i < request->stop_count && i < STOPS_MAX; i++)
        json_put_str(&e->w, request->stops[i]);
    json_end_array(&e->w);
    if (request->stop_count > STOPS_MAX)
        openai_lose(e, LLM_FIELD_STOPS);
}

/* api.openai.com wants safety_identifier by now, the others know user. */
static void put_user(struct openai_encoder *e)
{
    struct str user = e->request->user;
    bool is_openai = !openai_has_quirk(e, LLM_QUIRK_NO_DEVELOPER_ROLE);
    if (!user.len)
        return;
    if (openai_has_quirk(e, LLM_QUIRK_MISTRAL) || (is_openai && user.len > USER_BYTES_MAX))
        openai_lose(e, LLM_FIELD_USER);
    else
        json_key_str(&e->w, is_openai ? "safety_identifier" : "user", user);
}

static void put_effort(struct openai_encoder *e)
{
    if (e->request->effort == LLM_EFFORT_UNSET)
        return;
    if (openai_has_quirk(e, LLM_QUIRK_MISTRAL))
        openai_lose(e, LLM_FIELD_EFFORT);
    else
        json_key_str(&e->w, "reasoning_effort",
                     str_from_cstr(openai_effort_name(e->request->effort)));
}

static void put_stream(struct openai_encoder *e)
{
    bool refused = openai_has_quirk(e, LLM_QUIRK_NO_STREAM_OPTIONS | LLM_QUIRK_MISTRAL);
    bool usage = e->request->stream_usage && e->request->stream && !refused;
    if (e->request->stream)
        json_key_bool(&e->w, "stream", true);
    if (usage) {
        json_key_object(&e->w, "stream_options");
        json_key_bool(&e->w, "include_usage", true);
        json_end_object(&e->w);
    }
    if (e->request->stream_usage && !usage)
        openai_lose(e, LLM_FIELD_STREAM_USAGE);
}

static void put_members(struct openai_encoder *e)
{
    bool old_name = openai_has_quirk(e, LLM_QUIRK_MAX_TOKENS | LLM_QUIRK_MISTRAL);
    put_messages(e);
    openai_put_tools(e, put_tool, put_tool_choice);
    put_format(e);
    put_effort(e);
    if (e->request->max_output_tokens.is_set)
        json_key_int(&e->w, old_name ? "max_tokens" : "max_completion_tokens",
                     e->request->max_output_tokens.value);
    put_sampling(e);
    put_stops(e);
    put_user(e);
    put_stream(e);
}

enum err openai_chat_encode_request(struct arena *arena, const struct llm_request *request,
                                    const struct dialect_target *target, struct buf *out,
                                    struct llm_losses *losses, struct error *error)
{
    struct openai_encoder e = {
        .arena = arena, .request = request, .target = target, .losses = losses};
    return openai_put_body(&e, out, put_members, error);
}
