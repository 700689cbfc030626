/* Hash maps, against a plain array; deletion is what goes wrong in such tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "base/random.h"

enum { KEYS = 400 };

static struct str key_of(char text[16], size_t i)
{
    return STR_FROM(text, (size_t)snprintf(text, 16, "key-%zu", i));
}

static void random_operations_agree_with_a_model(void **state)
{
    (void)state;
    struct map *map = map_new();
    int values[1000];
    void *model[KEYS] = {0};
    struct random random;
    size_t count = 0;
    random_init(&random, 3);
    for (int step = 0; step < 40000; step++) {
        char text[16];
        /* Waves of mostly setting and mostly removing, so that gaps are closed at every load. */
        bool filling = step / 2000 % 2 == 0;
        size_t i = (size_t)random_below(&random, KEYS);
        struct str key = key_of(text, i);
        if (random_below(&random, 10) < (filling ? 7u : 3u)) {
            void *value = &values[random_below(&random, 1000)];
            assert_ptr_equal(map_set(map, key, value), model[i]);
            count += !model[i];
            model[i] = value;
        } else {
            assert_ptr_equal(map_remove(map, key), model[i]);
            count -= model[i] != NULL;
            model[i] = NULL;
        }
        assert_int_equal(map_count(map), count);
        if (step % 100 == 0)
            for (size_t j = 0; j < KEYS; j++)
                assert_ptr_equal(map_get(map, key_of(text, j)), model[j]);
    }
    map_free(map);
}

static void walking_meets_everyone_once(void **state)
{
    (void)state;
    struct map *map = map_new();
    static const int seen_marks[KEYS];
    bool seen[KEYS] = {0};
    char text[16];
    size_t position = 0, met = 0;
    assert_null(map_next(map, &position, NULL));
    for (size_t i = 0; i < KEYS; i++)
        map_set(map, key_of(text, i), (void *)(uintptr_t)&seen_marks[i]);
    struct str key;
    position = 0;
    for (const int *value; (value = map_next(map, &position, &key)); met++) {
        size_t i = (size_t)(value - seen_marks);
        assert_false(seen[i]);
        seen[i] = true;
        assert_true(str_eq(key, key_of(text, i)));
    }
    assert_int_equal(met, KEYS);
    map_free(map);
}

static void any_bytes_are_keys(void **state)
{
    (void)state;
    struct map *map = map_new();
    int a, b, c;
    char text[] = "key";
    assert_null(map_get(map, STR("key")));
    assert_null(map_remove(map, STR("key")));
    map_set(map, STR_FROM(text, 3), &a);
    text[0] = 'X'; /* keys are copied */
    assert_ptr_equal(map_get(map, STR("key")), &a);
    map_set(map, STR_FROM("a\0b", 3), &b);
    map_set(map, STR_FROM("a\0c", 3), &c);
    assert_ptr_equal(map_get(map, STR_FROM("a\0b", 3)), &b);
    assert_null(map_get(map, STR("a")));
    map_set(map, STR(""), &c);
    assert_ptr_equal(map_get(map, STR_NONE), &c);
    assert_ptr_equal(map_remove(map, STR("")), &c);
    assert_null(map_get(map, STR("")));
    assert_int_equal(map_count(map), 3);
    map_free(map);
    map_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations_agree_with_a_model),
        cmocka_unit_test(walking_meets_everyone_once),
        cmocka_unit_test(any_bytes_are_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
