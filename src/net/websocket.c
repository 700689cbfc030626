/* WebSocket: one connection after its handshake, on a stream.
 *
 * wslay reads frames, checks them and answers pings and closes. It is used without its buffering,
 * because that keeps a list node for every fragment of a message, however small; messages are put
 * together in a capped buf here. Its context takes 8.5 KiB, so it exists only while a frame or
 * message is under way: an idle connection holds this struct and its stream and nothing else. Our
 * own frames are a header of at most ten bytes before the payload, straight into the stream's
 * output.
 *
 *   OPEN --websocket_close: send_close--> CLOSING --the peer's close, on_timer--> SHUT
 *    |                                                                             |
 *    +--the peer's close, a violation (send_close), a message too big: shut_down---+
 *    |                                                                             v
 *    +--the stream ends, no answer to a ping (on_timer)--> finish (on_close) <--on_stream_close */
#include "net/websocket.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <wslay/wslay.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/utf8.h"

enum {
    MESSAGE_BYTES_MAX = 1024 * 1024,
    PING_INTERVAL_MS = 30 * 1000,
    PONG_TIMEOUT_MS = 20 * 1000,
    REASON_BYTES_MAX = 123,
    MASK_BYTES = 4
};

enum state { STATE_OPEN, STATE_CLOSING, STATE_SHUT, STATE_DEAD };

struct websocket {
    struct stream *stream;
    struct websocket_events events;
    void *user;
    struct loop_timer timer; /* early bytes, then liveness, then the answer to our close */
    char *early;
    size_t early_len;
    uint64_t ping_interval_ms, pong_timeout_ms;
    uint64_t heard_ms;             /* when bytes came last */
    wslay_event_context_ptr wslay; /* NULL while idle */
    const char *input;             /* what wslay has not taken yet of the bytes at hand */
    size_t input_len;
    uint64_t
        due_bytes; /* of frames that have begun, what has not been given to wslay; see is_idle */
    uint64_t taken_bytes;
    struct buf message; /* the fragments so far */
    uint16_t code;      /* of on_close; 0: none yet */
    uint8_t frame_opcode;
    enum state state;
    bool in_message : 1; /* between the fragments of one */
    bool pinged : 1;     /* and nothing came since */
    bool receiving : 1;  /* wslay is on the stack */
};

static void on_timer(void *user);

/* ---- Sending --------------------------------------------------------------------------------- */

static void send_frame(struct websocket *websocket, uint8_t opcode, struct str payload)
{
    unsigned char header[10] = {(unsigned char)(0x80 | opcode)};
    size_t header_len = 2;
    if (payload.len < 126) {
        header[1] = (unsigned char)payload.len;
    } else if (payload.len <= UINT16_MAX) {
        uint16_t length = htobe16((uint16_t)payload.len);
        header[1] = 126;
        memcpy(header + 2, &length, sizeof length);
        header_len += sizeof length;
    } else {
        uint64_t length = htobe64(payload.len);
        header[1] = 127;
        memcpy(header + 2, &length, sizeof length);
        header_len += sizeof length;
    }
    struct buf *output = stream_output(websocket->stream);
    buf_append(output, STR_FROM((const char *)header, header_len));
    buf_append(output, payload);
    stream_flush_later(websocket->stream);
}

void websocket_send(struct websocket *websocket, struct str text)
{
    if (websocket->state == STATE_OPEN)
        send_frame(websocket, WSLAY_TEXT_FRAME, text);
}

size_t websocket_pending_bytes(const struct websocket *websocket)
{
    return stream_pending_bytes(websocket->stream);
}

/* Ours, when nobody has closed yet. */
static void send_close(struct websocket *websocket, uint16_t code, const char *reason)
{
    char payload[2 + REASON_BYTES_MAX] = {(char)(code >> 8), (char)code};
    struct str text = str_from_cstr(reason);
    size_t length = text.len < REASON_BYTES_MAX ? text.len : REASON_BYTES_MAX;
    length = utf8_cut(text, length);
    if (length)
        memcpy(payload + 2, text.data, length);
    websocket->code = code;
    send_frame(websocket, WSLAY_CONNECTION_CLOSE, STR_FROM(payload, 2 + length));
}

/* ---- The end --------------------------------------------------------------------------------- */

static void release_wslay(struct websocket *websocket)
{
    wslay_event_context_free(websocket->wslay);
    websocket->wslay = NULL;
    websocket->due_bytes = websocket->taken_bytes = 0;
}

static void free_websocket(struct websocket *websocket)
{
    if (websocket->wslay)
        release_wslay(websocket);
    buf_done(&websocket->message);
    free(websocket->early);
    free(websocket);
}

/* No event comes any more. The memory goes now, or when wslay is off the stack. */
static void go_silent(struct websocket *websocket)
{
    loop_timer_cancel(stream_loop(websocket->stream), &websocket->timer);
    websocket->state = STATE_DEAD;
    if (websocket->receiving)
        wslay_event_shutdown_read(websocket->wslay);
    else
        free_websocket(websocket);
}

static void finish(struct websocket *websocket)
{
    struct websocket_events events = websocket->events;
    void *user = websocket->user;
    uint16_t code = websocket->code ? websocket->code : WSLAY_CODE_ABNORMAL_CLOSURE;
    go_silent(websocket);
    if (events.on_close)
        events.on_close(user, code);
}

static void limit_closing(struct websocket *websocket)
{
    uint64_t limit_ms = websocket->pong_timeout_ms;
    if (limit_ms > WEBSOCKET_CLOSE_MS)
        limit_ms = WEBSOCKET_CLOSE_MS;
    loop_timer_set(stream_loop(websocket->stream), &websocket->timer, limit_ms, on_timer,
                   websocket);
}

/* Nothing more to say or hear; on_stream_close follows, or on_timer. */
static void shut_down(struct websocket *websocket)
{
    websocket->state = STATE_SHUT;
    stream_close(websocket->stream);
    limit_closing(websocket);
}

/* A rule is broken that wslay does not know. */
static void refuse(struct websocket *websocket, uint16_t code, const char *reason)
{
    wslay_event_shutdown_read(websocket->wslay);
    if (websocket->state == STATE_OPEN)
        send_close(websocket, code, reason);
    websocket->state = STATE_SHUT; /* the stream is closed when wslay is off the stack */
}

void websocket_close(struct websocket *websocket, uint16_t code, const char *reason)
{
    if (websocket->state != STATE_OPEN)
        return;
    send_close(websocket, code, reason);
    websocket->state = STATE_CLOSING;
    limit_closing(websocket);
}

void websocket_abort(struct websocket *websocket)
{
    if (websocket->state == STATE_DEAD)
        return;
    stream_abort(websocket->stream);
    go_silent(websocket);
}

/* ---- Receiving: what wslay asks and says ----------------------------------------------------- */

static ssize_t give_input(wslay_event_context_ptr wslay, uint8_t *ret, size_t size, int flags,
                          void *user)
{
    (void)flags;
    struct websocket *websocket = user;
    size_t len = websocket->input_len < size ? websocket->input_len : size;
    if (len == 0) {
        wslay_event_set_error(wslay, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    memcpy(ret, websocket->input, len);
    websocket->input += len;
    websocket->input_len -= len;
    websocket->taken_bytes += len;
    return (ssize_t)len;
}

/* Pongs and closes of wslay's own. After our close frame nothing may follow it. */
static ssize_t take_output(wslay_event_context_ptr wslay, const uint8_t *data, size_t len,
                           int flags, void *user)
{
    (void)wslay, (void)flags;
    struct websocket *websocket = user;
    if (websocket->state == STATE_OPEN)
        stream_write(websocket->stream, (const char *)data, len);
    return (ssize_t)len;
}

static ssize_t drop_output(wslay_event_context_ptr wslay, const uint8_t *data, size_t len,
                           int flags, void *user)
{
    (void)wslay, (void)data, (void)flags, (void)user;
    return (ssize_t)len;
}

static size_t header_bytes(uint64_t payload_bytes)
{
    size_t length_bytes = payload_bytes < 126 ? 0 : payload_bytes <= UINT16_MAX ? 2 : 8;
    return 2 + length_bytes + MASK_BYTES;
}

static void on_frame(wslay_event_context_ptr wslay,
                     const struct wslay_event_on_frame_recv_start_arg *frame, void *user)
{
    (void)wslay;
    struct websocket *websocket = user;
    websocket->due_bytes += header_bytes(frame->payload_length) + frame->payload_length;
    websocket->frame_opcode = frame->opcode;
    if (frame->opcode == WSLAY_CONNECTION_CLOSE && frame->payload_length == 1)
        refuse(websocket, WSLAY_CODE_PROTOCOL_ERROR, "half a close code");
    if (wslay_is_ctrl_frame(frame->opcode))
        return;
    websocket->in_message = !frame->fin;
    if (frame->opcode == WSLAY_BINARY_FRAME)
        refuse(websocket, WSLAY_CODE_UNSUPPORTED_DATA, "text only");
    else if (frame->payload_length > websocket->message.bytes_max - websocket->message.len)
        refuse(websocket, WSLAY_CODE_MESSAGE_TOO_BIG, "message too big");
}

static void on_chunk(wslay_event_context_ptr wslay,
                     const struct wslay_event_on_frame_recv_chunk_arg *chunk, void *user)
{
    (void)wslay;
    struct websocket *websocket = user;
    if (!wslay_is_ctrl_frame(websocket->frame_opcode) && websocket->state == STATE_OPEN)
        buf_append(&websocket->message, STR_FROM((const char *)chunk->data, chunk->data_length));
}

/* wslay overlooks what is wrong with a reason that comes in several reads. */
static bool is_close_valid(const struct wslay_event_on_msg_recv_arg *close)
{
    struct str payload = STR_FROM((const char *)close->msg, close->msg_length);
    return utf8_valid(str_skip(payload, 2), NULL);
}

static void on_message(wslay_event_context_ptr wslay,
                       const struct wslay_event_on_msg_recv_arg *message, void *user)
{
    (void)wslay;
    struct websocket *websocket = user;
    if (message->opcode == WSLAY_CONNECTION_CLOSE && !is_close_valid(message))
        refuse(websocket, WSLAY_CODE_INVALID_FRAME_PAYLOAD_DATA, "the reason is not UTF-8");
    if (message->opcode != WSLAY_TEXT_FRAME)
        return;
    if (websocket->state == STATE_OPEN && websocket->events.on_message)
        websocket->events.on_message(websocket->user, buf_str(&websocket->message));
    buf_release(&websocket->message);
}

static const struct wslay_event_callbacks callbacks = {
    .recv_callback = give_input,
    .send_callback = take_output,
    .on_frame_recv_start_callback = on_frame,
    .on_frame_recv_chunk_callback = on_chunk,
    .on_msg_recv_callback = on_message,
};
static const struct wslay_event_callbacks callbacks_dropping = {
    .recv_callback = give_input,
    .send_callback = drop_output,
    .on_frame_recv_start_callback = on_frame,
    .on_frame_recv_chunk_callback = on_chunk,
    .on_msg_recv_callback = on_message,
};

/* ---- Receiving ------------------------------------------------------------------------------- */

static void need_wslay(struct websocket *websocket)
{
    if (websocket->wslay)
        return;
    ASSERT(wslay_event_context_server_init(&websocket->wslay, &callbacks, websocket) == 0);
    wslay_event_config_set_no_buffering(websocket->wslay, 1);
    wslay_event_config_set_max_recv_msg_length(websocket->wslay, websocket->message.bytes_max);
}

/* Whether wslay remembers nothing: it has taken exactly the frames that it has told of. (Of a part
 * of a header it tells nothing.) */
static bool is_idle(const struct websocket *websocket)
{
    return !websocket->in_message && websocket->taken_bytes == websocket->due_bytes;
}

/* Lets wslay answer. Pongs for a peer that does not read are dropped: it would make us hold one for
 * every ping it sends. */
static void run_wslay_output(struct websocket *websocket)
{
    bool is_closing = !wslay_event_get_read_enabled(websocket->wslay);
    bool is_clogged = stream_pending_bytes(websocket->stream) > STREAM_HIGH_BYTES;
    if (is_clogged && !is_closing)
        wslay_event_config_set_callbacks(websocket->wslay, &callbacks_dropping);
    wslay_event_send(websocket->wslay);
    wslay_event_config_set_callbacks(websocket->wslay, &callbacks);
}

/* After wslay has run: whether one of the two sides has closed. */
static void conclude(struct websocket *websocket)
{
    if (websocket->state == STATE_SHUT) { /* refuse */
        shut_down(websocket);
        return;
    }
    run_wslay_output(websocket);
    if (wslay_event_get_read_enabled(websocket->wslay)) {
        if (is_idle(websocket))
            release_wslay(websocket);
        return;
    }
    if (!websocket->code)
        websocket->code = wslay_event_get_close_received(websocket->wslay)
                              ? wslay_event_get_status_code_received(websocket->wslay)
                              : wslay_event_get_status_code_sent(websocket->wslay);
    shut_down(websocket);
}

/* Returns false when the owner aborted meanwhile: the websocket is freed. */
static bool receive(struct websocket *websocket, const char *data, size_t len)
{
    websocket->heard_ms = loop_now_ms(stream_loop(websocket->stream));
    websocket->pinged = false;
    if (websocket->state == STATE_SHUT)
        return true;
    need_wslay(websocket);
    websocket->input = data;
    websocket->input_len = len;
    websocket->receiving = true;
    int result = wslay_event_recv(websocket->wslay);
    websocket->receiving = false;
    websocket->input_len = 0;
    ASSERT(result != WSLAY_ERR_NOMEM);
    if (websocket->state == STATE_DEAD) {
        free_websocket(websocket);
        return false;
    }
    if (result != 0) /* a malformed frame, for which wslay would close without a code */
        refuse(websocket, WSLAY_CODE_PROTOCOL_ERROR, "malformed frame");
    conclude(websocket);
    return true;
}

/* ---- Time ------------------------------------------------------------------------------------ */

static void watch_liveness(struct websocket *websocket)
{
    struct loop *loop = stream_loop(websocket->stream);
    uint64_t silence_ms = loop_now_ms(loop) - websocket->heard_ms;
    uint64_t wait_ms = websocket->ping_interval_ms - silence_ms;
    if (silence_ms >= websocket->ping_interval_ms) {
        websocket->pinged = true;
        send_frame(websocket, WSLAY_PING, STR_NONE);
        wait_ms = websocket->pong_timeout_ms;
    }
    loop_timer_set(loop, &websocket->timer, wait_ms, on_timer, websocket);
}

static void on_timer(void *user)
{
    struct websocket *websocket = user;
    if (websocket->state == STATE_OPEN && !websocket->pinged) {
        watch_liveness(websocket);
        return;
    }
    /* No answer to a ping, to our close, or the last bytes are not taken. */
    stream_abort(websocket->stream);
    finish(websocket);
}

/* ---- The stream ------------------------------------------------------------------------------ */

/* Bytes that came behind the handshake: as if they came now. The same return value as receive. */
static bool receive_early(struct websocket *websocket)
{
    char *early = websocket->early;
    websocket->early = NULL;
    if (websocket->state == STATE_OPEN)
        watch_liveness(websocket);
    bool alive = receive(websocket, early, websocket->early_len);
    free(early);
    return alive;
}

static void on_early(void *user)
{
    receive_early(user);
}

static void on_stream_data(void *user, char *data, size_t len)
{
    struct websocket *websocket = user;
    if (!websocket->early || receive_early(websocket))
        receive(websocket, data, len);
}

/* The peer's side ended without a close frame. */
static void on_stream_end(void *user)
{
    shut_down(user);
}

static void on_stream_drain(void *user)
{
    struct websocket *websocket = user;
    if (websocket->state == STATE_OPEN && websocket->events.on_drain)
        websocket->events.on_drain(websocket->user);
}

static void on_stream_close(void *user, enum err code, const char *detail)
{
    (void)code, (void)detail;
    finish(user);
}

static const struct stream_events stream_events = {
    .on_data = on_stream_data,
    .on_end = on_stream_end,
    .on_drain = on_stream_drain,
    .on_close = on_stream_close,
};

struct websocket *websocket_on_stream(struct stream *stream, char *early, size_t early_len,
                                      const struct websocket_options *options,
                                      const struct websocket_events *events, void *user)
{
    struct websocket *websocket = calloc(1, sizeof *websocket);
    ASSERT(websocket);
    websocket->stream = stream;
    websocket->events = *events;
    websocket->user = user;
    websocket->early = early;
    websocket->early_len = early_len;
    websocket->ping_interval_ms =
        options->ping_interval_ms ? options->ping_interval_ms : PING_INTERVAL_MS;
    websocket->pong_timeout_ms =
        options->pong_timeout_ms ? options->pong_timeout_ms : PONG_TIMEOUT_MS;
    websocket->heard_ms = loop_now_ms(stream_loop(stream));
    buf_init(&websocket->message,
             options->message_bytes_max ? options->message_bytes_max : MESSAGE_BYTES_MAX);
    stream_set_events(stream, &stream_events, websocket);
    if (early)
        loop_timer_set(stream_loop(stream), &websocket->timer, 0, on_early, websocket);
    else
        watch_liveness(websocket);
    return websocket;
}
