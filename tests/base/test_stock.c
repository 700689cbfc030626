/* Pieces of memory that go from one to the next: sizes, bounds, and arenas that live of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdalign.h>
#include <string.h>

#include "base/arena.h"
#include "base/random.h"
#include "base/stock.h"

/* As many of a size as stock_take says there are. */
static void *take(struct stock *stock, size_t wanted, size_t *ret_size)
{
    *ret_size = wanted;
    unsigned char *memory = stock_take(stock, ret_size);
    assert_true(*ret_size >= wanted);
    assert_int_equal((uintptr_t)memory % alignof(max_align_t), 0);
    memset(memory, 0xA5, *ret_size);
    return memory;
}

static void pieces_have_the_size_that_was_asked_for(void **state)
{
    (void)state;
    struct stock *stock = stock_new(16 * 1024);
    struct random random;
    void *memory[200];
    size_t sizes[200];
    random_init(&random, 3);
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 200; i++)
            memory[i] =
                take(stock, 1 + (size_t)random_below(&random, 2 * STOCK_BYTES_MAX), &sizes[i]);
        for (int i = 0; i < 200; i++)
            stock_give(stock, memory[i], sizes[i]);
    }
    stock_free(stock);
    stock_free(NULL);
}

static void sizes_are_rounded_up_to_whole_pieces(void **state)
{
    (void)state;
    struct stock *stock = stock_new(1024);
    size_t size;
    void *memory = take(stock, 1, &size);
    assert_int_equal(size, STOCK_PIECE_BYTES);
    stock_give(stock, memory, size);
    memory = take(stock, STOCK_BYTES_MAX, &size);
    assert_int_equal(size, STOCK_BYTES_MAX);
    stock_give(stock, memory, size);
    memory = take(stock, STOCK_BYTES_MAX + 1, &size); /* malloc's */
    assert_int_equal(size, STOCK_BYTES_MAX + 1);
    stock_give(stock, memory, size);
    memory = take(NULL, 5, &size);
    assert_int_equal(size, 5);
    stock_give(NULL, memory, size);
    stock_free(stock);
}

static void arenas_take_and_give(void **state)
{
    (void)state;
    struct stock *stock = stock_new(64 * 1024);
    struct random random;
    random_init(&random, 4);
    for (int round = 0; round < 100; round++) {
        struct arena *arena = arena_new_from(stock, 4096, 16 + (size_t)round * 16);
        assert_int_equal(arena_used(arena), 0);
        for (int i = 0; i < 30; i++) {
            size_t size = (size_t)random_below(&random, i % 10 == 0 ? 9000 : 300);
            memset(arena_alloc(arena, size), round, size);
            if (i == 20)
                arena_reset(arena);
        }
        memset(arena_alloc(arena, 4096), round, 4096);
        assert_true(arena_exceeded(arena));
        arena_reset(arena);
        assert_false(arena_exceeded(arena));
        arena_free(arena);
    }
    stock_free(stock); /* which asserts that all is back */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_have_the_size_that_was_asked_for),
        cmocka_unit_test(sizes_are_rounded_up_to_whole_pieces),
        cmocka_unit_test(arenas_take_and_give),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
