/* Any bytes to a connection of the HTTP server, over a stream made of plain memory.
 *
 * The same bytes must mean the same requests however they are cut into pieces: that is what a
 * request smuggler would look for first. So every input is played twice, as a whole and cut. The
 * first byte says what the handler does. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "net/http_server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- A stream without a socket: the loop's user data -------------------------------------------
 */

struct stream {
    struct loop *loop;
    const struct stream_events *events;
    void *user;
    struct buf output;
    bool paused, closing, dead;
};

struct stream *stream_accept(struct loop *loop, int fd, struct tls_context *tls,
                             const struct stream_events *events, void *user)
{
    (void)fd;
    (void)tls;
    struct stream *stream = loop_uv(loop)->data;
    stream->loop = loop;
    stream->events = events;
    stream->user = user;
    return stream;
}

void stream_write(struct stream *stream, const char *data, size_t len)
{
    ASSERT(!stream->dead);
    if (!stream->closing)
        buf_append(&stream->output, STR_FROM(data, len));
}

struct buf *stream_output(struct stream *stream)
{
    ASSERT(!stream->dead && !stream->closing);
    return &stream->output;
}

void stream_expect(struct stream *stream, size_t bytes)
{
    ASSERT(!stream->dead && !stream->closing);
    buf_expect(&stream->output, bytes);
}

void stream_flush_later(struct stream *stream)
{
    ASSERT(!stream->dead);
}

size_t stream_pending_bytes(const struct stream *stream)
{
    ASSERT(!stream->dead);
    return 0;
}

void stream_pause(struct stream *stream)
{
    ASSERT(!stream->dead && !stream->paused);
    stream->paused = true;
}

void stream_resume(struct stream *stream)
{
    ASSERT(!stream->dead && stream->paused);
    stream->paused = false;
}

void stream_close(struct stream *stream)
{
    ASSERT(!stream->dead && !stream->closing);
    stream->closing = true;
}

void stream_abort(struct stream *stream)
{
    ASSERT(!stream->dead);
    stream->dead = true;
}

bool stream_is_tls(const struct stream *stream)
{
    ASSERT(!stream->dead);
    return false;
}

const char *stream_peer_address(const struct stream *stream)
{
    ASSERT(!stream->dead);
    return "memory";
}

/* ---- The handler -------------------------------------------------------------------------------
 */

enum { HOLD = 1, STREAM = 2, UPGRADE = 4, BREAK = 8, SMALL_LIMIT = 16, LEAVE = 32 };

struct play {
    uint8_t mode;
    struct stream stream;
    struct buf heard; /* the requests, in a form that can be compared */
    struct http_exchange *held;
    bool refused;
    bool aborted;
};

static uint64_t body_limit(void *user, struct http_exchange *exchange)
{
    struct play *play = user;
    ASSERT(http_exchange_request(exchange)->path.len);
    return play->mode & SMALL_LIMIT ? 8 : 1024 * 1024;
}

static void on_abort(void *user)
{
    struct play *play = user;
    ASSERT(play->held && http_exchange_is_aborted(play->held) && !play->aborted);
    play->aborted = true;
}

static void note(struct play *play, const struct http_request *request)
{
    buf_printf(&play->heard, "%d %zu:%.*s?%zu:%.*s ", request->method, request->path.len,
               STR_ARG(request->path), request->query.len, STR_ARG(request->query));
    for (size_t i = 0; i < request->headers.count; i++) {
        const struct http_header *header = &request->headers.items[i];
        ASSERT(http_header_is_valid(header->name, header->value));
        buf_append(&play->heard, header->name);
        buf_append_char(&play->heard, ':');
        buf_append(&play->heard, header->value);
        buf_append_char(&play->heard, '\n');
    }
    buf_append(&play->heard, request->body);
}

static void upgrade(struct play *play, struct http_exchange *exchange)
{
    char *early;
    size_t early_len;
    if (http_respond_upgrade(exchange, &early, &early_len))
        play->stream.dead = true; /* it is ours now, and we want it no more */
    free(early);
}

static void end(struct play *play, struct http_exchange *exchange)
{
    if (play->mode & BREAK) {
        http_respond_break(exchange);
    } else if (play->mode & STREAM) {
        http_respond_begin(exchange, 200, "text/plain");
        http_respond_write(exchange, STR("some"));
        http_respond_end(exchange);
    } else if (play->mode & UPGRADE) {
        upgrade(play, exchange);
    } else {
        http_respond(exchange, 200, "text/plain", http_exchange_request(exchange)->body);
    }
}

static void on_request(void *user, struct http_exchange *exchange)
{
    struct play *play = user;
    ASSERT(!play->refused && !play->held);
    note(play, http_exchange_request(exchange));
    if (play->mode & HOLD) {
        play->held = exchange;
        http_exchange_on_abort(exchange, on_abort, play);
    } else {
        end(play, exchange);
    }
}

static void on_refuse(void *user, struct http_exchange *exchange, const struct error *error)
{
    struct play *play = user;
    ASSERT(!play->refused && !play->held && error->code != ERR_OK);
    play->refused = true;
    http_respond(exchange, 400, NULL, str_from_cstr(error_message(error)));
}

/* ---- Playing -----------------------------------------------------------------------------------
 */

static void turn(struct play *play, struct loop *loop)
{
    uv_run(loop_uv(loop), UV_RUN_NOWAIT);
    if (!play->held)
        return;
    struct http_exchange *held = play->held;
    play->held = NULL;
    play->aborted = false;
    end(play, held);
    uv_run(loop_uv(loop), UV_RUN_NOWAIT);
}

static void feed(struct play *play, struct loop *loop, struct str bytes, size_t piece)
{
    struct stream *stream = &play->stream;
    while (bytes.len && !stream->dead && !stream->closing) {
        struct str part = str_slice(bytes, 0, piece);
        char *copy = malloc(part.len); /* exactly as long: reading beyond is seen */
        ASSERT(copy);
        memcpy(copy, part.data, part.len);
        stream->events->on_data(stream->user, copy, part.len);
        free(copy);
        bytes = str_skip(bytes, part.len);
        do
            turn(play, loop);
        while (play->held || (stream->paused && !stream->dead && !stream->closing));
    }
}

static void leave(struct play *play)
{
    struct stream *stream = &play->stream;
    if (stream->dead)
        return;
    if (!stream->closing && (play->mode & LEAVE))
        stream->events->on_end(stream->user);
    if (!stream->dead)
        stream->events->on_close(stream->user, ERR_OK, "over");
    stream->dead = true;
}

static void run_play(struct play *play, uint8_t mode, struct str bytes, size_t piece)
{
    struct loop *loop = loop_new(0, NULL);
    struct http_server_handler handler = {body_limit, on_request, on_refuse, play};
    struct http_server *server = http_server_new(loop, NULL, &handler);
    *play = (struct play){.mode = mode};
    buf_init(&play->stream.output, SIZE_MAX / 2);
    buf_init(&play->heard, SIZE_MAX / 2);
    loop_uv(loop)->data = &play->stream;
    http_server_accept(server, -1, NULL);
    feed(play, loop, bytes, piece);
    leave(play);
    http_server_free(server);
    if (play->held)
        http_respond(play->held, 200, NULL, STR(""));
    loop_free(loop);
    struct str output = buf_str(&play->stream.output);
    ASSERT(!output.len || str_starts_with(output, STR("HTTP/1.1 ")));
    buf_done(&play->stream.output);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct str bytes = STR_FROM((const char *)data + 2, size - 2);
    struct play whole, cut;
    run_play(&whole, data[0], bytes, SIZE_MAX);
    run_play(&cut, data[0], bytes, 1u + data[1] % 32);
    ASSERT(str_eq(buf_str(&whole.heard), buf_str(&cut.heard)));
    ASSERT(whole.refused == cut.refused);
    buf_done(&whole.heard);
    buf_done(&cut.heard);
    return 0;
}
