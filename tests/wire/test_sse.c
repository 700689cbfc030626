/* Event streams: each stream is fed whole, cut in two at every place, and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/random.h"
#include "wire/sse.h"

#define ROW(literal)                                                                               \
    {                                                                                              \
        "" literal, sizeof(literal) - 1                                                            \
    }
enum { EVENT_BYTES_MAX = 4096, SCRIPT_BYTES_MAX = 100000 };

/* What was heard, as text: "type|data|id;" for each event. */
static void note(void *user, const struct sse_event *event)
{
    struct buf *script = user;
    assert_non_null(event->data.data);
    buf_append(script, event->type);
    buf_append_char(script, '|');
    buf_append(script, event->data);
    buf_append_char(script, '|');
    buf_append(script, event->id);
    buf_append_char(script, ';');
}

/* Feeds `stream` cut at `cuts`, a sorted list that ends with the length of the stream. Every piece
 * is a copy of its own, so that reading over its end is noticed. */
static enum err run(struct str stream, const size_t *cuts, bool at_end, struct buf *script)
{
    struct sse_parser parser;
    enum err code = ERR_OK;
    sse_parser_init(&parser, EVENT_BYTES_MAX, note, script);
    for (size_t from = 0; code == ERR_OK && from < stream.len; from = *cuts++) {
        struct buf piece;
        buf_init(&piece, *cuts - from); /* not one byte more */
        buf_append(&piece, str_slice(stream, from, *cuts - from));
        code = sse_parser_feed(&parser, buf_str(&piece));
        buf_done(&piece);
    }
    if (code == ERR_OK && at_end)
        code = sse_parser_finish(&parser);
    sse_parser_done(&parser);
    return code;
}

static void assert_script(const struct buf *script, struct str expected, struct str stream,
                          size_t cut)
{
    if (!str_eq(buf_str(script), expected))
        fail_msg("'%.*s' cut at %zu gave '%.*s', not '%.*s'", STR_ARG(stream), cut,
                 STR_ARG(buf_str(script)), STR_ARG(expected));
}

static void assert_events(struct str stream, struct str expected, bool at_end)
{
    struct buf script;
    size_t bytes[2048];
    buf_init(&script, SCRIPT_BYTES_MAX);
    assert_true(stream.len < 2048);
    for (size_t cut = 1; cut <= stream.len; cut++) {
        buf_clear(&script);
        assert_int_equal(run(stream, (size_t[]){cut, stream.len}, at_end, &script), ERR_OK);
        assert_script(&script, expected, stream, cut);
        bytes[cut - 1] = cut;
    }
    buf_clear(&script);
    assert_int_equal(run(stream, bytes, at_end, &script), ERR_OK);
    assert_script(&script, expected, stream, 0);
    buf_done(&script);
}

struct row {
    struct str stream, expected;
};

static void assert_rows(const struct row *rows, size_t count, bool at_end)
{
    for (size_t i = 0; i < count; i++)
        assert_events(rows[i].stream, rows[i].expected, at_end);
}
#define ASSERT_ROWS(rows, at_end) assert_rows(rows, sizeof(rows) / sizeof(rows)[0], at_end)

static void byte_order_marks(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {ROW("\xEF\xBB\xBF"
             "data: a\n\n"),
         ROW("|a|;")},
        {ROW("\xEF\xBB\xBF\xEF\xBB\xBF"
             "data: a\n\ndata: b\n\n"),
         ROW("|b|;")}, /* only one */
        {ROW("data: a\n\n\xEF\xBB\xBF"
             "data: b\n\n"),
         ROW("|a|;")}, /* not later */
        {ROW("\xEF\xBB"
             "data: a\n\ndata: b\n\n"),
         ROW("|b|;")},
        {ROW("\xEF"
             "data: a\n\ndata: b\n\n"),
         ROW("|b|;")},
        {ROW("\xEF\n"
             "data: b\n\n"),
         ROW("|b|;")},
        {ROW("\xEF\xBB\xBF\n\xEF\xBB\xBF\n"
             "data: b\n\n"),
         ROW("|b|;")},
        {ROW("data: \xEF\xBB\xBF\n\n"), ROW("|\xEF\xBB\xBF|;")},
        {ROW("\xEF\xBB\xBF{\"error\":1}\n"), ROW("|{\"error\":1}|;")},
    };
    ASSERT_ROWS(rows, false);
}

static void line_ends(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {ROW("data: a\n\n"), ROW("|a|;")},
        {ROW("data: a\r\n\r\n"), ROW("|a|;")},
        {ROW("data: a\r\r"), ROW("|a|;")}, /* at once, without the next byte */
        {ROW("data: a\r\n\n"), ROW("|a|;")},
        {ROW("data: a\n\r\n"), ROW("|a|;")},
        {ROW("data: a\n\r"), ROW("|a|;")},
        {ROW("data: a\r\r\n"), ROW("|a|;")},
        {ROW("data: a\rdata: b\ndata: c\r\n\r"), ROW("|a\nb\nc|;")},
        {ROW("data: a\r\n\r\n\r\ndata: b\n\n\n\n"), ROW("|a|;|b|;")},
        {ROW("data: a\r\rdata: b\r\r"), ROW("|a|;|b|;")},
        {ROW("\n\r\n\rdata: a\n\n"), ROW("|a|;")},
        {ROW("data: a"), ROW("")},
        {ROW("data: a\n"), ROW("")},
    };
    ASSERT_ROWS(rows, false);
}

static void fields(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {ROW("data: a\ndata: b\n\n"), ROW("|a\nb|;")},
        {ROW("data\n\n"), ROW("||;")},
        {ROW("data:\n\n"), ROW("||;")},
        {ROW("data: \n\n"), ROW("||;")},
        {ROW("data:\ndata:\n\n"), ROW("|\n|;")},
        {ROW("data\ndata\ndata\n\n"), ROW("|\n\n|;")},
        {ROW("data:  x\n\n"), ROW("| x|;")},
        {ROW("data:\tx\n\n"), ROW("|\tx|;")},
        {ROW("data:x\n\n"), ROW("|x|;")},
        {ROW("data: a:b: c\n\n"), ROW("|a:b: c|;")},
        {ROW("data: a \n\n"), ROW("|a |;")},
        {ROW(":c\n\n"), ROW("")},
        {ROW(": OPENROUTER PROCESSING\n\ndata: a\n: keep-alive\ndata: b\n\n"), ROW("|a\nb|;")},
        {ROW("event: e\n\n"), ROW("")},
        {ROW("event: e\n\ndata: a\n\n"), ROW("|a|;")}, /* the type is forgotten */
        {ROW("event: e\ndata: a\n\ndata: b\n\n"), ROW("e|a|;|b|;")},
        {ROW("event: e\nevent: f\ndata: a\n\n"), ROW("f|a|;")},
        {ROW("event: e\nevent\ndata: a\n\n"), ROW("|a|;")},
        {ROW("data: a\nevent: late\n\n"), ROW("late|a|;")},
        {ROW("id: 1\n\ndata: a\n\ndata: b\n\n"), ROW("|a|1;|b|1;")}, /* ids stay */
        {ROW("id: 1\ndata: a\n\nid: 2\ndata: b\n\nid\ndata: c\n\n"), ROW("|a|1;|b|2;|c|;")},
        {ROW("id: 1\nid: 2\x00"
             "3\ndata: a\n\n"),
         ROW("|a|1;")},
        {ROW("data: a\x00"
             "b\n\n"),
         ROW("|a\x00"
             "b|;")},
        {ROW("retry: 1000\n\nretry: x\ndata: a\n\n"), ROW("|a|;")},
        {ROW("Data: a\n\ndata : b\n\n data: c\n\ndat: d\n\ndatax: e\n\nDATA\n\n"), ROW("")},
        {ROW("data:msg\ndata:msg\n\n:\n\nfalsefield:msg\n\nfalsefield:msg\nData:data\n\ndata\n\n"
             "data:end\n\n"),
         ROW("|msg\nmsg|;||;|end|;")},
        {ROW("data: \xE2\x82\xAC\xF0\x9F\x98\x80\n\n"), ROW("|\xE2\x82\xAC\xF0\x9F\x98\x80|;")},
        {ROW("data: a\xFF"
             "b\xE2\x82\n\n"),
         ROW("|a\xEF\xBF\xBD"
             "b\xEF\xBF\xBD\xEF\xBF\xBD|;")},
        {ROW("data: [DONE]\n\n"), ROW("|[DONE]|;")},
    };
    ASSERT_ROWS(rows, false);
    ASSERT_ROWS(rows, true);
}

static void tolerances_of_language_models(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {ROW("error: {\"code\":500}\n"), ROW("error|{\"code\":500}|;")},
        {ROW("error:{\"code\":500}\r\n\r\n"), ROW("error|{\"code\":500}|;")},
        {ROW("data: a\nerror: {\"code\":500}\n\n"), ROW("error|{\"code\":500}|;|a|;")},
        {ROW("error: plain\n\n"), ROW("")},
        {ROW("errors: {}\n\n"), ROW("")},
        {ROW("{\"error\":{\"message\":\"x: y\"}}\n"), ROW("|{\"error\":{\"message\":\"x: y\"}}|;")},
        {ROW("[{\"error\":1}]\n"), ROW("|[{\"error\":1}]|;")},
        {ROW("event: e\n{\"a\":1}\ndata: b\n\n"), ROW("|{\"a\":1}|;e|b|;")},
        {ROW("{\"a\":\"\xFF\"}\n"), ROW("|{\"a\":\"\xEF\xBF\xBD\"}|;")},
    };
    ASSERT_ROWS(rows, false);
    ASSERT_ROWS(rows, true);
}

static void the_end_of_the_stream(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {ROW("data: a\n"), ROW("")},
        {ROW("data: a"), ROW("")},
        {ROW("data: [DONE]\n"), ROW("|[DONE]|;")},
        {ROW("data: [DONE]"), ROW("|[DONE]|;")},
        {ROW("data:[DONE]\r"), ROW("|[DONE]|;")},
        {ROW("data:  [DONE] \n"), ROW("| [DONE] |;")},
        {ROW("data: {\"a\":1}\n"), ROW("|{\"a\":1}|;")},
        {ROW("data: {\"a\":1}"), ROW("|{\"a\":1}|;")},
        {ROW("event: e\nid: 7\ndata: {\"a\":\ndata: 1}"), ROW("e|{\"a\":\n1}|7;")},
        {ROW("data: [{\"a\":1}]"), ROW("|[{\"a\":1}]|;")},
        {ROW("data: {\"a\":"), ROW("")},
        {ROW("data: {"), ROW("")},
        {ROW("data: {\"a\":1}\ndata: {\"b"), ROW("")},
        {ROW("data"), ROW("")},
        {ROW("event: e"), ROW("")},
        {ROW("{\"error\":1}"), ROW("|{\"error\":1}|;")},
        {ROW("error: {\"code\":1}"), ROW("error|{\"code\":1}|;")},
        {ROW("data: a\n\ndata: b"), ROW("|a|;")},
        {ROW("\xEF\xBB"), ROW("")},
    };
    ASSERT_ROWS(rows, true);
    struct buf script;
    size_t none = 0;
    buf_init(&script, 100);
    assert_int_equal(run(STR(""), &none, true, &script), ERR_OK);
    assert_int_equal(script.len, 0);
    buf_done(&script);
}

/* A stream of `head`, `count` times 'x', `tail`: fed whole and byte by byte. */
static void assert_limit(const char *head, size_t count, const char *tail, enum err expected)
{
    struct buf stream, script;
    size_t *bytes;
    buf_init(&stream, 100000);
    buf_init(&script, SCRIPT_BYTES_MAX);
    buf_append(&stream, str_from_cstr(head));
    for (size_t i = 0; i < count; i++)
        buf_append_char(&stream, 'x');
    buf_append(&stream, str_from_cstr(tail));
    struct arena *arena = arena_new(SIZE_MAX);
    bytes = ARENA_NEW_ARRAY(arena, stream.len, size_t);
    for (size_t i = 0; i < stream.len; i++)
        bytes[i] = i + 1;
    assert_int_equal(run(buf_str(&stream), &stream.len, true, &script), expected);
    buf_clear(&script);
    assert_int_equal(run(buf_str(&stream), bytes, true, &script), expected);
    arena_free(arena);
    buf_done(&stream);
    buf_done(&script);
}

static void limits_on_lines_and_events(void **state)
{
    (void)state;
    enum { MAX = EVENT_BYTES_MAX };
    assert_limit("data: ", MAX - 6, "\n\n", ERR_OK);
    assert_limit("data: ", MAX - 5, "\n\n", ERR_TOO_BIG);
    assert_limit("data: ", MAX - 5, "", ERR_TOO_BIG);
    assert_limit(":", MAX, "\n", ERR_TOO_BIG); /* comments are lines too */
    assert_limit("data: a\n\n", MAX + 1, "", ERR_TOO_BIG);
    assert_limit("data: aaaa\ndata:", MAX - 5, "\n\n", ERR_OK); /* joined: 4 + 1 + ... */
    assert_limit("data: aaaaa\ndata:", MAX - 5, "\n\n", ERR_TOO_BIG);
    assert_limit("data: aaaaa\ndata:", MAX - 5, "", ERR_TOO_BIG);
    assert_limit("event:", 1025, "\ndata: a\n\n", ERR_OK);
}

static void a_name_that_is_too_long_is_none(void **state)
{
    (void)state;
    char stream[1200] = "id:", expected[1100] = "|a|";
    memset(stream + 3, 'x', 1024);
    strcpy(stream + 1027, "\ndata: a\n\n");
    memset(expected + 3, 'x', 1024);
    strcpy(expected + 1027, ";");
    assert_events(str_from_cstr(stream), str_from_cstr(expected), false);
    memset(stream + 3, 'x', 1025);
    strcpy(stream + 1028, "\ndata: a\n\n");
    assert_events(str_from_cstr(stream), STR("|a|;"), false);
}

struct views {
    struct str feed;
    int whole, gathered;
};

static void note_view(void *user, const struct sse_event *event)
{
    struct views *views = user;
    assert_true(str_eq(event->data, STR("a")) || str_eq(event->data, STR("a\nb")));
    assert_true(str_eq(event->type, views->whole == 1 ? STR("t") : STR("")));
    bool is_view = event->data.data > views->feed.data &&
                   event->data.data < views->feed.data + views->feed.len;
    views->whole += is_view;
    views->gathered += !is_view;
}

/* The data of one line is a view of the feed, and what comes before and behind it is as always. */
static void data_of_one_line_is_not_copied(void **state)
{
    (void)state;
    struct views views = {.feed = STR("data: a\n\nevent: t\ndata:a\n\ndata: a\ndata: b\n\ndata: a\n"
                                      ": more\n\ndata: a\r\n\r\ndata: a\n\n")};
    struct sse_parser parser;
    sse_parser_init(&parser, EVENT_BYTES_MAX, note_view, &views);
    assert_int_equal(sse_parser_feed(&parser, views.feed), ERR_OK);
    assert_int_equal(views.whole, 3);
    assert_int_equal(views.gathered, 3);
    assert_int_equal(parser.fed, views.feed.len);
    sse_parser_done(&parser);
}

static void writing_then_parsing(void **state)
{
    (void)state;
    static const struct {
        struct str type, id, data;
        struct str written, heard;
    } rows[] = {
        {ROW(""), ROW(""), ROW("{\"a\":1}"), ROW("data: {\"a\":1}\n\n"), ROW("|{\"a\":1}|;")},
        {ROW("e"), ROW("7"), ROW("x"), ROW("event: e\nid: 7\ndata: x\n\n"), ROW("e|x|7;")},
        {ROW(""), ROW(""), ROW(""), ROW("data: \n\n"), ROW("||;")},
        {ROW(""), ROW(""), ROW("a\nb"), ROW("data: a\ndata: b\n\n"), ROW("|a\nb|;")},
        {ROW(""), ROW(""), ROW("a\n"), ROW("data: a\ndata: \n\n"), ROW("|a\n|;")},
        {ROW(""), ROW(""), ROW("\n\n"), ROW("data: \ndata: \ndata: \n\n"), ROW("|\n\n|;")},
        {ROW(""), ROW(""), ROW(" a:b"), ROW("data:  a:b\n\n"), ROW("| a:b|;")},
        {ROW(""), ROW(""), ROW("a\rb\r\nc\r"), ROW("data: a\ndata: b\ndata: c\ndata: \n\n"),
         ROW("|a\nb\nc\n|;")},
        {ROW("e\ndata: evil\n\n"), ROW("1\rid: 2"), ROW("x"), ROW("event: e\nid: 1\ndata: x\n\n"),
         ROW("e|x|1;")},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf out;
        buf_init(&out, 1000);
        sse_write(&out, rows[i].type, rows[i].id, rows[i].data);
        assert_true(str_eq(buf_str(&out), rows[i].written));
        assert_events(buf_str(&out), rows[i].heard, false);
        buf_done(&out);
    }
    struct buf out;
    buf_init(&out, 100);
    sse_write(&out, STR_NONE, STR_NONE, STR_NONE);
    assert_true(str_eq(buf_str(&out), STR("data: \n\n")));
    buf_done(&out);
}

/* Random streams of the bytes that matter, cut at random places. */
static void cuts_change_nothing(void **state)
{
    (void)state;
    static const char *const words[] = {"data",  ":",      " ", "\n",   "\r",           "\r\n",
                                        "event", "id",     "{", "}",    "\xEF\xBB\xBF", "a",
                                        "\n\n",  "error:", "[", "\x00", "\xE2"};
    struct random random;
    struct buf stream, whole, cut;
    random_init(&random, 21);
    buf_init(&stream, 10000);
    buf_init(&whole, SCRIPT_BYTES_MAX);
    buf_init(&cut, SCRIPT_BYTES_MAX);
    for (int round = 0; round < 3000; round++) {
        size_t cuts[64], count = 0;
        buf_clear(&stream);
        buf_clear(&whole);
        buf_clear(&cut);
        for (size_t i = random_below(&random, 60) + 1; i > 0; i--)
            buf_append(&stream, str_from_cstr(words[random_below(&random, 17)]));
        buf_append_char(&stream, '\n');
        for (size_t at = 0; at < stream.len && count < 63;)
            cuts[count++] = at += 1 + (size_t)random_below(&random, 8);
        cuts[count - 1] = stream.len;
        enum err code = run(buf_str(&stream), &stream.len, true, &whole);
        assert_int_equal(run(buf_str(&stream), cuts, true, &cut), code);
        assert_script(&cut, buf_str(&whole), buf_str(&stream), 0);
    }
    buf_done(&stream);
    buf_done(&whole);
    buf_done(&cut);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(byte_order_marks),
        cmocka_unit_test(line_ends),
        cmocka_unit_test(fields),
        cmocka_unit_test(tolerances_of_language_models),
        cmocka_unit_test(the_end_of_the_stream),
        cmocka_unit_test(limits_on_lines_and_events),
        cmocka_unit_test(a_name_that_is_too_long_is_none),
        cmocka_unit_test(data_of_one_line_is_not_copied),
        cmocka_unit_test(writing_then_parsing),
        cmocka_unit_test(cuts_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
