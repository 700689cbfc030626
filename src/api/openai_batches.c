/* /v1/batches: OpenAI's batches, whose input and results are files. */
#include "api/batches.h"
#include "api/gemini_batches.h"

enum { PAGE_DEFAULT = 20, PAGE_MAX = 100 };
static const int64_t seconds_min = 3600, seconds_max = 30 * 24 * 3600;

/* ---- The object ------------------------------------------------------------------------------ */

static void key_id(struct json_writer *w, const char *key, const char *prefix, const struct id *id)
{
    char text[ID_LENGTH + 16];
    int len = snprintf(text, sizeof text, "%s%s", prefix, id->text);
    json_key_str(w, key, id_is_none(id) ? STR_NONE : STR_FROM(text, (size_t)len));
}

/* A moment that is the end in one of several ways. */
static void key_end(struct json_writer *w, const char *key, const struct store_batch *batch,
                    enum store_batch_status status)
{
    stored_key_seconds(w, key, batch->status == status ? batch->ended_ms : 0);
}

static void write_errors(struct json_writer *w, const struct store_batch *batch)
{
    if (!batch->errors.len) {
        json_key_null(w, "errors");
        return;
    }
    json_key_object(w, "errors");
    json_key_str(w, "object", STR("list"));
    json_key_raw(w, "data", batch->errors);
    json_end_object(w);
}

static void write_counts(struct json_writer *w, const struct store_batch *batch)
{
    json_key_object(w, "request_counts");
    json_key_int(w, "total", batch->total);
    json_key_int(w, "completed", batch->completed);
    json_key_int(w, "failed", batch->failed);
    json_end_object(w);
}

static void write_batch(struct api_request *request, struct json_writer *w,
                        const struct store_batch *batch)
{
    static const char *const statuses[] = {
        [STORE_BATCH_VALIDATING] = "validating", [STORE_BATCH_IN_PROGRESS] = "in_progress",
        [STORE_BATCH_CANCELLING] = "cancelling", [STORE_BATCH_FINALIZING] = "finalizing",
        [STORE_BATCH_COMPLETED] = "completed",   [STORE_BATCH_FAILED] = "failed",
        [STORE_BATCH_EXPIRED] = "expired",       [STORE_BATCH_CANCELLED] = "cancelled",
    };
    (void)request;
    key_id(w, "id", "batch_", &batch->id);
    json_key_str(w, "object", STR("batch"));
    json_key_str(w, "endpoint", batch->endpoint);
    write_errors(w, batch);
    key_id(w, "input_file_id", "file-", &batch->input);
    json_key_str(w, "completion_window", STR("24h"));
    json_key_str(w, "status", str_from_cstr(statuses[batch->status]));
    key_id(w, "output_file_id", "file-", &batch->output);
    key_id(w, "error_file_id", "file-", &batch->failures);
    stored_key_seconds(w, "created_at", batch->created_ms);
    stored_key_seconds(w, "in_progress_at", batch->started_ms);
    stored_key_seconds(w, "expires_at", batch->expires_ms);
    stored_key_seconds(w, "finalizing_at", batch->finalizing_ms);
    key_end(w, "completed_at", batch, STORE_BATCH_COMPLETED);
    key_end(w, "failed_at", batch, STORE_BATCH_FAILED);
    key_end(w, "expired_at", batch, STORE_BATCH_EXPIRED);
    stored_key_seconds(w, "cancelling_at", batch->cancelling_ms);
    key_end(w, "cancelled_at", batch, STORE_BATCH_CANCELLED);
    write_counts(w, batch);
    json_key_raw(w, "metadata", batch->metadata);
}

static struct batches_call *call_new(struct api_request *request)
{
    struct batches_call *call = batches_call_new(request, BATCH_OPENAI);
    call->write = write_batch;
    return call;
}

/* ---- Making one ------------------------------------------------------------------------------ */

static enum err read_lifetime(struct batches_call *call, yyjson_val *after, struct error *error)
{
    if (!after || yyjson_is_null(after))
        return ERR_OK;
    if (json_get_int(after, "seconds", &call->batch.output_seconds) &&
        call->batch.output_seconds >= seconds_min && call->batch.output_seconds <= seconds_max)
        return ERR_OK;
    return error_set(error, ERR_INVALID, "output_expires_after.seconds", "must be %lld to %lld",
                     (long long)seconds_min, (long long)seconds_max);
}

static enum err read_batch(struct batches_call *call, yyjson_val *root, struct error *error)
{
    const struct batch_endpoint *endpoint =
        batch_endpoint_find(BATCH_OPENAI, json_get_str(root, "endpoint"));
    if (!endpoint)
        return error_set(error, ERR_INVALID, "endpoint",
                         "must be /v1/chat/completions, /v1/responses or /v1/embeddings");
    enum err code = batches_prepare(call, endpoint, error);
    if (code != ERR_OK)
        return code;
    if (!stored_id(json_get_str(root, "input_file_id"), &call->batch.input))
        return error_set(error, ERR_INVALID, "input_file_id", "must be the id of a file");
    if (!str_eq(json_get_str(root, "completion_window"), STR("24h")))
        return error_set(error, ERR_INVALID, "completion_window", "must be 24h");
    code = stored_read_metadata(call->request->arena, json_get(root, "metadata"),
                                &call->batch.metadata, error);
    return code == ERR_OK ? read_lifetime(call, json_get(root, "output_expires_after"), error)
                          : code;
}

static void post_batch(struct api_request *request)
{
    struct batches_call *call = call_new(request);
    struct error error = {0};
    yyjson_val *root;
    enum err code = json_read(request->arena, request->http->body, &root, &error);
    if (code == ERR_OK)
        code = read_batch(call, root, &error);
    if (!api_failed(request, code, &error))
        batches_insert(call);
}

/* ---- The rest -------------------------------------------------------------------------------- */

/* Gemini's clients ask for other objects under the same path. */
static bool is_gemini(const struct api_request *request)
{
    return api_asker_dialect(request) == &dialect_gemini;
}

static void get_batch(struct api_request *request)
{
    if (is_gemini(request)) {
        gemini_get_batch(request);
        return;
    }
    batches_get(call_new(request));
}

static void cancel_batch(struct api_request *request)
{
    batches_cancel(call_new(request));
}

static void write_page(struct json_writer *w, const struct batches_call *call)
{
    const struct id none = {0};
    json_key_bool(w, "has_more", call->has_more);
    json_key_str(w, "object", STR("list"));
    key_id(w, "first_id", "batch_", call->count ? &call->batches[0].id : &none);
    key_id(w, "last_id", "batch_", call->count ? &call->batches[call->count - 1].id : &none);
}

static void get_batches(struct api_request *request)
{
    if (is_gemini(request)) {
        gemini_list_batches(request);
        return;
    }
    struct batches_call *call = call_new(request);
    if (stored_query_limit(request, PAGE_DEFAULT, PAGE_MAX, &call->page.limit) &&
        stored_query_id(request, "after", &call->page.before))
        batches_list(call, write_page);
}

#define OPENAI VERB_BATCH_MANAGE, &dialect_openai_chat
const struct endpoint openai_batches_endpoints[] = {
    {HTTP_POST, "/v1/batches", OPENAI, post_batch, NULL, API_BODY_SMALL,
     "OpenAI: queues the requests of a file, for any model."},
    {HTTP_GET, "/v1/batches", OPENAI, get_batches, NULL, 0, "One's batches, newest first."},
    {HTTP_GET, "/v1/batches/{id}", OPENAI, get_batch, NULL, 0, "A batch and how far it is."},
    {HTTP_POST, "/v1/batches/{id}/cancel", OPENAI, cancel_batch, NULL, API_BODY_SMALL,
     "Cancels a batch; what is done stays."},
    {0},
};
