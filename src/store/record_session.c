/* Records of sessions: a hash of the token, and until when it is good. */
#include "base/vec.h"
#include "store/records.h"
#include "store/sqlite.h"

enum err store_session_insert(struct store_tx *tx, const struct store_session *session,
                              struct error *error)
{
    struct query query = query_begin(tx->sqlite, "INSERT INTO sessions (token_hash, user,"
                                                 " created_ms, expires_ms) VALUES (?, ?, ?, ?)");
    query_bind_blob(&query, session->token_hash);
    query_bind_id(&query, &session->user);
    query_bind_int(&query, session->created_ms);
    query_bind_int(&query, session->expires_ms);
    return query_run(&query, error);
}

enum err store_session_delete(struct store_tx *tx, struct str token_hash, struct error *error)
{
    struct query query = query_begin(tx->sqlite, "DELETE FROM sessions WHERE token_hash = ?");
    query_bind_blob(&query, token_hash);
    return query_run_one(&query, "session", error);
}

enum err store_session_delete_of(struct store_tx *tx, const struct id *user, struct error *error)
{
    struct query query = query_begin(tx->sqlite, "DELETE FROM sessions WHERE user = ?");
    query_bind_id(&query, user);
    return query_run(&query, error);
}

static enum err delete_expired(struct store_tx *tx, int64_t now_ms, struct error *error)
{
    struct query query = query_begin(tx->sqlite, "DELETE FROM sessions WHERE expires_ms <= ?");
    query_bind_int(&query, now_ms);
    return query_run(&query, error);
}

static struct store_session read_session(struct query *query, struct arena *arena)
{
    struct store_session session = {.token_hash = query_blob(query, arena)};
    session.user = query_id(query);
    session.created_ms = query_int(query);
    session.expires_ms = query_int(query);
    return session;
}

enum err store_session_list(struct store_tx *tx, int64_t now_ms, struct arena *arena,
                            struct store_session **ret_sessions, size_t *ret_count,
                            struct error *error)
{
    enum err code = delete_expired(tx, now_ms, error);
    if (code != ERR_OK)
        return code;
    struct store_session *sessions = NULL;
    size_t count = 0, capacity = 0;
    struct query query =
        query_begin(tx->sqlite, "SELECT token_hash, user, created_ms, expires_ms FROM sessions");
    while (query_next_into(&query, arena))
        *VEC_PUSH(arena, sessions, count, capacity) = read_session(&query, arena);
    code = query_end(&query, error);
    if (code != ERR_OK)
        return code;
    *ret_sessions = sessions;
    *ret_count = count;
    return ERR_OK;
}
