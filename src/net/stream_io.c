/* The bytes of a stream: what the loop watches for, what is sent at the end of a turn, what is
 * received and decrypted. Its life is in stream.c, with the diagram of its states. */
#include <errno.h>
#include <sys/socket.h>

#include "net/stream_internal.h"

enum {
    TLS_RECORD_BYTES = 16 * 1024,
    TLS_WIRE_BYTES = 128 * 1024 /* encrypted ahead of the kernel; the rest waits as plain text */
};

static void on_poll(uv_poll_t *handle, int status, int events);

/* ---- Interest: what the loop watches --------------------------------------------------------- */

static bool wants_input(const struct stream *stream)
{
    if (stream->input_over)
        return false;
    if (stream->phase == PHASE_OPEN && !stream->closing) {
        bool left_over = stream->tls && tls_session_has_input(stream->tls);
        return !stream->paused && !stream->open_pending && !left_over;
    }
    if (stream->phase == PHASE_OPEN)
        return true;
    return stream->phase == PHASE_SHAKING || stream->phase == PHASE_SHUT;
}

static int wanted_events(const struct stream *stream)
{
    if (stream->phase >= PHASE_ENDED || stream->hung_up)
        return 0;
    if (stream->phase == PHASE_CONNECTING)
        return stream->open_pending ? 0 : UV_WRITABLE;
    int events = wants_input(stream) ? UV_READABLE : 0;
    if (stream->blocked || stream->above_high)
        events |= UV_WRITABLE;
    /* Watching for something that hardly ever comes still shows errors and hang-ups. */
    return events ? events : UV_PRIORITIZED;
}

/* Changing costs libuv two system calls, so only when it differs. */
void stream_update_interest(struct stream *stream)
{
    int events = wanted_events(stream);
    if (events == stream->interest)
        return;
    stream->interest = events;
    if (events)
        uv_poll_start(&stream->poll, events, on_poll);
    else
        uv_poll_stop(&stream->poll);
}

/* ---- Output ---------------------------------------------------------------------------------- */

size_t stream_pending_bytes(const struct stream *stream)
{
    size_t wire = stream->tls ? outbox_pending(tls_session_wire(stream->tls)) : 0;
    return outbox_pending(&stream->output) + wire;
}

static void lose_output(struct stream *stream, int number)
{
    stream->write_error = number;
    stream->blocked = stream->above_high = false;
    outbox_release(&stream->output);
    if (stream->tls)
        outbox_release(tls_session_wire(stream->tls));
    /* What the peer said before it went (an early refusal of an upload) is still to be read, and
     * reading ends in die; nobody reads while it is paused. */
    if (stream->paused || stream->closing || stream->input_over)
        stream_die_of_errno(stream, number);
}

/* Hands what the kernel takes to it; a short write says it is full. */
static void send_outbox(struct stream *stream, struct outbox *box)
{
    size_t pending = outbox_pending(box);
    if (pending == 0)
        return;
    ssize_t sent = send(stream->fd, box->bytes.data + box->sent, pending, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR && errno != ENOBUFS) {
        lose_output(stream, errno);
        return;
    }
    stream->blocked = sent < (ssize_t)pending;
    if (!stream->blocked) {
        loop_buf_keep(stream->loop, &box->bytes);
        box->sent = 0;
    } else if (sent > 0) {
        outbox_take(box, (size_t)sent);
    }
}

static void encrypt_some(struct stream *stream)
{
    struct outbox *wire = tls_session_wire(stream->tls);
    size_t pending;
    while ((pending = outbox_pending(&stream->output)) && outbox_pending(wire) < TLS_WIRE_BYTES) {
        size_t part = pending < TLS_RECORD_BYTES ? pending : TLS_RECORD_BYTES;
        const char *data = stream->output.bytes.data + stream->output.sent;
        if (tls_session_write(stream->tls, data, part) != TLS_DONE) {
            stream_die(stream, ERR_NETWORK, tls_session_detail(stream->tls));
            return;
        }
        outbox_take(&stream->output, part);
    }
}

static void send_tls(struct stream *stream)
{
    struct outbox *wire = tls_session_wire(stream->tls);
    do {
        if (stream->phase == PHASE_OPEN)
            encrypt_some(stream);
        bool all_encrypted = outbox_pending(&stream->output) == 0;
        if (stream->closing && stream->phase == PHASE_OPEN && all_encrypted && !stream->notified) {
            stream->notified = true;
            tls_session_end(stream->tls);
        }
        send_outbox(stream, wire);
    } while (!stream->blocked && !stream->write_error && stream->phase == PHASE_OPEN &&
             stream_pending_bytes(stream));
}

static void send_all(struct stream *stream)
{
    if (stream->phase == PHASE_CONNECTING || stream->phase >= PHASE_SHUT)
        return;
    loop_run_records(stream->loop);
    stream->blocked = false;
    if (stream->tls)
        send_tls(stream);
    else
        send_outbox(stream, &stream->output);
    if (stream->closing && stream->phase == PHASE_OPEN && stream_pending_bytes(stream) == 0)
        stream_end_our_side(stream);
}

static void flush_output(void *user)
{
    struct stream *stream = user;
    send_all(stream);
    stream_update_interest(stream);
}

void stream_flush_later(struct stream *stream)
{
    if (stream->phase >= PHASE_SHUT || stream->write_error) {
        outbox_release(&stream->output);
        return;
    }
    size_t pending = stream_pending_bytes(stream);
    if (pending > STREAM_OUTPUT_BYTES_MAX || !buf_ok(&stream->output.bytes)) {
        stream_die(stream, ERR_TOO_BIG, "the peer does not read: too much output waits for it");
        return;
    }
    if (pending > STREAM_HIGH_BYTES)
        stream->above_high = true;
    if (!stream->blocked && stream->phase != PHASE_CONNECTING)
        loop_defer_flush(stream->loop, &stream->flush, flush_output, stream);
}

void stream_flush(struct stream *stream)
{
    if (!list_is_linked(&stream->flush.link))
        return; /* nothing is queued, or the kernel takes no more for now */
    loop_task_cancel(&stream->flush);
    flush_output(stream);
}

void stream_write(struct stream *stream, const char *data, size_t len)
{
    if (stream->closing || stream->phase >= PHASE_SHUT || stream->write_error)
        return;
    buf_append(&stream->output.bytes, STR_FROM(data, len));
    stream_flush_later(stream);
}

struct buf *stream_output(struct stream *stream)
{
    return &stream->output.bytes;
}

void stream_expect(struct stream *stream, size_t bytes)
{
    loop_buf_lend(stream->loop, &stream->output.bytes);
    buf_expect(&stream->output.bytes, bytes);
}

/* on_drain comes from the poll only, never from the flush: else a writer that refills at once would
 * keep the loop to itself for as long as the peer reads. */
static void on_writable(struct stream *stream)
{
    send_all(stream);
    if (stream->phase >= PHASE_SHUT || !stream->above_high ||
        stream_pending_bytes(stream) > STREAM_LOW_BYTES)
        return;
    stream->above_high = false;
    if (!stream->closing && stream->events.on_drain)
        stream->events.on_drain(stream->user);
}

/* ---- Input ----------------------------------------------------------------------------------- */

static void give_data(struct stream *stream, char *data, size_t len)
{
    if (!stream->closing && stream->events.on_data)
        stream->events.on_data(stream->user, data, len);
}

static void give_end(struct stream *stream)
{
    if (stream->ended)
        return;
    stream->ended = true;
    if (!stream->closing && stream->events.on_end)
        stream->events.on_end(stream->user);
}

static void open_up(struct stream *stream)
{
    stream->phase = PHASE_OPEN;
    stream_flush_later(stream); /* what was written meanwhile, or a close */
    if (!stream->closing && stream->events.on_open)
        stream->events.on_open(stream->user);
}

/* Decrypts what was fed, as far as the owner wants it. */
void stream_run_tls(struct stream *stream)
{
    enum tls_result result = TLS_DONE;
    if (stream->phase == PHASE_SHAKING) {
        result = tls_session_shake(stream->tls);
        if (result == TLS_DONE)
            open_up(stream);
    }
    char *room = loop_read_buffer(stream->loop);
    while (result == TLS_DONE && stream->phase == PHASE_OPEN &&
           (!stream->paused || stream->closing)) {
        size_t len;
        result = tls_session_read(stream->tls, room, LOOP_READ_BYTES, &len);
        if (result == TLS_DONE)
            give_data(stream, room, len);
    }
    if (stream->phase >= PHASE_ENDED)
        return;
    if (outbox_pending(tls_session_wire(stream->tls)))
        stream_flush_later(stream); /* handshake, alert, key update */
    if (result == TLS_END)
        give_end(stream);
    if (result == TLS_FAILED) {
        send_outbox(stream, tls_session_wire(stream->tls));
        stream_die(stream, ERR_NETWORK, tls_session_detail(stream->tls));
    }
}

static void take_data(struct stream *stream, char *data, size_t len)
{
    if (stream->phase == PHASE_SHUT)
        return;
    if (!stream->tls) {
        give_data(stream, data, len);
        return;
    }
    tls_session_feed(stream->tls, data, len);
    stream_run_tls(stream);
}

static void take_end(struct stream *stream)
{
    stream->input_over = true;
    if (stream->phase == PHASE_SHUT)
        stream_die(stream, ERR_OK, "closed");
    else if (stream->write_error)
        stream_die_of_errno(stream, stream->write_error);
    else if (stream->phase == PHASE_SHAKING)
        stream_die(stream, ERR_NETWORK, "the peer left during the TLS handshake");
    else if (stream->tls && !stream->ended)
        stream_die(stream, ERR_NETWORK, "the peer left without close_notify: cut off");
    else
        give_end(stream);
}

/* Reads once; when there is more the poll says so again, after the other streams had their turn.
 * Returns the bytes taken, 0 when there is nothing more for now. */
static size_t receive(struct stream *stream)
{
    char *room = loop_read_buffer(stream->loop);
    ssize_t got = recv(stream->fd, room, LOOP_READ_BYTES, 0);
    if (got > 0)
        take_data(stream, room, (size_t)got);
    else if (got == 0)
        take_end(stream);
    else if (errno != EAGAIN && errno != EINTR && stream->phase == PHASE_SHUT)
        stream_die(stream, ERR_OK, "closed");
    else if (errno != EAGAIN && errno != EINTR)
        stream_die_of_errno(stream, stream->write_error ? stream->write_error : errno);
    return got > 0 ? (size_t)got : 0;
}

/* The socket is in error. What came before the error is still to be had, and is bounded by the
 * receive buffer, because nothing new can come. */
static void on_socket_error(struct stream *stream)
{
    while (wants_input(stream) && receive(stream))
        ;
    int number = 0;
    socklen_t length = sizeof number;
    if (stream->phase < PHASE_ENDED) {
        getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &number, &length);
        stream_die_of_errno(stream, stream->write_error ? stream->write_error : number);
    }
}

/* Urgent data, which nobody wants, or (with every other interest off) a hang-up: the peer is gone
 * without an error. What it sent may still wait for stream_resume. */
static void on_urgent(struct stream *stream)
{
    char urgent;
    if (recv(stream->fd, &urgent, 1, MSG_OOB) > 0)
        return;
    if (stream->input_over)
        stream_die(stream, ERR_NETWORK, "the peer left");
    else
        stream->hung_up = true;
}

static void start_talking(struct stream *stream)
{
    if (!stream->tls) {
        open_up(stream);
        return;
    }
    stream->phase = PHASE_SHAKING;
    stream_run_tls(stream);
}

void stream_on_connected(struct stream *stream)
{
    int number = 0;
    socklen_t length = sizeof number;
    getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &number, &length);
    if (number)
        stream_die_of_errno(stream, number);
    else
        start_talking(stream);
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct stream *stream = handle->data;
    loop_enter(stream->loop);
    if (status < 0)
        stream->interest = 0; /* libuv has stopped watching */
    if (stream->phase == PHASE_CONNECTING) {
        stream_on_connected(stream);
    } else if (status < 0) {
        on_socket_error(stream);
    } else {
        if (events & UV_WRITABLE)
            on_writable(stream);
        if ((events & UV_READABLE) && wants_input(stream))
            receive(stream);
        if ((events & UV_PRIORITIZED) && stream->phase < PHASE_ENDED)
            on_urgent(stream);
    }
    if (stream->phase < PHASE_ENDED)
        stream_update_interest(stream);
    loop_leave(stream->loop);
}
