/* Call over HTTP: one attempt at one provider.
 *
 *   llm_call_start_http --> WAITING --on_headers--> STREAMING (2xx, frames) --decoder's END--> ended
 *                     |                \-> WHOLE (2xx, one body)     --on_done--------> ended
 *                     |                \-> FAILING (not 2xx)         --on_done--------> ended
 *                     \--on_error, silence_fired----------------------------------------> ended
 *
 * STREAMING, WHOLE and FAILING end by on_done, on_error, or silence_fired too. When the decoder
 * says END before the body does, the rest is left to the HTTP client to drain (for a second at
 * most), so that the connection can be used again. */
#include "llm/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "llm/call_internal.h"
#include "llm/frame_reader.h"
#include "llm/frame_shape.h"
#include "llm/passthrough.h"
#include "llm/raw_frames.h"

enum {
    ARENA_BYTES_MAX = 256 * 1024 * 1024,
    ATTEMPT_BYTES = 928,                /* it and what a whole answer puts behind it */
    FRAME_BYTES_MAX = 64 * 1024 * 1024, /* images come back in one event */
    WHOLE_BYTES_MAX = 64 * 1024 * 1024,
    RAW_BYTES_MAX = 256 * 1024 * 1024,
    ERROR_BYTES_MAX = 64 * 1024,
    DRAIN_MS = 1000,
    FINAL_MS = 1000
};

enum state { STATE_WAITING, STATE_STREAMING, STATE_WHOLE, STATE_FAILING };

struct http_attempt {
    struct llm_call call; /* first */
    enum state state;
    struct arena *arena; /* of the call */
    struct http_call *http;
    struct str request_body; /* until it is sent: in the loop's transit, or (large) malloc's */
    bool is_sent;            /* the body of the request is not needed any more */
    struct buf body;         /* WHOLE, FAILING: what came so far */
    const struct dialect *dialect;
    struct dialect_decoder *decoder;
    struct frame_shape shape; /* of the frames that the decoder gets */
    struct frame_reader reader;
    bool is_complete; /* the decoder has all but the end of the stream */
    unsigned malformed;
    struct raw_frames frames; /* of a stream that passes through */
    bool raw;
    bool stream;
    int status;
    uint64_t final_ms;
    struct http_headers headers; /* kept for classifying an error */
    struct str content_type;
};

/* Many requests wait to be sent when many connections are made at once: they wait where they leave
 * no holes. */
static void keep_request_body(struct http_attempt *attempt, struct buf *body)
{
    size_t len;
    if (body->len > TRANSIT_BYTES_MAX) {
        const char *data = buf_take(body, &len);
        attempt->request_body = STR_FROM(data, len);
    } else {
        attempt->request_body = transit_put(loop_transit(attempt->call.loop), buf_str(body));
    }
    http_call_move_body(attempt->http, attempt->request_body.data);
}

static void drop_request_body(struct http_attempt *attempt)
{
    if (attempt->request_body.len > TRANSIT_BYTES_MAX) {
        free((char *)attempt->request_body.data);
        attempt->request_body = STR_NONE;
    } else {
        transit_drop(&attempt->request_body);
    }
}

static void attempt_free(struct http_attempt *attempt)
{
    if (attempt->http)
        http_call_cancel(attempt->http);
    loop_timer_cancel(attempt->call.loop, &attempt->call.silence);
    frame_reader_done(&attempt->reader);
    frame_shape_done(&attempt->shape);
    raw_frames_done(&attempt->frames);
    loop_buf_keep(attempt->call.loop, &attempt->body);
    drop_request_body(attempt);
    provider_unref(attempt->call.provider);
    arena_free(attempt->arena); /* the attempt itself is in it */
}

/* The caller has heard END, or has cancelled. */
static void attempt_finish(struct llm_call *call)
{
    struct http_attempt *attempt = (struct http_attempt *)call;
    if (attempt->http && !call->cancelled && !call->failed) {
        http_call_drain(attempt->http, DRAIN_MS);
        attempt->http = NULL;
    }
    attempt_free(attempt);
}

static void attempt_pause(struct llm_call *call, bool paused)
{
    struct http_attempt *attempt = (struct http_attempt *)call;
    if (!attempt->http)
        return;
    if (paused)
        http_call_pause(attempt->http);
    else
        http_call_resume(attempt->http);
}

static const struct llm_call_ops http_ops = {attempt_finish, attempt_pause};

static void fail_with(struct http_attempt *attempt, enum err class, const char *message)
{
    struct llm_error error;
    llm_error_init(&error, class);
    error.http_status = attempt->status;
    str_copy(str_from_cstr(message), error.message, sizeof error.message);
    llm_call_fail(&attempt->call, &error);
}

/* ---- A stream -------------------------------------------------------------------------------- */

/* Bytes that pass through come before what ends the answer, and none of an error's frame come at
 * all: it is not yet the caller's. */
static void emit_of_frame(void *user, const struct llm_event *event)
{
    struct http_attempt *attempt = user;
    bool is_end = event->kind == LLM_EVENT_FINISH || event->kind == LLM_EVENT_END;
    bool ends = is_end && !attempt->call.failed;
    if (attempt->raw && (ends || event->kind == LLM_EVENT_ERROR))
        raw_frames_flush(&attempt->frames, ends);
    llm_call_emit(&attempt->call, event);
}

/* Events may start another call, which borrows a scratch of its own. */
static void on_frame(void *user, struct str type, struct str data)
{
    struct http_attempt *attempt = user;
    struct loop *loop = attempt->call.loop;
    struct arena *scratch = loop_scratch_borrow(loop);
    if (attempt->raw)
        raw_frames_read(&attempt->frames, frame_reader_fed(&attempt->reader));
    frame_shape_decode(&attempt->shape, attempt->dialect, attempt->decoder, scratch, type, data,
                       emit_of_frame, attempt);
    loop_scratch_return(loop, scratch);
    if (!attempt->raw || attempt->call.ended)
        return;
    unsigned malformed = attempt->dialect->progress(attempt->decoder).malformed;
    if (malformed == attempt->malformed)
        raw_frames_understood(&attempt->frames);
    else
        raw_frames_skip(&attempt->frames);
    attempt->malformed = malformed;
}

static void give_raw(void *user, struct str bytes)
{
    struct http_attempt *attempt = user;
    if (!attempt->call.ended && attempt->call.events.on_raw)
        attempt->call.events.on_raw(attempt->call.user, attempt->content_type, bytes);
}

static void begin_streaming(struct http_attempt *attempt)
{
    attempt->state = STATE_STREAMING;
    attempt->decoder = attempt->dialect->decoder_new(attempt->arena);
    frame_shape_init(&attempt->shape);
    raw_frames_init(&attempt->frames, FRAME_BYTES_MAX, give_raw, attempt);
    frame_reader_init(&attempt->reader, attempt->dialect->framing, FRAME_BYTES_MAX, on_frame,
                      attempt);
}

/* Whether a 2xx answer to a streamed request is a stream: some servers send one JSON body, an error
 * or a whole answer. */
static bool is_stream(const struct http_attempt *attempt)
{
    if (!attempt->stream)
        return false;
    return attempt->dialect->framing == DIALECT_NDJSON ||
           !str_starts_with_nocase(attempt->content_type, STR("application/json"));
}

static void keep_headers(struct http_attempt *attempt, const struct http_headers *headers)
{
    for (size_t i = 0; i < headers->count; i++)
        http_headers_add(&attempt->headers, attempt->arena, headers->items[i].name,
                         headers->items[i].value);
}

static void tell_head(struct http_attempt *attempt, int status, const struct http_headers *headers)
{
    struct llm_call *call = &attempt->call;
    struct llm_call_head head = {.status = status,
                                 .connect_ms = http_call_timing(attempt->http)->connect_ms};
    if (!call->events.on_head)
        return;
    llm_limits_read(headers, loop_wall_ms(call->loop), &head.limits);
    call->events.on_head(call->user, &head);
}

/* One body, which is read at its end. */
static void begin_whole(struct http_attempt *attempt, const struct http_headers *headers)
{
    uint64_t length;
    attempt->state = STATE_WHOLE;
    if (attempt->raw && attempt->stream) { /* it becomes a stream only by its events */
        attempt->raw = false;
        give_raw(attempt, STR(""));
    }
    buf_init(&attempt->body, WHOLE_BYTES_MAX);
    loop_buf_lend(attempt->call.loop, &attempt->body);
    if (str_to_u64(http_headers_get(headers, "content-length"), &length) &&
        length <= WHOLE_BYTES_MAX)
        buf_reserve(&attempt->body, (size_t)length);
}

static void begin_body(struct http_attempt *attempt, int status, const struct http_headers *headers)
{
    attempt->status = status;
    attempt->content_type = arena_str(attempt->arena, http_headers_get(headers, "content-type"));
    if (status < 200 || status > 299) {
        attempt->state = STATE_FAILING;
        attempt->raw = false;
        buf_init(&attempt->body, ERROR_BYTES_MAX);
        keep_headers(attempt, headers);
    } else if (is_stream(attempt)) {
        begin_streaming(attempt);
    } else {
        begin_whole(attempt, headers);
    }
}

static void on_headers(void *user, int status, const struct http_headers *headers)
{
    struct http_attempt *attempt = user;
    attempt->call.emitting++; /* the callee may cancel: freeing waits */
    tell_head(attempt, status, headers);
    if (!attempt->call.ended)
        begin_body(attempt, status, headers);
    attempt->call.emitting--;
    llm_call_settle(&attempt->call);
}

static void end_streaming(struct http_attempt *attempt);

/* The end of the stream does not come. */
static void final_fired(void *user)
{
    struct http_attempt *attempt = user;
    attempt->call.emitting++;
    end_streaming(attempt);
    attempt->call.emitting--;
    llm_call_settle(&attempt->call);
}

static void fail_streaming(struct http_attempt *attempt, const char *message)
{
    if (attempt->raw)
        raw_frames_flush(&attempt->frames, false); /* whose events have been told */
    if (!attempt->call.ended)
        fail_with(attempt, ERR_SERVER, message);
}

static void parse_stream(struct http_attempt *attempt, struct str data)
{
    enum err code = frame_reader_feed(&attempt->reader, data);
    if (attempt->call.ended)
        return;
    if (code != ERR_OK)
        fail_streaming(attempt, "the provider sent an event that is too large");
    else if (arena_exceeded(attempt->arena))
        fail_streaming(attempt, "the provider's answer is too large");
}

static void feed_stream(struct http_attempt *attempt, struct str data)
{
    struct llm_call *call = &attempt->call;
    if (attempt->raw)
        raw_frames_begin(&attempt->frames, data);
    parse_stream(attempt, data);
    if (attempt->raw && !call->ended && !raw_frames_end(&attempt->frames) && !call->ended)
        fail_with(attempt, ERR_SERVER, "the provider sent an event that is too large");
    if (call->ended || attempt->is_complete)
        return;
    attempt->is_complete = attempt->dialect->progress(attempt->decoder).is_complete;
    if (attempt->is_complete)
        loop_timer_set(call->loop, &call->silence, attempt->final_ms, final_fired, attempt);
}

/* Collects a body that is read at its end. Of an error what fits is enough to say what it is. */
static void feed_body(struct http_attempt *attempt, struct str data)
{
    if (attempt->state == STATE_FAILING)
        data = str_slice(data, 0, ERROR_BYTES_MAX - attempt->body.len);
    buf_append(&attempt->body, data);
    if (!buf_ok(&attempt->body))
        fail_with(attempt, ERR_SERVER, "the provider's answer is too large");
}

static void on_body(void *user, struct str data)
{
    struct http_attempt *attempt = user;
    struct llm_call *call = &attempt->call;
    call->emitting++;
    if (attempt->state == STATE_STREAMING)
        feed_stream(attempt, data);
    else
        feed_body(attempt, data);
    call->emitting--;
    llm_call_settle(call);
}

static void end_failing(struct http_attempt *attempt)
{
    struct llm_error error;
    llm_error_init(&error, ERR_SERVER);
    attempt->dialect->decode_error(attempt->arena, attempt->status, &attempt->headers,
                                   buf_str(&attempt->body), &error);
    llm_call_fail(&attempt->call, &error);
}

static void end_whole(struct http_attempt *attempt)
{
    struct llm_response response = {.usage = LLM_USAGE_UNKNOWN};
    struct llm_error error;
    llm_error_init(&error, ERR_SERVER);
    /* All that is read is told before this returns. */
    struct loop *loop = attempt->call.loop;
    struct arena *scratch = loop_scratch_borrow(loop);
    if (attempt->dialect->decode_response(scratch, buf_str(&attempt->body), &response, &error) !=
        ERR_OK) {
        llm_call_fail(&attempt->call, &error);
    } else {
        if (attempt->raw)
            give_raw(attempt, buf_str(&attempt->body));
        llm_response_replay(&response, llm_call_emit, &attempt->call);
    }
    loop_scratch_return(loop, scratch);
}

/* The last frame may lack its end, and is understood without it; whoever gets its bytes gets one. */
static void close_last_frame(struct http_attempt *attempt)
{
    raw_frames_begin(&attempt->frames, frame_reader_close(&attempt->reader));
}

/* Whether the bytes have told the end, which decode_end is going to tell by its events. */
static bool end_was_given(const struct http_attempt *attempt)
{
    return attempt->dialect->ends_with_body &&
           attempt->dialect->progress(attempt->decoder).is_complete;
}

/* The stream has ended, or it was waited for long enough. What is told now has come without bytes
 * where the stream lacked it. */
static void end_streaming(struct http_attempt *attempt)
{
    if (attempt->raw)
        close_last_frame(attempt);
    enum err code = frame_reader_finish(&attempt->reader);
    if (attempt->raw && !attempt->call.ended) {
        raw_frames_finish(&attempt->frames);
        if (!end_was_given(attempt))
            give_raw(attempt, STR(""));
    }
    attempt->raw = false;
    if (attempt->call.ended)
        return;
    if (code != ERR_OK)
        fail_with(attempt, ERR_SERVER, "the provider sent an event that is too large");
    else
        attempt->dialect->decode_end(attempt->decoder, llm_call_emit, &attempt->call);
}

static void on_done(void *user)
{
    struct http_attempt *attempt = user;
    attempt->http = NULL;
    attempt->call.emitting++;
    if (attempt->state == STATE_STREAMING)
        end_streaming(attempt);
    else if (attempt->state == STATE_FAILING)
        end_failing(attempt);
    else
        end_whole(attempt);
    attempt->call.emitting--;
    llm_call_settle(&attempt->call);
}

static void on_error(void *user, const struct error *error)
{
    struct http_attempt *attempt = user;
    attempt->http = NULL;
    if (attempt->is_complete) { /* all of it had come */
        final_fired(attempt);
        return;
    }
    struct llm_error failure;
    dialect_error_of_transport(error, attempt->status, &failure);
    llm_call_fail(&attempt->call, &failure);
}

static void on_sent(void *user)
{
    struct http_attempt *attempt = user;
    attempt->is_sent = true;
    drop_request_body(attempt);
}

static const struct http_call_events http_events = {on_headers, on_body, on_done, on_error,
                                                    on_sent};

/* Names what the provider's form has no place for. */
static enum err refuse_losses(const struct llm_call_request *request, struct error *error)
{
    struct buf names;
    enum err code = ERR_OK;
    buf_init(&names, 1024);
    llm_losses_write(request->losses, &names, 200);
    llm_unmapped_write(request->request, &names, 200);
    if (request->losses->count || request->request->unmapped_count)
        code = error_set(error, ERR_INVALID, "x-parley-strict", "%.*s cannot carry: %.*s",
                         STR_ARG(request->provider->name), STR_ARG(buf_str(&names)));
    buf_done(&names);
    return code;
}

static void mark_prompt(const struct dialect *dialect, struct buf *body)
{
    struct buf marked;
    buf_init(&marked, body->bytes_max);
    dialect->mark_prompt(buf_str(body), &marked);
    buf_swap(body, &marked);
    buf_done(&marked);
}

/* Into a lent buffer, which the caller keeps. */
static enum err build_body(const struct http_attempt *attempt,
                           const struct llm_call_request *request, struct arena *scratch,
                           struct buf *body, struct error *error)
{
    const struct provider_kind *kind = request->provider->kind;
    const struct dialect_target target = {.model = request->model, .quirks = kind->quirks};
    enum err code = ERR_OK;
    buf_init(body, attempt->raw ? RAW_BYTES_MAX : WHOLE_BYTES_MAX);
    loop_buf_lend(attempt->call.loop, body);
    if (request->body_bytes_hint < WHOLE_BYTES_MAX)
        buf_reserve(body, request->body_bytes_hint);
    if (attempt->raw)
        passthrough_with_model(request->raw_body, request->raw_members,
                               kind->dialect->model_in_path ? STR_NONE : request->model, body);
    else
        code = kind->dialect->encode_request(scratch, request->request, &target, body,
                                             request->losses, error);
    /* Usage is told all the same: unasked by most, and counted by route where nobody does. */
    if (request->losses)
        llm_losses_drop(request->losses, LLM_FIELD_STREAM_USAGE);
    if (code == ERR_OK && request->strict && !attempt->raw)
        code = refuse_losses(request, error);
    if (code == ERR_OK && buf_ok(body) && request->marks_prompt && kind->dialect->mark_prompt)
        mark_prompt(kind->dialect, body);
    if (code == ERR_OK && !buf_ok(body))
        code = error_set(error, ERR_TOO_BIG, NULL, "the request is too large for a provider");
    return code;
}

/* What the caller of the same dialect says in headers goes before what the provider's row says. */
static void forward_headers(const struct llm_call_request *request, struct arena *scratch,
                            struct http_headers *headers)
{
    const char *const *name = request->provider->kind->dialect->forwarded;
    for (; request->raw_headers && name && *name; name++) {
        struct str value = http_headers_get(request->raw_headers, *name);
        if (value.len)
            http_headers_add_view(headers, scratch, str_from_cstr(*name), value);
    }
}

static enum err send_request(struct http_attempt *attempt, struct http_client *client,
                             const struct llm_call_request *request, struct arena *scratch,
                             struct str body, struct error *error)
{
    const struct provider *provider = request->provider;
    const struct provider_kind *kind = provider->kind;
    const char *path = attempt->stream ? kind->path_stream : kind->path_complete;
    if (attempt->raw && request->raw_path)
        path = request->raw_path;
    struct http_call_request http_request = {
        .method = HTTP_POST,
        .url = provider_url(scratch, provider, path, request->model),
        .body = body,
        .never_replays = true, /* that is route's decision */
        .connect_timeout_ms = request->timeouts.connect_ms ? request->timeouts.connect_ms
                                                           : provider->connect_timeout_ms,
        .headers_timeout_ms = request->timeouts.headers_ms ? request->timeouts.headers_ms
                                                           : provider->headers_timeout_ms,
        .total_timeout_ms = provider->total_timeout_ms,
    };
    if (!http_request.url.data)
        return error_set(error, ERR_INVALID, "model", "is too long");
    struct http_headers *headers = &http_request.headers;
    forward_headers(request, scratch, headers);
    provider_headers(scratch, provider, headers);
    http_headers_add_view(headers, scratch, STR("content-type"), STR("application/json"));
    http_headers_add_view(headers, scratch, STR("accept-encoding"), STR("identity"));
    return http_call_start(client, &http_request, &http_events, attempt, &attempt->http, error);
}

static enum err send_body(struct http_attempt *attempt, struct http_client *client,
                          const struct llm_call_request *request, struct error *error)
{
    struct loop *loop = attempt->call.loop;
    struct arena *scratch = loop_scratch_borrow(loop); /* a stream may last for minutes */
    struct buf body;
    enum err code = build_body(attempt, request, scratch, &body, error);
    if (code == ERR_OK)
        code = send_request(attempt, client, request, scratch, buf_str(&body), error);
    if (code == ERR_OK && !attempt->is_sent)
        keep_request_body(attempt, &body);
    loop_buf_keep(loop, &body);
    loop_scratch_return(loop, scratch);
    return code;
}

enum err llm_call_start_http(struct http_client *client, struct loop *loop,
                             const struct llm_call_request *request,
                             const struct llm_call_events *events, void *user,
                             struct llm_call **ret_call, struct error *error)
{
    struct arena *arena = arena_new_from(loop_stock(loop), ARENA_BYTES_MAX, ATTEMPT_BYTES);
    struct http_attempt *attempt = ARENA_NEW(arena, struct http_attempt);
    attempt->arena = arena;
    attempt->call.ops = &http_ops;
    attempt->dialect = request->provider->kind->dialect;
    llm_call_init(&attempt->call, loop, request, events, user);
    attempt->stream = request->request->stream;
    attempt->raw = request->raw_body.data != NULL;
    attempt->final_ms = request->timeouts.final_ms ? request->timeouts.final_ms : FINAL_MS;
    enum err code = send_body(attempt, client, request, error);
    if (code != ERR_OK) {
        attempt_free(attempt);
        return code;
    }
    llm_call_watch(&attempt->call);
    *ret_call = &attempt->call;
    return ERR_OK;
}
