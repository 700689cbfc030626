/* Records of settings changed in the browser; what they mean is known above. */
#include "base/vec.h"
#include "store/records.h"
#include "store/sqlite.h"

enum err store_setting_set(struct store_tx *tx, struct str key, struct str value,
                           struct error *error)
{
    struct query query =
        query_begin(tx->sqlite, "INSERT INTO settings (key, value) VALUES (?, ?)"
                                " ON CONFLICT (key) DO UPDATE SET value = excluded.value");
    query_bind_text(&query, key);
    query_bind_text(&query, value);
    return query_run(&query, error);
}

enum err store_setting_delete(struct store_tx *tx, struct str key, struct error *error)
{
    struct query query = query_begin(tx->sqlite, "DELETE FROM settings WHERE key = ?");
    query_bind_text(&query, key);
    return query_run(&query, error);
}

enum err store_setting_list(struct store_tx *tx, struct arena *arena,
                            struct store_setting **ret_settings, size_t *ret_count,
                            struct error *error)
{
    struct store_setting *settings = NULL;
    size_t count = 0, capacity = 0;
    struct query query = query_begin(tx->sqlite, "SELECT key, value FROM settings ORDER BY key");
    while (query_next_into(&query, arena)) {
        struct store_setting *setting = VEC_PUSH(arena, settings, count, capacity);
        setting->key = query_text(&query, arena);
        setting->value = query_text(&query, arena);
    }
    enum err code = query_end(&query, error);
    if (code != ERR_OK)
        return code;
    *ret_settings = settings;
    *ret_count = count;
    return ERR_OK;
}
