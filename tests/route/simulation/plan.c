/* Plan: draws a day from its seed: who the targets are and what befalls them when, the route and
 * its policy, and who asks. Everything random is drawn from ranges in which real ones lie, and
 * beyond. */
#include "world.h"

#include <inttypes.h>
#include <string.h>

enum { MILLI = 1000 };

static uint64_t draw(struct simulation *world, uint64_t least, uint64_t most)
{
    return world_between(&world->plan_random, least, most);
}

static bool toss(struct simulation *world, int percent)
{
    return random_below(&world->plan_random, 100) < (uint64_t)percent;
}

/* ---- Policy ---------------------------------------------------------------------------------- */

static struct breaker_policy draw_breaker(struct simulation *world)
{
    return (struct breaker_policy){
        .failures_max = (int)draw(world, 1, 8),
        .ratio_percent = toss(world, 50) ? 0 : (int)draw(world, 30, 90),
        .ratio_calls_min = (int)draw(world, 5, 20),
        .window_us = draw(world, 10, 60) * WORLD_SECOND,
        .cooldown_us = draw(world, 1, 60) * WORLD_SECOND,
        .cooldown_max_us = 600ull * WORLD_SECOND,
        .lease_us = draw(world, 10, 120) * WORLD_SECOND,
    };
}

static struct route_policy draw_policy(struct simulation *world)
{
    uint64_t backoff_us = draw(world, 100, 2000) * MILLI;
    return (struct route_policy){
        .attempts_max = (int)draw(world, 1, 4),
        .attempts_total_max = toss(world, 15) ? 1 : (int)draw(world, 2, 12),
        .backoff_us = backoff_us,
        .backoff_max_us = backoff_us + draw(world, 0, 30) * WORLD_SECOND,
        .queue_wait_us = draw(world, 0, 30) * WORLD_SECOND,
        .total_us = draw(world, 5, 120) * WORLD_SECOND,
        .recovery = toss(world, 50) ? ROUTE_CONTINUE
                                    : (enum route_mode)draw(world, ROUTE_WHOLE, ROUTE_SPLICE),
        .recoveries_max = toss(world, 10) ? 0 : (int)draw(world, 1, 4),
        .hedge = toss(world, 40),
        .hedge_percent = (int)draw(world, 5, 60),
        .cost_max_nano = toss(world, 15) ? (int64_t)draw(world, 1000000, 20000000) : 0,
        .bench_us = draw(world, 10, 600) * WORLD_SECOND,
        .breaker = draw_breaker(world),
        .timeouts = {.connect_ms = 5000,
                     .headers_ms = draw(world, 5, 30) * MILLI,
                     .first_content_ms = draw(world, 2, 30) * MILLI,
                     .content_idle_ms = draw(world, 2, 20) * MILLI},
    };
}

/* ---- Targets --------------------------------------------------------------------------------- */

/* Troubles that last: what a bad day is made of. */
static const enum fault weather[] = {
    FAULT_SLOW,           FAULT_RATE_LIMITED, FAULT_RATE_LIMITED_HINT,
    FAULT_SERVER,         FAULT_OVERLOADED,   FAULT_OVERLOADED_HINT,
    FAULT_AUTHENTICATION, FAULT_QUOTA,        FAULT_SILENT,
    FAULT_RESET,          FAULT_CUT,          FAULT_STALL,
    FAULT_BREAK,          FAULT_REFUSED,      FAULT_NO_HEADERS,
    FAULT_PERMISSION,
};

static void draw_phases(struct simulation *world, struct world_target *target, uint64_t day_us)
{
    uint64_t begin_us = world->now_us;
    if (toss(world, 25)) /* one that is well all day */
        return;
    target->phase_count = (int)draw(world, 1, WORLD_PHASES_MAX);
    for (int i = 0; i < target->phase_count; i++) {
        struct world_phase *phase = &target->phases[i];
        phase->from_us = begin_us + random_below(&world->plan_random, day_us);
        phase->until_us =
            phase->from_us + (toss(world, 50) ? draw(world, 5, 600) * WORLD_SECOND
                                              : random_below(&world->plan_random, day_us));
        phase->fault = weather[random_below(&world->plan_random, sizeof weather / sizeof *weather)];
        phase->percent = toss(world, 50) ? 100 : (int)draw(world, 20, 90);
    }
    target->fault_percent = toss(world, 30) ? 0 : (int)draw(world, 1, 40);
}

static struct cell_limits draw_limits(struct simulation *world)
{
    return (struct cell_limits){
        .concurrency_max = toss(world, 60) ? 0 : (int)draw(world, 1, 10),
        .requests_per_minute = toss(world, 75) ? 0 : (int64_t)draw(world, 20, 300),
        .tokens_per_minute = toss(world, 85) ? 0 : (int64_t)draw(world, 20000, 500000),
        .waiters_max = (int)draw(world, 1, 64),
    };
}

static void draw_price(struct simulation *world, struct target *target)
{
    target->has_price = toss(world, 80);
    target->price = (struct price){
        .input = (int64_t)draw(world, 0, 10) * PRICE_PER_MILLION,
        .cache_read = -1,
        .cache_write = -1,
        .output = (int64_t)draw(world, 0, 30) * PRICE_PER_MILLION,
        .long_input = -1,
        .long_output = -1,
    };
}

static void draw_target(struct simulation *world, int index, uint64_t day_us)
{
    struct world_target *target = &world->day.targets[index];
    target->world = world;
    target->index = index;
    snprintf(target->id, sizeof target->id, "sim%d/model", index);
    struct str id = str_from_cstr(target->id);
    target->target.id = id;
    target->target.model = STR("model");
    target->target.traits.context_tokens = toss(world, 70) ? 0 : (int64_t)draw(world, 2000, 9000);
    target->target.traits.tools = toss(world, 85) ? LLM_UNSET : LLM_FALSE;
    target->obeys_prefill = toss(world, 40);
    target->target.traits.prefill = target->obeys_prefill || toss(world, 20) ? LLM_TRUE : LLM_UNSET;
    draw_price(world, &target->target);
    target->target.limits = draw_limits(world);
    target->target.cell = cells_get(world->cells, id);
    target->first_us = draw(world, 100, 2500) * MILLI;
    target->gap_us = draw(world, 20, 800) * MILLI;
    target->is_sampled = toss(world, 50);
    target->tells_limits = toss(world, 15);
    target->passes_through = toss(world, 50);
    target->repeats_percent = toss(world, 50) ? 0 : (int)draw(world, 10, 100);
    target->no_usage_percent = toss(world, 70) ? 0 : (int)draw(world, 10, 100);
    target->pace_level = (double)target->target.limits.requests_per_minute;
    target->pace_us = world->now_us;
    draw_phases(world, target, day_us);
}

/* ---- The route ------------------------------------------------------------------------------- */

static void draw_groups(struct simulation *world)
{
    struct world_day *day = &world->day;
    size_t count = (size_t)day->target_count, first = count;
    if (count > 1 && toss(world, 35))
        first = draw(world, 1, count - 1);
    for (size_t i = 0; i < count; i++) {
        day->members[i] = &day->targets[i].target;
        day->weights[i] = (uint32_t)draw(world, 1, 5);
        day->ranks[i] = (uint32_t)draw(world, 0, 2);
    }
    size_t at = 0;
    for (size_t g = 0; at < count; g++) {
        struct route_group *group = &day->groups[g];
        group->strategy = (enum route_strategy)draw(world, ROUTE_PRIORITY, ROUTE_BALANCED);
        group->targets = day->members + at;
        group->weights = toss(world, 80) ? day->weights + at : NULL;
        group->ranks = toss(world, 50) ? day->ranks + at : NULL;
        group->count = g == 0 ? first : count - first;
        at += group->count;
        day->plan.group_count = g + 1;
    }
    day->plan.name = STR("simulated");
    day->plan.policy = &day->policy;
    day->plan.groups = day->groups;
    day->plan.target_count = count;
    day->plan.live = &day->live;
}

static void draw_callers(struct simulation *world)
{
    struct world_day *day = &world->day;
    day->requests = (int)draw(world, 400, 600);
    day->gap_us = draw(world, 200, 4000) * MILLI;
    day->cancel_percent = toss(world, 40) ? 0 : (int)draw(world, 1, 20);
    day->rewind_percent = toss(world, 30) ? 0 : (int)draw(world, 10, 100);
    day->raw_percent = toss(world, 50) ? 0 : (int)draw(world, 10, 60);
    day->tools_percent = toss(world, 50) ? 0 : (int)draw(world, 5, 30);
    day->own_fault_percent = toss(world, 50) ? 0 : (int)draw(world, 1, 10);
    day->whole_percent = toss(world, 60) ? 0 : (int)draw(world, 10, 100);
    day->late_us = toss(world, 50) ? 0 : (int)draw(world, 1, 3000);
}

void plan_day(struct simulation *world)
{
    struct world_day *day = &world->day;
    memset(day, 0, sizeof *day);
    draw_callers(world);
    day->policy = draw_policy(world);
    day->target_count = toss(world, 12) ? 1 : (int)draw(world, 2, WORLD_TARGETS_MAX);
    for (int i = 0; i < day->target_count; i++)
        draw_target(world, i, day->gap_us * (uint64_t)day->requests);
    draw_groups(world);
}

/* ---- A request ------------------------------------------------------------------------------- */

static bool chance(struct simulation *world, int percent)
{
    return world_chance(world, percent);
}

static void draw_needs(struct simulation *world, struct world_request *request)
{
    struct random *random = &world->world_random;
    request->needs.input_tokens =
        (int64_t)world_between(random, 20, chance(world, 5) ? 8000 : 1500);
    request->needs.output_tokens = chance(world, 50) ? 0 : (int64_t)world_between(random, 50, 800);
    request->has_tools = chance(world, world->day.tools_percent);
    request->needs.tools = request->has_tools;
    request->words = (int)world_between(random, 1, 60);
    request->reasons = chance(world, 10);
}

static const enum fault own_faults[] = {FAULT_CONTEXT, FAULT_FILTERED, FAULT_INVALID};

void plan_request(struct simulation *world, struct world_request *request,
                  struct flow_request *ret_request)
{
    struct world_day *day = &world->day;
    struct random *random = &world->world_random;
    draw_needs(world, request);
    request->is_streamed = !chance(world, day->whole_percent);
    request->can_rewind = request->is_streamed && chance(world, day->rewind_percent);
    request->takes_raw = !request->can_rewind && chance(world, day->raw_percent);
    if (chance(world, day->own_fault_percent))
        request->own_fault = own_faults[random_below(random, 3)];
    if (chance(world, day->cancel_percent)) {
        if (chance(world, 40))
            request->cancels_at = (int)world_between(random, 1, 8);
        else
            world_at(world, &request->caller,
                     world->now_us + random_below(random, day->policy.total_us / 3));
    }
    if (!request->can_rewind)
        request->ops.rewind = NULL;
    if (!request->takes_raw)
        request->ops.raw = NULL;
    *ret_request = (struct flow_request){
        .plan = &day->plan,
        .needs = &request->needs,
        .priority = chance(world, 80) ? CELL_INTERACTIVE
                                      : (enum cell_priority)world_between(random, 1, CELL_BATCH),
        .is_streamed = request->is_streamed,
        .arena = request->arena,
        .random = &world->flow_random,
    };
}

/* ---- For a reader of a trace ----------------------------------------------------------------- */

static void print_target(const struct world_target *target, FILE *file)
{
    const struct cell_limits *limits = &target->target.limits;
    fprintf(file,
            "  %s: first after %.1f s, pieces every %.1f s, %d %% go wrong, %s, %s; at most %d at "
            "once, %" PRId64 " requests and %" PRId64 " tokens a minute\n",
            target->id, (double)target->first_us / 1e6, (double)target->gap_us / 1e6,
            target->fault_percent, target->is_sampled ? "sampled" : "always the same answer",
            target->obeys_prefill ? "continues a prefill" : "rejects a prefill",
            limits->concurrency_max, limits->requests_per_minute, limits->tokens_per_minute);
    for (int i = 0; i < target->phase_count; i++)
        fprintf(file, "    %.1f to %.1f s: %s, %d %%\n", (double)target->phases[i].from_us / 1e6,
                (double)target->phases[i].until_us / 1e6, fault_name(target->phases[i].fault),
                target->phases[i].percent);
}

void plan_print(const struct simulation *world, FILE *file)
{
    const struct world_day *day = &world->day;
    const struct route_policy *policy = &day->policy;
    fprintf(file,
            "day %" PRIu64 ": %d requests, one every %.1f s\n"
            "  policy: %d attempts at one, %d in all, backoff %.1f to %.1f s, queue %.0f s, in all "
            "%.0f s, recovery %s (%d), hedge %s (%d %%), bench %.0f s\n"
            "  breaker: %d in a row or %d %% of %d, cooldown %.0f s, lease %.0f s\n",
            world->options->seed, day->requests, (double)day->gap_us / 1e6, policy->attempts_max,
            policy->attempts_total_max, (double)policy->backoff_us / 1e6,
            (double)policy->backoff_max_us / 1e6, (double)policy->queue_wait_us / 1e6,
            (double)policy->total_us / 1e6, route_mode_name(policy->recovery),
            policy->recoveries_max, policy->hedge ? "yes" : "no", policy->hedge_percent,
            (double)policy->bench_us / 1e6, policy->breaker.failures_max,
            policy->breaker.ratio_percent, policy->breaker.ratio_calls_min,
            (double)policy->breaker.cooldown_us / 1e6, (double)policy->breaker.lease_us / 1e6);
    for (size_t i = 0; i < day->plan.group_count; i++)
        fprintf(file, "  group: %s of %zu\n", route_strategy_name(day->groups[i].strategy),
                day->groups[i].count);
    for (int i = 0; i < day->target_count; i++)
        print_target(&day->targets[i], file);
}
