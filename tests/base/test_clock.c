/* Times in the formats of protocols. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/clock.h"
#include "base/random.h"

static void known_times(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *rfc3339, *http;
    } rows[] = {
        {0, "1970-01-01T00:00:00.000Z", "Thu, 01 Jan 1970 00:00:00 GMT"},
        {784111777000, "1994-11-06T08:49:37.000Z", "Sun, 06 Nov 1994 08:49:37 GMT"},
        {1795341600123, "2026-11-22T10:00:00.123Z", "Sun, 22 Nov 2026 10:00:00 GMT"},
        {1709164800000, "2024-02-29T00:00:00.000Z", "Thu, 29 Feb 2024 00:00:00 GMT"},
        {-1, "1969-12-31T23:59:59.999Z", "Wed, 31 Dec 1969 23:59:59 GMT"},
        {253402300799999, "9999-12-31T23:59:59.999Z", "Fri, 31 Dec 9999 23:59:59 GMT"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[30];
        clock_format_rfc3339(rows[i].ms, text);
        assert_string_equal(text, rows[i].rfc3339);
        assert_true(clock_parse(str_from_cstr(text)) == rows[i].ms);
        clock_format_http(rows[i].ms, text);
        assert_string_equal(text, rows[i].http);
        if (rows[i].ms >= 0)
            assert_true(clock_parse(str_from_cstr(text)) == rows[i].ms / 1000 * 1000);
    }
}

static void extremes_keep_their_length(void **state)
{
    (void)state;
    static const int64_t extremes[] = {INT64_MIN,       INT64_MAX,        -62135596800001,
                                       253402300800000, INT64_MIN / 1000, INT64_MAX / 1000};
    for (size_t i = 0; i < sizeof extremes / sizeof extremes[0]; i++) {
        char rfc3339[25], http[30];
        clock_format_rfc3339(extremes[i], rfc3339);
        clock_format_http(extremes[i], http);
        assert_int_equal(strlen(rfc3339), 24);
        assert_int_equal(strlen(http), 29);
    }
}

static void random_times_round_trip(void **state)
{
    (void)state;
    struct random random;
    random_init(&random, 11);
    for (int i = 0; i < 5000; i++) {
        int64_t ms = (int64_t)random_below(&random, 253402300800000);
        char rfc3339[25], http[30];
        clock_format_rfc3339(ms, rfc3339);
        clock_format_http(ms, http);
        assert_true(clock_parse(str_from_cstr(rfc3339)) == ms);
        assert_true(clock_parse(str_from_cstr(http)) == ms - ms % 1000);
    }
}

static void offsets_and_fractions(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {
        {"2026-11-22T10:00:00Z", 1795341600000},
        {"2026-11-22T10:00:00.5Z", 1795341600500},
        {"2026-11-22T10:00:00.12Z", 1795341600120},
        {"2026-11-22T10:00:00.123456789Z", 1795341600123},
        {"2026-11-22T12:30:00+02:30", 1795341600000},
        {"2026-11-22T07:00:00.001-03:00", 1795341600001},
        {"2026-11-22T09:45:00.25-00:15", 1795341600250},
        {"2026-11-23T09:59:00+23:59", 1795341600000},
        {"2026-11-22T10:00:00+00:00", 1795341600000},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_true(clock_parse(str_from_cstr(rows[i].text)) == rows[i].ms);
}

static void what_is_neither_is_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "now",
        "0",
        "1795341600",
        "2026-11-22",
        "2026-11-22T10:00:00",
        "2026-11-22T10:00Z",
        "2026-11-22 10:00:00Z",
        "2026-11-22T10:00:00Zx",
        "2026-11-22T10:00:00.Z",
        "2026-11-22T10:00:00,5Z",
        "2026-11-22T10:00:00+0200",
        "2026-11-22T10:00:00+02:00x",
        "2026-11-22T10:00:00+2:00",
        "2026-11-22T10:00:00+24:00",
        "2026-11-22T10:00:00+02:60",
        "2026-11-22T10:00:00+ 2:00",
        "2026-11-22T10:00:00+-2:00",
        "2026-02-30T10:00:00Z",
        "2026-13-01T10:00:00Z",
        "2025-02-29T10:00:00Z",
        "2026-11-22T24:00:00Z",
        "2026-11-22T10:60:00Z",
        "2026-1-22T10:00:00Z",
        " 2026-11-22T10:00:00Z",
        "2026-11-22T10:00:00Z ",
        "12026-11-22T10:00:00Z",
        "2026-11- 2T10:00:00Z",
        "-026-11-22T10:00:00Z",
        "Sun, 22 Nov 2026 10:00:00",
        "Sun, 22 Nov 2026 10:00:00 GMT+1",
        "Sun, 22 Nov 2026 10:00:00 UTC",
        "Mon, 22 Nov 2026 10:00:00 GMT",
        "Sun, 31 Feb 2026 10:00:00 GMT",
        "Sunday, 22-Nov-26 10:00:00 GMT",
        "Sun, 22 Nov 26 10:00:00 GMT",
        "sun, 22 nov 2026 10:00:00 gmt",
        "2026-11-22T10:00:00.00000000000000000000000000000000000000000000000000Z",
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (clock_parse(str_from_cstr(rows[i])) != -1)
            fail_msg("taken: %s", rows[i]);
    assert_true(clock_parse(STR_FROM("2026-11-22T10:00:00Z\0x", 22)) == -1);
    assert_true(clock_parse(STR_NONE) == -1);
}

static void the_clocks_run(void **state)
{
    (void)state;
    uint64_t ns = clock_monotonic_ns(), ms = clock_monotonic_ms();
    assert_true(clock_monotonic_ns() >= ns && ms >= ns / 1000000);
    assert_true(clock_wall_ms() > 1700000000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_times),
        cmocka_unit_test(extremes_keep_their_length),
        cmocka_unit_test(random_times_round_trip),
        cmocka_unit_test(offsets_and_fractions),
        cmocka_unit_test(what_is_neither_is_refused),
        cmocka_unit_test(the_clocks_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
