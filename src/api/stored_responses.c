/* Stored responses: the paths of OpenAI that read and delete what the responses door has kept. Each is
 * one job for the store, which knows the owner of every row: another's does not exist. */
#include "api/keeping.h"
#include "base/clock.h"

enum { ROW_BYTES_MAX = 512 * 1024 * 1024, PAGE_DEFAULT = 20, PAGE_MAX = 100 };

/* In the exchange's arena, which nobody else uses while the job is on its way. */
struct response_job {
    struct store_job job;
    struct api_request *request;
    struct str id;
    struct store_response row;
    struct stored_page page;
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
    if (!is_missing(job, code, error))
        respond_json(job->request, job->row.answer);
}

static void get_response(struct api_request *request)
{
    struct error error = {0};
    if (str_eq(api_query(request, "stream"), STR("true"))) {
        error_set(&error, ERR_INVALID, "stream",
                  "a kept answer is not streamed again: ask for it whole");
        api_fail(request, ERR_INVALID, &error);
        return;
    }
    start_read(job_new(request, run_get, reply_get));
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
    store_write(options->store, options->loop, &job->job);
}

/* ---- Its input --------------------------------------------------------------------------------- */

static enum err read_page(struct api_request *request, struct stored_page *ret, struct error *error)
{
    struct str limit = api_query(request, "limit"), order = api_query(request, "order");
    struct str after = api_query(request, "after");
    uint64_t count = PAGE_DEFAULT;
    if (limit.data && (!str_to_u64(limit, &count) || count < 1 || count > PAGE_MAX))
        return error_set(error, ERR_INVALID, "limit", "must be 1 to %d", PAGE_MAX);
    if (order.data && !str_eq(order, STR("asc")) && !str_eq(order, STR("desc")))
        return error_set(error, ERR_INVALID, "order", "must be asc or desc");
    *ret =
        (struct stored_page){!str_eq(order, STR("asc")), (int)count, after.data ? after : STR("")};
    return ERR_OK;
}

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
    if (!api_failed(request, read_page(request, &job->page, &error), &error))
        start_read(job);
}

/* ---- Cancelling: there is nothing that runs without its client --------------------------------- */

static void reply_cancel(void *user, enum err code, const struct error *error)
{
    struct response_job *job = user;
    struct error not_running = {0};
    if (is_missing(job, code, error))
        return;
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
     "OpenAI: an answer that was kept."},
    {HTTP_DELETE, "/v1/responses/{id}", VERB_RESPONSE_MANAGE, RESPONSES, delete_response, NULL, 0,
     "OpenAI: deletes one."},
    {HTTP_GET, "/v1/responses/{id}/input_items", VERB_RESPONSE_MANAGE, RESPONSES, get_input_items,
     NULL, 0, "OpenAI: what it was asked with (?limit=, ?order=, ?after=)."},
    {HTTP_POST, "/v1/responses/{id}/cancel", VERB_RESPONSE_MANAGE, RESPONSES, cancel_response, NULL,
     API_BODY_SMALL, "OpenAI: refused, for no answer is written in the background."},
    {0},
};
