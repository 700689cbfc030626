/* Answer: a model of providers: what one attempt brings, and when. (words.c has its text.)
 *
 *   HEAD --headers--> TEXT --pieces--> TOOLS --calls--> FINISH --usage, finish--> END
 *   HEAD, TEXT, TOOLS --trouble--> FAIL --error--> END
 */
#include "world.h"

#include <string.h>

/* When a trouble shows. */
enum fault_when {
    WHEN_NEVER,
    WHEN_STARTING,   /* the attempt cannot be begun */
    WHEN_CONNECTING, /* at once, without headers */
    WHEN_WAITING,    /* later, without headers */
    WHEN_HEADERS,    /* the timer of headers */
    WHEN_ANSWERING,  /* with the headers */
    WHEN_SILENT,     /* the timer of first content */
    WHEN_TALKING,    /* in mid-answer */
    WHEN_STALLED     /* in mid-answer, by the timer of silence */
};

static const struct fault_row {
    const char *name;
    enum fault_when when;
    enum err class;
    int http_status;
    const char *code;
    int hint_s; /* Retry-After at most; 0: none */
} faults[FAULT_COUNT] = {
    [FAULT_NONE] = {"none", WHEN_NEVER, ERR_OK, 0, "", 0},
    [FAULT_SLOW] = {"slow", WHEN_NEVER, ERR_OK, 0, "", 0},
    [FAULT_EMPTY] = {"empty", WHEN_NEVER, ERR_OK, 0, "", 0},
    [FAULT_RATE_LIMITED] = {"429", WHEN_ANSWERING, ERR_RATE_LIMITED, 429, "", 0},
    [FAULT_RATE_LIMITED_HINT] = {"429-hint", WHEN_ANSWERING, ERR_RATE_LIMITED, 429, "", 60},
    [FAULT_SERVER] = {"500", WHEN_ANSWERING, ERR_SERVER, 500, "", 0},
    [FAULT_OVERLOADED] = {"503", WHEN_ANSWERING, ERR_OVERLOADED, 503, "", 0},
    [FAULT_OVERLOADED_HINT] = {"503-hint", WHEN_ANSWERING, ERR_OVERLOADED, 503, "", 20},
    [FAULT_AUTHENTICATION] = {"401", WHEN_ANSWERING, ERR_AUTHENTICATION, 401, "", 0},
    [FAULT_PERMISSION] = {"403", WHEN_ANSWERING, ERR_PERMISSION, 403, "", 0},
    [FAULT_QUOTA] = {"quota", WHEN_ANSWERING, ERR_QUOTA_EXHAUSTED, 429, "insufficient_quota", 0},
    [FAULT_NO_MODEL] = {"404", WHEN_ANSWERING, ERR_MODEL_NOT_FOUND, 404, "", 0},
    [FAULT_REFUSED] = {"refused", WHEN_CONNECTING, ERR_NETWORK, 0, "", 0},
    [FAULT_RESET] = {"reset", WHEN_WAITING, ERR_NETWORK, 0, "", 0},
    [FAULT_REUSED] = {"reused", WHEN_CONNECTING, ERR_NETWORK, 0, "reused", 0},
    [FAULT_NO_HEADERS] = {"no-headers", WHEN_HEADERS, ERR_TIMEOUT, 0, "headers", 0},
    [FAULT_SILENT] = {"silent", WHEN_SILENT, ERR_TIMEOUT, 0, "first_content", 0},
    [FAULT_CUT] = {"cut", WHEN_TALKING, ERR_NETWORK, 200, "", 0},
    [FAULT_BREAK] = {"break", WHEN_TALKING, ERR_OVERLOADED, 200, "", 0},
    [FAULT_STALL] = {"stall", WHEN_STALLED, ERR_TIMEOUT, 0, "content_idle", 0},
    [FAULT_CONTEXT] = {"context", WHEN_ANSWERING, ERR_CONTEXT_LENGTH, 400, "", 0},
    [FAULT_FILTERED] = {"filtered", WHEN_ANSWERING, ERR_CONTENT_FILTERED, 400, "", 0},
    [FAULT_INVALID] = {"invalid", WHEN_ANSWERING, ERR_INVALID, 400, "", 0},
    [FAULT_REJECTS_PREFILL] = {"rejects-prefill", WHEN_ANSWERING, ERR_INVALID, 400, "", 0},
    [FAULT_NO_START] = {"no-start", WHEN_STARTING, ERR_INVALID, 0, "", 0},
};

const char *fault_name(enum fault fault)
{
    return faults[fault].name;
}

/* ---- What goes wrong ------------------------------------------------------------------------- */

static const enum fault fair_weather[] = {
    FAULT_SERVER,       FAULT_OVERLOADED, FAULT_RATE_LIMITED_HINT,
    FAULT_RESET,        FAULT_CUT,        FAULT_CUT,
    FAULT_STALL,        FAULT_BREAK,      FAULT_SILENT,
    FAULT_NO_START,     FAULT_REFUSED,    FAULT_SLOW,
    FAULT_RATE_LIMITED, FAULT_NO_MODEL,   FAULT_EMPTY,
    FAULT_REUSED,       FAULT_REUSED,
};

static enum fault draw_fault(struct world_request *request, const struct world_target *target,
                             enum route_mode mode)
{
    struct simulation *world = request->world;
    if (mode == ROUTE_PREFILL && !target->obeys_prefill)
        return FAULT_REJECTS_PREFILL;
    if (request->own_fault)
        return request->own_fault;
    for (int i = 0; i < target->phase_count; i++) {
        const struct world_phase *phase = &target->phases[i];
        if (world->now_us >= phase->from_us && world->now_us < phase->until_us &&
            world_chance(world, phase->percent))
            return phase->fault;
    }
    if (!world_chance(world, target->fault_percent))
        return FAULT_NONE;
    enum fault fault = fair_weather[random_below(&world->world_random,
                                                 sizeof fair_weather / sizeof *fair_weather)];
    bool may_be_empty = mode == ROUTE_WHOLE || mode == ROUTE_SPLICE;
    return fault == FAULT_EMPTY && !may_be_empty ? FAULT_NONE : fault;
}

/* Up to where it speaks. With tools it may fail in the middle of them. */
static void draw_failure(struct world_attempt *attempt)
{
    struct random *random = &attempt->request->world->world_random;
    enum fault_when when = faults[attempt->fault].when;
    attempt->fails_at = SIZE_MAX;
    if (when != WHEN_TALKING && when != WHEN_STALLED)
        return;
    if (attempt->tool_count && random_below(random, 2))
        return;
    attempt->fails_at =
        attempt->from + random_below(random, attempt->text_bytes - attempt->from + 1);
}

static void fill_error(struct world_attempt *attempt, struct llm_error *ret_error)
{
    const struct fault_row *row = &faults[attempt->fault];
    struct simulation *world = attempt->request->world;
    memset(ret_error, 0, offsetof(struct llm_error, message) + 1);
    ret_error->request_id[0] = '\0';
    ret_error->class = row->class;
    ret_error->http_status = row->http_status;
    ret_error->retry_after_ms = -1;
    if (row->hint_s)
        ret_error->retry_after_ms =
            (int64_t)world_between(&world->world_random, 1, (uint64_t)row->hint_s * 1000);
    str_copy(str_from_cstr(row->code), ret_error->code, sizeof ret_error->code);
    str_copy(str_from_cstr(row->name), ret_error->message, sizeof ret_error->message);
}

/* ---- Beginning ------------------------------------------------------------------------------- */

/* Three quarters to five quarters of it. */
static uint64_t about(struct simulation *world, uint64_t time_us)
{
    return time_us * 3 / 4 + random_below(&world->world_random, time_us / 2 + 1);
}

static void step_in(struct world_attempt *attempt, enum answer_stage stage, uint64_t wait_us)
{
    struct simulation *world = attempt->request->world;
    attempt->stage = stage;
    world_at(world, &attempt->node, world->now_us + wait_us);
}

/* When the first thing of it is heard, by the call floor's timers at the latest. */
static void schedule_first(struct world_attempt *attempt)
{
    struct simulation *world = attempt->request->world;
    const struct llm_timeouts *timeouts = &world->day.policy.timeouts;
    uint64_t first_us = about(world, attempt->target->first_us);
    if (attempt->fault == FAULT_SLOW)
        first_us *= 8;
    if (faults[attempt->fault].when == WHEN_NEVER && first_us > timeouts->first_content_ms * 1000)
        attempt->fault = FAULT_SILENT;
    switch (faults[attempt->fault].when) {
    case WHEN_CONNECTING:
        step_in(attempt, STAGE_FAIL, 1000 + first_us / 100);
        break;
    case WHEN_WAITING:
        step_in(attempt, STAGE_FAIL, first_us);
        break;
    case WHEN_HEADERS:
        step_in(attempt, STAGE_FAIL, timeouts->headers_ms * 1000);
        break;
    default:
        step_in(attempt, STAGE_HEAD, first_us);
    }
}

static void plan_tools(struct world_attempt *attempt)
{
    struct world_request *request = attempt->request;
    attempt->tool_count = attempt->tools_said = 0;
    attempt->tools_bytes = 0;
    if (request->has_tools && attempt->fault != FAULT_EMPTY)
        attempt->tool_count = 1 + request->id % 2;
}

enum err answer_start(void *user, struct flow_start *start, struct llm_error *ret_error)
{
    struct world_request *request = user;
    struct simulation *world = request->world;
    struct world_target *target = LIST_ENTRY(start->target, struct world_target, target);
    struct world_attempt *attempt = &request->attempts[start->slot];
    bool was_active = attempt->is_active;
    memset(attempt, 0, offsetof(struct world_attempt, text));
    attempt->request = request;
    attempt->slot = start->slot;
    attempt->target = target;
    attempt->mode = start->mode;
    attempt->number = start->number;
    attempt->start_us = world->now_us;
    attempt->node = (struct world_node){.kind = NODE_ATTEMPT, .owner = attempt};
    attempt->fault = draw_fault(request, target, start->mode);
    request->tried |= 1u << target->index;
    world_note(request, "start", start->number * 10 + (int)start->mode, target->index);
    shadow_granted(attempt);
    if (attempt->fault == FAULT_NO_START) {
        fill_error(attempt, ret_error);
        return ret_error->class;
    }
    attempt->is_active = true;
    attempt->is_raw = request->takes_raw && target->passes_through && start->mode == ROUTE_WHOLE;
    start->passes_through = attempt->is_raw;
    if (was_active)
        world_broken(world, INVARIANT_ATTEMPTS, request->id, "slot %d was in use", start->slot);
    plan_tools(attempt);
    words_write(attempt, start->partial);
    attempt->said = attempt->from;
    attempt->piece =
        (attempt->text_bytes - attempt->from) / world_between(&world->world_random, 1, 8) + 1;
    draw_failure(attempt);
    schedule_first(attempt);
    shadow_start(attempt, start);
    return ERR_OK;
}

static struct llm_usage usage_of(const struct world_attempt *attempt)
{
    struct llm_usage usage = LLM_USAGE_UNKNOWN;
    usage.input_total = attempt->request->needs.input_tokens;
    usage.output_total = (int64_t)(attempt->said - attempt->from) / 4;
    return usage;
}

void answer_cancel(void *user, int slot, struct llm_usage *ret_usage)
{
    struct world_request *request = user;
    struct world_attempt *attempt = &request->attempts[slot];
    world_note(request, "stop", attempt->number, 0);
    if (!attempt->is_active) {
        world_broken(request->world, INVARIANT_LEDGER, request->id,
                     "an attempt was cancelled that was not under way");
        return;
    }
    if (ret_usage)
        *ret_usage = attempt->had_content ? usage_of(attempt) : LLM_USAGE_UNKNOWN;
    shadow_end(attempt);
}

/* ---- Saying it ------------------------------------------------------------------------------- */

/* Whether the attempt goes on after it; a new one may be in its slot. */
static bool tell(struct world_attempt *attempt, const struct llm_event *event)
{
    struct world_request *request = attempt->request;
    int number = attempt->number;
    if (event->kind == LLM_EVENT_END)
        shadow_end(attempt);
    request->delivering = attempt->slot;
    flow_on_event(request->flow, attempt->slot, event);
    request->delivering = -1;
    return attempt->is_active && attempt->number == number;
}

static bool tell_raw(struct world_attempt *attempt, struct str bytes)
{
    struct world_request *request = attempt->request;
    int number = attempt->number;
    if (!attempt->is_raw)
        return true;
    request->delivering = attempt->slot;
    flow_on_raw(request->flow, attempt->slot, STR("text/plain"), bytes);
    request->delivering = -1;
    return attempt->is_active && attempt->number == number;
}

static bool tell_content(struct world_attempt *attempt, enum llm_event_kind kind, struct str text)
{
    if (!attempt->had_content && text.len) {
        attempt->had_content = true;
        shadow_content(attempt);
    }
    return tell(attempt, &(struct llm_event){.kind = kind, .text = text});
}

static void fail(struct world_attempt *attempt)
{
    struct llm_error error;
    fill_error(attempt, &error);
    attempt->failed = error.class;
    world_note(attempt->request, fault_name(attempt->fault), attempt->number,
               attempt->target->index);
    if (!tell(attempt, &(struct llm_event){.kind = LLM_EVENT_ERROR, .error = &error}))
        return;
    if (world_chance(attempt->request->world, 10))
        step_in(attempt, STAGE_END, 2000); /* its END comes in a later turn */
    else
        tell(attempt, &(struct llm_event){.kind = LLM_EVENT_END});
}

static void finish(struct world_attempt *attempt)
{
    struct llm_event event = {.kind = LLM_EVENT_USAGE, .usage = usage_of(attempt)};
    struct world_request *request = attempt->request;
    struct simulation *world = request->world;
    if (!world_chance(world, attempt->target->no_usage_percent) && !tell(attempt, &event))
        return;
    bool lacks_end = request->is_streamed && world_chance(world, 10);
    if (request->is_streamed && !tell_raw(attempt, lacks_end ? STR("") : STR("$")))
        return;
    event = (struct llm_event){.kind = LLM_EVENT_FINISH, .finish = LLM_FINISH_STOP};
    if (attempt->tool_count)
        event.finish = LLM_FINISH_TOOL_CALLS;
    if (!tell(attempt, &event))
        return;
    if (world_chance(world, 10))
        step_in(attempt, STAGE_END, 1000);
    else
        tell(attempt, &(struct llm_event){.kind = LLM_EVENT_END});
}

/* One tool event, noted as what the caller must have in the end. */
static bool tell_tool(struct world_attempt *attempt, const struct llm_event *event)
{
    attempt->tools_bytes = caller_write_tool(attempt->tools, attempt->tools_bytes, event);
    if (!attempt->had_content) {
        attempt->had_content = true;
        shadow_content(attempt);
    }
    return tell(attempt, event);
}

/* The next call; false: the attempt is over. */
static bool say_tool(struct world_attempt *attempt)
{
    int index = attempt->tools_said++;
    char id[32], arguments[64];
    snprintf(id, sizeof id, "call-%d-%d", attempt->number, index);
    snprintf(arguments, sizeof arguments, "{\"attempt\": %d, \"call\": %d}", attempt->number,
             index);
    struct str text = str_from_cstr(arguments);
    struct llm_event event = {
        .kind = LLM_EVENT_TOOL_START, .index = index, .id = str_from_cstr(id), .name = STR("look")};
    if (!tell_tool(attempt, &event))
        return false;
    event = (struct llm_event){
        .kind = LLM_EVENT_TOOL_ARGUMENTS, .index = index, .text = str_slice(text, 0, 9)};
    if (!tell_tool(attempt, &event))
        return false;
    enum fault_when when = faults[attempt->fault].when;
    bool is_last = attempt->tools_said == attempt->tool_count;
    if (is_last && (when == WHEN_TALKING || when == WHEN_STALLED)) {
        fail(attempt);
        return false;
    }
    event.text = str_skip(text, 9);
    return tell_tool(attempt, &event) &&
           tell_tool(attempt, &(struct llm_event){.kind = LLM_EVENT_TOOL_END, .index = index});
}

/* The next piece; false: the attempt is over. */
static bool say_piece(struct world_attempt *attempt)
{
    char piece[WORLD_TEXT_MAX];
    size_t end = attempt->said + attempt->piece;
    if (end > attempt->text_bytes)
        end = attempt->text_bytes;
    if (end > attempt->fails_at)
        end = attempt->fails_at;
    while (end < attempt->text_bytes && ((unsigned char)attempt->text[end] & 0xC0) == 0x80)
        end++;
    size_t length = end - attempt->said;
    if (length == 0)
        return true;
    memcpy(piece, attempt->text + attempt->said, length); /* outlives a new attempt in the slot */
    attempt->said = end;
    struct str text = STR_FROM(piece, length);
    if (!attempt->request->is_streamed)
        return tell_content(attempt, LLM_EVENT_TEXT, text);
    if (world_chance(attempt->request->world, 50)) /* a frame's bytes may come behind its events */
        return tell_content(attempt, LLM_EVENT_TEXT, text) && tell_raw(attempt, text);
    return tell_raw(attempt, text) && tell_content(attempt, LLM_EVENT_TEXT, text);
}

static bool say_head(struct world_attempt *attempt)
{
    struct world_request *request = attempt->request;
    struct simulation *world = request->world;
    struct llm_limits limits = LLM_LIMITS_UNKNOWN;
    if (attempt->target->tells_limits)
        limits.requests = (struct llm_limit){600, 600 - 2 * attempt->target->calls, 1000};
    flow_on_head(request->flow, attempt->slot, world_chance(world, 20) ? 50000 : 0, &limits);
    if (faults[attempt->fault].when == WHEN_ANSWERING) {
        fail(attempt);
        return false;
    }
    struct llm_event event = {
        .kind = LLM_EVENT_START, .id = STR("answer"), .model = attempt->target->target.model};
    if (request->is_streamed && !tell_raw(attempt, STR("^")))
        return false;
    if (!tell(attempt, &event))
        return false;
    if (world_chance(world, 10) && !tell_content(attempt, LLM_EVENT_TEXT, STR("")))
        return false;
    if (faults[attempt->fault].when == WHEN_SILENT) {
        step_in(attempt, STAGE_FAIL, world->day.policy.timeouts.first_content_ms * 1000);
        return false;
    }
    return !request->reasons || attempt->fault == FAULT_EMPTY ||
           tell_content(attempt, LLM_EVENT_REASONING, STR("hm"));
}

/* After something of the answer was said. */
static void step_on(struct world_attempt *attempt)
{
    struct simulation *world = attempt->request->world;
    const struct llm_timeouts *timeouts = &world->day.policy.timeouts;
    uint64_t gap_us = about(world, attempt->target->gap_us);
    if (attempt->said >= attempt->fails_at) {
        bool stalls = faults[attempt->fault].when == WHEN_STALLED;
        step_in(attempt, STAGE_FAIL, stalls ? timeouts->content_idle_ms * 1000 : 0);
    } else if (attempt->said < attempt->text_bytes) {
        step_in(attempt, STAGE_TEXT, gap_us);
    } else if (attempt->tools_said < attempt->tool_count) {
        step_in(attempt, STAGE_TOOLS, gap_us);
    } else {
        step_in(attempt, STAGE_FINISH, gap_us / 4);
    }
}

/* Its bytes come at once, before its events. */
static bool say_body(struct world_attempt *attempt)
{
    char body[WORLD_TEXT_MAX + 2];
    size_t length = attempt->text_bytes;
    if (!attempt->is_raw)
        return true;
    body[0] = '^';
    memcpy(body + 1, attempt->text, length);
    body[length + 1] = '$';
    return tell_raw(attempt, STR_FROM(body, length + 2));
}

/* An answer that is not streamed comes as one; what breaks it off leaves nothing of it. */
static void say_all(struct world_attempt *attempt)
{
    enum fault_when when = faults[attempt->fault].when;
    if (when == WHEN_TALKING || when == WHEN_STALLED || when == WHEN_ANSWERING) {
        fail(attempt);
        return;
    }
    if (faults[attempt->fault].when == WHEN_SILENT) {
        step_in(attempt, STAGE_FAIL,
                attempt->request->world->day.policy.timeouts.first_content_ms * 1000);
        return;
    }
    if (!say_body(attempt) || !say_head(attempt))
        return;
    while (attempt->said < attempt->text_bytes)
        if (!say_piece(attempt))
            return;
    while (attempt->tools_said < attempt->tool_count)
        if (!say_tool(attempt))
            return;
    finish(attempt);
}

void answer_step(struct world_attempt *attempt)
{
    switch (attempt->stage) {
    case STAGE_HEAD:
        if (!attempt->request->is_streamed)
            say_all(attempt);
        else if (say_head(attempt) && say_piece(attempt))
            step_on(attempt);
        break;
    case STAGE_TEXT:
        if (say_piece(attempt))
            step_on(attempt);
        break;
    case STAGE_TOOLS:
        if (say_tool(attempt))
            step_on(attempt);
        break;
    case STAGE_FINISH:
        finish(attempt);
        break;
    case STAGE_FAIL:
        fail(attempt);
        break;
    case STAGE_END:
        tell(attempt, &(struct llm_event){.kind = LLM_EVENT_END});
        break;
    }
}
