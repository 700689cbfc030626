/* Pick: which target of a group goes first. Pure. */
#pragma once

#include "route/route.h"

/* One target that may be asked now: fits the request and has not been ruled out. */
struct pick_entry {
    size_t index; /* in the group */
    struct cell_view view;
};

struct pick_context {
    const struct llm_needs *needs;
    enum cell_priority priority; /* CELL_BATCH leans to cost in ROUTE_BALANCED */
    struct random *random;
};

/* The position in `entries` (count >= 1) of the one to ask first. PRIORITY: the lowest index.
 * WEIGHTED: by chance, in proportion (all weights 0: all alike). LATENCY: of two by chance, the one
 * with the smaller (average of first content) x (calls + 1); one without samples goes first.
 * LEAST_BUSY: fewest calls (ties by chance). COST: cheapest for needs; an unknown price comes last,
 * ties by index. REGION: lowest rank, else shortest connect (unknown first), ties by index.
 * BALANCED: cost, latency and share of failures, each relative to the best of the entries, 1/3
 * each; batch work counts cost for 2/3; ties by chance. For WEIGHTED, LATENCY, LEAST_BUSY and
 * BALANCED a target whose probe is due goes before all others: nobody else would find out that it
 * has recovered. */
size_t pick(const struct route_group *group, const struct pick_entry *entries, size_t count,
            const struct pick_context *context);
