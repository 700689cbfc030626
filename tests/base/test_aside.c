/* Aside: it copies as memcpy does, at every place and length. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/aside.h"

static void all_is_copied_and_nothing_else(void **state)
{
    (void)state;
    static unsigned char from[4096], to[4096 + 128];
    for (size_t i = 0; i < sizeof from; i++)
        from[i] = (unsigned char)(i * 7 + i / 256);
    for (size_t size = 0; size < 1200; size += size < 700 ? 1 : 37) {
        for (size_t place = 0; place < 64; place += 9) {
            memset(to, 0xee, sizeof to);
            copy_aside(to + 1 + place, from + size % 5, size);
            assert_memory_equal(to + 1 + place, from + size % 5, size);
            assert_int_equal(to[place], 0xee);
            assert_int_equal(to[1 + place + size], 0xee);
        }
    }
    copy_aside(NULL, NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_is_copied_and_nothing_else),
    };
    return cmocka_run_group_tests_name("base/aside", tests, NULL, NULL);
}
