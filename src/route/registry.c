/* Registry: holds the newest catalog and makes the next one, from the configuration and from what
 * the providers answer when asked for their models.
 *
 * A snapshot is built whole in an arena of its own, then swapped in under a lock; whoever still
 * reads the old one holds a reference. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/vec.h"
#include "route/catalog.h"

enum { PROVIDERS_MAX = 256 };

struct snapshot {
    struct catalog catalog; /* first */
    struct arena *arena;
    _Atomic int references;
};

struct refresh;

/* What a provider said when asked for its models. */
struct answer {
    enum err code;
    const struct llm_error *error; /* when code is not ERR_OK */
    const struct llm_model_info *models;
    size_t count;
};

/* One provider being asked. */
struct question {
    struct refresh *refresh;
    struct provider *provider;
    struct llm_listing *listing;
};

struct refresh {
    struct list link;
    struct registry *registry;
    struct arena *arena;
    struct question *questions;
    size_t count;
    size_t open;
    struct loop *loop;
    struct loop_task empty;
    void (*done)(void *user);
    void *user;
};

struct registry {
    pthread_mutex_t lock; /* guards current */
    struct snapshot *current;
    pthread_mutex_t changing;  /* held while one snapshot is made from another: before `lock` */
    struct str wished_default; /* from the configuration, malloc'ed; guarded by `changing` */
    struct list refreshes;     /* on one loop only */
    struct log *log;
};

static void snapshot_unref(struct snapshot *snapshot)
{
    if (atomic_fetch_sub(&snapshot->references, 1) != 1)
        return;
    for (size_t i = 0; i < snapshot->catalog.provider_count; i++)
        provider_unref(snapshot->catalog.providers[i].provider);
    arena_free(snapshot->arena);
}

void catalog_unref(const struct catalog *catalog)
{
    if (catalog)
        snapshot_unref((struct snapshot *)(uintptr_t)catalog);
}

const struct catalog *registry_acquire(struct registry *registry)
{
    pthread_mutex_lock(&registry->lock);
    atomic_fetch_add(&registry->current->references, 1);
    const struct catalog *catalog = &registry->current->catalog;
    pthread_mutex_unlock(&registry->lock);
    return catalog;
}

static struct snapshot *snapshot_new(void)
{
    struct arena *arena = arena_new(SIZE_MAX);
    struct snapshot *snapshot = ARENA_NEW(arena, struct snapshot);
    snapshot->arena = arena;
    snapshot->references = 1;
    return snapshot;
}

/* Lists under construction: the growing arrays of a snapshot. */
struct building {
    struct snapshot *snapshot;
    struct catalog_provider *providers;
    size_t provider_count, provider_capacity;
    struct catalog_model *models;
    size_t model_count, model_capacity;
};

/* Name, provider, source and whether it is optional, as in `from`. */
static struct catalog_provider *add_provider(struct building *b,
                                             const struct catalog_provider *from)
{
    struct catalog_provider *row =
        VEC_PUSH(b->snapshot->arena, b->providers, b->provider_count, b->provider_capacity);
    row->provider = from->provider ? provider_ref(from->provider) : NULL;
    row->name = arena_str(b->snapshot->arena, from->name);
    row->source = from->source;
    row->optional = from->optional;
    row->message = STR("");
    return row;
}

static void add_model(struct building *b, struct provider *provider, struct str name,
                      struct str display_name, int64_t context_tokens)
{
    struct arena *arena = b->snapshot->arena;
    struct catalog_model *row = VEC_PUSH(arena, b->models, b->model_count, b->model_capacity);
    row->id = arena_printf(arena, "%.*s/%.*s", STR_ARG(provider->name), STR_ARG(name));
    row->name = arena_str(arena, name);
    row->display_name = arena_str(arena, display_name);
    row->provider = provider;
    row->context_tokens = context_tokens;
    row->built_in = provider->kind->dialect == NULL;
}

static bool has_model(const struct building *b, struct str id)
{
    for (size_t i = 0; i < b->model_count; i++)
        if (str_eq(b->models[i].id, id))
            return true;
    return false;
}

static void wish_default(struct registry *registry, struct str id)
{
    free((char *)(uintptr_t)registry->wished_default.data);
    registry->wished_default = STR_NONE;
    if (!id.len)
        return;
    char *copy = strndup(id.data, id.len);
    ASSERT(copy);
    registry->wished_default = STR_FROM(copy, id.len);
}

/* The wished one when it is offered; else the first of a real provider; else the built-in one. */
static struct str choose_default(const struct registry *registry, const struct building *b)
{
    if (registry->wished_default.len && has_model(b, registry->wished_default))
        return arena_str(b->snapshot->arena, registry->wished_default);
    struct str chosen = STR_NONE;
    for (size_t i = 0; i < b->model_count && !chosen.data; i++)
        if (!b->models[i].built_in)
            chosen = b->models[i].id;
    return chosen.data ? chosen : b->model_count ? b->models[0].id : STR("");
}

static void publish(struct registry *registry, struct building *b)
{
    struct catalog *catalog = &b->snapshot->catalog;
    for (size_t i = 0; i < b->provider_count; i++) {
        b->providers[i].model_count = 0;
        for (size_t m = 0; m < b->model_count; m++)
            b->providers[i].model_count += b->models[m].provider == b->providers[i].provider;
    }
    *catalog = (struct catalog){b->providers, b->provider_count, b->models, b->model_count,
                                choose_default(registry, b)};
    pthread_mutex_lock(&registry->lock);
    struct snapshot *before = registry->current;
    registry->current = b->snapshot;
    pthread_mutex_unlock(&registry->lock);
    snapshot_unref(before);
}

struct registry *registry_new(struct log *log)
{
    struct registry *registry = calloc(1, sizeof *registry);
    ASSERT(registry);
    pthread_mutex_init(&registry->lock, NULL);
    pthread_mutex_init(&registry->changing, NULL);
    list_init(&registry->refreshes);
    registry->log = log;
    registry->current = snapshot_new();
    return registry;
}

void registry_free(struct registry *registry)
{
    if (!registry)
        return;
    registry_cancel(registry);
    snapshot_unref(registry->current);
    wish_default(registry, STR_NONE);
    pthread_mutex_destroy(&registry->changing);
    pthread_mutex_destroy(&registry->lock);
    free(registry);
}

/* Copies what `old` knows of the provider with this name and address. */
static void keep_models(struct building *b, const struct catalog *old, struct catalog_provider *row)
{
    for (size_t i = 0; i < old->provider_count; i++) {
        const struct catalog_provider *before = &old->providers[i];
        if (!before->provider || !str_eq(before->name, row->name) ||
            !str_eq(before->provider->base_url, row->provider->base_url))
            continue;
        row->status = before->status;
        row->message = arena_str(b->snapshot->arena, before->message);
        for (size_t m = 0; m < old->model_count; m++) {
            const struct catalog_model *model = &old->models[m];
            if (model->provider == before->provider)
                add_model(b, row->provider, model->name, model->display_name,
                          model->context_tokens);
        }
    }
}

static void add_entry(struct building *b, const struct catalog *old,
                      const struct registry_entry *entry)
{
    struct catalog_provider *row =
        add_provider(b, &(struct catalog_provider){.provider = entry->provider,
                                                   .name = entry->name,
                                                   .source = entry->source,
                                                   .optional = entry->optional});
    if (!row->provider) {
        row->status = CATALOG_ERROR;
        row->message = arena_str(b->snapshot->arena, entry->error);
    } else if (!row->provider->kind->dialect) { /* answers inside: no need to ask it */
        row->status = CATALOG_OK;
        add_model(b, row->provider, STR("eliza"), STR("Eliza (built in)"), 0);
    } else {
        keep_models(b, old, row);
    }
}

void registry_configure(struct registry *registry, const struct registry_entry *entries,
                        size_t count, struct str default_model)
{
    pthread_mutex_lock(&registry->changing);
    const struct catalog *old = registry_acquire(registry);
    struct building b = {.snapshot = snapshot_new()};
    wish_default(registry, default_model);
    for (size_t i = 0; i < count && i < PROVIDERS_MAX; i++)
        add_entry(&b, old, &entries[i]);
    publish(registry, &b);
    catalog_unref(old);
    pthread_mutex_unlock(&registry->changing);
}

/* ---- Refreshing ------------------------------------------------------------------------------ */

static void refresh_free(struct refresh *refresh)
{
    list_remove(&refresh->link);
    for (size_t i = 0; i < refresh->count; i++) {
        if (refresh->questions[i].listing)
            llm_listing_cancel(refresh->questions[i].listing);
        provider_unref(refresh->questions[i].provider);
    }
    loop_task_cancel(&refresh->empty);
    arena_free(refresh->arena);
}

static void end_refresh(void *user)
{
    struct refresh *refresh = user;
    void (*done)(void *) = refresh->done;
    void *done_user = refresh->user;
    refresh_free(refresh);
    if (done)
        done(done_user);
}

/* What one provider answered: its models, or what is wrong (then its former models stay). One that
 * nobody configured and nobody can reach is no fault: an Ollama that does not run. */
static void take_answer(struct building *b, const struct catalog *old, struct catalog_provider *row,
                        const struct answer *answer)
{
    if (answer->code == ERR_OK) {
        row->status = CATALOG_OK;
        row->message = STR("");
        for (size_t i = 0; i < answer->count; i++)
            add_model(b, row->provider, answer->models[i].id, answer->models[i].display_name,
                      answer->models[i].context_tokens);
        return;
    }
    keep_models(b, old, row);
    bool is_absent = row->optional && answer->code == ERR_NETWORK;
    row->status = is_absent ? CATALOG_UNKNOWN : CATALOG_ERROR;
    row->message = arena_str(b->snapshot->arena, str_from_cstr(answer->error->message));
}

/* The newest catalog with one provider's answer put in. */
static void publish_answer(struct registry *registry, const struct provider *asked,
                           const struct answer *answer)
{
    pthread_mutex_lock(&registry->changing);
    const struct catalog *old = registry_acquire(registry);
    struct building b = {.snapshot = snapshot_new()};
    for (size_t i = 0; i < old->provider_count; i++) {
        const struct catalog_provider *before = &old->providers[i];
        struct catalog_provider *row = add_provider(&b, before);
        row->status = before->status;
        row->message = arena_str(b.snapshot->arena, before->message);
        if (before->provider && before->provider == asked)
            take_answer(&b, old, row, answer);
        else if (before->provider)
            keep_models(&b, old, row);
    }
    publish(registry, &b);
    catalog_unref(old);
    pthread_mutex_unlock(&registry->changing);
}

static void on_listed(void *user, enum err code, const struct llm_error *error,
                      const struct llm_model_info *models, size_t count)
{
    struct question *question = user;
    struct refresh *refresh = question->refresh;
    question->listing = NULL;
    if (code != ERR_OK && code != ERR_NETWORK)
        log_warning(refresh->registry->log, "provider cannot be listed",
                    LOG_STR("provider", question->provider->name),
                    LOG_CSTR("class", err_info(code)->name), LOG_CSTR("error", error->message));
    publish_answer(refresh->registry, question->provider,
                   &(struct answer){code, error, models, count});
    if (--refresh->open == 0)
        end_refresh(refresh);
}

static void ask(struct refresh *refresh, struct provider *provider, struct http_client *client)
{
    struct question *question = &refresh->questions[refresh->count];
    struct error error = {0};
    *question = (struct question){refresh, provider_ref(provider), NULL};
    refresh->count++;
    enum err code = llm_listing_start(client, refresh->loop, provider, on_listed, question,
                                      &question->listing, &error);
    if (code == ERR_OK) {
        refresh->open++;
        return;
    }
    struct llm_error wrong = {.class = code};
    str_copy(str_from_cstr(error_message(&error)), wrong.message, sizeof wrong.message);
    publish_answer(refresh->registry, provider, &(struct answer){code, &wrong, NULL, 0});
}

void registry_refresh(struct registry *registry, struct loop *loop, struct http_client *client,
                      struct str only, void (*done)(void *user), void *user)
{
    const struct catalog *catalog = registry_acquire(registry);
    struct arena *arena = arena_new(SIZE_MAX);
    struct refresh *refresh = ARENA_NEW(arena, struct refresh);
    *refresh = (struct refresh){
        .registry = registry, .arena = arena, .loop = loop, .done = done, .user = user};
    refresh->questions = ARENA_NEW_ARRAY(arena, catalog->provider_count + 1, struct question);
    list_append(&registry->refreshes, &refresh->link);
    for (size_t i = 0; i < catalog->provider_count; i++) {
        const struct catalog_provider *row = &catalog->providers[i];
        bool wanted = !only.len || str_eq(row->name, only);
        if (row->provider && row->provider->kind->dialect && wanted)
            ask(refresh, row->provider, client);
    }
    catalog_unref(catalog);
    if (refresh->open == 0)
        loop_defer(loop, &refresh->empty, end_refresh, refresh);
}

void registry_cancel(struct registry *registry)
{
    LIST_EACH (&registry->refreshes, link)
        refresh_free(LIST_ENTRY(link, struct refresh, link));
}
