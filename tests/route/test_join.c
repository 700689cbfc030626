/* Joining answers: the laws over generated texts however they are cut, models' habits one by one,
 * and texts that go on like they were and must lose nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/random.h"
#include "base/utf8.h"
#include "route/join.h"

enum { SEEDS = 3000, OUT_BYTES_MAX = 1 << 24 };

/* ---- Running --------------------------------------------------------------------------------- */

struct result {
    struct buf shown;
    enum join_state state;
    size_t matched;
    size_t dropped;
    size_t held_max; /* bytes of memory while nothing was clear */
};

/* How a second answer is cut: at a fixed offset first (0: nowhere), then by a generator. */
struct cutting {
    size_t first;
    uint64_t bytes_max; /* of each further piece; 0: all that is left */
    uint64_t seed;
};

static struct str next_piece(struct str text, const struct cutting *cutting, struct random *random,
                             size_t at)
{
    size_t length = text.len - at;
    if (at < cutting->first)
        length = cutting->first - at;
    else if (cutting->bytes_max)
        length = 1 + random_below(random, cutting->bytes_max);
    struct str left = str_skip(text, at);
    size_t cut = utf8_cut(left, length);
    return str_slice(left, 0, cut ? cut : utf8_length_at(left, 0));
}

static void run(struct str sent, struct str second, bool is_splice, const struct cutting *cutting,
                struct result *ret)
{
    struct join join;
    struct random random;
    *ret = (struct result){.state = JOIN_HOLDING};
    buf_init(&ret->shown, OUT_BYTES_MAX);
    random_init(&random, cutting->seed);
    join_init(&join, sent, is_splice);
    for (size_t at = 0; at < second.len;) {
        struct str piece = next_piece(second, cutting, &random, at);
        buf_append(&ret->shown, join_add(&join, piece));
        at += piece.len;
        if (join.state == JOIN_HOLDING || join.state == JOIN_MATCHING)
            ret->held_max = join.held.capacity > ret->held_max ? join.held.capacity : ret->held_max;
    }
    buf_append(&ret->shown, join_finish(&join));
    ret->state = join.state;
    ret->matched = join.matched;
    ret->dropped = join.dropped;
    join_done(&join);
}

static void expect(struct str sent, struct str second, bool is_splice,
                   const struct cutting *cutting, struct str shown)
{
    struct result result;
    run(sent, second, is_splice, cutting, &result);
    if (!str_eq(buf_str(&result.shown), shown))
        print_error("sent <<%.*s>>\nthen <<%.*s>>\nshown <<%.*s>>\nnot <<%.*s>>\n", STR_ARG(sent),
                    STR_ARG(second), STR_ARG(buf_str(&result.shown)), STR_ARG(shown));
    assert_true(str_eq(buf_str(&result.shown), shown));
    assert_int_equal(result.dropped + shown.len, second.len);
    buf_done(&result.shown);
}

/* However it is cut: whole, character by character, in two at every offset, by chance. */
static void expect_every_cut(struct str sent, struct str second, bool is_splice, struct str shown)
{
    expect(sent, second, is_splice, &(struct cutting){0, 0, 0}, shown);
    expect(sent, second, is_splice, &(struct cutting){0, 1, 0}, shown);
    for (uint64_t seed = 0; seed < 3; seed++)
        expect(sent, second, is_splice, &(struct cutting){0, 9, seed}, shown);
    for (size_t first = 1; first < second.len; first++)
        expect(sent, second, is_splice, &(struct cutting){first, 0, 0}, shown);
}

/* ---- Texts ----------------------------------------------------------------------------------- */

static const char *const characters[] = {"a",
                                         "b",
                                         "c",
                                         "d",
                                         "e",
                                         "f",
                                         "g",
                                         "h",
                                         "i",
                                         "j",
                                         "k",
                                         "l",
                                         "m",
                                         "n",
                                         "o",
                                         "p",
                                         "q",
                                         "r",
                                         "s",
                                         "t",
                                         "u",
                                         "v",
                                         "w",
                                         "x",
                                         "y",
                                         "\xC3\xA9",
                                         "\xE2\x82\xAC",
                                         "\xF0\x9F\x98\x80"};

static void add_words(struct buf *text, struct random *random, size_t count)
{
    static const char *const between[] = {" ", " ", " ", " ", ", ", ". ", ".\n", "\n\n"};
    for (size_t i = 0; i < count; i++) {
        for (uint64_t letters = 2 + random_below(random, 8); letters; letters--)
            buf_append(text, str_from_cstr(characters[random_below(random, 28)]));
        buf_append(text, str_from_cstr(between[random_below(random, 8)]));
    }
}

/* A text in two parts: what was sent ends where `cut` says. */
struct sample {
    struct buf text;
    struct str sent;
    struct str rest;
};

static void sample_init(struct sample *sample, struct random *random)
{
    *sample = (struct sample){.sent = STR_NONE};
    buf_init(&sample->text, OUT_BYTES_MAX);
    add_words(&sample->text, random, 3 + random_below(random, 20));
    size_t length = 1 + random_below(random, sample->text.len);
    struct str text = buf_str(&sample->text);
    size_t cut = utf8_cut(text, length);
    cut = cut ? cut : utf8_length_at(text, 0);
    sample->sent = str_slice(text, 0, cut);
    sample->rest = str_skip(text, cut);
}

static struct str concat(struct buf *buf, struct str a, struct str b)
{
    buf_clear(buf);
    buf_append(buf, a);
    buf_append(buf, b);
    return buf_str(buf);
}

static struct cutting any_cutting(struct random *random, size_t size)
{
    return (struct cutting){random_below(random, size + 1), random_below(random, 12),
                            random_next(random)};
}

/* ---- Splice ---------------------------------------------------------------------------------- */

static void splice_of_the_same_gives_the_rest(void **state)
{
    (void)state;
    struct random random;
    random_init(&random, 1);
    for (int seed = 0; seed < SEEDS; seed++) {
        struct sample sample;
        struct result result;
        sample_init(&sample, &random);
        struct cutting cutting = any_cutting(&random, sample.text.len);
        run(sample.sent, buf_str(&sample.text), true, &cutting, &result);
        assert_true(str_eq(buf_str(&result.shown), sample.rest));
        assert_int_equal(result.state, JOIN_PASSING);
        assert_int_equal(result.matched, sample.sent.len);
        assert_int_equal(result.dropped, sample.sent.len);
        assert_int_equal(result.held_max, 0);
        buf_done(&result.shown);
        if (seed < 50)
            expect_every_cut(sample.sent, buf_str(&sample.text), true, sample.rest);
        buf_done(&sample.text);
    }
}

/* Another character in place of one of those that were sent. */
static void splice_that_differs_says_where(void **state)
{
    (void)state;
    struct random random;
    struct buf second;
    random_init(&random, 2);
    buf_init(&second, OUT_BYTES_MAX);
    for (int seed = 0; seed < SEEDS; seed++) {
        struct sample sample;
        struct result result;
        sample_init(&sample, &random);
        struct str text = buf_str(&sample.text);
        size_t at = utf8_cut(text, random_below(&random, sample.sent.len));
        const char *other = random_below(&random, 2) ? "Z" : "\xC3\xA8"; /* shares é's lead */
        concat(&second, str_slice(text, 0, at), str_from_cstr(other));
        buf_append(&second, str_skip(text, at + utf8_length_at(text, at)));
        struct cutting cutting = any_cutting(&random, second.len);
        run(sample.sent, buf_str(&second), true, &cutting, &result);
        assert_int_equal(result.state, JOIN_DIFFERS);
        assert_int_equal(result.matched, at);
        assert_int_equal(result.dropped, at);
        assert_true(str_eq(buf_str(&result.shown), str_skip(buf_str(&second), at)));
        buf_done(&result.shown);
        buf_done(&sample.text);
    }
    buf_done(&second);
}

static void splice_that_ends_early_differs(void **state)
{
    (void)state;
    struct random random;
    random_init(&random, 3);
    for (int seed = 0; seed < SEEDS; seed++) {
        struct sample sample;
        struct result result;
        sample_init(&sample, &random);
        size_t length = utf8_cut(sample.sent, random_below(&random, sample.sent.len));
        struct cutting cutting = any_cutting(&random, length);
        run(sample.sent, str_slice(sample.sent, 0, length), true, &cutting, &result);
        assert_int_equal(result.state, JOIN_DIFFERS);
        assert_int_equal(result.matched, length);
        assert_int_equal(result.shown.len, 0);
        buf_done(&result.shown);
        buf_done(&sample.text);
    }
}

static void nothing_sent_passes_everything(void **state)
{
    (void)state;
    expect_every_cut(STR(""), STR("... the text"), true, STR("... the text"));
    expect_every_cut(STR(""), STR("... the text"), false, STR("... the text"));
}

/* ---- Continue: the laws ---------------------------------------------------------------------- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* An end of at least 8 bytes that does not begin inside a run of blanks. */
static struct str any_end(struct str sent, struct random *random)
{
    size_t from = random_below(random, sent.len - 7);
    while (from && (((unsigned char)sent.data[from] & 0xC0) == 0x80 ||
                    (is_blank(sent.data[from]) && is_blank(sent.data[from - 1]))))
        from--;
    return str_skip(sent, from);
}

static void repeated_end_is_dropped(void **state)
{
    (void)state;
    struct random random;
    struct buf second;
    random_init(&random, 4);
    buf_init(&second, OUT_BYTES_MAX);
    for (int seed = 0; seed < SEEDS; seed++) {
        struct sample sample;
        sample_init(&sample, &random);
        if (sample.sent.len >= 8) {
            struct str end = any_end(sample.sent, &random);
            concat(&second, end, sample.rest);
            struct cutting cutting = any_cutting(&random, second.len);
            expect(sample.sent, buf_str(&second), false, &cutting, sample.rest);
            if (seed < 50)
                expect_every_cut(sample.sent, buf_str(&second), false, sample.rest);
        }
        buf_done(&sample.text);
    }
    buf_done(&second);
}

static void begun_over_is_dropped(void **state)
{
    (void)state;
    struct random random;
    random_init(&random, 5);
    for (int seed = 0; seed < SEEDS; seed++) {
        struct sample sample;
        sample_init(&sample, &random);
        struct cutting cutting = any_cutting(&random, sample.text.len);
        expect(sample.sent, buf_str(&sample.text), false, &cutting, sample.rest);
        if (seed < 50)
            expect_every_cut(sample.sent, buf_str(&sample.text), false, sample.rest);
        buf_done(&sample.text);
    }
}

static void no_overlap_changes_nothing(void **state)
{
    (void)state;
    struct random random;
    struct buf rest;
    random_init(&random, 6);
    buf_init(&rest, OUT_BYTES_MAX);
    static const char *const fronts[] = {"Z", " Z", "\n\nZ", "Zz. ", "- Z", "```\nZ", "\"Z\" "};
    for (int seed = 0; seed < SEEDS; seed++) {
        struct sample sample;
        sample_init(&sample, &random);
        concat(&rest, str_from_cstr(fronts[random_below(&random, 7)]), STR_NONE);
        add_words(&rest, &random, 5);
        struct cutting cutting = any_cutting(&random, rest.len);
        expect(sample.sent, buf_str(&rest), false, &cutting, buf_str(&rest));
        if (seed < 50)
            expect_every_cut(sample.sent, buf_str(&rest), false, buf_str(&rest));
        buf_done(&sample.text);
    }
    buf_done(&rest);
}

/* Texts of the few characters that the rules look at, so that all of them are met. */
static void add_tokens(struct buf *text, struct random *random)
{
    static const char *const tokens[] = {"a",
                                         "b",
                                         " ",
                                         "\n",
                                         "`",
                                         "```",
                                         "```a\n",
                                         "...",
                                         ".",
                                         "\"",
                                         "'",
                                         "ab ",
                                         "1. ",
                                         "- ",
                                         "|",
                                         "aaaa",
                                         "\r\n",
                                         "\t",
                                         "(",
                                         "abcdefgh",
                                         "\xE2\x80\xA6",
                                         "\xE2\x80\x9C",
                                         "\xE2\x80\x9D",
                                         "\xC3\xA9"};
    for (uint64_t count = 1 + random_below(random, 14); count; count--)
        buf_append(text, str_from_cstr(tokens[random_below(random, 24)]));
}

/* The second answer begins with nothing, with an end, or with the whole of the first. */
static struct str hostile_second(struct buf *second, struct str sent, struct random *random)
{
    size_t from = random_below(random, sent.len + 1);
    while (from < sent.len && ((unsigned char)sent.data[from] & 0xC0) == 0x80)
        from++;
    buf_clear(second);
    if (random_below(random, 3) == 0)
        add_tokens(second, random);
    buf_append(second, str_skip(sent, random_below(random, 3) ? from : 0));
    add_tokens(second, random);
    return buf_str(second);
}

static void cutting_never_matters(void **state)
{
    (void)state;
    struct random random;
    struct buf sent;
    struct buf second;
    random_init(&random, 7);
    buf_init(&sent, OUT_BYTES_MAX);
    buf_init(&second, OUT_BYTES_MAX);
    for (int seed = 0; seed < 20000; seed++) {
        struct result result;
        buf_clear(&sent);
        add_tokens(&sent, &random);
        hostile_second(&second, buf_str(&sent), &random);
        bool is_splice = random_below(&random, 8) == 0;
        run(buf_str(&sent), buf_str(&second), is_splice, &(struct cutting){0, 0, 0}, &result);
        assert_true(str_ends_with(buf_str(&second), buf_str(&result.shown)));
        assert_true(utf8_valid(buf_str(&result.shown), NULL));
        assert_in_range(result.matched, 0, sent.len);
        expect_every_cut(buf_str(&sent), buf_str(&second), is_splice, buf_str(&result.shown));
        buf_done(&result.shown);
    }
    buf_done(&sent);
    buf_done(&second);
}

/* ---- Continue: habits ------------------------------------------------------------------------ */

struct habit {
    const char *sent;
    const char *second;
    const char *shown;
};

static void check_habits(const struct habit *habits, size_t count)
{
    for (size_t i = 0; i < count; i++)
        expect_every_cut(str_from_cstr(habits[i].sent), str_from_cstr(habits[i].second), false,
                         str_from_cstr(habits[i].shown));
}
#define CHECK_HABITS(habits) check_habits((habits), sizeof(habits) / sizeof(habits)[0])

static void words_and_sentences_repeated(void **state)
{
    (void)state;
    static const struct habit habits[] = {
        /* the last sentence, the last words, the last word */
        {"It rains. The sky is grey and", "The sky is grey and dark.", " dark."},
        {"It rains. The sky is grey and", "grey and dark.", " dark."},
        {"The quick brown", "brown fox", " fox"},
        {"The quick brown", "quick brown fox", " fox"},
        {"The quick brown ", "brown fox", "fox"},
        {"The quick brown ", "quick brown fox", "fox"},
        {"a line\nanother line\n", "another line\nthe third", "the third"},
        {"a line\nb: c\n", "b: c\nd: e", "d: e"},
        {"I do not know, but", "but I can ask.", " I can ask."},
        /* the word that was broken off */
        {"all of the inter", "international law", "national law"},
        {"I don", "I don't", "'t"},
        {"and so we don", "don't", "'t"},
        {"\xC3\xA9t\xC3\xA9 \xC3\xA0 la m\xC3\xA9t\xC3\xA9", "m\xC3\xA9t\xC3\xA9o", "o"},
        /* white space behind it */
        {"The first paragraph.\n\n", "The first paragraph.\n\nThe second.", "The second."},
        {"He said: the first paragraph.\n\n", "the first paragraph.\nThe second.", "The second."},
        {"He said: the first paragraph.", "the first paragraph.\n\nThe second.", "\n\nThe second."},
        /* list items, headings, rows */
        {"1. one\n2. ", "2. two\n3. three", "two\n3. three"},
        {"1. one\n2.", "2. two", " two"},
        {"- one\n- ", "- two", "two"},
        {"text\n\n##", "## Title", " Title"},
        {"| a | b |\n|", "| c | d |", " c | d |"},
        {"1. one\n2. two apples and th", "2. two apples and three pears", "ree pears"},
    };
    CHECK_HABITS(habits);
}

static void marks_of_going_on(void **state)
{
    (void)state;
    static const struct habit habits[] = {
        {"The quick brown", "... fox jumps", " fox jumps"},
        {"The quick brown ", "... fox jumps", "fox jumps"},
        {"The quick brown ", "...fox jumps", "fox jumps"},
        {"The quick brown fox ju", "...mps over", "mps over"},
        {"The quick brown", "\xE2\x80\xA6 fox jumps", " fox jumps"},
        {"The quick brown", "...brown fox", " fox"},
        {"The quick brown", "... quick brown fox", " fox"},
        {"The quick brown", "\"...quick brown\" fox", " fox"},
        {"The quick brown", "\"quick brown\" fox", " fox"},
        {"The quick brown", "\"quick brown...\" fox", " fox"},
        {"The quick brown", "`quick brown`\n\nfox", "\n\nfox"},
        {"The quick brown", "\xE2\x80\x9C\xE2\x80\xA6quick brown\xE2\x80\xA6\xE2\x80\x9D fox",
         " fox"},
        {"The quick brown", "\xC2\xABquick brown\xC2\xBB fox", " fox"},
        {"The quick brown", "'quick brown' fox", " fox"},
        /* not one of these */
        {"The quick brown", "\"Fox\" is a word", "\"Fox\" is a word"},
        {"f(", "...values)", "...values)"},
        {"const a = [", "...b]", "...b]"},
        {"```js\nf(a, ", "...rest)\n", "...rest)\n"},
        {"He waits", "....", "...."},
        {"He waits", "...", "..."},
        {"He waits", ". Then he goes.", ". Then he goes."},
    };
    CHECK_HABITS(habits);
}

static void fences_opened_again(void **state)
{
    (void)state;
    static const struct habit habits[] = {
        {"Here:\n\n```c\nint a;\nint main(", "```c\nvoid)\n{", "void)\n{"},
        {"Here:\n\n```c\nint a;\nint main(", "```c\nint main(void)\n{", "void)\n{"},
        {"Here:\n\n```c\nint a;\nint main(", "```c\nint a;\nint main(void)\n{", "void)\n{"},
        {"Here:\n\n```c\nint a;\nint main(", "\n```c\nint main(void)\n{", "void)\n{"},
        {"Here:\n\n```c\nint a;\nint main(", "```\nint main(void)\n{", "void)\n{"},
        {"Here:\n\n```cpp\nint a;\nint main(", "```c++\nint main(void)\n{", "void)\n{"},
        {"Here:\n\n```c\n", "```c\nint a;", "int a;"},
        {"Here:\n\n```c", "```c\nint a;", "\nint a;"},
        {"Here:\n\n```py", "```python\nimport a", "thon\nimport a"},
        {"Here:\n\n```", "```python\nimport a", "python\nimport a"},
        {"Here:\n\n``", "```python\nimport a", "`python\nimport a"},
        {"Here:\n\n```\n", "```\nint a;", "int a;"},
        {"```\na\n```", "```\n\nThat is all.", "\n\nThat is all."},
        {"- Item:\n  ```sh\n  ls -l\n  cd ", "```sh\n/tmp\n```", "/tmp\n```"},
        /* a fence that closes, or opens something else */
        {"Here:\n\n```c\nint a;\n", "```\n\nThat is all.", "```\n\nThat is all."},
        {"Here:\n\n```c\nint a;", "\n```\n\nThat is all.", "\n```\n\nThat is all."},
        {"Here:\n\n", "```c\nint a;", "```c\nint a;"},
        {"```c\nint a;\n```\nAnd then:\n\n", "```c\nint b;", "```c\nint b;"},
        {"```c\nint a;\n```", "```python\nb", "```python\nb"},
        {"````markdown\n# Title\n", "```c\nint a;\n```\n", "```c\nint a;\n```\n"},
        {"Use `foo", "```", "```"},
    };
    CHECK_HABITS(habits);
}

#define LONG_START "The history of the town begins, as far as anybody knows, with a mill. "

static void beginnings_over(void **state)
{
    (void)state;
    static const struct habit habits[] = {
        {"The", "The cat sat.", " cat sat."},
        {"The", "In short", "In short"},
        {"\n\nThe cat sat", "The cat sat down.", " down."},
        {"The cat sat", "\n\nThe cat sat down.", " down."},
        {"The cat sat \n", "The cat sat down.", "down."},
        {"a", " and", " and"},
        {"In", " India", " India"},
        {LONG_START "It burnt", LONG_START "It was sold.", "was sold."},
        /* too little of it, or something that is said more than once anyway */
        {"The capital of France is Paris. ", "The capital of Italy is Rome.",
         "The capital of Italy is Rome."},
        {LONG_START "\nOnce more: " LONG_START "\nAnd ", LONG_START "\nThen", LONG_START "\nThen"},
        {LONG_START "It burnt", "The history", "The history"},
        {LONG_START "It burnt", LONG_START, ""},
    };
    CHECK_HABITS(habits);
}

static void what_must_stay(void **state)
{
    (void)state;
    static const struct habit habits[] = {
        /* blocks that end, one inside the other */
        {"      <div>\n        a\n        </div>\n", "      </div>\n    </div>\n",
         "      </div>\n    </div>\n"},
        {"  if a\n    b\n    end\n", "  end\nend\n", "  end\nend\n"},
        {"  if a\n    b\n  end\n", "end\n", "end\n"},
        {"f() {\n  {\n  }\n", "}\n", "}\n"},
        {"[[1], [2]", "]\n", "]\n"},
        {"return (a + (b * c)", ")", ")"},
        /* texts that go on as they were */
        {"{0x00, 0x00, 0x00, 0x00, ", "0x00, 0x00, 0x01}", "0x00, 0x00, 0x01}"},
        {"na na na na na na na na ", "na na na na batman", "na na na na batman"},
        {"----------------", "--------", "--------"},
        {"| a | b |\n| --- ", "| --- |", "| --- |"},
        {"| a | b |\n|---", "|---|", "|---|"},
        {"a\n-", "--\nb", "--\nb"},
        {"        ", "        return", "        return"},
        {"def f():\n        ", "        return", "        return"},
        /* numbers, short words with a space of their own */
        {"It costs 1", "100 dollars", "100 dollars"},
        {"pi is 3.1", "1", "1"},
        {"I am very", " very glad", " very glad"},
        {"It was a", "nother day", "nother day"},
        {"and the", "theory", "theory"},
        {"co", "operate", "operate"},
        {"a line\n", "\nanother", "\nanother"},
        /* introductions */
        {"The quick brown", "Sure, here is the rest: fox", "Sure, here is the rest: fox"},
    };
    CHECK_HABITS(habits);
}

/* Answers as models write them, cut everywhere: who goes on exactly there loses nothing, but where
 * the text itself says something twice at the cut (counted here, to notice when it becomes more).
 * Who begins over or repeats the last line is joined without a seam. */
static const char *const answers[] = {
    "Sure! Here is a small program:\n\n```c\n#include <stdio.h>\n\nint main(void)\n{\n    for (int "
    "i = 0; i < 10; i++) {\n        if (i % 2) {\n            printf(\"%d\\n\", i);\n        }\n   "
    " }\n    return 0;\n}\n```\n\nIt prints the odd numbers. To build it:\n\n```sh\ncc -o odd "
    "odd.c\n./odd\n```\n\nLet me know if you need more... or less.\n",
    "# Three cities\n\n| city | country | people |\n| --- | --- | ---: |\n| Paris | France | 2 100 "
    "000 |\n| Rome | Italy | 2 800 000 |\n| Roma | Italy | 2 800 000 |\n\n1. **Paris**: the "
    "capital "
    "of France.\n2. **Rome**: the capital of Italy.\n   - old\n   - warm\n3. **Bern**: the capital "
    "of Switzerland, \"in all but name\".\n\n> A quotation, \"inside one\".\n",
    "{\"items\": [{\"id\": 1, \"name\": \"one\", \"tags\": []}, {\"id\": 2, \"name\": \"two\", "
    "\"tags\": [\"a\", \"b\"]}, {\"id\": 11, \"name\": \"eleven\", \"tags\": [[], [[]]]}]}",
    "<ul>\n  <li>\n    <div>\n      <p>One</p>\n    </div>\n  </li>\n  <li>\n    <div>\n      "
    "<p>Two</p>\n    </div>\n  </li>\n</ul>\n",
    "\xE4\xBD\xA0\xE5\xA5\xBD\xEF\xBC\x8C\xE4\xB8\x96\xE7\x95\x8C\xE3\x80\x82\xE6\x88\x91\xE4\xBB"
    "\xAC\xE5\x8E\xBB\xE7\x9C\x8B\xE7\x9C\x8B\xE3\x80\x82 L'\xC3\xA9t\xC3\xA9 \xE2\x80\x94 oui, "
    "l'\xC3\xA9t\xC3\xA9 \xE2\x80\x94 est fini\xE2\x80\xA6 \xE2\x80\x9CVraiment?\xE2\x80\x9D\n",
};

static void exact_continuation_loses_nothing(void **state)
{
    (void)state;
    size_t cuts = 0;
    size_t lost = 0;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct str text = str_from_cstr(answers[i]);
        for (size_t cut = 1; cut < text.len; cut++) {
            struct result result;
            if (utf8_cut(text, cut) != cut)
                continue;
            run(str_slice(text, 0, cut), str_skip(text, cut), false, &(struct cutting){0, 3, cut},
                &result);
            cuts++;
            lost += result.dropped > 0;
            buf_done(&result.shown);
        }
    }
    assert_in_range(cuts, 900, 3000);
    assert_in_range(lost, 0, 3); /* "odd odd.c", and dots of its own twice */
}

/* From where the last line begins; from the end when there is hardly anything of it, or no word
 * (the ruler of a table). */
static size_t line_start(struct str text, size_t cut)
{
    size_t at = cut;
    while (at && text.data[at - 1] != '\n')
        at--;
    struct str line = str_slice(text, at, cut - at);
    return str_trim(line).len < 8 || str_starts_with(line, STR("| -")) ? cut : at;
}

static void last_lines_repeated_join(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) { /* the others consist of the same lines again and again */
        struct str text = str_from_cstr(answers[i]);
        for (size_t cut = 1; cut < text.len; cut++)
            if (line_start(text, cut) < cut)
                expect(str_slice(text, 0, cut), str_skip(text, line_start(text, cut)), false,
                       &(struct cutting){0, 5, cut}, str_skip(text, cut));
    }
}

static void answers_begun_over_join(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct str text = str_from_cstr(answers[i]);
        for (size_t cut = 1; cut < text.len; cut++)
            if (utf8_cut(text, cut) == cut)
                expect(str_slice(text, 0, cut), text, false, &(struct cutting){0, 5, cut},
                       str_skip(text, cut));
    }
}

/* ---- Memory ---------------------------------------------------------------------------------- */

static void add_numbers(struct buf *text, int from, int count)
{
    for (int i = from; i < from + count; i++)
        buf_printf(text, "number %d, ", i);
}

static void long_answer_begun_over_takes_no_memory(void **state)
{
    (void)state;
    struct buf text;
    struct buf first;
    struct result result;
    buf_init(&text, OUT_BYTES_MAX);
    buf_init(&first, OUT_BYTES_MAX);
    add_numbers(&text, 1000, 80000);
    struct str sent = concat(&first, str_slice(buf_str(&text), 0, 1000000), STR_NONE);
    run(sent, buf_str(&text), false, &(struct cutting){0, 100, 1}, &result);
    assert_true(str_eq(buf_str(&result.shown), str_skip(buf_str(&text), sent.len)));
    assert_int_equal(result.matched, sent.len);
    assert_in_range(result.held_max, 1, JOIN_HELD_BYTES);
    buf_done(&result.shown);
    /* far behind what is held, it says something else */
    text.data[500000] = '#';
    run(sent, buf_str(&text), false, &(struct cutting){0, 100, 1}, &result);
    assert_int_equal(result.matched, 500000);
    assert_true(str_eq(buf_str(&result.shown), str_skip(buf_str(&text), 500000)));
    assert_in_range(result.held_max, 1, JOIN_HELD_BYTES);
    buf_done(&result.shown);
    /* or nothing more */
    run(sent, str_slice(sent, 0, 400000), false, &(struct cutting){0, 100, 1}, &result);
    assert_int_equal(result.matched, 400000);
    assert_int_equal(result.shown.len, 0);
    buf_done(&result.shown);
    buf_done(&text);
    buf_done(&first);
}

/* An end of almost what can be held is dropped, a longer one passes: it is not lost. */
static void long_ends_are_bounded(void **state)
{
    (void)state;
    struct buf sent;
    struct buf second;
    struct result result;
    buf_init(&sent, OUT_BYTES_MAX);
    buf_init(&second, OUT_BYTES_MAX);
    add_numbers(&sent, 1000, 2000);
    struct str text = buf_str(&sent);
    for (size_t length = 4000; length < 5000; length += 61) {
        concat(&second, str_skip(text, text.len - length), STR("the end"));
        run(text, buf_str(&second), false, &(struct cutting){0, 40, length}, &result);
        assert_int_equal(result.dropped, length < JOIN_HELD_BYTES - 1 ? length : 0);
        assert_int_equal(result.shown.len + result.dropped, second.len);
        assert_in_range(result.held_max, 0, JOIN_HELD_BYTES);
        buf_done(&result.shown);
    }
    buf_done(&sent);
    buf_done(&second);
}

/* Characters of several bytes on the border of what is held. */
static void cutting_never_matters_at_the_border(void **state)
{
    (void)state;
    struct buf sent;
    struct buf second;
    struct random random;
    random_init(&random, 8);
    buf_init(&sent, OUT_BYTES_MAX);
    buf_init(&second, OUT_BYTES_MAX);
    for (int seed = 0; seed < 60; seed++) {
        struct result whole;
        buf_clear(&sent);
        add_words(&sent, &random, 1000);
        concat(&second, buf_str(&sent), STR_NONE);
        buf_truncate(&second, utf8_cut(buf_str(&second), 4080 + random_below(&random, 32)));
        add_words(&second, &random, 3);
        run(buf_str(&sent), buf_str(&second), false, &(struct cutting){0, 0, 0}, &whole);
        for (uint64_t size = 1; size < 2000; size += size + 1)
            expect(buf_str(&sent), buf_str(&second), false, &(struct cutting){0, size, size},
                   buf_str(&whole.shown));
        assert_in_range(whole.dropped, 4076, 4120);
        buf_done(&whole.shown);
    }
    buf_done(&sent);
    buf_done(&second);
}

/* What is slow at worst: texts in which everything is like everything else. */
static void periodic_texts_are_joined_in_time(void **state)
{
    (void)state;
    struct buf sent;
    struct result result;
    buf_init(&sent, OUT_BYTES_MAX);
    for (int i = 0; i < 200000; i++)
        buf_append(&sent, STR("a"));
    struct str text = buf_str(&sent);
    run(text, str_slice(text, 0, 100000), false, &(struct cutting){0, 4, 1}, &result);
    assert_int_equal(result.matched, 100000);
    buf_done(&result.shown);
    buf_append(&sent, STR(" b"));
    text = buf_str(&sent);
    run(text, str_slice(text, 0, 4000), false, &(struct cutting){0, 4, 1}, &result);
    assert_int_equal(result.dropped + result.shown.len, 4000);
    buf_done(&result.shown);
    buf_done(&sent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splice_of_the_same_gives_the_rest),
        cmocka_unit_test(splice_that_differs_says_where),
        cmocka_unit_test(splice_that_ends_early_differs),
        cmocka_unit_test(nothing_sent_passes_everything),
        cmocka_unit_test(repeated_end_is_dropped),
        cmocka_unit_test(begun_over_is_dropped),
        cmocka_unit_test(no_overlap_changes_nothing),
        cmocka_unit_test(cutting_never_matters),
        cmocka_unit_test(words_and_sentences_repeated),
        cmocka_unit_test(marks_of_going_on),
        cmocka_unit_test(fences_opened_again),
        cmocka_unit_test(beginnings_over),
        cmocka_unit_test(what_must_stay),
        cmocka_unit_test(exact_continuation_loses_nothing),
        cmocka_unit_test(last_lines_repeated_join),
        cmocka_unit_test(answers_begun_over_join),
        cmocka_unit_test(long_answer_begun_over_takes_no_memory),
        cmocka_unit_test(long_ends_are_bounded),
        cmocka_unit_test(cutting_never_matters_at_the_border),
        cmocka_unit_test(periodic_texts_are_joined_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
