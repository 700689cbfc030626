/* REST: answers in flight, and their events for who cannot use a WebSocket. */
#include <stdio.h>
#include <stdlib.h>

#include "api/request.h"
#include "base/assert.h"
#include "wire/sse.h"

enum { PING_MS = 15 * 1000 };

/* The run named in the path, if it is this person's. The caller gives its log back. */
static bool find_run(struct api_request *request, struct hub_run *ret_run)
{
    struct id id;
    if (!api_parameter_id(request, 0, &id))
        return false;
    enum err code = hub_find_run(request->api->options.hub, &id, ret_run);
    if (code == ERR_OK) {
        code = authorise(&request->who, request->endpoint->verb,
                         (struct authorise_object){&ret_run->owner}, NULL);
        if (code == ERR_OK)
            return true;
        run_log_unref(ret_run->log);
    }
    struct error error = {0};
    error_set(&error, code, "run_id", "this answer is not being written (any more)");
    error_remedy(&error, "Load the conversation: a finished answer is in it.");
    api_fail(request, code, &error);
    return false;
}

void api_get_run(struct api_request *request)
{
    struct hub_run run;
    struct api_reply reply;
    if (!find_run(request, &run))
        return;
    api_reply_begin(&reply);
    json_key_object(&reply.w, "run");
    json_key_str(&reply.w, "id", id_str(&run.id));
    json_key_str(&reply.w, "conversation_id", id_str(&run.conversation));
    json_key_str(&reply.w, "message_id", id_str(&run.message));
    json_key_str(&reply.w, "status", run_log_is_closed(run.log) ? STR("ended") : STR("streaming"));
    json_key_int(&reply.w, "last_seq", (int64_t)run_log_last_sequence(run.log));
    json_end_object(&reply.w);
    run_log_unref(run.log);
    api_reply(request, 200, &reply);
}

void api_stop_run(struct api_request *request)
{
    struct hub_run run;
    if (!find_run(request, &run))
        return;
    run_log_unref(run.log);
    enum err code = chat_stop(request->api->options.chat, &run.owner, &run.id);
    if (!api_failed(request, code, NULL))
        api_reply_nothing(request);
}

/* ---- Events ---------------------------------------------------------------------------------- */

/* One reader of server-sent events; in the exchange's arena. */
struct reader {
    struct api *api;
    struct api_credential credential;
    struct http_exchange *exchange;
    struct loop *loop;
    struct run_listener *listener;
    struct loop_timer ping;
    struct buf json;
    struct buf frame;
};

static void reader_end(struct reader *reader)
{
    run_log_detach(reader->listener);
    loop_timer_cancel(reader->loop, &reader->ping);
    buf_done(&reader->json);
    buf_done(&reader->frame);
    http_respond_end(reader->exchange);
}

static void on_abort(void *user)
{
    reader_end(user);
}

static void ping(void *user)
{
    struct reader *reader = user;
    http_respond_write(reader->exchange, STR(": ping\n\n"));
    loop_timer_set(reader->loop, &reader->ping, PING_MS, ping, reader);
}

/* Writes what there is while the client takes it; the rest waits in the log. */
static void pump(void *user)
{
    struct reader *reader = user;
    uint64_t sequence;
    const char *type;
    if (!api_credential_is_good(reader->api, &reader->credential)) {
        reader_end(reader);
        return;
    }
    while (http_respond_pending_bytes(reader->exchange) <= STREAM_HIGH_BYTES) {
        char id[24];
        buf_clear(&reader->json);
        enum run_pull pull = run_log_pull(reader->listener, &sequence, &type, &reader->json);
        if (pull == RUN_PULL_END) {
            reader_end(reader);
            return;
        }
        if (pull != RUN_PULL_EVENT)
            return;
        snprintf(id, sizeof id, "%llu", (unsigned long long)sequence);
        buf_clear(&reader->frame);
        sse_write(&reader->frame, str_from_cstr(type), str_from_cstr(id), buf_str(&reader->json));
        http_respond_write(reader->exchange, buf_str(&reader->frame));
        loop_timer_set(reader->loop, &reader->ping, PING_MS, ping, reader);
    }
}

/* From the query, else from the header that browsers send when they reconnect. */
static bool read_after(struct api_request *request, uint64_t *ret)
{
    struct str after = api_query(request, "after");
    if (!after.data)
        after = http_headers_get(&request->http->headers, "last-event-id");
    *ret = 0;
    return !after.len || str_to_u64(after, ret);
}

void api_get_run_events(struct api_request *request)
{
    struct hub_run run;
    uint64_t after;
    if (!read_after(request, &after)) {
        struct error error = {0};
        error_set(&error, ERR_INVALID, "after", "must be a sequence number");
        api_fail(request, ERR_INVALID, &error);
        return;
    }
    if (!find_run(request, &run))
        return;
    struct reader *reader = ARENA_NEW(request->arena, struct reader);
    reader->api = request->api;
    api_credential_of(request, &reader->credential);
    reader->exchange = request->exchange;
    reader->loop = request->api->options.loop;
    buf_init(&reader->json, 256 * 1024 * 1024);
    buf_init(&reader->frame, 256 * 1024 * 1024);
    http_respond_header(request->exchange, "cache-control", STR("no-cache"));
    http_respond_header(request->exchange, "x-accel-buffering", STR("no"));
    http_respond_begin(request->exchange, 200, "text/event-stream");
    reader->listener = run_log_attach(run.log, reader->loop, after, pump, reader);
    run_log_unref(run.log);
    http_exchange_on_abort(request->exchange, on_abort, reader);
    http_respond_on_drain(request->exchange, pump, reader);
    loop_timer_set(reader->loop, &reader->ping, PING_MS, ping, reader);
}
