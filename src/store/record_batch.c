/* Records of batches. Every change of status names the one it comes from, so that a cancellation and
 * the queue, which write independently, cannot undo each other. */
#include "store/record_batch.h"

#include "base/vec.h"
#include "store/sqlite.h"

#define COLUMNS                                                                                    \
    "owner, id, dialect, endpoint, input, output, failures, status, total, completed, failed,"     \
    " metadata, errors, output_seconds, maker_kind, maker_key, maker_address, hand, provider, "    \
    "provider_batch,"                                                                              \
    " created_ms, expires_ms, started_ms, finalizing_ms, cancelling_ms, ended_ms"
#define UNFINISHED "status < 4"

/* ---- Batches --------------------------------------------------------------------------------- */

static enum err check_unfinished(struct store_tx *tx, const struct id *owner, int64_t max,
                                 struct error *error)
{
    int64_t count = 0;
    struct query query =
        query_begin(tx->sqlite, "SELECT count(*) FROM batches WHERE owner = ? AND " UNFINISHED);
    query_bind_id(&query, owner);
    if (query_next(&query))
        count = query_int(&query);
    enum err code = query_end(&query, error);
    if (code == ERR_OK && count >= max)
        return error_set(error, ERR_RATE_LIMITED, NULL, "%lld batches are not finished yet",
                         (long long)count);
    return code;
}

static void bind_batch(struct query *query, const struct store_batch *batch)
{
    query_bind_id(query, &batch->owner);
    query_bind_id(query, &batch->id);
    query_bind_text(query, batch->dialect);
    query_bind_text(query, batch->endpoint);
    query_bind_id(query, &batch->input);
    query_bind_id(query, &batch->output);
    query_bind_id(query, &batch->failures);
    query_bind_int(query, batch->status);
    query_bind_int(query, batch->total);
    query_bind_int(query, batch->completed);
    query_bind_int(query, batch->failed);
    query_bind_text(query, batch->metadata);
    query_bind_text(query, batch->errors);
    query_bind_int(query, batch->output_seconds);
    query_bind_int(query, batch->maker_kind);
    query_bind_id(query, &batch->maker_key);
    query_bind_text(query, batch->maker_address);
    query_bind_int(query, batch->hand);
    query_bind_text(query, batch->provider);
    query_bind_text(query, batch->provider_batch);
    query_bind_int(query, batch->created_ms);
    query_bind_int(query, batch->expires_ms);
    query_bind_int(query, batch->started_ms);
    query_bind_int(query, batch->finalizing_ms);
    query_bind_int(query, batch->cancelling_ms);
    query_bind_int(query, batch->ended_ms);
}

static struct store_batch read_batch(struct query *query, struct arena *arena)
{
    struct store_batch batch = {.owner = query_id(query)};
    batch.id = query_id(query);
    batch.dialect = query_text(query, arena);
    batch.endpoint = query_text(query, arena);
    batch.input = query_id(query);
    batch.output = query_id(query);
    batch.failures = query_id(query);
    batch.status = (enum store_batch_status)query_int(query);
    batch.total = query_int(query);
    batch.completed = query_int(query);
    batch.failed = query_int(query);
    batch.metadata = query_text(query, arena);
    batch.errors = query_text(query, arena);
    batch.output_seconds = query_int(query);
    batch.maker_kind = query_int(query);
    batch.maker_key = query_id(query);
    batch.maker_address = query_text(query, arena);
    batch.hand = (enum store_batch_hand)query_int(query);
    batch.provider = query_text(query, arena);
    batch.provider_batch = query_text(query, arena);
    batch.created_ms = query_int(query);
    batch.expires_ms = query_int(query);
    batch.started_ms = query_int(query);
    batch.finalizing_ms = query_int(query);
    batch.cancelling_ms = query_int(query);
    batch.ended_ms = query_int(query);
    return batch;
}

enum err store_batch_insert(struct store_tx *tx, const struct store_batch *batch,
                            int64_t unfinished_max, struct error *error)
{
    enum err code = check_unfinished(tx, &batch->owner, unfinished_max, error);
    if (code != ERR_OK)
        return code;
    struct query query =
        query_begin(tx->sqlite, "INSERT INTO batches (" COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, ?, ?,"
                                " ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    bind_batch(&query, batch);
    return query_run(&query, error);
}

enum err store_batch_get(struct store_tx *tx, struct arena *arena, const struct id *owner,
                         const struct id *id, struct store_batch *ret, struct error *error)
{
    struct store_batch batch;
    struct query query =
        query_begin(tx->sqlite, "SELECT " COLUMNS " FROM batches WHERE owner = ? AND id = ?");
    query_bind_id(&query, owner);
    query_bind_id(&query, id);
    bool found = query_next_into(&query, arena);
    if (found)
        batch = read_batch(&query, arena);
    enum err code = query_end(&query, error);
    if (code != ERR_OK)
        return code;
    if (!found)
        return error_set(error, ERR_NOT_FOUND, NULL, "no such batch");
    *ret = batch;
    return ERR_OK;
}

static enum err read_all(struct query *query, struct arena *arena, struct store_batch **ret,
                         size_t *ret_count, struct error *error)
{
    struct store_batch *batches = NULL;
    size_t count = 0, capacity = 0;
    while (query_next_into(query, arena))
        *VEC_PUSH(arena, batches, count, capacity) = read_batch(query, arena);
    enum err code = query_end(query, error);
    if (code != ERR_OK)
        return code;
    *ret = batches;
    *ret_count = count;
    return ERR_OK;
}

enum err store_batch_list(struct store_tx *tx, struct arena *arena, const struct id *owner,
                          const struct store_batch_page *page, struct store_batch **ret,
                          size_t *ret_count, bool *ret_has_more, struct error *error)
{
#define PAGE "SELECT " COLUMNS " FROM batches WHERE owner = ? AND dialect = ?"
    struct query query =
        query_begin(tx->sqlite, page->is_reversed ? PAGE " AND id > ? ORDER BY id LIMIT ?"
                                                  : PAGE " AND id < ? ORDER BY id DESC LIMIT ?");
    struct str before = id_str(&page->before);
    if (!before.len) /* ids are above "" and below "~" */
        before = page->is_reversed ? STR("") : STR("~");
    query_bind_id(&query, owner);
    query_bind_text(&query, page->dialect);
    query_bind_text(&query, before);
    query_bind_int(&query, (int64_t)page->limit + 1); /* one more says whether more follow */
    enum err code = read_all(&query, arena, ret, ret_count, error);
    if (code != ERR_OK)
        return code;
    *ret_has_more = *ret_count > page->limit;
    if (*ret_has_more)
        *ret_count = page->limit;
    return ERR_OK;
}

enum err store_batch_list_unfinished(struct store_tx *tx, struct arena *arena, size_t limit,
                                     struct store_batch **ret, size_t *ret_count,
                                     struct error *error)
{
    struct query query = query_begin(tx->sqlite, "SELECT " COLUMNS " FROM batches WHERE " UNFINISHED
                                                 " ORDER BY id LIMIT ?");
    query_bind_int(&query, (int64_t)limit);
    return read_all(&query, arena, ret, ret_count, error);
}

enum err store_batch_start(struct store_tx *tx, const struct store_batch *batch,
                           struct error *error)
{
    struct query query =
        query_begin(tx->sqlite, "UPDATE batches SET total = ?1, started_ms = ?2,"
                                " status = CASE status WHEN 0 THEN 1 ELSE status END"
                                " WHERE owner = ?3 AND id = ?4 AND started_ms = 0");
    query_bind_int(&query, batch->total);
    query_bind_int(&query, batch->started_ms);
    query_bind_id(&query, &batch->owner);
    query_bind_id(&query, &batch->id);
    return query_run(&query, error);
}

enum err store_batch_cancel(struct store_tx *tx, struct arena *arena, const struct id *owner,
                            const struct id *id, int64_t now_ms, struct store_batch *ret,
                            struct error *error)
{
    struct query query =
        query_begin(tx->sqlite, "UPDATE batches SET status = 2, cancelling_ms = ?"
                                " WHERE owner = ? AND id = ? AND status IN (0, 1)");
    query_bind_int(&query, now_ms);
    query_bind_id(&query, owner);
    query_bind_id(&query, id);
    enum err code = query_run(&query, error);
    return code == ERR_OK ? store_batch_get(tx, arena, owner, id, ret, error) : code;
}

enum err store_batch_finalize(struct store_tx *tx, const struct store_batch *batch,
                              struct error *error)
{
    struct query query = query_begin(tx->sqlite, "UPDATE batches SET status = 3, finalizing_ms = ?"
                                                 " WHERE owner = ? AND id = ? AND status = 1");
    query_bind_int(&query, batch->finalizing_ms);
    query_bind_id(&query, &batch->owner);
    query_bind_id(&query, &batch->id);
    return query_run(&query, error);
}

enum err store_batch_note(struct store_tx *tx, const struct store_batch *batch, struct error *error)
{
    struct query query = query_begin(
        tx->sqlite, "UPDATE batches SET hand = ?, provider = ?, provider_batch = ?, expires_ms = ?,"
                    " completed = ?, failed = ? WHERE owner = ? AND id = ? AND " UNFINISHED);
    query_bind_int(&query, batch->hand);
    query_bind_text(&query, batch->provider);
    query_bind_text(&query, batch->provider_batch);
    query_bind_int(&query, batch->expires_ms);
    query_bind_int(&query, batch->completed);
    query_bind_int(&query, batch->failed);
    query_bind_id(&query, &batch->owner);
    query_bind_id(&query, &batch->id);
    return query_run_one(&query, "batch", error);
}

enum err store_batch_recount(struct store_tx *tx, const struct store_batch *batch,
                             struct error *error)
{
#define LINES_OF "(SELECT count(*) FROM batch_lines AS l WHERE l.owner = ?1 AND l.batch = ?2 AND "
    struct query query =
        query_begin(tx->sqlite, "UPDATE batches SET completed = " LINES_OF "NOT is_failure),"
                                " failed = " LINES_OF "is_failure) WHERE owner = ?1 AND id = ?2");
    query_bind_id(&query, &batch->owner);
    query_bind_id(&query, &batch->id);
    return query_run(&query, error);
}

enum err store_batch_end(struct store_tx *tx, const struct store_batch *batch, struct error *error)
{
    struct query query =
        query_begin(tx->sqlite, "UPDATE batches SET status = ?,"
                                " output = ?, failures = ?, errors = ?, ended_ms = ?"
                                " WHERE owner = ? AND id = ? AND " UNFINISHED);
    query_bind_int(&query, batch->status);
    query_bind_id(&query, &batch->output);
    query_bind_id(&query, &batch->failures);
    query_bind_text(&query, batch->errors);
    query_bind_int(&query, batch->ended_ms);
    query_bind_id(&query, &batch->owner);
    query_bind_id(&query, &batch->id);
    return query_run_one(&query, "batch", error);
}

enum err store_batch_delete(struct store_tx *tx, const struct id *owner, const struct id *id,
                            struct error *error)
{
    struct arena *arena = arena_new(1024 * 1024);
    struct store_batch batch;
    enum err code = store_batch_get(tx, arena, owner, id, &batch, error);
    if (code == ERR_OK && !store_batch_is_ended(&batch))
        code = error_set(error, ERR_CONFLICT, NULL, "the batch has not ended: cancel it first");
    arena_free(arena);
    if (code != ERR_OK)
        return code;
    struct query query = query_begin(tx->sqlite, "DELETE FROM batches WHERE owner = ? AND id = ?");
    query_bind_id(&query, owner);
    query_bind_id(&query, id);
    return query_run_one(&query, "batch", error);
}

/* ---- Lines ----------------------------------------------------------------------------------- */

static enum err count_line(struct store_tx *tx, const struct store_batch_line *line,
                           struct error *error)
{
    struct query query = query_begin(
        tx->sqlite, "UPDATE batches SET completed = completed + iif(provider = '', ?, 0),"
                    " failed = failed + iif(provider = '', ?, 0)"
                    " WHERE owner = ? AND id = ? AND " UNFINISHED);
    query_bind_int(&query, !line->is_failure);
    query_bind_int(&query, line->is_failure);
    query_bind_id(&query, &line->owner);
    query_bind_id(&query, &line->batch);
    return query_run_one(&query, "batch", error);
}

enum err store_batch_line_insert(struct store_tx *tx, const struct store_batch_line *line,
                                 struct error *error)
{
    struct query query =
        query_begin(tx->sqlite, "INSERT INTO batch_lines (owner, batch, line, is_failure, result)"
                                " VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING");
    query_bind_id(&query, &line->owner);
    query_bind_id(&query, &line->batch);
    query_bind_int(&query, line->line);
    query_bind_int(&query, line->is_failure);
    query_bind_text(&query, line->result);
    enum err code = query_run_one(&query, "line", NULL);
    if (code == ERR_NOT_FOUND)
        return ERR_OK; /* it is there */
    if (code == ERR_OK)
        return count_line(tx, line, error);
    return error_set(error, code, NULL, "%s", err_info(code)->message);
}

enum err store_batch_line_numbers(struct store_tx *tx, struct arena *arena, const struct id *owner,
                                  const struct id *batch, int64_t **ret, size_t *ret_count,
                                  struct error *error)
{
    int64_t *numbers = NULL;
    size_t count = 0, capacity = 0;
    struct query query = query_begin(
        tx->sqlite, "SELECT line FROM batch_lines WHERE owner = ? AND batch = ? ORDER BY line");
    query_bind_id(&query, owner);
    query_bind_id(&query, batch);
    while (query_next_into(&query, arena))
        *VEC_PUSH(arena, numbers, count, capacity) = query_int(&query);
    enum err code = query_end(&query, error);
    if (code != ERR_OK)
        return code;
    *ret = numbers;
    *ret_count = count;
    return ERR_OK;
}

enum err store_batch_line_list(struct store_tx *tx, struct arena *arena, const struct id *owner,
                               const struct id *batch, int64_t after, size_t bytes,
                               struct store_batch_line **ret, size_t *ret_count,
                               struct error *error)
{
    struct store_batch_line *lines = NULL;
    size_t count = 0, capacity = 0, read = 0;
    struct query query =
        query_begin(tx->sqlite, "SELECT line, is_failure, result FROM batch_lines"
                                " WHERE owner = ? AND batch = ? AND line > ? ORDER BY line");
    query_bind_id(&query, owner);
    query_bind_id(&query, batch);
    query_bind_int(&query, after);
    while (read < bytes && query_next_into(&query, arena)) {
        struct store_batch_line *line = VEC_PUSH(arena, lines, count, capacity);
        *line = (struct store_batch_line){.owner = *owner, .batch = *batch};
        line->line = query_int(&query);
        line->is_failure = query_int(&query) != 0;
        line->result = query_text(&query, arena);
        read += line->result.len + sizeof *line;
    }
    enum err code = query_end(&query, error);
    if (code != ERR_OK)
        return code;
    *ret = lines;
    *ret_count = count;
    return ERR_OK;
}

enum err store_batch_line_clean(struct store_tx *tx, int64_t limit, int64_t *ret_deleted,
                                struct error *error)
{
    struct query query = query_begin(
        tx->sqlite,
        "DELETE FROM batch_lines WHERE (owner, batch, line) IN (SELECT owner, batch, line FROM"
        " batch_lines AS l WHERE NOT EXISTS (SELECT 1 FROM batches AS b WHERE b.owner = l.owner"
        " AND b.id = l.batch AND b." UNFINISHED ") LIMIT ?)");
    query_bind_int(&query, limit);
    int deleted;
    enum err code = query_run_counted(&query, &deleted, error);
    *ret_deleted = deleted;
    return code;
}
