/* The WebSocket handshake: which requests ask for one, from which origins, and a whole one through
 * the HTTP server. */
#include <stdlib.h>

#include "helper_loop.h"
#include "net/http_server.h"
#include "net/websocket.h"

struct fixture {
    struct loop *loop;
    struct http_server *server;
    struct websocket *websocket;
    int client;
    struct buf received;
    struct buf last;
    int messages, closes;
};

#define KEY "dGhlIHNhbXBsZSBub25jZQ==" /* and its answer: RFC 6455 section 1.3 */

static struct http_request request_of(struct http_header *headers, size_t count)
{
    return (struct http_request){
        .method = HTTP_GET, .path = STR("/ws"), .headers = {.items = headers, .count = count}};
}

static void test_is_upgrade(void **state)
{
    (void)state;
    struct http_header headers[] = {{STR("Connection"), STR("keep-alive, Upgrade")},
                                    {STR("Upgrade"), STR("WebSocket")},
                                    {STR("Sec-WebSocket-Version"), STR("13")},
                                    {STR("Sec-WebSocket-Key"), STR(KEY)}};
    struct http_request request = request_of(headers, 4);
    assert_true(websocket_is_upgrade(&request));
    request.method = HTTP_POST;
    assert_false(websocket_is_upgrade(&request));
    request.method = HTTP_GET;
    const struct http_header wrong[] = {{STR("Connection"), STR("keep-alive")},
                                        {STR("Upgrade"), STR("h2c")},
                                        {STR("Sec-WebSocket-Version"), STR("8")},
                                        {STR("Sec-WebSocket-Key"), STR("dG9vIHNob3J0")}};
    for (size_t i = 0; i < 4; i++) {
        struct http_header right = headers[i];
        headers[i] = wrong[i];
        assert_false(websocket_is_upgrade(&request));
        headers[i] = right;
        request.headers.count = i; /* and without it */
        assert_false(websocket_is_upgrade(&request));
        request.headers.count = 4;
    }
    headers[3].value = STR("!!!!!!!!!!!!!!!!!!!!!!==");
    assert_false(websocket_is_upgrade(&request));
}

static void test_origin(void **state)
{
    (void)state;
    static const struct {
        const char *origin, *allowed;
        bool is_tls, expected;
    } rows[] = {
        {"http://chat.test:8080", "", false, true},
        {"HTTP://Chat.test:8080", "", false, true},
        {"https://chat.test:8080", "", false, false},
        {"https://chat.test:8080", "", true, true},
        {"http://chat.test", "", false, false},
        {"http://evil.test", "", false, false},
        {"http://chat.test:8080.evil.test", "", false, false},
        {"null", "", false, false},
        {"", "", false, false},
        {"https://app.test", "https://other.test, https://app.test", false, true},
        {"https://app.test.evil", "https://app.test", false, false},
        {"", ",,", false, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct http_header headers[] = {{STR("Host"), STR("chat.test:8080")},
                                        {STR("Origin"), str_from_cstr(rows[i].origin)}};
        struct http_request request = request_of(headers, 2);
        request.is_tls = rows[i].is_tls;
        assert_int_equal(websocket_origin_ok(&request, str_from_cstr(rows[i].allowed)),
                         rows[i].expected);
    }
    struct http_header host = {STR("Host"), STR("chat.test:8080")};
    struct http_request request = request_of(&host, 1); /* no browser */
    assert_true(websocket_origin_ok(&request, STR_NONE));
    struct http_header origin = {STR("Origin"), STR("http://")};
    request = request_of(&origin, 1); /* no host to be the same as */
    assert_false(websocket_origin_ok(&request, STR_NONE));
}

static void test_accept_key(void **state)
{
    (void)state;
    char answer[29];
    websocket_accept_key(STR(KEY), answer);
    assert_string_equal(answer, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

/* ---- Through the HTTP server ----------------------------------------------------------------- */

static void on_message(void *user, struct str text)
{
    struct fixture *fixture = user;
    fixture->messages++;
    buf_clear(&fixture->last);
    buf_append(&fixture->last, text);
    websocket_send(fixture->websocket, text);
}

static void on_close(void *user, uint16_t code)
{
    struct fixture *fixture = user;
    (void)code;
    fixture->closes++;
    fixture->websocket = NULL;
}

static uint64_t body_limit(void *user, struct http_exchange *exchange)
{
    (void)user, (void)exchange;
    return 0;
}

static void on_request(void *user, struct http_exchange *exchange)
{
    static const struct websocket_options options;
    static const struct websocket_events events = {.on_message = on_message, .on_close = on_close};
    struct fixture *fixture = user;
    assert_true(websocket_is_upgrade(http_exchange_request(exchange)));
    fixture->websocket = websocket_accept(exchange, "parley.v1", &options, &events, fixture);
    assert_non_null(fixture->websocket);
}

static void on_refuse(void *user, struct http_exchange *exchange, const struct error *error)
{
    (void)user, (void)error;
    http_respond(exchange, 400, NULL, STR_NONE);
}

static bool has_received(struct fixture *fixture, struct str text)
{
    char *room = buf_reserve(&fixture->received, 4096);
    ssize_t got = read(fixture->client, room, 4096);
    if (got > 0)
        buf_commit(&fixture->received, (size_t)got);
    return str_find_nocase(buf_str(&fixture->received), text) != SIZE_MAX;
}

/* The request, a whole message and half of another arrive at once. */
static void test_whole_handshake(void **state)
{
    (void)state;
    struct fixture fixture = {.loop = loop_new(0, NULL)};
    const struct http_server_options options = {0};
    const struct http_server_handler handler = {body_limit, on_request, on_refuse, &fixture};
    int fds[2];
    buf_init(&fixture.received, 1 << 16);
    buf_init(&fixture.last, 1 << 16);
    fixture.server = http_server_new(fixture.loop, &options, &handler);
    assert_return_code(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), errno);
    fixture.client = fds[1];
    helper_nonblock(fds[1]);
    http_server_accept(fixture.server, fds[0], NULL);
    struct str request = STR("GET /ws HTTP/1.1\r\nHost: chat.test\r\nConnection: Upgrade\r\n"
                             "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                             "Sec-WebSocket-Key: " KEY "\r\n\r\n"
                             "\x81\x85\0\0\0\0hello\x81\x85\0\0");
    assert_int_equal(write(fixture.client, request.data, request.len), request.len);
    TURN_UNTIL(fixture.loop, has_received(&fixture, STR("\x81\x05hello")));
    assert_true(has_received(&fixture, STR("HTTP/1.1 101 ")));
    assert_true(has_received(&fixture, STR("Connection: upgrade\r\n")));
    assert_true(has_received(&fixture, STR("Upgrade: websocket\r\n")));
    assert_true(
        has_received(&fixture, STR("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n")));
    assert_true(has_received(&fixture, STR("Sec-WebSocket-Protocol: parley.v1\r\n")));
    assert_int_equal(http_server_connection_count(fixture.server), 0);
    assert_int_equal(write(fixture.client, "\0\0again", 7), 7);
    TURN_UNTIL(fixture.loop, has_received(&fixture, STR("\x81\x05"
                                                        "again")));
    assert_int_equal(fixture.messages, 2);
    close(fixture.client);
    TURN_UNTIL(fixture.loop, fixture.closes);
    http_server_free(fixture.server);
    loop_free(fixture.loop);
    buf_done(&fixture.received);
    buf_done(&fixture.last);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_is_upgrade),
        cmocka_unit_test(test_origin),
        cmocka_unit_test(test_accept_key),
        cmocka_unit_test(test_whole_handshake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
