/* Registry: holds the newest catalog and has the next one made (snapshot.c), from the configuration
 * and from what the providers answer when asked for their models.
 *
 * A snapshot is built whole, then swapped in under a lock; whoever still reads the old one holds a
 * reference. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "route/catalog.h"
#include "route/snapshot.h"

enum { PROVIDERS_MAX = 256, ROUTES_MAX = 256, PRICES_MAX = 1024 };

struct refresh;

/* What a provider said when asked for its models. */
struct answer {
    enum err code;
    const struct llm_error *error; /* when code is not ERR_OK */
    const struct llm_model_info *models;
    size_t count;
};

/* One provider being asked. */
struct question {
    struct refresh *refresh;
    struct provider *provider;
    struct llm_listing *listing;
};

struct refresh {
    struct list link;
    struct registry *registry;
    struct arena *arena;
    struct question *questions;
    size_t count;
    size_t open;
    struct loop *loop;
    struct loop_task empty;
    void (*done)(void *user);
    void *user;
};

struct registry {
    pthread_mutex_t lock; /* of who changes current, or takes a reference by it */
    _Atomic(struct snapshot *) current;
    pthread_mutex_t changing; /* held while one snapshot is made from another: before `lock` */
    /* From the configuration, but for its entries; guarded by `changing`. */
    struct registry_configuration wished;
    struct arena *wished_arena;
    struct route_policy wished_policy;
    uint64_t version;      /* of what is wished */
    struct list refreshes; /* on one loop only */
    struct cells *cells;
    struct log *log;
};

void catalog_unref(const struct catalog *catalog)
{
    if (catalog)
        snapshot_unref((struct snapshot *)(uintptr_t)catalog);
}

static const struct catalog *ref(struct snapshot *snapshot)
{
    atomic_fetch_add(&snapshot->references, 1);
    return &snapshot->catalog;
}

const struct catalog *registry_acquire(struct registry *registry)
{
    pthread_mutex_lock(&registry->lock);
    const struct catalog *catalog = ref(registry->current);
    pthread_mutex_unlock(&registry->lock);
    return catalog;
}

/* What is held cannot be freed, so that the same address is the same snapshot. */
const struct catalog *registry_follow(struct registry *registry, const struct catalog **held)
{
    struct snapshot *newest = atomic_load_explicit(&registry->current, memory_order_acquire);
    if (*held != &newest->catalog) {
        catalog_unref(*held);
        *held = registry_acquire(registry);
    }
    return ref((struct snapshot *)(uintptr_t)*held);
}

static void publish(struct registry *registry, struct snapshot_building *b)
{
    struct snapshot *snapshot = snapshot_finish(b, &registry->wished);
    snapshot->catalog.version = registry->version;
    pthread_mutex_lock(&registry->lock);
    struct snapshot *before = registry->current;
    registry->current = snapshot;
    pthread_mutex_unlock(&registry->lock);
    if (before)
        snapshot_unref(before);
}

struct registry *registry_new(struct log *log, struct cells *cells)
{
    struct registry *registry = calloc(1, sizeof *registry);
    ASSERT(registry);
    pthread_mutex_init(&registry->lock, NULL);
    pthread_mutex_init(&registry->changing, NULL);
    list_init(&registry->refreshes);
    registry->log = log;
    registry->cells = cells;
    struct snapshot_building empty = snapshot_begin(cells);
    publish(registry, &empty);
    return registry;
}

void registry_free(struct registry *registry)
{
    if (!registry)
        return;
    registry_cancel(registry);
    snapshot_unref(registry->current);
    arena_free(registry->wished_arena);
    pthread_mutex_destroy(&registry->changing);
    pthread_mutex_destroy(&registry->lock);
    free(registry);
}

/* Copies what `old` knows of the provider with this name and address. */
static void keep_models(struct snapshot_building *b, const struct catalog *old,
                        struct catalog_provider *row)
{
    for (size_t i = 0; i < old->provider_count; i++) {
        const struct catalog_provider *before = &old->providers[i];
        if (!before->provider || !str_eq(before->name, row->name) ||
            !str_eq(before->provider->base_url, row->provider->base_url))
            continue;
        row->status = before->status;
        row->message = arena_str(b->snapshot->arena, before->message);
        for (size_t m = 0; m < old->model_count; m++) {
            const struct catalog_model *model = &old->models[m];
            if (model->provider == before->provider)
                snapshot_add_model(b, row->provider, model->name, model->display_name,
                                   model->context_tokens);
        }
    }
}

static void add_entry(struct snapshot_building *b, const struct catalog *old,
                      const struct registry_entry *entry)
{
    struct catalog_provider *row =
        snapshot_add_provider(b, &(struct catalog_provider){.provider = entry->provider,
                                                            .name = entry->name,
                                                            .source = entry->source,
                                                            .optional = entry->optional,
                                                            .limits = entry->limits});
    if (!row->provider) {
        row->status = CATALOG_ERROR;
        row->message = arena_str(b->snapshot->arena, entry->error);
    } else if (!row->provider->kind->dialect) { /* answers inside: no need to ask it */
        row->status = CATALOG_OK;
        snapshot_add_model(b, row->provider, str_from_cstr(REGISTRY_BUILT_IN),
                           STR("Eliza (built in)"), 0);
    } else {
        keep_models(b, old, row);
    }
}

/* ---- The configuration ----------------------------------------------------------------------- */

static struct str *copy_names(struct arena *arena, const struct str *names, size_t count)
{
    struct str *copy = ARENA_NEW_ARRAY(arena, count, struct str);
    for (size_t i = 0; i < count; i++)
        copy[i] = arena_str(arena, names[i]);
    return copy;
}

static const uint32_t *copy_numbers(struct arena *arena, const uint32_t *numbers, size_t count)
{
    uint32_t *copy = ARENA_NEW_ARRAY(arena, count, uint32_t);
    for (size_t i = 0; i < count; i++)
        copy[i] = numbers[i];
    return copy;
}

static struct registry_route *copy_routes(struct arena *arena,
                                          const struct registry_configuration *from, size_t count)
{
    struct registry_route *routes = ARENA_NEW_ARRAY(arena, count, struct registry_route);
    for (size_t i = 0; i < count; i++) {
        const struct registry_route *route = &from->routes[i];
        struct error error = {0};
        routes[i] = *route;
        routes[i].name = arena_str(arena, route->name);
        routes[i].error = arena_str(arena, route->error);
        routes[i].targets = copy_names(arena, route->targets, route->target_count);
        routes[i].weights = copy_numbers(arena, route->weights, route->weight_count);
        routes[i].ranks = copy_numbers(arena, route->ranks, route->rank_count);
        routes[i].fallbacks = copy_names(arena, route->fallbacks, route->fallback_count);
        if (!route->error.len && registry_check_route(from, i, &error) != ERR_OK)
            routes[i].error = arena_printf(arena, "%s: %s", error.field, error_message(&error));
    }
    return routes;
}

static struct registry_price *copy_prices(struct arena *arena,
                                          const struct registry_configuration *from, size_t count)
{
    struct registry_price *prices = ARENA_NEW_ARRAY(arena, count, struct registry_price);
    for (size_t i = 0; i < count; i++)
        prices[i] =
            (struct registry_price){arena_str(arena, from->prices[i].model), from->prices[i].price};
    return prices;
}

static size_t at_most(size_t count, size_t maximum)
{
    return count < maximum ? count : maximum;
}

/* What later snapshots are made with, too. */
static void keep_wishes(struct registry *registry, const struct registry_configuration *from)
{
    struct arena *arena = arena_new(SIZE_MAX);
    size_t route_count = at_most(from->route_count, ROUTES_MAX);
    size_t price_count = at_most(from->price_count, PRICES_MAX);
    registry->wished_policy = from->policy ? *from->policy : route_policy_default;
    registry->wished = (struct registry_configuration){
        .routes = copy_routes(arena, from, route_count),
        .route_count = route_count,
        .prices = copy_prices(arena, from, price_count),
        .price_count = price_count,
        .policy = &registry->wished_policy,
        .default_model = arena_str(arena, from->default_model),
    };
    registry->version++;
    arena_free(registry->wished_arena);
    registry->wished_arena = arena;
}

void registry_configure(struct registry *registry,
                        const struct registry_configuration *configuration)
{
    pthread_mutex_lock(&registry->changing);
    const struct catalog *old = registry_acquire(registry);
    struct snapshot_building b = snapshot_begin(registry->cells);
    keep_wishes(registry, configuration);
    for (size_t i = 0; i < at_most(configuration->entry_count, PROVIDERS_MAX); i++)
        add_entry(&b, old, &configuration->entries[i]);
    publish(registry, &b);
    catalog_unref(old);
    pthread_mutex_unlock(&registry->changing);
}

/* ---- Refreshing ------------------------------------------------------------------------------ */

static void refresh_free(struct refresh *refresh)
{
    list_remove(&refresh->link);
    for (size_t i = 0; i < refresh->count; i++) {
        if (refresh->questions[i].listing)
            llm_listing_cancel(refresh->questions[i].listing);
        provider_unref(refresh->questions[i].provider);
    }
    loop_task_cancel(&refresh->empty);
    arena_free(refresh->arena);
}

static void end_refresh(void *user)
{
    struct refresh *refresh = user;
    void (*done)(void *) = refresh->done;
    void *done_user = refresh->user;
    refresh_free(refresh);
    if (done)
        done(done_user);
}

/* What one provider answered: its models, or what is wrong (then its former models stay). One that
 * nobody configured and nobody can reach is no fault: an Ollama that does not run. */
static void take_answer(struct snapshot_building *b, const struct catalog *old,
                        struct catalog_provider *row, const struct answer *answer)
{
    if (answer->code == ERR_OK) {
        row->status = CATALOG_OK;
        row->message = STR("");
        for (size_t i = 0; i < answer->count; i++)
            snapshot_add_model(b, row->provider, answer->models[i].id,
                               answer->models[i].display_name, answer->models[i].context_tokens);
        return;
    }
    keep_models(b, old, row);
    bool is_absent = row->optional && answer->code == ERR_NETWORK;
    row->status = is_absent ? CATALOG_UNKNOWN : CATALOG_ERROR;
    row->message = arena_str(b->snapshot->arena, str_from_cstr(answer->error->message));
}

/* The newest catalog with one provider's answer put in. */
static void publish_answer(struct registry *registry, const struct provider *asked,
                           const struct answer *answer)
{
    pthread_mutex_lock(&registry->changing);
    const struct catalog *old = registry_acquire(registry);
    struct snapshot_building b = snapshot_begin(registry->cells);
    for (size_t i = 0; i < old->provider_count; i++) {
        const struct catalog_provider *before = &old->providers[i];
        struct catalog_provider *row = snapshot_add_provider(&b, before);
        row->status = before->status;
        row->message = arena_str(b.snapshot->arena, before->message);
        if (before->provider && before->provider == asked)
            take_answer(&b, old, row, answer);
        else if (before->provider)
            keep_models(&b, old, row);
    }
    publish(registry, &b);
    catalog_unref(old);
    pthread_mutex_unlock(&registry->changing);
}

static void on_listed(void *user, enum err code, const struct llm_error *error,
                      const struct llm_model_info *models, size_t count)
{
    struct question *question = user;
    struct refresh *refresh = question->refresh;
    question->listing = NULL;
    if (code != ERR_OK && code != ERR_NETWORK)
        log_warning(refresh->registry->log, "provider cannot be listed",
                    LOG_STR("provider", question->provider->name),
                    LOG_CSTR("class", err_info(code)->name), LOG_CSTR("error", error->message));
    publish_answer(refresh->registry, question->provider,
                   &(struct answer){code, error, models, count});
    if (--refresh->open == 0)
        end_refresh(refresh);
}

static void ask(struct refresh *refresh, struct provider *provider, struct http_client *client)
{
    struct question *question = &refresh->questions[refresh->count];
    struct error error = {0};
    *question = (struct question){refresh, provider_ref(provider), NULL};
    refresh->count++;
    enum err code = llm_listing_start(client, refresh->loop, provider, on_listed, question,
                                      &question->listing, &error);
    if (code == ERR_OK) {
        refresh->open++;
        return;
    }
    struct llm_error wrong = {.class = code};
    str_copy(str_from_cstr(error_message(&error)), wrong.message, sizeof wrong.message);
    publish_answer(refresh->registry, provider, &(struct answer){code, &wrong, NULL, 0});
}

void registry_refresh(struct registry *registry, struct loop *loop, struct http_client *client,
                      struct str only, void (*done)(void *user), void *user)
{
    const struct catalog *catalog = registry_acquire(registry);
    struct arena *arena = arena_new(SIZE_MAX);
    struct refresh *refresh = ARENA_NEW(arena, struct refresh);
    *refresh = (struct refresh){
        .registry = registry, .arena = arena, .loop = loop, .done = done, .user = user};
    refresh->questions = ARENA_NEW_ARRAY(arena, catalog->provider_count + 1, struct question);
    list_append(&registry->refreshes, &refresh->link);
    for (size_t i = 0; i < catalog->provider_count; i++) {
        const struct catalog_provider *row = &catalog->providers[i];
        bool wanted = !only.len || str_eq(row->name, only);
        if (row->provider && row->provider->kind->dialect && wanted)
            ask(refresh, row->provider, client);
    }
    catalog_unref(catalog);
    if (refresh->open == 0)
        loop_defer(loop, &refresh->empty, end_refresh, refresh);
}

void registry_cancel(struct registry *registry)
{
    LIST_EACH (&registry->refreshes, link)
        refresh_free(LIST_ENTRY(link, struct refresh, link));
}
