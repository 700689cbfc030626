/* The flow's world: calls of the llm floor, the loop's clock and timers, messages from other loops,
 * and the books. Part of the router. */
#include "base/clock.h"
#include "route/recover.h"
#include "route/router_internal.h"

/* ---- Waking ---------------------------------------------------------------------------------- */

static void on_wake(void *user)
{
    struct route_call *call = user;
    if (call->is_over)
        return;
    router_enter(call);
    flow_on_wake(call->flow);
    router_leave(call);
}

static void *wake_user(void *user)
{
    struct route_call *call = user;
    if (!call->wake)
        call->wake = wake_new(call->router->options.loop, on_wake, call);
    return call->wake;
}

/* ---- What the flow hears --------------------------------------------------------------------- */

static void on_event(void *user, const struct llm_event *event)
{
    struct slot *slot = user;
    struct route_call *call = slot->call;
    router_enter(call);
    if (event->kind == LLM_EVENT_END)
        slot->llm = NULL;
    flow_on_event(call->flow, (int)(slot - call->slots), event);
    router_leave(call);
}

static void on_raw(void *user, struct str content_type, struct str bytes)
{
    struct slot *slot = user;
    struct route_call *call = slot->call;
    router_enter(call);
    flow_on_raw(call->flow, (int)(slot - call->slots), content_type, bytes);
    router_leave(call);
}

static void on_head(void *user, const struct llm_call_head *head)
{
    struct slot *slot = user;
    if (slot->call->charge)
        governor_reached(slot->call->charge, (int)(slot - slot->call->slots), head->status);
    flow_on_head(slot->call->flow, (int)(slot - slot->call->slots), head->connect_ms * 1000,
                 &head->limits);
}

static void on_timer(void *user)
{
    struct route_call *call = user;
    call->timer_at_us = 0;
    router_enter(call);
    flow_on_timer(call->flow);
    router_leave(call);
}

/* ---- What the flow does ---------------------------------------------------------------------- */

static uint64_t now_us(void *user)
{
    const struct route_call *call = user;
    return loop_now_us(call->router->options.loop);
}

static uint64_t moment_us(void *user)
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
    const struct dialect *raw = call->request.raw_dialect;
    return as_asked && call->request.raw_body.data && form && raw &&
           (form == raw || form == raw->asked_of);
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
        .raw_members = sends_raw ? call->request.raw_members : NULL,
        .raw_path = sends_raw ? call->request.raw_dialect->asked_path : NULL,
        .raw_headers = sends_raw ? call->request.raw_headers : NULL,
        .losses = &slot->losses,
        .strict = call->request.strict,
        .marks_prompt = call->plan.policy->prompt_cache,
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

static enum err start_allowed(struct route_call *call, struct flow_start *start,
                              struct llm_error *ret_error)
{
    struct loop *loop = call->router->options.loop;
    struct error error;
    error_init(&error);
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

/* Whether it may be made is asked anew for every attempt. */
static enum err start(void *user, struct flow_start *start, struct llm_error *ret_error)
{
    struct route_call *call = user;
    struct charge *charge = call->charge;
    enum err code = charge ? governor_check(charge, start->target, ret_error) : ERR_OK;
    if (code == ERR_OK)
        code = start_allowed(call, start, ret_error);
    if (code == ERR_OK && charge)
        governor_begin(charge, start->slot, start->target, start->number, start->mode,
                       start->is_hedge);
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

void router_tell_event(struct route_call *call, const struct llm_event *event)
{
    struct llm_event extended;
    if (call->is_over)
        return;
    if (event->kind == LLM_EVENT_FINISH && call->flow) {
        extended = *event;
        extended.extension = extension_of(call);
        event = &extended;
    }
    router_record_event(call, event);
    call->is_over = event->kind == LLM_EVENT_END;
    call->events.on_event(call->user, event);
}

void router_tell_raw(struct route_call *call, struct str content_type, struct str bytes)
{
    if (call->is_over)
        return;
    router_record_bytes(call, content_type, bytes);
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
    if (call->charge)
        governor_end(call->charge, row->slot, row);
}

static void tell_event(void *user, const struct llm_event *event)
{
    router_tell_event(user, event);
}

static void tell_raw(void *user, struct str content_type, struct str bytes)
{
    router_tell_raw(user, content_type, bytes);
}

const struct flow_ops router_world = {
    .now_us = now_us,
    .moment_us = moment_us,
    .start = start,
    .cancel = cancel,
    .timer = set_timer,
    .wake = wake_fire,
    .wake_user = wake_user,
    .event = tell_event,
    .raw = tell_raw,
    .rewind = tell_rewind,
    .ledger = note_row,
};
