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
/* Keeps of a plan only the targets that `keep` wants. What changes is copied into `arena`; nothing is
 * when all stay. Groups that become empty go. False, and nothing is changed, when none would stay. */
bool plan_narrow(struct route_plan *plan, struct arena *arena,
                 bool (*keep)(void *user, const struct target *target), void *user);
/* The groups, copied into `arena`. */
const struct route_group *plan_groups(const struct plan *plan, struct arena *arena);
