/* Foreign: what a body may not say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "llm/foreign.h"

static void members(void **state)
{
    static const struct {
        const char *body, *field; /* NULL: it may pass */
    } rows[] = {
        {"{\"model\":\"m\",\"base\":\"x\",\"user\":{\"api_key\":\"x\"}}", NULL},
        {"{\"organization\":\"x\",\"api_version\":\"1\",\"project\":\"p\"}", NULL},
        {"[\"api_base\"]", NULL},
        {"\"api_base\"", NULL},
        {"{\"api_base\":\"http://evil.example\"}", "api_base"},
        {"{\"model\":\"m\",\"Base_URL\":null}", "Base_URL"},
        {"{\"\\u0061pi_key\":\"x\"}", "api_key"},
        {"{\"aws_secret_access_key\":1}", "aws_secret_access_key"},
        {"{\"extra_headers\":{}}", "extra_headers"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena *arena = arena_new(65536);
        struct error error = {0};
        yyjson_val *root;
        assert_int_equal(json_read(arena, str_from_cstr(rows[i].body), &root, NULL), ERR_OK);
        enum err code = llm_refuse_redirections(root, &error);
        assert_int_equal(code, rows[i].field ? ERR_INVALID : ERR_OK);
        assert_string_equal(error.field, rows[i].field ? rows[i].field : "");
        arena_free(arena);
    }
    assert_int_equal(llm_refuse_redirections(NULL, NULL), ERR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(members)};
    return cmocka_run_group_tests_name("api/foreign", tests, NULL, NULL);
}
