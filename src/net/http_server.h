/* HTTP/1.1 server on one loop: connections, requests, responses, upgrades. Parsing is llhttp's. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "net/http.h"
#include "net/stream.h"

struct http_server;
struct http_exchange;

/* Limits and timeouts; zero means the default in brackets. */
struct http_server_options {
    uint64_t
        header_timeout_ms; /* from the first byte of a request to the end of its headers [10 s] */
    uint64_t body_timeout_ms;  /* longest silence within a body [30 s] */
    uint64_t idle_timeout_ms;  /* keep-alive: from one response to the next request [75 s] */
    uint64_t write_timeout_ms; /* a response whose bytes nobody takes [60 s] */
    size_t connections_max;    /* of this loop; over it new ones get 503 and are closed [65,536] */
    size_t body_memory_bytes;  /* a longer body goes to a file [1 MiB] */
    const char *spill_directory; /* where such files are made (unlinked at once); NULL: refuse */
    size_t pipeline_max;         /* requests read ahead while one is answered [16] */
};

/* What the owner of the server decides. */
struct http_server_handler {
    /* The headers are here, the body is not. Returns the largest body this request may have, in
     * bytes. A longer Content-Length is answered with on_refuse before any of it is read, a longer
     * chunked body as soon as it is. Expect: 100-continue is answered after this. Not asked for a
     * request without a body; must not end the exchange. */
    uint64_t (*body_limit)(void *user, struct http_exchange *exchange);
    /* The request is complete. The exchange is the handler's until it ends it (http_respond, or
     * http_respond_end after http_respond_begin, or an upgrade): sooner or later it must, even if
     * the client has left meanwhile, when ending it is free. It may do so inside this call. */
    void (*on_request)(void *user, struct http_exchange *exchange);
    /* The server refuses the request by itself (ERR_INVALID: not HTTP; ERR_TOO_BIG: headers or
     * body; ERR_TIMEOUT; ERR_UNAVAILABLE: too many connections; ERR_STORAGE: the spill file), and
     * names what in error->field: "target" (414), "headers" (431), "body", "host", ... Path and
     * headers are empty when they could not be read. The owner answers with http_respond in its own
     * error shape; the connection closes after it. */
    void (*on_refuse)(void *user, struct http_exchange *exchange, const struct error *error);
    void *user;
};

/* A server on `loop`. Options and handler are copied. */
struct http_server *http_server_new(struct loop *loop, const struct http_server_options *options,
                                    const struct http_server_handler *handler);
/* Takes over an accepted socket; `tls` NULL for plain. */
void http_server_accept(struct http_server *server, int fd, struct tls_context *tls);
/* Stops keep-alive: idle connections close now, busy ones after their response (which says
 * `Connection: close`). `on_drained` comes once no connection is left, or at once a turn later. */
void http_server_drain(struct http_server *server, void (*on_drained)(void *user), void *user);
/* Aborts every connection and frees the server. Handlers still holding exchanges hear on_abort
 * before it returns, and must end them before freeing the loop. From on_drained or outside: not
 * from inside a call of the handler's. */
void http_server_free(struct http_server *server);
size_t http_server_connection_count(const struct http_server *server);

/* ---- The request: borrowed until the exchange ends ----------------------------------------------
 */
struct http_request {
    enum http_method method;
    struct str path;  /* as sent, not decoded, without the query */
    struct str query; /* without "?", or empty */
    struct http_headers headers;
    struct str body;          /* in memory, or mapped from the spill file (private) */
    const char *peer_address; /* see stream_peer_address */
    bool is_tls;
};
const struct http_request *http_exchange_request(const struct http_exchange *exchange);
/* Lives as long as the exchange; capped at four times the body plus 1 MiB. */
struct arena *http_exchange_arena(struct http_exchange *exchange);
struct loop *http_exchange_loop(struct http_exchange *exchange);
/* Gives the request's body back early (memory, or the spill file), for a response that takes long:
 * `body` is empty afterwards, and nothing may point into it any more. */
void http_exchange_drop_body(struct http_exchange *exchange);
/* Unique: for the log, and for the `x-request-id` header that every response carries. A valid one
 * sent by the client (up to 64 of [A-Za-z0-9._-]) is kept. */
struct str http_exchange_id(const struct http_exchange *exchange);
/* loop_now_ms when its first byte came. */
uint64_t http_exchange_start_ms(const struct http_exchange *exchange);
/* For the owner's own data; http_exchange_set_user(exchange, x) then http_exchange_user(). */
void http_exchange_set_user(struct http_exchange *exchange, void *user);
void *http_exchange_user(const struct http_exchange *exchange);

/* Tells when the client has gone before the exchange ended (noticed at once by FIN or RST, also
 * while a response streams): on_abort(user) once; the exchange must still be ended. NULL clears. */
void http_exchange_on_abort(struct http_exchange *exchange, void (*on_abort)(void *user),
                            void *user);
bool http_exchange_is_aborted(const struct http_exchange *exchange);

/* What the owner holds for as long as the exchange: on_release(user) gives it back, once, however the
 * exchange ends; the arena lives during that. One at most; NULL clears. */
void http_exchange_on_release(struct http_exchange *exchange, void (*on_release)(void *user),
                              void *user);

/* Somebody who looks on: hears of the response's status and body as they leave, then of the end, once,
 * however it comes about; the arena and the request's head live during that. */
struct http_witness {
    void (*on_status)(void *user, int status);
    void (*on_bytes)(void *user, struct str bytes);
    void (*on_end)(void *user);
};
/* `witness` lives for ever; one at most. From within on_request on, before the response begins. */
void http_exchange_set_witness(struct http_exchange *exchange, const struct http_witness *witness,
                               void *user);

/* ---- The response ---------------------------------------------------------------------------- */
/* Adds a header field to the response (copied); before http_respond or http_respond_begin. Invalid
 * names and values are a mistake of ours (ASSERT): check what comes from outside. */
void http_respond_header(struct http_exchange *exchange, const char *name, struct str value);
/* The same for whole lines, each "name: value" and CR LF, whose names and values the caller has made
 * himself of nothing but what is valid: they are not looked at again. */
void http_respond_header_lines(struct http_exchange *exchange, struct str lines);
/* The same for what comes from outside: false, and nothing is added, when it is invalid. */
bool http_respond_header_if_valid(struct http_exchange *exchange, const char *name,
                                  struct str value);
/* The whole response at once (body copied), with Content-Length; ends the exchange. HEAD requests
 * get the headers only. Date, x-request-id and Connection are the server's. */
void http_respond(struct http_exchange *exchange, int status, const char *content_type,
                  struct str body);
/* The same for bytes that outlive every exchange (assets): not copied when possible. */
void http_respond_static(struct http_exchange *exchange, int status, const char *content_type,
                         struct str body);
/* A response in pieces (chunked): begin, any number of writes, end. Everything written in one turn
 * leaves in one write. content_type may be NULL. */
void http_respond_begin(struct http_exchange *exchange, int status, const char *content_type);
void http_respond_write(struct http_exchange *exchange, struct str data);
void http_respond_end(struct http_exchange *exchange);
/* Breaks off a response that cannot be completed: the connection is reset, so that nobody takes it
 * for whole. Ends the exchange. */
void http_respond_break(struct http_exchange *exchange);
/* Bytes waiting for a slow client. Above STREAM_HIGH_BYTES wait for on_drain(user). */
size_t http_respond_pending_bytes(const struct http_exchange *exchange);
void http_respond_on_drain(struct http_exchange *exchange, void (*on_drain)(void *user),
                           void *user);

/* Takes the stream out of the server after a 101 response with the headers added so far (the caller
 * adds Upgrade and Sec-WebSocket-Accept; Connection: upgrade is ours). Ends the exchange and
 * forgets the connection; *ret_early are bytes that came behind the request (copied into malloc'ed
 * memory, the caller frees, may be NULL). The caller sets the stream's events before it returns.
 * NULL when the client has gone, or did not ask for an upgrade in HTTP/1.1, when it is answered
 * with 400 (the exchange has ended all the same). */
struct stream *http_respond_upgrade(struct http_exchange *exchange, char **ret_early,
                                    size_t *ret_early_len);
