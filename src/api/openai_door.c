/* The OpenAI door: /v1/chat/completions and /v1/models, stateless, straight to the router.
 *
 *   api_openai_chat --route_start--> WAITING --first event or bytes--> STREAMING --END--> ended
 *                                       |                                  |
 *                                       |  ERROR: status and body          |  ERROR: a frame
 *                                       \--END (not streamed): the whole answer
 *
 * The client's leaving cancels the call at once. A slow client pauses it. */
#include <stdlib.h>

#include "api/request.h"
#include "base/clock.h"

enum { ANSWER_BYTES_MAX = 64 * 1024 * 1024 };

struct completion {
    struct api_request *request;
    struct llm_request llm;
    struct route_call *call; /* dead once END was heard */
    struct dialect_encoder *encoder;
    struct llm_builder *builder; /* of a whole answer, when it is not passed through */
    struct loop_task flush_task;
    struct buf out; /* frames of this turn, or half a raw one; or the raw bytes of a whole answer */
    size_t searched;          /* of `out`: no frame ends before */
    const char *content_type; /* of raw bytes */
    bool passes_through;      /* as far as the answer allows it */
    bool has_raw;             /* bytes came: events are not written */
    bool begun;               /* the response's head is out */
    bool failed;              /* ERROR was heard: error */
    struct llm_error *error;  /* in the exchange's arena; NULL: none came */
};

static const struct dialect *const dialect = &dialect_openai_chat;

static void write_losses(struct completion *completion)
{
    struct buf names;
    const struct llm_losses *losses = route_losses(completion->call);
    buf_init(&names, 8192);
    if (!completion->passes_through) {
        llm_losses_write(losses, &names, 4000);
        for (size_t i = 0; i < completion->llm.unmapped_count && names.len < 4000; i++)
            buf_printf(&names, "%s%.*s", names.len ? ", " : "",
                       STR_ARG(completion->llm.unmapped[i]));
    }
    if (names.len && http_header_is_valid(STR("x-parley-dropped"), buf_str(&names)))
        http_respond_header(completion->request->exchange, "x-parley-dropped", buf_str(&names));
    buf_done(&names);
}

static void write_head(struct completion *completion)
{
    struct http_exchange *exchange = completion->request->exchange;
    struct str target = route_target(completion->call)->id;
    if (http_header_is_valid(STR("x-parley-target"), target))
        http_respond_header(exchange, "x-parley-target", target);
    http_respond_header(exchange, "cache-control", STR("no-cache"));
    write_losses(completion);
}

static void begin_stream(struct completion *completion, const char *content_type)
{
    if (completion->begun)
        return;
    completion->begun = true;
    write_head(completion);
    http_respond_header(completion->request->exchange, "x-accel-buffering", STR("no"));
    http_respond_begin(completion->request->exchange, 200, content_type);
}

static void heed_back_pressure(struct completion *completion)
{
    if (http_respond_pending_bytes(completion->request->exchange) > STREAM_HIGH_BYTES)
        route_pause(completion->call);
}

static void on_drain(void *user)
{
    struct completion *completion = user;
    route_resume(completion->call);
}

static void flush(struct completion *completion)
{
    loop_task_cancel(&completion->flush_task);
    if (completion->out.len)
        http_respond_write(completion->request->exchange, buf_str(&completion->out));
    buf_release(&completion->out);
    heed_back_pressure(completion);
}

static void flush_later(void *user)
{
    flush(user);
}

/* How much of raw bytes is whole frames: up to behind the last blank line that ends behind `from`.
 */
static size_t whole_frames(struct str bytes, size_t from)
{
    for (size_t at = bytes.len; at > 1 && at > from; at--) {
        bool ends = bytes.data[at - 1] == '\n';
        if (ends && (bytes.data[at - 2] == '\n' ||
                     (at > 2 && bytes.data[at - 2] == '\r' && bytes.data[at - 3] == '\n')))
            return at;
    }
    return 0;
}

/* Half a frame waits for its rest: when that never comes, an error takes its place, which nobody
 * could read behind it. Mostly there is none, and nothing is copied or kept. */
static void forward_frames(struct completion *completion, struct str bytes)
{
    struct buf *half = &completion->out;
    bool waited = half->len > 0;
    if (waited) {
        buf_append(half, bytes);
        bytes = buf_str(half);
    }
    size_t whole = whole_frames(bytes, completion->searched);
    if (whole)
        http_respond_write(completion->request->exchange, str_slice(bytes, 0, whole));
    if (waited)
        buf_consume(half, whole);
    else
        buf_append(half, str_skip(bytes, whole));
    completion->searched = half->len;
    if (!half->len)
        buf_release(half);
    heed_back_pressure(completion);
}

/* Ends the exchange, and with its arena the completion. */
static void end_stream(struct completion *completion)
{
    loop_task_cancel(&completion->flush_task);
    buf_done(&completion->out);
    http_respond_end(completion->request->exchange);
}

static void on_abort(void *user)
{
    struct completion *completion = user;
    struct http_exchange *exchange = completion->request->exchange;
    route_cancel(completion->call, NULL);
    loop_task_cancel(&completion->flush_task);
    buf_done(&completion->out);
    http_respond_break(exchange); /* whether or not it has begun */
}

/* A stream that is passed through needs none, unless it fails. */
static struct dialect_encoder *encoder_of(struct completion *completion)
{
    if (!completion->encoder)
        completion->encoder = dialect->encoder_new(completion->request->arena, clock_wall_ms(),
                                                   completion->llm.stream_usage);
    return completion->encoder;
}

/* ERROR within a stream: a frame that says so, and no sentinel after it, so that nobody takes the
 * answer for whole. Before the head it waits for END and gets a status of its own. */
static void on_failure(struct completion *completion, const struct llm_event *event)
{
    completion->failed = true;
    completion->error = ARENA_NEW(completion->request->arena, struct llm_error);
    *completion->error = *event->error;
    if (!completion->begun)
        return;
    if (completion->has_raw)
        buf_clear(&completion->out); /* half a frame */
    dialect->encode_event(encoder_of(completion), event, &completion->out, NULL);
    flush(completion);
}

static int encode_failure(struct completion *completion, struct buf *out)
{
    struct api_request *request = completion->request;
    const struct llm_error *error = completion->error;
    buf_clear(out);
    if (error->retry_after_ms >= 0)
        http_respond_header(
            request->exchange, "retry-after",
            arena_printf(request->arena, "%lld", (long long)(error->retry_after_ms + 999) / 1000));
    return dialect->encode_error(error, out);
}

/* One body at once: a whole answer, or an error before anything was sent. Ending the exchange frees
 * the completion, so the body is taken out of it first. */
static void end_at_once(struct completion *completion)
{
    struct api_request *request = completion->request;
    struct buf out = completion->out;
    const char *content_type = "application/json";
    int status = 200;
    write_head(completion);
    if (completion->failed)
        status = encode_failure(completion, &out);
    else if (completion->passes_through)
        content_type = completion->content_type;
    else
        dialect->encode_response(request->arena, llm_builder_response(completion->builder),
                                 clock_wall_ms(), &out, NULL);
    if (buf_ok(&out))
        http_respond(request->exchange, status, content_type, buf_str(&out));
    else
        api_fail(request, ERR_TOO_BIG, NULL);
    buf_done(&out);
}

static void on_end(struct completion *completion)
{
    bool at_once = !completion->llm.stream || (completion->failed && !completion->begun);
    if (!at_once) {
        begin_stream(completion, "text/event-stream");
        flush(completion);
    }
    if (at_once)
        end_at_once(completion);
    else
        end_stream(completion);
}

static void on_event(void *user, const struct llm_event *event)
{
    struct completion *completion = user;
    if (event->kind == LLM_EVENT_ERROR) {
        on_failure(completion, event);
        return;
    }
    if (completion->builder && !completion->failed)
        if (llm_builder_add(completion->builder, event) != ERR_OK)
            completion->out.overflowed = true; /* end_at_once refuses */
    if (completion->llm.stream && !completion->has_raw && !completion->failed) {
        begin_stream(completion, "text/event-stream");
        dialect->encode_event(encoder_of(completion), event, &completion->out, NULL);
        loop_defer(completion->request->api->options.loop, &completion->flush_task, flush_later,
                   completion); /* what one turn brings leaves as one piece */
    }
    if (event->kind == LLM_EVENT_END)
        on_end(completion);
}

static void on_raw(void *user, struct str content_type, struct str bytes)
{
    struct completion *completion = user;
    completion->has_raw = true;
    if (!completion->content_type)
        completion->content_type = arena_cstr(completion->request->arena, content_type);
    if (!completion->llm.stream) {
        buf_append(&completion->out, bytes);
        return;
    }
    begin_stream(completion, completion->content_type);
    forward_frames(completion, bytes);
}

static enum err decode(struct api_request *request, struct completion *completion,
                       struct error *error)
{
    yyjson_val *root;
    struct loop *loop = request->api->options.loop;
    struct arena *values = loop_scratch_borrow(loop); /* not for the length of the stream */
    enum err code = json_read_split(request->arena, values, request->http->body, &root, error);
    if (code == ERR_OK)
        code = dialect->decode_request(request->arena, root, &completion->llm, error);
    loop_scratch_return(loop, values);
    if (code == ERR_OK && completion->llm.message_count == 0)
        code = error_set(error, ERR_INVALID, "messages", "must not be empty");
    return code;
}

static enum err start(struct api_request *request, struct completion *completion,
                      struct error *error)
{
    static const struct route_events events = {on_event, on_raw};
    struct route_request route = {
        .request = &completion->llm,
        .raw_body = request->http->body,
        .raw_dialect = dialect,
        .request_id = http_exchange_id(request->exchange),
    };
    enum err code = decode(request, completion, error);
    if (code == ERR_OK)
        code = route_start(request->api->options.router, &route, &events, completion,
                           &completion->call, error);
    return code;
}

void api_openai_chat(struct api_request *request)
{
    struct completion *completion = ARENA_NEW(request->arena, struct completion);
    struct error error = {0};
    completion->request = request;
    buf_init(&completion->out, ANSWER_BYTES_MAX);
    enum err code = start(request, completion, &error);
    if (api_failed(request, code, &error))
        return;
    http_exchange_drop_body(request->exchange); /* its strings were copied, its bytes are sent */
    completion->passes_through = route_target(completion->call)->passes_through;
    if (completion->llm.stream && !completion->passes_through)
        encoder_of(completion); /* it notes the time */
    else if (!completion->llm.stream && !completion->passes_through)
        completion->builder = llm_builder_new(request->arena, ANSWER_BYTES_MAX);
    http_exchange_on_abort(request->exchange, on_abort, completion);
    http_respond_on_drain(request->exchange, on_drain, completion);
}

/* ---- Models ---------------------------------------------------------------------------------- */

static void write_model(struct json_writer *w, struct str id, struct str owner)
{
    json_begin_object(w);
    json_key_str(w, "id", id);
    json_key_str(w, "object", STR("model"));
    json_key_int(w, "created", 0);
    json_key_str(w, "owned_by", owner);
    json_end_object(w);
}

void api_openai_models(struct api_request *request)
{
    const struct catalog *catalog = registry_acquire(request->api->options.registry);
    struct api_reply reply;
    api_reply_begin(&reply);
    json_key_str(&reply.w, "object", STR("list"));
    json_key_array(&reply.w, "data");
    for (size_t i = 0; i < catalog->route_count; i++)
        if (catalog->routes[i].target_count)
            write_model(&reply.w, catalog->routes[i].name, STR("parley"));
    for (size_t i = 0; i < catalog->model_count; i++)
        write_model(&reply.w, catalog->models[i].id, catalog->models[i].provider->name);
    json_end_array(&reply.w);
    catalog_unref(catalog);
    api_reply(request, 200, &reply);
}

void api_openai_model(struct api_request *request)
{
    const struct catalog *catalog = registry_acquire(request->api->options.registry);
    struct str id = request->parameters[0];
    struct buf text;
    struct json_writer w;
    if (request->parameters[1].data)
        id =
            arena_printf(request->arena, "%.*s/%.*s", STR_ARG(id), STR_ARG(request->parameters[1]));
    const struct catalog_model *model = catalog_find_model(catalog, id);
    const struct catalog_route *route = model ? NULL : catalog_find_route(catalog, id);
    buf_init(&text, 64 * 1024);
    json_writer_init(&w, &text);
    if (model)
        write_model(&w, id, model->provider->name);
    else if (route && route->target_count)
        write_model(&w, id, STR("parley"));
    if (text.len)
        http_respond(request->exchange, 200, "application/json", buf_str(&text));
    else
        api_fail(request, ERR_MODEL_NOT_FOUND, NULL);
    buf_done(&text);
    catalog_unref(catalog);
}
