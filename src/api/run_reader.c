/* Run reader: between the log of a run, which any loop may write, and one client. The client is never
 * waited for by the run: what it does not take waits in the log. */
#include "api/run_reader.h"

#include <stdio.h>

#include "wire/sse.h"

enum { PING_MS = 15 * 1000 };

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

/* What has no type is a frame already. */
static void write_event(struct reader *reader, uint64_t sequence, const char *type)
{
    char id[24];
    if (!type) {
        http_respond_write(reader->exchange, buf_str(&reader->json));
        return;
    }
    snprintf(id, sizeof id, "%llu", (unsigned long long)sequence);
    buf_clear(&reader->frame);
    sse_write(&reader->frame, str_from_cstr(type), str_from_cstr(id), buf_str(&reader->json));
    http_respond_write(reader->exchange, buf_str(&reader->frame));
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
        buf_clear(&reader->json);
        enum run_pull pull = run_log_pull(reader->listener, &sequence, &type, &reader->json);
        if (pull == RUN_PULL_END) {
            reader_end(reader);
            return;
        }
        if (pull != RUN_PULL_EVENT)
            return;
        write_event(reader, sequence, type);
        loop_timer_set(reader->loop, &reader->ping, PING_MS, ping, reader);
    }
}

void run_reader_start(struct api_request *request, struct run_log *log, uint64_t after)
{
    struct reader *reader = ARENA_NEW(request->arena, struct reader);
    if (http_exchange_is_aborted(request->exchange)) { /* while it was looked for */
        run_log_unref(log);
        http_respond_break(request->exchange);
        return;
    }
    reader->api = request->api;
    api_credential_of(request, &reader->credential);
    reader->exchange = request->exchange;
    reader->loop = request->api->options.loop;
    buf_init(&reader->json, 256 * 1024 * 1024);
    buf_init(&reader->frame, 256 * 1024 * 1024);
    http_respond_header(request->exchange, "cache-control", STR("no-cache"));
    http_respond_header(request->exchange, "x-accel-buffering", STR("no"));
    http_respond_begin(request->exchange, 200, "text/event-stream");
    reader->listener = run_log_attach(log, reader->loop, after, pump, reader);
    run_log_unref(log);
    http_exchange_on_abort(request->exchange, on_abort, reader);
    http_respond_on_drain(request->exchange, pump, reader);
    loop_timer_set(reader->loop, &reader->ping, PING_MS, ping, reader);
}
