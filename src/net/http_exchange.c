/* The life of an exchange: one request and its response, on top of http_server's connections.
 *
 *   http_exchange_new
 *          |
 *       READING --on_message_complete--> SPILLING --on_spill--> READY
 *          |                                |                     ^ |
 *          +--on_message_complete-----------|---------------------+ |
 *          +--http_request_refuse-----------+---------------------+ | http_exchange_deliver
 *                                                                   v
 *      (freed) <--http_respond, http_respond_upgrade, _break--- DELIVERED
 *         ^                                                       |    |
 *         +--http_respond_end, http_respond_break--- BEGUN <------+    | http_respond_static
 *         |                                  http_respond_begin        v
 *         +--http_connection_send_static--------------------------- SENDING
 *
 * When the client leaves, http_exchange_orphan frees it, unless the handler holds it (DELIVERED,
 * BEGUN): then it loses its connection, and whatever ends it frees it. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "net/http_server_internal.h"

enum {
    EXCHANGE_BYTES = 1120, /* some headers, and what a handler keeps about a small request */
    HEADERS_AT_FIRST = 8,
    ARENA_BYTES_BESIDE_BODY = 1024 * 1024
};

void http_exchange_set_state(struct http_exchange *exchange, enum http_exchange_state state)
{
    exchange->state = state;
}

/* Arena and head buffer survive from one exchange to the next. */
static struct http_exchange *take_spare(struct http_server *server)
{
    if (list_is_empty(&server->spares)) {
        struct http_exchange *fresh = calloc(1, sizeof *fresh);
        ASSERT(fresh);
        fresh->arena = arena_new_from(loop_stock(server->loop), 0, EXCHANGE_BYTES);
        buf_init(&fresh->head, 2 * HTTP_HEADER_BYTES_MAX);
        return fresh;
    }
    struct http_exchange *spare = LIST_ENTRY(server->spares.next, struct http_exchange, link);
    list_remove(&spare->link);
    server->spare_count--;
    struct arena *arena = spare->arena;
    struct buf head = spare->head;
    *spare = (struct http_exchange){.arena = arena, .head = head};
    return spare;
}

/* A random part per server and a count: unique without asking the kernel every time. */
static void make_id(struct http_exchange *exchange, struct http_server *server)
{
    static const char digits[] = "0123456789abcdef";
    size_t prefix = strlen(server->id_prefix);
    char *at = exchange->id_text + sizeof exchange->id_text;
    uint64_t number = server->id_next++;
    do {
        *--at = digits[number & 15];
        number >>= 4;
    } while (number);
    at -= prefix;
    memcpy(at, server->id_prefix, prefix);
    exchange->id = STR_FROM(at, (size_t)(exchange->id_text + sizeof exchange->id_text - at));
}

struct http_exchange *http_exchange_new(struct http_connection *connection)
{
    struct http_server *server = connection->server;
    struct http_exchange *exchange = take_spare(server);
    exchange->connection = connection;
    exchange->loop = server->loop;
    exchange->start_ms = loop_now_ms(server->loop);
    make_id(exchange, server);
    buf_init(&exchange->body, server->options.body_memory_bytes);
    struct http_request *request = &exchange->request;
    request->method = HTTP_METHOD_OTHER;
    request->path = STR("");
    request->query = STR("");
    request->body = STR("");
    request->is_tls = stream_is_tls(connection->stream);
    request->headers.items =
        arena_alloc(exchange->arena, HEADERS_AT_FIRST * sizeof(struct http_header));
    request->headers.capacity = HEADERS_AT_FIRST;
    list_append(&connection->exchanges, &exchange->link);
    connection->exchange_count++;
    return exchange;
}

void http_exchange_drop_body(struct http_exchange *exchange)
{
    loop_buf_keep(exchange->loop, &exchange->body);
    http_spill_free(exchange->spill);
    exchange->spill = NULL;
    exchange->request.body = STR("");
}

void http_exchange_free(struct http_exchange *exchange)
{
    arena_free(exchange->arena);
    buf_done(&exchange->head);
    free(exchange);
}

/* Kept for the next request only when it is small: idle memory has a bound. */
static void keep_or_free(struct http_exchange *exchange, struct http_server *server)
{
    if (!server || server->spare_count >= HTTP_SPARE_EXCHANGES_MAX ||
        arena_used(exchange->arena) > HTTP_SPARE_ARENA_BYTES_MAX ||
        exchange->head.capacity > HTTP_SPARE_HEAD_BYTES_MAX) {
        http_exchange_free(exchange);
        return;
    }
    arena_reset(exchange->arena);
    buf_clear(&exchange->head);
    list_prepend(&server->spares, &exchange->link);
    server->spare_count++;
}

void http_exchange_release(struct http_exchange *exchange)
{
    struct http_connection *connection = exchange->connection;
    if (exchange->witness)
        exchange->witness->on_end(exchange->witness_user);
    if (exchange->on_release)
        exchange->on_release(exchange->release_user);
    http_exchange_drop_body(exchange);
    if (connection) {
        list_remove(&exchange->link);
        connection->exchange_count--;
        if (connection->parsing == exchange)
            connection->parsing = NULL;
    }
    keep_or_free(exchange, connection ? connection->server : NULL);
}

void http_exchange_complete(struct http_exchange *exchange)
{
    struct http_connection *connection = exchange->connection;
    bool close = exchange->closes;
    http_exchange_release(exchange);
    if (!connection)
        return;
    if (close || connection->server->draining)
        http_connection_close(connection);
    else
        http_connection_wake(connection);
}

void http_exchange_orphan(struct http_exchange *exchange)
{
    if (exchange->state != EXCHANGE_DELIVERED && exchange->state != EXCHANGE_BEGUN) {
        http_exchange_release(exchange);
        return;
    }
    list_remove(&exchange->link);
    exchange->connection->exchange_count--;
    exchange->connection = NULL;
    if (exchange->on_abort)
        exchange->on_abort(exchange->abort_user); /* may end the exchange */
}

void http_exchange_deliver(struct http_exchange *exchange)
{
    struct http_connection *connection = exchange->connection;
    const struct http_server_handler *handler = &connection->server->handler;
    const char *peer = stream_peer_address(connection->stream);
    exchange->request.peer_address = arena_cstr(exchange->arena, str_from_cstr(peer));
    arena_set_max(exchange->arena, 4 * exchange->request.body.len + ARENA_BYTES_BESIDE_BODY);
    http_exchange_set_state(exchange, EXCHANGE_DELIVERED);
    if (exchange->refusal)
        handler->on_refuse(handler->user, exchange, exchange->refusal);
    else
        handler->on_request(handler->user, exchange);
}

/* ---- What the owner asks -----------------------------------------------------------------------
 */

const struct http_request *http_exchange_request(const struct http_exchange *exchange)
{
    return &exchange->request;
}

struct arena *http_exchange_arena(struct http_exchange *exchange)
{
    return exchange->arena;
}

struct loop *http_exchange_loop(struct http_exchange *exchange)
{
    return exchange->loop;
}

struct str http_exchange_id(const struct http_exchange *exchange)
{
    return exchange->id;
}

uint64_t http_exchange_start_ms(const struct http_exchange *exchange)
{
    return exchange->start_ms;
}

void http_exchange_set_user(struct http_exchange *exchange, void *user)
{
    exchange->user = user;
}

void *http_exchange_user(const struct http_exchange *exchange)
{
    return exchange->user;
}

void http_exchange_set_witness(struct http_exchange *exchange, const struct http_witness *witness,
                               void *user)
{
    ASSERT(!exchange->witness);
    exchange->witness = witness;
    exchange->witness_user = user;
}

void http_exchange_on_release(struct http_exchange *exchange, void (*on_release)(void *user),
                              void *user)
{
    exchange->on_release = on_release;
    exchange->release_user = user;
}

void http_exchange_on_abort(struct http_exchange *exchange, void (*on_abort)(void *user),
                            void *user)
{
    exchange->on_abort = on_abort;
    exchange->abort_user = user;
}

bool http_exchange_is_aborted(const struct http_exchange *exchange)
{
    return !exchange->connection;
}
