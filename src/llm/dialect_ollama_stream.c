/* Ollama: the lines of a streamed answer as canonical events. A call comes whole in one line; the
 * line with "done" is the last, and an error may stand in any line's place.
 *
 *   waiting --take_message--> open --take_done, fail--> ended */
#include "llm/dialect_ollama.h"

enum { MALFORMED_MAX = 16 };

struct dialect_decoder {
    struct arena *arena;
    bool is_started;
    bool is_ended;
    int malformed_count;
    int call_count;
};

/* Where events go while a line is decoded. */
struct sink {
    struct arena *scratch;
    llm_emit_fn *emit;
    void *user;
};

struct dialect_decoder *ollama_decoder_new(struct arena *arena)
{
    struct dialect_decoder *decoder = ARENA_NEW(arena, struct dialect_decoder);
    decoder->arena = arena;
    return decoder;
}

static void emit_event(const struct sink *sink, struct llm_event event)
{
    sink->emit(sink->user, &event);
}

static void start(struct dialect_decoder *decoder, const struct sink *sink, struct str model)
{
    if (decoder->is_started)
        return;
    decoder->is_started = true;
    emit_event(sink, (struct llm_event){.kind = LLM_EVENT_START, .model = model});
}

static void end(struct dialect_decoder *decoder, const struct sink *sink)
{
    decoder->is_ended = true;
    emit_event(sink, (struct llm_event){.kind = LLM_EVENT_END});
}

static void fail(struct dialect_decoder *decoder, const struct sink *sink,
                 const struct llm_error *error)
{
    start(decoder, sink, STR_NONE);
    emit_event(sink, (struct llm_event){.kind = LLM_EVENT_ERROR, .error = error});
    end(decoder, sink);
}

static void fail_with(struct dialect_decoder *decoder, const struct sink *sink, const char *message)
{
    struct llm_error error;
    dialect_error_set(&error, ERR_SERVER, message);
    fail(decoder, sink, &error);
}

static void take_text(const struct sink *sink, enum llm_event_kind kind, struct str text)
{
    if (text.len)
        emit_event(sink, (struct llm_event){.kind = kind, .text = text});
}

static void take_call(struct dialect_decoder *decoder, const struct sink *sink, yyjson_val *call)
{
    yyjson_val *function = json_get(call, "function");
    yyjson_val *arguments = json_get(function, "arguments");
    struct str id = json_get_str(call, "id");
    struct str text = yyjson_is_str(arguments)   ? json_str(arguments)
                      : yyjson_is_obj(arguments) ? json_text(sink->scratch, arguments)
                                                 : STR("{}");
    int index = decoder->call_count++;
    emit_event(sink, (struct llm_event){.kind = LLM_EVENT_TOOL_START,
                                        .index = index,
                                        .id = id.len ? id : dialect_make_call_id(sink->scratch),
                                        .name = json_get_str(function, "name")});
    emit_event(sink,
               (struct llm_event){.kind = LLM_EVENT_TOOL_ARGUMENTS, .index = index, .text = text});
    emit_event(sink, (struct llm_event){.kind = LLM_EVENT_TOOL_END, .index = index});
}

/* What generate answers has the message's members in itself, and "response" for its content. */
static void take_message(struct dialect_decoder *decoder, const struct sink *sink, yyjson_val *root)
{
    yyjson_val *message = json_get(root, "message");
    const char *content = message ? "content" : "response";
    message = message ? message : root;
    take_text(sink, LLM_EVENT_REASONING, json_get_str(message, "thinking"));
    take_text(sink, LLM_EVENT_TEXT, json_get_str(message, content));
    yyjson_arr_iter iter = yyjson_arr_iter_with(json_get(message, "tool_calls"));
    for (yyjson_val *call; (call = yyjson_arr_iter_next(&iter));)
        take_call(decoder, sink, call);
}

/* Counts that are zero are left out by the server: then they are not known. */
static void take_usage(const struct sink *sink, yyjson_val *root)
{
    struct llm_usage usage = LLM_USAGE_UNKNOWN;
    json_get_int(root, "prompt_eval_count", &usage.input_total);
    json_get_int(root, "eval_count", &usage.output_total);
    if (usage.input_total < 0)
        usage.input_total = -1;
    if (usage.output_total < 0)
        usage.output_total = -1;
    if (usage.input_total >= 0 || usage.output_total >= 0)
        emit_event(sink, (struct llm_event){.kind = LLM_EVENT_USAGE, .usage = usage});
}

static void take_done(struct dialect_decoder *decoder, const struct sink *sink, yyjson_val *root)
{
    struct str reason = json_get_str(root, "done_reason");
    take_usage(sink, root);
    emit_event(sink, (struct llm_event){.kind = LLM_EVENT_FINISH,
                                        .finish = ollama_finish(reason, decoder->call_count > 0),
                                        .finish_raw = reason});
    end(decoder, sink);
}

void ollama_decode_value(struct dialect_decoder *decoder, struct arena *scratch, yyjson_val *root,
                         llm_emit_fn *emit, void *user)
{
    const struct sink sink = {scratch, emit, user};
    bool is_done = false;
    if (json_get(root, "error")) {
        struct llm_error error;
        ollama_error_read(scratch, root, 0, &error);
        fail(decoder, &sink, &error);
        return;
    }
    start(decoder, &sink, json_get_str(root, "model"));
    take_message(decoder, &sink, root);
    if (json_get_bool(root, "done", &is_done) && is_done)
        take_done(decoder, &sink, root);
}

void ollama_decode_frame(struct dialect_decoder *decoder, struct arena *scratch, struct str type,
                         struct str data, llm_emit_fn *emit, void *user)
{
    (void)type;
    yyjson_val *root;
    if (decoder->is_ended || !str_trim(data).len)
        return;
    if (json_read(scratch, data, &root, NULL) == ERR_OK && yyjson_is_obj(root)) {
        ollama_decode_value(decoder, scratch, root, emit, user);
        return;
    }
    const struct sink sink = {scratch, emit, user};
    if (++decoder->malformed_count >= MALFORMED_MAX)
        fail_with(decoder, &sink, "the provider's stream is not its protocol");
}

void ollama_decode_end(struct dialect_decoder *decoder, llm_emit_fn *emit, void *user)
{
    const struct sink sink = {decoder->arena, emit, user};
    if (!decoder->is_ended)
        fail_with(decoder, &sink, "the answer was cut off");
}

struct dialect_progress ollama_progress(const struct dialect_decoder *decoder)
{
    /* The line that says done is also the last. */
    return (struct dialect_progress){(unsigned)decoder->malformed_count, false};
}
