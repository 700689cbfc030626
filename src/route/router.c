/* Router: gives the flow its world: calls of the llm floor, the loop's clock and timers, messages
 * from other loops, and the books. Between the doors and runs above, and llm_call below.
 *
 * A call has a flow of its own, or follows an answer that several share (coalesce.c); that answer's
 * flow is a call like any other, whose caller is the share.
 *
 * A call is alive until END has been heard or it was cancelled; its memory goes when the last
 * callback into it has returned (leave). */
#include <stdlib.h>

#include "base/assert.h"
#include "route/router_internal.h"
#include "route/story.h"

enum {
    ARENA_BYTES_MAX = 64 * 1024 * 1024,
    CALL_BYTES = sizeof(struct route_call) + 768, /* with a plan of one target and its flow */
    CHARGE_BYTES = 768                            /* and with who pays for it */
};

struct router *router_new(const struct router_options *options)
{
    struct router *router = calloc(1, sizeof *router);
    uint64_t seed;
    ASSERT(router);
    random_bytes(&seed, sizeof seed);
    router->options = *options;
    router->books = books_new(options->metrics, options->log);
    router->cache = options->cache ? cache_client_new(options->cache) : NULL;
    random_init(&router->random, seed);
    coalesce_home_init(&router->sharing, options->coalescer, options->loop, options->log);
    return router;
}

void router_free(struct router *router)
{
    if (!router)
        return;
    coalesce_home_done(&router->sharing);
    books_free(router->books);
    cache_client_free(router->cache);
    catalog_unref(router->catalog);
    free(router);
}

bool router_is_sharing(const struct router *router)
{
    return !list_is_empty(&router->sharing.shares);
}

/* ---- Life of a call -------------------------------------------------------------------------- */

static void call_free(struct route_call *call)
{
    struct loop *loop = call->router->options.loop;
    loop_timer_cancel(loop, &call->timer);
    loop_task_cancel(&call->begun_task);
    router_drop_recording(call);
    replay_end(call->replay);
    wake_free(call->wake);
    if (call->flow)
        flow_done(call->flow);
    if (call->follower)
        follower_leave(call->follower);
    if (call->facts)
        facts_unref(call->facts);
    governor_close(call->charge);
    catalog_unref(call->catalog);
    arena_free(call->arena); /* the call is in it */
}

void router_enter(struct route_call *call)
{
    call->depth++;
}

static void tell_story(struct route_call *call)
{
    bool is_told =
        call->events.on_story && call->flow && !call->is_over; /* a follower has no flow */
    size_t length = is_told ? story_length(call->flow) : 0;
    if (length <= call->story_told)
        return;
    call->story_told = length;
    call->events.on_story(call->user);
}

/* The story is told when the flow has done all that it does now: an attempt that follows a failure
 * is in it. */
void router_leave(struct route_call *call)
{
    if (call->depth == 1)
        tell_story(call);
    if (--call->depth == 0 && call->is_over)
        call_free(call);
}

/* ---- Starting and ending --------------------------------------------------------------------- */

/* What failed within the start is told a turn later, like every other failure. */
static void tell_begun(void *user)
{
    struct route_call *call = user;
    router_enter(call);
    if (call->failed) {
        router_tell_event(call,
                          &(struct llm_event){.kind = LLM_EVENT_ERROR, .error = call->failed});
        router_tell_event(call, &(struct llm_event){.kind = LLM_EVENT_END});
    }
    router_leave(call);
}

static struct route_call *call_new(struct router *router, const struct route_request *request,
                                   const struct route_events *events, void *user)
{
    bool is_charged = router->options.governor && request->origin;
    struct arena *arena = arena_new_from(loop_stock(router->options.loop), ARENA_BYTES_MAX,
                                         is_charged ? CALL_BYTES + CHARGE_BYTES : CALL_BYTES);
    struct route_call *call = ARENA_NEW(arena, struct route_call);
    call->router = router;
    call->arena = arena;
    call->request = *request;
    call->request.request_id = arena_str(arena, request->request_id);
    call->events = *events;
    call->user = user;
    call->ops = router_world;
    if (!events->on_rewind)
        call->ops.rewind = NULL;
    return call;
}

static enum err make_plan(struct route_call *call, struct error *error)
{
    const struct route_request *request = &call->request;
    llm_needs_of(request->request, &call->needs);
    call->catalog = registry_follow(call->router->options.registry, &call->router->catalog);
    return catalog_plan(call->catalog, call->arena, request->request->model, request->chain,
                        request->chain_count, &call->plan, error);
}

/* Who asks pays: reserves, and leaves in the plan what may be asked. */
static enum err open_charge(struct route_call *call, struct llm_error *ret_error)
{
    struct governor *governor = call->router->options.governor;
    const struct route_request *request = &call->request;
    if (!governor || !request->origin)
        return ERR_OK;
    const struct governor_ask ask = {.origin = request->origin,
                                     .model = request->request->model,
                                     .chain = request->chain,
                                     .chain_count = request->chain_count,
                                     .input_tokens = call->needs.input_tokens,
                                     .output_tokens = call->needs.output_tokens,
                                     .is_streamed = request->request->stream};
    return governor_open(governor, &ask, call->arena, &call->plan, &call->charge, ret_error);
}

static void begin(struct route_call *call)
{
    struct router *router = call->router;
    struct llm_error failed;
    call->flow = flow_new(
        &(struct flow_request){
            .plan = &call->plan,
            .needs = &call->needs,
            .priority = call->request.priority,
            .is_streamed = call->request.request->stream,
            .arena = call->arena,
            .random = &router->random,
        },
        &call->ops, call);
    if (flow_begin(call->flow, &failed) != ERR_OK) {
        call->failed = ARENA_NEW(call->arena, struct llm_error);
        *call->failed = failed;
    }
    if (call->failed || story_length(call->flow))
        loop_defer(router->options.loop, &call->begun_task, tell_begun, call);
}

/* A call by itself. What it borrowed for the start only is given back. */
static void begin_alone(struct route_call *call)
{
    begin(call);
    call->request.raw_members = NULL;
    if (call->events.on_request)
        call->request.request = NULL;
}

/* The call becomes that of the share, and no caller's any more: it keeps the charge of the one who
 * asked first, who pays for the answer. */
static void begin_shared(struct route_call *call, struct share *share, struct follower *first)
{
    share_adopt(share, &call->request);
    call->request.origin = NULL;
    call->events = share_events(share);
    call->user = share;
    begin_alone(call);
    share_begin(share, call, first);
}

/* For the one who asked first: what it hears is another call's. */
static struct route_call *call_beside(const struct route_call *shared)
{
    struct route_call *call =
        call_new(shared->router, &shared->request, &shared->events, shared->user);
    call->cached = shared->cached;
    if (shared->charge) {
        call->limits = ARENA_NEW(call->arena, struct limiter_view);
        *call->limits = *charge_view(shared->charge);
    }
    return call;
}

/* Returns the call that its caller gets. */
static struct route_call *begin_or_join(struct route_call *call)
{
    struct router *router = call->router;
    struct route_call *caller = call;
    struct share *share;
    struct follower *follower =
        coalesce_join(&router->sharing, &call->request, &call->plan, &call->events, &share);
    if (!follower) {
        begin_alone(call);
        return call;
    }
    if (share) {
        caller = call_beside(call);
        begin_shared(call, share, follower);
    }
    router_drop_recording(caller); /* the shared call has it, if it is the first */
    caller->follower = follower;
    follower_listen(follower, router_on_retold_event, router_on_retold_raw, caller);
    return caller;
}

/* A refusal is told a turn later, like everything else that fails. */
static void refuse(struct route_call *call, const struct llm_error *error)
{
    call->facts = facts_of_plan(&call->plan);
    call->failed = ARENA_NEW(call->arena, struct llm_error);
    *call->failed = *error;
    loop_defer(call->router->options.loop, &call->begun_task, tell_begun, call);
}

/* Who asks whom, who pays, and whether the answer is there already. */
static enum err open_call(struct route_call *call, struct error *error)
{
    struct llm_error refused;
    enum err code = make_plan(call, error);
    if (code != ERR_OK)
        return code;
    router_expect_look_up(call);
    if (open_charge(call, &refused) == ERR_OK)
        return router_look_up(call, error);
    refuse(call, &refused);
    return ERR_OK;
}

/* One whose plan was narrowed is not answered as others are. */
static bool may_share(const struct route_call *call)
{
    return !(call->charge && charge_is_narrowed(call->charge)) &&
           coalesce_applies(&call->router->sharing, &call->request, &call->plan, &call->events);
}

enum err route_start(struct router *router, const struct route_request *request,
                     const struct route_events *events, void *user, struct route_call **ret_call,
                     struct error *error)
{
    struct route_call *call = call_new(router, request, events, user);
    enum err code = open_call(call, error);
    if (code != ERR_OK) {
        call_free(call);
        return code;
    }
    if (call->failed || call->replay)
        ; /* it ends, or tells a kept answer, by itself */
    else if (may_share(call))
        call = begin_or_join(call);
    else
        begin_alone(call);
    call->request.origin = NULL;
    *ret_call = call;
    return ERR_OK;
}

void route_cancel(struct route_call *call, struct llm_usage *ret_usage)
{
    if (ret_usage)
        *ret_usage = LLM_USAGE_UNKNOWN;
    if (call->is_over)
        return; /* END is being said */
    router_enter(call);
    call->is_over = true;
    if (call->flow)
        flow_cancel(call->flow, ret_usage);
    else if (ret_usage && call->follower)
        *ret_usage = follower_usage(call->follower);
    router_leave(call);
}

void route_pause(struct route_call *call)
{
    call->is_paused = true;
    if (call->replay)
        replay_pause(call->replay);
    if (call->follower)
        follower_pause(call->follower);
    for (int i = 0; i < FLOW_SLOTS; i++)
        if (call->slots[i].llm)
            llm_call_pause(call->slots[i].llm);
}

void route_resume(struct route_call *call)
{
    call->is_paused = false;
    if (call->replay)
        replay_resume(call->replay);
    if (call->follower)
        follower_resume(call->follower);
    for (int i = 0; i < FLOW_SLOTS; i++)
        if (call->slots[i].llm)
            llm_call_resume(call->slots[i].llm);
}

/* ---- Asking ---------------------------------------------------------------------------------- */

/* What stands for a flow; NULL: there is one. */
static const struct facts *facts_of(const struct route_call *call)
{
    if (call->replay)
        return replay_facts(call->replay);
    return call->follower ? follower_facts(call->follower) : call->facts;
}

struct route_target route_target(const struct route_call *call)
{
    const struct facts *facts = facts_of(call);
    if (facts)
        return facts->target;
    const struct target *target = flow_target(call->flow);
    return (struct route_target){target->id, target->provider->name};
}

bool route_is_raw(const struct route_call *call)
{
    const struct facts *facts = facts_of(call);
    return facts ? facts->is_raw : flow_is_raw(call->flow);
}

bool route_is_shared(const struct route_call *call)
{
    return call->follower && follower_has_joined(call->follower);
}

enum route_cached route_cached(const struct route_call *call, uint64_t *ret_age_ms)
{
    if (ret_age_ms)
        *ret_age_ms = call->cached_age_ms;
    return call->cached;
}

const struct llm_losses *route_losses(const struct route_call *call)
{
    const struct facts *facts = facts_of(call);
    return facts ? &facts->losses : &call->slots[flow_slot(call->flow)].losses;
}

int route_attempts(const struct route_call *call)
{
    const struct facts *facts = facts_of(call);
    return facts ? facts->attempts : flow_attempts(call->flow);
}

uint64_t route_overhead_us(const struct route_call *call)
{
    const struct facts *facts = facts_of(call);
    return facts ? facts->overhead_us : flow_overhead_us(call->flow);
}

bool route_has_story(const struct route_call *call)
{
    const struct facts *facts = facts_of(call);
    return facts ? facts->story.len > 0 : story_length(call->flow) > 0;
}

void route_write_story(const struct route_call *call, size_t text_before, struct json_writer *w)
{
    const struct facts *facts = facts_of(call);
    if (facts)
        json_put_raw(w, facts->story);
    else
        story_write(call->flow, text_before, w);
}

const struct limiter_view *route_limits(const struct route_call *call)
{
    return call->charge ? charge_view(call->charge) : call->limits;
}

void route_lost(struct route_call *call, struct str names)
{
    if (call->charge)
        governor_lost(call->charge, names);
}
