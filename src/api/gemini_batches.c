/* {model}:batchGenerateContent and /v1beta/batches: Gemini's batches, which are operations. Requests come
 * in the body, and then the results stand in the operation; or in a file, and then they are one. */
#include "api/gemini_batches.h"

#include "api/batches.h"
#include "base/clock.h"
#include "chat/batch_gemini.h"
#include "chat/batch_status.h"
#include "store/blob.h"

#define GEMINI_TYPES "type.googleapis.com/google.ai.generativelanguage.v1beta."
enum {
    PAGE_DEFAULT = 50,
    PAGE_MAX = 100,
    FILE_BODY_BYTES_MAX = 64 * 1024,        /* a body that names a file is no longer */
    INLINE_BYTES_MAX = 64 * 1024 * 1024,    /* of results; larger ones are a file all the same */
    OPERATION_BYTES_MAX = 64 * 1024 * 1024, /* of everything else */
};
static const int64_t lifetime_seconds = 7LL * 24 * 3600; /* of results */

/* ---- The object ------------------------------------------------------------------------------ */

static void key_count(struct json_writer *w, const char *key, int64_t count)
{
    char text[STR_U64_BYTES_MAX];
    if (count > 0)
        json_key_str(w, key, STR_FROM(text, str_from_u64((uint64_t)count, text)));
}

static void write_counts(struct json_writer *w, const struct store_batch *batch)
{
    json_key_object(w, "batchStats");
    key_count(w, "requestCount", batch->total);
    key_count(w, "successfulRequestCount", batch->completed);
    key_count(w, "failedRequestCount", batch->failed);
    if (!store_batch_is_ended(batch))
        key_count(w, "pendingRequestCount", batch->total - batch->completed - batch->failed);
    json_end_object(w);
}

static const char *state_of(const struct store_batch *batch)
{
    static const char *const states[] = {
        [STORE_BATCH_VALIDATING] = "BATCH_STATE_PENDING",
        [STORE_BATCH_IN_PROGRESS] = "BATCH_STATE_RUNNING",
        [STORE_BATCH_CANCELLING] = "BATCH_STATE_RUNNING",
        [STORE_BATCH_FINALIZING] = "BATCH_STATE_RUNNING",
        [STORE_BATCH_COMPLETED] = "BATCH_STATE_SUCCEEDED",
        [STORE_BATCH_FAILED] = "BATCH_STATE_FAILED",
        [STORE_BATCH_EXPIRED] = "BATCH_STATE_EXPIRED",
        [STORE_BATCH_CANCELLED] = "BATCH_STATE_CANCELLED",
    };
    return states[batch->status];
}

/* How the results are shown: a line each, which go into the object, or as a file; else not at all. */
struct results {
    struct str lines;
    bool are_file;
};

static void write_output(struct json_writer *w, const struct store_batch *batch,
                         const struct results *results)
{
    char file[ID_LENGTH + 16];
    struct str lines = results->lines;
    if (results->are_file) {
        int len = snprintf(file, sizeof file, "files/%s", batch->output.text);
        json_key_str(w, "responsesFile", STR_FROM(file, (size_t)len));
        return;
    }
    json_key_object(w, "inlinedResponses");
    json_key_array(w, "inlinedResponses");
    while (lines.data && lines.len)
        json_put_raw(w, str_next(&lines, '\n'));
    json_end_array(w);
    json_end_object(w);
}

static bool has_output(const struct store_batch *batch, const struct results *results)
{
    return !id_is_none(&batch->output) && (results->are_file || results->lines.data);
}

static void write_metadata(struct api_request *request, struct json_writer *w,
                           const struct store_batch *batch, const struct results *results)
{
    struct batch_gemini gemini = batch_gemini_kept(request->arena, batch->metadata);
    int64_t updated_ms = batch->ended_ms ? batch->ended_ms : batch->started_ms;
    json_key_object(w, "metadata");
    json_key_str(w, "@type", STR(GEMINI_TYPES "GenerateContentBatch"));
    json_key_str(w, "model", arena_printf(request->arena, "models/%.*s", STR_ARG(gemini.model)));
    json_key_str(w, "displayName", gemini.display_name);
    if (gemini.file.len) {
        json_key_object(w, "inputConfig");
        json_key_str(w, "fileName", gemini.file);
        json_end_object(w);
    }
    if (has_output(batch, results)) {
        json_key_object(w, "output");
        write_output(w, batch, results);
        json_end_object(w);
    }
    json_key_time(w, "createTime", batch->created_ms);
    json_key_time(w, "updateTime", updated_ms ? updated_ms : batch->created_ms);
    if (batch->ended_ms)
        json_key_time(w, "endTime", batch->ended_ms);
    write_counts(w, batch);
    json_key_str(w, "state", str_from_cstr(state_of(batch)));
    json_key_str(w, "name", arena_printf(request->arena, "batches/%s", batch->id.text));
    json_end_object(w);
}

static void write_failure(struct api_request *request, struct json_writer *w,
                          const struct store_batch *batch)
{
    struct llm_error error = {.class = ERR_SERVER, .retry_after_ms = -1};
    yyjson_val *root = NULL;
    if (json_read(request->arena, batch->errors, &root, NULL) == ERR_OK)
        root = yyjson_arr_get_first(root);
    error.class = err_from_name(json_get_str(root, "code"));
    str_copy(json_get_str(root, "message"), error.message, sizeof error.message);
    json_key(w, STR("error"));
    batch_status_put(w, &error);
}

static void write_operation(struct api_request *request, struct json_writer *w,
                            const struct store_batch *batch, const struct results *results)
{
    json_key_str(w, "name", arena_printf(request->arena, "batches/%s", batch->id.text));
    write_metadata(request, w, batch, results);
    if (!store_batch_is_ended(batch))
        return;
    json_key_bool(w, "done", true);
    if (batch->status == STORE_BATCH_FAILED) {
        write_failure(request, w, batch);
        return;
    }
    json_key_object(w, "response");
    json_key_str(w, "@type", STR(GEMINI_TYPES "GenerateContentBatchOutput"));
    if (has_output(batch, results))
        write_output(w, batch, results);
    json_end_object(w);
}

/* Of a batch that was made by requests in the body, only who asks for it alone gets the results. */
static void write_batch(struct api_request *request, struct json_writer *w,
                        const struct store_batch *batch)
{
    struct batch_gemini gemini = batch_gemini_kept(request->arena, batch->metadata);
    write_operation(request, w, batch, &(struct results){.are_file = gemini.file.len > 0});
}

static void write_nothing(struct api_request *request, struct json_writer *w,
                          const struct store_batch *batch)
{
    (void)request, (void)w, (void)batch;
}

static struct batches_call *call_new(struct api_request *request)
{
    struct batches_call *call = batches_call_new(request, BATCH_GEMINI);
    call->write = write_batch;
    call->input_field = "batch.inputConfig.fileName";
    call->list_member = "operations";
    return call;
}

/* ---- Making one ------------------------------------------------------------------------------ */

/* The model stands in call->batch.metadata already. */
static enum err read_batch(struct batches_call *call, struct arena *scratch,
                           struct batch_gemini *ret, struct buf *out, struct error *error)
{
    struct arena *arena = call->request->arena;
    *ret = batch_gemini_kept(scratch, call->batch.metadata);
    enum err code = batch_gemini_read(scratch, call->request->http->body, ret, out, error);
    if (code == ERR_OK)
        call->batch.metadata = batch_gemini_keep(arena, ret);
    return code;
}

static enum err make_lines(struct batches_call *call, struct arena *scratch, struct buf *out,
                           struct error *error)
{
    struct batch_gemini gemini;
    enum err code = read_batch(call, scratch, &gemini, out, error);
    if (code == ERR_OK && gemini.file.len)
        return error_set(error, ERR_TOO_BIG, "batch", "is too long to name a file");
    return code;
}

/* Whether the batch is one of a file: then call->batch.input is that. */
static enum err find_file(struct batches_call *call, bool *ret_is_file, struct error *error)
{
    struct batch_gemini gemini;
    struct buf lines;
    *ret_is_file = false;
    if (call->request->http->body.len > FILE_BODY_BYTES_MAX)
        return ERR_OK;
    buf_init(&lines, BATCH_INPUT_BYTES_MAX);
    enum err code = read_batch(call, call->request->arena, &gemini, &lines, error);
    buf_done(&lines);
    *ret_is_file = code == ERR_OK && gemini.file.len;
    if (*ret_is_file && !stored_id(gemini.file, &call->batch.input))
        return error_set(error, ERR_INVALID, call->input_field, "must be the name of a file");
    return code;
}

void gemini_post_batch(struct api_request *request, struct str model)
{
    struct batches_call *call = call_new(request);
    struct error error = {0};
    bool is_file = false;
    /* The path is that of chats: this is more than one. */
    enum err code =
        authorise(&request->who, VERB_BATCH_MANAGE, (struct authorise_object){0}, &error);
    if (code == ERR_OK)
        code = batches_prepare(call, batch_endpoint_find(BATCH_GEMINI, STR("generateContent")),
                               &error);
    call->batch.metadata =
        batch_gemini_keep(request->arena, &(struct batch_gemini){.model = model});
    if (code == ERR_OK)
        code = find_file(call, &is_file, &error);
    if (api_failed(request, code, &error))
        return;
    call->batch.output_seconds = lifetime_seconds;
    if (is_file)
        batches_insert(call);
    else
        batches_make(call, lifetime_seconds, make_lines);
}

/* ---- One with its results -------------------------------------------------------------------- */

struct showing {
    struct batches_call *call;
    bool has_file; /* of results; what has expired is not shown */
    bool is_inline;
    struct loop_work pool;
    struct buf out;
    enum err code;
    struct error error;
};

/* On a thread of the pool: the results may be many. */
static void pool_write(void *user)
{
    struct showing *showing = user;
    struct api_request *request = showing->call->request;
    const struct store_batch *batch = &showing->call->batch;
    struct blob blob = {0};
    struct json_writer w;
    buf_init(&showing->out, 2 * (size_t)INLINE_BYTES_MAX + OPERATION_BYTES_MAX);
    if (showing->is_inline)
        showing->code = blob_map(files_directory(request->api->options.files), &batch->output,
                                 &blob, &showing->error);
    bool is_short = blob.content.len <= INLINE_BYTES_MAX;
    const struct results results = {
        .lines = is_short ? blob.content : STR_NONE,
        .are_file = showing->has_file && (!showing->is_inline || !is_short),
    };
    json_writer_init(&w, &showing->out);
    json_begin_object(&w);
    write_operation(request, &w, batch, &results);
    json_end_object(&w);
    if (showing->code == ERR_OK && !buf_ok(&showing->out))
        showing->code = ERR_TOO_BIG;
    blob_unmap(&blob);
}

static void on_written(void *user)
{
    struct showing *showing = user;
    struct api_request *request = showing->call->request;
    struct buf out = showing->out; /* the answer ends the exchange, and `showing` with it */
    if (!api_failed(request, showing->code, &showing->error)) {
        http_respond_header(request->exchange, "cache-control", STR("no-store"));
        http_respond(request->exchange, 200, "application/json", buf_str(&out));
    }
    buf_done(&out);
}

static enum err run_get(struct store_tx *tx, void *user, struct error *error)
{
    struct showing *showing = user;
    struct api_request *request = showing->call->request;
    const struct store_batch *batch = &showing->call->batch;
    struct store_file output;
    enum err code = batches_read(tx, showing->call, error);
    if (code != ERR_OK || id_is_none(&batch->output))
        return code;
    code = store_file_get(tx, request->arena, &request->who.user, &batch->output, clock_wall_ms(),
                          &output, error);
    showing->has_file = code == ERR_OK;
    showing->is_inline =
        showing->has_file && !batch_gemini_kept(request->arena, batch->metadata).file.len;
    return code == ERR_NOT_FOUND ? ERR_OK : code;
}

static void on_got(void *user, enum err code, const struct error *error)
{
    struct showing *showing = user;
    struct api_request *request = showing->call->request;
    if (!api_failed(request, code, error))
        loop_work_start(request->api->options.loop, &showing->pool, pool_write, on_written,
                        showing);
}

void gemini_get_batch(struct api_request *request)
{
    struct api_options *options = &request->api->options;
    struct showing *showing = ARENA_NEW(request->arena, struct showing);
    showing->call = call_new(request);
    if (!stored_parameter_id(request, 0, &showing->call->batch.id))
        return;
    showing->call->job = (struct store_job){.run = run_get, .done = on_got, .user = showing};
    store_read(options->store, options->loop, &showing->call->job);
}

/* ---- The rest -------------------------------------------------------------------------------- */

static void write_page(struct json_writer *w, const struct batches_call *call)
{
    if (call->has_more)
        json_key_str(w, "nextPageToken", id_str(&call->batches[call->count - 1].id));
}

void gemini_list_batches(struct api_request *request)
{
    struct batches_call *call = call_new(request);
    if (stored_query_page_size(request, PAGE_DEFAULT, PAGE_MAX, &call->page.limit) &&
        stored_query_id(request, "pageToken", &call->page.before))
        batches_list(call, write_page);
}

static void post_method(struct api_request *request)
{
    struct batches_call *call = call_new(request);
    struct str cancel = STR(":cancel");
    struct str name = request->parameters[0];
    if (!str_ends_with(name, cancel)) {
        api_fail(request, ERR_NOT_FOUND, NULL);
        return;
    }
    request->parameters[0] = str_slice(name, 0, name.len - cancel.len);
    call->write = write_nothing;
    batches_cancel(call);
}

static void delete_batch(struct api_request *request)
{
    struct batches_call *call = call_new(request);
    call->write = write_nothing;
    batches_delete(call);
}

#define GEMINI VERB_BATCH_MANAGE, &dialect_gemini
const struct endpoint gemini_batches_endpoints[] = {
    {HTTP_GET, "/v1beta/batches", GEMINI, gemini_list_batches, NULL, 0,
     "Gemini: one's batches, newest first."},
    {HTTP_GET, "/v1beta/batches/{id}", GEMINI, gemini_get_batch, NULL, 0,
     "A batch as an operation, with its results when it is done."},
    {HTTP_POST, "/v1beta/batches/{id}", GEMINI, post_method, NULL, API_BODY_SMALL,
     "{id}:cancel: cancels a batch; what is done stays."},
    {HTTP_DELETE, "/v1beta/batches/{id}", GEMINI, delete_batch, NULL, API_BODY_SMALL,
     "Deletes a batch that has ended."},
    {HTTP_POST, "/v1/batches/{id}", GEMINI, post_method, NULL, API_BODY_SMALL,
     "The same as under /v1beta."},
    {HTTP_DELETE, "/v1/batches/{id}", GEMINI, delete_batch, NULL, API_BODY_SMALL,
     "The same as under /v1beta."},
    {0},
};
