/* Threads: /v1/conversations, OpenAI's conversations and their items, for programs that name one in
 * their requests of /v1/responses. Each request is one job for the store, which knows the owner of
 * every row: another's does not exist. */
#include "api/keeping.h"
#include "api/stored.h"
#include "base/clock.h"
#include "chat/thread.h"

enum { REPLY_BYTES_MAX = 512 * 1024 * 1024 };

/* In the exchange's arena, which nobody else uses while the job is on its way. */
struct thread_job {
    struct store_job job;
    struct api_request *request;
    struct store_thread thread;
    struct thread_addition addition;
    struct str metadata; /* to set */
    struct str item;     /* id of one */
    struct stored_page page;
    struct thread_items items; /* to be shown */
    bool has_more;
};

typedef enum err run_fn(struct store_tx *tx, void *user, struct error *error);
typedef void done_fn(void *user, enum err code, const struct error *error);

static struct thread_job *job_new(struct api_request *request, run_fn *run, done_fn *done)
{
    struct thread_job *job = ARENA_NEW(request->arena, struct thread_job);
    int64_t now_ms = clock_wall_ms();
    arena_set_max(request->arena, REPLY_BYTES_MAX);
    job->request = request;
    job->thread.owner = request->who.user;
    job->item = request->parameters[1];
    job->addition = (struct thread_addition){.owner = request->who.user,
                                             .now_ms = now_ms,
                                             .expires_ms = now_ms + keeping_days_ms(request),
                                             .bytes_max = keeping_bytes_max(request)};
    job->job = (struct store_job){.run = run, .done = done, .user = job};
    return job;
}

/* The same for the thread that the path names; NULL: it cannot be one, and that has been said. */
static struct thread_job *job_of_path(struct api_request *request, run_fn *run, done_fn *done)
{
    struct thread_job *job = job_new(request, run, done);
    struct error error = {0};
    if (!thread_parse_id(request->parameters[0], &job->thread.id)) {
        api_failed(request, thread_not_found(request->parameters[0], &error), &error);
        return NULL;
    }
    job->addition.thread = job->thread.id;
    return job;
}

static void start_read(struct thread_job *job)
{
    const struct api_options *options = &job->request->api->options;
    store_read(options->store, options->loop, &job->job);
}

static void start_write(struct thread_job *job)
{
    const struct api_options *options = &job->request->api->options;
    store_write(options->store, options->loop, &job->job);
}

static bool has_failed(struct thread_job *job, enum err code, const struct error *error)
{
    struct error missing = {0};
    struct api_request *request = job->request;
    if (code != ERR_NOT_FOUND)
        return api_failed(request, code, error);
    bool is_item = str_eq(str_from_cstr(error->field), STR("item"));
    struct str item = job->page.after.len ? job->page.after : job->item;
    if (is_item)
        error_set(&missing, code, NULL, "Item with id '%.*s' not found.",
                  (int)(item.len < 200 ? item.len : 200), item.data);
    else
        (void)thread_not_found(request->parameters[0], &missing);
    return api_failed(request, code, &missing);
}

/* ---- Answers --------------------------------------------------------------------------------- */

static void reply_thread(void *user, enum err code, const struct error *error)
{
    struct thread_job *job = user;
    struct api_request *request = job->request;
    struct api_reply reply;
    if (has_failed(job, code, error))
        return;
    api_reply_begin(&reply);
    json_key_str(&reply.w, "id", thread_name(request->arena, &job->thread.id));
    json_key_str(&reply.w, "object", STR("conversation"));
    stored_key_seconds(&reply.w, "created_at", job->thread.created_ms);
    json_key_raw(&reply.w, "metadata", job->thread.metadata);
    api_reply(request, 200, &reply);
}

static void reply_deleted(void *user, enum err code, const struct error *error)
{
    struct thread_job *job = user;
    struct api_reply reply;
    if (has_failed(job, code, error))
        return;
    api_reply_begin(&reply);
    json_key_str(&reply.w, "id", thread_name(job->request->arena, &job->thread.id));
    json_key_str(&reply.w, "object", STR("conversation.deleted"));
    json_key_bool(&reply.w, "deleted", true);
    api_reply(job->request, 200, &reply);
}

static void respond(struct api_request *request, struct buf *body)
{
    if (buf_ok(body)) {
        http_respond_header(request->exchange, "cache-control", STR("no-store"));
        http_respond(request->exchange, 200, "application/json", buf_str(body));
    } else {
        api_fail(request, ERR_TOO_BIG, NULL);
    }
    buf_done(body);
}

static void reply_items(void *user, enum err code, const struct error *error)
{
    struct thread_job *job = user;
    const struct thread_items *items = &job->items;
    struct json_writer w;
    struct buf out;
    if (has_failed(job, code, error))
        return;
    buf_init(&out, REPLY_BYTES_MAX);
    json_writer_init(&w, &out);
    json_begin_object(&w);
    json_key_str(&w, "object", STR("list"));
    json_key_array(&w, "data");
    for (size_t i = 0; i < items->count; i++)
        json_put_raw(&w, items->items[i].item);
    json_end_array(&w);
    json_key_str(&w, "first_id", items->count ? items->items[0].id : STR_NONE);
    json_key_str(&w, "last_id", items->count ? items->items[items->count - 1].id : STR_NONE);
    json_key_bool(&w, "has_more", job->has_more);
    json_end_object(&w);
    respond(job->request, &out);
}

static void reply_item(void *user, enum err code, const struct error *error)
{
    struct thread_job *job = user;
    struct buf out;
    if (has_failed(job, code, error))
        return;
    buf_init(&out, REPLY_BYTES_MAX);
    buf_append(&out, job->items.items[0].item);
    respond(job->request, &out);
}

/* ---- Conversations --------------------------------------------------------------------------- */

static enum err run_create(struct store_tx *tx, void *user, struct error *error)
{
    struct thread_job *job = user;
    enum err code = store_thread_insert(tx, &job->thread, error);
    return code == ERR_OK ? thread_add(tx, &job->addition, error) : code;
}

/* A body that is not there is an empty one. */
static enum err read_body(struct api_request *request, yyjson_val **ret, struct error *error)
{
    struct str body = request->http->body.len ? request->http->body : STR("{}");
    enum err code = json_read(request->arena, body, ret, error);
    if (code == ERR_OK && !yyjson_is_obj(*ret))
        return error_set(error, ERR_INVALID, NULL, "the body must be an object");
    return code;
}

static enum err read_new(struct thread_job *job, struct error *error)
{
    struct api_request *request = job->request;
    yyjson_val *body, *items;
    enum err code = read_body(request, &body, error);
    if (code == ERR_OK && keeping_days_ms(request) == 0)
        return error_set(error, ERR_INVALID, NULL,
                         "nothing is kept here (responses.keep_days is 0)");
    job->thread.id = job->addition.thread = id_new(job->addition.now_ms);
    job->thread.created_ms = job->addition.now_ms;
    job->thread.expires_ms = job->addition.expires_ms;
    job->thread.metadata = STR("{}");
    if (code == ERR_OK)
        code = stored_read_metadata(request->arena, json_get(body, "metadata"),
                                    &job->thread.metadata, error);
    items = code == ERR_OK ? json_get(body, "items") : NULL;
    return items && !yyjson_is_null(items)
               ? thread_items_read(request->arena, items, &job->addition.items, error)
               : code;
}

static void post_thread(struct api_request *request)
{
    struct thread_job *job = job_new(request, run_create, reply_thread);
    struct error error = {0};
    if (!api_failed(request, read_new(job, &error), &error))
        start_write(job);
}

static enum err run_get(struct store_tx *tx, void *user, struct error *error)
{
    struct thread_job *job = user;
    return store_thread_get(tx, job->request->arena, &job->addition.owner, &job->thread.id,
                            job->addition.now_ms, &job->thread, error);
}

static void get_thread(struct api_request *request)
{
    struct thread_job *job = job_of_path(request, run_get, reply_thread);
    if (job)
        start_read(job);
}

static enum err run_update(struct store_tx *tx, void *user, struct error *error)
{
    struct thread_job *job = user;
    enum err code = store_thread_set_metadata(tx, &job->addition.owner, &job->thread.id,
                                              job->addition.now_ms, job->metadata, error);
    return code == ERR_OK ? run_get(tx, user, error) : code;
}

static void update_thread(struct api_request *request)
{
    struct thread_job *job = job_of_path(request, run_update, reply_thread);
    struct error error = {0};
    yyjson_val *body;
    if (!job)
        return;
    job->metadata = STR("{}");
    enum err code = read_body(request, &body, &error);
    if (code == ERR_OK && !json_get(body, "metadata"))
        code = error_set(&error, ERR_INVALID, "metadata", "is required");
    if (code == ERR_OK)
        code = stored_read_metadata(request->arena, json_get(body, "metadata"), &job->metadata,
                                    &error);
    if (!api_failed(request, code, &error))
        start_write(job);
}

static enum err run_delete(struct store_tx *tx, void *user, struct error *error)
{
    struct thread_job *job = user;
    return store_thread_delete(tx, &job->addition.owner, &job->thread.id, job->addition.now_ms,
                               error);
}

static void delete_thread(struct api_request *request)
{
    struct thread_job *job = job_of_path(request, run_delete, reply_deleted);
    if (job)
        start_write(job);
}

/* ---- Items ----------------------------------------------------------------------------------- */

static enum err run_add(struct store_tx *tx, void *user, struct error *error)
{
    struct thread_job *job = user;
    return thread_add(tx, &job->addition, error);
}

static void post_items(struct api_request *request)
{
    struct thread_job *job = job_of_path(request, run_add, reply_items);
    struct error error = {0};
    yyjson_val *body;
    if (!job)
        return;
    enum err code = read_body(request, &body, &error);
    if (code == ERR_OK)
        code = thread_items_read(request->arena, json_get(body, "items"), &job->addition.items,
                                 &error);
    job->items = job->addition.items;
    if (!api_failed(request, code, &error))
        start_write(job);
}

/* One more than is asked for tells whether there are more. */
static enum err run_list(struct store_tx *tx, void *user, struct error *error)
{
    struct thread_job *job = user;
    const struct store_thread_page page = {.is_descending = job->page.is_descending,
                                           .after = job->page.after,
                                           .limit = job->page.limit + 1};
    enum err code =
        store_thread_list(tx, job->request->arena, &job->addition.owner, &job->thread.id,
                          job->addition.now_ms, &page, &job->items.items, &job->items.count, error);
    job->has_more = code == ERR_OK && job->items.count > (size_t)job->page.limit;
    job->items.count -= job->has_more;
    return code;
}

static void get_items(struct api_request *request)
{
    struct thread_job *job = job_of_path(request, run_list, reply_items);
    struct error error = {0};
    if (job && !api_failed(request, stored_read_page(request, &job->page, &error), &error))
        start_read(job);
}

static enum err run_get_item(struct store_tx *tx, void *user, struct error *error)
{
    struct thread_job *job = user;
    job->items.items = ARENA_NEW(job->request->arena, struct store_thread_item);
    return store_thread_item_get(tx, job->request->arena, &job->addition.owner, &job->thread.id,
                                 job->addition.now_ms, job->item, job->items.items, error);
}

static void get_item(struct api_request *request)
{
    struct thread_job *job = job_of_path(request, run_get_item, reply_item);
    if (job)
        start_read(job);
}

static enum err run_delete_item(struct store_tx *tx, void *user, struct error *error)
{
    struct thread_job *job = user;
    enum err code = run_get(tx, user, error);
    if (code != ERR_OK)
        return code;
    code = store_thread_item_delete(tx, &job->addition.owner, &job->thread.id, job->addition.now_ms,
                                    job->item, error);
    return code == ERR_NOT_FOUND ? error_set(error, code, "item", "there is no such item") : code;
}

static void delete_item(struct api_request *request)
{
    struct thread_job *job = job_of_path(request, run_delete_item, reply_thread);
    if (job)
        start_write(job);
}

#define RESPONSES &dialect_openai_responses
#define THREADS   "/v1/conversations"

const struct endpoint thread_endpoints[] = {
    {HTTP_POST, THREADS, VERB_THREAD_MANAGE, RESPONSES, post_thread, NULL, API_BODY_LARGE,
     "OpenAI: makes a conversation, to be named in requests of /v1/responses."},
    {HTTP_GET, THREADS "/{id}", VERB_THREAD_MANAGE, RESPONSES, get_thread, NULL, 0,
     "OpenAI: a conversation, without its items."},
    {HTTP_POST, THREADS "/{id}", VERB_THREAD_MANAGE, RESPONSES, update_thread, NULL, API_BODY_SMALL,
     "OpenAI: changes its metadata."},
    {HTTP_DELETE, THREADS "/{id}", VERB_THREAD_MANAGE, RESPONSES, delete_thread, NULL, 0,
     "OpenAI: deletes it with its items."},
    {HTTP_POST, THREADS "/{id}/items", VERB_THREAD_MANAGE, RESPONSES, post_items, NULL,
     API_BODY_LARGE, "OpenAI: adds items to it."},
    {HTTP_GET, THREADS "/{id}/items", VERB_THREAD_MANAGE, RESPONSES, get_items, NULL, 0,
     "OpenAI: its items (?limit=, ?order=, ?after=)."},
    {HTTP_GET, THREADS "/{id}/items/{item_id}", VERB_THREAD_MANAGE, RESPONSES, get_item, NULL, 0,
     "OpenAI: one of them."},
    {HTTP_DELETE, THREADS "/{id}/items/{item_id}", VERB_THREAD_MANAGE, RESPONSES, delete_item, NULL,
     0, "OpenAI: deletes one."},
    {0},
};
