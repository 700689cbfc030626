/* Router: gives the flow its world: calls of the llm floor, the loop's clock and timers, messages
 * from other loops, and the books. Between the doors and runs above, and llm_call below.
 *
 * A call has a flow of its own, or follows an answer that several share (coalesce.c); that answer's
 * flow is a call like any other, whose caller is the share.
 *
 * A call is alive until END has been heard or it was cancelled; its memory goes when the last
 * callback into it has returned (leave). */
#include "route/router.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/clock.h"
#include "route/books.h"
#include "route/coalesce.h"
#include "route/recover.h"
#include "route/story.h"

enum { ARENA_BYTES_MAX = 64 * 1024 * 1024 };

struct router {
    struct router_options options;
    struct books *books;
    struct coalesce_home sharing;
    struct random random;
};

/* One attempt's call. */
struct slot {
    struct route_call *call;
    struct llm_call *llm;
    struct llm_losses losses;
};

/* What a cell wakes: it outlives the call, since a wake may be on its way when the call ends. */
struct wake_ticket {
    struct loop_task task;
    struct loop *loop;
    struct route_call *call; /* on the loop's thread only; NULL: it has ended */
    _Atomic int references;
    _Atomic bool is_posted;
};

struct route_call {
    struct router *router;
    struct arena *arena;
    bool is_streamed;
    const struct catalog *catalog; /* referenced: the plan's targets live in it */
    struct route_plan plan;
    struct llm_needs needs;
    struct flow *flow;
    struct flow_ops ops;
    struct route_request request;
    struct route_events events;
    void *user;
    struct follower *follower; /* not NULL: it has no flow, and nothing of what follows */
    struct slot slots[FLOW_SLOTS];
    struct loop_timer timer;
    uint64_t timer_at_us;
    struct loop_task begun_task; /* says what happened within the start */
    struct llm_error *failed;
    struct wake_ticket *ticket; /* NULL: it never waited for a place */
    size_t story_told;          /* how long the story was when on_story was called */
    bool is_paused;
    bool is_over; /* END was heard, or it was cancelled */
    int depth;    /* of callbacks that will come back here */
};

struct router *router_new(const struct router_options *options)
{
    struct router *router = calloc(1, sizeof *router);
    uint64_t seed;
    ASSERT(router);
    random_bytes(&seed, sizeof seed);
    router->options = *options;
    router->books = books_new(options->metrics, options->log);
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
    free(router);
}

bool router_is_sharing(const struct router *router)
{
    return !list_is_empty(&router->sharing.shares);
}

/* ---- Waking ---------------------------------------------------------------------------------- */

static void ticket_unref(struct wake_ticket *ticket)
{
    if (ticket && atomic_fetch_sub(&ticket->references, 1) == 1)
        free(ticket);
}

static void ticket_run(void *user);

/* Any thread, under a cell's lock. */
static void wake(void *user)
{
    struct wake_ticket *ticket = user;
    if (atomic_exchange(&ticket->is_posted, true))
        return;
    atomic_fetch_add(&ticket->references, 1);
    if (!loop_post(ticket->loop, &ticket->task, ticket_run, ticket))
        ticket_unref(ticket);
}

static void *wake_user(void *user)
{
    struct route_call *call = user;
    if (call->ticket)
        return call->ticket;
    call->ticket = calloc(1, sizeof *call->ticket);
    ASSERT(call->ticket);
    call->ticket->loop = call->router->options.loop;
    call->ticket->call = call;
    call->ticket->references = 1;
    return call->ticket;
}

/* ---- Life of a call -------------------------------------------------------------------------- */

static void call_free(struct route_call *call)
{
    struct loop *loop = call->router->options.loop;
    loop_timer_cancel(loop, &call->timer);
    loop_task_cancel(&call->begun_task);
    if (call->ticket)
        call->ticket->call = NULL;
    ticket_unref(call->ticket);
    if (call->flow)
        flow_done(call->flow);
    if (call->follower)
        follower_leave(call->follower);
    catalog_unref(call->catalog);
    arena_free(call->arena); /* the call is in it */
}

static void enter(struct route_call *call)
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
static void leave(struct route_call *call)
{
    if (call->depth == 1)
        tell_story(call);
    if (--call->depth == 0 && call->is_over)
        call_free(call);
}

static void ticket_run(void *user)
{
    struct wake_ticket *ticket = user;
    struct route_call *call = ticket->call;
    atomic_store(&ticket->is_posted, false);
    if (call && !call->is_over) {
        enter(call);
        flow_on_wake(call->flow);
        leave(call);
    }
    ticket_unref(ticket);
}

/* ---- What the flow hears --------------------------------------------------------------------- */

static void on_event(void *user, const struct llm_event *event)
{
    struct slot *slot = user;
    struct route_call *call = slot->call;
    enter(call);
    if (event->kind == LLM_EVENT_END)
        slot->llm = NULL;
    flow_on_event(call->flow, (int)(slot - call->slots), event);
    leave(call);
}

static void on_raw(void *user, struct str content_type, struct str bytes)
{
    struct slot *slot = user;
    struct route_call *call = slot->call;
    enter(call);
    flow_on_raw(call->flow, (int)(slot - call->slots), content_type, bytes);
    leave(call);
}

static void on_head(void *user, const struct llm_call_head *head)
{
    struct slot *slot = user;
    flow_on_head(slot->call->flow, (int)(slot - slot->call->slots), head->connect_ms * 1000,
                 &head->limits);
}

static void on_timer(void *user)
{
    struct route_call *call = user;
    call->timer_at_us = 0;
    enter(call);
    flow_on_timer(call->flow);
    leave(call);
}

/* ---- What the flow does ---------------------------------------------------------------------- */

static uint64_t now_us(void *user)
{
    (void)user;
    return clock_monotonic_ns() / 1000;
}

static void set_timer(void *user, uint64_t at_us)
{
    struct route_call *call = user;
    struct loop *loop = call->router->options.loop;
    if (at_us == call->timer_at_us)
        return; /* as a rule: the deadline */
    call->timer_at_us = at_us;
    if (!at_us) {
        loop_timer_cancel(loop, &call->timer);
        return;
    }
    uint64_t now = now_us(call);
    loop_timer_set(loop, &call->timer, at_us > now ? (at_us - now + 999) / 1000 : 1, on_timer,
                   call);
}

/* Whether the target takes the caller's own bytes. */
static bool takes_raw(const struct route_call *call, const struct flow_start *start)
{
    const struct dialect *form = start->target->provider->kind->dialect;
    bool as_asked = start->mode == ROUTE_WHOLE || start->mode == ROUTE_SPLICE;
    return as_asked && call->request.raw_body.data && form && form == call->request.raw_dialect;
}

static const struct llm_request *request_of(struct route_call *call, const struct flow_start *start,
                                            struct arena *scratch)
{
    const struct llm_request *request = call->request.request;
    if (!request)
        request = call->events.on_request(call->user, scratch);
    return request ? recover_request(scratch, request, start->mode, start->partial) : NULL;
}

static enum err start_call(struct route_call *call, struct flow_start *start, struct arena *scratch,
                           struct error *error)
{
    const struct router_options *options = &call->router->options;
    struct slot *slot = &call->slots[start->slot];
    bool sends_raw = takes_raw(call, start);
    bool passes_through = sends_raw && start->mode == ROUTE_WHOLE && call->events.on_raw;
    *slot = (struct slot){.call = call};
    llm_losses_init(&slot->losses, call->arena);
    struct llm_call_request request = {
        .provider = start->target->provider,
        .request = request_of(call, start, scratch),
        .model = start->target->model,
        .raw_body = sends_raw ? call->request.raw_body : STR_NONE,
        .raw_headers = sends_raw ? call->request.raw_headers : NULL,
        .losses = &slot->losses,
        .strict = call->request.strict,
        .body_bytes_hint = call->request.raw_body.len + call->request.raw_body.len / 8 + 256,
        .timeouts = call->plan.policy->timeouts,
    };
    const struct llm_call_events events = {on_event, passes_through ? on_raw : NULL, on_head};
    if (!request.request)
        return error_set(error, ERR_INTERNAL, NULL, "the request cannot be read again");
    start->passes_through = passes_through;
    return llm_call_start(options->client, options->loop, &request, &events, slot, &slot->llm,
                          error);
}

static enum err start(void *user, struct flow_start *start, struct llm_error *ret_error)
{
    struct route_call *call = user;
    struct loop *loop = call->router->options.loop;
    struct error error = {0};
    struct arena *scratch = loop_scratch_borrow(loop);
    enum err code = start_call(call, start, scratch, &error);
    loop_scratch_return(loop, scratch);
    if (code != ERR_OK) {
        *ret_error = (struct llm_error){.class = code, .retry_after_ms = -1};
        str_copy(str_from_cstr(error.field), ret_error->field, sizeof ret_error->field);
        str_copy(str_from_cstr(error_message(&error)), ret_error->message,
                 sizeof ret_error->message);
    } else if (call->is_paused) {
        llm_call_pause(call->slots[start->slot].llm);
    }
    return code;
}

static void cancel(void *user, int index, struct llm_usage *ret_usage)
{
    struct route_call *call = user;
    struct slot *slot = &call->slots[index];
    if (slot->llm)
        llm_call_cancel(slot->llm, ret_usage);
    slot->llm = NULL;
}

/* The caller of a joined answer is told so where it ends. */
static struct str extension_of(struct route_call *call)
{
    const struct flow_joint *joints;
    struct json_writer w;
    struct buf out;
    if (!flow_joints(call->flow, &joints))
        return STR_NONE;
    buf_init(&out, 64 * 1024);
    json_writer_init(&w, &out);
    route_write_story(call, 0, &w);
    struct str text = buf_ok(&out) ? arena_str(call->arena, buf_str(&out)) : STR_NONE;
    buf_done(&out);
    return text;
}

static void tell_event(void *user, const struct llm_event *event)
{
    struct route_call *call = user;
    struct llm_event extended;
    if (call->is_over)
        return;
    if (event->kind == LLM_EVENT_FINISH) {
        extended = *event;
        extended.extension = extension_of(call);
        event = &extended;
    }
    call->is_over = event->kind == LLM_EVENT_END;
    call->events.on_event(call->user, event);
}

static void tell_raw(void *user, struct str content_type, struct str bytes)
{
    struct route_call *call = user;
    if (!call->is_over)
        call->events.on_raw(call->user, content_type, bytes);
}

static void tell_rewind(void *user, size_t text_bytes)
{
    struct route_call *call = user;
    if (!call->is_over)
        call->events.on_rewind(call->user, text_bytes);
}

static void note_row(void *user, const struct flow_row *row)
{
    struct route_call *call = user;
    books_note(call->router->books, row, call->request.request_id);
}

static const struct flow_ops flow_world = {
    .now_us = now_us,
    .start = start,
    .cancel = cancel,
    .timer = set_timer,
    .wake = wake,
    .wake_user = wake_user,
    .event = tell_event,
    .raw = tell_raw,
    .rewind = tell_rewind,
    .ledger = note_row,
};

/* ---- Starting and ending --------------------------------------------------------------------- */

/* What failed within the start is told a turn later, like every other failure. */
static void tell_begun(void *user)
{
    struct route_call *call = user;
    enter(call);
    if (call->failed) {
        tell_event(call, &(struct llm_event){.kind = LLM_EVENT_ERROR, .error = call->failed});
        tell_event(call, &(struct llm_event){.kind = LLM_EVENT_END});
    }
    leave(call);
}

static struct route_call *call_new(struct router *router, const struct route_request *request,
                                   const struct route_events *events, void *user)
{
    struct arena *arena = arena_new(ARENA_BYTES_MAX);
    struct route_call *call = ARENA_NEW(arena, struct route_call);
    call->router = router;
    call->arena = arena;
    call->request = *request;
    call->request.request_id = arena_str(arena, request->request_id);
    call->events = *events;
    call->user = user;
    call->ops = flow_world;
    if (!events->on_rewind)
        call->ops.rewind = NULL;
    return call;
}

static enum err make_plan(struct route_call *call, struct error *error)
{
    const struct route_request *request = &call->request;
    call->catalog = registry_acquire(call->router->options.registry);
    return catalog_plan(call->catalog, call->arena, request->request->model, request->chain,
                        request->chain_count, &call->plan, error);
}

static void begin(struct route_call *call)
{
    struct router *router = call->router;
    struct llm_error failed;
    llm_needs_of(call->request.request, &call->needs);
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
    if (call->events.on_request)
        call->request.request = NULL;
}

static void on_shared_event(void *user, const struct llm_event *event)
{
    struct route_call *call = user;
    enter(call);
    if (!call->is_over) {
        call->is_over = event->kind == LLM_EVENT_END;
        call->events.on_event(call->user, event);
    }
    leave(call);
}

static void on_shared_raw(void *user, struct str content_type, struct str bytes)
{
    struct route_call *call = user;
    enter(call);
    tell_raw(call, content_type, bytes);
    leave(call);
}

/* The call becomes that of the share, and no caller's any more. */
static void begin_shared(struct route_call *call, struct share *share, struct follower *first)
{
    share_adopt(share, &call->request);
    call->events = share_events(share);
    call->user = share;
    begin_alone(call);
    share_begin(share, call, first);
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
        caller = call_new(router, &call->request, &call->events, call->user);
        begin_shared(call, share, follower);
    }
    caller->follower = follower;
    follower_listen(follower, on_shared_event, on_shared_raw, caller);
    return caller;
}

enum err route_start(struct router *router, const struct route_request *request,
                     const struct route_events *events, void *user, struct route_call **ret_call,
                     struct error *error)
{
    struct route_call *call = call_new(router, request, events, user);
    enum err code = make_plan(call, error);
    if (code != ERR_OK) {
        call_free(call);
        return code;
    }
    if (coalesce_applies(&router->sharing, request, &call->plan, events))
        call = begin_or_join(call);
    else
        begin_alone(call);
    *ret_call = call;
    return ERR_OK;
}

void route_cancel(struct route_call *call, struct llm_usage *ret_usage)
{
    if (ret_usage)
        *ret_usage = LLM_USAGE_UNKNOWN;
    if (call->is_over)
        return; /* END is being said */
    enter(call);
    call->is_over = true;
    if (call->flow)
        flow_cancel(call->flow, ret_usage);
    else if (ret_usage)
        *ret_usage = follower_usage(call->follower);
    leave(call);
}

void route_pause(struct route_call *call)
{
    call->is_paused = true;
    if (call->follower)
        follower_pause(call->follower);
    for (int i = 0; i < FLOW_SLOTS; i++)
        if (call->slots[i].llm)
            llm_call_pause(call->slots[i].llm);
}

void route_resume(struct route_call *call)
{
    call->is_paused = false;
    if (call->follower)
        follower_resume(call->follower);
    for (int i = 0; i < FLOW_SLOTS; i++)
        if (call->slots[i].llm)
            llm_call_resume(call->slots[i].llm);
}

/* ---- Asking ---------------------------------------------------------------------------------- */

struct route_target route_target(const struct route_call *call)
{
    if (call->follower)
        return follower_facts(call->follower)->target;
    const struct target *target = flow_target(call->flow);
    return (struct route_target){target->id, target->provider->name};
}

bool route_is_raw(const struct route_call *call)
{
    return call->follower ? follower_facts(call->follower)->is_raw : flow_is_raw(call->flow);
}

bool route_is_shared(const struct route_call *call)
{
    return call->follower && follower_has_joined(call->follower);
}

const struct llm_losses *route_losses(const struct route_call *call)
{
    if (call->follower)
        return &follower_facts(call->follower)->losses;
    return &call->slots[flow_slot(call->flow)].losses;
}

int route_attempts(const struct route_call *call)
{
    return call->follower ? follower_facts(call->follower)->attempts : flow_attempts(call->flow);
}

uint64_t route_overhead_us(const struct route_call *call)
{
    return call->follower ? follower_facts(call->follower)->overhead_us
                          : flow_overhead_us(call->flow);
}

bool route_has_story(const struct route_call *call)
{
    return call->follower ? follower_facts(call->follower)->story.len > 0
                          : story_length(call->flow) > 0;
}

void route_write_story(const struct route_call *call, size_t text_before, struct json_writer *w)
{
    if (call->follower)
        json_put_raw(w, follower_facts(call->follower)->story);
    else
        story_write(call->flow, text_before, w);
}
