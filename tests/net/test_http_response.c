/* The response parser: every framing, cut at every byte, and what it must refuse. */
#include "helper_loop.h"

#include <stdlib.h>

#include "net/http_response.h"

struct heard_response {
    struct http_response response;
    struct buf text; /* status, headers and body as one text */
    int headers, bodies;
    int stop_every; /* ask to stop at each n-th event; 0: never */
    int events;
};

static bool go_on(struct heard_response *heard)
{
    return !heard->stop_every || ++heard->events % heard->stop_every != 0;
}

static bool on_headers(void *user, int status, const struct http_headers *headers)
{
    struct heard_response *heard = user;
    heard->headers++;
    buf_printf(&heard->text, "%d|", status);
    for (size_t i = 0; i < headers->count; i++)
        buf_printf(&heard->text, "%.*s=%.*s|", STR_ARG(headers->items[i].name),
                   STR_ARG(headers->items[i].value));
    return go_on(heard);
}

static bool on_body(void *user, struct str data)
{
    struct heard_response *heard = user;
    heard->bodies++;
    assert_true(data.len > 0);
    buf_append(&heard->text, data);
    return go_on(heard);
}

static const struct http_response_events events = {on_headers, on_body};
static const struct http_response_options normal = {.header_bytes_max = 4096,
                                                    .body_bytes_max = 1000};

static void begin(struct heard_response *heard, const struct http_response_options *options)
{
    *heard = (struct heard_response){0};
    buf_init(&heard->text, 1024 * 1024);
    http_response_init(&heard->response, options, &events, heard);
}

static void end(struct heard_response *heard)
{
    http_response_done(&heard->response);
    buf_done(&heard->text);
}

/* Feeds a copy of all of it, going on after each stop; sets *ret_used. */
static enum http_response_result feed(struct heard_response *heard, struct str data,
                                      size_t *ret_used)
{
    enum http_response_result result;
    char *copy = malloc(data.len + 1);
    assert_non_null(copy);
    memcpy(copy, data.data, data.len);
    *ret_used = 0;
    do {
        size_t used;
        result =
            http_response_feed(&heard->response, copy + *ret_used, data.len - *ret_used, &used);
        *ret_used += used;
        assert_true(*ret_used <= data.len);
    } while (result == HTTP_RESPONSE_STOPPED);
    free(copy);
    return result;
}

struct whole_case {
    const char *bytes;
    const char *expected;
    bool headers_only;
    bool until_close;
    bool keep_alive;
};

static const struct whole_case whole_cases[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Empty:\r\nX-Space: \t a b \t \r\n\r\nhello",
     "200|Content-Length=5|X-Empty=|X-Space=a b|hello", .keep_alive = true},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n"
     "0\r\nTrailer: t\r\n\r\n",
     "200|Transfer-Encoding=chunked|abc0123456789", .keep_alive = true},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: "
     "close\r\n\r\n1\r\nz\r\n0\r\n\r\n",
     "200|Transfer-Encoding=chunked|Connection=close|z", .keep_alive = false},
    {"HTTP/1.1 200\r\n\r\nuntil the end", "200|until the end", .headers_only = false,
     .until_close = true},
    {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "200|Content-Length=2|ok",
     .keep_alive = false},
    {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
     "200|Connection=keep-alive|Content-Length=2|ok", .keep_alive = true},
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
     "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
     "201|Content-Length=0|", .keep_alive = true},
    {"HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\nHTTP/1.1 204 No "
     "Content\r\n\r\n",
     "204|", .keep_alive = true},
    {"HTTP/1.1 103 Early Hints\r\nContent-Length: 9\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", "204|",
     .keep_alive = true},
    {"HTTP/1.1 204 No Content\r\n\r\n", "204|", .keep_alive = true},
    {"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", "304|Content-Length=7|",
     .keep_alive = true},
    {"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", "200|Content-Length=7|", .headers_only = true,
     .keep_alive = true},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "200|Transfer-Encoding=chunked|",
     .headers_only = true, .keep_alive = true},
};

static void check_whole(const struct whole_case *row, size_t cut, int stop_every)
{
    struct heard_response heard;
    struct http_response_options options = normal;
    options.headers_only = row->headers_only;
    begin(&heard, &options);
    heard.stop_every = stop_every;
    struct str bytes = str_from_cstr(row->bytes);
    size_t used;
    enum http_response_result result = feed(&heard, str_slice(bytes, 0, cut), &used);
    assert_int_equal(used, cut < bytes.len ? cut : bytes.len);
    if (cut < bytes.len) {
        assert_int_equal(result, HTTP_RESPONSE_MORE);
        result = feed(&heard, str_skip(bytes, cut), &used);
        assert_int_equal(used, bytes.len - cut);
    }
    if (row->until_close) {
        assert_int_equal(result, HTTP_RESPONSE_MORE);
        result = http_response_finish(&heard.response);
    }
    assert_int_equal(result, HTTP_RESPONSE_COMPLETE);
    assert_int_equal(heard.headers, 1);
    assert_true(str_eq(buf_str(&heard.text), str_from_cstr(row->expected)));
    assert_int_equal(http_response_keep_alive(&heard.response), row->keep_alive);
    end(&heard);
}

static void test_every_framing_cut_everywhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof whole_cases / sizeof whole_cases[0]; i++)
        for (size_t cut = 1; cut <= strlen(whole_cases[i].bytes); cut++)
            for (int stop_every = 0; stop_every <= 2; stop_every++)
                check_whole(&whole_cases[i], cut, stop_every);
}

static void test_chunks_of_one_feed_are_one_piece(void **state)
{
    (void)state;
    struct heard_response heard;
    size_t used;
    begin(&heard, &normal);
    assert_int_equal(feed(&heard,
                          STR("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                              "3\r\nabc\r\n1;x\r\nd\r\n2\r\ne"),
                          &used),
                     HTTP_RESPONSE_MORE);
    assert_int_equal(heard.bodies, 1);
    assert_int_equal(feed(&heard, STR("f\r\n1\r\ng\r\n0\r\n\r\nnext"), &used),
                     HTTP_RESPONSE_COMPLETE);
    assert_int_equal(heard.bodies, 2);
    assert_int_equal(used, strlen("f\r\n1\r\ng\r\n0\r\n\r\n"));
    assert_true(str_eq(buf_str(&heard.text), STR("200|Transfer-Encoding=chunked|abcdefg")));
    end(&heard);
}

/* What came before the mistake is told before it, and a stop in between is heeded. */
static void test_mistake_behind_chunks(void **state)
{
    (void)state;
    for (int stop_every = 0; stop_every <= 1; stop_every++) {
        struct heard_response heard;
        size_t used;
        begin(&heard, &normal);
        heard.stop_every = stop_every;
        assert_int_equal(feed(&heard,
                              STR("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                  "3\r\nabc\r\n1\r\nd\r\nwrong\r\n"),
                              &used),
                         HTTP_RESPONSE_FAILED);
        assert_int_equal(heard.bodies, 1);
        assert_int_equal(heard.events, 2 * stop_every);
        assert_true(str_eq(buf_str(&heard.text), STR("200|Transfer-Encoding=chunked|abcd")));
        const char *reason;
        assert_int_equal(http_response_failure(&heard.response, &reason), ERR_SERVER);
        end(&heard);
    }
}

static void test_byte_by_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof whole_cases / sizeof whole_cases[0]; i++) {
        struct heard_response heard;
        struct http_response_options options = normal;
        options.headers_only = whole_cases[i].headers_only;
        begin(&heard, &options);
        size_t used;
        for (const char *at = whole_cases[i].bytes; *at; at++)
            assert_int_not_equal(feed(&heard, STR_FROM(at, 1), &used), HTTP_RESPONSE_FAILED);
        assert_int_equal(http_response_finish(&heard.response), HTTP_RESPONSE_COMPLETE);
        assert_true(str_eq(buf_str(&heard.text), str_from_cstr(whole_cases[i].expected)));
        end(&heard);
    }
}

static void test_every_truncation_fails(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof whole_cases / sizeof whole_cases[0]; i++) {
        struct str bytes = str_from_cstr(whole_cases[i].bytes);
        for (size_t len = 0; len < bytes.len && !whole_cases[i].until_close; len++) {
            struct heard_response heard;
            struct http_response_options options = normal;
            options.headers_only = whole_cases[i].headers_only;
            begin(&heard, &options);
            size_t used;
            const char *reason;
            assert_int_equal(feed(&heard, str_slice(bytes, 0, len), &used), HTTP_RESPONSE_MORE);
            assert_int_equal(http_response_finish(&heard.response), HTTP_RESPONSE_FAILED);
            assert_int_equal(http_response_failure(&heard.response, &reason), ERR_NETWORK);
            assert_false(http_response_keep_alive(&heard.response));
            end(&heard);
        }
    }
}

static void test_bytes_behind_are_left(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof whole_cases / sizeof whole_cases[0]; i++) {
        if (whole_cases[i].until_close)
            continue;
        char bytes[512];
        struct heard_response heard;
        struct http_response_options options = normal;
        options.headers_only = whole_cases[i].headers_only;
        begin(&heard, &options);
        size_t used;
        snprintf(bytes, sizeof bytes, "%sHTTP/1.1 500 No\r\n\r\n", whole_cases[i].bytes);
        assert_int_equal(feed(&heard, str_from_cstr(bytes), &used), HTTP_RESPONSE_COMPLETE);
        assert_int_equal(used, strlen(whole_cases[i].bytes));
        assert_int_equal(heard.headers, 1);
        end(&heard);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "garbage",
        "\r\n\r\nSSH-2.0-OpenSSH\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/0.9 200 OK\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        "HTTP/1.1 099 What\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: x\r\n folded\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: x\x01y\r\n\r\n",
        "HTTP/1.1 200 OK\nA: x\n\nno carriage returns",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF\r\n",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct heard_response heard;
        begin(&heard, &normal);
        size_t used;
        const char *reason = NULL;
        assert_int_equal(feed(&heard, str_from_cstr(cases[i]), &used), HTTP_RESPONSE_FAILED);
        assert_int_equal(http_response_failure(&heard.response, &reason), ERR_SERVER);
        assert_non_null(reason);
        end(&heard);
    }
}

/* Feeds `prefix` once and then `part` until it fails; says after how many bytes. */
static size_t feed_endless(const struct http_response_options *options, const char *prefix,
                           const char *part)
{
    struct heard_response heard;
    begin(&heard, options);
    size_t used, total = 0;
    const char *reason;
    enum http_response_result result = feed(&heard, str_from_cstr(prefix), &used);
    while (result == HTTP_RESPONSE_MORE && total < 1024 * 1024) {
        result = feed(&heard, str_from_cstr(part), &used);
        total += used;
    }
    assert_int_equal(result, HTTP_RESPONSE_FAILED);
    assert_int_equal(http_response_failure(&heard.response, &reason), ERR_TOO_BIG);
    end(&heard);
    return total;
}

static void test_endless_is_cut(void **state)
{
    (void)state;
    const struct http_response_options *options = &normal;
    assert_true(feed_endless(options, "HTTP/1.1 200 OK\r\nA: ", "xxxxxxxxxxxxxxxx") <= 4096);
    assert_true(feed_endless(options, "HTTP/1.1 200 OK\r\n", "A: 0123456789abcdef\r\n") <= 4096);
    assert_true(feed_endless(options, "HTTP/1.1 200 OK\r\nA:", "        ") <= 4096);
    assert_true(feed_endless(options, "HTTP/1.1 200 ", "OK OK OK ") <= 4096);
    assert_true(feed_endless(options, "", "HTTP/1.1 100 Continue\r\n\r\n") <= 4096);
    assert_true(feed_endless(options, "HTTP/1.1 200 OK\r\n", "A:b\r\n") <= 4096);
    const char *chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    char text[128];
    snprintf(text, sizeof text, "%s0\r\n", chunked);
    assert_true(feed_endless(options, text, "Trailer: 0123456789\r\n") <= 4096 + 64);
    snprintf(text, sizeof text, "%s1;", chunked);
    assert_true(feed_endless(options, text, "extension") <= 4096 + 64);
    assert_true(feed_endless(options, chunked, "A\r\n0123456789\r\n") <= 2000);
    assert_true(feed_endless(options, "HTTP/1.1 200 OK\r\n\r\n", "body") <= 1008);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_framing_cut_everywhere),
        cmocka_unit_test(test_byte_by_byte),
        cmocka_unit_test(test_chunks_of_one_feed_are_one_piece),
        cmocka_unit_test(test_mistake_behind_chunks),
        cmocka_unit_test(test_every_truncation_fails),
        cmocka_unit_test(test_bytes_behind_are_left),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_endless_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
