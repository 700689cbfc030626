/* Address keys: the setting read, the first entry that fits found, and what is wrong named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "account/address_keys.h"
#include "base/buf.h"

static void test_find(void **state)
{
    (void)state;
    struct id near = id_new(1), far = id_new(2);
    struct arena *arena = arena_new(65536);
    struct address_keys keys;
    struct str text = arena_printf(arena, " 10.1.0.0/16 = %s ,, 10.0.0.0/8=%s,2001:db8::/32=%s",
                                   near.text, far.text, near.text);
    assert_int_equal(address_keys_parse(arena, text, &keys, NULL), ERR_OK);
    assert_int_equal(keys.count, 3);
    assert_true(id_eq(address_keys_find(&keys, STR("10.1.2.3")), &near));
    assert_true(id_eq(address_keys_find(&keys, STR("::ffff:10.2.2.3")), &far));
    assert_true(id_eq(address_keys_find(&keys, STR("2001:db8::5")), &near));
    assert_null(address_keys_find(&keys, STR("11.0.0.1")));
    assert_null(address_keys_find(&keys, STR("unix")));
    assert_null(address_keys_find(&keys, STR_NONE));
    assert_int_equal(address_keys_parse(arena, STR_NONE, &keys, NULL), ERR_OK);
    assert_null(address_keys_find(&keys, STR("10.1.2.3")));
    arena_free(arena);
}

static void test_wrong(void **state)
{
    (void)state;
    static const char *const entries[] = {"10.0.0.0/8",          "10.0.0.0/8=",  "=x",
                                          "10.0.0.0/33=%s",      "localhost=%s", "10.0.0.0/8=%s=x",
                                          "10.0.0.0/8=sk-parley"};
    struct arena *arena = arena_new(1024 * 1024);
    struct id id = id_new(1);
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
        struct address_keys keys = {.count = 77};
        struct error error = {0};
        struct buf text;
        buf_init(&text, 1024);
        for (const char *at = entries[i]; *at; at++) {
            if (at[0] == '%')
                buf_append(&text, id_str(&id)), at++;
            else
                buf_append_char(&text, *at);
        }
        struct str both =
            arena_printf(arena, "10.9.9.9=%s, %.*s", id.text, STR_ARG(buf_str(&text)));
        assert_int_equal(address_keys_parse(arena, both, &keys, &error), ERR_INVALID);
        assert_true(str_find(str_from_cstr(error.message), buf_str(&text)) != SIZE_MAX);
        assert_int_equal(keys.count, 77);
        buf_done(&text);
    }
    arena_free(arena);
}

static void test_many(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1024 * 1024);
    struct id id = id_new(1);
    struct str text = STR("");
    struct address_keys keys;
    for (int i = 0; i <= ADDRESS_KEYS_MAX; i++) {
        assert_int_equal(address_keys_parse(arena, text, &keys, NULL), ERR_OK);
        assert_int_equal(keys.count, i);
        text = arena_printf(arena, "%.*s10.0.0.1=%s,", STR_ARG(text), id.text);
    }
    assert_int_equal(address_keys_parse(arena, text, &keys, NULL), ERR_INVALID);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
