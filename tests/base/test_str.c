/* Borrowed strings: searching, cutting, numbers, distances. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* Every pair of bytes, at every place of names of every length: equal when they are, or when they
 * are one letter of ASCII in both cases. */
static void test_every_pair_nocase(void)
{
    char left[24], right[24];
    for (size_t len = 1; len <= sizeof left; len++)
        for (size_t at = 0; at < len; at++)
            for (int pair = 0; pair < 256 * 256; pair += len == 24 || len < 5 ? 1 : 31) {
                unsigned char a = (unsigned char)(pair >> 8), b = (unsigned char)pair;
                bool is_letter = (a | 0x20) >= 'a' && (a | 0x20) <= 'z';
                memset(left, 'q', sizeof left);
                memset(right, 'Q', sizeof right);
                left[at] = (char)a;
                right[at] = (char)b;
                bool is_same = a == b || (is_letter && (a ^ b) == 0x20);
                if (str_eq_nocase(STR_FROM(left, len), STR_FROM(right, len)) != is_same)
                    fail_msg("%d and %d at %zu of %zu", a, b, at, len);
            }
}

static void equality_and_order(void **state)
{
    (void)state;
    assert_null(str_from_cstr(NULL).data);
    assert_true(str_eq(STR_NONE, STR("")));
    assert_true(str_eq(STR("abc"), STR("abc")));
    assert_false(str_eq(STR("abc"), STR("abd")));
    assert_false(str_eq(STR("abc"), STR("ab")));
    assert_true(str_eq_nocase(STR("Content-Type"), STR("cONTENT-tYPE")));
    assert_false(str_eq_nocase(STR("a["), STR("A{")));
    test_every_pair_nocase();
    assert_true(str_starts_with(STR("abc"), STR("")));
    assert_true(str_starts_with(STR("abc"), STR("ab")));
    assert_false(str_starts_with(STR("ab"), STR("abc")));
    assert_true(str_starts_with_nocase(STR("HTTPS://x"), STR("https://")));
    assert_false(str_starts_with(STR("HTTPS://x"), STR("https://")));
    assert_true(str_ends_with(STR("abc"), STR("bc")));
    assert_true(str_ends_with(STR("abc"), STR("")));
    assert_false(str_ends_with(STR("abc"), STR("ab")));
    assert_false(str_ends_with(STR("c"), STR("bc")));
    assert_true(str_ends_with(STR_NONE, STR_NONE));
    static const struct str ascending[] = {{"", 0},   {"\0", 1}, {"A", 1}, {"a", 1},
                                           {"aa", 2}, {"ab", 2}, {"b", 1}, {"\xFF", 1}};
    for (size_t i = 0; i < COUNT(ascending); i++)
        for (size_t j = 0; j < COUNT(ascending); j++)
            assert_int_equal(str_compare(ascending[i], ascending[j]), i < j ? -1 : i > j);
}

static void finding(void **state)
{
    (void)state;
    assert_int_equal(str_find(STR("hello"), STR("l")), 2);
    assert_int_equal(str_find(STR("hello"), STR("lo")), 3);
    assert_int_equal(str_find(STR("hello"), STR("hello!")), SIZE_MAX);
    assert_int_equal(str_find(STR_NONE, STR("")), 0);
    assert_int_equal(str_find(STR_NONE, STR("x")), SIZE_MAX);
    assert_int_equal(str_find_nocase(STR("No-CACHE"), STR("cache")), 3);
    assert_int_equal(str_find_nocase(STR("abc"), STR("d")), SIZE_MAX);
    assert_int_equal(str_find_nocase(STR("ab"), STR("abc")), SIZE_MAX);
    assert_int_equal(str_find_nocase(STR_NONE, STR_NONE), 0);
    assert_int_equal(str_find_char(STR_FROM("a\0b", 3), '\0'), 1);
    assert_int_equal(str_find_char(STR("abc"), '\0'), SIZE_MAX);
    assert_int_equal(str_find_char(STR_NONE, 'a'), SIZE_MAX);
}

static void slices_are_clamped(void **state)
{
    (void)state;
    struct str s = STR("abcdef");
    assert_true(str_eq(str_slice(s, 2, 2), STR("cd")));
    assert_true(str_eq(str_slice(s, 4, SIZE_MAX), STR("ef")));
    assert_true(str_eq(str_slice(s, 0, SIZE_MAX), s));
    assert_int_equal(str_slice(s, 7, 1).len, 0);
    assert_int_equal(str_slice(s, SIZE_MAX, SIZE_MAX).len, 0);
    assert_non_null(str_slice(s, 7, 1).data);
    assert_true(str_eq(str_skip(s, 5), STR("f")));
    assert_null(str_skip(STR_NONE, 5).data);
    assert_true(str_eq(str_trim(STR(" \t\r\n\v\f a b \n")), STR("a b")));
    assert_int_equal(str_trim(STR(" \n ")).len, 0);
    assert_int_equal(str_trim(STR_FROM("\0", 1)).len, 1);
}

static void cutting_at_a_separator(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *parts[4];
    } rows[] = {
        {"a,b,c", {"a", "b", "c"}}, {"a", {"a"}},      {"", {""}}, {",", {"", ""}},
        {"a,", {"a", ""}},          {",a", {"", "a"}},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct str rest = str_from_cstr(rows[i].text);
        size_t part = 0;
        for (; rest.data; part++) {
            assert_true(part < 4 && rows[i].parts[part]);
            assert_true(str_eq(str_next(&rest, ','), str_from_cstr(rows[i].parts[part])));
        }
        assert_true(part == 4 || !rows[i].parts[part]);
    }
    struct str none = STR_NONE;
    assert_null(str_next(&none, ',').data);
}

static void unsigned_numbers(void **state)
{
    (void)state;
    uint64_t number = 7;
    static const char *const refused[] = {"",
                                          "-",
                                          "-1",
                                          "+1",
                                          " 1",
                                          "1 ",
                                          "1.0",
                                          "0x10",
                                          "18446744073709551616",
                                          "99999999999999999999",
                                          "100000000000000000000",
                                          "1\n",
                                          "a"};
    for (size_t i = 0; i < COUNT(refused); i++)
        assert_false(str_to_u64(str_from_cstr(refused[i]), &number));
    assert_false(str_to_u64(STR_NONE, &number));
    assert_false(str_to_u64(STR_FROM("1\0", 2), &number));
    assert_int_equal(number, 7);
    assert_true(str_to_u64(STR("18446744073709551615"), &number));
    assert_true(number == UINT64_MAX);
    assert_true(str_to_u64(STR("007"), &number));
    assert_int_equal(number, 7);
}

static void signed_numbers(void **state)
{
    (void)state;
    int64_t number = 7;
    static const char *const refused[] = {"",
                                          "-",
                                          "--1",
                                          "+1",
                                          "- 1",
                                          "9223372036854775808",
                                          "-9223372036854775809",
                                          "1-",
                                          "18446744073709551615"};
    for (size_t i = 0; i < COUNT(refused); i++)
        assert_false(str_to_i64(str_from_cstr(refused[i]), &number));
    assert_int_equal(number, 7);
    assert_true(str_to_i64(STR("9223372036854775807"), &number));
    assert_true(number == INT64_MAX);
    assert_true(str_to_i64(STR("-9223372036854775808"), &number));
    assert_true(number == INT64_MIN);
    assert_true(str_to_i64(STR("-0"), &number));
    assert_int_equal(number, 0);
}

static void real_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double value;
    } rows[] = {{"0", 0},
                {"-1.5", -1.5},
                {"1e3", 1000},
                {"2.5E-3", 0.0025},
                {"1E+2", 100},
                {"0.1", 0.1},
                {"5e-324", 0x1p-1074},
                {"1e-400", 0},
                {"1.7976931348623157e308", 0x1.fffffffffffffp1023}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        double value = -7;
        assert_true(str_to_double(str_from_cstr(rows[i].text), &value));
        assert_true(value == rows[i].value);
    }
    static const char *const refused[] = {"",      " 1",    "1 ",  "nan",  "inf",      "-inf",
                                          "1e999", "0x1",   "1e",  "e5",   "-",        ".",
                                          "--1",   "1.2.3", "1,5", "1\t1", "infinity", "+-1"};
    double value = 7;
    for (size_t i = 0; i < COUNT(refused); i++)
        assert_false(str_to_double(str_from_cstr(refused[i]), &value));
    assert_false(str_to_double(STR_FROM("1\0", 2), &value));
    assert_true(value == 7);
}

static void copies_cut_at_characters(void **state)
{
    (void)state;
    char copy[8];
    assert_true(str_copy(STR("1234567"), copy, sizeof copy));
    assert_string_equal(copy, "1234567");
    assert_false(str_copy(STR("12345678"), copy, sizeof copy));
    assert_string_equal(copy, "1234567");
    assert_false(str_copy(STR("12345\xE2\x82\xAC"), copy, sizeof copy));
    assert_string_equal(copy, "12345");
    assert_false(str_copy(STR("1234\xE2\x82\xAC!"), copy, sizeof copy));
    assert_string_equal(copy, "1234\xE2\x82\xAC");
    assert_true(str_copy(STR_NONE, copy, sizeof copy));
    assert_string_equal(copy, "");
    assert_false(str_copy(STR("ab"), copy, 1));
    assert_string_equal(copy, "");
}

static void hashes_are_fnv(void **state)
{
    (void)state;
    assert_true(str_hash(STR("")) == 0xcbf29ce484222325u);
    assert_true(str_hash(STR("a")) == 0xaf63dc4c8601ec8cu);
    assert_true(str_hash(STR("foobar")) == 0x85944171f73967e8u);
}

static void distances(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        size_t distance;
    } rows[] = {{"", "", 0},         {"a", "", 1},           {"kitten", "sitting", 3},
                {"flaw", "lawn", 2}, {"abc", "abc", 0},      {"abc", "acb", 2},
                {"port", "prot", 2}, {"abcdef", "uvwxyz", 6}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct str a = str_from_cstr(rows[i].a), b = str_from_cstr(rows[i].b);
        assert_int_equal(str_distance(a, b), rows[i].distance);
        assert_int_equal(str_distance(b, a), rows[i].distance);
    }
    char longest[65];
    memset(longest, 'a', sizeof longest);
    assert_int_equal(str_distance(STR_FROM(longest, 64), STR("")), 64);
    assert_int_equal(str_distance(STR_FROM(longest, 65), STR("")), SIZE_MAX);
    assert_int_equal(str_distance(STR(""), STR_FROM(longest, 65)), SIZE_MAX);
}

/* Of every length around the strides, with one difference at every place. */
static void what_is_shared_is_counted(void **state)
{
    (void)state;
    enum { LEN = 300 };
    char one[LEN], other[LEN];
    for (size_t i = 0; i < LEN; i++)
        one[i] = other[i] = (char)('a' + i % 23);
    for (size_t len = 0; len <= LEN; len += len < 20 ? 1 : 7) {
        struct str a = STR_FROM(one, len), b = STR_FROM(other, len);
        assert_int_equal(str_shared_prefix(a, b), len);
        assert_int_equal(str_shared_suffix(a, b), len);
        for (size_t i = 0; i < len; i++) {
            other[i] ^= 1;
            assert_int_equal(str_shared_prefix(a, b), i);
            assert_int_equal(str_shared_suffix(a, b), len - 1 - i);
            other[i] ^= 1;
        }
    }
    assert_int_equal(str_shared_prefix(STR("abc"), STR("abcde")), 3);
    assert_int_equal(str_shared_suffix(STR("de"), STR("abcde")), 2);
    assert_int_equal(str_shared_suffix(STR("abcde"), STR("")), 0);
    assert_int_equal(str_shared_prefix(STR_NONE, STR("x")), 0);
    assert_int_equal(str_shared_suffix(STR_NONE, STR_NONE), 0);
}

static void numbers_are_written(void **state)
{
    (void)state;
    char expected[32], text[STR_U64_BYTES_MAX + 1];
    for (uint64_t power = 1; power <= UINT64_MAX / 10; power *= 10) {
        const uint64_t numbers[] = {power - 1,      power,          power + 1,
                                    power * 10 - 1, power * 10 + 1, ~power};
        for (size_t i = 0; i < COUNT(numbers); i++) {
            int length = snprintf(expected, sizeof expected, "%" PRIu64, numbers[i]);
            text[length] = '!';
            assert_int_equal(str_from_u64(numbers[i], text), length);
            assert_memory_equal(text, expected, (size_t)length);
            assert_int_equal(text[length], '!'); /* nothing behind it */
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_shared_is_counted),
        cmocka_unit_test(equality_and_order),
        cmocka_unit_test(finding),
        cmocka_unit_test(slices_are_clamped),
        cmocka_unit_test(cutting_at_a_separator),
        cmocka_unit_test(unsigned_numbers),
        cmocka_unit_test(signed_numbers),
        cmocka_unit_test(real_numbers),
        cmocka_unit_test(copies_cut_at_characters),
        cmocka_unit_test(hashes_are_fnv),
        cmocka_unit_test(distances),
        cmocka_unit_test(numbers_are_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
