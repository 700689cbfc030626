/* The HTTP/1.1 server and its connections, on top of stream and below every door.
 *
 * A connection is a queue of exchanges. Requests are parsed ahead (pipelining) up to a limit, and
 * given to the handler one after the other, each when the one before has ended:
 *
 *   on_data --> run: [ http_request_parse --> http_exchange_deliver ]* --> settle (rest, deadlines)
 *                 ^
 *   on_advance ---+  (http_connection_wake: a response ended, a spill file was written)
 *   on_drain -----+  (the client took what was waiting)
 *   on_timer -----+  (a request came too slowly)
 *
 * The handler is called from run only, never from inside a call that it makes. It may end the
 * exchange, and with it the connection, inside any callback: whoever calls it holds `depth`, and
 * looks at `stream` afterwards. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/random.h"
#include "net/http_server_internal.h"

enum {
    OVER_LIMIT_MAX = 64, /* connections above the limit that are told so; more are just closed */
    WRITE_CHECKS = 4     /* looks per write timeout: how late it may be noticed */
};

/* ---- Connection: holding, waking, ending -------------------------------------------------------
 */

static void leave(struct http_connection *connection)
{
    if (--connection->depth == 0 && !connection->stream)
        free(connection);
}

static struct http_exchange *first_exchange(const struct http_connection *connection)
{
    if (list_is_empty(&connection->exchanges))
        return NULL;
    return LIST_ENTRY(connection->exchanges.next, struct http_exchange, link);
}

static struct http_exchange *last_exchange(const struct http_connection *connection)
{
    if (list_is_empty(&connection->exchanges))
        return NULL;
    return LIST_ENTRY(connection->exchanges.previous, struct http_exchange, link);
}

static void orphan_exchanges(struct http_connection *connection)
{
    struct http_exchange *exchange;
    while ((exchange = first_exchange(connection)))
        http_exchange_orphan(exchange);
}

static void report_drained(void *user)
{
    struct http_server *server = user;
    if (server->on_drained)
        server->on_drained(server->drained_user); /* may free the server */
}

static void check_drained(struct http_server *server)
{
    if (server->draining && server->connection_count == 0)
        loop_defer(server->loop, &server->drained_task, report_drained, server);
}

void http_connection_drop(struct http_connection *connection)
{
    struct http_server *server = connection->server;
    connection->depth++;
    connection->stream = NULL;
    list_remove(&connection->link);
    server->connection_count--;
    loop_timer_cancel(server->loop, &connection->timer);
    loop_task_cancel(&connection->advance);
    orphan_exchanges(connection);
    buf_done(&connection->held);
    check_drained(server);
    leave(connection);
}

static void abort_connection(struct http_connection *connection)
{
    stream_abort(connection->stream);
    http_connection_drop(connection);
}

void http_connection_close(struct http_connection *connection)
{
    if (connection->closing)
        return;
    connection->closing = connection->input_done = true;
    connection->input_deadline_ms = HTTP_NEVER;
    connection->input = connection->static_rest = STR_NONE;
    orphan_exchanges(connection);
    buf_release(&connection->held);
    stream_close(connection->stream);
}

/* ---- Deadlines: two of them, one timer ---------------------------------------------------------
 */

static void on_timer(void *user);

/* A timer that fires too early costs less than one that is moved with every request. */
static void arm_timer(struct http_connection *connection)
{
    uint64_t due = connection->input_deadline_ms;
    if (connection->write_check_ms < due)
        due = connection->write_check_ms;
    if (due == HTTP_NEVER)
        return;
    if (loop_timer_is_set(&connection->timer) && connection->timer.node.key <= due)
        return;
    struct loop *loop = connection->server->loop;
    uint64_t now = loop_now_ms(loop);
    loop_timer_set(loop, &connection->timer, due > now ? due - now : 0, on_timer, connection);
}

static uint64_t next_write_check(const struct http_connection *connection)
{
    const struct http_server *server = connection->server;
    uint64_t wait = server->options.write_timeout_ms / WRITE_CHECKS;
    return loop_now_ms(server->loop) + (wait ? wait : 1);
}

void http_connection_wrote(struct http_connection *connection, size_t count)
{
    connection->queued_bytes += count;
    if (connection->write_check_ms != HTTP_NEVER)
        return;
    connection->taken_bytes = connection->queued_bytes - stream_pending_bytes(connection->stream);
    connection->taken_ms = loop_now_ms(connection->server->loop);
    connection->write_check_ms = next_write_check(connection);
    arm_timer(connection);
}

static void check_output(struct http_connection *connection)
{
    const struct http_server *server = connection->server;
    uint64_t now = loop_now_ms(server->loop);
    size_t pending = stream_pending_bytes(connection->stream);
    if (!pending) {
        connection->write_check_ms = HTTP_NEVER;
        return;
    }
    uint64_t taken = connection->queued_bytes - pending; /* TLS may make it smaller than it was */
    if ((int64_t)(taken - connection->taken_bytes) > 0) {
        connection->taken_bytes = taken;
        connection->taken_ms = now;
    } else if (now - connection->taken_ms >= server->options.write_timeout_ms) {
        abort_connection(connection);
        return;
    }
    connection->write_check_ms = next_write_check(connection);
}

static uint64_t input_deadline(const struct http_connection *connection, bool *ret_idle)
{
    const struct http_server_options *options = &connection->server->options;
    const struct http_exchange *parsing = connection->parsing;
    uint64_t now = loop_now_ms(connection->server->loop);
    bool was_idle = *ret_idle;
    *ret_idle = false;
    if (connection->input_done)
        return HTTP_NEVER;
    if (parsing && !parsing->headers_done)
        return parsing->start_ms + options->header_timeout_ms;
    if (parsing)
        return now + options->body_timeout_ms;
    if (!list_is_empty(&connection->exchanges))
        return HTTP_NEVER;
    *ret_idle = true;
    if (was_idle) /* empty lines before a request are allowed, but win no time */
        return connection->input_deadline_ms;
    return now + (connection->greeted ? options->idle_timeout_ms : options->header_timeout_ms);
}

/* ---- Run: parse and deliver what can be --------------------------------------------------------
 */

/* Whether more may be read: not beyond the pipeline, not past a request for another protocol, not
 * faster than the disk takes a body or the client its answers. */
static bool may_parse(const struct http_connection *connection)
{
    const struct http_exchange *last = last_exchange(connection);
    if (connection->parsing)
        return !connection->parsing->spill || !http_spill_is_full(connection->parsing->spill);
    if (last && last->is_upgrade)
        return false;
    return connection->exchange_count <= connection->server->options.pipeline_max &&
           stream_pending_bytes(connection->stream) <= STREAM_HIGH_BYTES;
}

static bool step(struct http_connection *connection)
{
    struct http_exchange *first = first_exchange(connection);
    if (connection->closing)
        return false;
    if (first && first->state == EXCHANGE_READY &&
        stream_pending_bytes(connection->stream) <= STREAM_HIGH_BYTES) {
        http_exchange_deliver(first);
        return true;
    }
    if (first && first == connection->parsing)
        http_request_continue(first);
    if (!connection->input.len || connection->input_done || !may_parse(connection))
        return false;
    http_request_parse(connection);
    return true;
}

/* What cannot be parsed yet waits in `held`; when that is a lot, the client waits too. */
static void keep_rest(struct http_connection *connection)
{
    struct buf *held = &connection->held;
    if (connection->input_done)
        buf_release(held);
    else if (held->len)
        buf_consume(held, held->len - connection->input.len);
    else
        buf_append(held, connection->input);
    if (!held->len)
        buf_release(held);
    connection->input = STR_NONE;
    bool pause = held->len >= HTTP_HELD_PAUSE_BYTES;
    if (pause && !connection->paused)
        stream_pause(connection->stream);
    if (!pause && connection->paused)
        stream_resume(connection->stream);
    connection->paused = pause;
}

static void run(struct http_connection *connection, struct str data)
{
    struct buf *held = &connection->held;
    connection->depth++;
    connection->running = true;
    if (held->len)
        buf_append(held, data);
    connection->input = held->len ? buf_str(held) : data;
    while (connection->stream && step(connection)) {
    }
    connection->running = false;
    if (connection->stream && !connection->closing) {
        keep_rest(connection);
        connection->input_deadline_ms = input_deadline(connection, &connection->idle);
        arm_timer(connection);
    }
    leave(connection);
}

static void on_advance(void *user)
{
    run(user, STR_NONE);
}

void http_connection_wake(struct http_connection *connection)
{
    if (!connection->running)
        loop_defer(connection->server->loop, &connection->advance, on_advance, connection);
}

static void expire_input(struct http_connection *connection)
{
    struct http_exchange *parsing = connection->parsing;
    uint64_t now = loop_now_ms(connection->server->loop);
    if (!parsing) {
        http_connection_close(connection);
    } else if (connection->held.len || (parsing->spill && http_spill_is_full(parsing->spill))) {
        /* it is we who are slow */
        connection->input_deadline_ms = now + connection->server->options.body_timeout_ms;
    } else {
        http_request_refuse(connection, parsing, ERR_TIMEOUT,
                            parsing->headers_done ? "body" : "headers",
                            "the request took too long to arrive");
        run(connection, STR_NONE);
    }
}

static void on_timer(void *user)
{
    struct http_connection *connection = user;
    uint64_t now = loop_now_ms(connection->server->loop);
    connection->depth++;
    if (connection->write_check_ms <= now)
        check_output(connection);
    if (connection->stream && connection->input_deadline_ms <= now)
        expire_input(connection);
    if (connection->stream)
        arm_timer(connection);
    leave(connection);
}

/* ---- What the stream says ----------------------------------------------------------------------
 */

static void on_open(void *user)
{
    struct http_connection *connection = user;
    if (!connection->over_limit)
        return;
    http_request_refuse(connection, NULL, ERR_UNAVAILABLE, NULL, "too many connections");
    run(connection, STR_NONE);
}

static void on_data(void *user, char *data, size_t len)
{
    struct http_connection *connection = user;
    connection->greeted = true;
    if (!connection->input_done)
        run(connection, STR_FROM(data, len));
}

/* A client that ends its side has left, except that a response already given is still sent. */
static void on_end(void *user)
{
    struct http_connection *connection = user;
    if (first_exchange(connection))
        abort_connection(connection);
    else
        http_connection_close(connection);
}

/* A piece is larger than the mark, so that on_drain is sure to come for the next. */
bool http_connection_send_static(struct http_connection *connection)
{
    struct str piece = str_slice(connection->static_rest, 0, STREAM_HIGH_BYTES + STREAM_LOW_BYTES);
    if (piece.len) {
        stream_write(connection->stream, piece.data, piece.len);
        http_connection_wrote(connection, piece.len);
    }
    connection->static_rest = str_skip(connection->static_rest, piece.len);
    return connection->static_rest.len == 0;
}

static void on_drain(void *user)
{
    struct http_connection *connection = user;
    struct http_exchange *first = first_exchange(connection);
    connection->depth++;
    if (first && first->state == EXCHANGE_SENDING) {
        if (http_connection_send_static(connection))
            http_exchange_complete(first);
    } else if (first && first->on_drain) {
        first->on_drain(first->drain_user);
    }
    if (connection->stream)
        run(connection, STR_NONE);
    leave(connection);
}

static void on_close(void *user, enum err code, const char *detail)
{
    struct http_connection *connection = user;
    log_debug(loop_log(connection->server->loop), "connection closed",
              LOG_CSTR("code", err_info(code)->name), LOG_CSTR("detail", detail));
    http_connection_drop(connection);
}

static const struct stream_events EVENTS = {
    .on_open = on_open,
    .on_data = on_data,
    .on_end = on_end,
    .on_drain = on_drain,
    .on_close = on_close,
};

/* ---- The server --------------------------------------------------------------------------------
 */

static void fill_defaults(struct http_server_options *options)
{
    static const struct http_server_options defaults = {
        .header_timeout_ms = 10000,
        .body_timeout_ms = 30000,
        .idle_timeout_ms = 75000,
        .write_timeout_ms = 60000,
        .connections_max = 65536,
        .body_memory_bytes = 1024 * 1024,
        .pipeline_max = 16,
    };
#define FILL(field) (options->field = options->field ? options->field : defaults.field)
    FILL(header_timeout_ms);
    FILL(body_timeout_ms);
    FILL(idle_timeout_ms);
    FILL(write_timeout_ms);
    FILL(connections_max);
    FILL(body_memory_bytes);
    FILL(pipeline_max);
#undef FILL
}

static void make_id_prefix(struct http_server *server)
{
    uint32_t random[2];
    random_bytes(random, sizeof random);
    snprintf(server->id_prefix, sizeof server->id_prefix, "%08x%04x-", random[0],
             random[1] & 0xffff);
}

struct http_server *http_server_new(struct loop *loop, const struct http_server_options *options,
                                    const struct http_server_handler *handler)
{
    struct http_server *server = calloc(1, sizeof *server);
    ASSERT(server && handler->body_limit && handler->on_request && handler->on_refuse);
    server->loop = loop;
    server->handler = *handler;
    if (options)
        server->options = *options;
    fill_defaults(&server->options);
    if (server->options.spill_directory) {
        server->options.spill_directory = strdup(server->options.spill_directory);
        ASSERT(server->options.spill_directory);
    }
    list_init(&server->connections);
    list_init(&server->spares);
    make_id_prefix(server);
    return server;
}

void http_server_accept(struct http_server *server, int fd, struct tls_context *tls)
{
    size_t max = server->options.connections_max;
    if (server->connection_count >= max && server->connection_count - max >= OVER_LIMIT_MAX) {
        close(fd);
        return;
    }
    struct http_connection *connection = calloc(1, sizeof *connection);
    ASSERT(connection);
    connection->stream = stream_accept(server->loop, fd, tls, &EVENTS, connection);
    if (!connection->stream) {
        free(connection);
        return;
    }
    connection->server = server;
    connection->over_limit = server->connection_count >= max;
    list_init(&connection->exchanges);
    buf_init(&connection->held, HTTP_HELD_BYTES_MAX);
    http_request_parser_init(connection);
    list_append(&server->connections, &connection->link);
    server->connection_count++;
    connection->write_check_ms = HTTP_NEVER;
    connection->input_deadline_ms = loop_now_ms(server->loop) + server->options.header_timeout_ms;
    arm_timer(connection);
}

void http_server_drain(struct http_server *server, void (*on_drained)(void *user), void *user)
{
    server->draining = true;
    server->on_drained = on_drained;
    server->drained_user = user;
    LIST_EACH (&server->connections, link) {
        struct http_connection *connection = LIST_ENTRY(link, struct http_connection, link);
        if (!first_exchange(connection))
            http_connection_close(connection);
    }
    check_drained(server);
}

void http_server_free(struct http_server *server)
{
    if (!server)
        return;
    while (!list_is_empty(&server->connections))
        abort_connection(LIST_ENTRY(server->connections.next, struct http_connection, link));
    LIST_EACH (&server->spares, link) {
        list_remove(link);
        http_exchange_free(LIST_ENTRY(link, struct http_exchange, link));
    }
    loop_task_cancel(&server->drained_task);
    free((void *)server->options.spill_directory);
    free(server);
}

size_t http_server_connection_count(const struct http_server *server)
{
    return server->connection_count;
}

struct str http_server_date(struct http_server *server)
{
    uint64_t now = loop_now_ms(server->loop);
    if (now >= server->date_until_ms) {
        int64_t wall_ms = clock_wall_ms();
        clock_format_http(wall_ms, server->date);
        server->date_until_ms = now + 1000 - (uint64_t)(wall_ms % 1000);
    }
    return STR_FROM(server->date, sizeof server->date - 1);
}
