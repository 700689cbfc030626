/* Errors and model lists of OpenAI and of the many servers that imitate it, both ways. */
#include <stdio.h>
#include <string.h>

#include "base/vec.h"
#include "llm/dialect_openai.h"

/* ---- Reading --------------------------------------------------------------------------------- */

/* A word in code or type, and what it means. A vague one counts only when neither the text nor
 * the status says more. */
struct word {
    const char *word;
    enum err class;
    bool vague;
};

static const struct word words[] = {
    {"insufficient_quota", ERR_QUOTA_EXHAUSTED, false},
    {"credit_balance_exhausted", ERR_QUOTA_EXHAUSTED, false},
    {"organization_spend_limit_exceeded", ERR_QUOTA_EXHAUSTED, false},
    {"project_spend_limit_exceeded", ERR_QUOTA_EXHAUSTED, false},
    {"organization_usage_limit_exceeded", ERR_QUOTA_EXHAUSTED, false},
    {"context_length_exceeded", ERR_CONTEXT_LENGTH, false},
    {"exceed_context_size_error", ERR_CONTEXT_LENGTH, false},
    {"content_filter", ERR_CONTENT_FILTERED, false},
    {"content_policy_violation", ERR_CONTENT_FILTERED, false},
    {"image_content_policy_violation", ERR_CONTENT_FILTERED, false},
    {"bio_policy", ERR_CONTENT_FILTERED, false},
    {"model_not_found", ERR_MODEL_NOT_FOUND, false},
    {"DeploymentNotFound", ERR_MODEL_NOT_FOUND, false},
    {"rate_limit_exceeded", ERR_RATE_LIMITED, false},
    {"rate_limit_error", ERR_RATE_LIMITED, false},
    {"slow_down", ERR_RATE_LIMITED, false},
    {"server_is_overloaded", ERR_OVERLOADED, false},
    {"service_unavailable_error", ERR_OVERLOADED, false},
    {"overloaded_error", ERR_OVERLOADED, false},
    {"unavailable_error", ERR_OVERLOADED, false},
    {"insufficient_system_resource", ERR_OVERLOADED, false},
    {"invalid_api_key", ERR_AUTHENTICATION, false},
    {"authentication_error", ERR_AUTHENTICATION, false},
    {"tool_use_failed", ERR_SERVER, false}, /* Groq's 400: the model's mistake, not the caller's */
    {"permission_error", ERR_PERMISSION, true},
    {"not_found_error", ERR_MODEL_NOT_FOUND, true},
    {"NotFoundError", ERR_MODEL_NOT_FOUND, true},
    {"invalid_request_error", ERR_INVALID, true},
    {"BadRequestError", ERR_INVALID, true},
    {"invalid_prompt", ERR_INVALID, true},
    {"vector_store_timeout", ERR_TIMEOUT, true},
};

static enum err class_of_word(const char *text, bool vague)
{
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (words[i].vague == vague && strcmp(words[i].word, text) == 0)
            return words[i].class;
    return ERR_OK;
}

void openai_classify(struct llm_error *error)
{
    bool has_status = error->http_status >= 300;
    enum err class = class_of_word(error->code, false);
    if (!class)
        class = class_of_word(error->type, false);
    if (!class)
        class = dialect_class_of_text(str_from_cstr(error->message));
    if (!class && has_status)
        class = dialect_class_of_status(error->http_status);
    if (!class)
        class = class_of_word(error->code, true);
    if (!class)
        class = class_of_word(error->type, true);
    error->class = class ? class : ERR_SERVER;
}

void openai_error_of_value(struct arena *arena, yyjson_val *value, struct llm_error *ret_error)
{
    *ret_error = (struct llm_error){.retry_after_ms = -1};
    dialect_fill_error_value(arena, value, ret_error);
    if (!ret_error->message[0])
        snprintf(ret_error->message, sizeof ret_error->message, "the provider gave no reason");
    ret_error->retry_after_ms = dialect_retry_after_ms(NULL, str_from_cstr(ret_error->message));
    openai_classify(ret_error);
}

/* What stands deeper in the body than code and type. */
static enum err class_of_body(struct str body)
{
    static const struct {
        const char *sign;
        enum err class;
    } signs[] = {
        {"openrouter_in_flight_budget", ERR_RATE_LIMITED},      /* OpenRouter's 402 that passes */
        {"ResponsibleAIPolicyViolation", ERR_CONTENT_FILTERED}, /* Azure */
        {"\"flagged_input\"", ERR_CONTENT_FILTERED},            /* OpenRouter's moderation */
    };
    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++)
        if (str_find(body, str_from_cstr(signs[i].sign)) != SIZE_MAX)
            return signs[i].class;
    return ERR_OK;
}

void openai_decode_error(struct arena *arena, int status, const struct http_headers *headers,
                         struct str body, struct llm_error *ret_error)
{
    *ret_error = (struct llm_error){.http_status = status, .retry_after_ms = -1};
    dialect_fill_error(arena, body, ret_error);
    int inner_status = ret_error->http_status;
    dialect_fill_headers(inner_status, headers, ret_error);
    openai_classify(ret_error);
    enum err deeper = class_of_body(body);
    if (deeper)
        ret_error->class = deeper;
}

/* ---- Writing --------------------------------------------------------------------------------- */

struct shape {
    const char *type;
    const char *code;  /* or NULL: the provider's own, else the name of the class */
    const char *param; /* or NULL */
};

static const struct shape shapes[ERR_COUNT] = {
    [ERR_INVALID] = {"invalid_request_error", NULL, NULL},
    [ERR_TOO_BIG] = {"invalid_request_error", "request_too_large", NULL},
    [ERR_NOT_FOUND] = {"invalid_request_error", "not_found", NULL},
    [ERR_UNAUTHENTICATED] = {"invalid_request_error", "invalid_api_key", NULL},
    [ERR_FORBIDDEN] = {"permission_error", "forbidden", NULL},
    [ERR_UNSUPPORTED] = {"invalid_request_error", "unsupported", NULL},
    [ERR_RATE_LIMITED] = {"rate_limit_error", "rate_limit_exceeded", NULL},
    [ERR_QUOTA_EXHAUSTED] = {"insufficient_quota", "insufficient_quota", NULL},
    [ERR_OVERLOADED] = {"service_unavailable_error", "server_is_overloaded", NULL},
    [ERR_UNAVAILABLE] = {"service_unavailable_error", "server_is_overloaded", NULL},
    [ERR_CONTENT_FILTERED] = {"invalid_request_error", "content_filter", NULL},
    [ERR_CONTEXT_LENGTH] = {"invalid_request_error", "context_length_exceeded", "messages"},
    [ERR_MODEL_NOT_FOUND] = {"invalid_request_error", "model_not_found", "model"},
};

static const struct shape *shape_of(const struct llm_error *error)
{
    static const struct shape other = {"server_error", NULL, NULL};
    bool known = (unsigned)error->class < ERR_COUNT && shapes[error->class].type;
    return known ? &shapes[error->class] : &other;
}

void openai_put_error_flat(struct json_writer *w, const struct llm_error *error)
{
    const struct shape *shape = shape_of(error);
    const char *code = shape->code;
    if (!code && error->class == ERR_INVALID)
        code = error->code[0] ? error->code : NULL;
    else if (!code)
        code = err_info(error->class)->name;
    const char *param = error->field[0] ? error->field : shape->param;
    const char *message = error->message[0] ? error->message : err_info(error->class)->message;
    json_key_str(w, "message", str_from_cstr(message));
    json_key_str(w, "param", str_from_cstr(param));
    json_key_str(w, "code", str_from_cstr(code));
}

void openai_put_error(struct json_writer *w, const struct llm_error *error)
{
    openai_put_error_flat(w, error);
    json_key_str(w, "type", str_from_cstr(shape_of(error)->type));
}

int openai_encode_error(const struct llm_error *error, struct buf *out)
{
    struct json_writer w;
    json_writer_init(&w, out);
    json_begin_object(&w);
    json_key_object(&w, "error");
    openai_put_error(&w, error);
    json_end_object(&w);
    json_end_object(&w);
    return err_info(error->class)->http_status;
}

/* ---- Whole answers --------------------------------------------------------------------------- */

void openai_collect(void *user, const struct llm_event *event)
{
    struct openai_collector *collector = user;
    enum err code = llm_builder_add_view(collector->builder, event);
    if (code && !collector->code)
        collector->code = code;
}

enum err openai_collected(struct openai_collector *collector, struct llm_response *ret_response,
                          struct llm_error *ret_error)
{
    const struct llm_error *error = llm_builder_error(collector->builder);
    if (!error && !collector->code) {
        *ret_response = *llm_builder_response(collector->builder);
        return ERR_OK;
    }
    if (error)
        *ret_error = *error;
    else
        dialect_error_set(ret_error, ERR_SERVER, "the answer is too large");
    return ret_error->class;
}

enum err openai_not_an_answer(struct arena *arena, struct str body, struct llm_error *ret_error)
{
    *ret_error = (struct llm_error){.class = ERR_SERVER, .retry_after_ms = -1};
    dialect_fill_error(arena, body, ret_error);
    return ret_error->class;
}

/* ---- Models ---------------------------------------------------------------------------------- */

static int64_t first_int(yyjson_val *model, const char *const *names)
{
    int64_t value;
    for (; *names; names++)
        if (json_get_int(model, *names, &value) && value > 0)
            return value;
    return 0;
}

static bool read_model(struct arena *arena, yyjson_val *model, struct llm_model_info *info)
{
    static const char *const context[] = {"max_model_len", "context_length", "context_window",
                                          "max_context_length", NULL};
    static const char *const output[] = {"max_output_tokens", "max_completion_tokens", NULL};
    yyjson_val *top_provider = json_get(model, "top_provider"); /* OpenRouter */
    struct str name = json_get_str(model, "display_name");
    info->id = arena_str(arena, json_get_str(model, "id"));
    info->display_name = arena_str(arena, name.len ? name : json_get_str(model, "name"));
    info->context_tokens = first_int(model, context);
    info->output_tokens_max = first_int(model, output);
    if (!info->output_tokens_max)
        info->output_tokens_max = first_int(top_provider, output);
    return info->id.len > 0;
}

enum err openai_decode_models(struct arena *arena, struct str body,
                              struct llm_model_info **ret_models, size_t *ret_count)
{
    yyjson_val *root, *model;
    if (json_read(arena, str_trim(body), &root, NULL))
        return ERR_SERVER;
    yyjson_val *list = yyjson_is_arr(root) ? root : json_get(root, "data"); /* Together: bare */
    if (!yyjson_is_arr(list))
        return ERR_SERVER;
    struct llm_model_info *models = NULL;
    size_t count = 0, capacity = 0, i, size;
    yyjson_arr_foreach (list, i, size, model) {
        struct llm_model_info info = {0};
        if (read_model(arena, model, &info))
            *VEC_PUSH(arena, models, count, capacity) = info;
    }
    *ret_models = models;
    *ret_count = count;
    return ERR_OK;
}
