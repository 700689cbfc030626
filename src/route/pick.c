/* Pick: one strategy each for the ways to choose among the targets of a group. Stands between the
 * flow, which knows what may be asked now, and the cells, which know how each target does.
 *
 * Most are a comparison of two entries: the best of all wins, by place or by chance among equals.
 * Each entry is given a rank of three numbers, smaller is better, and the numbers are compared in
 * their order. */
#include "route/pick.h"

#include "base/assert.h"

enum {
    OUTPUT_TOKENS_ASSUMED = 1000, /* of an answer whose length nobody limits */
    RANK_PARTS = 3
};
/* How much worse than the best something counts at most, so that one very bad side (or a best that
 * costs nothing) does not outweigh all others. */
static const double ratio_max = 10;

struct rank {
    double parts[RANK_PARTS];
};

static const struct target *target_of(const struct route_group *group,
                                      const struct pick_entry *entry)
{
    ASSERT(entry->index < group->count);
    return group->targets[entry->index];
}

static int rank_compare(const struct rank *a, const struct rank *b)
{
    for (int i = 0; i < RANK_PARTS; i++)
        if (a->parts[i] < b->parts[i] || a->parts[i] > b->parts[i])
            return a->parts[i] < b->parts[i] ? -1 : 1;
    return 0;
}

/* The position of the best rank. `random`: of equal ones any, all alike; NULL: the first. */
static size_t rank_best(const struct rank *ranks, size_t count, struct random *random)
{
    size_t best = 0;
    size_t equals = 1;
    for (size_t i = 1; i < count; i++) {
        int order = rank_compare(&ranks[i], &ranks[best]);
        equals = order < 0 ? 1 : equals + (order == 0);
        if (order < 0 || (order == 0 && random && random_below(random, equals) == 0))
            best = i;
    }
    return best;
}

/* ---- One by one ------------------------------------------------------------------------------ */

static size_t pick_priority(const struct route_group *group, const struct pick_entry *entries,
                            size_t count, const struct pick_context *context)
{
    (void)group, (void)context;
    size_t best = 0;
    for (size_t i = 1; i < count; i++)
        if (entries[i].index < entries[best].index)
            best = i;
    return best;
}

static uint64_t weight_of(const struct route_group *group, const struct pick_entry *entry)
{
    return group->weights ? group->weights[entry->index] : 1;
}

static size_t pick_weighted(const struct route_group *group, const struct pick_entry *entries,
                            size_t count, const struct pick_context *context)
{
    uint64_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += weight_of(group, &entries[i]);
    if (total == 0)
        return random_below(context->random, count);
    uint64_t drawn = random_below(context->random, total);
    size_t i = 0;
    for (; drawn >= weight_of(group, &entries[i]); i++)
        drawn -= weight_of(group, &entries[i]);
    return i;
}

/* The time until a first content, as far as the calls that are under way already slow it down; 0
 * when it is unknown. */
static double expected_us(const struct cell_view *view)
{
    return (double)view->first_content_us * ((double)view->calls + 1);
}

static size_t pick_latency(const struct route_group *group, const struct pick_entry *entries,
                           size_t count, const struct pick_context *context)
{
    (void)group;
    if (count == 1)
        return 0;
    size_t one = random_below(context->random, count);
    size_t other = random_below(context->random, count - 1);
    other += other >= one;
    return expected_us(&entries[other].view) < expected_us(&entries[one].view) ? other : one;
}

static size_t pick_least_busy(const struct route_group *group, const struct pick_entry *entries,
                              size_t count, const struct pick_context *context)
{
    (void)group;
    struct rank ranks[ROUTE_TARGETS_MAX] = {0};
    for (size_t i = 0; i < count; i++)
        ranks[i].parts[0] = entries[i].view.calls;
    return rank_best(ranks, count, context->random);
}

/* In nano-dollars; -1: no price is known. */
static double cost_of(const struct target *target, const struct llm_needs *needs)
{
    struct llm_usage usage = LLM_USAGE_UNKNOWN;
    if (!target->has_price)
        return -1;
    usage.input_total = needs->input_tokens;
    usage.output_total = needs->output_tokens ? needs->output_tokens : OUTPUT_TOKENS_ASSUMED;
    return (double)price_cost_nano(&target->price, &usage);
}

static size_t pick_cost(const struct route_group *group, const struct pick_entry *entries,
                        size_t count, const struct pick_context *context)
{
    struct rank ranks[ROUTE_TARGETS_MAX];
    for (size_t i = 0; i < count; i++) {
        double cost = cost_of(target_of(group, &entries[i]), context->needs);
        ranks[i] = (struct rank){{cost < 0, cost, (double)entries[i].index}};
    }
    return rank_best(ranks, count, NULL);
}

static size_t pick_region(const struct route_group *group, const struct pick_entry *entries,
                          size_t count, const struct pick_context *context)
{
    (void)context;
    struct rank ranks[ROUTE_TARGETS_MAX];
    for (size_t i = 0; i < count; i++)
        ranks[i] = (struct rank){{group->ranks ? (double)group->ranks[entries[i].index] : 0,
                                  (double)entries[i].view.connect_us, (double)entries[i].index}};
    return rank_best(ranks, count, NULL);
}

/* ---- Balanced -------------------------------------------------------------------------------- */

/* Makes of each value how many times the best one it is, from 1 to ratio_max. Unknown ones (below
 * 0) count as the worst of the known, or as the best. */
static void make_relative(double *values, size_t count, bool unknown_is_best)
{
    double best = -1;
    double worst = 1;
    for (size_t i = 0; i < count; i++)
        if (values[i] >= 0 && (best < 0 || values[i] < best))
            best = values[i];
    for (size_t i = 0; i < count; i++) {
        if (values[i] < 0)
            continue;
        if (values[i] <= best)
            values[i] = 1;
        else
            values[i] = values[i] < best * ratio_max ? values[i] / best : ratio_max;
        worst = values[i] > worst ? values[i] : worst;
    }
    for (size_t i = 0; i < count; i++)
        if (values[i] < 0)
            values[i] = unknown_is_best ? 1 : worst;
}

static size_t pick_balanced(const struct route_group *group, const struct pick_entry *entries,
                            size_t count, const struct pick_context *context)
{
    double costs[ROUTE_TARGETS_MAX];
    double times[ROUTE_TARGETS_MAX];
    double tries[ROUTE_TARGETS_MAX]; /* that an answer takes, at that share of failures */
    struct rank ranks[ROUTE_TARGETS_MAX] = {0};
    for (size_t i = 0; i < count; i++) {
        const struct cell_view *view = &entries[i].view;
        costs[i] = cost_of(target_of(group, &entries[i]), context->needs);
        times[i] = view->first_content_us ? (double)view->first_content_us : -1;
        tries[i] = view->failed_percent < 100 ? 100.0 / (100 - view->failed_percent) : 100;
    }
    make_relative(costs, count, false);
    make_relative(times, count, true); /* or nobody would find out */
    make_relative(tries, count, true);
    double cost_share = context->priority == CELL_BATCH ? 4 : 2; /* sixths */
    double other_share = (6 - cost_share) / 2;
    for (size_t i = 0; i < count; i++)
        ranks[i].parts[0] = cost_share * costs[i] + other_share * (times[i] + tries[i]);
    return rank_best(ranks, count, context->random);
}

/* ---- The table ------------------------------------------------------------------------------- */

struct strategy {
    size_t (*pick)(const struct route_group *group, const struct pick_entry *entries, size_t count,
                   const struct pick_context *context);
    bool probes_first;
};

static const struct strategy strategies[] = {
    [ROUTE_PRIORITY] = {pick_priority, false}, [ROUTE_WEIGHTED] = {pick_weighted, true},
    [ROUTE_LATENCY] = {pick_latency, true},    [ROUTE_LEAST_BUSY] = {pick_least_busy, true},
    [ROUTE_COST] = {pick_cost, false},         [ROUTE_REGION] = {pick_region, false},
    [ROUTE_BALANCED] = {pick_balanced, true},
};

size_t pick(const struct route_group *group, const struct pick_entry *entries, size_t count,
            const struct pick_context *context)
{
    ASSERT(count >= 1 && count <= ROUTE_TARGETS_MAX);
    const struct strategy *strategy = &strategies[group->strategy];
    for (size_t i = 0; strategy->probes_first && i < count; i++)
        if (entries[i].view.probe_due)
            return i;
    return strategy->pick(group, entries, count, context);
}
