/* OpenAI Responses: canonical events as the stream of our door. Every item is announced, grows by
 * deltas, and is repeated whole when done, so the encoder builds the answer beside writing it.
 *
 *            open_message                    close_item
 *   (none) --------------> message, parts ----------------+
 *      |     open_reasoning                               v
 *      +-----------------> reasoning --------------> next item, at last response.completed
 *      |     encode_call                                  ^
 *      +-----------------> function calls, any number ----+ close_call at their own end
 */
#include <string.h>

#include "base/json.h"
#include "base/vec.h"
#include "llm/dialect_openai_responses.h"

/* What a part of the answer became. */
struct place {
    int64_t output_index, content_index;
    bool is_open;
};

struct dialect_encoder {
    struct arena *arena;
    struct openai_responses_head head;
    int64_t sequence, next_output;
    struct llm_builder *builder;
    struct llm_cursor cursor;
    struct openai_book book;
    struct place *places; /* by part */
    size_t place_count, place_capacity;
    int message;   /* first part of the open message item, or -1 */
    int part;      /* its open part, or -1 */
    int reasoning; /* the open reasoning part, or -1 */
    bool has_calls, has_refusal;
};

struct dialect_encoder *openai_responses_encoder_new(struct arena *arena, int64_t created_ms,
                                                     bool include_usage)
{
    struct dialect_encoder *encoder = ARENA_NEW(arena, struct dialect_encoder);
    (void)include_usage; /* the last event always has it */
    encoder->arena = arena;
    encoder->head.created_s = created_ms / 1000;
    encoder->builder = llm_builder_new(arena, SIZE_MAX);
    encoder->message = encoder->part = encoder->reasoning = -1;
    llm_cursor_init(&encoder->cursor, arena);
    return encoder;
}

/* ---- Frames ---------------------------------------------------------------------------------- */

static void frame_begin(struct dialect_encoder *encoder, struct json_writer *w, struct buf *out,
                        const char *type)
{
    buf_append(out, STR("event: "));
    buf_append(out, str_from_cstr(type));
    buf_append(out, STR("\ndata: "));
    json_writer_init(w, out);
    json_begin_object(w);
    json_key_str(w, "type", str_from_cstr(type));
    json_key_int(w, "sequence_number", encoder->sequence++);
}

static void frame_end(struct json_writer *w)
{
    json_end_object(w);
    buf_append(w->out, STR("\n\n"));
}

static const struct llm_part *part_at(struct dialect_encoder *encoder, int part)
{
    return &llm_builder_response(encoder->builder)->parts[part];
}

/* A frame about a part: its item, its place, and what the caller adds. */
static void part_begin(struct dialect_encoder *encoder, struct json_writer *w, struct buf *out,
                       const char *type, int part)
{
    const struct place *place = &encoder->places[part];
    enum llm_part_kind kind = part_at(encoder, part)->kind;
    frame_begin(encoder, w, out, type);
    openai_responses_put_item_id(w, "item_id", &encoder->head, kind, place->output_index);
    json_key_int(w, "output_index", place->output_index);
    if (kind == LLM_PART_REASONING)
        json_key_int(w, "summary_index", 0);
    else if (kind != LLM_PART_TOOL_CALL)
        json_key_int(w, "content_index", place->content_index);
}

static void item_begin(struct dialect_encoder *encoder, struct json_writer *w, struct buf *out,
                       int64_t output_index, bool is_done)
{
    frame_begin(encoder, w, out,
                is_done ? "response.output_item.done" : "response.output_item.added");
    json_key_int(w, "output_index", output_index);
    json_key(w, STR("item"));
}

/* ---- Message items --------------------------------------------------------------------------- */

static void put_part_frame(struct dialect_encoder *encoder, struct buf *out, const char *type,
                           struct str text)
{
    struct json_writer w;
    part_begin(encoder, &w, out, type, encoder->part);
    json_key(&w, STR("part"));
    openai_responses_put_message_part(&w, part_at(encoder, encoder->part)->kind, text);
    frame_end(&w);
}

static void close_part(struct dialect_encoder *encoder, struct buf *out)
{
    if (encoder->part < 0)
        return;
    struct json_writer w;
    const struct llm_part *part = part_at(encoder, encoder->part);
    bool is_text = part->kind == LLM_PART_TEXT;
    part_begin(encoder, &w, out, is_text ? "response.output_text.done" : "response.refusal.done",
               encoder->part);
    json_key_str(&w, is_text ? "text" : "refusal", part->text);
    frame_end(&w);
    put_part_frame(encoder, out, "response.content_part.done", part->text);
    encoder->part = -1;
}

static void close_message(struct dialect_encoder *encoder, struct buf *out)
{
    if (encoder->message < 0)
        return;
    struct json_writer w;
    int64_t number = encoder->places[encoder->message].output_index;
    close_part(encoder, out);
    item_begin(encoder, &w, out, number, true);
    openai_responses_put_message_head(&w, &encoder->head, number, true);
    for (size_t i = (size_t)encoder->message; i < encoder->place_count; i++)
        if (encoder->places[i].is_open && encoder->places[i].output_index == number)
            openai_responses_put_message_part(&w, part_at(encoder, (int)i)->kind,
                                              part_at(encoder, (int)i)->text);
    json_end_array(&w);
    json_end_object(&w);
    frame_end(&w);
    encoder->message = -1;
}

static void open_message(struct dialect_encoder *encoder, int part, struct str id, struct buf *out)
{
    struct json_writer w;
    if (encoder->message >= 0)
        return;
    int64_t number = encoder->next_output++;
    encoder->message = part;
    encoder->head.item_id = arena_str(encoder->arena, id);
    encoder->head.item_number = number;
    item_begin(encoder, &w, out, number, false);
    openai_responses_put_message_head(&w, &encoder->head, number, false);
    json_end_array(&w);
    json_end_object(&w);
    frame_end(&w);
    encoder->places[part].output_index = number;
}

/* ---- Reasoning items ------------------------------------------------------------------------- */

static void close_summary(struct dialect_encoder *encoder, const struct llm_part *part,
                          struct buf *out)
{
    struct json_writer w;
    part_begin(encoder, &w, out, "response.reasoning_summary_text.done", encoder->reasoning);
    json_key_str(&w, "text", part->text);
    frame_end(&w);
    part_begin(encoder, &w, out, "response.reasoning_summary_part.done", encoder->reasoning);
    json_key_object(&w, "part");
    json_key_str(&w, "type", STR("summary_text"));
    json_key_str(&w, "text", part->text);
    json_end_object(&w);
    frame_end(&w);
}

static void close_reasoning(struct dialect_encoder *encoder, struct buf *out)
{
    if (encoder->reasoning < 0)
        return;
    struct json_writer w;
    const struct llm_part *part = part_at(encoder, encoder->reasoning);
    int64_t number = encoder->places[encoder->reasoning].output_index;
    if (part->text.len)
        close_summary(encoder, part, out);
    item_begin(encoder, &w, out, number, true);
    openai_responses_put_reasoning(&w, &encoder->head, number, part, true);
    frame_end(&w);
    encoder->reasoning = -1;
}

/* Closes what is open, but for calls: they end when their arguments are whole. */
static void close_items(struct dialect_encoder *encoder, struct buf *out)
{
    close_message(encoder, out);
    close_reasoning(encoder, out);
}

static void open_reasoning(struct dialect_encoder *encoder, int part, struct buf *out)
{
    struct json_writer w;
    static const struct llm_part empty = {.kind = LLM_PART_REASONING};
    if (encoder->reasoning == part)
        return;
    close_items(encoder, out);
    encoder->reasoning = part;
    encoder->places[part].is_open = true;
    encoder->places[part].output_index = encoder->next_output++;
    item_begin(encoder, &w, out, encoder->places[part].output_index, false);
    openai_responses_put_reasoning(&w, &encoder->head, encoder->places[part].output_index, &empty,
                                   false);
    frame_end(&w);
}

static void open_summary(struct dialect_encoder *encoder, int part, struct buf *out)
{
    struct json_writer w;
    part_begin(encoder, &w, out, "response.reasoning_summary_part.added", part);
    json_key_object(&w, "part");
    json_key_str(&w, "type", STR("summary_text"));
    json_key_str(&w, "text", STR(""));
    json_end_object(&w);
    frame_end(&w);
}

/* ---- Deltas ---------------------------------------------------------------------------------- */

static void put_delta(struct dialect_encoder *encoder, const char *type, int part, struct str text,
                      struct buf *out)
{
    struct json_writer w;
    part_begin(encoder, &w, out, type, part);
    json_key_str(&w, "delta", text);
    frame_end(&w);
}

static void encode_spoken(struct dialect_encoder *encoder, int part, const struct llm_event *event,
                          const char *type, struct buf *out)
{
    close_reasoning(encoder, out);
    if (encoder->part != part) {
        int64_t content_index =
            encoder->part >= 0 ? encoder->places[encoder->part].content_index + 1 : 0;
        close_part(encoder, out);
        open_message(encoder, part, event->item, out);
        encoder->places[part].output_index = encoder->places[encoder->message].output_index;
        encoder->places[part].content_index = content_index;
        encoder->places[part].is_open = true;
        encoder->part = part;
        put_part_frame(encoder, out, "response.content_part.added", STR(""));
    }
    put_delta(encoder, type, part, event->text, out);
}

static void encode_reasoning(struct dialect_encoder *encoder, int part, struct str text,
                             struct buf *out)
{
    bool is_first = part_at(encoder, part)->text.len == text.len;
    open_reasoning(encoder, part, out);
    if (is_first)
        open_summary(encoder, part, out);
    put_delta(encoder, "response.reasoning_summary_text.delta", part, text, out);
}

/* ---- Calls ----------------------------------------------------------------------------------- */

static void encode_call(struct dialect_encoder *encoder, int part, struct buf *out)
{
    struct json_writer w;
    struct place *place = &encoder->places[part];
    struct llm_part call = *part_at(encoder, part);
    close_items(encoder, out);
    encoder->has_calls = true;
    *place = (struct place){encoder->next_output++, 0, true};
    call.arguments = STR("");
    item_begin(encoder, &w, out, place->output_index, false);
    openai_responses_put_call(&w, &encoder->head, place->output_index, &call, false);
    frame_end(&w);
}

static void close_call(struct dialect_encoder *encoder, int part, struct buf *out,
                       struct llm_losses *losses)
{
    struct json_writer w;
    struct place *place = &encoder->places[part];
    const struct llm_part *call = part_at(encoder, part);
    if (!place->is_open)
        return;
    place->is_open = false;
    part_begin(encoder, &w, out, "response.function_call_arguments.done", part);
    json_key_str(&w, "name", call->name);
    json_key_str(&w, "arguments", call->arguments);
    frame_end(&w);
    item_begin(encoder, &w, out, place->output_index, true);
    openai_responses_put_call(&w, &encoder->head, place->output_index, call, true);
    frame_end(&w);
    if (!call->arguments.len)
        llm_losses_add(losses, LLM_FIELD_PART_ARGUMENTS, -1, part);
    if (!call->call_id.len)
        llm_losses_add(losses, LLM_FIELD_PART_CALL_ID, -1, part);
}

static void close_calls(struct dialect_encoder *encoder, struct buf *out, struct llm_losses *losses)
{
    for (size_t i = 0; i < encoder->place_count; i++)
        if (part_at(encoder, (int)i)->kind == LLM_PART_TOOL_CALL)
            close_call(encoder, (int)i, out, losses);
}

/* ---- Opaque ---------------------------------------------------------------------------------- */

/* The first encrypted content of a reasoning part goes along with the item's end. */
static void encode_opaque(struct dialect_encoder *encoder, const struct llm_event *event, int part,
                          struct buf *out, struct llm_losses *losses)
{
    const struct llm_part *built = part_at(encoder, part);
    const struct llm_opaque *encrypted = openai_responses_encrypted(built, STR(""));
    bool carried = encrypted && encrypted == &built->opaque[built->opaque_count - 1];
    openai_book_opaque(&encoder->book, part, carried, losses);
    if (!carried)
        return;
    open_reasoning(encoder, part, out);
    struct str model = event->opaque.model;
    if (model.len && encoder->head.model.len && !str_eq(model, encoder->head.model))
        llm_losses_add(losses, LLM_FIELD_PART_OPAQUE, -1, part);
}

/* ---- The response ---------------------------------------------------------------------------- */

static void put_response(struct dialect_encoder *encoder, const char *type,
                         enum openai_responses_status status, const struct llm_error *error,
                         struct buf *out)
{
    struct json_writer w;
    frame_begin(encoder, &w, out, type);
    json_key(&w, STR("response"));
    openai_responses_put(&w, &encoder->head, llm_builder_response(encoder->builder), status, error);
    frame_end(&w);
}

static void encode_start(struct dialect_encoder *encoder, const struct llm_event *event,
                         struct buf *out)
{
    encoder->head.id = arena_str(encoder->arena, event->id);
    encoder->head.model = arena_str(encoder->arena, event->model);
    put_response(encoder, "response.created", RESPONSES_IN_PROGRESS, NULL, out);
    put_response(encoder, "response.in_progress", RESPONSES_IN_PROGRESS, NULL, out);
}

static void encode_finish(struct dialect_encoder *encoder, const struct llm_event *event,
                          struct buf *out, struct llm_losses *losses)
{
    openai_book_end(&encoder->book, losses);
    close_items(encoder, out);
    close_calls(encoder, out, losses);
    openai_responses_note_finish(event->finish, event->finish_raw, encoder->has_calls,
                                 encoder->has_refusal, losses);
    openai_note_usage(&llm_builder_response(encoder->builder)->usage, losses);
}

static void encode_error(struct dialect_encoder *encoder, const struct llm_error *error,
                         struct buf *out)
{
    struct json_writer w;
    frame_begin(encoder, &w, out, "error");
    openai_put_error_flat(&w, error);
    frame_end(&w);
}

static void encode_end(struct dialect_encoder *encoder, struct buf *out, struct llm_losses *losses)
{
    encoder->head.losses = losses;
    struct str reason;
    const struct llm_response *response = llm_builder_response(encoder->builder);
    const struct llm_error *error = llm_builder_error(encoder->builder);
    if (error) {
        put_response(encoder, "response.failed", RESPONSES_FAILED, error, out);
        return;
    }
    openai_responses_status_word(response->finish, &reason);
    put_response(encoder, reason.len ? "response.incomplete" : "response.completed",
                 RESPONSES_ENDED, NULL, out);
}

/* ---- Events ---------------------------------------------------------------------------------- */

/* Keeps answer, places and losses in step with the event; returns its part, or -1. */
static int take(struct dialect_encoder *encoder, const struct llm_event *event,
                struct llm_losses *losses)
{
    bool begins;
    if (llm_builder_add(encoder->builder, event))
        return -1;
    int part = llm_cursor_add(&encoder->cursor, event, &begins);
    if (begins) {
        VEC_PUSH(encoder->arena, encoder->places, encoder->place_count, encoder->place_capacity);
        openai_book_begin(&encoder->book, part, encoder->cursor.kind, losses);
    }
    return part;
}

static void encode_text(struct dialect_encoder *encoder, const struct llm_event *event, int part,
                        struct buf *out, struct llm_losses *losses)
{
    if (!event->text.len)
        return;
    openai_book_text(&encoder->book, event->text.len, losses);
    if (event->kind == LLM_EVENT_REASONING)
        encode_reasoning(encoder, part, event->text, out);
    else if (event->kind == LLM_EVENT_TEXT)
        encode_spoken(encoder, part, event, "response.output_text.delta", out);
    else
        encode_spoken(encoder, part, event, "response.refusal.delta", out);
    encoder->has_refusal |= event->kind == LLM_EVENT_REFUSAL;
}

static void encode_part_event(struct dialect_encoder *encoder, const struct llm_event *event,
                              int part, struct buf *out, struct llm_losses *losses)
{
    if (event->kind == LLM_EVENT_OPAQUE)
        encode_opaque(encoder, event, part, out, losses);
    else if (event->kind == LLM_EVENT_TOOL_START)
        encode_call(encoder, part, out);
    else if (event->kind == LLM_EVENT_TOOL_END)
        close_call(encoder, part, out, losses);
    else if (event->kind != LLM_EVENT_TOOL_ARGUMENTS)
        encode_text(encoder, event, part, out, losses);
    else if (event->text.len)
        put_delta(encoder, "response.function_call_arguments.delta", part, event->text, out);
}

void openai_responses_encode_event(struct dialect_encoder *encoder, const struct llm_event *event,
                                   struct buf *out, struct llm_losses *losses)
{
    int part = take(encoder, event, losses);
    if (part >= 0)
        encode_part_event(encoder, event, part, out, losses);
    else if (event->kind == LLM_EVENT_START)
        encode_start(encoder, event, out);
    else if (event->kind == LLM_EVENT_FINISH)
        encode_finish(encoder, event, out, losses);
    else if (event->kind == LLM_EVENT_ERROR)
        encode_error(encoder, event->error, out);
    else if (event->kind == LLM_EVENT_END)
        encode_end(encoder, out, losses);
}

const struct llm_response *openai_responses_encoded(const struct dialect_encoder *encoder)
{
    return llm_builder_response(encoder->builder);
}
