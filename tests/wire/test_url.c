/* URLs: parts, refusals, percent coding, queries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "wire/url.h"

static void parts(void **state)
{
    (void)state;
    static const struct {
        const char *text, *scheme, *host, *path, *query;
        uint16_t port;
        bool tls, ipv6;
    } rows[] = {
        {"http://a", "http", "a", "", "", 80, false, false},
        {"https://a.example/", "https", "a.example", "/", "", 443, true, false},
        {"HTTPS://A.Example/b/c?d=e&f", "https", "A.Example", "/b/c", "d=e&f", 443, true, false},
        {"ws://a:81/x", "http", "a", "/x", "", 81, false, false},
        {"wss://a", "https", "a", "", "", 443, true, false},
        {"http://127.0.0.1:65535", "http", "127.0.0.1", "", "", 65535, false, false},
        {"http://a:1?q", "http", "a", "", "q", 1, false, false},
        {"http://a?", "http", "a", "", "", 80, false, false},
        {"http://a/?b?c/d", "http", "a", "/", "b?c/d", 80, false, false},
        {"http://a:/x", "http", "a", "/x", "", 80, false, false},
        {"http://a:0080/x", "http", "a", "/x", "", 80, false, false},
        {"http://[::1]", "http", "::1", "", "", 80, false, true},
        {"https://[fe80::A]:8443/x", "https", "fe80::A", "/x", "", 8443, true, true},
        {"http://[::ffff:10.0.0.1]:/", "http", "::ffff:10.0.0.1", "/", "", 80, false, true},
        {"http://a_b-c.d/%20@:x", "http", "a_b-c.d", "/%20@:x", "", 80, false, false},
        {"http://xn--nxasmq6b/\xC3\xA4", "http", "xn--nxasmq6b", "/\xC3\xA4", "", 80, false, false},
        {"http://unix:/run/x.sock:/v1", "http", "unix", "/run/x.sock:/v1", "", 80, false, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct url url;
        struct error error = {0};
        if (url_parse(str_from_cstr(rows[i].text), &url, &error) != ERR_OK)
            fail_msg("%s: %s", rows[i].text, error.message);
        assert_true(str_eq(url.scheme, str_from_cstr(rows[i].scheme)));
        assert_true(str_eq(url.host, str_from_cstr(rows[i].host)));
        assert_true(str_eq(url.path, str_from_cstr(rows[i].path)));
        assert_true(str_eq(url.query, str_from_cstr(rows[i].query)));
        assert_int_equal(url.port, rows[i].port);
        assert_int_equal(url.tls, rows[i].tls);
        assert_int_equal(url.host_is_ipv6, rows[i].ipv6);
    }
}

static void refusals(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", "must begin with"},
        {"a.example", "must begin with"},
        {"//a.example", "must begin with"},
        {"ftp://a", "must begin with"},
        {"file:///etc/passwd", "must begin with"},
        {"http:/a", "must begin with"},
        {"http:a", "must begin with"},
        {"httpx://a", "must begin with"},
        {"http://", "no host"},
        {"http:///x", "no host"},
        {"http://?x", "no host"},
        {"http://:80", "no host"},
        {"http://[]", "no host"},
        {"http://user@a", "user name"},
        {"http://user:pw@a/", "user name"},
        {"http://a@[::1]", "user name"},
        {"http://a/#x", "fragment"},
        {"http://a#x", "fragment"},
        {"http://a/ b", "spaces"},
        {" http://a", "spaces"},
        {"http://a\r\nX: y", "spaces"},
        {"http://a\x7F", "spaces"},
        {"http://a\\b", "spaces"},
        {"http://a:0", "port"},
        {"http://a:65536", "port"},
        {"http://a:-1", "port"},
        {"http://a:80x", "port"},
        {"http://a:1:2", "port"},
        {"http://[::1]:99999", "port"},
        {"http://[::1", "not closed"},
        {"http://[::1]x", "not closed"},
        {"http://[::1]]:80", "not closed"},
        {"http://::1/", "no host"},
        {"http://[name]", "neither a name"},
        {"http://[1.2.3.4]", "neither a name"},
        {"http://[fe80::1%25eth0]", "neither a name"},
        {"http://a%62c", "neither a name"},
        {"http://a,b", "neither a name"},
        {"http://a]b", "neither a name"},
        {"http://\xC3\xA4.example", "neither a name"},
        {"http://a\"b", "neither a name"},
    };
    struct url url = {.port = 7};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error error = {0};
        enum err code = url_parse(str_from_cstr(rows[i][0]), &url, &error);
        if (code != ERR_INVALID || !strstr(error.message, rows[i][1]))
            fail_msg("%s: %d %s", rows[i][0], code, error.message);
        assert_string_equal(error.field, "url");
    }
    assert_int_equal(url_parse(STR_FROM("http://a\0b", 10), &url, NULL), ERR_INVALID);
    assert_int_equal(url_parse(STR_NONE, &url, NULL), ERR_INVALID);
    assert_int_equal(url.port, 7); /* untouched */
    char text[300];
    assert_int_equal(snprintf(text, sizeof text, "http://%0*d/", 255, 1), 263);
    assert_int_equal(url_parse(str_from_cstr(text), &url, NULL), ERR_OK);
    snprintf(text, sizeof text, "http://%0*d/", 256, 1);
    assert_int_equal(url_parse(str_from_cstr(text), &url, NULL), ERR_INVALID);
}

static void decoding(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", ""},
        {"plain", "plain"},
        {"%41%62%5a", "AbZ"},
        {"a%20b+c", "a b+c"},
        {"%e2%82%AC", "\xE2\x82\xAC"},
        {"%2541", "%41"},
        {"%ff", "\xFF"},
    };
    static const char *const broken[] = {"%",   "%4",   "a%",  "a%4",   "%zz",  "%4z",
                                         "%z4", "%%41", "%00", "a%00b", "% 41", "%+1"};
    struct arena *arena = arena_new(SIZE_MAX);
    struct str decoded = STR("same");
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        struct buf copy; /* without a NUL: reading over its end is noticed */
        buf_init(&copy, strlen(broken[i]));
        buf_append(&copy, str_from_cstr(broken[i]));
        if (url_decode(arena, buf_str(&copy), &decoded))
            fail_msg("taken: %s", broken[i]);
        buf_done(&copy);
    }
    assert_false(url_decode(arena, STR_FROM("a\0", 2), &decoded));
    assert_true(str_eq(decoded, STR("same")));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_true(url_decode(arena, str_from_cstr(rows[i][0]), &decoded));
        assert_string_equal(decoded.data, rows[i][1]);
        assert_int_equal(decoded.len, strlen(rows[i][1]));
    }
    arena_free(arena);
}

static void encoding(void **state)
{
    (void)state;
    struct arena *arena = arena_new(SIZE_MAX);
    struct buf out;
    buf_init(&out, 1000);
    url_encode(&out, STR("azAZ09-._~"));
    url_encode(&out, STR(" /?&=+%\"\x01\xC3\xA4"));
    assert_true(str_eq(buf_str(&out), STR("azAZ09-._~%20%2F%3F%26%3D%2B%25%22%01%C3%A4")));
    buf_clear(&out);
    url_encode(&out, STR_FROM("\0", 1));
    assert_true(str_eq(buf_str(&out), STR("%00")));
    buf_clear(&out);
    char bytes[255];
    for (int i = 0; i < 255; i++)
        bytes[i] = (char)(i + 1);
    struct str decoded;
    url_encode(&out, STR_FROM(bytes, 255));
    assert_true(url_decode(arena, buf_str(&out), &decoded));
    assert_true(str_eq(decoded, STR_FROM(bytes, 255)));
    buf_done(&out);
    arena_free(arena);
}

static void queries(void **state)
{
    (void)state;
    static const struct {
        const char *query, *name, *value; /* NULL: absent */
    } rows[] = {
        {"a=1&b=2", "a", "1"}, {"a=1&b=2", "b", "2"},    {"a=1&b=2", "c", NULL},
        {"", "a", NULL},       {"a", "a", ""},           {"a=", "a", ""},
        {"a=1&a=2", "a", "1"}, {"aa=1&a=2", "a", "2"},   {"a=x+y%20z%2B", "a", "x y z+"},
        {"a=b=c", "a", "b=c"}, {"%61=1", "a", "1"},      {"a+b=1", "a b", "1"},
        {"&&a=1&", "a", "1"},  {"a=%zz&a=1", "a", NULL}, {"%zz=1&a=2", "a", "2"},
        {"A=1", "a", NULL},    {"a=%00", "a", NULL},     {"a=%C3%A4", "a", "\xC3\xA4"},
    };
    struct arena *arena = arena_new(SIZE_MAX);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct str value =
            url_query_get(arena, str_from_cstr(rows[i].query), str_from_cstr(rows[i].name));
        if ((value.data == NULL) != (rows[i].value == NULL) ||
            !str_eq(value, str_from_cstr(rows[i].value)))
            fail_msg("%s %s: %.*s", rows[i].query, rows[i].name, STR_ARG(value));
    }
    assert_null(url_query_get(arena, STR_NONE, STR("a")).data);
    assert_null(url_query_get(arena, STR_FROM("a=1\0x", 5), STR("a")).data);
    arena_free(arena);
}

static void contained_paths(void **state)
{
    (void)state;
    static const char *const good[] = {
        "/",      "/v1/files",   "/a//b",         "/models/x:generateContent", "/a/..b/b../...",
        "/a;b/c", "/%C3%A4%20b", "/.well-known/x"};
    static const char *const bad[] = {
        "",        "a",       "@a",     "//a",    "/..",       "/.",    "/a/../b", "/a/./b",
        "/%2e%2E", "/.%2e/a", "/a%2fb", "/a%2Fb", "/a%5cb",    "/a\\b", "/a%00b",  "/a%25b",
        "/%252e",  "/a?b",    "/a#b",   "/a%3fb", "/a%23b",    "/a%",   "/a%4",    "/a%zz",
        "/a b",    "/a\rb",   "/a%0db", "/..;/a", "/%2e.;a/b", "/a/.;", "/a\x7f",  "/..%3b/a"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        if (!url_path_is_contained(str_from_cstr(good[i])))
            fail_msg("refused: %s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (url_path_is_contained(str_from_cstr(bad[i])))
            fail_msg("accepted: %s", bad[i]);
    assert_false(url_path_is_contained(STR_FROM("/a\0b", 4)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts),    cmocka_unit_test(refusals), cmocka_unit_test(decoding),
        cmocka_unit_test(encoding), cmocka_unit_test(queries),  cmocka_unit_test(contained_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
