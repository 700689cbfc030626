/* Router: resolves the model, starts one call at its target, and keeps the books of it: one log
 * record and a handful of metrics for every provider call. */
#include "route/router.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/map.h"

enum { ARENA_BYTES_MAX = 1024 * 1024 };

static const double seconds_bounds[] = {0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300};
#define BOUNDS seconds_bounds, (int)(sizeof seconds_bounds / sizeof seconds_bounds[0])

static const struct metric_definition metric_calls = {
    "parley_provider_calls_total", "Calls to providers by outcome.", METRIC_COUNTER, NULL, 0};
static const struct metric_definition metric_duration = {
    "parley_provider_call_seconds", "Time from start to end of a call.", METRIC_HISTOGRAM, BOUNDS};
static const struct metric_definition metric_first_content = {
    "parley_provider_first_content_seconds", "Time to the first content of a call.",
    METRIC_HISTOGRAM, BOUNDS};
static const struct metric_definition metric_tokens = {
    "parley_tokens_total", "Tokens by provider and direction.", METRIC_COUNTER, NULL, 0};

/* The series of one provider, looked up once: metric_get takes a lock that all loops share. */
struct books {
    struct metric *outcomes[ERR_COUNT]; /* made when they first happen */
    struct metric *duration;
    struct metric *first_content;
    struct metric *input_tokens;
    struct metric *output_tokens;
};

struct router {
    struct router_options options;
    struct arena *arena;
    struct map *books; /* provider's name -> struct books */
};

struct route_call {
    struct router *router;
    struct arena *arena;
    const struct catalog *catalog; /* referenced: the target's strings live in it */
    struct catalog_target resolved;
    struct route_target target;
    struct llm_losses losses;
    struct llm_call *call;
    struct route_events events;
    void *user;
    struct str request_id;
    uint64_t start_ns;
    uint64_t first_content_ns; /* 0: none yet */
    struct llm_usage usage;
    enum err class;
    int http_status;
};

struct router *router_new(const struct router_options *options)
{
    struct arena *arena = arena_new(SIZE_MAX);
    struct router *router = ARENA_NEW(arena, struct router);
    router->arena = arena;
    router->options = *options;
    router->books = map_new();
    return router;
}

void router_free(struct router *router)
{
    if (!router)
        return;
    map_free(router->books);
    arena_free(router->arena);
}

static void call_free(struct route_call *call)
{
    catalog_unref(call->catalog);
    arena_free(call->arena); /* the call is in it */
}

/* ---- Keeping the books ----------------------------------------------------------------------- */

/* A series of this provider, with one label more when `label` is not NULL. Names of providers are
 * checked when they are configured: nothing in them needs escaping. */
static struct metric *find_metric(const struct router *router, struct str provider,
                                  const struct metric_definition *definition, const char *label,
                                  const char *value)
{
    char labels[160];
    if (label)
        snprintf(labels, sizeof labels, "provider=\"%.*s\",%s=\"%s\"", STR_ARG(provider), label,
                 value);
    else
        snprintf(labels, sizeof labels, "provider=\"%.*s\"", STR_ARG(provider));
    return metric_get(router->options.metrics, definition, labels);
}

static struct books *books_of(struct router *router, struct str provider)
{
    struct books *books = map_get(router->books, provider);
    if (books)
        return books;
    books = ARENA_NEW(router->arena, struct books);
    books->duration = find_metric(router, provider, &metric_duration, NULL, NULL);
    books->first_content = find_metric(router, provider, &metric_first_content, NULL, NULL);
    books->input_tokens = find_metric(router, provider, &metric_tokens, "direction", "input");
    books->output_tokens = find_metric(router, provider, &metric_tokens, "direction", "output");
    map_set(router->books, provider, books);
    return books;
}

static void count_outcome(struct router *router, struct books *books, struct str provider,
                          enum err class)
{
    if (!books->outcomes[class])
        books->outcomes[class] =
            find_metric(router, provider, &metric_calls, "outcome", err_info(class)->name);
    metric_add(books->outcomes[class], 1);
}

static void keep_books(struct route_call *call)
{
    struct books *books = books_of(call->router, call->target.provider);
    double seconds = (double)(clock_monotonic_ns() - call->start_ns) / 1e9;
    count_outcome(call->router, books, call->target.provider, call->class);
    metric_observe(books->duration, seconds);
    if (call->first_content_ns)
        metric_observe(books->first_content,
                       (double)(call->first_content_ns - call->start_ns) / 1e9);
    if (call->usage.input_total > 0)
        metric_add(books->input_tokens, call->usage.input_total);
    if (call->usage.output_total > 0)
        metric_add(books->output_tokens, call->usage.output_total);
    log_info(call->router->options.log, "provider call", LOG_STR("provider", call->target.provider),
             LOG_STR("model", call->resolved.model), LOG_BOOL("success", call->class == ERR_OK),
             LOG_CSTR("class", err_info(call->class)->name), LOG_INT("status", call->http_status),
             LOG_INT("duration_ms", seconds * 1000), LOG_INT("input", call->usage.input_total),
             LOG_INT("output", call->usage.output_total), LOG_STR("request", call->request_id));
}

/* ---- One call -------------------------------------------------------------------------------- */

static void note_event(struct route_call *call, const struct llm_event *event)
{
    if (event->kind == LLM_EVENT_USAGE)
        call->usage = event->usage;
    if (event->kind == LLM_EVENT_ERROR) {
        call->class = event->error->class;
        call->http_status = event->error->http_status;
    }
    if (llm_event_is_content(event->kind) && !call->first_content_ns)
        call->first_content_ns = clock_monotonic_ns();
}

static void on_event(void *user, const struct llm_event *event)
{
    struct route_call *call = user;
    note_event(call, event);
    if (event->kind != LLM_EVENT_END) {
        call->events.on_event(call->user, event);
        return;
    }
    keep_books(call);
    struct route_events events = call->events;
    void *owner = call->user;
    call->call = NULL;
    events.on_event(owner, event);
    call_free(call);
}

static void on_raw(void *user, struct str content_type, struct str bytes)
{
    struct route_call *call = user;
    call->events.on_raw(call->user, content_type, bytes);
}

static struct route_call *call_new(struct router *router, const struct route_request *request,
                                   const struct route_events *events, void *user)
{
    struct arena *arena = arena_new(ARENA_BYTES_MAX);
    struct route_call *call = ARENA_NEW(arena, struct route_call);
    call->router = router;
    call->arena = arena;
    call->events = *events;
    call->user = user;
    call->request_id = arena_str(arena, request->request_id);
    call->usage = LLM_USAGE_UNKNOWN;
    call->start_ns = clock_monotonic_ns();
    llm_losses_init(&call->losses, arena);
    return call;
}

static enum err start_call(struct route_call *call, const struct route_request *request,
                           struct error *error)
{
    struct router *router = call->router;
    call->catalog = registry_acquire(router->options.registry);
    enum err code = catalog_resolve(call->catalog, request->request->model, &call->resolved, error);
    if (code != ERR_OK)
        return code;
    struct provider *provider = call->resolved.provider;
    call->target = (struct route_target){
        .id = arena_printf(call->arena, "%.*s/%.*s", STR_ARG(provider->name),
                           STR_ARG(call->resolved.model)),
        .provider = provider->name,
        .passes_through = call->events.on_raw && request->raw_body.data &&
                          provider->kind->dialect &&
                          provider->kind->dialect == request->raw_dialect,
    };
    struct llm_call_request call_request = {
        .provider = provider,
        .request = request->request,
        .model = call->resolved.model,
        .losses = &call->losses,
        .body_bytes_hint = request->raw_body.len + request->raw_body.len / 8 + 256,
    };
    if (call->target.passes_through)
        call_request.raw_body = request->raw_body;
    static const struct llm_call_events call_events = {on_event, on_raw};
    return llm_call_start(router->options.client, router->options.loop, &call_request, &call_events,
                          call, &call->call, error);
}

enum err route_start(struct router *router, const struct route_request *request,
                     const struct route_events *events, void *user, struct route_call **ret_call,
                     struct error *error)
{
    struct route_call *call = call_new(router, request, events, user);
    enum err code = start_call(call, request, error);
    if (code == ERR_OK)
        *ret_call = call;
    else
        call_free(call);
    return code;
}

void route_cancel(struct route_call *call, struct llm_usage *ret_usage)
{
    if (!call->call) { /* END is being said: it frees the call itself */
        if (ret_usage)
            *ret_usage = call->usage;
        return;
    }
    llm_call_cancel(call->call, ret_usage);
    call->class = ERR_CANCELLED;
    keep_books(call);
    call_free(call);
}

void route_pause(struct route_call *call)
{
    if (call->call)
        llm_call_pause(call->call);
}

void route_resume(struct route_call *call)
{
    if (call->call)
        llm_call_resume(call->call);
}

const struct route_target *route_target(const struct route_call *call)
{
    return &call->target;
}

const struct llm_losses *route_losses(const struct route_call *call)
{
    return &call->losses;
}
