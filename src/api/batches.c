/* What the doors of batches share: a batch is a row that the queue finds. */
#include "api/batches.h"

#include "base/clock.h"
#include "chat/batch_gemini.h"

enum { UNFINISHED_MAX = 100 }; /* of one person's */

struct batches_call *batches_call_new(struct api_request *request, enum batch_form form)
{
    struct batches_call *call = ARENA_NEW(request->arena, struct batches_call);
    call->request = request;
    call->form = form;
    call->input_field = "input_file_id";
    call->list_member = "data";
    call->batch.owner = request->who.user;
    return call;
}

/* Who runs it: what the request says, else the setting. */
static enum err read_hand(const struct api_request *request, enum store_batch_hand *ret_hand,
                          struct error *error)
{
    struct str value = http_headers_get(&request->http->headers, "x-parley-batch");
    if (str_eq_nocase(value, STR("provider"))) {
        *ret_hand = STORE_BATCH_HAND;
    } else if (str_eq_nocase(value, STR("here"))) {
        *ret_hand = STORE_BATCH_HERE;
    } else if (value.len) {
        return error_set(error, ERR_INVALID, "x-parley-batch", "must be provider or here");
    } else {
        const struct api_host *host = request->api->options.host;
        const struct config *config = host->config_acquire(host->user);
        bool hands_on = config_get_bool(config, "batches.hand_on");
        host->config_release(host->user, config);
        *ret_hand = hands_on ? STORE_BATCH_HAND_IF : STORE_BATCH_HERE;
    }
    return ERR_OK;
}

enum err batches_prepare(struct batches_call *call, const struct batch_endpoint *endpoint,
                         struct error *error)
{
    const struct api_request *request = call->request;
    int64_t now = clock_wall_ms();
    call->batch.id = id_new(now);
    call->batch.dialect = batch_form_name(call->form);
    call->batch.endpoint = str_from_cstr(endpoint->url);
    call->batch.maker_kind = request->who.kind;
    call->batch.maker_key = request->who.key;
    call->batch.maker_address = str_from_cstr(request->http->peer_address);
    call->batch.created_ms = now;
    call->batch.expires_ms = now + (int64_t)request->api->options.batch_window_ms;
    return read_hand(request, &call->batch.hand, error);
}

static void reply(struct batches_call *call)
{
    struct api_reply reply;
    api_reply_begin(&reply);
    call->write(call->request, &reply.w, &call->batch);
    api_reply(call->request, 200, &reply);
}

static void on_done(void *user, enum err code, const struct error *error)
{
    struct batches_call *call = user;
    if (!api_failed(call->request, code, error))
        reply(call);
}

/* The queue has something to do. */
static void on_changed(void *user, enum err code, const struct error *error)
{
    struct batches_call *call = user;
    if (code == ERR_OK)
        batch_bell_ring(call->request->api->options.batch_bell);
    on_done(user, code, error);
}

typedef enum err run_fn(struct store_tx *tx, void *user, struct error *error);
typedef void done_fn(void *user, enum err code, const struct error *error);

static void start_write(struct batches_call *call, run_fn *run)
{
    struct api_options *options = &call->request->api->options;
    call->job = (struct store_job){.run = run, .done = on_changed, .user = call};
    store_write(options->store, options->loop, &call->job);
}

static void start_read(struct batches_call *call, run_fn *run, done_fn *done)
{
    struct api_options *options = &call->request->api->options;
    call->job = (struct store_job){.run = run, .done = done, .user = call};
    store_read(options->store, options->loop, &call->job);
}

static enum err run_insert(struct store_tx *tx, void *user, struct error *error)
{
    struct batches_call *call = user;
    struct store_file input;
    enum err code = store_file_get(tx, call->request->arena, &call->batch.owner, &call->batch.input,
                                   call->batch.created_ms, &input, error);
    if (code == ERR_NOT_FOUND)
        return error_set(error, ERR_INVALID, call->input_field, "no such file");
    if (code == ERR_OK && (uint64_t)input.bytes > BATCH_INPUT_BYTES_MAX)
        return error_set(error, ERR_TOO_BIG, call->input_field, "must be 200 MiB at most");
    return code == ERR_OK ? store_batch_insert(tx, &call->batch, UNFINISHED_MAX, error) : code;
}

void batches_insert(struct batches_call *call)
{
    start_write(call, run_insert);
}

/* ---- The input ------------------------------------------------------------------------------- */

static enum err make_input(void *user, struct file_work *work, struct error *error)
{
    struct batches_call *call = user;
    struct arena *scratch = arena_new(SIZE_MAX);
    enum err code = call->make_lines(call, scratch, &call->lines, error);
    arena_free(scratch);
    work->content = buf_str(&call->lines);
    for (size_t i = 0; i < work->content.len; i++)
        call->batch.total += work->content.data[i] == '\n';
    return code;
}

static void on_input_stored(void *user, enum err code, const struct error *error)
{
    struct batches_call *call = user;
    buf_done(&call->lines);
    if (api_failed(call->request, code, error))
        return;
    call->batch.input = call->file.file.id;
    batches_insert(call);
}

void batches_make(struct batches_call *call, int64_t lifetime_seconds,
                  enum err (*make_lines)(struct batches_call *call, struct arena *scratch,
                                         struct buf *out, struct error *error))
{
    struct api_request *request = call->request;
    struct api_options *options = &request->api->options;
    call->batch.output_seconds = lifetime_seconds;
    call->make_lines = make_lines;
    buf_init(&call->lines, BATCH_INPUT_BYTES_MAX);
    call->file = (struct file_work){
        .file = {.owner = request->who.user,
                 .purpose = STR("batch"),
                 .name = STR("requests.jsonl"),
                 .expires_ms = call->batch.expires_ms + lifetime_seconds * 1000,
                 .mime = STR("application/jsonl")},
        .arena = request->arena,
        .make = make_input,
        .done = on_input_stored,
        .user = call,
    };
    files_put(options->files, options->loop, &call->file);
}

/* ---- One ------------------------------------------------------------------------------------- */

/* Another dialect's batch has another form: it is not there. */
enum err batches_read(struct store_tx *tx, struct batches_call *call, struct error *error)
{
    struct id id = call->batch.id;
    enum err code = store_batch_get(tx, call->request->arena, &call->request->who.user, &id,
                                    &call->batch, error);
    if (code == ERR_OK && batch_form_of(call->batch.dialect) != call->form)
        return error_set(error, ERR_NOT_FOUND, NULL, "no such batch");
    return code;
}

static enum err run_get(struct store_tx *tx, void *user, struct error *error)
{
    return batches_read(tx, user, error);
}

void batches_get(struct batches_call *call)
{
    if (stored_parameter_id(call->request, 0, &call->batch.id))
        start_read(call, run_get, on_done);
}

static enum err run_cancel(struct store_tx *tx, void *user, struct error *error)
{
    struct batches_call *call = user;
    struct id id = call->batch.id;
    enum err code = batches_read(tx, call, error);
    if (code != ERR_OK)
        return code;
    return store_batch_cancel(tx, call->request->arena, &call->request->who.user, &id,
                              clock_wall_ms(), &call->batch, error);
}

void batches_cancel(struct batches_call *call)
{
    if (stored_parameter_id(call->request, 0, &call->batch.id))
        start_write(call, run_cancel);
}

/* What was uploaded by itself stays: only Gemini's door takes both. */
static bool is_own_input(struct batches_call *call)
{
    struct arena *arena = call->request->arena;
    return call->form != BATCH_GEMINI || !batch_gemini_kept(arena, call->batch.metadata).file.len;
}

static enum err run_delete(struct store_tx *tx, void *user, struct error *error)
{
    struct batches_call *call = user;
    const struct id *owner = &call->request->who.user;
    int64_t now = clock_wall_ms();
    enum err code = batches_read(tx, call, error);
    if (code == ERR_OK)
        code = store_batch_delete(tx, owner, &call->batch.id, error);
    if (code == ERR_OK && is_own_input(call))
        code = store_file_end(tx, owner, &call->batch.input, now, error);
    return code == ERR_OK ? store_file_end(tx, owner, &call->batch.output, now, error) : code;
}

void batches_delete(struct batches_call *call)
{
    if (stored_parameter_id(call->request, 0, &call->batch.id))
        start_write(call, run_delete);
}

/* ---- Lists ----------------------------------------------------------------------------------- */

struct listing {
    struct batches_call *call;
    void (*write_page)(struct json_writer *w, const struct batches_call *call);
};

static enum err run_list(struct store_tx *tx, void *user, struct error *error)
{
    struct batches_call *call = ((struct listing *)user)->call;
    return store_batch_list(tx, call->request->arena, &call->request->who.user, &call->page,
                            &call->batches, &call->count, &call->has_more, error);
}

static void reply_list(void *user, enum err code, const struct error *error)
{
    struct listing *listing = user;
    struct batches_call *call = listing->call;
    struct api_reply reply;
    if (api_failed(call->request, code, error))
        return;
    api_reply_begin(&reply);
    json_key_array(&reply.w, call->list_member);
    for (size_t i = 0; i < call->count; i++) {
        /* What was asked for from the end on comes oldest first, and is shown newest first. */
        size_t k = call->page.is_reversed ? call->count - 1 - i : i;
        json_begin_object(&reply.w);
        call->write(call->request, &reply.w, &call->batches[k]);
        json_end_object(&reply.w);
    }
    json_end_array(&reply.w);
    listing->write_page(&reply.w, call);
    api_reply(call->request, 200, &reply);
}

void batches_list(struct batches_call *call,
                  void (*write_page)(struct json_writer *w, const struct batches_call *call))
{
    struct api_options *options = &call->request->api->options;
    struct listing *listing = ARENA_NEW(call->request->arena, struct listing);
    *listing = (struct listing){call, write_page};
    call->page.dialect = batch_form_name(call->form);
    call->job = (struct store_job){.run = run_list, .done = reply_list, .user = listing};
    store_read(options->store, options->loop, &call->job);
}
