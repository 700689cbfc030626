/* Anthropic: usage, stop reasons, and whole answers, which are read by the functions of the stream
 * and written by those of its encoder. */
#include "llm/dialect_anthropic.h"

/* ---- Usage ----------------------------------------------------------------------------------- */

struct usage_members {
    yyjson_val *input, *cache_read, *cache_write, *output, *details;
};

static struct usage_members scan_usage(yyjson_val *object)
{
    struct usage_members usage = {0};
    size_t i, size;
    yyjson_val *key, *value;
    if (!yyjson_is_obj(object))
        return usage;
    yyjson_obj_foreach (object, i, size, key, value) {
        dialect_take(&usage.input, STR("input_tokens"), key, value);
        dialect_take(&usage.cache_read, STR("cache_read_input_tokens"), key, value);
        dialect_take(&usage.cache_write, STR("cache_creation_input_tokens"), key, value);
        dialect_take(&usage.output, STR("output_tokens"), key, value);
        dialect_take(&usage.details, STR("output_tokens_details"), key, value);
    }
    return usage;
}

static void take_count(yyjson_val *number, int64_t *count)
{
    int64_t value;
    if (json_int(number, &value) && value >= 0 && value < INT64_MAX / 4)
        *count = value;
}

void anthropic_usage_read(struct anthropic_usage *usage, yyjson_val *object)
{
    const struct usage_members members = scan_usage(object);
    take_count(members.input, &usage->input);
    take_count(members.cache_read, &usage->cache_read);
    take_count(members.cache_write, &usage->cache_write);
    take_count(members.output, &usage->output);
    take_count(json_get(members.details, "thinking_tokens"), &usage->thinking);
}

static int64_t known(int64_t count)
{
    return count > 0 ? count : 0;
}

struct llm_usage anthropic_usage_to_canonical(const struct anthropic_usage *usage)
{
    struct llm_usage canonical = {.input_total = -1,
                                  .input_cache_read = usage->cache_read,
                                  .input_cache_write = usage->cache_write,
                                  .output_total = usage->output,
                                  .output_reasoning = usage->thinking};
    if (usage->input >= 0 || usage->cache_read > 0 || usage->cache_write > 0)
        canonical.input_total =
            known(usage->input) + known(usage->cache_read) + known(usage->cache_write);
    return canonical;
}

static void note_usage(const struct llm_usage *usage, struct llm_losses *losses)
{
    int64_t cached = known(usage->input_cache_read) + known(usage->input_cache_write);
    if (usage->input_total < cached || usage->input_total < 0 || usage->output_total < 0)
        llm_losses_add(losses, LLM_FIELD_RESPONSE_USAGE, -1, -1);
    if (usage->is_estimated)
        llm_losses_add(losses, LLM_FIELD_RESPONSE_USAGE_ESTIMATED, -1, -1);
}

void anthropic_usage_write(struct json_writer *w, const struct llm_usage *usage,
                           struct llm_losses *losses)
{
    int64_t cached = known(usage->input_cache_read) + known(usage->input_cache_write);
    note_usage(usage, losses);
    json_key_object(w, "usage");
    json_key_int(w, "input_tokens", known(usage->input_total - cached));
    if (usage->input_cache_write >= 0)
        json_key_int(w, "cache_creation_input_tokens", usage->input_cache_write);
    if (usage->input_cache_read >= 0)
        json_key_int(w, "cache_read_input_tokens", usage->input_cache_read);
    json_key_int(w, "output_tokens", known(usage->output_total));
    if (usage->output_reasoning >= 0) {
        json_key_object(w, "output_tokens_details");
        json_key_int(w, "thinking_tokens", usage->output_reasoning);
        json_end_object(w);
    }
    json_end_object(w);
}

/* ---- Stop reasons ---------------------------------------------------------------------------- */

/* The first row of each end is the word for it. */
static const struct {
    const char *reason;
    enum llm_finish finish;
} reasons[] = {
    {"end_turn", LLM_FINISH_STOP},       {"stop_sequence", LLM_FINISH_STOP},
    {"max_tokens", LLM_FINISH_LENGTH},   {"model_context_window_exceeded", LLM_FINISH_LENGTH},
    {"tool_use", LLM_FINISH_TOOL_CALLS}, {"refusal", LLM_FINISH_CONTENT_FILTERED},
    {"pause_turn", LLM_FINISH_PAUSED},   {"compaction", LLM_FINISH_OTHER},
};
enum { REASON_COUNT = sizeof reasons / sizeof *reasons };

enum llm_finish anthropic_finish(struct str stop_reason)
{
    for (size_t i = 0; i < REASON_COUNT; i++)
        if (str_eq(stop_reason, str_from_cstr(reasons[i].reason)))
            return reasons[i].finish;
    return LLM_FINISH_OTHER;
}

/* Our own word for what has none is a plain end. */
static struct str reason_of(enum llm_finish finish, struct str raw)
{
    for (size_t i = 0; i < REASON_COUNT; i++)
        if (reasons[i].finish == finish && str_eq(raw, str_from_cstr(reasons[i].reason)))
            return str_from_cstr(reasons[i].reason);
    for (size_t i = 0; i < REASON_COUNT && finish != LLM_FINISH_OTHER; i++)
        if (reasons[i].finish == finish)
            return str_from_cstr(reasons[i].reason);
    return STR("end_turn");
}

struct str anthropic_stop_reason(enum llm_finish finish, struct str raw, struct llm_losses *losses)
{
    struct str reason = reason_of(finish, raw);
    if (anthropic_finish(reason) != finish)
        llm_losses_add(losses, LLM_FIELD_RESPONSE_FINISH, -1, -1);
    if (!str_eq(reason, raw))
        llm_losses_add(losses, LLM_FIELD_RESPONSE_FINISH_RAW, -1, -1);
    return reason;
}

/* ---- Whole answers --------------------------------------------------------------------------- */

static void add_to_builder(void *user, const struct llm_event *event)
{
    enum err status = llm_builder_add_view(user, event); /* over its limits: it keeps what fitted */
    (void)status;
}

/* A refusal has no place among the blocks: it stands before the first call, or last. */
static void take_blocks(struct dialect_decoder *decoder, const struct anthropic_sink *sink,
                        const struct anthropic_message *message)
{
    yyjson_arr_iter iter = yyjson_arr_iter_with(message->content);
    bool is_refusal_taken = false;
    for (yyjson_val *block; (block = yyjson_arr_iter_next(&iter));) {
        if (!is_refusal_taken && str_eq(json_get_str(block, "type"), STR("tool_use"))) {
            anthropic_take_refusal(sink, message);
            is_refusal_taken = true;
        }
        anthropic_block_start(decoder, sink, block);
        anthropic_block_stop(decoder, sink, block);
    }
    if (!is_refusal_taken)
        anthropic_take_refusal(sink, message);
}

static enum err not_an_answer(struct arena *arena, struct str body, struct llm_error *ret_error)
{
    yyjson_val *root;
    bool is_error = json_read(arena, body, &root, NULL) == ERR_OK && json_get(root, "error");
    if (is_error)
        anthropic_error_read(arena, root, 0, ret_error);
    else
        dialect_error_set(ret_error, ERR_SERVER, "the provider's answer is not its protocol");
    return ret_error->class;
}

enum err anthropic_decode_response(struct arena *arena, struct str body,
                                   struct llm_response *ret_response, struct llm_error *ret_error)
{
    yyjson_val *root;
    struct anthropic_message message = {0};
    if (json_read(arena, body, &root, NULL) == ERR_OK)
        message = anthropic_scan_message(root);
    if (!yyjson_is_arr(message.content))
        return not_an_answer(arena, body, ret_error);
    struct dialect_decoder *decoder = anthropic_decoder_new(arena);
    struct llm_builder *builder = llm_builder_new(arena, SIZE_MAX / 2);
    const struct anthropic_sink sink = {arena, add_to_builder, builder};
    anthropic_take_start(decoder, &sink, &message);
    take_blocks(decoder, &sink, &message);
    anthropic_take_reason(decoder, &message);
    anthropic_take_stop(decoder, &sink, root);
    *ret_response = *llm_builder_response(builder);
    return ERR_OK;
}
