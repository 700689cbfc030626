/* Bytes in transit: they stay as they are, wherever they stand, and their chunks come back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "base/transit.h"

static void copies_stay_until_they_are_dropped(void **state)
{
    (void)state;
    enum { COUNT = 200 };
    struct transit *transit = transit_new();
    struct random random;
    struct str copies[COUNT] = {0};
    char *text = malloc(TRANSIT_BYTES_MAX);
    random_init(&random, 1);
    for (int turn = 0; turn < 5000; turn++) {
        int i = (int)random_below(&random, COUNT);
        for (size_t at = 0; at < copies[i].len; at++)
            assert_int_equal((unsigned char)copies[i].data[at], (unsigned char)i);
        transit_drop(&copies[i]);
        assert_null(copies[i].data);
        size_t len = (size_t)random_below(&random, turn % 10 ? 6000 : TRANSIT_BYTES_MAX + 1);
        memset(text, i, len);
        copies[i] = transit_put(transit, STR_FROM(text, len));
        assert_non_null(copies[i].data);
        assert_int_equal(copies[i].len, len);
    }
    for (int i = 0; i < COUNT; i++)
        transit_drop(&copies[i]);
    free(text);
    transit_free(transit);
}

static void dropping_nothing_is_allowed(void **state)
{
    (void)state;
    struct str nothing = STR_NONE;
    transit_drop(&nothing);
    transit_free(NULL);
    transit_free(transit_new());
}

/* One after the other they all stand at the same place. */
static void an_empty_chunk_is_used_again(void **state)
{
    (void)state;
    struct transit *transit = transit_new();
    struct str copy = transit_put(transit, STR("first"));
    const char *place = copy.data;
    for (int i = 0; i < 1000; i++) {
        transit_drop(&copy);
        copy = transit_put(transit, STR("another"));
        assert_ptr_equal(copy.data, place);
    }
    transit_drop(&copy);
    transit_free(transit);
}

static long mapped_kib(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%ld", &pages), 1);
    fclose(file);
    return pages * 4;
}

static void a_burst_leaves_half_a_mib(void **state)
{
    (void)state;
    enum { COUNT = 2000, BYTES = 5000 };
    static const char text[BYTES];
    struct transit *transit = transit_new();
    struct str *copies = calloc(COUNT, sizeof *copies);
    long before = mapped_kib();
    for (int i = 0; i < COUNT; i++)
        copies[i] = transit_put(transit, STR_FROM(text, BYTES));
    assert_true(mapped_kib() - before >= COUNT * BYTES / 1024);
    for (int i = 0; i < COUNT; i++)
        transit_drop(&copies[i]);
    assert_true(mapped_kib() - before <= 512 + 64);
    free(copies);
    transit_free(transit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_stay_until_they_are_dropped),
        cmocka_unit_test(dropping_nothing_is_allowed),
        cmocka_unit_test(an_empty_chunk_is_used_again),
        cmocka_unit_test(a_burst_leaves_half_a_mib),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
