/* Records of stored responses: answers of the OpenAI door that are kept for a while, so that the next
 * request can name one instead of repeating the conversation. Ids are the client's to know, and often
 * a provider's: unique for their owner only. */
#include "store/records.h"
#include "store/sqlite.h"

static struct query begin_delete(struct store_tx *tx, const struct store_response *response)
{
    struct query query =
        query_begin(tx->sqlite, "DELETE FROM stored_responses WHERE owner = ? AND id = ?");
    query_bind_id(&query, &response->owner);
    query_bind_text(&query, response->id);
    return query;
}

static enum err insert(struct store_tx *tx, const struct store_response *response,
                       struct error *error)
{
    struct query query =
        query_begin(tx->sqlite, "INSERT INTO stored_responses (owner, id, previous,"
                                " created_ms, expires_ms, model, input, answer, parts)"
                                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)");
    query_bind_id(&query, &response->owner);
    query_bind_text(&query, response->id);
    query_bind_text(&query, response->previous);
    query_bind_int(&query, response->created_ms);
    query_bind_int(&query, response->expires_ms);
    query_bind_text(&query, response->model);
    query_bind_text(&query, response->input);
    query_bind_text(&query, response->answer);
    query_bind_text(&query, response->parts);
    return query_run(&query, error);
}

enum err store_response_put(struct store_tx *tx, const struct store_response *response,
                            struct error *error)
{
    struct query old = begin_delete(tx, response);
    enum err code = query_run(&old, error);
    return code == ERR_OK ? insert(tx, response, error) : code;
}

enum err store_response_replace(struct store_tx *tx, const struct store_response *response,
                                struct error *error)
{
    struct query old = begin_delete(tx, response);
    enum err code = query_run_one(&old, "response", error);
    return code == ERR_OK ? insert(tx, response, error) : code;
}

static struct store_response read_response(struct query *query, struct arena *arena)
{
    struct store_response response = {.owner = query_id(query)};
    response.id = query_text(query, arena);
    response.previous = query_text(query, arena);
    response.created_ms = query_int(query);
    response.expires_ms = query_int(query);
    response.model = query_text(query, arena);
    response.input = query_text(query, arena);
    response.answer = query_text(query, arena);
    response.parts = query_text(query, arena);
    return response;
}

enum err store_response_get(struct store_tx *tx, struct arena *arena, const struct id *owner,
                            struct str id, int64_t now_ms, struct store_response *ret,
                            struct error *error)
{
    struct store_response response;
    struct query query =
        query_begin(tx->sqlite, "SELECT owner, id, previous, created_ms, expires_ms, model, input,"
                                " answer, parts FROM stored_responses"
                                " WHERE owner = ? AND id = ? AND expires_ms > ?");
    query_bind_id(&query, owner);
    query_bind_text(&query, id);
    query_bind_int(&query, now_ms);
    bool found = query_next_into(&query, arena);
    if (found)
        response = read_response(&query, arena);
    enum err code = query_end(&query, error);
    if (code != ERR_OK)
        return code;
    if (!found)
        return error_set(error, ERR_NOT_FOUND, NULL, "no such response");
    *ret = response;
    return ERR_OK;
}

enum err store_response_delete(struct store_tx *tx, const struct id *owner, struct str id,
                               int64_t now_ms, struct error *error)
{
    struct query query = query_begin(
        tx->sqlite, "DELETE FROM stored_responses WHERE owner = ? AND id = ? AND expires_ms > ?");
    query_bind_id(&query, owner);
    query_bind_text(&query, id);
    query_bind_int(&query, now_ms);
    return query_run_one(&query, "response", error);
}

enum err store_response_expire(struct store_tx *tx, int64_t now_ms, int limit, int *ret_removed,
                               struct error *error)
{
    struct query query =
        query_begin(tx->sqlite, "DELETE FROM stored_responses WHERE (owner, id) IN"
                                " (SELECT owner, id FROM stored_responses WHERE expires_ms <= ?"
                                "  ORDER BY expires_ms LIMIT ?)");
    query_bind_int(&query, now_ms);
    query_bind_int(&query, limit);
    return query_run_counted(&query, ret_removed, error);
}
