/* Host: the configuration snapshot and what changes it.
 *
 *   config_change: store (sealed secrets) --commit--> first worker's loop: new snapshot, registry
 *                  --> back to the asker's loop: done
 */
#include "app/host.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "app/providers.h"
#include "base/assert.h"
#include "base/crypto.h"

enum { SEALED_BYTES_MAX = 64 * 1024 };

/* A configuration and how many read it. */
struct snapshot {
    struct list link;
    struct config *config;
    int references;
};

struct host {
    pthread_mutex_t lock; /* guards current and the counts of all snapshots */
    struct snapshot *current;
    struct list snapshots; /* all that somebody still reads */
    struct store *store;
    struct registry *registry;
    struct log *log;
    struct worker *worker;
    _Atomic bool ready;
    struct api_host api;
};

/* ---- Snapshots ------------------------------------------------------------------------------- */

static struct snapshot *add_snapshot_locked(struct host *host, struct config *config)
{
    struct snapshot *snapshot = calloc(1, sizeof *snapshot);
    ASSERT(snapshot);
    snapshot->config = config;
    snapshot->references = 1;
    list_append(&host->snapshots, &snapshot->link);
    return snapshot;
}

static void release_locked(struct snapshot *snapshot)
{
    if (--snapshot->references)
        return;
    list_remove(&snapshot->link);
    config_free(snapshot->config);
    free(snapshot);
}

static const struct config *config_acquire(void *user)
{
    struct host *host = user;
    pthread_mutex_lock(&host->lock);
    host->current->references++;
    const struct config *config = host->current->config;
    pthread_mutex_unlock(&host->lock);
    return config;
}

static void config_release(void *user, const struct config *config)
{
    struct host *host = user;
    pthread_mutex_lock(&host->lock);
    LIST_EACH (&host->snapshots, link) {
        struct snapshot *snapshot = LIST_ENTRY(link, struct snapshot, link);
        if (snapshot->config == config) {
            release_locked(snapshot);
            break;
        }
    }
    pthread_mutex_unlock(&host->lock);
}

/* ---- Secrets at rest ------------------------------------------------------------------------- */

/* A secret setting is stored as base64 of its sealed text, its name being the context: it cannot be
 * read without secret.key, nor moved to another setting. */
static struct str seal(struct arena *arena, struct store *store, struct str name, struct str text)
{
    unsigned char *sealed = arena_alloc(arena, text.len + AEAD_OVERHEAD_BYTES);
    size_t len = aead_seal(store_secret(store), text, name, sealed);
    char *encoded = arena_alloc(arena, base64_length(len) + 1);
    return STR_FROM(encoded, base64_encode(STR_FROM((char *)sealed, len), encoded));
}

static enum err unseal(struct arena *arena, struct store *store, struct str name, struct str text,
                       struct str *ret)
{
    struct str sealed;
    if (!base64_decode(arena, text, &sealed))
        return ERR_CORRUPT;
    return aead_open(store_secret(store), sealed, name, arena, ret);
}

static bool is_secret(const struct config *config, struct str name)
{
    struct config_value value;
    return config_find(config, name, &value) && value.key->type == CONFIG_SECRET;
}

/* ---- Loading
 * -------------------------------------------------------------------------------------------------
 */

struct loading {
    struct config *config;
    struct store *store;
    struct log *log;
};

static void load_one(struct loading *loading, struct arena *arena, struct store_setting *setting)
{
    struct error error = {0};
    struct str text = setting->value;
    enum err code = ERR_OK;
    if (is_secret(loading->config, setting->key))
        code = unseal(arena, loading->store, setting->key, setting->value, &text);
    if (code == ERR_OK)
        code = config_set(loading->config, CONFIG_STORED, setting->key, text, STR("settings page"),
                          &error);
    error.code = code;
    if (code != ERR_OK)
        log_warning(loading->log, "a stored setting is left out", LOG_STR("key", setting->key),
                    LOG_CSTR("error", error_message(&error)));
}

static enum err load_stored(struct store_tx *tx, void *user, struct error *error)
{
    struct loading *loading = user;
    struct arena *arena = arena_new(SIZE_MAX);
    struct store_setting *settings = NULL;
    size_t count = 0;
    enum err code = store_setting_list(tx, arena, &settings, &count, error);
    for (size_t i = 0; i < count && code == ERR_OK; i++)
        load_one(loading, arena, &settings[i]);
    arena_free(arena);
    return code;
}

enum err host_load_stored(struct config *config, struct store *store, struct log *log,
                          struct error *error)
{
    struct loading loading = {config, store, log};
    return store_read_now(store, load_stored, &loading, error);
}

/* ---- Changing
 * ------------------------------------------------------------------------------------------------
 */

struct change {
    struct host *host;
    struct loop *loop; /* the asker's */
    const struct str *names;
    const struct str *texts;
    size_t count;
    void (*done)(void *user, enum err code, const struct error *error);
    void *done_user;
    struct arena *arena;
    struct store_job job;
    struct loop_task task;
    enum err code; /* of applying it */
    struct error error;
};

static enum err store_change(struct store_tx *tx, void *user, struct error *error)
{
    struct change *change = user;
    const struct config *config = config_acquire(change->host);
    enum err code = ERR_OK;
    for (size_t i = 0; i < change->count && code == ERR_OK; i++) {
        struct str name = change->names[i], text = change->texts[i];
        if (!text.data)
            code = store_setting_delete(tx, name, error);
        else if (is_secret(config, name))
            code = store_setting_set(tx, name, seal(change->arena, change->host->store, name, text),
                                     error);
        else
            code = store_setting_set(tx, name, text, error);
    }
    config_release(change->host, config);
    return code;
}

static void end_change(struct change *change, enum err code, const struct error *error)
{
    change->done(change->done_user, code, error);
    arena_free(change->arena); /* the change is in it */
}

static void tell_asker(void *user)
{
    struct change *change = user;
    end_change(change, change->code, change->code == ERR_OK ? NULL : &change->error);
}

/* On the first worker's loop. */
static void apply_change(void *user)
{
    struct change *change = user;
    struct host *host = change->host;
    struct config *config = config_copy(host->current->config);
    /* Each was checked by itself before it was stored: only that they are too many can be wrong. */
    for (size_t i = 0; i < change->count && change->code == ERR_OK; i++)
        change->code = config_set(config, CONFIG_STORED, change->names[i], change->texts[i],
                                  STR("settings page"), &change->error);
    pthread_mutex_lock(&host->lock);
    struct snapshot *before = host->current;
    host->current = add_snapshot_locked(host, config);
    release_locked(before);
    pthread_mutex_unlock(&host->lock);
    providers_configure(host->registry, config, host->log);
    registry_refresh(host->registry, worker_loop(host->worker), worker_client(host->worker),
                     STR(""), NULL, NULL);
    if (!loop_post(change->loop, &change->task, tell_asker, change))
        arena_free(change->arena);
}

static void on_stored(void *user, enum err code, const struct error *error)
{
    struct change *change = user;
    if (code != ERR_OK)
        end_change(change, code, error);
    else if (!loop_post(worker_loop(change->host->worker), &change->task, apply_change, change))
        end_change(change, ERR_UNAVAILABLE, NULL); /* stored; it holds from the next start on */
}

static void config_change(void *user, struct loop *loop, const struct str *names,
                          const struct str *texts, size_t count,
                          void (*done)(void *user, enum err code, const struct error *error),
                          void *done_user)
{
    struct arena *arena = arena_new(SEALED_BYTES_MAX);
    struct change *change = ARENA_NEW(arena, struct change);
    *change = (struct change){.host = user,
                              .loop = loop,
                              .names = names,
                              .texts = texts,
                              .count = count,
                              .done = done,
                              .done_user = done_user,
                              .arena = arena};
    change->job = (struct store_job){.run = store_change, .done = on_stored, .user = change};
    store_write(change->host->store, loop, &change->job);
}

/* ---- Asking a provider ----------------------------------------------------------------------- */

struct question {
    struct host *host;
    struct loop *loop;
    struct str name;
    void (*done)(void *user);
    void *done_user;
    struct loop_task task;
};

static void tell_checked(void *user)
{
    struct question *question = user;
    question->done(question->done_user);
    free(question);
}

static void on_refreshed(void *user)
{
    struct question *question = user;
    if (!loop_post(question->loop, &question->task, tell_checked, question))
        free(question);
}

/* On the first worker's loop. */
static void ask(void *user)
{
    struct question *question = user;
    struct host *host = question->host;
    registry_refresh(host->registry, worker_loop(host->worker), worker_client(host->worker),
                     question->name, on_refreshed, question);
}

static void provider_check(void *user, struct loop *loop, struct str name, void (*done)(void *user),
                           void *done_user)
{
    struct question *question = calloc(1, sizeof *question);
    ASSERT(question);
    question->host = user;
    question->loop = loop;
    question->name = name;
    question->done = done;
    question->done_user = done_user;
    if (!loop_post(worker_loop(question->host->worker), &question->task, ask, question))
        loop_defer(loop, &question->task, tell_checked, question); /* shutting down */
}

/* ---- Life
 * ---------------------------------------------------------------------------------------------------------
 */

static bool is_ready(void *user)
{
    return atomic_load(&((struct host *)user)->ready);
}

struct host *host_new(struct config *config, struct store *store, struct registry *registry,
                      struct log *log)
{
    struct host *host = calloc(1, sizeof *host);
    ASSERT(host);
    pthread_mutex_init(&host->lock, NULL);
    list_init(&host->snapshots);
    host->current = add_snapshot_locked(host, config);
    host->store = store;
    host->registry = registry;
    host->log = log;
    host->api = (struct api_host){host,          config_acquire, config_release,
                                  config_change, provider_check, is_ready};
    return host;
}

void host_free(struct host *host)
{
    if (!host)
        return;
    release_locked(host->current);
    pthread_mutex_destroy(&host->lock);
    free(host);
}

const struct api_host *host_api(struct host *host)
{
    return &host->api;
}

void host_set_worker(struct host *host, struct worker *worker)
{
    host->worker = worker;
}

void host_set_ready(struct host *host, bool ready)
{
    atomic_store(&host->ready, ready);
}
