/* The helpers that both ends of HTTP share. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/http.h"

static void method_names_round_trip(void **state)
{
    (void)state;
    for (unsigned i = 0; i < HTTP_METHOD_OTHER; i++) {
        struct str name = http_method_name((enum http_method)i);
        assert_int_equal(http_method_from_name(name), i);
    }
    assert_int_equal(http_method_from_name(STR("BREW")), HTTP_METHOD_OTHER);
    assert_int_equal(http_method_from_name(STR("get")), HTTP_METHOD_OTHER);
    assert_int_equal(http_method_from_name(STR("OTHER")), HTTP_METHOD_OTHER);
    assert_int_equal(http_method_from_name(STR_NONE), HTTP_METHOD_OTHER);
}

static void headers_are_found_without_case(void **state)
{
    (void)state;
    struct arena *arena = arena_new(4096);
    struct http_headers headers = {0};
    assert_null(http_headers_get(&headers, "host").data);
    char value[] = "one";
    http_headers_add(&headers, arena, STR("X-First"), str_from_cstr(value));
    value[0] = 'X'; /* the list has its own copy */
    http_headers_add(&headers, arena, STR("x-first"), STR("two"));
    http_headers_add(&headers, arena, STR("Empty"), STR(""));
    assert_true(str_eq(http_headers_get(&headers, "x-FIRST"), STR("one")));
    assert_non_null(http_headers_get(&headers, "empty").data);
    assert_null(http_headers_get(&headers, "x-firs").data);
    assert_int_equal(headers.count, 3);
    arena_free(arena);
}

static void tokens_are_found_in_every_field(void **state)
{
    (void)state;
    struct arena *arena = arena_new(4096);
    struct http_headers headers = {0};
    http_headers_add(&headers, arena, STR("Connection"), STR(" keep-alive ,Upgrade"));
    http_headers_add(&headers, arena, STR("connection"), STR("close"));
    assert_true(http_headers_has_token(&headers, "connection", "upgrade"));
    assert_true(http_headers_has_token(&headers, "connection", "keep-alive"));
    assert_true(http_headers_has_token(&headers, "connection", "close"));
    assert_false(http_headers_has_token(&headers, "connection", "grade"));
    assert_false(http_headers_has_token(&headers, "upgrade", "close"));
    arena_free(arena);
}

static void validity(void **state)
{
    (void)state;
    static const struct {
        struct str name, value;
        bool valid;
    } cases[] = {
        {{"x-a", 3}, {"b", 1}, true},
        {{"x-a", 3}, {"", 0}, true},
        {{"x-a", 3}, {"a\tb \xc3\xa9", 6}, true},
        {{"", 0}, {"b", 1}, false},
        {{"x a", 3}, {"b", 1}, false},
        {{"x:a", 3}, {"b", 1}, false},
        {{"x\0a", 3}, {"b", 1}, false},
        {{"x\xc3", 2}, {"b", 1}, false},
        {{"x-a", 3}, {"a\r\nb", 4}, false},
        {{"x-a", 3}, {"a\nb", 3}, false},
        {{"x-a", 3}, {"a\0b", 3}, false},
        {{"x-a", 3}, {"\x7f", 1}, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(http_header_is_valid(cases[i].name, cases[i].value), cases[i].valid);
}

/* Values are looked at eight bytes at a time, the last ones together with what is before them: each
 * place of every length. */
static void control_characters_are_found_anywhere(void **state)
{
    (void)state;
    static const char controls[] = {0, '\n', '\r', 0x1f, 0x7f};
    for (size_t size = 1; size <= 27; size++) {
        char *text = malloc(size);
        for (size_t at = 0; at < size; at++) {
            memset(text, at % 2 ? '\xff' : ' ', size);
            text[(at + 1) % size] = '\x80';
            assert_true(http_header_is_valid(STR("x-a"), STR_FROM(text, size)));
            text[at] = '\t';
            assert_true(http_header_is_valid(STR("x-a"), STR_FROM(text, size)));
            for (size_t i = 0; i < sizeof controls; i++) {
                text[at] = controls[i];
                assert_false(http_header_is_valid(STR("x-a"), STR_FROM(text, size)));
            }
        }
        free(text);
    }
}

static void names_are_tokens(void **state)
{
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        char name[] = {'x', (char)byte, 'y'};
        bool is_token = byte && strchr("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                       "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
                                       byte);
        assert_int_equal(http_header_is_valid(STR_FROM(name, sizeof name), STR("b")), is_token);
    }
}

static void names_compare_without_case(void **state)
{
    (void)state;
    assert_true(http_name_eq(STR("Accept"), STR("aCCEPT")));
    assert_true(http_name_eq(STR(""), STR("")));
    assert_false(http_name_eq(STR("accept"), STR("bccept")));
    assert_false(http_name_eq(STR("accept"), STR("accepu")));
    assert_false(http_name_eq(STR("accept"), STR("accep")));
    assert_false(
        http_name_eq(STR("@x"), STR("`x"))); /* differ by bit 5 alone, and are no letters */
}

static void reasons(void **state)
{
    (void)state;
    assert_string_equal(http_status_reason(404), "Not Found");
    assert_string_equal(http_status_reason(100), "Continue");
    assert_string_equal(http_status_reason(511), "Network Authentication Required");
    assert_string_equal(http_status_reason(299), "Unknown");
    assert_string_equal(http_status_reason(99), "Unknown");
    assert_string_equal(http_status_reason(512), "Unknown");
    assert_string_equal(http_status_reason(-1), "Unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(method_names_round_trip),
        cmocka_unit_test(headers_are_found_without_case),
        cmocka_unit_test(tokens_are_found_in_every_field),
        cmocka_unit_test(validity),
        cmocka_unit_test(control_characters_are_found_anywhere),
        cmocka_unit_test(names_are_tokens),
        cmocka_unit_test(names_compare_without_case),
        cmocka_unit_test(reasons),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
