/* Plan: puts groups of targets behind each other, each target once. Inside route only. */
#pragma once

#include "base/arena.h"
#include "route/route.h"

struct plan {
    struct route_group groups[ROUTE_TARGETS_MAX];
    size_t group_count;
    size_t target_count;
    bool is_full; /* something had no room */
};
/* Zeroed is empty. */

/* Adds what is new in `group`, if anything. Borrows its lists; what has to be copied is in
 * `arena`. */
void plan_add(struct plan *plan, struct arena *arena, const struct route_group *group);
void plan_add_all(struct plan *plan, struct arena *arena, const struct route_group *groups,
                  size_t count);
/* The groups, copied into `arena`. */
const struct route_group *plan_groups(const struct plan *plan, struct arena *arena);
