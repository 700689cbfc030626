/* Tags of a body, the same for a request at a door and for a line of a batch. */
#include "route/tags.h"

struct tags {
    struct arena *arena;
    struct str *items;
    size_t count;
};

static void add(struct tags *tags, struct str key, struct str value)
{
    if (value.len && tags->count < LEDGER_TAGS_MAX)
        tags->items[tags->count++] =
            arena_printf(tags->arena, "%.*s:%.*s", STR_ARG(key), STR_ARG(value));
}

size_t tags_read(struct arena *arena, yyjson_val *body, struct str ret_tags[LEDGER_TAGS_MAX])
{
    size_t index, max;
    yyjson_val *key, *value;
    yyjson_val *metadata = json_get(body, "metadata");
    struct tags tags = {arena, ret_tags, 0};
    add(&tags, STR("user"), json_get_str(body, "user"));
    if (!yyjson_is_obj(metadata))
        return tags.count;
    yyjson_obj_foreach (metadata, index, max, key, value) {
        bool is_user = str_eq(json_str(key), STR("user_id"));
        add(&tags, is_user ? STR("user") : json_str(key), json_str(value));
    }
    return tags.count;
}
