/* Stream: the one transport under the HTTP server, the HTTP client and WebSockets.
 *
 * A non-blocking socket on uv_poll, read and written by plain recv and send: that is the smallest
 * thing that holds TCP, Unix sockets and TLS alike, and it shows resets while reading is paused.
 *
 *   stream_connect            stream_accept
 *        |                      |       |
 *   CONNECTING --stream_on_connected--> |   SHAKING only with TLS;
 *        |         |         SHAKING    |   OPEN --stream_start_tls--> SHAKING
 *        |         +---open_up--+-------+
 *        |                   v
 *        |                 OPEN --stream_end_our_side (stream_close, and all is sent)--> SHUT
 *        |                   |                                                           |
 *        +-------------------+-------------------------stream_die------------------------+
 *                            v
 *                        ENDED --report_end (on_close)--> DEAD --on_handle_closed--> freed
 *
 * stream_abort goes to DEAD from anywhere. Everything that ends a stream by itself goes through
 * stream_die, which only notes why; on_close comes from a deferred call, so never inside the
 * owner's. */
#include "net/stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "net/stream_internal.h"

/* ---- The end --------------------------------------------------------------------------------- */

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

void stream_die(struct stream *stream, enum err code, const char *detail)
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
        stream_update_interest(stream);
    loop_defer(stream->loop, &stream->task, stream_report_later, stream);
}

void stream_die_of_errno(struct stream *stream, int number)
{
    stream_die(stream, ERR_NETWORK,
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
    stream_die(user, ERR_OK, "closed");
}

/* All is sent: FIN. Closing the socket at once would answer whatever the peer still sends with a
 * reset, which makes its kernel forget what it has received but not read. */
void stream_end_our_side(struct stream *stream)
{
    if (stream->write_error) {
        stream_die_of_errno(stream, stream->write_error);
        return;
    }
    shutdown(stream->fd, SHUT_WR);
    stream->phase = PHASE_SHUT;
    stream->above_high = false;
    if (stream->input_over)
        stream_die(stream, ERR_OK, "closed");
    else
        loop_timer_set(stream->loop, &stream->linger, STREAM_LINGER_MS, on_linger_over, stream);
}

void stream_report_later(void *user)
{
    struct stream *stream = user;
    if (stream->phase == PHASE_ENDED) {
        report_end(stream);
        return;
    }
    if (stream->open_pending) {
        stream->open_pending = false;
        if (stream->phase == PHASE_CONNECTING)
            stream_on_connected(stream);
        else if (!stream->closing && stream->events.on_open)
            stream->events.on_open(stream->user);
    } else if (stream->tls && stream->phase == PHASE_OPEN) {
        stream_run_tls(stream);
    }
    if (stream->phase < PHASE_ENDED)
        stream_update_interest(stream);
}

/* ---- Birth ----------------------------------------------------------------------------------- */

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
        stream_die(stream, ERR_NETWORK, detail);
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
        stream_die(stream, ERR_NETWORK, "the loop cannot watch this socket");
    } else if (tls) {
        prepare_tls(stream, tls, NULL);
    } else {
        stream->open_pending = true;
        loop_defer(loop, &stream->task, stream_report_later, stream);
    }
    if (stream->phase < PHASE_ENDED)
        stream_update_interest(stream);
    return stream;
}

/* Starts connecting; 0, or errno. */
static int begin_connect(struct stream *stream, const struct sockaddr *address, socklen_t length)
{
    if (connect(stream->fd, address, length) == 0) {
        stream->open_pending = true; /* Unix sockets connect at once; told a turn later */
        loop_defer(stream->loop, &stream->task, stream_report_later, stream);
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
        stream_die_of_errno(stream, number);
    else if (tls)
        prepare_tls(stream, tls, server_name);
    if (stream->phase < PHASE_ENDED && !stream->open_pending)
        stream_update_interest(stream);
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
        stream_run_tls(stream); /* no event can come of it: the peer has said nothing yet */
    if (stream->phase < PHASE_ENDED)
        stream_update_interest(stream);
}

/* ---- What the owner does --------------------------------------------------------------------- */

void stream_set_events(struct stream *stream, const struct stream_events *events, void *user)
{
    stream->events = *events;
    stream->user = user;
}

void stream_pause(struct stream *stream)
{
    stream->paused = true;
    if (stream->phase < PHASE_ENDED)
        stream_update_interest(stream);
}

void stream_resume(struct stream *stream)
{
    stream->paused = stream->hung_up = false;
    if (stream->phase >= PHASE_ENDED)
        return;
    if (stream->tls && tls_session_has_input(stream->tls))
        loop_defer(stream->loop, &stream->task, stream_report_later, stream);
    stream_update_interest(stream);
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
        stream_die_of_errno(stream, stream->write_error);
    else if (!can_send)
        stream_die(stream, ERR_OK, "closed");
    else
        stream_flush_later(stream);
    if (stream->phase < PHASE_ENDED)
        stream_update_interest(stream);
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
