/* OpenAI's fine-tuning jobs: made at a provider that has them, and remembered as the caller's own, so
 * that they are found again there, and by nobody else but administrators. A scope of models counts
 * where a job is made: afterwards it is its maker's, whatever that one's key may ask for.
 *
 *   POST  media_start -> the provider -> on_made: the id is stored -> made: the answer
 *   GET, cancel, ...  find -> found: the provider that has it -> relay_door
 *   list  find_page -> list_page: each job from its provider -> on_job_end: the last one answers */
#include <stdlib.h>

#include "api/openai_media.h"
#include "api/origin.h"
#include "base/clock.h"

#define KIND STR("fine_tuning.job")
enum { ID_BYTES_MAX = 128, PAGE_MAX = 20, JOB_BYTES_MAX = 256 * 1024 };

static const struct id *owner_of(const struct api_request *request)
{
    bool sees_all = request->who.kind == PRINCIPAL_LOCAL || request->who.role == ROLE_ADMIN;
    return sees_all ? NULL : &request->who.user;
}

static bool is_own(const struct api_request *request, const struct store_relay_object *object)
{
    return id_eq(&object->owner, &request->who.user);
}

/* ---- Making one ------------------------------------------------------------------------------ */

struct made {
    struct store_job job;
    struct relay_door *door;
    struct store_relay_object object;
};

static enum err run_made(struct store_tx *tx, void *user, struct error *error)
{
    struct made *made = user;
    return store_relay_object_put(tx, &made->object, error);
}

/* The job is under way at the provider, stored or not: its maker is told either way. */
static void done_made(void *user, enum err code, const struct error *error)
{
    struct made *made = user;
    struct relay_door *door = made->door;
    if (code != ERR_OK)
        log_error(door->request->api->options.log, "a fine-tuning job is not remembered",
                  LOG_STR("job", made->object.id), LOG_STR("provider", made->object.provider),
                  LOG_CSTR("error", error_message(error)));
    relay_door_answer(door);
}

static bool is_id(struct str text)
{
    bool is_good = text.len > 0 && text.len <= ID_BYTES_MAX && text.data[0] != '.';
    for (size_t i = 0; is_good && i < text.len; i++) {
        char c = text.data[i];
        is_good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '_' || c == '.' || c == ':';
    }
    return is_good;
}

static void on_made(void *user, struct str body)
{
    struct relay_door *door = user;
    struct api_request *request = door->request;
    struct made *made = ARENA_NEW(request->arena, struct made);
    yyjson_val *root = NULL;
    bool is_read = json_read(request->arena, body, &root, NULL) == ERR_OK;
    struct str id = is_read ? json_get_str(root, "id") : STR_NONE;
    if (!is_id(id)) {
        relay_door_answer(door);
        return;
    }
    made->door = door;
    made->object = (struct store_relay_object){.owner = request->who.user,
                                               .kind = KIND,
                                               .id = id,
                                               .provider = door->provider,
                                               .created_ms = clock_wall_ms()};
    made->job = (struct store_job){.run = run_made, .done = done_made, .user = made};
    store_write(request->api->options.store, request->api->options.loop, &made->job);
}

static void make_job(struct api_request *request)
{
    static const struct media_form form = {.path = "/fine_tuning/jobs",
                                           .operation = MEDIA_TUNING,
                                           .is_once = true,
                                           .on_whole = on_made};
    media_start(request, &form);
}

/* ---- One of them ----------------------------------------------------------------------------- */

struct one {
    struct relay_door door; /* first */
    struct store_job job;
    struct store_relay_object object;
    const char *action; /* behind the job's path, or "" */
};

static enum err prepare_one(void *user, struct arena *scratch, struct relay_attempt *attempt,
                            struct error *error)
{
    struct one *one = user;
    const struct http_request *http = one->door.request->http;
    (void)error;
    attempt->method = http->method;
    attempt->path = arena_printf(scratch, "/fine_tuning/jobs/%.*s%s%s%.*s", STR_ARG(one->object.id),
                                 one->action, http->query.len ? "?" : "", STR_ARG(http->query));
    attempt->headers = &http->headers;
    return ERR_OK;
}

static enum err run_find(struct store_tx *tx, void *user, struct error *error)
{
    struct one *one = user;
    struct api_request *request = one->door.request;
    return store_relay_object_get(tx, request->arena, owner_of(request), KIND,
                                  request->parameters[0], &one->object, error);
}

static void found(void *user, enum err code, const struct error *error)
{
    struct one *one = user;
    struct api_request *request = one->door.request;
    struct error missing = {0};
    if (code == ERR_NOT_FOUND) {
        error_set(&missing, code, "fine_tuning_job_id", "there is no such fine-tuning job");
        error = &missing;
    }
    if (api_failed(request, code, error))
        return;
    struct relay_request ask = {.provider = one->object.provider,
                                .is_own = is_own(request, &one->object),
                                .is_retried = request->http->method == HTTP_GET,
                                .prepare = prepare_one};
    relay_door_start(&one->door, &ask, NULL);
}

static void find(struct api_request *request, const char *action)
{
    struct one *one = ARENA_NEW(request->arena, struct one);
    one->door.request = request;
    one->action = action;
    one->job = (struct store_job){.run = run_find, .done = found, .user = one};
    store_read(request->api->options.store, request->api->options.loop, &one->job);
}

static void get_job(struct api_request *request)
{
    find(request, "");
}

static void cancel_job(struct api_request *request)
{
    find(request, "/cancel");
}

static void pause_job(struct api_request *request)
{
    find(request, "/pause");
}

static void resume_job(struct api_request *request)
{
    find(request, "/resume");
}

static void get_events(struct api_request *request)
{
    find(request, "/events");
}

static void get_checkpoints(struct api_request *request)
{
    find(request, "/checkpoints");
}

/* ---- A page of them -------------------------------------------------------------------------- */

struct page;

struct page_job {
    struct page *page;
    const struct store_relay_object *object;
    struct relay *relay; /* NULL: it has ended */
    struct buf body;
    int status;
};

struct page {
    struct api_request *request;
    struct store_job job;
    struct str after;
    int limit;
    struct store_relay_object *objects;
    size_t object_count; /* one more than the limit: there are more */
    struct page_job *jobs;
    size_t count;
    size_t open;
    bool has_started; /* all of them: the last one to end answers */
};

static void release_page(struct page *page)
{
    for (size_t i = 0; i < page->count; i++)
        buf_done(&page->jobs[i].body);
}

/* What a provider does not tell any more is left out. */
static void answer_page(struct page *page)
{
    struct api_request *request = page->request;
    struct api_reply reply;
    api_reply_begin(&reply);
    json_key_str(&reply.w, "object", STR("list"));
    json_key_array(&reply.w, "data");
    for (size_t i = 0; i < page->count; i++) {
        const struct page_job *job = &page->jobs[i];
        yyjson_val *root;
        if (job->status == 200 && buf_ok(&job->body) &&
            json_read(request->arena, buf_str(&job->body), &root, NULL) == ERR_OK)
            json_put_val(&reply.w, root);
    }
    json_end_array(&reply.w);
    json_key_bool(&reply.w, "has_more", page->object_count > page->count);
    release_page(page);
    api_reply(request, 200, &reply);
}

static void job_has_ended(struct page *page)
{
    if (--page->open == 0 && page->has_started)
        answer_page(page);
}

static enum err prepare_job(void *user, struct arena *scratch, struct relay_attempt *attempt,
                            struct error *error)
{
    struct page_job *job = user;
    (void)error;
    attempt->method = HTTP_GET;
    attempt->path = arena_printf(scratch, "/fine_tuning/jobs/%.*s", STR_ARG(job->object->id));
    return ERR_OK;
}

static void on_job_head(void *user, const struct relay_attempt *attempt, int status,
                        const struct http_headers *headers)
{
    struct page_job *job = user;
    (void)attempt;
    (void)headers;
    job->status = status;
}

static void on_job_body(void *user, struct str bytes)
{
    struct page_job *job = user;
    buf_append(&job->body, bytes);
}

static void on_job_end(void *user, const struct llm_error *error)
{
    struct page_job *job = user;
    job->relay = NULL;
    if (error)
        job->status = 0;
    job_has_ended(job->page);
}

static void on_page_abort(void *user)
{
    struct page *page = user;
    for (size_t i = 0; i < page->count; i++)
        if (page->jobs[i].relay)
            relay_cancel(page->jobs[i].relay);
    release_page(page);
    http_respond_break(page->request->exchange);
}

static void start_job(struct page *page, struct page_job *job, const struct governor_origin *origin)
{
    static const struct relay_events events = {on_job_head, on_job_body, on_job_end};
    const struct relay_request ask = {.origin = origin,
                                      .provider = job->object->provider,
                                      .is_own = is_own(page->request, job->object),
                                      .is_retried = true,
                                      .body_bytes_max = JOB_BYTES_MAX,
                                      .prepare = prepare_job};
    page->open++;
    if (relay_start(page->request->api->options.router, &ask, &events, job, &job->relay, NULL) !=
        ERR_OK)
        page->open--; /* a provider that is configured no more */
}

static void list_page(struct page *page, const struct governor_origin *origin)
{
    struct arena *arena = page->request->arena;
    page->count =
        page->object_count < (size_t)page->limit ? page->object_count : (size_t)page->limit;
    page->jobs = ARENA_NEW_ARRAY(arena, page->count, struct page_job);
    for (size_t i = 0; i < page->count; i++) {
        page->jobs[i] = (struct page_job){.page = page, .object = &page->objects[i]};
        buf_init(&page->jobs[i].body, JOB_BYTES_MAX);
        start_job(page, &page->jobs[i], origin);
    }
    page->has_started = true;
    if (!page->open)
        answer_page(page);
    else
        http_exchange_on_abort(page->request->exchange, on_page_abort, page);
}

static void found_page(void *user, enum err code, const struct error *error)
{
    struct page *page = user;
    struct api_request *request = page->request;
    struct api_origin origin;
    struct error refused = {0};
    if (http_exchange_is_aborted(request->exchange)) {
        http_respond_break(request->exchange);
        return;
    }
    if (code == ERR_OK) {
        code = api_origin_open(request, NULL, request->arena, &origin, &refused);
        error = &refused;
    }
    if (api_failed(request, code, error))
        return;
    list_page(page, &origin.governor);
}

static enum err run_page(struct store_tx *tx, void *user, struct error *error)
{
    struct page *page = user;
    return store_relay_object_list(tx, page->request->arena, owner_of(page->request), KIND,
                                   page->after, page->limit + 1, &page->objects,
                                   &page->object_count, error);
}

static void get_jobs(struct api_request *request)
{
    struct page *page = ARENA_NEW(request->arena, struct page);
    struct str limit = api_query(request, "limit");
    uint64_t number = PAGE_MAX;
    struct error error = {0};
    if (limit.data && (!str_to_u64(limit, &number) || number < 1)) {
        error_set(&error, ERR_INVALID, "limit", "must be a number from 1");
        api_fail(request, ERR_INVALID, &error);
        return;
    }
    page->request = request;
    page->limit = number < PAGE_MAX ? (int)number : PAGE_MAX;
    page->after = api_query(request, "after");
    if (!page->after.data)
        page->after = STR("");
    page->job = (struct store_job){.run = run_page, .done = found_page, .user = page};
    store_read(request->api->options.store, request->api->options.loop, &page->job);
}

/* ---- The endpoints --------------------------------------------------------------------------- */

#define JOBS   "/v1/fine_tuning/jobs"
#define OPENAI &dialect_openai_chat
#define NONE   NULL, 0
#define SMALL  NULL, API_BODY_SMALL

const struct endpoint tuning_endpoints[] = {
    {HTTP_POST, JOBS, VERB_CHAT, OPENAI, make_job, NULL, API_BODY_LARGE,
     "Makes a fine-tuning job, at a provider that has them."},
    {HTTP_GET, JOBS, VERB_CHAT, OPENAI, get_jobs, NONE, "One's own fine-tuning jobs."},
    {HTTP_GET, JOBS "/{id}", VERB_CHAT, OPENAI, get_job, NONE, "One of them."},
    {HTTP_POST, JOBS "/{id}/cancel", VERB_CHAT, OPENAI, cancel_job, SMALL, "Cancels it."},
    {HTTP_POST, JOBS "/{id}/pause", VERB_CHAT, OPENAI, pause_job, SMALL, "Pauses it."},
    {HTTP_POST, JOBS "/{id}/resume", VERB_CHAT, OPENAI, resume_job, SMALL, "Goes on with it."},
    {HTTP_GET, JOBS "/{id}/events", VERB_CHAT, OPENAI, get_events, NONE, "Its events."},
    {HTTP_GET, JOBS "/{id}/checkpoints", VERB_CHAT, OPENAI, get_checkpoints, NONE,
     "Its checkpoints."},
    {0},
};
