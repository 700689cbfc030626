/* Names of models: what is the same model, and what only looks like it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "llm/names.h"

static void assert_match(const char *model, const char *known, enum llm_name_match match)
{
    assert_int_equal(llm_name_match(str_from_cstr(model), str_from_cstr(known)), match);
}

static void the_same_is_the_same(void **state)
{
    (void)state;
    assert_match("gpt-5.5", "gpt-5.5", LLM_NAME_SAME);
    assert_match("openai/gpt-oss-120b", "openai/gpt-oss-120b", LLM_NAME_SAME);
    assert_match("", "gpt-5.5", LLM_NAME_OTHER);
}

static void dates_tags_and_vendors_leave_a_model_the_same(void **state)
{
    (void)state;
    static const char *const similar[] = {
        "claude-sonnet-5-20260601",
        "claude-sonnet-5@20260601",
        "claude-sonnet-5-2026-06-01",
        "claude-sonnet-5-latest",
        "claude-sonnet-5-preview",
        "claude-sonnet-5-preview-06-01",
        "claude-sonnet-5-preview-06-2026",
        "claude-sonnet-5-0601",
        "claude-sonnet-5-2606",
        "claude-sonnet-5:beta",
        "anthropic/claude-sonnet-5",
        "anthropic/claude-sonnet-5-20260601:beta",
        "claude-sonnet-5@default",
    };
    for (size_t i = 0; i < sizeof similar / sizeof similar[0]; i++)
        assert_match(similar[i], "claude-sonnet-5", LLM_NAME_SIMILAR);
    assert_match("anthropic/claude-sonnet-4.6", "claude-sonnet-4-6", LLM_NAME_SIMILAR);
    assert_match("openai/gpt-oss-120b:free", "openai/gpt-oss-120b", LLM_NAME_SIMILAR);
}

static void numbers_and_words_make_another_model(void **state)
{
    (void)state;
    static const char *const others[] = {
        "claude-sonnet-5-5",
        "claude-sonnet-5.5",
        "claude-sonnet-5-55",
        "claude-sonnet-5-mini",
        "claude-sonnet-5x",
        "claude-sonnet-5-",
        "claude-sonnet-5@",
        "claude-sonnet-5:",
        "claude-sonnet-5-20261301",
        "claude-sonnet-5-19990101",
        "claude-sonnet-5-202606011",
        "claude-sonnet-5-2026-06",
        "claude-sonnet-5-latest2",
        "claude-sonnet",
        "my-claude-sonnet-5",
        "claude-sonnet-5/other",
        "a/b/claude-sonnet-5",
        "claude-sonnet-5-20260601-mini",
        "claude-sonnet-5-5-20260601",
        "claude-sonnet-5 -latest",
        "/",
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_match(others[i], "claude-sonnet-5", LLM_NAME_OTHER);
    assert_match("gpt-4o-mini", "gpt-4o", LLM_NAME_OTHER);
    assert_match("gpt-4o-mini-2024-07-18", "gpt-4o", LLM_NAME_OTHER);
    assert_match("gpt-4o-2024-08-06", "gpt-4o", LLM_NAME_SIMILAR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_is_the_same),
        cmocka_unit_test(dates_tags_and_vendors_leave_a_model_the_same),
        cmocka_unit_test(numbers_and_words_make_another_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
