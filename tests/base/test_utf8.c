/* UTF-8: every code point, every wrong form, cutting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/utf8.h"

static void every_code_point_round_trips(void **state)
{
    (void)state;
    for (uint32_t code = 0; code <= 0x10FFFF; code++) {
        char bytes[4];
        size_t len = utf8_encode(code, bytes);
        size_t expected = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
        if (code >= 0xD800 && code <= 0xDFFF) {
            assert_int_equal(len, 3);
            assert_memory_equal(bytes, "\xEF\xBF\xBD", 3);
            continue;
        }
        if (len != expected || utf8_length_at(STR_FROM(bytes, len), 0) != len ||
            utf8_count(STR_FROM(bytes, len)) != 1)
            fail_msg("U+%04X", code);
        uint32_t again = (unsigned char)bytes[0] & (len == 1 ? 0x7F : 0xFFu >> (len + 1));
        for (size_t i = 1; i < len; i++)
            again = again << 6 | ((unsigned char)bytes[i] & 0x3F);
        assert_int_equal(again, code);
    }
    char bytes[4];
    assert_int_equal(utf8_encode(0x110000, bytes), 3);
    assert_memory_equal(bytes, "\xEF\xBF\xBD", 3);
}

static void wrong_forms_are_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "\x80",             /* continuation alone */
        "\xC0\x80",         /* overlong NUL */
        "\xC1\xBF",         /* overlong */
        "\xE0\x80\x80",     /* overlong */
        "\xE0\x9F\xBF",     /* overlong */
        "\xED\xA0\x80",     /* surrogate */
        "\xED\xBF\xBF",     /* surrogate */
        "\xF0\x80\x80\x80", /* overlong */
        "\xF0\x8F\xBF\xBF", /* overlong */
        "\xF4\x90\x80\x80", /* over U+10FFFF */
        "\xF5\x80\x80\x80", /* no such lead */
        "\xFE",
        "\xFF",
        "\xC3",
        "\xC3(",
        "\xE2\x82",
        "\xE2(\xAC",
        "\xE2\x82(",
        "\xF0\x9F\x98",
        "\xF0(\x98\x80",
        "\xF0\x9F(\x80",
        "\xF0\x9F\x98(",
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[64];
        for (size_t before = 0; before < 20; before++) { /* at every place in a word of eight */
            memset(text, 'a', before);
            strcpy(text + before, rows[i]);
            size_t at = 99;
            assert_false(utf8_valid(str_from_cstr(text), &at));
            assert_int_equal(at, before);
            strcat(text, "aaaaaaaaaa");
            assert_false(utf8_valid(str_from_cstr(text), NULL));
        }
        assert_int_equal(utf8_length_at(str_from_cstr(rows[i]), 0), 0);
    }
    size_t at = 99;
    assert_true(utf8_valid(STR_NONE, &at));
    assert_true(utf8_valid(STR("plain \xC3\xA4 \xE2\x82\xAC \xF0\x9F\x98\x80 and more text"), &at));
    assert_true(utf8_valid(STR_FROM("\0", 1), &at));
    assert_int_equal(at, 99);
    assert_int_equal(utf8_length_at(STR("a"), 1), 0);
}

static void cuts_between_characters(void **state)
{
    (void)state;
    struct str s = STR("a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80z");
    static const size_t cuts[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 11};
    for (size_t max = 0; max < sizeof cuts / sizeof cuts[0]; max++)
        assert_int_equal(utf8_cut(s, max), cuts[max]);
    assert_int_equal(utf8_cut(s, SIZE_MAX), 11);
    /* The text itself may end inside a character. */
    for (size_t len = 0; len <= s.len; len++)
        assert_int_equal(utf8_cut(STR_FROM(s.data, len), SIZE_MAX), cuts[len]);
    assert_int_equal(utf8_cut(STR("aaa\x80\x80"), 3), 3); /* bytes that belong to no character */
    assert_int_equal(utf8_cut(STR("\x80\x80\x80\x80\x80"), 4), 4);
    assert_int_equal(utf8_cut(STR_NONE, 5), 0);
    assert_int_equal(utf8_count(s), 5);
}

static void repairs_byte_by_byte(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", ""},
        {"all \xC3\xA4 well", "all \xC3\xA4 well"},
        {"\xFF", "\xEF\xBF\xBD"},
        {"a\x80"
         "b",
         "a\xEF\xBF\xBD"
         "b"},
        {"long enough for a word \xE2\x82", "long enough for a word \xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xC3\xA4\xC3", "\xC3\xA4\xEF\xBF\xBD"},
        {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf out;
        buf_init(&out, 200);
        utf8_repair(&out, str_from_cstr(rows[i][0]));
        assert_true(str_eq(buf_str(&out), str_from_cstr(rows[i][1])));
        buf_done(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_round_trips),
        cmocka_unit_test(wrong_forms_are_refused),
        cmocka_unit_test(cuts_between_characters),
        cmocka_unit_test(repairs_byte_by_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
