/* The table of errors, and precise errors cut where characters end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/err.h"
#include "base/utf8.h"

static void the_table_is_complete(void **state)
{
    (void)state;
    for (int i = 0; i < ERR_COUNT; i++) {
        const struct err_info *info = err_info((enum err)i);
        assert_true(info->name && info->name[0] && info->message && info->message[0]);
        assert_non_null(info->remedy);
        assert_in_range(info->http_status, 200, 599);
        assert_int_equal(i == ERR_OK, info->http_status == 200);
        for (const char *at = info->name; *at; at++)
            assert_true((*at >= 'a' && *at <= 'z') || *at == '_');
        assert_int_equal(err_from_name(str_from_cstr(info->name)), i); /* so names are unique */
    }
    assert_ptr_equal(err_info(ERR_COUNT), err_info(ERR_INTERNAL));
    assert_ptr_equal(err_info((enum err) - 1), err_info(ERR_INTERNAL));
    assert_int_equal(err_from_name(STR("no_such_error")), ERR_INTERNAL);
    assert_int_equal(err_from_name(STR_NONE), ERR_INTERNAL);
}

static void filling_and_defaults(void **state)
{
    (void)state;
    struct error error = {0};
    assert_int_equal(error_set(&error, ERR_INVALID, "model", "must be %s", "a string"),
                     ERR_INVALID);
    assert_int_equal(error.code, ERR_INVALID);
    assert_string_equal(error.field, "model");
    assert_string_equal(error_message(&error), "must be a string");
    assert_string_equal(error_remedy_text(&error), err_info(ERR_INVALID)->remedy);
    error_remedy(&error, "Send %d.", 1);
    assert_string_equal(error_remedy_text(&error), "Send 1.");
    error_set(&error, ERR_TOO_BIG, NULL, "%s", ""); /* forgets the remedy of the one before */
    assert_string_equal(error.field, "");
    assert_string_equal(error_message(&error), err_info(ERR_TOO_BIG)->message);
    assert_string_equal(error_remedy_text(&error), err_info(ERR_TOO_BIG)->remedy);
    assert_int_equal(error_set(NULL, ERR_TIMEOUT, "x", "y"), ERR_TIMEOUT);
    error_remedy(NULL, "nobody reads this");
}

static void long_texts_are_cut_between_characters(void **state)
{
    (void)state;
    char text[1200];
    for (size_t shift = 0; shift < 4; shift++) {
        struct error error;
        memset(text, 'a', shift);
        for (size_t at = shift; at + 4 < sizeof text; at += 4)
            memcpy(text + at, "\xF0\x9F\x98\x80", 5);
        error_set(&error, ERR_INVALID, text, "%s", text);
        error_remedy(&error, "%s", text);
        const char *const cut[] = {error.field, error.message, error.remedy};
        const size_t sizes[] = {sizeof error.field, sizeof error.message, sizeof error.remedy};
        for (int i = 0; i < 3; i++) {
            assert_true(utf8_valid(str_from_cstr(cut[i]), NULL));
            assert_in_range(strlen(cut[i]), sizes[i] - 4, sizes[i] - 1);
            assert_memory_equal(cut[i], text, strlen(cut[i]));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_complete),
        cmocka_unit_test(filling_and_defaults),
        cmocka_unit_test(long_texts_are_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
