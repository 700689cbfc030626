/* One client connection of the load generator: raw bytes out, HTTP read by raw_http. */
#pragma once

#include <netinet/in.h>

#include "net/stream.h"
#include "raw_http.h"

struct load_target {
    struct sockaddr_in address;
    struct tls_context *tls; /* NULL: plain */
    const char *server_name; /* for TLS */
};

struct load_client_events {
    void (*on_body)(void *user, struct str data); /* a piece of the answer's body */
    /* The answer is complete; the client may be sent on again. */
    void (*on_response)(void *user, int status);
    /* It failed: refused, broken off, not HTTP. The client is closed and may be sent on again. */
    void (*on_failure)(void *user, const char *detail);
    /* Bytes behind a 101 answer (then on_response came with 101). */
    void (*on_raw)(void *user, struct str data);
};

struct load_client {
    struct loop *loop;
    const struct load_target *target;
    const struct load_client_events *events;
    void *user;
    struct stream *stream; /* NULL: not connected */
    struct raw_http http;
    bool busy;     /* an answer is due */
    bool upgraded; /* raw from here on */
};

/* `target` and `events` are borrowed. Release with load_client_done. */
void load_client_init(struct load_client *client, struct loop *loop,
                      const struct load_target *target, const struct load_client_events *events,
                      void *user);
void load_client_done(struct load_client *client);
/* Sends a whole request, connecting first when it must. Not while an answer is due. */
void load_client_send(struct load_client *client, struct str request);
/* Sends bytes after an upgrade. */
void load_client_send_raw(struct load_client *client, struct str bytes);
