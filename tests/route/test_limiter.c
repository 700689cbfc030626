/* The limiter: each kind of limit, all or nothing, what "*" means, and that waits are true. */
#include "helper_limiter.h"

#include <stdio.h>
#include <string.h>

#include "base/random.h"

static struct limiter *limiter_with(struct limiter_subject subject, const struct quota *quota)
{
    struct limiter *limiter = limiter_new();
    limiter_set(limiter, subject, quota);
    return limiter;
}

/* ---- Limits per minute ----------------------------------------------------------------------- */

static void requests_per_minute(void **state)
{
    (void)state;
    struct limiter *limiter = limiter_with(KEY_A, &(struct quota){.requests_per_minute = 60});
    for (int i = 0; i < 60; i++) {
        struct answer answer = ask_one(limiter, KEY_A, 0, 0, time_at(0));
        assert_true(answer.granted);
        assert_int_equal(answer.view.requests_limit, 60);
        assert_int_equal(answer.view.requests_remaining, 59 - i);
        assert_int_equal(answer.view.requests_reset_ms, 1000 * (i + 1));
        assert_int_equal(answer.view.tokens_limit, -1);
        assert_int_equal(answer.view.tokens_remaining, -1);
        limiter_settle(limiter, &answer.lease, 100, 0, time_at(0));
    }
    struct answer refused = ask_one(limiter, KEY_A, 0, 0, time_at(0));
    assert_false(refused.granted);
    assert_string_equal(refused.refusal.what, "requests per minute");
    assert_string_equal(refused.refusal.id, "a");
    assert_int_equal(refused.refusal.kind, QUOTA_KEY);
    assert_int_equal(refused.refusal.limit, 60);
    assert_int_equal(refused.refusal.retry_after_ms, 1000);
    assert_int_equal(refused.view.requests_remaining, 0);
    assert_false(ask_one(limiter, KEY_A, 0, 0, time_at(S - 1000)).granted);
    assert_true(ask_one(limiter, KEY_A, 0, 0, time_at(S)).granted);
    limiter_free(limiter);
}

static void tokens_per_minute(void **state)
{
    (void)state;
    struct limiter *limiter =
        limiter_with(KEY_A, &(struct quota){.tokens_per_minute = 600, .tokens_burst = 1000});
    struct answer first = ask_one(limiter, KEY_A, 900, 0, time_at(0));
    assert_true(first.granted);
    assert_int_equal(first.view.tokens_limit, 1000);
    assert_int_equal(first.view.tokens_remaining, 100);
    struct answer refused = ask_one(limiter, KEY_A, 200, 0, time_at(0));
    assert_false(refused.granted);
    assert_int_equal(refused.refusal.retry_after_ms, 10 * 1000);
    assert_string_equal(refused.refusal.what, "tokens per minute");
    assert_int_equal(refused.refusal.limit, 600); /* as it was set, not the size of the bucket */
    struct answer never = ask_one(limiter, KEY_A, 1001, 0, time_at(0));
    assert_true(!never.granted && never.refusal.is_never);
    assert_string_equal(never.refusal.what, "tokens in one burst");
    assert_int_equal(never.refusal.limit, 1000);
    limiter_settle(limiter, &first.lease, 100, 0, time_at(0));
    assert_int_equal(first.lease.count, 0);
    struct answer second = ask_one(limiter, KEY_A, 900, 0, time_at(0));
    assert_true(second.granted);
    limiter_settle(limiter, &second.lease, 2900, 0, time_at(0)); /* 2,000 are owed */
    assert_int_equal(ask_one(limiter, KEY_A, 0, 0, time_at(0)).refusal.retry_after_ms, 200 * 1000);
    limiter_free(limiter);
}

static void at_once(void **state)
{
    (void)state;
    struct limiter *limiter = limiter_with(KEY_A, &(struct quota){.streams_max = 2});
    struct answer first = ask_one(limiter, KEY_A, 0, 0, time_at(0));
    struct answer second = ask_one(limiter, KEY_A, 0, 0, time_at(0));
    struct answer third = ask_one(limiter, KEY_A, 0, 0, time_at(0));
    assert_true(first.granted && second.granted && !third.granted);
    assert_string_equal(third.refusal.what, "requests at once");
    assert_int_equal(third.refusal.retry_after_ms, 1000);
    limiter_settle(limiter, &first.lease, 0, 0, time_at(0));
    assert_true(ask_one(limiter, KEY_A, 0, 0, time_at(0)).granted);
    limiter_free(limiter);
}

/* ---- Calendar -------------------------------------------------------------------------------- */

static void per_day_counts_what_is_held(void **state)
{
    (void)state;
    struct limiter *limiter =
        limiter_with(KEY_A, &(struct quota){.tokens = {100}, .requests = {10}});
    struct answer held = ask_one(limiter, KEY_A, 60, 0, time_at(0));
    assert_true(held.granted);
    assert_int_equal(held.view.tokens_limit, 100);
    assert_int_equal(held.view.tokens_remaining, 40);
    assert_int_equal(held.view.tokens_reset_ms, 12 * 3600 * 1000);
    assert_int_equal(held.view.requests_remaining, 9);
    struct answer refused = ask_one(limiter, KEY_A, 41, 0, time_at(0));
    assert_false(refused.granted);
    assert_string_equal(refused.refusal.what, "tokens per day");
    assert_int_equal(refused.refusal.retry_after_ms, 1000); /* as soon as the other has ended */
    limiter_settle(limiter, &held.lease, 60, 0, time_at(0));
    refused = ask_one(limiter, KEY_A, 41, 0, time_at(0));
    assert_int_equal(refused.refusal.retry_after_ms, 12 * 3600 * 1000);
    assert_false(ask_one(limiter, KEY_A, 41, 0, time_at(12 * 3600 * S - 1000)).granted);
    assert_true(ask_one(limiter, KEY_A, 41, 0, time_at(12 * 3600 * S)).granted);
    limiter_free(limiter);
}

static void what_outlives_its_period_is_charged_where_it_ends(void **state)
{
    (void)state;
    struct limiter *limiter = limiter_with(KEY_A, &(struct quota){.tokens = {100}});
    struct limiter_used used;
    struct answer held = ask_one(limiter, KEY_A, 60, 0, time_at(0));
    struct limiter_time next = time_at(13 * 3600 * S);
    assert_false(ask_one(limiter, KEY_A, 41, 0, next).granted);
    limiter_settle(limiter, &held.lease, 90, 7, next);
    assert_true(limiter_used(limiter, KEY_A, QUOTA_DAY, next.wall_ms, &used));
    assert_int_equal(used.tokens, 90);
    assert_int_equal(used.requests, 0); /* it was made the day before */
    assert_true(limiter_used(limiter, KEY_A, QUOTA_MONTH, next.wall_ms, &used));
    assert_int_equal(used.requests, 1);
    assert_int_equal(used.cost_nano, 7);
    limiter_free(limiter);
}

static void weeks_and_months_are_limits_of_their_own(void **state)
{
    (void)state;
    struct limiter *limiter =
        limiter_with(KEY_A, &(struct quota){.requests = {[QUOTA_WEEK] = 1, [QUOTA_MONTH] = 2}});
    struct limiter_time monday = {time_at(0).monotonic_us,
                                  clock_parse(STR("2026-11-23T00:00:00.000Z"))};
    struct limiter_time december = {monday.monotonic_us,
                                    clock_parse(STR("2026-12-01T00:00:00.000Z"))};
    assert_true(ask_one(limiter, KEY_A, 0, 0, time_at(0)).granted);
    struct answer refused = ask_one(limiter, KEY_A, 0, 0, time_at(0));
    assert_string_equal(refused.refusal.what, "requests per week");
    assert_int_equal(refused.refusal.retry_after_ms, monday.wall_ms - time_at(0).wall_ms);
    assert_true(ask_one(limiter, KEY_A, 0, 0, monday).granted);
    refused = ask_one(limiter, KEY_A, 0, 0, monday); /* of the two, the longer wait */
    assert_string_equal(refused.refusal.what, "requests per month");
    assert_int_equal(refused.refusal.retry_after_ms, december.wall_ms - monday.wall_ms);
    assert_true(ask_one(limiter, KEY_A, 0, 0, december).granted);
    limiter_free(limiter);
}

/* ---- Money ----------------------------------------------------------------------------------- */

static void a_hard_budget_refuses(void **state)
{
    (void)state;
    struct limiter *limiter = limiter_with(KEY_A, &(struct quota){.hard_nano = {0, 0, USD}});
    struct answer first = ask_one(limiter, KEY_A, 0, USD / 2, time_at(0));
    struct answer second = ask_one(limiter, KEY_A, 0, USD / 2, time_at(0));
    struct answer third = ask_one(limiter, KEY_A, 0, 1, time_at(0));
    assert_true(first.granted && second.granted && !third.granted);
    assert_true(third.refusal.is_budget);
    assert_string_equal(third.refusal.what, "budget per month");
    assert_int_equal(third.refusal.limit, USD);
    limiter_settle(limiter, &first.lease, 0, USD, time_at(0));
    limiter_settle(limiter, &second.lease, 0, USD, time_at(0));
    assert_false(ask_one(limiter, KEY_A, 0, 1, time_at(0)).granted);
    assert_true(ask_one(limiter, KEY_A, 1000000, 0, time_at(0)).granted); /* free of charge */
    assert_true(ask_one(limiter, KEY_A, 0, USD + 1, time_at(0)).refusal.is_never);
    limiter_free(limiter);
}

static void a_soft_budget_tells_once_a_period(void **state)
{
    (void)state;
    struct limiter *limiter = limiter_with(KEY_A, &(struct quota){.soft_nano = {USD}});
    struct answer answer = ask_one(limiter, KEY_A, 0, USD, time_at(0));
    assert_string_equal(answer.soft, "");
    limiter_settle(limiter, &answer.lease, 0, USD + USD / 2, time_at(0));
    answer = ask_one(limiter, KEY_A, 0, 0, time_at(0));
    assert_true(answer.granted);
    assert_string_equal(answer.soft, "soft budget per day of key a passed: 1.50 of 1.00 USD");
    assert_string_equal(ask_one(limiter, KEY_A, 0, USD, time_at(0)).soft, "");
    assert_true(strlen(ask_one(limiter, KEY_A, 0, USD, time_at(24 * 3600 * S)).soft) > 0);
    limiter_free(limiter);
}

/* ---- Several subjects ------------------------------------------------------------------------ */

static void all_or_nothing(void **state)
{
    (void)state;
    const struct limiter_subject user = {QUOTA_USER, STR("u")};
    const struct limiter_subject both[] = {KEY_A, user, KEY_A};
    struct limiter *limiter = limiter_with(KEY_A, &(struct quota){.requests_per_minute = 10});
    limiter_set(limiter, user, &(struct quota){.requests_per_minute = 1});
    struct answer first = ask_all(limiter, both, 3, 0, 0, time_at(0));
    assert_true(first.granted);
    assert_int_equal(first.lease.count, 2); /* the same subject twice is one */
    assert_int_equal(first.view.requests_remaining, 0);
    assert_int_equal(first.view.requests_limit, 1);
    for (int i = 0; i < 20; i++) {
        struct answer refused = ask_all(limiter, both, 3, 0, 0, time_at(0));
        assert_false(refused.granted);
        assert_int_equal(refused.refusal.kind, QUOTA_USER);
        assert_int_equal(refused.lease.count, 0);
    }
    assert_int_equal(ask_one(limiter, KEY_A, 0, 0, time_at(0)).view.requests_remaining, 8);
    limiter_free(limiter);
}

static void windows_are_independent(void **state)
{
    (void)state;
    struct limiter *limiter =
        limiter_with(KEY_A, &(struct quota){.requests_per_minute = 2, .requests = {100}});
    struct limiter_used used;
    for (int i = 0; i < 10; i++)
        ask_one(limiter, KEY_A, 0, 0, time_at(0));
    limiter_used(limiter, KEY_A, QUOTA_DAY, time_at(0).wall_ms, &used);
    assert_int_equal(used.requests, 2);
    limiter_free(limiter);
}

static void without_a_quota_all_go(void **state)
{
    (void)state;
    struct limiter *limiter = limiter_new();
    struct limiter_used used;
    struct answer answer = ask_one(limiter, KEY_A, INT64_MAX, INT64_MAX, time_at(0));
    assert_true(answer.granted);
    assert_int_equal(answer.lease.count, 0);
    assert_int_equal(answer.view.requests_limit, -1);
    limiter_settle(limiter, &answer.lease, 1, 1, time_at(0));
    assert_false(limiter_used(limiter, KEY_A, QUOTA_DAY, 0, &used));
    limiter_free(limiter);
}

/* ---- Rules ----------------------------------------------------------------------------------- */

static void a_star_is_for_each_without_its_own(void **state)
{
    (void)state;
    const struct limiter_subject star = {QUOTA_KEY, STR("*")}, b = {QUOTA_KEY, STR("b")},
                                 c = {QUOTA_KEY, STR("c")}, user = {QUOTA_USER, STR("b")};
    struct limiter *limiter = limiter_with(star, &(struct quota){.requests_per_minute = 1});
    limiter_set(limiter, c, &(struct quota){0});
    assert_true(ask_one(limiter, KEY_A, 0, 0, time_at(0)).granted);
    assert_false(ask_one(limiter, KEY_A, 0, 0, time_at(0)).granted);
    assert_true(ask_one(limiter, b, 0, 0, time_at(0)).granted);
    assert_false(ask_one(limiter, b, 0, 0, time_at(0)).granted);
    for (int i = 0; i < 5; i++) {
        assert_true(ask_one(limiter, c, 0, 0, time_at(0)).granted);
        assert_true(ask_one(limiter, user, 0, 0, time_at(0)).granted);
    }
    limiter_set(limiter, star, NULL);
    assert_true(ask_one(limiter, b, 0, 0, time_at(0)).granted);
    limiter_free(limiter);
}

static void what_was_used_survives_a_change(void **state)
{
    (void)state;
    struct limiter *limiter =
        limiter_with(KEY_A, &(struct quota){.requests_per_minute = 10, .requests = {20}});
    for (int i = 0; i < 10; i++)
        assert_true(ask_one(limiter, KEY_A, 0, 0, time_at(0)).granted);
    limiter_set(limiter, KEY_A, NULL);
    assert_true(ask_one(limiter, KEY_A, 0, 0, time_at(0)).granted);
    limiter_set(limiter, KEY_A, &(struct quota){.requests_per_minute = 12, .requests = {11}});
    assert_true(ask_one(limiter, KEY_A, 0, 0, time_at(0)).granted);
    struct answer refused = ask_one(limiter, KEY_A, 0, 0, time_at(0));
    assert_string_equal(refused.refusal.what, "requests per day");
    limiter_free(limiter);
}

static void a_lease_outlives_its_quota(void **state)
{
    (void)state;
    struct limiter *limiter =
        limiter_with(KEY_A, &(struct quota){.tokens_per_minute = 100, .streams_max = 1});
    struct answer held = ask_one(limiter, KEY_A, 50, 0, time_at(0));
    limiter_set(limiter, KEY_A, NULL);
    limiter_settle(limiter, &held.lease, 50, 0, time_at(0));
    limiter_set(limiter, KEY_A, &(struct quota){.streams_max = 1});
    assert_true(ask_one(limiter, KEY_A, 50, 0, time_at(0)).granted);
    limiter_free(limiter);
}

struct seen {
    char text[400];
};

static void note_rule(void *user, struct limiter_subject subject, const struct quota *quota)
{
    struct seen *seen = user;
    size_t length = strlen(seen->text);
    snprintf(seen->text + length, sizeof seen->text - length, "%s:%.*s=%d ",
             quota_kind_name(subject.kind), STR_ARG(subject.id), (int)quota->streams_max);
}

static void rules_are_listed_in_order(void **state)
{
    (void)state;
    struct limiter *limiter = limiter_new();
    struct seen seen = {0};
    struct quota quota;
    limiter_set(limiter, (struct limiter_subject){QUOTA_USER, STR("b")},
                &(struct quota){.streams_max = 1});
    limiter_set(limiter, (struct limiter_subject){QUOTA_USER, STR("a")},
                &(struct quota){.streams_max = 2});
    limiter_set(limiter, (struct limiter_subject){QUOTA_USER, STR("*")},
                &(struct quota){.streams_max = 3});
    limiter_set(limiter, KEY_A, &(struct quota){.streams_max = 4});
    limiter_set(limiter, (struct limiter_subject){QUOTA_USER, STR("a")}, NULL);
    limiter_each(limiter, note_rule, &seen);
    assert_string_equal(seen.text, "key:a=4 user:*=3 user:b=1 ");
    assert_true(limiter_get(limiter, KEY_A, &quota) && quota.streams_max == 4);
    assert_true(limiter_get(limiter, (struct limiter_subject){QUOTA_USER, STR("*")}, &quota));
    assert_false(limiter_get(limiter, (struct limiter_subject){QUOTA_USER, STR("a")}, &quota));
    limiter_free(limiter);
}

static void addresses_count_by_their_network(void **state)
{
    (void)state;
    const struct limiter_subject star = {QUOTA_ADDRESS, STR("*")};
    static const struct row {
        const char *first, *second;
        bool same;
    } rows[] = {
        {"2001:db8::1", "2001:db8:0:0:ffff::2", true},
        {"2001:db8::1", "2001:db8:0:1::1", false},
        {"192.0.2.1", "192.0.2.2", false},
        {"::ffff:192.0.2.3", "192.0.2.3", true},
        {"2001:db8:7::/64", "2001:db8:7::9", true},
        {"not:an:address", "not:an:address", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct limiter *limiter = limiter_with(star, &(struct quota){.requests_per_minute = 1});
        struct limiter_subject first = {QUOTA_ADDRESS, str_from_cstr(rows[i].first)};
        struct limiter_subject second = {QUOTA_ADDRESS, str_from_cstr(rows[i].second)};
        assert_true(ask_one(limiter, first, 0, 0, time_at(0)).granted);
        assert_int_equal(ask_one(limiter, second, 0, 0, time_at(0)).granted, !rows[i].same);
        limiter_free(limiter);
    }
}

static void what_was_used_before_is_restored(void **state)
{
    (void)state;
    struct limiter *limiter = limiter_with(KEY_A, &(struct quota){.hard_nano = {USD}});
    struct limiter_used used;
    int64_t wall_ms = time_at(0).wall_ms;
    limiter_restore(limiter, KEY_A, QUOTA_DAY, 3, 400, USD, wall_ms);
    limiter_restore(limiter, (struct limiter_subject){QUOTA_KEY, STR("b")}, QUOTA_DAY, 3, 400, USD,
                    wall_ms);
    assert_true(limiter_used(limiter, KEY_A, QUOTA_DAY, wall_ms, &used));
    assert_int_equal(used.requests, 3);
    assert_int_equal(used.tokens, 400);
    assert_false(ask_one(limiter, KEY_A, 0, 1, time_at(0)).granted);
    assert_true(ask_one(limiter, KEY_A, 0, 1, time_at(12 * 3600 * S)).granted);
    limiter_free(limiter);
}

static void looking_changes_nothing(void **state)
{
    (void)state;
    struct limiter *limiter = limiter_with(KEY_A, &(struct quota){.requests_per_minute = 10});
    struct limiter_view view;
    int64_t streams = -1;
    struct answer held = ask_one(limiter, KEY_A, 0, 0, time_at(0));
    for (int i = 0; i < 3; i++)
        assert_true(limiter_look(limiter, KEY_A, time_at(0), &streams, &view));
    assert_int_equal(streams, 1);
    assert_int_equal(view.requests_remaining, 9);
    limiter_settle(limiter, &held.lease, 0, 0, time_at(0));
    assert_false(limiter_look(limiter, (struct limiter_subject){QUOTA_USER, STR("a")}, time_at(0),
                              &streams, &view));
    limiter_free(limiter);
}

/* ---- Many -------------------------------------------------------------------------------------
 */

static struct limiter_subject address_of(int number, char text[32])
{
    int length = snprintf(text, 32, "10.%d.%d.%d", number >> 16, number >> 8 & 255, number & 255);
    return (struct limiter_subject){QUOTA_ADDRESS, STR_FROM(text, (size_t)length)};
}

static void too_many_addresses_share_one_node(void **state)
{
    (void)state;
    struct limiter *limiter = limiter_with((struct limiter_subject){QUOTA_ADDRESS, STR("*")},
                                           &(struct quota){.requests_per_minute = 1});
    char text[32];
    for (int i = 0; i < LIMITER_NODES_MAX; i++)
        assert_true(ask_one(limiter, address_of(i, text), 0, 0, time_at(0)).granted);
    struct answer first = ask_one(limiter, address_of(LIMITER_NODES_MAX, text), 0, 0, time_at(0));
    struct answer second =
        ask_one(limiter, address_of(LIMITER_NODES_MAX + 1, text), 0, 0, time_at(0));
    assert_true(first.granted && !second.granted);
    assert_false(ask_one(limiter, address_of(7, text), 0, 0, time_at(0)).granted);
    limiter_settle(limiter, &first.lease, 0, 0, time_at(0));
    limiter_free(limiter);
}

static void idle_addresses_make_room(void **state)
{
    (void)state;
    struct limiter *limiter = limiter_with((struct limiter_subject){QUOTA_ADDRESS, STR("*")},
                                           &(struct quota){.requests_per_minute = 1});
    char text[32];
    struct answer held = ask_one(limiter, address_of(0, text), 0, 0, time_at(0));
    /* More than there is room for, each idle after a minute. */
    for (int i = 1; i < LIMITER_NODES_MAX / 4 * 5; i++) {
        struct limiter_time now = time_at((uint64_t)i * 1000);
        struct answer answer = ask_one(limiter, address_of(i, text), 0, 0, now);
        assert_true(answer.granted);
        limiter_settle(limiter, &answer.lease, 0, 0, now);
    }
    limiter_settle(limiter, &held.lease, 0, 0, time_at(S));
    limiter_free(limiter);
}

/* ---- Waits are true --------------------------------------------------------------------------- */

static struct quota random_quota(struct random *random)
{
    struct quota quota = {0};
    int64_t *fields = (int64_t *)(void *)&quota;
    for (size_t i = 0; i < sizeof quota / sizeof *fields; i++)
        if (random_below(random, 3) == 0)
            fields[i] = 1 + (int64_t)random_below(random, random_below(random, 2) ? 20 : 1000);
    quota.streams_max = 0;
    return quota;
}

static struct limiter_time later(struct limiter_time time, uint64_t ms)
{
    return (struct limiter_time){time.monotonic_us + ms * 1000, time.wall_ms + (int64_t)ms};
}

/* Asks until refused; then what was refused goes at the time told, and for buckets not earlier. */
static void try_wait(struct random *random, int *ret_tried)
{
    struct quota quota = random_quota(random);
    struct limiter *limiter = limiter_with(KEY_A, &quota);
    struct limiter_time now = time_at(random_below(random, 1000 * S));
    for (int i = 0; i < 100; i++) {
        int64_t tokens = (int64_t)random_below(random, 30);
        int64_t cost = (int64_t)random_below(random, 3) * 10;
        now = later(now, random_below(random, 3) * random_below(random, 2000));
        struct answer answer = ask_one(limiter, KEY_A, tokens, cost, now);
        if (answer.granted) {
            limiter_settle(limiter, &answer.lease, (int64_t)random_below(random, 40), cost, now);
            continue;
        }
        if (answer.refusal.is_never)
            continue;
        uint64_t wait_ms = answer.refusal.retry_after_ms;
        assert_true(wait_ms > 0);
        assert_false(ask_one(limiter, KEY_A, tokens, cost, later(now, wait_ms - 1)).granted);
        now = later(now, wait_ms);
        answer = ask_one(limiter, KEY_A, tokens, cost, now);
        assert_true(answer.granted);
        limiter_settle(limiter, &answer.lease, tokens, cost, now);
        (*ret_tried)++;
    }
    limiter_free(limiter);
}

static void every_wait_is_true(void **state)
{
    (void)state;
    struct random random;
    int tried = 0;
    random_init(&random, 11);
    for (int i = 0; i < 800; i++)
        try_wait(&random, &tried);
    assert_true(tried > 4000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_per_minute),
        cmocka_unit_test(tokens_per_minute),
        cmocka_unit_test(at_once),
        cmocka_unit_test(per_day_counts_what_is_held),
        cmocka_unit_test(what_outlives_its_period_is_charged_where_it_ends),
        cmocka_unit_test(weeks_and_months_are_limits_of_their_own),
        cmocka_unit_test(a_hard_budget_refuses),
        cmocka_unit_test(a_soft_budget_tells_once_a_period),
        cmocka_unit_test(all_or_nothing),
        cmocka_unit_test(windows_are_independent),
        cmocka_unit_test(without_a_quota_all_go),
        cmocka_unit_test(a_star_is_for_each_without_its_own),
        cmocka_unit_test(what_was_used_survives_a_change),
        cmocka_unit_test(a_lease_outlives_its_quota),
        cmocka_unit_test(rules_are_listed_in_order),
        cmocka_unit_test(addresses_count_by_their_network),
        cmocka_unit_test(what_was_used_before_is_restored),
        cmocka_unit_test(looking_changes_nothing),
        cmocka_unit_test(too_many_addresses_share_one_node),
        cmocka_unit_test(idle_addresses_make_room),
        cmocka_unit_test(every_wait_is_true),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
