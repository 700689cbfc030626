/* Server: wiring only.
 *
 * Order of starting: log, data, stored settings, recovery (the ledger's rows, then answers),
 * accounts, limits and what of them is used, providers, workers, listeners, ready. The end goes the
 * other way round; each worker drains by itself. */
#include "app/server.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/providers.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "chat/stored_sweep.h"
#include "route/cache.h"
#include "route/coalesce.h"
#include "route/ledger.h"
#include "route/ledger_restore.h"
#include "route/memo.h"
#include "route/quotas.h"

enum { WORKERS_MAX = 64, REFRESH_MS = 5 * 60 * 1000, SIGNALS = 3, FILE_MIB_MAX = 512 };

struct server {
    enum server_mode mode;
    struct log *log;
    struct metric_registry *metrics;
    struct store *store;
    struct account *account;
    struct cells *cells;         /* of all workers, over all configurations */
    struct coalescer *coalescer; /* of all workers */
    struct limiter *limiter;     /* likewise */
    struct cache *cache;         /* likewise; NULL: nothing is kept */
    struct memo *memo;           /* likewise; NULL: no vectors are kept */
    struct memo *count_memo;     /* likewise, of counts */
    struct registry *registry;
    struct hub *hub;
    struct files *files;
    struct batch_bell *batch_bell;
    struct host *host;
    const struct config *config; /* the host's first: acquired for the server's life */
    struct tls_context *tls;
    struct worker *workers[WORKERS_MAX];
    int worker_count;
    char url[400];
    char setup_url[500];
    struct loop_timer refresh_timer;
    struct stored_sweep sweep;
    uv_signal_t signals[SIGNALS];
    bool stopping;
    _Atomic int draining; /* workers whose answers are not all saved yet */
};

static struct str setting(const struct server *server, const char *name)
{
    return config_get(server->config, name);
}

void server_socket_path(const struct config *config, char *ret, size_t size)
{
    snprintf(ret, size, "%.*s/parley.sock", STR_ARG(config_get(config, "data.directory")));
}

/* ---- Starting -------------------------------------------------------------------------------- */

static struct log *make_log(const struct config *config, enum server_mode mode)
{
    static const char *const levels[] = {"debug", "info", "warning", "error"};
    struct str wished = config_get(config, "log.level");
    int level = LOG_INFO;
    for (int i = 0; i < 4; i++)
        if (str_eq(wished, str_from_cstr(levels[i])))
            level = i;
    if (mode != SERVER_FULL && level < LOG_WARNING)
        level = LOG_WARNING;
    bool json = str_eq(config_get(config, "log.format"), STR("json"));
    return log_new(STDERR_FILENO, (enum log_level)level, json ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT);
}

static enum err check_database_url(const struct config *config, struct error *error)
{
    struct str url = config_get(config, "database.url");
    if (url.len == 0 || str_starts_with(url, STR("sqlite:")))
        return ERR_OK;
    error_set(error, ERR_UNSUPPORTED, "database.url",
              "only SQLite is supported so far, not the database that DATABASE_URL names");
    error_remedy(error, "Unset DATABASE_URL; conversations are then kept in data.directory.");
    return ERR_UNSUPPORTED;
}

static enum err open_files(struct server *server, const struct config *config,
                           const char *directory, struct error *error)
{
    static const uint64_t mib = 1024 * 1024;
    uint64_t body_mib = (uint64_t)config_get_int(config, "server.body_mib_max");
    const struct files_options options = {
        .store = server->store,
        .directory = directory,
        .log = server->log,
        .file_bytes_max = (body_mib > FILE_MIB_MAX ? FILE_MIB_MAX : body_mib) * mib,
        .total_bytes_max = (uint64_t)config_get_int(config, "files.mib_max") * mib,
        .owner_bytes_max = (uint64_t)config_get_int(config, "files.person_mib_max") * mib,
    };
    return files_open(&options, &server->files, error);
}

static enum err open_data(struct server *server, struct config *config, struct error *error)
{
    char directory[4096];
    str_copy(config_get(config, "data.directory"), directory, sizeof directory);
    enum err code = store_open(&(struct store_options){.directory = directory,
                                                       .log = server->log,
                                                       .metrics = server->metrics},
                               &server->store, error);
    if (code == ERR_OK)
        code = host_load_stored(config, server->store, server->log, error);
    if (code == ERR_OK)
        code = ledger_recover(server->store, directory, server->log, error);
    if (code == ERR_OK)
        code = chat_recover(server->store, directory, server->log, error);
    if (code == ERR_OK)
        code = open_files(server, config, directory, error);
    if (code == ERR_OK)
        code = account_open(&(struct account_options){.store = server->store, .log = server->log},
                            &server->account, error);
    server->limiter = limiter_new();
    if (code == ERR_OK)
        code = quotas_load(server->limiter, server->store, error);
    if (code == ERR_OK)
        code = ledger_restore(server->store, server->limiter, clock_wall_ms(), error);
    return code;
}

static enum err make_workers(struct server *server, int count, struct error *error)
{
    struct worker_options options = {
        .log = server->log,
        .config = server->config,
        .store = server->store,
        .account = server->account,
        .registry = server->registry,
        .coalescer = server->coalescer,
        .limiter = server->limiter,
        .cache = server->cache,
        .memo = server->memo,
        .count_memo = server->count_memo,
        .hub = server->hub,
        .files = server->files,
        .batch_bell = server->batch_bell,
        .metrics = server->metrics,
        .host = host_api(server->host),
    };
    for (int i = 0; i < count; i++) {
        options.index = i;
        options.runs_batches = i == 0 && server->mode == SERVER_FULL;
        enum err code = worker_new(&options, &server->workers[i], error);
        if (code != ERR_OK)
            return code;
        server->worker_count++;
    }
    host_set_worker(server->host, server->workers[0]);
    return ERR_OK;
}

static int worker_count(const struct server *server)
{
    int64_t wished = config_get_int(server->config, "server.loops");
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    if (server->mode != SERVER_FULL)
        return 1;
    if (wished == 0)
        wished = processors > 0 ? processors : 1;
    return wished > WORKERS_MAX ? WORKERS_MAX : (int)wished;
}

static enum err load_tls(struct server *server, struct tls_context **ret_tls, struct error *error)
{
    char certificate[4096], key[4096];
    struct str certificate_text = setting(server, "tls.cert");
    struct str key_text = setting(server, "tls.key");
    if (!certificate_text.len && !key_text.len)
        return ERR_OK;
    if (!certificate_text.len || !key_text.len)
        return error_set(error, ERR_INVALID, certificate_text.len ? "tls.key" : "tls.cert",
                         "tls.cert and tls.key are needed together");
    str_copy(certificate_text, certificate, sizeof certificate);
    str_copy(key_text, key, sizeof key);
    return tls_context_new_server(certificate, key, ret_tls, error);
}

static enum err listen_tcp(struct server *server, struct error *error)
{
    char host[256];
    uint16_t port = (uint16_t)config_get_int(server->config, "server.port");
    str_copy(setting(server, "server.host"), host, sizeof host);
    enum err code = listener_probe(host, port, &port, error);
    for (int i = 0; i < server->worker_count && code == ERR_OK; i++)
        code = worker_listen_tcp(server->workers[i], host, port, server->tls, error);
    bool any = strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
    bool ipv6 = strchr(host, ':') && !any;
    snprintf(server->url, sizeof server->url, "%s://%s%s%s:%u", server->tls ? "https" : "http",
             ipv6 ? "[" : "", any ? "127.0.0.1" : host, ipv6 ? "]" : "", port);
    return code;
}

static enum err listen_all(struct server *server, struct error *error)
{
    char path[4200];
    server_socket_path(server->config, path, sizeof path);
    enum err code = worker_listen_unix(server->workers[0], path, true, error);
    if (server->mode != SERVER_FULL || code != ERR_OK)
        return code;
    code = load_tls(server, &server->tls, error);
    if (code == ERR_OK)
        code = listen_tcp(server, error);
    struct str extra = setting(server, "server.unix_socket");
    if (code == ERR_OK && extra.len) {
        str_copy(extra, path, sizeof path);
        code = worker_listen_unix(server->workers[0], path, false, error);
    }
    return code;
}

/* NULL: the setting says that nothing is kept. */
static struct memo *make_memo(const struct server *server, const char *setting)
{
    size_t mib = (size_t)config_get_int(server->config, setting);
    return mib ? memo_new(mib * 1024 * 1024) : NULL;
}

static enum err start(struct server *server, struct config *config, struct error *error)
{
    enum err code = check_database_url(config, error);
    if (code == ERR_OK)
        code = open_data(server, config, error);
    if (code != ERR_OK) {
        config_free(config);
        return code;
    }
    server->cells = cells_new();
    server->coalescer = coalescer_new(server->metrics);
    server->registry = registry_new(server->log, server->cells);
    server->hub = hub_new();
    server->batch_bell = batch_bell_new();
    server->host = host_new(config, server->store, server->registry, server->log);
    server->config = host_api(server->host)->config_acquire(server->host);
    providers_configure(server->registry, server->config, server->log);
    size_t cache_mib = (size_t)config_get_int(server->config, "cache.mib_max");
    if (cache_mib)
        server->cache = cache_new(cache_mib * 1024 * 1024, server->metrics);
    server->memo = make_memo(server, "cache.embeddings_mib_max");
    server->count_memo = make_memo(server, "cache.counts_mib_max");
    code = make_workers(server, worker_count(server), error);
    return code == ERR_OK ? listen_all(server, error) : code;
}

enum err server_new(struct config *config, enum server_mode mode, struct server **ret_server,
                    struct error *error)
{
    struct server *server = calloc(1, sizeof *server);
    ASSERT(server);
    signal(SIGPIPE, SIG_IGN);
    crypto_init();
    server->mode = mode;
    server->log = make_log(config, mode);
    server->metrics = metric_registry_new();
    enum err code = start(server, config, error);
    if (code == ERR_OK)
        *ret_server = server;
    else
        server_free(server);
    return code;
}

void server_free(struct server *server)
{
    if (!server)
        return;
    for (int i = 0; i < server->worker_count; i++)
        worker_let_go(server->workers[i]);
    if (server->store)
        store_stop(server->store); /* no job is answered on a loop that is gone */
    for (int i = 0; i < server->worker_count; i++)
        worker_free(server->workers[i]);
    coalescer_free(server->coalescer);
    cache_free(server->cache);
    memo_free(server->memo);
    memo_free(server->count_memo);
    registry_free(server->registry);
    if (server->cells)
        cells_free(server->cells);
    hub_free(server->hub);
    batch_bell_free(server->batch_bell);
    if (server->account)
        account_close(server->account);
    files_close(server->files);
    if (server->store)
        store_close(server->store);
    limiter_free(server->limiter); /* the store sets what it has committed */
    if (server->host)
        host_api(server->host)->config_release(server->host, server->config);
    host_free(server->host);
    tls_context_unref(server->tls);
    metric_registry_free(server->metrics);
    log_free(server->log);
    free(server);
}

/* ---- The first account, from the environment ------------------------------------------------- */

static void on_admin(void *user, enum err code, const struct error *error,
                     const struct store_user *created)
{
    struct server *server = user;
    if (code == ERR_OK)
        log_info(server->log, "made the first account", LOG_STR("email", created->email));
    else
        log_error(server->log, "the first account could not be made",
                  LOG_CSTR("field", error->field), LOG_CSTR("error", error_message(error)));
}

static void make_first_account(struct server *server)
{
    struct str email = setting(server, "setup.admin_email");
    struct str password = setting(server, "setup.admin_password");
    if (!email.len || !account_setup_required(server->account))
        return;
    account_create_user(server->account, worker_loop(server->workers[0]), email, password, STR(""),
                        ROLE_ADMIN, account_setup_token(server->account), on_admin, server);
}

/* ---- Running
 * -----------------------------------------------------------------------------------------------
 */

static void refresh(void *user)
{
    struct server *server = user;
    struct loop *loop = worker_loop(server->workers[0]);
    registry_refresh(server->registry, loop, worker_client(server->workers[0]), STR(""), NULL,
                     NULL);
    loop_timer_set(loop, &server->refresh_timer, REFRESH_MS, refresh, server);
}

/* SIGHUP: the certificate again, from the same files. */
static void reload_tls(struct server *server)
{
    struct tls_context *tls = NULL;
    struct error error = {0};
    if (load_tls(server, &tls, &error) != ERR_OK) {
        log_error(server->log, "the certificate was not reloaded",
                  LOG_CSTR("error", error_message(&error)));
        return;
    }
    for (int i = 0; i < server->worker_count && tls; i++)
        worker_set_tls(server->workers[i], tls);
    if (tls)
        log_info(server->log, "certificate reloaded");
    tls_context_unref(tls);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct server *server = handle->data;
    if (number == SIGHUP)
        reload_tls(server);
    else
        server_stop(server);
}

static void watch_signals(struct server *server)
{
    static const int numbers[SIGNALS] = {SIGTERM, SIGINT, SIGHUP};
    for (int i = 0; i < SIGNALS; i++) {
        uv_signal_init(loop_uv(worker_loop(server->workers[0])), &server->signals[i]);
        server->signals[i].data = server;
        uv_signal_start(&server->signals[i], on_signal, numbers[i]);
    }
}

/* On a worker's loop. Until the last has drained all stay: a listener may be on another loop than
 * its answer. */
static void on_worker_drained(void *user)
{
    struct server *server = user;
    if (atomic_fetch_sub(&server->draining, 1) != 1)
        return;
    for (int i = 0; i < server->worker_count; i++)
        worker_end(server->workers[i]);
}

/* The first worker has nothing left to do: what the server itself put on its loop goes. */
static void on_first_stopped(void *user)
{
    struct server *server = user;
    loop_timer_cancel(worker_loop(server->workers[0]), &server->refresh_timer);
    stored_sweep_end(&server->sweep);
    registry_cancel(server->registry);
    for (int i = 0; i < SIGNALS && server->mode == SERVER_FULL; i++)
        uv_close((uv_handle_t *)&server->signals[i], NULL);
}

void server_stop(struct server *server)
{
    uint64_t limit_ms = (uint64_t)config_get_int(server->config, "server.shutdown_seconds") * 1000;
    if (server->stopping)
        return;
    server->stopping = true;
    host_set_ready(server->host, false);
    log_info(server->log, "stopping", LOG_INT("answers", hub_run_count(server->hub)));
    atomic_store(&server->draining, server->worker_count);
    for (int i = 0; i < server->worker_count; i++)
        worker_stop(
            server->workers[i], limit_ms,
            &(struct worker_ending){on_worker_drained, i == 0 ? on_first_stopped : NULL, server});
}

void server_run(struct server *server)
{
    struct error error = {0};
    if (server->mode == SERVER_FULL) {
        if (!config_get_bool(server->config, "server.governed"))
            log_warning(server->log, "nobody is limited, and nothing is written into the ledger",
                        LOG_CSTR("key", "server.governed"));
        watch_signals(server);
        make_first_account(server);
        refresh(server);
        stored_sweep_begin(&server->sweep, server->store, worker_loop(server->workers[0]),
                           server->log, config_get_int(server->config, "ledger.keep_days"));
    }
    for (int i = 1; i < server->worker_count; i++)
        if (worker_start(server->workers[i], &error) != ERR_OK)
            log_error(server->log, "a worker could not be started",
                      LOG_CSTR("error", error.message));
    host_set_ready(server->host, true);
    worker_run(server->workers[0]);
    for (int i = 1; i < server->worker_count; i++)
        worker_join(server->workers[i]);
    log_info(server->log, "stopped");
}

const char *server_url(const struct server *server)
{
    return server->url;
}

const char *server_setup_url(struct server *server)
{
    if (!account_setup_required(server->account) || setting(server, "setup.admin_email").len)
        return NULL;
    snprintf(server->setup_url, sizeof server->setup_url, "%s/setup?token=%.*s", server->url,
             STR_ARG(account_setup_token(server->account)));
    return server->setup_url;
}

struct registry *server_registry(struct server *server)
{
    return server->registry;
}

struct worker *server_first_worker(struct server *server)
{
    return server->workers[0];
}

struct log *server_log(struct server *server)
{
    return server->log;
}
