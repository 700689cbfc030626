/* Pass-through: the model changes, every other byte stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/random.h"
#include "llm/passthrough.h"

/* The members as reading the body finds them; they are to be as looking for them does. */
static struct passthrough_members find(struct arena *arena, struct str body)
{
    struct passthrough_members members;
    const char *copy;
    yyjson_val *root;
    assert_int_equal(json_read_placed(arena, body, &root, &copy, NULL), ERR_OK);
    passthrough_find(arena, body, root, copy, &members);
    return members;
}

static void write_both(struct str body, struct str model, struct buf *out)
{
    struct arena *arena = arena_new(16 * 1024 * 1024);
    const struct passthrough_members members = find(arena, body);
    struct buf again;
    buf_init(&again, out->bytes_max);
    passthrough_with_model(body, NULL, model, out);
    passthrough_with_model(body, &members, model, &again);
    if (!str_eq(buf_str(out), buf_str(&again)))
        fail_msg("%.*s: %.*s", STR_ARG(body), STR_ARG(buf_str(&again)));
    buf_done(&again);
    arena_free(arena);
}

static void expect(const char *body, const char *model, const char *wanted)
{
    struct buf out;
    buf_init(&out, 1024 * 1024);
    write_both(str_from_cstr(body), str_from_cstr(model), &out);
    buf_append_char(&out, '\0');
    assert_string_equal(out.data, wanted);
    buf_done(&out);
}

static void test_the_model_is_replaced(void **state)
{
    (void)state;
    expect("{\"model\":\"a\"}", "b", "{\"model\":\"b\"}");
    expect("{\"model\":\"a\",\"n\":1}", "b", "{\"model\":\"b\",\"n\":1}");
    expect("{\"n\":[1,{\"x\":2}],\"model\":\"a\",\"m\":{}}", "b",
           "{\"n\":[1,{\"x\":2}],\"model\":\"b\",\"m\":{}}");
    expect("{\"n\":1,\"model\":\"a\"}", "b", "{\"n\":1,\"model\":\"b\"}");
    expect(" \n{ \"model\" :\t\"a\" , \"n\" : 1 } ", "b", " \n{ \"model\" :\t\"b\" , \"n\" : 1 } ");
    expect("{\"model\":null }", "b", "{\"model\":\"b\" }");
    expect("{\"model\":{\"model\":\"x\"},\"n\":0}", "b", "{\"model\":\"b\",\"n\":0}");
    expect("{\"model\":[\"}\",\"]\"]}", "b", "{\"model\":\"b\"}");
    expect("{\"model\":12.5e3\n,\"n\":0}", "b", "{\"model\":\"b\"\n,\"n\":0}");
}

static void test_the_model_is_added(void **state)
{
    (void)state;
    expect("{}", "b", "{\"model\":\"b\"}");
    expect("{ }", "b", "{\"model\":\"b\" }");
    expect("{\"n\":1}", "b", "{\"model\":\"b\",\"n\":1}");
    expect("\t{\n\"n\":1}", "b", "\t{\"model\":\"b\",\n\"n\":1}");
}

static void test_the_models_of_a_list(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"{\"requests\":[{\"model\":\"a\",\"x\":[1,{}]} , { "
         "\"content\":{\"model\":1}}\n],\"model\":\"a\"}",
         "{\"requests\":[{\"model\":\"b\",\"x\":[1,{}]} , {\"model\":\"b\", "
         "\"content\":{\"model\":1}}\n],\"model\":\"a\"}"},
        {"{\"requests\":[]}", "{\"requests\":[]}"},
        {"{\"requests\" : [ ] }", "{\"requests\" : [ ] }"},
        {" {\"n\":[{}],\"requests\":[{}]}", " {\"n\":[{}],\"requests\":[{\"model\":\"b\"}]}"},
        {"{\"requests\":{\"model\":\"a\"} , \"n\":1}",
         "{\"requests\":{\"model\":\"b\"} , \"n\":1}"},
        {"{\"requests\":\"a\"}", "{\"requests\":\"a\"}"},
        {"{\"models\":[\"x\"],\"requests\":[{\"fallbacks\":[1]}], \"fallbacks\":[\"y\"]}",
         "{\"requests\":[{\"model\":\"b\"}]}"},
        {"{\"fallbacks\":[\"y\"]}", "{}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf out;
        buf_init(&out, 4096);
        passthrough_with_model_in(str_from_cstr(rows[i][0]), STR("requests"), STR("b"), &out);
        buf_append_char(&out, '\0');
        assert_string_equal(out.data, rows[i][1]);
        buf_done(&out);
    }
}

static void test_nested_and_similar_names_stay(void **state)
{
    (void)state;
    expect("{\"a\":{\"model\":\"x\"},\"model\":\"y\",\"l\":[{\"model\":\"z\"}]}", "b",
           "{\"a\":{\"model\":\"x\"},\"model\":\"b\",\"l\":[{\"model\":\"z\"}]}");
    expect("{\"modelz\":1,\"mode\":2,\"Model\":3,\"\":4,\"model \":5,\"model\":6}", "b",
           "{\"modelz\":1,\"mode\":2,\"Model\":3,\"\":4,\"model \":5,\"model\":\"b\"}");
    expect("{\"x\":\"\\\"model\\\":\\\"no\\\"\",\"model\":\"y\"}", "b",
           "{\"x\":\"\\\"model\\\":\\\"no\\\"\",\"model\":\"b\"}");
    expect("{\"x\":\"\\\\\",\"model\":\"y\\\\\"}", "b", "{\"x\":\"\\\\\",\"model\":\"b\"}");
    expect("{\"\\\"model\":1,\"mod\\\\el\":2,\"\\u006dodels\":3}", "b",
           "{\"model\":\"b\",\"\\\"model\":1,\"mod\\\\el\":2}");
}

static void test_own_members_are_left_out(void **state)
{
    (void)state;
    expect("{\"model\":\"a\",\"models\":[\"x\"]}", "b", "{\"model\":\"b\"}");
    expect("{\"models\":[\"x\"] , \"model\":\"a\"}", "b", "{ \"model\":\"b\"}");
    expect("{\"fallbacks\":[],\"models\":[1,2],\"n\":1}", "b", "{\"model\":\"b\",\"n\":1}");
    expect("{\"n\":1, \"fallbacks\":[],\"model\":\"a\",\"models\":{} }", "b",
           "{\"n\":1,\"model\":\"b\"}");
    expect("{\"models\":[\"x\"]}", "b", "{\"model\":\"b\"}");
    expect("{\"m\":{\"models\":1},\"\\u006dodels\":3,\"x\":0}", "b",
           "{\"model\":\"b\",\"m\":{\"models\":1},\"x\":0}");
}

static void test_nobody_hides_a_second_model(void **state)
{
    (void)state;
    expect("{\"model\":\"a\",\"n\":1,\"model\":\"c\"}", "b",
           "{\"model\":\"b\",\"n\":1,\"model\":\"b\"}");
    expect("{\"mod\\u0065l\":\"a\"}", "b", "{\"mod\\u0065l\":\"b\"}");
    expect("{\"\\u006D\\u006f\\u0064\\u0065\\u006C\":\"a\"}", "b",
           "{\"\\u006D\\u006f\\u0064\\u0065\\u006C\":\"b\"}");
    expect("{\"model\":\"a\",\"\\u006dodel\":\"c\"}", "b",
           "{\"model\":\"b\",\"\\u006dodel\":\"b\"}");
}

static void test_the_name_is_escaped(void **state)
{
    (void)state;
    expect("{\"model\":\"a\"}", "q\"\\\n", "{\"model\":\"q\\\"\\\\\\n\"}");
}

/* ---- Property: any object, the model anywhere, any white space ------------------------------- */

static void put_space(struct random *random, struct buf *out)
{
    static const char spaces[] = " \t\n\r";
    while (random_below(random, 3) == 0)
        buf_append_char(out, spaces[random_below(random, 4)]);
}

static void put_value(struct random *random, struct buf *out, int depth)
{
    static const char *const simple[] = {"1",
                                         "-2.5e+7",
                                         "true",
                                         "null",
                                         "\"\"",
                                         "\"a,b}]\"",
                                         "\"\\\"model\\\":1\"",
                                         "\"\\\\\"",
                                         "\"\\u0022,{\"",
                                         "\"model\"",
                                         "\"\xc3\xa9\""};
    uint64_t kind = random_below(random, depth > 3 ? 1 : 3);
    if (kind == 0) {
        buf_append(out, str_from_cstr(simple[random_below(random, 11)]));
        return;
    }
    uint64_t count = random_below(random, 4);
    buf_append_char(out, kind == 1 ? '[' : '{');
    for (uint64_t i = 0; i < count; i++) {
        put_space(random, out);
        if (kind == 2)
            buf_append(out, i % 2 ? STR("\"k\":") : STR("\"model\" :"));
        put_value(random, out, depth + 1);
        put_space(random, out);
        if (i + 1 < count)
            buf_append_char(out, ',');
    }
    put_space(random, out);
    buf_append_char(out, kind == 1 ? ']' : '}');
}

/* An object whose member `at` is the model; the spans around its value are what must stay. */
static void make_body(struct random *random, struct buf *before, struct buf *value,
                      struct buf *after)
{
    static const char *const keys[] = {"\"a\"", "\"modelz\"", "\"\\\"model\"", "\"\"", "\"x\\\\\""};
    uint64_t count = 1 + random_below(random, 5), at = random_below(random, count);
    put_space(random, before);
    buf_append_char(before, '{');
    for (uint64_t i = 0; i < count; i++) {
        struct buf *out = i <= at ? before : after;
        put_space(random, out);
        buf_append(out, i == at ? STR("\"model\"") : str_from_cstr(keys[i]));
        put_space(random, out);
        buf_append_char(out, ':');
        put_space(random, out);
        put_value(random, i == at ? value : out, 0);
        out = i < at ? before : after;
        put_space(random, out);
        buf_append_char(out, i + 1 < count ? ',' : '}');
    }
    put_space(random, after);
}

static void test_every_other_byte_stays(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        struct random random;
        struct buf parts[3], body, wanted, got;
        struct buf *all[] = {&parts[0], &parts[1], &parts[2], &body, &wanted, &got};
        struct arena *arena = arena_new(1024 * 1024);
        yyjson_val *root;
        for (size_t i = 0; i < 6; i++)
            buf_init(all[i], 1024 * 1024);
        random_init(&random, seed);
        make_body(&random, &parts[0], &parts[1], &parts[2]);
        for (size_t i = 0; i < 3; i++) {
            buf_append(&body, buf_str(&parts[i]));
            buf_append(&wanted, i == 1 ? STR("\"the/model\"") : buf_str(&parts[i]));
        }
        assert_int_equal(json_read(arena, buf_str(&body), &root, NULL), ERR_OK);
        write_both(buf_str(&body), STR("the/model"), &got);
        if (!str_eq(buf_str(&got), buf_str(&wanted)))
            fail_msg("seed %llu: %.*s", (unsigned long long)seed, STR_ARG(buf_str(&body)));
        for (size_t i = 0; i < 6; i++)
            buf_done(all[i]);
        arena_free(arena);
    }
}

/* ---- Cutting members out --------------------------------------------------------------------- */

static void expect_cuts(struct str body, const struct passthrough_members *members,
                        const char *wanted, const char *wanted_flags)
{
    struct passthrough_cut cuts[PASSTHROUGH_CUTS_MAX];
    size_t at = 0, count = passthrough_cuts(body, members, cuts);
    struct buf out, flags;
    buf_init(&out, 1024 * 1024);
    buf_init(&flags, 1024 * 1024);
    assert_true(count <= PASSTHROUGH_CUTS_MAX);
    for (size_t i = 0; i < count; at = cuts[i++].to) {
        buf_append(&out, str_slice(body, at, cuts[i].from - at));
        buf_append(&flags, str_slice(body, cuts[i].start, cuts[i].end - cuts[i].start));
        buf_append_char(&flags, ',');
    }
    buf_append(&out, str_skip(body, at));
    buf_append_char(&out, '\0');
    buf_append_char(&flags, '\0');
    assert_string_equal(out.data, wanted);
    assert_string_equal(flags.data, wanted_flags);
    buf_done(&out);
    buf_done(&flags);
}

static void expect_cut(const char *body, const char *wanted, const char *wanted_flags)
{
    struct arena *arena = arena_new(1024 * 1024);
    const struct passthrough_members members = find(arena, str_from_cstr(body));
    expect_cuts(str_from_cstr(body), NULL, wanted, wanted_flags);
    expect_cuts(str_from_cstr(body), &members, wanted, wanted_flags);
    arena_free(arena);
}

static void test_members_are_cut_out(void **state)
{
    (void)state;
    expect_cut("{\"a\":1}", "{\"a\":1}", "");
    expect_cut("{}", "{}", "");
    expect_cut("{\"stream\":true}", "{}", "\"stream\":true,");
    expect_cut("{\"stream\":true,\"a\":1}", "{\"a\":1}", "\"stream\":true,");
    expect_cut("{\"a\":1,\"stream\":true}", "{\"a\":1}", "\"stream\":true,");
    expect_cut(" { \"a\" : 1 , \"stream\" : true , \"b\" : 2 }\n", " { \"a\" : 1 , \"b\" : 2 }\n",
               " \"stream\" : true ,");
    expect_cut("{\"stream_options\":{\"include_usage\":true},\"a\":[],\"stream\":false}",
               "{\"a\":[]}", "\"stream_options\":{\"include_usage\":true},\"stream\":false,");
}

static void test_only_those_are_cut_out(void **state)
{
    (void)state;
    expect_cut("{\"m\":{\"stream\":true},\"l\":[{\"stream\":1}],\"s\":\"stream\"}",
               "{\"m\":{\"stream\":true},\"l\":[{\"stream\":1}],\"s\":\"stream\"}", "");
    expect_cut("{\"streams\":1,\"strea\":2,\"Stream\":3,\"\\\"stream\":4}",
               "{\"streams\":1,\"strea\":2,\"Stream\":3,\"\\\"stream\":4}", "");
    /* However they are written, and every one of them. */
    expect_cut("{\"\\u0073tream\":true,\"a\":1,\"stre\\u0061m\":false,\"stream\":null}",
               "{\"a\":1}", "\"\\u0073tream\":true,\"stre\\u0061m\":false,\"stream\":null,");
    expect_cut("{\"stream\":\"}\\\",\\\"a\\\":2,\",\"a\":1}", "{\"a\":1}",
               "\"stream\":\"}\\\",\\\"a\\\":2,\",");
}

static void test_too_many_are_counted_only(void **state)
{
    (void)state;
    struct passthrough_cut cuts[PASSTHROUGH_CUTS_MAX];
    struct arena *arena = arena_new(1024 * 1024);
    struct buf body;
    buf_init(&body, 4096);
    buf_append(&body, STR("{\"stream\":1"));
    for (int i = 0; i < 20; i++)
        buf_append(&body, STR(",\"stream\":2"));
    buf_append_char(&body, '}');
    const struct passthrough_members members = find(arena, buf_str(&body));
    assert_int_equal(members.count, 21);
    assert_int_equal(passthrough_cuts(buf_str(&body), NULL, cuts), PASSTHROUGH_CUTS_MAX + 1);
    assert_int_equal(passthrough_cuts(buf_str(&body), &members, cuts), PASSTHROUGH_CUTS_MAX + 1);
    buf_done(&body);
    arena_free(arena);
}

static void test_what_is_no_object_has_none(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1024 * 1024);
    assert_int_equal(find(arena, STR("[\"model\",\"stream\"]")).count, 0);
    assert_int_equal(find(arena, STR("\"model\"")).count, 0);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_model_is_replaced),
        cmocka_unit_test(test_the_model_is_added),
        cmocka_unit_test(test_the_models_of_a_list),
        cmocka_unit_test(test_nested_and_similar_names_stay),
        cmocka_unit_test(test_own_members_are_left_out),
        cmocka_unit_test(test_nobody_hides_a_second_model),
        cmocka_unit_test(test_the_name_is_escaped),
        cmocka_unit_test(test_every_other_byte_stays),
        cmocka_unit_test(test_members_are_cut_out),
        cmocka_unit_test(test_only_those_are_cut_out),
        cmocka_unit_test(test_too_many_are_counted_only),
        cmocka_unit_test(test_what_is_no_object_has_none),
    };
    return cmocka_run_group_tests_name("llm/passthrough", tests, NULL, NULL);
}
