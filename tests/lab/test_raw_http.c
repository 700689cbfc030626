/* The lab's own reader of HTTP, fed in pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above */
#include <cmocka.h>

#include "raw_http.h"

static const char two[] =
    "POST /a HTTP/1.1\r\nHost: h\r\nX-Key: k\r\nContent-Length: 5\r\n\r\nhello"
    "POST /b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"
    "Connection: close\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";

/* Feeds at most `piece` bytes at a time until a message is complete. */
static struct str feed_message(struct raw_http *http, struct str bytes, size_t piece)
{
    while (!http->complete && bytes.len) {
        size_t used = raw_http_feed(http, str_slice(bytes, 0, piece));
        assert_int_not_equal(used, SIZE_MAX);
        assert_int_not_equal(used, 0);
        bytes = str_skip(bytes, used);
    }
    assert_true(http->complete);
    return bytes;
}

static void test_two_requests_cut_anywhere(void **state)
{
    (void)state;
    for (size_t piece = 1; piece < sizeof two; piece++) {
        struct raw_http http;
        raw_http_init(&http, RAW_HTTP_REQUESTS, true, NULL, NULL);
        struct str rest = feed_message(&http, STR_FROM(two, sizeof two - 1), piece);
        assert_true(str_eq(buf_str(&http.target), STR("/a")));
        assert_true(str_eq(buf_str(&http.body), STR("hello")));
        assert_true(str_eq(http_headers_get(&http.headers, "x-key"), STR("k")));
        assert_true(raw_http_keep_alive(&http));
        raw_http_next(&http);
        rest = feed_message(&http, rest, piece);
        assert_int_equal(rest.len, 0);
        assert_true(str_eq(buf_str(&http.target), STR("/b")));
        assert_true(str_eq(buf_str(&http.body), STR("abcde")));
        assert_true(str_eq(raw_http_method(&http), STR("POST")));
        assert_false(http_headers_get(&http.headers, "x-key").data);
        assert_false(raw_http_keep_alive(&http));
        raw_http_done(&http);
    }
}

static void test_an_offered_upgrade_is_ignored(void **state)
{
    (void)state;
    struct raw_http http;
    struct str both =
        STR("GET /a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
            "GET /b HTTP/1.1\r\nHost: h\r\n\r\n");
    raw_http_init(&http, RAW_HTTP_REQUESTS, true, NULL, NULL);
    struct str rest = feed_message(&http, both, 1000);
    raw_http_next(&http);
    feed_message(&http, rest, 1000);
    assert_true(str_eq(buf_str(&http.target), STR("/b")));
    raw_http_done(&http);
}

static void count_bytes(void *user, struct str data)
{
    *(size_t *)user += data.len;
}

static void test_responses(void **state)
{
    (void)state;
    struct raw_http http;
    size_t bytes = 0;
    raw_http_init(&http, RAW_HTTP_RESPONSES, false, count_bytes, &bytes);
    feed_message(&http, STR("HTTP/1.1 429 Slow down\r\nContent-Length: 4\r\n\r\nwait"), 7);
    assert_int_equal(raw_http_status(&http), 429);
    assert_int_equal(bytes, 4);
    raw_http_next(&http);
    struct str open_end = STR("HTTP/1.1 200 OK\r\n\r\nuntil the end");
    assert_int_equal(raw_http_feed(&http, open_end), open_end.len);
    assert_false(http.complete);
    raw_http_finish(&http);
    assert_true(http.complete);
    assert_int_equal(bytes, 4 + 13);
    raw_http_done(&http);
}

static void test_an_upgrade_leaves_the_rest(void **state)
{
    (void)state;
    struct raw_http http;
    raw_http_init(&http, RAW_HTTP_RESPONSES, false, NULL, NULL);
    struct str rest = feed_message(&http,
                                   STR("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                                       "Connection: Upgrade\r\n\r\n\x81\x02{}"),
                                   1000);
    assert_int_equal(raw_http_status(&http), 101);
    assert_int_equal(rest.len, 4);
    raw_http_done(&http);
}

static void test_what_is_not_http(void **state)
{
    (void)state;
    struct raw_http http;
    raw_http_init(&http, RAW_HTTP_RESPONSES, false, NULL, NULL);
    assert_int_equal(raw_http_feed(&http, STR("SSH-2.0-OpenSSH_9.2\r\n")), SIZE_MAX);
    raw_http_done(&http);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_requests_cut_anywhere),
        cmocka_unit_test(test_an_offered_upgrade_is_ignored),
        cmocka_unit_test(test_responses),
        cmocka_unit_test(test_an_upgrade_leaves_the_rest),
        cmocka_unit_test(test_what_is_not_http),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
