/* Prices: finding the one in force, sums, and what a configuration says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "llm/price.h"

static int64_t at(const char *text)
{
    int64_t ms = clock_parse(str_from_cstr(text));
    assert_true(ms >= 0);
    return ms;
}

static struct price find(const char *kind, const char *model, const char *when, bool is_estimate)
{
    struct price price = {0};
    bool estimate = !is_estimate;
    assert_true(price_find(str_from_cstr(kind), str_from_cstr(model), at(when), &price, &estimate));
    assert_int_equal(estimate, is_estimate);
    return price;
}

static bool is_found(const char *kind, const char *model)
{
    struct price price = {.input = 77};
    bool found = price_find(str_from_cstr(kind), str_from_cstr(model), at("2026-12-01T00:00:00Z"),
                            &price, NULL);
    assert_int_equal(!found, price.input == 77); /* untouched */
    return found;
}

#define NOON "2026-12-01T12:00:00Z"

static void exact_names_have_their_list_price(void **state)
{
    (void)state;
    struct price price = find("openai", "gpt-5.5", NOON, false);
    assert_int_equal(price.input, 5 * PRICE_PER_MILLION);
    assert_int_equal(price.cache_read, PRICE_PER_MILLION / 2);
    assert_int_equal(price.cache_write, -1);
    assert_int_equal(price.output, 30 * PRICE_PER_MILLION);
    assert_int_equal(price.long_from_tokens, 272000);
    assert_int_equal(price.long_input, 10 * PRICE_PER_MILLION);
    assert_int_equal(price.long_output, 45 * PRICE_PER_MILLION);
    price = find("anthropic", "claude-sonnet-5", NOON, false);
    assert_int_equal(price.input, 2 * PRICE_PER_MILLION);
    assert_int_equal(price.cache_read, 200000);
    assert_int_equal(price.cache_write, 2500000);
    assert_int_equal(price.long_from_tokens, 0);
    assert_int_equal(find("openai-responses", "gpt-4o-mini", NOON, false).cache_read, 75000);
    assert_int_equal(find("groq", "openai/gpt-oss-120b", NOON, false).output, 600000);
    assert_int_equal(find("openai", "text-embedding-3-small", NOON, false).output, 0);
}

static void other_forms_of_a_name_are_estimates(void **state)
{
    (void)state;
    assert_int_equal(find("openai", "gpt-5.5-2026-05-01", NOON, true).input, 5000000);
    assert_int_equal(find("openai", "gpt-4o-mini-2024-07-18", NOON, true).input, 150000);
    assert_int_equal(find("openrouter", "anthropic/claude-sonnet-5", NOON, true).input, 2000000);
    assert_int_equal(find("openrouter", "anthropic/claude-opus-5.5", NOON, true).input, 4000000);
    assert_int_equal(find("azure", "gpt-4o", NOON, true).input, 2500000); /* OpenAI's price */
    assert_int_equal(find("gemini", "gemini-3.1-pro-preview-06-05", NOON, true).input, 2000000);
    assert_int_equal(find("openrouter", "some/model:free", NOON, false).input, 0);
}

static void what_is_unknown_is_not_guessed(void **state)
{
    (void)state;
    assert_false(is_found("anthropic", "claude-sonnet-5-5"));
    assert_false(is_found("anthropic", "claude-haiku-5-5"));
    assert_false(is_found("anthropic", "gpt-5.5")); /* theirs has prices of its own */
    assert_false(is_found("openai", "gpt-5.5-turbo"));
    assert_false(is_found("mistral", "mistral-large-latest"));
    assert_false(is_found("openai", ""));
    assert_true(is_found("mistral", "gpt-5.5"));
}

static void local_models_cost_nothing(void **state)
{
    (void)state;
    static const char *const kinds[] = {"ollama", "vllm", "llama.cpp", "parley"};
    struct llm_usage usage = {1000, 10, 10, 1000, 0, false};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct price price = find(kinds[i], "gpt-5.5", NOON, false);
        assert_int_equal(price_cost_nano(&price, &usage), 0);
    }
}

static void prices_change_on_their_day(void **state)
{
    (void)state;
    const char *model = "gemini-3.8-flash";
    assert_int_equal(find("gemini", model, "2026-11-22T00:00:00Z", false).input, 750000);
    assert_int_equal(find("gemini", model, "2026-12-31T23:59:59Z", false).input, 750000);
    assert_int_equal(find("gemini", model, "2027-01-01T00:00:00Z", false).input, 1500000);
    assert_int_equal(find("gemini", model, "2027-01-01T00:00:00Z", false).output, 7500000);
    assert_int_equal(find("gemini", model, "2028-02-29T12:00:00Z", false).output, 7500000);
    /* Before the table begins nothing better is known than its first price. */
    assert_int_equal(find("gemini", model, "2026-11-21T23:59:59Z", true).input, 750000);
    assert_int_equal(find("gemini", model, "1970-01-01T00:00:00Z", true).input, 750000);
}

static void peak_hours_cost_more(void **state)
{
    (void)state;
    const char *model = "deepseek-v4-pro";
    static const struct {
        const char *when;
        int64_t input;
    } cases[] = {
        {"2026-12-01T00:59:59Z", 660000},  {"2026-12-01T01:00:00Z", 1320000},
        {"2026-12-01T03:59:59Z", 1320000}, {"2026-12-01T04:00:00Z", 660000},
        {"2026-12-01T06:00:00Z", 1320000}, {"2026-12-01T09:59:59Z", 1320000},
        {"2026-12-01T10:00:00Z", 660000},  {"2026-12-01T23:59:59Z", 660000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(find("deepseek", model, cases[i].when, false).input, cases[i].input);
    assert_int_equal(find("deepseek", "deepseek-v4-flash", NOON, false).cache_read, 7000);
    /* Before the table begins the quiet price stands. */
    assert_int_equal(find("deepseek", model, "2026-11-01T02:00:00Z", true).input, 660000);
}

/* ---- Sums ------------------------------------------------------------------------------------ */

static const struct price example = {.input = 2000000,
                                     .cache_read = 200000,
                                     .cache_write = 2500000,
                                     .output = 10000000,
                                     .long_input = -1,
                                     .long_output = -1};

static int64_t cost(const struct price *price, int64_t input, int64_t read, int64_t write,
                    int64_t output)
{
    return price_cost_nano(price, &(struct llm_usage){input, read, write, output, -1, false});
}

static void sums_are_exact(void **state)
{
    (void)state;
    assert_int_equal(cost(&example, 1000000, 0, 0, 0), 2000000000); /* 2 USD */
    assert_int_equal(cost(&example, 1000, 0, 0, 100), 2000000 + 1000000);
    assert_int_equal(cost(&example, 1000, 600, 300, 0), 100 * 2000 + 600 * 200 + 300 * 2500);
    assert_int_equal(cost(&example, 0, 0, 0, 0), 0);
    struct price tiny = {.input = 1, .cache_read = -1, .cache_write = -1};
    assert_int_equal(cost(&tiny, 1, -1, -1, -1), 1); /* rounded up */
    assert_int_equal(cost(&tiny, 1000, -1, -1, -1), 1);
    assert_int_equal(cost(&tiny, 1001, -1, -1, -1), 2);
}

static void unknown_counts_are_nothing(void **state)
{
    (void)state;
    struct llm_usage unknown = LLM_USAGE_UNKNOWN;
    assert_int_equal(price_cost_nano(&example, &unknown), 0);
    assert_int_equal(cost(&example, -1, -1, -1, 10), 100000);
    assert_int_equal(cost(&example, -1, 100, 10, -1), 100 * 200 + 10 * 2500);
    assert_int_equal(cost(&example, 100, 500, 500, 0), 100 * 200); /* parts of the whole */
}

static void caches_without_a_price_cost_what_input_does(void **state)
{
    (void)state;
    struct price price = example;
    price.cache_read = price.cache_write = -1;
    assert_int_equal(cost(&price, 1000, 600, 300, 0), 1000 * 2000);
    price.cache_read = 0;
    assert_int_equal(cost(&price, 1000, 600, 300, 0), 400 * 2000);
}

static void long_requests_cost_the_long_rates_as_a_whole(void **state)
{
    (void)state;
    struct price price = example;
    price.long_from_tokens = 1000;
    price.long_input = 4000000;
    price.long_output = 15000000;
    assert_int_equal(cost(&price, 1000, 0, 0, 10), 1000 * 2000 + 10 * 10000);
    assert_int_equal(cost(&price, 1001, 0, 0, 10), 1001 * 4000 + 10 * 15000);
    assert_int_equal(cost(&price, 2000, 1000, 500, 0), 500 * 4000 + 1000 * 400 + 500 * 5000);
    price.long_output = -1;
    assert_int_equal(cost(&price, 1001, 0, 0, 10), 1001 * 4000 + 10 * 10000);
    price.long_input = -1;
    assert_int_equal(cost(&price, 1001, 501, 0, 10), 500 * 2000 + 501 * 200 + 10 * 10000);
}

static void nothing_overflows(void **state)
{
    (void)state;
    struct price price = {INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, 1, INT64_MAX, INT64_MAX, 0};
    int64_t most = INT64_MAX / 1000 + 1;
    assert_int_equal(cost(&price, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX), most);
    assert_int_equal(cost(&price, -1, INT64_MAX, INT64_MAX, INT64_MAX), most);
    assert_int_equal(cost(&example, INT64_MAX, 0, 0, 0), most);
}

/* ---- What a configuration says --------------------------------------------------------------- */

static void a_price_is_read(void **state)
{
    (void)state;
    struct price price;
    assert_int_equal(price_parse(STR("in=2 out=10 cached=0.2 write=2.5"), &price, NULL), ERR_OK);
    assert_int_equal(price.input, 2000000);
    assert_int_equal(price.output, 10000000);
    assert_int_equal(price.cache_read, 200000);
    assert_int_equal(price.cache_write, 2500000);
    assert_int_equal(price.long_from_tokens, 0);
    assert_int_equal(price.long_input, -1);
    assert_int_equal(price_parse(STR(" out=0,  in=0.000001 "), &price, NULL), ERR_OK);
    assert_int_equal(price.input, 1);
    assert_int_equal(price.output, 0);
    assert_int_equal(price.cache_read, -1);
    assert_int_equal(price.cache_write, -1);
    assert_int_equal(
        price_parse(STR("in=5 out=30 long_from=272000 long_in=10 long_out=45.5"), &price, NULL),
        ERR_OK);
    assert_int_equal(price.long_from_tokens, 272000);
    assert_int_equal(price.long_input, 10000000);
    assert_int_equal(price.long_output, 45500000);
    assert_int_equal(price_parse(STR("in=10000 out=10000.000000"), &price, NULL), ERR_OK);
    assert_int_equal(price.output, 10000000000);
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *names;
    } cases[] = {
        {"", "'in' is missing"},
        {"in=2", "'out' is missing"},
        {"out=2 cached=1", "'in' is missing"},
        {"in=2 out=1 in=3", "'in' is given twice"},
        {"in=2 out=1 cashed=3", "'cashed' is no part"},
        {"2 10", "'2' is no part"},
        {"in = 2 out=1", "'in' must be"},
        {"in=-1 out=1", "'in' must be"},
        {"in=$2 out=1", "'in' must be"},
        {"in=2 out=1.", "'out' must be"},
        {"in=2 out=.5", "'out' must be"},
        {"in=2 out=1.2.3", "'out' must be"},
        {"in=2 out=1.-5", "'out' must be"},
        {"in=2 out=1e3", "'out' must be"},
        {"in=2 out=0.0000001", "'out' must be"},
        {"in=2 out=10001", "'out' must be"},
        {"in=2 out=10000.000001", "'out' must be"},
        {"in=2 out=99999999999999999999", "'out' must be"},
        {"in=2 out=1 long_from=0 long_in=1", "'long_from' must be"},
        {"in=2 out=1 long_from=1.5 long_in=1", "'long_from' must be"},
        {"in=2 out=1 long_from=1000", "need each other"},
        {"in=2 out=1 long_out=1", "need each other"},
        {"in=2 out=1 batch=0", "'batch' must be"},
        {"in=2 out=1 batch=1.000001", "'batch' must be"},
        {"in=2 out=1 batch=50%", "'batch' must be"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct price price = {.input = 77};
        struct error error = {0};
        assert_int_equal(price_parse(str_from_cstr(cases[i].text), &price, &error), ERR_INVALID);
        assert_non_null(strstr(error.message, cases[i].names));
        assert_int_equal(price.input, 77);
    }
    struct error error = {0};
    struct price price;
    assert_int_equal(price_parse(STR("in=2 out=1 cashed=3"), &price, &error), ERR_INVALID);
    assert_non_null(strstr(error.remedy, "cached"));
}

static void batches_cost_a_share(void **state)
{
    (void)state;
    const struct llm_usage usage = {.input_total = 1000, .output_total = 3};
    struct price price = {1000, -1, -1, 2000, 0, -1, -1, 0};
    assert_int_equal(price_cost_nano(&price, &usage), 1006);
    assert_int_equal(price_batch_cost_nano(&price, &usage), 1006); /* none is known */
    price.batch_share = PRICE_WHOLE / 2;
    assert_int_equal(price_batch_cost_nano(&price, &usage), 503);
    assert_int_equal(price_cost_nano(&price, &usage), 1006);
    price.input = 1; /* 1000 + 6000 pico-dollars, half of it rounded up */
    assert_int_equal(price_batch_cost_nano(&price, &usage), 4);
    price.input = INT64_MAX; /* what cannot be counted stays at the end */
    assert_int_equal(price_batch_cost_nano(&price, &usage), INT64_MAX / 2000 + 1);
    static const char *const kinds[] = {"openai", "openai-responses", "anthropic", "gemini"};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(price_batch_share(str_from_cstr(kinds[i])), PRICE_WHOLE / 2);
    assert_int_equal(price_batch_share(STR("groq")), 0);
    assert_int_equal(find("openai", "gpt-5.5", NOON, false).batch_share, PRICE_WHOLE / 2);
    assert_int_equal(find("deepseek", "deepseek-v4-pro", NOON, false).batch_share, 0);
    assert_int_equal(price_parse(STR("in=2 out=10 batch=0.25"), &price, NULL), ERR_OK);
    assert_int_equal(price.batch_share, 250000);
    assert_int_equal(price_parse(STR("in=2 out=10"), &price, NULL), ERR_OK);
    assert_int_equal(price.batch_share, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_names_have_their_list_price),
        cmocka_unit_test(other_forms_of_a_name_are_estimates),
        cmocka_unit_test(what_is_unknown_is_not_guessed),
        cmocka_unit_test(local_models_cost_nothing),
        cmocka_unit_test(prices_change_on_their_day),
        cmocka_unit_test(peak_hours_cost_more),
        cmocka_unit_test(sums_are_exact),
        cmocka_unit_test(unknown_counts_are_nothing),
        cmocka_unit_test(caches_without_a_price_cost_what_input_does),
        cmocka_unit_test(long_requests_cost_the_long_rates_as_a_whole),
        cmocka_unit_test(nothing_overflows),
        cmocka_unit_test(batches_cost_a_share),
        cmocka_unit_test(a_price_is_read),
        cmocka_unit_test(what_is_wrong_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
