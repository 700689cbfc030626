/* Call: what every call shares, whoever answers it: the timers of silence, and the order of events
 * and of the end. Over HTTP it is driven by bytes (call_http.c), inside the process by timers
 * (call_eliza.c). */
#include "llm/call.h"

#include <stdio.h>

#include "llm/call_internal.h"

void llm_call_init(struct llm_call *call, struct loop *loop, const struct llm_call_request *request,
                   const struct llm_call_events *events, void *user)
{
    call->loop = loop;
    call->provider = provider_ref(request->provider);
    call->events = *events;
    call->user = user;
    call->usage = LLM_USAGE_UNKNOWN;
    const struct llm_timeouts *timeouts = &request->timeouts;
    call->first_content_timeout_ms = timeouts->first_content_ms
                                         ? timeouts->first_content_ms
                                         : call->provider->first_content_timeout_ms;
    call->content_idle_timeout_ms = timeouts->content_idle_ms
                                        ? timeouts->content_idle_ms
                                        : call->provider->content_idle_timeout_ms;
}

/* The silence timer is set once, as a rule, and looks, when it fires, at when content last came: an
 * event costs one assignment, not a heap operation. */
static void silence_fired(void *user)
{
    struct llm_call *call = user;
    uint64_t limit =
        call->has_content ? call->content_idle_timeout_ms : call->first_content_timeout_ms;
    uint64_t silent_ms = loop_now_ms(call->loop) - call->content_ms;
    if (limit == 0)
        return;
    if (call->paused || silent_ms < limit) {
        loop_timer_set(call->loop, &call->silence, call->paused ? limit : limit - silent_ms,
                       silence_fired, call);
        return;
    }
    struct llm_error error = {.class = ERR_TIMEOUT, .retry_after_ms = -1};
    snprintf(error.code, sizeof error.code, "%s",
             call->has_content ? "content_idle" : "first_content");
    snprintf(error.message, sizeof error.message, "%.*s sent no %s for %llu ms",
             STR_ARG(call->provider->name), call->has_content ? "further content" : "content",
             (unsigned long long)limit);
    llm_call_fail(call, &error);
}

void llm_call_watch(struct llm_call *call)
{
    uint64_t limit = call->first_content_timeout_ms;
    call->content_ms = loop_now_ms(call->loop);
    if (limit)
        loop_timer_set(call->loop, &call->silence, limit, silence_fired, call);
}

static void note_content(struct llm_call *call)
{
    uint64_t idle = call->content_idle_timeout_ms;
    call->content_ms = loop_now_ms(call->loop);
    if (call->has_content)
        return;
    call->has_content = true;
    bool is_early_enough =
        loop_timer_is_set(&call->silence) && call->silence.node.key <= call->content_ms + idle;
    if (idle && !is_early_enough)
        loop_timer_set(call->loop, &call->silence, idle, silence_fired, call);
}

/* Hands one event up; notes what the timers and the usage need. */
void llm_call_emit(void *user, const struct llm_event *event)
{
    struct llm_call *call = user;
    if (call->ended)
        return;
    if (event->kind == LLM_EVENT_USAGE)
        call->usage = event->usage;
    if (event->kind == LLM_EVENT_ERROR)
        call->failed = true;
    if (llm_event_is_content(event->kind) && !event->is_whole) /* its end comes at once */
        note_content(call);
    if (event->kind == LLM_EVENT_END) {
        call->ended = true;
        loop_timer_cancel(call->loop, &call->silence);
    }
    call->emitting++;
    call->events.on_event(call->user, event);
    call->emitting--;
}

void llm_call_fail(struct llm_call *call, const struct llm_error *error)
{
    call->emitting++; /* the callee may cancel: freeing waits */
    llm_call_emit(call, &(struct llm_event){.kind = LLM_EVENT_ERROR, .error = error});
    llm_call_emit(call, &(struct llm_event){.kind = LLM_EVENT_END});
    call->emitting--;
    llm_call_settle(call);
}

/* Called whenever control is back at the outermost level: frees what has ended. */
void llm_call_settle(struct llm_call *call)
{
    if (call->ended && call->emitting == 0)
        call->ops->finish(call);
}

void llm_call_cancel(struct llm_call *call, struct llm_usage *ret_usage)
{
    if (ret_usage)
        *ret_usage = call->usage;
    call->ended = true;
    call->cancelled = true;
    loop_timer_cancel(call->loop, &call->silence);
    llm_call_settle(call);
}

void llm_call_pause(struct llm_call *call)
{
    if (call->ended)
        return;
    call->paused = true;
    call->ops->pause(call, true);
}

void llm_call_resume(struct llm_call *call)
{
    if (call->ended)
        return;
    call->paused = false;
    call->content_ms = loop_now_ms(call->loop);
    call->ops->pause(call, false);
}

enum err llm_call_start(struct http_client *client, struct loop *loop,
                        const struct llm_call_request *request,
                        const struct llm_call_events *events, void *user,
                        struct llm_call **ret_call, struct error *error)
{
    if (!request->provider->kind->dialect)
        return llm_call_start_eliza(loop, request, events, user, ret_call, error);
    return llm_call_start_http(client, loop, request, events, user, ret_call, error);
}
