/* Streamed answers of the Gemini dialect. Each frame is a whole answer object whose parts are
 * increments; calls come whole; the counts in usageMetadata grow, so the last ones hold; nothing
 * marks the end but the finish reason and the end of the bytes, so what ends an answer is said in
 * gemini_decode_end.
 *
 *   decoder:  new --frame--> started --finishReason, blockReason--> finished --end--> ended
 *              |                |  (take_answer)                                      ^
 *              +--end-----------+--error, 16 bad frames, end: fail -------------------+
 */
#include "llm/dialect_gemini.h"
#include "llm/encoder.h"

#include <string.h>

#include "base/vec.h"

enum { BAD_FRAMES_MAX = 16 };

/* ---- Decoding -------------------------------------------------------------------------------- */

struct dialect_decoder {
    bool is_whole;
    bool started;
    bool finished;
    bool ended;
    int last_kind; /* of the part that the events build, or -1 */
    int calls;
    int bad_frames;
    struct llm_usage usage;
    enum llm_finish finish; /* of finish_raw, calls not considered */
    char finish_raw[64];
    char model[128];
};

/* What the functions of one frame hand to each other. */
struct sink {
    struct dialect_decoder *decoder;
    struct arena *scratch;
    llm_emit_fn *emit;
    void *user;
};

struct dialect_decoder *gemini_decoder_new(struct arena *arena)
{
    struct dialect_decoder *decoder = ARENA_NEW(arena, struct dialect_decoder);
    decoder->usage = LLM_USAGE_UNKNOWN;
    decoder->last_kind = -1;
    return decoder;
}

void gemini_decoder_is_whole(struct dialect_decoder *decoder)
{
    decoder->is_whole = true;
}

static void emit(const struct sink *sink, struct llm_event event)
{
    sink->emit(sink->user, &event);
}

static void start(const struct sink *sink, yyjson_val *answer)
{
    struct dialect_decoder *decoder = sink->decoder;
    if (decoder->started)
        return;
    decoder->started = true;
    str_copy(gemini_get_str(answer, "modelVersion"), decoder->model, sizeof decoder->model);
    emit(sink, (struct llm_event){.kind = LLM_EVENT_START,
                                  .index = -1,
                                  .id = gemini_get_str(answer, "responseId"),
                                  .model = gemini_get_str(answer, "modelVersion")});
}

static void fail(const struct sink *sink, const struct llm_error *error)
{
    struct dialect_decoder *decoder = sink->decoder;
    start(sink, NULL);
    if (gemini_usage_is_known(&decoder->usage))
        emit(sink,
             (struct llm_event){.kind = LLM_EVENT_USAGE, .index = -1, .usage = decoder->usage});
    emit(sink, (struct llm_event){.kind = LLM_EVENT_ERROR, .index = -1, .error = error});
    emit(sink, (struct llm_event){.kind = LLM_EVENT_END, .index = -1});
    decoder->ended = true;
}

static void fail_server(const struct sink *sink, const char *message)
{
    struct llm_error error = {.class = ERR_SERVER, .retry_after_ms = -1};
    str_copy(str_from_cstr(message), error.message, sizeof error.message);
    fail(sink, &error);
}

static void take_signature(const struct sink *sink, struct str signature, int index)
{
    if (!signature.len)
        return;
    struct llm_opaque opaque = {GEMINI_NAME, str_from_cstr(sink->decoder->model), GEMINI_SIGNATURE,
                                signature};
    emit(sink, (struct llm_event){.kind = LLM_EVENT_OPAQUE, .index = index, .opaque = opaque});
}

static void take_call(const struct sink *sink, yyjson_val *call, struct str signature)
{
    int index = sink->decoder->calls++;
    struct str id = json_get_str(call, "id");
    yyjson_val *args = json_get(call, "args");
    emit(sink, (struct llm_event){.kind = LLM_EVENT_TOOL_START,
                                  .index = index,
                                  .id = id.len ? id : dialect_make_call_id(sink->scratch),
                                  .name = json_get_str(call, "name")});
    take_signature(sink, signature, index);
    emit(sink, (struct llm_event){.kind = LLM_EVENT_TOOL_ARGUMENTS,
                                  .index = index,
                                  .text = yyjson_is_obj(args) ? json_text(sink->scratch, args)
                                                              : STR("{}")});
    emit(sink, (struct llm_event){.kind = LLM_EVENT_TOOL_END, .index = index});
    sink->decoder->last_kind = LLM_PART_TOOL_CALL;
}

/* An empty text is only there to carry a signature, which belongs to the part before if that is of
 * its kind. */
static void take_text(const struct sink *sink, yyjson_val *part, struct str signature)
{
    struct dialect_decoder *decoder = sink->decoder;
    struct str text = json_get_str(part, "text");
    bool is_thought = yyjson_is_true(json_get(part, "thought"));
    int kind = is_thought ? LLM_PART_REASONING : LLM_PART_TEXT;
    if (text.len || (signature.len && decoder->last_kind != kind)) {
        emit(sink, (struct llm_event){.kind = is_thought ? LLM_EVENT_REASONING : LLM_EVENT_TEXT,
                                      .index = -1,
                                      .text = text.data ? text : STR("")});
        decoder->last_kind = kind;
    }
    take_signature(sink, signature, -1);
}

static void take_part(const struct sink *sink, yyjson_val *part)
{
    struct str signature = gemini_get_str(part, "thoughtSignature");
    yyjson_val *call = gemini_get(part, "functionCall");
    if (yyjson_is_obj(call))
        take_call(sink, call, signature);
    else if (yyjson_is_str(json_get(part, "text")) || signature.len)
        take_text(sink, part, signature);
    /* Pictures and built-in tools of the provider have no place in an answer of ours. */
}

static void set_finish(struct dialect_decoder *decoder, enum llm_finish finish, struct str word)
{
    decoder->finished = true;
    decoder->finish = finish;
    str_copy(word, decoder->finish_raw, sizeof decoder->finish_raw);
}

/* The first candidate; others are never asked for. */
static yyjson_val *find_candidate(yyjson_val *answer)
{
    yyjson_val *candidate = yyjson_arr_get_first(json_get(answer, "candidates"));
    int64_t index = 0;
    return json_get_int(candidate, "index", &index) && index ? NULL : candidate;
}

static void take_candidate(const struct sink *sink, yyjson_val *candidate)
{
    yyjson_val *parts = json_get(json_get(candidate, "content"), "parts");
    size_t index, max;
    yyjson_val *part;
    yyjson_arr_foreach (parts, index, max, part) {
        take_part(sink, part);
    }
    struct str word = gemini_get_str(candidate, "finishReason");
    struct str message = gemini_get_str(candidate, "finishMessage");
    if (word.len)
        set_finish(sink->decoder, gemini_finish(word, false), word);
    if (word.len && message.len && sink->decoder->finish == LLM_FINISH_CONTENT_FILTERED)
        emit(sink, (struct llm_event){.kind = LLM_EVENT_REFUSAL, .index = -1, .text = message});
    if (candidate && sink->decoder->is_whole && !sink->decoder->finished)
        set_finish(sink->decoder, LLM_FINISH_OTHER, STR_NONE);
}

static bool usage_equal(const struct llm_usage *a, const struct llm_usage *b)
{
    return a->input_total == b->input_total && a->input_cache_read == b->input_cache_read &&
           a->output_total == b->output_total && a->output_reasoning == b->output_reasoning;
}

/* In mid-answer it tells what a cancelled answer has cost; at the end it is said once more. */
static void take_usage(const struct sink *sink, yyjson_val *metadata)
{
    struct dialect_decoder *decoder = sink->decoder;
    struct llm_usage before = decoder->usage;
    gemini_usage_read(metadata, &decoder->usage);
    if (!decoder->finished && !usage_equal(&before, &decoder->usage))
        emit(sink,
             (struct llm_event){.kind = LLM_EVENT_USAGE, .index = -1, .usage = decoder->usage});
}

static bool is_answer(yyjson_val *root)
{
    return json_get(root, "candidates") || gemini_get(root, "promptFeedback") ||
           gemini_get(root, "usageMetadata") || gemini_get(root, "modelVersion") ||
           gemini_get(root, "responseId");
}

static void take_answer(const struct sink *sink, yyjson_val *answer)
{
    struct dialect_decoder *decoder = sink->decoder;
    start(sink, answer);
    take_candidate(sink, find_candidate(answer));
    struct str blocked = gemini_get_str(gemini_get(answer, "promptFeedback"), "blockReason");
    if (blocked.len && !decoder->finished)
        set_finish(decoder, LLM_FINISH_CONTENT_FILTERED, blocked);
    take_usage(sink, gemini_get(answer, "usageMetadata"));
}

static void take_object(const struct sink *sink, yyjson_val *root)
{
    yyjson_val *error = gemini_find_error(root);
    if (error && !yyjson_is_null(error)) {
        struct llm_error read;
        gemini_read_error(sink->scratch, 0, NULL, error, &read);
        fail(sink, &read);
    } else if (is_answer(root)) {
        take_answer(sink, root);
    } else if (++sink->decoder->bad_frames >= BAD_FRAMES_MAX) {
        fail_server(sink, "the provider sent what is no answer of this protocol");
    }
}

void gemini_decode_value(struct dialect_decoder *decoder, struct arena *scratch, yyjson_val *root,
                         llm_emit_fn *emit_fn, void *user)
{
    const struct sink sink = {decoder, scratch, emit_fn, user};
    if (!yyjson_is_arr(root)) {
        if (!decoder->ended)
            take_object(&sink, root);
        return;
    }
    size_t index, max;
    yyjson_val *element;
    yyjson_arr_foreach (root, index, max, element) {
        if (!decoder->ended)
            take_object(&sink, element);
    }
}

void gemini_decode_frame(struct dialect_decoder *decoder, struct arena *scratch, struct str type,
                         struct str data, llm_emit_fn *emit_fn, void *user)
{
    (void)type; /* frames have none */
    data = str_trim(data);
    if (decoder->ended || !data.len || str_eq(data, STR("[DONE]")))
        return;
    yyjson_val *root = NULL;
    if (json_read(scratch, data, &root, NULL) != ERR_OK)
        root = NULL; /* counted as no answer */
    gemini_decode_value(decoder, scratch, root, emit_fn, user);
}

void gemini_decode_end(struct dialect_decoder *decoder, llm_emit_fn *emit_fn, void *user)
{
    const struct sink sink = {decoder, NULL, emit_fn, user};
    if (decoder->ended)
        return;
    if (!decoder->finished) {
        fail_server(&sink,
                    decoder->is_whole ? "the answer holds no candidate" : "the answer was cut off");
        return;
    }
    if (gemini_usage_is_known(&decoder->usage))
        emit(&sink,
             (struct llm_event){.kind = LLM_EVENT_USAGE, .index = -1, .usage = decoder->usage});
    bool calls = decoder->finish == LLM_FINISH_STOP && decoder->calls;
    emit(&sink, (struct llm_event){.kind = LLM_EVENT_FINISH,
                                   .index = -1,
                                   .finish = calls ? LLM_FINISH_TOOL_CALLS : decoder->finish,
                                   .finish_raw = str_from_cstr(decoder->finish_raw)});
    emit(&sink, (struct llm_event){.kind = LLM_EVENT_END, .index = -1});
    decoder->ended = true;
}

struct dialect_progress gemini_progress(const struct dialect_decoder *decoder)
{
    return (struct dialect_progress){(unsigned)decoder->bad_frames, decoder->finished};
}

/* ---- Encoding -------------------------------------------------------------------------------- */

/* A call is one part on this wire, so it is gathered until its end; and until the event after, for
 * its signature may come last. */
struct call {
    struct llm_part part; /* arguments.data is in the arena, with room for `capacity` bytes */
    size_t capacity;
    struct str signature;
    int part_index;
    bool is_begun;
    bool is_closed;
};

/* One event on its way to the wire. */
struct step {
    const struct llm_event *event; /* of what waits: a copy in the arena */
    int part;
    bool begins; /* the part */
    enum llm_part_kind kind;
    size_t calls_before; /* that go first */
};

struct dialect_encoder {
    struct arena *arena;
    struct str id;
    struct str model;
    struct llm_usage usage;
    struct llm_cursor cursor;
    struct gemini_run run;
    struct call *calls;
    size_t call_count;
    size_t call_capacity;
    size_t calls_written; /* in order of their start */
    struct step *waiting; /* behind a call that is still open */
    size_t waiting_count;
    size_t waiting_capacity;
    size_t waiting_done;
    int empty_part; /* began with an empty text, and nothing of it is written yet; or -1 */
};

struct dialect_encoder *gemini_encoder_new(struct arena *arena, int64_t created_ms,
                                           bool include_usage)
{
    (void)created_ms;
    (void)include_usage; /* Gemini always tells */
    struct dialect_encoder *encoder = ARENA_NEW(arena, struct dialect_encoder);
    encoder->arena = arena;
    encoder->usage = LLM_USAGE_UNKNOWN;
    encoder->run = GEMINI_RUN_NONE;
    encoder->empty_part = -1;
    llm_cursor_init(&encoder->cursor, arena);
    return encoder;
}

/* What the functions of one event hand to each other. */
struct frame {
    struct dialect_encoder *encoder;
    struct buf *out;
    struct llm_losses *losses;
    enum llm_part_kind kind; /* of the part that the event belongs to */
    struct json_writer w;
};

/* The bytes in front of the parts, and behind them. */
static void begin_frame(struct frame *frame)
{
    buf_append(frame->out, STR("data: "));
    json_writer_init(&frame->w, frame->out);
    json_begin_object(&frame->w);
    json_key_array(&frame->w, "candidates");
    json_begin_object(&frame->w);
    json_key_object(&frame->w, "content");
    json_key_array(&frame->w, "parts");
}

static void end_parts(struct frame *frame)
{
    json_end_array(&frame->w);
    json_key_str(&frame->w, "role", STR("model"));
    json_end_object(&frame->w);
}

static void end_frame(struct frame *frame, struct llm_losses *usage_losses,
                      const struct llm_event *finish)
{
    const struct dialect_encoder *encoder = frame->encoder;
    json_key_int(&frame->w, "index", 0);
    json_end_object(&frame->w);
    json_end_array(&frame->w);
    gemini_put_usage(&frame->w, &encoder->usage, usage_losses);
    gemini_put_names(&frame->w, encoder->model, encoder->id);
    if (finish)
        llm_put_extension(&frame->w, finish->extension, frame->losses);
    json_end_object(&frame->w);
    buf_append(frame->out, STR("\r\n\r\n"));
}

static void put_text_frame(struct frame *frame, struct str text, enum llm_part_kind kind,
                           struct str signature)
{
    begin_frame(frame);
    gemini_put_text(&frame->w, text, kind == LLM_PART_REASONING, signature);
    end_parts(frame);
    end_frame(frame, NULL, NULL);
}

static struct call *find_call(const struct dialect_encoder *encoder, int index)
{
    bool known = index >= 0 && (size_t)index < encoder->call_count;
    return known && encoder->calls[index].is_begun ? &encoder->calls[index] : NULL;
}

static bool is_written(const struct dialect_encoder *encoder, const struct call *call)
{
    return (size_t)(call - encoder->calls) < encoder->calls_written;
}

static void write_call(struct frame *frame, const struct call *call)
{
    struct arena *scratch = arena_new(SIZE_MAX);
    const struct gemini_place place = {frame->losses, -1, call->part_index};
    begin_frame(frame);
    gemini_put_call(scratch, &frame->w, &call->part, call->signature, &place);
    end_parts(frame);
    end_frame(frame, NULL, NULL);
    frame->encoder->run = GEMINI_RUN_NONE;
    arena_free(scratch);
}

static void drop_empty(struct frame *frame)
{
    struct dialect_encoder *encoder = frame->encoder;
    if (encoder->empty_part >= 0)
        llm_losses_add(frame->losses, LLM_FIELD_PART, -1, encoder->empty_part);
    encoder->empty_part = -1;
}

static void take_step(struct frame *frame, const struct step *step);

/* What stood behind the calls that are written, and in front of the next one. */
static void flush_waiting(struct frame *frame)
{
    struct dialect_encoder *encoder = frame->encoder;
    while (encoder->waiting_done < encoder->waiting_count &&
           encoder->waiting[encoder->waiting_done].calls_before <= encoder->calls_written)
        take_step(frame, &encoder->waiting[encoder->waiting_done++]);
}

/* Writes the calls that are whole, in order of their start, and what stood between them; at the end
 * all. */
static void flush_calls(struct frame *frame, bool all)
{
    struct dialect_encoder *encoder = frame->encoder;
    while (encoder->calls_written < encoder->call_count) {
        const struct call *call = &encoder->calls[encoder->calls_written];
        if (call->is_begun && !call->is_closed && !all)
            return;
        if (call->is_begun)
            write_call(frame, call);
        encoder->calls_written++;
        flush_waiting(frame);
    }
}

/* There are no refusals on this wire: they are said in plain words. */
static void encode_text(struct frame *frame, const struct llm_event *event, int part)
{
    struct dialect_encoder *encoder = frame->encoder;
    const struct gemini_place place = {frame->losses, -1, part};
    bool is_refusal = event->kind == LLM_EVENT_REFUSAL;
    enum llm_part_kind kind = is_refusal ? LLM_PART_TEXT : frame->kind;
    if (!event->text.len)
        return;
    encoder->empty_part = -1;
    if (is_refusal)
        gemini_lose(&place, LLM_FIELD_PART_KIND);
    gemini_run_text(&encoder->run, &place, kind);
    put_text_frame(frame, event->text, kind, STR_NONE);
}

static void encode_opaque(struct frame *frame, const struct llm_event *event, int part)
{
    struct dialect_encoder *encoder = frame->encoder;
    const struct gemini_place place = {frame->losses, -1, part};
    struct call *call = find_call(encoder, event->index);
    bool is_ours = gemini_is_signature(&event->opaque, encoder->model);
    if (!is_ours || (call && (call->signature.len || is_written(encoder, call)))) {
        gemini_lose(&place, LLM_FIELD_PART_OPAQUE);
    } else if (call) {
        call->signature = arena_str(encoder->arena, event->opaque.data);
    } else {
        encoder->empty_part = -1;
        gemini_run_signature(&encoder->run, &place, frame->kind);
        put_text_frame(frame, STR_NONE, frame->kind, event->opaque.data);
    }
}

static void encode_tool_start(struct frame *frame, const struct llm_event *event, int part)
{
    struct dialect_encoder *encoder = frame->encoder;
    encoder->empty_part = -1;
    if (part < 0 || find_call(encoder, event->index))
        return;
    while (encoder->call_count <= (size_t)event->index)
        VEC_PUSH(encoder->arena, encoder->calls, encoder->call_count, encoder->call_capacity);
    encoder->calls[event->index] = (struct call){
        .part = {.kind = LLM_PART_TOOL_CALL,
                 .call_id = arena_str(encoder->arena, event->id),
                 .name = arena_str(encoder->arena, event->name)},
        .part_index = part,
        .is_begun = true,
    };
}

static void encode_tool_more(struct frame *frame, const struct llm_event *event, int part)
{
    (void)part;
    struct call *call = find_call(frame->encoder, event->index);
    if (!call || call->is_closed)
        return;
    if (event->kind == LLM_EVENT_TOOL_END)
        call->is_closed = true;
    else
        llm_text_append(frame->encoder->arena, &call->part.arguments, &call->capacity, event->text);
}

static void encode_finish(struct frame *frame, const struct llm_event *event, int part)
{
    (void)part;
    struct dialect_encoder *encoder = frame->encoder;
    flush_calls(frame, true);
    drop_empty(frame);
    struct str word = gemini_finish_word(event->finish, event->finish_raw, encoder->call_count > 0,
                                         frame->losses);
    begin_frame(frame);
    gemini_put_text(&frame->w, STR_NONE, false, STR_NONE);
    end_parts(frame);
    json_key_str(&frame->w, "finishReason", word);
    end_frame(frame, frame->losses, event);
}

static void encode_start(struct frame *frame, const struct llm_event *event, int part)
{
    (void)part;
    frame->encoder->id = arena_str(frame->encoder->arena, event->id);
    frame->encoder->model = arena_str(frame->encoder->arena, event->model);
}

static void encode_usage(struct frame *frame, const struct llm_event *event, int part)
{
    (void)part;
    frame->encoder->usage = event->usage;
}

static void encode_in_stream_error(struct frame *frame, const struct llm_event *event, int part)
{
    (void)part;
    buf_append(frame->out, STR("data: "));
    gemini_encode_error(event->error, frame->out);
    buf_append(frame->out, STR("\r\n\r\n"));
}

typedef void encode_fn(struct frame *frame, const struct llm_event *event, int part);
static encode_fn *const encode_table[LLM_EVENT_END + 1] = {
    [LLM_EVENT_START] = encode_start,
    [LLM_EVENT_TEXT] = encode_text,
    [LLM_EVENT_REASONING] = encode_text,
    [LLM_EVENT_REFUSAL] = encode_text,
    [LLM_EVENT_OPAQUE] = encode_opaque,
    [LLM_EVENT_TOOL_START] = encode_tool_start,
    [LLM_EVENT_TOOL_ARGUMENTS] = encode_tool_more,
    [LLM_EVENT_TOOL_END] = encode_tool_more,
    [LLM_EVENT_USAGE] = encode_usage,
    [LLM_EVENT_FINISH] = encode_finish,
    [LLM_EVENT_ERROR] = encode_in_stream_error,
};

static void take_step(struct frame *frame, const struct step *step)
{
    if (step->begins) {
        drop_empty(frame);
        frame->encoder->empty_part = step->part;
    }
    frame->kind = step->kind;
    encode_table[step->event->kind](frame, step->event, step->part);
}

/* Whether it has to wait: a call is gathered until its end, and what comes behind it stays behind
 * it. */
static bool has_to_wait(const struct dialect_encoder *encoder, const struct llm_event *event)
{
    bool is_said = event->kind == LLM_EVENT_TEXT || event->kind == LLM_EVENT_REASONING ||
                   event->kind == LLM_EVENT_REFUSAL || event->kind == LLM_EVENT_OPAQUE;
    return is_said && encoder->calls_written < encoder->call_count;
}

static void put_off(struct dialect_encoder *encoder, const struct step *step)
{
    struct arena *arena = encoder->arena;
    struct llm_event *event = ARENA_NEW(arena, struct llm_event);
    const struct llm_opaque *opaque = &step->event->opaque;
    struct step *kept =
        VEC_PUSH(arena, encoder->waiting, encoder->waiting_count, encoder->waiting_capacity);
    *kept = *step;
    kept->event = event;
    kept->calls_before = encoder->call_count;
    event->kind = step->event->kind;
    event->index = step->event->index;
    event->text = arena_str(arena, step->event->text);
    event->opaque =
        (struct llm_opaque){arena_str(arena, opaque->dialect), arena_str(arena, opaque->model),
                            arena_str(arena, opaque->kind), arena_str(arena, opaque->data)};
}

void gemini_encode_event(struct dialect_encoder *encoder, const struct llm_event *event,
                         struct buf *out, struct llm_losses *losses)
{
    if ((unsigned)event->kind > LLM_EVENT_END || !encode_table[event->kind])
        return;
    struct frame frame = {.encoder = encoder, .out = out, .losses = losses};
    struct step step = {.event = event};
    step.part = llm_cursor_add(&encoder->cursor, event, &step.begins);
    step.kind = encoder->cursor.kind;
    bool is_late_signature = event->kind == LLM_EVENT_OPAQUE && event->index >= 0;
    if (!is_late_signature)
        flush_calls(&frame, false);
    if (!is_late_signature && has_to_wait(encoder, event))
        put_off(encoder, &step);
    else
        take_step(&frame, &step);
}
