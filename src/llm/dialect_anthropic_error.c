/* Anthropic: errors both ways, the list of models, and the dialect itself. Wording may change, so
 * details.error_code counts first, then the type, then the status; only a context that is too long
 * and a spending limit are known by their words. */
#include "base/vec.h"
#include "llm/dialect_anthropic.h"
#include "llm/prompt_marks.h"

struct word {
    const char *name;
    enum err class;
};

static const struct word types[] = {
    {"invalid_request_error", ERR_INVALID},
    {"authentication_error", ERR_AUTHENTICATION},
    {"billing_error", ERR_QUOTA_EXHAUSTED},
    {"permission_error", ERR_PERMISSION},
    {"not_found_error", ERR_MODEL_NOT_FOUND},
    {"conflict_error", ERR_INVALID},
    {"request_too_large", ERR_INVALID},
    {"rate_limit_error", ERR_RATE_LIMITED},
    {"api_error", ERR_SERVER},
    {"timeout_error", ERR_TIMEOUT},
    {"overloaded_error", ERR_OVERLOADED},
};

static const struct word codes[] = {
    {"enforced_spend_limit_reached", ERR_QUOTA_EXHAUSTED},
    {"contract_spend_limit_reached", ERR_QUOTA_EXHAUSTED},
    {"ramp_limit_exceeded", ERR_RATE_LIMITED},
    {"linked_organization_billing_unavailable", ERR_QUOTA_EXHAUSTED},
    {"linked_organization_spend_limit_reached", ERR_QUOTA_EXHAUSTED},
    {"organization_on_hold", ERR_PERMISSION},
    {"cmek_key_unreachable", ERR_SERVER},
    {"cmek_context_unavailable", ERR_SERVER},
};

/* The class of a word, or ERR_OK when it is not in the table. */
static enum err class_of_word(const struct word *words, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq(str_from_cstr(name), str_from_cstr(words[i].name)))
            return words[i].class;
    return ERR_OK;
}

static enum err class_of_type(const char *type)
{
    return class_of_word(types, sizeof types / sizeof *types, type);
}

static enum err class_of_code(const char *code)
{
    return class_of_word(codes, sizeof codes / sizeof *codes, code);
}

static void classify(struct llm_error *error)
{
    enum err class = class_of_code(error->code);
    if (class == ERR_OK) {
        class = class_of_type(error->type);
        if (class == ERR_OK)
            class = error->http_status ? dialect_class_of_status(error->http_status) : ERR_SERVER;
        enum err by_words = dialect_class_of_text(str_from_cstr(error->message));
        if (class == ERR_INVALID && by_words != ERR_OK)
            class = by_words;
    }
    error->class = class;
}

/* What the envelope has beyond the shapes that all servers share. */
static void fill_envelope(yyjson_val *root, struct llm_error *error)
{
    struct str code = json_get_str(json_get(json_get(root, "error"), "details"), "error_code");
    if (code.len)
        str_copy(code, error->code, sizeof error->code);
    str_copy(json_get_str(root, "request_id"), error->request_id, sizeof error->request_id);
}

void anthropic_error_read(struct arena *arena, yyjson_val *root, int status,
                          struct llm_error *ret_error)
{
    *ret_error = (struct llm_error){.http_status = status, .retry_after_ms = -1};
    dialect_fill_error_value(arena, root, ret_error);
    fill_envelope(root, ret_error);
    classify(ret_error);
}

void anthropic_decode_error(struct arena *arena, int status, const struct http_headers *headers,
                            struct str body, struct llm_error *ret_error)
{
    yyjson_val *root = NULL;
    *ret_error = (struct llm_error){.retry_after_ms = -1};
    dialect_fill_error(arena, body, ret_error);
    if (json_read(arena, str_trim(body), &root, NULL) == ERR_OK)
        fill_envelope(root, ret_error);
    dialect_fill_headers(status, headers, ret_error);
    classify(ret_error);
}

/* ---- Our own errors in this shape ------------------------------------------------------------ */

/* What a class is here; others are api_error with the status of the table of errors. */
static const struct {
    enum err class;
    int status;
    const char *type;
} shapes[] = {
    {ERR_INVALID, 400, "invalid_request_error"},
    {ERR_TOO_BIG, 413, "request_too_large"},
    {ERR_NOT_FOUND, 404, "not_found_error"},
    {ERR_CONFLICT, 409, "conflict_error"},
    {ERR_UNAUTHENTICATED, 401, "authentication_error"},
    {ERR_FORBIDDEN, 403, "permission_error"},
    {ERR_UNSUPPORTED, 405, "invalid_request_error"},
    {ERR_TIMEOUT, 504, "timeout_error"},
    {ERR_UNAVAILABLE, 529, "overloaded_error"},
    {ERR_RATE_LIMITED, 429, "rate_limit_error"},
    {ERR_QUOTA_EXHAUSTED, 402, "billing_error"},
    {ERR_OVERLOADED, 529, "overloaded_error"},
    {ERR_CONTENT_FILTERED, 400, "invalid_request_error"},
    {ERR_CONTEXT_LENGTH, 400, "invalid_request_error"},
    {ERR_MODEL_NOT_FOUND, 404, "not_found_error"},
};

static void write_message(struct json_writer *w, const struct llm_error *error)
{
    struct str message = str_from_cstr(error->message);
    if (!message.len)
        message = str_from_cstr(err_info(error->class)->message);
    json_key(w, STR("message"));
    json_begin_str(w);
    /* Clients know this case by its words only. */
    if (error->class == ERR_CONTEXT_LENGTH && dialect_class_of_text(message) != ERR_CONTEXT_LENGTH)
        json_str_part(w, STR("prompt is too long: "));
    json_str_part(w, message);
    json_end_str(w);
}

static void write_error(struct json_writer *w, const struct llm_error *error, const char *type)
{
    json_begin_object(w);
    json_key_str(w, "type", STR("error"));
    json_key_object(w, "error");
    json_key_str(w, "type", str_from_cstr(type));
    write_message(w, error);
    if (class_of_code(error->code) == error->class && error->class != ERR_OK) {
        json_key_object(w, "details");
        json_key_str(w, "error_code", str_from_cstr(error->code));
        json_end_object(w);
    }
    json_end_object(w);
    if (error->request_id[0])
        json_key_str(w, "request_id", str_from_cstr(error->request_id));
    json_end_object(w);
}

int anthropic_encode_error(const struct llm_error *error, struct buf *out)
{
    int status = err_info(error->class)->http_status;
    const char *type = "api_error";
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        if (shapes[i].class != error->class)
            continue;
        status = shapes[i].status;
        type = shapes[i].type;
    }
    struct json_writer w;
    json_writer_init(&w, out);
    write_error(&w, error, type);
    return status;
}

/* ---- Models ---------------------------------------------------------------------------------- */

enum err anthropic_decode_models(struct arena *arena, struct str body,
                                 struct llm_model_info **ret_models, size_t *ret_count)
{
    yyjson_val *root;
    if (json_read(arena, body, &root, NULL) != ERR_OK || !yyjson_is_arr(json_get(root, "data")))
        return ERR_SERVER;
    struct llm_model_info *models = NULL;
    size_t count = 0, capacity = 0;
    yyjson_arr_iter iter = yyjson_arr_iter_with(json_get(root, "data"));
    for (yyjson_val *item; (item = yyjson_arr_iter_next(&iter));) {
        struct str id = json_get_str(item, "id");
        if (!id.len)
            continue;
        struct llm_model_info *model = VEC_PUSH(arena, models, count, capacity);
        model->id = id;
        model->display_name = json_get_str(item, "display_name");
        json_get_int(item, "max_input_tokens", &model->context_tokens);
        json_get_int(item, "max_tokens", &model->output_tokens_max);
    }
    *ret_models = models;
    *ret_count = count;
    return ERR_OK;
}

static const char *const forwarded[] = {"anthropic-version", "anthropic-beta", NULL};

const struct dialect dialect_anthropic = {
    .name = "anthropic",
    .framing = DIALECT_SSE,
    .forwarded = forwarded,
    .encode_request = anthropic_encode_request,
    .mark_prompt = prompt_marks_add,
    .decode_request = anthropic_decode_request,
    .encode_response = anthropic_encode_response,
    .decode_response = anthropic_decode_response,
    .decoder_new = anthropic_decoder_new,
    .decode_frame = anthropic_decode_frame,
    .decode_end = anthropic_decode_end,
    .progress = anthropic_progress,
    .encoder_new = anthropic_encoder_new,
    .encode_event = anthropic_encode_event,
    .decode_error = anthropic_decode_error,
    .encode_error = anthropic_encode_error,
    .decode_models = anthropic_decode_models,
};
