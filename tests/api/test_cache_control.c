/* Cache control: what a request's headers say of kept answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/cache_control.h"

/* Of up to two headers; a name of NULL: none. */
static enum err read_headers(const char *name, const char *value, const char *name2,
                             const char *value2, struct route_cache_ask *ret, struct error *error)
{
    struct arena *arena = arena_new(65536);
    struct http_headers headers = {0};
    if (name)
        http_headers_add(&headers, arena, str_from_cstr(name), str_from_cstr(value));
    if (name2)
        http_headers_add(&headers, arena, str_from_cstr(name2), str_from_cstr(value2));
    enum err code = api_cache_control_read(&headers, ret, error);
    arena_free(arena);
    return code;
}

static struct route_cache_ask read_one(const char *name, const char *value)
{
    struct route_cache_ask ask = {.seconds = 77, .keeps_nothing = true};
    assert_int_equal(read_headers(name, value, NULL, NULL, &ask, NULL), ERR_OK);
    return ask;
}

static void without_headers_the_route_decides(void **state)
{
    (void)state;
    struct route_cache_ask ask = read_one(NULL, NULL);
    assert_false(ask.has_seconds || ask.has_age_max || ask.skips || ask.keeps_nothing ||
                 ask.insists);
    ask = read_one("cache-control", "");
    assert_false(ask.has_seconds || ask.has_age_max || ask.skips || ask.keeps_nothing ||
                 ask.insists);
    ask = read_one("Cache-Control", "no-transform, max-stale=5, min-fresh=1, x=no-store, stores");
    assert_false(ask.has_seconds || ask.has_age_max || ask.skips || ask.keeps_nothing ||
                 ask.insists);
}

static void every_directive_counts(void **state)
{
    (void)state;
    struct route_cache_ask ask;
    assert_true(read_one("cache-control", "no-store").keeps_nothing);
    assert_true(read_one("cache-control", "NO-Cache").skips);
    assert_true(read_one("cache-control", "only-if-cached").insists);
    ask = read_one("cache-control", "no-cache ,only-if-cached,, max-age = 10 ");
    assert_true(ask.skips && ask.insists && ask.has_age_max && !ask.keeps_nothing);
    assert_int_equal(ask.age_max_seconds, 10);
    assert_int_equal(read_headers("cache-control", "max-age=9", "CACHE-CONTROL",
                                  "no-store, max-age=30", &ask, NULL),
                     ERR_OK);
    assert_true(ask.keeps_nothing);
    assert_int_equal(ask.age_max_seconds, 9);
}

static void ages_are_bounded(void **state)
{
    (void)state;
    const char *const none[] = {"max-age=0", "max-age",    "max-age=",
                                "max-age=x", "max-age=-1", "max-age=99999999999999999999999"};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        struct route_cache_ask ask = read_one("cache-control", none[i]);
        assert_true(ask.has_age_max);
        assert_int_equal(ask.age_max_seconds, 0);
    }
    assert_int_equal(read_one("cache-control", "max-age=4294967300").age_max_seconds, 2592000);
}

static void our_own_header_sets_the_time(void **state)
{
    (void)state;
    struct route_cache_ask ask = read_one("X-Parley-Cache", "60");
    assert_true(ask.has_seconds);
    assert_int_equal(ask.seconds, 60);
    assert_int_equal(read_one("x-parley-cache", "TRUE").seconds, 300);
    ask = read_one("x-parley-cache", "false");
    assert_true(ask.has_seconds);
    assert_int_equal(ask.seconds, 0);
    assert_int_equal(read_one("x-parley-cache", "9999999999").seconds, 2592000);
}

static void what_it_is_not_is_refused(void **state)
{
    (void)state;
    const char *const wrong[] = {"", "yes", "-1", "1.5", "10 s", "0x10"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct error error = {0};
        struct route_cache_ask ask = {.seconds = 77};
        assert_int_equal(read_headers("x-parley-cache", wrong[i], NULL, NULL, &ask, &error),
                         ERR_INVALID);
        assert_string_equal(error.field, "x-parley-cache");
        assert_int_equal(ask.seconds, 77); /* untouched */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_headers_the_route_decides),
        cmocka_unit_test(every_directive_counts),
        cmocka_unit_test(ages_are_bounded),
        cmocka_unit_test(our_own_header_sets_the_time),
        cmocka_unit_test(what_it_is_not_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
