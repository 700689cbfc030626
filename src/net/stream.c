/* Stream: the one transport under the HTTP server, the HTTP client and WebSockets.
 *
 * A non-blocking socket on uv_poll, read and written by plain recv and send: that is the smallest
 * thing that holds TCP, Unix sockets and TLS alike, and it shows resets while reading is paused.
 *
 *   stream_connect            stream_accept
 *        |                      |       |
 *   CONNECTING --connected--> SHAKING   |        (SHAKING only with TLS; OPEN --stream_start_tls-->
 *        |         |            |       |         SHAKING)
 *        |         +---open_up--+-------+
 *        |                  OPEN --end_our_side (stream_close, all is sent)--> SHUT
 *        |                   |                                                   |
 *        +-------------------+---------------------die---------------------------+
 *                            v
 *                        ENDED --report_end (on_close)--> DEAD --on_handle_closed--> freed
 *
 * stream_abort goes to DEAD from anywhere. Everything that ends a stream by itself goes through
 * die, which only notes why; on_close comes from a deferred call, so never inside the owner's. */
#include "net/stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "net/tls_session.h"

enum phase {
    PHASE_CONNECTING,
    PHASE_SHAKING,
    PHASE_OPEN,
    PHASE_SHUT,  /* our side has ended; reading on until the peer's does */
    PHASE_ENDED, /* on_close is on its way */
    PHASE_DEAD   /* nothing is heard any more; the handle is closing */
};

enum {
    TLS_RECORD_BYTES = 16 * 1024,
    TLS_WIRE_BYTES = 128 * 1024 /* encrypted ahead of the kernel; the rest waits as plain text */
};

struct stream {
    uv_poll_t poll;
    struct loop *loop;
    struct stream_events events;
    void *user;
    struct outbox output; /* plain text */
    struct tls_session *tls;
    struct loop_task task;  /* report_later: on_open, on_close, input left over by a pause */
    struct loop_task flush; /* the write at the end of the turn */
    struct loop_timer linger;
    const char *detail; /* of on_close */
    int fd;
    int interest;    /* what `poll` watches for */
    int write_error; /* sending failed; what was received is delivered first */
    enum err code;   /* of on_close */
    enum phase phase;
    bool has_handle : 1;
    bool open_pending : 1; /* on_open is on its way */
    bool paused : 1;
    bool closing : 1;    /* stream_close was called */
    bool notified : 1;   /* close_notify is on the wire */
    bool blocked : 1;    /* the kernel takes no more for now */
    bool above_high : 1; /* on_drain is owed */
    bool ended : 1;      /* on_end was due */
    bool input_over : 1; /* recv gave 0 */
    bool hung_up : 1;    /* the peer is gone, but what it sent waits until stream_resume */
    char peer_address[INET6_ADDRSTRLEN];
};

static void on_poll(uv_poll_t *handle, int status, int events);
static void report_later(void *user);
static void flush_output(void *user);

/* ---- Interest: what the loop watches -----------------------------------------------------------
 */

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
static void update_interest(struct stream *stream)
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

/* ---- The end -----------------------------------------------------------------------------------
 */

static void free_stream(void *user)
{
    struct stream *stream = user;
    outbox_release(&stream->output);
    tls_session_free(stream->tls);
    free(stream);
}

static void on_handle_closed(uv_handle_t *handle)
{
    free_stream(handle->data);
}

static void release(struct stream *stream)
{
    stream->phase = PHASE_DEAD;
    loop_task_cancel(&stream->task);
    loop_task_cancel(&stream->flush);
    loop_timer_cancel(stream->loop, &stream->linger);
    if (stream->has_handle)
        uv_close((uv_handle_t *)&stream->poll, on_handle_closed);
    else
        loop_defer(stream->loop, &stream->task, free_stream, stream);
    if (stream->fd >= 0)
        close(stream->fd);
    stream->fd = -1;
}

static void die(struct stream *stream, enum err code, const char *detail)
{
    if (stream->phase >= PHASE_ENDED)
        return;
    stream->phase = PHASE_ENDED;
    stream->code = code;
    stream->detail = detail;
    loop_task_cancel(&stream->flush);
    loop_timer_cancel(stream->loop, &stream->linger);
    outbox_release(&stream->output);
    if (stream->has_handle)
        update_interest(stream);
    loop_defer(stream->loop, &stream->task, report_later, stream);
}

static void die_of_errno(struct stream *stream, int number)
{
    die(stream, ERR_NETWORK,
        number ? uv_strerror(uv_translate_sys_error(number)) : "the peer left");
}

static void report_end(struct stream *stream)
{
    struct stream_events events = stream->events;
    void *user = stream->user;
    release(stream); /* the memory, and with it `detail`, stays until the handle is closed */
    if (events.on_close)
        events.on_close(user, stream->code, stream->detail);
}

static void on_linger_over(void *user)
{
    die(user, ERR_OK, "closed");
}

/* All is sent: FIN. Closing the socket at once would answer whatever the peer still sends with a
 * reset, which makes its kernel forget what it has received but not read. */
static void end_our_side(struct stream *stream)
{
    if (stream->write_error) {
        die_of_errno(stream, stream->write_error);
        return;
    }
    shutdown(stream->fd, SHUT_WR);
    stream->phase = PHASE_SHUT;
    stream->above_high = false;
    if (stream->input_over)
        die(stream, ERR_OK, "closed");
    else
        loop_timer_set(stream->loop, &stream->linger, STREAM_LINGER_MS, on_linger_over, stream);
}

/* ---- Output ------------------------------------------------------------------------------------
 */

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
        die_of_errno(stream, number);
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
    if (sent > 0)
        outbox_take(box, (size_t)sent);
}

static void encrypt_some(struct stream *stream)
{
    struct outbox *wire = tls_session_wire(stream->tls);
    size_t pending;
    while ((pending = outbox_pending(&stream->output)) && outbox_pending(wire) < TLS_WIRE_BYTES) {
        size_t part = pending < TLS_RECORD_BYTES ? pending : TLS_RECORD_BYTES;
        const char *data = stream->output.bytes.data + stream->output.sent;
        if (tls_session_write(stream->tls, data, part) != TLS_DONE) {
            die(stream, ERR_NETWORK, tls_session_detail(stream->tls));
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
    stream->blocked = false;
    if (stream->tls)
        send_tls(stream);
    else
        send_outbox(stream, &stream->output);
    if (stream->closing && stream->phase == PHASE_OPEN && stream_pending_bytes(stream) == 0)
        end_our_side(stream);
}

static void flush_output(void *user)
{
    struct stream *stream = user;
    send_all(stream);
    update_interest(stream);
}

void stream_flush_later(struct stream *stream)
{
    if (stream->phase >= PHASE_SHUT || stream->write_error) {
        outbox_release(&stream->output);
        return;
    }
    size_t pending = stream_pending_bytes(stream);
    if (pending > STREAM_OUTPUT_BYTES_MAX || !buf_ok(&stream->output.bytes)) {
        die(stream, ERR_TOO_BIG, "the peer does not read: too much output waits for it");
        return;
    }
    if (pending > STREAM_HIGH_BYTES)
        stream->above_high = true;
    if (!stream->blocked && stream->phase != PHASE_CONNECTING)
        loop_defer_flush(stream->loop, &stream->flush, flush_output, stream);
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

/* ---- Input -------------------------------------------------------------------------------------
 */

static void give_data(struct stream *stream, const char *data, size_t len)
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
static void run_tls(struct stream *stream)
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
        die(stream, ERR_NETWORK, tls_session_detail(stream->tls));
    }
}

static void take_data(struct stream *stream, const char *data, size_t len)
{
    if (stream->phase == PHASE_SHUT)
        return;
    if (!stream->tls) {
        give_data(stream, data, len);
        return;
    }
    tls_session_feed(stream->tls, data, len);
    run_tls(stream);
}

static void take_end(struct stream *stream)
{
    stream->input_over = true;
    if (stream->phase == PHASE_SHUT)
        die(stream, ERR_OK, "closed");
    else if (stream->write_error)
        die_of_errno(stream, stream->write_error);
    else if (stream->phase == PHASE_SHAKING)
        die(stream, ERR_NETWORK, "the peer left during the TLS handshake");
    else if (stream->tls && !stream->ended)
        die(stream, ERR_NETWORK, "the peer left without close_notify: cut off");
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
        die(stream, ERR_OK, "closed");
    else if (errno != EAGAIN && errno != EINTR)
        die_of_errno(stream, stream->write_error ? stream->write_error : errno);
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
        die_of_errno(stream, stream->write_error ? stream->write_error : number);
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
        die(stream, ERR_NETWORK, "the peer left");
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
    run_tls(stream);
}

static void on_connected(struct stream *stream)
{
    int number = 0;
    socklen_t length = sizeof number;
    getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &number, &length);
    if (number)
        die_of_errno(stream, number);
    else
        start_talking(stream);
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct stream *stream = handle->data;
    if (status < 0)
        stream->interest = 0; /* libuv has stopped watching */
    if (stream->phase == PHASE_CONNECTING) {
        on_connected(stream);
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
        update_interest(stream);
}

static void report_later(void *user)
{
    struct stream *stream = user;
    if (stream->phase == PHASE_ENDED) {
        report_end(stream);
        return;
    }
    if (stream->open_pending) {
        stream->open_pending = false;
        if (stream->phase == PHASE_CONNECTING)
            on_connected(stream);
        else if (!stream->closing && stream->events.on_open)
            stream->events.on_open(stream->user);
    } else if (stream->tls && stream->phase == PHASE_OPEN) {
        run_tls(stream);
    }
    if (stream->phase < PHASE_ENDED)
        update_interest(stream);
}

/* ---- Birth -------------------------------------------------------------------------------------
 */

static void describe_peer(struct stream *stream, const struct sockaddr *address)
{
    const void *bytes = NULL;
    int family = address->sa_family;
    if (family == AF_INET)
        bytes = &((const struct sockaddr_in *)(const void *)address)->sin_addr;
    else if (family == AF_INET6)
        bytes = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    if (family == AF_INET6 && IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)bytes)) {
        bytes = (const char *)bytes + 12;
        family = AF_INET;
    }
    if (!bytes || !inet_ntop(family, bytes, stream->peer_address, sizeof stream->peer_address))
        strcpy(stream->peer_address, family == AF_UNIX ? "unix" : "unknown");
}

/* A stream around `fd`, which it owns; has_handle is false when the loop cannot watch it. */
static struct stream *wrap(struct loop *loop, int fd, const struct stream_events *events,
                           void *user)
{
    struct stream *stream = calloc(1, sizeof *stream);
    ASSERT(stream);
    stream->loop = loop;
    stream->fd = fd;
    stream->events = *events;
    stream->user = user;
    outbox_init(&stream->output, STREAM_OUTPUT_BYTES_MAX);
    stream->has_handle = uv_poll_init(loop_uv(loop), &stream->poll, fd) == 0;
    stream->poll.data = stream;
    /* Both fail on a Unix socket, where there is no need for them. */
    int on = 1, timeout_ms = STREAM_USER_TIMEOUT_MS;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof timeout_ms);
    return stream;
}

/* Makes the TLS session, or ends the stream. */
static void prepare_tls(struct stream *stream, struct tls_context *tls, const char *server_name)
{
    const char *detail;
    stream->tls = tls_session_new(tls, server_name, &detail);
    if (!stream->tls)
        die(stream, ERR_NETWORK, detail);
}

struct stream *stream_accept(struct loop *loop, int fd, struct tls_context *tls,
                             const struct stream_events *events, void *user)
{
    struct stream *stream = wrap(loop, fd, events, user);
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC}; /* stays so when it left already */
    socklen_t length = sizeof address;
    (void)getpeername(fd, (struct sockaddr *)&address, &length);
    describe_peer(stream, (const struct sockaddr *)&address);
    stream->phase = tls ? PHASE_SHAKING : PHASE_OPEN;
    if (!stream->has_handle) {
        die(stream, ERR_NETWORK, "the loop cannot watch this socket");
    } else if (tls) {
        prepare_tls(stream, tls, NULL);
    } else {
        stream->open_pending = true;
        loop_defer(loop, &stream->task, report_later, stream);
    }
    if (stream->phase < PHASE_ENDED)
        update_interest(stream);
    return stream;
}

/* Starts connecting; 0, or errno. */
static int begin_connect(struct stream *stream, const struct sockaddr *address, socklen_t length)
{
    if (connect(stream->fd, address, length) == 0) {
        stream->open_pending = true; /* Unix sockets connect at once; told a turn later */
        loop_defer(stream->loop, &stream->task, report_later, stream);
        return 0;
    }
    return errno == EINPROGRESS ? 0 : errno;
}

struct stream *stream_connect(struct loop *loop, const struct sockaddr *address, socklen_t length,
                              struct tls_context *tls, const char *server_name,
                              const struct stream_events *events, void *user, struct error *error)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        error_set(error, ERR_NETWORK, NULL, "cannot make a socket: %s",
                  uv_strerror(uv_translate_sys_error(errno)));
        return NULL;
    }
    struct stream *stream = wrap(loop, fd, events, user);
    describe_peer(stream, address);
    if (!stream->has_handle) {
        release(stream);
        error_set(error, ERR_NETWORK, NULL, "the loop cannot watch one more socket");
        return NULL;
    }
    int number = begin_connect(stream, address, length);
    if (number)
        die_of_errno(stream, number);
    else if (tls)
        prepare_tls(stream, tls, server_name);
    if (stream->phase < PHASE_ENDED && !stream->open_pending)
        update_interest(stream);
    return stream;
}

void stream_start_tls(struct stream *stream, struct tls_context *tls, const char *server_name)
{
    if (stream->phase != PHASE_OPEN || stream->closing)
        return;
    ASSERT(!stream->tls && outbox_pending(&stream->output) == 0);
    stream->phase = PHASE_SHAKING;
    prepare_tls(stream, tls, server_name);
    if (stream->tls)
        run_tls(stream); /* no event can come of it: the peer has said nothing yet */
    if (stream->phase < PHASE_ENDED)
        update_interest(stream);
}

/* ---- What the owner does -----------------------------------------------------------------------
 */

void stream_set_events(struct stream *stream, const struct stream_events *events, void *user)
{
    stream->events = *events;
    stream->user = user;
}

void stream_pause(struct stream *stream)
{
    stream->paused = true;
    if (stream->phase < PHASE_ENDED)
        update_interest(stream);
}

void stream_resume(struct stream *stream)
{
    stream->paused = stream->hung_up = false;
    if (stream->phase >= PHASE_ENDED)
        return;
    if (stream->tls && tls_session_has_input(stream->tls))
        loop_defer(stream->loop, &stream->task, report_later, stream);
    update_interest(stream);
}

void stream_close(struct stream *stream)
{
    if (stream->closing || stream->phase >= PHASE_SHUT)
        return;
    stream->closing = true;
    stream->hung_up = false;
    bool can_send = stream->phase == PHASE_OPEN ||
                    (stream->phase == PHASE_SHAKING && outbox_pending(&stream->output));
    if (stream->write_error)
        die_of_errno(stream, stream->write_error);
    else if (!can_send)
        die(stream, ERR_OK, "closed");
    else
        stream_flush_later(stream);
    if (stream->phase < PHASE_ENDED)
        update_interest(stream);
}

void stream_abort(struct stream *stream)
{
    if (stream->phase == PHASE_DEAD)
        return;
    struct linger reset = {.l_onoff = 1};
    if (stream->phase < PHASE_SHUT)
        (void)setsockopt(stream->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    release(stream);
}

struct loop *stream_loop(const struct stream *stream)
{
    return stream->loop;
}

bool stream_is_tls(const struct stream *stream)
{
    return stream->tls != NULL;
}

const char *stream_peer_address(const struct stream *stream)
{
    return stream->peer_address;
}
