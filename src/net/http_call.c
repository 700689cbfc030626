/* One call of the HTTP client, from request to terminal event. Stands on connector, pool, request
 * writer and response parser; http_client.c makes it.
 *
 *   http_call_new ----(kept connection: begin_request)--------+
 *        |                                                    v
 *        +--(none: begin_connect)--> CONNECTING --on_connected--> WAITING --on_headers--> BODY
 *                                        ^                          |                      |
 *                                        +--(kept one was dead,     |                      |
 *                                            once: peer_over)-------+                      |
 *   ENDED <-- complete (on_done), fail (on_error), http_call_cancel, from anywhere --------+
 *
 * Callbacks may cancel, pause and resume. So whatever calls the owner stands between call_enter and
 * call_leave: while there is such a frame, an ended call keeps its memory, and the last frame to
 * leave frees it.
 *
 * Pausing stops the parser in the middle of a read: what it has not taken waits in `held`, the
 * stream is paused, and an end of the stream is noted and acted on after `held`. */
#include "net/http_call_internal.h"

#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "net/connector.h"

enum {
    HEAD_BYTES_KEPT = 8192,        /* a larger scratch buffer is given back */
    BODY_PIECE_BYTES = 512 * 1024, /* over STREAM_HIGH_BYTES, so that on_drain follows */
    HELD_BYTES_MAX = 1024 * 1024,
    GATHERED_BYTES_MAX = 64 * 1024 /* of requests that leave together */
};
#define BODY_BYTES_DEFAULT ((uint64_t)1 << 30)

static void begin_connect(struct http_call *call);
static void on_timer(void *user);

/* ---- The end of a call ----------------------------------------------------------------------- */

/* What names the server to a person. */
static const char *host_name(const struct http_call *call)
{
    return call->origin->host.len ? call->origin->host.data : "unix socket";
}

/* It is the client's scratch at first, and seldom needed beyond the start. */
static void keep_head(struct http_call *call)
{
    if (!call->head.len)
        return;
    call->head_bytes = call->head.len;
    char *copy = stock_take(call->stock, &call->head_bytes);
    memcpy(copy, call->head.data, call->head.len);
    call->head.data = copy;
}

static void drop_head(struct http_call *call)
{
    if (call->head_bytes)
        stock_give(call->stock, (char *)call->head.data, call->head_bytes);
    call->head = STR_NONE;
    call->head_bytes = 0;
}

static void call_free(struct http_call *call)
{
    http_response_done(&call->response);
    buf_done(&call->held);
    drop_head(call);
    stock_give(call->stock, call, call->own_bytes);
}

static void call_enter(struct http_call *call)
{
    call->depth++;
}

static void call_leave(struct http_call *call)
{
    if (--call->depth == 0 && call->state == CALL_ENDED)
        call_free(call);
}

enum connection_end { CONNECTION_KEEP, CONNECTION_CLOSE, CONNECTION_RESET };

static void let_go(struct http_call *call, enum connection_end end)
{
    struct http_upstream *upstream = call->upstream;
    call->upstream = NULL;
    if (upstream && end == CONNECTION_KEEP)
        http_upstream_keep(upstream);
    else if (upstream)
        http_upstream_close(upstream, end == CONNECTION_CLOSE);
}

/* Gives everything back but the memory. The origin's name is gone then: messages come before. */
static void end(struct http_call *call, enum connection_end connection_end)
{
    call->state = CALL_ENDED;
    list_remove(&call->link);
    loop_timer_cancel(call->client->loop, &call->timer);
    loop_task_cancel(&call->resume_task);
    list_remove(&call->gathered);
    if (call->connector)
        connector_cancel(call->connector);
    call->connector = NULL;
    let_go(call, connection_end);
    http_origin_unref(call->origin);
    call->client->call_count--;
}

/* Once the stream has ended it cannot be told any more, and what was noted before counts. */
void http_call_note_sent(struct http_call *call)
{
    const struct http_upstream *upstream = call->upstream;
    if (upstream && upstream->stream && call->body_written == call->body.len &&
        stream_pending_bytes(upstream->stream) == 0)
        call->timing.request_sent = true;
}

static void complete(struct http_call *call, bool all_taken)
{
    http_call_note_sent(call);
    bool keep = all_taken && call->timing.request_sent && !call->peer_ended &&
                call->upstream->stream && http_response_keep_alive(&call->response);
    if (keep && call->stream_paused)
        stream_resume(call->upstream->stream);
    /* Closing in order waits for what is queued: not for the rest of an upload nobody wants. */
    end(call, keep                        ? CONNECTION_KEEP
              : call->timing.request_sent ? CONNECTION_CLOSE
                                          : CONNECTION_RESET);
    call->events.on_done(call->user);
}

static void fail_with(struct http_call *call, const struct error *error)
{
    http_call_note_sent(call);
    end(call, CONNECTION_RESET);
    call->events.on_error(call->user, error);
}

static void fail(struct http_call *call, enum err code, const char *phase, const char *detail)
{
    struct error error = {0};
    (void)error_set(&error, code, NULL, "%s: %s: %s", host_name(call), phase, detail);
    fail_with(call, &error);
}

void http_call_cancel(struct http_call *call)
{
    if (call->state == CALL_ENDED)
        return; /* from inside the terminal event */
    end(call, CONNECTION_RESET);
    if (call->depth == 0)
        call_free(call);
}

/* ---- Timers ---------------------------------------------------------------------------------- */

static void fail_late(struct http_call *call, const char *timer, const char *what, uint64_t ms)
{
    struct error error = {0};
    (void)error_set(&error, ERR_TIMEOUT, timer, "%s: %s timeout: %s within %llu ms",
                    host_name(call), timer, what, (unsigned long long)ms);
    call_enter(call);
    fail_with(call, &error);
    call_leave(call);
}

/* A timer that fires too early costs less than one that is moved and cancelled in every call. */
static void arm_timer(struct http_call *call)
{
    struct loop *loop = call->client->loop;
    uint64_t due_ms =
        call->headers_due_ms < call->total_due_ms ? call->headers_due_ms : call->total_due_ms;
    bool is_early_enough = loop_timer_is_set(&call->timer) && call->timer.node.key <= due_ms;
    if (due_ms != HTTP_CALL_NEVER && !is_early_enough)
        loop_timer_set(loop, &call->timer, due_ms - loop_now_ms(loop), on_timer, call);
}

static void on_timer(void *user)
{
    struct http_call *call = user;
    uint64_t now_ms = loop_now_ms(call->client->loop);
    bool is_taken = call->body_written == call->body.len;
    if (call->total_due_ms <= now_ms)
        fail_late(call, "total", "the answer was not complete", call->total_timeout_ms);
    else if (call->headers_due_ms <= now_ms)
        fail_late(call, "headers",
                  is_taken ? "it did not begin to answer" : "it did not take the request",
                  call->headers_timeout_ms);
    else
        arm_timer(call);
}

static uint64_t due_in(const struct http_call *call, uint64_t timeout_ms)
{
    return timeout_ms ? loop_now_ms(call->client->loop) + timeout_ms : HTTP_CALL_NEVER;
}

/* Counts from the last piece of the request that was handed on. */
static void set_headers_timer(struct http_call *call)
{
    if (call->state == CALL_WAITING)
        call->headers_due_ms = due_in(call, call->headers_timeout_ms);
    arm_timer(call);
}

/* ---- The response ---------------------------------------------------------------------------- */

static bool may_go_on(const struct http_call *call)
{
    return call->state != CALL_ENDED && !call->paused;
}

static bool on_headers(void *user, int status, const struct http_headers *headers)
{
    struct http_call *call = user;
    call->state = CALL_BODY;
    call->headers_due_ms = HTTP_CALL_NEVER;
    call->events.on_headers(call->user, status, headers);
    loop_buf_keep(call->client->loop, &call->response.fields);
    return may_go_on(call);
}

static bool on_body(void *user, struct str data)
{
    struct http_call *call = user;
    call->events.on_body(call->user, data);
    return may_go_on(call);
}

static const struct http_response_events response_events = {.on_headers = on_headers,
                                                            .on_body = on_body};

static void fail_response(struct http_call *call)
{
    const char *reason;
    enum err code = http_response_failure(&call->response, &reason);
    fail(call, code, "reading the answer", reason);
}

/* Keeps what the parser has not taken until resume. */
static void hold(struct http_call *call, const char *data, size_t len)
{
    if (!call->holding && call->upstream->stream) {
        stream_pause(call->upstream->stream);
        call->stream_paused = true;
    }
    call->holding = true;
    buf_append(&call->held, STR_FROM(data, len));
    if (!buf_ok(&call->held))
        fail(call, ERR_TOO_BIG, "reading the answer", "too much of it waits for a paused reader");
}

/* A kept connection that the server had closed, which only using it showed. */
static bool was_stale(const struct http_call *call)
{
    return call->timing.reused && !call->answered;
}

/* Nothing of the request will be read again: it is all with the stream, and no replay is possible
 * (any more). A stream of an answer may last for minutes. */
static void forget_request(struct http_call *call)
{
    bool may_replay = was_stale(call) && !call->never_replays;
    if (!call->head.len || call->body_written < call->body.len || may_replay)
        return;
    drop_head(call);
    if (call->events.on_sent)
        call->events.on_sent(call->user);
}

/* Parses bytes; whatever it leads to has happened when it returns. */
static void take_data(struct http_call *call, char *data, size_t len)
{
    size_t used;
    enum http_response_result result = http_response_feed(&call->response, data, len, &used);
    if (call->state == CALL_ENDED)
        return; /* cancelled meanwhile */
    call->whole = result == HTTP_RESPONSE_COMPLETE;
    if (result == HTTP_RESPONSE_FAILED)
        fail_response(call);
    else if (call->paused && call->state == CALL_BODY)
        hold(call, data + used, len - used);
    else if (call->whole)
        complete(call, used == len);
}

static void on_stream_data(void *user, char *data, size_t len)
{
    struct http_call *call = user;
    call_enter(call);
    if (!call->answered) {
        call->answered = true;
        loop_buf_lend(call->client->loop, &call->response.fields);
        forget_request(call);
    }
    if (call->state != CALL_ENDED && call->holding)
        hold(call, data, len);
    else if (call->state != CALL_ENDED)
        take_data(call, data, len);
    call_leave(call);
}

/* ---- The end of the connection --------------------------------------------------------------- */

/* On a new connection, never on another kept one: that makes it once. */
static void replay(struct http_call *call)
{
    list_remove(&call->gathered);
    let_go(call, CONNECTION_RESET);
    call->headers_due_ms = HTTP_CALL_NEVER;
    call->peer_ended = false;
    call->timing = (struct http_call_timing){0};
    begin_connect(call);
}

/* Other kept connections will be as dead. */
static void fail_stale(struct http_call *call)
{
    struct error error = {0};
    (void)error_set(&error, ERR_NETWORK, "reused", "%s: the server had closed a kept connection",
                    host_name(call));
    http_pool_drop_idle(call->origin);
    fail_with(call, &error);
}

/* No more bytes come: in order, or (`lost` says how) not. */
static void peer_over(struct http_call *call, const char *lost)
{
    if (was_stale(call) && call->never_replays)
        fail_stale(call);
    else if (was_stale(call))
        replay(call);
    else if (call->whole)
        complete(call, false);
    else if (!call->answered)
        fail(call, ERR_NETWORK, "waiting for the answer",
             lost ? lost : "the server closed the connection");
    else if (lost)
        fail(call, ERR_NETWORK, "reading the answer", lost);
    else if (http_response_finish(&call->response) == HTTP_RESPONSE_COMPLETE)
        complete(call, false);
    else
        fail_response(call);
}

static void on_stream_end(void *user)
{
    struct http_call *call = user;
    call_enter(call);
    call->peer_ended = true;
    if (!call->holding)
        peer_over(call, NULL);
    call_leave(call);
}

static void on_stream_close(void *user, enum err code, const char *detail)
{
    struct http_call *call = user;
    call_enter(call);
    call->upstream->stream = NULL;
    if (call->holding && code != ERR_OK)
        str_copy(str_from_cstr(detail), call->lost, sizeof call->lost);
    else if (call->holding)
        call->peer_ended = true;
    else
        peer_over(call, code == ERR_OK ? NULL : detail);
    call_leave(call);
}

/* ---- Pause and resume ------------------------------------------------------------------------ */

void http_call_pause(struct http_call *call)
{
    if (call->state == CALL_ENDED)
        return;
    call->paused = true;
    loop_task_cancel(&call->resume_task);
    /* Within a callback the parser is running and holds by itself when that has returned. */
    if (call->depth == 0 && call->state == CALL_BODY && !call->holding)
        hold(call, "", 0);
}

static void take_held(struct http_call *call)
{
    struct buf held = call->held; /* taken out: parsing may hold some of it again */
    char nothing[1];
    buf_init(&call->held, HELD_BYTES_MAX);
    call->holding = false;
    take_data(call, held.data ? held.data : nothing, held.len);
    buf_done(&held);
    if (call->state == CALL_ENDED || call->holding)
        return;
    if (call->lost[0] || call->peer_ended) {
        peer_over(call, call->lost[0] ? call->lost : NULL);
        return;
    }
    call->stream_paused = false;
    stream_resume(call->upstream->stream);
}

static void on_resume(void *user)
{
    struct http_call *call = user;
    call_enter(call);
    take_held(call);
    call_leave(call);
}

void http_call_resume(struct http_call *call)
{
    if (call->state == CALL_ENDED || !call->paused)
        return;
    call->paused = false;
    if (call->holding)
        loop_defer(call->client->loop, &call->resume_task, on_resume, call);
}

/* ---- The request ----------------------------------------------------------------------------- */

static void send_now(struct http_call *call)
{
    if (call->upstream->stream)
        stream_flush(call->upstream->stream);
    http_call_note_sent(call);
}

static void send_gathered(void *user)
{
    struct http_client *client = user;
    loop_task_cancel(&client->gathered_task);
    client->gathered_bytes = 0;
    while (!list_is_empty(&client->gathered)) {
        struct list *link = client->gathered.next;
        list_remove(link);
        send_now(LIST_ENTRY(link, struct http_call, gathered));
    }
}

/* Small requests leave together, at the end of the turn at the latest: then what was recorded for all
 * of them goes to the operating system at once. The copies that wait leave holes, so they are few. */
static void gather(struct http_call *call, size_t bytes)
{
    struct http_client *client = call->client;
    if (client->gathered_bytes + bytes > GATHERED_BYTES_MAX)
        send_gathered(client);
    client->gathered_bytes += bytes;
    list_append(&client->gathered, &call->gathered);
    loop_defer_flush(client->loop, &client->gathered_task, send_gathered, client);
}

/* Hands on as much of the body as may wait, and the rest when that has drained. */
static void write_body(struct http_call *call)
{
    struct stream *stream = call->upstream->stream;
    while (call->body_written < call->body.len &&
           stream_pending_bytes(stream) <= STREAM_HIGH_BYTES) {
        struct str piece = str_slice(call->body, call->body_written, BODY_PIECE_BYTES);
        stream_write(stream, piece.data, piece.len);
        call->body_written += piece.len;
    }
    size_t pending = stream_pending_bytes(stream);
    if (call->body_written == call->body.len && pending <= GATHERED_BYTES_MAX)
        gather(call, pending);
    else
        send_now(call);
    set_headers_timer(call);
    forget_request(call);
}

static void on_stream_drain(void *user)
{
    struct http_call *call = user;
    call_enter(call);
    if (!call->timing.request_sent)
        write_body(call);
    call_leave(call);
}

static void begin_request(struct http_call *call)
{
    static const struct stream_events events = {.on_data = on_stream_data,
                                                .on_end = on_stream_end,
                                                .on_drain = on_stream_drain,
                                                .on_close = on_stream_close};
    call->state = CALL_WAITING;
    call->body_written = 0;
    stream_set_events(call->upstream->stream, &events, call);
    stream_expect(call->upstream->stream,
                  call->head.len + str_slice(call->body, 0, BODY_PIECE_BYTES).len);
    stream_write(call->upstream->stream, call->head.data, call->head.len);
    write_body(call);
}

static void on_connected(void *user, struct stream *stream)
{
    struct http_call *call = user;
    call->connector = NULL;
    call->timing.connect_ms = clock_monotonic_ms() - call->connect_started_ms;
    call->upstream = http_upstream_new(call->origin, stream);
    call_enter(call);
    begin_request(call);
    call_leave(call);
}

static void on_connect_failed(void *user, const struct error *error)
{
    struct http_call *call = user;
    call->connector = NULL;
    call_enter(call);
    fail_with(call, error);
    call_leave(call);
}

static void begin_connect(struct http_call *call)
{
    static const struct connector_events events = {.on_connected = on_connected,
                                                   .on_failed = on_connect_failed};
    const struct http_origin *origin = call->origin;
    struct http_client *client = call->client;
    struct connector_target target = {.host = origin->host,
                                      .port = origin->port,
                                      .unix_path = origin->unix_path,
                                      .proxy = origin->proxy,
                                      .tunnel = origin->proxy && origin->tls,
                                      .tls = origin->tls ? client->tls : NULL};
    call->state = CALL_CONNECTING;
    call->connect_started_ms = clock_monotonic_ms();
    call->connector = connector_start(client->loop, client->resolver, &target,
                                      call->connect_timeout_ms, &events, call);
}

/* ---- Starting -------------------------------------------------------------------------------- */

/* A call with its head written; the origin becomes the call's. */
static struct http_call *call_make(struct http_client *client, struct http_origin *origin,
                                   const struct http_call_request *request,
                                   const struct http_call_target *target)
{
    buf_clear(&client->head);
    http_call_request_write_head(&client->head, request, target, origin->authority, origin->proxy);
    ASSERT(buf_ok(&client->head)); /* the parts are bounded by http_call_request_check */
    struct stock *stock = loop_stock(client->loop);
    size_t own_bytes = sizeof(struct http_call);
    struct http_call *call = stock_take(stock, &own_bytes);
    *call = (struct http_call){.client = client,
                               .stock = stock,
                               .own_bytes = own_bytes,
                               .origin = origin,
                               .body = request->body,
                               .connect_timeout_ms = request->connect_timeout_ms,
                               .headers_timeout_ms = request->headers_timeout_ms,
                               .total_timeout_ms = request->total_timeout_ms,
                               .never_replays = request->never_replays,
                               .head = buf_str(&client->head)};
    buf_init(&call->held, HELD_BYTES_MAX);
    struct http_response_options options = {
        .header_bytes_max =
            request->header_bytes_max ? request->header_bytes_max : HTTP_HEADER_BYTES_MAX,
        .body_bytes_max = request->body_bytes_max ? request->body_bytes_max : BODY_BYTES_DEFAULT,
        .headers_only = request->method == HTTP_HEAD};
    http_response_init(&call->response, &options, &response_events, call);
    return call;
}

struct http_call *http_call_new(struct http_client *client, struct http_origin *origin,
                                const struct http_call_request *request,
                                const struct http_call_target *target,
                                const struct http_call_events *events, void *user)
{
    struct http_call *call = call_make(client, origin, request, target);
    call->events = *events;
    call->user = user;
    client->call_count++;
    call->headers_due_ms = HTTP_CALL_NEVER;
    call->total_due_ms = due_in(call, call->total_timeout_ms);
    call->upstream = http_pool_take(origin);
    call->timing.reused = call->upstream != NULL;
    if (call->upstream)
        begin_request(call);
    else
        begin_connect(call);
    arm_timer(call);
    keep_head(call);
    if (client->head.capacity > HEAD_BYTES_KEPT)
        buf_release(&client->head);
    return call;
}

void http_call_move_body(struct http_call *call, const char *body)
{
    call->body.data = body;
}

const struct http_call_timing *http_call_timing(const struct http_call *call)
{
    return &call->timing;
}
