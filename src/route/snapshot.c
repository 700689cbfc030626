/* Snapshot: makes a catalog out of providers, what they list, and the configured routes. It is
 * built whole in an arena of its own; the registry publishes it. */
#include "route/snapshot.h"

#include <stdatomic.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/vec.h"
#include "route/plan.h"
#include "route/strangers.h"

struct snapshot_building snapshot_begin(struct cells *cells)
{
    struct arena *arena = arena_new(SIZE_MAX);
    struct snapshot *snapshot = ARENA_NEW(arena, struct snapshot);
    snapshot->arena = arena;
    snapshot->references = 1;
    snapshot->catalog.index = map_new();
    snapshot->catalog.cells = cells;
    snapshot->catalog.strangers = strangers_new(arena);
    return (struct snapshot_building){
        .snapshot = snapshot, .cells = cells, .wall_ms = clock_wall_ms()};
}

void snapshot_unref(struct snapshot *snapshot)
{
    if (atomic_fetch_sub(&snapshot->references, 1) != 1)
        return;
    for (size_t i = 0; i < snapshot->catalog.provider_count; i++)
        provider_unref(snapshot->catalog.providers[i].provider);
    map_free(snapshot->catalog.index);
    strangers_done(snapshot->catalog.strangers);
    arena_free(snapshot->arena);
}

/* ---- Providers and models -------------------------------------------------------------------- */

struct catalog_provider *snapshot_add_provider(struct snapshot_building *b,
                                               const struct catalog_provider *from)
{
    struct arena *arena = b->snapshot->arena;
    struct catalog_provider *row =
        VEC_PUSH(arena, b->providers, b->provider_count, b->provider_capacity);
    row->provider = from->provider ? provider_ref(from->provider) : NULL;
    row->name = arena_str(arena, from->name);
    row->source = from->source;
    row->optional = from->optional;
    row->limits = from->limits;
    row->message = STR("");
    return row;
}

void snapshot_add_model(struct snapshot_building *b, struct provider *provider, struct str name,
                        struct str display_name, int64_t context_tokens)
{
    struct arena *arena = b->snapshot->arena;
    struct catalog_model *row = VEC_PUSH(arena, b->models, b->model_count, b->model_capacity);
    row->id = arena_printf(arena, "%.*s/%.*s", STR_ARG(provider->name), STR_ARG(name));
    row->name = arena_str(arena, name);
    row->display_name = arena_str(arena, display_name);
    row->provider = provider;
    row->context_tokens = context_tokens;
    row->built_in = provider->kind->dialect == NULL;
}

/* ---- Targets --------------------------------------------------------------------------------- */

/* The configured price, by the id before the name. */
static bool find_configured(const struct catalog *catalog, const struct target *target,
                            struct price *ret)
{
    const struct registry_price *by_name = NULL;
    for (size_t i = 0; i < catalog->price_count; i++) {
        const struct registry_price *row = &catalog->prices[i];
        if (str_eq(row->model, target->id)) {
            *ret = row->price;
            return true;
        }
        if (str_eq(row->model, target->model))
            by_name = row;
    }
    if (by_name)
        *ret = by_name->price;
    return by_name != NULL;
}

/* That, else the list's; what it leaves open of batches is the kind's. */
static bool find_price(const struct catalog *catalog, const struct target *target, int64_t wall_ms,
                       struct price *ret)
{
    struct str kind = str_from_cstr(target->provider->kind->name);
    if (!find_configured(catalog, target, ret))
        return price_find(kind, target->model, wall_ms, ret, NULL);
    if (!ret->batch_share)
        ret->batch_share = price_batch_share(kind);
    return true;
}

void snapshot_fill_target(struct arena *arena, const struct catalog *catalog,
                          const struct catalog_provider *row, struct str model,
                          int64_t context_tokens, int64_t wall_ms, struct target *ret_target)
{
    *ret_target = (struct target){
        .id = arena_printf(arena, "%.*s/%.*s", STR_ARG(row->name), STR_ARG(model)),
        .provider = row->provider,
        .model = model,
        .limits = row->limits,
    };
    llm_traits_find(row->provider->kind, model, context_tokens, &ret_target->traits);
    ret_target->has_price = find_price(catalog, ret_target, wall_ms, &ret_target->price);
}

static struct catalog_meaning *add_meaning(struct snapshot_building *b, struct str name)
{
    struct catalog_meaning *meaning = ARENA_NEW(b->snapshot->arena, struct catalog_meaning);
    map_set(b->snapshot->catalog.index, name, meaning);
    return meaning;
}

static void mean_target(struct catalog_meaning *meaning, const struct target *target, bool is_bare)
{
    meaning->target = target;
    meaning->is_bare = is_bare;
    meaning->alone = (struct route_group){.targets = &meaning->target, .count = 1};
}

/* The target of that model, made when it is new, with a cell and a name of its own. */
static const struct target *add_target(struct snapshot_building *b,
                                       const struct catalog_provider *row, struct str model,
                                       int64_t context_tokens)
{
    struct arena *arena = b->snapshot->arena;
    struct target made;
    snapshot_fill_target(arena, &b->snapshot->catalog, row, model, context_tokens, b->wall_ms,
                         &made);
    const struct catalog_meaning *known = map_get(b->snapshot->catalog.index, made.id);
    if (known)
        return known->target;
    struct target *target = ARENA_NEW(arena, struct target);
    *target = made;
    target->cell = cells_get(b->cells, made.id);
    *VEC_PUSH(arena, b->targets, b->target_count, b->target_capacity) = target;
    mean_target(add_meaning(b, made.id), target, false);
    return target;
}

static const struct catalog_provider *row_of(const struct snapshot_building *b,
                                             const struct provider *provider)
{
    size_t i = 0;
    while (i < b->provider_count && b->providers[i].provider != provider)
        i++;
    ASSERT(i < b->provider_count);
    return &b->providers[i];
}

/* Models of one provider stand together: its row is looked for once for each run of them. */
static void add_model_targets(struct snapshot_building *b)
{
    const struct catalog_provider *row = NULL;
    for (size_t i = 0; i < b->model_count; i++) {
        struct catalog_model *model = &b->models[i];
        if (!row || row->provider != model->provider)
            row = row_of(b, model->provider);
        model->target = add_target(b, row, model->name, model->context_tokens);
    }
}

/* Bare names last: what is there already goes before them, and the first model that has one. */
static void add_bare_names(struct snapshot_building *b)
{
    for (size_t i = 0; i < b->model_count; i++)
        if (!map_get(b->snapshot->catalog.index, b->models[i].name))
            mean_target(add_meaning(b, b->models[i].name), b->models[i].target, true);
}

/* ---- Routes ---------------------------------------------------------------------------------- */

static void note_left_out(struct snapshot_building *b, struct catalog_route *route, struct str name,
                          const char *why)
{
    route->message =
        arena_printf(b->snapshot->arena, "%.*s%s'%.*s' is left out: %s", STR_ARG(route->message),
                     route->message.len ? "; " : "", STR_ARG(name), why);
}

/* The target "provider/model" of a checked route; NULL, with a note in the route's message, when
 * its provider cannot be used. */
static const struct target *route_target_of(struct snapshot_building *b, struct str id,
                                            struct catalog_route *route)
{
    struct arena *arena = b->snapshot->arena;
    struct str name = str_slice(id, 0, str_find_char(id, '/'));
    const struct catalog_provider *row = NULL;
    for (size_t i = 0; i < b->provider_count && !row; i++)
        if (str_eq(b->providers[i].name, name))
            row = &b->providers[i];
    if (row && row->provider && name.len + 1 < id.len)
        return add_target(b, row, arena_str(arena, str_skip(id, name.len + 1)), 0);
    note_left_out(b, route, id, "its provider is not usable");
    return NULL;
}

static struct route_group own_group(struct snapshot_building *b, const struct registry_route *from,
                                    struct catalog_route *route)
{
    struct arena *arena = b->snapshot->arena;
    const struct target **targets =
        ARENA_NEW_ARRAY(arena, from->target_count, const struct target *);
    uint32_t *weights =
        from->weight_count ? ARENA_NEW_ARRAY(arena, from->target_count, uint32_t) : NULL;
    uint32_t *ranks =
        from->rank_count ? ARENA_NEW_ARRAY(arena, from->target_count, uint32_t) : NULL;
    size_t count = 0;
    for (size_t i = 0; i < from->target_count; i++) {
        targets[count] = route_target_of(b, from->targets[i], route);
        if (!targets[count])
            continue;
        if (weights)
            weights[count] = from->weights[i];
        if (ranks)
            ranks[count] = from->ranks[i];
        count++;
    }
    return (struct route_group){from->strategy, targets, weights, ranks, count};
}

/* Routes whose fallbacks are being followed. */
struct following {
    struct snapshot_building *b;
    const struct registry_configuration *configuration;
    const struct route_group *own; /* the own group of each route */
    bool *seen;                    /* each route is followed once */
    struct plan plan;
};

static size_t find_route(const struct registry_configuration *configuration, struct str name)
{
    size_t i = 0;
    while (i < configuration->route_count && !str_eq(configuration->routes[i].name, name))
        i++;
    return i;
}

/* The route's own targets, then each of its fallbacks with those that follow it. */
static void follow(struct following *following, size_t index, struct catalog_route *route)
{
    const struct registry_configuration *configuration = following->configuration;
    const struct registry_route *from = &configuration->routes[index];
    struct snapshot_building *b = following->b;
    if (following->seen[index])
        return;
    following->seen[index] = true;
    if (b->routes[index].status == CATALOG_ERROR) {
        note_left_out(b, route, from->name, "it is not usable itself");
        return;
    }
    plan_add(&following->plan, b->snapshot->arena, &following->own[index]);
    for (size_t i = 0; i < from->fallback_count; i++) {
        size_t next = find_route(configuration, from->fallbacks[i]);
        if (next < configuration->route_count) {
            follow(following, next, route);
            continue;
        }
        const struct target **target = ARENA_NEW(b->snapshot->arena, const struct target *);
        *target = route_target_of(b, from->fallbacks[i], route);
        if (*target)
            plan_add(&following->plan, b->snapshot->arena,
                     &(struct route_group){.targets = target, .count = 1});
    }
}

static void plan_route(struct snapshot_building *b,
                       const struct registry_configuration *configuration,
                       const struct route_group *own, size_t index)
{
    struct arena *arena = b->snapshot->arena;
    struct catalog_route *route = &b->routes[index];
    struct following following = {
        .b = b,
        .configuration = configuration,
        .own = own,
        .seen = ARENA_NEW_ARRAY(arena, configuration->route_count, bool),
    };
    follow(&following, index, route);
    route->groups = plan_groups(&following.plan, arena);
    route->group_count = following.plan.group_count;
    route->target_count = following.plan.target_count;
    if (route->target_count == 0)
        route->status = CATALOG_ERROR;
}

/* A row for each configured route. One that is wrong has no own group. */
static void begin_route(struct snapshot_building *b, const struct registry_route *from,
                        struct catalog_route *route, struct route_group *ret_own)
{
    *route = (struct catalog_route){.name = arena_str(b->snapshot->arena, from->name),
                                    .status = from->error.len ? CATALOG_ERROR : CATALOG_OK,
                                    .message = arena_str(b->snapshot->arena, from->error),
                                    .source = from->source,
                                    .policy = from->policy,
                                    .live = cells_route(b->cells, from->name)};
    if (route->status == CATALOG_OK)
        *ret_own = own_group(b, from, route);
}

static void add_routes(struct snapshot_building *b,
                       const struct registry_configuration *configuration)
{
    struct arena *arena = b->snapshot->arena;
    size_t count = configuration->route_count;
    struct route_group *own = ARENA_NEW_ARRAY(arena, count, struct route_group);
    b->routes = ARENA_NEW_ARRAY(arena, count, struct catalog_route);
    for (size_t i = 0; i < count; i++)
        begin_route(b, &configuration->routes[i], &b->routes[i], &own[i]);
    for (size_t i = 0; i < count; i++) {
        struct catalog_route *route = &b->routes[i];
        if (route->status == CATALOG_OK)
            plan_route(b, configuration, own, i);
        if (!map_get(b->snapshot->catalog.index, route->name))
            add_meaning(b, route->name)->route = route;
    }
}

/* ---- The whole ------------------------------------------------------------------------------- */

/* The wished one when it is offered; else the first model of a real provider; else the first route;
 * else the built-in one. */
static struct str choose_default(const struct snapshot_building *b, struct str wished)
{
    const struct catalog_meaning *meaning = map_get(b->snapshot->catalog.index, wished);
    if (meaning && !meaning->is_bare && (meaning->target || meaning->route->target_count))
        return arena_str(b->snapshot->arena, wished);
    for (size_t i = 0; i < b->model_count; i++)
        if (!b->models[i].built_in)
            return b->models[i].id;
    for (size_t i = 0; i < b->snapshot->catalog.route_count; i++)
        if (b->routes[i].target_count)
            return b->routes[i].name;
    return b->model_count ? b->models[0].id : STR("");
}

static void count_models(struct snapshot_building *b)
{
    for (size_t i = 0; i < b->provider_count; i++) {
        b->providers[i].model_count = 0;
        for (size_t m = 0; m < b->model_count; m++)
            b->providers[i].model_count += b->models[m].provider == b->providers[i].provider;
    }
}

static void copy_prices(struct snapshot_building *b,
                        const struct registry_configuration *configuration)
{
    struct arena *arena = b->snapshot->arena;
    size_t count = configuration->price_count;
    struct registry_price *prices = ARENA_NEW_ARRAY(arena, count, struct registry_price);
    for (size_t i = 0; i < count; i++)
        prices[i] = (struct registry_price){arena_str(arena, configuration->prices[i].model),
                                            configuration->prices[i].price};
    b->snapshot->catalog.prices = prices;
    b->snapshot->catalog.price_count = count;
}

static const struct route_policy *copy_policy(struct arena *arena,
                                              const struct route_policy *policy)
{
    struct route_policy *copy = ARENA_NEW(arena, struct route_policy);
    *copy = policy ? *policy : route_policy_default;
    return copy;
}

struct snapshot *snapshot_finish(struct snapshot_building *b,
                                 const struct registry_configuration *configuration)
{
    struct catalog *catalog = &b->snapshot->catalog;
    count_models(b);
    copy_prices(b, configuration);
    catalog->policy = copy_policy(b->snapshot->arena, configuration->policy);
    add_model_targets(b);
    add_routes(b, configuration);
    add_bare_names(b);
    catalog->providers = b->providers;
    catalog->provider_count = b->provider_count;
    catalog->models = b->models;
    catalog->model_count = b->model_count;
    catalog->routes = b->routes;
    catalog->route_count = configuration->route_count;
    catalog->targets = b->targets;
    catalog->target_count = b->target_count;
    catalog->default_model = choose_default(b, configuration->default_model);
    return b->snapshot;
}
