/* Records of groups and of who is in them. */
#include "base/vec.h"
#include "store/records.h"
#include "store/sqlite.h"

/* ---- Groups ---------------------------------------------------------------------------------- */

enum err store_group_insert(struct store_tx *tx, const struct store_group *group,
                            struct error *error)
{
    struct query query =
        query_begin(tx->sqlite, "INSERT INTO \"groups\" (id, name, created_ms) VALUES (?, ?, ?)");
    query_bind_id(&query, &group->id);
    query_bind_text(&query, group->name);
    query_bind_int(&query, group->created_ms);
    return query_run(&query, error);
}

enum err store_group_update(struct store_tx *tx, const struct store_group *group,
                            struct error *error)
{
    struct query query = query_begin(tx->sqlite, "UPDATE \"groups\" SET name = ? WHERE id = ?");
    query_bind_text(&query, group->name);
    query_bind_id(&query, &group->id);
    return query_run_one(&query, "group", error);
}

enum err store_group_delete(struct store_tx *tx, const struct id *id, struct error *error)
{
    struct query query = query_begin(tx->sqlite, "DELETE FROM \"groups\" WHERE id = ?");
    query_bind_id(&query, id);
    return query_run_one(&query, "group", error);
}

static struct store_group read_group(struct query *query, struct arena *arena)
{
    struct store_group group = {.id = query_id(query)};
    group.name = query_text(query, arena);
    group.created_ms = query_int(query);
    return group;
}

enum err store_group_list(struct store_tx *tx, struct arena *arena, struct store_group **ret_groups,
                          size_t *ret_count, struct error *error)
{
    struct store_group *groups = NULL;
    size_t count = 0, capacity = 0;
    struct query query =
        query_begin(tx->sqlite, "SELECT id, name, created_ms FROM \"groups\" ORDER BY id");
    while (query_next_into(&query, arena))
        *VEC_PUSH(arena, groups, count, capacity) = read_group(&query, arena);
    enum err code = query_end(&query, error);
    if (code != ERR_OK)
        return code;
    *ret_groups = groups;
    *ret_count = count;
    return ERR_OK;
}

/* ---- Members --------------------------------------------------------------------------------- */

enum err store_member_insert(struct store_tx *tx, const struct store_member *member,
                             struct error *error)
{
    struct query query =
        query_begin(tx->sqlite, "INSERT INTO group_members (user, group_id) VALUES (?, ?)");
    query_bind_id(&query, &member->user);
    query_bind_id(&query, &member->group);
    return query_run(&query, error);
}

enum err store_member_delete(struct store_tx *tx, const struct store_member *member,
                             struct error *error)
{
    struct query query =
        query_begin(tx->sqlite, "DELETE FROM group_members WHERE user = ? AND group_id = ?");
    query_bind_id(&query, &member->user);
    query_bind_id(&query, &member->group);
    return query_run_one(&query, "member", error);
}

enum err store_member_count(struct store_tx *tx, const struct id *user, int64_t *ret_count,
                            struct error *error)
{
    struct query query =
        query_begin(tx->sqlite, "SELECT count(*) FROM group_members WHERE user = ?");
    int64_t count = 0;
    query_bind_id(&query, user);
    if (query_next(&query))
        count = query_int(&query);
    enum err code = query_end(&query, error);
    if (code == ERR_OK)
        *ret_count = count;
    return code;
}

enum err store_member_list(struct store_tx *tx, struct arena *arena,
                           struct store_member **ret_members, size_t *ret_count,
                           struct error *error)
{
    struct store_member *members = NULL;
    size_t count = 0, capacity = 0;
    struct query query =
        query_begin(tx->sqlite, "SELECT user, group_id FROM group_members ORDER BY user, group_id");
    while (query_next_into(&query, arena)) {
        struct store_member *member = VEC_PUSH(arena, members, count, capacity);
        member->user = query_id(&query);
        member->group = query_id(&query);
    }
    enum err code = query_end(&query, error);
    if (code != ERR_OK)
        return code;
    *ret_members = members;
    *ret_count = count;
    return ERR_OK;
}
