/* Requests and responses of the HTTP server: parsing, order, refusals, limits, framing. */
#include "helper_http_server.h"

static void keep_alive_and_headers(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, NULL);
    fixture_send_text(&f, "GET /a?b=c HTTP/1.1\r\nHost: h\r\nX-Request-Id: mine-1.A_\r\n\r\n");
    EXPECT(&f, "GET /a?b=c 0:");
    assert_true(fixture_got(&f, "HTTP/1.1 200 OK\r\nDate: "));
    assert_true(fixture_got(&f, " GMT\r\nx-request-id: mine-1.A_\r\nContent-Type: text/plain\r\n"
                                "Content-Length: 13\r\n\r\n"));
    assert_false(fixture_got(&f, "Connection"));
    buf_clear(&f.got);
    fixture_send_text(&f, "\r\nGET / HTTP/1.1\r\nHost: h\r\nX-Request-Id: not valid\r\n\r\n");
    fixture_expect(&f, 200, "GET /? 0:");
    assert_false(fixture_got(&f, "not valid"));
    assert_int_equal(http_server_connection_count(f.server), 1);
    assert_int_equal(f.limits_asked, 0);
    fixture_done(&f);
}

static const struct {
    const char *request;
    const char *answer;
} good[] = {
    {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", "GET /? 0:"},
    {"POST /p HTTP/1.1\r\nHost: h:80\r\nContent-Length: 5\r\n\r\nhello", "POST /p? 5:hello"},
    {"PUT /p?x=%20 HTTP/1.1\r\nHost: [::1]:8\r\nTransfer-Encoding: chunked\r\n\r\n"
     "3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\nTrailer: x\r\n\r\n",
     "PUT /p?x=%20 5:hello"},
    {"OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n", "OPTIONS *? 0:"},
    {"GET http://Host.example/p?q HTTP/1.1\r\nhost: host.example\r\n\r\n", "GET /p?q 0:"},
    {"GET http://h?q HTTP/1.1\r\nHost: h\r\n\r\n", "GET /?q 0:"},
    {"PROPFIND /x HTTP/1.1\r\nHost: h\r\nEmpty:\r\nA:  b \t\r\n\r\n", "OTHER /x? 0:"},
    {"DELETE //a/../b HTTP/1.1\r\nHost: h\r\n\r\n", "DELETE //a/../b? 0:"},
};

static void split_everywhere(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, NULL);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct str request = str_from_cstr(good[i].request);
        for (size_t cut = 1; cut < request.len; cut++) {
            fixture_send(&f, str_slice(request, 0, cut));
            helper_turn(f.loop);
            fixture_send(&f, str_skip(request, cut));
            fixture_expect(&f, 200, good[i].answer);
        }
        for (size_t at = 0; at < request.len; at++) {
            fixture_send(&f, str_slice(request, at, 1));
            helper_turn(f.loop);
        }
        fixture_expect(&f, 200, good[i].answer);
    }
    assert_int_equal(http_server_connection_count(f.server), 1);
    fixture_done(&f);
}

static void all_at_once_is_answered_in_order(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, NULL);
    for (int round = 0; round < 20; round++)
        for (size_t i = 0; i < sizeof good / sizeof *good; i++)
            fixture_send_text(&f, good[i].request);
    for (int round = 0; round < 20; round++)
        for (size_t i = 0; i < sizeof good / sizeof *good; i++)
            fixture_expect(&f, 200, good[i].answer);
    fixture_done(&f);
}

static void pipeline_has_a_limit(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, &(struct http_server_options){.pipeline_max = 2});
    fixture_send_text(&f, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
    for (int i = 0; i < 8; i++)
        fixture_send_text(&f, "POST /n HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n7");
    fixture_settle(&f);
    assert_int_equal(f.requests, 1);     /* one after the other */
    assert_int_equal(f.limits_asked, 2); /* and only two are read ahead */
    http_respond(f.held[0], 200, NULL, STR("first"));
    assert_int_equal(f.requests, 1); /* nothing comes from inside the call */
    fixture_expect(&f, 200, "first");
    for (int i = 0; i < 8; i++)
        fixture_expect(&f, 200, "POST /n? 1:7");
    fixture_done(&f);
}

static void reading_pauses_beyond_the_pipeline(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, &(struct http_server_options){.pipeline_max = 1});
    fixture_send_text(&f, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
    char request[2048];
    int len =
        snprintf(request, sizeof request, "POST /n HTTP/1.1\r\nHost: h\r\nX: %01500d\r\n\r\n", 7);
    size_t sent = 0;
    int stalled = 0;
    while (stalled < 20 && sent < 64 * 1024 * 1024) {
        ssize_t count = send(f.fd, request, (size_t)len, MSG_NOSIGNAL);
        sent += count > 0 ? (size_t)count : 0;
        stalled = count > 0 ? 0 : stalled + 1;
        helper_turn(f.loop);
    }
    assert_true(sent < 4 * 1024 * 1024); /* what the kernel holds, and a little */
    http_respond_break(f.held[0]);
    EXPECT_END(&f);
    fixture_done(&f);
}

static const struct {
    const char *request;
    enum err code;
    const char *field;
} bad[] = {
    {"\x16\x03\x01", ERR_INVALID, ""},
    {"BREW / HTTP/1.1\r\nHost: h\r\n\r\n", ERR_INVALID, ""},
    {"GET /\r\n\r\n", ERR_INVALID, "version"},
    {"GET / HTTP/1.1\r\n\r\n", ERR_INVALID, "host"},
    {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", ERR_INVALID, "host"},
    {"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", ERR_INVALID, "host"},
    {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", ERR_INVALID, "host"},
    {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", ERR_INVALID, "version"},
    {"GET / HTTP/0.9\r\nHost: a\r\n\r\n", ERR_INVALID, "version"},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ERR_INVALID, ""},
    {"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", ERR_INVALID, "target"},
    {"GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", ERR_INVALID, "target"},
    {"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", ERR_INVALID, ""},
    {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", ERR_INVALID, ""},
    {"GET / HTTP/1.1\r\nHost: a\r\nA\r\n\r\n", ERR_INVALID, ""},
    {"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n", ERR_INVALID, ""},
    {"GET / HTTP/1.1\r\nHost: a\r\nA: b\x01\r\n\r\n", ERR_INVALID, ""},
    {"GET / HTTP/1.1\nHost: a\n\n", ERR_INVALID, ""},
    {"GET / HTTP/1.1\r\nHost: a\rA: b\r\n\r\n", ERR_INVALID, ""},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: "
     "chunked\r\n\r\n0\r\n\r\n",
     ERR_INVALID, ""},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: "
     "3\r\n\r\n0\r\n\r\n",
     ERR_INVALID, ""},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", ERR_INVALID,
     ""},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc", ERR_INVALID, ""},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc", ERR_INVALID, ""},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc", ERR_INVALID, ""},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", ERR_INVALID, ""},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", ERR_INVALID, ""},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", ERR_INVALID,
     "transfer-encoding"},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", ERR_INVALID,
     "transfer-encoding"},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
     ERR_INVALID, ""},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
     "chunked\r\n\r\n"
     "0\r\n\r\n",
     ERR_INVALID, ""},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\vchunked\r\n\r\n0\r\n\r\n", ERR_INVALID,
     NULL},
    {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ERR_INVALID,
     "transfer-encoding"},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", ERR_INVALID, ""},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1 \r\na\r\n", ERR_INVALID,
     ""},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n", ERR_INVALID, ""},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", ERR_INVALID,
     ""},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
     ERR_INVALID, ""},
};

static void smuggling_is_refused(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, NULL);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fixture_send_text(&f, bad[i].request);
        fixture_send_text(&f, "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n");
        EXPECT_END(&f);
        if (f.refused != bad[i].code || !fixture_got(&f, "HTTP/1.1 400 Bad Request\r\n") ||
            (bad[i].field && strcmp(f.refused_field, bad[i].field)))
            fail_msg("case %zu: code %d, field %s, %s: %.*s", i, f.refused, f.refused_field,
                     bad[i].request, STR_ARG(buf_str(&f.got)));
        assert_true(fixture_got(&f, "Connection: close\r\n"));
        assert_false(fixture_got(&f, "smuggled"));
        fixture_reconnect(&f);
    }
    assert_int_equal(f.requests, 0);
    assert_int_equal(f.refusals, sizeof bad / sizeof *bad);
    fixture_done(&f);
}

/* A refusal waits its turn behind what was asked before. */
static void refusals_keep_the_order(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, NULL);
    fixture_send_text(&f, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n"
                          "GET /a HTTP/1.1\r\nHost: h\r\n\r\nnonsense\r\n\r\n");
    fixture_settle(&f);
    assert_int_equal(f.refusals, 0);
    http_respond(f.held[0], 200, NULL, STR("first"));
    fixture_expect(&f, 200, "first");
    fixture_expect(&f, 200, "GET /a? 0:");
    fixture_expect(&f, 400, NULL);
    EXPECT_END(&f);
    fixture_done(&f);
}

/* Sends `before`, `count` times `unit`, and `after`. */
static void send_repeated(struct fixture *f, const char *before, const char *unit, size_t count,
                          const char *after)
{
    struct buf all;
    buf_init(&all, 16 * 1024 * 1024);
    buf_append(&all, str_from_cstr(before));
    for (size_t i = 0; i < count; i++)
        buf_append(&all, str_from_cstr(unit));
    buf_append(&all, str_from_cstr(after));
    fixture_send(f, buf_str(&all));
    buf_done(&all);
}

static void limits(void **state)
{
    (void)state;
    static const struct {
        const char *before, *unit;
        size_t good, bad;
        const char *after, *field;
    } cases[] = {
        {"GET /", "a", HTTP_TARGET_BYTES_MAX - 1, HTTP_TARGET_BYTES_MAX,
         " HTTP/1.1\r\nHost: h\r\n\r\n", "target"},
        {"GET / HTTP/1.1\r\nHost: h\r\n", "A: b\r\n", HTTP_HEADER_COUNT_MAX - 1,
         HTTP_HEADER_COUNT_MAX, "\r\n", "headers"},
        {"GET / HTTP/1.1\r\nHost: h\r\nA: ", "b", HTTP_HEADER_BYTES_MAX - 6,
         HTTP_HEADER_BYTES_MAX - 5, "\r\n\r\n", "headers"},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", "1;a=b\r\nx\r\n", 2048,
         2049, "0\r\n\r\n", "body"},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "A: b\r\n", 20,
         HTTP_HEADER_BYTES_MAX, "\r\n", "headers"},
    };
    struct fixture f;
    fixture_init(&f, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        send_repeated(&f, cases[i].before, cases[i].unit, cases[i].good, cases[i].after);
        fixture_expect(&f, 200, NULL);
        send_repeated(&f, cases[i].before, cases[i].unit, cases[i].bad, cases[i].after);
        EXPECT_END(&f);
        assert_int_equal(f.refused, ERR_TOO_BIG);
        assert_string_equal(f.refused_field, cases[i].field);
        fixture_reconnect(&f);
    }
    fixture_done(&f);
}

static void body_limit_is_asked_first(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551615\r\n\r\n",
    };
    struct fixture f;
    fixture_init(&f, NULL);
    f.body_limit = 10;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture_send_text(&f, cases[i]);
        EXPECT_END(&f);
        assert_true(str_starts_with(buf_str(&f.got), STR("HTTP/1.1 413 ")));
        assert_int_equal(f.refused, ERR_TOO_BIG);
        assert_string_equal(f.refused_field, "body");
        fixture_reconnect(&f);
    }
    fixture_send_text(&f, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n0123456789");
    fixture_expect(&f, 200, "POST /? 10:0123456789");
    assert_int_equal(f.limits_asked, 4);
    fixture_done(&f);
}

static void continue_is_said_when_its_turn_comes(void **state)
{
    (void)state;
    static const char upload[] =
        "POST /u HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-Continue\r\n\r\n";
    struct fixture f;
    fixture_init(&f, NULL);
    fixture_send_text(&f, upload);
    EXPECT(&f, "HTTP/1.1 100 Continue\r\n\r\n");
    buf_clear(&f.got);
    fixture_send_text(&f, "hi");
    fixture_expect(&f, 200, "POST /u? 2:hi");

    fixture_send_text(&f, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
    fixture_send_text(&f, upload);
    fixture_settle(&f);
    assert_false(fixture_got(&f, "100 Continue")); /* not into another's response */
    http_respond_end(f.held[0]);
    EXPECT(&f, "0\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
    buf_clear(&f.got);
    fixture_send_text(&f, "hi");
    fixture_expect(&f, 200, "POST /u? 2:hi");
    fixture_done(&f);
}

static void http10(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, NULL);
    fixture_send_text(&f, "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    EXPECT(&f, "Connection: keep-alive\r\n");
    fixture_expect(&f, 200, "GET /a? 0:");
    fixture_send_text(&f, "GET /b HTTP/1.0\r\n\r\n");
    EXPECT_END(&f);
    assert_true(fixture_got(&f, "Connection: close\r\n"));
    fixture_reconnect(&f);
    fixture_send_text(&f, "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    EXPECT(&f, "Connection: close\r\n");
    assert_false(fixture_got(&f, "Transfer-Encoding"));
    http_respond_write(f.held[0], STR("to the end"));
    http_respond_end(f.held[0]);
    EXPECT_END(&f);
    assert_true(str_ends_with(buf_str(&f.got), STR("\r\n\r\nto the end")));
    fixture_reconnect(&f);
    fixture_send_text(&f, "GET /a HTTP/1.1\r\nHost: h\r\nConnection: foo, Close\r\n\r\n"
                          "GET /b HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_END(&f);
    assert_true(fixture_got(&f, "GET /a"));
    assert_false(fixture_got(&f, "GET /b"));
    fixture_done(&f);
}

static void responses_without_a_body(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, NULL);
    fixture_send_text(&f, "HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT(&f, "Content-Length: 11\r\n\r\n");
    fixture_settle(&f);
    assert_true(str_ends_with(buf_str(&f.got), STR("\r\n\r\n")));
    buf_clear(&f.got);
    fixture_send_text(&f,
                      "GET /204 HTTP/1.1\r\nHost: h\r\n\r\nGET /304 HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT(&f, "HTTP/1.1 304 Not Modified\r\n");
    assert_true(fixture_got(&f, "HTTP/1.1 204 No Content\r\n"));
    assert_false(fixture_got(&f, "Content-Length"));
    assert_false(fixture_got(&f, "Transfer-Encoding"));
    assert_true(str_ends_with(buf_str(&f.got), STR("\r\n\r\n")));
    buf_clear(&f.got);
    fixture_send_text(&f, "HEAD /static HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT(&f, "Content-Length: 2097152\r\n\r\n");
    buf_clear(&f.got);
    fixture_send_text(&f, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    fixture_expect(&f, 200, "GET /? 0:");
    fixture_done(&f);
}

static void chunks(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, NULL);
    fixture_send_text(&f, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT(&f, "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
    buf_clear(&f.got);
    http_respond_write(f.held[0], STR("hello"));
    http_respond_write(f.held[0], STR(""));
    http_respond_write(f.held[0], STR("seventeen letters"));
    EXPECT(&f, "5\r\nhello\r\n11\r\nseventeen letters\r\n");
    http_respond_end(f.held[0]);
    EXPECT(&f, "letters\r\n0\r\n\r\n");
    buf_clear(&f.got);
    fixture_send_text(&f, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    fixture_expect(&f, 200, "GET /? 0:");
    fixture_done(&f);
}

static void large_static_body_flows(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, NULL);
    fixture_send_text(&f,
                      "GET /static HTTP/1.1\r\nHost: h\r\n\r\nGET /n HTTP/1.1\r\nHost: h\r\n\r\n");
    int status = 0;
    struct buf body;
    buf_init(&body, 4 * FIXTURE_STATIC_BYTES);
    TURN_UNTIL(f.loop, fixture_take(&f, &status, &body));
    assert_int_equal(body.len, FIXTURE_STATIC_BYTES);
    assert_memory_equal(body.data, f.static_body, FIXTURE_STATIC_BYTES);
    buf_done(&body);
    fixture_expect(&f, 200, "GET /n? 0:");
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keep_alive_and_headers),
        cmocka_unit_test(split_everywhere),
        cmocka_unit_test(all_at_once_is_answered_in_order),
        cmocka_unit_test(pipeline_has_a_limit),
        cmocka_unit_test(reading_pauses_beyond_the_pipeline),
        cmocka_unit_test(smuggling_is_refused),
        cmocka_unit_test(refusals_keep_the_order),
        cmocka_unit_test(limits),
        cmocka_unit_test(body_limit_is_asked_first),
        cmocka_unit_test(continue_is_said_when_its_turn_comes),
        cmocka_unit_test(http10),
        cmocka_unit_test(responses_without_a_body),
        cmocka_unit_test(chunks),
        cmocka_unit_test(large_static_body_flows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
