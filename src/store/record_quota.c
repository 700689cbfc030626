/* Records of quotas: what somebody may use, as JSON that route reads. */
#include "base/vec.h"
#include "store/records.h"
#include "store/sqlite.h"

enum err store_quota_set(struct store_tx *tx, const struct store_quota *quota, struct error *error)
{
    struct query query =
        query_begin(tx->sqlite, "INSERT INTO quotas (kind, id, quota) VALUES (?, ?, ?)"
                                " ON CONFLICT (kind, id) DO UPDATE SET quota = excluded.quota");
    query_bind_text(&query, quota->kind);
    query_bind_text(&query, quota->id);
    query_bind_text(&query, quota->quota);
    return query_run(&query, error);
}

enum err store_quota_delete(struct store_tx *tx, struct str kind, struct str id,
                            struct error *error)
{
    struct query query = query_begin(tx->sqlite, "DELETE FROM quotas WHERE kind = ? AND id = ?");
    query_bind_text(&query, kind);
    query_bind_text(&query, id);
    return query_run_one(&query, "limit", error);
}

enum err store_quota_list(struct store_tx *tx, struct arena *arena, struct store_quota **ret_quotas,
                          size_t *ret_count, struct error *error)
{
    struct store_quota *quotas = NULL;
    size_t count = 0, capacity = 0;
    struct query query =
        query_begin(tx->sqlite, "SELECT kind, id, quota FROM quotas ORDER BY kind, id");
    while (query_next_into(&query, arena)) {
        struct store_quota *quota = VEC_PUSH(arena, quotas, count, capacity);
        quota->kind = query_text(&query, arena);
        quota->id = query_text(&query, arena);
        quota->quota = query_text(&query, arena);
    }
    enum err code = query_end(&query, error);
    if (code != ERR_OK)
        return code;
    *ret_quotas = quotas;
    *ret_count = count;
    return ERR_OK;
}
