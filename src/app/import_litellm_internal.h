/* What the files of the import share. For them only. */
#pragma once

#include "app/import_litellm.h"
#include "app/yaml_tree.h"
#include "route/route.h"

#define IMPORT_PLACEHOLDER      "REPLACE-ME"
#define IMPORT_PLACEHOLDER_BASE "https://" IMPORT_PLACEHOLDER ".invalid"

enum {
    IMPORT_MODELS_MAX = 1000, /* entries of model_list that are read */
    IMPORT_PROVIDERS_MAX = 200,
    IMPORT_ROUTES_MAX = 256,
    IMPORT_NOTES_BYTES_MAX = 256 * 1024
};

/* How a family of LiteLLM's models is reached here. */
struct import_family {
    const char *prefix; /* before the slash of litellm_params.model */
    const char *kind;   /* of our provider */
    bool needs_base;    /* nobody is there without an address */
};

/* One of our providers: models that share address, key and limits. */
struct import_provider {
    struct str name; /* given at the end */
    const char *kind;
    struct str base_url;     /* empty: the kind's */
    struct str key;          /* what tells keys apart; never written */
    struct str key_variable; /* where LiteLLM took it from; empty: it stands in the file, or none */
    struct str key_path;     /* the place that first used it */
    bool is_default_key;     /* the one that our own variable brings */
    int64_t requests_per_minute, tokens_per_minute, concurrency; /* 0: none */
    int64_t timeout_ms, first_content_ms;                        /* 0: none */
    bool needs_placeholder;
    struct str *models;
    size_t model_count, model_capacity;
};

struct import_target {
    size_t provider; /* its index */
    struct str model;
    double weight; /* < 0: not said */
    int64_t requests_per_minute, tokens_per_minute;
    int64_t order;    /* 0: not said */
    struct str price; /* in our form; empty: none */
};

/* A model group of theirs. */
struct import_route {
    struct str theirs, ours; /* names; ours is empty: provider/model does without a route */
    struct import_target *targets;
    size_t target_count, target_capacity;
    struct str *fallbacks; /* as they stand in `fallbacks` of ours */
    size_t fallback_count, fallback_capacity;
    size_t alias_of; /* its index + 1; 0: it is no alias */
};

struct import {
    struct arena *arena;
    const struct import_environment *environment;
    struct buf *notes;
    struct yaml_map root;
    struct import_provider providers[IMPORT_PROVIDERS_MAX];
    size_t provider_count;
    struct import_route routes[IMPORT_ROUTES_MAX];
    size_t route_count;
    const char *strategy; /* of routes with several targets */
    struct str *router;   /* "key: value" of router and of timeouts */
    size_t router_count, router_capacity;
    struct str *timeouts;
    size_t timeout_count, timeout_capacity;
};

/* One line of notes. `path` and `format` hold names, never values that may be secret. */
void import_note(struct import *import, struct str path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A number that is finite and in the range; else a note and false. A value that is null or absent is
 * false without a note. */
bool import_number(struct import *import, struct str path, struct yaml_value value, double minimum,
                   double maximum, double *ret);
/* "os.environ/NAME" to NAME; else STR_NONE. */
struct str import_variable(struct str text);
/* Our id of a target: provider/model. */
struct str import_target_id(const struct import *import, const struct import_target *target);
struct import_route *import_find_route(struct import *import, struct str theirs);

/* import_providers.c */
/* The variable of ours that brings the key of the provider that is named like its kind, or NULL. */
const char *import_our_variable(const char *kind);
/* Whether that is one of them. */
bool import_is_variable_of(const char *kind, struct str variable);
/* The index of the one that is the same, perhaps new; IMPORT_PROVIDERS_MAX when there are too many. */
size_t import_add_provider(struct import *import, const struct import_provider *provider);
void import_add_model(struct import *import, struct import_provider *provider, struct str model);
/* Once all are there. */
void import_name_providers(struct import *import);

/* import_models.c: model_list */
void import_models(struct import *import);
/* import_settings.c: everything else */
void import_settings(struct import *import);
/* import_write.c */
void import_write(struct import *import, struct buf *out);
