/* API: the doors. One per loop: takes complete requests from the HTTP server, finds their endpoint
 * in one table, learns who asks, authorises, checks the body against the endpoint's fields, and
 * calls the handler. */
#pragma once

#include "account/account.h"
#include "base/config.h"
#include "chat/batch.h"
#include "chat/chat.h"
#include "chat/files.h"
#include "net/http_server.h"
#include "route/memo.h"

struct api;

/* What the doors need from the wiring above them, as calls: settings live there. */
struct api_host {
    void *user;
    /* The configuration in force, referenced until released. Any thread. */
    const struct config *(*config_acquire)(void *user);
    void (*config_release)(void *user, const struct config *config);
    /* Stores and applies changes (text STR_NONE: back to what lies below). `names` and `texts` are
     * borrowed until `done`, which comes on `loop` once. */
    void (*config_change)(void *user, struct loop *loop, const struct str *names,
                          const struct str *texts, size_t count,
                          void (*done)(void *user, enum err code, const struct error *error),
                          void *done_user);
    /* Asks a provider for its models now (empty: all); `done` comes on `loop` once. */
    void (*provider_check)(void *user, struct loop *loop, struct str name, void (*done)(void *user),
                           void *done_user);
    /* Whether new work is accepted: for /readyz. Any thread. */
    bool (*is_ready)(void *user);
};

struct api_options {
    struct loop *loop;
    struct store *store;
    struct account *account;
    struct limiter *limiter; /* the program's */
    struct registry *registry;
    struct router *router;
    struct chat *chat;
    struct memo *memo;       /* the program's; NULL: no vectors are kept */
    struct memo *count_memo; /* likewise, of counts of tokens */
    uint64_t count_seconds;  /* how long they are kept when a request does not say; 0: not */
    struct hub *hub;
    struct files *files;
    struct batch_bell *batch_bell;
    uint64_t batch_window_ms; /* how long a batch may take */
    struct metric_registry *metrics;
    struct log *log;
    const struct api_host *host;
    struct str
        allowed_origins; /* comma-separated, beside the server's own; lives as long as the api */
    bool keys_in_path;   /* /k/KEY/... is ... with that key, at the doors of dialects */
    /* "CIDR=key id, ...": who comes from there and presents nothing acts as that key, at the doors of
     * dialects; borrowed during api_new */
    struct str address_keys;
    uint64_t body_bytes_max;      /* of a request to a model or with images */
    size_t request_log_bytes_max; /* [64 MiB] of its entries that wait for the database */
};

struct api *api_new(const struct api_options *options);
/* Closes sockets and streams that are still open. Also twice. */
void api_abort_sockets(struct api *api);
/* The same, and frees: when the loop has gone, for requests may be answered until then. */
void api_free(struct api *api);
/* Tells every open socket to come back later (1001): for shutting down. `on_closed` comes once the
 * last of them has gone, in this call when there is none; never after api_free. */
void api_close_sockets(struct api *api, void (*on_closed)(void *user), void *user);

/* For http_server_new. `is_local`: this server's listener is the Unix socket of the command line,
 * whose callers are administrators. */
struct http_server_handler api_handler(struct api *api, bool is_local);
