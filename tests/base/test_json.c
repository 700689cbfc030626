/* JSON: what is read and what is refused (the rules of RFC 8259), and writing that reads back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/random.h"
#include "base/utf8.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define ROW(literal)                                                                               \
    {                                                                                              \
        "" literal, sizeof(literal) - 1                                                            \
    }

/* Texts that every parser must take. */
static const struct str valid[] = {
    ROW("null"),
    ROW("true"),
    ROW("false"),
    ROW("0"),
    ROW("-0"),
    ROW("-1"),
    ROW("\"\""),
    ROW("[]"),
    ROW("{}"),
    ROW(" \t\r\n1 \t\r\n"),
    ROW("[[]   ]"),
    ROW("[\"\"]"),
    ROW("[null, 1, \"1\", {}]"),
    ROW("[1\n]"),
    ROW("[ 4]"),
    ROW("[123]"),
    ROW("[123e65]"),
    ROW("[0e+1]"),
    ROW("[0e1]"),
    ROW("[1E22]"),
    ROW("[1E-2]"),
    ROW("[1E+2]"),
    ROW("[123e45]"),
    ROW("[123.456e78]"),
    ROW("[1e-2]"),
    ROW("[1e+2]"),
    ROW("[123.456789]"),
    ROW("[-0.0]"),
    ROW("[-123]"),
    ROW("[20e1]"),
    ROW("[0.000000000000000000000000000000000000000000000000000000000000000000000001]"),
    ROW("{\"a\":1,\"b\":2}"),
    ROW("{\"a\":\"b\",\"a\":\"c\"}"),
    ROW("{\"\":0}"),
    ROW("{\"foo\\u0000bar\": 42}"),
    ROW("{ \"min\": -1.0e+28, \"max\": 1.0e+28 }"),
    ROW("[\"\\u0060\\u012a\\u12AB\"]"),
    ROW("[\"\\uD801\\udc37\"]"),
    ROW("[\"\\ud83d\\ude39\"]"),
    ROW("[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]"),
    ROW("[\"\\\\u0000\"]"),
    ROW("[\"\\u0000\"]"),
    ROW("[\"\\uFFFF\"]"),
    ROW("[\"\\uDBFF\\uDFFF\"]"),
    ROW("[\"a/*b*/c\"]"),
    ROW("[\"\x7F\"]"),
    ROW("[\"\xE2\x82\xAC\xF0\x9D\x84\x9E\"]"),
    ROW("[\"\xEF\xBB\xBF\"]"),
    ROW("[\"\xE2\x80\xA8\xE2\x80\xA9\"]"),
    ROW("[\"\xF4\x8F\xBF\xBF\"]"),
    ROW("[\"new\\u00A0line\"]"),
};

/* Texts that every parser must refuse. */
static const struct str invalid[] = {
    ROW(""),
    ROW(" "),
    ROW("[1 true]"),
    ROW("[\"\": 1]"),
    ROW("[\"\"],"),
    ROW("[,1]"),
    ROW("[1,,2]"),
    ROW("[\"x\"]]"),
    ROW("[\"\",]"),
    ROW("[\"x\""),
    ROW("[x"),
    ROW("[3[4]]"),
    ROW("[1:2]"),
    ROW("[,]"),
    ROW("[-]"),
    ROW("[   , \"\"]"),
    ROW("[1,\n1\n,1"),
    ROW("[1,]"),
    ROW("[1,,]"),
    ROW("[*]"),
    ROW("[\"\""),
    ROW("[1,"),
    ROW("[1"),
    ROW("[{}"),
    ROW("[fals]"),
    ROW("[nul]"),
    ROW("[tru]"),
    ROW("[True]"),
    ROW("[++1234]"),
    ROW("[+1]"),
    ROW("[+Inf]"),
    ROW("[-01]"),
    ROW("[-1.0.]"),
    ROW("[-2.]"),
    ROW("[-NaN]"),
    ROW("[.-1]"),
    ROW("[.2e-3]"),
    ROW("[0.1.2]"),
    ROW("[0.3e+]"),
    ROW("[0.3e]"),
    ROW("[0.e1]"),
    ROW("[0E+]"),
    ROW("[0E]"),
    ROW("[1.0e+]"),
    ROW("[1.0e-]"),
    ROW("[1.0e]"),
    ROW("[1 000.0]"),
    ROW("[1eE2]"),
    ROW("[2.e+3]"),
    ROW("[9.e+]"),
    ROW("[Inf]"),
    ROW("[NaN]"),
    ROW("[\xEF\xBC\x91]"),
    ROW("[1+2]"),
    ROW("[0x1]"),
    ROW("[0x42]"),
    ROW("[Infinity]"),
    ROW("[0e+-1]"),
    ROW("[-123.123foo]"),
    ROW("[-Infinity]"),
    ROW("[-foo]"),
    ROW("[- 1]"),
    ROW("[-012]"),
    ROW("[-.123]"),
    ROW("[-1x]"),
    ROW("[1ea]"),
    ROW("[1.]"),
    ROW("[.123]"),
    ROW("[1.2a-3]"),
    ROW("[1.8011670033376514H-308]"),
    ROW("[012]"),
    ROW("[\"x\", truth]"),
    ROW("{[: \"x\"}"),
    ROW("{\"x\", null}"),
    ROW("{\"x\"::\"b\"}"),
    ROW("{\"a\":\"a\" 123}"),
    ROW("{key: 'value'}"),
    ROW("{\"a\" b}"),
    ROW("{:\"b\"}"),
    ROW("{\"a\"}"),
    ROW("{\"a\":"),
    ROW("{1:1}"),
    ROW("{null:null}"),
    ROW("{\"id\":0,,,,,}"),
    ROW("{'a':0}"),
    ROW("{\"id\":0,}"),
    ROW("{\"a\":\"b\"}/**/"),
    ROW("{\"a\":\"b\"}//"),
    ROW("{\"a\":\"b\",,\"c\":\"d\"}"),
    ROW("{a: \"b\"}"),
    ROW("{\"a\":\"a"),
    ROW("{ \"foo\" : \"bar\", \"a\" }"),
    ROW("{\"a\":\"b\"}#"),
    ROW("[\"\\uD800\\\"]"),
    ROW("[\"\\uD800\\u\"]"),
    ROW("[\"\\uD800\\u1\"]"),
    ROW("[\"\\uD800\\u1x\"]"),
    ROW("[\xC3\xA9]"),
    ROW("[\"\\x00\"]"),
    ROW("[\"\\\\\\\"]"),
    ROW("[\"\\\t\"]"),
    ROW("[\"\\\xF0\x9F\x8C\x80\"]"),
    ROW("[\"\\\"]"),
    ROW("[\"\\u00A\"]"),
    ROW("[\"\\uD834\\uDd\"]"),
    ROW("[\"\\uD800\\uD800\\x\"]"),
    ROW("[\"\\a\"]"),
    ROW("[\"\\uqqqq\"]"),
    ROW("[\\u0020\"asd\"]"),
    ROW("[\\n]"),
    ROW("\""),
    ROW("['single quote']"),
    ROW("abc"),
    ROW("[\"a\x00"
        "a\"]"),
    ROW("[\"new\nline\"]"),
    ROW("[\"\t\"]"),
    ROW("[\"\x1F\"]"),
    ROW("\"\\UA66D\""),
    ROW("\"\"x"),
    ROW("<.>"),
    ROW("[<null>]"),
    ROW("[1]x"),
    ROW("[1]]"),
    ROW("aa"),
    ROW("]"),
    ROW("}"),
    ROW("{\"x\": true,"),
    ROW("[][]"),
    ROW("{}}"),
    ROW("{\"\":"),
    ROW("{\"a\": true} \"x\""),
    ROW("{\"a\": /*comment*/\"b\"}"),
    ROW("{'a'"),
    ROW("{,"),
    ROW("{["),
    ROW("[{"),
    ROW("[a"),
    ROW("[\"a\",\n4\n,1,"),
    ROW("123\x00"),
    ROW("1 2"),
    ROW("[\f1]"),
    ROW("[\xC2\xA0"
        "1]"),
    ROW("[\xE2\x81\xA0]"),
    ROW("\xEF\xBB\xBF"),
    ROW("\xEF\xBB\xBF{}"),
    ROW("[\x0B]"),
    ROW("\x00"),
    ROW("*"),
    ROW("{\"a\":\"b\"}\x00"),
    /* Where parsers differ, ours refuses: halves of pairs, numbers over a double, and bytes that
     * are not UTF-8. */
    ROW("[\"\\uD800\"]"),
    ROW("[\"\\uDFAA\"]"),
    ROW("[\"\\uD888\\u1234\"]"),
    ROW("[\"\\uDd1e\\uD834\"]"),
    ROW("[\"\\uD800\\n\"]"),
    ROW("[123.456e-789e1]"),
    ROW("[1e999]"),
    ROW("[-1e9999]"),
    ROW("[\"\xFF\"]"),
    ROW("[\"\x81\"]"),
    ROW("[\"\xC0\xAF\"]"),
    ROW("[\"\xED\xA0\x80\"]"),
    ROW("[\"\xE6\x97\xA5\xD1\x88\xFA\"]"),
    ROW("[\"\xF4\xBF\xBF\xBF\"]"),
    ROW("[\"\xFC\x83\xBF\xBF\xBF\xBF\"]"),
    ROW("[\"\xE0\xFF\"]"),
    ROW("\xFE\xFF"),
    ROW("[\x00\"\x00\xE9\x00\"\x00]\x00"),
};

static void every_valid_text_is_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(valid); i++) {
        struct arena *arena = arena_new(SIZE_MAX);
        yyjson_val *root = NULL;
        struct error error = {0};
        if (json_read(arena, valid[i], &root, &error) != ERR_OK)
            fail_msg("refused: %s (%s)", valid[i].data, error.message);
        assert_non_null(root);
        arena_free(arena);
    }
}

static void every_invalid_text_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(invalid); i++) {
        struct arena *arena = arena_new(SIZE_MAX);
        yyjson_val *root = NULL;
        struct error error = {0};
        if (json_read(arena, invalid[i], &root, &error) != ERR_INVALID)
            fail_msg("taken: row %zu, %s", i, invalid[i].data);
        assert_null(root);
        assert_true(strstr(error.message, "not valid JSON") && strstr(error.message, "at byte"));
        assert_int_equal(json_read(arena, invalid[i], &root, NULL), ERR_INVALID);
        arena_free(arena);
    }
    yyjson_val *root;
    struct error error;
    struct arena *arena = arena_new(SIZE_MAX);
    assert_int_equal(json_read(arena, STR_NONE, &root, &error), ERR_INVALID);
    assert_int_equal(json_read(arena, STR("{\"a\": tru}"), &root, &error), ERR_INVALID);
    assert_non_null(strstr(error.message, "byte 6"));
    arena_free(arena);
}

/* `levels` brackets: arrays, objects, or both in turn, with siblings beside. */
static enum err read_nested(size_t levels, const char *open, const char *close)
{
    struct arena *arena = arena_new(SIZE_MAX);
    struct buf text;
    yyjson_val *root;
    buf_init(&text, 10000000);
    for (size_t i = 0; i < levels; i++)
        buf_append(&text, str_from_cstr(open));
    buf_append(&text, STR("1"));
    for (size_t i = 0; i < levels; i++)
        buf_append(&text, str_from_cstr(close));
    enum err code = json_read(arena, buf_str(&text), &root, NULL);
    buf_done(&text);
    arena_free(arena);
    return code;
}

static void nesting_has_a_limit(void **state)
{
    (void)state;
    static const char *const rows[][2] = {{"[", "]"},
                                          {"{\"a\":", "}"},
                                          {"[[],{},[[]],", "]"},
                                          {"{\"x\":[1,[2]],\"y\":{},\"a\":", ",\"z\":[[3]]}"}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(read_nested(JSON_DEPTH_MAX - 2, rows[i][0], rows[i][1]), ERR_OK);
        assert_int_equal(read_nested(JSON_DEPTH_MAX + 1, rows[i][0], rows[i][1]), ERR_INVALID);
        assert_int_equal(read_nested(50000, rows[i][0], rows[i][1]), ERR_INVALID);
    }
    assert_int_equal(read_nested(JSON_DEPTH_MAX, "[", "]"), ERR_OK);
    assert_int_equal(read_nested(JSON_DEPTH_MAX, "{\"a\":", "}"), ERR_OK);
    struct arena *arena = arena_new(SIZE_MAX);
    yyjson_val *root;
    struct buf wide; /* many containers beside each other are not deep */
    buf_init(&wide, 100000);
    buf_append_char(&wide, '[');
    for (int i = 0; i < 1000; i++)
        buf_append(&wide, STR("{\"a\":[]},"));
    buf_append(&wide, STR("1]"));
    assert_int_equal(json_read(arena, buf_str(&wide), &root, NULL), ERR_OK);
    buf_done(&wide);
    arena_free(arena);
}

static yyjson_val *read_ok(struct arena *arena, const char *text)
{
    yyjson_val *root = NULL;
    assert_int_equal(json_read(arena, str_from_cstr(text), &root, NULL), ERR_OK);
    return root;
}

static void lookups_take_anything(void **state)
{
    (void)state;
    struct arena *arena = arena_new(SIZE_MAX);
    char text[] = "{\"a\":{\"b\":\"x\"},\"n\":5,\"t\":true,\"d\":1.5,\"a\":\"second\",\"z\":null}";
    yyjson_val *root = read_ok(arena, text);
    memset(text, '#', sizeof text - 1);                                    /* the text may go */
    assert_true(str_eq(json_get_str(json_get(root, "a"), "b"), STR("x"))); /* the first one */
    assert_null(json_get_str(json_get(json_get(root, "no"), "no"), "no").data);
    assert_null(json_get_str(json_get(root, "n"), "b").data);
    assert_null(json_get(NULL, "a"));
    assert_null(json_str(NULL).data);
    int64_t number = 7;
    double real = 7;
    bool truth = true;
    assert_false(json_get_int(root, "a", &number) || json_get_int(root, "t", &number));
    assert_false(json_get_int(root, "d", &number) || json_get_int(NULL, "d", &number));
    assert_false(json_get_double(root, "a", &real) || json_get_double(root, "z", &real));
    assert_false(json_get_bool(root, "n", &truth) || json_get_bool(root, "z", &truth));
    assert_true(number == 7 && real == 7 && truth);
    assert_true(json_get_int(root, "n", &number) && number == 5);
    assert_true(json_get_double(root, "n", &real) && real == 5);
    assert_true(json_get_double(root, "d", &real) && real == 1.5);
    assert_true(str_eq(json_text(arena, json_get(root, "a")), STR("{\"b\":\"x\"}")));
    assert_true(str_eq(json_text(arena, NULL), STR("null")));
    arena_free(arena);
}

static void integers_and_their_limits(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        int64_t value;
    } rows[] = {
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"18446744073709551615", false, 0},
        {"1e3", true, 1000},
        {"2.0", true, 2},
        {"-2.0", true, -2},
        {"-0.0", true, 0},
        {"-0", true, 0},
        {"1e18", true, 1000000000000000000},
        {"-9223372036854774784.0", true, INT64_MIN + 1024},
        {"9223372036854775808.0", false, 0},
        {"1e19", false, 0},
        {"0.5", false, 0},
        {"1e-400", true, 0},
        {"\"5\"", false, 0},
        {"true", false, 0},
        {"[5]", false, 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct arena *arena = arena_new(SIZE_MAX);
        int64_t value = 0;
        if (json_int(read_ok(arena, rows[i].text), &value) != rows[i].ok || value != rows[i].value)
            fail_msg("%s", rows[i].text);
        arena_free(arena);
    }
}

static void assert_json(struct buf *out, const char *expected)
{
    assert_true(buf_ok(out));
    if (!str_eq(buf_str(out), str_from_cstr(expected)))
        fail_msg("%.*s instead of %s", STR_ARG(buf_str(out)), expected);
    buf_clear(out);
}

static void writes_all_kinds(void **state)
{
    (void)state;
    struct arena *arena = arena_new(SIZE_MAX);
    struct buf out;
    struct json_writer w;
    buf_init(&out, 10000);
    json_writer_init(&w, &out);
    json_begin_object(&w);
    json_key_str(&w, "s", STR("x"));
    json_key_str(&w, "none", STR_NONE);
    json_key_int(&w, "i", INT64_MIN);
    json_key_double(&w, "d", 0.1);
    json_key_bool(&w, "b", true);
    json_key_null(&w, "n");
    json_key_raw(&w, "r", STR("[1]"));
    json_key_raw(&w, "e", STR(""));
    json_key_object(&w, "o");
    json_end_object(&w);
    json_key_array(&w, "a");
    json_begin_array(&w);
    json_end_array(&w);
    json_put_val(&w, NULL);
    json_put_val(&w, read_ok(arena, "{ \"k\" : [ 1.50 ] }"));
    json_begin_str(&w);
    json_str_part(&w, STR("a\""));
    json_str_part(&w, STR("b"));
    json_str_base64(&w, STR("foob"));
    json_str_base64(&w, STR(""));
    json_end_str(&w);
    json_put_bool(&w, false);
    json_end_array(&w);
    json_key(&w, STR("k\"\n"));
    json_put_int(&w, 0);
    json_end_object(&w);
    assert_json(&out, "{\"s\":\"x\",\"none\":null,\"i\":-9223372036854775808,\"d\":0.1,\"b\":true,"
                      "\"n\":null,\"r\":[1],\"e\":null,\"o\":{},\"a\":[[],null,{\"k\":[1.5]},"
                      "\"a\\\"bZm9vYg==\",false],\"k\\\"\\n\":0}");
    buf_done(&out);
    arena_free(arena);
}

static void escapes(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 10000);
    static const struct {
        struct str text;
        const char *expected;
    } rows[] = {
        {ROW(""), ""},
        {ROW("plain / text"), "plain / text"},
        {ROW("\"\\"), "\\\"\\\\"},
        {ROW("\b\f\n\r\t"), "\\b\\f\\n\\r\\t"},
        {ROW("\x00\x01\x1f\x7f"), "\\u0000\\u0001\\u001f\\u007f"},
        {ROW("\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80"), "\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80"},
        {ROW("a\xFF"
             "b"),
         "a\xEF\xBF\xBD"
         "b"},
        {ROW("\xE2\x82"), "\xEF\xBF\xBD\xEF\xBF\xBD"},
        {ROW("\xC3\""), "\xEF\xBF\xBD\\\""},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        json_escape(&out, rows[i].text);
        assert_json(&out, rows[i].expected);
    }
    buf_done(&out);
}

/* Eight or sixteen bytes are looked at together: each byte at each place in more than one of those. */
static void every_byte_is_escaped_at_every_place(void **state)
{
    (void)state;
    struct buf out, alone;
    buf_init(&out, 1000);
    buf_init(&alone, 1000);
    for (int byte = 0; byte < 256; byte++)
        for (size_t at = 0; at < 41; at++) {
            char text[41];
            buf_clear(&out);
            buf_clear(&alone);
            memset(text, 'a', sizeof text);
            text[at] = (char)byte;
            json_escape(&out, STR_FROM(text, sizeof text));
            json_escape(&alone, STR_FROM(text + at, 1));
            assert_int_equal(out.len, sizeof text - 1 + alone.len);
            assert_memory_equal(out.data + at, alone.data, alone.len);
            assert_true(json_is_plain(STR_FROM(text, sizeof text)) == (alone.len == 1));
        }
    buf_done(&out);
    buf_done(&alone);
}

/* Text is looked at 64, 16 and 8 bytes at a time, the last ones together with what is before them:
 * every length, with the exact memory, and every place in it. */
static void one_byte_is_found_in_texts_of_every_length(void **state)
{
    (void)state;
    static const unsigned char bytes[] = {0, 0x1f, 0x20, '"', '\\', '~', 0x7f, 0x80, 0xff};
    struct buf out, alone;
    struct json_writer w;
    buf_init(&out, 1000);
    buf_init(&alone, 1000);
    for (size_t size = 1; size < 200; size++) {
        char *text = malloc(size);
        memset(text, 'a', size);
        for (size_t at = 0; at < size; at++, text[at - 1] = 'a')
            for (size_t i = 0; i < sizeof bytes; i++) {
                buf_clear(&out);
                buf_clear(&alone);
                text[at] = (char)bytes[i];
                json_writer_init(&w, &out);
                json_put_str(&w, STR_FROM(text, size));
                json_escape(&alone, STR_FROM(text + at, 1));
                assert_int_equal(out.len, size - 1 + alone.len + 2);
                assert_memory_equal(out.data + 1 + at, alone.data, alone.len);
                assert_memory_equal(out.data + 1 + at + alone.len, text + at + 1, size - at - 1);
                assert_true(out.data[0] == '"' && out.data[out.len - 1] == '"');
            }
        free(text);
    }
    buf_done(&out);
    buf_done(&alone);
}

static void any_bytes_become_a_string_that_reads_back(void **state)
{
    (void)state;
    struct random random;
    random_init(&random, 9);
    for (int round = 0; round < 3000; round++) {
        struct arena *arena = arena_new(SIZE_MAX);
        char bytes[40];
        struct buf out, repaired;
        struct json_writer w;
        yyjson_val *root;
        buf_init(&out, 10000);
        buf_init(&repaired, 10000);
        json_writer_init(&w, &out);
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (char)(round % 2 ? random_below(&random, 256) : random_below(&random, 128));
        struct str text = STR_FROM(bytes, (size_t)random_below(&random, sizeof bytes));
        json_put_str(&w, text);
        assert_int_equal(json_read(arena, buf_str(&out), &root, NULL), ERR_OK);
        utf8_repair(&repaired, text);
        if (json_is_plain(text))
            assert_true(str_eq(text, str_slice(buf_str(&out), 1, out.len - 2)));
        assert_true(str_eq(json_str(root), buf_str(&repaired)));
        buf_done(&out);
        buf_done(&repaired);
        arena_free(arena);
    }
}

static void assert_double_round_trips(double value)
{
    struct arena *arena = arena_new(SIZE_MAX);
    struct buf out;
    struct json_writer w;
    char shorter[400];
    buf_init(&out, 100);
    json_writer_init(&w, &out);
    json_put_double(&w, value);
    yyjson_val *root;
    assert_int_equal(json_read(arena, buf_str(&out), &root, NULL), ERR_OK);
    if (yyjson_get_num(root) != value)
        fail_msg("%.17g became %.*s", value, STR_ARG(buf_str(&out)));
    int digits = 0; /* of the mantissa; zeros at its ends do not count */
    for (size_t i = 0; i < out.len && out.data[i] != 'e'; i++)
        digits += (out.data[i] >= '1' && out.data[i] <= '9') || (out.data[i] == '0' && digits);
    if (digits > 1 && str_find_char(buf_str(&out), '.') != SIZE_MAX) {
        snprintf(shorter, sizeof shorter, "%.*g", digits - 1, value);
        assert_true(strtod(shorter, NULL) != value);
    }
    buf_done(&out);
    arena_free(arena);
}

static void doubles_round_trip_in_shortest_form(void **state)
{
    (void)state;
    static const double rows[] = {0.1,
                                  0.1 + 0.2,
                                  1.0 / 3,
                                  5e-324,
                                  1e23,
                                  1e21,
                                  123456789012345680.0,
                                  DBL_MAX,
                                  DBL_MIN,
                                  2.2250738585072011e-308,
                                  5.000000000000001,
                                  9007199254740993.0,
                                  -1.5,
                                  0.7,
                                  1e-7,
                                  100};
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_double_round_trips(rows[i]);
    struct random random;
    random_init(&random, 13);
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = random_next(&random);
        double value;
        memcpy(&value, &bits, sizeof value);
        if (isfinite(value))
            assert_double_round_trips(value);
        assert_double_round_trips((double)random_below(&random, 100000) / 1000);
    }
    static const struct {
        double value;
        const char *text;
    } texts[] = {{0.1, "0.1"},
                 {1, "1"},
                 {0, "0"},
                 {-0.0, "-0.0"},
                 {1e300, "1e+300"},
                 {-0.5, "-0.5"},
                 {5e-324, "5e-324"},
                 {NAN, "null"},
                 {INFINITY, "null"},
                 {-INFINITY, "null"},
                 {5.000000000000001, "5.000000000000001"}};
    struct buf out;
    buf_init(&out, 100);
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct json_writer w;
        json_writer_init(&w, &out);
        json_put_double(&w, texts[i].value);
        assert_json(&out, texts[i].text);
    }
    buf_done(&out);
}

static void floats_round_trip_in_short_form(void **state)
{
    (void)state;
    static const struct {
        float value;
        const char *text;
    } texts[] = {{0.1f, "0.1"},
                 {1, "1"},
                 {0, "0"},
                 {-0.0f, "-0.0"},
                 {-0.5f, "-0.5"},
                 {0.006929283f, "0.006929283"},
                 {16777216, "16777216"},
                 {1e-10f, "0.0000000001"},
                 {1e20f, "1e+20"},
                 {NAN, "null"},
                 {-INFINITY, "null"}};
    struct arena *arena = arena_new(SIZE_MAX);
    struct random random;
    struct buf out;
    struct json_writer w;
    buf_init(&out, 100);
    for (size_t i = 0; i < COUNT(texts); i++) {
        json_writer_init(&w, &out);
        json_put_float(&w, texts[i].value);
        assert_json(&out, texts[i].text);
    }
    random_init(&random, 17);
    for (int i = 0; i < 100000; i++) {
        uint32_t bits = (uint32_t)random_next(&random);
        float value, again;
        yyjson_val *root;
        bits = i % 2 ? bits : (bits & 0x83ffffff) | 0x3c000000; /* as embeddings have them */
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value))
            continue;
        buf_clear(&out);
        json_writer_init(&w, &out);
        json_put_float(&w, value);
        assert_int_equal(json_read(arena, buf_str(&out), &root, NULL), ERR_OK);
        again = (float)yyjson_get_num(root);
        if (memcmp(&value, &again, sizeof value) != 0)
            fail_msg("%.9g became %.*s", (double)value, STR_ARG(buf_str(&out)));
        arena_reset(arena);
    }
    buf_done(&out);
    arena_free(arena);
}

static void what_does_not_fit_is_told(void **state)
{
    (void)state;
    struct buf out;
    struct json_writer w;
    buf_init(&out, 8);
    json_writer_init(&w, &out);
    json_put_str(&w, STR("123456"));
    assert_true(buf_ok(&out));
    buf_clear(&out);
    json_writer_init(&w, &out);
    json_put_str(&w, STR("1234567"));
    assert_false(buf_ok(&out));
    buf_clear(&out);
    json_writer_init(&w, &out);
    json_begin_str(&w);
    json_str_base64(&w, STR("foobar"));
    json_end_str(&w);
    assert_false(buf_ok(&out));
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_valid_text_is_read),
        cmocka_unit_test(every_invalid_text_is_refused),
        cmocka_unit_test(nesting_has_a_limit),
        cmocka_unit_test(lookups_take_anything),
        cmocka_unit_test(integers_and_their_limits),
        cmocka_unit_test(writes_all_kinds),
        cmocka_unit_test(escapes),
        cmocka_unit_test(every_byte_is_escaped_at_every_place),
        cmocka_unit_test(one_byte_is_found_in_texts_of_every_length),
        cmocka_unit_test(any_bytes_become_a_string_that_reads_back),
        cmocka_unit_test(doubles_round_trip_in_shortest_form),
        cmocka_unit_test(floats_round_trip_in_short_form),
        cmocka_unit_test(what_does_not_fit_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
