/* The heap of timers, against a plain array. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/heap.h"
#include "base/random.h"

enum { COUNT = 200 };

static void assert_is_heap(const struct heap *heap)
{
    for (size_t i = 0; i < heap->count; i++) {
        assert_int_equal(heap->places[i].node->index, i + 1);
        assert_true(heap->places[i].key == heap->places[i].node->key);
        if (i)
            assert_true(heap->places[(i + 1) / 2 - 1].key <= heap->places[i].key);
    }
}

static void random_operations_agree_with_a_model(void **state)
{
    (void)state;
    struct heap heap = {0};
    struct heap_node nodes[COUNT] = {0};
    struct random random;
    random_init(&random, 42);
    for (int step = 0; step < 20000; step++) {
        struct heap_node *node = &nodes[random_below(&random, COUNT)];
        uint64_t choice = random_below(&random, 10);
        if (choice < 6)
            heap_set(&heap, node, random_below(&random, 50)); /* many equal keys */
        else if (choice < 9)
            heap_remove(&heap, node);
        else if (heap_first(&heap))
            heap_remove(&heap, heap_first(&heap));
        uint64_t smallest = UINT64_MAX;
        size_t count = 0;
        for (int i = 0; i < COUNT; i++) {
            count += nodes[i].index != 0;
            if (nodes[i].index && nodes[i].key < smallest)
                smallest = nodes[i].key;
        }
        assert_int_equal(heap.count, count);
        if (count)
            assert_true(heap_first(&heap)->key == smallest);
        else
            assert_null(heap_first(&heap));
        assert_is_heap(&heap);
    }
    heap_done(&heap);
}

static void comes_out_sorted(void **state)
{
    (void)state;
    struct heap heap = {0};
    struct heap_node nodes[COUNT] = {0};
    struct random random;
    random_init(&random, 7);
    for (int i = 0; i < COUNT; i++)
        heap_set(&heap, &nodes[i], random_next(&random));
    uint64_t before = 0;
    for (int i = 0; i < COUNT; i++) {
        struct heap_node *first = heap_first(&heap);
        assert_true(first->key >= before);
        before = first->key;
        heap_remove(&heap, first);
        assert_int_equal(first->index, 0);
    }
    assert_null(heap_first(&heap));
    heap_remove(&heap, &nodes[0]); /* not in it: nothing happens */
    heap_done(&heap);
    assert_null(heap_first(&heap));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations_agree_with_a_model),
        cmocka_unit_test(comes_out_sorted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
