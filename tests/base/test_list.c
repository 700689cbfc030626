/* Intrusive lists. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/list.h"

struct item {
    int number;
    struct list link;
};

static void assert_order(struct list *head, const int *numbers)
{
    size_t at = 0;
    LIST_EACH (head, link) {
        assert_int_equal(LIST_ENTRY(link, struct item, link)->number, numbers[at]);
        assert_ptr_equal(link->next->previous, link);
        at++;
    }
    assert_int_equal(numbers[at], 0);
}

static void order_is_kept(void **state)
{
    (void)state;
    struct list head;
    struct item items[] = {{1, {0}}, {2, {0}}, {3, {0}}};
    list_init(&head);
    assert_true(list_is_empty(&head));
    assert_order(&head, (int[]){0});
    list_append(&head, &items[1].link);
    list_append(&head, &items[2].link);
    list_prepend(&head, &items[0].link);
    assert_false(list_is_empty(&head));
    assert_order(&head, (int[]){1, 2, 3, 0});
    list_remove(&items[1].link);
    assert_order(&head, (int[]){1, 3, 0});
    assert_false(list_is_linked(&items[1].link));
    assert_true(list_is_linked(&items[0].link));
    list_remove(&items[1].link); /* in none: nothing happens */
    list_append(&head, &items[1].link);
    assert_order(&head, (int[]){1, 3, 2, 0});
    list_prepend(&items[0].link, &(struct item){9, {0}}.link); /* behind an element */
    assert_order(&head, (int[]){1, 9, 3, 2, 0});
}

static void the_current_one_may_go(void **state)
{
    (void)state;
    struct list head;
    struct item items[10] = {0};
    list_init(&head);
    for (int i = 0; i < 10; i++) {
        items[i].number = i + 1;
        list_append(&head, &items[i].link);
    }
    LIST_EACH (&head, link) {
        if (LIST_ENTRY(link, struct item, link)->number % 2)
            list_remove(link);
    }
    assert_order(&head, (int[]){2, 4, 6, 8, 10, 0});
    LIST_EACH (&head, link) {
        list_remove(link);
    }
    assert_true(list_is_empty(&head));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_is_kept),
        cmocka_unit_test(the_current_one_may_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
