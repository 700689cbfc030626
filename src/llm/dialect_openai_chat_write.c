/* OpenAI Chat Completions: canonical answers as our door sends them, whole or in chunks.
 *
 * Chunks: role (START), deltas, finish (FINISH), usage if asked for, [DONE] (END). An error becomes
 * a chunk {"error":{...}} and END still appends [DONE]. */
#include <string.h>

#include "base/json.h"
#include "llm/dialect_openai_chat.h"
#include "llm/encoder.h"

enum { WHOLE_BYTES_BESIDE = 768 }; /* of a whole answer, as a rule: all but its text */

/* ---- What both share ------------------------------------------------------------------------- */

static const char *finish_word(enum llm_finish finish)
{
    switch (finish) {
    case LLM_FINISH_LENGTH:
        return "length";
    case LLM_FINISH_TOOL_CALLS:
        return "tool_calls";
    case LLM_FINISH_CONTENT_FILTERED:
        return "content_filter";
    default:
        return "stop";
    }
}

/* The finish_reason, and what reading it back beside the calls and refusals would differ in. */
static struct str choose_finish(enum llm_finish finish, struct str raw, bool has_calls,
                                bool has_refusal, struct llm_losses *losses)
{
    struct str word = str_from_cstr(finish_word(finish));
    if (openai_chat_finish(word, has_calls, has_refusal, NULL) != finish)
        llm_losses_add(losses, LLM_FIELD_RESPONSE_FINISH, -1, -1);
    if (!str_eq(word, raw))
        llm_losses_add(losses, LLM_FIELD_RESPONSE_FINISH_RAW, -1, -1);
    return word;
}

static void put_call_head(struct json_writer *w, struct str id, struct str name)
{
    json_key_str(w, "id", id.data ? id : STR(""));
    json_key_str(w, "type", STR("function"));
    json_key_object(w, "function");
    json_key_str(w, "name", name.data ? name : STR(""));
}

/* An id that a reader would take for none. */
static bool is_no_id(struct str id)
{
    return !id.len || str_eq(id, STR("null"));
}

/* ---- Whole answers --------------------------------------------------------------------------- */

struct whole {
    const struct llm_response *response;
    struct json_writer w;
    struct llm_losses *losses;
    bool *kept;
};

static size_t text_bytes(const struct whole *whole, enum llm_part_kind kind)
{
    size_t bytes = 0;
    for (size_t i = 0; i < whole->response->part_count; i++)
        if (whole->response->parts[i].kind == kind)
            bytes += whole->response->parts[i].text.len;
    return bytes;
}

/* Text of ours up to where a value follows: that much less to be put together. */
static void put_piece(struct json_writer *w, struct str piece)
{
    buf_append(w->out, piece);
    w->comma = false;
}

/* All texts of one kind as one string member; nothing to say is null, and loses the part. */
static void put_texts(struct whole *whole, struct str key, enum llm_part_kind kind,
                      bool even_if_null)
{
    bool any = text_bytes(whole, kind) > 0, is_first = true;
    if (any || even_if_null)
        json_literal_key(&whole->w, key);
    if (any)
        json_begin_str(&whole->w);
    else if (even_if_null)
        json_put_null(&whole->w);
    for (size_t i = 0; i < whole->response->part_count; i++) {
        const struct llm_part *part = &whole->response->parts[i];
        if (part->kind != kind)
            continue;
        whole->kept[i] = any;
        if (!any) {
            llm_losses_add(whole->losses, LLM_FIELD_PART, -1, (int)i);
            continue;
        }
        json_str_part(&whole->w, part->text);
        if (!is_first)
            llm_losses_add(whole->losses, LLM_FIELD_PART_BOUNDARY, -1, (int)i);
        if (part->opaque_count)
            llm_losses_add(whole->losses, LLM_FIELD_PART_OPAQUE, -1, (int)i);
        is_first = false;
    }
    if (any)
        json_end_str(&whole->w);
}

static void put_call(struct whole *whole, const struct llm_part *part, int index)
{
    json_begin_object(&whole->w);
    put_call_head(&whole->w, part->call_id, part->name);
    json_key_str(&whole->w, "arguments", part->arguments.data ? part->arguments : STR(""));
    json_end_object(&whole->w);
    json_end_object(&whole->w);
    if (is_no_id(part->call_id))
        llm_losses_add(whole->losses, LLM_FIELD_PART_CALL_ID, -1, index);
    if (!part->arguments.len)
        llm_losses_add(whole->losses, LLM_FIELD_PART_ARGUMENTS, -1, index);
    if (part->opaque_count)
        llm_losses_add(whole->losses, LLM_FIELD_PART_OPAQUE, -1, index);
}

/* True when there was any. */
static bool put_calls(struct whole *whole)
{
    bool any = false;
    for (size_t i = 0; i < whole->response->part_count; i++) {
        const struct llm_part *part = &whole->response->parts[i];
        if (part->kind != LLM_PART_TOOL_CALL) {
            if (!whole->kept[i]) /* media and results have no place here */
                llm_losses_add(whole->losses, LLM_FIELD_PART, -1, (int)i);
            continue;
        }
        if (!any)
            json_key_array(&whole->w, "tool_calls");
        any = whole->kept[i] = true;
        put_call(whole, part, (int)i);
    }
    if (any)
        json_end_array(&whole->w);
    return any;
}

static void put_choice(struct whole *whole)
{
    const struct llm_response *response = whole->response;
    put_piece(&whole->w, STR("{\"index\":0,\"message\":{\"role\":\"assistant\""));
    whole->w.comma = true;
    put_texts(whole, STR("content"), LLM_PART_TEXT, true);
    put_texts(whole, STR("refusal"), LLM_PART_REFUSAL, true);
    put_texts(whole, STR("reasoning_content"), LLM_PART_REASONING, false);
    bool has_calls = put_calls(whole);
    put_piece(&whole->w, STR("},\"logprobs\":null,\"finish_reason\":\""));
    buf_append(whole->w.out, choose_finish(response->finish, response->finish_raw, has_calls,
                                           text_bytes(whole, LLM_PART_REFUSAL) > 0, whole->losses));
    put_piece(&whole->w, STR("\"}"));
    openai_note_order(whole->losses, -1, response->parts, response->part_count, whole->kept);
}

void openai_chat_encode_response(struct arena *arena, const struct llm_response *response,
                                 int64_t created_ms, struct buf *out, struct llm_losses *losses)
{
    struct whole whole = {.response = response,
                          .losses = losses,
                          .kept = ARENA_NEW_ARRAY(arena, response->part_count, bool)};
    struct json_writer *w = &whole.w;
    json_writer_init(w, out);
    buf_expect(out, WHOLE_BYTES_BESIDE + text_bytes(&whole, LLM_PART_TEXT));
    put_piece(w, STR("{\"id\":"));
    json_put_str(w, response->id.data ? response->id : STR(""));
    put_piece(w, STR(",\"object\":\"chat.completion\",\"created\":"));
    json_put_int(w, created_ms / 1000);
    put_piece(w, STR(",\"model\":"));
    json_put_str(w, response->model.data ? response->model : STR(""));
    put_piece(w, STR(",\"choices\":["));
    put_choice(&whole);
    json_end_array(w);
    if (openai_usage_is_known(&response->usage)) {
        json_literal_key(w, STR("usage"));
        openai_put_usage(w, &openai_chat_usage, &response->usage);
        openai_note_usage(&response->usage, losses);
    }
    llm_put_extension(w, response->extension, losses);
    json_end_object(w);
}

/* ---- Chunks ---------------------------------------------------------------------------------- */

struct dialect_encoder {
    struct arena *arena;
    int64_t created_s;
    bool include_usage;
    struct str prefix;       /* of every chunk, up to its choices: made once, by START */
    struct str delta_prefix; /* the same and on, up to the delta's first member */
    struct llm_usage usage;
    bool has_calls, has_refusal;
    bool *call_has_arguments; /* by index; NULL: none has */
    struct llm_cursor cursor;
    struct openai_book book; /* for losses */
};

struct dialect_encoder *openai_chat_encoder_new(struct arena *arena, int64_t created_ms,
                                                bool include_usage)
{
    struct dialect_encoder *encoder = ARENA_NEW(arena, struct dialect_encoder);
    encoder->arena = arena;
    encoder->created_s = created_ms / 1000;
    encoder->include_usage = include_usage;
    encoder->usage = LLM_USAGE_UNKNOWN;
    llm_cursor_init(&encoder->cursor, arena);
    return encoder;
}

static void make_prefix(struct dialect_encoder *encoder, struct str id, struct str model)
{
    struct json_writer w;
    struct buf prefix;
    buf_init(&prefix, SIZE_MAX);
    buf_append(&prefix, STR("data: "));
    json_writer_init(&w, &prefix);
    json_begin_object(&w);
    json_key_str(&w, "id", id.data ? id : STR(""));
    json_key_str(&w, "object", STR("chat.completion.chunk"));
    json_key_int(&w, "created", encoder->created_s);
    json_key_str(&w, "model", model.data ? model : STR(""));
    json_key_array(&w, "choices");
    size_t length = prefix.len;
    buf_append(&prefix, STR("{\"index\":0,\"delta\":{"));
    encoder->delta_prefix = arena_str(encoder->arena, buf_str(&prefix));
    encoder->prefix = str_slice(encoder->delta_prefix, 0, length);
    buf_done(&prefix);
}

static void chunk_begin(struct dialect_encoder *encoder, struct json_writer *w, struct buf *out,
                        bool has_delta)
{
    if (!encoder->prefix.len)
        make_prefix(encoder, STR(""), STR(""));
    buf_append(out, has_delta ? encoder->delta_prefix : encoder->prefix);
    json_writer_init(w, out);
}

static void delta_begin(struct dialect_encoder *encoder, struct json_writer *w, struct buf *out)
{
    chunk_begin(encoder, w, out, true);
}

#define DELTA_END "},\"logprobs\":null,\"finish_reason\":"
#define CHUNK_END "}]}\n\n"
#define USAGE_END "}],\"usage\":null}\n\n"

/* Of all deltas but the last: nothing finished yet. */
static void delta_end(struct dialect_encoder *encoder, struct buf *out)
{
    buf_append(out, encoder->include_usage ? STR(DELTA_END "null" USAGE_END)
                                           : STR(DELTA_END "null" CHUNK_END));
}

static void encode_start(struct dialect_encoder *encoder, const struct llm_event *event,
                         struct buf *out)
{
    struct json_writer w;
    make_prefix(encoder, event->id, event->model);
    delta_begin(encoder, &w, out);
    json_key_str(&w, "role", STR("assistant"));
    json_key_str(&w, "content", STR(""));
    delta_end(encoder, out);
}

/* The most frequent chunk: `begin` is its key with the text's first quote, so that beside the text
 * there is nothing but bytes to copy. */
static void encode_text(struct dialect_encoder *encoder, struct str begin, struct str text,
                        struct buf *out)
{
    struct json_writer w;
    if (!text.len)
        return;
    delta_begin(encoder, &w, out);
    buf_append(out, begin);
    json_escape(out, text);
    buf_append_char(out, '"');
    delta_end(encoder, out);
}

static void call_delta_begin(struct dialect_encoder *encoder, struct json_writer *w, int index,
                             struct buf *out)
{
    delta_begin(encoder, w, out);
    json_key_array(w, "tool_calls");
    json_begin_object(w);
    json_key_int(w, "index", index);
}

static void call_delta_end(struct dialect_encoder *encoder, struct json_writer *w, struct str text,
                           struct buf *out)
{
    json_key_str(w, "arguments", text);
    json_end_object(w);
    json_end_object(w);
    json_end_array(w);
    delta_end(encoder, out);
}

static void encode_call(struct dialect_encoder *encoder, const struct llm_event *event,
                        struct buf *out, struct llm_losses *losses)
{
    struct json_writer w;
    encoder->has_calls = true;
    if (is_no_id(event->id))
        llm_losses_add(losses, LLM_FIELD_PART_CALL_ID, -1, encoder->book.part);
    call_delta_begin(encoder, &w, event->index, out);
    put_call_head(&w, event->id, event->name);
    call_delta_end(encoder, &w, STR(""), out);
}

static void encode_arguments(struct dialect_encoder *encoder, const struct llm_event *event,
                             struct buf *out)
{
    struct json_writer w;
    if (!event->text.len || event->index < 0 || event->index >= LLM_CALLS_MAX)
        return;
    if (!encoder->call_has_arguments) /* most answers call no tool */
        encoder->call_has_arguments = ARENA_NEW_ARRAY(encoder->arena, LLM_CALLS_MAX, bool);
    encoder->call_has_arguments[event->index] = true;
    call_delta_begin(encoder, &w, event->index, out);
    json_key_object(&w, "function");
    call_delta_end(encoder, &w, event->text, out);
}

/* USAGE comes before FINISH: what its place at the very end cannot hold is known by then. A client
 * that did not ask for it is not told that it has lost it. */
static void note_ending_usage(const struct dialect_encoder *encoder, struct llm_losses *losses)
{
    bool is_known = openai_usage_is_known(&encoder->usage);
    if (is_known && encoder->include_usage)
        openai_note_usage(&encoder->usage, losses);
    else if (is_known && !(losses && losses->is_told))
        llm_losses_add(losses, LLM_FIELD_RESPONSE_USAGE, -1, -1);
}

static void encode_finish(struct dialect_encoder *encoder, const struct llm_event *event,
                          struct buf *out, struct llm_losses *losses)
{
    struct json_writer w;
    note_ending_usage(encoder, losses);
    delta_begin(encoder, &w, out);
    buf_append(out, STR(DELTA_END));
    json_put_str(&w, choose_finish(event->finish, event->finish_raw, encoder->has_calls,
                                   encoder->has_refusal, losses));
    struct str end = encoder->include_usage ? STR(USAGE_END) : STR(CHUNK_END);
    if (event->extension.data || (losses && losses->is_told && losses->count)) {
        struct str brace = STR("}\n\n"); /* in front of the chunk's own */
        buf_append(out, str_slice(end, 0, end.len - brace.len));
        llm_put_extension(&w, event->extension, losses);
        end = brace;
    }
    buf_append(out, end);
}

static void encode_end(struct dialect_encoder *encoder, struct buf *out)
{
    struct json_writer w;
    bool known = openai_usage_is_known(&encoder->usage);
    if (known && encoder->include_usage) {
        chunk_begin(encoder, &w, out, false);
        json_end_array(&w);
        json_key(&w, STR("usage"));
        openai_put_usage(&w, &openai_chat_usage, &encoder->usage);
        json_end_object(&w);
        buf_append(out, STR("\n\n"));
    }
    buf_append(out, STR("data: [DONE]\n\n"));
}

static void encode_error(const struct llm_error *error, struct buf *out)
{
    buf_append(out, STR("data: "));
    openai_encode_error(error, out);
    buf_append(out, STR("\n\n"));
}

/* ---- Losses of chunks ------------------------------------------------------------------------ */

/* Keeps book of parts: a reader joins texts that only an opaque held apart. */
static void note_part(struct dialect_encoder *encoder, const struct llm_event *event,
                      struct llm_losses *losses)
{
    bool begins;
    int part = llm_cursor_add(&encoder->cursor, event, &begins);
    if (begins)
        openai_book_begin(&encoder->book, part, encoder->cursor.kind, losses);
    if (event->kind == LLM_EVENT_OPAQUE)
        openai_book_opaque(&encoder->book, part, false, losses);
    else if (event->kind == LLM_EVENT_TEXT || event->kind == LLM_EVENT_REASONING ||
             event->kind == LLM_EVENT_REFUSAL)
        openai_book_text(&encoder->book, event->text.len, losses);
}

static void end_call(struct dialect_encoder *encoder, const struct llm_event *event,
                     struct llm_losses *losses)
{
    int part = llm_cursor_add(&encoder->cursor, event, NULL);
    if (part >= 0 && !(encoder->call_has_arguments && encoder->call_has_arguments[event->index]))
        llm_losses_add(losses, LLM_FIELD_PART_ARGUMENTS, -1, part);
}

void openai_chat_encode_event(struct dialect_encoder *encoder, const struct llm_event *event,
                              struct buf *out, struct llm_losses *losses)
{
    note_part(encoder, event, losses);
    switch (event->kind) {
    case LLM_EVENT_START:
        encode_start(encoder, event, out);
        break;
    case LLM_EVENT_TEXT:
        encode_text(encoder, STR("\"content\":\""), event->text, out);
        break;
    case LLM_EVENT_REASONING:
        encode_text(encoder, STR("\"reasoning_content\":\""), event->text, out);
        break;
    case LLM_EVENT_REFUSAL:
        encoder->has_refusal |= event->text.len > 0;
        encode_text(encoder, STR("\"refusal\":\""), event->text, out);
        break;
    case LLM_EVENT_OPAQUE: /* noted as lost */
        break;
    case LLM_EVENT_TOOL_START:
        encode_call(encoder, event, out, losses);
        break;
    case LLM_EVENT_TOOL_ARGUMENTS:
        encode_arguments(encoder, event, out);
        break;
    case LLM_EVENT_TOOL_END:
        end_call(encoder, event, losses);
        break;
    case LLM_EVENT_USAGE:
        encoder->usage = event->usage;
        break;
    case LLM_EVENT_FINISH:
        openai_book_end(&encoder->book, losses);
        encode_finish(encoder, event, out, losses);
        break;
    case LLM_EVENT_ERROR:
        encode_error(event->error, out);
        break;
    case LLM_EVENT_END:
        encode_end(encoder, out);
        break;
    }
}
