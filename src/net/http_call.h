/* Internal to the HTTP client: what http_client.c (who to talk to) and http_call.c (one call)
 * share.
 */
#pragma once

#include "base/buf.h"
#include "net/http_call_request.h"
#include "net/http_client.h"
#include "net/http_pool.h"
#include "net/resolver.h"

/* A URL that was called, and what it says: most calls go to a few, over and over. */
struct known_target {
    struct str url; /* STR_NONE: none yet; its memory */
    struct http_call_target target;
    struct http_origin *origin;
};
enum { HTTP_KNOWN_TARGETS = 32 };

struct http_client {
    struct loop *loop;
    struct resolver *resolver;
    struct http_pool *pool;
    struct http_proxy_rules *proxies;
    struct tls_context *tls; /* made at the first https call */
    char *ca_path;           /* or NULL */
    struct buf head;         /* scratch: the head being written */
    size_t call_count;
    struct list gathered; /* struct http_call: their requests leave at the end of this turn */
    size_t gathered_bytes;
    struct loop_task gathered_task;
    struct known_target known[HTTP_KNOWN_TARGETS]; /* each where its URL's hash says */
    struct list draining;                          /* struct http_call: nobody's any more */
};

/* Makes a call and begins it. The origin's reference becomes the call's; the rest as in
 * http_call_start. */
struct http_call *http_call_new(struct http_client *client, struct http_origin *origin,
                                const struct http_call_request *request,
                                const struct http_call_target *target,
                                const struct http_call_events *events, void *user);
/* Cancels what drains. */
void http_call_end_draining(struct http_client *client);
