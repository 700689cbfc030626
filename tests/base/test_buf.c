/* Growable buffers: the maximum, what is dropped, taking and consuming. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

static void assert_holds(const struct buf *buf, const char *text)
{
    assert_int_equal(buf->len, strlen(text));
    assert_memory_equal(buf_str(buf).data, text, buf->len);
}

static void what_does_not_fit_is_dropped_whole(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 8);
    assert_holds(&buf, "");
    buf_append(&buf, STR("12345"));
    buf_append(&buf, STR("678"));
    assert_true(buf_ok(&buf));
    buf_append(&buf, STR_NONE); /* nothing always fits */
    assert_true(buf_ok(&buf));
    buf_append_char(&buf, '9');
    assert_false(buf_ok(&buf));
    assert_holds(&buf, "12345678");
    buf_truncate(&buf, 2);
    buf_append_char(&buf, 'x'); /* sticky, though there is room now */
    assert_false(buf_ok(&buf));
    assert_holds(&buf, "12");
    buf_clear(&buf);
    buf_append(&buf, STR("abcdefgh"));
    assert_true(buf_ok(&buf));
    assert_holds(&buf, "abcdefgh");
    buf_done(&buf);
}

static void a_maximum_of_nothing_holds_nothing(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 0);
    assert_non_null(buf_reserve(&buf, 0));
    assert_true(buf_ok(&buf));
    assert_null(buf_reserve(&buf, 1));
    assert_false(buf_ok(&buf));
    buf_done(&buf);
}

static void reserve_and_commit(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 1000);
    char *room = buf_reserve(&buf, 600);
    memset(room, 'a', 600);
    buf_commit(&buf, 3);
    assert_holds(&buf, "aaa");
    assert_null(buf_reserve(&buf, 998));
    buf_clear(&buf);
    assert_null(buf_reserve(&buf, SIZE_MAX));
    buf_clear(&buf);
    assert_non_null(buf_reserve(&buf, 1000));
    buf_done(&buf);
}

/* Even a wrong expectation does no harm. */
static void expecting_is_a_hint(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 1000);
    buf_append(&buf, STR("abc"));
    buf_expect(&buf, 900);
    const char *data = buf.data;
    buf_expect(&buf, 998);
    buf_expect(&buf, SIZE_MAX);
    for (int i = 0; i < 900; i++)
        buf_append_char(&buf, 'x');
    assert_true(buf_ok(&buf) && buf.len == 903 && buf.data == data);
    buf_done(&buf);
}

static void printing_short_and_long(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 4000);
    buf_printf(&buf, "%s=%d;", "a", 1);
    assert_holds(&buf, "a=1;");
    for (int width = 510; width <= 514; width++) { /* around the size of the buffer on the stack */
        buf_clear(&buf);
        buf_printf(&buf, "%*d", width, 5);
        assert_int_equal(buf.len, width);
        assert_int_equal(buf.data[width - 1], '5');
        assert_int_equal(buf.data[0], ' ');
    }
    buf_clear(&buf);
    buf_printf(&buf, "%5000d", 5);
    assert_false(buf_ok(&buf));
    assert_int_equal(buf.len, 0);
    buf_done(&buf);
}

static void consume_from_the_front(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 100);
    buf_consume(&buf, 0);
    buf_append(&buf, STR("abcdef"));
    buf_consume(&buf, 2);
    assert_holds(&buf, "cdef");
    buf_consume(&buf, 0);
    assert_holds(&buf, "cdef");
    buf_consume(&buf, 4);
    assert_holds(&buf, "");
    buf_done(&buf);
}

static void memory_changes_hands(void **state)
{
    (void)state;
    struct buf a, b;
    buf_init(&a, 10);
    buf_init(&b, 20);
    buf_append(&a, STR("aaa"));
    buf_swap(&a, &b);
    assert_holds(&a, "");
    assert_holds(&b, "aaa");
    assert_int_equal(a.bytes_max, 20);
    size_t len;
    char *data = buf_take(&b, &len);
    assert_int_equal(len, 3);
    assert_memory_equal(data, "aaa", 3);
    free(data);
    assert_null(b.data);
    buf_append(&b, STR("0123456789"));
    assert_holds(&b, "0123456789");
    buf_release(&b);
    assert_null(b.data);
    buf_append(&b, STR("again"));
    assert_holds(&b, "again");
    buf_append(&b, STR("too much")); /* the maximum outlives taking and releasing */
    assert_false(buf_ok(&b));
    buf_done(&a);
    buf_done(&b);
}

static void growth_keeps_what_is_there(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 1000000);
    for (int i = 0; i < 100000; i++)
        buf_append_char(&buf, (char)('a' + i % 26));
    assert_int_equal(buf.len, 100000);
    for (int i = 0; i < 100000; i++)
        assert_int_equal(buf.data[i], 'a' + i % 26);
    assert_true(buf.capacity <= 1000000);
    buf_done(&buf);
}

static void what_is_kept_for_long_has_no_byte_to_spare(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 1000);
    buf_expect_exactly(&buf, 300);
    assert_int_equal(buf.capacity, 300);
    buf_append(&buf, STR("abc"));
    buf_expect_exactly(&buf, 297); /* is there */
    assert_int_equal(buf.capacity, 300);
    buf_expect_exactly(&buf, 400);
    assert_int_equal(buf.capacity, 403);
    buf_expect_exactly(&buf, 998); /* too much: a hint only */
    assert_int_equal(buf.capacity, 403);
    assert_true(buf_ok(&buf) && str_eq(buf_str(&buf), STR("abc")));
    buf_done(&buf);
    assert_null(buf.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_does_not_fit_is_dropped_whole),
        cmocka_unit_test(a_maximum_of_nothing_holds_nothing),
        cmocka_unit_test(reserve_and_commit),
        cmocka_unit_test(expecting_is_a_hint),
        cmocka_unit_test(printing_short_and_long),
        cmocka_unit_test(consume_from_the_front),
        cmocka_unit_test(memory_changes_hands),
        cmocka_unit_test(growth_keeps_what_is_there),
        cmocka_unit_test(what_is_kept_for_long_has_no_byte_to_spare),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
