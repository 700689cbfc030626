/* Catalog: the snapshot and looking things up in it. The registry that makes snapshots is in
 * registry.c. */
#include "route/catalog.h"

#include <stdio.h>

const char *catalog_status_name(enum catalog_status status)
{
    static const char *const names[] = {"unknown", "ok", "error"};
    return names[status];
}

static const struct catalog_provider *find_provider(const struct catalog *catalog, struct str name)
{
    for (size_t i = 0; i < catalog->provider_count; i++)
        if (str_eq(catalog->providers[i].name, name))
            return &catalog->providers[i];
    return NULL;
}

static enum err not_found(const struct catalog *catalog, struct str model, struct error *error)
{
    const struct catalog_model *nearest = NULL;
    size_t best = model.len / 2 + 2;
    for (size_t i = 0; i < catalog->model_count; i++) {
        size_t by_id = str_distance(model, catalog->models[i].id);
        size_t by_name = str_distance(model, catalog->models[i].name);
        size_t distance = by_id < by_name ? by_id : by_name;
        if (distance < best) {
            best = distance;
            nearest = &catalog->models[i];
        }
    }
    error_set(error, ERR_MODEL_NOT_FOUND, "model", "there is no model '%.*s'",
              (int)(model.len < 200 ? model.len : 200), model.data ? model.data : "");
    if (nearest)
        error_remedy(error, "Did you mean '%.*s'?", STR_ARG(nearest->id));
    return ERR_MODEL_NOT_FOUND;
}

/* "provider/model" of a provider that is configured. */
static enum err resolve_qualified(const struct catalog_provider *provider, struct str model,
                                  struct catalog_target *ret_target, struct error *error)
{
    if (!provider->provider)
        return error_set(error, ERR_UNAVAILABLE, "model", "provider '%.*s' is not usable: %.*s",
                         STR_ARG(provider->name), STR_ARG(provider->message));
    ret_target->provider = provider->provider;
    ret_target->model = model;
    return ERR_OK;
}

enum err catalog_resolve(const struct catalog *catalog, struct str model,
                         struct catalog_target *ret_target, struct error *error)
{
    if (model.len == 0)
        model = catalog->default_model;
    if (model.len == 0)
        return error_set(error, ERR_MODEL_NOT_FOUND, "model", "no provider offers any model yet");
    for (size_t i = 0; i < catalog->model_count; i++) {
        const struct catalog_model *known = &catalog->models[i];
        if (str_eq(known->id, model) || str_eq(known->name, model)) {
            ret_target->provider = known->provider;
            ret_target->model = known->name;
            return ERR_OK;
        }
    }
    size_t slash = str_find_char(model, '/');
    const struct catalog_provider *provider =
        slash == SIZE_MAX ? NULL : find_provider(catalog, str_slice(model, 0, slash));
    bool has_name = provider && slash + 1 < model.len;
    if (has_name && (!provider->provider || provider->provider->kind->dialect))
        return resolve_qualified(provider, str_skip(model, slash + 1), ret_target, error);
    return not_found(catalog, model, error);
}
