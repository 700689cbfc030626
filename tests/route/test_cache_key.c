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

struct asked {
    struct cache_key key;
    struct str body;
};

static struct asked usual(void)
{
    return (struct asked){{.tenant = STR("ann"),
                           .door = &dialect_openai_chat,
                           .plan = plan_named("fast"),
                           .model = STR("m"),
                           .routes_version = 3},
                          STR(BODY)};
}

/* The key as text in the arena; STR_NONE: there is none. */
static struct str write_key(struct arena *arena, struct asked asked, struct str *ret_flags)
{
    struct cache_flags flags;
    struct buf out;
    struct str text = STR_NONE;
    buf_init(&out, 65536);
    if (cache_flags_find(asked.key.door, asked.body, NULL, &flags)) {
        cache_key_write(&asked.key, &out);
        struct str parts[CACHE_BODY_PARTS_MAX];
        size_t count = cache_flags_split(&flags, asked.body, parts);
        for (size_t i = 0; i < count; i++)
            buf_append(&out, parts[i]);
        assert_true(buf_ok(&out));
        text = arena_str(arena, buf_str(&out));
        buf_clear(&out);
        cache_flags_write(&flags, asked.body, &out);
    }
    if (ret_flags)
        *ret_flags = arena_str(arena, buf_str(&out));
    buf_done(&out);
    return text;
}

static void expect_same(struct asked a, struct asked b, bool is_same)
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
    struct asked whole = usual(), asked = usual(), options = usual();
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
    struct asked keys[8];
    for (size_t i = 0; i < 8; i++)
        keys[i] = usual();
    keys[0].key.tenant = STR("bob");
    keys[1].key.door = &dialect_ollama;
    keys[2].key.plan = plan_named("slow");
    keys[3].key.model = STR("mm");
    keys[4].key.chain = chain, keys[4].key.chain_count = 1;
    keys[5].key.routes_version = 4;
    keys[6].key.guardrails_version = 1;
    keys[7].key.strict = true;
    for (size_t i = 0; i < 8; i++)
        for (size_t j = 0; j < i; j++)
            expect_same(keys[i], keys[j], false);
    for (size_t i = 0; i < 8; i++)
        expect_same(usual(), keys[i], false);
    struct asked body = usual();
    body.body = STR("{\"model\":\"m\",\"messages\":[{\"stream\":false}],\"stream\":true}");
    expect_same(usual(), body, false);
}

/* Parts are behind their lengths: what one ends with is not what the next begins with. */
static void parts_do_not_run_together(void **state)
{
    (void)state;
    struct asked a = usual(), b = usual();
    a.key.plan = plan_named("fas");
    a.key.model = STR("tm");
    expect_same(a, b, false);
}

/* What a scope or a budget has taken out of a plan does not come back by the cache. */
static void who_may_be_asked_counts(void **state)
{
    (void)state;
    struct route_plan narrowed = *plan_named("fast");
    struct route_group group = narrowed.groups[0];
    struct asked key = usual();
    group.count = 1;
    narrowed.groups = &group;
    narrowed.target_count = 1;
    key.key.plan = &narrowed;
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
            struct asked a = usual(), b = usual();
            a.key.policy = all[i];
            b.key.policy = all[j];
            expect_same(a, b, i == j);
        }
    }
    struct asked a = usual(), b = usual();
    a.key.policy = &narrow;
    b.key.policy = &same;
    expect_same(a, b, true);
}

static void forwarded_headers_count(void **state)
{
    (void)state;
    struct arena *arena = arena_new(65536);
    struct http_headers none = {0}, beta = {0}, other = {0};
    http_headers_add(&beta, arena, STR("Anthropic-Beta"), STR("x"));
    http_headers_add(&other, arena, STR("user-agent"), STR("x"));
    struct asked plain = usual(), with_beta = usual(), with_other = usual();
    plain.key.door = with_beta.key.door = with_other.key.door = &dialect_anthropic;
    plain.key.headers = &none;
    with_beta.key.headers = &beta;
    with_other.key.headers = &other;
    expect_same(plain, with_other, true);
    expect_same(plain, with_beta, false);
    arena_free(arena);
}

static void a_path_that_decides_leaves_the_body(void **state)
{
    (void)state;
    struct asked a = usual(), b = usual();
    a.key.door = b.key.door = &dialect_gemini;
    a.body = STR("{\"contents\":[],\"stream\":true}");
    b.body = STR("{\"contents\":[]}");
    expect_same(a, b, false);
}

static void too_many_flags_have_no_key(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1024 * 1024);
    struct asked asked = usual();
    struct buf body;
    buf_init(&body, 4096);
    buf_append(&body, STR("{\"stream\":1"));
    for (int i = 0; i < PASSTHROUGH_CUTS_MAX; i++)
        buf_append(&body, STR(",\"stream\":2"));
    buf_append_char(&body, '}');
    asked.body = buf_str(&body);
    assert_null(write_key(arena, asked, NULL).data);
    buf_done(&body);
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
        cmocka_unit_test(too_many_flags_have_no_key),
    };
    return cmocka_run_group_tests_name("route/cache_key", tests, NULL, NULL);
}
