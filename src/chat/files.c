/* Files: each thing that is done is a list of steps, some in the pool (contents), some in the store
 * (rows), one after the other.
 *
 *   files_put, ... -> next_step --> on_pooled / on_stored --> next_step ... --> done
 *                                     | an error: the undo step, then done with it
 *
 * A row is written after its content and deleted before it. */
#include "chat/files.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/utf8.h"
#include "store/blob.h"

enum { COUNT_MAX_DEFAULT = 10000, EXPIRE_AT_ONCE = 100 };

struct files {
    struct files_options options;
    char *directory;
    struct store_file_limits limits;
};

enum where { IN_POOL, IN_READER, IN_WRITER, AT_END };

struct file_step {
    enum where where;
    enum err (*run)(struct store_tx *tx, struct file_work *work, struct error *error);
};

/* ---- Names ----------------------------------------------------------------------------------- */

struct str files_clean_name(struct arena *arena, struct str name)
{
    struct buf clean;
    size_t start = name.len;
    while (start > 0 && name.data[start - 1] != '/' && name.data[start - 1] != '\\')
        start--;
    name = str_skip(name, start);
    buf_init(&clean, 8 * FILES_NAME_BYTES_MAX);
    utf8_repair(&clean, str_slice(name, 0, 2 * FILES_NAME_BYTES_MAX));
    char *text = arena_alloc(arena, clean.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < clean.len; i++)
        if ((unsigned char)clean.data[i] >= 0x20 && clean.data[i] != 0x7f)
            text[len++] = clean.data[i];
    buf_done(&clean);
    struct str kept = str_trim(STR_FROM(text, utf8_cut(STR_FROM(text, len), FILES_NAME_BYTES_MAX)));
    bool is_nothing = kept.len == 0 || str_eq(kept, STR(".")) || str_eq(kept, STR(".."));
    return is_nothing ? STR("file") : kept;
}

/* ---- Steps ----------------------------------------------------------------------------------- */

static void next_step(struct file_work *work);

static void after_step(struct file_work *work)
{
    if (work->code == ERR_OK && work->step) {
        next_step(work);
        return;
    }
    work->step = work->code == ERR_OK ? NULL : work->undo;
    work->undo = NULL;
    if (work->step)
        next_step(work);
    else
        work->done(work->user, work->code, work->code == ERR_OK ? NULL : &work->error);
}

/* An undo keeps the error that made it necessary. */
static void note(struct file_work *work, enum err code, const struct error *error)
{
    if (work->code != ERR_OK || code == ERR_OK)
        return;
    work->code = code;
    work->error = *error;
    work->step = NULL;
}

static void run_pooled(void *user)
{
    struct file_work *work = user;
    struct error error = {0};
    enum err code = work->step->run(NULL, work, &error);
    work->step++;
    note(work, code, &error);
}

static void on_pooled(void *user)
{
    struct file_work *work = user;
    if (work->step && work->step->where == AT_END)
        work->step = NULL;
    after_step(work);
}

static enum err run_stored(struct store_tx *tx, void *user, struct error *error)
{
    struct file_work *work = user;
    return work->step->run(tx, work, error);
}

static void on_stored(void *user, enum err code, const struct error *error)
{
    struct file_work *work = user;
    work->step++;
    note(work, code, error);
    on_pooled(work);
}

static void next_step(struct file_work *work)
{
    struct store *store = work->files->options.store;
    work->job = (struct store_job){.run = run_stored, .done = on_stored, .user = work};
    if (work->step->where == IN_POOL)
        loop_work_start(work->loop, &work->pool, run_pooled, on_pooled, work);
    else if (work->step->where == IN_WRITER)
        store_write(store, work->loop, &work->job);
    else
        store_read(store, work->loop, &work->job);
}

/* `undo`: a list of its own, for when a step behind the first one fails; NULL: nothing to undo. */
static void start(struct files *files, struct loop *loop, struct file_work *work,
                  const struct file_step *steps, const struct file_step *undo)
{
    work->files = files;
    work->loop = loop;
    work->step = steps;
    work->undo = undo;
    work->code = ERR_OK;
    next_step(work);
}

/* ---- Contents -------------------------------------------------------------------------------- */

static enum err check_size(const struct file_work *work, uint64_t bytes, struct error *error)
{
    if (bytes <= work->files->options.file_bytes_max)
        return ERR_OK;
    return error_set(error, ERR_TOO_BIG, "file", "a file may have %llu bytes at most",
                     (unsigned long long)work->files->options.file_bytes_max);
}

static enum err write_content(struct store_tx *tx, struct file_work *work, struct error *error)
{
    (void)tx;
    char sha256[BLOB_SHA256_CHARS + 1];
    enum err code = work->make ? work->make(work->user, work, error) : ERR_OK;
    if (code == ERR_OK)
        code = check_size(work, work->content.len, error);
    if (code == ERR_OK)
        code = blob_write(work->files->directory, &work->file.id, work->content, sha256, error);
    if (code != ERR_OK)
        return code;
    work->file.bytes = (int64_t)work->content.len;
    work->file.sha256 = arena_str(work->arena, STR_FROM(sha256, BLOB_SHA256_CHARS));
    return ERR_OK;
}

static enum err delete_content(struct store_tx *tx, struct file_work *work, struct error *error)
{
    (void)tx;
    return blob_delete(work->files->directory, &work->file.id, error);
}

static enum err read_piece(struct store_tx *tx, struct file_work *work, struct error *error)
{
    (void)tx;
    size_t len = 0;
    char *piece = arena_alloc(work->arena, FILES_PIECE_BYTES);
    enum err code = blob_read(work->files->directory, &work->file.id, work->offset, piece,
                              FILES_PIECE_BYTES, &len, error);
    work->content = STR_FROM(piece, len);
    return code;
}

static enum err append_piece(struct store_tx *tx, struct file_work *work, struct error *error)
{
    (void)tx;
    const char *directory = work->files->directory;
    uint64_t announced = (uint64_t)work->file.bytes, bytes;
    char sha256[BLOB_SHA256_CHARS + 1];
    if (work->offset > announced || work->content.len > announced - work->offset ||
        (work->is_last && work->content.len != announced - work->offset))
        return error_set(error, ERR_CONFLICT, NULL, "%llu bytes were announced",
                         (unsigned long long)announced);
    enum err code = blob_append(directory, &work->file.id, work->offset, work->content, error);
    if (code != ERR_OK || !work->is_last)
        return code;
    code = blob_commit(directory, &work->file.id, &bytes, sha256, error);
    work->file.bytes = (int64_t)bytes;
    work->file.sha256 = arena_str(work->arena, STR_FROM(sha256, BLOB_SHA256_CHARS));
    return code;
}

static enum err ask_begun(struct store_tx *tx, struct file_work *work, struct error *error)
{
    (void)tx;
    enum err code = blob_begun_bytes(work->files->directory, &work->file.id, &work->offset, error);
    if (code != ERR_NOT_FOUND)
        return code;
    work->offset = 0;
    return ERR_OK;
}

/* ---- Rows ------------------------------------------------------------------------------------ */

static enum err insert_row(struct store_tx *tx, struct file_work *work, struct error *error)
{
    enum err code = check_size(work, (uint64_t)work->file.bytes, error);
    return code == ERR_OK ? store_file_insert(tx, &work->file, &work->files->limits, error) : code;
}

static enum err get_row(struct store_tx *tx, struct file_work *work, struct error *error)
{
    struct id owner = work->file.owner, id = work->file.id;
    return store_file_get(tx, work->arena, &owner, &id, clock_wall_ms(), &work->file, error);
}

static enum err delete_row(struct store_tx *tx, struct file_work *work, struct error *error)
{
    enum err code = get_row(tx, work, error); /* also what has expired is not there */
    return code == ERR_OK ? store_file_delete(tx, &work->file.owner, &work->file.id, error) : code;
}

static enum err get_begun_row(struct store_tx *tx, struct file_work *work, struct error *error)
{
    struct store_file found;
    enum err code = store_file_get_begun(tx, work->arena, &work->file.owner, &work->file.id,
                                         clock_wall_ms(), &found, error);
    if (code != ERR_OK)
        return code;
    found.expires_ms = work->file.expires_ms; /* of what it becomes */
    work->file = found;
    return ERR_OK;
}

static enum err finish_row(struct store_tx *tx, struct file_work *work, struct error *error)
{
    return work->is_last ? store_file_finish(tx, &work->file, error) : ERR_OK;
}

/* ---- What can be done ------------------------------------------------------------------------ */

static void name_new(struct file_work *work)
{
    work->file.created_ms = clock_wall_ms();
    work->file.id = id_new(work->file.created_ms);
}

void files_put(struct files *files, struct loop *loop, struct file_work *work)
{
    static const struct file_step steps[] = {
        {IN_POOL, write_content}, {IN_WRITER, insert_row}, {AT_END, NULL}};
    static const struct file_step undo[] = {{IN_POOL, delete_content}, {AT_END, NULL}};
    name_new(work);
    start(files, loop, work, steps, undo);
}

void files_get(struct files *files, struct loop *loop, struct file_work *work)
{
    static const struct file_step steps[] = {{IN_READER, get_row}, {AT_END, NULL}};
    start(files, loop, work, steps, NULL);
}

void files_delete(struct files *files, struct loop *loop, struct file_work *work)
{
    static const struct file_step steps[] = {
        {IN_WRITER, delete_row}, {IN_POOL, delete_content}, {AT_END, NULL}};
    start(files, loop, work, steps, NULL);
}

void files_read(struct files *files, struct loop *loop, struct file_work *work)
{
    static const struct file_step steps[] = {{IN_POOL, read_piece}, {AT_END, NULL}};
    start(files, loop, work, steps, NULL);
}

void files_begin(struct files *files, struct loop *loop, struct file_work *work)
{
    static const struct file_step steps[] = {{IN_WRITER, insert_row}, {AT_END, NULL}};
    name_new(work);
    work->file.is_begun = true;
    work->file.sha256 = STR("");
    start(files, loop, work, steps, NULL);
}

void files_append(struct files *files, struct loop *loop, struct file_work *work)
{
    static const struct file_step steps[] = {{IN_READER, get_begun_row},
                                             {IN_POOL, append_piece},
                                             {IN_WRITER, finish_row},
                                             {AT_END, NULL}};
    start(files, loop, work, steps, NULL);
}

void files_ask(struct files *files, struct loop *loop, struct file_work *work)
{
    static const struct file_step steps[] = {
        {IN_READER, get_begun_row}, {IN_POOL, ask_begun}, {AT_END, NULL}};
    start(files, loop, work, steps, NULL);
}

/* ---- Expiry ---------------------------------------------------------------------------------- */

struct expiry {
    struct file_work work; /* for its steps only */
    struct arena *arena;
    struct id *ids;
    size_t count;
};

static enum err expire_rows(struct store_tx *tx, struct file_work *work, struct error *error)
{
    struct expiry *expiry = work->user;
    return store_file_expire(tx, expiry->arena, clock_wall_ms(), EXPIRE_AT_ONCE, &expiry->ids,
                             &expiry->count, error);
}

static enum err expire_contents(struct store_tx *tx, struct file_work *work, struct error *error)
{
    (void)tx;
    struct expiry *expiry = work->user;
    enum err code = ERR_OK;
    for (size_t i = 0; i < expiry->count && code == ERR_OK; i++)
        code = blob_delete(work->files->directory, &expiry->ids[i], error);
    return code;
}

static void on_expired(void *user, enum err code, const struct error *error)
{
    struct expiry *expiry = user;
    struct files *files = expiry->work.files;
    struct loop *loop = expiry->work.loop;
    bool is_more = code == ERR_OK && expiry->count == EXPIRE_AT_ONCE;
    if (code != ERR_OK)
        log_warning(files->options.log, "expired files were not deleted",
                    LOG_CSTR("error", error_message(error)));
    arena_free(expiry->arena);
    free(expiry);
    if (is_more)
        files_expire(files, loop);
}

void files_expire(struct files *files, struct loop *loop)
{
    static const struct file_step steps[] = {
        {IN_WRITER, expire_rows}, {IN_POOL, expire_contents}, {AT_END, NULL}};
    struct expiry *expiry = calloc(1, sizeof *expiry);
    ASSERT(expiry);
    expiry->arena = arena_new(1024 * 1024);
    expiry->work.done = on_expired;
    expiry->work.user = expiry;
    start(files, loop, &expiry->work, steps, NULL);
}

/* ---- Life ------------------------------------------------------------------------------------ */

struct known {
    struct store_tx *tx;
    enum err code;
    struct error *error;
};

/* What cannot be asked is kept. */
static bool is_known(void *user, const struct id *id)
{
    struct known *known = user;
    bool exists = true;
    if (known->code == ERR_OK)
        known->code = store_file_exists(known->tx, id, &exists, known->error);
    return known->code != ERR_OK || exists;
}

static enum err sweep(struct store_tx *tx, void *user, struct error *error)
{
    struct files *files = user;
    struct known known = {tx, ERR_OK, error};
    size_t deleted = 0;
    enum err code = blob_sweep(files->directory, is_known, &known, &deleted, error);
    if (deleted)
        log_info(files->options.log, "files that were never finished are deleted",
                 LOG_INT("files", deleted));
    return code == ERR_OK ? known.code : code;
}

enum err files_open(const struct files_options *options, struct files **ret_files,
                    struct error *error)
{
    struct files *files = calloc(1, sizeof *files);
    ASSERT(files);
    files->options = *options;
    files->directory = strdup(options->directory);
    ASSERT(files->directory);
    uint64_t owner_bytes_max =
        options->owner_bytes_max ? options->owner_bytes_max : options->total_bytes_max;
    files->limits = (struct store_file_limits){.total_bytes_max = (int64_t)options->total_bytes_max,
                                               .owner_bytes_max = (int64_t)owner_bytes_max,
                                               .count_max = options->count_max ? options->count_max
                                                                               : COUNT_MAX_DEFAULT};
    enum err code = store_read_now(options->store, sweep, files, error);
    if (code == ERR_OK)
        *ret_files = files;
    else
        files_close(files);
    return code;
}

void files_close(struct files *files)
{
    if (!files)
        return;
    free(files->directory);
    free(files);
}

uint64_t files_bytes_max(const struct files *files)
{
    return files->options.file_bytes_max;
}

const char *files_directory(const struct files *files)
{
    return files->directory;
}
