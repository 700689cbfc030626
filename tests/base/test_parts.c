/* Parts: however a text is cut, it is the same text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/crypto.h"
#include "base/parts.h"

#define WHOLE "one text, cut in three places or fewer"

/* Calls `look` with the text cut at every two places. */
static void cut_everywhere(void (*look)(struct parts parts))
{
    struct str whole = STR(WHOLE);
    for (size_t i = 0; i <= whole.len; i++)
        for (size_t j = i; j <= whole.len; j++) {
            const struct str items[] = {str_slice(whole, 0, i), str_slice(whole, i, j - i),
                                        STR_NONE, str_skip(whole, j)};
            look((struct parts){items, 4});
        }
}

static void look_at_copies(struct parts parts)
{
    struct str whole = STR(WHOLE);
    char copy[sizeof WHOLE];
    assert_int_equal(parts_len(parts), whole.len);
    for (size_t from = 0; from <= whole.len; from += 5) {
        struct str rest = str_skip(whole, from);
        parts_copy(parts, from, rest.len, copy);
        assert_true(str_eq(STR_FROM(copy, rest.len), rest));
        parts_copy(parts, from, rest.len / 2, copy);
        assert_true(str_eq(STR_FROM(copy, rest.len / 2), str_slice(rest, 0, rest.len / 2)));
        assert_true(parts_have(parts, from, rest));
        assert_true(parts_have(parts, from, str_slice(rest, 0, rest.len / 2)));
        assert_true(rest.len < 2 || !parts_have(parts, from, str_skip(rest, 1)));
    }
    assert_true(parts_have(parts, whole.len, STR("")));
    assert_false(parts_have(parts, 0, STR(WHOLE ".")));
    assert_false(parts_have(parts, whole.len, STR("r")));
}

static void any_part_can_be_copied_and_compared(void **state)
{
    (void)state;
    cut_everywhere(look_at_copies);
}

static void look_at_shares(struct parts parts)
{
    assert_int_equal(parts_shared_prefix(parts, STR(WHOLE)), sizeof WHOLE - 1);
    assert_int_equal(parts_shared_suffix(parts, STR(WHOLE)), sizeof WHOLE - 1);
    assert_int_equal(parts_shared_prefix(parts, STR(WHOLE ", and more")), sizeof WHOLE - 1);
    assert_int_equal(parts_shared_suffix(parts, STR("before " WHOLE)), sizeof WHOLE - 1);
    assert_int_equal(parts_shared_prefix(parts, STR("one text; cut")), 8);
    assert_int_equal(parts_shared_suffix(parts, STR("places or many, not fewer")), 6);
    assert_int_equal(parts_shared_prefix(parts, STR("two")), 0);
    assert_int_equal(parts_shared_suffix(parts, STR("two")), 0);
    assert_int_equal(parts_shared_suffix(parts, STR("")), 0);
}

static void what_is_shared_is_counted(void **state)
{
    (void)state;
    cut_everywhere(look_at_shares);
}

static void look_at_hash(struct parts parts)
{
    unsigned char secret[FAST_HASH_SECRET_BYTES];
    for (size_t i = 0; i < sizeof secret; i++)
        secret[i] = (unsigned char)(i * 7);
    struct fast_hasher *hasher = fast_hasher_new(secret);
    assert_true(fast_hash_parts(hasher, parts) == fast_hash(secret, STR(WHOLE)));
    assert_true(fast_hash_parts(hasher, parts) == fast_hash(secret, STR(WHOLE)));
    fast_hasher_free(hasher);
}

static void the_hash_is_that_of_the_whole(void **state)
{
    (void)state;
    cut_everywhere(look_at_hash);
}

/* Where the library works in blocks. */
static void long_ones_have_the_same_hash(void **state)
{
    (void)state;
    static char text[5000];
    unsigned char secret[FAST_HASH_SECRET_BYTES] = {1, 2, 3};
    struct fast_hasher *hasher = fast_hasher_new(secret);
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)(i * 31 >> 3);
    for (size_t cut = 0; cut <= sizeof text; cut += 137) {
        struct str whole = STR_FROM(text, sizeof text);
        const struct str items[] = {str_slice(whole, 0, cut), str_skip(whole, cut)};
        assert_true(fast_hash_parts(hasher, (struct parts){items, 2}) == fast_hash(secret, whole));
    }
    fast_hasher_free(hasher);
    fast_hasher_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_part_can_be_copied_and_compared),
        cmocka_unit_test(what_is_shared_is_counted),
        cmocka_unit_test(the_hash_is_that_of_the_whole),
        cmocka_unit_test(long_ones_have_the_same_hash),
    };
    return cmocka_run_group_tests_name("base/parts", tests, NULL, NULL);
}
