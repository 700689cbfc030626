/* Cache key: everything counts but how the answer is brought. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "route/cache_key.h"

#define BODY "{\"model\":\"m\",\"messages\":[{\"stream\":true}],\"stream\":true}"

/* One of three; "fast" has two targets. */
static const struct route_plan *plan_named(const char *name)
{
    static const struct target first = {.id = {"openai/m", 8}}, second = {.id = {"two/m", 5}};
    static const struct target *const targets[] = {&first, &second};
    static const struct route_group both = {.targets = targets, .count = 2};
    static const struct route_plan plans[] = {
        {.name = {"fast", 4}, .groups = &both, .group_count = 1, .target_count = 2},
        {.name = {"slow", 4}, .groups = &both, .group_count = 1, .target_count = 2},
        {.name = {"fas", 3}, .groups = &both, .group_count = 1, .target_count = 2}};
    for (size_t i = 0; i < 2; i++)
        if (str_eq(plans[i].name, str_from_cstr(name)))
            return &plans[i];
    return &plans[2];
}

static struct cache_key usual(void)
{
    return (struct cache_key){.tenant = STR("ann"),
                              .door = &dialect_openai_chat,
                              .plan = plan_named("fast"),
                              .model = STR("m"),
                              .routes_version = 3,
                              .body = STR(BODY)};
}

/* The key as text in the arena; STR_NONE: there is none. */
static struct str write_key(struct arena *arena, struct cache_key key, struct str *ret_flags)
{
    struct buf out, flags;
    buf_init(&out, 65536);
    buf_init(&flags, 65536);
    bool is_good = cache_key_write(&key, &out, &flags);
    struct str text = is_good ? arena_str(arena, buf_str(&out)) : STR_NONE;
    if (ret_flags)
        *ret_flags = arena_str(arena, buf_str(&flags));
    buf_done(&out);
    buf_done(&flags);
    return text;
}

static void expect_same(struct cache_key a, struct cache_key b, bool is_same)
{
    struct arena *arena = arena_new(1024 * 1024);
    struct str first = write_key(arena, a, NULL), second = write_key(arena, b, NULL);
    assert_non_null(first.data);
    assert_non_null(second.data);
    assert_int_equal(str_eq(first, second), is_same);
    arena_free(arena);
}

static void the_mode_does_not_count(void **state)
{
    (void)state;
    struct cache_key whole = usual(), asked = usual(), options = usual();
    whole.body = STR("{\"model\":\"m\",\"messages\":[{\"stream\":true}]}");
    asked.body = STR("{\"model\":\"m\",\"messages\":[{\"stream\":true}],\"stream\":false}");
    options.body = STR("{\"model\":\"m\",\"messages\":[{\"stream\":true}],\"stream_options\":{"
                       "\"include_usage\":true},\"stream\":true}");
    expect_same(usual(), whole, true);
    expect_same(usual(), asked, true);
    expect_same(usual(), options, true);
}

static void the_mode_is_told_apart(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1024 * 1024);
    struct str flags;
    write_key(arena, usual(), &flags);
    assert_true(str_eq(flags, STR("\"stream\":true,")));
    arena_free(arena);
}

static void every_part_counts(void **state)
{
    (void)state;
    static const struct str chain[] = {{"n", 1}};
    struct cache_key keys[8];
    for (size_t i = 0; i < 8; i++)
        keys[i] = usual();
    keys[0].tenant = STR("bob");
    keys[1].door = &dialect_ollama;
    keys[2].plan = plan_named("slow");
    keys[3].model = STR("mm");
    keys[4].chain = chain, keys[4].chain_count = 1;
    keys[5].routes_version = 4;
    keys[6].guardrails_version = 1;
    keys[7].strict = true;
    for (size_t i = 0; i < 8; i++)
        for (size_t j = 0; j < i; j++)
            expect_same(keys[i], keys[j], false);
    for (size_t i = 0; i < 8; i++)
        expect_same(usual(), keys[i], false);
    struct cache_key body = usual();
    body.body = STR("{\"model\":\"m\",\"messages\":[{\"stream\":false}],\"stream\":true}");
    expect_same(usual(), body, false);
}

/* Parts are behind their lengths: what one ends with is not what the next begins with. */
static void parts_do_not_run_together(void **state)
{
    (void)state;
    struct cache_key a = usual(), b = usual();
    a.plan = plan_named("fas");
    a.model = STR("tm");
    expect_same(a, b, false);
}

/* What a scope or a budget has taken out of a plan does not come back by the cache. */
static void who_may_be_asked_counts(void **state)
{
    (void)state;
    struct route_plan narrowed = *plan_named("fast");
    struct route_group group = narrowed.groups[0];
    struct cache_key key = usual();
    group.count = 1;
    narrowed.groups = &group;
    narrowed.target_count = 1;
    key.plan = &narrowed;
    expect_same(usual(), key, false);
}

static void the_scope_counts(void **state)
{
    (void)state;
    static const struct str one[] = {{"openai/*", 8}}, two[] = {{"openai/*", 8}, {"fast", 4}};
    const struct policy open = {0}, narrow = {.models = {one, 1}}, wider = {.models = {two, 2}},
                        doors = {.doors = {one, 1}}, addresses = {.addresses = {one, 1}},
                        same = {.models = {one, 1}, .keeps_bodies = true};
    const struct policy *const all[] = {NULL, &open, &narrow, &wider, &doors, &addresses};
    for (size_t i = 0; i < 6; i++) {
        for (size_t j = 0; j < 6; j++) {
            struct cache_key a = usual(), b = usual();
            a.policy = all[i];
            b.policy = all[j];
            expect_same(a, b, i == j);
        }
    }
    struct cache_key a = usual(), b = usual();
    a.policy = &narrow;
    b.policy = &same;
    expect_same(a, b, true);
}

static void forwarded_headers_count(void **state)
{
    (void)state;
    struct arena *arena = arena_new(65536);
    struct http_headers none = {0}, beta = {0}, other = {0};
    http_headers_add(&beta, arena, STR("Anthropic-Beta"), STR("x"));
    http_headers_add(&other, arena, STR("user-agent"), STR("x"));
    struct cache_key plain = usual(), with_beta = usual(), with_other = usual();
    plain.door = with_beta.door = with_other.door = &dialect_anthropic;
    plain.headers = &none;
    with_beta.headers = &beta;
    with_other.headers = &other;
    expect_same(plain, with_other, true);
    expect_same(plain, with_beta, false);
    arena_free(arena);
}

static void a_path_that_decides_leaves_the_body(void **state)
{
    (void)state;
    struct cache_key a = usual(), b = usual();
    a.door = b.door = &dialect_gemini;
    a.body = STR("{\"contents\":[],\"stream\":true}");
    b.body = STR("{\"contents\":[]}");
    expect_same(a, b, false);
}

static void what_cannot_be_cut_has_no_key(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1024 * 1024);
    struct cache_key key = usual();
    key.body = STR("[1]");
    assert_null(write_key(arena, key, NULL).data);
    static char large[70000];
    key.body = STR_FROM(large, sizeof large);
    for (size_t i = 0; i < sizeof large; i++)
        large[i] = ' ';
    large[0] = '{';
    large[sizeof large - 1] = '}';
    assert_null(write_key(arena, key, NULL).data); /* larger than the buffer takes */
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_mode_does_not_count),
        cmocka_unit_test(the_mode_is_told_apart),
        cmocka_unit_test(every_part_counts),
        cmocka_unit_test(parts_do_not_run_together),
        cmocka_unit_test(who_may_be_asked_counts),
        cmocka_unit_test(the_scope_counts),
        cmocka_unit_test(forwarded_headers_count),
        cmocka_unit_test(a_path_that_decides_leaves_the_body),
        cmocka_unit_test(what_cannot_be_cut_has_no_key),
    };
    return cmocka_run_group_tests_name("route/cache_key", tests, NULL, NULL);
}
