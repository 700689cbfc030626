/* Records of files. How much they are together is counted by triggers, see migrations.c. */
#include "store/record_file.h"

#include "base/vec.h"
#include "store/sqlite.h"

#define COLUMNS     "owner, id, purpose, name, mime, sha256, bytes, created_ms, expires_ms, is_begun"
#define NOT_EXPIRED "(expires_ms = 0 OR expires_ms > ?)"

static enum err check_limits(struct store_tx *tx, const struct store_file *file,
                             const struct store_file_limits *limits, struct error *error)
{
    int64_t total = 0, count = 0, own = 0;
    enum err code =
        sqlite_number(tx->sqlite, "SELECT bytes FROM files_total WHERE id = 1", &total, error);
    if (code != ERR_OK)
        return code;
    struct query query = query_begin(
        tx->sqlite, "SELECT count(*), coalesce(sum(bytes), 0) FROM files WHERE owner = ?");
    query_bind_id(&query, &file->owner);
    if (query_next(&query)) {
        count = query_int(&query);
        own = query_int(&query);
    }
    code = query_end(&query, error);
    if (code != ERR_OK)
        return code;
    if (count >= limits->count_max)
        return error_set(error, ERR_TOO_BIG, NULL, "there are %lld files already: delete some",
                         (long long)count);
    if (file->bytes > limits->owner_bytes_max - own)
        return error_set(error, ERR_TOO_BIG, NULL,
                         "your files have %lld bytes already: delete some", (long long)own);
    if (file->bytes > limits->total_bytes_max - total)
        return error_set(error, ERR_TOO_BIG, NULL, "there is no room for more files");
    return ERR_OK;
}

enum err store_file_insert(struct store_tx *tx, const struct store_file *file,
                           const struct store_file_limits *limits, struct error *error)
{
    enum err code = check_limits(tx, file, limits, error);
    if (code != ERR_OK)
        return code;
    struct query query = query_begin(tx->sqlite, "INSERT INTO files (" COLUMNS
                                                 ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    query_bind_id(&query, &file->owner);
    query_bind_id(&query, &file->id);
    query_bind_text(&query, file->purpose);
    query_bind_text(&query, file->name);
    query_bind_text(&query, file->mime);
    query_bind_text(&query, file->sha256);
    query_bind_int(&query, file->bytes);
    query_bind_int(&query, file->created_ms);
    query_bind_int(&query, file->expires_ms);
    query_bind_int(&query, file->is_begun);
    return query_run(&query, error);
}

enum err store_file_finish(struct store_tx *tx, const struct store_file *file, struct error *error)
{
    struct query query = query_begin(
        tx->sqlite, "UPDATE files SET is_begun = 0, bytes = ?, sha256 = ?, expires_ms = ?"
                    " WHERE owner = ? AND id = ? AND is_begun = 1");
    query_bind_int(&query, file->bytes);
    query_bind_text(&query, file->sha256);
    query_bind_int(&query, file->expires_ms);
    query_bind_id(&query, &file->owner);
    query_bind_id(&query, &file->id);
    return query_run_one(&query, "file", error);
}

static struct store_file read_file(struct query *query, struct arena *arena)
{
    struct store_file file = {.owner = query_id(query)};
    file.id = query_id(query);
    file.purpose = query_text(query, arena);
    file.name = query_text(query, arena);
    file.mime = query_text(query, arena);
    file.sha256 = query_text(query, arena);
    file.bytes = query_int(query);
    file.created_ms = query_int(query);
    file.expires_ms = query_int(query);
    file.is_begun = query_int(query) != 0;
    return file;
}

static enum err get(struct store_tx *tx, struct arena *arena, const struct id *owner,
                    const struct id *id, int64_t now_ms, bool is_begun, struct store_file *ret,
                    struct error *error)
{
    struct store_file file;
    struct query query =
        query_begin(tx->sqlite, "SELECT " COLUMNS " FROM files WHERE owner = ? AND id = ?"
                                " AND is_begun = ? AND " NOT_EXPIRED);
    query_bind_id(&query, owner);
    query_bind_id(&query, id);
    query_bind_int(&query, is_begun);
    query_bind_int(&query, now_ms);
    bool found = query_next_into(&query, arena);
    if (found)
        file = read_file(&query, arena);
    enum err code = query_end(&query, error);
    if (code != ERR_OK)
        return code;
    if (!found)
        return error_set(error, ERR_NOT_FOUND, NULL, "no such file");
    *ret = file;
    return ERR_OK;
}

enum err store_file_get(struct store_tx *tx, struct arena *arena, const struct id *owner,
                        const struct id *id, int64_t now_ms, struct store_file *ret,
                        struct error *error)
{
    return get(tx, arena, owner, id, now_ms, false, ret, error);
}

enum err store_file_get_begun(struct store_tx *tx, struct arena *arena, const struct id *owner,
                              const struct id *id, int64_t now_ms, struct store_file *ret,
                              struct error *error)
{
    return get(tx, arena, owner, id, now_ms, true, ret, error);
}

enum err store_file_delete(struct store_tx *tx, const struct id *owner, const struct id *id,
                           struct error *error)
{
    struct query query = query_begin(tx->sqlite, "DELETE FROM files WHERE owner = ? AND id = ?");
    query_bind_id(&query, owner);
    query_bind_id(&query, id);
    return query_run_one(&query, "file", error);
}

enum err store_file_end(struct store_tx *tx, const struct id *owner, const struct id *id,
                        int64_t expires_ms, struct error *error)
{
    struct query query =
        query_begin(tx->sqlite, "UPDATE files SET expires_ms = ? WHERE owner = ? AND id = ?");
    query_bind_int(&query, expires_ms);
    query_bind_id(&query, owner);
    query_bind_id(&query, id);
    return query_run(&query, error);
}

/* Ids are above "" and below "~". */
static struct query begin_page(struct store_tx *tx, const struct id *owner,
                               const struct store_file_page *page)
{
#define PAGE                                                                                       \
    "SELECT " COLUMNS " FROM files WHERE owner = ? AND is_begun = 0 AND " NOT_EXPIRED              \
    " AND (?3 = '' OR purpose = ?3)"
    struct query query =
        query_begin(tx->sqlite, page->is_ascending ? PAGE " AND id > ? ORDER BY id LIMIT ?"
                                                   : PAGE " AND id < ? ORDER BY id DESC LIMIT ?");
    struct str after = id_str(&page->after);
    query_bind_id(&query, owner);
    query_bind_int(&query, page->now_ms);
    query_bind_text(&query, page->purpose);
    if (!after.len)
        after = page->is_ascending ? STR("") : STR("~");
    query_bind_text(&query, after);
    query_bind_int(&query, (int64_t)page->limit + 1); /* one more says whether more follow */
    return query;
}

enum err store_file_list(struct store_tx *tx, struct arena *arena, const struct id *owner,
                         const struct store_file_page *page, struct store_file **ret_files,
                         size_t *ret_count, bool *ret_has_more, struct error *error)
{
    struct store_file *files = NULL;
    size_t count = 0, capacity = 0;
    struct query query = begin_page(tx, owner, page);
    while (query_next_into(&query, arena))
        *VEC_PUSH(arena, files, count, capacity) = read_file(&query, arena);
    enum err code = query_end(&query, error);
    if (code != ERR_OK)
        return code;
    *ret_files = files;
    *ret_has_more = count > page->limit;
    *ret_count = *ret_has_more ? page->limit : count;
    return ERR_OK;
}

enum err store_file_expire(struct store_tx *tx, struct arena *arena, int64_t now_ms, size_t limit,
                           struct id **ret_ids, size_t *ret_count, struct error *error)
{
    struct id *ids = NULL, *owners = NULL;
    size_t count = 0, capacity = 0, owner_count = 0, owner_capacity = 0;
    struct query query =
        query_begin(tx->sqlite, "SELECT owner, id FROM files"
                                " WHERE expires_ms > 0 AND expires_ms <= ?"
                                " AND NOT EXISTS (SELECT 1 FROM batches WHERE owner = files.owner"
                                " AND input = files.id AND status < 4) LIMIT ?");
    query_bind_int(&query, now_ms);
    query_bind_int(&query, (int64_t)limit);
    while (query_next_into(&query, arena)) {
        *VEC_PUSH(arena, owners, owner_count, owner_capacity) = query_id(&query);
        *VEC_PUSH(arena, ids, count, capacity) = query_id(&query);
    }
    enum err code = query_end(&query, error);
    for (size_t i = 0; i < count && code == ERR_OK; i++)
        code = store_file_delete(tx, &owners[i], &ids[i], error);
    if (code != ERR_OK)
        return code;
    *ret_ids = ids;
    *ret_count = count;
    return ERR_OK;
}

enum err store_file_exists(struct store_tx *tx, const struct id *id, bool *ret_exists,
                           struct error *error)
{
    struct query query = query_begin(tx->sqlite, "SELECT 1 FROM files WHERE id = ?");
    query_bind_id(&query, id);
    bool found = query_next(&query);
    enum err code = query_end(&query, error);
    if (code == ERR_OK)
        *ret_exists = found;
    return code;
}
