/* Strangers: what names mean that stand in no list of a catalog, kept with it once they were asked
 * for: most requests name the same few. Inside route only; any thread. */
#pragma once

#include "route/catalog.h"

struct strangers;

/* Callers can name any number of models: this many are kept, of names this long at most. */
enum { STRANGERS_MAX = 256, STRANGER_NAME_BYTES_MAX = 128 };

/* Empty. What it keeps is in `arena`, which it has to itself but for the time before it is shared
 * with other threads. strangers_done when nobody uses it any more, before the arena goes. */
struct strangers *strangers_new(struct arena *arena);
void strangers_done(struct strangers *strangers);

/* The meaning of `model`, "provider/name" of the row: the kept one, or a new one, which is kept too.
 * It lives as long as the catalog. NULL, also for `strangers` NULL: this one is not kept. */
const struct catalog_meaning *strangers_get(struct strangers *strangers,
                                            const struct catalog *catalog,
                                            const struct catalog_provider *row, struct str model);
/* A meaning of the caller's own, in `arena`. */
const struct catalog_meaning *strangers_make(struct arena *arena, const struct catalog *catalog,
                                             const struct catalog_provider *row, struct str model);
