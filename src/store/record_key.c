/* Records of API keys: a keyed hash of the secret, never the secret. */
#include "base/vec.h"
#include "store/records.h"
#include "store/sqlite.h"

enum err store_key_insert(struct store_tx *tx, const struct store_key *key, struct error *error)
{
    struct query query = query_begin(
        tx->sqlite, "INSERT INTO keys (owner, id, name, prefix, key_hash, pepper_version,"
                    " created_ms, last_used_ms, revoked) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)");
    query_bind_id(&query, &key->owner);
    query_bind_id(&query, &key->id);
    query_bind_text(&query, key->name);
    query_bind_text(&query, key->prefix);
    query_bind_blob(&query, key->key_hash);
    query_bind_int(&query, key->pepper_version);
    query_bind_int(&query, key->created_ms);
    query_bind_int(&query, key->last_used_ms);
    query_bind_int(&query, key->revoked);
    return query_run(&query, error);
}

enum err store_key_update(struct store_tx *tx, const struct store_key *key, struct error *error)
{
    struct query query =
        query_begin(tx->sqlite, "UPDATE keys SET name = ?, last_used_ms = ?, revoked = ?"
                                " WHERE owner = ? AND id = ?");
    query_bind_text(&query, key->name);
    query_bind_int(&query, key->last_used_ms);
    query_bind_int(&query, key->revoked);
    query_bind_id(&query, &key->owner);
    query_bind_id(&query, &key->id);
    return query_run_one(&query, "key", error);
}

enum err store_key_touch(struct store_tx *tx, const struct id *owner, const struct id *id,
                         int64_t last_used_ms, struct error *error)
{
    struct query query = query_begin(tx->sqlite, "UPDATE keys SET last_used_ms = ?1"
                                                 " WHERE owner = ?2 AND id = ?3"
                                                 " AND last_used_ms < ?1");
    query_bind_int(&query, last_used_ms);
    query_bind_id(&query, owner);
    query_bind_id(&query, id);
    return query_run(&query, error);
}

static struct store_key read_key(struct query *query, struct arena *arena)
{
    struct store_key key = {.owner = query_id(query)};
    key.id = query_id(query);
    key.name = query_text(query, arena);
    key.prefix = query_text(query, arena);
    key.key_hash = query_blob(query, arena);
    key.pepper_version = (int)query_int(query);
    key.created_ms = query_int(query);
    key.last_used_ms = query_int(query);
    key.revoked = query_int(query) != 0;
    return key;
}

enum err store_key_list(struct store_tx *tx, struct arena *arena, struct store_key **ret_keys,
                        size_t *ret_count, struct error *error)
{
    struct store_key *keys = NULL;
    size_t count = 0, capacity = 0;
    struct query query = query_begin(
        tx->sqlite, "SELECT owner, id, name, prefix, key_hash, pepper_version, created_ms,"
                    " last_used_ms, revoked FROM keys ORDER BY owner, id");
    while (query_next_into(&query, arena))
        *VEC_PUSH(arena, keys, count, capacity) = read_key(&query, arena);
    enum err code = query_end(&query, error);
    if (code != ERR_OK)
        return code;
    *ret_keys = keys;
    *ret_count = count;
    return ERR_OK;
}
