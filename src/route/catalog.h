/* Catalog: which providers there are, which models they offer, which routes lead to them, and what
 * a model's name means. An immutable snapshot that every loop reads, and the registry that holds
 * the newest one. */
#pragma once

#include <stdbool.h>

#include "llm/call.h"
#include "route/route.h"

enum catalog_status { CATALOG_UNKNOWN, CATALOG_OK, CATALOG_ERROR };
const char *catalog_status_name(enum catalog_status status);

struct catalog_provider {
    struct provider *provider; /* NULL when its configuration is wrong: message says how */
    struct str name;
    enum catalog_status status;
    struct str message; /* what is wrong, or empty */
    size_t model_count;
    const char *source;        /* of its configuration: "environment", ... */
    bool optional;             /* nobody asked for it: not being there is no fault */
    struct cell_limits limits; /* of each of its models */
};

struct catalog_model {
    struct str id;           /* "openai/gpt-5.5": provider, slash, name */
    struct str name;         /* as the provider names it */
    struct str display_name; /* may be empty */
    struct provider *provider;
    int64_t context_tokens; /* what the provider says; 0: unknown */
    bool built_in;
    const struct target *target;
};

struct catalog_route {
    struct str name;
    enum catalog_status status; /* OK or ERROR */
    struct str message;         /* what is wrong; with OK: which targets are left out, or empty */
    const char *source;         /* of its configuration */
    struct route_policy policy;
    /* Its own targets first, then those of its fallbacks, each target once. */
    const struct route_group *groups;
    size_t group_count;
    size_t target_count; /* of all groups; 0 when the status is ERROR */
    struct route_live *live;
};

struct catalog {
    uint64_t
        version; /* another one after every change of the configuration of providers, routes and
                         prices; what providers list changes nothing */
    const struct catalog_provider *providers;
    size_t provider_count;
    const struct catalog_model *models;
    size_t model_count;
    struct str default_model; /* an id or a route's name; empty when there is no model at all */
    const struct catalog_route *routes;
    size_t route_count;
    const struct target *const *targets; /* of all models, and what only routes name */
    size_t target_count;
    const struct route_policy *policy; /* of everything that is no route */
    const struct registry_price *prices;
    size_t price_count;
    struct map *index;           /* name -> struct catalog_meaning; read only */
    struct cells *cells;         /* of targets that stand in no list */
    struct strangers *strangers; /* those that were asked for; NULL: they are not kept */
};

/* What a name means, with the ready plan of a target by itself. */
struct catalog_meaning {
    const struct catalog_route *route; /* NULL: a target */
    const struct target *target;       /* NULL: a route */
    struct route_group alone;          /* of the target by itself */
    bool is_bare;                      /* a model's name without its provider's */
};

/* The row of that name, or NULL. */
const struct catalog_provider *catalog_find_provider(const struct catalog *catalog,
                                                     struct str name);
const struct catalog_route *catalog_find_route(const struct catalog *catalog, struct str name);
/* The model with that id, or NULL. */
const struct catalog_model *catalog_find_model(const struct catalog *catalog, struct str id);

/* The live state of a model that its provider does not list: callers name those, and could name any
 * number, so that they share this many cells a provider, by a hash of their names. NULL without
 * `cells`. */
enum { CATALOG_STRANGER_CELLS = 64 };
struct cell *catalog_stranger_cell(const struct catalog *catalog, struct str provider,
                                   struct str model);

enum { CATALOG_CHAIN_MAX = 16 };

/* How a request is answered that names `model` (provider/model, a route's name, a bare model name,
 * or empty: the default) and, to be tried after it in this order, those of `chain`. An exact
 * provider/model goes before a route's name, that before anything else of a known provider, which
 * is asked for any model (it knows its models best), and that before a bare name. Targets that
 * stand in the plan already are left out, and so is what cannot be used now as long as something
 * else can. Policy and name are those of `model`.
 * Errors: ERR_MODEL_NOT_FOUND names what is not there, and the nearest id; ERR_UNAVAILABLE a
 * provider or route that is misconfigured, in its own words; ERR_INVALID: more than
 * CATALOG_CHAIN_MAX, or more targets than a plan may have.
 * The plan lives as long as the catalog and `arena`; without a chain and for a known name nothing
 * is allocated, nor for a name that was asked for before and is kept (strangers). */
MUST_USE enum err catalog_plan(const struct catalog *catalog, struct arena *arena, struct str model,
                               const struct str *chain, size_t chain_count,
                               struct route_plan *ret_plan, struct error *error);

/* Whether that name would have a plan: the errors of catalog_plan without a chain. */
MUST_USE enum err catalog_check(const struct catalog *catalog, struct str model,
                                struct error *error);

/* ---- Registry -------------------------------------------------------------------------------- */
struct registry;

/* `cells` outlives it, and every snapshot. */
struct registry *registry_new(struct log *log, struct cells *cells);
void registry_free(struct registry *registry);

/* The newest snapshot; give it back with catalog_unref. Any thread. */
const struct catalog *registry_acquire(struct registry *registry);
/* The same for who asks with every request, and so keeps the one that it has seen last: *held, NULL at
 * first, which it gives back when it asks no more. While that is the newest nothing is locked. */
const struct catalog *registry_follow(struct registry *registry, const struct catalog **held);
void catalog_unref(const struct catalog *catalog);

/* One configured provider. */
struct registry_entry {
    struct provider *provider; /* a reference is taken; NULL: `error` says why */
    struct str name;
    struct str error;
    const char *source; /* a string that lives for ever */
    bool optional;      /* see catalog_provider */
    struct cell_limits limits;
};

/* One configured route. */
struct registry_route {
    struct str name;
    struct str error;   /* not empty: it cannot be used, and this is why */
    const char *source; /* a string that lives for ever */
    struct route_policy policy;
    enum route_strategy strategy;
    const struct str *targets; /* provider/model */
    size_t target_count;
    const uint32_t *weights; /* as in route_group; as many as targets, or none */
    size_t weight_count;
    const uint32_t *ranks;
    size_t rank_count;
    const struct str *fallbacks; /* routes, or provider/model */
    size_t fallback_count;
};

/* A price that goes before the list's. */
struct registry_price {
    struct str model; /* provider/model, or a model's name at any provider */
    struct price price;
};

struct registry_configuration {
    const struct registry_entry *entries;
    size_t entry_count;
    const struct registry_route *routes;
    size_t route_count;
    const struct registry_price *prices;
    size_t price_count;
    const struct route_policy *policy; /* of everything that is no route; NULL: the default */
    struct str default_model;          /* empty picks one */
};

#define REGISTRY_BUILT_IN "eliza" /* the only model of a provider that answers inside */

/* Whether routes[index] can be used: its name, its targets' providers, its lists, its fallbacks and
 * that none of them leads back to it. Providers that are misconfigured are no fault of a route.
 * error->field names the setting ("routes.fast.targets"). */
MUST_USE enum err registry_check_route(const struct registry_configuration *configuration,
                                       size_t index, struct error *error);

/* Replaces what is configured; everything is copied. Models of providers that stay (same name, same
 * address) are kept until the next refresh, live cells by the id of their target. A route that
 * registry_check_route refuses becomes a row with that message. Any thread. */
void registry_configure(struct registry *registry,
                        const struct registry_configuration *configuration);

/* Asks every provider (or, with a name, that one) for its models and publishes what each says as
 * soon as it does. `done` (may be NULL) comes once, when all have answered. Several may be under
 * way, all on one loop: the one given, which is the calling thread's. */
void registry_refresh(struct registry *registry, struct loop *loop, struct http_client *client,
                      struct str only, void (*done)(void *user), void *user);
/* Cancels the refreshes under way, on their loop; their `done` does not come. */
void registry_cancel(struct registry *registry);
