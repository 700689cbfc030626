/* Routes out of the configuration: policy, lists, prices, limits, and complaints with their line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "app/config_load.h"
#include "app/files.h"
#include "app/providers.h"
#include "app/routes.h"
#include "app/settings.h"
#include "base/buf.h"

#define PROVIDERS                                                                                  \
    "providers:\n"                                                                                 \
    "  lab: {kind: openai-compatible, base_url: 'http://h/v1', concurrency: 3,\n"                  \
    "        requests_per_minute: 60, tokens_per_minute: 90000, waiters: 9}\n"                     \
    "  keyless: {kind: openai}\n"

struct fixture {
    struct config *config;
    struct cells *cells;
    struct registry *registry;
    const struct catalog *catalog;
    struct arena *arena;
};

static void load(struct fixture *f, const char *yaml)
{
    struct error error = {0};
    *f = (struct fixture){
        .config = config_new(&settings_schema), .cells = cells_new(), .arena = arena_new(SIZE_MAX)};
    f->registry = registry_new(NULL, f->cells);
    if (config_load_yaml(f->config, str_from_cstr(yaml), "p.yaml", &error) != ERR_OK)
        fail_msg("%s", error.message);
    providers_configure(f->registry, f->config, NULL);
    f->catalog = registry_acquire(f->registry);
}

static void unload(struct fixture *f)
{
    catalog_unref(f->catalog);
    registry_free(f->registry);
    cells_free(f->cells);
    config_free(f->config);
    arena_free(f->arena);
}

static void assert_same_policy(const struct route_policy *a, const struct route_policy *b)
{
    assert_int_equal(a->attempts_max, b->attempts_max);
    assert_int_equal(a->attempts_total_max, b->attempts_total_max);
    assert_int_equal(a->backoff_us, b->backoff_us);
    assert_int_equal(a->backoff_max_us, b->backoff_max_us);
    assert_int_equal(a->queue_wait_us, b->queue_wait_us);
    assert_int_equal(a->total_us, b->total_us);
    assert_int_equal(a->recovery, b->recovery);
    assert_int_equal(a->recoveries_max, b->recoveries_max);
    assert_int_equal(a->hedge, b->hedge);
    assert_int_equal(a->hedge_percent, b->hedge_percent);
    assert_int_equal(a->coalesce, b->coalesce);
    assert_int_equal(a->cost_max_nano, b->cost_max_nano);
    assert_int_equal(a->bench_us, b->bench_us);
    assert_memory_equal(&a->breaker, &b->breaker, sizeof a->breaker);
    assert_memory_equal(&a->timeouts, &b->timeouts, sizeof a->timeouts);
}

/* The defaults stand in the table of keys and in the route floor: they must agree. */
static void the_defaults_are_those_of_the_router(void **state)
{
    (void)state;
    struct fixture f;
    load(&f, "routes: {a: {targets: parley/eliza}}");
    assert_same_policy(f.catalog->policy, &route_policy_default);
    assert_same_policy(&catalog_find_route(f.catalog, STR("a"))->policy, &route_policy_default);
    unload(&f);
}

static void a_policy_in_full(void **state)
{
    (void)state;
    struct fixture f;
    static const char full[] = "  attempts: 1\n"
                               "  attempts_total: 2\n"
                               "  backoff_ms: 3\n"
                               "  backoff_max_ms: 4\n"
                               "  queue_wait_ms: 5\n"
                               "  total_ms: 60\n"
                               "  recovery: splice\n"
                               "  recoveries: 7\n"
                               "  hedge: yes\n"
                               "  hedge_percent: 8\n"
                               "  coalesce: on\n"
                               "  cost_max_usd: 0.25\n"
                               "  bench_ms: 9\n"
                               "  breaker_failures: 10\n"
                               "  breaker_ratio_percent: 11\n"
                               "  breaker_calls_min: 12\n"
                               "  breaker_window_ms: 1300\n"
                               "  breaker_cooldown_ms: 14\n"
                               "  breaker_cooldown_max_ms: 15\n"
                               "  connect_ms: 16\n"
                               "  headers_ms: 17\n"
                               "  first_content_ms: 18\n"
                               "  content_idle_ms: 19\n";
    const struct route_policy wanted = {
        .attempts_max = 1,
        .attempts_total_max = 2,
        .backoff_us = 3000,
        .backoff_max_us = 4000,
        .queue_wait_us = 5000,
        .total_us = 60000,
        .recovery = ROUTE_SPLICE,
        .recoveries_max = 7,
        .hedge = true,
        .hedge_percent = 8,
        .coalesce = true,
        .cost_max_nano = 250000000,
        .bench_us = 9000,
        .breaker = {10, 11, 12, 1300000, 14000, 15000, breaker_policy_default.lease_us},
        .timeouts = {.connect_ms = 16,
                     .headers_ms = 17,
                     .first_content_ms = 18,
                     .content_idle_ms = 19},
    };
    char yaml[2000];
    snprintf(yaml, sizeof yaml,
             "router:\n%sroutes:\n  as-all: {targets: parley/eliza}\n"
             "  own:\n    targets: parley/eliza\n    attempts: 20\n    recovery: error\n"
             "    hedge: false\n    cost_max_usd: '0'\n    connect_ms: 1000\n",
             full);
    load(&f, yaml);
    assert_same_policy(f.catalog->policy, &wanted);
    assert_same_policy(&catalog_find_route(f.catalog, STR("as-all"))->policy, &wanted);
    struct route_policy own = wanted;
    own.attempts_max = 20;
    own.recovery = ROUTE_WHOLE;
    own.hedge = false;
    own.cost_max_nano = 0;
    own.timeouts.connect_ms = 1000;
    assert_same_policy(&catalog_find_route(f.catalog, STR("own"))->policy, &own);
    unload(&f);
}

static const struct route_group *group_of(const struct fixture *f, const char *name)
{
    const struct catalog_route *route = catalog_find_route(f->catalog, str_from_cstr(name));
    assert_non_null(route);
    if (route->status != CATALOG_OK)
        fail_msg("%.*s", STR_ARG(route->message));
    return &route->groups[0];
}

static void assert_numbers(const uint32_t *numbers, const char *wanted)
{
    for (size_t i = 0; wanted[i]; i++)
        assert_int_equal(numbers[i], wanted[i] - '0');
}

static void lists(void **state)
{
    (void)state;
    struct fixture f;
    load(&f, PROVIDERS "chat: {default_model: gpt-5.5}\n"
                       "routes:\n"
                       "  gpt-5.5:\n"
                       "    targets: [lab/gpt-5.5, parley/eliza]\n"
                       "    strategy: weighted\n"
                       "    weights: [3, 0]\n"
                       "    fallbacks: second, lab/last,\n"
                       "  second: {targets: ' lab/a ,, lab/b', strategy: region}\n"
                       "  near:\n"
                       "    targets: [lab/a, lab/b, lab/c, lab/d]\n"
                       "    strategy: region\n"
                       "    regions: [us, eu, eu, asia]\n"
                       "  ordered:\n"
                       "    targets: [lab/a, lab/b, lab/c, lab/d]\n"
                       "    strategy: region\n"
                       "    regions: [us, eu, eu, asia]\n"
                       "    region_order: [eu, us]\n"
                       "  busy: {targets: lab/a, strategy: least_busy, weights: ''}\n");
    const struct route_group *group = group_of(&f, "gpt-5.5");
    assert_int_equal(group->strategy, ROUTE_WEIGHTED);
    assert_int_equal(group->count, 2);
    assert_numbers(group->weights, "30");
    assert_null(group->ranks);
    assert_int_equal(group[1].strategy, ROUTE_REGION);
    assert_true(str_eq(group[1].targets[0]->id, STR("lab/a")));
    assert_true(str_eq(group[2].targets[0]->id, STR("lab/last")));
    assert_int_equal(catalog_find_route(f.catalog, STR("gpt-5.5"))->group_count, 3);
    assert_numbers(group_of(&f, "second")->ranks, "01"); /* as they stand */
    assert_numbers(group_of(&f, "near")->ranks, "0113");
    assert_numbers(group_of(&f, "ordered")->ranks, "1002");
    assert_int_equal(group_of(&f, "busy")->strategy, ROUTE_LEAST_BUSY);
    assert_null(group_of(&f, "busy")->weights);
    assert_true(str_eq(f.catalog->default_model, STR("gpt-5.5")));
    assert_string_equal(catalog_find_route(f.catalog, STR("near"))->source, "file");
    unload(&f);
}

static void every_strategy_and_recovery_by_its_name(void **state)
{
    (void)state;
    struct fixture f;
    for (int i = ROUTE_PRIORITY; i <= ROUTE_BALANCED; i++) {
        char yaml[200];
        snprintf(yaml, sizeof yaml, "routes: {a: {targets: parley/eliza, strategy: %s}}",
                 route_strategy_name((enum route_strategy)i));
        load(&f, yaml);
        assert_int_equal(group_of(&f, "a")->strategy, i);
        unload(&f);
    }
    for (int i = ROUTE_WHOLE; i <= ROUTE_CONTINUE; i++) {
        char yaml[200];
        snprintf(yaml, sizeof yaml, "router: {recovery: %s}",
                 i ? route_mode_name((enum route_mode)i) : "error");
        load(&f, yaml);
        assert_int_equal(f.catalog->policy->recovery, i);
        unload(&f);
    }
}

static void prices_and_limits(void **state)
{
    (void)state;
    struct fixture f;
    struct route_plan plan;
    load(&f, PROVIDERS "prices:\n"
                       "  gpt-5.5: in=2 out=10 cached=0.2 write=2.5\n"
                       "  lab/other.v1: in=1 out=3\n"
                       "  gone: ''\n"
                       "routes: {a: {targets: [lab/gpt-5.5, lab/other.v1, lab/gone]}}\n");
    const struct route_group *group = group_of(&f, "a");
    assert_int_equal(group->targets[0]->price.input, 2 * PRICE_PER_MILLION);
    assert_int_equal(group->targets[0]->price.output, 10 * PRICE_PER_MILLION);
    assert_int_equal(group->targets[0]->price.cache_read, PRICE_PER_MILLION / 5);
    assert_int_equal(group->targets[1]->price.output, 3 * PRICE_PER_MILLION);
    assert_false(group->targets[2]->has_price);
    assert_int_equal(catalog_plan(f.catalog, f.arena, STR("lab/stranger"), NULL, 0, &plan, NULL),
                     ERR_OK);
    const struct target *targets[] = {group->targets[0], plan.groups[0].targets[0]};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(targets[i]->limits.concurrency_max, 3);
        assert_int_equal(targets[i]->limits.requests_per_minute, 60);
        assert_int_equal(targets[i]->limits.tokens_per_minute, 90000);
        assert_int_equal(targets[i]->limits.waiters_max, 9);
    }
    assert_int_equal(catalog_plan(f.catalog, f.arena, STR("eliza"), NULL, 0, &plan, NULL), ERR_OK);
    assert_int_equal(plan.groups[0].targets[0]->limits.waiters_max, 256);
    assert_int_equal(plan.groups[0].targets[0]->limits.concurrency_max, 0);
    unload(&f);
}

static void wrong_routes_say_where(void **state)
{
    (void)state;
    struct fixture f;
    load(&f, PROVIDERS                             /* lines 1 to 4 */
         "routes:\n"                               /* 5 */
         "  good: {targets: lab/a}\n"              /* 6 */
         "  typo:\n"                               /* 7 */
         "    strategy: cost\n"                    /* 8 */
         "    targets: [lba/a]\n"                  /* 9 */
         "  far: {targets: lab/a,\n"               /* 10 */
         "    fallbacks: [godo]}\n"                /* 11 */
         "  empty:\n"                              /* 12 */
         "    strategy: cost\n"                    /* 13 */
         "  heavy: {targets: lab/a,\n"             /* 14 */
         "    weights: heavy}\n"                   /* 15 */
         "  count:\n"                              /* 16 */
         "    targets: [lab/a, lab/b]\n"           /* 17 */
         "    weights:\n"                          /* 18 */
         "      - 1\n"                             /* 19 */
         "  round: {targets: lab/a,\n"             /* 20 */
         "    fallbacks: round}\n"                 /* 21 */
         "  lab/x: {targets: lab/a}\n"             /* 22 */
         "  half: {targets: [keyless/a, lab/a]}\n" /* 23 */
         "  lost: {targets: keyless/a}\n"          /* 24 */
         "  place:\n"                              /* 25 */
         "    targets: lab/a\n"                    /* 26 */
         "    strategy: region\n"                  /* 27 */
         "    regions: [a, b]\n");                 /* 28 */
    static const struct {
        const char *name;
        enum catalog_status status;
        const char *message;
    } rows[] = {
        {"good", CATALOG_OK, ""},
        {"typo", CATALOG_ERROR,
         "p.yaml:9: routes.typo.targets: there is no provider 'lba' for 'lba/a'. "
         "Did you mean 'lab/a'?"},
        {"far", CATALOG_ERROR,
         "p.yaml:11: routes.far.fallbacks: there is no route 'godo'. Did you mean 'good'?"},
        {"empty", CATALOG_ERROR,
         "p.yaml:13: routes.empty.targets: a route needs targets. List them as provider/model."},
        {"heavy", CATALOG_ERROR,
         "p.yaml:15: routes.heavy.weights: a weight is a number from 0 to 1000000, not 'heavy'"},
        {"count", CATALOG_ERROR,
         "p.yaml:19: routes.count.weights: there are 1 weights for 2 targets. "
         "Give one for each target, in their order."},
        {"round", CATALOG_ERROR,
         "p.yaml:21: routes.round.fallbacks: 'round' leads back to this route. "
         "Take one of the fallbacks out of the loop."},
        {"lab/x", CATALOG_ERROR,
         "p.yaml:22: routes.lab/x.targets: the name means a model of provider 'lab'. "
         "Give the route another name, such as 'x'."},
        {"half", CATALOG_OK, "'keyless/a' is left out: its provider is not usable"},
        {"lost", CATALOG_ERROR, "'keyless/a' is left out: its provider is not usable"},
        {"place", CATALOG_ERROR,
         "p.yaml:28: routes.place.regions: there are 2 regions for 1 targets. "
         "Give one for each target, in their order."},
    };
    assert_int_equal(f.catalog->route_count, sizeof rows / sizeof rows[0]);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct catalog_route *route =
            catalog_find_route(f.catalog, str_from_cstr(rows[i].name));
        assert_int_equal(route->status, rows[i].status);
        if (!str_eq(route->message, str_from_cstr(rows[i].message)))
            fail_msg("%.*s", STR_ARG(route->message));
    }
    unload(&f);
}

static void wrong_values_are_no_configuration(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } rows[] = {
        {"router: {atempts: 3}", "p.yaml:1: router.atempts: there is no setting"},
        {"routes: {a: {tagets: x}}", "there is no setting 'routes.a.tagets'"},
        {"routes: {a: {attempts: 0}}", "routes.a.attempts: must be 1 to 20, not 0"},
        {"router:\n  cost_max_usd: 1e3", "p.yaml:2: router.cost_max_usd: must be an amount"},
        {"routes: {a: {cost_max_usd: '-1'}}", "routes.a.cost_max_usd: must be an amount"},
        {"routes: {a: {strategy: fastest}}", "must be one of priority|weighted"},
        {"router: {recovery: whole}", "must be one of error|prefill"},
        {"prices:\n  gpt-5.5: cheap", "p.yaml:2: prices.gpt-5.5: "},
        {"routes: [a]", "there is no setting 'routes'"},
        {"routes: {a: b}", "there is no setting 'routes.a'"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct config *config = config_new(&settings_schema);
        struct error error = {0};
        assert_int_not_equal(
            config_load_yaml(config, str_from_cstr(rows[i].text), "p.yaml", &error), ERR_OK);
        if (!strstr(error.message, rows[i].message))
            fail_msg("%s: %s", rows[i].text, error.message);
        config_free(config);
    }
}

static void amounts_of_money(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t nano; /* -1: none */
    } rows[] = {
        {"0", 0},
        {"1", 1000000000},
        {"0.25", 250000000},
        {"12.000000001", 12000000001},
        {"1000000", 1000000000000000},
        {"1000001", -1},
        {"0.0000000001", -1},
        {"", -1},
        {".5", -1},
        {"1.", -1},
        {"-1", -1},
        {"1.-1", -1},
        {"1.2.3", -1},
        {"1e3", -1},
        {" 1", -1},
        {"99999999999999999999999", -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t amount = -1;
        assert_int_equal(settings_usd(str_from_cstr(rows[i].text), &amount), rows[i].nano >= 0);
        assert_int_equal(amount, rows[i].nano);
    }
    assert_int_equal(settings_check_usd(STR(""), NULL), ERR_OK);
    assert_int_equal(settings_check_usd(STR("x"), NULL), ERR_INVALID);
}

/* docs/operating.md has a row for each key of a route, with its default. */
static void every_key_is_documented(void **state)
{
    (void)state;
    struct buf text;
    struct error error = {0};
    buf_init(&text, 1024 * 1024);
    if (file_read(SOURCE_ROOT "/docs/operating.md", &text, &error) != ERR_OK)
        fail_msg("%s", error.message);
    for (size_t i = 0; i < settings_schema.key_count; i++) {
        const struct config_key *key = &settings_schema.keys[i];
        struct str name = str_from_cstr(key->name);
        char row[600];
        if (str_starts_with(name, STR("router.")))
            snprintf(row, sizeof row, "\n| `%s` | %s | %s |\n", strchr(key->name, '.') + 1,
                     key->default_text ? key->default_text : "", key->description);
        else if (str_starts_with(name, STR("routes.*.")) && key->description[0] != 'I')
            snprintf(row, sizeof row, "\n| `%s` | %s | %s |\n", key->name + strlen("routes.*."),
                     key->default_text ? key->default_text : "", key->description);
        else
            continue;
        if (str_find(buf_str(&text), str_from_cstr(row)) == SIZE_MAX)
            fail_msg("docs/operating.md lacks %s", row);
    }
    buf_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_defaults_are_those_of_the_router),
        cmocka_unit_test(a_policy_in_full),
        cmocka_unit_test(lists),
        cmocka_unit_test(every_strategy_and_recovery_by_its_name),
        cmocka_unit_test(prices_and_limits),
        cmocka_unit_test(wrong_routes_say_where),
        cmocka_unit_test(wrong_values_are_no_configuration),
        cmocka_unit_test(amounts_of_money),
        cmocka_unit_test(every_key_is_documented),
    };
    return cmocka_run_group_tests_name("app/routes", tests, NULL, NULL);
}
