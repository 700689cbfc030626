/* REST: conversations and their messages. Each handler is one job for the store. */
#include <stdlib.h>

#include "api/request.h"
#include "base/clock.h"

/* One job: what it is about, what it found. In the exchange's arena, which nobody else uses while
 * the job is on its way. */
struct conversation_job {
    struct store_job job;
    struct api_request *request;
    struct id id;
    struct store_conversation conversation;
    struct store_conversation *conversations;
    struct store_message *messages;
    size_t count;
    struct str before;
    struct str next;
    int limit;
    int status;
};

static struct conversation_job *job_new(struct api_request *request)
{
    struct conversation_job *job = ARENA_NEW(request->arena, struct conversation_job);
    job->request = request;
    job->status = 200;
    return job;
}

typedef enum err run_fn(struct store_tx *tx, void *user, struct error *error);
typedef void done_fn(void *user, enum err code, const struct error *error);

static void start_read(struct conversation_job *job, run_fn *run, done_fn *done)
{
    job->job = (struct store_job){.run = run, .done = done, .user = job};
    store_read(job->request->api->options.store, job->request->api->options.loop, &job->job);
}

static void start_write(struct conversation_job *job, run_fn *run, done_fn *done)
{
    job->job = (struct store_job){.run = run, .done = done, .user = job};
    store_write(job->request->api->options.store, job->request->api->options.loop, &job->job);
}

static const struct id *owner_of(const struct conversation_job *job)
{
    return &job->request->who.user;
}

/* Tells the person's other pages. */
static void publish(const struct conversation_job *job)
{
    hub_publish(job->request->api->options.hub, owner_of(job), &job->conversation.id, NULL);
}

static void reply_conversation(void *user, enum err code, const struct error *error)
{
    struct conversation_job *job = user;
    struct api_reply reply;
    if (api_failed(job->request, code, error))
        return;
    publish(job);
    api_reply_begin(&reply);
    json_key(&reply.w, STR("conversation"));
    chat_write_conversation(&reply.w, &job->conversation);
    api_reply(job->request, job->status, &reply);
}

/* ---- List ------------------------------------------------------------------------------------ */

enum { LIST_LIMIT_DEFAULT = 50, LIST_LIMIT_MAX = 200 };

static enum err run_list(struct store_tx *tx, void *user, struct error *error)
{
    struct conversation_job *job = user;
    return store_conversation_list(tx, job->request->arena, owner_of(job), job->before, job->limit,
                                   &job->conversations, &job->count, &job->next, error);
}

static void reply_list(void *user, enum err code, const struct error *error)
{
    struct conversation_job *job = user;
    struct api_reply reply;
    if (api_failed(job->request, code, error))
        return;
    api_reply_begin(&reply);
    json_key_array(&reply.w, "conversations");
    for (size_t i = 0; i < job->count; i++)
        chat_write_conversation(&reply.w, &job->conversations[i]);
    json_end_array(&reply.w);
    json_key_str(&reply.w, "next", job->next.len ? job->next : STR_NONE);
    api_reply(job->request, 200, &reply);
}

void api_list_conversations(struct api_request *request)
{
    struct conversation_job *job = job_new(request);
    struct str limit = api_query(request, "limit");
    uint64_t number = LIST_LIMIT_DEFAULT;
    if (limit.data && (!str_to_u64(limit, &number) || number < 1 || number > LIST_LIMIT_MAX)) {
        struct error error = {0};
        error_set(&error, ERR_INVALID, "limit", "must be 1 to %d", LIST_LIMIT_MAX);
        api_fail(request, ERR_INVALID, &error);
        return;
    }
    job->limit = (int)number;
    job->before = api_query(request, "before");
    if (!job->before.data)
        job->before = STR("");
    start_read(job, run_list, reply_list);
}

/* ---- Make ------------------------------------------------------------------------------------ */

static enum err run_insert(struct store_tx *tx, void *user, struct error *error)
{
    struct conversation_job *job = user;
    return store_conversation_insert(tx, &job->conversation, error);
}

void api_post_conversation(struct api_request *request)
{
    struct conversation_job *job = job_new(request);
    struct str title = str_trim(api_body_str(request, "title"));
    struct str model = api_body_str(request, "model");
    int64_t now = clock_wall_ms();
    job->conversation = (struct store_conversation){
        .owner = request->who.user,
        .id = id_new(now),
        .title = title.len ? title : STR(CONTENT_TITLE_DEFAULT),
        .model = model.data ? model : STR(""),
        .created_ms = now,
        .updated_ms = now,
    };
    job->status = 201;
    start_write(job, run_insert, reply_conversation);
}

/* ---- Read ------------------------------------------------------------------------------------ */

/* A conversation holds its pictures: far more than the arena of a request without a body may. */
enum { CONVERSATION_BYTES_MAX = 256 * 1024 * 1024 };

static enum err run_get(struct store_tx *tx, void *user, struct error *error)
{
    struct conversation_job *job = user;
    struct arena *arena = job->request->arena;
    enum err code =
        store_conversation_get(tx, arena, owner_of(job), &job->id, &job->conversation, error);
    return code == ERR_OK ? store_message_list(tx, arena, owner_of(job), &job->id, &job->messages,
                                               &job->count, error)
                          : code;
}

static void reply_get(void *user, enum err code, const struct error *error)
{
    struct conversation_job *job = user;
    struct api_reply reply;
    if (api_failed(job->request, code, error))
        return;
    api_reply_begin(&reply);
    json_key(&reply.w, STR("conversation"));
    chat_write_conversation(&reply.w, &job->conversation);
    json_key_array(&reply.w, "messages");
    for (size_t i = 0; i < job->count; i++)
        chat_write_message(&reply.w, &job->messages[i]);
    json_end_array(&reply.w);
    api_reply(job->request, 200, &reply);
}

void api_get_conversation(struct api_request *request)
{
    struct conversation_job *job = job_new(request);
    arena_set_max(request->arena, CONVERSATION_BYTES_MAX);
    if (api_parameter_id(request, 0, &job->id))
        start_read(job, run_get, reply_get);
}

/* ---- Change ---------------------------------------------------------------------------------- */

static enum err run_patch(struct store_tx *tx, void *user, struct error *error)
{
    struct conversation_job *job = user;
    struct api_request *request = job->request;
    struct store_conversation *conversation = &job->conversation;
    struct store_message leaf;
    struct id leaf_id = api_body_id(request, "leaf_id");
    struct str title = str_trim(api_body_str(request, "title"));
    struct str model = api_body_str(request, "model");
    enum err code =
        store_conversation_get(tx, request->arena, owner_of(job), &job->id, conversation, error);
    if (code == ERR_OK && !id_is_none(&leaf_id)) {
        code =
            store_message_get(tx, request->arena, owner_of(job), &job->id, &leaf_id, &leaf, error);
        if (code == ERR_NOT_FOUND)
            error_set(error, code, "leaf_id", "there is no such message here");
        conversation->leaf = leaf_id;
    }
    if (code != ERR_OK)
        return code;
    if (title.len)
        conversation->title = title;
    if (model.data)
        conversation->model = model;
    return store_conversation_update(tx, conversation, error);
}

void api_patch_conversation(struct api_request *request)
{
    struct conversation_job *job = job_new(request);
    if (api_parameter_id(request, 0, &job->id))
        start_write(job, run_patch, reply_conversation);
}

/* ---- Delete ---------------------------------------------------------------------------------- */

static enum err run_delete(struct store_tx *tx, void *user, struct error *error)
{
    struct conversation_job *job = user;
    return store_conversation_delete(tx, owner_of(job), &job->id, error);
}

static void reply_deleted(void *user, enum err code, const struct error *error)
{
    struct conversation_job *job = user;
    if (api_failed(job->request, code, error))
        return;
    job->conversation.id = job->id;
    publish(job);
    api_reply_nothing(job->request);
}

void api_delete_conversation(struct api_request *request)
{
    struct conversation_job *job = job_new(request);
    if (api_parameter_id(request, 0, &job->id))
        start_write(job, run_delete, reply_deleted);
}

/* ---- Asking for an answer -------------------------------------------------------------------- */

static void on_accepted(void *user, enum err code, const struct error *error,
                        const struct chat_accepted *accepted)
{
    struct api_request *request = user;
    struct api_reply reply;
    if (api_failed(request, code, error))
        return;
    api_reply_begin(&reply);
    json_key_object(&reply.w, "accepted");
    chat_write_accepted(&reply.w, accepted);
    json_end_object(&reply.w);
    api_reply(request, 202, &reply);
}

/* The arena of a run outlives the request: what it needs of the body is parsed into it. */
static void ask(struct api_request *request, enum chat_ask_kind kind)
{
    struct chat_ask ask = {.kind = kind,
                           .owner = request->who.user,
                           .who = request->who,
                           .address = str_from_cstr(request->http->peer_address),
                           .model = api_body_str(request, "model"),
                           .parent = api_body_id(request, "parent_id"),
                           .request_id = http_exchange_id(request->exchange)};
    if (!api_parameter_id(request, 0, &ask.conversation))
        return;
    if (kind != CHAT_SEND && !api_parameter_id(request, 1, &ask.message))
        return;
    ask.arena = arena_new(request->http->body.len * 8 + 64 * 1024 * 1024);
    if (kind == CHAT_SEND) {
        struct error error = {0};
        yyjson_val *root = NULL;
        enum err code = json_read(ask.arena, request->http->body, &root, &error);
        if (code == ERR_OK)
            code = content_parse(ask.arena, json_get(root, "content"), &ask.parts, &ask.part_count,
                                 &error);
        if (code != ERR_OK) {
            arena_free(ask.arena);
            api_fail(request, code, &error);
            return;
        }
    }
    chat_ask(request->api->options.chat, &ask, on_accepted, request);
}

void api_post_message(struct api_request *request)
{
    ask(request, CHAT_SEND);
}

void api_post_answer(struct api_request *request)
{
    ask(request, CHAT_ANSWER);
}

void api_post_continue(struct api_request *request)
{
    ask(request, CHAT_CONTINUE);
}
