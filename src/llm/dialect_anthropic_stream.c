/* Anthropic: the events of a streamed answer as canonical events. Blocks are known by their index;
 * usage is cumulative; a block that we do not know (of a tool that ran at the provider, say) is a part
 * of which only that is known, so that encoders say that it is lost.
 *
 *   waiting --take_start--> open --take_stop, fail--> ended
 *                            |^
 *                            block_start, block_delta, block_stop, take_delta
 *
 * A whole answer goes through the same functions (dialect_anthropic_response.c). */
#include "llm/dialect_anthropic.h"

enum { OPEN_BLOCKS_MAX = 16, MALFORMED_MAX = 16, TYPE_BYTES_MAX = 64 };

enum block_kind { BLOCK_OTHER, BLOCK_TEXT, BLOCK_THINKING, BLOCK_TOOL };

/* A block that has begun and not ended. */
struct block {
    int64_t index;
    enum block_kind kind;
    int tool;
    bool has_content; /* text, or arguments, came */
    bool is_whole;    /* arguments stood in its start: increments are not theirs */
};

struct dialect_decoder {
    struct arena *arena;
    struct str model;
    bool is_started;
    bool is_ended;
    int malformed_count;
    int tool_count;
    struct block blocks[OPEN_BLOCKS_MAX];
    size_t block_count;
    struct anthropic_usage usage;
    struct str stop_reason;
};

struct dialect_decoder *anthropic_decoder_new(struct arena *arena)
{
    struct dialect_decoder *decoder = ARENA_NEW(arena, struct dialect_decoder);
    decoder->arena = arena;
    decoder->usage = ANTHROPIC_USAGE_UNKNOWN;
    return decoder;
}

/* ---- Emitting -------------------------------------------------------------------------------- */

static void emit_event(const struct anthropic_sink *sink, struct llm_event event)
{
    sink->emit(sink->user, &event);
}

static void emit_text(const struct anthropic_sink *sink, enum llm_event_kind kind, struct str text)
{
    emit_event(sink, (struct llm_event){.kind = kind, .text = text});
}

static void start(struct dialect_decoder *decoder, const struct anthropic_sink *sink, struct str id,
                  struct str model)
{
    if (decoder->is_started)
        return;
    decoder->is_started = true;
    decoder->model = arena_str(decoder->arena, model);
    emit_event(sink, (struct llm_event){.kind = LLM_EVENT_START, .id = id, .model = model});
}

static void emit_usage(struct dialect_decoder *decoder, const struct anthropic_sink *sink,
                       yyjson_val *usage)
{
    if (!yyjson_is_obj(usage))
        return;
    anthropic_usage_read(&decoder->usage, usage);
    emit_event(sink, (struct llm_event){.kind = LLM_EVENT_USAGE,
                                        .usage = anthropic_usage_to_canonical(&decoder->usage)});
}

static void end(struct dialect_decoder *decoder, const struct anthropic_sink *sink)
{
    decoder->is_ended = true;
    emit_event(sink, (struct llm_event){.kind = LLM_EVENT_END});
}

static void fail(struct dialect_decoder *decoder, const struct anthropic_sink *sink,
                 const struct llm_error *error)
{
    start(decoder, sink, STR_NONE, STR_NONE);
    emit_event(sink, (struct llm_event){.kind = LLM_EVENT_ERROR, .error = error});
    end(decoder, sink);
}

static void fail_with(struct dialect_decoder *decoder, const struct anthropic_sink *sink,
                      const char *message)
{
    struct llm_error error;
    dialect_error_set(&error, ERR_SERVER, message);
    fail(decoder, sink, &error);
}

static void emit_opaque(struct dialect_decoder *decoder, const struct anthropic_sink *sink,
                        struct str kind, struct str data)
{
    if (!data.len)
        return;
    emit_event(sink, (struct llm_event){.kind = LLM_EVENT_OPAQUE,
                                        .index = -1,
                                        .opaque = {.dialect = STR("anthropic"),
                                                   .model = decoder->model,
                                                   .kind = kind,
                                                   .data = data}});
}

/* ---- Blocks ---------------------------------------------------------------------------------- */

static struct block *find_block(struct dialect_decoder *decoder, yyjson_val *number)
{
    int64_t index = 0;
    json_int(number, &index);
    for (size_t i = decoder->block_count; i-- > 0;)
        if (decoder->blocks[i].index == index)
            return &decoder->blocks[i];
    return NULL;
}

static void add_text(const struct anthropic_sink *sink, struct block *block, struct str text)
{
    if (!text.len)
        return;
    block->has_content = true;
    emit_text(sink, block->kind == BLOCK_TEXT ? LLM_EVENT_TEXT : LLM_EVENT_REASONING, text);
}

/* A part may have a signature and no text: the empty text begins it. */
static void add_signature(struct dialect_decoder *decoder, const struct anthropic_sink *sink,
                          struct block *block, struct str signature)
{
    if (!signature.len)
        return;
    if (!block->has_content)
        emit_text(sink, LLM_EVENT_REASONING, STR(""));
    block->has_content = true;
    emit_opaque(decoder, sink, STR("signature"), signature);
}

static void add_arguments(const struct anthropic_sink *sink, struct block *block, struct str text)
{
    if (!text.len)
        return;
    block->has_content = true;
    emit_event(sink, (struct llm_event){
                         .kind = LLM_EVENT_TOOL_ARGUMENTS, .index = block->tool, .text = text});
}

/* The members of a block, or of the frame that one begins with. */
struct block_members {
    yyjson_val *index, *content_block, *type, *text, *thinking, *signature, *data;
    yyjson_val *id, *name, *input;
};

static struct block_members scan_block(yyjson_val *object)
{
    struct block_members block = {0};
    size_t i, size;
    yyjson_val *key, *value;
    if (!yyjson_is_obj(object))
        return block;
    yyjson_obj_foreach (object, i, size, key, value) {
        dialect_take(&block.id, STR("id"), key, value);
        dialect_take(&block.type, STR("type"), key, value);
        dialect_take(&block.text, STR("text"), key, value);
        dialect_take(&block.data, STR("data"), key, value);
        dialect_take(&block.name, STR("name"), key, value);
        dialect_take(&block.index, STR("index"), key, value);
        dialect_take(&block.input, STR("input"), key, value);
        dialect_take(&block.thinking, STR("thinking"), key, value);
        dialect_take(&block.signature, STR("signature"), key, value);
        dialect_take(&block.content_block, STR("content_block"), key, value);
    }
    return block;
}

static void start_text(struct dialect_decoder *decoder, const struct anthropic_sink *sink,
                       struct block *block, const struct block_members *content)
{
    (void)decoder;
    block->kind = BLOCK_TEXT;
    add_text(sink, block, json_str(content->text));
}

static void start_thinking(struct dialect_decoder *decoder, const struct anthropic_sink *sink,
                           struct block *block, const struct block_members *content)
{
    block->kind = BLOCK_THINKING;
    add_text(sink, block, json_str(content->thinking));
    add_signature(decoder, sink, block, json_str(content->signature));
}

static void start_redacted(struct dialect_decoder *decoder, const struct anthropic_sink *sink,
                           struct block *block, const struct block_members *content)
{
    struct str data = json_str(content->data);
    (void)block;
    if (!data.len)
        return;
    emit_text(sink, LLM_EVENT_REASONING, STR(""));
    emit_opaque(decoder, sink, STR("redacted"), data);
}

/* Its input is {} as a rule, and comes in increments; some servers send it whole. */
static void start_tool(struct dialect_decoder *decoder, const struct anthropic_sink *sink,
                       struct block *block, const struct block_members *content)
{
    block->kind = BLOCK_TOOL;
    block->tool = decoder->tool_count++;
    struct str id = json_str(content->id);
    emit_event(sink, (struct llm_event){.kind = LLM_EVENT_TOOL_START,
                                        .index = block->tool,
                                        .id = id.len ? id : dialect_make_call_id(decoder->arena),
                                        .name = json_str(content->name)});
    if (yyjson_obj_size(content->input) == 0)
        return;
    add_arguments(sink, block, json_text(sink->scratch, content->input));
    block->is_whole = true;
}

/* Nobody can write it again: its type is enough. */
static void start_unknown(struct dialect_decoder *decoder, const struct anthropic_sink *sink,
                          struct str type)
{
    emit_text(sink, LLM_EVENT_REASONING, STR(""));
    emit_opaque(decoder, sink, STR("block"), str_slice(type, 0, TYPE_BYTES_MAX));
}

void anthropic_block_start(struct dialect_decoder *decoder, const struct anthropic_sink *sink,
                           yyjson_val *frame)
{
    static const struct {
        const char *type;
        void (*start)(struct dialect_decoder *decoder, const struct anthropic_sink *sink,
                      struct block *block, const struct block_members *content);
    } kinds[] = {
        {"text", start_text},
        {"thinking", start_thinking},
        {"redacted_thinking", start_redacted},
        {"tool_use", start_tool},
    };
    struct block_members content = scan_block(frame);
    yyjson_val *number = content.index;
    if (content.content_block)
        content = scan_block(content.content_block);
    struct str type = json_str(content.type);
    start(decoder, sink, STR_NONE, STR_NONE);
    if (decoder->block_count == OPEN_BLOCKS_MAX || find_block(decoder, number)) {
        fail_with(decoder, sink, "the provider's blocks do not end");
        return;
    }
    struct block *block = &decoder->blocks[decoder->block_count++];
    *block = (struct block){0};
    json_int(number, &block->index);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!str_eq(type, str_from_cstr(kinds[i].type)))
            continue;
        kinds[i].start(decoder, sink, block, &content);
        return;
    }
    if (type.len)
        start_unknown(decoder, sink, type);
}

/* The members of a delta. */
struct delta {
    yyjson_val *type, *text, *thinking, *signature, *partial_json;
};

static struct delta scan_delta(yyjson_val *object)
{
    struct delta delta = {0};
    size_t i, size;
    yyjson_val *key, *value;
    if (!yyjson_is_obj(object))
        return delta;
    yyjson_obj_foreach (object, i, size, key, value) {
        dialect_take(&delta.type, STR("type"), key, value);
        dialect_take(&delta.text, STR("text"), key, value);
        dialect_take(&delta.thinking, STR("thinking"), key, value);
        dialect_take(&delta.signature, STR("signature"), key, value);
        dialect_take(&delta.partial_json, STR("partial_json"), key, value);
    }
    return delta;
}

static void add_delta(struct dialect_decoder *decoder, const struct anthropic_sink *sink,
                      struct block *block, yyjson_val *object)
{
    const struct delta delta = scan_delta(object);
    struct str type = json_str(delta.type);
    if (block->kind == BLOCK_TEXT && str_eq(type, STR("text_delta")))
        add_text(sink, block, json_str(delta.text));
    else if (block->kind == BLOCK_THINKING && str_eq(type, STR("thinking_delta")))
        add_text(sink, block, json_str(delta.thinking));
    else if (block->kind == BLOCK_THINKING && str_eq(type, STR("signature_delta")))
        add_signature(decoder, sink, block, json_str(delta.signature));
    else if (block->kind == BLOCK_TOOL && !block->is_whole && str_eq(type, STR("input_json_delta")))
        add_arguments(sink, block, json_str(delta.partial_json));
}

static void block_delta(struct dialect_decoder *decoder, const struct anthropic_sink *sink,
                        yyjson_val *frame)
{
    yyjson_val *number = NULL, *object = NULL, *key, *value;
    size_t i, size;
    yyjson_obj_foreach (frame, i, size, key, value) {
        dialect_take(&number, STR("index"), key, value);
        dialect_take(&object, STR("delta"), key, value);
    }
    struct block *block = find_block(decoder, number);
    if (block)
        add_delta(decoder, sink, block, object);
}

/* No arguments at all mean an empty object. */
static void end_block(const struct anthropic_sink *sink, struct block *block)
{
    if (block->kind != BLOCK_TOOL)
        return;
    if (!block->has_content)
        add_arguments(sink, block, STR("{}"));
    emit_event(sink, (struct llm_event){.kind = LLM_EVENT_TOOL_END, .index = block->tool});
}

void anthropic_block_stop(struct dialect_decoder *decoder, const struct anthropic_sink *sink,
                          yyjson_val *frame)
{
    struct block *block = find_block(decoder, json_get(frame, "index"));
    if (!block)
        return;
    end_block(sink, block);
    *block = decoder->blocks[--decoder->block_count];
}

/* ---- The message ----------------------------------------------------------------------------- */

struct anthropic_message anthropic_scan_message(yyjson_val *object)
{
    struct anthropic_message message = {0};
    size_t i, size;
    yyjson_val *key, *value;
    if (!yyjson_is_obj(object))
        return message;
    yyjson_obj_foreach (object, i, size, key, value) {
        dialect_take(&message.id, STR("id"), key, value);
        dialect_take(&message.model, STR("model"), key, value);
        dialect_take(&message.usage, STR("usage"), key, value);
        dialect_take(&message.content, STR("content"), key, value);
        dialect_take(&message.stop_reason, STR("stop_reason"), key, value);
        dialect_take(&message.stop_details, STR("stop_details"), key, value);
    }
    return message;
}

void anthropic_take_start(struct dialect_decoder *decoder, const struct anthropic_sink *sink,
                          const struct anthropic_message *message)
{
    start(decoder, sink, json_str(message->id), json_str(message->model));
    emit_usage(decoder, sink, message->usage);
}

static void message_start(struct dialect_decoder *decoder, const struct anthropic_sink *sink,
                          yyjson_val *frame)
{
    const struct anthropic_message message = anthropic_scan_message(json_get(frame, "message"));
    anthropic_take_start(decoder, sink, &message);
}

void anthropic_take_refusal(const struct anthropic_sink *sink,
                            const struct anthropic_message *message)
{
    struct str explanation = json_get_str(message->stop_details, "explanation");
    if (explanation.len)
        emit_text(sink, LLM_EVENT_REFUSAL, explanation);
}

void anthropic_take_reason(struct dialect_decoder *decoder, const struct anthropic_message *message)
{
    struct str reason = json_str(message->stop_reason);
    if (reason.data)
        decoder->stop_reason = arena_str(decoder->arena, reason);
}

static void message_delta(struct dialect_decoder *decoder, const struct anthropic_sink *sink,
                          yyjson_val *frame)
{
    const struct anthropic_message delta = anthropic_scan_message(json_get(frame, "delta"));
    start(decoder, sink, STR_NONE, STR_NONE);
    anthropic_take_refusal(sink, &delta);
    anthropic_take_reason(decoder, &delta);
    emit_usage(decoder, sink, json_get(frame, "usage"));
}

void anthropic_take_stop(struct dialect_decoder *decoder, const struct anthropic_sink *sink,
                         yyjson_val *frame)
{
    (void)frame;
    start(decoder, sink, STR_NONE, STR_NONE);
    for (size_t i = 0; i < decoder->block_count; i++)
        end_block(sink, &decoder->blocks[i]);
    decoder->block_count = 0;
    emit_event(sink, (struct llm_event){.kind = LLM_EVENT_FINISH,
                                        .finish = anthropic_finish(decoder->stop_reason),
                                        .finish_raw = decoder->stop_reason});
    end(decoder, sink);
}

static void take_error(struct dialect_decoder *decoder, const struct anthropic_sink *sink,
                       yyjson_val *frame)
{
    struct llm_error error;
    anthropic_error_read(sink->scratch, frame, 0, &error);
    fail(decoder, sink, &error);
}

static void take_malformed(struct dialect_decoder *decoder, const struct anthropic_sink *sink)
{
    if (++decoder->malformed_count >= MALFORMED_MAX)
        fail_with(decoder, sink, "the provider's stream is not its protocol");
}

void anthropic_decode_frame(struct dialect_decoder *decoder, struct arena *scratch, struct str type,
                            struct str data, llm_emit_fn *emit, void *user)
{
    static const struct {
        const char *type;
        void (*take)(struct dialect_decoder *decoder, const struct anthropic_sink *sink,
                     yyjson_val *frame);
    } frames[] = {
        {"content_block_delta", block_delta},
        {"content_block_start", anthropic_block_start},
        {"content_block_stop", anthropic_block_stop},
        {"message_start", message_start},
        {"message_delta", message_delta},
        {"message_stop", anthropic_take_stop},
        {"error", take_error},
    };
    const struct anthropic_sink sink = {scratch, emit, user};
    struct str content = str_trim(data);
    yyjson_val *root;
    if (decoder->is_ended || !content.len || str_eq(content, STR("[DONE]")))
        return;
    if (json_read(scratch, data, &root, NULL) != ERR_OK || !yyjson_is_obj(root)) {
        take_malformed(decoder, &sink);
        return;
    }
    struct str name = json_get_str(root, "type");
    if (!name.len)
        name = type.len || !json_get(root, "error") ? type : STR("error");
    for (size_t i = 0; i < sizeof frames / sizeof *frames; i++) {
        if (!str_eq(name, str_from_cstr(frames[i].type)))
            continue;
        frames[i].take(decoder, &sink, root);
        return;
    }
}

void anthropic_decode_end(struct dialect_decoder *decoder, llm_emit_fn *emit, void *user)
{
    const struct anthropic_sink sink = {decoder->arena, emit, user};
    if (decoder->is_ended)
        return;
    if (decoder->stop_reason.len) /* all but message_stop came */
        anthropic_take_stop(decoder, &sink, NULL);
    else
        fail_with(decoder, &sink, "the answer was cut off");
}

struct dialect_progress anthropic_progress(const struct dialect_decoder *decoder)
{
    return (struct dialect_progress){(unsigned)decoder->malformed_count,
                                     decoder->stop_reason.len > 0};
}
