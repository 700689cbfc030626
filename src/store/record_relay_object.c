/* Records of what was made at a provider: whose it is, and where it is found again. */
#include "base/vec.h"
#include "store/records.h"
#include "store/sqlite.h"

#define COLUMNS "owner, kind, id, provider, created_ms"

/* NULL when anybody's are meant; the command line's is an empty text. */
static void bind_owner(struct query *query, const struct id *owner)
{
    static const struct id anybody = {{0}};
    if (owner)
        query_bind_text(query, id_str(owner));
    else
        query_bind_id(query, &anybody);
}

enum err store_relay_object_put(struct store_tx *tx, const struct store_relay_object *object,
                                struct error *error)
{
    struct query query =
        query_begin(tx->sqlite, "INSERT OR REPLACE INTO relay_objects (" COLUMNS ")"
                                " VALUES (?, ?, ?, ?, ?)");
    bind_owner(&query, &object->owner);
    query_bind_text(&query, object->kind);
    query_bind_text(&query, object->id);
    query_bind_text(&query, object->provider);
    query_bind_int(&query, object->created_ms);
    return query_run(&query, error);
}

static struct store_relay_object read_object(struct query *query, struct arena *arena)
{
    struct store_relay_object object = {0};
    id_parse(query_text(query, arena), &object.owner);
    object.kind = query_text(query, arena);
    object.id = query_text(query, arena);
    object.provider = query_text(query, arena);
    object.created_ms = query_int(query);
    return object;
}

enum err store_relay_object_get(struct store_tx *tx, struct arena *arena, const struct id *owner,
                                struct str kind, struct str id, struct store_relay_object *ret,
                                struct error *error)
{
    struct query query = query_begin(
        tx->sqlite, "SELECT " COLUMNS " FROM relay_objects WHERE (?1 IS NULL OR owner = ?1)"
                    " AND kind = ?2 AND id = ?3 ORDER BY created_ms DESC LIMIT 1");
    bind_owner(&query, owner);
    query_bind_text(&query, kind);
    query_bind_text(&query, id);
    bool is_there = query_next_into(&query, arena);
    if (is_there)
        *ret = read_object(&query, arena);
    enum err code = query_end(&query, error);
    if (code == ERR_OK && !is_there)
        code = error_set(error, ERR_NOT_FOUND, NULL, "there is no such object");
    return code;
}

enum err store_relay_object_list(struct store_tx *tx, struct arena *arena, const struct id *owner,
                                 struct str kind, struct str after, int limit,
                                 struct store_relay_object **ret, size_t *ret_count,
                                 struct error *error)
{
    struct store_relay_object *objects = NULL;
    size_t count = 0, capacity = 0;
    struct query query = query_begin(
        tx->sqlite,
        "SELECT " COLUMNS " FROM relay_objects WHERE (?1 IS NULL OR owner = ?1) AND kind = ?2"
        " AND (?3 = '' OR (created_ms, id) < (SELECT created_ms, id FROM relay_objects"
        "  WHERE (?1 IS NULL OR owner = ?1) AND kind = ?2 AND id = ?3))"
        " ORDER BY created_ms DESC, id DESC LIMIT ?4");
    bind_owner(&query, owner);
    query_bind_text(&query, kind);
    query_bind_text(&query, after);
    query_bind_int(&query, limit);
    while (query_next_into(&query, arena))
        *VEC_PUSH(arena, objects, count, capacity) = read_object(&query, arena);
    enum err code = query_end(&query, error);
    if (code != ERR_OK)
        return code;
    *ret = objects;
    *ret_count = count;
    return ERR_OK;
}
