/* Catalog: which target a model's name means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "route/catalog.h"

/* A snapshot as the registry would make it. */
struct fixture {
    struct provider *aggregator, *openai, *parley;
    struct catalog_provider providers[4];
    struct catalog_model models[5];
    struct catalog catalog;
};

static struct provider *make(const char *name, const char *kind)
{
    struct provider *provider = NULL;
    const struct provider_options options = {.name = str_from_cstr(name),
                                             .kind = str_from_cstr(kind),
                                             .base_url = STR("http://h"),
                                             .api_key = STR("k")};
    assert_int_equal(provider_new(&options, &provider, NULL), ERR_OK);
    return provider;
}

static void fixture_init(struct fixture *f)
{
    f->aggregator = make("aggregator", "openai-compatible");
    f->openai = make("openai", "openai");
    f->parley = make("parley", "parley");
    const struct catalog_provider providers[] = {
        {.provider = f->aggregator, .name = STR("aggregator")},
        {.provider = f->openai, .name = STR("openai")},
        {.provider = NULL, .name = STR("broken"), .message = STR("PORT: no key")},
        {.provider = f->parley, .name = STR("parley")},
    };
    const struct catalog_model models[] = {
        {STR("aggregator/openai/gpt"), STR("openai/gpt"), STR(""), f->aggregator, 0, false},
        {STR("aggregator/other/far"), STR("other/far"), STR(""), f->aggregator, 0, false},
        {STR("aggregator/gpt"), STR("gpt"), STR(""), f->aggregator, 0, false},
        {STR("openai/gpt"), STR("gpt"), STR(""), f->openai, 0, false},
        {STR("parley/eliza"), STR("eliza"), STR(""), f->parley, 0, true},
    };
    memcpy(f->providers, providers, sizeof providers);
    memcpy(f->models, models, sizeof models);
    f->catalog = (struct catalog){f->providers, 4, f->models, 5, STR("parley/eliza")};
}

static void fixture_done(struct fixture *f)
{
    provider_unref(f->aggregator);
    provider_unref(f->openai);
    provider_unref(f->parley);
}

static void test_names(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    const struct {
        const char *asked;
        struct provider *provider;
        const char *model;
    } rows[] = {
        {"", f.parley, "eliza"},
        {"eliza", f.parley, "eliza"},
        {"parley/eliza", f.parley, "eliza"},
        {"gpt", f.aggregator, "gpt"},    /* the first that has it */
        {"openai/gpt", f.openai, "gpt"}, /* an id before a name that looks like one */
        {"openai/gpt-new", f.openai, "gpt-new"},
        {"openai/ft:a/b", f.openai, "ft:a/b"},
        {"aggregator/openai/gpt", f.aggregator, "openai/gpt"},
        {"aggregator/new", f.aggregator, "new"},
        {"other/far", f.aggregator, "other/far"}, /* no such provider: a bare name */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct catalog_target target = {0};
        assert_int_equal(catalog_resolve(&f.catalog, str_from_cstr(rows[i].asked), &target, NULL),
                         ERR_OK);
        assert_ptr_equal(target.provider, rows[i].provider);
        assert_true(str_eq(target.model, str_from_cstr(rows[i].model)));
    }
    fixture_done(&f);
}

static void test_refusals(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    static const struct {
        const char *asked;
        enum err code;
        const char *message, *remedy;
    } rows[] = {
        {"elisa", ERR_MODEL_NOT_FOUND, "'elisa'", "'parley/eliza'"},
        {"parley/other", ERR_MODEL_NOT_FOUND, "'parley/other'", "'parley/eliza'"},
        {"parley/", ERR_MODEL_NOT_FOUND, "'parley/'", ""},
        {"openai/", ERR_MODEL_NOT_FOUND, "'openai/'", ""},
        {"/", ERR_MODEL_NOT_FOUND, "'/'", ""},
        {"nothing like any of those at all, really", ERR_MODEL_NOT_FOUND, "nothing", ""},
        {"broken/x", ERR_UNAVAILABLE, "'broken' is not usable: PORT: no key", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct catalog_target target = {0};
        struct error error = {0};
        assert_int_equal(catalog_resolve(&f.catalog, str_from_cstr(rows[i].asked), &target, &error),
                         rows[i].code);
        assert_null(target.provider);
        assert_string_equal(error.field, "model");
        assert_non_null(strstr(error.message, rows[i].message));
        assert_non_null(strstr(error.remedy, rows[i].remedy));
    }
    char huge[5000];
    struct error error = {0};
    struct catalog_target target;
    memset(huge, 'x', sizeof huge);
    assert_int_equal(catalog_resolve(&f.catalog, STR_FROM(huge, sizeof huge), &target, &error),
                     ERR_MODEL_NOT_FOUND);
    f.catalog = (struct catalog){0};
    assert_int_equal(catalog_resolve(&f.catalog, STR(""), &target, &error), ERR_MODEL_NOT_FOUND);
    fixture_done(&f);
}

static void test_find_provider(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    assert_ptr_equal(catalog_find_provider(&f.catalog, STR("broken")), &f.providers[2]);
    assert_null(catalog_find_provider(&f.catalog, STR("brok")));
    assert_string_equal(catalog_status_name(CATALOG_OK), "ok");
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_find_provider),
    };
    return cmocka_run_group_tests_name("route/catalog", tests, NULL, NULL);
}
