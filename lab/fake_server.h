/* The fake provider as a server on one loop: connections, requests, and the playing of scripts. */
#pragma once

#include <stdbool.h>

#include "net/loop.h"
#include "net/tls.h"

struct fake_server;

struct fake_server_options {
    struct tls_context *tls; /* borrowed; NULL: plain */
    struct str key;          /* who comes with another gets 401; empty: anyone (borrowed) */
    bool quiet;              /* nothing is logged (for load) */
};

struct fake_server *fake_server_new(struct loop *loop, const struct fake_server_options *options);
/* Takes over an accepted socket. A listener_accept_fn. */
void fake_server_accept(void *user, int fd);
/* Resets every connection. */
void fake_server_free(struct fake_server *server);
