/* Strangers: a map beside the catalog's index, filled as requests come. The catalog itself never
 * changes; with the next one (other prices, other providers) all of this starts anew. */
#include "route/strangers.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/map.h"
#include "route/snapshot.h"

struct strangers {
    pthread_mutex_t lock; /* guards both of these */
    struct map *meanings;
    struct arena *arena;
};

struct strangers *strangers_new(struct arena *arena)
{
    struct strangers *strangers = ARENA_NEW(arena, struct strangers);
    pthread_mutex_init(&strangers->lock, NULL);
    strangers->meanings = map_new();
    strangers->arena = arena;
    return strangers;
}

void strangers_done(struct strangers *strangers)
{
    map_free(strangers->meanings);
    pthread_mutex_destroy(&strangers->lock);
}

const struct catalog_meaning *strangers_make(struct arena *arena, const struct catalog *catalog,
                                             const struct catalog_provider *row, struct str model)
{
    struct catalog_meaning *meaning = ARENA_NEW(arena, struct catalog_meaning);
    struct target *target = ARENA_NEW(arena, struct target);
    struct str name = arena_str(arena, str_skip(model, row->name.len + 1));
    snapshot_fill_target(arena, catalog, row, name, 0, clock_wall_ms(), target);
    target->cell = catalog_stranger_cell(catalog, row->name, name);
    meaning->target = target;
    meaning->alone = (struct route_group){.targets = &meaning->target, .count = 1};
    return meaning;
}

const struct catalog_meaning *strangers_get(struct strangers *strangers,
                                            const struct catalog *catalog,
                                            const struct catalog_provider *row, struct str model)
{
    if (!strangers || model.len > STRANGER_NAME_BYTES_MAX)
        return NULL;
    pthread_mutex_lock(&strangers->lock);
    struct catalog_meaning *found = map_get(strangers->meanings, model);
    if (!found && map_count(strangers->meanings) < STRANGERS_MAX) {
        found = (struct catalog_meaning *)(uintptr_t)strangers_make(strangers->arena, catalog, row,
                                                                    model);
        map_set(strangers->meanings, model, found);
    }
    pthread_mutex_unlock(&strangers->lock);
    return found;
}
