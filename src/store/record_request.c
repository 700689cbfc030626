/* Records of the request log: what keys that keep their bodies have asked and heard. Key and time
 * lead. */
#include "base/vec.h"
#include "store/records.h"
#include "store/sqlite.h"

enum err store_request_insert(struct store_tx *tx, const struct store_request *request,
                              struct error *error)
{
    struct query query = query_begin(
        tx->sqlite, "INSERT INTO request_log (key, id, owner, request_id, expires_ms, method, path,"
                    " status, duration_ms, request, answer, request_bytes, answer_bytes)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    query_bind_id(&query, &request->key);
    query_bind_id(&query, &request->id);
    query_bind_id(&query, &request->owner);
    query_bind_text(&query, request->request_id);
    query_bind_int(&query, request->expires_ms);
    query_bind_text(&query, request->method);
    query_bind_text(&query, request->path);
    query_bind_int(&query, request->status);
    query_bind_int(&query, request->duration_ms);
    query_bind_blob(&query, request->request);
    query_bind_blob(&query, request->answer);
    query_bind_int(&query, request->request_bytes);
    query_bind_int(&query, request->answer_bytes);
    return query_run(&query, error);
}

enum err store_request_delete_expired(struct store_tx *tx, int64_t now_ms, struct error *error)
{
    struct query query = query_begin(tx->sqlite, "DELETE FROM request_log WHERE expires_ms <= ?");
    query_bind_int(&query, now_ms);
    return query_run(&query, error);
}

enum err store_request_list(struct store_tx *tx, struct arena *arena, const struct id *key,
                            struct str before, int64_t now_ms, int limit,
                            struct store_request **ret_requests, size_t *ret_count,
                            struct error *error)
{
    struct store_request *requests = NULL;
    size_t count = 0, capacity = 0;
    struct query query = query_begin(
        tx->sqlite, "SELECT id, owner, request_id, expires_ms, method, path, status, duration_ms,"
                    " request_bytes, answer_bytes FROM request_log"
                    " WHERE key = ? AND (? = '' OR id < ?) AND expires_ms > ?"
                    " ORDER BY id DESC LIMIT ?");
    query_bind_id(&query, key);
    query_bind_text(&query, before);
    query_bind_text(&query, before);
    query_bind_int(&query, now_ms);
    query_bind_int(&query, limit);
    while (query_next_into(&query, arena)) {
        struct store_request *request = VEC_PUSH(arena, requests, count, capacity);
        request->key = *key;
        request->id = query_id(&query);
        request->owner = query_id(&query);
        request->request_id = query_text(&query, arena);
        request->expires_ms = query_int(&query);
        request->method = query_text(&query, arena);
        request->path = query_text(&query, arena);
        request->status = (int)query_int(&query);
        request->duration_ms = query_int(&query);
        request->request_bytes = query_int(&query);
        request->answer_bytes = query_int(&query);
    }
    enum err code = query_end(&query, error);
    if (code != ERR_OK)
        return code;
    *ret_requests = requests;
    *ret_count = count;
    return ERR_OK;
}

enum err store_request_get(struct store_tx *tx, struct arena *arena, const struct id *key,
                           const struct id *id, int64_t now_ms, struct store_request *ret,
                           struct error *error)
{
    struct query query = query_begin(
        tx->sqlite, "SELECT owner, request_id, expires_ms, method, path, status, duration_ms,"
                    " request, answer, request_bytes, answer_bytes FROM request_log"
                    " WHERE key = ? AND id = ? AND expires_ms > ?");
    query_bind_id(&query, key);
    query_bind_id(&query, id);
    query_bind_int(&query, now_ms);
    struct store_request found = {.key = *key, .id = *id};
    bool is_there = query_next_into(&query, arena);
    if (is_there) {
        found.owner = query_id(&query);
        found.request_id = query_text(&query, arena);
        found.expires_ms = query_int(&query);
        found.method = query_text(&query, arena);
        found.path = query_text(&query, arena);
        found.status = (int)query_int(&query);
        found.duration_ms = query_int(&query);
        found.request = query_blob(&query, arena);
        found.answer = query_blob(&query, arena);
        found.request_bytes = query_int(&query);
        found.answer_bytes = query_int(&query);
    }
    enum err code = query_end(&query, error);
    if (code != ERR_OK)
        return code;
    if (!is_there)
        return error_set(error, ERR_NOT_FOUND, NULL, "no such request is kept");
    *ret = found;
    return ERR_OK;
}
