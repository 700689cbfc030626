/* Ollama: what lines and whole answers have in common, whole answers, errors, models, and the
 * dialect itself. A whole answer is a line that holds everything. */
#include "base/clock.h"
#include "base/vec.h"
#include "llm/dialect_ollama.h"
#include "llm/encoder.h"

/* ---- The end of an answer -------------------------------------------------------------------- */

/* After calls the reason is still "stop"; older builds give none. */
enum llm_finish ollama_finish(struct str done_reason, bool has_calls)
{
    bool is_stop = str_eq(done_reason, STR("stop"));
    if (str_eq(done_reason, STR("length")))
        return LLM_FINISH_LENGTH;
    if (has_calls && (is_stop || !done_reason.len))
        return LLM_FINISH_TOOL_CALLS;
    return is_stop ? LLM_FINISH_STOP : LLM_FINISH_OTHER;
}

static struct str reason_of(enum llm_finish finish, struct str raw)
{
    if (finish == LLM_FINISH_OTHER && (str_eq(raw, STR("load")) || str_eq(raw, STR("unload"))))
        return raw;
    return finish == LLM_FINISH_LENGTH ? STR("length") : STR("stop");
}

static void write_usage(struct json_writer *w, const struct llm_usage *usage,
                        struct llm_losses *losses)
{
    if (usage->input_total >= 0)
        json_key_int(w, "prompt_eval_count", usage->input_total);
    if (usage->output_total >= 0)
        json_key_int(w, "eval_count", usage->output_total);
    if (usage->input_cache_read >= 0)
        llm_losses_add(losses, LLM_FIELD_RESPONSE_USAGE_CACHE_READ, -1, -1);
    if (usage->input_cache_write >= 0)
        llm_losses_add(losses, LLM_FIELD_RESPONSE_USAGE_CACHE_WRITE, -1, -1);
    if (usage->output_reasoning >= 0)
        llm_losses_add(losses, LLM_FIELD_RESPONSE_USAGE_REASONING, -1, -1);
    if (usage->is_estimated)
        llm_losses_add(losses, LLM_FIELD_RESPONSE_USAGE_ESTIMATED, -1, -1);
}

void ollama_write_done(struct json_writer *w, enum llm_finish finish, struct str raw,
                       bool has_calls, const struct llm_usage *usage, struct llm_losses *losses)
{
    struct str reason = reason_of(finish, raw);
    json_key_bool(w, "done", true);
    json_key_str(w, "done_reason", reason);
    write_usage(w, usage, losses);
    if (ollama_finish(reason, has_calls) != finish)
        llm_losses_add(losses, LLM_FIELD_RESPONSE_FINISH, -1, -1);
    if (!str_eq(reason, raw))
        llm_losses_add(losses, LLM_FIELD_RESPONSE_FINISH_RAW, -1, -1);
}

void ollama_write_head(struct json_writer *w, struct str model, int64_t created_ms)
{
    char created_at[25];
    clock_format_rfc3339(created_ms, created_at);
    json_key_str(w, "model", model.data ? model : STR(""));
    json_key_str(w, "created_at", str_from_cstr(created_at));
}

/* ---- Whole answers --------------------------------------------------------------------------- */

static bool has_call(const struct llm_response *response)
{
    for (size_t i = 0; i < response->part_count; i++)
        if (response->parts[i].kind == LLM_PART_TOOL_CALL)
            return true;
    return false;
}

static void encode_whole(struct arena *arena, const struct llm_response *response,
                         int64_t created_ms, bool is_generated, struct buf *out,
                         struct llm_losses *losses)
{
    struct json_writer w;
    json_writer_init(&w, out);
    json_begin_object(&w);
    ollama_write_head(&w, response->model, created_ms);
    ollama_note_parts(arena, response->parts, response->part_count, LLM_ASSISTANT, -1, losses);
    if (is_generated) {
        ollama_write_generated(&w, arena, response->parts, response->part_count);
    } else {
        json_key(&w, STR("message"));
        ollama_write_message(&w, arena, STR("assistant"), response->parts, response->part_count);
    }
    ollama_write_done(&w, response->finish, response->finish_raw, has_call(response),
                      &response->usage, losses);
    if (response->id.len)
        llm_losses_add(losses, LLM_FIELD_RESPONSE_ID, -1, -1);
    llm_put_extension(&w, response->extension, losses);
    json_end_object(&w);
}

void ollama_encode_response(struct arena *arena, const struct llm_response *response,
                            int64_t created_ms, struct buf *out, struct llm_losses *losses)
{
    encode_whole(arena, response, created_ms, false, out, losses);
}

void ollama_generate_encode_response(struct arena *arena, const struct llm_response *response,
                                     int64_t created_ms, struct buf *out, struct llm_losses *losses)
{
    encode_whole(arena, response, created_ms, true, out, losses);
}

static void add_to_builder(void *user, const struct llm_event *event)
{
    enum err status = llm_builder_add_view(user, event); /* over its limits: it keeps what fitted */
    (void)status;
}

enum err ollama_decode_response(struct arena *arena, struct str body,
                                struct llm_response *ret_response, struct llm_error *ret_error)
{
    yyjson_val *root = NULL;
    bool is_json = json_read(arena, body, &root, NULL) == ERR_OK;
    if (is_json && json_get(root, "error")) {
        ollama_error_read(arena, root, 0, ret_error);
        return ret_error->class;
    }
    bool has_answer =
        yyjson_is_obj(json_get(root, "message")) || yyjson_is_str(json_get(root, "response"));
    if (!is_json || !has_answer) {
        dialect_error_set(ret_error, ERR_SERVER, "the provider's answer is not its protocol");
        return ret_error->class;
    }
    struct llm_builder *builder = llm_builder_new(arena, SIZE_MAX / 2);
    ollama_decode_value(ollama_decoder_new(arena), arena, root, add_to_builder, builder);
    *ret_response = *llm_builder_response(builder);
    return ERR_OK;
}

/* ---- Errors ---------------------------------------------------------------------------------- */

/* There is a text and nothing else. */
static void classify(struct llm_error *error)
{
    enum err by_words = dialect_class_of_text(str_from_cstr(error->message));
    error->class = error->http_status ? dialect_class_of_status(error->http_status) : ERR_SERVER;
    if (by_words != ERR_OK && (error->class == ERR_INVALID || error->class == ERR_SERVER))
        error->class = by_words;
}

void ollama_error_read(struct arena *arena, yyjson_val *root, int status,
                       struct llm_error *ret_error)
{
    *ret_error = (struct llm_error){.http_status = status, .retry_after_ms = -1};
    dialect_fill_error_value(arena, root, ret_error);
    classify(ret_error);
}

static void ollama_decode_error(struct arena *arena, int status, const struct http_headers *headers,
                                struct str body, struct llm_error *ret_error)
{
    *ret_error = (struct llm_error){.retry_after_ms = -1};
    dialect_fill_error(arena, body, ret_error);
    dialect_fill_headers(status, headers, ret_error);
    classify(ret_error);
}

static int ollama_encode_error(const struct llm_error *error, struct buf *out)
{
    struct json_writer w;
    json_writer_init(&w, out);
    json_begin_object(&w);
    json_key(&w, STR("error"));
    json_put_str(
        &w, str_from_cstr(error->message[0] ? error->message : err_info(error->class)->message));
    json_end_object(&w);
    return err_info(error->class)->http_status;
}

/* ---- Models: GET /api/tags ------------------------------------------------------------------- */

static enum err ollama_decode_models(struct arena *arena, struct str body,
                                     struct llm_model_info **ret_models, size_t *ret_count)
{
    yyjson_val *root;
    if (json_read(arena, body, &root, NULL) != ERR_OK || !yyjson_is_arr(json_get(root, "models")))
        return ERR_SERVER;
    struct llm_model_info *models = NULL;
    size_t count = 0, capacity = 0;
    yyjson_arr_iter iter = yyjson_arr_iter_with(json_get(root, "models"));
    for (yyjson_val *item; (item = yyjson_arr_iter_next(&iter));) {
        struct str name = json_get_str(item, "name");
        struct str id = json_get_str(item, "model");
        if (!id.len && !name.len)
            continue;
        struct llm_model_info *model = VEC_PUSH(arena, models, count, capacity);
        model->id = id.len ? id : name;
        model->display_name = name;
        json_get_int(json_get(item, "details"), "context_length", &model->context_tokens);
    }
    *ret_models = models;
    *ret_count = count;
    return ERR_OK;
}

const struct dialect dialect_ollama_generate = {
    .name = "ollama_generate",
    .framing = DIALECT_NDJSON,
    .asked_of = &dialect_ollama,
    .asked_path = "/api/generate",
    .decode_request = ollama_generate_decode_request,
    .encode_response = ollama_generate_encode_response,
    .decode_response = ollama_decode_response,
    .decoder_new = ollama_decoder_new,
    .decode_frame = ollama_decode_frame,
    .decode_end = ollama_decode_end,
    .progress = ollama_progress,
    .encoder_new = ollama_generate_encoder_new,
    .encode_event = ollama_encode_event,
    .decode_error = ollama_decode_error,
    .encode_error = ollama_encode_error,
    .decode_models = ollama_decode_models,
};

const struct dialect dialect_ollama = {
    .name = "ollama",
    .framing = DIALECT_NDJSON,
    .encode_request = ollama_encode_request,
    .decode_request = ollama_decode_request,
    .encode_response = ollama_encode_response,
    .decode_response = ollama_decode_response,
    .decoder_new = ollama_decoder_new,
    .decode_frame = ollama_decode_frame,
    .decode_end = ollama_decode_end,
    .progress = ollama_progress,
    .encoder_new = ollama_encoder_new,
    .encode_event = ollama_encode_event,
    .decode_error = ollama_decode_error,
    .encode_error = ollama_encode_error,
    .decode_models = ollama_decode_models,
};
