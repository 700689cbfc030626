/* Stored responses: the paths of OpenAI that read and delete what the responses door has kept. Each is
 * one job for the store, which knows the owner of every row: another's does not exist. */
#include "api/background.h"
#include "api/keeping.h"
#include "api/run_reader.h"
#include "api/stored.h"
#include "base/clock.h"
#include "chat/response_frames.h"

enum { ROW_BYTES_MAX = 512 * 1024 * 1024 };

/* In the exchange's arena, which nobody else uses while the job is on its way. */
struct response_job {
    struct store_job job;
    struct api_request *request;
    struct str id;
    struct store_response row;
    struct stored_page page;
    int64_t after;                 /* of a stream: the last number that its client has had */
    struct run_listener *listener; /* waits for the end of one that is cancelled */
};

typedef enum err run_fn(struct store_tx *tx, void *user, struct error *error);
typedef void done_fn(void *user, enum err code, const struct error *error);

static struct response_job *job_new(struct api_request *request, run_fn *run, done_fn *done)
{
    struct response_job *job = ARENA_NEW(request->arena, struct response_job);
    arena_set_max(request->arena, ROW_BYTES_MAX);
    job->request = request;
    job->id = request->parameters[0];
    job->job = (struct store_job){.run = run, .done = done, .user = job};
    return job;
}

static void start_read(struct response_job *job)
{
    const struct api_options *options = &job->request->api->options;
    store_read(options->store, options->loop, &job->job);
}

static enum err run_get(struct store_tx *tx, void *user, struct error *error)
{
    struct response_job *job = user;
    return store_response_get(tx, job->request->arena, &job->request->who.user, job->id,
                              clock_wall_ms(), &job->row, error);
}

/* Whether there is no such response: then that has been said as OpenAI says it. */
static bool is_missing(struct response_job *job, enum err code, const struct error *error)
{
    struct error missing = {0};
    if (code == ERR_NOT_FOUND)
        error_set(&missing, code, NULL, "Response with id '%.*s' not found.",
                  (int)(job->id.len < 200 ? job->id.len : 200), job->id.data);
    return api_failed(job->request, code, code == ERR_NOT_FOUND ? &missing : error);
}

static void respond_json(struct api_request *request, struct str body)
{
    http_respond_header(request->exchange, "cache-control", STR("no-store"));
    http_respond(request->exchange, 200, "application/json", body);
}

/* ---- One answer -------------------------------------------------------------------------------- */

static void reply_get(void *user, enum err code, const struct error *error)
{
    struct response_job *job = user;
    struct run_log *log;
    if (is_missing(job, code, error))
        return;
    struct str shown = background_shown(job->request, &job->row, &log);
    run_log_unref(log);
    respond_json(job->request, shown);
}

/* One that is written now, or has just been, is told as it was; all others from what is kept. */
static void reply_stream(void *user, enum err code, const struct error *error)
{
    struct response_job *job = user;
    struct api_request *request = job->request;
    struct run_log *log;
    struct buf out;
    if (is_missing(job, code, error))
        return;
    struct str shown = background_shown(request, &job->row, &log);
    if (log) {
        run_reader_start(request, log, (uint64_t)(job->after + 1)); /* which numbers from 1 */
        return;
    }
    buf_init(&out, ROW_BYTES_MAX);
    code = response_replay(shown, job->after, &out);
    if (!api_failed(request, code, NULL)) {
        http_respond_header(request->exchange, "cache-control", STR("no-store"));
        http_respond(request->exchange, 200, "text/event-stream", buf_str(&out));
    }
    buf_done(&out);
}

static enum err read_after(struct api_request *request, int64_t *ret, struct error *error)
{
    struct str after = api_query(request, "starting_after");
    uint64_t number = 0;
    if (after.data && (!str_to_u64(after, &number) || number > INT32_MAX))
        return error_set(error, ERR_INVALID, "starting_after", "must be a sequence number");
    *ret = after.data ? (int64_t)number : -1;
    return ERR_OK;
}

static void get_response(struct api_request *request)
{
    struct error error = {0};
    bool is_streamed = str_eq(api_query(request, "stream"), STR("true"));
    struct response_job *job = job_new(request, run_get, is_streamed ? reply_stream : reply_get);
    if (!api_failed(request, read_after(request, &job->after, &error), &error))
        start_read(job);
}

static enum err run_delete(struct store_tx *tx, void *user, struct error *error)
{
    struct response_job *job = user;
    return store_response_delete(tx, &job->request->who.user, job->id, clock_wall_ms(), error);
}

static void reply_delete(void *user, enum err code, const struct error *error)
{
    struct response_job *job = user;
    struct api_reply reply;
    if (is_missing(job, code, error))
        return;
    api_reply_begin(&reply);
    json_key_str(&reply.w, "id", job->id);
    json_key_str(&reply.w, "object", STR("response"));
    json_key_bool(&reply.w, "deleted", true);
    api_reply(job->request, 200, &reply);
}

static void delete_response(struct api_request *request)
{
    const struct api_options *options = &request->api->options;
    struct response_job *job = job_new(request, run_delete, reply_delete);
    background_cancel(request, job->id);
    store_write(options->store, options->loop, &job->job);
}

/* ---- Its input --------------------------------------------------------------------------------- */

static void reply_items(void *user, enum err code, const struct error *error)
{
    struct response_job *job = user;
    struct api_request *request = job->request;
    struct error wrong = {0};
    struct json_writer w;
    struct buf out;
    if (is_missing(job, code, error))
        return;
    buf_init(&out, ROW_BYTES_MAX);
    json_writer_init(&w, &out);
    code = stored_response_write_items(&job->row, request->arena, &job->page, &w, &wrong);
    if (code == ERR_OK && !buf_ok(&out))
        code = ERR_TOO_BIG;
    if (!api_failed(request, code, &wrong))
        respond_json(request, buf_str(&out));
    buf_done(&out);
}

static void get_input_items(struct api_request *request)
{
    struct response_job *job = job_new(request, run_get, reply_items);
    struct error error = {0};
    if (!api_failed(request, stored_read_page(request, &job->page, &error), &error))
        start_read(job);
}

/* ---- Cancelling -------------------------------------------------------------------------------- */

/* Nothing is wanted of its log but the end, which is when it is kept. */
static void on_log(void *user)
{
    struct response_job *job = user;
    enum run_pull pull = RUN_PULL_EVENT;
    const char *type;
    uint64_t sequence;
    struct buf event;
    buf_init(&event, ROW_BYTES_MAX);
    while (pull == RUN_PULL_EVENT) {
        buf_clear(&event);
        pull = run_log_pull(job->listener, &sequence, &type, &event);
    }
    buf_done(&event);
    if (pull != RUN_PULL_END)
        return;
    run_log_detach(job->listener);
    job->job.done = reply_get;
    start_read(job);
}

static bool is_background(struct response_job *job)
{
    yyjson_val *answer;
    return json_read(job->request->arena, job->row.answer, &answer, NULL) == ERR_OK &&
           yyjson_is_true(json_get(answer, "background"));
}

static void reply_cancel(void *user, enum err code, const struct error *error)
{
    struct response_job *job = user;
    struct error not_running = {0};
    struct run_log *log;
    if (is_missing(job, code, error))
        return;
    struct str shown = background_shown(job->request, &job->row, &log);
    if (log) {
        background_cancel(job->request, job->id);
        job->listener =
            run_log_attach(log, job->request->api->options.loop, UINT64_MAX, on_log, job);
        run_log_unref(log);
        return;
    }
    if (is_background(job)) {
        respond_json(job->request, shown);
        return;
    }
    error_set(&not_running, ERR_INVALID, NULL, "Cannot cancel a synchronous response.");
    api_fail(job->request, ERR_INVALID, &not_running);
}

static void cancel_response(struct api_request *request)
{
    start_read(job_new(request, run_get, reply_cancel));
}

#define RESPONSES &dialect_openai_responses

const struct endpoint stored_response_endpoints[] = {
    {HTTP_GET, "/v1/responses/{id}", VERB_RESPONSE_MANAGE, RESPONSES, get_response, NULL, 0,
     "OpenAI: an answer that is kept, or (?stream=true, ?starting_after=) its events."},
    {HTTP_DELETE, "/v1/responses/{id}", VERB_RESPONSE_MANAGE, RESPONSES, delete_response, NULL, 0,
     "OpenAI: deletes one."},
    {HTTP_GET, "/v1/responses/{id}/input_items", VERB_RESPONSE_MANAGE, RESPONSES, get_input_items,
     NULL, 0, "OpenAI: what it was asked with (?limit=, ?order=, ?after=)."},
    {HTTP_POST, "/v1/responses/{id}/cancel", VERB_RESPONSE_MANAGE, RESPONSES, cancel_response, NULL,
     API_BODY_SMALL, "OpenAI: cancels one that is written in the background."},
    {0},
};
