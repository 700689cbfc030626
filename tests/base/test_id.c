/* Identifiers: order, time, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/id.h"

static void they_sort_by_time(void **state)
{
    (void)state;
    static const int64_t times[] = {
        0, 1, 31, 32, 1000, 1700000000000, 1700000000001, 1893456000000, (1LL << 48) - 1};
    struct id before = {0};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        struct id id = id_new(times[i]);
        assert_int_equal(strlen(id.text), ID_LENGTH);
        assert_true(id_wall_ms(&id) == times[i]);
        assert_true(str_compare(id_str(&before), id_str(&id)) < 0);
        before = id;
    }
}

static void they_differ_within_a_moment(void **state)
{
    (void)state;
    struct id a = id_new(5), b = id_new(5);
    assert_false(id_eq(&a, &b));
    assert_memory_equal(a.text, b.text, 10);
    assert_string_not_equal(a.text + 10, b.text + 10);
}

static void text_round_trips(void **state)
{
    (void)state;
    struct id id = id_new(1700000000000), again;
    memset(&again, 'x', sizeof again);
    assert_true(id_parse(id_str(&id), &again));
    assert_true(id_eq(&id, &again));
    assert_int_equal(again.text[ID_LENGTH], '\0');
    assert_true(id_parse(STR("7zzzzzzzzzzzzzzzzzzzzzzzzz"), &again));
    assert_true(id_wall_ms(&again) == (1LL << 48) - 1);
    struct id none = {0};
    assert_true(id_is_none(&none) && !id_str(&none).data);
    assert_false(id_is_none(&id));
}

static void what_is_none_is_refused(void **state)
{
    (void)state;
    static const struct str refused[] = {
        {NULL, 0},
        {"", 0},
        {"0123456789abcdefghjkmnpqr", 25},
        {"0123456789abcdefghjkmnpqrst", 27},
        {"8123456789abcdefghjkmnpqrs", 26}, /* more than 128 bits */
        {"z123456789abcdefghjkmnpqrs", 26},
        {"0123456789ABCDEFGHJKMNPQRS", 26}, /* upper case */
        {"0123456789abcdefghijkmnpqr", 26}, /* i, l, o and u are no digits */
        {"0123456789abcdefghlkmnpqrs", 26},
        {"0123456789abcdefghokmnpqrs", 26},
        {"0123456789abcdefghukmnpqrs", 26},
        {"0123456789abcdefghjkmnpqr\0", 26},
        {"0123456789abcdefghjkmnpq-s", 26},
        {" 123456789abcdefghjkmnpqrs", 26},
    };
    struct id id = {"untouched"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        assert_false(id_parse(refused[i], &id));
    assert_string_equal(id.text, "untouched");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_sort_by_time),
        cmocka_unit_test(they_differ_within_a_moment),
        cmocka_unit_test(text_round_trips),
        cmocka_unit_test(what_is_none_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
