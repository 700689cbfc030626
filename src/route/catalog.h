/* Catalog: which providers there are and which models they offer. An immutable snapshot that every
 * loop reads, and the registry that holds the newest one. */
#pragma once

#include <stdbool.h>

#include "llm/call.h"

enum catalog_status { CATALOG_UNKNOWN, CATALOG_OK, CATALOG_ERROR };
const char *catalog_status_name(enum catalog_status status);

struct catalog_provider {
    struct provider *provider; /* NULL when its configuration is wrong: message says how */
    struct str name;
    enum catalog_status status;
    struct str message; /* what is wrong, or empty */
    size_t model_count;
    const char *source; /* of its configuration: "environment", ... */
    bool optional;      /* nobody asked for it: not being there is no fault */
};

struct catalog_model {
    struct str id;           /* "openai/gpt-5.5": provider, slash, name */
    struct str name;         /* as the provider names it */
    struct str display_name; /* may be empty */
    struct provider *provider;
    int64_t context_tokens; /* 0: unknown */
    bool built_in;
};

struct catalog {
    const struct catalog_provider *providers;
    size_t provider_count;
    const struct catalog_model *models;
    size_t model_count;
    struct str default_model; /* an id; empty when there is no model at all */
};

/* What resolving a model's name gives: whom to ask, and for what. */
struct catalog_target {
    struct provider *provider; /* borrowed from the catalog */
    struct str model;          /* as the provider names it */
};

/* The row of that name, or NULL. */
const struct catalog_provider *catalog_find_provider(const struct catalog *catalog,
                                                     struct str name);

/* Finds the target of "provider/model", of a bare model name, or (empty) of the default. A provider
 * that is known is asked for any model: it knows its models best. ERR_MODEL_NOT_FOUND names the
 * nearest id; a provider that is misconfigured gives its own message. The target's views live as
 * long as the catalog and `model`. */
MUST_USE enum err catalog_resolve(const struct catalog *catalog, struct str model,
                                  struct catalog_target *ret_target, struct error *error);

/* ---- Registry -------------------------------------------------------------------------------- */
struct registry;

struct registry *registry_new(struct log *log);
void registry_free(struct registry *registry);

/* The newest snapshot; give it back with catalog_unref. Any thread. */
const struct catalog *registry_acquire(struct registry *registry);
void catalog_unref(const struct catalog *catalog);

/* One configured provider for registry_configure. */
struct registry_entry {
    struct provider *provider; /* a reference is taken; NULL: `error` says why */
    struct str name;
    struct str error;
    const char *source; /* a string that lives for ever */
    bool optional;      /* see catalog_provider */
};
/* Replaces the providers: what the configuration says now. Models of providers that stay (same
 * name, same address) are kept until the next refresh. `default_model`: empty picks one. Any
 * thread. */
void registry_configure(struct registry *registry, const struct registry_entry *entries,
                        size_t count, struct str default_model);

/* Asks every provider (or, with a name, that one) for its models and publishes what each says as
 * soon as it does. `done` (may be NULL) comes once, when all have answered. Several may be under
 * way, all on one loop: the one given, which is the calling thread's. */
void registry_refresh(struct registry *registry, struct loop *loop, struct http_client *client,
                      struct str only, void (*done)(void *user), void *user);
/* Cancels the refreshes under way, on their loop; their `done` does not come. */
void registry_cancel(struct registry *registry);
