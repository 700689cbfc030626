/* Chain: reads "models" and "fallbacks" of a request's body. Used by the doors that speak providers'
 * dialects. */
#include "api/chain.h"

#include "route/catalog.h"

static const char *const members[] = {"models", "fallbacks"};

static enum err add_names(yyjson_val *list, const char *member, struct api_chain *chain,
                          size_t names_max, struct error *error)
{
    size_t index, max;
    yyjson_val *name;
    if (!list || yyjson_is_null(list))
        return ERR_OK;
    if (!yyjson_is_arr(list))
        return error_set(error, ERR_INVALID, member, "must be an array of names of models");
    yyjson_arr_foreach (list, index, max, name) {
        if (!json_str(name).len)
            return error_set(error, ERR_INVALID, member, "must hold names of models only");
        if (chain->count == names_max)
            return error_set(error, ERR_INVALID, member, "must not name more than %zu models",
                             names_max);
        chain->names[chain->count++] = json_str(name);
    }
    return ERR_OK;
}

/* What is understood here is not lost. */
static void take_from_unmapped(struct llm_request *request)
{
    size_t kept = 0;
    for (size_t i = 0; i < request->unmapped_count; i++) {
        bool is_ours = str_eq(request->unmapped[i], str_from_cstr(members[0])) ||
                       str_eq(request->unmapped[i], str_from_cstr(members[1]));
        if (!is_ours)
            request->unmapped[kept++] = request->unmapped[i];
    }
    request->unmapped_count = kept;
}

enum err api_chain_read(struct arena *arena, yyjson_val *root, struct llm_request *request,
                        struct api_chain *ret_chain, struct error *error)
{
    struct api_chain chain = {0};
    yyjson_val *lists[2];
    /* The first one may be the request's own. */
    size_t names_max = CATALOG_CHAIN_MAX + (request->model.len ? 0 : 1);
    for (size_t i = 0; i < 2; i++)
        lists[i] = json_get(root, members[i]);
    *ret_chain = chain;
    if (!lists[0] && !lists[1])
        return ERR_OK; /* the decoder has seen to the model */
    chain.names = ARENA_NEW_ARRAY(arena, names_max, struct str);
    for (size_t i = 0; i < 2; i++) {
        enum err code = add_names(lists[i], members[i], &chain, names_max, error);
        if (code != ERR_OK)
            return code;
    }
    take_from_unmapped(request);
    if (!request->model.len && chain.count) {
        request->model = chain.names[0];
        chain.names++;
        chain.count--;
    }
    if (!request->model.len)
        return error_set(error, ERR_INVALID, "model", "must be a string");
    *ret_chain = chain;
    return ERR_OK;
}
