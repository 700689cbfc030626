/* For tests of the HTTP server: a loop, a server whose handler is ruled by the path, and clients
 * that speak raw bytes. */
#pragma once

#include "helper_loop.h"

#include <stdlib.h>
#include <sys/socket.h>

#include "base/arena.h"
#include "net/http_server.h"

enum { FIXTURE_HELD_MAX = 32, FIXTURE_STATIC_BYTES = 2 * 1024 * 1024 };

struct fixture {
    struct loop *loop;
    struct http_server *server;
    int fd;         /* the client's end */
    struct buf got; /* what came out of it */
    bool at_end;    /* EOF or reset */
    bool was_reset;
    uint64_t body_limit;
    int limits_asked, requests, refusals, aborts, drains, drained;
    enum err refused; /* the last */
    char refused_field[128];
    struct http_exchange *held[FIXTURE_HELD_MAX];
    int held_count;
    char *static_body;
    struct stream *upgraded;
    char *early;
    size_t early_len;
};

static inline uint64_t fixture_body_limit(void *user, struct http_exchange *exchange)
{
    struct fixture *fixture = user;
    assert_non_null(exchange);
    fixture->limits_asked++;
    return fixture->body_limit;
}

static inline void fixture_on_abort(void *user)
{
    struct fixture *fixture = user;
    fixture->aborts++;
}

static inline void fixture_on_drain(void *user)
{
    struct fixture *fixture = user;
    fixture->drains++;
}

static inline void fixture_on_drained(void *user)
{
    struct fixture *fixture = user;
    fixture->drained++;
}

/* "POST /echo?q 5:hello" */
static inline struct str fixture_describe(struct http_exchange *exchange)
{
    const struct http_request *request = http_exchange_request(exchange);
    return arena_printf(http_exchange_arena(exchange), "%.*s %.*s?%.*s %zu:%.*s",
                        STR_ARG(http_method_name(request->method)), STR_ARG(request->path),
                        STR_ARG(request->query), request->body.len, STR_ARG(request->body));
}

static inline void fixture_hold(struct fixture *fixture, struct http_exchange *exchange)
{
    assert_true(fixture->held_count < FIXTURE_HELD_MAX);
    fixture->held[fixture->held_count++] = exchange;
    http_exchange_on_abort(exchange, fixture_on_abort, fixture);
}

static inline void fixture_upgrade(struct fixture *fixture, struct http_exchange *exchange)
{
    http_respond_header(exchange, "Upgrade", STR("test"));
    fixture->upgraded = http_respond_upgrade(exchange, &fixture->early, &fixture->early_len);
    if (fixture->upgraded)
        stream_set_events(fixture->upgraded, &(struct stream_events){0}, NULL);
}

static inline void fixture_on_request(void *user, struct http_exchange *exchange)
{
    struct fixture *fixture = user;
    struct str path = http_exchange_request(exchange)->path;
    fixture->requests++;
    if (str_eq(path, STR("/hold"))) {
        fixture_hold(fixture, exchange);
    } else if (str_eq(path, STR("/stream"))) {
        http_respond_begin(exchange, 200, "text/event-stream");
        http_respond_on_drain(exchange, fixture_on_drain, fixture);
        fixture_hold(fixture, exchange);
    } else if (str_eq(path, STR("/static"))) {
        http_respond_static(exchange, 200, NULL,
                            STR_FROM(fixture->static_body, FIXTURE_STATIC_BYTES));
    } else if (str_eq(path, STR("/upgrade"))) {
        fixture_upgrade(fixture, exchange);
    } else if (str_eq(path, STR("/204"))) {
        http_respond(exchange, 204, NULL, STR(""));
    } else if (str_eq(path, STR("/304"))) {
        http_respond_begin(exchange, 304, NULL);
        http_respond_write(exchange, STR("never seen"));
        http_respond_end(exchange);
    } else if (str_eq(path, STR("/break"))) {
        http_respond_begin(exchange, 200, NULL);
        http_respond_write(exchange, STR("half"));
        http_respond_break(exchange);
    } else {
        http_respond(exchange, 200, "text/plain", fixture_describe(exchange));
    }
}

static inline void fixture_on_refuse(void *user, struct http_exchange *exchange,
                                     const struct error *error)
{
    struct fixture *fixture = user;
    fixture->refusals++;
    fixture->refused = error->code;
    str_copy(str_from_cstr(error->field), fixture->refused_field, sizeof fixture->refused_field);
    http_respond(exchange, err_info(error->code)->http_status, "text/plain",
                 str_from_cstr(error_message(error)));
}

/* A connected client; the server has the other end. */
static inline int fixture_connect(struct fixture *fixture)
{
    int pair[2];
    assert_return_code(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), errno);
    helper_nonblock(pair[0]);
    helper_nonblock(pair[1]);
    http_server_accept(fixture->server, pair[1], NULL);
    return pair[0];
}

static inline void fixture_init(struct fixture *fixture, const struct http_server_options *options)
{
    *fixture = (struct fixture){.body_limit = 1024 * 1024};
    fixture->loop = loop_new(0, NULL);
    struct http_server_handler handler = {fixture_body_limit, fixture_on_request, fixture_on_refuse,
                                          fixture};
    fixture->server = http_server_new(fixture->loop, options, &handler);
    buf_init(&fixture->got, 64 * 1024 * 1024);
    fixture->static_body = malloc(FIXTURE_STATIC_BYTES);
    for (size_t i = 0; i < FIXTURE_STATIC_BYTES; i++)
        fixture->static_body[i] = (char)('a' + i * i % 23);
    helper_turn(fixture->loop); /* timeouts count from now */
    fixture->fd = fixture_connect(fixture);
}

static inline void fixture_done(struct fixture *fixture)
{
    helper_close_fd(&fixture->fd);
    http_server_free(fixture->server);
    if (fixture->upgraded)
        stream_abort(fixture->upgraded);
    loop_free(fixture->loop);
    buf_done(&fixture->got);
    free(fixture->static_body);
    free(fixture->early);
}

/* Another client in place of the last. */
static inline void fixture_reconnect(struct fixture *fixture)
{
    helper_close_fd(&fixture->fd);
    buf_clear(&fixture->got);
    fixture->at_end = fixture->was_reset = false;
    fixture->refused = ERR_OK;
    fixture->fd = fixture_connect(fixture);
}

/* What has arrived so far goes to fixture->got. */
static inline bool fixture_read(struct fixture *fixture)
{
    char bytes[65536];
    ssize_t count;
    while (!fixture->at_end && (count = recv(fixture->fd, bytes, sizeof bytes, 0)) != -1) {
        fixture->at_end = count == 0;
        buf_append(&fixture->got, STR_FROM(bytes, (size_t)count));
    }
    if (!fixture->at_end && errno != EAGAIN)
        fixture->at_end = fixture->was_reset = true;
    return true;
}

/* Sends all of it, turning the loop while the socket is full. Stops when the server has left. */
static inline void fixture_send(struct fixture *fixture, struct str bytes)
{
    while (bytes.len) {
        ssize_t count = send(fixture->fd, bytes.data, bytes.len, MSG_NOSIGNAL);
        if (count < 0 && errno != EAGAIN)
            return;
        if (count > 0)
            bytes = str_skip(bytes, (size_t)count);
        else
            helper_turn(fixture->loop);
    }
}

static inline void fixture_send_text(struct fixture *fixture, const char *text)
{
    fixture_send(fixture, str_from_cstr(text));
}

static inline bool fixture_got(struct fixture *fixture, const char *needle)
{
    fixture_read(fixture);
    return str_find(buf_str(&fixture->got), str_from_cstr(needle)) != SIZE_MAX;
}

/* Turns until the client has received `text`. */
#define EXPECT(fixture, text) TURN_UNTIL((fixture)->loop, fixture_got((fixture), (text)))
#define EXPECT_END(fixture)   TURN_UNTIL((fixture)->loop, fixture_read(fixture) && (fixture)->at_end)

/* A few turns in which nothing more is expected to happen. */
static inline void fixture_settle(struct fixture *fixture)
{
    for (int i = 0; i < 6; i++)
        helper_turn(fixture->loop);
    fixture_read(fixture);
}

/* Whether a whole response with Content-Length came; takes it out: status and body. */
static inline bool fixture_take(struct fixture *fixture, int *ret_status, struct buf *ret_body)
{
    fixture_read(fixture);
    struct str all = buf_str(&fixture->got);
    size_t head = str_find(all, STR("\r\n\r\n"));
    if (head == SIZE_MAX)
        return false;
    struct str field = STR("Content-Length: ");
    size_t at = str_find(STR_FROM(all.data, head), field);
    struct str number = str_skip(all, at + field.len);
    uint64_t length = 0;
    if (at != SIZE_MAX)
        assert_true(str_to_u64(str_slice(number, 0, str_find_char(number, '\r')), &length));
    if (all.len < head + 4 + length)
        return false;
    uint64_t status;
    assert_true(str_starts_with(all, STR("HTTP/1.1 ")));
    assert_true(str_to_u64(str_slice(all, 9, 3), &status));
    *ret_status = (int)status;
    buf_clear(ret_body);
    buf_append(ret_body, str_slice(all, head + 4, (size_t)length));
    buf_consume(&fixture->got, head + 4 + (size_t)length);
    return true;
}

/* Waits for a response and asserts what it is. */
static inline void fixture_expect(struct fixture *fixture, int status, const char *body)
{
    int came = 0;
    struct buf got;
    buf_init(&got, 64 * 1024 * 1024);
    TURN_UNTIL(fixture->loop, fixture_take(fixture, &came, &got));
    assert_int_equal(came, status);
    if (body) {
        buf_append_char(&got, '\0');
        assert_string_equal(got.data, body);
    }
    buf_done(&got);
}
