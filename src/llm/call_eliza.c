/* A call inside the process: the built-in partner answers word by word, on a timer, so that a first
 * run looks like any other conversation. */
#include <stdlib.h>

#include "base/id.h"
#include "llm/call_internal.h"
#include "llm/eliza.h"

enum { ARENA_BYTES_MAX = 4 * 1024 * 1024, BYTES_PER_TOKEN = 4 };

struct eliza_call {
    struct llm_call call; /* first */
    struct arena *arena;
    struct loop_timer timer;
    struct eliza_pieces pieces;
    struct llm_usage usage;
    bool started;
};

static void eliza_finish(struct llm_call *call)
{
    struct eliza_call *eliza = (struct eliza_call *)call;
    loop_timer_cancel(call->loop, &eliza->timer);
    loop_timer_cancel(call->loop, &call->silence);
    provider_unref(call->provider);
    arena_free(eliza->arena); /* the call is in it */
}

static void say(void *user);

static void schedule(struct eliza_call *eliza)
{
    loop_timer_set(eliza->call.loop, &eliza->timer, eliza->call.provider->eliza_delay_ms, say,
                   eliza);
}

static void eliza_pause(struct llm_call *call, bool paused)
{
    struct eliza_call *eliza = (struct eliza_call *)call;
    if (paused)
        loop_timer_cancel(call->loop, &eliza->timer);
    else if (!call->ended)
        schedule(eliza);
}

static const struct llm_call_ops eliza_ops = {eliza_finish, eliza_pause};

static void emit_start(struct eliza_call *eliza)
{
    struct id id = id_new(0);
    llm_call_emit(eliza, &(struct llm_event){
                             .kind = LLM_EVENT_START, .id = id_str(&id), .model = STR("eliza")});
    eliza->started = true;
}

static void emit_end(struct eliza_call *eliza)
{
    llm_call_emit(eliza, &(struct llm_event){.kind = LLM_EVENT_USAGE, .usage = eliza->usage});
    llm_call_emit(eliza, &(struct llm_event){.kind = LLM_EVENT_FINISH,
                                             .finish = LLM_FINISH_STOP,
                                             .finish_raw = STR("stop")});
    llm_call_emit(eliza, &(struct llm_event){.kind = LLM_EVENT_END});
}

/* One word. The callee may cancel or pause in any of these events. */
static void say(void *user)
{
    struct eliza_call *eliza = user;
    struct llm_call *call = &eliza->call;
    struct str piece;
    call->emitting++;
    if (!eliza->started)
        emit_start(eliza);
    if (eliza_pieces_next(&eliza->pieces, &piece))
        llm_call_emit(call, &(struct llm_event){.kind = LLM_EVENT_TEXT, .text = piece});
    else
        emit_end(eliza);
    call->emitting--;
    if (!call->ended && !call->paused)
        schedule(eliza);
    llm_call_settle(call);
}

/* About what a tokenizer would count: there is none, and the answer says that it is an estimate. */
static struct llm_usage estimate(const struct llm_request *request, struct str answer)
{
    size_t bytes = 0;
    for (size_t m = 0; m < request->message_count; m++)
        for (size_t p = 0; p < request->messages[m].part_count; p++)
            bytes += request->messages[m].parts[p].text.len;
    struct llm_usage usage = LLM_USAGE_UNKNOWN;
    usage.input_total = (int64_t)(bytes / BYTES_PER_TOKEN + 1);
    usage.output_total = (int64_t)(answer.len / BYTES_PER_TOKEN + 1);
    usage.is_estimated = true;
    return usage;
}

enum err llm_call_start_eliza(struct loop *loop, const struct llm_call_request *request,
                              const struct llm_call_events *events, void *user,
                              struct llm_call **ret_call, struct error *error)
{
    (void)error;
    struct arena *arena = arena_new(ARENA_BYTES_MAX);
    struct eliza_call *eliza = ARENA_NEW(arena, struct eliza_call);
    struct str answer;
    eliza->arena = arena;
    eliza->call.ops = &eliza_ops;
    llm_call_init(&eliza->call, loop, request, events, user);
    eliza_answer(arena, request->request, &answer);
    eliza_pieces_init(&eliza->pieces, answer);
    eliza->usage = estimate(request->request, answer);
    schedule(eliza);
    *ret_call = &eliza->call;
    return ERR_OK;
}
