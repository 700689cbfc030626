/* Fields: what a table of them lets pass, and how the rest is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "api/request.h"

static const struct api_field fields[] = {
    {"name", API_STRING, true, false, 5, "A name."},
    {"count", API_INTEGER, false, false, 10, "A count."},
    {"any_count", API_INTEGER, false, true, 0, "A count without limit."},
    {"flag", API_BOOLEAN, false, true, 0, "A flag."},
    {"parent_id", API_ID, false, true, 0, "An id."},
    {"content", API_ANY, false, false, 0, "Anything."},
    {0},
};

static enum err check(const char *json, struct error *error)
{
    struct arena *arena = arena_new(65536);
    yyjson_val *root;
    assert_int_equal(json_read(arena, str_from_cstr(json), &root, NULL), ERR_OK);
    enum err code = api_check_fields(root, fields, error);
    arena_free(arena);
    return code;
}

static void test_what_passes(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "{\"name\":\"\"}",
        "{\"name\":\"12345\",\"count\":10,\"any_count\":9007199254740993}",
        "{\"name\":\"n\",\"count\":0,\"any_count\":null,\"flag\":null,\"parent_id\":null}",
        "{\"name\":\"n\",\"flag\":false,\"parent_id\":\"01kaaaaaaaaaaaaaaaaaaaaaaa\"}",
        "{\"name\":\"n\",\"content\":null}",
        "{\"name\":\"n\",\"content\":[{}]}",
        "{\"name\":\"n\",\"count\":3.0}",
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error error = {0};
        if (check(rows[i], &error) != ERR_OK)
            fail_msg("%s: %s %s", rows[i], error.field, error.message);
    }
}

static void test_what_does_not(void **state)
{
    (void)state;
    static const struct {
        const char *json, *field, *message, *remedy;
    } rows[] = {
        {"[]", "", "must be a JSON object", ""},
        {"null", "", "must be a JSON object", ""},
        {"\"name\"", "", "must be a JSON object", ""},
        {"{}", "name", "is missing", ""},
        {"{\"name\":null}", "name", "must be a string", ""},
        {"{\"name\":1}", "name", "must be a string", ""},
        {"{\"name\":\"123456\"}", "name", "5 bytes", ""},
        {"{\"name\":\"n\",\"name\":5}", "name", "must be a string", ""},
        {"{\"name\":\"n\",\"count\":\"1\"}", "count", "whole number", ""},
        {"{\"name\":\"n\",\"count\":1.5}", "count", "whole number", ""},
        {"{\"name\":\"n\",\"count\":11}", "count", "10 at most", ""},
        {"{\"name\":\"n\",\"count\":null}", "count", "whole number", ""},
        {"{\"name\":\"n\",\"any_count\":-1}", "any_count", "negative", ""},
        {"{\"name\":\"n\",\"any_count\":1e300}", "any_count", "whole number", ""},
        {"{\"name\":\"n\",\"flag\":0}", "flag", "true or false", ""},
        {"{\"name\":\"n\",\"parent_id\":\"\"}", "parent_id", "26 characters", ""},
        {"{\"name\":\"n\",\"parent_id\":\"01kaaaaaaaaaaaaaaaaaaaaaa!\"}", "parent_id",
         "26 characters", ""},
        {"{\"nam\":\"n\"}", "nam", "no such member", "'name'"},
        {"{\"name\":\"n\",\"completely\":1}", "completely", "no such member", ""},
        {"{\"name\":\"n\",\"\":1}", "", "no such member", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error error = {0};
        assert_int_equal(check(rows[i].json, &error), ERR_INVALID);
        assert_int_equal(check(rows[i].json, NULL), ERR_INVALID);
        assert_string_equal(error.field, rows[i].field);
        if (!strstr(error.message, rows[i].message) || !strstr(error.remedy, rows[i].remedy))
            fail_msg("%s: %s %s", rows[i].json, error.message, error.remedy);
    }
}

/* The real tables: what a description must have, and names once. */
static void test_the_tables_are_sane(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1024 * 1024);
    const struct endpoint *const *endpoints;
    size_t endpoint_count;
    endpoints_list(arena, &endpoints, &endpoint_count);
    for (size_t i = 0; i < endpoint_count; i++) {
        const struct endpoint *endpoint = endpoints[i];
        assert_true(endpoint->pattern[0] == '/' && endpoint->handle && endpoint->summary[0]);
        assert_true(endpoint->method != HTTP_GET || endpoint->body_bytes_max == 0);
        assert_true(!endpoint->fields || endpoint->body_bytes_max > 0);
        int braces = 0;
        for (const char *at = endpoint->pattern; (at = strchr(at, '{')); at++)
            braces++;
        assert_true(braces <= 2);
        for (const struct api_field *a = endpoint->fields; a && a->name; a++) {
            assert_true(a->description && a->description[0]);
            for (const struct api_field *b = a + 1; b->name; b++)
                assert_string_not_equal(a->name, b->name);
        }
    }
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_passes),
        cmocka_unit_test(test_what_does_not),
        cmocka_unit_test(test_the_tables_are_sane),
    };
    return cmocka_run_group_tests_name("api/fields", tests, NULL, NULL);
}
