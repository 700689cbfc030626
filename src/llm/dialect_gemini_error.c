/* Gemini's errors (google.rpc.Status in JSON, with details) and its list of models. */
#include "llm/dialect_gemini.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { DETAILS_MAX = 32 }; /* no more of them are looked at */

/* ---- Reading errors -------------------------------------------------------------------------- */

/* The class by the name of the status; the HTTP status decides where it says something else. */
struct status_row {
    const char *status;
    int http_status; /* 0: any */
    enum err class;
};
static const struct status_row status_rows[] = {
    {"INVALID_ARGUMENT", 0, ERR_INVALID},
    {"FAILED_PRECONDITION", 0, ERR_PERMISSION},
    {"OUT_OF_RANGE", 0, ERR_INVALID},
    {"UNAUTHENTICATED", 0, ERR_AUTHENTICATION},
    {"RESOURCE_EXHAUSTED", 402, ERR_QUOTA_EXHAUSTED},
    {"RESOURCE_EXHAUSTED", 0, ERR_RATE_LIMITED},
    {"PERMISSION_DENIED", 0, ERR_PERMISSION},
    {"NOT_FOUND", 0, ERR_MODEL_NOT_FOUND},
    {"ABORTED", 0, ERR_CONFLICT},
    {"ALREADY_EXISTS", 0, ERR_CONFLICT},
    {"CANCELLED", 0, ERR_CANCELLED},
    {"INTERNAL", 0, ERR_SERVER},
    {"UNKNOWN", 0, ERR_SERVER},
    {"DATA_LOSS", 0, ERR_SERVER},
    {"UNIMPLEMENTED", 0, ERR_INVALID},
    {"UNAVAILABLE", 0, ERR_OVERLOADED},
    {"DEADLINE_EXCEEDED", 0, ERR_TIMEOUT},
};

static enum err class_of_status(struct str name, int http_status)
{
    for (size_t i = 0; i < sizeof status_rows / sizeof *status_rows; i++) {
        const struct status_row *row = &status_rows[i];
        if (str_eq(name, str_from_cstr(row->status)) &&
            (!row->http_status || row->http_status == http_status))
            return row->class;
    }
    return http_status == 501 ? ERR_INVALID : dialect_class_of_status(http_status);
}

/* What the details say beside the status. */
struct details {
    struct str reason;      /* of ErrorInfo */
    struct str domain;      /* of ErrorInfo */
    struct str quota_id;    /* of the violation that weighs most */
    struct str field;       /* of BadRequest */
    bool quota_is_gone;     /* per day, or none in this tier */
    int64_t retry_after_ms; /* of RetryInfo, or -1 */
};

static void read_quota(yyjson_val *detail, struct details *details)
{
    yyjson_val *violations = gemini_get(detail, "violations");
    size_t count = yyjson_arr_size(violations);
    for (size_t i = 0; i < count && i < DETAILS_MAX; i++) {
        yyjson_val *violation = yyjson_arr_get(violations, i);
        struct str id = gemini_get_str(violation, "quotaId");
        bool gone = str_find(id, STR("PerDay")) != SIZE_MAX ||
                    str_eq(gemini_get_str(violation, "quotaValue"), STR("0"));
        if (gone || !details->quota_id.len)
            details->quota_id = id;
        details->quota_is_gone = details->quota_is_gone || gone;
    }
}

static void read_detail(yyjson_val *detail, struct details *details)
{
    struct str type = json_get_str(detail, "@type");
    if (str_ends_with(type, STR(".ErrorInfo"))) {
        details->reason = json_get_str(detail, "reason");
        details->domain = json_get_str(detail, "domain");
    } else if (str_ends_with(type, STR(".QuotaFailure"))) {
        read_quota(detail, details);
    } else if (str_ends_with(type, STR(".RetryInfo"))) {
        details->retry_after_ms = dialect_parse_duration_ms(gemini_get_str(detail, "retryDelay"));
    } else if (str_ends_with(type, STR(".BadRequest"))) {
        yyjson_val *first = yyjson_arr_get_first(gemini_get(detail, "fieldViolations"));
        details->field = json_get_str(first, "field");
    }
}

static struct details read_details(yyjson_val *error)
{
    struct details details = {.retry_after_ms = -1};
    yyjson_val *list = json_get(error, "details");
    size_t count = yyjson_arr_size(list);
    for (size_t i = 0; i < count && i < DETAILS_MAX; i++)
        read_detail(yyjson_arr_get(list, i), &details);
    return details;
}

static bool says_too_long(struct str message)
{
    return str_find_nocase(message, STR("input token count")) != SIZE_MAX &&
           str_find_nocase(message, STR("exceeds the maximum")) != SIZE_MAX;
}

/* Our own doors name the class in ErrorInfo, since several share a status (write_info). */
static enum err class_of_reason(const struct details *details)
{
    char name[64];
    if (!str_eq(details->domain, STR("parley")) || !str_copy(details->reason, name, sizeof name))
        return ERR_OK;
    for (char *c = name; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return err_from_name(str_from_cstr(name));
}

static enum err classify(yyjson_val *error, int http_status, struct str message,
                         const struct details *details)
{
    enum err named = class_of_reason(details);
    if (named != ERR_OK)
        return named;
    if (str_eq(details->reason, STR("API_KEY_INVALID")))
        return ERR_AUTHENTICATION;
    enum err class = class_of_status(json_get_str(error, "status"), http_status);
    bool gone = details->quota_is_gone || str_find(message, STR("limit: 0")) != SIZE_MAX;
    if (class == ERR_RATE_LIMITED && gone)
        return ERR_QUOTA_EXHAUSTED;
    if (class != ERR_INVALID)
        return class;
    if (says_too_long(message))
        return ERR_CONTEXT_LENGTH;
    enum err by_text = dialect_class_of_text(message);
    return by_text != ERR_OK ? by_text : class;
}

/* The headers' hint, RetryInfo, the text: in this order. */
static int64_t retry_after(const struct http_headers *headers, const struct details *details,
                           struct str message)
{
    int64_t hint = headers ? dialect_retry_after_ms(headers, STR_NONE) : -1;
    if (hint < 0)
        hint = details->retry_after_ms;
    return hint < 0 ? dialect_retry_after_ms(NULL, message) : hint;
}

yyjson_val *gemini_find_error(yyjson_val *root)
{
    if (yyjson_is_arr(root))
        root = yyjson_arr_get_first(root);
    return json_get(root, "error");
}

void gemini_read_error(struct arena *arena, int status, const struct http_headers *headers,
                       yyjson_val *error, struct llm_error *ret_error)
{
    *ret_error = (struct llm_error){.retry_after_ms = -1, .http_status = status};
    dialect_fill_error_value(arena, error, ret_error);
    struct str message = str_from_cstr(ret_error->message);
    if (headers)
        dialect_fill_headers(status, headers, ret_error);
    struct details details = read_details(error);
    ret_error->class = classify(error, ret_error->http_status, message, &details);
    ret_error->retry_after_ms = retry_after(headers, &details, message);
    str_copy(json_get_str(error, "status"), ret_error->type, sizeof ret_error->type);
    str_copy(details.reason.len ? details.reason : details.quota_id, ret_error->code,
             sizeof ret_error->code);
    str_copy(details.field, ret_error->field, sizeof ret_error->field);
}

void gemini_decode_error(struct arena *arena, int status, const struct http_headers *headers,
                         struct str body, struct llm_error *ret_error)
{
    yyjson_val *root = NULL;
    yyjson_val *error = NULL;
    if (json_read(arena, body, &root, NULL) == ERR_OK)
        error = gemini_find_error(root);
    if (yyjson_is_obj(error)) {
        gemini_read_error(arena, status, headers, error, ret_error);
        return;
    }
    *ret_error = (struct llm_error){.retry_after_ms = -1, .http_status = status};
    dialect_fill_error(arena, body, ret_error); /* a proxy's page, or another server's shape */
    dialect_fill_headers(status, headers, ret_error);
    enum err by_text = dialect_class_of_text(str_from_cstr(ret_error->message));
    ret_error->class = by_text != ERR_OK ? by_text : class_of_status(STR_NONE, status);
}

/* ---- Writing errors -------------------------------------------------------------------------- */

struct class_row {
    enum err class;
    int http_status;
    const char *status;
};
/* What is not here goes by the last row. */
static const struct class_row class_rows[] = {
    {ERR_INVALID, 400, "INVALID_ARGUMENT"},
    {ERR_TOO_BIG, 413, "INVALID_ARGUMENT"},
    {ERR_NOT_FOUND, 404, "NOT_FOUND"},
    {ERR_CONFLICT, 409, "ABORTED"},
    {ERR_UNAUTHENTICATED, 401, "UNAUTHENTICATED"},
    {ERR_FORBIDDEN, 403, "PERMISSION_DENIED"},
    {ERR_UNSUPPORTED, 501, "UNIMPLEMENTED"},
    {ERR_CANCELLED, 499, "CANCELLED"},
    {ERR_TIMEOUT, 504, "DEADLINE_EXCEEDED"},
    {ERR_NETWORK, 503, "UNAVAILABLE"},
    {ERR_UNAVAILABLE, 503, "UNAVAILABLE"},
    {ERR_RATE_LIMITED, 429, "RESOURCE_EXHAUSTED"},
    {ERR_QUOTA_EXHAUSTED, 402, "RESOURCE_EXHAUSTED"},
    {ERR_OVERLOADED, 503, "UNAVAILABLE"},
    {ERR_CONTENT_FILTERED, 400, "INVALID_ARGUMENT"},
    {ERR_CONTEXT_LENGTH, 400, "INVALID_ARGUMENT"},
    {ERR_MODEL_NOT_FOUND, 404, "NOT_FOUND"},
    {ERR_INTERNAL, 500, "INTERNAL"},
};

static const struct class_row *row_of(enum err class)
{
    const size_t count = sizeof class_rows / sizeof *class_rows;
    for (size_t i = 0; i < count; i++)
        if (class_rows[i].class == class)
            return &class_rows[i];
    return &class_rows[count - 1];
}

static void begin_detail(struct json_writer *w, const char *type)
{
    json_begin_object(w);
    json_key(w, STR("@type"));
    json_begin_str(w);
    json_str_part(w, STR("type.googleapis.com/google.rpc."));
    json_str_part(w, str_from_cstr(type));
    json_end_str(w);
}

/* Several of our classes share one status: ErrorInfo says which it was, in our own domain. */
static void write_info(struct json_writer *w, enum err class)
{
    char reason[64];
    snprintf(reason, sizeof reason, "%s", err_info(class)->name);
    for (char *c = reason; *c; c++)
        *c = (char)toupper((unsigned char)*c);
    begin_detail(w, "ErrorInfo");
    json_key_str(w, "reason", str_from_cstr(reason));
    json_key_str(w, "domain", STR("parley"));
    json_end_object(w);
}

static void write_retry(struct json_writer *w, int64_t retry_after_ms)
{
    char delay[32];
    snprintf(delay, sizeof delay, "%lld.%03ds", (long long)(retry_after_ms / 1000),
             (int)(retry_after_ms % 1000));
    begin_detail(w, "RetryInfo");
    json_key_str(w, "retryDelay", str_from_cstr(delay));
    json_end_object(w);
}

static void write_field(struct json_writer *w, const struct llm_error *error)
{
    begin_detail(w, "BadRequest");
    json_key_array(w, "fieldViolations");
    json_begin_object(w);
    json_key_str(w, "field", str_from_cstr(error->field));
    json_key_str(w, "description", str_from_cstr(error->message));
    json_end_object(w);
    json_end_array(w);
    json_end_object(w);
}

int gemini_encode_error(const struct llm_error *error, struct buf *out)
{
    const struct class_row *row = row_of(error->class);
    const char *message = error->message[0] ? error->message : err_info(error->class)->message;
    struct json_writer w;
    json_writer_init(&w, out);
    json_begin_object(&w);
    json_key_object(&w, "error");
    json_key_int(&w, "code", row->http_status);
    json_key_str(&w, "message", str_from_cstr(message));
    json_key_str(&w, "status", str_from_cstr(row->status));
    json_key_array(&w, "details");
    write_info(&w, error->class);
    if (error->field[0])
        write_field(&w, error);
    if (error->retry_after_ms >= 0)
        write_retry(&w, error->retry_after_ms);
    json_end_array(&w);
    json_end_object(&w);
    json_end_object(&w);
    return row->http_status;
}

/* ---- Models ---------------------------------------------------------------------------------- */

static struct llm_model_info read_model(struct arena *arena, yyjson_val *model)
{
    struct llm_model_info info = {
        .id = arena_str(arena, gemini_model_id(json_get_str(model, "name"))),
        .display_name = arena_str(arena, gemini_get_str(model, "displayName")),
    };
    int64_t number = 0;
    if (json_int(gemini_get(model, "inputTokenLimit"), &number) && number > 0)
        info.context_tokens = number;
    if (json_int(gemini_get(model, "outputTokenLimit"), &number) && number > 0)
        info.output_tokens_max = number;
    return info;
}

enum err gemini_decode_models(struct arena *arena, struct str body,
                              struct llm_model_info **ret_models, size_t *ret_count)
{
    yyjson_val *root = NULL;
    if (json_read(arena, body, &root, NULL) != ERR_OK)
        return ERR_SERVER;
    yyjson_val *list = json_get(root, "models");
    bool is_one = !list && json_get_str(root, "name").len; /* GET /models/{id} */
    /* proto-JSON writes no empty list: {} is a page without models. */
    if (!yyjson_is_obj(root) || (list && !yyjson_is_arr(list)) || json_get(root, "error"))
        return ERR_SERVER;
    size_t size = is_one ? 1 : yyjson_arr_size(list);
    struct llm_model_info *models = ARENA_NEW_ARRAY(arena, size, struct llm_model_info);
    size_t count = 0;
    size_t index, max;
    yyjson_val *model;
    if (is_one)
        models[count++] = read_model(arena, root);
    yyjson_arr_foreach (list, index, max, model) {
        if (json_get_str(model, "name").len)
            models[count++] = read_model(arena, model);
    }
    *ret_models = models;
    *ret_count = count;
    return ERR_OK;
}
