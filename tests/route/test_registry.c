/* Registry: snapshots, what stays over a new configuration, what asking providers changes, and
 * readers on other threads meanwhile. */
#include "../llm/helper_call.h"

#include <pthread.h>
#include <stdatomic.h>

#include "route/catalog.h"

#define MODELS                                                                                     \
    "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"data\":[{\"id\":\"a\"},{\"id\":\"b\"}]}"
#define REFUSED "HTTP/1.1 401 No\r\nContent-Length: 27\r\n\r\n{\"error\":{\"message\":\"bad\"}}"

static struct registry_entry entry_of(struct provider *provider)
{
    return (struct registry_entry){.provider = provider, .name = provider->name, .source = "file"};
}

static void configure(struct registry *registry, struct provider *provider, bool optional,
                      const char *default_model)
{
    struct provider *parley = NULL;
    assert_int_equal(provider_new(&(struct provider_options){.name = STR("parley")}, &parley, NULL),
                     ERR_OK);
    struct registry_entry entries[] = {
        entry_of(provider),
        {.name = STR("broken"), .error = STR("no key"), .source = "environment"},
        entry_of(parley),
    };
    entries[0].optional = optional;
    const struct str targets[] = {STR("fake/a"), STR("fake/z"), STR("broken/x")};
    const struct str unknown[] = {STR("fkae/a")};
    const uint32_t weights[] = {1, 2, 3};
    const struct route_policy policy = {.attempts_max = 8};
    const struct registry_price prices[] = {{STR("a"), {.input = 5}}};
    const struct registry_route routes[] = {
        {.name = STR("mix"),
         .strategy = ROUTE_WEIGHTED,
         .policy = policy,
         .source = "file",
         .targets = targets,
         .target_count = 3,
         .weights = weights,
         .weight_count = 3},
        {.name = STR("typo"), .source = "file", .targets = unknown, .target_count = 1},
    };
    registry_configure(registry, &(struct registry_configuration){
                                     .entries = entries,
                                     .entry_count = 3,
                                     .routes = routes,
                                     .route_count = 2,
                                     .prices = prices,
                                     .price_count = 1,
                                     .policy = &policy,
                                     .default_model = str_from_cstr(default_model),
                                 });
    provider_unref(parley);
}

static void expect_models(struct registry *registry, const char *wanted)
{
    char names[512] = "";
    const struct catalog *catalog = registry_acquire(registry);
    for (size_t i = 0; i < catalog->model_count; i++) {
        size_t at = strlen(names);
        snprintf(names + at, sizeof names - at, "%.*s ", STR_ARG(catalog->models[i].id));
    }
    catalog_unref(catalog);
    assert_string_equal(names, wanted);
}

static void expect_status(struct registry *registry, enum catalog_status status,
                          const char *message)
{
    const struct catalog *catalog = registry_acquire(registry);
    const struct catalog_provider *row = catalog_find_provider(catalog, STR("fake"));
    assert_int_equal(row->status, status);
    if (str_find(row->message, str_from_cstr(message)) == SIZE_MAX)
        fail_msg("%.*s", STR_ARG(row->message));
    catalog_unref(catalog);
}

static size_t model_count(struct registry *registry)
{
    const struct catalog *catalog = registry_acquire(registry);
    size_t models = catalog->model_count;
    catalog_unref(catalog);
    return models;
}

static void count(void *user)
{
    ++*(int *)user;
}

static void answer(struct call_fixture *f, const char *text)
{
    int fd = call_accept(f);
    call_send(f, fd, text);
    close(fd);
}

static void refresh(struct call_fixture *f, struct registry *registry, const char *text)
{
    int done = 0;
    registry_refresh(registry, f->loop, f->client, STR(""), count, &done);
    assert_int_equal(done, 0);
    answer(f, text);
    TURN_UNTIL(f->loop, done);
    assert_int_equal(done, 1);
}

static void test_configuring(void **state)
{
    struct call_fixture *f = *state;
    struct cells *cells = cells_new();
    struct registry *registry = registry_new(NULL, cells);
    const struct catalog *empty = registry_acquire(registry);
    assert_int_equal(empty->provider_count + empty->model_count + empty->default_model.len, 0);
    configure(registry, f->provider, false, "");
    assert_int_equal(empty->provider_count, 0); /* a snapshot does not change */
    catalog_unref(empty);
    const struct catalog *catalog = registry_acquire(registry);
    assert_int_equal(catalog->provider_count, 3);
    assert_int_equal(catalog->providers[0].status, CATALOG_UNKNOWN);
    assert_int_equal(catalog->providers[1].status, CATALOG_ERROR);
    assert_true(str_eq(catalog->providers[1].message, STR("no key")));
    assert_string_equal(catalog->providers[1].source, "environment");
    assert_int_equal(catalog->providers[2].status, CATALOG_OK);
    assert_int_equal(catalog->providers[2].model_count, 1);
    assert_true(str_eq(catalog->default_model, STR("mix"))); /* a route before eliza */
    catalog_unref(catalog);
    catalog_unref(NULL);
    registry_free(registry);
    cells_free(cells);
    registry_free(NULL);
}

static void test_asking(void **state)
{
    struct call_fixture *f = *state;
    struct cells *cells = cells_new();
    struct registry *registry = registry_new(NULL, cells);
    configure(registry, f->provider, false, "fake/b");
    refresh(f, registry, MODELS);
    expect_status(registry, CATALOG_OK, "");
    expect_models(registry, "fake/a fake/b parley/eliza ");
    const struct catalog *catalog = registry_acquire(registry);
    assert_true(str_eq(catalog->default_model, STR("fake/b")));
    assert_int_equal(catalog->providers[0].model_count, 2);
    catalog_unref(catalog);

    refresh(f, registry, REFUSED); /* its former models stay */
    expect_status(registry, CATALOG_ERROR, "bad");
    expect_models(registry, "fake/a fake/b parley/eliza ");

    configure(registry, f->provider, false, ""); /* and over a new configuration */
    expect_models(registry, "fake/a fake/b parley/eliza ");
    catalog = registry_acquire(registry);
    assert_true(str_eq(catalog->default_model, STR("fake/a"))); /* a real one before eliza */
    catalog_unref(catalog);

    struct provider_options moved = {.name = STR("fake"),
                                     .kind = STR("openai-compatible"),
                                     .base_url = STR("http://127.0.0.1:1")};
    struct provider *elsewhere;
    assert_int_equal(provider_new(&moved, &elsewhere, NULL), ERR_OK);
    configure(registry, elsewhere, false, ""); /* another address is another provider */
    expect_status(registry, CATALOG_UNKNOWN, "");
    expect_models(registry, "parley/eliza ");
    provider_unref(elsewhere);
    registry_free(registry);
    cells_free(cells);
}

static struct route_plan plan(struct arena *arena, const struct catalog *catalog, const char *name)
{
    struct route_plan made_plan;
    assert_int_equal(catalog_plan(catalog, arena, str_from_cstr(name), NULL, 0, &made_plan, NULL),
                     ERR_OK);
    return made_plan;
}

/* Routes, prices and policy hold over what providers say; cells hold over everything. */
static void test_routes_stay(void **state)
{
    struct call_fixture *f = *state;
    struct cells *cells = cells_new();
    struct registry *registry = registry_new(NULL, cells);
    struct arena *arena = arena_new(SIZE_MAX);
    configure(registry, f->provider, false, "mix");
    const struct catalog *first = registry_acquire(registry);
    struct route_plan before = plan(arena, first, "mix");
    assert_int_equal(before.groups[0].count, 2);
    assert_true(str_eq(first->default_model, STR("mix")));
    refresh(f, registry, MODELS);
    const struct catalog *second = registry_acquire(registry);
    struct route_plan after = plan(arena, second, "mix");
    assert_ptr_not_equal(before.groups, after.groups);
    assert_int_equal(after.policy->attempts_max, 8);
    assert_int_equal(second->policy->attempts_max, 8);
    assert_int_equal(after.groups[0].weights[1], 2);
    assert_ptr_equal(after.live, before.live);
    for (size_t i = 0; i < 2; i++)
        assert_ptr_equal(after.groups[0].targets[i]->cell, before.groups[0].targets[i]->cell);
    assert_ptr_equal(after.groups[0].targets[0], second->models[0].target);
    assert_int_equal(after.groups[0].targets[0]->price.input, 5);
    assert_ptr_equal(plan(arena, second, "a").groups[0].targets[0], second->models[0].target);
    assert_true(str_eq(second->default_model, STR("mix")));
    const struct catalog_route *typo = catalog_find_route(second, STR("typo"));
    assert_int_equal(typo->status, CATALOG_ERROR);
    assert_true(str_find(typo->message, STR("routes.typo.targets: there is no provider")) == 0);

    registry_configure(registry, &(struct registry_configuration){0});
    const struct catalog *third = registry_acquire(registry);
    assert_int_equal(third->route_count + third->target_count + third->default_model.len, 0);
    assert_int_equal(third->policy->attempts_max, route_policy_default.attempts_max);
    /* Who holds an old one goes on with it. */
    assert_true(str_eq(before.groups[0].targets[0]->id, STR("fake/a")));
    catalog_unref(first);
    catalog_unref(second);
    catalog_unref(third);
    arena_free(arena);
    registry_free(registry);
    cells_free(cells);
}

static void test_absent(void **state)
{
    struct call_fixture *f = *state;
    helper_close_fd(&f->server.fd);
    for (int optional = 0; optional < 2; optional++) {
        struct cells *cells = cells_new();
        struct registry *registry = registry_new(NULL, cells);
        int done = 0;
        configure(registry, f->provider, optional, "");
        registry_refresh(registry, f->loop, f->client, STR(""), count, &done);
        TURN_UNTIL(f->loop, done);
        expect_status(registry, optional ? CATALOG_UNKNOWN : CATALOG_ERROR, "127.0.0.1");
        registry_free(registry);
        cells_free(cells);
    }
}

static void test_asking_one_or_nobody(void **state)
{
    struct call_fixture *f = *state;
    struct cells *cells = cells_new();
    struct registry *registry = registry_new(NULL, cells);
    int done = 0;
    registry_refresh(registry, f->loop, f->client, STR(""), count, &done); /* nobody there */
    assert_int_equal(done, 0);
    TURN_UNTIL(f->loop, done == 1);
    configure(registry, f->provider, false, "");
    registry_refresh(registry, f->loop, f->client, STR("parley"), count, &done);
    registry_refresh(registry, f->loop, f->client, STR("broken"), count, &done);
    registry_refresh(registry, f->loop, f->client, STR("unknown"), count, &done);
    TURN_UNTIL(f->loop, done == 4);
    assert_int_equal(server_try_accept(&f->server), -1);
    registry_refresh(registry, f->loop, f->client, STR("fake"), NULL, NULL);
    answer(f, MODELS);
    TURN_UNTIL(f->loop, model_count(registry) == 3);
    registry_free(registry);
    cells_free(cells);
}

static void test_a_provider_that_comes_meanwhile_is_asked(void **state)
{
    struct call_fixture *f = *state;
    struct cells *cells = cells_new();
    struct registry *registry = registry_new(NULL, cells);
    int done[101] = {0};
    configure(registry, f->provider, false, "");
    registry_refresh(registry, f->loop, f->client, STR(""), count, &done[0]);
    int slow = call_accept(f);
    struct provider *before = provider_ref(f->provider);
    call_provider(f, NULL, (struct provider_options){.models = STR("c")});
    configure(registry, f->provider, false, "");
    registry_refresh(registry, f->loop, f->client, STR(""), count, &done[1]);
    answer(f, MODELS);
    TURN_UNTIL(f->loop, done[1]);
    expect_models(registry, "fake/a fake/b fake/c parley/eliza ");
    call_send(f, slow, REFUSED); /* about a provider that is configured no more */
    close(slow);
    TURN_UNTIL(f->loop, done[0]);
    expect_status(registry, CATALOG_OK, "");
    provider_unref(before);
    for (int i = 2; i < 101; i++) /* any number may wait; cancelled ones are not told */
        registry_refresh(registry, f->loop, f->client, STR(""), count, &done[i]);
    registry_cancel(registry);
    for (int i = 0; i < 5; i++)
        helper_turn(f->loop);
    for (int i = 2; i < 101; i++)
        assert_int_equal(done[i], 0);
    registry_free(registry);
    cells_free(cells);
}

/* ---- Readers on other threads ---------------------------------------------------------------- */

struct readers {
    struct registry *registry;
    _Atomic bool stop;
    _Atomic int reads;
};

static void *read_on(void *user)
{
    struct readers *readers = user;
    const struct catalog *held = NULL;
    while (!atomic_load(&readers->stop)) {
        int round = atomic_load(&readers->reads);
        const struct catalog *catalog = round % 4 ? registry_follow(readers->registry, &held)
                                                  : registry_acquire(readers->registry);
        struct arena *arena = arena_new(100000);
        char stranger[32];
        snprintf(stranger, sizeof stranger, "fake/x%d", round % 7);
        const char *const names[] = {stranger, "mix", "a", ""};
        for (size_t i = 0; i < 4; i++) {
            struct route_plan plan;
            if (catalog_plan(catalog, arena, str_from_cstr(names[i]), NULL, 0, &plan, NULL) ==
                    ERR_OK &&
                !str_eq(plan.groups[0].targets[0]->provider->name,
                        i < 3 ? STR("fake") : plan.groups[0].targets[0]->provider->name))
                abort();
        }
        arena_free(arena);
        for (size_t i = 0; i < catalog->model_count; i++)
            if (!catalog->models[i].provider)
                abort();
        catalog_unref(catalog);
        atomic_fetch_add(&readers->reads, 1);
    }
    catalog_unref(held);
    return NULL;
}

/* Who follows has the newest at its next request, and keeps one from going. */
static void test_following(void **state)
{
    struct call_fixture *f = *state;
    struct cells *cells = cells_new();
    struct registry *registry = registry_new(NULL, cells);
    const struct catalog *held = NULL;
    configure(registry, f->provider, true, "fake/a");
    const struct catalog *first = registry_follow(registry, &held);
    assert_ptr_equal(first, held);
    const struct catalog *again = registry_follow(registry, &held);
    assert_ptr_equal(again, first);
    catalog_unref(again);
    configure(registry, f->provider, true, "");
    assert_ptr_equal(held, first);
    const struct catalog *second = registry_follow(registry, &held);
    assert_ptr_equal(second, held);
    assert_ptr_not_equal(second, first);
    assert_int_equal(first->provider_count, second->provider_count); /* it is there still */
    catalog_unref(first);
    catalog_unref(second);
    registry_free(registry); /* what is held stays */
    assert_int_equal(held->provider_count, 3);
    catalog_unref(held);
    cells_free(cells);
}

static void test_many_readers(void **state)
{
    struct call_fixture *f = *state;
    struct cells *cells = cells_new();
    struct readers readers = {.registry = registry_new(NULL, cells)};
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_on, &readers), 0);
    for (int i = 0; i < 200 || atomic_load(&readers.reads) < 1000; i++)
        configure(readers.registry, f->provider, i % 2, i % 3 ? "fake/a" : "");
    refresh(f, readers.registry, MODELS);
    atomic_store(&readers.stop, true);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    registry_free(readers.registry);
    cells_free(cells);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, call_setup, call_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_configuring),
        TEST(test_asking),
        TEST(test_routes_stay),
        TEST(test_absent),
        TEST(test_asking_one_or_nobody),
        TEST(test_a_provider_that_comes_meanwhile_is_asked),
        TEST(test_following),
        TEST(test_many_readers),
    };
    return cmocka_run_group_tests_name("route/registry", tests, NULL, NULL);
}
