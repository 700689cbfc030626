/* The numbers of google.rpc.Code, and the dialect's errors, which name them. */
#include "chat/batch_status.h"

#include "llm/dialect.h"

enum { ERROR_BYTES_MAX = 16 * 1024, ERROR_ARENA_BYTES_MAX = 1024 * 1024 };

/* By number. */
static const struct {
    const char *name;
    int http_status;
} codes[] = {
    {"OK", 200},
    {"CANCELLED", 499},
    {"UNKNOWN", 500},
    {"INVALID_ARGUMENT", 400},
    {"DEADLINE_EXCEEDED", 504},
    {"NOT_FOUND", 404},
    {"ALREADY_EXISTS", 409},
    {"PERMISSION_DENIED", 403},
    {"RESOURCE_EXHAUSTED", 429},
    {"FAILED_PRECONDITION", 400},
    {"ABORTED", 409},
    {"OUT_OF_RANGE", 400},
    {"UNIMPLEMENTED", 501},
    {"INTERNAL", 500},
    {"UNAVAILABLE", 503},
    {"DATA_LOSS", 500},
    {"UNAUTHENTICATED", 401},
};
enum { CODE_COUNT = sizeof codes / sizeof codes[0], CODE_UNKNOWN = 2 };

/* Some say the status of HTTP in that place. */
static int http_status_of(yyjson_val *status)
{
    int64_t code = CODE_UNKNOWN;
    if (!json_get_int(status, "code", &code) || code < 1 || code > 599)
        code = CODE_UNKNOWN;
    if (code < CODE_COUNT)
        return codes[code].http_status;
    return code >= 400 ? (int)code : codes[CODE_UNKNOWN].http_status;
}

static const char *name_of(yyjson_val *status)
{
    int64_t code = CODE_UNKNOWN;
    bool is_code = json_get_int(status, "code", &code) && code > 0 && code < CODE_COUNT;
    return is_code ? codes[code].name : "";
}

void batch_status_read(struct arena *arena, yyjson_val *status, struct llm_error *ret_error)
{
    const struct http_headers none = {0};
    struct json_writer w;
    struct buf body;
    buf_init(&body, ERROR_BYTES_MAX);
    json_writer_init(&w, &body);
    json_begin_object(&w);
    json_key_object(&w, "error");
    json_key_int(&w, "code", http_status_of(status));
    json_key_str(&w, "message", json_get_str(status, "message"));
    json_key_str(&w, "status", str_from_cstr(name_of(status)));
    if (yyjson_is_arr(json_get(status, "details"))) {
        json_key(&w, STR("details"));
        json_put_val(&w, json_get(status, "details"));
    }
    json_end_object(&w);
    json_end_object(&w);
    dialect_gemini.decode_error(arena, http_status_of(status), &none, buf_str(&body), ret_error);
    buf_done(&body);
}

static int code_of(struct str name)
{
    for (int i = 0; i < CODE_COUNT; i++)
        if (str_eq(name, str_from_cstr(codes[i].name)))
            return i;
    return CODE_UNKNOWN;
}

void batch_status_put(struct json_writer *w, const struct llm_error *error)
{
    struct arena *arena = arena_new(ERROR_ARENA_BYTES_MAX);
    yyjson_val *root = NULL;
    struct buf body;
    buf_init(&body, ERROR_BYTES_MAX);
    dialect_gemini.encode_error(error, &body);
    if (json_read(arena, buf_str(&body), &root, NULL) != ERR_OK)
        root = NULL;
    yyjson_val *shown = json_get(root, "error");
    json_begin_object(w);
    json_key_int(w, "code", code_of(json_get_str(shown, "status")));
    json_key_str(w, "message", json_get_str(shown, "message"));
    if (json_get(shown, "details")) {
        json_key(w, STR("details"));
        json_put_val(w, json_get(shown, "details"));
    }
    json_end_object(w);
    buf_done(&body);
    arena_free(arena);
}
