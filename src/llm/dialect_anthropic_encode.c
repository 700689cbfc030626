/* Anthropic: canonical answers as the provider would send them, streamed or whole; for our door.
 * Both forms consist of the same blocks, and what is lost on the way is the same:
 *
 *   part begins --begin_part--> nothing written --begin_output--> written --begin_part--> lost only
 *                                if nothing was written (an empty text, a foreign signature)
 *
 * Two neighbouring text parts, or reasoning without signature, read back as one: they share a
 * block. A refusal has no block: it is the explanation in stop_details. */
#include "base/vec.h"
#include "llm/dialect_anthropic.h"
#include "llm/encoder.h"
#include "wire/sse.h"

/* A call that has begun; by its index. */
struct tool {
    int block;
    bool is_open;
    bool has_arguments;
};

struct dialect_encoder {
    struct arena *arena;
    struct llm_cursor cursor;
    struct json_writer w;
    struct llm_losses *losses; /* of the call at hand */
    bool is_whole;
    struct str model;
    int part; /* the newest one */
    enum llm_part_kind part_kind;
    bool is_written;              /* something of it went out */
    bool is_joined;               /* to the block of the part before it */
    enum llm_part_kind last_kind; /* of the newest part that was written */
    bool is_sealed;               /* that one has its signature */
    struct str signature;         /* whole: of the open thinking block */
    bool has_call;
    int block_count;
    bool is_block_open; /* a text or thinking block: the newest one */
    struct tool *tools;
    size_t tool_count;
    size_t tool_capacity;
    struct str refusal; /* gathered for stop_details */
    size_t refusal_capacity;
    struct llm_ending ending;
};

struct dialect_encoder *anthropic_encoder_new(struct arena *arena, int64_t created_ms,
                                              bool include_usage)
{
    (void)created_ms;    /* has no place here */
    (void)include_usage; /* always is */
    struct dialect_encoder *encoder = ARENA_NEW(arena, struct dialect_encoder);
    encoder->arena = arena;
    encoder->part = -1;
    encoder->last_kind = LLM_PART_TOOL_CALL;
    encoder->ending.usage = LLM_USAGE_UNKNOWN;
    llm_cursor_init(&encoder->cursor, arena);
    return encoder;
}

static void lose(struct dialect_encoder *encoder, enum llm_field field)
{
    llm_losses_add(encoder->losses, field, -1, encoder->part);
}

/* ---- Frames (streams only) ------------------------------------------------------------------- */

static void begin_frame(struct dialect_encoder *encoder, const char *type)
{
    struct buf *out = encoder->w.out;
    buf_append(out, STR("event: "));
    buf_append(out, str_from_cstr(type));
    buf_append(out, STR("\ndata: "));
    json_writer_init(&encoder->w, out);
    json_begin_object(&encoder->w);
    json_key_str(&encoder->w, "type", str_from_cstr(type));
}

static void end_frame(struct dialect_encoder *encoder)
{
    json_end_object(&encoder->w);
    buf_append(encoder->w.out, STR("\n\n"));
}

static void write_delta(struct dialect_encoder *encoder, int block, const char *type,
                        const char *member, struct str value)
{
    struct json_writer *w = &encoder->w;
    begin_frame(encoder, "content_block_delta");
    json_key_int(w, "index", block);
    json_key_object(w, "delta");
    json_key_str(w, "type", str_from_cstr(type));
    json_key_str(w, member, value);
    json_end_object(w);
    end_frame(encoder);
}

static void write_block_stop(struct dialect_encoder *encoder, int block)
{
    begin_frame(encoder, "content_block_stop");
    json_key_int(&encoder->w, "index", block);
    end_frame(encoder);
}

/* ---- Blocks, in either form ------------------------------------------------------------------ */

/* Leaves the block's object open, for its members. */
static void begin_block(struct dialect_encoder *encoder, const char *type)
{
    struct json_writer *w = &encoder->w;
    if (encoder->is_whole) {
        json_begin_object(w);
    } else {
        begin_frame(encoder, "content_block_start");
        json_key_int(w, "index", encoder->block_count);
        json_key_object(w, "content_block");
    }
    json_key_str(w, "type", str_from_cstr(type));
    encoder->block_count++;
}

static void end_block_start(struct dialect_encoder *encoder)
{
    json_end_object(&encoder->w);
    if (!encoder->is_whole)
        end_frame(encoder);
}

static void close_block(struct dialect_encoder *encoder)
{
    if (!encoder->is_block_open)
        return;
    encoder->is_block_open = false;
    if (!encoder->is_whole) {
        write_block_stop(encoder, encoder->block_count - 1);
        return;
    }
    json_end_str(&encoder->w);
    if (encoder->last_kind == LLM_PART_REASONING)
        json_key_str(&encoder->w, "signature", encoder->signature);
    json_end_object(&encoder->w);
}

static void open_block(struct dialect_encoder *encoder, enum llm_part_kind kind)
{
    struct json_writer *w = &encoder->w;
    const char *type = kind == LLM_PART_TEXT ? "text" : "thinking";
    begin_block(encoder, type);
    encoder->is_block_open = true;
    encoder->signature = STR("");
    if (encoder->is_whole) {
        json_key(w, str_from_cstr(type));
        json_begin_str(w);
        return;
    }
    json_key_str(w, type, STR(""));
    if (kind == LLM_PART_REASONING)
        json_key_str(w, "signature", STR(""));
    end_block_start(encoder);
}

static void write_increment(struct dialect_encoder *encoder, enum llm_part_kind kind,
                            struct str text)
{
    if (encoder->is_whole)
        json_str_part(&encoder->w, text);
    else if (kind == LLM_PART_TEXT)
        write_delta(encoder, encoder->block_count - 1, "text_delta", "text", text);
    else
        write_delta(encoder, encoder->block_count - 1, "thinking_delta", "thinking", text);
}

/* ---- The refusal ----------------------------------------------------------------------------- */

static void write_stop_details(struct dialect_encoder *encoder)
{
    struct json_writer *w = &encoder->w;
    if (!encoder->refusal.len) {
        json_key_null(w, "stop_details");
        return;
    }
    json_key_object(w, "stop_details");
    json_key_str(w, "type", STR("refusal"));
    json_key_null(w, "category");
    json_key_str(w, "explanation", encoder->refusal);
    json_end_object(w);
    encoder->refusal.len = 0;
}

/* In a stream something comes behind the refusal: it goes out before that, in its order. */
static void flush_refusal(struct dialect_encoder *encoder)
{
    if (!encoder->refusal.len || encoder->is_whole)
        return;
    close_block(encoder);
    begin_frame(encoder, "message_delta");
    json_key_object(&encoder->w, "delta");
    json_key_null(&encoder->w, "stop_reason");
    write_stop_details(encoder);
    json_end_object(&encoder->w);
    end_frame(encoder);
    encoder->last_kind = LLM_PART_REFUSAL;
}

/* ---- Parts ----------------------------------------------------------------------------------- */

static void end_part(struct dialect_encoder *encoder)
{
    if (encoder->part >= 0 && !encoder->is_written)
        lose(encoder, LLM_FIELD_PART);
}

static void begin_part(struct dialect_encoder *encoder, int part, enum llm_part_kind kind)
{
    end_part(encoder);
    encoder->part = part;
    encoder->part_kind = kind;
    encoder->is_written = false;
    encoder->is_joined = false;
}

/* Whether it would read back as one with what was written last. */
static bool would_join(const struct dialect_encoder *encoder, enum llm_part_kind kind)
{
    bool is_refusal_between = encoder->refusal.len && !encoder->is_whole;
    return encoder->last_kind == kind && !encoder->is_sealed && !is_refusal_between;
}

/* Before the first output of a text or reasoning part. */
static void begin_output(struct dialect_encoder *encoder, enum llm_part_kind kind)
{
    if (encoder->is_written)
        return;
    encoder->is_written = true;
    encoder->is_joined = would_join(encoder, kind);
    if (encoder->refusal.len && encoder->is_whole && !encoder->has_call)
        lose(encoder, LLM_FIELD_PART_MOVED);
    flush_refusal(encoder);
    if (encoder->is_joined) {
        lose(encoder, LLM_FIELD_PART_BOUNDARY);
        return;
    }
    close_block(encoder);
    encoder->last_kind = kind;
    encoder->is_sealed = false;
}

static void add_text(struct dialect_encoder *encoder, struct str text, enum llm_part_kind kind)
{
    if (!text.len)
        return;
    begin_output(encoder, kind);
    if (!encoder->is_block_open)
        open_block(encoder, kind);
    write_increment(encoder, kind, text);
}

static void add_refusal(struct dialect_encoder *encoder, struct str text)
{
    if (!text.len)
        return;
    if (!encoder->is_written && encoder->refusal.len)
        lose(encoder, LLM_FIELD_PART_BOUNDARY);
    if (!encoder->is_written && encoder->is_whole && encoder->has_call)
        lose(encoder, LLM_FIELD_PART_MOVED);
    encoder->is_written = true;
    llm_text_append(encoder->arena, &encoder->refusal, &encoder->refusal_capacity, text);
}

static bool is_ours(const struct dialect_encoder *encoder, const struct llm_opaque *opaque,
                    const char *kind)
{
    return opaque->data.len && str_eq(opaque->dialect, STR("anthropic")) &&
           str_eq(opaque->kind, str_from_cstr(kind)) &&
           (!opaque->model.len || str_eq(opaque->model, encoder->model));
}

/* Ends the thinking block with its signature. */
static void add_signature(struct dialect_encoder *encoder, struct str signature)
{
    begin_output(encoder, LLM_PART_REASONING);
    if (encoder->is_joined) {
        lose(encoder, LLM_FIELD_PART_OPAQUE);
        return;
    }
    if (!encoder->is_block_open)
        open_block(encoder, LLM_PART_REASONING);
    encoder->is_sealed = true;
    encoder->signature = signature;
    if (!encoder->is_whole)
        write_delta(encoder, encoder->block_count - 1, "signature_delta", "signature", signature);
    close_block(encoder);
}

static void add_redacted(struct dialect_encoder *encoder, struct str data)
{
    begin_output(encoder, LLM_PART_REASONING);
    begin_block(encoder, "redacted_thinking");
    json_key_str(&encoder->w, "data", data);
    end_block_start(encoder);
    if (!encoder->is_whole)
        write_block_stop(encoder, encoder->block_count - 1);
    encoder->is_sealed = true;
}

static void add_opaque(struct dialect_encoder *encoder, const struct llm_opaque *opaque)
{
    bool is_reasoning = encoder->part_kind == LLM_PART_REASONING;
    bool is_open = is_reasoning && !(encoder->is_written && encoder->is_sealed);
    if (is_open && is_ours(encoder, opaque, "signature"))
        add_signature(encoder, opaque->data);
    else if (is_open && is_ours(encoder, opaque, "redacted") && !encoder->is_written &&
             !would_join(encoder, LLM_PART_REASONING))
        add_redacted(encoder, opaque->data);
    else
        lose(encoder, LLM_FIELD_PART_OPAQUE);
}

/* ---- Calls ----------------------------------------------------------------------------------- */

static void begin_call(struct dialect_encoder *encoder, struct str id, struct str name)
{
    flush_refusal(encoder);
    close_block(encoder);
    encoder->is_written = true;
    encoder->has_call = true;
    encoder->last_kind = LLM_PART_TOOL_CALL;
    begin_block(encoder, "tool_use");
    json_key_str(&encoder->w, "id", id.data ? id : STR(""));
    json_key_str(&encoder->w, "name", name.data ? name : STR(""));
}

static void start_tool(struct dialect_encoder *encoder, const struct llm_event *event)
{
    while (encoder->tool_count <= (size_t)event->index)
        VEC_PUSH(encoder->arena, encoder->tools, encoder->tool_count, encoder->tool_capacity);
    struct tool *tool = &encoder->tools[event->index];
    if (tool->is_open)
        return;
    *tool = (struct tool){.block = encoder->block_count, .is_open = true};
    begin_call(encoder, event->id, event->name);
    json_key_raw(&encoder->w, "input", STR("{}"));
    end_block_start(encoder);
}

/* The call that an event belongs to, or NULL. */
static struct tool *open_tool(struct dialect_encoder *encoder, int index)
{
    bool is_known = index >= 0 && (size_t)index < encoder->tool_count;
    return is_known && encoder->tools[index].is_open ? &encoder->tools[index] : NULL;
}

static void add_arguments(struct dialect_encoder *encoder, struct tool *tool, struct str text)
{
    if (!text.len)
        return;
    tool->has_arguments = true;
    write_delta(encoder, tool->block, "input_json_delta", "partial_json", text);
}

static void end_tool(struct dialect_encoder *encoder, struct tool *tool, int part)
{
    if (!tool->has_arguments) /* reads back as {} */
        llm_losses_add(encoder->losses, LLM_FIELD_PART_ARGUMENTS, -1, part);
    write_block_stop(encoder, tool->block);
    tool->is_open = false;
}

/* ---- Streams --------------------------------------------------------------------------------- */

static void write_start(struct dialect_encoder *encoder, const struct llm_event *event)
{
    struct json_writer *w = &encoder->w;
    encoder->model = arena_str(encoder->arena, event->model);
    begin_frame(encoder, "message_start");
    json_key_object(w, "message");
    json_key_str(w, "id", event->id.data ? event->id : STR(""));
    json_key_str(w, "type", STR("message"));
    json_key_str(w, "role", STR("assistant"));
    json_key_str(w, "model", event->model.data ? event->model : STR(""));
    json_key_raw(w, "content", STR("[]"));
    json_key_null(w, "stop_reason");
    json_key_null(w, "stop_sequence");
    json_key_raw(w, "usage", STR("{\"input_tokens\":0,\"output_tokens\":0}"));
    json_end_object(w);
    end_frame(encoder);
}

static void write_end(struct dialect_encoder *encoder)
{
    struct json_writer *w = &encoder->w;
    end_part(encoder);
    close_block(encoder);
    for (size_t i = 0; i < encoder->tool_count; i++)
        if (encoder->tools[i].is_open)
            end_tool(encoder, &encoder->tools[i], encoder->cursor.calls[i]);
    begin_frame(encoder, "message_delta");
    json_key_object(w, "delta");
    json_key_str(
        w, "stop_reason",
        anthropic_stop_reason(encoder->ending.finish, encoder->ending.finish_raw, encoder->losses));
    json_key_null(w, "stop_sequence");
    write_stop_details(encoder);
    json_end_object(w);
    anthropic_usage_write(w, &encoder->ending.usage, encoder->losses);
    llm_put_extension(w, encoder->ending.extension, encoder->losses);
    end_frame(encoder);
    begin_frame(encoder, "message_stop");
    end_frame(encoder);
}

static void write_failure(struct dialect_encoder *encoder, const struct llm_error *error)
{
    buf_append(encoder->w.out, STR("event: error\ndata: "));
    anthropic_encode_error(error, encoder->w.out);
    buf_append(encoder->w.out, STR("\n\n"));
}

static void encode_part(struct dialect_encoder *encoder, const struct llm_event *event)
{
    bool begins;
    int part = llm_cursor_add(&encoder->cursor, event, &begins);
    if (part < 0)
        return;
    if (begins)
        begin_part(encoder, part, encoder->cursor.kind);
    struct tool *tool = open_tool(encoder, event->index);
    if (event->kind == LLM_EVENT_TEXT || event->kind == LLM_EVENT_REASONING)
        add_text(encoder, event->text, encoder->cursor.kind);
    else if (event->kind == LLM_EVENT_REFUSAL)
        add_refusal(encoder, event->text);
    else if (event->kind == LLM_EVENT_OPAQUE && part != encoder->part)
        llm_losses_add(encoder->losses, LLM_FIELD_PART_OPAQUE, -1, part);
    else if (event->kind == LLM_EVENT_OPAQUE)
        add_opaque(encoder, &event->opaque);
    else if (event->kind == LLM_EVENT_TOOL_START)
        start_tool(encoder, event);
    else if (tool && event->kind == LLM_EVENT_TOOL_ARGUMENTS)
        add_arguments(encoder, tool, event->text);
    else if (tool)
        end_tool(encoder, tool, part);
}

void anthropic_encode_event(struct dialect_encoder *encoder, const struct llm_event *event,
                            struct buf *out, struct llm_losses *losses)
{
    static const struct llm_encoder_table table = {write_start, encode_part, write_failure,
                                                   write_end};
    if (encoder->ending.is_ended)
        return;
    json_writer_init(&encoder->w, out);
    encoder->losses = losses;
    llm_encode_event(encoder, &encoder->ending, encoder->arena, &table, event);
}

/* ---- Whole answers --------------------------------------------------------------------------- */

static void write_call(struct dialect_encoder *encoder, const struct llm_part *part)
{
    bool is_object = anthropic_arguments(encoder->arena, part->arguments);
    begin_call(encoder, part->call_id, part->name);
    json_key_raw(&encoder->w, "input", is_object ? part->arguments : STR("{}"));
    end_block_start(encoder);
    if (!is_object)
        lose(encoder, LLM_FIELD_PART_ARGUMENTS);
}

/* It will be read back behind the reasoning, so none may follow. */
static bool refusal_fits(const struct llm_response *response, size_t index)
{
    for (size_t i = index + 1; i < response->part_count; i++)
        if (response->parts[i].kind == LLM_PART_REASONING)
            return false;
    return true;
}

static void write_part(struct dialect_encoder *encoder, const struct llm_response *response,
                       size_t index)
{
    const struct llm_part *part = &response->parts[index];
    if (part->kind == LLM_PART_TEXT || part->kind == LLM_PART_REASONING)
        add_text(encoder, part->text, part->kind);
    else if (part->kind == LLM_PART_REFUSAL && refusal_fits(response, index))
        add_refusal(encoder, part->text);
    else if (part->kind == LLM_PART_TOOL_CALL)
        write_call(encoder, part);
    for (size_t i = 0; i < part->opaque_count; i++)
        add_opaque(encoder, &part->opaque[i]);
}

void anthropic_encode_response(struct arena *arena, const struct llm_response *response,
                               int64_t created_ms, struct buf *out, struct llm_losses *losses)
{
    struct dialect_encoder *encoder = anthropic_encoder_new(arena, created_ms, true);
    struct json_writer *w = &encoder->w;
    json_writer_init(w, out);
    encoder->is_whole = true;
    encoder->losses = losses;
    encoder->model = response->model;
    json_begin_object(w);
    json_key_str(w, "id", response->id.data ? response->id : STR(""));
    json_key_str(w, "type", STR("message"));
    json_key_str(w, "role", STR("assistant"));
    json_key_str(w, "model", response->model.data ? response->model : STR(""));
    json_key_array(w, "content");
    for (size_t i = 0; i < response->part_count; i++) {
        begin_part(encoder, (int)i, response->parts[i].kind);
        write_part(encoder, response, i);
    }
    end_part(encoder);
    close_block(encoder);
    json_end_array(w);
    json_key_str(w, "stop_reason",
                 anthropic_stop_reason(response->finish, response->finish_raw, losses));
    json_key_null(w, "stop_sequence");
    write_stop_details(encoder);
    anthropic_usage_write(w, &response->usage, losses);
    llm_put_extension(w, response->extension, losses);
    json_end_object(w);
}
