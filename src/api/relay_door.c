/* Relay door: between a relay and the exchange that it answers. The client's leaving cancels the
 * relay at once, a slow client pauses it.
 *
 *   relay_door_start --on_head--> streaming --on_end--> ended (broken off: the connection is reset)
 *                    \--on_end: an error of the door's dialect--> ended */
#include "api/relay_door.h"

#include <stdlib.h>

#include "api/origin.h"

enum { WHOLE_BYTES_MAX = 1024 * 1024 };

/* What is not in the request's arena. */
static void release(struct relay_door *door)
{
    usage_reader_done(&door->usage);
    buf_done(&door->whole);
}

static void on_drain(void *user)
{
    struct relay_door *door = user;
    relay_resume(door->relay);
}

static void on_abort(void *user)
{
    struct relay_door *door = user;
    relay_cancel(door->relay);
    release(door);
    http_respond_break(door->request->exchange);
}

/* ---- The head -------------------------------------------------------------------------------- */

/* The caller's own limits go before the provider's. */
static bool has_limits(const struct relay_door *door)
{
    const struct limiter_view *view = relay_view(door->relay);
    return view && (view->requests_limit >= 0 || view->tokens_limit >= 0);
}

static void copy_header(struct relay_door *door, const struct http_header *header)
{
    struct http_exchange *exchange = door->request->exchange;
    struct arena *arena = door->request->arena;
    bool is_limit = str_find_nocase(header->name, STR("ratelimit")) != SIZE_MAX;
    if (str_eq_nocase(header->name, STR("content-type")) || (is_limit && has_limits(door)))
        return;
    if (str_eq_nocase(header->name, STR("x-request-id"))) /* the server has its own */
        http_respond_header(exchange, "x-parley-provider-request-id", header->value);
    else if (!str_eq_nocase(header->name, STR("location")))
        http_respond_header(exchange, arena_cstr(arena, header->name), header->value);
    else if (door->location.len)
        http_respond_header(
            exchange, "location",
            arena_printf(arena, "%.*s%.*s", STR_ARG(door->location), STR_ARG(header->value)));
}

static void write_own_headers(struct relay_door *door, const struct relay_attempt *attempt)
{
    struct http_exchange *exchange = door->request->exchange;
    char number[STR_U64_BYTES_MAX];
    size_t len = str_from_u64((uint64_t)relay_attempts(door->relay), number);
    http_respond_header_if_valid(exchange, "x-parley-target", attempt->target->id);
    http_respond_header(exchange, "x-parley-attempts", STR_FROM(number, len));
    api_write_limits(door->request, relay_view(door->relay));
    http_respond_header(exchange, "cache-control", STR("no-cache"));
    http_respond_header(exchange, "x-accel-buffering", STR("no"));
}

/* Whether a chat's answer is a stream of its dialect, in which counts can be found. */
static bool is_readable(const struct relay_door *door, int status, struct str type)
{
    bool is_sse = str_starts_with_nocase(type, STR("text/event-stream"));
    bool is_ndjson = str_find_nocase(type, STR("ndjson")) != SIZE_MAX;
    return door->reads && status < 300 &&
           (door->reads->framing == DIALECT_SSE ? is_sse : is_ndjson);
}

static void on_head(void *user, const struct relay_attempt *attempt, int status,
                    const struct http_headers *headers)
{
    struct relay_door *door = user;
    struct api_request *request = door->request;
    struct str type = http_headers_get(headers, "content-type");
    for (size_t i = 0; i < headers->count; i++)
        copy_header(door, &headers->items[i]);
    write_own_headers(door, attempt);
    door->reads = door->dialect     ? door->dialect
                  : door->reads_any ? attempt->provider->kind->dialect
                                    : NULL;
    if (is_readable(door, status, type))
        usage_reader_begin(&door->usage, request->api->options.loop, door->reads);
    door->status = status;
    door->content_type = type.len ? arena_cstr(request->arena, type) : NULL;
    door->provider = arena_str(request->arena, attempt->provider->name);
    if (door->on_whole && status >= 200 && status < 300)
        return;
    door->on_whole = NULL;
    door->has_begun = true;
    http_respond_begin(request->exchange, status, door->content_type);
}

/* ---- The rest -------------------------------------------------------------------------------- */

static void on_body(void *user, struct str bytes)
{
    struct relay_door *door = user;
    struct http_exchange *exchange = door->request->exchange;
    usage_reader_feed(&door->usage, bytes);
    if (door->on_whole) {
        buf_append(&door->whole, bytes);
        return;
    }
    http_respond_write(exchange, bytes);
    if (http_respond_pending_bytes(exchange) > STREAM_HIGH_BYTES)
        relay_pause(door->relay);
}

static void usage_of(void *user, const struct relay_attempt *attempt, struct str body,
                     struct llm_usage *ret_usage)
{
    struct relay_door *door = user;
    (void)attempt;
    if (body.data)
        usage_read(door->request->api->options.loop, door->reads, body, ret_usage);
    else if (door->usage.dialect)
        *ret_usage = usage_reader_result(&door->usage, door->input_tokens);
}

void relay_door_answer(struct relay_door *door)
{
    struct buf whole = door->whole; /* the door goes with its exchange */
    door->whole = (struct buf){0};
    http_respond(door->request->exchange, door->status, door->content_type, buf_str(&whole));
    buf_done(&whole);
}

static void give_whole(struct relay_door *door)
{
    http_exchange_on_abort(door->request->exchange, NULL, NULL);
    if (buf_ok(&door->whole)) {
        door->on_whole(door, buf_str(&door->whole));
        return;
    }
    release(door);
    api_fail(door->request, ERR_SERVER, NULL);
}

static void fail(struct relay_door *door, const struct llm_error *error)
{
    api_write_limits(door->request, relay_view(door->relay));
    api_fail_llm(door->request, error);
}

static void on_end(void *user, const struct llm_error *error)
{
    struct relay_door *door = user;
    struct api_request *request = door->request;
    usage_reader_done(&door->usage);
    if (!error && door->on_whole) {
        give_whole(door);
        return;
    }
    buf_done(&door->whole);
    if (!error)
        http_respond_end(request->exchange);
    else if (door->has_begun)
        http_respond_break(request->exchange);
    else
        fail(door, error);
}

void relay_door_fail(struct api_request *request, enum err code, const struct error *error)
{
    api_fail_status(request, code == ERR_UNSUPPORTED ? 400 : 0, code, error);
}

void relay_door_start(struct relay_door *door, struct relay_request *ask, yyjson_val *body)
{
    static const struct relay_events events = {on_head, on_body, on_end};
    struct api_request *request = door->request;
    struct loop *loop = request->api->options.loop;
    struct api_origin origin;
    struct error error = {0};
    if (http_exchange_is_aborted(request->exchange)) {
        http_respond_break(request->exchange);
        return;
    }
    buf_init(&door->whole, WHOLE_BYTES_MAX);
    struct arena *scratch = loop_scratch_borrow(loop);
    enum err code = api_origin_open(request, body, scratch, &origin, &error);
    ask->origin = &origin.governor;
    ask->usage_of = usage_of;
    door->input_tokens = ask->input_tokens;
    if (code == ERR_OK)
        code = relay_start(request->api->options.router, ask, &events, door, &door->relay, &error);
    loop_scratch_return(loop, scratch);
    if (code != ERR_OK) {
        relay_door_fail(request, code, &error);
        return;
    }
    http_exchange_on_abort(request->exchange, on_abort, door);
    http_respond_on_drain(request->exchange, on_drain, door);
}
