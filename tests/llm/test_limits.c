/* Rate limits in headers: every form that providers send, and nonsense. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "llm/limits.h"

enum { DAY_MS = 24 * 60 * 60 * 1000 };
static const char now_text[] = "2026-11-22T10:00:00Z";

static struct llm_limits read_all(const struct http_header *items, size_t count, bool *ret_found)
{
    struct http_headers headers = {(struct http_header *)items, count, count};
    struct llm_limits limits;
    memset(&limits, 0x55, sizeof limits); /* all of it is set, found or not */
    *ret_found = llm_limits_read(&headers, clock_parse(str_from_cstr(now_text)), &limits);
    return limits;
}
#define READ(items, ret_found) read_all((items), sizeof(items) / sizeof((items)[0]), (ret_found))

static void assert_limit(struct llm_limit limit, int64_t all, int64_t remaining, int64_t reset_ms)
{
    assert_int_equal(limit.limit, all);
    assert_int_equal(limit.remaining, remaining);
    assert_int_equal(limit.reset_ms, reset_ms);
}

static void openai_says_counts_and_durations(void **state)
{
    (void)state;
    const struct http_header items[] = {
        {STR("X-RateLimit-Limit-Requests"), STR("10000")},
        {STR("x-ratelimit-remaining-requests"), STR(" 9999 ")},
        {STR("x-ratelimit-reset-requests"), STR("6ms")},
        {STR("x-ratelimit-limit-tokens"), STR("2000000")},
        {STR("x-ratelimit-remaining-tokens"), STR("0")},
        {STR("x-ratelimit-reset-tokens"), STR("6m0s")},
    };
    bool found;
    struct llm_limits limits = READ(items, &found);
    assert_true(found);
    assert_limit(limits.requests, 10000, 9999, 6);
    assert_limit(limits.tokens, 2000000, 0, 360000);
}

static void anthropic_says_dates(void **state)
{
    (void)state;
    const struct http_header items[] = {
        {STR("anthropic-ratelimit-requests-limit"), STR("4000")},
        {STR("anthropic-ratelimit-requests-remaining"), STR("3999")},
        {STR("anthropic-ratelimit-requests-reset"), STR("2026-11-22T10:00:01Z")},
        {STR("anthropic-ratelimit-input-tokens-limit"), STR("1")},
        {STR("anthropic-ratelimit-tokens-limit"), STR("480000")},
        {STR("anthropic-ratelimit-tokens-remaining"), STR("478000")},
        {STR("anthropic-ratelimit-tokens-reset"), STR("2026-11-22T09:59:58Z")},
    };
    bool found;
    struct llm_limits limits = READ(items, &found);
    assert_true(found);
    assert_limit(limits.requests, 4000, 3999, 1000);
    assert_limit(limits.tokens, 480000, 478000, 0); /* has just passed: it is full */
}

static void input_tokens_stand_in_for_tokens(void **state)
{
    (void)state;
    const struct http_header items[] = {
        {STR("anthropic-ratelimit-input-tokens-limit"), STR("400000")},
        {STR("anthropic-ratelimit-output-tokens-limit"), STR("80000")},
    };
    bool found;
    struct llm_limits limits = READ(items, &found);
    assert_true(found);
    assert_limit(limits.requests, -1, -1, -1);
    assert_limit(limits.tokens, 400000, -1, -1);
}

static int64_t reset_of(struct str text)
{
    const struct http_header items[] = {{STR("x-ratelimit-reset-tokens"), text}};
    bool found;
    struct llm_limits limits = READ(items, &found);
    assert_int_equal(found, limits.tokens.reset_ms >= 0);
    assert_limit(limits.requests, -1, -1, -1);
    return limits.tokens.reset_ms;
}

static void resets_have_many_forms(void **state)
{
    (void)state;
    assert_int_equal(reset_of(STR("1s")), 1000);
    assert_int_equal(reset_of(STR("2m59.56s")), 179560); /* Groq */
    assert_int_equal(reset_of(STR("42")), 42000);        /* Azure */
    assert_int_equal(reset_of(STR("1.5")), 1500);
    assert_int_equal(reset_of(STR("0")), 0);
    assert_int_equal(reset_of(STR("1795341605")), 5000);    /* an epoch in seconds */
    assert_int_equal(reset_of(STR("1795341605250")), 5250); /* and in milliseconds */
    assert_int_equal(reset_of(STR("2026-11-22T11:00:00.5+01:00")), 500);
    assert_int_equal(reset_of(STR("23h59m59s")), DAY_MS - 1000);
}

static void nonsense_is_not_said(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        " ",
        "-1",
        "-5s",
        "soon",
        "1e300",
        "24h",
        "1000h",
        "86400",
        "900000000",
        "2026-11-23T10:00:00Z",
        "2026-11-20T10:00:00Z",
        "2026-13-40T10:00:00Z",
        "1s later",
        "inf",
        "nan",
        "99999999999999999999",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(reset_of(str_from_cstr(wrong[i])), -1);
    const struct http_header items[] = {
        {STR("x-ratelimit-limit-requests"), STR("-1")},
        {STR("x-ratelimit-remaining-requests"), STR("12 of 20")},
        {STR("x-ratelimit-limit-tokens"), STR("99999999999999999999999")},
        {STR("x-ratelimit-remaining-tokens"), STR("9223372036854775807")},
        {STR("retry-after"), STR("7")},
    };
    bool found;
    struct llm_limits limits = READ(items, &found);
    assert_false(found);
    assert_limit(limits.requests, -1, -1, -1);
    assert_limit(limits.tokens, -1, -1, -1);
    struct http_headers none = {0};
    assert_false(llm_limits_read(&none, 0, &limits));
    assert_limit(limits.requests, -1, -1, -1);
}

static void one_wrong_value_does_not_hide_the_others(void **state)
{
    (void)state;
    const struct http_header items[] = {
        {STR("x-ratelimit-limit-requests"), STR("many")},
        {STR("x-ratelimit-remaining-requests"), STR("3")},
        {STR("x-ratelimit-reset-requests"), STR("-1")},
    };
    bool found;
    struct llm_limits limits = READ(items, &found);
    assert_true(found);
    assert_limit(limits.requests, -1, 3, -1);
    assert_limit(limits.tokens, -1, -1, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(openai_says_counts_and_durations),
        cmocka_unit_test(anthropic_says_dates),
        cmocka_unit_test(input_tokens_stand_in_for_tokens),
        cmocka_unit_test(resets_have_many_forms),
        cmocka_unit_test(nonsense_is_not_said),
        cmocka_unit_test(one_wrong_value_does_not_hide_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
