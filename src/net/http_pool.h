/* Pool of kept-alive connections, by origin: scheme, host and port, or the path of a Unix socket.
 * The proxy is not part of the key because it follows from the origin within one client. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "net/http_proxy.h"
#include "net/stream.h"

struct http_pool;

/* One server as the client sees it. Referenced by its connections, the calls to it and the client's
 * known targets, and kept while there are any. */
struct http_origin {
    struct http_pool *pool;
    struct list idle; /* struct http_upstream, the latest first */
    size_t idle_count;
    size_t references;
    bool tls;
    uint16_t port;
    struct str host;      /* lower case, without brackets; empty for a Unix socket */
    struct str unix_path; /* or empty */
    struct str authority; /* what the Host header says: "host", "host:port", "[v6]:port" */
    const struct http_proxy *proxy; /* or NULL; set with `proxy_known` by the client */
    bool proxy_known;
};

/* An upstream connection: one to an origin, held by a call or idle in the pool. */
struct http_upstream {
    struct list by_origin;
    struct list by_age;
    struct http_origin *origin;
    struct stream *stream; /* NULL once it has ended by itself */
    uint64_t idle_since_ms;
};

/* At most `idle_max` idle connections per origin, each for at most `idle_timeout_ms`. */
struct http_pool *http_pool_new(struct loop *loop, size_t idle_max, uint64_t idle_timeout_ms);
/* Closes what is idle. No call may be under way. */
void http_pool_free(struct http_pool *pool);
size_t http_pool_idle_count(const struct http_pool *pool);

/* The origin of that name, made when absent; give it back with http_origin_unref. `host` and
 * `unix_path` are copied; host is at most 255 bytes, a path 107. */
struct http_origin *http_pool_origin(struct http_pool *pool, bool tls, struct str host,
                                     bool host_is_ipv6, uint16_t port, struct str unix_path);
struct http_origin *http_origin_ref(struct http_origin *origin);
void http_origin_unref(struct http_origin *origin);

/* The connection that became idle last, or NULL. The caller sets the stream's events. */
struct http_upstream *http_pool_take(struct http_origin *origin);
/* Closes what is idle: the server has closed it too. */
void http_pool_drop_idle(struct http_origin *origin);
/* A connection around a new stream (taken over). */
struct http_upstream *http_upstream_new(struct http_origin *origin, struct stream *stream);
/* Makes it idle: from now on the pool hears its stream, and drops it when the peer ends it or says
 * anything unasked. */
void http_upstream_keep(struct http_upstream *upstream);
/* Ends it: politely (a FIN, close_notify) or, when something was cut off, by a reset. */
void http_upstream_close(struct http_upstream *upstream, bool politely);
