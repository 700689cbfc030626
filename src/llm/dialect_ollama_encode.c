/* Ollama: canonical events as the lines that the provider would send; for our door. A call goes out
 * whole, so what comes behind a call that is still growing waits for its end:
 *
 *   text --push--> [ call (open) | text | call (done) ] --flush--> lines, from the front, up to the
 *                                                                  first call that is open */
#include "base/vec.h"
#include "llm/dialect_ollama.h"
#include "llm/encoder.h"

/* Something that waits behind an open call, or is one. */
struct item {
    enum llm_event_kind kind; /* TEXT, REASONING, TOOL_START */
    struct str text;          /* the increment, or the arguments so far */
    size_t capacity;
    int part;
    int index; /* of a call */
    struct str id;
    struct str name;
    bool is_done;
};

struct dialect_encoder {
    struct arena *arena;
    int64_t created_ms;
    bool is_generated; /* the answer of /api/generate */
    struct llm_cursor cursor;
    struct buf *out; /* of the call at hand */
    struct llm_losses *losses;
    struct str model;
    int part; /* the newest one */
    bool is_written;
    enum llm_part_kind last_kind; /* of the newest part that was written */
    struct item *items;
    size_t item_count;
    size_t item_capacity;
    size_t flushed_count;
    int call_count; /* written */
    struct llm_ending ending;
};

struct dialect_encoder *ollama_encoder_new(struct arena *arena, int64_t created_ms,
                                           bool include_usage)
{
    (void)include_usage; /* always is */
    struct dialect_encoder *encoder = ARENA_NEW(arena, struct dialect_encoder);
    encoder->arena = arena;
    encoder->created_ms = created_ms;
    encoder->part = -1;
    encoder->last_kind = LLM_PART_TOOL_CALL;
    encoder->ending.usage = LLM_USAGE_UNKNOWN;
    llm_cursor_init(&encoder->cursor, arena);
    return encoder;
}

struct dialect_encoder *ollama_generate_encoder_new(struct arena *arena, int64_t created_ms,
                                                    bool include_usage)
{
    struct dialect_encoder *encoder = ollama_encoder_new(arena, created_ms, include_usage);
    encoder->is_generated = true;
    return encoder;
}

static void lose(struct dialect_encoder *encoder, enum llm_field field, int part)
{
    llm_losses_add(encoder->losses, field, -1, part);
}

/* ---- Lines ----------------------------------------------------------------------------------- */

static void begin_line(struct dialect_encoder *encoder, struct json_writer *w)
{
    json_writer_init(w, encoder->out);
    json_begin_object(w);
    ollama_write_head(w, encoder->model, encoder->created_ms);
}

static void end_line(struct dialect_encoder *encoder, struct json_writer *w)
{
    json_end_object(w);
    buf_append_char(encoder->out, '\n');
}

static void begin_message(const struct dialect_encoder *encoder, struct json_writer *w,
                          struct str content)
{
    if (encoder->is_generated) {
        json_key_str(w, "response", content);
        return;
    }
    json_key_object(w, "message");
    json_key_str(w, "role", STR("assistant"));
    json_key_str(w, "content", content);
}

static void end_message(const struct dialect_encoder *encoder, struct json_writer *w)
{
    if (!encoder->is_generated)
        json_end_object(w);
}

static void write_text(struct dialect_encoder *encoder, enum llm_event_kind kind, struct str text)
{
    struct json_writer w;
    begin_line(encoder, &w);
    begin_message(encoder, &w, kind == LLM_EVENT_TEXT ? text : STR(""));
    if (kind == LLM_EVENT_REASONING)
        json_key_str(&w, "thinking", text);
    end_message(encoder, &w);
    json_key_bool(&w, "done", false);
    end_line(encoder, &w);
}

static void write_call(struct dialect_encoder *encoder, const struct item *item)
{
    const struct llm_part part = {.kind = LLM_PART_TOOL_CALL,
                                  .call_id = item->id,
                                  .name = item->name,
                                  .arguments = item->text};
    struct arena *scratch = arena_new(SIZE_MAX); /* for the parsed arguments */
    struct json_writer w;
    begin_line(encoder, &w);
    begin_message(encoder, &w, STR(""));
    json_key_array(&w, "tool_calls");
    ollama_write_call(&w, scratch, &part, encoder->call_count++);
    json_end_array(&w);
    end_message(encoder, &w);
    json_key_bool(&w, "done", false);
    end_line(encoder, &w);
    if (!ollama_is_object(scratch, item->text))
        lose(encoder, LLM_FIELD_PART_ARGUMENTS, item->part);
    if (!item->id.len)
        lose(encoder, LLM_FIELD_PART_CALL_ID, item->part);
    arena_free(scratch);
}

/* ---- What waits ------------------------------------------------------------------------------ */

static bool is_waiting(const struct dialect_encoder *encoder)
{
    return encoder->flushed_count < encoder->item_count;
}

static struct item *push(struct dialect_encoder *encoder, enum llm_event_kind kind)
{
    if (!is_waiting(encoder))
        encoder->item_count = encoder->flushed_count = 0;
    struct item *item =
        VEC_PUSH(encoder->arena, encoder->items, encoder->item_count, encoder->item_capacity);
    item->kind = kind;
    return item;
}

static void flush(struct dialect_encoder *encoder, bool even_open)
{
    while (is_waiting(encoder)) {
        const struct item *item = &encoder->items[encoder->flushed_count];
        bool is_call = item->kind == LLM_EVENT_TOOL_START;
        if (is_call && !item->is_done && !even_open)
            return;
        encoder->flushed_count++;
        if (is_call)
            write_call(encoder, item);
        else
            write_text(encoder, item->kind, item->text);
    }
}

static void append(struct dialect_encoder *encoder, struct item *item, struct str text)
{
    llm_text_append(encoder->arena, &item->text, &item->capacity, text);
}

static struct item *open_call(struct dialect_encoder *encoder, int index)
{
    for (size_t i = encoder->flushed_count; i < encoder->item_count; i++) {
        struct item *item = &encoder->items[i];
        if (item->kind == LLM_EVENT_TOOL_START && item->index == index && !item->is_done)
            return item;
    }
    return NULL;
}

/* ---- Parts ----------------------------------------------------------------------------------- */

static void end_part(struct dialect_encoder *encoder)
{
    if (encoder->part >= 0 && !encoder->is_written)
        lose(encoder, LLM_FIELD_PART, encoder->part);
}

static void begin_part(struct dialect_encoder *encoder, int part)
{
    end_part(encoder);
    encoder->part = part;
    encoder->is_written = false;
}

static void begin_output(struct dialect_encoder *encoder, enum llm_part_kind kind)
{
    if (!encoder->is_written && encoder->last_kind == kind && kind != LLM_PART_TOOL_CALL)
        lose(encoder, LLM_FIELD_PART_BOUNDARY, encoder->part);
    encoder->is_written = true;
    encoder->last_kind = kind;
}

/* A refusal is words for a person, too: it goes out as text. */
static void add_text(struct dialect_encoder *encoder, const struct llm_event *event)
{
    bool is_reasoning = event->kind == LLM_EVENT_REASONING;
    enum llm_event_kind kind = is_reasoning ? LLM_EVENT_REASONING : LLM_EVENT_TEXT;
    if (!event->text.len)
        return;
    if (event->kind == LLM_EVENT_REFUSAL)
        lose(encoder, LLM_FIELD_PART_KIND, encoder->part);
    begin_output(encoder, is_reasoning ? LLM_PART_REASONING : LLM_PART_TEXT);
    if (is_waiting(encoder))
        append(encoder, push(encoder, kind), event->text);
    else
        write_text(encoder, kind, event->text);
}

static void start_call(struct dialect_encoder *encoder, const struct llm_event *event, int part)
{
    begin_output(encoder, LLM_PART_TOOL_CALL);
    struct item *item = push(encoder, LLM_EVENT_TOOL_START);
    item->part = part;
    item->index = event->index;
    item->id = arena_str(encoder->arena, event->id);
    item->name = arena_str(encoder->arena, event->name);
}

static void encode_part(struct dialect_encoder *encoder, const struct llm_event *event)
{
    bool begins;
    int part = llm_cursor_add(&encoder->cursor, event, &begins);
    if (part < 0)
        return;
    if (begins)
        begin_part(encoder, part);
    struct item *call = open_call(encoder, event->index);
    if (event->kind == LLM_EVENT_TEXT || event->kind == LLM_EVENT_REASONING ||
        event->kind == LLM_EVENT_REFUSAL)
        add_text(encoder, event);
    else if (event->kind == LLM_EVENT_OPAQUE)
        lose(encoder, LLM_FIELD_PART_OPAQUE, part);
    else if (event->kind == LLM_EVENT_TOOL_START && begins)
        start_call(encoder, event, part);
    else if (event->kind == LLM_EVENT_TOOL_ARGUMENTS && call)
        append(encoder, call, event->text);
    else if (event->kind == LLM_EVENT_TOOL_END && call) {
        call->is_done = true;
        flush(encoder, false);
    }
}

/* ---- Events ---------------------------------------------------------------------------------- */

static void take_start(struct dialect_encoder *encoder, const struct llm_event *event)
{
    encoder->model = arena_str(encoder->arena, event->model);
    if (event->id.len)
        lose(encoder, LLM_FIELD_RESPONSE_ID, -1);
}

static void write_end(struct dialect_encoder *encoder)
{
    struct json_writer w;
    end_part(encoder);
    flush(encoder, true);
    begin_line(encoder, &w);
    begin_message(encoder, &w, STR(""));
    end_message(encoder, &w);
    ollama_write_done(&w, encoder->ending.finish, encoder->ending.finish_raw,
                      encoder->call_count > 0, &encoder->ending.usage, encoder->losses);
    llm_put_extension(&w, encoder->ending.extension, encoder->losses);
    end_line(encoder, &w);
}

static void write_failure(struct dialect_encoder *encoder, const struct llm_error *error)
{
    dialect_ollama.encode_error(error, encoder->out);
    buf_append_char(encoder->out, '\n');
}

void ollama_encode_event(struct dialect_encoder *encoder, const struct llm_event *event,
                         struct buf *out, struct llm_losses *losses)
{
    static const struct llm_encoder_table table = {take_start, encode_part, write_failure,
                                                   write_end};
    if (encoder->ending.is_ended)
        return;
    encoder->out = out;
    encoder->losses = losses;
    llm_encode_event(encoder, &encoder->ending, encoder->arena, &table, event);
}
