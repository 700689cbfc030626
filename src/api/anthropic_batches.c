/* /v1/messages/batches: Anthropic's batches, whose requests come in one body and whose results are
 * one list of lines. Both are files like OpenAI's, which this dialect does not show as such. */
#include "api/batches.h"

enum { PAGE_DEFAULT = 20, PAGE_MAX = 1000 };
static const int64_t lifetime_seconds = 29LL * 24 * 3600; /* of results, as with the original */

/* ---- The object ------------------------------------------------------------------------------ */

static void write_counts(struct json_writer *w, const struct store_batch *batch)
{
    bool is_ended = store_batch_is_ended(batch);
    int64_t undone = batch->total - batch->completed - batch->failed;
    bool is_expired = batch->status == STORE_BATCH_EXPIRED;
    json_key_object(w, "request_counts"); /* only the end tells what came of them */
    json_key_int(w, "processing", is_ended ? 0 : batch->total);
    json_key_int(w, "succeeded", is_ended ? batch->completed : 0);
    json_key_int(w, "errored", is_ended ? batch->failed : 0);
    json_key_int(w, "canceled", is_ended && !is_expired ? undone : 0);
    json_key_int(w, "expired", is_ended && is_expired ? undone : 0);
    json_end_object(w);
}

static struct str status_name(const struct store_batch *batch)
{
    if (store_batch_is_ended(batch))
        return STR("ended");
    return batch->status == STORE_BATCH_CANCELLING ? STR("canceling") : STR("in_progress");
}

static void write_batch(struct api_request *request, struct json_writer *w,
                        const struct store_batch *batch)
{
    char id[ID_LENGTH + 16];
    int len = snprintf(id, sizeof id, "msgbatch_%s", batch->id.text);
    struct str results = STR_NONE;
    if (!id_is_none(&batch->output))
        results = arena_printf(request->arena, "%.*s/v1/messages/batches/%s/results",
                               STR_ARG(stored_origin(request)), id);
    json_key_str(w, "id", STR_FROM(id, (size_t)len));
    json_key_str(w, "type", STR("message_batch"));
    json_key_str(w, "processing_status", status_name(batch));
    write_counts(w, batch);
    json_key_time(w, "created_at", batch->created_ms);
    json_key_time(w, "expires_at", batch->expires_ms);
    json_key_time(w, "ended_at", batch->ended_ms);
    json_key_time(w, "cancel_initiated_at", batch->cancelling_ms);
    json_key_null(w, "archived_at");
    json_key_str(w, "results_url", results);
}

static struct batches_call *call_new(struct api_request *request)
{
    struct batches_call *call = batches_call_new(request, BATCH_ANTHROPIC);
    call->write = write_batch;
    return call;
}

/* ---- Making one ------------------------------------------------------------------------------ */

static enum err make_lines(struct batches_call *call, struct arena *scratch, struct buf *out,
                           struct error *error)
{
    return batch_input_of_requests(scratch, call->request->http->body, out, error);
}

static void post_batch(struct api_request *request)
{
    struct batches_call *call = call_new(request);
    struct error error = {0};
    enum err code =
        batches_prepare(call, batch_endpoint_find(BATCH_ANTHROPIC, STR("/v1/messages")), &error);
    if (!api_failed(request, code, &error))
        batches_make(call, lifetime_seconds, make_lines);
}

/* ---- The rest -------------------------------------------------------------------------------- */

static void get_batch(struct api_request *request)
{
    batches_get(call_new(request));
}

static void cancel_batch(struct api_request *request)
{
    batches_cancel(call_new(request));
}

static void write_page(struct json_writer *w, const struct batches_call *call)
{
    json_key_bool(w, "has_more", call->has_more);
    size_t first = call->page.is_reversed && call->count ? call->count - 1 : 0;
    size_t last = call->page.is_reversed || !call->count ? 0 : call->count - 1;
    char id[ID_LENGTH + 16];
    int len =
        call->count ? snprintf(id, sizeof id, "msgbatch_%s", call->batches[first].id.text) : 0;
    json_key_str(w, "first_id", call->count ? STR_FROM(id, (size_t)len) : STR_NONE);
    len = call->count ? snprintf(id, sizeof id, "msgbatch_%s", call->batches[last].id.text) : 0;
    json_key_str(w, "last_id", call->count ? STR_FROM(id, (size_t)len) : STR_NONE);
}

static void get_batches(struct api_request *request)
{
    struct batches_call *call = call_new(request);
    call->page.is_reversed = api_query(request, "before_id").len > 0;
    if (stored_query_limit(request, PAGE_DEFAULT, PAGE_MAX, &call->page.limit) &&
        stored_query_id(request, call->page.is_reversed ? "before_id" : "after_id",
                        &call->page.before))
        batches_list(call, write_page);
}

/* What is answered is the batch that was found, not its object. */
struct finding {
    struct batches_call *call;
    struct store_file output;
};

static enum err run_find(struct store_tx *tx, void *user, struct error *error)
{
    struct finding *finding = user;
    struct api_request *request = finding->call->request;
    const struct store_batch *batch = &finding->call->batch;
    enum err code = batches_read(tx, finding->call, error);
    if (code == ERR_OK && id_is_none(&batch->output))
        return error_set(error, ERR_NOT_FOUND, NULL, "there are no results yet");
    return code == ERR_OK ? store_file_get(tx, request->arena, &request->who.user, &batch->output,
                                           0, &finding->output, error)
                          : code;
}

static void on_found(void *user, enum err code, const struct error *error)
{
    struct finding *finding = user;
    struct api_request *request = finding->call->request;
    if (!api_failed(request, code, error))
        stored_send(request, &finding->output, "application/x-jsonl");
}

static void get_results(struct api_request *request)
{
    struct api_options *options = &request->api->options;
    struct finding *finding = ARENA_NEW(request->arena, struct finding);
    finding->call = call_new(request);
    if (!stored_parameter_id(request, 0, &finding->call->batch.id))
        return;
    finding->call->job = (struct store_job){.run = run_find, .done = on_found, .user = finding};
    store_read(options->store, options->loop, &finding->call->job);
}

static void write_deleted(struct api_request *request, struct json_writer *w,
                          const struct store_batch *batch)
{
    json_key_str(w, "id", arena_printf(request->arena, "msgbatch_%s", batch->id.text));
    json_key_str(w, "type", STR("message_batch_deleted"));
}

static void delete_batch(struct api_request *request)
{
    struct batches_call *call = call_new(request);
    call->write = write_deleted;
    batches_delete(call);
}

#define ANTHROPIC VERB_BATCH_MANAGE, &dialect_anthropic
const struct endpoint anthropic_batches_endpoints[] = {
    {HTTP_POST, "/v1/messages/batches", ANTHROPIC, post_batch, NULL, API_BODY_LARGE,
     "Anthropic: queues messages, for any model."},
    {HTTP_GET, "/v1/messages/batches", ANTHROPIC, get_batches, NULL, 0,
     "One's batches of messages, newest first."},
    {HTTP_GET, "/v1/messages/batches/{id}", ANTHROPIC, get_batch, NULL, 0,
     "A batch of messages and how far it is."},
    {HTTP_POST, "/v1/messages/batches/{id}/cancel", ANTHROPIC, cancel_batch, NULL, API_BODY_SMALL,
     "Cancels a batch of messages; what is done stays."},
    {HTTP_GET, "/v1/messages/batches/{id}/results", ANTHROPIC, get_results, NULL, 0,
     "Its results, a line each."},
    {HTTP_DELETE, "/v1/messages/batches/{id}", ANTHROPIC, delete_batch, NULL, API_BODY_SMALL,
     "Deletes a batch of messages that has ended."},
    {0},
};
