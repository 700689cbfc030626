/* Proxy settings: parsing, NO_PROXY, the choice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above */
#include <cmocka.h>

#include "net/http_proxy.h"

static void test_parse(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host, *authorization;
        uint16_t port;
    } cases[] = {
        {"http://proxy.example:3128", "proxy.example", "", 3128},
        {"HTTP://proxy.example/", "proxy.example", "", 80},
        {"proxy.example:8080", "proxy.example", "", 8080},
        {" http://[2001:db8::1]:8080 ", "2001:db8::1", "", 8080},
        {"http://user:pass@10.0.0.1:1", "10.0.0.1", "Basic dXNlcjpwYXNz", 1},
        {"http://user@p:1", "p", "Basic dXNlcjo=", 1},
        {"http://a%40b:p%3Aq@p:1", "p", "Basic YUBiOnA6cQ==", 1},
        {"http://user:p@ss@p:1", "p", "Basic dXNlcjpwQHNz", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct arena *arena = arena_new(65536);
        struct http_proxy proxy;
        assert_int_equal(http_proxy_parse(str_from_cstr(cases[i].text), arena, &proxy, NULL),
                         ERR_OK);
        assert_true(str_eq(proxy.host, str_from_cstr(cases[i].host)));
        assert_true(str_eq(proxy.authorization, str_from_cstr(cases[i].authorization)));
        assert_int_equal(proxy.port, cases[i].port);
        arena_free(arena);
    }
}

static void test_parse_refuses(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "https://secret:secret@p:1",
        "socks5://secret@p:1",
        "http://",
        "http://secret:secret@",
        "http://p:0",
        "http://p:99999",
        "http://p:1/secret",
        "http://p:1?secret",
        "http://secret%4:x@p:1",
        "http://secret:x%00@p:1",
        "http://p:1\r\nSecret: 1",
        "http://p q:1",
        "http://user:secret@p:1#x",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct arena *arena = arena_new(65536);
        struct http_proxy proxy;
        struct error error = {0};
        assert_int_equal(http_proxy_parse(str_from_cstr(cases[i]), arena, &proxy, &error),
                         ERR_INVALID);
        assert_non_null(strstr(error.message, "proxy"));
        assert_null(strstr(error.message, "ecret"));
        arena_free(arena);
    }
}

static void test_exempt(void **state)
{
    (void)state;
    static const struct {
        const char *rules, *host;
        uint16_t port;
        bool exempt;
    } cases[] = {
        {"", "api.example", 443, false},
        {"*", "api.example", 443, true},
        {"a.example, api.example", "api.example", 443, true},
        {"a.example api.example", "API.Example", 443, true},
        {"example", "api.example", 443, true},
        {".example", "api.example", 443, true},
        {"*.example", "api.example", 443, true},
        {"pi.example", "api.example", 443, false},
        {"api.example", "example", 443, false},
        {"api.example", "api.example.evil", 443, false},
        {"api.example", "api.example.", 443, true},
        {"api.example:443", "api.example", 443, true},
        {"api.example:8443", "api.example", 443, false},
        {"api.example:x", "api.example", 443, false},
        {"10.1.2.3", "10.1.2.3", 80, true},
        {"10.1.2.3:81", "10.1.2.3", 80, false},
        {"1.2.3", "10.1.2.3", 80, false},
        {"10.0.0.0/8", "10.1.2.3", 80, true},
        {"10.0.0.0/8", "11.1.2.3", 80, false},
        {"10.1.2.0/23", "10.1.3.9", 80, true},
        {"10.1.2.0/23", "10.1.4.9", 80, false},
        {"0.0.0.0/0", "10.1.4.9", 80, true},
        {"0.0.0.0/0", "2001:db8::1", 80, false},
        {"10.0.0.0/33", "10.0.0.0", 80, false},
        {"10.0.0.0/", "10.0.0.0", 80, false},
        {"10.0.0.0/8", "name.example", 80, false},
        {"2001:db8::/32", "2001:db8:1::5", 80, true},
        {"2001:db8::/32", "2001:db9:1::5", 80, false},
        {"2001:db8::1", "2001:0db8:0::1", 80, true},
        {"[2001:db8::1]", "2001:db8::1", 80, true},
        {"[2001:db8::1]:80", "2001:db8::1", 80, true},
        {"[2001:db8::1]:81", "2001:db8::1", 80, false},
        {"[2001:db8::1", "2001:db8::1", 80, false},
        {",, ,", "api.example", 80, false},
        {".", "api.example", 80, false},
        {"", "localhost", 80, true},
        {"", "x.localhost", 80, true},
        {"", "notlocalhost", 80, false},
        {"", "127.9.9.9", 80, true},
        {"", "::1", 80, true},
        {"", "::2", 80, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool exempt = http_proxy_is_exempt(str_from_cstr(cases[i].rules),
                                           str_from_cstr(cases[i].host), cases[i].port);
        if (exempt != cases[i].exempt)
            fail_msg("\"%s\" for %s:%u", cases[i].rules, cases[i].host, cases[i].port);
    }
    assert_false(http_proxy_is_exempt(STR_NONE, STR("api.example"), 443));
}

static void test_select(void **state)
{
    (void)state;
    const struct http_proxy *proxy = NULL;
    struct http_proxy_rules *rules =
        http_proxy_rules_new(STR("http://s:1"), STR("http://p:2"), STR("quiet.example"));
    assert_int_equal(http_proxy_select(rules, true, STR("a"), 443, &proxy, NULL), ERR_OK);
    assert_int_equal(proxy->port, 1);
    assert_int_equal(http_proxy_select(rules, false, STR("a"), 80, &proxy, NULL), ERR_OK);
    assert_int_equal(proxy->port, 2);
    assert_int_equal(http_proxy_select(rules, false, STR("quiet.example"), 80, &proxy, NULL),
                     ERR_OK);
    assert_null(proxy);
    http_proxy_rules_free(rules);
}

static void test_wrong_setting_is_not_ignored(void **state)
{
    (void)state;
    const struct http_proxy *proxy = NULL;
    struct error error = {0};
    struct http_proxy_rules *rules =
        http_proxy_rules_new(STR("socks5://u:hush@s:1"), STR_NONE, STR("quiet.example"));
    assert_int_equal(http_proxy_select(rules, true, STR("a"), 443, &proxy, &error), ERR_INVALID);
    assert_non_null(strstr(error.message, "HTTPS_PROXY"));
    assert_null(strstr(error.message, "hush"));
    assert_int_equal(http_proxy_select(rules, false, STR("a"), 80, &proxy, NULL), ERR_OK);
    assert_null(proxy);
    assert_int_equal(http_proxy_select(rules, true, STR("quiet.example"), 443, &proxy, NULL),
                     ERR_OK);
    http_proxy_rules_free(rules);
    http_proxy_rules_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_parse_refuses),
        cmocka_unit_test(test_exempt),
        cmocka_unit_test(test_select),
        cmocka_unit_test(test_wrong_setting_is_not_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
