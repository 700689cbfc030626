/* Room: what stays is not touched, whatever is taken around it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "route/cache_room.h"

enum { LIVING_MAX = 64, ROOM_BYTES = 16 * 1024 };

/* One that was taken, and what is written all over it. */
struct living {
    struct cache_block *block;
    unsigned char sign;
    bool stays; /* for once: without a pin */
};

struct fixture {
    struct cache_room *room;
    struct living living[LIVING_MAX];
    size_t asked; /* whether blocks may go */
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->room = cache_room_new(ROOM_BYTES, 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    cache_room_free(f->room);
    cache_room_free(NULL);
    free(f);
    return 0;
}

static struct living *find(struct fixture *f, const struct cache_block *block)
{
    for (size_t i = 0; i < LIVING_MAX; i++)
        if (f->living[i].block == block)
            return &f->living[i];
    fail();
    return NULL;
}

static void assert_is_whole(const struct living *living)
{
    const unsigned char *bytes = (const unsigned char *)(living->block + 1);
    for (size_t i = 0; i < cache_block_size(living->block) - sizeof *living->block; i++)
        assert_int_equal(bytes[i], living->sign);
}

static bool may_go(void *user, struct cache_block *block)
{
    struct fixture *f = user;
    struct living *living = find(f, block);
    f->asked++;
    assert_is_whole(living);
    if (block->pins)
        return true; /* stays anyway */
    if (living->stays) {
        living->stays = false;
        return false;
    }
    living->block = NULL;
    return true;
}

static struct living *take(struct fixture *f, size_t size, unsigned char sign)
{
    struct cache_block *block = cache_room_take(f->room, size, CACHE_BLOCK_ENTRY, may_go, f);
    if (!block)
        return NULL;
    struct living *living = find(f, NULL);
    assert_int_equal((uintptr_t)block % CACHE_LINE_BYTES, 0);
    assert_int_equal(block->pins, 1);
    assert_int_equal(block->kind, CACHE_BLOCK_ENTRY);
    assert_true(cache_block_size(block) >= size);
    *living = (struct living){block, sign, false};
    memset(block + 1, sign, cache_block_size(block) - sizeof *block);
    return living;
}

static void the_oldest_goes(void **state)
{
    struct fixture *f = *state;
    struct living *first = take(f, ROOM_BYTES / 4, 1), *second = take(f, ROOM_BYTES / 4, 2);
    struct living *third = take(f, ROOM_BYTES / 2, 3);
    first->block->pins = second->block->pins = third->block->pins = 0;
    assert_null(cache_room_next(f->room));
    assert_int_equal(f->asked, 0);
    struct cache_block *place = first->block;
    struct living *fourth = take(f, 100, 4);
    assert_ptr_equal(fourth->block, place);
    assert_int_equal(f->asked, 1);
    assert_ptr_equal(cache_room_next(f->room), second->block);
    assert_is_whole(second);
    assert_is_whole(third);
}

static void what_is_too_large_moves_nobody(void **state)
{
    struct fixture *f = *state;
    struct living *first = take(f, 1000, 1);
    first->block->pins = 0;
    assert_null(take(f, ROOM_BYTES + 1, 2));
    assert_int_equal(f->asked, 0);
    assert_is_whole(first);
    assert_non_null(take(f, ROOM_BYTES, 3)); /* all of it */
    assert_null(take(f, 1, 4));              /* as long as that is pinned */
    find(f, cache_room_next(f->room))->block->pins = 0;
    assert_non_null(take(f, 1, 4));
}

static void who_was_used_stays_a_round(void **state)
{
    struct fixture *f = *state;
    struct living *used = take(f, 4096, 1);
    used->block->pins = 0;
    used->stays = true;
    for (int i = 0; i < 3; i++)
        take(f, 4096, 2)->block->pins = 0;
    take(f, 4096, 3)->block->pins = 0; /* where the second was */
    assert_is_whole(used);
    for (int i = 0; i < 3; i++)
        take(f, 4096, 4)->block->pins = 0;
    for (size_t i = 0; i < LIVING_MAX; i++)
        assert_true(!f->living[i].block || f->living[i].sign >= 3);
}

/* Whatever is taken, pinned, used and let go. */
static void all_that_lives_is_whole(void **state)
{
    struct fixture *f = *state;
    struct random random;
    size_t taken = 0;
    random_init(&random, 7);
    for (int i = 0; i < 20000; i++) {
        for (int j = 0; j < 8; j++) {
            struct living *some = &f->living[random_below(&random, LIVING_MAX)];
            if (some->block) {
                some->block->pins = 0;
                some->stays = random_below(&random, 10) == 0;
            }
        }
        size_t size = 300 + random_below(&random, random_below(&random, 20) ? 600 : 6000);
        taken += take(f, size, (unsigned char)i) != NULL; /* at most 51 live at once */
    }
    for (size_t i = 0; i < LIVING_MAX; i++)
        if (f->living[i].block)
            assert_is_whole(&f->living[i]);
    assert_true(taken > 10000 && f->asked > taken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_oldest_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_too_large_moves_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(who_was_used_stays_a_round, setup, teardown),
        cmocka_unit_test_setup_teardown(all_that_lives_is_whole, setup, teardown),
    };
    return cmocka_run_group_tests_name("route/cache_room", tests, NULL, NULL);
}
