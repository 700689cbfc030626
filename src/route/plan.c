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

/* The group with only what `keep` wants. */
static struct route_group filter(struct arena *arena, const struct route_group *group,
                                 bool (*keep)(void *user, const struct target *target), void *user)
{
    const struct target **targets = ARENA_NEW_ARRAY(arena, group->count, const struct target *);
    uint32_t *weights = group->weights ? ARENA_NEW_ARRAY(arena, group->count, uint32_t) : NULL;
    uint32_t *ranks = group->ranks ? ARENA_NEW_ARRAY(arena, group->count, uint32_t) : NULL;
    size_t count = 0;
    for (size_t i = 0; i < group->count; i++) {
        if (!keep(user, group->targets[i]))
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

static bool is_new(void *user, const struct target *target)
{
    return !has_target(user, target->id);
}

void plan_add(struct plan *plan, struct arena *arena, const struct route_group *group)
{
    struct route_group added = *group;
    for (size_t i = 0; i < group->count; i++) {
        if (has_target(plan, group->targets[i]->id)) {
            added = filter(arena, group, is_new, plan);
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

static bool keeps_all(const struct route_plan *plan,
                      bool (*keep)(void *user, const struct target *target), void *user)
{
    for (size_t g = 0; g < plan->group_count; g++)
        for (size_t i = 0; i < plan->groups[g].count; i++)
            if (!keep(user, plan->groups[g].targets[i]))
                return false;
    return true;
}

bool plan_narrow(struct route_plan *plan, struct arena *arena,
                 bool (*keep)(void *user, const struct target *target), void *user)
{
    if (keeps_all(plan, keep, user))
        return true;
    struct route_group *groups = ARENA_NEW_ARRAY(arena, plan->group_count, struct route_group);
    size_t count = 0, target_count = 0;
    for (size_t g = 0; g < plan->group_count; g++) {
        groups[count] = filter(arena, &plan->groups[g], keep, user);
        target_count += groups[count].count;
        count += groups[count].count > 0;
    }
    if (target_count == 0)
        return false;
    plan->groups = groups;
    plan->group_count = count;
    plan->target_count = target_count;
    return true;
}
