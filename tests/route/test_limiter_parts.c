/* What the limiter counts with: buckets and what they owe, the calendar, lengths of answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/random.h"
#include "route/limiter_bucket.h"
#include "route/limiter_calendar.h"
#include "route/limiter_output.h"

#define S ((uint64_t)1000 * 1000)

static const uint64_t start_us = 5000 * S;

/* ---- Bucket ---------------------------------------------------------------------------------- */

static void a_bucket_gives_its_capacity_then_its_rate(void **state)
{
    (void)state;
    struct bucket bucket = {0};
    bucket_refill(&bucket, 60, start_us);
    for (int i = 0; i < 100; i++) {
        assert_true(bucket_fits(&bucket, 100, 1));
        bucket_take(&bucket, 1);
    }
    assert_false(bucket_fits(&bucket, 100, 1));
    assert_int_equal(bucket_wait_us(&bucket, 60, 100, 1, start_us), S);
    assert_int_equal(bucket_full_us(&bucket, 60), 100 * S);
    bucket_refill(&bucket, 60, start_us + S - 1);
    assert_false(bucket_fits(&bucket, 100, 1));
    assert_int_equal(bucket_free_tokens(&bucket, 100), 0);
    bucket_refill(&bucket, 60, start_us + S);
    assert_true(bucket_fits(&bucket, 100, 1));
    assert_int_equal(bucket_free_tokens(&bucket, 100), 1);
    bucket_refill(&bucket, 60, start_us + 1000000 * S);
    assert_int_equal(bucket_free_tokens(&bucket, 100), 100);
}

static void small_steps_do_not_drift(void **state)
{
    (void)state;
    struct bucket fine = {0}, coarse = {0};
    uint64_t now_us = start_us;
    bucket_refill(&fine, 7, now_us);
    bucket_refill(&coarse, 7, now_us);
    bucket_take(&fine, 1000);
    bucket_take(&coarse, 1000);
    for (int i = 0; i < 100000; i++)
        bucket_refill(&fine, 7, now_us += 13);
    bucket_refill(&coarse, 7, now_us);
    assert_int_equal(fine.spent, coarse.spent);
}

static void the_largest_numbers_do_not_overflow(void **state)
{
    (void)state;
    struct bucket bucket = {0};
    bucket_refill(&bucket, BUCKET_TOKENS_MAX, start_us);
    uint64_t mark = bucket_take(&bucket, BUCKET_TOKENS_MAX);
    for (int i = 0; i < 1000; i++)
        bucket_settle(&bucket, mark, 0, INT64_MAX);
    assert_int_equal(bucket_free_tokens(&bucket, BUCKET_TOKENS_MAX), 0);
    assert_true(bucket_wait_us(&bucket, BUCKET_TOKENS_MAX, BUCKET_TOKENS_MAX, 1, start_us) > 0);
    bucket_refill(&bucket, BUCKET_TOKENS_MAX, UINT64_MAX);
    assert_int_equal(bucket.spent, 0);
}

static void what_was_not_used_goes_back(void **state)
{
    (void)state;
    struct bucket bucket = {0};
    bucket_refill(&bucket, 60, start_us);
    uint64_t mark = bucket_take(&bucket, 100);
    bucket_settle(&bucket, mark, 100, 30);
    assert_int_equal(bucket_free_tokens(&bucket, 100), 70);
}

static void what_was_used_beyond_is_owed(void **state)
{
    (void)state;
    struct bucket bucket = {0};
    bucket_refill(&bucket, 60, start_us);
    uint64_t mark = bucket_take(&bucket, 50);
    bucket_settle(&bucket, mark, 50, 150);
    assert_int_equal(bucket_free_tokens(&bucket, 100), 0);
    assert_int_equal(bucket_wait_us(&bucket, 60, 100, 1, start_us), 51 * S);
}

/* A hold that has been refilled must not come back as well: all that follows would be too much. */
static void what_was_refilled_does_not_go_back(void **state)
{
    (void)state;
    struct bucket bucket = {0};
    bucket_refill(&bucket, 60, start_us);
    uint64_t late = bucket_take(&bucket, 60);
    bucket_refill(&bucket, 60, start_us + 60 * S);
    uint64_t second = bucket_take(&bucket, 60);
    assert_int_equal(bucket_free_tokens(&bucket, 60), 0);
    bucket_settle(&bucket, late, 60, 0);
    assert_int_equal(bucket_free_tokens(&bucket, 60), 0);
    bucket_settle(&bucket, second, 60, 20);
    assert_int_equal(bucket_free_tokens(&bucket, 60), 40);
}

static void what_was_half_refilled_goes_back_by_half(void **state)
{
    (void)state;
    struct bucket bucket = {0};
    bucket_refill(&bucket, 60, start_us);
    uint64_t mark = bucket_take(&bucket, 60);
    bucket_refill(&bucket, 60, start_us + 30 * S);
    bucket_take(&bucket, 30);
    bucket_settle(&bucket, mark, 60, 0);
    assert_int_equal(bucket_free_tokens(&bucket, 60), 30);
}

static void a_hold_of_nowhere_gives_nothing_back(void **state)
{
    (void)state;
    struct bucket bucket = {0};
    uint64_t mark = bucket_no_mark(&bucket);
    bucket_refill(&bucket, 60, start_us);
    bucket_take(&bucket, 60);
    bucket_settle(&bucket, mark, 60, 0);
    assert_int_equal(bucket_free_tokens(&bucket, 60), 0);
}

/* ---- Calendar -------------------------------------------------------------------------------- */

static void periods_agree_with_the_library(void **state)
{
    (void)state;
    struct random random;
    random_init(&random, 4);
    for (int i = 0; i < 100000; i++) {
        int64_t wall_ms = (int64_t)random_below(&random, (uint64_t)400 * 366 * 86400 * 1000) -
                          (int64_t)100 * 366 * 86400 * 1000;
        time_t seconds = (time_t)(wall_ms / 1000 - (wall_ms % 1000 < 0));
        struct tm tm;
        gmtime_r(&seconds, &tm);
        int64_t month = calendar_index(QUOTA_MONTH, wall_ms);
        assert_int_equal(month, (int64_t)(tm.tm_year + 1900) * 12 + tm.tm_mon);
        for (int period = 0; period < QUOTA_PERIODS; period++) {
            int64_t index = calendar_index((enum quota_period)period, wall_ms);
            int64_t begin_ms = calendar_start_ms((enum quota_period)period, index);
            int64_t end_ms = calendar_start_ms((enum quota_period)period, index + 1);
            assert_true(begin_ms <= wall_ms && wall_ms < end_ms);
            assert_int_equal(calendar_index((enum quota_period)period, begin_ms), index);
            assert_int_equal(calendar_index((enum quota_period)period, end_ms), index + 1);
        }
    }
}

static void weeks_begin_on_monday(void **state)
{
    (void)state;
    int64_t sunday = clock_parse(STR("2026-11-22T23:59:59.999Z"));
    int64_t week = calendar_index(QUOTA_WEEK, sunday);
    assert_int_equal(calendar_index(QUOTA_WEEK, sunday + 1), week + 1);
    assert_int_equal(calendar_start_ms(QUOTA_WEEK, week),
                     clock_parse(STR("2026-11-16T00:00:00.000Z")));
}

static void leap_days_count(void **state)
{
    (void)state;
    int64_t leap = clock_parse(STR("2028-02-29T12:00:00.000Z"));
    int64_t month = calendar_index(QUOTA_MONTH, leap);
    assert_int_equal(calendar_start_ms(QUOTA_MONTH, month + 1),
                     clock_parse(STR("2028-03-01T00:00:00.000Z")));
}

static void a_clock_set_back_a_little_forgets_nothing(void **state)
{
    (void)state;
    int64_t day_ms = 86400000, wall_ms = 20000 * day_ms;
    assert_int_equal(calendar_advance(QUOTA_DAY, 20000, wall_ms), 20000);
    assert_int_equal(calendar_advance(QUOTA_DAY, 20000, wall_ms - 1), 20000);
    assert_int_equal(calendar_advance(QUOTA_DAY, 20000, wall_ms - day_ms - 1), 19998);
    assert_int_equal(calendar_advance(QUOTA_DAY, 20000, wall_ms + day_ms), 20001);
}

/* ---- Outputs --------------------------------------------------------------------------------- */

static void few_answers_say_nothing(void **state)
{
    (void)state;
    struct outputs *outputs = outputs_new();
    for (int i = 0; i < OUTPUTS_SAMPLES_MIN - 1; i++)
        outputs_note(outputs, STR("m"), 100);
    assert_int_equal(outputs_p95(outputs, STR("m")), 0);
    assert_int_equal(outputs_p95(outputs, STR("other")), 0);
    outputs_note(outputs, STR("m"), 100);
    assert_in_range(outputs_p95(outputs, STR("m")), 100, 112);
    outputs_free(outputs);
}

static void the_percentile_is_close(void **state)
{
    (void)state;
    for (int64_t scale = 1; scale < 1000000; scale *= 7) {
        struct outputs *outputs = outputs_new();
        for (int64_t i = 1; i <= 100; i++)
            outputs_note(outputs, STR("m"), i * scale);
        int64_t p95 = outputs_p95(outputs, STR("m")), exact = 95 * scale;
        assert_true(p95 >= exact || exact > 1000000);
        assert_true(p95 <= exact + exact / 8 + 1);
        outputs_free(outputs);
    }
}

static void old_answers_fade(void **state)
{
    (void)state;
    struct outputs *outputs = outputs_new();
    for (int i = 0; i < 10000; i++)
        outputs_note(outputs, STR("m"), 50000);
    for (int i = 0; i < 3000; i++)
        outputs_note(outputs, STR("m"), 10);
    assert_in_range(outputs_p95(outputs, STR("m")), 10, 11);
    outputs_note(outputs, STR("m"), INT64_MAX);
    outputs_note(outputs, STR("m"), -5);
    outputs_free(outputs);
}

static void the_oldest_model_makes_room(void **state)
{
    (void)state;
    struct outputs *outputs = outputs_new();
    for (int round = 0; round < OUTPUTS_SAMPLES_MIN; round++) {
        outputs_note(outputs, STR("old"), 10);
        outputs_note(outputs, STR("kept"), 10);
    }
    for (int i = 0; i < OUTPUTS_MODELS_MAX - 1; i++) {
        char name[32];
        int length = snprintf(name, sizeof name, "model-%d", i);
        outputs_note(outputs, STR_FROM(name, (size_t)length), 1);
    }
    assert_int_equal(outputs_p95(outputs, STR("old")), 0);
    assert_true(outputs_p95(outputs, STR("kept")) > 0);
    outputs_free(outputs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bucket_gives_its_capacity_then_its_rate),
        cmocka_unit_test(small_steps_do_not_drift),
        cmocka_unit_test(the_largest_numbers_do_not_overflow),
        cmocka_unit_test(what_was_not_used_goes_back),
        cmocka_unit_test(what_was_used_beyond_is_owed),
        cmocka_unit_test(what_was_refilled_does_not_go_back),
        cmocka_unit_test(what_was_half_refilled_goes_back_by_half),
        cmocka_unit_test(a_hold_of_nowhere_gives_nothing_back),
        cmocka_unit_test(periods_agree_with_the_library),
        cmocka_unit_test(weeks_begin_on_monday),
        cmocka_unit_test(leap_days_count),
        cmocka_unit_test(a_clock_set_back_a_little_forgets_nothing),
        cmocka_unit_test(few_answers_say_nothing),
        cmocka_unit_test(the_percentile_is_close),
        cmocka_unit_test(old_answers_fade),
        cmocka_unit_test(the_oldest_model_makes_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
