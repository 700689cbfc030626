/* For tests of shared answers: callers, what they hear, and a loop with a router of its own. */
#pragma once

#include "../llm/helper_call.h"

#include "llm/losses.h"
#include "route/cache.h"
#include "route/coalesce.h"
#include "route/governor.h"

#define HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
#define FRAME(text)                                                                                \
    "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" text \
    "\"}}]}\n\n"
#define LAST                                                                                       \
    "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],"     \
    "\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n"
#define BODY(model, question)                                                                      \
    "{\"model\":\"" model                                                                          \
    "\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"" question "\"}]}"

/* What all loops have. */
struct sharing {
    struct call_fixture *net; /* the first loop; its server answers all */
    struct cells *cells;
    struct registry *registry;
    struct metric_registry *metrics;
    struct coalescer *coalescer;
    struct cache *cache;
    struct governor *governor; /* of routers that are made from now on; NULL: none */
    struct router *router;     /* the first loop's */
    struct log *log;
    int log_fds[2];
};

/* One caller. Set what is to be asked and how; zeroed, it is a person's ordinary question. */
struct caller {
    const char *body;   /* NULL: the usual one */
    const char *tenant; /* NULL: "ann"; "": nobody */
    struct route_cache_ask cache;
    struct policy *policy;
    bool is_strict;
    bool wants_raw, takes_back, has_no_body;
    bool leaves_at_text, pauses_at_text;
    /* What came of it. */
    struct route_call *call;
    struct buf text, raw;
    struct llm_usage usage;
    int ends, errors, finishes;
    enum err class;
    bool is_shared, was_raw, has_story;
    enum route_cached cached;
    int texts; /* pieces */
    int attempts;
    char target[64];
};

static inline const char *caller_body(const struct caller *caller)
{
    return caller->body ? caller->body : BODY("fake/m", "hello");
}

static inline void caller_look(struct caller *caller)
{
    caller->is_shared = route_is_shared(caller->call);
    caller->was_raw |= route_is_raw(caller->call);
    caller->cached = route_cached(caller->call, NULL);
    caller->has_story = route_has_story(caller->call);
    caller->attempts = route_attempts(caller->call);
    assert_non_null(route_losses(caller->call));
    str_copy(route_target(caller->call).id, caller->target, sizeof caller->target);
}

static inline void caller_on_event(void *user, const struct llm_event *event)
{
    struct caller *caller = user;
    assert_int_equal(caller->ends, 0);
    caller_look(caller);
    caller->ends += event->kind == LLM_EVENT_END;
    caller->finishes += event->kind == LLM_EVENT_FINISH;
    if (event->kind == LLM_EVENT_ERROR) {
        caller->errors++;
        caller->class = event->error->class;
    }
    if (event->kind == LLM_EVENT_USAGE)
        caller->usage = event->usage;
    if (event->kind != LLM_EVENT_TEXT)
        return;
    buf_append(&caller->text, event->text);
    caller->texts++;
    if (caller->pauses_at_text)
        route_pause(caller->call);
    if (caller->leaves_at_text) {
        route_cancel(caller->call, NULL);
        caller->call = NULL;
    }
}

static inline void caller_on_raw(void *user, struct str content_type, struct str bytes)
{
    struct caller *caller = user;
    assert_int_equal(caller->ends, 0);
    assert_true(content_type.len > 0);
    buf_append(&caller->raw, bytes);
}

static inline void caller_on_rewind(void *user, size_t text_bytes)
{
    (void)user;
    (void)text_bytes;
    fail_msg("nothing was to be taken back");
}

static inline const struct llm_request *caller_on_request(void *user, struct arena *scratch)
{
    struct llm_request *request = ARENA_NEW(scratch, struct llm_request);
    yyjson_val *root;
    assert_int_equal(json_read(scratch, str_from_cstr(caller_body(user)), &root, NULL), ERR_OK);
    assert_int_equal(dialect_openai_chat.decode_request(scratch, root, request, NULL), ERR_OK);
    return request;
}

static inline enum err caller_start(struct caller *caller, struct router *router, const char *id)
{
    struct arena *arena = arena_new(SIZE_MAX);
    struct str body = str_from_cstr(caller_body(caller));
    const struct route_events events = {
        .on_event = caller_on_event,
        .on_raw = caller->wants_raw ? caller_on_raw : NULL,
        .on_rewind = caller->takes_back ? caller_on_rewind : NULL,
        .on_request = caller_on_request,
    };
    const struct governor_origin origin = {.policy = caller->policy};
    const struct route_request request = {
        .request = caller_on_request(caller, arena),
        .raw_body = caller->has_no_body ? STR_NONE : body,
        .raw_dialect = &dialect_openai_chat,
        .request_id = str_from_cstr(id),
        .tenant = str_from_cstr(caller->tenant ? caller->tenant : "ann"),
        .strict = caller->is_strict,
        .origin = caller->policy ? &origin : NULL,
        .cache = caller->cache,
    };
    buf_init(&caller->text, 64 * 1024 * 1024);
    buf_init(&caller->raw, 64 * 1024 * 1024);
    caller->usage = LLM_USAGE_UNKNOWN;
    enum err code = route_start(router, &request, &events, caller, &caller->call, NULL);
    arena_free(arena);
    return code;
}

static inline void caller_done(struct caller *caller)
{
    buf_done(&caller->text);
    buf_done(&caller->raw);
}

static inline struct router *sharing_router(struct sharing *s, struct loop *loop,
                                            struct http_client *client)
{
    return router_new(&(struct router_options){.loop = loop,
                                               .client = client,
                                               .registry = s->registry,
                                               .coalescer = s->coalescer,
                                               .cache = s->cache,
                                               .governor = s->governor,
                                               .metrics = s->metrics,
                                               .log = s->log});
}

static inline void sharing_configure(struct sharing *s)
{
    static const struct str targets[] = {{"fake/m", 6}};
    struct route_policy shares = route_policy_default;
    shares.coalesce = true;
    shares.attempts_max = 2;
    shares.backoff_us = 1000;
    shares.recovery = ROUTE_WHOLE;
    struct route_policy apart = shares;
    apart.coalesce = false;
    const struct registry_route routes[] = {
        {.name = STR("apart"),
         .source = "file",
         .policy = apart,
         .targets = targets,
         .target_count = 1},
        {.name = STR("also"),
         .source = "file",
         .policy = shares,
         .targets = targets,
         .target_count = 1},
    };
    const struct registry_entry entries[] = {
        {.provider = s->net->provider, .name = STR("fake"), .source = "file"}};
    registry_configure(s->registry, &(struct registry_configuration){.entries = entries,
                                                                     .entry_count = 1,
                                                                     .routes = routes,
                                                                     .route_count = 2,
                                                                     .policy = &shares});
}

static inline int sharing_setup(void **state)
{
    struct sharing *s = calloc(1, sizeof *s);
    call_setup((void **)&s->net);
    assert_int_equal(pipe2(s->log_fds, O_NONBLOCK | O_CLOEXEC), 0);
    s->log = log_new(s->log_fds[1], LOG_INFO, LOG_FORMAT_JSON);
    s->cells = cells_new();
    s->registry = registry_new(NULL, s->cells);
    s->metrics = metric_registry_new();
    s->coalescer = coalescer_new(s->metrics);
    s->cache = cache_new(1024 * 1024, s->metrics);
    s->router = sharing_router(s, s->net->loop, s->net->client);
    sharing_configure(s);
    *state = s;
    return 0;
}

static inline int sharing_teardown(void **state)
{
    struct sharing *s = *state;
    router_free(s->router);
    coalescer_free(s->coalescer);
    coalescer_free(NULL);
    cache_free(s->cache);
    registry_free(s->registry);
    call_teardown((void **)&s->net);
    cells_free(s->cells);
    metric_registry_free(s->metrics);
    log_free(s->log);
    close(s->log_fds[0]);
    close(s->log_fds[1]);
    free(s);
    return 0;
}

/* How many requests have shared the answer to another one. */
static inline int64_t sharing_joined(struct sharing *s)
{
    const struct str name = STR("\nparley_coalesced_total{} ");
    struct buf text;
    buf_init(&text, 1024 * 1024);
    metric_registry_write(s->metrics, &text);
    size_t at = str_find(buf_str(&text), name);
    assert_true(at != SIZE_MAX);
    int64_t value = strtoll(text.data + at + name.len, NULL, 10);
    buf_done(&text);
    return value;
}
