/* The HTTP client against a raw socket: requests, framings, keep-alive and replay, refusals. What
 * has to do with time and back-pressure is in test_http_call.c. */
#include "helper_call.h"

static const char OK_EMPTY[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

static void finish(struct client_fixture *fixture)
{
    TURN_UNTIL(fixture->loop, heard_call_over(&fixture->heard));
}

static void answer(struct client_fixture *fixture, int fd, const char *text)
{
    server_send(&fixture->server, fd, str_from_cstr(text));
}

static void expect_done(struct client_fixture *fixture, const char *body)
{
    finish(fixture);
    assert_string_equal(fixture->heard.error.message, "");
    assert_int_equal(fixture->heard.dones, 1);
    assert_true(str_eq(buf_str(&fixture->heard.body), str_from_cstr(body)));
}

static void expect_error(struct client_fixture *fixture, enum err code)
{
    finish(fixture);
    assert_int_equal(fixture->heard.errors, 1);
    assert_int_equal(fixture->heard.error.code, code);
    assert_null(strstr(fixture->heard.error.message, "query"));
}

__attribute__((format(printf, 2, 3))) static void expect_request(struct client_fixture *fixture,
                                                                 const char *format, ...)
{
    char expected[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(expected, sizeof expected, format, arguments);
    va_end(arguments);
    struct str got = buf_str(&fixture->request);
    assert_int_equal(got.len, strlen(expected));
    assert_memory_equal(got.data, expected, got.len);
}

/* One kept connection, whose server's end is returned. */
static int keep_one(struct client_fixture *fixture)
{
    int fd = client_get_accept(fixture);
    answer(fixture, fd, OK_EMPTY);
    expect_done(fixture, "");
    return fd;
}

/* ---- Requests -------------------------------------------------------------------------------- */

static void test_get(void **state)
{
    struct client_fixture *fixture = *state;
    int fd = client_get_accept(fixture);
    expect_request(fixture, "GET /path?query HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n",
                   fixture->server.port);
    answer(fixture, fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello");
    expect_done(fixture, "hello");
    assert_int_equal(fixture->heard.status, 200);
    assert_true(str_eq(buf_str(&fixture->heard.fields), STR("Content-Length=5|X-A=b|")));
    assert_false(fixture->heard.timing.reused);
    assert_true(fixture->heard.timing.request_sent);
    helper_close_fd(&fd);
}

static void test_post(void **state)
{
    struct client_fixture *fixture = *state;
    struct http_header headers[] = {{STR("Authorization"), STR("Bearer key")},
                                    {STR("X-Empty"), STR("")}};
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%u", fixture->server.port);
    struct http_call_request request = {.method = HTTP_POST,
                                        .url = str_from_cstr(url),
                                        .headers = {headers, 2, 2},
                                        .body = STR("{\"a\":1}")};
    client_start(fixture, &fixture->heard, &request);
    memset(url, 'x', sizeof url); /* url and headers are only read during the start */
    memset(headers, 0, sizeof headers);
    int fd = client_accept(fixture, 7);
    expect_request(fixture,
                   "POST / HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nAuthorization: Bearer key\r\n"
                   "X-Empty: \r\nContent-Length: 7\r\n\r\n{\"a\":1}",
                   fixture->server.port);
    answer(fixture, fd, OK_EMPTY);
    expect_done(fixture, "");
    helper_close_fd(&fd);
}

static void test_methods(void **state)
{
    struct client_fixture *fixture = *state;
    static const enum http_method methods[] = {HTTP_HEAD, HTTP_PUT, HTTP_PATCH, HTTP_DELETE,
                                               HTTP_OPTIONS};
    int fd = keep_one(fixture);
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        struct http_call_request request = {.method = methods[i],
                                            .url = str_from_cstr(fixture->url)};
        client_start(fixture, &fixture->heard, &request);
        server_read_request(&fixture->server, fd, &fixture->request, 0);
        assert_true(str_starts_with(buf_str(&fixture->request), http_method_name(methods[i])));
        bool has_length =
            str_find(buf_str(&fixture->request), STR("Content-Length: 0\r\n")) != SIZE_MAX;
        assert_int_equal(has_length, methods[i] == HTTP_PUT || methods[i] == HTTP_PATCH);
        answer(fixture, fd,
               methods[i] == HTTP_HEAD ? "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"
                                       : OK_EMPTY);
        expect_done(fixture, "");
        assert_true(fixture->heard.timing.reused);
    }
    helper_close_fd(&fd);
}

/* More addresses than are remembered, over and over: each call goes where its own URL says. */
static void test_many_urls(void **state)
{
    struct client_fixture *fixture = *state;
    int fd = keep_one(fixture);
    for (int i = 0; i < 3 * 80; i++) {
        snprintf(fixture->url, sizeof fixture->url, "http://127.0.0.1:%u/p%d?q=%d",
                 fixture->server.port, i % 80, i % 7 == 0);
        client_get(fixture);
        server_read_request(&fixture->server, fd, &fixture->request, 0);
        expect_request(fixture, "GET /p%d?q=%d HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", i % 80,
                       i % 7 == 0, fixture->server.port);
        answer(fixture, fd, OK_EMPTY);
        expect_done(fixture, "");
        assert_true(fixture->heard.timing.reused);
    }
    helper_close_fd(&fd);
}

static void test_unix_socket(void **state)
{
    struct client_fixture *fixture = *state;
    server_close(&fixture->server);
    server_listen_unix(&fixture->server, fixture->loop);
    static const char *const targets[][2] = {
        {":/api/x?y=1", "GET /api/x?y=1 HTTP/1.1\r\nHost: localhost\r\n\r\n"},
        {":", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"},
        {"", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"},
    };
    int fd = -1;
    for (int i = 0; i < 3; i++) {
        snprintf(fixture->url, sizeof fixture->url, "http://unix:%s%s", fixture->server.path,
                 targets[i][0]);
        client_get(fixture);
        if (i == 0)
            fd = server_accept(&fixture->server);
        server_read_request(&fixture->server, fd, &fixture->request, 0);
        expect_request(fixture, "%s", targets[i][1]);
        answer(fixture, fd, OK_EMPTY);
        expect_done(fixture, "");
        assert_int_equal(fixture->heard.timing.reused, i > 0);
    }
    helper_close_fd(&fd);
}

static void expect_refused(struct client_fixture *fixture, const struct http_call_request *request,
                           enum err expected)
{
    struct error error = {0};
    struct http_call *call = NULL;
    enum err code = http_call_start(fixture->client, request, &heard_call_events, &fixture->heard,
                                    &call, &error);
    assert_int_equal(code, expected);
    assert_null(call);
    assert_string_not_equal(error.message, "");
    assert_null(strstr(error.message, "hush"));
    helper_turn(fixture->loop);
    assert_int_equal(fixture->heard.errors + fixture->heard.headers, 0);
}

static void test_header_injection_refused(void **state)
{
    struct client_fixture *fixture = *state;
    static const struct http_header wrong[] = {
        {{"X", 1}, {"hush\r\nEvil: 1", 13}},
        {{"X", 1}, {"hush\nEvil", 9}},
        {{"X", 1}, {"hush\0", 5}},
        {{"X\r\nEvil", 7}, {"hush", 4}},
        {{"X Y", 3}, {"hush", 4}},
        {{"X:", 2}, {"hush", 4}},
        {{"", 0}, {"hush", 4}},
        {{"host", 4}, {"hush", 4}},
        {{"Content-Length", 14}, {"4", 1}},
        {{"CONNECTION", 10}, {"close", 5}},
        {{"Transfer-Encoding", 17}, {"chunked", 7}},
        {{"Proxy-Authorization", 19}, {"hush", 4}},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct http_header header = wrong[i];
        struct http_call_request request = {.url = str_from_cstr(fixture->url),
                                            .headers = {&header, 1, 1}};
        expect_refused(fixture, &request, ERR_INVALID);
    }
}

static void test_wrong_requests_refused(void **state)
{
    struct client_fixture *fixture = *state;
    static const char *const urls[] = {
        "",
        "ftp://a/hush",
        "http://u:hush@a/",
        "http://a/hush x",
        "http://a/hush\r\nX: 1",
        "http:///hush",
        "http://a:0/hush",
        "https://unix:/tmp/x:/hush",
        "http://unix:/tmp/x:hush",
        "http://unix:/"
        "0123456789012345678901234567890123456789012345678901234567890123456789"
        "0123456789012345678901234567890123456789:/hush",
    };
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct http_call_request request = {.url = str_from_cstr(urls[i])};
        expect_refused(fixture, &request, ERR_INVALID);
    }
    char *long_url = calloc(1, HTTP_TARGET_BYTES_MAX + 100);
    memset(long_url, 'x', HTTP_TARGET_BYTES_MAX + 99);
    memcpy(long_url, "http://a/?", 10);
    struct http_call_request request = {.url = str_from_cstr(long_url)};
    expect_refused(fixture, &request, ERR_TOO_BIG);
    free(long_url);
    request =
        (struct http_call_request){.url = str_from_cstr(fixture->url), .method = HTTP_METHOD_OTHER};
    expect_refused(fixture, &request, ERR_INVALID);
    struct http_header headers[HTTP_HEADER_COUNT_MAX + 1];
    for (size_t i = 0; i <= HTTP_HEADER_COUNT_MAX; i++)
        headers[i] = (struct http_header){STR("X"), STR("hush")};
    request = (struct http_call_request){.url = str_from_cstr(fixture->url),
                                         .headers = {headers, HTTP_HEADER_COUNT_MAX + 1, 0}};
    expect_refused(fixture, &request, ERR_TOO_BIG);
}

/* ---- Answers --------------------------------------------------------------------------------- */

struct framing {
    const char *bytes, *body;
    bool close; /* the server closes behind it */
    bool reusable;
};

static const struct framing framings[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", false, true},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\nT: "
     "x\r\n\r\n",
     "hello", false, true},
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "hi", false,
     true},
    {"HTTP/1.1 204 No Content\r\n\r\n", "", false, true},
    {"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", "", false, true},
    {"HTTP/1.1 200 OK\r\n\r\nuntil close", "until close", true, false},
    {"HTTP/1.0 200 OK\r\n\r\n", "", true, false},
    {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", "hi", false, false},
    {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi", "hi", false, false},
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiunasked", "hi", false, false},
};

static void check_framing(struct client_fixture *fixture, const struct framing *framing, size_t cut)
{
    int fd = client_get_accept(fixture);
    struct str bytes = str_from_cstr(framing->bytes);
    server_send(&fixture->server, fd, str_slice(bytes, 0, cut));
    if (cut < bytes.len)
        server_send(&fixture->server, fd, str_skip(bytes, cut));
    if (framing->close)
        helper_close_fd(&fd);
    expect_done(fixture, framing->body);
    if (framing->close)
        return;
    if (framing->reusable) {
        client_get(fixture);
        server_read_request(&fixture->server, fd, &fixture->request, 0);
        answer(fixture, fd, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        expect_done(fixture, "");
        assert_true(fixture->heard.timing.reused);
    }
    server_wait_end(&fixture->server, fd);
    helper_close_fd(&fd);
}

static void test_framings(void **state)
{
    struct client_fixture *fixture = *state;
    for (size_t i = 0; i < sizeof framings / sizeof framings[0]; i++)
        check_framing(fixture, &framings[i], SIZE_MAX);
}

static void test_framings_cut_everywhere(void **state)
{
    struct client_fixture *fixture = *state;
    for (size_t i = 0; i < 2; i++)
        for (size_t cut = 1; cut < strlen(framings[i].bytes); cut++)
            check_framing(fixture, &framings[i], cut);
}

static void test_truncated(void **state)
{
    struct client_fixture *fixture = *state;
    static const char *const cases[] = {
        "",
        "HTTP/1.1 20",
        "HTTP/1.1 200 OK\r\nContent-Len",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n0\r\n",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int fd = client_get_accept(fixture);
        answer(fixture, fd, cases[i]);
        helper_close_fd(&fd);
        expect_error(fixture, ERR_NETWORK);
        assert_non_null(strstr(fixture->heard.error.message, "127.0.0.1"));
    }
}

static void test_reset_in_body(void **state)
{
    struct client_fixture *fixture = *state;
    int fd = client_get_accept(fixture);
    answer(fixture, fd, "HTTP/1.1 200 OK\r\n\r\nuntil close, but");
    TURN_UNTIL(fixture->loop, fixture->heard.bodies);
    server_reset(&fd);
    expect_error(fixture, ERR_NETWORK);
}

static void test_not_http(void **state)
{
    struct client_fixture *fixture = *state;
    static const char *const cases[] = {
        "SSH-2.0-OpenSSH\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int fd = client_get_accept(fixture);
        answer(fixture, fd, cases[i]);
        expect_error(fixture, ERR_SERVER);
        server_wait_end(&fixture->server, fd);
        helper_close_fd(&fd);
    }
}

static void test_endless_headers(void **state)
{
    struct client_fixture *fixture = *state;
    struct http_call_request request = {.url = str_from_cstr(fixture->url),
                                        .header_bytes_max = 2000};
    client_start(fixture, &fixture->heard, &request);
    int fd = client_accept(fixture, 0);
    answer(fixture, fd, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 1000 && !heard_call_over(&fixture->heard); i++) {
        (void)!send(fd, "Header: 0123456789\r\n", 20, MSG_NOSIGNAL);
        helper_turn(fixture->loop);
    }
    expect_error(fixture, ERR_TOO_BIG);
    helper_close_fd(&fd);
}

static void test_large_headers_pass(void **state)
{
    struct client_fixture *fixture = *state;
    int fd = client_get_accept(fixture);
    char *text = calloc(1, 60100);
    memset(text, 'v', 60000);
    memcpy(text, "HTTP/1.1 200 OK\r\nA: ", 20);
    strcpy(text + 60000, "\r\nContent-Length: 0\r\n\r\n");
    answer(fixture, fd, text);
    free(text);
    expect_done(fixture, "");
    assert_true(fixture->heard.fields.len > 59900);
    helper_close_fd(&fd);
}

static void test_body_limit(void **state)
{
    struct client_fixture *fixture = *state;
    struct http_call_request request = {.url = str_from_cstr(fixture->url), .body_bytes_max = 4};
    for (int extra = 0; extra < 2; extra++) {
        client_start(fixture, &fixture->heard, &request);
        int fd = client_accept(fixture, 0);
        answer(fixture, fd, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nfour");
        if (extra)
            answer(fixture, fd, "+");
        helper_close_fd(&fd);
        if (extra)
            expect_error(fixture, ERR_TOO_BIG);
        else
            expect_done(fixture, "four");
    }
}

/* ---- Keeping and replaying ------------------------------------------------------------------- */

static void test_two_at_once_two_connections(void **state)
{
    struct client_fixture *fixture = *state;
    struct heard_call other = {0};
    struct http_call_request request = {.url = str_from_cstr(fixture->url)};
    int fd = client_get_accept(fixture);
    client_start(fixture, &other, &request);
    int fd_other = client_accept(fixture, 0);
    answer(fixture, fd, OK_EMPTY);
    answer(fixture, fd_other, OK_EMPTY);
    expect_done(fixture, "");
    TURN_UNTIL(fixture->loop, other.dones);
    heard_call_init(&other);
    helper_close_fd(&fd);
    helper_close_fd(&fd_other);
}

static void start_again(void *user)
{
    client_get(user);
}

static void test_call_from_inside_done_reuses(void **state)
{
    struct client_fixture *fixture = *state;
    int fd = client_get_accept(fixture);
    fixture->heard.then = start_again;
    fixture->heard.then_user = fixture;
    answer(fixture, fd, OK_EMPTY);
    server_read_request(&fixture->server, fd, &fixture->request, 0);
    answer(fixture, fd, OK_EMPTY);
    expect_done(fixture, "");
    assert_true(fixture->heard.timing.reused);
    helper_close_fd(&fd);
}

static void free_client(void *user)
{
    struct client_fixture *fixture = user;
    http_client_free(fixture->client);
    fixture->client = NULL;
}

static void test_free_from_inside_the_last_event(void **state)
{
    struct client_fixture *fixture = *state;
    int fd = client_get_accept(fixture);
    fixture->heard.then = free_client;
    fixture->heard.then_user = fixture;
    answer(fixture, fd, OK_EMPTY);
    expect_done(fixture, "");
    server_wait_end(&fixture->server, fd);
    helper_close_fd(&fd);
}

static void test_idle_closed_by_peer_is_noticed(void **state)
{
    struct client_fixture *fixture = *state;
    for (int unasked = 0; unasked < 3; unasked++) {
        int fd = keep_one(fixture);
        if (unasked == 1)
            answer(fixture, fd, "HTTP/1.1 408 Request Timeout\r\n\r\n");
        if (unasked == 2)
            server_reset(&fd);
        helper_close_fd(&fd);
        for (int i = 0; i < 5; i++)
            helper_turn(fixture->loop);
        fd = client_get_accept(fixture);
        answer(fixture, fd, OK_EMPTY);
        expect_done(fixture, "");
        assert_false(fixture->heard.timing.reused);
        helper_close_fd(&fd);
        helper_turn(fixture->loop);
        helper_turn(fixture->loop);
    }
}

static void test_idle_timeout(void **state)
{
    struct client_fixture *fixture = *state;
    client_fixture_make(fixture, &(struct http_client_options){.idle_timeout_ms = 40});
    struct heard_call other = {0};
    struct http_call_request request = {.url = str_from_cstr(fixture->url)};
    int fd = client_get_accept(fixture);
    client_start(fixture, &other, &request);
    int fd_other = client_accept(fixture, 0);
    answer(fixture, fd, OK_EMPTY);
    expect_done(fixture, "");
    uint64_t later = clock_monotonic_ms() + 10;
    TURN_UNTIL(fixture->loop, clock_monotonic_ms() > later);
    answer(fixture, fd_other, OK_EMPTY);
    TURN_UNTIL(fixture->loop, other.dones);
    server_wait_end(&fixture->server, fd);
    server_wait_end(&fixture->server, fd_other); /* each at its own time */
    heard_call_init(&other);
    helper_close_fd(&fd);
    helper_close_fd(&fd_other);
}

static void test_idle_cap(void **state)
{
    struct client_fixture *fixture = *state;
    client_fixture_make(fixture, &(struct http_client_options){.idle_per_origin_max = 1});
    struct heard_call other = {0};
    struct http_call_request request = {.url = str_from_cstr(fixture->url)};
    int fd = client_get_accept(fixture);
    client_start(fixture, &other, &request);
    int fd_other = client_accept(fixture, 0);
    answer(fixture, fd, OK_EMPTY);
    expect_done(fixture, "");
    answer(fixture, fd_other, OK_EMPTY);
    TURN_UNTIL(fixture->loop, other.dones);
    server_wait_end(&fixture->server, fd); /* the one that was idle longer gives way */
    heard_call_init(&other);
    helper_close_fd(&fd);
    helper_close_fd(&fd_other);
}

/* The second request on a kept connection, which the server has read and now closes. */
static void lose_kept(struct client_fixture *fixture, bool reset)
{
    int fd = keep_one(fixture);
    struct http_call_request request = {
        .method = HTTP_POST, .url = str_from_cstr(fixture->url), .body = STR("body")};
    client_start(fixture, &fixture->heard, &request);
    server_read_request(&fixture->server, fd, &fixture->request, 4);
    if (reset)
        server_reset(&fd);
    helper_close_fd(&fd);
}

static void test_replay_on_dead_kept_connection(void **state)
{
    struct client_fixture *fixture = *state;
    for (int reset = 0; reset < 2; reset++) {
        lose_kept(fixture, reset);
        int fd = client_accept(fixture, 4);
        assert_true(str_ends_with(buf_str(&fixture->request), STR("\r\n\r\nbody")));
        answer(fixture, fd, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
        expect_done(fixture, "ok");
        assert_false(fixture->heard.timing.reused);
        assert_true(fixture->heard.timing.request_sent);
        helper_close_fd(&fd);
    }
}

static void test_replay_once_only(void **state)
{
    struct client_fixture *fixture = *state;
    lose_kept(fixture, false);
    int fd = client_accept(fixture, 4);
    helper_close_fd(&fd);
    expect_error(fixture, ERR_NETWORK);
    assert_int_equal(server_try_accept(&fixture->server), -1);
}

static void test_no_replay_after_first_byte(void **state)
{
    struct client_fixture *fixture = *state;
    int fd = keep_one(fixture);
    client_get(fixture);
    server_read_request(&fixture->server, fd, &fixture->request, 0);
    answer(fixture, fd, "H");
    helper_close_fd(&fd);
    expect_error(fixture, ERR_NETWORK);
    assert_true(fixture->heard.timing.reused);
    assert_int_equal(server_try_accept(&fixture->server), -1);
}

static void test_replay_that_cannot_connect(void **state)
{
    struct client_fixture *fixture = *state;
    int fd = keep_one(fixture);
    client_get(fixture);
    server_read_request(&fixture->server, fd, &fixture->request, 0);
    server_close(&fixture->server);
    helper_close_fd(&fd);
    expect_error(fixture, ERR_NETWORK);
    assert_non_null(strstr(fixture->heard.error.message, "connecting"));
}

/* ---- Proxies --------------------------------------------------------------------------------- */

static void use_proxy(struct client_fixture *fixture, const char *no_proxy)
{
    char proxy[64];
    snprintf(proxy, sizeof proxy, "http://user:hush@127.0.0.1:%u", fixture->server.port);
    client_fixture_make(fixture,
                        &(struct http_client_options){.https_proxy = str_from_cstr(proxy),
                                                      .http_proxy = str_from_cstr(proxy),
                                                      .no_proxy = str_from_cstr(no_proxy)});
}

static void test_proxy_absolute_form(void **state)
{
    struct client_fixture *fixture = *state;
    use_proxy(fixture, "");
    strcpy(fixture->url, "http://API.example:8000/a?b");
    int fd = client_get_accept(fixture);
    expect_request(fixture, "GET http://api.example:8000/a?b HTTP/1.1\r\nHost: api.example:8000\r\n"
                            "Proxy-Authorization: Basic dXNlcjpodXNo\r\n\r\n");
    answer(fixture, fd, OK_EMPTY);
    expect_done(fixture, "");
    strcpy(fixture->url, "http://api.example:8000/again"); /* the same origin: kept */
    client_get(fixture);
    server_read_request(&fixture->server, fd, &fixture->request, 0);
    answer(fixture, fd, OK_EMPTY);
    expect_done(fixture, "");
    assert_true(fixture->heard.timing.reused);
    helper_close_fd(&fd);
}

static void test_proxy_connect_refused(void **state)
{
    struct client_fixture *fixture = *state;
    use_proxy(fixture, "");
    strcpy(fixture->url, "https://api.example/a?query");
    int fd = client_get_accept(fixture);
    expect_request(fixture, "CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\n"
                            "Proxy-Authorization: Basic dXNlcjpodXNo\r\n\r\n");
    answer(fixture, fd, "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
    expect_error(fixture, ERR_NETWORK);
    assert_non_null(strstr(fixture->heard.error.message, "api.example"));
    assert_non_null(strstr(fixture->heard.error.message, "proxy"));
    assert_null(strstr(fixture->heard.error.message, "hush"));
    assert_null(strstr(fixture->heard.error.message, "dXNl"));
    assert_false(fixture->heard.timing.request_sent);
    helper_close_fd(&fd);
}

static void test_no_proxy(void **state)
{
    struct client_fixture *fixture = *state;
    use_proxy(fixture, ".example");
    int fd = client_get_accept(fixture); /* loopback is exempt anyway: origin form */
    assert_true(str_starts_with(buf_str(&fixture->request), STR("GET /path?query HTTP/1.1\r\n")));
    answer(fixture, fd, OK_EMPTY);
    expect_done(fixture, "");
    strcpy(fixture->url, "http://bad..name.example/x");
    client_get(fixture);
    expect_error(fixture, ERR_NETWORK); /* did not go to the proxy */
    assert_non_null(strstr(fixture->heard.error.message, "resolving"));
    helper_close_fd(&fd);
}

static void test_wrong_proxy_is_an_error(void **state)
{
    struct client_fixture *fixture = *state;
    client_fixture_make(
        fixture, &(struct http_client_options){.http_proxy = STR("socks5://u:hush@127.0.0.1:1")});
    struct http_call_request request = {.url = STR("http://api.example/")};
    expect_refused(fixture, &request, ERR_INVALID);
}

static void test_refused_connection(void **state)
{
    struct client_fixture *fixture = *state;
    server_close(&fixture->server);
    client_get(fixture);
    expect_error(fixture, ERR_NETWORK);
    assert_non_null(strstr(fixture->heard.error.message, "127.0.0.1: connecting"));
    assert_false(fixture->heard.timing.request_sent);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, client_setup, client_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_get),
        TEST(test_post),
        TEST(test_methods),
        TEST(test_many_urls),
        TEST(test_unix_socket),
        TEST(test_header_injection_refused),
        TEST(test_wrong_requests_refused),
        TEST(test_framings),
        TEST(test_framings_cut_everywhere),
        TEST(test_truncated),
        TEST(test_reset_in_body),
        TEST(test_not_http),
        TEST(test_endless_headers),
        TEST(test_large_headers_pass),
        TEST(test_body_limit),
        TEST(test_two_at_once_two_connections),
        TEST(test_call_from_inside_done_reuses),
        TEST(test_free_from_inside_the_last_event),
        TEST(test_idle_closed_by_peer_is_noticed),
        TEST(test_idle_timeout),
        TEST(test_idle_cap),
        TEST(test_replay_on_dead_kept_connection),
        TEST(test_replay_once_only),
        TEST(test_no_replay_after_first_byte),
        TEST(test_replay_that_cannot_connect),
        TEST(test_proxy_absolute_form),
        TEST(test_proxy_connect_refused),
        TEST(test_no_proxy),
        TEST(test_wrong_proxy_is_an_error),
        TEST(test_refused_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
