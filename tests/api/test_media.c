/* Media: who has what, and what is said by who has not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "api/media.h"

static void kinds(void **state)
{
    static const struct {
        const char *kind, *has; /* one letter for each operation, in their order */
    } rows[] = {
        {"openai", "yyyyyy"},
        {"openai-responses", "yyyyyy"},
        {"openai-compatible", "yyyyyy"},
        {"azure", "yyyy-y"},
        {"groq", "--yy--"},
        {"together", "y-yy-y"},
        {"mistral", "---yyy"},
        {"xai", "y-----"},
        {"anthropic", "------"},
        {"gemini", "------"},
        {"ollama", "------"},
        {"parley", "------"},
        {"llama.cpp", "------"},
        {"vllm", "---y--"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct provider_kind *kind = provider_kind_find(str_from_cstr(rows[i].kind));
        assert_non_null(kind);
        for (int operation = 0; operation < MEDIA_COUNT; operation++)
            if (media_has(kind, (enum media_operation)operation) != (rows[i].has[operation] == 'y'))
                fail_msg("%s %d", rows[i].kind, operation);
    }
}

static struct provider *provider_of(const char *name, const char *kind)
{
    struct provider *provider;
    const struct provider_options options = {
        .name = str_from_cstr(name), .kind = str_from_cstr(kind), .api_key = STR("k")};
    assert_int_equal(provider_new(&options, &provider, NULL), ERR_OK);
    return provider;
}

static void refusals(void **state)
{
    struct provider *claude = provider_of("claude", "anthropic");
    struct provider *quick = provider_of("quick", "groq"),
                    *main_one = provider_of("main", "openai");
    const struct catalog_provider rows[] = {{.name = STR("broken")},
                                            {.provider = claude, .name = claude->name},
                                            {.provider = quick, .name = quick->name},
                                            {.provider = main_one, .name = main_one->name}};
    const struct catalog catalog = {.providers = rows, .provider_count = 4};
    const struct catalog few = {.providers = rows, .provider_count = 2};
    struct error error = {0};
    (void)state;
    assert_ptr_equal(media_first(&catalog, MEDIA_SPEECH), &rows[2]);
    assert_ptr_equal(media_first(&catalog, MEDIA_IMAGES), &rows[3]);
    assert_null(media_first(&few, MEDIA_IMAGES));
    assert_int_equal(media_refuse(&catalog, STR("claude"), MEDIA_SPEECH, &error), ERR_UNSUPPORTED);
    assert_string_equal(error.message, "claude has no speech; these providers have: quick, main");
    assert_int_equal(media_refuse(&few, STR("Parley"), MEDIA_TUNING, &error), ERR_UNSUPPORTED);
    assert_string_equal(error.message, "Parley has no fine-tuning; no configured provider has");
    provider_unref(claude);
    provider_unref(quick);
    provider_unref(main_one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(kinds), cmocka_unit_test(refusals)};
    return cmocka_run_group_tests_name("api/media", tests, NULL, NULL);
}
