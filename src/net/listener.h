/* Listener: a bound address whose accepted sockets become streams on one loop. */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "net/loop.h"
#include "net/tls.h"

struct listener;

/* One accepted connection: `fd` becomes the callee's. */
typedef void listener_accept_fn(void *user, int fd);

/* Checks with a plain bind (no SO_REUSEPORT) that the address is free, so that two programs of one
 * user cannot share a port in silence. ERR_CONFLICT when it is taken; the message says by what to
 * change. Port 0 picks a free one, given back in *ret_port. */
MUST_USE enum err listener_probe(const char *host, uint16_t port, uint16_t *ret_port,
                                 struct error *error);
/* Binds host:port with SO_REUSEPORT (one such listener per loop) and accepts with TCP_NODELAY. */
MUST_USE enum err listener_new_tcp(struct loop *loop, const char *host, uint16_t port,
                                   listener_accept_fn *on_accept, void *user,
                                   struct listener **ret_listener, struct error *error);
/* Binds a Unix socket at `path` with `mode` (0600), replacing a dead socket file, never anything
 * else. The file is removed by listener_close. */
MUST_USE enum err listener_new_unix(struct loop *loop, const char *path, int mode,
                                    listener_accept_fn *on_accept, void *user,
                                    struct listener **ret_listener, struct error *error);
/* Stops accepting; what is queued in the kernel is handed up before it returns (closing the socket
 * would reset it), then nothing more. The listener is dead, and freed by itself. From inside
 * on_accept too. NULL is allowed. */
void listener_close(struct listener *listener);
