/* One line's call: a chat's, or (route/embed.h) one for vectors. What passes through is kept as bytes;
 * all else is built from events and encoded at the end. The door of the same dialect does the same for a stream or for one exchange
 * (api/completion.c); here nobody waits, so nothing is told before the end. */
#include "chat/batch_call.h"

#include "base/clock.h"
#include "chat/batch_translate.h"
#include "llm/foreign.h"
#include "route/embed.h"
#include "route/tags.h"

enum { ANSWER_BYTES_MAX = 16 * 1024 * 1024, CALL_ARENA_BYTES_MAX = 1024 * 1024 * 1024 };

struct batch_call {
    struct batch_call_request request;
    struct arena *arena;
    struct llm_request llm;
    struct str text; /* the request's own bytes */
    struct str tags[LEDGER_TAGS_MAX];
    size_t tag_count;
    struct route_call *route; /* dead once END was heard; NULL: it asks for vectors */
    struct embed *embed;
    struct embedding_request embedding;
    struct llm_builder *builder;
    struct buf raw;
    bool has_raw;
    bool is_too_big;
    struct llm_error *error; /* NULL: none came */
    batch_call_done_fn *done;
    void *user;
};

static void call_free(struct batch_call *call)
{
    buf_done(&call->raw);
    arena_free(call->arena); /* the call is in it */
}

/* ---- The answer ------------------------------------------------------------------------------ */

/* A line of results has no line feed in it, and providers print prettily. */
static struct str in_one_line(struct batch_call *call, struct str body)
{
    yyjson_val *root;
    if (str_find_char(body, '\n') == SIZE_MAX && str_find_char(body, '\r') == SIZE_MAX)
        return body;
    if (json_read(call->arena, body, &root, NULL) != ERR_OK)
        return STR_NONE;
    return json_text(call->arena, root);
}

static struct str names_of_losses(struct batch_call *call)
{
    struct buf names;
    buf_init(&names, 8192);
    llm_losses_write(route_losses(call->route), &names, 4000);
    llm_unmapped_write(&call->llm, &names, 4000);
    struct str text = arena_str(call->arena, buf_str(&names));
    buf_done(&names);
    return text;
}

static void fail(struct batch_call *call, enum err class, const char *message)
{
    call->error = ARENA_NEW(call->arena, struct llm_error);
    *call->error = (struct llm_error){.class = class, .retry_after_ms = -1};
    str_copy(str_from_cstr(message), call->error->message, sizeof call->error->message);
}

static void finish(struct batch_call *call)
{
    struct batch_answer answer = {.request_id = call->request.name};
    struct buf encoded;
    buf_init(&encoded, 4 * (size_t)ANSWER_BYTES_MAX);
    if (!call->error && (call->is_too_big || !buf_ok(&call->raw)))
        fail(call, ERR_TOO_BIG, "the answer is too long");
    if (!call->error && !call->has_raw && !call->builder)
        fail(call, ERR_SERVER, "the answer is empty");
    if (!call->error && call->has_raw) {
        answer.body = in_one_line(call, buf_str(&call->raw));
    } else if (!call->error) {
        call->request.endpoint->dialect->encode_response(
            call->arena, llm_builder_response(call->builder), clock_wall_ms(), &encoded, NULL);
        answer.body = buf_str(&encoded);
        answer.dropped = names_of_losses(call);
    }
    if (!call->error && (!answer.body.len || !buf_ok(&encoded)))
        fail(call, ERR_SERVER, "the answer cannot be written down");
    answer.error = call->error;
    call->done(call->user, &answer);
    buf_done(&encoded);
    call_free(call);
}

static void build(struct batch_call *call, const struct llm_event *event)
{
    struct llm_event named = *event;
    if (event->kind == LLM_EVENT_START && !event->id.len)
        named.id = arena_printf(call->arena, "%s%.*s", call->request.endpoint->id_prefix,
                                STR_ARG(call->request.name));
    if (!call->builder)
        call->builder = llm_builder_new(call->arena, ANSWER_BYTES_MAX);
    if (llm_builder_add(call->builder, &named) != ERR_OK)
        call->is_too_big = true;
}

static void on_event(void *user, const struct llm_event *event)
{
    struct batch_call *call = user;
    if (event->kind == LLM_EVENT_ERROR) {
        call->error = ARENA_NEW(call->arena, struct llm_error);
        *call->error = *event->error;
    } else if (!call->error && !call->has_raw && !route_is_raw(call->route)) {
        build(call, event);
    }
    if (event->kind == LLM_EVENT_END)
        finish(call);
}

static void on_raw(void *user, struct str content_type, struct str bytes)
{
    (void)content_type;
    struct batch_call *call = user;
    call->has_raw = true;
    buf_append(&call->raw, bytes);
}

/* ---- Vectors --------------------------------------------------------------------------------- */

static void on_embedded(void *user, const struct embed_result *result)
{
    struct batch_call *call = user;
    struct batch_answer answer = {
        .error = result->error, .request_id = call->request.name, .dropped = result->dropped};
    if (!answer.error)
        answer.body = in_one_line(call, buf_str(result->body));
    if (!answer.error && !answer.body.len) {
        fail(call, ERR_SERVER, "the answer cannot be written down");
        answer.error = call->error;
    }
    call->done(call->user, &answer);
    call_free(call);
}

/* Of several models in a line nothing is known (batch_input.h): name a route. */
static enum err refuse_chain(yyjson_val *body, struct error *error)
{
    static const char *const members[] = {"models", "fallbacks"};
    for (size_t i = 0; i < 2; i++)
        if (json_get(body, members[i]))
            return error_set(error, ERR_INVALID, members[i],
                             "is not taken for embeddings: name a route as the model");
    return llm_refuse_redirections(body, error);
}

static enum err decode_embedding(struct batch_call *call, yyjson_val *body, struct error *error)
{
    const struct embedding_codec *form = call->request.endpoint->embedding;
    enum err code = refuse_chain(body, error);
    if (code == ERR_OK)
        code = form->decode_request(call->arena, body, &call->embedding, error);
    if (code == ERR_OK && !call->embedding.model.len)
        return error_set(error, ERR_INVALID, "model", "is required");
    if (code == ERR_OK && !call->embedding.input_count)
        return error_set(error, ERR_INVALID, "input", "must not be empty");
    return code;
}

static enum err start_embedding(struct batch_call *call, struct router *router,
                                const struct governor_origin *origin, struct error *error)
{
    const struct embed_request request = {
        .origin = origin,
        .form = call->request.endpoint->embedding,
        .asked = &call->embedding,
        .body = call->text,
        .priority = CELL_BATCH,
    };
    return embed_start(router, &request, on_embedded, call, &call->embed, error);
}

/* ---- The request ----------------------------------------------------------------------------- */

static enum err decode(struct batch_call *call, struct error *error)
{
    const struct batch_endpoint *endpoint = call->request.endpoint;
    yyjson_val *body = NULL;
    enum err code =
        batch_line_body(call->arena, endpoint, call->request.line, &body, &call->text, error);
    if (code != ERR_OK)
        return code;
    call->tag_count = tags_read(call->arena, body, call->tags);
    return endpoint->embedding ? decode_embedding(call, body, error)
                               : batch_decode_body(call->arena, endpoint, call->request.line, body,
                                                   &call->llm, error);
}

static enum err start_chat(struct batch_call *call, struct router *router,
                           const struct governor_origin *origin, struct error *error)
{
    static const struct route_events events = {.on_event = on_event, .on_raw = on_raw};
    const struct route_request route = {
        .origin = origin,
        .request = &call->llm,
        .priority = CELL_BATCH,
        .raw_body = call->text,
        .raw_dialect = call->request.endpoint->dialect,
        .request_id = call->request.name,
        .tenant = call->request.tenant,
    };
    return route_start(router, &route, &events, call, &call->route, error);
}

static enum err start(struct batch_call *call, struct router *router, struct error *error)
{
    enum err code = decode(call, error);
    if (code != ERR_OK)
        return code;
    const struct governor_origin origin = {
        .policy = call->request.policy,
        .address = call->request.address,
        .door = batch_form_name(call->request.endpoint->form),
        .tags = call->tags,
        .tag_count = call->tag_count,
        .request_id = call->request.name,
    };
    return call->request.endpoint->embedding ? start_embedding(call, router, &origin, error)
                                             : start_chat(call, router, &origin, error);
}

enum err batch_call_start(struct router *router, const struct batch_call_request *request,
                          batch_call_done_fn *done, void *user, struct batch_call **ret_call,
                          struct error *error)
{
    struct arena *arena = arena_new(CALL_ARENA_BYTES_MAX);
    struct batch_call *call = ARENA_NEW(arena, struct batch_call);
    call->arena = arena;
    call->request = *request;
    call->request.name = arena_str(arena, request->name);
    call->done = done;
    call->user = user;
    buf_init(&call->raw, ANSWER_BYTES_MAX);
    enum err code = start(call, router, error);
    if (code == ERR_OK)
        *ret_call = call;
    else
        call_free(call);
    return code;
}

void batch_call_cancel(struct batch_call *call)
{
    if (call->route)
        route_cancel(call->route, NULL);
    else
        embed_cancel(call->embed);
    call_free(call);
}
