/* Records of threads. Items have a place in their thread, and their thread is asked for first: one
 * that is not there has none. */
#include "store/record_thread.h"

#include "base/vec.h"
#include "store/sqlite.h"

/* ---- Threads --------------------------------------------------------------------------------- */

enum err store_thread_insert(struct store_tx *tx, const struct store_thread *thread,
                             struct error *error)
{
    struct query query =
        query_begin(tx->sqlite, "INSERT INTO response_threads (owner, id, created_ms, expires_ms,"
                                " metadata) VALUES (?, ?, ?, ?, ?)");
    query_bind_id(&query, &thread->owner);
    query_bind_id(&query, &thread->id);
    query_bind_int(&query, thread->created_ms);
    query_bind_int(&query, thread->expires_ms);
    query_bind_text(&query, thread->metadata);
    return query_run(&query, error);
}

static void bind_thread(struct query *query, const struct id *owner, const struct id *id,
                        int64_t now_ms)
{
    query_bind_id(query, owner);
    query_bind_id(query, id);
    query_bind_int(query, now_ms);
}

static enum err not_found(struct error *error)
{
    return error_set(error, ERR_NOT_FOUND, NULL, "no such conversation");
}

enum err store_thread_get(struct store_tx *tx, struct arena *arena, const struct id *owner,
                          const struct id *id, int64_t now_ms, struct store_thread *ret,
                          struct error *error)
{
    struct store_thread thread = {.owner = *owner, .id = *id};
    struct query query =
        query_begin(tx->sqlite, "SELECT created_ms, expires_ms, metadata FROM response_threads"
                                " WHERE owner = ? AND id = ? AND expires_ms > ?");
    bind_thread(&query, owner, id, now_ms);
    bool is_found = query_next(&query);
    if (is_found) {
        thread.created_ms = query_int(&query);
        thread.expires_ms = query_int(&query);
        thread.metadata = query_text(&query, arena);
    }
    enum err code = query_end(&query, error);
    if (code != ERR_OK)
        return code;
    if (!is_found)
        return not_found(error);
    *ret = thread;
    return ERR_OK;
}

enum err store_thread_set_metadata(struct store_tx *tx, const struct id *owner, const struct id *id,
                                   int64_t now_ms, struct str metadata, struct error *error)
{
    struct query query = query_begin(tx->sqlite, "UPDATE response_threads SET metadata = ?"
                                                 " WHERE owner = ? AND id = ? AND expires_ms > ?");
    query_bind_text(&query, metadata);
    bind_thread(&query, owner, id, now_ms);
    return query_run_one(&query, "conversation", error);
}

enum err store_thread_delete(struct store_tx *tx, const struct id *owner, const struct id *id,
                             int64_t now_ms, struct error *error)
{
    struct query query = query_begin(
        tx->sqlite, "DELETE FROM response_threads WHERE owner = ? AND id = ? AND expires_ms > ?");
    bind_thread(&query, owner, id, now_ms);
    return query_run_one(&query, "conversation", error);
}

enum err store_thread_expire(struct store_tx *tx, int64_t now_ms, int limit, int *ret_removed,
                             struct error *error)
{
    struct query query =
        query_begin(tx->sqlite, "DELETE FROM response_threads WHERE (owner, id) IN"
                                " (SELECT owner, id FROM response_threads WHERE expires_ms <= ?"
                                "  ORDER BY expires_ms LIMIT ?)");
    query_bind_int(&query, now_ms);
    query_bind_int(&query, limit);
    return query_run_counted(&query, ret_removed, error);
}

/* ---- Items that come ------------------------------------------------------------------------- */

static enum err move_expiry(struct store_tx *tx, const struct id *owner, const struct id *id,
                            int64_t now_ms, int64_t expires_ms, struct error *error)
{
    struct query query = query_begin(tx->sqlite, "UPDATE response_threads SET expires_ms = ?"
                                                 " WHERE owner = ? AND id = ? AND expires_ms > ?");
    query_bind_int(&query, expires_ms);
    bind_thread(&query, owner, id, now_ms);
    return query_run_one(&query, "conversation", error);
}

/* How many it has, and the place behind the last one. */
static enum err count_items(struct store_tx *tx, const struct id *owner, const struct id *id,
                            int64_t *ret_count, int64_t *ret_place, struct error *error)
{
    struct query query = query_begin(
        tx->sqlite, "SELECT count(*), coalesce(max(place), 0) + 1 FROM response_thread_items"
                    " WHERE owner = ? AND thread = ?");
    query_bind_id(&query, owner);
    query_bind_id(&query, id);
    if (query_next(&query)) {
        *ret_count = query_int(&query);
        *ret_place = query_int(&query);
    }
    return query_end(&query, error);
}

static enum err insert_item(struct store_tx *tx, const struct id *owner, const struct id *id,
                            int64_t place, const struct store_thread_item *item,
                            struct error *error)
{
    struct query query =
        query_begin(tx->sqlite, "INSERT INTO response_thread_items (owner, thread, place, id,"
                                " model, response, item) VALUES (?, ?, ?, ?, ?, ?, ?)");
    query_bind_id(&query, owner);
    query_bind_id(&query, id);
    query_bind_int(&query, place);
    query_bind_text(&query, item->id);
    query_bind_text(&query, item->model);
    query_bind_text(&query, item->response);
    query_bind_text(&query, item->item);
    return query_run(&query, error);
}

enum err store_thread_append(struct store_tx *tx, const struct id *owner, const struct id *id,
                             int64_t now_ms, int64_t expires_ms,
                             const struct store_thread_item *items, size_t count,
                             struct error *error)
{
    int64_t had = 0, place = 0;
    enum err code = move_expiry(tx, owner, id, now_ms, expires_ms, error);
    if (code == ERR_OK)
        code = count_items(tx, owner, id, &had, &place, error);
    if (code == ERR_OK && had + (int64_t)count > STORE_THREAD_ITEMS_MAX)
        return error_set(error, ERR_TOO_BIG, "items", "a conversation has %d items at most",
                         STORE_THREAD_ITEMS_MAX);
    for (size_t i = 0; code == ERR_OK && i < count; i++)
        code = insert_item(tx, owner, id, place + (int64_t)i, &items[i], error);
    return code;
}

/* ---- Items that are read --------------------------------------------------------------------- */

static struct store_thread_item read_item(struct query *query, struct arena *arena)
{
    struct store_thread_item item = {.id = query_text(query, arena)};
    item.model = query_text(query, arena);
    item.response = query_text(query, arena);
    item.item = query_text(query, arena);
    return item;
}

/* ERR_NOT_FOUND without anything else: who asks knows what it is called. */
static enum err find_place(struct store_tx *tx, const struct id *owner, const struct id *id,
                           struct str item, int64_t *ret_place, struct error *error)
{
    bool is_found = false;
    struct query query = query_begin(
        tx->sqlite, "SELECT place FROM response_thread_items"
                    " WHERE owner = ? AND thread = ? AND id = ? ORDER BY place LIMIT 1");
    query_bind_id(&query, owner);
    query_bind_id(&query, id);
    query_bind_text(&query, item);
    if (query_next(&query)) {
        is_found = true;
        *ret_place = query_int(&query);
    }
    enum err code = query_end(&query, error);
    return code == ERR_OK && !is_found
               ? error_set(error, ERR_NOT_FOUND, "item", "there is no such item")
               : code;
}

#define ITEMS_FROM "SELECT id, model, response, item FROM response_thread_items"

static struct query begin_list(struct store_tx *tx, const struct id *owner, const struct id *id,
                               const struct store_thread_page *page, int64_t place)
{
    struct query query = query_begin(
        tx->sqlite, page->is_descending ? ITEMS_FROM
                        " WHERE owner = ? AND thread = ? AND place < ? ORDER BY place DESC LIMIT ?"
                                        : ITEMS_FROM
                        " WHERE owner = ? AND thread = ? AND place > ? ORDER BY place LIMIT ?");
    query_bind_id(&query, owner);
    query_bind_id(&query, id);
    query_bind_int(&query, place);
    query_bind_int(&query, page->limit);
    return query;
}

enum err store_thread_list(struct store_tx *tx, struct arena *arena, const struct id *owner,
                           const struct id *id, int64_t now_ms,
                           const struct store_thread_page *page,
                           struct store_thread_item **ret_items, size_t *ret_count,
                           struct error *error)
{
    struct store_thread thread;
    struct store_thread_item *items = NULL;
    size_t count = 0, capacity = 0;
    int64_t place = page->is_descending ? INT64_MAX : 0;
    enum err code = store_thread_get(tx, arena, owner, id, now_ms, &thread, error);
    if (code == ERR_OK && page->after.len)
        code = find_place(tx, owner, id, page->after, &place, error);
    if (code != ERR_OK)
        return code;
    struct query query = begin_list(tx, owner, id, page, place);
    while (query_next_into(&query, arena))
        *VEC_PUSH(arena, items, count, capacity) = read_item(&query, arena);
    code = query_end(&query, error);
    if (code == ERR_OK) {
        *ret_items = items;
        *ret_count = count;
    }
    return code;
}

enum err store_thread_item_get(struct store_tx *tx, struct arena *arena, const struct id *owner,
                               const struct id *id, int64_t now_ms, struct str item,
                               struct store_thread_item *ret, struct error *error)
{
    struct store_thread thread;
    int64_t place = 0;
    enum err code = store_thread_get(tx, arena, owner, id, now_ms, &thread, error);
    if (code == ERR_OK)
        code = find_place(tx, owner, id, item, &place, error);
    if (code != ERR_OK)
        return code;
    struct query query =
        query_begin(tx->sqlite, ITEMS_FROM " WHERE owner = ? AND thread = ? AND place = ?");
    query_bind_id(&query, owner);
    query_bind_id(&query, id);
    query_bind_int(&query, place);
    if (query_next_into(&query, arena))
        *ret = read_item(&query, arena);
    return query_end(&query, error);
}

enum err store_thread_item_delete(struct store_tx *tx, const struct id *owner, const struct id *id,
                                  int64_t now_ms, struct str item, struct error *error)
{
    struct query query = query_begin(
        tx->sqlite, "DELETE FROM response_thread_items WHERE owner = ?1 AND thread = ?2 AND id = ?4"
                    " AND EXISTS (SELECT 1 FROM response_threads"
                    "             WHERE owner = ?1 AND id = ?2 AND expires_ms > ?3)");
    bind_thread(&query, owner, id, now_ms);
    query_bind_text(&query, item);
    return query_run_one(&query, "item", error);
}
