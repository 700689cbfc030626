/* Cache: what is found, for how long, and who goes when there is no room. */
#include "helper_cache.h"

#include <pthread.h>
#include <stdio.h>

struct fixture {
    struct metric_registry *metrics;
    struct cache *cache;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->metrics = metric_registry_new();
    f->cache = cache_new(16 * 1024, f->metrics);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    cache_free(f->cache);
    cache_free(NULL);
    metric_registry_free(f->metrics);
    free(f);
    return 0;
}

static bool has_text(const struct cache_entry *entry, const char *text)
{
    return str_eq(STR_FROM(entry->tape->bytes, entry->tape->len), str_from_cstr(text));
}

/* Whether there is an answer, and that it is this one. */
static bool finds(struct fixture *f, const char *key, const char *tape, uint64_t now_ms)
{
    struct cache_entry *entry = cache_find_text(f->cache, str_from_cstr(key), now_ms, UINT64_MAX);
    bool is_there = entry != NULL;
    if (entry) {
        assert_true(has_text(entry, tape));
        assert_true(str_eq(entry->key, str_from_cstr(key)));
        assert_true(str_eq(entry->flags, STR("f")));
        assert_true(str_eq(entry->target, STR("fake/m")));
    }
    cache_entry_unref(entry);
    return is_there;
}

static void what_is_kept_is_found(void **state)
{
    struct fixture *f = *state;
    assert_false(finds(f, "k", "", 0));
    cache_keep_text(f->cache, "k", STR("one"), 10, 1000);
    assert_true(finds(f, "k", "one", 10));
    assert_false(finds(f, "kk", "", 10));
    assert_false(finds(f, "", "", 10));
    cache_keep_text(f->cache, "k", STR("two"), 20, 1000);
    assert_true(finds(f, "k", "two", 20));
    assert_true(finds(f, "k", "two", 5)); /* another loop's turn began before */
}

static void it_lives_for_its_time(void **state)
{
    struct fixture *f = *state;
    cache_keep_text(f->cache, "k", STR("one"), 1000, 500);
    assert_true(finds(f, "k", "one", 1499));
    struct cache_entry *entry = cache_find_text(f->cache, STR("k"), 1300, 300);
    assert_non_null(entry);
    cache_entry_unref(entry);
    assert_null(cache_find_text(f->cache, STR("k"), 1301, 300)); /* older than was asked for */
    assert_true(finds(f, "k", "one", 1301));
    assert_true(cache_metric(f->metrics, "\nparley_cache_bytes{} ") > 0);
    assert_false(finds(f, "k", "", 1500));
    assert_int_equal(cache_metric(f->metrics, "\nparley_cache_bytes{} "), 0);
    assert_false(finds(f, "k", "", 1400)); /* it is gone */
}

static void the_least_used_goes_first(void **state)
{
    struct fixture *f = *state;
    char tape[3201] = {0}, key[16];
    memset(tape, 'x', 3200);
    for (int i = 0; i < 4; i++) {
        snprintf(key, sizeof key, "k%d", i);
        cache_keep_text(f->cache, key, str_from_cstr(tape), 0, 1000);
    }
    assert_true(finds(f, "k0", tape, 0));
    cache_keep_text(f->cache, "new", str_from_cstr(tape), 0, 1000);
    assert_true(finds(f, "k0", tape, 0));
    assert_false(finds(f, "k1", tape, 0));
    assert_true(finds(f, "k2", tape, 0));
    assert_true(finds(f, "new", tape, 0));
    assert_int_equal(cache_metric(f->metrics, "\nparley_cache_evictions_total{} "), 1);
    int64_t bytes = cache_metric(f->metrics, "\nparley_cache_bytes{} ");
    assert_true(bytes > 4 * 3200 && bytes <= 16 * 1024);
}

static void what_has_no_room_is_not_kept(void **state)
{
    struct fixture *f = *state;
    static char tape[CACHE_ENTRY_BYTES_MAX + 1];
    cache_keep_text(f->cache, "small", STR("x"), 0, 1000);
    cache_keep_text(f->cache, "k", STR_FROM(tape, 16 * 1024), 0, 1000);
    cache_keep_text(f->cache, "k", STR_FROM(tape, sizeof tape), 0, 1000);
    assert_null(cache_find_text(f->cache, STR("k"), 0, 1000));
    assert_true(finds(f, "small", "x", 0)); /* nobody went for it */
}

static void who_reads_keeps_it(void **state)
{
    struct fixture *f = *state;
    static char other[10 * 1024];
    cache_keep_text(f->cache, "k", STR("one"), 0, 1000);
    struct cache_entry *entry = cache_find_text(f->cache, STR("k"), 0, 1000);
    cache_keep_text(f->cache, "k", STR("two"), 0, 1000);
    cache_keep_text(f->cache, "other", STR_FROM(other, sizeof other), 0, 1000);
    cache_keep_text(f->cache, "more", STR_FROM(other, sizeof other), 0, 1000);
    assert_false(finds(f, "k", "", 0));
    cache_free(f->cache);
    f->cache = NULL;
    assert_true(has_text(entry, "one"));
    cache_entry_unref(entry);
    cache_entry_unref(NULL);
}

static void requests_are_counted(void **state)
{
    struct fixture *f = *state;
    cache_count(f->cache, true);
    cache_count(f->cache, false);
    cache_count(f->cache, false);
    assert_int_equal(cache_metric(f->metrics, "\nparley_cache_requests_total{result=\"hit\"} "), 1);
    assert_int_equal(cache_metric(f->metrics, "\nparley_cache_requests_total{result=\"miss\"} "),
                     2);
}

static void *work(void *user)
{
    struct fixture *f = user;
    char key[8];
    for (int i = 0; i < 2000; i++) {
        snprintf(key, sizeof key, "k%d", i % 37);
        cache_keep_text(f->cache, key, str_from_cstr(key), 0, 1000);
        snprintf(key, sizeof key, "k%d", i * 7 % 37);
        finds(f, key, key, i % 3 ? 0 : 2000); /* sometimes too late: it goes */
    }
    return NULL;
}

static void all_threads_may(void **state)
{
    pthread_t threads[3];
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, *state), 0);
    for (size_t i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_kept_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(it_lives_for_its_time, setup, teardown),
        cmocka_unit_test_setup_teardown(the_least_used_goes_first, setup, teardown),
        cmocka_unit_test_setup_teardown(what_has_no_room_is_not_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(who_reads_keeps_it, setup, teardown),
        cmocka_unit_test_setup_teardown(requests_are_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(all_threads_may, setup, teardown),
    };
    return cmocka_run_group_tests_name("route/cache", tests, NULL, NULL);
}
