/* Chain: a request's own fallbacks, as its body names them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "api/chain.h"
#include "route/catalog.h"

struct read {
    struct arena *arena;
    struct llm_request request;
    struct api_chain chain;
    struct error error;
    enum err code;
};

static struct read read_body(const char *body, const char *model)
{
    struct read read = {.arena = arena_new(65536)};
    yyjson_val *root;
    assert_int_equal(json_read(read.arena, str_from_cstr(body), &root, NULL), ERR_OK);
    read.request.model = str_from_cstr(model);
    read.request.unmapped = ARENA_NEW_ARRAY(read.arena, 4, struct str);
    read.request.unmapped_count = 4;
    const struct str unmapped[] = {STR("models"), STR("seed_x"), STR("fallbacks"), STR("odd")};
    memcpy(read.request.unmapped, unmapped, sizeof unmapped);
    read.code = api_chain_read(read.arena, root, &read.request.model, &read.chain, &read.error);
    read.request.unmapped_count =
        api_chain_unmapped(read.request.unmapped, read.request.unmapped_count);
    return read;
}

/* What is tried: the model, then the chain, with commas between them. */
static void expect(const char *body, const char *model, const char *wanted)
{
    struct read read = read_body(body, model);
    char text[512];
    assert_int_equal(read.code, ERR_OK);
    int len = snprintf(text, sizeof text, "%.*s", STR_ARG(read.request.model));
    for (size_t i = 0; i < read.chain.count; i++)
        len +=
            snprintf(text + len, sizeof text - (size_t)len, ",%.*s", STR_ARG(read.chain.names[i]));
    assert_string_equal(text, wanted);
    arena_free(read.arena);
}

static void models_come_before_fallbacks(void **state)
{
    (void)state;
    expect("{}", "m", "m");
    expect("{\"models\":[\"a\",\"p/b\"]}", "m", "m,a,p/b");
    expect("{\"fallbacks\":[\"c\"],\"models\":[\"a\"]}", "m", "m,a,c");
    expect("{\"fallbacks\":null,\"models\":[]}", "m", "m");
}

static void without_a_model_the_first_of_models_is_it(void **state)
{
    (void)state;
    expect("{\"models\":[\"a\",\"b\"]}", "", "a,b");
    expect("{\"models\":[\"a\"]}", "", "a");
}

static void what_is_understood_is_not_lost(void **state)
{
    (void)state;
    struct read read = read_body("{\"models\":[\"a\"]}", "m");
    assert_int_equal(read.request.unmapped_count, 2);
    assert_true(str_eq(read.request.unmapped[0], STR("seed_x")));
    assert_true(str_eq(read.request.unmapped[1], STR("odd")));
    arena_free(read.arena);
}

static void what_is_no_list_of_names_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *body, *field, *message;
    } rows[] = {
        {"{\"models\":\"a\"}", "models", "must be an array"},
        {"{\"fallbacks\":{}}", "fallbacks", "must be an array"},
        {"{\"models\":[\"a\",1]}", "models", "names of models only"},
        {"{\"models\":[\"\"]}", "models", "names of models only"},
        {"{\"fallbacks\":[null]}", "fallbacks", "names of models only"},
        {"{\"models\":[\"a\"],\"fallbacks\":[[\"b\"]]}", "fallbacks", "names of models only"},
        {"{\"models\":[]}", "model", "must be a string"}, /* nor is there any other */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bool is_last = i + 1 == sizeof rows / sizeof rows[0];
        struct read read = read_body(rows[i].body, is_last ? "" : "m");
        assert_int_equal(read.code, ERR_INVALID);
        assert_string_equal(read.error.field, rows[i].field);
        assert_non_null(strstr(read.error.message, rows[i].message));
        assert_int_equal(read.chain.count, 0);
        arena_free(read.arena);
    }
}

/* `count` names, in one list or half of them in each. */
static enum err read_many(size_t count, bool in_two, const char *model, size_t *ret_count)
{
    char body[1024] = "{\"models\":[";
    for (size_t i = 0; i < count; i++) {
        bool second = in_two && i == count / 2;
        strcat(body, i == 0 ? "\"x\"" : second ? "],\"fallbacks\":[\"x\"" : ",\"x\"");
    }
    strcat(body, "]}");
    struct read read = read_body(body, model);
    *ret_count = read.chain.count;
    arena_free(read.arena);
    return read.code;
}

static void a_chain_has_a_limit(void **state)
{
    (void)state;
    size_t count;
    for (int in_two = 0; in_two < 2; in_two++) {
        assert_int_equal(read_many(CATALOG_CHAIN_MAX, in_two, "m", &count), ERR_OK);
        assert_int_equal(count, CATALOG_CHAIN_MAX);
        assert_int_equal(read_many(CATALOG_CHAIN_MAX + 1, in_two, "m", &count), ERR_INVALID);
        /* One of them may be the request's own model. */
        assert_int_equal(read_many(CATALOG_CHAIN_MAX + 1, in_two, "", &count), ERR_OK);
        assert_int_equal(count, CATALOG_CHAIN_MAX);
        assert_int_equal(read_many(CATALOG_CHAIN_MAX + 2, in_two, "", &count), ERR_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(models_come_before_fallbacks),
        cmocka_unit_test(without_a_model_the_first_of_models_is_it),
        cmocka_unit_test(what_is_understood_is_not_lost),
        cmocka_unit_test(what_is_no_list_of_names_is_refused),
        cmocka_unit_test(a_chain_has_a_limit),
    };
    return cmocka_run_group_tests_name("api/chain", tests, NULL, NULL);
}
