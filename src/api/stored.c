/* What the doors of files and batches share.
 *
 *   stored_send -> read_more --files_read--> on_piece --written--> read_more ... --> the end
 *                                              \--the client is slow--> on_drain --> read_more */
#include "api/stored.h"

#include <string.h>

#include "wire/url.h"

enum { PAGE_DEFAULT = 20, PAGE_MAX = 100, METADATA_MAX = 16, METADATA_BYTES_MAX = 16 * 1024 };

bool stored_id(struct str text, struct id *ret)
{
    static const char *const prefixes[] = {"file-",     "file_",  "batch_",
                                           "msgbatch_", "files/", "batches/"};
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
        if (str_starts_with(text, str_from_cstr(prefixes[i])))
            return id_parse(str_skip(text, strlen(prefixes[i])), ret);
    return id_parse(text, ret);
}

bool stored_parameter_id(struct api_request *request, int index, struct id *ret)
{
    if (stored_id(request->parameters[index], ret))
        return true;
    api_fail(request, ERR_NOT_FOUND, NULL);
    return false;
}

bool stored_query_limit(struct api_request *request, uint64_t fallback, uint64_t maximum,
                        size_t *ret)
{
    struct str text = api_query(request, "limit");
    uint64_t number = fallback;
    struct error error = {0};
    if (text.data && (!str_to_u64(text, &number) || number < 1 || number > maximum)) {
        error_set(&error, ERR_INVALID, "limit", "must be 1 to %llu", (unsigned long long)maximum);
        api_fail(request, ERR_INVALID, &error);
        return false;
    }
    *ret = (size_t)number;
    return true;
}

bool stored_query_page_size(struct api_request *request, uint64_t fallback, uint64_t maximum,
                            size_t *ret)
{
    struct str text = api_query(request, "pageSize");
    uint64_t number = fallback;
    struct error error = {0};
    if (text.data && (!str_to_u64(text, &number) || number < 1)) {
        error_set(&error, ERR_INVALID, "pageSize", "must be a number");
        api_fail(request, ERR_INVALID, &error);
        return false;
    }
    *ret = number > maximum ? (size_t)maximum : (size_t)number;
    return true;
}

bool stored_query_id(struct api_request *request, const char *name, struct id *ret)
{
    struct str text = api_query(request, name);
    struct error error = {0};
    *ret = (struct id){0};
    if (text.len == 0 || stored_id(text, ret))
        return true;
    error_set(&error, ERR_INVALID, name, "is no id");
    api_fail(request, ERR_INVALID, &error);
    return false;
}

/* A host name, perhaps with a port: what it says goes into an answer of the one who said it. */
static bool is_host(struct str host)
{
    for (size_t i = 0; i < host.len; i++) {
        char c = host.data[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool is_other = (c >= '0' && c <= '9') || strchr(".-_:[]", c);
        if (c == '\0' || (!is_letter && !is_other))
            return false;
    }
    return host.len > 0 && host.len <= 255;
}

struct str stored_origin(struct api_request *request)
{
    const struct http_headers *headers = &request->http->headers;
    struct str host = http_headers_get(headers, "host");
    bool is_tls = request->http->is_tls ||
                  str_eq_nocase(http_headers_get(headers, "x-forwarded-proto"), STR("https"));
    if (!is_host(host))
        host = STR("localhost");
    return arena_printf(request->arena, "%s://%.*s", is_tls ? "https" : "http", STR_ARG(host));
}

void stored_key_seconds(struct json_writer *w, const char *key, int64_t wall_ms)
{
    if (wall_ms)
        json_key_int(w, key, wall_ms / 1000);
    else
        json_key_null(w, key);
}

/* ---- Contents -------------------------------------------------------------------------------- */

struct sending {
    struct api_request *request;
    struct file_work work;
    struct arena *piece; /* of its own: an exchange's arena would keep every piece */
    bool is_reading;
    bool is_begun; /* the answer's head is out */
    const char *content_type;
};

static void read_more(struct sending *sending);

static void end(struct sending *sending, bool is_whole)
{
    struct http_exchange *exchange = sending->request->exchange;
    arena_free(sending->piece);
    if (is_whole)
        http_respond_end(exchange);
    else
        http_respond_break(exchange);
}

static void on_drain(void *user)
{
    struct sending *sending = user;
    if (!sending->is_reading)
        read_more(sending);
}

static void write_head(struct sending *sending)
{
    struct http_exchange *exchange = sending->request->exchange;
    http_respond_header(exchange, "cache-control", STR("no-store"));
    http_respond_header(exchange, "x-content-type-options", STR("nosniff"));
    http_respond_header(exchange, "content-disposition", STR("attachment"));
}

/* Before the head there can be an error, or all of it at once. */
static void on_first_piece(struct sending *sending, enum err code, const struct error *error)
{
    struct api_request *request = sending->request;
    struct str piece = sending->work.content;
    struct arena *arena = sending->piece;
    if (code == ERR_OK && piece.len == FILES_PIECE_BYTES) {
        sending->is_begun = true;
        write_head(sending);
        http_respond_begin(request->exchange, 200, sending->content_type);
        return;
    }
    if (!api_failed(request, code, error)) {
        write_head(sending);
        http_respond(request->exchange, 200, sending->content_type, piece);
    }
    arena_free(arena);
}

/* A file that is deleted meanwhile breaks off: half of it must not be taken for whole. */
static void on_piece(void *user, enum err code, const struct error *error)
{
    struct sending *sending = user;
    struct http_exchange *exchange = sending->request->exchange;
    struct str piece = sending->work.content;
    bool is_whole_file = piece.len < FILES_PIECE_BYTES && sending->work.offset == 0;
    sending->is_reading = false;
    if (http_exchange_is_aborted(exchange) || (code != ERR_OK && sending->is_begun)) {
        end(sending, false);
        return;
    }
    if (!sending->is_begun)
        on_first_piece(sending, code, error);
    if (code != ERR_OK || is_whole_file)
        return;
    sending->work.offset += piece.len;
    http_respond_write(exchange, piece);
    if (piece.len < FILES_PIECE_BYTES)
        end(sending, true);
    else if (http_respond_pending_bytes(exchange) <= STREAM_HIGH_BYTES)
        read_more(sending);
}

static void read_more(struct sending *sending)
{
    struct api *api = sending->request->api;
    sending->is_reading = true;
    arena_reset(sending->piece);
    files_read(api->options.files, api->options.loop, &sending->work);
}

/* The one who reads has left: a read under way ends it. */
static void on_abort(void *user)
{
    struct sending *sending = user;
    if (!sending->is_reading)
        end(sending, false);
}

static struct sending *sending_new(struct api_request *request, const char *content_type)
{
    struct sending *sending = ARENA_NEW(request->arena, struct sending);
    sending->request = request;
    sending->content_type = content_type;
    sending->work.user = sending;
    sending->work.arena = request->arena;
    return sending;
}

static void begin(struct sending *sending)
{
    struct http_exchange *exchange = sending->request->exchange;
    sending->piece = arena_new_sized(SIZE_MAX, FILES_PIECE_BYTES + 4096);
    sending->work.arena = sending->piece;
    sending->work.done = on_piece;
    http_exchange_on_abort(exchange, on_abort, sending);
    http_respond_on_drain(exchange, on_drain, sending);
    read_more(sending);
}

void stored_send(struct api_request *request, const struct store_file *file,
                 const char *content_type)
{
    struct sending *sending = sending_new(request, content_type);
    sending->work.file = *file;
    begin(sending);
}

static void on_found(void *user, enum err code, const struct error *error)
{
    struct sending *sending = user;
    if (!api_failed(sending->request, code, error))
        begin(sending);
}

void stored_send_by_id(struct api_request *request, const struct id *id, const char *content_type)
{
    struct api *api = request->api;
    struct sending *sending = sending_new(request, content_type);
    sending->work.file.owner = request->who.user;
    sending->work.file.id = *id;
    sending->work.done = on_found;
    files_get(api->options.files, api->options.loop, &sending->work);
}

/* ---- Metadata -------------------------------------------------------------------------------- */

enum err stored_read_metadata(struct arena *arena, yyjson_val *metadata, struct str *ret,
                              struct error *error)
{
    size_t index, max;
    yyjson_val *key, *value;
    if (!metadata || yyjson_is_null(metadata))
        return ERR_OK;
    bool is_right = yyjson_is_obj(metadata) && yyjson_obj_size(metadata) <= METADATA_MAX;
    if (is_right) {
        yyjson_obj_foreach (metadata, index, max, key, value)
            is_right &= yyjson_is_str(value);
    }
    struct str text = json_text(arena, metadata);
    if (!is_right || text.len > METADATA_BYTES_MAX)
        return error_set(error, ERR_INVALID, "metadata", "must be an object of up to %d texts",
                         METADATA_MAX);
    *ret = text;
    return ERR_OK;
}

/* ---- Pages of items -------------------------------------------------------------------------- */

enum err stored_read_page(struct api_request *request, struct stored_page *ret, struct error *error)
{
    struct str limit = api_query(request, "limit"), order = api_query(request, "order");
    struct str after = api_query(request, "after");
    uint64_t count = PAGE_DEFAULT;
    if (limit.data && (!str_to_u64(limit, &count) || count < 1 || count > PAGE_MAX))
        return error_set(error, ERR_INVALID, "limit", "must be 1 to %d", PAGE_MAX);
    if (order.data && !str_eq(order, STR("asc")) && !str_eq(order, STR("desc")))
        return error_set(error, ERR_INVALID, "order", "must be asc or desc");
    *ret =
        (struct stored_page){!str_eq(order, STR("asc")), (int)count, after.data ? after : STR("")};
    return ERR_OK;
}
