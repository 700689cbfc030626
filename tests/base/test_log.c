/* Log records: both formats, escaping, level, the cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"

/* A pipe that a log writes into; reading empties it. */
struct sink {
    int fds[2];
    char text[16384];
};

static struct str sink_read(struct sink *sink)
{
    ssize_t count = read(sink->fds[0], sink->text, sizeof sink->text);
    return STR_FROM(sink->text, count > 0 ? (size_t)count : 0);
}

static struct log *sink_open(struct sink *sink, enum log_level level, enum log_format format)
{
    assert_int_equal(pipe2(sink->fds, O_NONBLOCK | O_CLOEXEC), 0);
    return log_new(sink->fds[1], level, format);
}

static void sink_close(struct sink *sink, struct log *log)
{
    log_free(log);
    close(sink->fds[0]);
    close(sink->fds[1]);
}

/* Splits "time rest\n" and checks the time. */
static struct str without_time(struct str record)
{
    assert_true(str_ends_with(record, STR("\n")));
    assert_int_equal(record.data[24], ' ');
    int64_t age_ms = clock_wall_ms() - clock_parse(str_slice(record, 0, 24));
    assert_in_range(age_ms, 0, 60000);
    return str_slice(record, 25, record.len - 26);
}

static void text_records(void **state)
{
    (void)state;
    struct sink sink;
    struct log *log = sink_open(&sink, LOG_DEBUG, LOG_FORMAT_TEXT);
    static const struct {
        const char *value, *shown;
    } rows[] = {
        {"plain", "plain"},       {"two words", "\"two words\""},  {"", "\"\""},
        {"a=b", "\"a=b\""},       {"quo\"te", "\"quo\\\"te\""},    {"a\\b", "\"a\\\\b\""},
        {"a\nb", "\"a\\nb\""},    {"\x1b[31m", "\"\\u001b[31m\""}, {"\x7f", "\"\\u007f\""},
        {"\xC3\xA4", "\xC3\xA4"}, {"\xFFz", "\"\xEF\xBF\xBDz\""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char expected[100];
        log_warning(log, "it happened", LOG_CSTR("value", rows[i].value));
        snprintf(expected, sizeof expected, "warning it happened value=%s", rows[i].shown);
        assert_true(str_eq(without_time(sink_read(&sink)), str_from_cstr(expected)));
    }
    log_info(log, "numbers", LOG_INT("a", -5), LOG_BOOL("b", true), LOG_BOOL("c", false));
    assert_true(str_eq(without_time(sink_read(&sink)), STR("info    numbers a=-5 b=true c=false")));
    log_error(log, "alone");
    assert_true(str_eq(without_time(sink_read(&sink)), STR("error   alone")));
    sink_close(&sink, log);
}

static void json_records(void **state)
{
    (void)state;
    struct sink sink;
    struct log *log = sink_open(&sink, LOG_DEBUG, LOG_FORMAT_JSON);
    struct arena *arena = arena_new(SIZE_MAX);
    yyjson_val *root;
    int64_t number;
    bool truth;
    log_debug(log, "all kinds", LOG_CSTR("text", "a\"\n\x01\xFF"), LOG_INT("number", INT64_MIN),
              LOG_BOOL("truth", true), LOG_STR("none", STR_NONE));
    assert_int_equal(json_read(arena, sink_read(&sink), &root, NULL), ERR_OK);
    assert_in_range(clock_wall_ms() - clock_parse(json_get_str(root, "time")), 0, 60000);
    assert_true(str_eq(json_get_str(root, "level"), STR("debug")));
    assert_true(str_eq(json_get_str(root, "message"), STR("all kinds")));
    assert_true(str_eq(json_get_str(root, "text"), STR("a\"\n\x01\xEF\xBF\xBD")));
    assert_true(json_get_int(root, "number", &number) && number == INT64_MIN);
    assert_true(json_get_bool(root, "truth", &truth) && truth);
    assert_true(yyjson_is_null(json_get(root, "none")));
    assert_null(json_get(root, "cut"));
    arena_free(arena);
    sink_close(&sink, log);
}

static void lower_levels_are_dropped(void **state)
{
    (void)state;
    struct sink sink;
    struct log *log = sink_open(&sink, LOG_WARNING, LOG_FORMAT_TEXT);
    assert_false(log_enabled(log, LOG_INFO));
    assert_true(log_enabled(log, LOG_WARNING));
    log_debug(log, "no");
    log_info(log, "no");
    assert_int_equal(sink_read(&sink).len, 0);
    log_error(log, "yes");
    assert_true(sink_read(&sink).len > 0);
    sink_close(&sink, log);
    log_error(NULL, "nowhere");
    assert_false(log_enabled(NULL, LOG_ERROR));
    log = log_new(-1, LOG_DEBUG, LOG_FORMAT_TEXT);
    assert_false(log_enabled(log, LOG_ERROR));
    log_error(log, "nowhere");
    log_free(log);
}

/* Records of many sizes around the limit: always one line, never over 4 KiB, always readable. */
static void long_records_stay_whole(void **state)
{
    (void)state;
    for (int format = LOG_FORMAT_TEXT; format <= LOG_FORMAT_JSON; format++) {
        struct sink sink;
        struct log *log = sink_open(&sink, LOG_DEBUG, (enum log_format)format);
        char text[5001];
        for (size_t len = 0; len <= 5000; len += 23) {
            struct arena *arena = arena_new(SIZE_MAX);
            memset(text, len % 2 ? '\x01' : 'a', len); /* the first grows sixfold */
            struct str value = STR_FROM(text, len), half = STR_FROM(text, len / 2);
            log_info(log, "long", LOG_STR("a", value), LOG_STR("b", half), LOG_STR("c", half),
                     LOG_STR("d", half), LOG_STR("e", half), LOG_INT("end", 1));
            struct str record = sink_read(&sink);
            assert_in_range(record.len, 1, 4096);
            assert_int_equal(str_find_char(record, '\n'), record.len - 1);
            bool must_cut = len > 1400, cut = str_find(record, STR("cut")) != SIZE_MAX;
            assert_true(cut || !must_cut);
            assert_true(!cut || len > 150);
            assert_true(str_find(record, STR("end")) != SIZE_MAX);
            yyjson_val *root;
            if (format == LOG_FORMAT_JSON)
                assert_int_equal(json_read(arena, record, &root, NULL), ERR_OK);
            arena_free(arena);
        }
        sink_close(&sink, log);
    }
}

static void long_values_keep_their_beginning(void **state)
{
    (void)state;
    struct sink sink;
    struct log *log = sink_open(&sink, LOG_DEBUG, LOG_FORMAT_TEXT);
    char text[3001];
    for (size_t at = 0; at < 3000; at += 3)
        memcpy(text + at, "\xE2\x82\xAC", 4);
    log_info(log, "long", LOG_CSTR("value", text));
    struct str record = without_time(sink_read(&sink));
    assert_true(str_starts_with(record, STR("info    long value=\xE2\x82\xAC")));
    assert_true(str_ends_with(record, STR("\xE2\x82\xAC cut=true")));
    assert_int_equal(record.len, strlen("info    long value= cut=true") + 1023);
    sink_close(&sink, log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_records),
        cmocka_unit_test(json_records),
        cmocka_unit_test(lower_levels_are_dropped),
        cmocka_unit_test(long_records_stay_whole),
        cmocka_unit_test(long_values_keep_their_beginning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
