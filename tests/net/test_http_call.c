/* One call in time: its timers, cancelling everywhere, back-pressure both ways, TLS. */
#include "helper_call.h"
#include "helper_certificate.h"

static void finish(struct client_fixture *fixture)
{
    TURN_UNTIL(fixture->loop, heard_call_over(&fixture->heard));
}

static void answer(struct client_fixture *fixture, int fd, const char *text)
{
    server_send(&fixture->server, fd, str_from_cstr(text));
}

static void expect_error(struct client_fixture *fixture, enum err code, const char *part)
{
    finish(fixture);
    assert_int_equal(fixture->heard.errors, 1);
    assert_int_equal(fixture->heard.error.code, code);
    assert_non_null(strstr(fixture->heard.error.message, part));
}

static void expect_body(struct client_fixture *fixture, const char *body)
{
    assert_true(str_eq(buf_str(&fixture->heard.body), str_from_cstr(body)));
}

static void turns(struct client_fixture *fixture, int count)
{
    for (int i = 0; i < count; i++)
        helper_turn(fixture->loop);
}

static int heard_events_count(const struct heard_call *heard)
{
    return heard->headers + heard->bodies + heard->dones + heard->errors;
}

/* ---- Timers ---------------------------------------------------------------------------------- */

static void test_connect_timeout(void **state)
{
    struct client_fixture *fixture = *state;
    char proxy[64];
    snprintf(proxy, sizeof proxy, "http://127.0.0.1:%u", fixture->server.port);
    client_fixture_make(fixture,
                        &(struct http_client_options){.https_proxy = str_from_cstr(proxy)});
    struct http_call_request request = {.url = STR("https://api.example/"),
                                        .connect_timeout_ms = 30};
    client_start(fixture, &fixture->heard, &request);
    int fd = server_accept(&fixture->server); /* a proxy that says nothing */
    expect_error(fixture, ERR_TIMEOUT, "api.example: connect timeout");
    server_wait_end(&fixture->server, fd);
    helper_close_fd(&fd);
}

static void test_headers_timeout(void **state)
{
    struct client_fixture *fixture = *state;
    static const char *const partial[] = {"", "HTTP/1.1 100 Continue\r\n\r\n",
                                          "HTTP/1.1 200 OK\r\nA: b\r\n"};
    for (int i = 0; i < 3; i++) {
        struct http_call_request request = {.url = str_from_cstr(fixture->url),
                                            .headers_timeout_ms = 30};
        client_start(fixture, &fixture->heard, &request);
        int fd = client_accept(fixture, 0);
        answer(fixture, fd, partial[i]);
        expect_error(fixture, ERR_TIMEOUT, "headers timeout");
        assert_true(fixture->heard.timing.request_sent);
        assert_null(strstr(fixture->heard.error.message, "query"));
        server_wait_end(&fixture->server, fd);
        helper_close_fd(&fd);
    }
}

static void test_headers_timeout_ends_with_headers(void **state)
{
    struct client_fixture *fixture = *state;
    struct http_call_request request = {
        .url = str_from_cstr(fixture->url), .headers_timeout_ms = 60, .total_timeout_ms = 150};
    client_start(fixture, &fixture->heard, &request);
    int fd = client_accept(fixture, 0);
    answer(fixture, fd, "HTTP/1.1 200 OK\r\n\r\npart");
    expect_error(fixture, ERR_TIMEOUT, "total timeout");
    expect_body(fixture, "part");
    helper_close_fd(&fd);
}

static void test_total_timeout_while_connecting(void **state)
{
    struct client_fixture *fixture = *state;
    char proxy[64];
    snprintf(proxy, sizeof proxy, "http://127.0.0.1:%u", fixture->server.port);
    client_fixture_make(fixture,
                        &(struct http_client_options){.https_proxy = str_from_cstr(proxy)});
    struct http_call_request request = {.url = STR("https://api.example/"), .total_timeout_ms = 30};
    client_start(fixture, &fixture->heard, &request);
    expect_error(fixture, ERR_TIMEOUT, "total timeout");
}

static void test_no_timer_outlives_the_call(void **state)
{
    struct client_fixture *fixture = *state;
    struct http_call_request request = {.url = str_from_cstr(fixture->url),
                                        .connect_timeout_ms = 10000,
                                        .headers_timeout_ms = 20,
                                        .total_timeout_ms = 20};
    client_start(fixture, &fixture->heard, &request);
    http_call_cancel(fixture->heard.call);
    uint64_t until = clock_monotonic_ms() + 40;
    TURN_UNTIL(fixture->loop, clock_monotonic_ms() > until);
    assert_int_equal(heard_events_count(&fixture->heard), 0);
}

/* ---- Cancelling ------------------------------------------------------------------------------ */

static void test_cancel_while_connecting(void **state)
{
    struct client_fixture *fixture = *state;
    for (int count = 0; count < 2; count++) {
        client_get(fixture);
        turns(fixture, count);
        http_call_cancel(fixture->heard.call);
        turns(fixture, 3);
        assert_int_equal(heard_events_count(&fixture->heard), 0);
    }
}

static void test_cancel_while_waiting(void **state)
{
    struct client_fixture *fixture = *state;
    int fd = client_get_accept(fixture);
    http_call_cancel(fixture->heard.call);
    server_wait_end(&fixture->server, fd); /* that is how the provider learns of it */
    assert_int_equal(heard_events_count(&fixture->heard), 0);
    helper_close_fd(&fd);
}

static void test_cancel_in_body(void **state)
{
    struct client_fixture *fixture = *state;
    int fd = client_get_accept(fixture);
    answer(fixture, fd, "HTTP/1.1 200 OK\r\n\r\npart");
    TURN_UNTIL(fixture->loop, fixture->heard.bodies);
    int before = heard_events_count(&fixture->heard);
    http_call_cancel(fixture->heard.call);
    (void)!send(fd, "more", 4, MSG_NOSIGNAL);
    turns(fixture, 3);
    assert_int_equal(heard_events_count(&fixture->heard), before);
    helper_close_fd(&fd);
}

static void test_cancel_inside_events(void **state)
{
    struct client_fixture *fixture = *state;
    for (int where = 0; where < 3; where++) {
        int fd = client_get_accept(fixture);
        if (where == 0)
            fixture->heard.at_headers = ACTION_CANCEL;
        else if (where == 1)
            fixture->heard.at_body = ACTION_CANCEL;
        else
            fixture->heard.at_end = ACTION_CANCEL; /* too late: nothing happens */
        answer(fixture, fd,
               "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
               "1\r\na\r\n1\r\nb\r\n0\r\n\r\n");
        TURN_UNTIL(fixture->loop, where == 2 ? fixture->heard.dones
                                             : fixture->heard.headers + fixture->heard.bodies);
        turns(fixture, 3);
        assert_int_equal(fixture->heard.bodies, where > 0);
        assert_int_equal(fixture->heard.dones, where == 2);
        if (where < 2)
            server_wait_end(&fixture->server, fd);
        helper_close_fd(&fd);
        turns(fixture, 2);
    }
}

static void test_cancel_inside_error(void **state)
{
    struct client_fixture *fixture = *state;
    server_close(&fixture->server);
    client_get(fixture);
    fixture->heard.at_end = ACTION_CANCEL;
    finish(fixture);
    assert_int_equal(fixture->heard.errors, 1);
}

static void test_cancel_head_inside_headers(void **state)
{
    struct client_fixture *fixture = *state;
    struct http_call_request request = {.method = HTTP_HEAD, .url = str_from_cstr(fixture->url)};
    client_start(fixture, &fixture->heard, &request);
    int fd = client_accept(fixture, 0);
    fixture->heard.at_headers = ACTION_CANCEL;
    answer(fixture, fd, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n");
    TURN_UNTIL(fixture->loop, fixture->heard.headers);
    turns(fixture, 2);
    assert_int_equal(fixture->heard.dones, 0);
    helper_close_fd(&fd);
}

/* ---- Pause and resume ------------------------------------------------------------------------ */

static void resume_until_done(struct client_fixture *fixture, int expected_bodies)
{
    for (int i = 0; i < expected_bodies; i++) {
        assert_int_equal(fixture->heard.bodies, i);
        assert_int_equal(fixture->heard.dones, 0);
        http_call_resume(fixture->heard.call);
        assert_int_equal(fixture->heard.bodies, i); /* resume itself says nothing */
        turns(fixture, 3);
    }
    assert_int_equal(fixture->heard.bodies, expected_bodies);
    assert_int_equal(fixture->heard.dones, 0); /* paused in the last of the body */
    http_call_resume(fixture->heard.call);
    finish(fixture);
}

static void test_pause_steps_through_an_answer(void **state)
{
    struct client_fixture *fixture = *state;
    for (int close = 0; close < 3; close++) {
        int fd = client_get_accept(fixture);
        fixture->heard.at_headers = fixture->heard.at_body = ACTION_PAUSE;
        answer(fixture, fd,
               "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
               "1\r\na\r\n1\r\nb\r\n2\r\ncd\r\n0\r\n\r\n");
        if (close == 1)
            helper_close_fd(&fd);
        if (close == 2)
            server_reset(&fd); /* after all of it was received */
        TURN_UNTIL(fixture->loop, fixture->heard.headers);
        turns(fixture, 3);
        resume_until_done(fixture, 1); /* what one read brings */
        assert_int_equal(fixture->heard.dones, 1);
        expect_body(fixture, "abcd");
        if (!close) {
            client_get(fixture); /* the connection is reading again */
            server_read_request(&fixture->server, fd, &fixture->request, 0);
            answer(fixture, fd, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
            helper_close_fd(&fd);
            finish(fixture);
            assert_true(fixture->heard.timing.reused);
        }
    }
}

static void test_pause_and_resume_inside_events(void **state)
{
    struct client_fixture *fixture = *state;
    int fd = client_get_accept(fixture);
    fixture->heard.at_headers = fixture->heard.at_body = fixture->heard.at_end =
        ACTION_PAUSE_RESUME;
    answer(fixture, fd,
           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n");
    finish(fixture);
    expect_body(fixture, "ab");
    assert_int_equal(fixture->heard.dones, 1);
    helper_close_fd(&fd);
}

/* Pausing holds the body back, not the headers. */
static void test_pause_before_headers(void **state)
{
    struct client_fixture *fixture = *state;
    client_get(fixture);
    http_call_pause(fixture->heard.call);
    int fd = client_accept(fixture, 0);
    answer(fixture, fd, "HTTP/1.1 200 OK\r\nContent-Le");
    turns(fixture, 2);
    answer(fixture, fd, "ngth: 2\r\n\r\nhi");
    TURN_UNTIL(fixture->loop, fixture->heard.headers);
    turns(fixture, 3);
    assert_int_equal(fixture->heard.bodies, 0);
    http_call_resume(fixture->heard.call);
    http_call_pause(fixture->heard.call); /* changed its mind */
    turns(fixture, 3);
    assert_int_equal(fixture->heard.bodies, 0);
    http_call_resume(fixture->heard.call);
    finish(fixture);
    expect_body(fixture, "hi");
    helper_close_fd(&fd);
}

static void test_pause_holds_the_server_back(void **state)
{
    struct client_fixture *fixture = *state;
    enum { MEGABYTES = 32 };
    int fd = client_get_accept(fixture);
    answer(fixture, fd, "HTTP/1.1 200 OK\r\n\r\n!");
    TURN_UNTIL(fixture->loop, fixture->heard.bodies);
    http_call_pause(fixture->heard.call);
    char *block = calloc(1, 65536);
    size_t sent = 0, stalls = 0;
    while (stalls < 20 && sent < (size_t)MEGABYTES << 20) {
        ssize_t got = send(fd, block, 65536, MSG_NOSIGNAL);
        sent += got > 0 ? (size_t)got : 0;
        stalls = got > 0 ? 0 : stalls + 1;
        helper_turn(fixture->loop);
    }
    assert_true(sent < (size_t)MEGABYTES << 20);
    assert_int_equal(fixture->heard.body.len, 1);
    http_call_resume(fixture->heard.call);
    TURN_UNTIL(fixture->loop, fixture->heard.body.len == sent + 1);
    helper_close_fd(&fd);
    finish(fixture);
    assert_int_equal(fixture->heard.dones, 1);
    free(block);
}

static void test_cut_while_paused(void **state)
{
    struct client_fixture *fixture = *state;
    int fd = client_get_accept(fixture);
    fixture->heard.at_headers = ACTION_PAUSE;
    answer(fixture, fd, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart");
    TURN_UNTIL(fixture->loop, fixture->heard.headers);
    server_reset(&fd);
    turns(fixture, 3);
    assert_int_equal(fixture->heard.errors, 0);
    http_call_resume(fixture->heard.call);
    expect_error(fixture, ERR_NETWORK, "reading the answer");
    expect_body(fixture, "part");
}

static void test_cancel_while_paused(void **state)
{
    struct client_fixture *fixture = *state;
    for (int resumed = 0; resumed < 2; resumed++) {
        int fd = client_get_accept(fixture);
        fixture->heard.at_headers = ACTION_PAUSE;
        answer(fixture, fd, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart");
        TURN_UNTIL(fixture->loop, fixture->heard.headers);
        if (resumed)
            http_call_resume(fixture->heard.call);
        http_call_cancel(fixture->heard.call);
        turns(fixture, 3);
        assert_int_equal(heard_events_count(&fixture->heard), 1);
        helper_close_fd(&fd);
    }
}

static void test_head_paused(void **state)
{
    struct client_fixture *fixture = *state;
    struct http_call_request request = {.method = HTTP_HEAD, .url = str_from_cstr(fixture->url)};
    client_start(fixture, &fixture->heard, &request);
    int fd = client_accept(fixture, 0);
    fixture->heard.at_headers = ACTION_PAUSE;
    answer(fixture, fd, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n");
    TURN_UNTIL(fixture->loop, fixture->heard.headers);
    turns(fixture, 2);
    assert_int_equal(fixture->heard.dones, 0);
    http_call_resume(fixture->heard.call);
    finish(fixture);
    assert_int_equal(fixture->heard.dones, 1);
    helper_close_fd(&fd);
}

/* ---- Uploads --------------------------------------------------------------------------------- */

enum { UPLOAD_BYTES = 12 * 1024 * 1024 };

/* A large upload, with whoever holds its bytes. */
static char *start_upload(struct client_fixture *fixture, uint64_t headers_timeout_ms)
{
    char *body = malloc(UPLOAD_BYTES);
    for (size_t i = 0; i < UPLOAD_BYTES; i++)
        body[i] = (char)(i * 31 / 7);
    struct http_call_request request = {.method = HTTP_POST,
                                        .url = str_from_cstr(fixture->url),
                                        .body = STR_FROM(body, UPLOAD_BYTES),
                                        .headers_timeout_ms = headers_timeout_ms};
    client_start(fixture, &fixture->heard, &request);
    return body;
}

static void test_large_upload(void **state)
{
    struct client_fixture *fixture = *state;
    char *body = start_upload(fixture, 5000);
    int fd = server_accept(&fixture->server);
    turns(fixture, 20);
    assert_false(http_call_timing(fixture->heard.call)->request_sent);
    server_read_request(&fixture->server, fd, &fixture->request, UPLOAD_BYTES);
    struct str got = buf_str(&fixture->request);
    assert_memory_equal(got.data + got.len - UPLOAD_BYTES, body, UPLOAD_BYTES);
    answer(fixture, fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    finish(fixture);
    assert_int_equal(fixture->heard.dones, 1);
    assert_true(fixture->heard.timing.request_sent);
    client_get(fixture);
    server_read_request(&fixture->server, fd, &fixture->request, 0);
    http_call_cancel(fixture->heard.call);
    helper_close_fd(&fd);
    free(body);
}

static void test_stalled_upload(void **state)
{
    struct client_fixture *fixture = *state;
    char *body = start_upload(fixture, 50);
    int fd = server_accept(&fixture->server);
    expect_error(fixture, ERR_TIMEOUT, "did not take the request");
    assert_false(fixture->heard.timing.request_sent);
    helper_close_fd(&fd);
    free(body);
}

static void test_answer_before_the_upload_ends(void **state)
{
    struct client_fixture *fixture = *state;
    char *body = start_upload(fixture, 5000);
    int fd = server_accept(&fixture->server);
    answer(fixture, fd, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
    finish(fixture);
    assert_int_equal(fixture->heard.dones, 1);
    assert_int_equal(fixture->heard.status, 413);
    assert_false(fixture->heard.timing.request_sent);
    assert_int_equal(fixture->heard.sents, 0); /* the rest of it was never read */
    server_wait_end(&fixture->server, fd);     /* not kept */
    helper_close_fd(&fd);
    free(body);
}

static void test_replay_of_a_large_upload(void **state)
{
    struct client_fixture *fixture = *state;
    int fd = client_get_accept(fixture);
    answer(fixture, fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    finish(fixture);
    char *body = start_upload(fixture, 5000);
    server_read_bytes(&fixture->server, fd, &fixture->request, 100000);
    assert_int_equal(fixture->heard.sents, 0);
    server_reset(&fd);
    fd = client_accept(fixture, UPLOAD_BYTES);
    assert_int_equal(fixture->heard.sents, 1);
    struct str got = buf_str(&fixture->request);
    assert_memory_equal(got.data + got.len - UPLOAD_BYTES, body, UPLOAD_BYTES);
    answer(fixture, fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    finish(fixture);
    assert_int_equal(fixture->heard.dones, 1);
    helper_close_fd(&fd);
    free(body);
}

/* A body that is overwritten as soon as its owner may: the server still gets what it was. */
static int post_overwritten(struct client_fixture *fixture, char *body, size_t bytes)
{
    char *copy = malloc(bytes);
    memset(body, 'b', bytes);
    memcpy(copy, body, bytes);
    struct http_call_request request = {
        .method = HTTP_POST, .url = str_from_cstr(fixture->url), .body = STR_FROM(body, bytes)};
    client_start(fixture, &fixture->heard, &request);
    fixture->heard.overwrite = body;
    fixture->heard.overwrite_bytes = bytes;
    int fd = client_accept(fixture, bytes);
    struct str got = buf_str(&fixture->request);
    assert_memory_equal(got.data + got.len - bytes, copy, bytes);
    free(copy);
    return fd;
}

static void test_body_goes_when_it_is_sent(void **state)
{
    struct client_fixture *fixture = *state;
    static char body[100000];
    for (size_t bytes = 1; bytes <= sizeof body; bytes *= 10) {
        int fd = post_overwritten(fixture, body, bytes);
        assert_int_equal(fixture->heard.sents, 1); /* long before there is an answer */
        assert_int_equal(fixture->heard.headers, 0);
        answer(fixture, fd, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        finish(fixture);
        assert_int_equal(fixture->heard.dones, 1);
        helper_close_fd(&fd);
    }
}

/* On a kept connection it may have to be sent again, until the first byte of an answer. */
static void test_body_on_a_kept_connection_goes_with_the_answer(void **state)
{
    struct client_fixture *fixture = *state;
    int fd = client_get_accept(fixture);
    answer(fixture, fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    finish(fixture);
    struct http_call_request request = {
        .method = HTTP_POST, .url = str_from_cstr(fixture->url), .body = STR("body")};
    client_start(fixture, &fixture->heard, &request);
    server_read_request(&fixture->server, fd, &fixture->request, 4);
    turns(fixture, 3);
    assert_int_equal(fixture->heard.sents, 0);
    answer(fixture, fd, "H");
    TURN_UNTIL(fixture->loop, fixture->heard.sents);
    assert_int_equal(fixture->heard.headers, 0);
    answer(fixture, fd, "TTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    finish(fixture);
    assert_int_equal(fixture->heard.dones, 1);
    helper_close_fd(&fd);
}

/* ---- TLS ------------------------------------------------------------------------------------- */

/* A TLS server of one connection: a stream on the same loop. */
struct tls_server {
    struct helper_authority authority;
    struct tls_context *context;
    struct heard heard;
};

static void tls_server_init(struct client_fixture *fixture, struct tls_server *server,
                            const char *alternatives)
{
    char certificate[PATH_MAX], key[PATH_MAX], roots[PATH_MAX];
    helper_authority_init(&server->authority);
    helper_issue(&server->authority, "server", alternatives, -3600, 3600);
    assert_int_equal(
        tls_context_new_server(helper_path(&server->authority, "server.pem", certificate),
                               helper_path(&server->authority, "server.key", key), &server->context,
                               NULL),
        ERR_OK);
    heard_init(&server->heard);
    client_fixture_make(fixture, &(struct http_client_options){
                                     .ca_path = helper_path(&server->authority, "ca.pem", roots)});
    snprintf(fixture->url, sizeof fixture->url, "https://127.0.0.1:%u/path?query",
             fixture->server.port);
}

static void tls_server_accept(struct client_fixture *fixture, struct tls_server *server)
{
    int fd = server_accept(&fixture->server);
    server->heard.stream =
        stream_accept(fixture->loop, fd, server->context, &heard_events, &server->heard);
}

static void tls_server_done(struct tls_server *server)
{
    if (server->heard.stream && !server->heard.closes)
        stream_abort(server->heard.stream);
    buf_done(&server->heard.data);
    tls_context_unref(server->context);
    helper_authority_done(&server->authority);
}

static void test_tls(void **state)
{
    struct client_fixture *fixture = *state;
    struct tls_server server = {0};
    tls_server_init(fixture, &server, "IP:127.0.0.1");
    for (int i = 0; i < 2; i++) {
        client_get(fixture);
        if (i == 0)
            tls_server_accept(fixture, &server);
        TURN_UNTIL(fixture->loop, server.heard.data.len);
        assert_true(str_starts_with(buf_str(&server.heard.data), STR("GET /path?query HTTP/1.1")));
        buf_clear(&server.heard.data);
        static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret";
        stream_write(server.heard.stream, text, sizeof text - 1);
        finish(fixture);
        assert_string_equal(fixture->heard.error.message, "");
        expect_body(fixture, "secret");
        assert_int_equal(fixture->heard.timing.reused, i);
    }
    tls_server_done(&server);
}

static void test_tls_wrong_name(void **state)
{
    struct client_fixture *fixture = *state;
    struct tls_server server = {0};
    tls_server_init(fixture, &server, "DNS:other.example");
    client_get(fixture);
    tls_server_accept(fixture, &server);
    expect_error(fixture, ERR_NETWORK, "127.0.0.1: the TLS handshake failed");
    assert_int_equal(server.heard.data.len, 0); /* nothing was sent to a stranger */
    tls_server_done(&server);
}

static void test_tls_not_spoken(void **state)
{
    struct client_fixture *fixture = *state;
    struct tls_server server = {0};
    tls_server_init(fixture, &server, "IP:127.0.0.1");
    client_get(fixture);
    int fd = server_accept(&fixture->server);
    answer(fixture, fd, "HTTP/1.1 400 Bad Request\r\n\r\n");
    expect_error(fixture, ERR_NETWORK, "TLS handshake");
    helper_close_fd(&fd);
    tls_server_done(&server);
}

/* Longer than the others' 30 ms: the trust store is loaded within it, which takes a while under a
 * sanitizer. */
static void test_tls_timeout(void **state)
{
    struct client_fixture *fixture = *state;
    struct tls_server server = {0};
    tls_server_init(fixture, &server, "IP:127.0.0.1");
    struct http_call_request request = {.url = str_from_cstr(fixture->url),
                                        .connect_timeout_ms = 1000};
    client_start(fixture, &fixture->heard, &request);
    int fd = server_accept(&fixture->server);
    expect_error(fixture, ERR_TIMEOUT, "TLS handshake");
    helper_close_fd(&fd);
    tls_server_done(&server);
}

/* A body up to the end of the connection needs close_notify: a cut must not pass for an end. */
static void test_tls_cut(void **state)
{
    struct client_fixture *fixture = *state;
    struct tls_server server = {0};
    static const char text[] = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\npart";
    tls_server_init(fixture, &server, "IP:127.0.0.1");
    for (int orderly = 0; orderly < 2; orderly++) {
        client_get(fixture);
        tls_server_accept(fixture, &server);
        TURN_UNTIL(fixture->loop, server.heard.data.len);
        stream_write(server.heard.stream, text, sizeof text - 1);
        TURN_UNTIL(fixture->loop, fixture->heard.bodies);
        if (orderly)
            stream_close(server.heard.stream);
        else
            stream_abort(server.heard.stream);
        finish(fixture);
        assert_int_equal(fixture->heard.dones, orderly);
        buf_clear(&server.heard.data);
    }
    TURN_UNTIL(fixture->loop, server.heard.closes);
    tls_server_done(&server);
}

/* The whole way: CONNECT through a proxy, which this test plays, then TLS inside the tunnel. */
static void test_tls_through_proxy(void **state)
{
    struct client_fixture *fixture = *state;
    struct tls_server server = {0};
    char proxy[64], roots[PATH_MAX];
    tls_server_init(fixture, &server, "DNS:api.example");
    snprintf(proxy, sizeof proxy, "http://127.0.0.1:%u", fixture->server.port);
    client_fixture_make(fixture, &(struct http_client_options){
                                     .ca_path = helper_path(&server.authority, "ca.pem", roots),
                                     .https_proxy = str_from_cstr(proxy)});
    strcpy(fixture->url, "https://api.example/path?query");
    int fd = client_get_accept(fixture);
    assert_true(str_starts_with(buf_str(&fixture->request), STR("CONNECT api.example:443 ")));
    static const char reply[] = "HTTP/1.1 200 Connection established\r\n\r\n";
    assert_int_equal(send(fd, reply, sizeof reply - 1, MSG_NOSIGNAL), sizeof reply - 1);
    server.heard.stream =
        stream_accept(fixture->loop, fd, server.context, &heard_events, &server.heard);
    TURN_UNTIL(fixture->loop, server.heard.data.len);
    assert_true(str_eq(buf_str(&server.heard.data),
                       STR("GET /path?query HTTP/1.1\r\nHost: api.example\r\n\r\n")));
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    stream_write(server.heard.stream, text, sizeof text - 1);
    finish(fixture);
    expect_body(fixture, "ok");
    tls_server_done(&server);
}

/* ---- Draining: nothing is heard any more, the rest is read -----------------------------------
 */

static void test_drain_keeps_the_connection(void **state)
{
    struct client_fixture *fixture = *state;
    int fd = client_get_accept(fixture);
    server_send(&fixture->server, fd, STR("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc"));
    TURN_UNTIL(fixture->loop, fixture->heard.bodies == 1);
    http_call_pause(fixture->heard.call); /* also one that is held back */
    http_call_drain(fixture->heard.call, 5000);
    server_send(&fixture->server, fd, STR("def"));
    for (int i = 0; i < 3; i++)
        helper_turn(fixture->loop);
    assert_int_equal(fixture->heard.bodies, 1);
    assert_int_equal(fixture->heard.dones + fixture->heard.errors, 0);
    client_get(fixture);
    server_read_request(&fixture->server, fd, &fixture->request, 0); /* on the same one */
    server_send(&fixture->server, fd, STR("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    TURN_UNTIL(fixture->loop, heard_call_over(&fixture->heard));
    assert_true(fixture->heard.timing.reused);
    close(fd);
}

static void test_drain_has_its_time(void **state)
{
    struct client_fixture *fixture = *state;
    int fd = client_get_accept(fixture);
    server_send(&fixture->server, fd, STR("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc"));
    TURN_UNTIL(fixture->loop, fixture->heard.bodies == 1);
    http_call_drain(fixture->heard.call, 10);
    server_wait_end(&fixture->server, fd);
    close(fd);
    fd = client_get_accept(fixture); /* before any answer it is a cancel */
    http_call_drain(fixture->heard.call, 5000);
    server_wait_end(&fixture->server, fd);
    close(fd);
    fd = client_get_accept(fixture); /* and the client's end is its end */
    server_send(&fixture->server, fd, STR("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc"));
    TURN_UNTIL(fixture->loop, fixture->heard.bodies == 1);
    http_call_drain(fixture->heard.call, 5000);
    client_fixture_make(fixture, &(struct http_client_options){0});
    server_wait_end(&fixture->server, fd);
    assert_int_equal(fixture->heard.dones + fixture->heard.errors, 0);
    close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, client_setup, client_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_connect_timeout),
        TEST(test_headers_timeout),
        TEST(test_headers_timeout_ends_with_headers),
        TEST(test_total_timeout_while_connecting),
        TEST(test_no_timer_outlives_the_call),
        TEST(test_cancel_while_connecting),
        TEST(test_cancel_while_waiting),
        TEST(test_cancel_in_body),
        TEST(test_cancel_inside_events),
        TEST(test_cancel_inside_error),
        TEST(test_cancel_head_inside_headers),
        TEST(test_pause_steps_through_an_answer),
        TEST(test_pause_and_resume_inside_events),
        TEST(test_pause_before_headers),
        TEST(test_pause_holds_the_server_back),
        TEST(test_cut_while_paused),
        TEST(test_cancel_while_paused),
        TEST(test_head_paused),
        TEST(test_large_upload),
        TEST(test_stalled_upload),
        TEST(test_answer_before_the_upload_ends),
        TEST(test_replay_of_a_large_upload),
        TEST(test_body_goes_when_it_is_sent),
        TEST(test_body_on_a_kept_connection_goes_with_the_answer),
        TEST(test_drain_keeps_the_connection),
        TEST(test_drain_has_its_time),
        TEST(test_tls),
        TEST(test_tls_wrong_name),
        TEST(test_tls_not_spoken),
        TEST(test_tls_timeout),
        TEST(test_tls_cut),
        TEST(test_tls_through_proxy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
