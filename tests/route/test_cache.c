/* Cache: what is found, for how long, and who goes when there is no room. */
#include "helper_cache.h"

#include <pthread.h>
#include <stdio.h>

struct fixture {
    struct metric_registry *metrics;
    struct cache *cache;
    struct cache_client *client;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->metrics = metric_registry_new();
    f->cache = cache_new(16 * 1024, f->metrics);
    f->client = cache_client_new(f->cache);
    *state = f;
    return 0;
}

static int setup_for_stems(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->metrics = metric_registry_new();
    f->cache = cache_new(512 * 1024, f->metrics);
    f->client = cache_client_new(f->cache);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    cache_client_free(f->client);
    cache_client_free(NULL);
    cache_free(f->cache);
    cache_free(NULL);
    metric_registry_free(f->metrics);
    free(f);
    return 0;
}

static bool has_text(const struct cache_answer *answer, const char *text)
{
    struct tape_place place = {.chunk = answer->tape};
    struct buf bytes;
    buf_init(&bytes, 256 * 1024);
    while (tape_next_bytes(&place, &bytes))
        continue;
    bool is_it = str_eq(buf_str(&bytes), str_from_cstr(text));
    buf_done(&bytes);
    return is_it;
}

/* Whether there is an answer, and that it is this one. */
static bool finds(struct fixture *f, const char *key, const char *tape, uint64_t now_ms)
{
    const struct cache_answer *answer =
        cache_find_text(f->cache, str_from_cstr(key), now_ms, UINT64_MAX);
    bool is_there = answer != NULL;
    if (answer) {
        assert_true(has_text(answer, tape));
        assert_true(str_eq(answer->flags, STR("f")));
        assert_true(str_eq(answer->target, STR("fake/m")));
    }
    cache_let_go(answer);
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
    const struct cache_answer *answer = cache_find_text(f->cache, STR("k"), 1300, 300);
    assert_non_null(answer);
    cache_let_go(answer);
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
    static char tape[CACHE_ANSWER_BYTES_MAX + 1];
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
    const struct cache_answer *answer = cache_find_text(f->cache, STR("k"), 0, 1000);
    cache_keep_text(f->cache, "k", STR("two"), 0, 1000);
    cache_keep_text(f->cache, "other", STR_FROM(other, sizeof other), 0, 1000);
    cache_keep_text(f->cache, "more", STR_FROM(other, sizeof other), 0, 1000);
    assert_false(finds(f, "k", "", 0));
    assert_true(has_text(answer, "one"));
    cache_let_go(answer);
    cache_let_go(NULL);
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

/* As a router does: looks, and keeps under the name that it got. */
static void ask_and_keep(struct cache_client *client, struct str key, uint64_t family,
                         struct str text)
{
    struct tape tape;
    /* in parts, as they come */
    const struct str parts[] = {str_slice(key, 0, key.len / 3), str_skip(key, key.len / 3)};
    const struct parts whole = {parts, 2};
    struct arena *arena = arena_new(SIZE_MAX);
    const struct cache_wanted wanted = {.id = {whole, cache_hash(client, whole), family},
                                        .age_max_ms = UINT64_MAX};
    struct cache_name name;
    struct cache_answer answer = {
        .flags = STR("f"), .target = STR("fake/m"), .provider = STR("fake"), .lives_ms = 1000};
    cache_let_go(cache_find(client, &wanted, arena, &name));
    tape_init(&tape, NULL, 1024 * 1024);
    tape_add_bytes(&tape, text);
    answer.tape = tape.first;
    cache_keep(client, &wanted.id, name, &answer);
    tape_done(&tape);
    arena_free(arena);
}

enum { LONG_KEY_BYTES = 2000 };

/* A question behind much that all of them have. */
static char *long_key(char *key, char about, int number)
{
    memset(key, about, LONG_KEY_BYTES - 1);
    key[LONG_KEY_BYTES - 1] = '\0';
    char digits[8];
    memcpy(key + LONG_KEY_BYTES / 2, digits,
           (size_t)snprintf(digits, sizeof digits, "%03d", number));
    return key;
}

static void keys_of_a_family_share_their_stem(void **state)
{
    struct fixture *f = *state;
    char key[LONG_KEY_BYTES];
    int found = 0;
    for (int i = 0; i < 600; i++) /* without stems there is room for 200 */
        ask_and_keep(f->client, str_from_cstr(long_key(key, 'a', i)), 1, STR("a"));
    for (int i = 0; i < 600; i++)
        found += finds(f, long_key(key, 'a', i), "a", 0);
    assert_true(found > 590); /* a few may be too many for their bucket */
    assert_false(finds(f, long_key(key, 'a', 601), "", 0));
    assert_false(finds(f, long_key(key, 'b', 1), "", 0));
    key[LONG_KEY_BYTES - 2] = '\0';
    assert_false(finds(f, key, "", 0));
}

static void another_stem_takes_the_place(void **state)
{
    struct fixture *f = *state;
    char key[LONG_KEY_BYTES];
    ask_and_keep(f->client, str_from_cstr(long_key(key, 'a', 1)), 1, STR("a"));
    ask_and_keep(f->client, str_from_cstr(long_key(key, 'b', 1)), 1, STR("b"));
    ask_and_keep(f->client, str_from_cstr(long_key(key, 'b', 2)), 1, STR("b2"));
    ask_and_keep(f->client, str_from_cstr(long_key(key, 'a', 2)), 1, STR("a2"));
    ask_and_keep(f->client, STR(""), 1, STR("nothing"));
    assert_true(finds(f, long_key(key, 'a', 1), "a", 0));
    assert_true(finds(f, long_key(key, 'a', 2), "a2", 0));
    assert_true(finds(f, long_key(key, 'b', 1), "b", 0));
    assert_true(finds(f, long_key(key, 'b', 2), "b2", 0));
    assert_true(finds(f, "", "nothing", 0));
}

static void stems_come_and_go(void **state)
{
    struct fixture *f = *state;
    char key[LONG_KEY_BYTES];
    for (int i = 0; i < 999; i++) {
        ask_and_keep(f->client, str_from_cstr(long_key(key, (char)('a' + i % 20), i)), (uint64_t)i,
                     STR("x"));
        assert_true(finds(f, long_key(key, (char)('a' + i % 20), i), "x", 0));
        int64_t bytes = cache_metric(f->metrics, "\nparley_cache_bytes{} ");
        assert_true(bytes > 0 && bytes <= 512 * 1024);
    }
}

/* Stems lie behind each of them, and yet another finds room. */
static void families_leave_room_for_large_answers(void **state)
{
    struct fixture *f = *state;
    static char text[200 * 1024];
    char key[LONG_KEY_BYTES];
    for (int i = 0; i < 200; i++) {
        size_t len = (size_t)(100 + i * 37 % 100) * 1024;
        memset(text, 'x', len);
        text[len] = '\0';
        long_key(key, (char)('a' + i % 20), i);
        ask_and_keep(f->client, str_from_cstr(key), (uint64_t)i, str_from_cstr(text));
        assert_true(finds(f, key, text, 0));
    }
}

static void *work(void *user)
{
    struct fixture *f = user;
    char key[8], long_one[LONG_KEY_BYTES];
    struct cache_client *client = cache_client_new(f->cache);
    for (int i = 0; i < 2000; i++) {
        snprintf(key, sizeof key, "k%d", i % 37);
        cache_keep_text(f->cache, key, str_from_cstr(key), 0, 1000);
        snprintf(key, sizeof key, "k%d", i * 7 % 37);
        finds(f, key, key, i % 3 ? 0 : 2000); /* sometimes too late: it goes */
        ask_and_keep(client, str_from_cstr(long_key(long_one, 'a' + (char)(i / 100 % 5), i)),
                     (uint64_t)i % 3, STR("long"));
    }
    cache_client_free(client);
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
        cmocka_unit_test_setup_teardown(keys_of_a_family_share_their_stem, setup_for_stems,
                                        teardown),
        cmocka_unit_test_setup_teardown(another_stem_takes_the_place, setup_for_stems, teardown),
        cmocka_unit_test_setup_teardown(stems_come_and_go, setup_for_stems, teardown),
        cmocka_unit_test_setup_teardown(families_leave_room_for_large_answers, setup_for_stems,
                                        teardown),
        cmocka_unit_test_setup_teardown(all_threads_may, setup, teardown),
        cmocka_unit_test_setup_teardown(all_threads_may, setup_for_stems, teardown),
    };
    return cmocka_run_group_tests_name("route/cache", tests, NULL, NULL);
}
