/* Snapshot: a catalog under construction, and its life once it is published. Inside route only. */
#pragma once

#include "base/arena.h"
#include "route/catalog.h"

struct snapshot {
    struct catalog catalog; /* first */
    struct arena *arena;
    _Atomic int references;
};

/* Lists that grow until snapshot_finish. */
struct snapshot_building {
    struct snapshot *snapshot;
    struct cells *cells;
    int64_t wall_ms; /* prices are those of now */
    struct catalog_provider *providers;
    size_t provider_count, provider_capacity;
    struct catalog_model *models;
    size_t model_count, model_capacity;
    struct catalog_route *routes;
    const struct target **targets;
    size_t target_count, target_capacity;
};

struct snapshot_building snapshot_begin(struct cells *cells);
/* Name, provider (a reference is taken), source, limits and whether it is optional, as in `from`. */
struct catalog_provider *snapshot_add_provider(struct snapshot_building *b,
                                               const struct catalog_provider *from);
/* `provider` is that of a row. */
void snapshot_add_model(struct snapshot_building *b, struct provider *provider, struct str name,
                        struct str display_name, int64_t context_tokens);
/* Targets, routes, the index and the default, as `configuration` has them. Its entries are not
 * looked at; its routes have been checked, and those that are wrong have an error. The snapshot
 * holds one reference, the caller's. */
struct snapshot *snapshot_finish(struct snapshot_building *b,
                                 const struct registry_configuration *configuration);
void snapshot_unref(struct snapshot *snapshot);

/* Fills in what is known of provider/model, but for its cell. The id is in `arena`, `model` is
 * borrowed. */
void snapshot_fill_target(struct arena *arena, const struct catalog *catalog,
                          const struct catalog_provider *row, struct str model,
                          int64_t context_tokens, int64_t wall_ms, struct target *ret_target);
