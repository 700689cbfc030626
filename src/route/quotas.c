/* Quotas: from the database into the limiter, at the start and at each change.
 *
 * Two loops may change the same quota: memory must end with what the database ends with. So the
 * limiter is set on the store's thread, where commits have one order, and only the answer travels to
 * the loop that asked. */
#include "route/quotas.h"

#include <stdlib.h>

#include "base/assert.h"
#include "store/records.h"

enum { LOAD_BYTES_MAX = 256 * 1024 * 1024, QUOTA_BYTES_MAX = 4096 };

/* ---- Loading --------------------------------------------------------------------------------- */

struct loading {
    struct limiter *limiter;
    struct arena *arena;
};

static enum err load_row(struct limiter *limiter, const struct store_quota *row,
                         struct arena *scratch, struct error *error)
{
    enum quota_kind kind;
    struct quota quota;
    yyjson_val *root;
    struct error wrong = {0};
    enum err code = quota_kind_find(row->kind, &kind) ? ERR_OK : ERR_INVALID;
    if (code == ERR_OK)
        code = json_read(scratch, row->quota, &root, &wrong);
    if (code == ERR_OK)
        code = quota_read(root, &quota, &wrong);
    if (code != ERR_OK)
        return error_set(error, ERR_CORRUPT, NULL, "the limits of %.*s %.*s cannot be read: %s %s",
                         STR_ARG(row->kind), STR_ARG(row->id), wrong.field, error_message(&wrong));
    limiter_set(limiter, (struct limiter_subject){kind, row->id}, &quota);
    return ERR_OK;
}

static enum err load_all(struct store_tx *tx, void *user, struct error *error)
{
    struct loading *loading = user;
    struct store_quota *rows = NULL;
    size_t count = 0;
    enum err code = store_quota_list(tx, loading->arena, &rows, &count, error);
    struct arena *scratch = arena_new(64 * 1024);
    for (size_t i = 0; i < count && code == ERR_OK; i++) {
        code = load_row(loading->limiter, &rows[i], scratch, error);
        arena_reset(scratch);
    }
    arena_free(scratch);
    return code;
}

enum err quotas_load(struct limiter *limiter, struct store *store, struct error *error)
{
    struct loading loading = {limiter, arena_new(LOAD_BYTES_MAX)};
    enum err code = store_read_now(store, load_all, &loading, error);
    arena_free(loading.arena);
    return code;
}

/* ---- Changing -------------------------------------------------------------------------------- */

struct change {
    struct limiter *limiter;
    struct loop *loop;
    struct limiter_subject subject; /* of the id that ends the struct */
    bool is_removal;
    struct quota quota;
    char text[QUOTA_BYTES_MAX]; /* of the quota */
    size_t text_length;
    struct store_job job;
    struct loop_task task;
    quotas_done_fn *done;
    void *user;
    char id[];
};

static enum err write_change(struct store_tx *tx, void *user, struct error *error)
{
    const struct change *change = user;
    struct str kind = str_from_cstr(quota_kind_name(change->subject.kind));
    if (change->is_removal)
        return store_quota_delete(tx, kind, change->subject.id, error);
    return store_quota_set(
        tx,
        &(struct store_quota){.kind = kind,
                              .id = change->subject.id,
                              .quota = STR_FROM(change->text, change->text_length)},
        error);
}

static void answer(void *user)
{
    struct change *change = user;
    enum err code = change->job.code;
    change->done(change->user, code, code == ERR_OK ? NULL : &change->job.error);
    free(change);
}

/* On the store's thread. */
static void on_committed(void *user, enum err code, const struct error *error)
{
    struct change *change = user;
    (void)error; /* stays in the job */
    if (code == ERR_OK)
        limiter_set(change->limiter, change->subject, change->is_removal ? NULL : &change->quota);
    if (!loop_post(change->loop, &change->task, answer, change))
        free(change); /* a closed loop has nobody to tell */
}

static void write_text(struct change *change)
{
    struct buf out;
    struct json_writer w;
    buf_init(&out, sizeof change->text);
    json_writer_init(&w, &out);
    quota_write(&w, &change->quota);
    ASSERT(buf_ok(&out));
    change->text_length = out.len;
    memcpy(change->text, out.data, out.len);
    buf_done(&out);
}

void quotas_change(struct limiter *limiter, struct store *store, struct loop *loop,
                   struct limiter_subject subject, const struct quota *quota, quotas_done_fn *done,
                   void *user)
{
    struct change *change = calloc(1, sizeof *change + subject.id.len);
    ASSERT(change);
    change->limiter = limiter;
    change->loop = loop;
    change->done = done;
    change->user = user;
    change->is_removal = !quota;
    if (subject.id.len)
        memcpy(change->id, subject.id.data, subject.id.len);
    change->subject = (struct limiter_subject){subject.kind, STR_FROM(change->id, subject.id.len)};
    if (quota) {
        change->quota = *quota;
        write_text(change);
    }
    change->job = (struct store_job){.run = write_change, .done = on_committed, .user = change};
    store_write(store, NULL, &change->job);
}
