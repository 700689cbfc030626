/* The conversation of a request in the Gemini dialect: system messages, turns, parts.
 *
 * This wire knows two sides, which take turns: "user", with the tool results in front, and "model".
 * Google wants as many results as calls, all in one content right behind the calls and in their
 * order; so messages of one side are merged, results are sorted, what is missing is made up and
 * what answers no call is left out. Each of these is noted as a loss (llm/losses.h). */
#include "llm/dialect_gemini.h"

#include "base/map.h"
#include "base/vec.h"

/* ---- What is gathered of one pair of turns --------------------------------------------------- */

struct slot {
    const struct llm_part *part;
    int message;
    int index;
};

struct call_slot {
    struct slot call;
    struct slot result;          /* part is NULL while there is none */
    struct call_slot *next_same; /* with the same id */
};

/* A model's turn and the user's turn behind it; either may be empty. */
struct exchange {
    struct slot *said; /* by the model, calls among it */
    size_t said_count, said_capacity;
    struct call_slot *calls;
    size_t call_count, call_capacity;
    struct slot *asked; /* by the user, beside the results */
    size_t asked_count, asked_capacity;
    struct map *open_calls; /* by id, the first one without a result; made when it is needed */
    size_t answered;        /* calls up to the last one that has a result */
    /* The first message of each kind, which the others are merged into; NULL: none yet. */
    const struct llm_message *said_by;
    const struct llm_message *answered_by;
    const struct llm_message *asked_by;
    bool is_current; /* no new question of the user comes behind it */
};

struct turns {
    struct arena *arena;
    struct json_writer *w;
    const struct llm_request *request;
    struct str model;
    struct llm_losses *losses;
    int last_question; /* the last message in which the user asks anew */
    struct exchange exchange;
};

/* ---- Which parts go -------------------------------------------------------------------------- */

static bool has_bytes(const struct llm_media *media)
{
    return media->data.len || media->file_id.len;
}

/* Not considered: whether a result answers a call. */
static bool keeps_part(const struct turns *turns, enum llm_role role, const struct llm_part *part)
{
    switch (part->kind) {
    case LLM_PART_TEXT:
        return role != LLM_TOOL && (part->text.len || gemini_signature(part, turns->model));
    case LLM_PART_REASONING: /* a thought of its own goes back to Gemini; others' cost and confuse
                              */
        return role == LLM_ASSISTANT && gemini_signature(part, turns->model);
    case LLM_PART_IMAGE:
    case LLM_PART_DOCUMENT:
    case LLM_PART_AUDIO:
        return (role == LLM_USER || role == LLM_ASSISTANT) && has_bytes(&part->media);
    case LLM_PART_REFUSAL:
        return role == LLM_ASSISTANT && part->text.len;
    case LLM_PART_TOOL_CALL:
        return role == LLM_ASSISTANT;
    case LLM_PART_TOOL_RESULT:
        return role == LLM_TOOL;
    default:
        return false;
    }
}

static bool keeps_message(const struct turns *turns, const struct llm_message *message)
{
    for (size_t i = 0; i < message->part_count; i++)
        if (keeps_part(turns, message->role, &message->parts[i]))
            return true;
    return false;
}

/* ---- Writing parts --------------------------------------------------------------------------- */

static const char *default_mime(enum llm_part_kind kind)
{
    return kind == LLM_PART_IMAGE   ? "image/png"
           : kind == LLM_PART_AUDIO ? "audio/wav"
                                    : "application/pdf";
}

static void put_media(struct json_writer *w, const struct llm_part *part)
{
    const struct llm_media *media = &part->media;
    json_begin_object(w);
    json_key_object(w, media->data.len ? "inlineData" : "fileData");
    json_key_str(w, "mimeType",
                 media->mime.len ? media->mime : str_from_cstr(default_mime(part->kind)));
    if (media->data.len)
        json_key_str(w, "data", media->data);
    else
        json_key_str(w, "fileUri", media->file_id);
    json_end_object(w);
    json_end_object(w);
}

static void note_media(const struct gemini_place *place, const struct llm_media *media)
{
    if (!media->mime.len)
        gemini_lose(place, LLM_FIELD_PART_MIME);
    if (media->filename.len)
        gemini_lose(place, LLM_FIELD_PART_FILENAME);
    if (media->detail.len)
        gemini_lose(place, LLM_FIELD_PART_DETAIL);
}

/* The first call of each turn that is not answered yet must carry a signature. */
static struct str call_signature(const struct turns *turns, const struct slot *slot, bool is_first)
{
    const struct llm_opaque *opaque = gemini_signature(slot->part, turns->model);
    if (opaque)
        return opaque->data;
    bool wants = is_first && turns->exchange.is_current && gemini_wants_signatures(turns->model);
    return wants ? GEMINI_SENTINEL : STR_NONE;
}

static void put_slot(const struct turns *turns, const struct slot *slot, bool is_first_call)
{
    const struct llm_part *part = slot->part;
    const struct gemini_place place = {turns->losses, slot->message, slot->index};
    const struct llm_opaque *opaque = gemini_signature(part, turns->model);
    if (part->opaque_count > (opaque ? 1 : 0))
        gemini_lose(&place, LLM_FIELD_PART_OPAQUE);
    switch (part->kind) {
    case LLM_PART_TEXT:
    case LLM_PART_REASONING:
        gemini_put_text(turns->w, part->text, part->kind == LLM_PART_REASONING,
                        opaque ? opaque->data : STR_NONE);
        break;
    case LLM_PART_REFUSAL:
        gemini_lose(&place, LLM_FIELD_PART_KIND);
        gemini_put_text(turns->w, part->text, false, STR_NONE);
        break;
    case LLM_PART_TOOL_CALL:
        if (!part->call_id.len)
            gemini_lose(&place, LLM_FIELD_PART_CALL_ID);
        gemini_put_call(turns->arena, turns->w, part, call_signature(turns, slot, is_first_call),
                        &place);
        break;
    default:
        note_media(&place, &part->media);
        put_media(turns->w, part);
        break;
    }
}

/* ---- Tool results ---------------------------------------------------------------------------- */

/* Whether a text is a JSON object as we would write it, and not one that reads as a wrapped text:
 * then it can be the response itself. */
static bool is_plain_object(struct arena *arena, struct str text)
{
    yyjson_val *value = NULL;
    if (!text.len || text.data[0] != '{' || json_read(arena, text, &value, NULL) != ERR_OK)
        return false;
    size_t members = yyjson_obj_size(value);
    bool is_wrapper = members == 1 && (json_get(value, "output") || json_get(value, "error"));
    return members && !is_wrapper && str_eq(json_text(arena, value), text);
}

static bool is_nested_media(const struct llm_part *part)
{
    return (part->kind == LLM_PART_IMAGE || part->kind == LLM_PART_DOCUMENT) &&
           has_bytes(&part->media);
}

/* Whether the content has one of the forms that come back alike: at most one text, in front, then
 * pictures and documents that lack nothing. */
static bool content_is_exact(const struct llm_part *part)
{
    bool has_text = part->content_count && part->content[0].kind == LLM_PART_TEXT;
    if (part->is_error && !has_text)
        return false;
    for (size_t i = has_text ? 1 : 0; i < part->content_count; i++) {
        const struct llm_media *media = &part->content[i].media;
        if (!is_nested_media(&part->content[i]) || !media->mime.len || media->filename.len ||
            media->detail.len)
            return false;
    }
    return !has_text || !part->content[0].opaque_count;
}

static void put_joined_text(struct json_writer *w, const struct llm_part *part)
{
    bool comes_first = true;
    json_begin_str(w);
    for (size_t i = 0; i < part->content_count; i++) {
        if (part->content[i].kind != LLM_PART_TEXT)
            continue;
        if (!comes_first)
            json_str_part(w, STR("\n"));
        comes_first = false;
        json_str_part(w, part->content[i].text);
    }
    json_end_str(w);
}

static void put_response(struct arena *arena, struct json_writer *w, const struct llm_part *part)
{
    size_t texts = 0;
    struct str text = STR_NONE;
    for (size_t i = 0; i < part->content_count; i++)
        if (part->content[i].kind == LLM_PART_TEXT && !texts++)
            text = part->content[i].text;
    if (texts == 1 && !part->is_error && is_plain_object(arena, text)) {
        json_key_raw(w, "response", text);
        return;
    }
    json_key_object(w, "response");
    if (texts || part->is_error) {
        json_key(w, part->is_error ? STR("error") : STR("output"));
        put_joined_text(w, part);
    }
    json_end_object(w);
}

static void put_nested(struct json_writer *w, const struct llm_part *part)
{
    bool any = false;
    for (size_t i = 0; i < part->content_count; i++) {
        if (!is_nested_media(&part->content[i]))
            continue;
        if (!any)
            json_key_array(w, "parts");
        any = true;
        put_media(w, &part->content[i]);
    }
    if (any)
        json_end_array(w);
}

static void put_result(const struct turns *turns, const struct call_slot *call)
{
    static const struct llm_part no_text = {.kind = LLM_PART_TEXT,
                                            .text = {"The tool gave no result.", 24}};
    const struct llm_part made_up = {
        .is_error = true, .content = (struct llm_part *)(uintptr_t)&no_text, .content_count = 1};
    const struct llm_part *result = call->result.part ? call->result.part : &made_up;
    const struct llm_part *asked = call->call.part;
    struct json_writer *w = turns->w;
    json_begin_object(w);
    json_key_object(w, "functionResponse");
    if (asked->call_id.len)
        json_key_str(w, "id", asked->call_id);
    json_key_str(w, "name", result->name.len ? result->name : asked->name);
    put_response(turns->arena, w, result);
    put_nested(w, result);
    json_end_object(w);
    json_end_object(w);
}

static void note_result(const struct turns *turns, const struct call_slot *call)
{
    const struct slot *slot = &call->result;
    const struct gemini_place place = {turns->losses, slot->message, slot->index};
    if (!slot->part) {
        llm_losses_add(turns->losses, LLM_FIELD_PART_ADDED, call->call.message, call->call.index);
        return;
    }
    if (!slot->part->name.len && call->call.part->name.len)
        gemini_lose(&place, LLM_FIELD_PART_NAME);
    if (!slot->part->call_id.len)
        gemini_lose(&place, LLM_FIELD_PART_CALL_ID);
    if (!content_is_exact(slot->part))
        gemini_lose(&place, LLM_FIELD_PART_CONTENT);
}

/* ---- Turns ----------------------------------------------------------------------------------- */

static void begin_content(struct json_writer *w, const char *role)
{
    json_begin_object(w);
    json_key_str(w, "role", str_from_cstr(role));
    json_key_array(w, "parts");
}

static void end_content(struct json_writer *w)
{
    json_end_array(w);
    json_end_object(w);
}

static void put_model_turn(const struct turns *turns)
{
    const struct exchange *exchange = &turns->exchange;
    bool is_first_call = true;
    if (!exchange->said_count)
        return;
    begin_content(turns->w, "model");
    for (size_t i = 0; i < exchange->said_count; i++) {
        put_slot(turns, &exchange->said[i], is_first_call);
        if (exchange->said[i].part->kind == LLM_PART_TOOL_CALL)
            is_first_call = false;
    }
    end_content(turns->w);
}

static void put_user_turn(const struct turns *turns)
{
    const struct exchange *exchange = &turns->exchange;
    if (!exchange->call_count && !exchange->asked_count)
        return;
    begin_content(turns->w, "user");
    for (size_t i = 0; i < exchange->call_count; i++) {
        note_result(turns, &exchange->calls[i]);
        put_result(turns, &exchange->calls[i]);
    }
    for (size_t i = 0; i < exchange->asked_count; i++)
        put_slot(turns, &exchange->asked[i], false);
    end_content(turns->w);
}

static void end_exchange(struct turns *turns)
{
    put_model_turn(turns);
    put_user_turn(turns);
    map_free(turns->exchange.open_calls);
    turns->exchange = (struct exchange){0};
}

/* ---- Messages into turns --------------------------------------------------------------------- */

static void lose_message(const struct turns *turns, int message)
{
    llm_losses_add(turns->losses, LLM_FIELD_MESSAGE, message, -1);
}

static void lose_part(const struct turns *turns, int message, size_t part)
{
    llm_losses_add(turns->losses, LLM_FIELD_PART, message, (int)part);
}

static void index_calls(struct exchange *exchange)
{
    exchange->open_calls = map_new();
    for (size_t i = exchange->call_count; i-- > 0;) {
        struct call_slot *call = &exchange->calls[i];
        call->next_same = map_set(exchange->open_calls, call->call.part->call_id, call);
    }
}

/* The first call without a result that `result` may belong to. */
static struct call_slot *take_call(struct exchange *exchange, const struct llm_part *result)
{
    struct call_slot *call = map_get(exchange->open_calls, result->call_id);
    if (call && call->next_same)
        map_set(exchange->open_calls, result->call_id, call->next_same);
    else if (call)
        map_remove(exchange->open_calls, result->call_id);
    return call;
}

/* Gives the results to their calls; returns how many found one. */
static size_t add_results(struct turns *turns, int message)
{
    struct exchange *exchange = &turns->exchange;
    const struct llm_message *source = &turns->request->messages[message];
    size_t kept = 0;
    if (!exchange->open_calls)
        index_calls(exchange);
    for (size_t i = 0; i < source->part_count; i++) {
        const struct llm_part *part = &source->parts[i];
        struct call_slot *call =
            part->kind == LLM_PART_TOOL_RESULT ? take_call(exchange, part) : NULL;
        if (!call) {
            lose_part(turns, message, i);
            continue;
        }
        size_t rank = (size_t)(call - exchange->calls) + 1;
        if (rank < exchange->answered)
            llm_losses_add(turns->losses, LLM_FIELD_PART_MOVED, message, (int)i);
        else
            exchange->answered = rank;
        call->result = (struct slot){part, message, (int)i};
        kept++;
    }
    return kept;
}

/* Merges the message into the `*head` before it, or makes it the head. No participant has a name on
 * this wire. */
static void join(const struct turns *turns, int message, const struct llm_message **head)
{
    const struct llm_message *source = &turns->request->messages[message];
    if (*head)
        llm_losses_add(turns->losses, LLM_FIELD_MESSAGE_BOUNDARY, message, -1);
    if (source->name.len)
        llm_losses_add(turns->losses, LLM_FIELD_MESSAGE_NAME, message, -1);
    if (!*head)
        *head = source;
}

static void add_tool_message(struct turns *turns, int message)
{
    struct exchange *exchange = &turns->exchange;
    /* One without any part is as good a place for what is made up as a new one. */
    bool is_room = !turns->request->messages[message].part_count && exchange->call_count &&
                   !exchange->asked_by;
    if (!add_results(turns, message) && !is_room) {
        lose_message(turns, message);
        return;
    }
    if (exchange->asked_count)
        llm_losses_add(turns->losses, LLM_FIELD_MESSAGE_MOVED, message, -1);
    join(turns, message, &exchange->answered_by);
}

static void add_user_message(struct turns *turns, int message)
{
    struct exchange *exchange = &turns->exchange;
    const struct llm_message *source = &turns->request->messages[message];
    if (source->role == LLM_SYSTEM)
        llm_losses_add(turns->losses, LLM_FIELD_MESSAGE_ROLE, message, -1);
    join(turns, message, &exchange->asked_by);
    for (size_t i = 0; i < source->part_count; i++) {
        if (keeps_part(turns, source->role, &source->parts[i]))
            *VEC_PUSH(turns->arena, exchange->asked, exchange->asked_count,
                      exchange->asked_capacity) = (struct slot){&source->parts[i], message, (int)i};
        else
            lose_part(turns, message, i);
    }
}

static void add_model_message(struct turns *turns, int message)
{
    struct exchange *exchange = &turns->exchange;
    const struct llm_message *source = &turns->request->messages[message];
    if (exchange->answered_by || exchange->asked_by)
        end_exchange(turns);
    if (!exchange->said_by)
        exchange->is_current = message > turns->last_question;
    map_free(exchange->open_calls); /* made for results that fit no call so far */
    exchange->open_calls = NULL;
    join(turns, message, &exchange->said_by);
    for (size_t i = 0; i < source->part_count; i++) {
        const struct llm_part *part = &source->parts[i];
        const struct slot slot = {part, message, (int)i};
        if (!keeps_part(turns, source->role, part)) {
            lose_part(turns, message, i);
            continue;
        }
        *VEC_PUSH(turns->arena, exchange->said, exchange->said_count, exchange->said_capacity) =
            slot;
        if (part->kind == LLM_PART_TOOL_CALL)
            VEC_PUSH(turns->arena, exchange->calls, exchange->call_count, exchange->call_capacity)
                ->call = slot;
    }
}

static void add_message(struct turns *turns, int message)
{
    const struct llm_message *source = &turns->request->messages[message];
    if (source->role == LLM_TOOL)
        add_tool_message(turns, message);
    else if (!keeps_message(turns, source))
        lose_message(turns, message);
    else if (source->role == LLM_ASSISTANT)
        add_model_message(turns, message);
    else
        add_user_message(turns, message);
}

/* ---- System messages ------------------------------------------------------------------------- */

/* The number of messages at the front that make up the systemInstruction: system messages and ones
 * that are left out anyway. Gemma knows none; and the last system message has to be asked where
 * there is nothing else to ask. */
static size_t count_leading(const struct turns *turns)
{
    const struct llm_request *request = turns->request;
    size_t last_system = 0;
    size_t at = 0;
    if (str_starts_with(turns->model, STR("gemma")))
        return 0;
    for (; at < request->message_count; at++) {
        const struct llm_message *message = &request->messages[at];
        if (!keeps_message(turns, message))
            continue;
        if (message->role != LLM_SYSTEM)
            return at;
        last_system = at;
    }
    return last_system;
}

static void put_system_parts(const struct turns *turns, size_t message)
{
    const struct llm_message *source = &turns->request->messages[message];
    for (size_t i = 0; i < source->part_count; i++) {
        if (keeps_part(turns, LLM_SYSTEM, &source->parts[i]))
            put_slot(turns, &(struct slot){&source->parts[i], (int)message, (int)i}, false);
        else
            lose_part(turns, (int)message, i);
    }
}

static void put_system(const struct turns *turns, size_t count)
{
    const struct llm_message *head = NULL;
    for (size_t i = 0; i < count; i++) {
        const struct llm_message *message = &turns->request->messages[i];
        if (!keeps_message(turns, message)) {
            lose_message(turns, (int)i);
            continue;
        }
        if (!head) {
            json_key_object(turns->w, "systemInstruction");
            json_key_array(turns->w, "parts");
        }
        join(turns, (int)i, &head);
        put_system_parts(turns, i);
    }
    if (head)
        end_content(turns->w);
}

/* A user's message directly behind tool results goes on with the turn, others begin one. */
static int find_last_question(const struct turns *turns)
{
    for (size_t i = turns->request->message_count; i-- > 0;) {
        const struct llm_message *message = &turns->request->messages[i];
        bool is_alone = i == 0 || message[-1].role != LLM_TOOL;
        if (message->role == LLM_USER && is_alone && keeps_message(turns, message))
            return (int)i;
    }
    return -1;
}

void gemini_put_turns(struct arena *arena, struct json_writer *w, const struct llm_request *request,
                      const struct dialect_target *target, struct llm_losses *losses)
{
    struct turns turns = {.arena = arena,
                          .w = w,
                          .request = request,
                          .model = gemini_model_id(target->model),
                          .losses = losses};
    turns.last_question = find_last_question(&turns);
    size_t leading = count_leading(&turns);
    put_system(&turns, leading);
    json_key_array(w, "contents");
    for (size_t i = leading; i < request->message_count; i++)
        add_message(&turns, (int)i);
    end_exchange(&turns);
    json_end_array(w);
}
