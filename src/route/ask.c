/* Ask: collects what the relay tells, and puts together what it sends. Its states are the relay's. */
#include "route/ask.h"

#include <string.h>

#include "route/router_internal.h"

#define STRICT "x-parley-strict"

enum { DROPPED_SHOWN_MAX = 200 };

static void on_head(void *user, const struct relay_attempt *attempt, int status,
                    const struct http_headers *headers)
{
    struct ask *ask = user;
    (void)attempt;
    ask->status = status;
    for (size_t i = 0; i < headers->count; i++)
        http_headers_add(&ask->headers, ask->arena, headers->items[i].name,
                         headers->items[i].value);
}

static void on_body(void *user, struct str bytes)
{
    struct ask *ask = user;
    buf_append(&ask->body, bytes);
}

static void on_end(void *user, const struct llm_error *error)
{
    struct ask *ask = user;
    struct llm_error said = {.retry_after_ms = -1};
    bool is_refused = !error && ask->status && (ask->status < 200 || ask->status > 299);
    if (is_refused)
        ask->kind->dialect->decode_error(ask->arena, ask->status, &ask->headers,
                                         buf_str(&ask->body), &said);
    ask->end(ask, is_refused ? &said : error);
}

void ask_init(struct ask *ask, struct arena *arena, struct router *router, ask_end_fn *end)
{
    *ask = (struct ask){.arena = arena, .router = router, .end = end};
    buf_init(&ask->body, ASK_ANSWER_BYTES_MAX);
}

enum err ask_start(struct ask *ask, const struct relay_request *request, struct error *error)
{
    static const struct relay_events events = {on_head, on_body, on_end};
    return relay_start(ask->router, request, &events, ask, &ask->relay, error);
}

void ask_free(struct ask *ask)
{
    buf_done(&ask->body);
    arena_free(ask->arena);
}

void ask_cancel(struct ask *ask)
{
    relay_cancel(ask->relay);
    ask_free(ask);
}

/* ---- What is sent ---------------------------------------------------------------------------- */

void ask_turn(struct ask *ask, const struct relay_attempt *attempt)
{
    ask->kind = attempt->provider->kind;
    ask->target = arena_str(ask->arena, attempt->target->id);
    ask->target_model = arena_str(ask->arena, attempt->target->model);
    ask->dropped = STR_NONE;
}

enum err ask_send(struct ask *ask, struct arena *scratch, struct relay_attempt *attempt,
                  const char *path, struct buf *body, struct error *error)
{
    enum err code = ERR_OK;
    attempt->method = HTTP_POST;
    attempt->path = provider_path(scratch, path, ask->target_model);
    attempt->content_type = STR("application/json");
    if (!attempt->path.data)
        code = error_set(error, ERR_INVALID, "model", "is too long");
    else if (!buf_ok(body))
        code = error_set(error, ERR_TOO_BIG, NULL, "the request is too large for a provider");
    else
        attempt->body = arena_str(scratch, buf_str(body));
    buf_done(body);
    return code;
}

enum err ask_drop(struct ask *ask, struct str names, struct error *error)
{
    ask->dropped = arena_str(ask->arena, names);
    if (!ask->is_strict || !names.len)
        return ERR_OK;
    return error_set(error, ERR_INVALID, STRICT, "%.*s cannot carry: %.*s", STR_ARG(ask->target),
                     (int)(names.len < DROPPED_SHOWN_MAX ? names.len : DROPPED_SHOWN_MAX),
                     names.data);
}

bool ask_is_strict_error(const struct llm_error *error)
{
    return error->class == ERR_INVALID && strcmp(error->field, STRICT) == 0;
}
