/* Memory of one request: alignment, growth in place, the maximum. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdalign.h>
#include <string.h>

#include "base/arena.h"
#include "base/random.h"
#include "base/vec.h"

static void allocations_are_aligned_and_apart(void **state)
{
    (void)state;
    struct arena *arena = arena_new(SIZE_MAX);
    struct random random;
    unsigned char *memory[300];
    size_t sizes[300], total = 0;
    random_init(&random, 1);
    for (int i = 0; i < 300; i++) {
        sizes[i] = (size_t)random_below(&random, i % 50 == 0 ? 100000 : 200);
        memory[i] = arena_alloc(arena, sizes[i]);
        assert_int_equal((uintptr_t)memory[i] % alignof(max_align_t), 0);
        memset(memory[i], i & 255, sizes[i]);
        total += sizes[i];
    }
    for (int i = 0; i < 300; i++)
        for (size_t at = 0; at < sizes[i]; at++)
            assert_int_equal(memory[i][at], i & 255);
    assert_true(arena_used(arena) >= total);
    assert_ptr_not_equal(arena_alloc(arena, 0), arena_alloc(arena, 0));
    arena_free(arena);
    arena_free(NULL);
}

static void going_over_is_noted_until_reset(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1024);
    assert_int_equal(arena_used(arena), 0);
    arena_alloc(arena, 1024);
    assert_false(arena_exceeded(arena));
    memset(arena_alloc(arena, 1), 1, 1);
    assert_true(arena_exceeded(arena));
    arena_set_max(arena, 4096);
    assert_false(arena_exceeded(arena));
    memset(arena_alloc(arena, 100000), 1, 100000);
    assert_true(arena_exceeded(arena));
    arena_reset(arena);
    assert_int_equal(arena_used(arena), 0);
    assert_false(arena_exceeded(arena));
    memset(arena_alloc(arena, 100000), 1, 100000); /* the block that was kept */
    arena_free(arena);
}

static void zeroed_memory_is_zero_after_reuse(void **state)
{
    (void)state;
    struct arena *arena = arena_new(SIZE_MAX);
    memset(arena_alloc(arena, 1000), 0xFF, 1000);
    arena_reset(arena);
    const unsigned char *memory = arena_alloc_zero(arena, 100, 10);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(memory[i], 0);
    arena_free(arena);
}

static void the_newest_grows_in_place(void **state)
{
    (void)state;
    struct arena *arena = arena_new(SIZE_MAX);
    char *memory = arena_realloc(arena, NULL, 0, 10);
    memcpy(memory, "0123456789", 10);
    assert_ptr_equal(arena_realloc(arena, memory, 10, 500), memory);
    size_t used = arena_used(arena);
    assert_ptr_equal(arena_realloc(arena, memory, 500, 20), memory);
    assert_int_equal(arena_used(arena), used);
    char *other = arena_alloc(arena, 16); /* now it is not the newest */
    memset(other, 'x', 16);
    char *moved = arena_realloc(arena, memory, 20, 600);
    assert_ptr_not_equal(moved, memory);
    memset(moved + 20, 'y', 580);
    assert_memory_equal(moved, "0123456789", 10);
    assert_memory_equal(other, "xxxxxxxxxxxxxxxx", 16);
    char *large = arena_realloc(arena, moved, 600, 300000); /* more than the block holds */
    memset(large + 600, 'z', 299400);
    assert_memory_equal(large, "0123456789", 10);
    assert_int_equal(large[599], 'y');
    arena_free(arena);
}

static void copies_are_terminated(void **state)
{
    (void)state;
    struct arena *arena = arena_new(SIZE_MAX);
    char text[] = "abcdef";
    struct str copy = arena_str(arena, STR_FROM(text, 3));
    char *other = arena_cstr(arena, STR_FROM(text + 3, 2));
    memset(text, 'X', sizeof text);
    assert_string_equal(copy.data, "abc");
    assert_int_equal(copy.len, 3);
    assert_string_equal(other, "de");
    assert_null(arena_str(arena, STR_NONE).data);
    assert_string_equal(arena_str(arena, STR("")).data, "");
    assert_string_equal(arena_cstr(arena, STR_NONE), "");
    arena_free(arena);
}

static void prints_any_length(void **state)
{
    (void)state;
    struct arena *arena = arena_new(SIZE_MAX);
    struct str s = arena_printf(arena, "%d-%.*s", 42, STR_ARG(STR("abc")));
    assert_string_equal(s.data, "42-abc");
    assert_int_equal(s.len, 6);
    s = arena_printf(arena, "%5000d", 7);
    assert_int_equal(s.len, 5000);
    assert_int_equal(s.data[4999], '7');
    assert_int_equal(s.data[5000], '\0');
    arena_free(arena);
}

static void vectors_grow_and_zero(void **state)
{
    (void)state;
    struct arena *arena = arena_new(SIZE_MAX);
    int *items = NULL;
    size_t count = 0, capacity = 0;
    memset(arena_alloc(arena, 4096), 0xFF, 4096);
    arena_reset(arena);
    for (int i = 0; i < 1000; i++) {
        int *last = VEC_PUSH(arena, items, count, capacity);
        assert_int_equal(*last, 0);
        *last = i;
        if (i % 7 == 0)
            arena_alloc(arena, 8); /* something in the way of growing in place */
    }
    assert_int_equal(count, 1000);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(items[i], i);
    arena_free(arena);
}

static void reserved_vectors_do_not_move(void **state)
{
    (void)state;
    struct arena *arena = arena_new(SIZE_MAX);
    int *items = NULL;
    size_t count = 0, capacity = 0;
    VEC_RESERVE(arena, items, count, capacity, 0);
    assert_null(items);
    *VEC_PUSH(arena, items, count, capacity) = 7;
    VEC_RESERVE(arena, items, count, capacity, 99);
    assert_int_equal(capacity, 100);
    const int *place = items;
    arena_alloc(arena, 8);
    for (int i = 1; i < 100; i++)
        *VEC_PUSH(arena, items, count, capacity) = i;
    assert_ptr_equal(items, place);
    assert_int_equal(items[0], 7);
    assert_int_equal(items[99], 99);
    VEC_RESERVE(arena, items, count, capacity, 0);
    assert_int_equal(capacity, 100);
    arena_free(arena);
}

static void a_sized_arena_keeps_its_first_block(void **state)
{
    (void)state;
    struct arena *arena = arena_new_sized(SIZE_MAX, 32768);
    for (int round = 0; round < 3; round++) {
        char *first = arena_alloc(arena, 32000);
        memset(first, round, 32000);
        memset(arena_alloc(arena, 100000), 1, 100000);
        memset(arena_alloc(arena, 100), 1, 100);
        memset(arena_alloc(arena, 1000), 1, 1000);
        arena_reset(arena);
        assert_ptr_equal(arena_alloc(arena, 1), first);
        arena_reset(arena);
    }
    arena_free(arena);
}

static void a_first_large_allocation_is_not_kept(void **state)
{
    (void)state;
    struct arena *arena = arena_new(SIZE_MAX);
    for (int round = 0; round < 3; round++) {
        memset(arena_alloc(arena, 100000), round, 100000);
        char *small = arena_alloc(arena, 100);
        memset(small, round, 100);
        memset(arena_realloc(arena, small, 100, 5000), round, 5000);
        arena_reset(arena);
        assert_int_equal(arena_used(arena), 0);
    }
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocations_are_aligned_and_apart),
        cmocka_unit_test(going_over_is_noted_until_reset),
        cmocka_unit_test(zeroed_memory_is_zero_after_reuse),
        cmocka_unit_test(the_newest_grows_in_place),
        cmocka_unit_test(copies_are_terminated),
        cmocka_unit_test(prints_any_length),
        cmocka_unit_test(vectors_grow_and_zero),
        cmocka_unit_test(reserved_vectors_do_not_move),
        cmocka_unit_test(a_sized_arena_keeps_its_first_block),
        cmocka_unit_test(a_first_large_allocation_is_not_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
