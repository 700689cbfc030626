/* Records of messages: a tree inside each conversation. Parents are checked when a message is put
 * in and never change, so that there are no cycles and no orphans. */
#include "base/map.h"
#include "base/vec.h"
#include "store/records.h"
#include "store/sqlite.h"

static const char *const status_names[] = {
    [STORE_STATUS_COMPLETE] = "complete",       [STORE_STATUS_STREAMING] = "streaming",
    [STORE_STATUS_STOPPED] = "stopped",         [STORE_STATUS_FAILED] = "failed",
    [STORE_STATUS_INTERRUPTED] = "interrupted",
};

const char *store_status_name(enum store_status status)
{
    size_t count = sizeof status_names / sizeof status_names[0];
    return (size_t)status < count ? status_names[status] : "unknown";
}

static enum err find_parent(struct store_tx *tx, const struct store_message *message,
                            struct error *error)
{
    struct query query = query_begin(
        tx->sqlite, "SELECT 1 FROM messages WHERE owner = ? AND conversation = ? AND id = ?");
    query_bind_id(&query, &message->owner);
    query_bind_id(&query, &message->conversation);
    query_bind_id(&query, &message->parent);
    bool found = query_next(&query);
    enum err code = query_end(&query, error);
    if (code == ERR_OK && !found)
        return error_set(error, ERR_NOT_FOUND, "parent_id", "is not in this conversation");
    return code;
}

enum err store_message_insert(struct store_tx *tx, const struct store_message *message,
                              struct error *error)
{
    if (!id_is_none(&message->parent)) {
        enum err code = find_parent(tx, message, error);
        if (code != ERR_OK)
            return code;
    }
    struct query query = query_begin(
        tx->sqlite, "INSERT INTO messages (owner, conversation, id, parent, role, status, content,"
                    " model, finish, error, usage, route, run, created_ms)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    query_bind_id(&query, &message->owner);
    query_bind_id(&query, &message->conversation);
    query_bind_id(&query, &message->id);
    query_bind_id(&query, &message->parent);
    query_bind_text(&query, message->role);
    query_bind_int(&query, message->status);
    query_bind_text(&query, message->content);
    query_bind_text(&query, message->model);
    query_bind_text(&query, message->finish);
    query_bind_text(&query, message->error);
    query_bind_text(&query, message->usage);
    query_bind_text(&query, message->route);
    query_bind_id(&query, &message->run);
    query_bind_int(&query, message->created_ms);
    return query_run(&query, error);
}

enum err store_message_update(struct store_tx *tx, const struct store_message *message,
                              struct error *error)
{
    struct query query =
        query_begin(tx->sqlite, "UPDATE messages SET status = ?, content = ?, model = ?,"
                                " finish = ?, error = ?, usage = ?, route = ?, run = ?"
                                " WHERE owner = ? AND conversation = ? AND id = ?");
    query_bind_int(&query, message->status);
    query_bind_text(&query, message->content);
    query_bind_text(&query, message->model);
    query_bind_text(&query, message->finish);
    query_bind_text(&query, message->error);
    query_bind_text(&query, message->usage);
    query_bind_text(&query, message->route);
    query_bind_id(&query, &message->run);
    query_bind_id(&query, &message->owner);
    query_bind_id(&query, &message->conversation);
    query_bind_id(&query, &message->id);
    return query_run_one(&query, "message", error);
}

/* ---- Reading -----------------------------------------------------------------------------------
 */
#define SELECT                                                                                     \
    "SELECT owner, conversation, id, parent, role, status, content, model, finish, error, usage,"  \
    " route, run, created_ms FROM messages "

static struct store_message read_message(struct query *query, struct arena *arena)
{
    struct store_message message = {.owner = query_id(query)};
    message.conversation = query_id(query);
    message.id = query_id(query);
    message.parent = query_id(query);
    message.role = query_text(query, arena);
    message.status = (enum store_status)query_int(query);
    message.content = query_text(query, arena);
    message.model = query_text(query, arena);
    message.finish = query_text(query, arena);
    message.error = query_text(query, arena);
    message.usage = query_text(query, arena);
    message.route = query_text(query, arena);
    message.run = query_id(query);
    message.created_ms = query_int(query);
    return message;
}

enum err store_message_get(struct store_tx *tx, struct arena *arena, const struct id *owner,
                           const struct id *conversation, const struct id *id,
                           struct store_message *ret, struct error *error)
{
    struct store_message message;
    struct query query =
        query_begin(tx->sqlite, SELECT "WHERE owner = ? AND conversation = ? AND id = ?");
    query_bind_id(&query, owner);
    query_bind_id(&query, conversation);
    query_bind_id(&query, id);
    bool found = query_next_into(&query, arena);
    if (found)
        message = read_message(&query, arena);
    enum err code = query_end(&query, error);
    if (code != ERR_OK)
        return code;
    if (!found)
        return error_set(error, ERR_NOT_FOUND, NULL, "no such message");
    *ret = message;
    return ERR_OK;
}

static enum err read_all(struct query *query, struct arena *arena, struct store_message **ret,
                         size_t *ret_count, struct error *error)
{
    struct store_message *messages = NULL;
    size_t count = 0, capacity = 0;
    while (query_next_into(query, arena))
        *VEC_PUSH(arena, messages, count, capacity) = read_message(query, arena);
    enum err code = query_end(query, error);
    if (code != ERR_OK)
        return code;
    *ret = messages;
    *ret_count = count;
    return ERR_OK;
}

enum err store_message_list_streaming(struct store_tx *tx, struct arena *arena,
                                      struct store_message **ret, size_t *ret_count,
                                      struct error *error)
{
    _Static_assert(STORE_STATUS_STREAMING == 1, "the partial index says WHERE status = 1");
    struct query query = query_begin(tx->sqlite, SELECT "WHERE status = 1");
    return read_all(&query, arena, ret, ret_count, error);
}

/* ---- The tree ----------------------------------------------------------------------------------
 */
/* Places of a message's first child and next sibling among the rows, plus one; 0: none. */
struct branch {
    size_t parent;
    size_t first_child;
    size_t next_sibling;
};

/* Links rows (in order of id) into a tree below branches[0], which stands for "no parent". Linking
 * from the last row on leaves every list of siblings in order of id. */
static struct branch *link_tree(struct arena *arena, const struct store_message *rows, size_t count)
{
    struct branch *branches = ARENA_NEW_ARRAY(arena, count + 1, struct branch);
    struct map *places = map_new();
    for (size_t i = 0; i < count; i++)
        map_set(places, id_str(&rows[i].id), &branches[i + 1]);
    for (size_t i = count; i > 0; i--) {
        struct branch *parent = map_get(places, id_str(&rows[i - 1].parent));
        branches[i].parent = parent ? (size_t)(parent - branches) : 0;
        branches[i].next_sibling = branches[branches[i].parent].first_child;
        branches[branches[i].parent].first_child = i;
    }
    map_free(places);
    return branches;
}

/* The place after `at`, walking parents before children. */
static size_t next_in_tree(const struct branch *branches, size_t at)
{
    if (branches[at].first_child)
        return branches[at].first_child;
    while (at && !branches[at].next_sibling)
        at = branches[at].parent;
    return branches[at].next_sibling;
}

enum err store_message_list(struct store_tx *tx, struct arena *arena, const struct id *owner,
                            const struct id *conversation, struct store_message **ret,
                            size_t *ret_count, struct error *error)
{
    struct store_message *rows;
    size_t count;
    struct query query =
        query_begin(tx->sqlite, SELECT "WHERE owner = ? AND conversation = ? ORDER BY id");
    query_bind_id(&query, owner);
    query_bind_id(&query, conversation);
    enum err code = read_all(&query, arena, &rows, &count, error);
    if (code != ERR_OK)
        return code;
    struct branch *branches = link_tree(arena, rows, count);
    struct store_message *ordered = ARENA_NEW_ARRAY(arena, count, struct store_message);
    size_t written = 0;
    for (size_t at = branches[0].first_child; at; at = next_in_tree(branches, at))
        ordered[written++] = rows[at - 1];
    *ret = ordered;
    *ret_count = written;
    return ERR_OK;
}

enum err store_message_path(struct store_tx *tx, struct arena *arena, const struct id *owner,
                            const struct id *conversation, const struct id *leaf,
                            struct store_message **ret, size_t *ret_count, struct error *error)
{
    struct store_message *path = NULL;
    size_t count = 0, capacity = 0;
    struct id at = *leaf;
    do {
        struct store_message message;
        enum err code = store_message_get(tx, arena, owner, conversation, &at, &message, error);
        if (code != ERR_OK)
            return code;
        *VEC_PUSH(arena, path, count, capacity) = message;
        at = message.parent;
    } while (!id_is_none(&at));
    for (size_t i = 0; i < count / 2; i++) {
        struct store_message swapped = path[i];
        path[i] = path[count - 1 - i];
        path[count - 1 - i] = swapped;
    }
    *ret = path;
    *ret_count = count;
    return ERR_OK;
}
