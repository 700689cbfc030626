/* Caller: what whoever asked hears of an answer, and whether that may be so. */
#include "world.h"

#include <string.h>

#include "base/assert.h"

static void broken(struct world_request *request, enum invariant invariant, const char *what)
{
    world_broken(request->world, invariant, request->id, "%s", what);
}

/* Nobody calls a caller who has left, or before the start has returned. */
static bool may_be_heard(struct world_request *request)
{
    if (request->state == REQUEST_ENDED)
        broken(request, INVARIANT_ONE_END, "something was heard after END");
    else if (request->state == REQUEST_CANCELLED)
        broken(request, INVARIANT_SILENCE, "something was heard after the cancel");
    else if (request->is_beginning)
        broken(request, INVARIANT_SILENCE, "something was heard before the start returned");
    return request->state == REQUEST_ALIVE;
}

/* The attempt that the flow was told of just now, and only can be telling of. */
static struct world_attempt *speaker(struct world_request *request)
{
    return request->delivering < 0 ? NULL : &request->attempts[request->delivering];
}

/* ---- Content --------------------------------------------------------------------------------- */

size_t caller_write_tool(char *text, size_t at, const struct llm_event *event)
{
    size_t room = WORLD_TOOLS_MAX - at;
    int length;
    if (event->kind == LLM_EVENT_TOOL_START)
        length = snprintf(text + at, room, "<%d %.*s %.*s>", event->index, STR_ARG(event->id),
                          STR_ARG(event->name));
    else if (event->kind == LLM_EVENT_TOOL_ARGUMENTS)
        length = snprintf(text + at, room, "%.*s", STR_ARG(event->text));
    else
        length = snprintf(text + at, room, "</%d>", event->index);
    return (size_t)length < room ? at + (size_t)length : WORLD_TOOLS_MAX - 1;
}

static void append(char *text, size_t size, size_t *length, struct str piece)
{
    if (piece.len > size - *length)
        piece.len = size - *length;
    if (piece.len)
        memcpy(text + *length, piece.data, piece.len);
    *length += piece.len;
}

/* A door's own words, where no bytes pass through. */
static void write_raw(struct world_request *request, struct str text)
{
    if (!flow_is_raw(request->flow))
        append(request->raw, sizeof request->raw, &request->raw_bytes, text);
}

static void hear_text(struct world_request *request, struct str text)
{
    struct world_attempt *attempt = speaker(request);
    size_t at = request->text_bytes;
    append(request->text, sizeof request->text, &request->text_bytes, text);
    write_raw(request, text);
    if (!attempt) {
        broken(request, INVARIANT_ORDER, "text came out of nothing");
    } else if (request->text_bytes > attempt->text_bytes ||
               memcmp(request->text + at, attempt->text + at, request->text_bytes - at) != 0) {
        broken(request, INVARIANT_WHOLE, "text was shown that does not belong there");
    }
}

static void hear_content(struct world_request *request, const struct llm_event *event)
{
    if (!request->had_start || request->had_finish || request->had_error)
        broken(request, INVARIANT_ORDER, "content before START or behind the end");
    request->had_content = request->had_content || event->kind != LLM_EVENT_TEXT || event->text.len;
    if (event->kind == LLM_EVENT_TEXT)
        hear_text(request, event->text);
    else if (event->kind != LLM_EVENT_REASONING)
        request->tools_bytes = caller_write_tool(request->tools, request->tools_bytes, event);
}

/* ---- Ends ------------------------------------------------------------------------------------ */

/* A door writes the bytes that pass through, and in its own words what comes without any. */
static void check_raw(struct world_request *request)
{
    struct str raw = STR_FROM(request->raw, request->raw_bytes);
    bool is_framed = raw.len >= 2 && raw.data[0] == '^' && raw.data[raw.len - 1] == '$';
    if (!is_framed ||
        !str_eq(str_slice(raw, 1, raw.len - 2), STR_FROM(request->text, request->text_bytes)))
        world_broken(request->world, INVARIANT_WHOLE, request->id,
                     "what a door wrote is not the answer: '%.*s'",
                     raw.len > 100 ? 100 : (int)raw.len, raw.data);
}

/* The heart of it: what was called finished is the whole of what the provider says. */
static void check_whole(struct world_request *request)
{
    const struct world_attempt *attempt = speaker(request);
    if (!attempt) {
        broken(request, INVARIANT_WHOLE, "FINISH, but no attempt has finished");
        return;
    }
    struct str text = STR_FROM(request->text, request->text_bytes);
    struct str tools = STR_FROM(request->tools, request->tools_bytes);
    if (!str_eq(text, STR_FROM(attempt->text, attempt->text_bytes)))
        world_broken(request->world, INVARIANT_WHOLE, request->id,
                     "finished with %zu bytes of %zu: '%.*s'", text.len, attempt->text_bytes,
                     text.len > 100 ? 100 : (int)text.len, text.data);
    if (!str_eq(tools, STR_FROM(attempt->tools, attempt->tools_bytes)) ||
        attempt->tools_said != attempt->tool_count)
        broken(request, INVARIANT_TOOLS, "finished with other tool calls than the attempt made");
    if (!request->had_usage)
        broken(request, INVARIANT_USAGE, "finished without usage");
    if (request->takes_raw)
        check_raw(request);
}

static void hear_end(struct world_request *request)
{
    struct simulation *world = request->world;
    if (!request->had_finish && !request->had_error)
        broken(request, INVARIANT_ORDER, "END without FINISH or ERROR");
    request->state = REQUEST_ENDED;
    request->flow_is_dead = true;
    world->dying = request;
    if (!world->options->is_fresh)
        return;
    flow_done(request->flow); /* which is allowed within END */
    request->flow = NULL;
    arena_free(request->arena);
    request->arena = arena_new(1 << 20);
}

static void hear(struct world_request *request, const struct llm_event *event)
{
    switch (event->kind) {
    case LLM_EVENT_START:
        if (request->had_start)
            broken(request, INVARIANT_ORDER, "a second START");
        request->had_start = true;
        write_raw(request, STR("^"));
        break;
    case LLM_EVENT_USAGE:
        request->had_usage = event->usage.output_total >= 0;
        break;
    case LLM_EVENT_FINISH:
        if (!request->had_start || request->had_finish || request->had_error)
            broken(request, INVARIANT_ORDER, "FINISH without START, or after the end");
        request->had_finish = true;
        write_raw(request, STR("$"));
        check_whole(request);
        break;
    case LLM_EVENT_ERROR:
        if (request->had_finish || request->had_error)
            broken(request, INVARIANT_ORDER, "ERROR after the end");
        request->had_error = true;
        request->error = event->error->class;
        break;
    case LLM_EVENT_END:
        hear_end(request);
        break;
    default:
        hear_content(request, event);
        break;
    }
}

/* ---- What the flow calls --------------------------------------------------------------------- */

/* A caller may leave from within what it hears. */
static void count_heard(struct world_request *request)
{
    if (++request->heard == request->cancels_at && request->state == REQUEST_ALIVE)
        world_cancel(request);
}

void caller_event(void *user, const struct llm_event *event)
{
    static const char *const names[] = {"hears START",     "hears text",       "hears reasoning",
                                        "hears refusal",   "hears opaque",     "hears tool",
                                        "hears arguments", "hears tool's end", "hears USAGE",
                                        "hears FINISH",    "hears ERROR",      "hears END"};
    struct world_request *request = user;
    world_note(request, names[event->kind], (int64_t)event->text.len,
               event->kind == LLM_EVENT_ERROR ? (int64_t)event->error->class : 0);
    if (!may_be_heard(request))
        return;
    hear(request, event);
    count_heard(request);
}

void caller_raw(void *user, struct str content_type, struct str bytes)
{
    struct world_request *request = user;
    const struct world_attempt *attempt = speaker(request);
    world_note(request, "hears bytes", (int64_t)bytes.len, (int64_t)content_type.len);
    if (!may_be_heard(request))
        return;
    if (!attempt || !attempt->is_raw)
        broken(request, INVARIANT_ORDER, "bytes came out of nothing");
    append(request->raw, sizeof request->raw, &request->raw_bytes, bytes);
    count_heard(request);
}

void caller_rewind(void *user, size_t text_bytes)
{
    struct world_request *request = user;
    world_note(request, "hears rewind", (int64_t)text_bytes, 0);
    if (!may_be_heard(request))
        return;
    if (text_bytes > request->text_bytes) {
        broken(request, INVARIANT_WHOLE, "rewound to behind the end");
        return;
    }
    request->text_bytes = text_bytes;
    count_heard(request);
}
