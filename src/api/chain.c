/* Chain: reads "models" and "fallbacks" of a request's body. Used by the doors that speak providers'
 * dialects. */
#include "api/chain.h"

#include "route/catalog.h"

const char *const api_chain_members[API_CHAIN_MEMBERS] = {"models", "fallbacks"};

void api_chain_begin(struct arena *arena, struct str model, struct api_chain *ret_chain)
{
    /* The first one may be the request's own. */
    size_t count_max = CATALOG_CHAIN_MAX + (model.len ? 0 : 1);
    *ret_chain = (struct api_chain){.names = ARENA_NEW_ARRAY(arena, count_max, struct str),
                                    .count_max = count_max};
}

enum err api_chain_add(struct api_chain *chain, const char *member, struct str name,
                       struct error *error)
{
    if (!name.len)
        return error_set(error, ERR_INVALID, member, "must hold names of models only");
    if (chain->count == chain->count_max)
        return error_set(error, ERR_INVALID, member, "must not name more than %zu models",
                         chain->count_max);
    chain->names[chain->count++] = name;
    return ERR_OK;
}

enum err api_chain_end(struct api_chain *chain, struct str *model, struct error *error)
{
    if (!model->len && chain->count) {
        *model = chain->names[0];
        chain->names++;
        chain->count--;
    }
    return model->len ? ERR_OK : error_set(error, ERR_INVALID, "model", "must be a string");
}

static enum err add_names(yyjson_val *list, const char *member, struct api_chain *chain,
                          struct error *error)
{
    size_t index, max;
    yyjson_val *name;
    if (!list || yyjson_is_null(list))
        return ERR_OK;
    if (!yyjson_is_arr(list))
        return error_set(error, ERR_INVALID, member, "must be an array of names of models");
    yyjson_arr_foreach (list, index, max, name) {
        enum err code = api_chain_add(chain, member, json_str(name), error);
        if (code != ERR_OK)
            return code;
    }
    return ERR_OK;
}

enum err api_chain_read(struct arena *arena, yyjson_val *root, struct str *model,
                        struct api_chain *ret_chain, struct error *error)
{
    yyjson_val *lists[API_CHAIN_MEMBERS];
    enum err code = ERR_OK;
    for (size_t i = 0; i < API_CHAIN_MEMBERS; i++)
        lists[i] = json_get(root, api_chain_members[i]);
    *ret_chain = (struct api_chain){0};
    if (!lists[0] && !lists[1])
        return ERR_OK; /* the decoder has seen to the model */
    api_chain_begin(arena, *model, ret_chain);
    for (size_t i = 0; i < API_CHAIN_MEMBERS && code == ERR_OK; i++)
        code = add_names(lists[i], api_chain_members[i], ret_chain, error);
    if (code == ERR_OK)
        code = api_chain_end(ret_chain, model, error);
    if (code != ERR_OK)
        *ret_chain = (struct api_chain){0};
    return code;
}

size_t api_chain_unmapped(struct str *unmapped, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        bool is_ours = str_eq(unmapped[i], str_from_cstr(api_chain_members[0])) ||
                       str_eq(unmapped[i], str_from_cstr(api_chain_members[1]));
        if (!is_ours)
            unmapped[kept++] = unmapped[i];
    }
    return kept;
}
