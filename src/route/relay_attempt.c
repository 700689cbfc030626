/* One attempt of a relay: what is sent, what the provider says, and what is written down of it. The
 * states are those on top of relay.c. */
#include <string.h>

#include "llm/dialect.h"
#include "route/relay_headers.h"
#include "route/relay_internal.h"

enum {
    SCRATCH_BYTES_MAX = 512 * 1024 * 1024,
    ANSWER_BYTES_MAX = 64 * 1024 * 1024,
    USAGE_BYTES_MAX = 1024 * 1024,
    ERROR_BYTES_MAX = 64 * 1024
};

/* ---- The end of an attempt ------------------------------------------------------------------- */

static int64_t tokens_of(const struct llm_usage *usage)
{
    if (usage->input_total < 0 && usage->output_total < 0)
        return -1;
    return (usage->input_total > 0 ? usage->input_total : 0) +
           (usage->output_total > 0 ? usage->output_total : 0);
}

/* Of a provider as a whole a refused key says only that this path is not for it: one caller must not
 * take it out for all others by asking for such a one. */
static void tell_cell(struct relay *relay, enum flow_outcome outcome,
                      const struct attribution *attribution, int64_t tokens)
{
    const struct route_policy *policy = relay->plan.policy;
    const struct llm_error *error = &relay->error;
    struct cell *cell = relay->lease.cell;
    uint64_t now = relay_now_us(relay);
    if (relay->request.is_aside) {
        cell_forget(&relay->lease, now, 0);
        return;
    }
    if (outcome == FLOW_ANSWERED)
        cell_succeed(&relay->lease, &policy->breaker, now, tokens);
    else if (attribution->counts)
        cell_fail(&relay->lease, &policy->breaker, now, tokens, error->class, error->message,
                  error->retry_after_ms > 0 ? (uint64_t)error->retry_after_ms * 1000 : 0,
                  &relay->router->random);
    else
        cell_forget(&relay->lease, now, tokens);
    if (attribution->benches)
        cell_note_error(cell, now, error->class, error->message);
    if (attribution->benches && !relay->is_whole)
        cell_bench(cell, now + policy->bench_us, error->message);
}

static int64_t cost_of(const struct target *target, const struct llm_usage *usage)
{
    return target->has_price && tokens_of(usage) >= 0 ? price_cost_nano(&target->price, usage) : -1;
}

void relay_end_attempt(struct relay *relay, enum flow_outcome outcome,
                       const struct llm_usage *usage)
{
    bool has_failed = outcome == FLOW_FAILED || outcome == FLOW_CUT;
    const struct attribution none = {0};
    struct attribution attribution = has_failed ? attribution_of(&relay->error) : none;
    const struct flow_row row = {
        .target = relay->attempt.target,
        .number = relay->targets.attempts,
        .mode = ROUTE_WHOLE,
        .outcome = outcome,
        .is_probe = relay->lease.probe != 0,
        .error = has_failed ? &relay->error : NULL,
        .usage = *usage,
        .cost_nano = cost_of(relay->attempt.target, usage),
        .start_us = relay->start_us,
        .first_content_us = relay->content_us,
        .end_us = relay_now_us(relay) - relay->start_us,
    };
    tell_cell(relay, outcome, &attribution, tokens_of(usage));
    books_note(relay->router->books, &row, relay->request_id);
    if (relay->charge)
        governor_end(relay->charge, 0, &row);
}

static bool is_good(const struct relay *relay)
{
    return relay->status >= 200 && relay->status < 300;
}

/* It was under way, and nothing of it was handed on; relay->error says why. */
static void attempt_failed(struct relay *relay)
{
    relay->has_answer = relay->state == RELAY_FAILING;
    relay_end_attempt(relay, FLOW_FAILED, &LLM_USAGE_UNKNOWN);
    relay_failed(relay);
}

/* What an answer used that was shown; `body` STR_NONE: not all of it came, or it was not kept. */
static struct llm_usage usage_of(const struct relay *relay, struct str body)
{
    struct llm_usage usage = LLM_USAGE_UNKNOWN;
    if (relay->request.usage_of && relay->state == RELAY_SHOWING && is_good(relay))
        relay->request.usage_of(relay->user, &relay->attempt, body, &usage);
    return usage;
}

/* Something of it was. */
static void attempt_broke(struct relay *relay)
{
    struct llm_usage usage = usage_of(relay, STR_NONE);
    relay_end_attempt(relay, FLOW_CUT, &usage);
    relay_tell_end(relay, &relay->error);
}

void relay_cancel_attempt(struct relay *relay)
{
    struct llm_usage usage = usage_of(relay, STR_NONE);
    if (relay->http)
        http_call_cancel(relay->http);
    relay->http = NULL;
    relay_end_attempt(relay, FLOW_CANCELLED, &usage);
}

/* ---- What the provider says ------------------------------------------------------------------ */

static uint64_t idle_ms(const struct relay *relay)
{
    uint64_t ms = relay->plan.policy->timeouts.content_idle_ms;
    return ms ? ms : relay->attempt.provider->content_idle_timeout_ms;
}

static void on_silence(void *user);

void relay_watch_silence(struct relay *relay)
{
    if (relay->is_paused || !idle_ms(relay))
        loop_timer_cancel(relay_loop(relay), &relay->timer);
    else
        loop_timer_set(relay_loop(relay), &relay->timer, idle_ms(relay), on_silence, relay);
}

static bool is_stream(const struct http_headers *headers)
{
    struct str type = http_headers_get(headers, "content-type");
    return str_starts_with_nocase(type, STR("text/event-stream")) ||
           str_find_nocase(type, STR("ndjson")) != SIZE_MAX;
}

static void begin_showing(struct relay *relay, const struct http_headers *headers)
{
    struct http_headers shown = {0};
    relay_set_state(relay, RELAY_SHOWING);
    relay->is_read = relay->request.usage_of && is_good(relay) && !is_stream(headers);
    buf_done(&relay->body);
    buf_init(&relay->body, USAGE_BYTES_MAX);
    relay_headers_answer(relay->arena, relay->attempt.provider, headers, &shown);
    relay->events.on_head(relay->user, &relay->attempt, relay->status, &shown);
    if (!relay->is_over)
        relay_watch_silence(relay);
}

static void begin_failing(struct relay *relay, const struct http_headers *headers)
{
    relay_set_state(relay, RELAY_FAILING);
    buf_done(&relay->body);
    buf_init(&relay->body, ERROR_BYTES_MAX);
    relay->headers = (struct http_headers){0};
    for (size_t i = 0; i < headers->count; i++)
        http_headers_add(&relay->headers, relay->arena, headers->items[i].name,
                         headers->items[i].value);
    http_call_resume(relay->http); /* nobody reads it but we */
    relay_watch_silence(relay);
}

static void note_head(struct relay *relay, const struct http_headers *headers, uint64_t now)
{
    struct llm_limits limits;
    if (relay->request.is_aside)
        return;
    llm_limits_read(headers, loop_wall_ms(relay_loop(relay)), &limits);
    cell_note_head(&relay->lease, now, http_call_timing(relay->http)->connect_ms * 1000, &limits);
    if (relay->status < 400)
        cell_note_content(&relay->lease, now, relay->content_us);
}

static void on_headers(void *user, int status, const struct http_headers *headers)
{
    struct relay *relay = user;
    uint64_t now = relay_now_us(relay);
    relay_enter(relay);
    relay->status = status;
    relay->content_us = now > relay->start_us ? now - relay->start_us : 1;
    note_head(relay, headers, now);
    if (relay->charge)
        governor_reached(relay->charge, 0, status);
    if (status < 400) {
        begin_showing(relay, headers);
    } else {
        begin_failing(relay, headers);
    }
    relay_leave(relay);
}

static void on_body(void *user, struct str data)
{
    struct relay *relay = user;
    relay_enter(relay);
    relay_watch_silence(relay);
    if (relay->state == RELAY_FAILING) {
        buf_append(&relay->body, str_slice(data, 0, ERROR_BYTES_MAX - relay->body.len));
    } else {
        if (relay->is_read)
            buf_append(&relay->body, data);
        relay->events.on_body(relay->user, data);
    }
    relay_leave(relay);
}

static void end_showing(struct relay *relay)
{
    bool is_whole = relay->is_read && buf_ok(&relay->body);
    struct llm_usage usage = usage_of(relay, is_whole ? buf_str(&relay->body) : STR_NONE);
    relay_end_attempt(relay, FLOW_ANSWERED, &usage);
    relay_tell_end(relay, NULL);
}

/* What it says is classified by the words of its dialect. */
static void end_failing(struct relay *relay)
{
    struct loop *loop = relay_loop(relay);
    struct arena *scratch = loop_scratch_borrow(loop);
    relay->error = (struct llm_error){.class = ERR_SERVER, .retry_after_ms = -1};
    relay->attempt.provider->kind->dialect->decode_error(scratch, relay->status, &relay->headers,
                                                         buf_str(&relay->body), &relay->error);
    relay_mask(relay->attempt.provider, relay->error.message, strlen(relay->error.message));
    loop_scratch_return(loop, scratch);
    attempt_failed(relay);
}

static void on_done(void *user)
{
    struct relay *relay = user;
    relay_enter(relay);
    relay->http = NULL;
    if (relay->state == RELAY_SHOWING)
        end_showing(relay);
    else
        end_failing(relay);
    relay_leave(relay);
}

/* Of an error that broke off what came is enough to say what it is. */
static void connection_failed(struct relay *relay)
{
    if (relay->state == RELAY_FAILING)
        end_failing(relay);
    else if (relay->state == RELAY_SHOWING)
        attempt_broke(relay);
    else
        attempt_failed(relay);
}

static void on_error(void *user, const struct error *error)
{
    struct relay *relay = user;
    relay_enter(relay);
    relay->http = NULL;
    dialect_error_of_transport(error, relay->status, &relay->error);
    connection_failed(relay);
    relay_leave(relay);
}

static void on_silence(void *user)
{
    struct relay *relay = user;
    relay_enter(relay);
    http_call_cancel(relay->http);
    relay->http = NULL;
    dialect_error_set(&relay->error, ERR_TIMEOUT, "the provider's answer stopped");
    connection_failed(relay);
    relay_leave(relay);
}

static void forget_sent(struct relay *relay)
{
    relay->attempt.path = relay->attempt.body = relay->attempt.content_type = STR_NONE;
    relay->attempt.headers = NULL;
    arena_free(relay->scratch);
    relay->scratch = NULL;
}

static void on_sent(void *user)
{
    forget_sent(user);
}

void relay_show_failure(struct relay *relay)
{
    struct http_headers headers = {0};
    relay_headers_answer(relay->arena, relay->attempt.provider, &relay->headers, &headers);
    relay_mask(relay->attempt.provider, relay->body.data, relay->body.len);
    relay->events.on_head(relay->user, &relay->attempt, relay->status, &headers);
    if (!relay->is_over && relay->body.len)
        relay->events.on_body(relay->user, buf_str(&relay->body));
}

/* ---- What is sent ---------------------------------------------------------------------------------- */

static void set_error(struct llm_error *error, enum err code, const struct error *from)
{
    dialect_error_set(error, code, error_message(from));
    str_copy(str_from_cstr(from->field), error->field, sizeof error->field);
}

static struct str url_of(struct relay *relay, struct error *error)
{
    const struct relay_attempt *attempt = &relay->attempt;
    struct str base = attempt->provider->base_url;
    struct str path = str_slice(attempt->path, 0, str_find_char(attempt->path, '?'));
    bool is_bare_socket = str_starts_with(base, STR("http://unix:")) &&
                          str_find_char(str_skip(base, 12), ':') == SIZE_MAX;
    if (url_path_is_contained(path) && !is_bare_socket) /* else it would be another socket's name */
        return arena_printf(relay->scratch, "%.*s%.*s", STR_ARG(base), STR_ARG(attempt->path));
    error_set(error, ERR_INVALID, "path", "is none of this provider's");
    return STR_NONE;
}

static enum err send_attempt(struct relay *relay, struct error *error)
{
    static const struct http_call_events events = {on_headers, on_body, on_done, on_error, on_sent};
    struct relay_attempt *attempt = &relay->attempt;
    const struct provider *provider = attempt->provider;
    const struct llm_timeouts *timeouts = &relay->plan.policy->timeouts;
    uint64_t max = relay->request.body_bytes_max;
    struct http_call_request request = {
        .method = attempt->method,
        .url = url_of(relay, error),
        .body = attempt->body,
        .connect_timeout_ms =
            timeouts->connect_ms ? timeouts->connect_ms : provider->connect_timeout_ms,
        .headers_timeout_ms =
            timeouts->headers_ms ? timeouts->headers_ms : provider->headers_timeout_ms,
        .total_timeout_ms = provider->total_timeout_ms,
        .body_bytes_max = max ? max : ANSWER_BYTES_MAX,
        .never_replays = true,
    };
    if (!request.url.data)
        return ERR_INVALID;
    relay_headers_forward(relay->scratch, attempt->headers, &request.headers);
    provider_headers(relay->scratch, provider, &request.headers);
    if (attempt->content_type.len)
        http_headers_add_view(&request.headers, relay->scratch, STR("content-type"),
                              attempt->content_type);
    http_headers_add_view(&request.headers, relay->scratch, STR("accept-encoding"),
                          STR("identity"));
    return http_call_start(relay->router->options.client, &request, &events, relay, &relay->http,
                           error);
}

/* What may be sent to this target. */
static enum err prepare(struct relay *relay, struct llm_error *ret_error)
{
    const struct target *target = relay->candidate->target;
    struct error error = {0};
    enum err code = ERR_UNSUPPORTED;
    arena_free(relay->scratch);
    relay->scratch = arena_new(SCRATCH_BYTES_MAX);
    relay->attempt = (struct relay_attempt){.target = target, .provider = target->provider};
    if (!target->provider->kind->dialect)
        error_set(&error, code, "model", "%.*s answers chats only", STR_ARG(target->id));
    else
        code = relay->request.prepare(relay->user, relay->scratch, &relay->attempt, &error);
    if (code != ERR_OK)
        set_error(ret_error, code, &error);
    return code;
}

/* Without a row and a word to the cell: nothing was sent. */
static void pass_over(struct relay *relay, const struct llm_error *error)
{
    relay->candidate->out = true;
    cell_forget(&relay->lease, relay_now_us(relay), 0);
    if (!relay->has_error)
        relay->error = *error;
    relay->has_error = true;
    forget_sent(relay);
}

/* The row is begun before a byte leaves. */
static enum err start_attempt(struct relay *relay)
{
    struct error error = {0};
    relay->has_answer = false;
    relay->start_us = relay_now_us(relay);
    relay->content_us = 0;
    relay->status = 0;
    relay_targets_begun(&relay->targets, relay->candidate);
    if (relay->charge)
        governor_begin(relay->charge, 0, relay->attempt.target, relay->targets.attempts,
                       ROUTE_WHOLE, false);
    enum err code = send_attempt(relay, &error);
    if (code == ERR_OK)
        return ERR_OK;
    set_error(&relay->error, code, &error);
    relay->has_error = relay->candidate->out = true;
    relay_end_attempt(relay, FLOW_FAILED, &LLM_USAGE_UNKNOWN);
    return code;
}

/* The caller has it already. */
static void end_answered(struct relay *relay)
{
    cell_forget(&relay->lease, relay_now_us(relay), 0);
    if (relay->charge)
        governor_note(relay->charge, LEDGER_CACHED, relay->attempt.target->id, 0);
    forget_sent(relay);
    relay_tell_end(relay, NULL);
}

bool relay_begin_attempt(struct relay *relay)
{
    struct relay_attempt before = relay->attempt;
    struct llm_error error;
    if (prepare(relay, &error) != ERR_OK) {
        pass_over(relay, &error);
        relay->attempt = before; /* whose answer may be kept */
        return false;
    }
    if (relay->attempt.is_answered) {
        end_answered(relay);
        return true;
    }
    if (start_attempt(relay) != ERR_OK)
        return false;
    if (relay->is_paused)
        http_call_pause(relay->http);
    return true;
}
