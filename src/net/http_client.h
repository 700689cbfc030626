/* HTTP/1.1 client on one loop: resolving off the loop, staggered connects, TLS, proxies, pools of
 * kept-alive connections per origin, and three of the five timers (connect, headers, total). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "net/http.h"
#include "net/loop.h"
#include "net/tls.h"
#include "wire/url.h"

struct http_client;
struct http_call;

struct http_client_options {
    size_t idle_per_origin_max; /* kept-alive connections kept per origin [64] */
    uint64_t idle_timeout_ms;   /* how long one is kept unused [55 s] */
    struct str https_proxy;     /* http://[user:password@]host:port, or empty: CONNECT for https */
    struct str http_proxy;      /* the same for plain http (absolute-form), or empty */
    struct str no_proxy;        /* rules of http_proxy_is_exempt, or empty */
    const char *ca_path;        /* PEM of trusted roots; NULL: the system's */
};

/* A client on `loop`; options are copied. Free after all its calls have ended (those that drain are
 * ended by it). A proxy setting that
 * is wrong (check with http_proxy_parse) fails the calls it applies to: it is never passed by. */
struct http_client *http_client_new(struct loop *loop, const struct http_client_options *options);
void http_client_free(struct http_client *client);

/* What to send, read during http_call_start. Only the bytes of `body` are borrowed for longer: they
 * must live until on_sent, the terminal event or the cancel. */
struct http_call_request {
    enum http_method method;
    struct str url; /* absolute; parsed by url_parse. "http://unix:/path/to/socket:/target" is a
                       Unix socket */
    struct http_headers headers; /* ERR_INVALID for what is the client's own: Host, Content-Length,
                                    Transfer-Encoding, Connection and its kin */
    struct str body;
    uint64_t connect_timeout_ms; /* resolve, connect and TLS, all addresses together; 0: none */
    uint64_t headers_timeout_ms; /* from the request being sent to the end of the final headers, and
                                    of each stall of a large upload; 0: none */
    uint64_t total_timeout_ms;   /* of everything; 0: none */
    size_t header_bytes_max;     /* 0: HTTP_HEADER_BYTES_MAX */
    uint64_t body_bytes_max;     /* decoded body over it: ERR_TOO_BIG; 0: 1 GiB */
    bool never_replays; /* a kept connection that turns out dead is an error (see on_error) */
};

/* How far it had got, for retry decisions, and the times of the phases. */
struct http_call_timing {
    uint64_t connect_ms; /* 0 when a kept connection was used */
    bool reused;         /* a kept connection was used */
    bool request_sent;   /* all of the request was handed to the kernel; in doubt true */
};

/* What the caller hears. Exactly one of on_done and on_error, then nothing more. */
struct http_call_events {
    /* Final status and headers (1xx are skipped), valid during the call. */
    void (*on_headers)(void *user, int status, const struct http_headers *headers);
    /* Body bytes without transfer coding, valid during the call. */
    void (*on_body)(void *user, struct str data);
    /* The body is complete: its length was right, or its last chunk came. A body delimited by the
     * end of the connection is complete when that end was orderly. */
    void (*on_done)(void *user);
    /* ERR_NETWORK (field "reused": a kept connection turned out dead before any byte of the
     * answer, and the others that were kept are closed: the server is as well as it was),
     * ERR_TIMEOUT (field names the timer: "connect", "headers", "total"), ERR_TOO_BIG, ERR_SERVER (not HTTP). The
     * message names the host, never a credential or a query. */
    void (*on_error)(void *user, const struct error *error);
    /* The body of the request is not read again: it may go. Once at most, even from within
     * http_call_start, and never when the call ends before that. May be NULL. */
    void (*on_sent)(void *user);
};

/* Starts a call (contract: a start that fails calls nothing; one that succeeds calls nothing before
 * it returns). A kept connection that turns out dead before any byte of the answer is replaced by a
 * new one once, by itself, unless never_replays. Redirects are not followed: a 3xx is an answer like any other. */
MUST_USE enum err http_call_start(struct http_client *client,
                                  const struct http_call_request *request,
                                  const struct http_call_events *events, void *user,
                                  struct http_call **ret_call, struct error *error);
/* The body of the request has moved to `body`, for what is still to be read of it. */
void http_call_move_body(struct http_call *call, const char *body);
/* Ends it now; nothing is heard after it returns. The connection is closed (that is how a provider
 * learns of it) unless the answer was complete. From inside a callback too. */
void http_call_cancel(struct http_call *call);
/* Gives up a call whose owner has heard enough: as a cancel, but what is left of the answer is read
 * for `limit_ms` at most, so that the connection can be used again. The body of the request is not
 * borrowed any longer. From inside a callback too. */
void http_call_drain(struct http_call *call, uint64_t limit_ms);
/* Back-pressure: stops and restarts on_body, and what comes after it. Headers still come. */
void http_call_pause(struct http_call *call);
void http_call_resume(struct http_call *call);
const struct http_call_timing *http_call_timing(const struct http_call *call);
