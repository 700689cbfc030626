/* Quotas: what is read and refused, and that what is written reads back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "route/quota.h"

static enum err read_text(const char *text, struct quota *ret, struct error *error)
{
    struct arena *arena = arena_new(64 * 1024);
    yyjson_val *root;
    assert_int_equal(json_read(arena, str_from_cstr(text), &root, error), ERR_OK);
    enum err code = quota_read(root, ret, error);
    arena_free(arena);
    return code;
}

static void every_member_is_read_and_written_back(void **state)
{
    (void)state;
    const char *text =
        "{\"requests_per_minute\":1,\"tokens_per_minute\":2,\"requests_burst\":3,"
        "\"tokens_burst\":4,\"requests_per_day\":5,\"requests_per_week\":6,"
        "\"requests_per_month\":7,\"tokens_per_day\":8,\"tokens_per_week\":9,"
        "\"tokens_per_month\":10,\"streams\":11,\"budget_per_day\":12.5,\"budget_per_week\":13.0,"
        "\"budget_per_month\":0.000000001,\"soft_budget_per_day\":15.0,"
        "\"soft_budget_per_week\":0.1,\"soft_budget_per_month\":1000000000.0}";
    struct quota quota;
    struct error error;
    struct buf out;
    struct json_writer w;
    assert_int_equal(read_text(text, &quota, &error), ERR_OK);
    assert_int_equal(quota.requests_burst, 3);
    assert_int_equal(quota.tokens[QUOTA_MONTH], 10);
    assert_int_equal(quota.streams_max, 11);
    assert_int_equal(quota.hard_nano[QUOTA_DAY], 12500000000);
    assert_int_equal(quota.hard_nano[QUOTA_MONTH], 1);
    assert_int_equal(quota.soft_nano[QUOTA_WEEK], 100000000);
    buf_init(&out, 4096);
    json_writer_init(&w, &out);
    quota_write(&w, &quota);
    buf_append_char(&out, '\0');
    struct quota again;
    assert_int_equal(read_text(out.data, &again, &error), ERR_OK);
    assert_memory_equal(&quota, &again, sizeof quota);
    buf_done(&out);
}

static void wrong_members_are_named(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"{\"requests_per_minut\":1}", "requests_per_minut"},
        {"{\"requests_per_minute\":-1}", "requests_per_minute"},
        {"{\"requests_per_minute\":1.5}", "requests_per_minute"},
        {"{\"requests_per_minute\":1000000001}", "requests_per_minute"},
        {"{\"requests_per_minute\":\"1\"}", "requests_per_minute"},
        {"{\"tokens_per_day\":1e16}", "tokens_per_day"},
        {"{\"tokens_per_day\":null}", "tokens_per_day"},
        {"{\"streams\":1000001}", "streams"},
        {"{\"streams\":true}", "streams"},
        {"{\"streams\":1,\"streams\":2}", "streams"},
        {"{\"budget_per_day\":-0.1}", "budget_per_day"},
        {"{\"budget_per_day\":1e10}", "budget_per_day"},
        {"{\"budget_per_day\":1e-11}", "budget_per_day"},
        {"{\"tokens_burst\":5}", "tokens_burst"},
        {"{\"\":5}", ""},
        {"[]", ""},
        {"null", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct quota quota = {.streams_max = 77};
        struct error error = {0};
        assert_int_equal(read_text(rows[i][0], &quota, &error), ERR_INVALID);
        assert_string_equal(error.field, rows[i][1]);
        assert_true(strlen(error.message) > 0);
        assert_int_equal(quota.streams_max, 77);
    }
}

static void nothing_is_a_quota_too(void **state)
{
    (void)state;
    struct quota quota = {.streams_max = 1};
    assert_false(quota_is_empty(&quota));
    assert_int_equal(read_text("{\"streams\":0}", &quota, NULL), ERR_OK);
    assert_true(quota_is_empty(&quota));
}

static void tags_have_budgets_alone(void **state)
{
    (void)state;
    struct quota quota = {.hard_nano = {1}};
    struct error error = {0};
    assert_int_equal(quota_check(&quota, QUOTA_TAG, &error), ERR_OK);
    quota.requests[QUOTA_WEEK] = 1;
    assert_int_equal(quota_check(&quota, QUOTA_TAG, &error), ERR_INVALID);
    assert_string_equal(error.field, "requests_per_week");
    assert_int_equal(quota_check(&quota, QUOTA_KEY, &error), ERR_OK);
}

static void addresses_have_one_form(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"192.0.2.7", "192.0.2.7"},
        {"::ffff:192.0.2.7", "192.0.2.7"},
        {"2001:DB8:0:7:1:2:3:4", "2001:db8:0:7::/64"},
        {"2001:db8::/64", "2001:db8::/64"},
        {"::1", "::/64"},
        {"192.0.2.7/64", NULL},
        {"10.0.0.0/8", NULL},
        {"2001:db8::/32", NULL},
        {"example.org", NULL},
        {"", NULL},
        {"1111111111111111111111111111111111111111111111111111111111111111111111", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[QUOTA_ADDRESS_BYTES];
        assert_int_equal(quota_address(str_from_cstr(rows[i][0]), text), rows[i][1] != NULL);
        if (rows[i][1])
            assert_string_equal(text, rows[i][1]);
    }
}

static void names_of_kinds_and_members(void **state)
{
    (void)state;
    for (int i = 0; i < QUOTA_KIND_COUNT; i++) {
        enum quota_kind kind = QUOTA_KIND_COUNT;
        assert_true(quota_kind_find(str_from_cstr(quota_kind_name((enum quota_kind)i)), &kind));
        assert_int_equal(kind, i);
    }
    enum quota_kind kind;
    bool is_money;
    assert_false(quota_kind_find(STR("keys"), &kind));
    assert_false(quota_kind_find(STR_NONE, &kind));
    assert_true(quota_member_find(STR("soft_budget_per_day"), &is_money) && is_money);
    assert_true(quota_member_find(STR("streams"), &is_money) && !is_money);
    assert_false(quota_member_find(STR("stream"), &is_money));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_member_is_read_and_written_back),
        cmocka_unit_test(wrong_members_are_named),
        cmocka_unit_test(nothing_is_a_quota_too),
        cmocka_unit_test(tags_have_budgets_alone),
        cmocka_unit_test(addresses_have_one_form),
        cmocka_unit_test(names_of_kinds_and_members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
