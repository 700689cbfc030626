/* Connector: from an origin to an open stream: the name, the race over its addresses (RFC 8305),
 * the tunnel through a proxy, TLS; all under one deadline. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "net/http_proxy.h"
#include "net/resolver.h"
#include "net/stream.h"

struct connector;

/* Where to; borrowed until the end. */
struct connector_target {
    struct str host; /* without brackets for IPv6; NUL-terminated; names the target in errors */
    uint16_t port;
    struct str unix_path;           /* not empty: this socket instead; nothing else applies */
    const struct http_proxy *proxy; /* NULL: straight to the target */
    bool tunnel;                    /* ask the proxy to CONNECT to the target */
    struct tls_context *tls;        /* NULL: plain. Else verified against `host` */
};

/* Exactly one of them, then the connector is gone. */
struct connector_events {
    /* Takes the stream over and sets its events before it returns. */
    void (*on_connected)(void *user, struct stream *stream);
    /* ERR_NETWORK or ERR_TIMEOUT; the message names the host and the phase. */
    void (*on_failed)(void *user, const struct error *error);
};

/* The delay before the next address is tried beside the ones under way. */
enum { CONNECTOR_STAGGER_MS = 250 };

/* Starts. `timeout_ms`: for all of it; 0: none. `events` is borrowed until the end. */
struct connector *connector_start(struct loop *loop, struct resolver *resolver,
                                  const struct connector_target *target, uint64_t timeout_ms,
                                  const struct connector_events *events, void *user);
/* Ends it now; nothing is heard after it returns. */
void connector_cancel(struct connector *connector);
