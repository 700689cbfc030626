/* What the limiter hears of the ledger's sums at the start. Its limiter_restore is played here: what
 * a limiter does with it is tested there. */
#include "../store/support.h"

#include "route/ledger_block.h"
#include "route/ledger_entries.h"
#include "route/ledger_restore.h"

#define WEDNESDAY_MS INT64_C(1794960000000) /* 2026-11-18 */
#define DAY_MS       INT64_C(86400000)

struct limiter {
    char heard[8000];
};

void limiter_restore(struct limiter *limiter, struct limiter_subject subject,
                     enum quota_period period, int64_t requests, int64_t tokens, int64_t cost_nano,
                     int64_t wall_ms)
{
    static const char *const kinds[] = {"key", "user", "group", "model", "address", "tag"};
    size_t at = strlen(limiter->heard);
    assert_int_equal(wall_ms, WEDNESDAY_MS + 5);
    snprintf(limiter->heard + at, sizeof limiter->heard - at, "%s %.*s %c %lld %lld %lld\n",
             kinds[subject.kind], STR_ARG(subject.id), "dwm"[period], (long long)requests,
             (long long)tokens, (long long)cost_nano);
}

static void test_days_of_periods(void **state)
{
    (void)state;
    int64_t wednesday = WEDNESDAY_MS / DAY_MS;
    assert_int_equal(ledger_period_day(QUOTA_DAY, WEDNESDAY_MS + 5), wednesday);
    assert_int_equal(ledger_period_day(QUOTA_WEEK, WEDNESDAY_MS + 5), wednesday - 2);
    assert_int_equal(ledger_period_day(QUOTA_WEEK, WEDNESDAY_MS - 2 * DAY_MS), wednesday - 2);
    assert_int_equal(ledger_period_day(QUOTA_WEEK, WEDNESDAY_MS - 2 * DAY_MS - 1), wednesday - 9);
    assert_int_equal(ledger_period_day(QUOTA_MONTH, WEDNESDAY_MS), wednesday - 17);
    assert_int_equal(ledger_period_day(QUOTA_MONTH, WEDNESDAY_MS - 17 * DAY_MS), wednesday - 17);
}

static enum err store_rows(struct store_tx *tx, void *user, struct error *error)
{
    return ledger_block_store(tx, user, error);
}

static void test_everybody_is_restored(void **state)
{
    (void)state;
    char *directory = directory_new();
    struct store *store = open_store(directory);
    struct limiter limiter = {0};
    struct buf rows;
    const struct id group = {.text = "01kaqqqqqqqqqqqqqqqqqqqqq3"};
    const struct str tag = STR("team:x");
    struct ledger_row row = {.start_ms = WEDNESDAY_MS,
                             .origin = {.user = {.text = "01kaqqqqqqqqqqqqqqqqqqqqq1"},
                                        .key = {.text = "01kaqqqqqqqqqqqqqqqqqqqqq2"},
                                        .groups = &group,
                                        .group_count = 1,
                                        .tags = &tag,
                                        .tag_count = 1,
                                        .model = STR("fast")},
                             .number = 1,
                             .target = STR("p/m"),
                             .usage = {10, 0, 0, 5, 0, false},
                             .cost_nano = 7};
    const int64_t starts[] = {WEDNESDAY_MS, WEDNESDAY_MS - 1, WEDNESDAY_MS - 3 * DAY_MS,
                              WEDNESDAY_MS - 20 * DAY_MS};
    char packed[LEDGER_ROW_BYTES_MAX];
    buf_init(&rows, 100000);
    for (size_t i = 0; i < 4; i++) { /* today, this week, this month, before */
        row.start_ms = starts[i];
        ledger_entry_append(&rows, i, STR_FROM(packed, ledger_row_pack(&row, packed)));
    }
    struct ledger_block block = {.ledger = id_new(1), .rows = buf_str(&rows)};
    assert_int_equal(store_write_now(store, store_rows, &block, NULL), ERR_OK);
    assert_int_equal(ledger_restore(store, &limiter, WEDNESDAY_MS + 5, NULL), ERR_OK);
    const char *subjects[] = {"key 01kaqqqqqqqqqqqqqqqqqqqqq2", "user 01kaqqqqqqqqqqqqqqqqqqqqq1",
                              "model fast", "group 01kaqqqqqqqqqqqqqqqqqqqqq3", "tag team:x"};
    char expected[4000] = "";
    for (size_t i = 0; i < 5; i++) {
        size_t at = strlen(expected);
        snprintf(expected + at, sizeof expected - at, "%s d 1 15 7\n%s w 2 30 14\n%s m 3 45 21\n",
                 subjects[i], subjects[i], subjects[i]);
    }
    assert_string_equal(limiter.heard, expected);
    buf_done(&rows);
    store_close(store);
    directory_remove(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_days_of_periods),
        cmocka_unit_test(test_everybody_is_restored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
