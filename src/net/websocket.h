/* WebSocket, server side (RFC 6455): framing by wslay, limits and liveness here. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "net/http_server.h"

struct websocket;

struct websocket_events {
    /* A whole text message (valid UTF-8), valid during the call. Binary messages close the
     * connection with 1003. */
    void (*on_message)(void *user, struct str text);
    /* See stream_events.on_drain. */
    void (*on_drain)(void *user);
    /* The end, once: `code` as in RFC 6455 section 7.4: of whichever close frame came first, the
     * peer's or ours; 1006 when there was none. The websocket is dead afterwards. */
    void (*on_close)(void *user, uint16_t code);
};

struct websocket_options {
    size_t message_bytes_max;  /* [1 MiB] a longer message closes with 1009 */
    uint64_t ping_interval_ms; /* [30 s] a ping when nothing came for so long */
    uint64_t pong_timeout_ms;  /* [20 s] and the end when nothing comes then */
};

enum { WEBSOCKET_CLOSE_MS = 5000 }; /* or pong_timeout_ms, when that is shorter */

/* Whether the request asks for a WebSocket that we can give (RFC 6455 section 4.2.1): also its key
 * is one, and the version is 13. */
bool websocket_is_upgrade(const struct http_request *request);
/* Whether its Origin (when it sends one) is this very host (Host header, same scheme), or is one of
 * the comma-separated `allowed` origins (may be empty). Browsers always send one: this is what
 * keeps another site's page from using a person's cookie. */
bool websocket_origin_ok(const struct http_request *request, struct str allowed);
/* The value of Sec-WebSocket-Accept for the request's Sec-WebSocket-Key: 28 characters and NUL. */
void websocket_accept_key(struct str key, char ret[29]);
/* Completes the handshake and takes the exchange over. `protocol`: the sub-protocol to confirm, or
 * NULL. NULL is returned when the client has gone. */
struct websocket *websocket_accept(struct http_exchange *exchange, const char *protocol,
                                   const struct websocket_options *options,
                                   const struct websocket_events *events, void *user);
/* The same on a stream whose handshake is done (for websocket_accept, and for tests). `early` are
 * bytes that came behind the handshake (malloc'ed, taken over, may be NULL). */
struct websocket *websocket_on_stream(struct stream *stream, char *early, size_t early_len,
                                      const struct websocket_options *options,
                                      const struct websocket_events *events, void *user);
/* Queues a text message (valid UTF-8); it leaves at the end of the turn. Ignored while closing. */
void websocket_send(struct websocket *websocket, struct str text);
size_t websocket_pending_bytes(const struct websocket *websocket);
/* Sends a close frame (reason: up to 123 bytes, or NULL) and closes when the peer answers it, or
 * within WEBSOCKET_CLOSE_MS; no message comes any more, on_close still does. */
void websocket_close(struct websocket *websocket, uint16_t code, const char *reason);
/* Closes now; no event comes after it returns. */
void websocket_abort(struct websocket *websocket);
