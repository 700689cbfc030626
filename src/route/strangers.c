/* Strangers: a table beside the catalog's index, filled as requests come. The catalog itself never
 * changes; with the next one (other prices, other providers) all of this starts anew. What is in the
 * table stays, so that only who adds to it takes the lock. */
#include "route/strangers.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/crypto.h"
#include "base/random.h"
#include "route/snapshot.h"

struct stranger {
    const struct stranger *next; /* in its row: one that came before it */
    uint64_t hash;
    struct str name;
    const struct catalog_meaning *meaning;
};

struct strangers {
    _Atomic(const struct stranger *) rows[STRANGERS_MAX]; /* by hash; the newest first */
    unsigned char secret[FAST_HASH_SECRET_BYTES]; /* who finds names that meet gains nothing */
    pthread_mutex_t lock;                         /* of who adds: guards the arena and the count */
    struct arena *arena;
    size_t count;
};

struct strangers *strangers_new(struct arena *arena)
{
    struct strangers *strangers = ARENA_NEW(arena, struct strangers);
    pthread_mutex_init(&strangers->lock, NULL);
    random_bytes(strangers->secret, sizeof strangers->secret);
    strangers->arena = arena;
    return strangers;
}

void strangers_done(struct strangers *strangers)
{
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

static const struct catalog_meaning *find(const struct strangers *strangers, struct str model,
                                          uint64_t hash)
{
    const struct stranger *stranger =
        atomic_load_explicit(&strangers->rows[hash % STRANGERS_MAX], memory_order_acquire);
    while (stranger && (stranger->hash != hash || !str_eq(stranger->name, model)))
        stranger = stranger->next;
    return stranger ? stranger->meaning : NULL;
}

/* With the lock held. */
static const struct catalog_meaning *add(struct strangers *strangers, const struct catalog *catalog,
                                         const struct catalog_provider *row, struct str model,
                                         uint64_t hash)
{
    _Atomic(const struct stranger *) *first = &strangers->rows[hash % STRANGERS_MAX];
    struct stranger *stranger = ARENA_NEW(strangers->arena, struct stranger);
    stranger->next = atomic_load_explicit(first, memory_order_relaxed);
    stranger->hash = hash;
    stranger->name = arena_str(strangers->arena, model);
    stranger->meaning = strangers_make(strangers->arena, catalog, row, model);
    atomic_store_explicit(first, stranger, memory_order_release);
    strangers->count++;
    return stranger->meaning;
}

const struct catalog_meaning *strangers_get(struct strangers *strangers,
                                            const struct catalog *catalog,
                                            const struct catalog_provider *row, struct str model)
{
    if (!strangers || model.len > STRANGER_NAME_BYTES_MAX)
        return NULL;
    uint64_t hash = fast_hash(strangers->secret, model);
    const struct catalog_meaning *found = find(strangers, model, hash);
    if (found)
        return found;
    pthread_mutex_lock(&strangers->lock);
    found = find(strangers, model, hash); /* another thread may have been faster */
    if (!found && strangers->count < STRANGERS_MAX)
        found = add(strangers, catalog, row, model, hash);
    pthread_mutex_unlock(&strangers->lock);
    return found;
}
