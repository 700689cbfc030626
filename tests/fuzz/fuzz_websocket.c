/* Any bytes to a WebSocket, over a stream made of plain memory.
 *
 * The same bytes must mean the same messages, answers and close code however they are cut into
 * pieces, so every input is played twice: as a whole, and cut. The first byte says what the owner
 * does with messages, the second how the input is cut. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/utf8.h"
#include "net/websocket.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OWNER_ANSWERS = 1, OWNER_CLOSES = 2, OWNER_ABORTS = 4, BYTES_MAX = 1 << 24 };

/* ---- The stream and the loop's timers, without a socket or a clock --------------------------- */

struct stream {
    struct stream_events events;
    void *user;
    struct buf output;
    bool closing, dead;
};

void stream_set_events(struct stream *stream, const struct stream_events *events, void *user)
{
    stream->events = *events;
    stream->user = user;
}

void stream_write(struct stream *stream, const char *data, size_t len)
{
    ASSERT(!stream->dead && !stream->closing);
    buf_append(&stream->output, STR_FROM(data, len));
}

struct buf *stream_output(struct stream *stream)
{
    ASSERT(!stream->dead && !stream->closing);
    return &stream->output;
}

void stream_flush_later(struct stream *stream)
{
    ASSERT(!stream->dead && !stream->closing);
}

size_t stream_pending_bytes(const struct stream *stream)
{
    ASSERT(!stream->dead);
    return 0;
}

void stream_close(struct stream *stream)
{
    ASSERT(!stream->dead);
    stream->closing = true;
}

void stream_abort(struct stream *stream)
{
    ASSERT(!stream->dead);
    stream->dead = true;
}

struct loop *stream_loop(const struct stream *stream)
{
    (void)stream;
    return NULL;
}

uint64_t loop_now_ms(const struct loop *loop)
{
    (void)loop;
    return 0;
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t delay_ms,
                    void (*fire)(void *user), void *user)
{
    (void)loop, (void)timer, (void)delay_ms, (void)fire, (void)user;
}

void loop_timer_cancel(struct loop *loop, struct loop_timer *timer)
{
    (void)loop, (void)timer;
}

/* ---- The owner ------------------------------------------------------------------------------- */

struct play {
    struct stream stream;
    struct websocket *websocket;
    int owner;
    struct buf heard; /* every message, with its length */
    int messages, closes;
    uint16_t code;
};

static void on_message(void *user, struct str text)
{
    struct play *play = user;
    ASSERT(play->closes == 0 && text.len <= 1000);
    ASSERT(utf8_valid(text, NULL));
    buf_append(&play->heard, STR_FROM((const char *)&text.len, sizeof text.len));
    buf_append(&play->heard, text);
    play->messages++;
    if (play->owner & OWNER_ANSWERS)
        websocket_send(play->websocket, text);
    if ((play->owner & OWNER_CLOSES) && play->messages == 2)
        websocket_close(play->websocket, 1000, "enough");
    if ((play->owner & OWNER_ABORTS) && play->messages == 3)
        websocket_abort(play->websocket);
}

static void on_close(void *user, uint16_t code)
{
    struct play *play = user;
    ASSERT(!play->stream.dead);
    play->closes++;
    play->code = code;
}

static const struct websocket_events events = {.on_message = on_message, .on_close = on_close};

/* Without pongs: none is owed any more once the peer's close is read, so their number depends on
 * what came together. And without our close frame: where wslay finds a fault in a close frame, and
 * which of several, depends on the pieces. What is left are the messages. */
static void keep_messages(struct buf *output)
{
    struct buf kept;
    buf_init(&kept, BYTES_MAX);
    for (size_t at = 0; at < output->len;) {
        const unsigned char *frame = (const unsigned char *)output->data + at;
        ASSERT(output->len - at >= 2 && frame[1] <= 126);
        size_t len = frame[1] < 126 ? 2u + frame[1] : 4u + (size_t)(frame[2] << 8 | frame[3]);
        ASSERT(len <= output->len - at);
        if (frame[0] == 0x81)
            buf_append(&kept, STR_FROM((const char *)frame, len));
        at += len;
    }
    buf_swap(output, &kept);
    buf_done(&kept);
}

static void play_input(struct play *play, int owner, struct str bytes, size_t piece)
{
    static const struct websocket_options options = {.message_bytes_max = 1000};
    *play = (struct play){.owner = owner};
    buf_init(&play->stream.output, BYTES_MAX);
    buf_init(&play->heard, BYTES_MAX);
    play->websocket = websocket_on_stream(&play->stream, NULL, 0, &options, &events, play);
    while (bytes.len && !play->stream.closing && !play->stream.dead) {
        struct str part = str_slice(bytes, 0, piece);
        char *copy = malloc(part.len); /* exact, so that reading beyond is seen */
        memcpy(copy, part.data, part.len);
        play->stream.events.on_data(play->stream.user, copy, part.len);
        free(copy);
        bytes = str_skip(bytes, part.len);
    }
    if (!play->stream.dead) {
        play->stream.events.on_close(play->stream.user, ERR_OK, "");
        ASSERT(play->closes == 1);
    }
    ASSERT(play->closes <= 1);
    keep_messages(&play->stream.output);
}

static void play_done(struct play *play)
{
    buf_done(&play->stream.output);
    buf_done(&play->heard);
}

static bool is_fault(uint16_t code)
{
    return code == 1002 || code == 1007;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 65536)
        return 0;
    struct str bytes = STR_FROM((const char *)data + 2, size - 2);
    struct play whole, cut;
    play_input(&whole, data[0], bytes, bytes.len);
    play_input(&cut, data[0], bytes, data[1] % 32 + 1u);
    ASSERT(str_eq(buf_str(&whole.heard), buf_str(&cut.heard)));
    ASSERT(whole.closes == cut.closes);
    ASSERT(str_eq(buf_str(&whole.stream.output), buf_str(&cut.stream.output)));
    ASSERT(whole.code == cut.code || is_fault(whole.code) || is_fault(cut.code));
    play_done(&whole);
    play_done(&cut);
    return 0;
}
