/* OpenAI Responses: reading answers, streamed or whole. A whole answer is read like the last event
 * of a stream whose items were never announced.
 *
 *            created, an item               completed, incomplete
 *   waiting -----------------> answering ------------------------> ended
 *      |                           |                                 ^
 *      +---------------------------+--- error, failed, cut off ------+
 *
 * What an item's deltas did not say, its `done` says: servers leave out one or the other. */
#include <string.h>

#include "base/json.h"
#include "base/vec.h"
#include "llm/dialect_openai_responses.h"

enum { MALFORMED_MAX = 16 };

struct item {
    int64_t output_index;
    struct str id;
    int call; /* index of the tool call, or -1 */
    bool has_text, has_summary, has_arguments, is_done;
};

struct dialect_decoder {
    struct arena *arena;
    bool is_started, is_ended, has_refusal;
    unsigned malformed;
    int calls;
    struct str model;
    struct item *items;
    size_t item_count, item_capacity;
};

struct frame {
    struct dialect_decoder *decoder;
    struct arena *scratch;
    llm_emit_fn *emit;
    void *user;
};

struct dialect_decoder *openai_responses_decoder_new(struct arena *arena)
{
    struct dialect_decoder *decoder = ARENA_NEW(arena, struct dialect_decoder);
    decoder->arena = arena;
    return decoder;
}

/* ---- Emitting -------------------------------------------------------------------------------- */

static void emit(struct frame *frame, const struct llm_event *event)
{
    frame->emit(frame->user, event);
}

static void emit_end(struct frame *frame)
{
    struct llm_event event = {.kind = LLM_EVENT_END};
    frame->decoder->is_ended = true;
    emit(frame, &event);
}

static void fail(struct frame *frame, const struct llm_error *error)
{
    struct llm_event event = {.kind = LLM_EVENT_ERROR, .error = error};
    if (frame->decoder->is_ended)
        return;
    emit(frame, &event);
    emit_end(frame);
}

static void fail_with(struct frame *frame, const char *message)
{
    struct llm_error error;
    dialect_error_set(&error, ERR_SERVER, message);
    fail(frame, &error);
}

static void emit_start(struct frame *frame, yyjson_val *response)
{
    struct dialect_decoder *decoder = frame->decoder;
    struct llm_event event = {.kind = LLM_EVENT_START,
                              .id = json_get_str(response, "id"),
                              .model = json_get_str(response, "model")};
    if (decoder->is_started)
        return;
    decoder->is_started = true;
    decoder->model = arena_str(decoder->arena, event.model);
    emit(frame, &event);
}

static void emit_text(struct frame *frame, const struct item *item, enum llm_event_kind kind,
                      struct str text)
{
    bool is_text = kind == LLM_EVENT_TEXT;
    struct llm_event event = {
        .kind = kind, .index = -1, .text = text, .item = is_text ? item->id : STR_NONE};
    if (!text.len)
        return;
    frame->decoder->has_refusal |= kind == LLM_EVENT_REFUSAL;
    emit(frame, &event);
}

static void emit_arguments(struct frame *frame, struct item *item, struct str text)
{
    struct llm_event event = {.kind = LLM_EVENT_TOOL_ARGUMENTS, .index = item->call, .text = text};
    if (!text.len || item->is_done)
        return;
    item->has_arguments = true;
    emit(frame, &event);
}

/* ---- Items ----------------------------------------------------------------------------------- */

static struct item *new_item(struct frame *frame, int64_t output_index, struct str id)
{
    struct dialect_decoder *decoder = frame->decoder;
    if (decoder->item_count == LLM_CALLS_MAX) {
        fail_with(frame, "the answer has too many items");
        return NULL;
    }
    struct item *item =
        VEC_PUSH(decoder->arena, decoder->items, decoder->item_count, decoder->item_capacity);
    *item = (struct item){
        .output_index = output_index, .id = arena_str(decoder->arena, id), .call = -1};
    return item;
}

/* By output index, or by id where there is none (some servers change ids on the way). */
static struct item *find_item(struct frame *frame, int64_t output_index, struct str id)
{
    struct dialect_decoder *decoder = frame->decoder;
    for (size_t i = decoder->item_count; i-- > 0;) {
        struct item *item = &decoder->items[i];
        if (output_index >= 0 ? item->output_index == output_index : str_eq(item->id, id))
            return item;
    }
    return NULL;
}

/* The item that an event is about, made when it was not announced; NULL when the answer failed. */
static struct item *item_of_event(struct frame *frame, yyjson_val *root)
{
    int64_t output_index;
    yyjson_val *inner = json_get(root, "item");
    struct str id = inner ? json_get_str(inner, "id") : json_get_str(root, "item_id");
    if (!json_get_int(root, "output_index", &output_index) || output_index < 0)
        output_index = -1;
    struct item *item = find_item(frame, output_index, id);
    return item ? item : new_item(frame, output_index, id);
}

static void open_call(struct frame *frame, struct item *item, yyjson_val *value)
{
    if (item->call >= 0)
        return;
    struct str id = json_get_str(value, "call_id");
    item->call = frame->decoder->calls++;
    struct llm_event event = {.kind = LLM_EVENT_TOOL_START,
                              .index = item->call,
                              .id = id.len ? id : dialect_make_call_id(frame->decoder->arena),
                              .name = json_get_str(value, "name")};
    emit(frame, &event);
}

static void close_call(struct frame *frame, struct item *item, struct str arguments)
{
    if (item->call < 0 || item->is_done)
        return;
    if (!item->has_arguments)
        emit_arguments(frame, item, arguments.len ? arguments : STR("{}"));
    item->is_done = true;
    struct llm_event event = {.kind = LLM_EVENT_TOOL_END, .index = item->call};
    emit(frame, &event);
}

static void read_message_done(struct frame *frame, struct item *item, yyjson_val *value)
{
    size_t i, size;
    yyjson_val *part;
    if (item->has_text)
        return;
    yyjson_arr_foreach (json_get(value, "content"), i, size, part) {
        emit_text(frame, item, LLM_EVENT_TEXT, json_get_str(part, "text"));
        emit_text(frame, item, LLM_EVENT_REFUSAL, json_get_str(part, "refusal"));
    }
}

/* An empty line between the parts of a summary. */
static void emit_summary(struct frame *frame, struct item *item, yyjson_val *texts)
{
    size_t i, size;
    yyjson_val *part;
    yyjson_arr_foreach (texts, i, size, part) {
        struct str text = json_get_str(part, "text");
        if (text.len && item->has_text)
            emit_text(frame, item, LLM_EVENT_REASONING, STR("\n\n"));
        emit_text(frame, item, LLM_EVENT_REASONING, text);
        item->has_text |= text.len > 0;
    }
}

static void read_reasoning_done(struct frame *frame, struct item *item, yyjson_val *value)
{
    struct str encrypted = json_get_str(value, "encrypted_content");
    if (!item->has_text)
        emit_summary(frame, item, json_get(value, "summary"));
    if (!item->has_text)
        emit_summary(frame, item, json_get(value, "content"));
    if (!encrypted.len)
        return;
    struct llm_event event = {.kind = LLM_EVENT_REASONING, .index = -1, .text = STR("")};
    if (!item->has_text)
        emit(frame, &event); /* so that what follows does not belong to a text before */
    event = (struct llm_event){.kind = LLM_EVENT_OPAQUE, .index = -1};
    event.opaque = (struct llm_opaque){.dialect = RESPONSES_NAME,
                                       .model = frame->decoder->model,
                                       .kind = RESPONSES_ENCRYPTED,
                                       .data = encrypted};
    emit(frame, &event);
}

static void read_item_done(struct frame *frame, struct item *item, yyjson_val *value)
{
    struct str type = json_get_str(value, "type");
    if (item->is_done)
        return;
    if (str_eq(type, STR("function_call"))) {
        open_call(frame, item, value);
        close_call(frame, item, json_get_str(value, "arguments"));
    } else if (str_eq(type, STR("message"))) {
        read_message_done(frame, item, value);
    } else if (str_eq(type, STR("reasoning"))) {
        read_reasoning_done(frame, item, value);
    }
    item->is_done = true;
}

/* ---- Events of items ------------------------------------------------------------------------- */

static void on_item_added(struct frame *frame, yyjson_val *root)
{
    yyjson_val *value = json_get(root, "item");
    struct item *item = item_of_event(frame, root);
    if (item && str_eq(json_get_str(value, "type"), STR("function_call")))
        open_call(frame, item, value);
}

static void on_item_done(struct frame *frame, yyjson_val *root)
{
    struct item *item = item_of_event(frame, root);
    if (item)
        read_item_done(frame, item, json_get(root, "item"));
}

static void on_delta(struct frame *frame, yyjson_val *root, enum llm_event_kind kind)
{
    struct str delta = json_get_str(root, "delta");
    struct item *item = item_of_event(frame, root);
    if (!item || !delta.len || item->is_done)
        return;
    item->has_text = true;
    emit_text(frame, item, kind, delta);
}

static void on_text(struct frame *frame, yyjson_val *root)
{
    on_delta(frame, root, LLM_EVENT_TEXT);
}

static void on_refusal(struct frame *frame, yyjson_val *root)
{
    on_delta(frame, root, LLM_EVENT_REFUSAL);
}

static void on_summary_part(struct frame *frame, yyjson_val *root)
{
    struct item *item = item_of_event(frame, root);
    if (item && item->has_text && !item->is_done)
        emit_text(frame, item, LLM_EVENT_REASONING, STR("\n\n"));
}

static void on_summary(struct frame *frame, yyjson_val *root)
{
    struct item *item = item_of_event(frame, root);
    if (item)
        item->has_summary = true;
    on_delta(frame, root, LLM_EVENT_REASONING);
}

/* The raw reasoning, unless its summary is shown already. */
static void on_reasoning(struct frame *frame, yyjson_val *root)
{
    struct item *item = item_of_event(frame, root);
    if (item && !item->has_summary)
        on_delta(frame, root, LLM_EVENT_REASONING);
}

static void on_arguments(struct frame *frame, yyjson_val *root)
{
    struct item *item = item_of_event(frame, root);
    if (item && item->call >= 0)
        emit_arguments(frame, item, json_get_str(root, "delta"));
}

static void on_arguments_done(struct frame *frame, yyjson_val *root)
{
    struct item *item = item_of_event(frame, root);
    if (item && item->call >= 0 && !item->has_arguments)
        emit_arguments(frame, item, json_get_str(root, "arguments"));
}

/* ---- Events of the response ------------------------------------------------------------------ */

static void on_created(struct frame *frame, yyjson_val *root)
{
    emit_start(frame, json_get(root, "response"));
}

static void on_error(struct frame *frame, yyjson_val *root)
{
    struct llm_error error;
    yyjson_val *response = json_get(root, "response");
    openai_error_of_value(frame->scratch, response ? response : root, &error);
    fail(frame, &error);
}

enum llm_finish openai_responses_finish(struct str status, struct str reason, bool has_calls,
                                        bool has_refusal)
{
    if (str_eq(status, STR("incomplete"))) {
        if (str_eq(reason, STR("max_output_tokens")))
            return LLM_FINISH_LENGTH;
        return str_eq(reason, STR("content_filter")) ? LLM_FINISH_CONTENT_FILTERED
                                                     : LLM_FINISH_OTHER;
    }
    if (status.len && !str_eq(status, STR("completed")))
        return LLM_FINISH_OTHER;
    if (has_calls)
        return LLM_FINISH_TOOL_CALLS;
    return has_refusal ? LLM_FINISH_CONTENT_FILTERED : LLM_FINISH_STOP;
}

/* Items that no event told of. */
static void read_output(struct frame *frame, yyjson_val *response)
{
    size_t i, size;
    yyjson_val *value;
    yyjson_arr_foreach (json_get(response, "output"), i, size, value) {
        struct item *item = find_item(frame, (int64_t)i, STR(""));
        if (!item)
            item = new_item(frame, (int64_t)i, json_get_str(value, "id"));
        if (!item)
            return;
        read_item_done(frame, item, value);
    }
    for (size_t k = 0; k < frame->decoder->item_count; k++)
        close_call(frame, &frame->decoder->items[k], STR(""));
}

static void read_end(struct frame *frame, yyjson_val *response)
{
    struct llm_usage usage;
    struct str status = json_get_str(response, "status");
    struct str reason = json_get_str(json_get(response, "incomplete_details"), "reason");
    emit_start(frame, response);
    read_output(frame, response);
    if (frame->decoder->is_ended)
        return;
    if (openai_get_usage(json_get(response, "usage"), &openai_responses_usage, &usage)) {
        struct llm_event event = {.kind = LLM_EVENT_USAGE, .index = -1, .usage = usage};
        emit(frame, &event);
    }
    struct llm_event event = {.kind = LLM_EVENT_FINISH};
    event.finish = openai_responses_finish(status, reason, frame->decoder->calls > 0,
                                           frame->decoder->has_refusal);
    event.finish_raw = reason.len ? reason : status;
    emit(frame, &event);
    emit_end(frame);
}

static void on_end(struct frame *frame, yyjson_val *root)
{
    read_end(frame, json_get(root, "response"));
}

/* ---- Frames ---------------------------------------------------------------------------------- */

static const struct {
    const char *type;
    void (*handle)(struct frame *frame, yyjson_val *root);
    bool needs_start;
} handlers[] = {
    {"response.output_text.delta", on_text, true},
    {"response.function_call_arguments.delta", on_arguments, true},
    {"response.reasoning_summary_text.delta", on_summary, true},
    {"response.reasoning_text.delta", on_reasoning, true},
    {"response.refusal.delta", on_refusal, true},
    {"response.created", on_created, false},
    {"response.in_progress", on_created, false},
    {"response.output_item.added", on_item_added, true},
    {"response.output_item.done", on_item_done, true},
    {"response.reasoning_summary_part.added", on_summary_part, true},
    {"response.function_call_arguments.done", on_arguments_done, true},
    {"response.completed", on_end, false},
    {"response.incomplete", on_end, false},
    {"response.cancelled", on_end, false},
    {"response.failed", on_error, false},
    {"error", on_error, false},
};

static void handle(struct frame *frame, struct str type, yyjson_val *root)
{
    for (size_t i = 0; i < sizeof handlers / sizeof handlers[0]; i++) {
        if (!str_eq(type, str_from_cstr(handlers[i].type)))
            continue;
        if (handlers[i].needs_start)
            emit_start(frame, NULL);
        handlers[i].handle(frame, root);
        return;
    }
    yyjson_val *error = json_get(root, "error");
    if (yyjson_is_obj(error) || json_str(error).len || yyjson_is_arr(root))
        on_error(frame, root);
}

static void malformed(struct frame *frame)
{
    if (++frame->decoder->malformed >= MALFORMED_MAX)
        fail_with(frame, "the stream is not what this protocol says");
}

void openai_responses_decode_frame(struct dialect_decoder *decoder, struct arena *scratch,
                                   struct str type, struct str data, llm_emit_fn *emit_fn,
                                   void *user)
{
    struct frame frame = {decoder, scratch, emit_fn, user};
    yyjson_val *root;
    data = str_trim(data);
    if (decoder->is_ended || data.len == 0)
        return;
    if (str_starts_with(data, STR("[DONE]"))) {
        openai_responses_decode_end(decoder, emit_fn, user);
        return;
    }
    if (json_read(scratch, data, &root, NULL)) {
        malformed(&frame);
        return;
    }
    struct str own = json_get_str(root, "type");
    if (!own.len && str_eq(json_get_str(root, "object"), STR("response")))
        read_end(&frame, root); /* an answer that was not streamed after all */
    else
        handle(&frame, own.len ? own : type, root);
}

void openai_responses_decode_end(struct dialect_decoder *decoder, llm_emit_fn *emit_fn, void *user)
{
    struct frame frame = {decoder, NULL, emit_fn, user};
    fail_with(&frame, "the answer was cut off");
}

struct dialect_progress openai_responses_progress(const struct dialect_decoder *decoder)
{
    /* Its last event is also what tells that it is whole. */
    return (struct dialect_progress){decoder->malformed, false};
}

/* ---- Whole answers --------------------------------------------------------------------------- */

enum err openai_responses_decode_response(struct arena *arena, struct str body,
                                          struct llm_response *ret_response,
                                          struct llm_error *ret_error)
{
    struct openai_collector collector = {llm_builder_new(arena, SIZE_MAX), ERR_OK};
    struct frame frame = {openai_responses_decoder_new(arena), arena, openai_collect, &collector};
    yyjson_val *root;
    if (json_read(arena, str_trim(body), &root, NULL))
        return openai_not_an_answer(arena, body, ret_error);
    yyjson_val *error = json_get(root, "error");
    bool has_error = yyjson_is_obj(error) || json_str(error).len || yyjson_is_arr(root) ||
                     str_eq(json_get_str(root, "status"), STR("failed"));
    if (has_error)
        on_error(&frame, root);
    else if (!yyjson_is_arr(json_get(root, "output")))
        return openai_not_an_answer(arena, body, ret_error);
    else
        read_end(&frame, root);
    return openai_collected(&collector, ret_response, ret_error);
}
