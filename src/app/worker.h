/* Worker: one loop with everything that belongs to it, on one thread. */
#pragma once

#include <pthread.h>

#include "api/api.h"
#include "net/listener.h"

struct worker;

/* What all workers share. Borrowed for their life. */
struct worker_options {
    int index;
    struct log *log;
    const struct config *config; /* read while starting only */
    struct store *store;
    struct account *account;
    struct limiter *limiter;
    struct registry *registry;
    struct coalescer *coalescer;
    struct cache *cache;
    struct memo *memo;       /* NULL: no vectors are kept */
    struct memo *count_memo; /* NULL: no counts are */
    struct hub *hub;
    struct files *files;
    struct batch_bell *batch_bell;
    bool runs_batches; /* one of them does */
    struct metric_registry *metrics;
    const struct api_host *host;
};

/* Makes the loop and all that runs on it; nothing listens yet. Blocks; on the starting thread. */
MUST_USE enum err worker_new(const struct worker_options *options, struct worker **ret_worker,
                             struct error *error);
/* Frees all but its loop and what late answers ask. Done already for one that ran to its end. */
void worker_let_go(struct worker *worker);
/* After its thread has ended (or never ran). */
void worker_free(struct worker *worker);

struct loop *worker_loop(struct worker *worker);
struct http_client *worker_client(struct worker *worker);

/* Before the thread starts. `tls` (may be NULL) is referenced. */
MUST_USE enum err worker_listen_tcp(struct worker *worker, const char *host, uint16_t port,
                                    struct tls_context *tls, struct error *error);
/* `is_local`: its callers are administrators (mode 0600); else ordinary ones (0660). */
MUST_USE enum err worker_listen_unix(struct worker *worker, const char *path, bool is_local,
                                     struct error *error);
/* Replaces the certificate for new connections. Any thread. */
void worker_set_tls(struct worker *worker, struct tls_context *tls);

/* Runs the loop on a thread of its own until it has drained. */
MUST_USE enum err worker_start(struct worker *worker, struct error *error);
/* Runs it on the calling thread. */
void worker_run(struct worker *worker);
void worker_join(struct worker *worker);

/* What is heard of a worker's end, on its loop. */
struct worker_ending {
    void (*on_drained)(void *user); /* all its answers are saved */
    void (*on_stopped)(void *user); /* everything is closed, the loop ends; may be NULL */
    void *user;
};
/* Begins the end: no new connections; answers may go on for limit_ms. Any thread. */
void worker_stop(struct worker *worker, uint64_t limit_ms, const struct worker_ending *ending);
/* Ends it, once all workers have drained (their answers have listeners here): sockets are told to
 * come back, everything is closed, the loop ends. Any thread. */
void worker_end(struct worker *worker);
