/* Bytes to requests: llhttp's callbacks fill the exchange at the end of the connection.
 *
 * llhttp refuses what is ambiguous by itself (Content-Length beside Transfer-Encoding or twice,
 * bare line ends, folded headers); what it lets pass and a proxy in front might read differently is
 * refused in check_headers. The rule: whoever disagrees with us about where a request ends must not
 * get an answer. Names and values are copied once, into the exchange's arena. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/vec.h"
#include "net/http_server_internal.h"

enum {
    BODY_BYTES_AT_FIRST = 64 * 1024, /* reserved for a body whose length is announced */
    CHUNK_EXTENSION_BYTES_MAX = 4 * 1024
};

/* ---- Refusing ----------------------------------------------------------------------------------
 */

void http_request_refuse(struct http_connection *connection, struct http_exchange *exchange,
                         enum err code, const char *field, const char *message)
{
    if (!exchange)
        exchange = http_exchange_new(connection);
    http_exchange_drop_body(exchange);
    exchange->refusal = ARENA_NEW(exchange->arena, struct error);
    exchange->refusal->code = code;
    str_copy(str_from_cstr(field), exchange->refusal->field, sizeof exchange->refusal->field);
    str_copy(str_from_cstr(message), exchange->refusal->message, sizeof exchange->refusal->message);
    exchange->keep_alive = exchange->is_upgrade = exchange->wants_continue = false;
    if (!exchange->headers_done)
        exchange->request.headers.count = 0; /* the last may be half a header */
    http_exchange_set_state(exchange, EXCHANGE_READY);
    connection->parsing = NULL;
    connection->input_done = true;
}

/* From inside a callback of llhttp's: -1 makes it stop. */
static int refuse(struct http_connection *connection, enum err code, const char *field,
                  const char *message)
{
    http_request_refuse(connection, connection->parsing, code, field, message);
    return -1;
}

static int refuse_headers(struct http_connection *connection)
{
    return refuse(connection, ERR_TOO_BIG, "headers", "the request headers are too large");
}

/* ---- Request line and headers ------------------------------------------------------------------
 */

static int on_message_begin(llhttp_t *parser)
{
    struct http_connection *connection = parser->data;
    connection->parsing = http_exchange_new(connection);
    return 0;
}

/* Mostly a token comes in one piece; the rest of one that does not is put behind it. */
static void extend(struct arena *arena, struct str *text, const char *data, size_t len)
{
    void *before = text->len ? (void *)text->data : NULL;
    char *copy = arena_realloc(arena, before, text->len, text->len + len);
    memcpy(copy + text->len, data, len);
    *text = STR_FROM(copy, text->len + len);
}

static int on_url(llhttp_t *parser, const char *at, size_t len)
{
    struct http_connection *connection = parser->data;
    struct http_exchange *exchange = connection->parsing;
    if (exchange->target.len + len > HTTP_TARGET_BYTES_MAX)
        return refuse(connection, ERR_TOO_BIG, "target", "the request target is too long");
    extend(exchange->arena, &exchange->target, at, len);
    return 0;
}

/* Trailers are counted and dropped. */
static int on_header_field(llhttp_t *parser, const char *at, size_t len)
{
    struct http_connection *connection = parser->data;
    struct http_exchange *exchange = connection->parsing;
    struct http_headers *headers = &exchange->request.headers;
    exchange->header_bytes += len;
    if (exchange->header_bytes > HTTP_HEADER_BYTES_MAX)
        return refuse_headers(connection);
    if (exchange->headers_done)
        return 0;
    if (!exchange->field_open) {
        if (headers->count == HTTP_HEADER_COUNT_MAX)
            return refuse_headers(connection);
        struct http_header *added =
            VEC_PUSH(exchange->arena, headers->items, headers->count, headers->capacity);
        added->name = STR("");
        added->value = STR("");
        exchange->field_open = true;
    }
    extend(exchange->arena, &headers->items[headers->count - 1].name, at, len);
    return 0;
}

static int on_header_value(llhttp_t *parser, const char *at, size_t len)
{
    struct http_connection *connection = parser->data;
    struct http_exchange *exchange = connection->parsing;
    struct http_headers *headers = &exchange->request.headers;
    exchange->header_bytes += len;
    if (exchange->header_bytes > HTTP_HEADER_BYTES_MAX)
        return refuse_headers(connection);
    if (!exchange->headers_done && len)
        extend(exchange->arena, &headers->items[headers->count - 1].value, at, len);
    return 0;
}

static int on_header_value_complete(llhttp_t *parser)
{
    struct http_connection *connection = parser->data;
    struct http_exchange *exchange = connection->parsing;
    struct http_headers *headers = &exchange->request.headers;
    exchange->field_open = false;
    if (!exchange->headers_done) {
        struct http_header *last = &headers->items[headers->count - 1];
        last->value = str_trim(last->value);
    }
    return 0;
}

/* The headers that the server itself acts on. */
struct known_headers {
    struct str host, transfer_encoding, expect, id;
    unsigned host_count, transfer_encoding_count;
};

static void find_known(const struct http_headers *headers, struct known_headers *known)
{
    for (size_t i = 0; i < headers->count; i++) {
        struct str name = headers->items[i].name, value = headers->items[i].value;
        if (name.len == 4 && str_eq_nocase(name, STR("host"))) {
            known->host = value;
            known->host_count++;
        } else if (name.len == 6 && str_eq_nocase(name, STR("expect"))) {
            known->expect = value;
        } else if (name.len == 12 && str_eq_nocase(name, STR("x-request-id"))) {
            known->id = value;
        } else if (name.len == 17 && str_eq_nocase(name, STR("transfer-encoding"))) {
            known->transfer_encoding = value;
            known->transfer_encoding_count++;
        }
    }
}

/* host, host:port, [v6]:port: none of what would end an authority. */
static bool host_is_valid(struct str host)
{
    for (size_t i = 0; i < host.len; i++) {
        unsigned char c = (unsigned char)host.data[i];
        bool is_plain =
            (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == ':' || c == '-';
        if (!is_plain && (c <= ' ' || c >= 0x7f || strchr("/?#@\\,\"<>^`{|}", c)))
            return false;
    }
    return true;
}

static bool body_is_clear(const struct http_exchange *exchange, const struct known_headers *known)
{
    if (known->transfer_encoding_count == 0)
        return true;
    return known->transfer_encoding_count == 1 && !exchange->is_http10 &&
           str_eq_nocase(known->transfer_encoding, STR("chunked"));
}

/* Splits the target into path and query. The absolute form (to a proxy) must name our Host. */
static bool split_target(struct http_exchange *exchange, struct str host)
{
    struct str rest = exchange->target;
    if (str_find_char(rest, '#') != SIZE_MAX)
        return false;
    bool is_path = rest.len && rest.data[0] == '/';
    size_t scheme = is_path ? SIZE_MAX : str_find(rest, STR("://"));
    if (scheme != SIZE_MAX) {
        rest = str_skip(rest, scheme + 3);
        size_t end = 0;
        while (end < rest.len && rest.data[end] != '/' && rest.data[end] != '?')
            end++;
        if (!str_eq_nocase(STR_FROM(rest.data, end), host))
            return false;
        rest = str_skip(rest, end);
    }
    exchange->request.path = str_next(&rest, '?');
    if (!exchange->request.path.len)
        exchange->request.path = STR("/");
    if (rest.data)
        exchange->request.query = rest;
    return true;
}

static enum http_method method_of(const llhttp_t *parser)
{
    switch (parser->method) {
    case LLHTTP_GET:
        return HTTP_GET;
    case LLHTTP_HEAD:
        return HTTP_HEAD;
    case LLHTTP_POST:
        return HTTP_POST;
    case LLHTTP_PUT:
        return HTTP_PUT;
    case LLHTTP_PATCH:
        return HTTP_PATCH;
    case LLHTTP_DELETE:
        return HTTP_DELETE;
    case LLHTTP_OPTIONS:
        return HTTP_OPTIONS;
    default:
        return HTTP_METHOD_OTHER;
    }
}

static int check_headers(struct http_connection *connection, const struct known_headers *known)
{
    const llhttp_t *parser = &connection->parser;
    struct http_exchange *exchange = connection->parsing;
    if (parser->http_major != 1 || parser->http_minor > 1)
        return refuse(connection, ERR_INVALID, "version", "only HTTP/1.1 and 1.0 are spoken here");
    exchange->is_http10 = parser->http_minor == 0;
    if (known->host_count > 1 || (known->host_count == 0 && !exchange->is_http10) ||
        !host_is_valid(known->host))
        return refuse(connection, ERR_INVALID, "host", "there must be exactly one valid Host");
    if (!body_is_clear(exchange, known))
        return refuse(connection, ERR_INVALID, "transfer-encoding",
                      "only \"chunked\" is understood");
    if (parser->method != HTTP_CONNECT && !split_target(exchange, known->host))
        return refuse(connection, ERR_INVALID, "target",
                      "the request target is not for this server");
    return 0;
}

/* ---- Body --------------------------------------------------------------------------------------
 */

static int refuse_body(struct http_connection *connection)
{
    return refuse(connection, ERR_TOO_BIG, "body", "the request body is too large");
}

static int announce_body(struct http_connection *connection, bool expects)
{
    struct http_exchange *exchange = connection->parsing;
    const struct http_server *server = connection->server;
    uint64_t limit = server->handler.body_limit(server->handler.user, exchange);
    if (!server->options.spill_directory && limit > server->options.body_memory_bytes)
        limit = server->options.body_memory_bytes;
    exchange->body_limit = limit;
    bool is_chunked = connection->parser.flags & F_CHUNKED;
    if (!is_chunked && connection->parser.content_length > limit)
        return refuse_body(connection);
    exchange->wants_continue = expects && !exchange->is_http10;
    return 0;
}

static int on_headers_complete(llhttp_t *parser)
{
    struct http_connection *connection = parser->data;
    struct http_exchange *exchange = connection->parsing;
    struct known_headers known = {0};
    exchange->headers_done = true;
    exchange->request.method = method_of(parser);
    find_known(&exchange->request.headers, &known);
    if (http_request_id_is_valid(known.id))
        exchange->id = known.id;
    if (check_headers(connection, &known) < 0)
        return -1;
    if ((parser->flags & F_CHUNKED) || parser->content_length)
        return announce_body(connection, str_eq_nocase(known.expect, STR("100-continue")));
    return 0;
}

void http_request_continue(struct http_exchange *exchange)
{
    if (!exchange->wants_continue)
        return;
    exchange->wants_continue = false;
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    stream_write(exchange->connection->stream, text, sizeof text - 1);
    http_connection_wrote(exchange->connection, sizeof text - 1);
}

static void finish_spill(struct http_exchange *exchange)
{
    struct http_connection *connection = exchange->connection;
    enum http_spill_state state = http_spill_state(exchange->spill);
    if (state == HTTP_SPILL_DONE && http_spill_map(exchange->spill, &exchange->request.body))
        http_exchange_set_state(exchange, EXCHANGE_READY);
    else if (state != HTTP_SPILL_WRITING)
        http_request_refuse(connection, exchange, ERR_STORAGE, "body",
                            uv_strerror(uv_translate_sys_error(http_spill_errno(exchange->spill))));
}

/* The pool has written something: room for more, or the end, or a full disk. */
static void on_spill(void *user)
{
    struct http_exchange *exchange = user;
    finish_spill(exchange);
    http_connection_wake(exchange->connection);
}

static int on_body(llhttp_t *parser, const char *at, size_t len)
{
    struct http_connection *connection = parser->data;
    struct http_exchange *exchange = connection->parsing;
    const struct http_server_options *options = &connection->server->options;
    uint64_t announced = exchange->body_bytes + len; /* at least so much */
    exchange->body_bytes += len;
    if (exchange->body_bytes > exchange->body_limit)
        return refuse_body(connection);
    if (!(parser->flags & F_CHUNKED))
        announced += parser->content_length;
    if (!exchange->spill && announced > options->body_memory_bytes) {
        exchange->spill =
            http_spill_new(exchange->loop, options->spill_directory, on_spill, exchange);
        http_spill_write(exchange->spill, buf_str(&exchange->body));
        buf_release(&exchange->body);
    }
    if (exchange->spill) {
        http_spill_write(exchange->spill, STR_FROM(at, len));
        return 0;
    }
    if (!exchange->body.data) {
        loop_buf_lend(exchange->loop, &exchange->body);
        (void)buf_reserve(&exchange->body,
                          announced < BODY_BYTES_AT_FIRST ? (size_t)announced : len);
    }
    buf_append(&exchange->body, STR_FROM(at, len));
    return 0;
}

/* Some servers' parsers were made to hold endless ones. */
static int on_chunk_extension(llhttp_t *parser, const char *at, size_t len)
{
    (void)at;
    struct http_connection *connection = parser->data;
    struct http_exchange *exchange = connection->parsing;
    exchange->extension_bytes += len;
    if (exchange->extension_bytes > CHUNK_EXTENSION_BYTES_MAX)
        return refuse(connection, ERR_TOO_BIG, "body", "the chunk extensions are too long");
    return 0;
}

/* ---- The end of a request ----------------------------------------------------------------------
 */

static int on_message_complete(llhttp_t *parser)
{
    struct http_connection *connection = parser->data;
    struct http_exchange *exchange = connection->parsing;
    bool is_connect = parser->method == HTTP_CONNECT;
    exchange->keep_alive = llhttp_should_keep_alive(parser) && !is_connect;
    exchange->is_upgrade = parser->upgrade && exchange->keep_alive && !exchange->is_http10;
    exchange->wants_continue = false;
    connection->parsing = NULL;
    if (!exchange->keep_alive)
        connection->input_done = true;
    if (exchange->spill) {
        http_exchange_set_state(exchange, EXCHANGE_SPILLING);
        http_spill_finish(exchange->spill);
        finish_spill(exchange);
    } else {
        exchange->request.body = buf_str(&exchange->body);
        http_exchange_set_state(exchange, EXCHANGE_READY);
    }
    return HPE_PAUSED;
}

static const llhttp_settings_t SETTINGS = {
    .on_message_begin = on_message_begin,
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_chunk_extension_name = on_chunk_extension,
    .on_chunk_extension_value = on_chunk_extension,
    .on_message_complete = on_message_complete,
};

void http_request_parser_init(struct http_connection *connection)
{
    llhttp_init(&connection->parser, HTTP_REQUEST, &SETTINGS);
    connection->parser.data = connection;
}

void http_request_parse(struct http_connection *connection)
{
    llhttp_t *parser = &connection->parser;
    struct str input = connection->input;
    llhttp_errno_t code = llhttp_execute(parser, input.data, input.len);
    if (code == HPE_OK || connection->input_done) {
        connection->input = STR_NONE;
        return;
    }
    if (code == HPE_PAUSED || code == HPE_PAUSED_UPGRADE) {
        connection->input = str_skip(input, (size_t)(llhttp_get_error_pos(parser) - input.data));
        if (code == HPE_PAUSED)
            llhttp_resume(parser);
        else
            llhttp_resume_after_upgrade(parser);
        return;
    }
    char message[256];
    const char *reason = llhttp_get_error_reason(parser);
    snprintf(message, sizeof message, "not a valid HTTP/1.1 request: %s", reason ? reason : "");
    http_request_refuse(connection, connection->parsing, ERR_INVALID, NULL, message);
    connection->input = STR_NONE;
}
