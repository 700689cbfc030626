/* Records of API keys: a keyed hash of the secret, never the secret. */
#include "base/vec.h"
#include "store/records.h"
#include "store/sqlite.h"

/* In the order of bind_settings and read_key. */
#define SETTINGS                                                                                   \
    "name, last_used_ms, revoked, expires_ms, models, doors, addresses, keep_bodies_hours"
#define COLUMNS SETTINGS ", owner, id, prefix, key_hash, pepper_version, created_ms, replaces"

/* What may change. */
static void bind_settings(struct query *query, const struct store_key *key)
{
    query_bind_text(query, key->name);
    query_bind_int(query, key->last_used_ms);
    query_bind_int(query, key->revoked);
    query_bind_int(query, key->expires_ms);
    query_bind_text(query, key->models);
    query_bind_text(query, key->doors);
    query_bind_text(query, key->addresses);
    query_bind_int(query, key->keep_bodies_hours);
    query_bind_id(query, &key->owner);
    query_bind_id(query, &key->id);
}

enum err store_key_insert(struct store_tx *tx, const struct store_key *key, struct error *error)
{
    struct query query = query_begin(tx->sqlite, "INSERT INTO keys (" COLUMNS ") VALUES"
                                                 " (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    bind_settings(&query, key);
    query_bind_text(&query, key->prefix);
    query_bind_blob(&query, key->key_hash);
    query_bind_int(&query, key->pepper_version);
    query_bind_int(&query, key->created_ms);
    query_bind_id(&query, &key->replaces);
    return query_run(&query, error);
}

enum err store_key_update(struct store_tx *tx, const struct store_key *key, struct error *error)
{
    struct query query =
        query_begin(tx->sqlite, "UPDATE keys SET (" SETTINGS ") = (?, ?, ?, ?, ?, ?, ?, ?)"
                                " WHERE owner = ? AND id = ?");
    bind_settings(&query, key);
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
    struct store_key key = {.name = query_text(query, arena)};
    key.last_used_ms = query_int(query);
    key.revoked = query_int(query) != 0;
    key.expires_ms = query_int(query);
    key.models = query_text(query, arena);
    key.doors = query_text(query, arena);
    key.addresses = query_text(query, arena);
    key.keep_bodies_hours = (uint32_t)query_int(query);
    key.owner = query_id(query);
    key.id = query_id(query);
    key.prefix = query_text(query, arena);
    key.key_hash = query_blob(query, arena);
    key.pepper_version = (int)query_int(query);
    key.created_ms = query_int(query);
    key.replaces = query_id(query);
    return key;
}

enum err store_key_get(struct store_tx *tx, struct arena *arena, const struct id *owner,
                       const struct id *id, struct store_key *ret_key, struct error *error)
{
    struct query query =
        query_begin(tx->sqlite, "SELECT " COLUMNS " FROM keys WHERE owner = ? AND id = ?");
    query_bind_id(&query, owner);
    query_bind_id(&query, id);
    bool found = query_next(&query);
    if (found)
        *ret_key = read_key(&query, arena);
    enum err code = query_end(&query, error);
    return code == ERR_OK && !found ? error_set(error, ERR_NOT_FOUND, NULL, "no such key") : code;
}

enum err store_key_list(struct store_tx *tx, struct arena *arena, struct store_key **ret_keys,
                        size_t *ret_count, struct error *error)
{
    struct store_key *keys = NULL;
    size_t count = 0, capacity = 0;
    struct query query = query_begin(tx->sqlite, "SELECT " COLUMNS " FROM keys ORDER BY owner, id");
    while (query_next_into(&query, arena))
        *VEC_PUSH(arena, keys, count, capacity) = read_key(&query, arena);
    enum err code = query_end(&query, error);
    if (code != ERR_OK)
        return code;
    *ret_keys = keys;
    *ret_count = count;
    return ERR_OK;
}
