/* Plan: for routes with fallbacks (once for each snapshot) and for requests that name their own
 * chain (catalog.c). */
#include "route/plan.h"

#include <string.h>

static bool has_target(const struct plan *plan, struct str id)
{
    for (size_t g = 0; g < plan->group_count; g++)
        for (size_t i = 0; i < plan->groups[g].count; i++)
            if (str_eq(plan->groups[g].targets[i]->id, id))
                return true;
    return false;
}

/* The group without what stands in the plan already. */
static struct route_group without_known(const struct plan *plan, struct arena *arena,
                                        const struct route_group *group)
{
    const struct target **targets = ARENA_NEW_ARRAY(arena, group->count, const struct target *);
    uint32_t *weights = group->weights ? ARENA_NEW_ARRAY(arena, group->count, uint32_t) : NULL;
    uint32_t *ranks = group->ranks ? ARENA_NEW_ARRAY(arena, group->count, uint32_t) : NULL;
    size_t count = 0;
    for (size_t i = 0; i < group->count; i++) {
        if (has_target(plan, group->targets[i]->id))
            continue;
        targets[count] = group->targets[i];
        if (weights)
            weights[count] = group->weights[i];
        if (ranks)
            ranks[count] = group->ranks[i];
        count++;
    }
    return (struct route_group){group->strategy, targets, weights, ranks, count};
}

void plan_add(struct plan *plan, struct arena *arena, const struct route_group *group)
{
    struct route_group added = *group;
    for (size_t i = 0; i < group->count; i++) {
        if (has_target(plan, group->targets[i]->id)) {
            added = without_known(plan, arena, group);
            break;
        }
    }
    if (plan->target_count + added.count > ROUTE_TARGETS_MAX) {
        plan->is_full = true;
        added.count = ROUTE_TARGETS_MAX - plan->target_count;
    }
    if (added.count == 0)
        return;
    plan->groups[plan->group_count++] = added;
    plan->target_count += added.count;
}

void plan_add_all(struct plan *plan, struct arena *arena, const struct route_group *groups,
                  size_t count)
{
    for (size_t i = 0; i < count; i++)
        plan_add(plan, arena, &groups[i]);
}

const struct route_group *plan_groups(const struct plan *plan, struct arena *arena)
{
    size_t size = plan->group_count * sizeof plan->groups[0];
    return memcpy(arena_alloc(arena, size), plan->groups, size);
}
