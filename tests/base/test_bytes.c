/* Numbers in bytes: little endian at odd addresses, and bytes from the front. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bytes.h"

static void test_numbers(void **state)
{
    (void)state;
    char bytes[16] = {0};
    bytes_put_u64(bytes + 1, UINT64_C(0x0807060504030201));
    assert_memory_equal(bytes, "\0\1\2\3\4\5\6\7\10\0", 10);
    assert_true(bytes_get_u64(bytes + 1) == UINT64_C(0x0807060504030201));
    bytes_put_u32(bytes + 3, 0xfffefdfc);
    assert_memory_equal(bytes, "\0\1\2\374\375\376\377\7\10\0", 10);
    assert_true(bytes_get_u32(bytes + 3) == 0xfffefdfc && bytes_get_u16(bytes + 1) == 0x201);
    bytes_put_u16(bytes + 5, 0xa0b);
    assert_memory_equal(bytes, "\0\1\2\374\375\13\12\7\10\0", 10);
}

static void test_take(void **state)
{
    (void)state;
    struct str rest = STR("abc"), taken;
    assert_false(bytes_take(&rest, 4, &taken));
    assert_true(bytes_take(&rest, 2, &taken) && str_eq(taken, STR("ab")));
    assert_true(bytes_take(&rest, 0, &taken) && taken.len == 0 && str_eq(rest, STR("c")));
    assert_true(bytes_take(&rest, 1, &taken) && rest.len == 0);
    assert_false(bytes_take(&rest, SIZE_MAX, &taken));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_take),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
