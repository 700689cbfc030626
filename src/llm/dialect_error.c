/* Errors of any provider: one extractor for all the shapes that servers send, and the classes that
 * follow from a status or from words that every family uses. What a type or code means is each
 * dialect's own table. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"
#include "llm/dialect.h"

/* ---- Classes --------------------------------------------------------------------------------- */

enum err dialect_class_of_status(int status)
{
    static const struct {
        int status;
        enum err class;
    } table[] = {
        {400, ERR_INVALID},    {401, ERR_AUTHENTICATION},  {402, ERR_QUOTA_EXHAUSTED},
        {403, ERR_PERMISSION}, {404, ERR_MODEL_NOT_FOUND}, {408, ERR_TIMEOUT},
        {424, ERR_SERVER},     {429, ERR_RATE_LIMITED},    {498, ERR_RATE_LIMITED},
        {499, ERR_CANCELLED},  {501, ERR_INVALID},         {503, ERR_OVERLOADED},
        {504, ERR_TIMEOUT},    {529, ERR_OVERLOADED},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].status == status)
            return table[i].class;
    return status >= 400 && status < 500 ? ERR_INVALID : ERR_SERVER;
}

enum err dialect_class_of_text(struct str message)
{
    static const struct {
        const char *words;
        const char *also; /* or NULL */
        enum err class;
    } table[] = {
        {"maximum context length", NULL, ERR_CONTEXT_LENGTH},
        {"prompt is too long", NULL, ERR_CONTEXT_LENGTH},
        {"exceed context limit", NULL, ERR_CONTEXT_LENGTH},
        {"model context window", NULL, ERR_CONTEXT_LENGTH},
        {"exceeds the context window", NULL, ERR_CONTEXT_LENGTH},
        {"exceeds the available context size", NULL, ERR_CONTEXT_LENGTH},
        {"input token count", "exceeds the maximum", ERR_CONTEXT_LENGTH},
        {"context length", NULL, ERR_CONTEXT_LENGTH},
        {"you have reached your specified", "usage limits", ERR_QUOTA_EXHAUSTED},
        {"exceeded your current quota", "billing details", ERR_QUOTA_EXHAUSTED},
        {"insufficient balance", NULL, ERR_QUOTA_EXHAUSTED},
        {"loading model", NULL, ERR_OVERLOADED},
        {"server busy", NULL, ERR_OVERLOADED},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        bool found = str_find_nocase(message, str_from_cstr(table[i].words)) != SIZE_MAX;
        if (found && table[i].also)
            found = str_find_nocase(message, str_from_cstr(table[i].also)) != SIZE_MAX;
        if (found)
            return table[i].class;
    }
    return ERR_OK;
}

/* ---- Texts ----------------------------------------------------------------------------------- */

static bool is_key_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '*';
}

/* Some servers repeat the whole key that they refuse, or say whose it is: only the beginning may be
 * seen. */
static const struct {
    const char *prefix;
    size_t shown;      /* characters behind it that stay */
    size_t length_min; /* of what follows: less is a word */
} credentials[] = {
    {"sk-", 4, 5},   {"gsk_", 4, 5},    {"AIza", 4, 5},  {"xai-", 4, 5},
    {"ya29.", 4, 5}, {"Bearer ", 4, 5}, {"org-", 0, 12}, {"proj_", 0, 12},
};

static void mask_one(char *text, size_t len, size_t which)
{
    struct str prefix = str_from_cstr(credentials[which].prefix);
    size_t found;
    for (size_t at = 0; (found = str_find(STR_FROM(text + at, len - at), prefix)) != SIZE_MAX;) {
        size_t start = at + found;
        size_t end = at = start + prefix.len;
        bool inside_word = start > 0 && is_key_char(text[start - 1]);
        while (!inside_word && end < len && is_key_char(text[end]))
            end++;
        if (end - at < credentials[which].length_min)
            continue;
        memset(text + at + credentials[which].shown, '*', end - at - credentials[which].shown);
    }
}

void dialect_mask_credentials(char *text, size_t len)
{
    for (size_t i = 0; i < sizeof credentials / sizeof credentials[0]; i++)
        mask_one(text, len, i);
}

/* Copies a text of any bytes: what is not UTF-8 becomes '?'. */
static void set_text(struct str text, char *ret, size_t size)
{
    str_copy(text, ret, size);
    struct str copy = str_from_cstr(ret);
    for (char *c = ret; *c;) {
        size_t length = utf8_length_at(copy, (size_t)(c - ret));
        if (length == 0 || (length == 1 && (unsigned char)*c < ' ' && *c != '\n'))
            *c = length ? ' ' : '?';
        c += length ? length : 1;
    }
}

static void set_message(struct str text, struct llm_error *error)
{
    set_text(str_trim(text), error->message, sizeof error->message);
    dialect_mask_credentials(error->message, strlen(error->message));
}

#define SET_FIELD(error, member, text) set_text((text), (error)->member, sizeof(error)->member)

/* ---- Shapes ---------------------------------------------------------------------------------- */

/* A string as it is, a number as its digits, anything else as JSON text. */
static struct str text_of(struct arena *arena, yyjson_val *value)
{
    if (!value || yyjson_is_null(value))
        return STR_NONE;
    return yyjson_is_str(value) ? json_str(value) : json_text(arena, value);
}

/* The first element of a list, or the value itself. */
static yyjson_val *first_of(yyjson_val *value)
{
    return yyjson_is_arr(value) ? yyjson_arr_get_first(value) : value;
}

/* FastAPI's [{loc: ["body","x"], msg, type}], also as an object or a string. */
static struct str message_of_detail(struct arena *arena, yyjson_val *detail)
{
    yyjson_val *first = first_of(detail);
    struct str message = json_get_str(first, "msg");
    return message.data ? message : text_of(arena, first);
}

static struct str message_of(struct arena *arena, yyjson_val *error)
{
    if (yyjson_is_str(error))
        return json_str(error);
    yyjson_val *message = json_get(error, "message");
    if (yyjson_is_str(message))
        return json_str(message);
    if (yyjson_is_arr(message) || yyjson_is_obj(message)) {
        yyjson_val *inner = json_get(message, "detail");
        return message_of_detail(arena, inner ? inner : message);
    }
    return message_of_detail(arena, json_get(error, "detail"));
}

/* OpenRouter puts what the provider itself said into metadata.raw. */
static struct str message_of_metadata(struct arena *arena, yyjson_val *error)
{
    return text_of(arena, json_get(json_get(error, "metadata"), "raw"));
}

static void set_status(struct llm_error *error)
{
    int64_t status;
    if ((error->http_status == 0 || error->http_status == 200) &&
        str_to_i64(str_from_cstr(error->code), &status) && status >= 400 && status <= 599)
        error->http_status = (int)status;
}

void dialect_fill_error_value(struct arena *arena, yyjson_val *value, struct llm_error *ret_error)
{
    yyjson_val *outer = first_of(value);
    yyjson_val *error = first_of(json_get(outer, "error"));
    if (!error || yyjson_is_null(error) || yyjson_is_bool(error))
        error = outer;
    struct str message = message_of(arena, error);
    if (!message.len)
        message = message_of(arena, outer);
    struct str raw = message_of_metadata(arena, error);
    if (raw.len && message.len)
        message = arena_printf(arena, "%.*s: %.*s", STR_ARG(message), STR_ARG(raw));
    set_message(message.len ? message : text_of(arena, error), ret_error);
    yyjson_val *code = json_get(error, "code");
    if (!code || yyjson_is_null(code))
        code = json_get(outer, "code");
    SET_FIELD(ret_error, code, text_of(arena, code));
    struct str type = json_get_str(error, "type");
    SET_FIELD(ret_error, type, type.data ? type : json_get_str(error, "status"));
    SET_FIELD(ret_error, field, json_get_str(error, "param"));
    set_status(ret_error);
}

/* What is not JSON: a proxy's page, or plain words. */
static void fill_from_text(struct str body, struct llm_error *error)
{
    body = str_trim(body);
    if (body.len == 0)
        set_message(STR("the answer was empty"), error);
    else if (body.data[0] == '<')
        set_message(STR("the answer was an HTML page, probably a proxy's"), error);
    else
        set_message(body, error);
}

void dialect_fill_error(struct arena *arena, struct str body, struct llm_error *ret_error)
{
    yyjson_val *root;
    if (json_read(arena, str_trim(body), &root, NULL) == ERR_OK)
        dialect_fill_error_value(arena, root, ret_error);
    else
        fill_from_text(body, ret_error);
    if (!ret_error->message[0])
        set_message(STR("the provider gave no reason"), ret_error);
}

void dialect_fill_headers(int status, const struct http_headers *headers,
                          struct llm_error *ret_error)
{
    static const char *const names[] = {"x-request-id",    "request-id",        "apim-request-id",
                                        "x-generation-id", "x-goog-request-id", "cf-ray"};
    ret_error->http_status = status;
    ret_error->retry_after_ms = dialect_retry_after_ms(headers, str_from_cstr(ret_error->message));
    for (size_t i = 0; headers && i < sizeof names / sizeof names[0]; i++) {
        struct str id = http_headers_get(headers, names[i]);
        if (id.len && !ret_error->request_id[0])
            SET_FIELD(ret_error, request_id, id);
    }
}

void dialect_error_set(struct llm_error *ret_error, enum err class, const char *message)
{
    *ret_error = (struct llm_error){.class = class, .retry_after_ms = -1};
    set_message(str_from_cstr(message), ret_error);
}

void dialect_error_of_transport(const struct error *error, int status, struct llm_error *ret_error)
{
    *ret_error = (struct llm_error){
        .class = error->code == ERR_TOO_BIG ? ERR_SERVER : error->code,
        .http_status =
            error->code == ERR_TIMEOUT ? 0 : status, /* it was not the provider who gave up */
        .retry_after_ms = -1,
    };
    str_copy(str_from_cstr(error->field), ret_error->code,
             sizeof ret_error->code); /* the timer, ... */
    str_copy(str_from_cstr(error_message(error)), ret_error->message, sizeof ret_error->message);
}
