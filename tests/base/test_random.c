/* The seeded generator, against its authors' reference; the kernel's bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>

#include "base/random.h"

static void generator_is_the_published_one(void **state)
{
    (void)state;
    struct random random = {{1, 2, 3, 4}};
    static const uint64_t expected[] = {11520u,
                                        0u,
                                        1509978240u,
                                        1215971899390074240u,
                                        1216172134540287360u,
                                        607988272756665600u,
                                        16172922978634559625u,
                                        8476171486693032832u};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        assert_true(random_next(&random) == expected[i]);
}

static void seeding_is_the_published_one(void **state)
{
    (void)state;
    struct random random;
    static const uint64_t expected[] = {6457827717110365317u, 3203168211198807973u,
                                        9817491932198370423u, 4593380528125082431u};
    random_init(&random, 1234567);
    for (int i = 0; i < 4; i++)
        assert_true(random.state[i] == expected[i]);
}

static void ranges_are_kept_and_used(void **state)
{
    (void)state;
    struct random random;
    size_t counts[10] = {0};
    random_init(&random, 5);
    for (int i = 0; i < 10000; i++) {
        uint64_t number = random_below(&random, 10);
        assert_true(number < 10);
        counts[number]++;
        double unit = random_unit(&random);
        assert_true(unit >= 0 && unit < 1);
    }
    for (int i = 0; i < 10; i++)
        assert_in_range(counts[i], 850, 1150);
    assert_true(random_below(&random, 1) == 0);
}

static void kernel_bytes_fill_all(void **state)
{
    (void)state;
    unsigned char bytes[64] = {0};
    bool changed[64] = {false};
    for (int round = 0; round < 20; round++) {
        random_bytes(bytes + 1, 62);
        for (int i = 0; i < 64; i++)
            changed[i] |= bytes[i] != 0;
    }
    for (int i = 1; i < 63; i++)
        assert_true(changed[i]);
    assert_false(changed[0] || changed[63]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(generator_is_the_published_one),
        cmocka_unit_test(seeding_is_the_published_one),
        cmocka_unit_test(ranges_are_kept_and_used),
        cmocka_unit_test(kernel_bytes_fill_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
