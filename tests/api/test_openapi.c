/* /openapi.json: valid, and exactly the table of endpoints. */
#include "helper_api.h"

static const char *const methods[HTTP_METHOD_COUNT] = {
    [HTTP_GET] = "get",     [HTTP_POST] = "post",     [HTTP_PUT] = "put",
    [HTTP_PATCH] = "patch", [HTTP_DELETE] = "delete",
};

static void expect_parameters(yyjson_val *operation, const char *pattern)
{
    yyjson_val *list = json_get(operation, "parameters");
    size_t count = 0;
    for (const char *at = pattern; (at = strchr(at, '{')); at++, count++) {
        struct str name = json_get_str(yyjson_arr_get(list, count), "name");
        assert_true(str_starts_with(str_from_cstr(at + 1), name));
        assert_true(at[1 + name.len] == '}');
    }
    assert_int_equal(yyjson_arr_size(list), count);
}

static void expect_body(yyjson_val *operation, const struct endpoint *endpoint)
{
    yyjson_val *body = json_get(operation, "requestBody");
    yyjson_val *content = json_get(json_get(body, "content"), "application/json");
    yyjson_val *schema = json_get(content, "schema");
    yyjson_val *properties = json_get(schema, "properties");
    size_t count = 0, required = 0;
    assert_int_equal(body != NULL, endpoint->body_bytes_max != 0);
    for (const struct api_field *field = endpoint->fields; field && field->name; field++) {
        yyjson_val *property = json_get(properties, field->name);
        assert_non_null(property);
        assert_true(
            str_eq(json_get_str(property, "description"), str_from_cstr(field->description)));
        count++;
        required += field->required;
    }
    assert_int_equal(yyjson_obj_size(properties), count);
    assert_int_equal(yyjson_arr_size(json_get(schema, "required")), required);
}

static void test_it_is_the_table(void **state)
{
    struct api_fixture *f = *state;
    struct arena *arena = arena_new(16 * 1024 * 1024);
    yyjson_val *root;
    size_t operations = 0, index, count;
    yyjson_val *key, *path;
    const struct endpoint *const *endpoints;
    size_t endpoint_count;
    endpoints_list(arena, &endpoints, &endpoint_count);
    api_ask(f, "GET /openapi.json HTTP/1.1\r\n", NULL);
    expect_status(f, 200, "content-type: application/json");
    assert_int_equal(json_read(arena, answer_body(f), &root, NULL), ERR_OK);
    assert_true(str_eq(json_get_str(root, "openapi"), STR("3.1.0")));
    yyjson_val *paths = json_get(root, "paths");
    yyjson_obj_foreach (paths, index, count, key, path) {
        operations += yyjson_obj_size(path);
    }
    assert_int_equal(operations, endpoint_count); /* none twice, none left out */
    for (size_t i = 0; i < endpoint_count; i++) {
        const struct endpoint *endpoint = endpoints[i];
        char pattern[128]; /* OpenAPI has no word for "all the rest" */
        const char *dots = strstr(endpoint->pattern, "...");
        int kept = dots ? (int)(dots - endpoint->pattern) : (int)strlen(endpoint->pattern);
        snprintf(pattern, sizeof pattern, "%.*s%s", kept, endpoint->pattern, dots ? dots + 3 : "");
        yyjson_val *operation = json_get(json_get(paths, pattern), methods[endpoint->method]);
        assert_non_null(operation);
        assert_true(str_eq(json_get_str(operation, "summary"), str_from_cstr(endpoint->summary)));
        bool is_open = endpoint->verb == VERB_PUBLIC || endpoint->verb == VERB_SETUP ||
                       endpoint->verb == VERB_SIGN_IN;
        assert_int_equal(yyjson_arr_size(json_get(operation, "security")), is_open ? 0 : 2);
        expect_parameters(operation, pattern);
        expect_body(operation, endpoint);
    }
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_it_is_the_table, api_setup, api_teardown),
    };
    return cmocka_run_group_tests_name("api/openapi", tests, NULL, NULL);
}
