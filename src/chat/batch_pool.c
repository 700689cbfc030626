/* What a batch does with files: reading its input, writing its results. Blocking: on a thread of the
 * pool, while the run's loop leaves its input and its own members alone. */
#include "base/clock.h"
#include "chat/batch_gemini.h"
#include "chat/batch_internal.h"

enum { PAGE_BYTES = 4 * 1024 * 1024, PAGE_ARENA_BYTES_MAX = 512 * 1024 * 1024 };
#define OUT_BYTES_MAX ((size_t)1024 * 1024 * 1024)

/* ---- Opening --------------------------------------------------------------------------------- */

/* What is asked of the store. */
struct opening {
    struct batch_run *run;
    struct arena *arena;
    struct store_file input;
    int64_t *done; /* numbers of the lines with a result, in order */
    size_t done_count;
};

static enum err read_state(struct store_tx *tx, void *user, struct error *error)
{
    struct opening *opening = user;
    const struct store_batch *known = &opening->run->batch;
    struct store_batch batch;
    enum err code = store_batch_get(tx, opening->arena, &known->owner, &known->id, &batch, error);
    if (code == ERR_NOT_FOUND || (code == ERR_OK && store_batch_is_ended(&batch)))
        return error_set(error, ERR_CONFLICT, NULL, "the batch has ended");
    if (code == ERR_OK)
        code = store_file_get(tx, opening->arena, &known->owner, &known->input, 0, &opening->input,
                              error);
    if (code == ERR_OK)
        code = store_batch_line_numbers(tx, opening->arena, &known->owner, &known->id,
                                        &opening->done, &opening->done_count, error);
    return code;
}

/* Both are in order. */
static void mark_done(struct batch_input *input, const int64_t *done, size_t count)
{
    size_t k = 0;
    for (size_t i = 0; i < input->count; i++) {
        while (k < count && done[k] < input->lines[i].number)
            k++;
        input->lines[i].is_done = k < count && done[k] == input->lines[i].number;
    }
}

static enum err open_input(struct opening *opening, struct error *error)
{
    struct batch_run *run = opening->run;
    const struct batch_options *options = &run->queue->options;
    enum err code = store_read_now(options->store, read_state, opening, error);
    if (code == ERR_OK && (uint64_t)opening->input.bytes > BATCH_INPUT_BYTES_MAX)
        return error_set(error, ERR_TOO_BIG, NULL, "the input is longer than 200 MiB");
    if (code == ERR_OK && !run->endpoint)
        return error_set(error, ERR_INVALID, NULL, "batches cannot ask for that any more");
    if (code == ERR_OK)
        code = blob_map(files_directory(options->files), &run->batch.input, &run->blob, error);
    if (code != ERR_OK)
        return code;
    struct str model = run->endpoint->form == BATCH_GEMINI
                           ? batch_gemini_kept(run->arena, run->batch.metadata).model
                           : STR_NONE;
    code =
        batch_input_read(run->arena, run->endpoint, run->blob.content, model, &run->input, error);
    if (code == ERR_OK)
        mark_done(&run->input, opening->done, opening->done_count);
    else
        blob_unmap(&run->blob);
    return code;
}

void batch_pool_open(void *user)
{
    struct batch_run *run = user;
    struct opening opening = {.run = run, .arena = arena_new(SIZE_MAX)};
    run->error = (struct error){0};
    run->code = open_input(&opening, &run->error);
    arena_free(opening.arena);
}

/* ---- Writing --------------------------------------------------------------------------------- */

/* One file of results. */
struct result_file {
    struct store_file *row;
    struct buf pending;
    uint64_t bytes; /* on disk */
};

struct writing {
    struct batch_run *run;
    const char *directory;
    struct result_file answers;
    struct result_file failures;
    size_t next;   /* line of the input whose result comes next */
    int64_t after; /* number of the last line that was read from the store */
    struct arena *page;
    struct store_batch_line *lines; /* of this page */
    size_t count;
};

static struct result_file *file_for(struct writing *writing, bool is_failure)
{
    bool has_own = writing->run->endpoint->form == BATCH_OPENAI;
    return is_failure && has_own ? &writing->failures : &writing->answers;
}

/* Lines up to `number` that have no result. */
static void write_undone(struct writing *writing, int64_t number)
{
    struct batch_run *run = writing->run;
    const struct batch_line *lines = run->input.lines;
    for (; writing->next < run->input.count && lines[writing->next].number < number;
         writing->next++)
        batch_write_undone(&file_for(writing, true)->pending, run->endpoint, id_str(&run->batch.id),
                           &lines[writing->next], run->batch.cancelling_ms == 0);
}

static enum err flush(struct writing *writing, struct result_file *file, struct error *error)
{
    if (!file->pending.len)
        return ERR_OK;
    if (!buf_ok(&file->pending))
        return error_set(error, ERR_STORAGE, NULL, "the results are too large");
    if (id_is_none(&file->row->id))
        file->row->id = id_new(clock_wall_ms());
    enum err code = blob_append(writing->directory, &file->row->id, file->bytes,
                                buf_str(&file->pending), error);
    file->bytes += file->pending.len;
    buf_clear(&file->pending);
    return code;
}

static enum err read_page(struct store_tx *tx, void *user, struct error *error)
{
    struct writing *writing = user;
    const struct store_batch *batch = &writing->run->batch;
    return store_batch_line_list(tx, writing->page, &batch->owner, &batch->id, writing->after,
                                 PAGE_BYTES, &writing->lines, &writing->count, error);
}

static enum err write_page(struct writing *writing, struct error *error)
{
    struct batch_queue *queue = writing->run->queue;
    if (atomic_load(&queue->is_stopping))
        return error_set(error, ERR_CANCELLED, NULL, "stopping");
    arena_reset(writing->page);
    enum err code = store_read_now(queue->options.store, read_page, writing, error);
    for (size_t i = 0; code == ERR_OK && i < writing->count; i++) {
        const struct store_batch_line *line = &writing->lines[i];
        write_undone(writing, line->line);
        buf_append(&file_for(writing, line->is_failure)->pending, line->result);
        writing->after = line->line;
        writing->next++;
    }
    if (code == ERR_OK && writing->count == 0)
        write_undone(writing, INT64_MAX);
    if (code == ERR_OK)
        code = flush(writing, &writing->answers, error);
    return code == ERR_OK ? flush(writing, &writing->failures, error) : code;
}

static enum err commit(struct writing *writing, struct result_file *file, const char *name,
                       struct error *error)
{
    const struct store_batch *batch = &writing->run->batch;
    struct store_file *row = file->row;
    char sha256[BLOB_SHA256_CHARS + 1];
    uint64_t bytes;
    if (id_is_none(&row->id))
        return ERR_OK;
    enum err code = blob_commit(writing->directory, &row->id, &bytes, sha256, error);
    if (code != ERR_OK)
        return code;
    row->owner = batch->owner;
    row->purpose = STR("batch_output");
    row->name = arena_printf(writing->run->arena, "batch_%s_%s.jsonl", batch->id.text, name);
    row->mime = STR("application/jsonl");
    row->sha256 = arena_str(writing->run->arena, STR_FROM(sha256, BLOB_SHA256_CHARS));
    row->bytes = (int64_t)bytes;
    row->created_ms = clock_wall_ms();
    row->expires_ms = batch->output_seconds ? row->created_ms + batch->output_seconds * 1000 : 0;
    return ERR_OK;
}

static enum err write_all(struct writing *writing, struct error *error)
{
    enum err code;
    do
        code = write_page(writing, error);
    while (code == ERR_OK && writing->count > 0);
    if (code == ERR_OK)
        code = commit(writing, &writing->answers, "output", error);
    return code == ERR_OK ? commit(writing, &writing->failures, "error", error) : code;
}

/* What cannot be deleted now the next start sweeps away. */
static void drop(const struct writing *writing, struct store_file *row)
{
    if (!id_is_none(&row->id) && blob_delete(writing->directory, &row->id, NULL) == ERR_OK)
        *row = (struct store_file){0};
}

void batch_pool_write(void *user)
{
    struct batch_run *run = user;
    struct writing writing = {.run = run,
                              .directory = files_directory(run->queue->options.files),
                              .answers = {.row = &run->output},
                              .failures = {.row = &run->failures_file},
                              .page = arena_new(PAGE_ARENA_BYTES_MAX)};
    run->output = run->failures_file = (struct store_file){0};
    run->error = (struct error){0};
    buf_init(&writing.answers.pending, OUT_BYTES_MAX);
    buf_init(&writing.failures.pending, OUT_BYTES_MAX);
    run->code = write_all(&writing, &run->error);
    if (run->code != ERR_OK) {
        drop(&writing, &run->output);
        drop(&writing, &run->failures_file);
    }
    buf_done(&writing.answers.pending);
    buf_done(&writing.failures.pending);
    arena_free(writing.page);
}
