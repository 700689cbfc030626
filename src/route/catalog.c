/* Catalog: the snapshot and looking things up in it. The registry that makes snapshots is in
 * registry.c. */
#include "route/catalog.h"

#include <stdio.h>

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

static enum err not_found(const struct catalog *catalog, struct str model, struct error *error)
{
    struct str_nearest nearest = str_nearest_begin(model, model.len / 2 + 2);
    const struct catalog_model *meant = NULL;
    for (size_t i = 0; i < catalog->model_count; i++) {
        size_t before = nearest.distance;
        str_nearest_try(&nearest, catalog->models[i].id);
        str_nearest_try(&nearest, catalog->models[i].name);
        if (nearest.distance < before)
            meant = &catalog->models[i];
    }
    error_set(error, ERR_MODEL_NOT_FOUND, "model", "there is no model '%.*s'",
              (int)(model.len < 200 ? model.len : 200), model.data ? model.data : "");
    if (meant)
        error_remedy(error, "Did you mean '%.*s'?", STR_ARG(meant->id));
    return ERR_MODEL_NOT_FOUND;
}

static const struct catalog_model *find_by_id(const struct catalog *catalog, struct str id)
{
    for (size_t i = 0; i < catalog->model_count; i++)
        if (str_eq(catalog->models[i].id, id))
            return &catalog->models[i];
    return NULL;
}

static const struct catalog_model *find_by_name(const struct catalog *catalog, struct str name)
{
    for (size_t i = 0; i < catalog->model_count; i++)
        if (str_eq(catalog->models[i].name, name))
            return &catalog->models[i];
    return NULL;
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

/* A name may hold slashes itself ("openai/gpt-5.5" of an aggregator): what names a provider here
 * goes before what only looks like it. */
enum err catalog_resolve(const struct catalog *catalog, struct str model,
                         struct catalog_target *ret_target, struct error *error)
{
    if (model.len == 0)
        model = catalog->default_model;
    if (model.len == 0)
        return error_set(error, ERR_MODEL_NOT_FOUND, "model", "no provider offers any model yet");
    const struct catalog_provider *open = find_open(catalog, model);
    const struct catalog_model *known = find_by_id(catalog, model);
    if (!known && !open)
        known = find_by_name(catalog, model);
    if (known) {
        *ret_target = (struct catalog_target){known->provider, known->name};
        return ERR_OK;
    }
    if (!open)
        return not_found(catalog, model, error);
    if (!open->provider)
        return error_set(error, ERR_UNAVAILABLE, "model", "provider '%.*s' is not usable: %.*s",
                         STR_ARG(open->name), STR_ARG(open->message));
    *ret_target = (struct catalog_target){open->provider, str_skip(model, open->name.len + 1)};
    return ERR_OK;
}
