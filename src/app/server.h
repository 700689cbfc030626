/* Server: the whole program while it serves: what is shared, the workers, starting and ending. */
#pragma once

#include "app/host.h"

struct server;

enum server_mode {
    SERVER_FULL, /* listens where the configuration says, and on the local socket */
    SERVER_LOCAL /* one worker and the local socket only: for sub-commands while no server runs */
};

/* Opens the data, recovers, makes the workers, listens. Takes `config` over (also on failure).
 * Messages are for a person. Blocks. */
MUST_USE enum err server_new(struct config *config, enum server_mode mode,
                             struct server **ret_server, struct error *error);
void server_free(struct server *server);

/* Runs on the calling thread (which is the first worker's) until server_stop has done its work. */
void server_run(struct server *server);
/* Begins the end. Any thread. */
void server_stop(struct server *server);

/* "http://127.0.0.1:8080", for people. */
const char *server_url(const struct server *server);
/* The set-up address with its token, or NULL when there is an account already. */
const char *server_setup_url(struct server *server);
struct registry *server_registry(struct server *server);
struct worker *server_first_worker(struct server *server);
struct log *server_log(struct server *server);
/* DATA_DIR/parley.sock of a configuration, in `ret`. */
void server_socket_path(const struct config *config, char *ret, size_t size);
