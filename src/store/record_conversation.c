/* Records of conversations: every question names the owner, so that another person's conversation
 * is not found rather than refused. */
#include <stdio.h>

#include "base/vec.h"
#include "store/records.h"
#include "store/sqlite.h"

enum { PAGE_MAX = 1000 };

enum err store_conversation_insert(struct store_tx *tx,
                                   const struct store_conversation *conversation,
                                   struct error *error)
{
    struct query query = query_begin(
        tx->sqlite, "INSERT INTO conversations (owner, id, title, model, leaf, created_ms,"
                    " updated_ms) VALUES (?, ?, ?, ?, ?, ?, ?)");
    query_bind_id(&query, &conversation->owner);
    query_bind_id(&query, &conversation->id);
    query_bind_text(&query, conversation->title);
    query_bind_text(&query, conversation->model);
    query_bind_id(&query, &conversation->leaf);
    query_bind_int(&query, conversation->created_ms);
    query_bind_int(&query, conversation->updated_ms);
    return query_run(&query, error);
}

enum err store_conversation_update(struct store_tx *tx,
                                   const struct store_conversation *conversation,
                                   struct error *error)
{
    struct query query =
        query_begin(tx->sqlite, "UPDATE conversations SET title = ?, model = ?, leaf = ?,"
                                " updated_ms = ? WHERE owner = ? AND id = ?");
    query_bind_text(&query, conversation->title);
    query_bind_text(&query, conversation->model);
    query_bind_id(&query, &conversation->leaf);
    query_bind_int(&query, conversation->updated_ms);
    query_bind_id(&query, &conversation->owner);
    query_bind_id(&query, &conversation->id);
    return query_run_one(&query, "conversation", error);
}

enum err store_conversation_delete(struct store_tx *tx, const struct id *owner, const struct id *id,
                                   struct error *error)
{
    /* The messages go with it: ON DELETE CASCADE. */
    struct query query =
        query_begin(tx->sqlite, "DELETE FROM conversations WHERE owner = ? AND id = ?");
    query_bind_id(&query, owner);
    query_bind_id(&query, id);
    return query_run_one(&query, "conversation", error);
}

#define COLUMNS "owner, id, title, model, leaf, created_ms, updated_ms"

static struct store_conversation read_conversation(struct query *query, struct arena *arena)
{
    struct store_conversation conversation = {.owner = query_id(query)};
    conversation.id = query_id(query);
    conversation.title = query_text(query, arena);
    conversation.model = query_text(query, arena);
    conversation.leaf = query_id(query);
    conversation.created_ms = query_int(query);
    conversation.updated_ms = query_int(query);
    return conversation;
}

enum err store_conversation_get(struct store_tx *tx, struct arena *arena, const struct id *owner,
                                const struct id *id, struct store_conversation *ret,
                                struct error *error)
{
    struct store_conversation conversation;
    struct query query =
        query_begin(tx->sqlite, "SELECT " COLUMNS " FROM conversations WHERE owner = ? AND id = ?");
    query_bind_id(&query, owner);
    query_bind_id(&query, id);
    bool found = query_next_into(&query, arena);
    if (found)
        conversation = read_conversation(&query, arena);
    enum err code = query_end(&query, error);
    if (code != ERR_OK)
        return code;
    if (!found)
        return error_set(error, ERR_NOT_FOUND, NULL, "no such conversation");
    *ret = conversation;
    return ERR_OK;
}

/* A page's end is "<updated_ms>-<id>" of its last row. */
struct cursor {
    int64_t updated_ms;
    struct id id;
};

static bool parse_cursor(struct str text, struct cursor *ret)
{
    /* Before the first row: above every time. A conversation has an id, and ids are above "". */
    *ret = (struct cursor){.updated_ms = INT64_MAX};
    if (text.len == 0)
        return true;
    struct str time = str_next(&text, '-');
    return str_to_i64(time, &ret->updated_ms) && id_parse(text, &ret->id);
}

enum err store_conversation_list(struct store_tx *tx, struct arena *arena, const struct id *owner,
                                 struct str before, int limit, struct store_conversation **ret,
                                 size_t *ret_count, struct str *ret_next, struct error *error)
{
    struct cursor cursor;
    if (!parse_cursor(before, &cursor))
        return error_set(error, ERR_INVALID, "before", "is not what a page before ended with");
    size_t page = limit < 1 ? 1 : limit > PAGE_MAX ? PAGE_MAX : (size_t)limit;
    struct store_conversation *rows = NULL;
    size_t count = 0, capacity = 0;
    struct query query = query_begin(tx->sqlite, "SELECT " COLUMNS " FROM conversations"
                                                 " WHERE owner = ? AND (updated_ms, id) < (?, ?)"
                                                 " ORDER BY updated_ms DESC, id DESC LIMIT ?");
    query_bind_id(&query, owner);
    query_bind_int(&query, cursor.updated_ms);
    query_bind_text(&query, id_str(&cursor.id));
    query_bind_int(&query, (int64_t)page + 1); /* one more says whether another page follows */
    while (query_next_into(&query, arena))
        *VEC_PUSH(arena, rows, count, capacity) = read_conversation(&query, arena);
    enum err code = query_end(&query, error);
    if (code != ERR_OK)
        return code;
    bool more = count > page;
    *ret = rows;
    *ret_count = more ? page : count;
    *ret_next = more ? arena_printf(arena, "%lld-%s", (long long)rows[page - 1].updated_ms,
                                    rows[page - 1].id.text)
                     : STR("");
    return ERR_OK;
}
