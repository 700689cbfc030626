/* Memo: what is found, whose it is, how long, and that it stays within its bound. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/crypto.h"
#include "route/memo.h"

enum { BYTES_MAX = 64 * 1024 };

static struct memo_key key_of(const char *tenant, const char *text)
{
    const struct str parts[] = {str_from_cstr(tenant), str_from_cstr(text)};
    return memo_key_of(parts, 2);
}

static bool has(struct memo *memo, struct memo_key key, uint64_t now_ms, const char *wanted)
{
    struct arena *arena = arena_new(SIZE_MAX);
    struct str value = STR_NONE;
    bool is_found = memo_get(memo, &key, now_ms, arena, &value);
    if (is_found)
        assert_true(str_eq(value, str_from_cstr(wanted)));
    arena_free(arena);
    return is_found;
}

static void found_by_its_own_tenant(void **state)
{
    (void)state;
    struct memo *memo = memo_new(BYTES_MAX);
    struct memo_key key = key_of("a", "text");
    assert_false(has(memo, key, 0, ""));
    memo_put(memo, &key, STR("value"), 0, 1000);
    assert_true(has(memo, key, 999, "value"));
    assert_false(has(memo, key_of("b", "text"), 0, ""));
    assert_false(has(memo, key_of("at", "ext"), 0, ""));
    memo_put(memo, &key, STR("new"), 0, 1000);
    assert_true(has(memo, key, 999, "new"));
    assert_false(has(memo, key, 1000, ""));
    assert_int_equal(memo_bytes(memo), 0);
    memo_free(memo);
}

static void bounded(void **state)
{
    (void)state;
    static char large[BYTES_MAX / 16];
    struct memo *memo = memo_new(BYTES_MAX);
    struct memo_key first = key_of("a", "first");
    char text[16];
    memo_put(memo, &first, STR("1"), 0, 1000);
    for (int i = 0; i < 5000; i++) {
        snprintf(text, sizeof text, "%d", i);
        struct memo_key key = key_of("a", text);
        memo_put(memo, &key, str_from_cstr(text), 0, 1000);
        assert_true(memo_bytes(memo) <= BYTES_MAX);
        assert_true(has(memo, key, 1, text));
        assert_true(has(memo, first, 1, "1")); /* what is used stays */
    }
    assert_false(has(memo, key_of("a", "0"), 1, ""));
    struct memo_key key = key_of("a", "large");
    memo_put(memo, &key, STR_FROM(large, sizeof large), 0, 1000);
    assert_false(has(memo, key, 1, ""));
    memo_free(memo);
}

static void none_at_all(void **state)
{
    (void)state;
    struct memo_key key = key_of("a", "b");
    memo_put(NULL, &key, STR("value"), 0, 1000);
    assert_false(has(NULL, key, 0, ""));
    memo_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(found_by_its_own_tenant),
        cmocka_unit_test(bounded),
        cmocka_unit_test(none_at_all),
    };
    crypto_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
