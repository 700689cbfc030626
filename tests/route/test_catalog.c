/* Catalog: what a model's name means, the plans of routes and chains, and what is wrong with a
 * route. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "route/snapshot.h"
#include "route/strangers.h"

enum { PROVIDERS = 4, MANY = 200 };

/* A snapshot as the registry would have it made. */
struct fixture {
    struct provider *aggregator, *openai, *parley;
    struct registry_entry entries[PROVIDERS];
    struct registry_configuration configuration;
    struct cells *cells;
    struct snapshot *snapshot;
    const struct catalog *catalog;
    struct arena *arena;
};

static struct provider *make(const char *name, const char *kind)
{
    struct provider *provider = NULL;
    const struct provider_options options = {.name = str_from_cstr(name),
                                             .kind = str_from_cstr(kind),
                                             .base_url = STR("http://h"),
                                             .api_key = STR("k")};
    assert_int_equal(provider_new(&options, &provider, NULL), ERR_OK);
    return provider;
}

static void fixture_init(struct fixture *f)
{
    *f = (struct fixture){.aggregator = make("aggregator", "openai-compatible"),
                          .openai = make("openai", "openai"),
                          .parley = make("parley", "parley"),
                          .cells = cells_new(),
                          .arena = arena_new(SIZE_MAX)};
    const struct registry_entry entries[PROVIDERS] = {
        {.provider = f->aggregator, .name = STR("aggregator"), .limits = {.concurrency_max = 7}},
        {.provider = f->openai, .name = STR("openai")},
        {.name = STR("broken"), .error = STR("PORT: no key")},
        {.provider = f->parley, .name = STR("parley")},
    };
    memcpy(f->entries, entries, sizeof entries);
    f->configuration = (struct registry_configuration){
        .entries = f->entries, .entry_count = PROVIDERS, .default_model = STR("parley/eliza")};
}

/* Makes the snapshot; may be done again, with another configuration. */
static void build(struct fixture *f, bool has_models)
{
    struct snapshot_building b = snapshot_begin(f->cells);
    for (size_t i = 0; i < f->configuration.entry_count; i++) {
        const struct registry_entry *entry = &f->entries[i];
        snapshot_add_provider(&b, &(struct catalog_provider){.provider = entry->provider,
                                                             .name = entry->name,
                                                             .limits = entry->limits})
            ->message = entry->error;
    }
    const struct {
        struct provider *provider;
        const char *name;
    } models[] = {{f->aggregator, "openai/gpt"},
                  {f->aggregator, "other/far"},
                  {f->aggregator, "gpt"},
                  {f->openai, "gpt"},
                  {f->parley, "eliza"}};
    for (size_t i = 0; has_models && i < sizeof models / sizeof models[0]; i++)
        snapshot_add_model(&b, models[i].provider, str_from_cstr(models[i].name), STR(""),
                           1000 * (int64_t)(i + 1));
    if (f->snapshot)
        snapshot_unref(f->snapshot);
    f->snapshot = snapshot_finish(&b, &f->configuration);
    f->catalog = &f->snapshot->catalog;
}

static void fixture_done(struct fixture *f)
{
    if (f->snapshot)
        snapshot_unref(f->snapshot);
    arena_free(f->arena);
    cells_free(f->cells);
    provider_unref(f->aggregator);
    provider_unref(f->openai);
    provider_unref(f->parley);
}

static struct route_plan plan(struct fixture *f, const char *model)
{
    struct route_plan made = {0};
    struct error error = {0};
    if (catalog_plan(f->catalog, f->arena, str_from_cstr(model), NULL, 0, &made, &error) != ERR_OK)
        fail_msg("%s: %s", model, error.message);
    return made;
}

/* "strategy: a b; strategy: c". */
static void assert_plan(const struct route_plan *made, const char *wanted)
{
    char text[2000] = "";
    size_t at = 0, targets = 0;
    for (size_t g = 0; g < made->group_count; g++) {
        const struct route_group *group = &made->groups[g];
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%s:", g ? "; " : "",
                               route_strategy_name(group->strategy));
        for (size_t i = 0; i < group->count; i++, targets++)
            at += (size_t)snprintf(text + at, sizeof text - at, " %.*s",
                                   STR_ARG(group->targets[i]->id));
    }
    assert_string_equal(text, wanted);
    assert_int_equal(made->target_count, targets);
}

static void test_names(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    build(&f, true);
    const struct {
        const char *asked;
        struct provider *provider;
        const char *model;
        bool listed;
    } rows[] = {
        {"", f.parley, "eliza", true},
        {"eliza", f.parley, "eliza", true},
        {"parley/eliza", f.parley, "eliza", true},
        {"gpt", f.aggregator, "gpt", true},    /* the first that has it */
        {"openai/gpt", f.openai, "gpt", true}, /* an id before a name that looks like one */
        {"openai/gpt-new", f.openai, "gpt-new", false},
        {"openai/ft:a/b", f.openai, "ft:a/b", false},
        {"aggregator/openai/gpt", f.aggregator, "openai/gpt", true},
        {"aggregator/new", f.aggregator, "new", false},
        {"other/far", f.aggregator, "other/far", true}, /* no such provider: a bare name */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t before = arena_used(f.arena);
        struct route_plan made = plan(&f, rows[i].asked);
        assert_int_equal(made.group_count, 1);
        assert_int_equal(made.target_count, 1);
        const struct target *target = made.groups[0].targets[0];
        assert_ptr_equal(target->provider, rows[i].provider);
        assert_true(str_eq(target->model, str_from_cstr(rows[i].model)));
        assert_true(str_eq(made.name, target->id));
        assert_ptr_equal(made.policy, f.catalog->policy);
        assert_int_equal(target->limits.concurrency_max, target->provider == f.aggregator ? 7 : 0);
        assert_null(made.live);
        /* What is known costs nothing, and strangers are kept; they share cells. */
        assert_int_equal(arena_used(f.arena), before);
        struct route_plan again = plan(&f, rows[i].asked);
        assert_ptr_equal(again.groups[0].targets[0], target);
        assert_int_equal(
            target->cell == catalog_stranger_cell(f.catalog, rows[i].provider->name, target->model),
            !rows[i].listed);
        assert_int_equal(catalog_check(f.catalog, str_from_cstr(rows[i].asked), NULL), ERR_OK);
    }
    assert_int_equal(f.catalog->target_count, 5);
    fixture_done(&f);
}

/* As many as there is room for; then, and when its name is long, each request has its own. */
static void test_strangers(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    build(&f, true);
    char name[STRANGER_NAME_BYTES_MAX + 2];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    memcpy(name, "openai/", 7);
    assert_ptr_not_equal(plan(&f, name).groups[0].targets[0], plan(&f, name).groups[0].targets[0]);
    for (int i = 0; i < STRANGERS_MAX + 2; i++) {
        snprintf(name, sizeof name, "openai/x%d", i);
        struct route_plan first = plan(&f, name), second = plan(&f, name);
        assert_int_equal(first.groups[0].targets[0] == second.groups[0].targets[0],
                         i < STRANGERS_MAX);
        assert_true(str_eq(first.name, str_from_cstr(name)));
        assert_true(str_eq(second.name, first.name));
    }
    fixture_done(&f);
}

static void test_refusals(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    build(&f, true);
    static const struct {
        const char *asked;
        enum err code;
        const char *message, *remedy;
    } rows[] = {
        {"elisa", ERR_MODEL_NOT_FOUND, "'elisa'", "'parley/eliza'"},
        {"parley/other", ERR_MODEL_NOT_FOUND, "'parley/other'", "'parley/eliza'"},
        {"parley/", ERR_MODEL_NOT_FOUND, "'parley/'", ""},
        {"openai/", ERR_MODEL_NOT_FOUND, "'openai/'", ""},
        {"/", ERR_MODEL_NOT_FOUND, "'/'", ""},
        {"nothing like any of those at all, really", ERR_MODEL_NOT_FOUND, "nothing", ""},
        {"broken/x", ERR_UNAVAILABLE, "'broken' is not usable: PORT: no key", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct route_plan made = {0};
        struct error error = {0};
        assert_int_equal(
            catalog_plan(f.catalog, f.arena, str_from_cstr(rows[i].asked), NULL, 0, &made, &error),
            rows[i].code);
        assert_int_equal(made.group_count + made.target_count + made.name.len, 0);
        assert_string_equal(error.field, "model");
        assert_non_null(strstr(error.message, rows[i].message));
        assert_non_null(strstr(error.remedy, rows[i].remedy));
        assert_int_equal(catalog_check(f.catalog, str_from_cstr(rows[i].asked), NULL),
                         rows[i].code);
    }
    char huge[5000];
    struct error error = {0};
    memset(huge, 'x', sizeof huge);
    assert_int_equal(catalog_check(f.catalog, STR_FROM(huge, sizeof huge), &error),
                     ERR_MODEL_NOT_FOUND);
    f.configuration.entry_count = 0;
    build(&f, false);
    assert_int_equal(catalog_check(f.catalog, STR(""), &error), ERR_MODEL_NOT_FOUND);
    assert_non_null(strstr(error.message, "no provider offers any model"));
    assert_int_equal(catalog_check(f.catalog, STR("gpt"), &error), ERR_MODEL_NOT_FOUND);
    fixture_done(&f);
}

static void test_finding(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    build(&f, true);
    assert_ptr_equal(catalog_find_provider(f.catalog, STR("broken")), &f.catalog->providers[2]);
    assert_null(catalog_find_provider(f.catalog, STR("brok")));
    assert_ptr_equal(catalog_find_model(f.catalog, STR("openai/gpt")), &f.catalog->models[3]);
    assert_null(catalog_find_model(f.catalog, STR("gpt")));
    assert_null(catalog_find_route(f.catalog, STR("gpt")));
    assert_int_equal(f.catalog->models[3].target->traits.context_tokens, 4000);
    assert_string_equal(catalog_status_name(CATALOG_OK), "ok");
    fixture_done(&f);
}

static void test_prices(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    const struct registry_price prices[] = {{STR("gpt"), {.input = 1}},
                                            {STR("openai/gpt"), {.input = 2}},
                                            {STR("new/er"), {.input = 3}}};
    f.configuration.prices = prices;
    f.configuration.price_count = 3;
    build(&f, true);
    /* The id is asked before the name, wherever they stand. */
    static const struct {
        const char *asked;
        int64_t input;
    } rows[] = {{"aggregator/gpt", 1},
                {"openai/gpt", 2},
                {"aggregator/new/er", 3},
                {"aggregator/openai/gpt", 2}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct target *target = plan(&f, rows[i].asked).groups[0].targets[0];
        assert_true(target->has_price);
        assert_int_equal(target->price.input, rows[i].input);
    }
    const struct target *eliza = plan(&f, "parley/eliza").groups[0].targets[0];
    assert_true(eliza->has_price && eliza->price.input == 0); /* local ones cost nothing */
    assert_false(plan(&f, "aggregator/unheard-of").groups[0].targets[0]->has_price);
    fixture_done(&f);
}

/* ---- Routes ---------------------------------------------------------------------------------- */

#define LIST(...)                                                                                  \
    (const struct str[])                                                                           \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define COUNT(...)     (sizeof(LIST(__VA_ARGS__)) / sizeof(struct str))
#define TARGETS(...)   .targets = LIST(__VA_ARGS__), .target_count = COUNT(__VA_ARGS__)
#define FALLBACKS(...) .fallbacks = LIST(__VA_ARGS__), .fallback_count = COUNT(__VA_ARGS__)

static void set_routes(struct fixture *f, const struct registry_route *routes, size_t count)
{
    f->configuration.routes = routes;
    f->configuration.route_count = count;
}

static void test_routes(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    const uint32_t weights[] = {5, 6, 7}, ranks[] = {1, 0};
    const struct registry_route routes[] = {
        {.name = STR("gpt"), /* before the bare name of two models */
         .policy = {.attempts_max = 9},
         .strategy = ROUTE_WEIGHTED,
         TARGETS(STR("broken/x"), STR("openai/gpt"), STR("openai/unlisted")),
         .weights = weights,
         .weight_count = 3,
         FALLBACKS(STR("other/far"), STR("parley/eliza"), STR("openai/gpt"))},
        {.name = STR("other/far"),
         .strategy = ROUTE_REGION,
         TARGETS(STR("openai/gpt"), STR("aggregator/gpt")),
         .ranks = ranks,
         .rank_count = 2,
         FALLBACKS(STR("last"))},
        {.name = STR("last"), TARGETS(STR("aggregator/new"))},
        {.name = STR("lost"), TARGETS(STR("broken/x"))},
        {.name = STR("saved"), TARGETS(STR("broken/x")), FALLBACKS(STR("lost"), STR("last"))},
        {.name = STR("wrong"), .error = STR("p.yaml:3: no"), TARGETS(STR("openai/gpt"))},
        {.name = STR("beside"), TARGETS(STR("openai/b")), FALLBACKS(STR("wrong"))},
    };
    set_routes(&f, routes, 7);
    build(&f, true);
    size_t before = arena_used(f.arena);
    struct route_plan made = plan(&f, "gpt");
    assert_plan(&made, "weighted: openai/gpt openai/unlisted; region: aggregator/gpt; "
                       "priority: aggregator/new; priority: parley/eliza");
    assert_int_equal(made.policy->attempts_max, 9);
    assert_true(str_eq(made.name, STR("gpt")));
    assert_ptr_equal(made.live, cells_route(f.cells, STR("gpt")));
    assert_int_equal(made.groups[0].weights[0], 6); /* without that of the one left out */
    assert_int_equal(made.groups[0].weights[1], 7);
    assert_int_equal(made.groups[1].ranks[0], 0);
    assert_null(made.groups[1].weights);
    assert_int_equal(arena_used(f.arena), before);
    struct route_plan far = plan(&f, "other/far");
    assert_plan(&far, "region: openai/gpt aggregator/gpt; priority: aggregator/new");
    struct route_plan saved = plan(&f, "saved");
    assert_plan(&saved, "priority: aggregator/new");
    struct route_plan beside = plan(&f, "beside");
    assert_plan(&beside, "priority: openai/b");
    /* An id stays an id; what a route names has a cell of its own, whoever asks for it. */
    assert_ptr_equal(plan(&f, "openai/gpt").groups[0].targets[0], made.groups[0].targets[0]);
    const struct target *unlisted = plan(&f, "openai/unlisted").groups[0].targets[0];
    assert_ptr_equal(unlisted, made.groups[0].targets[1]);
    assert_ptr_equal(unlisted->cell, cells_get(f.cells, STR("openai/unlisted")));
    assert_int_equal(f.catalog->target_count, 8);

    const struct catalog_route *row = catalog_find_route(f.catalog, STR("gpt"));
    assert_int_equal(row->status, CATALOG_OK);
    assert_true(str_find(row->message, STR("'broken/x' is left out")) == 0);
    row = catalog_find_route(f.catalog, STR("lost"));
    assert_int_equal(row->status, CATALOG_ERROR);
    row = catalog_find_route(f.catalog, STR("beside"));
    assert_true(str_find(row->message, STR("'wrong' is left out")) == 0);
    static const char *const unusable[][2] = {{"lost", "'broken/x' is left out"},
                                              {"wrong", "p.yaml:3: no"}};
    for (size_t i = 0; i < 2; i++) {
        struct error error = {0};
        assert_int_equal(catalog_check(f.catalog, str_from_cstr(unusable[i][0]), &error),
                         ERR_UNAVAILABLE);
        assert_non_null(strstr(error.message, unusable[i][1]));
    }
    struct error error = {0};
    assert_int_equal(catalog_check(f.catalog, STR("lats"), &error), ERR_MODEL_NOT_FOUND);
    assert_non_null(strstr(error.remedy, "'last'"));
    fixture_done(&f);
}

static void test_default(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    const struct registry_route routes[] = {
        {.name = STR("lost"), TARGETS(STR("broken/x"))},
        {.name = STR("mine"), TARGETS(STR("openai/unlisted"))},
    };
    set_routes(&f, routes, 2);
    static const struct {
        const char *wished, *chosen;
        bool has_models;
    } rows[] = {
        {"mine", "mine", true},
        {"openai/gpt", "openai/gpt", true},
        {"openai/unlisted", "openai/unlisted", true},
        {"lost", "aggregator/openai/gpt", true},
        {"", "aggregator/openai/gpt", true},
        {"gpt", "aggregator/openai/gpt", true}, /* an id is wanted */
        {"openai/gpt", "mine", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        f.configuration.default_model = str_from_cstr(rows[i].wished);
        build(&f, rows[i].has_models);
        if (!str_eq(f.catalog->default_model, str_from_cstr(rows[i].chosen)))
            fail_msg("%s: %.*s", rows[i].wished, STR_ARG(f.catalog->default_model));
    }
    struct route_plan made = plan(&f, "");
    assert_true(str_eq(made.name, STR("mine")));
    fixture_done(&f);
}

/* ---- Chains ---------------------------------------------------------------------------------- */

static enum err chain(struct fixture *f, const char *model, const struct str *names, size_t count,
                      struct route_plan *ret, struct error *error)
{
    *error = (struct error){0};
    *ret = (struct route_plan){0};
    return catalog_plan(f->catalog, f->arena, str_from_cstr(model), names, count, ret, error);
}
#define CHAIN(f, model, made, error, ...)                                                          \
    chain((f), (model), LIST(__VA_ARGS__), COUNT(__VA_ARGS__), (made), (error))

static void test_chains(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    const uint32_t weights[] = {1, 2};
    const struct registry_route routes[] = {
        {.name = STR("pair"),
         .strategy = ROUTE_WEIGHTED,
         TARGETS(STR("openai/gpt"), STR("aggregator/gpt")),
         .weights = weights,
         .weight_count = 2},
        {.name = STR("lost"), .policy = {.attempts_max = 4}, TARGETS(STR("broken/x"))},
    };
    set_routes(&f, routes, 2);
    build(&f, true);
    struct route_plan made;
    struct error error;
    assert_int_equal(CHAIN(&f, "openai/gpt", &made, &error, STR("pair"), STR("openai/gpt"),
                           STR("openai/x"), STR("eliza"), STR("openai/x")),
                     ERR_OK);
    assert_plan(&made, "priority: openai/gpt; weighted: aggregator/gpt; priority: openai/x; "
                       "priority: parley/eliza");
    assert_int_equal(made.groups[1].weights[0], 2);
    assert_true(str_eq(made.name, STR("openai/gpt")));
    assert_int_equal(CHAIN(&f, "pair", &made, &error, STR("eliza")), ERR_OK);
    assert_plan(&made, "weighted: openai/gpt aggregator/gpt; priority: parley/eliza");
    assert_ptr_equal(made.live, cells_route(f.cells, STR("pair")));

    /* What cannot be used is passed over while something else is there. */
    assert_int_equal(CHAIN(&f, "lost", &made, &error, STR("broken/x"), STR("eliza")), ERR_OK);
    assert_plan(&made, "priority: parley/eliza");
    assert_true(str_eq(made.name, STR("lost")));
    assert_int_equal(made.policy->attempts_max, 4);
    assert_int_equal(CHAIN(&f, "broken/y", &made, &error, STR("eliza")), ERR_OK);
    assert_true(str_eq(made.name, STR("broken/y")));
    assert_int_equal(CHAIN(&f, "broken/y", &made, &error, STR("lost")), ERR_UNAVAILABLE);
    assert_non_null(strstr(error.message, "'broken' is not usable"));

    /* What is not there is an error, wherever it stands. */
    assert_int_equal(CHAIN(&f, "eliza", &made, &error, STR("eliza"), STR("elisa")),
                     ERR_MODEL_NOT_FOUND);
    assert_non_null(strstr(error.message, "'elisa'"));
    assert_int_equal(CHAIN(&f, "broken/y", &made, &error, STR("")), ERR_MODEL_NOT_FOUND);
    assert_int_equal(CHAIN(&f, "elisa", &made, &error, STR("eliza")), ERR_MODEL_NOT_FOUND);
    assert_int_equal(made.group_count, 0);
    fixture_done(&f);
}

static void test_too_much(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    char text[2 * ROUTE_TARGETS_MAX][20];
    struct str names[2 * ROUTE_TARGETS_MAX];
    for (size_t i = 0; i < 2 * ROUTE_TARGETS_MAX; i++) {
        snprintf(text[i], sizeof text[i], "openai/m%zu", i);
        names[i] = str_from_cstr(text[i]);
    }
    const struct registry_route routes[] = {
        {.name = STR("full"), .targets = names, .target_count = ROUTE_TARGETS_MAX}};
    set_routes(&f, routes, 1);
    build(&f, true);
    struct route_plan made;
    struct error error;
    assert_int_equal(chain(&f, "eliza", names, CATALOG_CHAIN_MAX, &made, &error), ERR_OK);
    assert_int_equal(made.target_count, CATALOG_CHAIN_MAX + 1);
    assert_int_equal(chain(&f, "eliza", names, CATALOG_CHAIN_MAX + 1, &made, &error), ERR_INVALID);
    assert_non_null(strstr(error.message, "more than 16"));
    assert_int_equal(chain(&f, "full", names, 8, &made, &error), ERR_OK); /* nothing new */
    assert_int_equal(made.target_count, ROUTE_TARGETS_MAX);
    assert_int_equal(chain(&f, "full", names + ROUTE_TARGETS_MAX, 1, &made, &error), ERR_INVALID);
    assert_non_null(strstr(error.message, "more than 32 targets"));
    fixture_done(&f);
}

/* ---- What is wrong with a route -------------------------------------------------------------- */

static void test_wrong_routes(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    struct str many[ROUTE_TARGETS_MAX + 1];
    char text[ROUTE_TARGETS_MAX + 1][20];
    for (size_t i = 0; i <= ROUTE_TARGETS_MAX; i++) {
        snprintf(text[i], sizeof text[i], "openai/m%zu", i);
        many[i] = str_from_cstr(text[i]);
    }
    static const uint32_t two[2];
#define GOOD TARGETS(STR("openai/a"))
    const struct {
        struct registry_route route;
        const char *field, *message, *remedy; /* no field: nothing is wrong */
    } rows[] = {
        {{.name = STR("fine.v-1_2:x/y"), GOOD}, NULL, NULL, NULL},
        {{.name = STR("with"), GOOD, FALLBACKS(STR("b"), STR("unknown/x"))},
         "routes.with.fallbacks",
         "there is no provider 'unknown' for 'unknown/x'",
         "Set providers.unknown.kind"},
        {{.name = STR("a"), GOOD, FALLBACKS(STR("b"))}, NULL, NULL, NULL},
        {{.name = STR("b"), GOOD, FALLBACKS(STR("parley/eliza"), STR("loop-2"))}, NULL, NULL, NULL},
        {{.name = STR("loop-1"), GOOD, FALLBACKS(STR("fine.v-1_2:x/y"), STR("loop-2"))},
         "routes.loop-1.fallbacks",
         "'loop-2' leads back to this route",
         "out of the loop"},
        {{.name = STR("loop-2"), GOOD, FALLBACKS(STR("loop-1"))},
         "routes.loop-2.fallbacks",
         "'loop-1' leads back",
         "out of the loop"},
        {{.name = STR("self"), GOOD, FALLBACKS(STR("self"))},
         "routes.self.fallbacks",
         "'self' leads back",
         "out of the loop"},
        {{.name = STR("none")}, "routes.none.targets", "needs targets", "provider/model"},
        {{.name = STR("typo"), TARGETS(STR("opneai/gpt"))},
         "routes.typo.targets",
         "there is no provider 'opneai' for 'opneai/gpt'",
         "Did you mean 'openai/gpt'?"},
        {{.name = STR("kind"), TARGETS(STR("groq/x"))},
         "routes.kind.targets",
         "there is no provider 'groq'",
         "Set providers.groq.api_key."},
        {{.name = STR("bare"), TARGETS(STR("gpt"))},
         "routes.bare.targets",
         "'gpt' is not provider/model",
         ""},
        {{.name = STR("slash"), TARGETS(STR("/gpt"))},
         "routes.slash.targets",
         "is not provider/model",
         ""},
        {{.name = STR("end"), TARGETS(STR("openai/"))},
         "routes.end.targets",
         "is not provider/model",
         ""},
        {{.name = STR("route"), TARGETS(STR("bare"))},
         "routes.route.targets",
         "'bare' is not provider/model",
         "those can be fallbacks"},
        {{.name = STR("own"), TARGETS(STR("parley/gpt"))},
         "routes.own.targets",
         "there is no model 'parley/gpt'",
         "'parley/eliza'"},
        {{.name = STR("twice"), TARGETS(STR("openai/a"), STR("openai/a"))},
         "routes.twice.targets",
         "'openai/a' stands there twice",
         ""},
        {{.name = STR("many"), .targets = many, .target_count = ROUTE_TARGETS_MAX + 1},
         "routes.many.targets",
         "has 33 targets, more than 32",
         ""},
        {{.name = STR("all"), .targets = many, .target_count = ROUTE_TARGETS_MAX},
         NULL,
         NULL,
         NULL},
        {{.name = STR("sum"), GOOD, FALLBACKS(STR("all"))},
         "routes.sum.fallbacks",
         "more than 32 targets",
         ""},
        {{.name = STR("same"), TARGETS(STR("openai/m3")), FALLBACKS(STR("all"))}, NULL, NULL, NULL},
        {{.name = STR("weights"), GOOD, .weights = two, .weight_count = 2},
         "routes.weights.weights",
         "there are 2 weights for 1 targets",
         "one for each"},
        {{.name = STR("regions"), GOOD, .ranks = two, .rank_count = 2},
         "routes.regions.regions",
         "there are 2 regions for 1 targets",
         "one for each"},
        {{.name = STR("lost"), GOOD, FALLBACKS(STR("fien"))},
         "routes.lost.fallbacks",
         "there is no route 'fien'",
         "Name a route, or provider/model."},
        {{.name = STR("near"), GOOD, FALLBACKS(STR("twcie"))},
         "routes.near.fallbacks",
         "there is no route 'twcie'",
         "Did you mean 'twice'?"},
        {{.name = STR("openai/fast"), GOOD},
         "routes.openai/fast.targets",
         "means a model of provider 'openai'",
         "such as 'fast'"},
        {{.name = STR("broken/fast"), GOOD},
         "routes.broken/fast.targets",
         "means a model of provider 'broken'",
         ""},
        {{.name = STR("a b"), GOOD}, "routes.a b.targets", "a route's name is", ""},
        {{.name = STR("a,b"), GOOD}, "routes.a,b.targets", "a route's name is", ""},
        {{.name = STR("\"x\""), GOOD}, "routes.\"x\".targets", "a route's name is", ""},
        {{.name = STR(""), GOOD}, "routes..targets", "a route's name is", ""},
    };
    enum { ROWS = sizeof rows / sizeof rows[0] };
    struct registry_route routes[ROWS];
    for (size_t i = 0; i < ROWS; i++)
        routes[i] = rows[i].route;
    set_routes(&f, routes, ROWS);
    for (size_t i = 0; i < ROWS; i++) {
        struct error error = {0};
        enum err code = registry_check_route(&f.configuration, i, &error);
        if (code != (rows[i].field ? ERR_INVALID : ERR_OK))
            fail_msg("%.*s: %s", STR_ARG(routes[i].name), error.message);
        assert_int_equal(registry_check_route(&f.configuration, i, NULL), code);
        if (!rows[i].field)
            continue;
        assert_string_equal(error.field, rows[i].field);
        if (!strstr(error.message, rows[i].message) || !strstr(error.remedy, rows[i].remedy))
            fail_msg("%s: %s %s", rows[i].field, error.message, error.remedy);
    }
    fixture_done(&f);
}

/* Every route falls back on all that follow: the ways are countless, the routes are not. */
static void test_many_ways(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    char text[MANY][20];
    struct str names[MANY];
    struct registry_route routes[MANY];
    const struct str target = STR("openai/a");
    for (size_t i = 0; i < MANY; i++) {
        snprintf(text[i], sizeof text[i], "r%zu", i);
        names[i] = str_from_cstr(text[i]);
        routes[i] = (struct registry_route){.name = names[i],
                                            .targets = &target,
                                            .target_count = 1,
                                            .fallbacks = names + i + 1,
                                            .fallback_count = MANY - 1 - i};
        if (routes[i].fallback_count > ROUTE_TARGETS_MAX)
            routes[i].fallback_count = ROUTE_TARGETS_MAX;
    }
    set_routes(&f, routes, MANY);
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(registry_check_route(&f.configuration, i, NULL), ERR_OK);
    build(&f, true);
    struct route_plan made = plan(&f, "r0");
    assert_plan(&made, "priority: openai/a");
    const struct str back[] = {STR("r0")};
    routes[MANY - 1].fallbacks = back;
    routes[MANY - 1].fallback_count = 1;
    assert_int_equal(registry_check_route(&f.configuration, 0, NULL), ERR_INVALID);
    fixture_done(&f);
}

static void test_the_default_policy(void **state)
{
    (void)state;
    static const char *const strategies[] = {"priority", "weighted", "latency", "least_busy",
                                             "cost",     "region",   "balanced"};
    static const char *const modes[] = {"whole", "prefill", "splice", "continue"};
    for (int i = 0; i < 7; i++)
        assert_string_equal(route_strategy_name((enum route_strategy)i), strategies[i]);
    for (int i = 0; i < 4; i++)
        assert_string_equal(route_mode_name((enum route_mode)i), modes[i]);
    assert_memory_equal(&route_policy_default.breaker, &breaker_policy_default,
                        sizeof breaker_policy_default);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),     cmocka_unit_test(test_strangers),
        cmocka_unit_test(test_refusals),  cmocka_unit_test(test_finding),
        cmocka_unit_test(test_prices),    cmocka_unit_test(test_routes),
        cmocka_unit_test(test_default),   cmocka_unit_test(test_chains),
        cmocka_unit_test(test_too_much),  cmocka_unit_test(test_wrong_routes),
        cmocka_unit_test(test_many_ways), cmocka_unit_test(test_the_default_policy),
    };
    return cmocka_run_group_tests_name("route/catalog", tests, NULL, NULL);
}
