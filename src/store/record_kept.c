/* What is kept without anybody asking for each of it: triggers count it (migrations.c), and when an
 * owner has too much, the oldest goes. */
#include "store/record_kept.h"

#include "store/sqlite.h"

enum { AT_ONCE_MAX = 1000 }; /* of one transaction: the next one goes on */

static const struct kind {
    const char *name;
    const char *delete_oldest;
} kinds[] = {
    [KEPT_REQUEST] = {"request", "DELETE FROM request_log WHERE key = ?1 AND id ="
                                 " (SELECT min(id) FROM request_log WHERE key = ?1)"},
    [KEPT_RESPONSE] = {"response", "DELETE FROM stored_responses WHERE owner = ?1 AND id ="
                                   " (SELECT id FROM stored_responses WHERE owner = ?1"
                                   "  ORDER BY expires_ms LIMIT 1)"},
    [KEPT_THREAD] = {"thread", "DELETE FROM response_threads WHERE owner = ?1 AND id ="
                               " (SELECT id FROM response_threads WHERE owner = ?1"
                               "  ORDER BY expires_ms LIMIT 1)"},
};

enum err store_kept_bytes(struct store_tx *tx, enum kept_kind kind, const struct id *owner,
                          int64_t *ret_bytes, struct error *error)
{
    int64_t bytes = 0;
    struct query query =
        query_begin(tx->sqlite, "SELECT bytes FROM kept_totals WHERE kind = ? AND owner = ?");
    query_bind_text(&query, str_from_cstr(kinds[kind].name));
    query_bind_id(&query, owner);
    if (query_next(&query))
        bytes = query_int(&query);
    enum err code = query_end(&query, error);
    if (code == ERR_OK)
        *ret_bytes = bytes;
    return code;
}

enum err store_kept_make_room(struct store_tx *tx, enum kept_kind kind, const struct id *owner,
                              int64_t bytes_max, struct error *error)
{
    int64_t bytes = 0;
    enum err code = store_kept_bytes(tx, kind, owner, &bytes, error);
    for (int i = 0; code == ERR_OK && bytes > bytes_max && i < AT_ONCE_MAX; i++) {
        struct query query = query_begin(tx->sqlite, kinds[kind].delete_oldest);
        query_bind_id(&query, owner);
        code = query_run(&query, error);
        if (code == ERR_OK)
            code = store_kept_bytes(tx, kind, owner, &bytes, error);
    }
    return code;
}
