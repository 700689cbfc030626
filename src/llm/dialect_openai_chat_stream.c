/* OpenAI Chat Completions: the one tolerant reader of answers, streamed or whole, from OpenAI and
 * from everything that calls itself compatible. A whole answer is read as a stream of one frame
 * whose choice has a `message` instead of a `delta`.
 *
 *            read_choice               finish: [DONE], decode_end
 *   waiting ------------> answering -----------------------------> ended
 *      |                      |                                      ^
 *      +----------------------+---- fail: error, broken frames ------+
 *
 * FINISH is held back until the end, because usage (and with some servers content) comes behind
 * finish_reason. */
#include <string.h>

#include "base/json.h"
#include "base/vec.h"
#include "llm/dialect_openai_chat.h"

enum { MALFORMED_MAX = 16, REASON_BYTES_MAX = 64 };

struct call {
    int64_t wire_index; /* -1: the server gave none */
    struct str id;      /* as sent; empty when none was */
    bool is_open;       /* TOOL_START was emitted */
    bool has_arguments;
};

struct dialect_decoder {
    struct arena *arena;
    bool is_started, is_ended, has_refusal, has_finish, has_usage;
    unsigned malformed;
    char reason[REASON_BYTES_MAX];
    struct llm_usage usage;
    struct call *calls;
    size_t call_count, call_capacity;
};

/* One frame's way through the reader. */
struct frame {
    struct dialect_decoder *decoder;
    struct arena *scratch;
    llm_emit_fn *emit;
    void *user;
};

/* The members of a frame, of its choice, and of that one's message or delta. */
struct root_members {
    yyjson_val *value; /* the frame itself */
    yyjson_val *id, *model, *choices, *usage, *x_groq, *error, *object, *type, *detail;
};
struct choice_members {
    yyjson_val *value; /* the choice itself, or NULL */
    yyjson_val *index, *delta, *message, *finish_reason, *error, *usage;
};
struct message_members {
    yyjson_val *content, *refusal, *tool_calls, *function_call;
    yyjson_val *reasoning_content, *reasoning, *reasoning_details;
};

struct dialect_decoder *openai_chat_decoder_new(struct arena *arena)
{
    struct dialect_decoder *decoder = ARENA_NEW(arena, struct dialect_decoder);
    decoder->arena = arena;
    return decoder;
}

/* ---- Members --------------------------------------------------------------------------------- */

static struct root_members scan_root(yyjson_val *object)
{
    struct root_members root = {.value = object};
    size_t i, size;
    yyjson_val *key, *value;
    if (!yyjson_is_obj(object))
        return root;
    yyjson_obj_foreach (object, i, size, key, value) {
        dialect_take(&root.id, STR("id"), key, value);
        dialect_take(&root.type, STR("type"), key, value);
        dialect_take(&root.model, STR("model"), key, value);
        dialect_take(&root.usage, STR("usage"), key, value);
        dialect_take(&root.error, STR("error"), key, value);
        dialect_take(&root.object, STR("object"), key, value);
        dialect_take(&root.x_groq, STR("x_groq"), key, value);
        dialect_take(&root.detail, STR("detail"), key, value);
        dialect_take(&root.choices, STR("choices"), key, value);
    }
    return root;
}

static struct choice_members scan_choice(yyjson_val *object)
{
    struct choice_members choice = {.value = object};
    size_t i, size;
    yyjson_val *key, *value;
    yyjson_obj_foreach (object, i, size, key, value) {
        dialect_take(&choice.index, STR("index"), key, value);
        dialect_take(&choice.delta, STR("delta"), key, value);
        dialect_take(&choice.error, STR("error"), key, value);
        dialect_take(&choice.usage, STR("usage"), key, value);
        dialect_take(&choice.message, STR("message"), key, value);
        dialect_take(&choice.finish_reason, STR("finish_reason"), key, value);
    }
    return choice;
}

static struct message_members scan_message(yyjson_val *object)
{
    struct message_members message = {0};
    size_t i, size;
    yyjson_val *key, *value;
    if (!yyjson_is_obj(object))
        return message;
    yyjson_obj_foreach (object, i, size, key, value) {
        dialect_take(&message.content, STR("content"), key, value);
        dialect_take(&message.refusal, STR("refusal"), key, value);
        dialect_take(&message.reasoning, STR("reasoning"), key, value);
        dialect_take(&message.tool_calls, STR("tool_calls"), key, value);
        dialect_take(&message.function_call, STR("function_call"), key, value);
        dialect_take(&message.reasoning_content, STR("reasoning_content"), key, value);
        dialect_take(&message.reasoning_details, STR("reasoning_details"), key, value);
    }
    return message;
}

/* ---- Emitting -------------------------------------------------------------------------------- */

static void emit(struct frame *frame, const struct llm_event *event)
{
    frame->emit(frame->user, event);
}

static void emit_start(struct frame *frame, struct str id, struct str model)
{
    struct llm_event event = {.kind = LLM_EVENT_START, .id = id, .model = model};
    if (frame->decoder->is_started)
        return;
    frame->decoder->is_started = true;
    emit(frame, &event);
}

static void emit_text(struct frame *frame, enum llm_event_kind kind, struct str text)
{
    struct llm_event event = {.kind = kind, .index = -1, .text = text};
    if (text.len)
        emit(frame, &event);
}

static void fail(struct frame *frame, const struct llm_error *error)
{
    struct llm_event event = {.kind = LLM_EVENT_ERROR, .error = error};
    if (frame->decoder->is_ended)
        return;
    frame->decoder->is_ended = true;
    emit(frame, &event);
    event = (struct llm_event){.kind = LLM_EVENT_END};
    emit(frame, &event);
}

static void fail_with(struct frame *frame, enum err class, const char *message)
{
    struct llm_error error;
    dialect_error_set(&error, class, message);
    fail(frame, &error);
}

/* ---- Finishing ------------------------------------------------------------------------------- */

enum llm_finish openai_chat_finish(struct str reason, bool has_calls, bool has_refusal,
                                   enum err *ret_error)
{
    static const struct {
        const char *word;
        enum llm_finish finish;
        enum err class;
    } table[] = {
        {"stop", LLM_FINISH_STOP, ERR_OK},
        {"length", LLM_FINISH_LENGTH, ERR_OK},
        {"tool_calls", LLM_FINISH_TOOL_CALLS, ERR_OK},
        {"function_call", LLM_FINISH_TOOL_CALLS, ERR_OK},
        {"content_filter", LLM_FINISH_CONTENT_FILTERED, ERR_OK},
        {"eos", LLM_FINISH_STOP, ERR_OK}, /* Together */
        {"", LLM_FINISH_STOP, ERR_OK},
        {"model_length", LLM_FINISH_LENGTH, ERR_OK}, /* Mistral */
        {"max_tokens", LLM_FINISH_LENGTH, ERR_OK},
        {"error", LLM_FINISH_ERROR, ERR_SERVER},
        {"abort", LLM_FINISH_ERROR, ERR_SERVER},                            /* vLLM */
        {"insufficient_system_resource", LLM_FINISH_ERROR, ERR_OVERLOADED}, /* DeepSeek */
    };
    enum llm_finish finish = LLM_FINISH_OTHER;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (!str_eq(reason, str_from_cstr(table[i].word)))
            continue;
        finish = table[i].finish;
        if (ret_error)
            *ret_error = table[i].class;
        break;
    }
    if (finish == LLM_FINISH_STOP && has_calls)
        return LLM_FINISH_TOOL_CALLS;
    return finish == LLM_FINISH_STOP && has_refusal ? LLM_FINISH_CONTENT_FILTERED : finish;
}

static void open_call(struct frame *frame, size_t index, struct str name);

static void close_calls(struct frame *frame)
{
    for (size_t i = 0; i < frame->decoder->call_count; i++) {
        struct llm_event event = {
            .kind = LLM_EVENT_TOOL_ARGUMENTS, .index = (int)i, .text = STR("{}")};
        open_call(frame, i, STR(""));
        if (!frame->decoder->calls[i].has_arguments)
            emit(frame, &event);
        event = (struct llm_event){.kind = LLM_EVENT_TOOL_END, .index = (int)i};
        emit(frame, &event);
    }
}

static void finish(struct frame *frame)
{
    struct dialect_decoder *decoder = frame->decoder;
    if (!decoder->is_started && !decoder->has_usage) {
        fail_with(frame, ERR_SERVER, "the answer was empty");
        return;
    }
    struct str reason = str_from_cstr(decoder->reason);
    struct llm_event event = {.kind = LLM_EVENT_USAGE, .index = -1, .usage = decoder->usage};
    emit_start(frame, STR(""), STR(""));
    close_calls(frame);
    if (decoder->has_usage)
        emit(frame, &event);
    event = (struct llm_event){.kind = LLM_EVENT_FINISH, .finish_raw = reason};
    event.finish = openai_chat_finish(reason, decoder->call_count > 0, decoder->has_refusal, NULL);
    emit(frame, &event);
    decoder->is_ended = true;
    event = (struct llm_event){.kind = LLM_EVENT_END};
    emit(frame, &event);
}

void openai_chat_decode_end(struct dialect_decoder *decoder, llm_emit_fn *emit_fn, void *user)
{
    struct frame frame = {decoder, NULL, emit_fn, user};
    if (decoder->is_ended)
        return;
    if (decoder->has_finish)
        finish(&frame);
    else
        fail_with(&frame, ERR_SERVER, "the answer was cut off");
}

struct dialect_progress openai_chat_progress(const struct dialect_decoder *decoder)
{
    return (struct dialect_progress){decoder->malformed, decoder->has_finish};
}

/* ---- Tool calls ------------------------------------------------------------------------------ */

static void open_call(struct frame *frame, size_t index, struct str name)
{
    struct call *call = &frame->decoder->calls[index];
    if (call->is_open)
        return;
    call->is_open = true;
    struct str id = call->id.len ? call->id : dialect_make_call_id(frame->decoder->arena);
    struct llm_event event = {
        .kind = LLM_EVENT_TOOL_START, .index = (int)index, .id = id, .name = name};
    emit(frame, &event);
}

static size_t new_call(struct frame *frame, int64_t wire_index, struct str id)
{
    struct dialect_decoder *decoder = frame->decoder;
    if (decoder->call_count == LLM_CALLS_MAX) {
        fail_with(frame, ERR_SERVER, "the answer has too many tool calls");
        return SIZE_MAX;
    }
    struct call *call =
        VEC_PUSH(decoder->arena, decoder->calls, decoder->call_count, decoder->call_capacity);
    call->wire_index = wire_index;
    call->id = arena_str(decoder->arena, id);
    return decoder->call_count - 1;
}

/* The latest call for which index or id agree, or SIZE_MAX. */
static size_t find_call(const struct dialect_decoder *decoder, int64_t wire_index, struct str id)
{
    for (size_t i = decoder->call_count; i-- > 0;) {
        const struct call *call = &decoder->calls[i];
        if (wire_index >= 0 ? call->wire_index == wire_index : str_eq(call->id, id))
            return i;
    }
    return SIZE_MAX;
}

/* To which call an entry belongs: by index if there is one (another id at a used index is another
 * call), else by id, else a name begins one, and what has nothing goes on with the last. */
static size_t choose_call(struct frame *frame, int64_t wire_index, struct str id, struct str name)
{
    struct dialect_decoder *decoder = frame->decoder;
    size_t found = SIZE_MAX;
    if (wire_index >= 0 || id.len)
        found = find_call(decoder, wire_index, id);
    else if (!name.len && decoder->call_count)
        found = decoder->call_count - 1;
    if (found == SIZE_MAX)
        return new_call(frame, wire_index, id);
    struct call *call = &decoder->calls[found];
    if (id.len && call->id.len && !str_eq(id, call->id))
        return new_call(frame, wire_index, id);
    if (id.len && !call->id.len && !call->is_open)
        call->id = arena_str(decoder->arena, id);
    return found;
}

static void read_call(struct frame *frame, yyjson_val *entry, bool is_whole)
{
    yyjson_val *function = json_get(entry, "function");
    struct str id = json_get_str(entry, "id");
    struct str name = json_get_str(function, "name");
    yyjson_val *arguments = json_get(function, "arguments");
    int64_t wire_index = -1;
    if (str_eq(id, STR("null")))
        id = STR("");
    if (!json_get_int(entry, "index", &wire_index) || wire_index < 0)
        wire_index = -1;
    if (!yyjson_is_obj(function))
        return;
    size_t index = is_whole ? new_call(frame, -1, id) : choose_call(frame, wire_index, id, name);
    if (index == SIZE_MAX)
        return;
    struct str text =
        yyjson_is_ctn(arguments) ? json_text(frame->scratch, arguments) : json_str(arguments);
    if (name.len || text.len)
        open_call(frame, index, name);
    if (!text.len)
        return;
    frame->decoder->calls[index].has_arguments = true;
    struct llm_event event = {.kind = LLM_EVENT_TOOL_ARGUMENTS, .index = (int)index, .text = text};
    emit(frame, &event);
}

/* The form before tools: {"function_call": {"name", "arguments"}}. */
static void read_function_call(struct frame *frame, yyjson_val *call)
{
    struct str name = json_get_str(call, "name"), arguments = json_get_str(call, "arguments");
    if (!yyjson_is_obj(call))
        return;
    size_t index = choose_call(frame, -1, STR(""), name);
    if (index == SIZE_MAX)
        return;
    open_call(frame, index, name);
    if (!arguments.len)
        return;
    frame->decoder->calls[index].has_arguments = true;
    struct llm_event event = {
        .kind = LLM_EVENT_TOOL_ARGUMENTS, .index = (int)index, .text = arguments};
    emit(frame, &event);
}

static void read_calls(struct frame *frame, const struct message_members *message, bool is_whole)
{
    size_t i, size;
    yyjson_val *entry;
    yyjson_arr_foreach (message->tool_calls, i, size, entry) {
        if (!frame->decoder->is_ended)
            read_call(frame, entry, is_whole);
    }
    read_function_call(frame, message->function_call);
}

/* ---- Content --------------------------------------------------------------------------------- */

static void read_texts(struct frame *frame, yyjson_val *list, const char *key,
                       enum llm_event_kind kind)
{
    size_t i, size;
    yyjson_val *entry;
    if (yyjson_is_str(list))
        emit_text(frame, kind, json_str(list));
    yyjson_arr_foreach (list, i, size, entry)
        emit_text(frame, kind, json_get_str(entry, key));
}

static void read_part(struct frame *frame, yyjson_val *part)
{
    if (yyjson_is_str(part))
        emit_text(frame, LLM_EVENT_TEXT, json_str(part));
    else if (str_eq(json_get_str(part, "type"), STR("thinking"))) /* Mistral */
        read_texts(frame, json_get(part, "thinking"), "text", LLM_EVENT_REASONING);
    else
        emit_text(frame, LLM_EVENT_TEXT, json_get_str(part, "text"));
}

static void read_content(struct frame *frame, yyjson_val *content)
{
    size_t i, size;
    yyjson_val *part;
    if (!yyjson_is_arr(content)) {
        read_part(frame, content);
        return;
    }
    yyjson_arr_foreach (content, i, size, part)
        read_part(frame, part);
}

/* reasoning_content, or its newer name (some send both: never twice), or OpenRouter's details. */
static void read_reasoning(struct frame *frame, const struct message_members *message)
{
    struct str text = json_str(message->reasoning_content);
    if (!text.len)
        text = json_str(message->reasoning);
    emit_text(frame, LLM_EVENT_REASONING, text);
    if (text.len)
        return;
    size_t i, size;
    yyjson_val *detail;
    yyjson_arr_foreach (message->reasoning_details, i, size, detail) {
        struct str plain = json_get_str(detail, "text");
        emit_text(frame, LLM_EVENT_REASONING, plain.len ? plain : json_get_str(detail, "summary"));
    }
}

static void read_message(struct frame *frame, yyjson_val *value, bool is_whole)
{
    const struct message_members message = scan_message(value);
    struct str refusal = json_str(message.refusal);
    read_reasoning(frame, &message);
    read_content(frame, message.content);
    frame->decoder->has_refusal |= refusal.len > 0;
    emit_text(frame, LLM_EVENT_REFUSAL, refusal);
    read_calls(frame, &message, is_whole);
}

/* ---- Frames ---------------------------------------------------------------------------------- */

static void note_finish(struct frame *frame, struct str reason)
{
    struct dialect_decoder *decoder = frame->decoder;
    enum err class = ERR_OK;
    if (!reason.data || decoder->has_finish)
        return;
    if (openai_chat_finish(reason, false, false, &class) == LLM_FINISH_ERROR) {
        fail_with(frame, class, "the provider ended the answer with an error");
        return;
    }
    decoder->has_finish = true;
    str_copy(reason, decoder->reason, sizeof decoder->reason);
}

static void read_choice(struct frame *frame, const struct root_members *root,
                        const struct choice_members *choice)
{
    emit_start(frame, json_str(root->id), json_str(root->model));
    bool is_whole = !yyjson_is_obj(choice->delta) && yyjson_is_obj(choice->message);
    read_message(frame, is_whole ? choice->message : choice->delta, is_whole);
    if (!frame->decoder->is_ended)
        note_finish(frame, json_str(choice->finish_reason));
}

/* The choice number 0: others come only to who asked for several, and we never do. */
static struct choice_members first_choice(yyjson_val *choices)
{
    size_t i, size;
    yyjson_val *value;
    yyjson_arr_foreach (choices, i, size, value) {
        int64_t index = 0;
        if (!yyjson_is_obj(value))
            continue;
        struct choice_members choice = scan_choice(value);
        json_int(choice.index, &index);
        if (index == 0)
            return choice;
    }
    return (struct choice_members){0};
}

static void note_usage(struct dialect_decoder *decoder, const struct root_members *root,
                       const struct choice_members *choice)
{
    yyjson_val *places[] = {root->usage, choice->usage, json_get(root->x_groq, "usage")};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (!openai_get_usage(places[i], &openai_chat_usage, &decoder->usage))
            continue;
        decoder->has_usage = true;
        return;
    }
}

/* The value that tells of an error, or NULL: `error` anywhere it was seen, a flat one, a list. */
static yyjson_val *find_error(const struct root_members *root, const struct choice_members *choice)
{
    yyjson_val *error = root->error;
    if (yyjson_is_arr(root->value))
        return json_get(yyjson_arr_get_first(root->value), "error") ? root->value : NULL;
    if (yyjson_is_obj(error) || yyjson_is_arr(error) || json_str(error).len)
        return root->value;
    if (yyjson_is_obj(choice->error) || json_str(choice->error).len)
        return choice->value;
    bool is_flat = str_eq_nocase(json_str(root->object), STR("error")) ||
                   str_eq(json_str(root->type), STR("error"));
    bool is_detail = !root->choices && root->detail;
    return is_flat || is_detail ? root->value : NULL;
}

static void malformed(struct frame *frame)
{
    if (++frame->decoder->malformed >= MALFORMED_MAX)
        fail_with(frame, ERR_SERVER, "the stream is not what this protocol says");
}

static void fail_of_value(struct frame *frame, yyjson_val *value)
{
    struct llm_error error;
    openai_error_of_value(frame->scratch, value, &error);
    fail(frame, &error);
}

static void read_root(struct frame *frame, yyjson_val *value)
{
    const struct root_members root = scan_root(value);
    const struct choice_members choice = first_choice(root.choices);
    yyjson_val *error = find_error(&root, &choice);
    if (error) {
        fail_of_value(frame, error);
        return;
    }
    if (!yyjson_is_obj(value)) {
        malformed(frame);
        return;
    }
    note_usage(frame->decoder, &root, &choice);
    if (choice.value)
        read_choice(frame, &root, &choice);
}

static void fail_of_text(struct frame *frame, struct str data)
{
    struct llm_error error = {.retry_after_ms = -1};
    dialect_fill_error(frame->scratch, data, &error);
    openai_classify(&error);
    fail(frame, &error);
}

void openai_chat_decode_frame(struct dialect_decoder *decoder, struct arena *scratch,
                              struct str type, struct str data, llm_emit_fn *emit_fn, void *user)
{
    struct frame frame = {decoder, scratch, emit_fn, user};
    yyjson_val *root;
    data = str_trim(data);
    if (decoder->is_ended || data.len == 0)
        return;
    if (str_starts_with(data, STR("[DONE]")))
        finish(&frame);
    else if (type.len && str_eq(type, STR("error")))
        fail_of_text(&frame, data);
    else if (json_read(scratch, data, &root, NULL))
        malformed(&frame);
    else
        read_root(&frame, root);
}

/* ---- Whole answers --------------------------------------------------------------------------- */

enum err openai_chat_decode_response(struct arena *arena, struct str body,
                                     struct llm_response *ret_response, struct llm_error *ret_error)
{
    struct openai_collector collector = {llm_builder_new(arena, SIZE_MAX), ERR_OK};
    struct frame frame = {openai_chat_decoder_new(arena), arena, openai_collect, &collector};
    yyjson_val *root;
    if (json_read(arena, str_trim(body), &root, NULL))
        return openai_not_an_answer(arena, body, ret_error);
    read_root(&frame, root);
    if (!frame.decoder->is_ended && !frame.decoder->is_started)
        return openai_not_an_answer(arena, body, ret_error);
    if (!frame.decoder->is_ended)
        finish(&frame);
    return openai_collected(&collector, ret_response, ret_error);
}
