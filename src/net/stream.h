/* Stream: one connected byte stream (TCP or Unix socket, plain or TLS), the transport under the
 * HTTP server, the HTTP client and WebSockets. Output is gathered and written once per loop turn.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "base/err.h"
#include "net/loop.h"
#include "net/tls.h"

struct stream;

/* What the owner hears, always from the loop, never from inside a call it makes. Each may be NULL.
 * After on_close nothing comes and the stream is dead (freed by itself). */
struct stream_events {
    /* Connected, and the TLS handshake done. Also for accepted streams. */
    void (*on_open)(void *user);
    /* Bytes arrived; `data` is valid during the call, and the owner's to write over. */
    void (*on_data)(void *user, char *data, size_t len);
    /* The peer ended its side (FIN, or close_notify with TLS). Writing is still possible. A TLS
     * peer that leaves without close_notify is not heard of here: that is on_close with
     * ERR_NETWORK. */
    void (*on_end)(void *user);
    /* The output that was waiting has fallen to STREAM_LOW_BYTES or less after having been above
     * STREAM_HIGH_BYTES. */
    void (*on_drain)(void *user);
    /* The end: ERR_OK after stream_close or an orderly end from both sides, else ERR_NETWORK or
     * ERR_TOO_BIG, with `detail` for the log (never NULL). */
    void (*on_close)(void *user, enum err code, const char *detail);
};

enum {
    STREAM_HIGH_BYTES = 256 * 1024,
    STREAM_LOW_BYTES = 64 * 1024,
    STREAM_OUTPUT_BYTES_MAX = 64 * 1024 * 1024, /* what may wait at all: over it the stream dies */
    STREAM_LINGER_MS = 2000,
    STREAM_USER_TIMEOUT_MS = 30000 /* TCP: sent and not acknowledged for so long is dead */
};

/* Connects to a resolved address (AF_INET, AF_INET6 or AF_UNIX). No timeout here: the caller has a
 * timer and aborts. `tls` may be NULL; with it, `server_name` is sent as SNI and verified against
 * the certificate (a name, or an IP address literal). Returns NULL with `error` set when not even
 * a socket could be made. */
struct stream *stream_connect(struct loop *loop, const struct sockaddr *address, socklen_t length,
                              struct tls_context *tls, const char *server_name,
                              const struct stream_events *events, void *user, struct error *error);
/* Wraps an accepted, connected socket (taken over). Never NULL: what is wrong with the socket comes
 * as on_close. Writing and closing are possible at once. */
struct stream *stream_accept(struct loop *loop, int fd, struct tls_context *tls,
                             const struct stream_events *events, void *user);
/* Starts TLS as a client on an open plain stream (after a proxy's CONNECT); on_open comes again
 * when the handshake is done. */
void stream_start_tls(struct stream *stream, struct tls_context *tls, const char *server_name);

/* Hands events to another owner from now on (a connection put into a pool, or taken out; an
 * upgrade to WebSocket). */
void stream_set_events(struct stream *stream, const struct stream_events *events, void *user);

/* Queues bytes (copied). They leave at the end of the turn, with everything else queued by then.
 * Writing after stream_close or on a dying stream is ignored. */
void stream_write(struct stream *stream, const char *data, size_t len);
/* A buffer of the stream's to write into directly, saving the copy: append to it, then call
 * stream_flush_later. Valid until the callback returns. */
struct buf *stream_output(struct stream *stream);
/* So many bytes are about to be written: makes room for them at once. */
void stream_expect(struct stream *stream, size_t bytes);
void stream_flush_later(struct stream *stream);
/* Writes what is queued now, for what would be too much to wait for the end of the turn beside that
 * of many others. What comes of it (a dead peer) is heard later, as always. */
void stream_flush(struct stream *stream);
/* Bytes queued and not yet taken by the kernel. Above STREAM_HIGH_BYTES a polite writer waits for
 * on_drain. */
size_t stream_pending_bytes(const struct stream *stream);

/* Stops and restarts the delivery of on_data. While paused a peer that leaves is still noticed
 * (on_close comes) when it resets; pause only for back-pressure. */
void stream_pause(struct stream *stream);
void stream_resume(struct stream *stream);

/* Writes what is queued, ends our side, waits up to STREAM_LINGER_MS for the peer's end (else what
 * it still sends would destroy what it has not read yet), and closes. on_close comes later; nothing
 * else is heard any more. How long the peer may take to read what is queued is the owner's affair.
 */
void stream_close(struct stream *stream);
/* Closes now with a reset, dropping what is queued. No event comes after it returns. */
void stream_abort(struct stream *stream);

struct loop *stream_loop(const struct stream *stream);
bool stream_is_tls(const struct stream *stream);
/* "203.0.113.7" or "2001:db8::1" without the port; "unix" for Unix sockets,
 * "unknown" for a peer that had left before it could be asked. Borrowed. */
const char *stream_peer_address(const struct stream *stream);
