/* Catalog: looking things up in a snapshot, and the plan of a request. Snapshots are built in
 * snapshot.c and held by registry.c. */
#include "route/catalog.h"

#include <stdio.h>

#include "base/map.h"
#include "route/plan.h"
#include "route/strangers.h"

const char *catalog_status_name(enum catalog_status status)
{
    static const char *const names[] = {"unknown", "ok", "error"};
    return names[status];
}

const struct catalog_provider *catalog_find_provider(const struct catalog *catalog, struct str name)
{
    for (size_t i = 0; i < catalog->provider_count; i++)
        if (str_eq(catalog->providers[i].name, name))
            return &catalog->providers[i];
    return NULL;
}

const struct catalog_route *catalog_find_route(const struct catalog *catalog, struct str name)
{
    for (size_t i = 0; i < catalog->route_count; i++)
        if (str_eq(catalog->routes[i].name, name))
            return &catalog->routes[i];
    return NULL;
}

const struct catalog_model *catalog_find_model(const struct catalog *catalog, struct str id)
{
    for (size_t i = 0; i < catalog->model_count; i++)
        if (str_eq(catalog->models[i].id, id))
            return &catalog->models[i];
    return NULL;
}

static enum err not_found(const struct catalog *catalog, struct str model, struct error *error)
{
    struct str_nearest nearest = str_nearest_begin(model, model.len / 2 + 2);
    struct str meant = STR_NONE;
    for (size_t i = 0; i < catalog->route_count; i++)
        str_nearest_try(&nearest, catalog->routes[i].name);
    meant = nearest.found;
    for (size_t i = 0; i < catalog->model_count; i++) {
        size_t before = nearest.distance;
        str_nearest_try(&nearest, catalog->models[i].id);
        str_nearest_try(&nearest, catalog->models[i].name);
        if (nearest.distance < before)
            meant = catalog->models[i].id;
    }
    error_set(error, ERR_MODEL_NOT_FOUND, "model", "there is no model '%.*s'",
              (int)(model.len < 200 ? model.len : 200), model.data ? model.data : "");
    if (meant.data)
        error_remedy(error, "Did you mean '%.*s'?", STR_ARG(meant));
    return ERR_MODEL_NOT_FOUND;
}

/* The provider that "provider/model" names, if it is there and could have more models than it
 * lists. */
static const struct catalog_provider *find_open(const struct catalog *catalog, struct str model)
{
    size_t slash = str_find_char(model, '/');
    if (slash == SIZE_MAX || slash + 1 == model.len)
        return NULL;
    const struct catalog_provider *row = catalog_find_provider(catalog, str_slice(model, 0, slash));
    bool is_built_in = row && row->provider && !row->provider->kind->dialect;
    return is_built_in ? NULL : row;
}

/* ---- What a name means ----------------------------------------------------------------------- */

/* Either a row of the index, or a model that its provider does not list. */
struct found {
    const struct catalog_meaning *meaning;
    const struct catalog_provider *open;
};

static enum err check_found(const struct found *found, struct error *error)
{
    const struct catalog_route *route = found->meaning ? found->meaning->route : NULL;
    if (route && route->target_count == 0)
        return error_set(error, ERR_UNAVAILABLE, "model", "route '%.*s' is not usable: %.*s",
                         STR_ARG(route->name), STR_ARG(route->message));
    if (!found->meaning && !found->open->provider)
        return error_set(error, ERR_UNAVAILABLE, "model", "provider '%.*s' is not usable: %.*s",
                         STR_ARG(found->open->name), STR_ARG(found->open->message));
    return ERR_OK;
}

/* A name may hold slashes itself ("openai/gpt-5.5" of an aggregator): what names a provider here
 * goes before what only looks like it. */
static enum err find(const struct catalog *catalog, struct str model, struct found *ret,
                     struct error *error)
{
    if (model.len == 0 && catalog->default_model.len == 0)
        return error_set(error, ERR_MODEL_NOT_FOUND, "model", "no provider offers any model yet");
    *ret = (struct found){.meaning = catalog->index ? map_get(catalog->index, model) : NULL};
    if (!ret->meaning || ret->meaning->is_bare) {
        ret->open = find_open(catalog, model);
        if (ret->open)
            ret->meaning = NULL;
    }
    return ret->meaning || ret->open ? check_found(ret, error) : not_found(catalog, model, error);
}

static struct str or_default(const struct catalog *catalog, struct str model)
{
    return model.len ? model : catalog->default_model;
}

enum err catalog_check(const struct catalog *catalog, struct str model, struct error *error)
{
    struct found found;
    return find(catalog, or_default(catalog, model), &found, error);
}

/* ---- Plans ----------------------------------------------------------------------------------- */

struct cell *catalog_stranger_cell(const struct catalog *catalog, struct str provider,
                                   struct str model)
{
    char room[300];
    uint32_t hash = 2166136261u; /* FNV-1a: who finds names that meet gains nothing by it */
    for (size_t i = 0; i < model.len; i++)
        hash = (hash ^ (unsigned char)model.data[i]) * 16777619u;
    int len =
        snprintf(room, sizeof room, "%.*s/*%u", STR_ARG(provider), hash % CATALOG_STRANGER_CELLS);
    return catalog->cells ? cells_get(catalog->cells, STR_FROM(room, (size_t)len)) : NULL;
}

static const struct catalog_meaning *meaning_of(const struct catalog *catalog, struct arena *arena,
                                                const struct found *found, struct str model)
{
    const struct catalog_meaning *meaning = found->meaning;
    if (!meaning)
        meaning = strangers_get(catalog->strangers, catalog, found->open, model);
    return meaning ? meaning : strangers_make(arena, catalog, found->open, model);
}

static struct route_plan plan_of(const struct catalog *catalog,
                                 const struct catalog_meaning *meaning)
{
    const struct catalog_route *route = meaning->route;
    if (route)
        return (struct route_plan){.name = route->name,
                                   .policy = &route->policy,
                                   .groups = route->groups,
                                   .group_count = route->group_count,
                                   .target_count = route->target_count,
                                   .live = route->live};
    return (struct route_plan){.name = meaning->target->id,
                               .policy = catalog->policy,
                               .groups = &meaning->alone,
                               .group_count = 1,
                               .target_count = 1};
}

/* The plan of one name; without groups, and with ERR_UNAVAILABLE, when it cannot be used. */
static enum err plan_one(const struct catalog *catalog, struct arena *arena, struct str model,
                         struct route_plan *ret, struct error *error)
{
    struct found found = {0};
    enum err code = find(catalog, model, &found, error);
    if (code == ERR_OK)
        *ret = plan_of(catalog, meaning_of(catalog, arena, &found, model));
    else if (code == ERR_UNAVAILABLE && found.meaning)
        *ret = plan_of(catalog, found.meaning);
    else if (code == ERR_UNAVAILABLE)
        *ret = (struct route_plan){.name = arena_str(arena, model), .policy = catalog->policy};
    return code;
}

static enum err plan_chain(const struct catalog *catalog, struct arena *arena,
                           const struct str *chain, size_t count, struct route_plan *plan,
                           struct error *error)
{
    struct plan whole = {0};
    plan_add_all(&whole, arena, plan->groups, plan->group_count);
    for (size_t i = 0; i < count; i++) {
        struct route_plan next = {0};
        enum err code = plan_one(catalog, arena, chain[i], &next, error);
        if (code != ERR_OK && code != ERR_UNAVAILABLE)
            return code;
        plan_add_all(&whole, arena, next.groups, next.group_count);
    }
    if (whole.is_full)
        return error_set(error, ERR_INVALID, "models", "the models named have more than %d targets",
                         ROUTE_TARGETS_MAX);
    plan->groups = plan_groups(&whole, arena);
    plan->group_count = whole.group_count;
    plan->target_count = whole.target_count;
    return ERR_OK;
}

enum err catalog_plan(const struct catalog *catalog, struct arena *arena, struct str model,
                      const struct str *chain, size_t chain_count, struct route_plan *ret_plan,
                      struct error *error)
{
    struct route_plan plan = {0};
    if (chain_count > CATALOG_CHAIN_MAX)
        return error_set(error, ERR_INVALID, "models",
                         "more than %d models to try one after "
                         "another",
                         CATALOG_CHAIN_MAX);
    enum err code = plan_one(catalog, arena, or_default(catalog, model), &plan, error);
    if (chain_count > 0 && (code == ERR_OK || code == ERR_UNAVAILABLE)) {
        struct error later = {0};
        enum err chain_code = plan_chain(catalog, arena, chain, chain_count, &plan, &later);
        bool is_wrong = chain_code != ERR_OK;
        if (is_wrong && error)
            *error = later;
        code = is_wrong ? chain_code : plan.target_count ? ERR_OK : code;
    }
    if (code == ERR_OK)
        *ret_plan = plan;
    return code;
}
