/* Records of people. They are disabled, never deleted: what they own refers to them. */
#include "base/vec.h"
#include "store/records.h"
#include "store/sqlite.h"

enum err store_user_insert(struct store_tx *tx, const struct store_user *user, struct error *error)
{
    struct query query =
        query_begin(tx->sqlite, "INSERT INTO users (id, email, name, role, password_hash,"
                                " created_ms, disabled) VALUES (?, ?, ?, ?, ?, ?, ?)");
    query_bind_id(&query, &user->id);
    query_bind_text(&query, user->email);
    query_bind_text(&query, user->name);
    query_bind_text(&query, user->role);
    query_bind_text(&query, user->password_hash);
    query_bind_int(&query, user->created_ms);
    query_bind_int(&query, user->disabled);
    return query_run(&query, error);
}

enum err store_user_update(struct store_tx *tx, const struct store_user *user, struct error *error)
{
    struct query query =
        query_begin(tx->sqlite, "UPDATE users SET email = ?, name = ?, role = ?, password_hash = ?,"
                                " disabled = ? WHERE id = ?");
    query_bind_text(&query, user->email);
    query_bind_text(&query, user->name);
    query_bind_text(&query, user->role);
    query_bind_text(&query, user->password_hash);
    query_bind_int(&query, user->disabled);
    query_bind_id(&query, &user->id);
    return query_run_one(&query, "user", error);
}

static struct store_user read_user(struct query *query, struct arena *arena)
{
    struct store_user user = {.id = query_id(query)};
    user.email = query_text(query, arena);
    user.name = query_text(query, arena);
    user.role = query_text(query, arena);
    user.password_hash = query_text(query, arena);
    user.created_ms = query_int(query);
    user.disabled = query_int(query) != 0;
    return user;
}

enum err store_user_get(struct store_tx *tx, struct arena *arena, const struct id *id,
                        struct store_user *ret_user, struct error *error)
{
    struct query query =
        query_begin(tx->sqlite, "SELECT id, email, name, role, password_hash, created_ms, disabled"
                                " FROM users WHERE id = ?");
    query_bind_id(&query, id);
    bool found = query_next(&query);
    if (found)
        *ret_user = read_user(&query, arena);
    enum err code = query_end(&query, error);
    return code == ERR_OK && !found ? error_set(error, ERR_NOT_FOUND, NULL, "no such user") : code;
}

enum err store_user_count_admins(struct store_tx *tx, int64_t *ret_count, struct error *error)
{
    return sqlite_number(tx->sqlite,
                         "SELECT count(*) FROM users WHERE role = 'admin' AND disabled = 0",
                         ret_count, error);
}

enum err store_user_list(struct store_tx *tx, struct arena *arena, struct store_user **ret_users,
                         size_t *ret_count, struct error *error)
{
    struct store_user *users = NULL;
    size_t count = 0, capacity = 0;
    struct query query =
        query_begin(tx->sqlite, "SELECT id, email, name, role, password_hash, created_ms, disabled"
                                " FROM users ORDER BY created_ms, id");
    while (query_next_into(&query, arena))
        *VEC_PUSH(arena, users, count, capacity) = read_user(&query, arena);
    enum err code = query_end(&query, error);
    if (code != ERR_OK)
        return code;
    *ret_users = users;
    *ret_count = count;
    return ERR_OK;
}
