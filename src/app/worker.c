/* Worker: one loop with everything that belongs to it.
 *
 * Ending:  worker_stop -> listeners closed, batches stopping, then chat draining, HTTP draining
 *             -> on_chat_drained: the server is told, which waits for the other workers
 *          worker_end -> say_goodbye: sockets are told to come back
 *             -> on_sockets_closed and on_http_drained: the ledger gives its rows to the store
 *             -> on_ledger_flushed, or the limit: everything is freed, the loop ends
 */
#include "app/worker.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "route/governor.h"

enum { LAST_WORDS_MS = 2000, ACCEPTORS_MAX = 3 };

/* One listening address and the server behind it. */
struct acceptor {
    struct worker *worker;
    struct listener *listener;
    struct http_server *server;
    bool uses_tls;
};

struct worker {
    struct worker_options options;
    struct loop *loop;
    struct http_client *client;
    struct ledger *ledger;
    struct governor *governor; /* NULL: nobody is governed */
    struct router *router;
    struct journal *journal;
    struct chat *chat;
    struct api *api;
    struct batch_queue *batches; /* of the first worker only */
    struct tls_context *tls;
    struct acceptor acceptors[ACCEPTORS_MAX];
    int acceptor_count;
    pthread_t thread;
    bool has_thread;
    struct loop_task stop_task;
    struct loop_task end_task;
    struct loop_task tls_task;
    struct tls_context *next_tls;
    pthread_mutex_t lock; /* guards next_tls */
    uint64_t limit_ms;
    struct worker_ending ending;
    struct loop_timer last_timer;
    int draining_servers;
    bool sockets_closed;
    bool flushing;
    bool ended;
};

static struct str setting(const struct worker *worker, const char *name)
{
    return config_get(worker->options.config, name);
}

/* A text setting as a C string of the worker's, or NULL when it is empty. */
static const char *setting_cstr(struct arena *arena, const struct worker *worker, const char *name)
{
    struct str text = setting(worker, name);
    return text.len ? arena_cstr(arena, text) : NULL;
}

static void make_client(struct worker *worker)
{
    struct arena *arena = arena_new(SIZE_MAX);
    struct http_client_options options = {
        .https_proxy = setting(worker, "proxy.https"),
        .http_proxy = setting(worker, "proxy.http"),
        .no_proxy = setting(worker, "proxy.no"),
        .ca_path = setting_cstr(arena, worker, "tls.ca"),
    };
    worker->client = http_client_new(worker->loop, &options);
    arena_free(arena);
}

static enum err open_journal(struct worker *worker, struct error *error)
{
    const struct worker_options *options = &worker->options;
    struct arena *arena = arena_new(SIZE_MAX);
    struct journal_options journal = {
        .directory = arena_cstr(arena, setting(worker, "data.directory")),
        .sync_interval_ms = (uint64_t)config_get_int(options->config, "data.journal_sync_ms"),
    };
    enum err code = journal_open(worker->loop, &journal, &worker->journal, error);
    arena_free(arena);
    return code;
}

static void make_router(struct worker *worker)
{
    const struct worker_options *options = &worker->options;
    bool is_journaled = config_get_bool(options->config, "data.journal_ledger");
    worker->ledger =
        ledger_new(&(struct ledger_options){.loop = worker->loop,
                                            .store = options->store,
                                            .journal = is_journaled ? worker->journal : NULL,
                                            .log = options->log,
                                            .metrics = options->metrics});
    if (config_get_bool(options->config, "server.governed"))
        worker->governor = governor_new(&(struct governor_options){.loop = worker->loop,
                                                                   .account = options->account,
                                                                   .limiter = options->limiter,
                                                                   .ledger = worker->ledger,
                                                                   .log = options->log});
    worker->router = router_new(&(struct router_options){.loop = worker->loop,
                                                         .client = worker->client,
                                                         .registry = options->registry,
                                                         .coalescer = options->coalescer,
                                                         .cache = options->cache,
                                                         .governor = worker->governor,
                                                         .metrics = options->metrics,
                                                         .log = options->log});
}

static void make_chat(struct worker *worker)
{
    const struct worker_options *options = &worker->options;
    worker->chat = chat_new(&(struct chat_options){
        .loop = worker->loop,
        .account = options->account,
        .router = worker->router,
        .registry = options->registry,
        .store = options->store,
        .journal = worker->journal,
        .hub = options->hub,
        .log = options->log,
        .metrics = options->metrics,
    });
}

/* Of one worker: lines of batches are few, and their order is of the whole program. */
static void make_batches(struct worker *worker)
{
    const struct worker_options *options = &worker->options;
    if (!options->runs_batches)
        return;
    worker->batches = batch_queue_new(&(struct batch_options){
        .loop = worker->loop,
        .router = worker->router,
        .account = options->account,
        .store = options->store,
        .files = options->files,
        .bell = options->batch_bell,
        .log = options->log,
        .concurrency = (int)config_get_int(options->config, "batches.concurrency"),
        .retry_ms = (uint64_t)config_get_int(options->config, "batches.retry_ms"),
        .registry = options->registry,
        .governor = worker->governor,
        .poll_ms = (uint64_t)config_get_int(options->config, "batches.poll_seconds") * 1000,
    });
}

enum err worker_new(const struct worker_options *options, struct worker **ret_worker,
                    struct error *error)
{
    struct worker *worker = calloc(1, sizeof *worker);
    ASSERT(worker);
    worker->options = *options;
    pthread_mutex_init(&worker->lock, NULL);
    worker->loop = loop_new(options->index, options->log);
    make_client(worker);
    enum err code = open_journal(worker, error);
    if (code != ERR_OK) {
        worker_free(worker);
        return code;
    }
    make_router(worker);
    make_chat(worker);
    make_batches(worker);
    worker->api = api_new(&(struct api_options){
        .loop = worker->loop,
        .store = options->store,
        .account = options->account,
        .limiter = options->limiter,
        .registry = options->registry,
        .router = worker->router,
        .chat = worker->chat,
        .memo = options->memo,
        .count_memo = options->count_memo,
        .count_seconds = (uint64_t)config_get_int(options->config, "cache.counts_seconds"),
        .hub = options->hub,
        .files = options->files,
        .batch_bell = options->batch_bell,
        .batch_window_ms =
            (uint64_t)config_get_int(options->config, "batches.window_seconds") * 1000,
        .metrics = options->metrics,
        .log = options->log,
        .host = options->host,
        .allowed_origins = setting(worker, "server.allowed_origins"),
        .keys_in_path = config_get_bool(options->config, "server.keys_in_path"),
        .address_keys = setting(worker, "server.address_keys"),
        .body_bytes_max =
            (uint64_t)config_get_int(options->config, "server.body_mib_max") * 1024 * 1024,
    });
    *ret_worker = worker;
    return ERR_OK;
}

/* Also those of a start that failed: an open one would keep loop_free waiting for ever. */
static void close_listeners(struct worker *worker)
{
    for (int i = 0; i < worker->acceptor_count; i++) {
        listener_close(worker->acceptors[i].listener);
        worker->acceptors[i].listener = NULL;
    }
}

/* What was made, in the reverse order; on_last has done so already for a worker that ran. */
void worker_let_go(struct worker *worker)
{
    close_listeners(worker);
    for (int i = 0; i < worker->acceptor_count; i++)
        if (worker->acceptors[i].server)
            http_server_free(worker->acceptors[i].server);
    worker->acceptor_count = 0;
    if (worker->api)
        api_abort_sockets(worker->api);
    batch_queue_free(worker->batches);
    chat_free(worker->chat);
    router_free(worker->router);
    governor_free(worker->governor);
    ledger_free(worker->ledger);
    if (worker->journal)
        journal_close(worker->journal);
    if (worker->client)
        http_client_free(worker->client);
    worker->batches = NULL;
    worker->chat = NULL;
    worker->journal = NULL;
    worker->router = NULL;
    worker->governor = NULL;
    worker->ledger = NULL;
    worker->client = NULL;
}

void worker_free(struct worker *worker)
{
    if (!worker)
        return;
    worker_let_go(worker);
    loop_free(worker->loop);
    api_free(worker->api); /* requests that were answered late ask it */
    tls_context_unref(worker->tls);
    tls_context_unref(worker->next_tls);
    pthread_mutex_destroy(&worker->lock);
    free(worker);
}

struct loop *worker_loop(struct worker *worker)
{
    return worker->loop;
}

struct http_client *worker_client(struct worker *worker)
{
    return worker->client;
}

/* ---- Listening ------------------------------------------------------------------------------- */

static void on_accept(void *user, int fd)
{
    struct acceptor *acceptor = user;
    http_server_accept(acceptor->server, fd, acceptor->uses_tls ? acceptor->worker->tls : NULL);
}

static struct acceptor *acceptor_new(struct worker *worker, bool is_local)
{
    ASSERT(worker->acceptor_count < ACCEPTORS_MAX);
    struct acceptor *acceptor = &worker->acceptors[worker->acceptor_count++];
    struct arena *arena = arena_new(SIZE_MAX);
    const struct config *config = worker->options.config;
    struct http_server_handler handler = api_handler(worker->api, is_local);
    struct http_server_options options = {
        .header_timeout_ms = (uint64_t)config_get_int(config, "server.header_timeout_ms"),
        .idle_timeout_ms = (uint64_t)config_get_int(config, "server.idle_timeout_ms"),
        .spill_directory = setting_cstr(arena, worker, "data.directory"),
    };
    acceptor->worker = worker;
    acceptor->server = http_server_new(worker->loop, &options, &handler);
    arena_free(arena);
    return acceptor;
}

enum err worker_listen_tcp(struct worker *worker, const char *host, uint16_t port,
                           struct tls_context *tls, struct error *error)
{
    struct acceptor *acceptor = acceptor_new(worker, false);
    acceptor->uses_tls = tls != NULL;
    if (tls)
        worker->tls = tls_context_ref(tls);
    return listener_new_tcp(worker->loop, host, port, on_accept, acceptor, &acceptor->listener,
                            error);
}

enum err worker_listen_unix(struct worker *worker, const char *path, bool is_local,
                            struct error *error)
{
    struct acceptor *acceptor = acceptor_new(worker, is_local);
    return listener_new_unix(worker->loop, path, is_local ? 0600 : 0660, on_accept, acceptor,
                             &acceptor->listener, error);
}

static void swap_tls(void *user)
{
    struct worker *worker = user;
    pthread_mutex_lock(&worker->lock);
    struct tls_context *next = worker->next_tls;
    worker->next_tls = NULL;
    pthread_mutex_unlock(&worker->lock);
    if (!next)
        return;
    tls_context_unref(worker->tls);
    worker->tls = next;
}

void worker_set_tls(struct worker *worker, struct tls_context *tls)
{
    pthread_mutex_lock(&worker->lock);
    tls_context_unref(worker->next_tls);
    worker->next_tls = tls_context_ref(tls);
    pthread_mutex_unlock(&worker->lock);
    loop_post(worker->loop, &worker->tls_task, swap_tls, worker);
}

/* ---- Running --------------------------------------------------------------------------------- */

static void *thread_main(void *user)
{
    worker_run(user);
    return NULL;
}

void worker_run(struct worker *worker)
{
    loop_run(worker->loop);
}

enum err worker_start(struct worker *worker, struct error *error)
{
    if (pthread_create(&worker->thread, NULL, thread_main, worker) != 0)
        return error_set(error, ERR_INTERNAL, NULL, "a thread cannot be started");
    worker->has_thread = true;
    return ERR_OK;
}

void worker_join(struct worker *worker)
{
    if (worker->has_thread)
        pthread_join(worker->thread, NULL);
    worker->has_thread = false;
}

/* ---- Ending
 * --------------------------------------------------------------------------------------------------
 */

static void on_last(void *user)
{
    struct worker *worker = user;
    if (worker->ended)
        return;
    worker->ended = true;
    loop_timer_cancel(worker->loop, &worker->last_timer);
    if (worker->ending.on_stopped)
        worker->ending.on_stopped(worker->ending.user);
    worker_let_go(worker);
    loop_stop(worker->loop);
}

/* A turn later: who tells us is still at work. */
static void on_ledger_flushed(void *user)
{
    struct worker *worker = user;
    loop_timer_set(worker->loop, &worker->last_timer, 0, on_last, worker);
}

/* While other workers hear answers from here, the limit ends it. */
static void end_if_drained(struct worker *worker)
{
    if (!worker->sockets_closed || worker->draining_servers || worker->flushing ||
        router_is_sharing(worker->router))
        return;
    worker->flushing = true;
    ledger_flush(worker->ledger, on_ledger_flushed, worker);
}

static void on_http_drained(void *user)
{
    struct worker *worker = user;
    worker->draining_servers--;
    end_if_drained(worker);
}

static void on_sockets_closed(void *user)
{
    struct worker *worker = user;
    worker->sockets_closed = true;
    end_if_drained(worker);
}

/* All answers of all workers are saved, and what their listeners here wait for is on its way.
 * Sockets and plain requests get a moment for their last bytes. */
static void say_goodbye(void *user)
{
    struct worker *worker = user;
    loop_timer_set(worker->loop, &worker->last_timer, LAST_WORDS_MS, on_last, worker);
    api_close_sockets(worker->api, on_sockets_closed, worker);
}

void worker_end(struct worker *worker)
{
    loop_post(worker->loop, &worker->end_task, say_goodbye, worker);
}

static void on_chat_drained(void *user)
{
    struct worker *worker = user;
    worker->ending.on_drained(worker->ending.user);
}

/* Batches go first: what is left of the time is for people. */
static void on_batches_stopped(void *user)
{
    struct worker *worker = user;
    chat_drain(worker->chat, worker->limit_ms, on_chat_drained, worker);
}

static void begin_stop(void *user)
{
    struct worker *worker = user;
    close_listeners(worker);
    for (int i = 0; i < worker->acceptor_count; i++) {
        worker->draining_servers++;
        http_server_drain(worker->acceptors[i].server, on_http_drained, worker);
    }
    if (worker->batches)
        batch_queue_stop(worker->batches, on_batches_stopped, worker);
    else
        on_batches_stopped(worker);
}

void worker_stop(struct worker *worker, uint64_t limit_ms, const struct worker_ending *ending)
{
    worker->limit_ms = limit_ms;
    worker->ending = *ending;
    loop_post(worker->loop, &worker->stop_task, begin_stop, worker);
}
