/* NDJSON: each stream is fed whole, cut in two at every place, and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "wire/ndjson.h"

#define ROW(literal)                                                                               \
    {                                                                                              \
        "" literal, sizeof(literal) - 1                                                            \
    }
enum { LINE_BYTES_MAX = 32 };

static void note(void *user, struct str line)
{
    buf_append(user, line);
    buf_append_char(user, ';');
}

static enum err feed_copy(struct ndjson_parser *parser, struct str bytes)
{
    struct buf piece; /* of its own, so that reading over its end is noticed */
    buf_init(&piece, bytes.len);
    buf_append(&piece, bytes);
    enum err code = ndjson_parser_feed(parser, buf_str(&piece));
    buf_done(&piece);
    return code;
}

/* Feeds pieces of `step` bytes, the first one of `first`. */
static enum err run(struct str stream, size_t first, size_t step, bool at_end, struct buf *script)
{
    struct ndjson_parser parser;
    ndjson_parser_init(&parser, LINE_BYTES_MAX, note, script);
    enum err code = feed_copy(&parser, str_slice(stream, 0, first));
    for (size_t at = first; code == ERR_OK && at < stream.len; at += step)
        code = feed_copy(&parser, str_slice(stream, at, step));
    if (code == ERR_OK && at_end)
        code = ndjson_parser_finish(&parser);
    ndjson_parser_done(&parser);
    return code;
}

static void assert_lines(struct str stream, struct str expected, enum err code, bool at_end)
{
    struct buf script;
    buf_init(&script, 1000);
    for (size_t cut = 0; cut <= stream.len + 1; cut++) {
        buf_clear(&script);
        bool byte_by_byte = cut > stream.len;
        assert_int_equal(
            run(stream, byte_by_byte ? 0 : cut, byte_by_byte ? 1 : stream.len, at_end, &script),
            code);
        if (!str_eq(buf_str(&script), expected))
            fail_msg("'%.*s' cut at %zu gave '%.*s'", STR_ARG(stream), cut,
                     STR_ARG(buf_str(&script)));
    }
    buf_done(&script);
}

static void lines(void **state)
{
    (void)state;
    static const struct {
        struct str stream, fed, finished;
    } rows[] = {
        {ROW("{\"a\":1}\n{\"b\":2}\n"), ROW("{\"a\":1};{\"b\":2};"), ROW("{\"a\":1};{\"b\":2};")},
        {ROW("1\r\n2\r\n"), ROW("1;2;"), ROW("1;2;")},
        {ROW("1\r\r\n"), ROW("1\r;"), ROW("1\r;")}, /* only one CR */
        {ROW("1\r2\n"), ROW("1\r2;"), ROW("1\r2;")},
        {ROW("\n\n1\n \t\n\r\n2\n"), ROW("1;2;"), ROW("1;2;")},
        {ROW("1\n2"), ROW("1;"), ROW("1;2;")},
        {ROW("1\n2\r"), ROW("1;"), ROW("1;2;")},
        {ROW("{\"a\":"), ROW(""), ROW("{\"a\":;")}, /* truncated: whoever reads JSON will tell */
        {ROW("1\n  "), ROW("1;"), ROW("1;")},
        {ROW("\xEF\xBB\xBF"
             "1\n2\n"),
         ROW("1;2;"), ROW("1;2;")},
        {ROW("\xEF\xBB\xBF"
             "1"),
         ROW(""), ROW("1;")},
        {ROW("1\n\xEF\xBB\xBF"
             "2\n"),
         ROW("1;\xEF\xBB\xBF"
             "2;"),
         ROW("1;\xEF\xBB\xBF"
             "2;")},
        {ROW("\xEF\xBB\xBF\n1\n"), ROW("1;"), ROW("1;")},
        {ROW("\xEF\xBB"
             "1\n"),
         ROW("\xEF\xBB"
             "1;"),
         ROW("\xEF\xBB"
             "1;")},
        {ROW("a\x00"
             "b\n"),
         ROW("a\x00"
             "b;"),
         ROW("a\x00"
             "b;")},
        {ROW("\n"), ROW(""), ROW("")},
        {ROW(""), ROW(""), ROW("")},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_lines(rows[i].stream, rows[i].fed, ERR_OK, false);
        assert_lines(rows[i].stream, rows[i].finished, ERR_OK, true);
    }
}

static void lines_have_a_limit(void **state)
{
    (void)state;
    assert_lines(STR("1\n0123456789abcdef0123456789abcdef\n2\n"),
                 STR("1;0123456789abcdef0123456789abcdef;2;"), ERR_OK, true);
    assert_lines(STR("1\n0123456789abcdef0123456789abcdefX\n2\n"), STR("1;"), ERR_TOO_BIG, true);
    assert_lines(STR("1\n0123456789abcdef0123456789abcdefX"), STR("1;"), ERR_TOO_BIG, true);
    struct ndjson_parser parser;
    struct buf script;
    buf_init(&script, 100);
    ndjson_parser_init(&parser, 4, note, &script);
    assert_int_equal(ndjson_parser_feed(&parser, STR("12345")), ERR_TOO_BIG);
    assert_int_equal(ndjson_parser_feed(&parser, STR("\n1\n")), ERR_TOO_BIG); /* for good */
    assert_int_equal(ndjson_parser_finish(&parser), ERR_TOO_BIG);
    assert_int_equal(script.len, 0);
    ndjson_parser_done(&parser);
    buf_done(&script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines),
        cmocka_unit_test(lines_have_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
