/* Responses to bytes: status line, headers and body go straight into the stream's output buffer,
 * and leave with everything else that this turn writes.
 *
 * Which framing a response has is decided once, in begin_head; the states are http_exchange.c's. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "net/http_put.h"
#include "net/http_server_internal.h"

enum {
    HEAD_BYTES_EXPECTED = 512,           /* of a head beside its own fields */
    HEAD_BYTES_BESIDE = 256,             /* of a head: what is not counted in write_head */
    CHUNK_BYTES_BESIDE = 2 + 16 + 2 + 2, /* of a chunk: its size and two line ends */
    NUMBER_BYTES = 16
};

bool http_request_id_is_valid(struct str id)
{
    if (!id.len || id.len > HTTP_ID_BYTES_MAX)
        return false;
    for (size_t i = 0; i < id.len; i++) {
        char c = id.data[i];
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!is_plain && c != '.' && c != '_' && c != '-')
            return false;
    }
    return true;
}

/* ---- Writing into a buffer that is known to be large enough ------------------------------------
 */

static char *put_hex(char *at, uint64_t number)
{
    char digits[NUMBER_BYTES];
    char *first = digits + sizeof digits;
    do {
        *--first = "0123456789abcdef"[number % 16];
        number /= 16;
    } while (number);
    return http_put(at, STR_FROM(first, (size_t)(digits + sizeof digits - first)));
}

static struct str connection_field(const struct http_exchange *exchange)
{
    if (exchange->framing == HTTP_FRAMING_UPGRADE)
        return STR("Connection: upgrade\r\n");
    if (exchange->closes)
        return STR("Connection: close\r\n");
    return exchange->is_http10 ? STR("Connection: keep-alive\r\n") : STR("");
}

static char *put_framing(char *at, const struct http_exchange *exchange, uint64_t length)
{
    if (exchange->framing == HTTP_FRAMING_CHUNKED)
        return http_put(at, STR("Transfer-Encoding: chunked\r\n"));
    if (exchange->framing != HTTP_FRAMING_LENGTH)
        return at;
    return http_put(http_put_number(http_put(at, STR("Content-Length: ")), length), STR("\r\n"));
}

/* What lies between the end of the buffer and `end` was written. */
static void commit(struct http_connection *connection, struct buf *output, const char *end)
{
    size_t count = (size_t)(end - (output->data + output->len));
    buf_commit(output, count);
    http_connection_wrote(connection, count);
}

static void write_head(struct http_exchange *exchange, int status, struct str content_type,
                       uint64_t length)
{
    struct http_connection *connection = exchange->connection;
    struct buf *output = stream_output(connection->stream);
    struct str reason = str_from_cstr(http_status_reason(status));
    size_t bound =
        HEAD_BYTES_BESIDE + reason.len + content_type.len + exchange->id.len + exchange->head.len;
    char *at = buf_reserve(output, bound); /* NULL: too much waits, and the stream will say so */
    if (at) {
        at = http_put_number(http_put(at, STR("HTTP/1.1 ")), (uint64_t)status);
        at = http_put_field(at, STR(" "), reason);
        at = http_put_field(at, STR("Date: "), http_server_date(connection->server));
        at = http_put_field(at, STR("x-request-id: "), exchange->id);
        at = http_put(at, connection_field(exchange));
        if (content_type.len)
            at = http_put_field(at, STR("Content-Type: "), content_type);
        at = http_put(at, buf_str(&exchange->head));
        at = http_put(put_framing(at, exchange, length), STR("\r\n"));
        commit(connection, output, at);
    }
    stream_flush_later(connection->stream);
}

static void write_body(struct http_exchange *exchange, struct str data)
{
    if (!data.len || exchange->is_bodyless)
        return;
    stream_write(exchange->connection->stream, data.data, data.len);
    http_connection_wrote(exchange->connection, data.len);
}

/* ---- The head ----------------------------------------------------------------------------------
 */

bool http_respond_header_if_valid(struct http_exchange *exchange, const char *name,
                                  struct str value)
{
    struct str field = str_from_cstr(name);
    ASSERT(exchange->state == EXCHANGE_DELIVERED);
    if (!http_header_is_valid(field, value))
        return false;
    size_t size = field.len + value.len + 4;
    char *at = buf_reserve(&exchange->head, size);
    ASSERT(at);
    http_put_field(http_put(at, field), STR(": "), value);
    buf_commit(&exchange->head, size);
    return true;
}

void http_respond_header(struct http_exchange *exchange, const char *name, struct str value)
{
    bool is_valid = http_respond_header_if_valid(exchange, name, value);
    ASSERT(is_valid);
}

void http_respond_header_lines(struct http_exchange *exchange, struct str lines)
{
    ASSERT(exchange->state == EXCHANGE_DELIVERED && str_ends_with(lines, STR("\r\n")));
    buf_append(&exchange->head, lines);
}

/* Decides framing and the fate of the connection, and writes the head. */
static void begin_head(struct http_exchange *exchange, int status, const char *content_type,
                       enum http_framing framing, uint64_t length)
{
    ASSERT(exchange->state == EXCHANGE_DELIVERED && status >= 200 && status <= 599);
    bool has_no_length = status == 204 || status == 304;
    exchange->is_bodyless = has_no_length || exchange->request.method == HTTP_HEAD;
    exchange->framing = has_no_length ? HTTP_FRAMING_NONE : framing;
    if (exchange->framing == HTTP_FRAMING_CHUNKED && exchange->is_http10)
        exchange->framing = exchange->is_bodyless ? HTTP_FRAMING_NONE : HTTP_FRAMING_CLOSE;
    exchange->closes = !exchange->keep_alive || exchange->framing == HTTP_FRAMING_CLOSE ||
                       (exchange->connection && exchange->connection->server->draining);
    if (exchange->witness)
        exchange->witness->on_status(exchange->witness_user, status);
    if (exchange->connection)
        write_head(exchange, status, str_from_cstr(content_type), length);
}

/* ---- At once -----------------------------------------------------------------------------------
 */

static void show(const struct http_exchange *exchange, struct str bytes)
{
    if (exchange->witness && !exchange->is_bodyless && bytes.len)
        exchange->witness->on_bytes(exchange->witness_user, bytes);
}

void http_respond(struct http_exchange *exchange, int status, const char *content_type,
                  struct str body)
{
    if (exchange->connection)
        stream_expect(exchange->connection->stream,
                      HEAD_BYTES_EXPECTED + exchange->head.len + body.len);
    begin_head(exchange, status, content_type, HTTP_FRAMING_LENGTH, body.len);
    show(exchange, body);
    if (exchange->connection)
        write_body(exchange, body);
    http_exchange_complete(exchange);
}

void http_respond_static(struct http_exchange *exchange, int status, const char *content_type,
                         struct str body)
{
    if (body.len <= STREAM_HIGH_BYTES || !exchange->connection) {
        http_respond(exchange, status, content_type, body);
        return;
    }
    struct http_connection *connection = exchange->connection;
    begin_head(exchange, status, content_type, HTTP_FRAMING_LENGTH, body.len);
    show(exchange, body);
    http_exchange_set_state(exchange, EXCHANGE_SENDING);
    connection->static_rest = exchange->is_bodyless ? STR_NONE : body;
    if (http_connection_send_static(connection))
        http_exchange_complete(exchange);
}

/* ---- In pieces ---------------------------------------------------------------------------------
 */

void http_respond_begin(struct http_exchange *exchange, int status, const char *content_type)
{
    begin_head(exchange, status, content_type, HTTP_FRAMING_CHUNKED, 0);
    buf_release(&exchange->head); /* written; the rest may take minutes */
    http_exchange_set_state(exchange, EXCHANGE_BEGUN);
}

static void write_chunk(struct http_connection *connection, struct str data)
{
    size_t bound = data.len + CHUNK_BYTES_BESIDE;
    struct buf *output = stream_output(connection->stream);
    char *start = buf_reserve(output, bound);
    if (start) {
        char *at = http_put(put_hex(start, data.len), STR("\r\n"));
        at = http_put(http_put(at, data), STR("\r\n"));
        commit(connection, output, at);
    }
    stream_flush_later(connection->stream);
}

void http_respond_write(struct http_exchange *exchange, struct str data)
{
    ASSERT(exchange->state == EXCHANGE_BEGUN);
    show(exchange, data);
    if (!exchange->connection || exchange->is_bodyless || !data.len)
        return;
    if (exchange->framing == HTTP_FRAMING_CHUNKED)
        write_chunk(exchange->connection, data);
    else
        write_body(exchange, data);
}

void http_respond_end(struct http_exchange *exchange)
{
    ASSERT(exchange->state == EXCHANGE_BEGUN);
    if (exchange->connection && exchange->framing == HTTP_FRAMING_CHUNKED)
        write_body(exchange, STR("0\r\n\r\n"));
    http_exchange_complete(exchange);
}

void http_respond_break(struct http_exchange *exchange)
{
    ASSERT(exchange->state == EXCHANGE_DELIVERED || exchange->state == EXCHANGE_BEGUN);
    struct http_connection *connection = exchange->connection;
    http_exchange_release(exchange);
    if (!connection)
        return;
    stream_abort(connection->stream);
    http_connection_drop(connection);
}

size_t http_respond_pending_bytes(const struct http_exchange *exchange)
{
    return exchange->connection ? stream_pending_bytes(exchange->connection->stream) : 0;
}

void http_respond_on_drain(struct http_exchange *exchange, void (*on_drain)(void *user), void *user)
{
    exchange->on_drain = on_drain;
    exchange->drain_user = user;
}

/* ---- Another protocol --------------------------------------------------------------------------
 */

static char *copy_early(const struct http_connection *connection, size_t *ret_len)
{
    struct str early = connection->running ? connection->input : buf_str(&connection->held);
    *ret_len = early.len;
    if (!early.len)
        return NULL;
    char *copy = malloc(early.len);
    ASSERT(copy);
    memcpy(copy, early.data, early.len);
    return copy;
}

struct stream *http_respond_upgrade(struct http_exchange *exchange, char **ret_early,
                                    size_t *ret_early_len)
{
    ASSERT(exchange->state == EXCHANGE_DELIVERED);
    struct http_connection *connection = exchange->connection;
    *ret_early = NULL;
    *ret_early_len = 0;
    if (!connection || !exchange->is_upgrade) {
        exchange->keep_alive = false; /* HTTP/1.0, or no upgrade was asked for */
        http_respond(exchange, 400, NULL, STR(""));
        return NULL;
    }
    exchange->framing = HTTP_FRAMING_UPGRADE;
    write_head(exchange, 101, STR_NONE, 0);
    *ret_early = copy_early(connection, ret_early_len);
    struct stream *stream = connection->stream;
    if (connection->paused)
        stream_resume(stream);
    http_exchange_release(exchange);
    http_connection_drop(connection);
    return stream;
}
