/* Selftest, playing: the fake provider, a registry of two providers a dialect that point at it, a
 * route for every case, and a router of its own, all on one loop.
 *
 *   (queue) --start_next--> under way --on_event END: ended--> done
 *                              ^  RETURNS, not over: again   |
 *                              +-------- load_timer ---------+
 */
#include "app/selftest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "lab/fake_server.h"
#include "net/listener.h"
#include "route/router.h"

enum {
    PROVIDERS = 2 * SELFTEST_DIALECTS,
    TEXT_BYTES_MAX = 64 * 1024,
    LOAD_EVERY_MS = 20,
    LOAD_SLACK_MS = 5000, /* beyond the outage and the cooldown */
    LATE_MS_MAX = 100000000,
    RESULTS_MAX = 1024
};

/* One fault on one dialect, streamed or not. */
struct play {
    struct selftest *selftest;
    struct selftest_result *result;
    struct str route;
    struct route_call *call;
    struct llm_part part;
    struct llm_message message;
    struct llm_request request;
    struct buf text;
    uint64_t began_ms; /* of the first request, on the clock */
    bool finished;
    bool has_failed; /* RETURNS: one of the requests was not whole */
    bool was_felt;   /* RETURNS: the outage */
    struct loop_timer load_timer;
};

struct selftest {
    struct selftest_options options;
    struct arena *arena;
    struct loop *loop;
    struct log *log;
    struct fake_server *fake;
    struct listener *listener;
    uint16_t port;
    struct http_client *client;
    struct cells *cells;
    struct registry *registry;
    struct metric_registry *metrics;
    struct router *router;
    struct selftest_result *results;
    struct play *plays;
    size_t count, started, done;
    struct loop_timer report_timer;
};

/* ---- What there is to play ------------------------------------------------------------------- */

static void add_result(struct selftest *selftest, const struct selftest_fault *fault,
                       bool is_streamed, int dialect)
{
    ASSERT(selftest->count < RESULTS_MAX);
    selftest->results[selftest->count++] =
        (struct selftest_result){.fault = fault, .dialect = dialect, .is_streamed = is_streamed};
}

static void list_results(struct selftest *selftest)
{
    selftest->results = ARENA_NEW_ARRAY(selftest->arena, RESULTS_MAX, struct selftest_result);
    for (const struct selftest_fault *fault = selftest_faults; fault->name; fault++)
        for (int whole = 0; whole < (fault->streamed_only ? 1 : 2); whole++)
            for (int dialect = 0; dialect < SELFTEST_DIALECTS; dialect++)
                add_result(selftest, fault, !whole, dialect);
}

static struct str provider_name(struct arena *arena, int dialect, bool is_second)
{
    return arena_printf(arena, "%s-%s", is_second ? "secondary" : "primary",
                        selftest_dialects[dialect]);
}

/* "provider/model"; the tag gives each its own history at the fake provider, and its own cell. */
static struct str target_id(struct selftest *selftest, size_t number, bool is_second)
{
    const struct selftest_result *result = &selftest->results[number];
    const struct selftest_fault *fault = result->fault;
    const char *model = !is_second ? fault->first : fault->second ? fault->second : "count-6";
    int dialect = is_second && fault->second_is_anthropic ? 1 : result->dialect;
    uint64_t late_ms = 2 * selftest->options.policy.timeouts.first_content_ms + 1000;
    struct str late =
        fault->is_late && !is_second
            ? arena_printf(selftest->arena, "%llu",
                           (unsigned long long)(late_ms < LATE_MS_MAX ? late_ms : LATE_MS_MAX))
            : STR("");
    return arena_printf(selftest->arena, "%.*s/%s%.*s+tag-%zu",
                        STR_ARG(provider_name(selftest->arena, dialect, is_second)), model,
                        STR_ARG(late), number);
}

static void add_route(struct selftest *selftest, size_t number, struct registry_route *ret_route)
{
    struct str *targets = ARENA_NEW_ARRAY(selftest->arena, 2, struct str);
    targets[0] = target_id(selftest, number, false);
    targets[1] = target_id(selftest, number, true);
    *ret_route = (struct registry_route){
        .name = arena_printf(selftest->arena, "fault-%zu", number),
        .source = "selftest",
        .policy = selftest->options.policy,
        .strategy = ROUTE_PRIORITY,
        .targets = targets,
        .target_count = 2,
    };
}

static enum err make_provider(struct selftest *selftest, int dialect, bool is_second,
                              struct registry_entry *ret_entry, struct error *error)
{
    static const char *const paths[SELFTEST_DIALECTS] = {"/v1", "", "/v1beta", ""};
    const struct llm_timeouts *timeouts = &selftest->options.policy.timeouts;
    *ret_entry = (struct registry_entry){.name = provider_name(selftest->arena, dialect, is_second),
                                         .source = "selftest"};
    const struct provider_options options = {
        .name = ret_entry->name,
        .kind = str_from_cstr(selftest_dialects[dialect]),
        .base_url =
            arena_printf(selftest->arena, "http://127.0.0.1:%u%s", selftest->port, paths[dialect]),
        .api_key = STR("selftest"),
        .connect_timeout_ms = timeouts->connect_ms,
        .headers_timeout_ms = timeouts->headers_ms,
        .first_content_timeout_ms = timeouts->first_content_ms,
        .content_idle_timeout_ms = timeouts->content_idle_ms,
        .total_timeout_ms = selftest->options.policy.total_us / 1000,
    };
    return provider_new(&options, &ret_entry->provider, error);
}

static enum err configure(struct selftest *selftest, struct error *error)
{
    struct registry_entry entries[PROVIDERS];
    struct registry_route *routes =
        ARENA_NEW_ARRAY(selftest->arena, selftest->count, struct registry_route);
    size_t made = 0;
    enum err code = ERR_OK;
    while (code == ERR_OK && made < PROVIDERS) {
        code = make_provider(selftest, (int)made / 2, made % 2, &entries[made], error);
        made += code == ERR_OK;
    }
    for (size_t i = 0; i < selftest->count; i++)
        add_route(selftest, i, &routes[i]);
    if (code == ERR_OK)
        registry_configure(selftest->registry,
                           &(struct registry_configuration){.entries = entries,
                                                            .entry_count = made,
                                                            .routes = routes,
                                                            .route_count = selftest->count,
                                                            .policy = &selftest->options.policy});
    while (made > 0)
        provider_unref(entries[--made].provider);
    return code;
}

/* ---- One request ----------------------------------------------------------------------------- */

static void begin_request(void *user);
static void start_next(struct selftest *selftest);

static bool text_is_whole(const struct play *play)
{
    struct str text = buf_str(&play->text);
    bool lacks_the_malformed =
        play->result->fault->expected == SELFTEST_TOLERATED && str_eq(text, STR("1 3 4 5 6 "));
    return lacks_the_malformed || str_eq(text, selftest_text(play->result->fault));
}

/* The mode of the last joint in what the router tells of its way. */
static const char *rung_of(struct str story)
{
    const char *rung = NULL;
    yyjson_val *root = NULL;
    struct arena *arena = arena_new(TEXT_BYTES_MAX);
    if (story.len && json_read(arena, story, &root, NULL) == ERR_OK) {
        struct str mode = json_get_str(yyjson_arr_get_last(json_get(root, "joints")), "mode");
        for (int i = ROUTE_WHOLE; i <= ROUTE_CONTINUE; i++)
            if (str_eq(mode, str_from_cstr(route_mode_name((enum route_mode)i))))
                rung = route_mode_name((enum route_mode)i);
    }
    arena_free(arena);
    return rung;
}

/* Whether load goes on: until the first target answers at once again. */
static bool goes_on(struct play *play)
{
    const struct route_policy *policy = &play->selftest->options.policy;
    struct selftest_result *result = play->result;
    uint64_t limit_ms = LOAD_SLACK_MS + 4 * policy->breaker.cooldown_us / 1000;
    play->has_failed = play->has_failed || result->outcome != SELFTEST_WHOLE;
    play->was_felt = play->was_felt || result->attempts > 1;
    return result->fault->expected == SELFTEST_RETURNS && !play->has_failed &&
           !(play->was_felt && result->answered == 1 && result->attempts == 1) &&
           result->ms < limit_ms;
}

static void ended(struct play *play)
{
    struct selftest *selftest = play->selftest;
    struct selftest_result *result = play->result;
    struct str target = route_target(play->call).provider;
    result->attempts = route_attempts(play->call);
    result->answered = !result->attempts ? 0 : str_starts_with(target, STR("secondary")) ? 2 : 1;
    result->ms = clock_monotonic_ms() - play->began_ms;
    if (play->finished)
        result->outcome = text_is_whole(play) ? SELFTEST_WHOLE : SELFTEST_TRUNCATED;
    if (goes_on(play)) {
        loop_timer_set(selftest->loop, &play->load_timer, LOAD_EVERY_MS, begin_request, play);
        return;
    }
    selftest_judge(result, &selftest->options.policy);
    buf_release(&play->text);
    selftest->done++;
    if (selftest->done == selftest->count)
        loop_stop(selftest->loop);
    else
        start_next(selftest);
}

static void on_event(void *user, const struct llm_event *event)
{
    struct play *play = user;
    switch (event->kind) {
    case LLM_EVENT_TEXT:
        buf_append(&play->text, event->text);
        break;
    case LLM_EVENT_FINISH:
        play->finished = true;
        play->result->rung = rung_of(event->extension);
        break;
    case LLM_EVENT_ERROR:
        play->result->outcome = SELFTEST_ERROR;
        play->result->class = event->error->class;
        break;
    case LLM_EVENT_END:
        ended(play);
        break;
    default:
        break;
    }
}

static void begin_request(void *user)
{
    struct play *play = user;
    struct selftest *selftest = play->selftest;
    static const struct route_events events = {.on_event = on_event};
    struct error error = {0};
    buf_clear(&play->text);
    play->finished = false;
    play->result->outcome = SELFTEST_NONE;
    play->result->requests++;
    enum err code =
        route_start(selftest->router,
                    &(struct route_request){.request = &play->request, .request_id = play->route},
                    &events, play, &play->call, &error);
    ASSERT(code == ERR_OK); /* the routes are our own */
}

static void init_play(struct selftest *selftest, size_t number)
{
    struct play *play = &selftest->plays[number];
    play->selftest = selftest;
    play->result = &selftest->results[number];
    play->route = arena_printf(selftest->arena, "fault-%zu", number);
    play->part = (struct llm_part){.kind = LLM_PART_TEXT, .text = STR("Count to six.")};
    play->message = (struct llm_message){.role = LLM_USER, .parts = &play->part, .part_count = 1};
    play->request = (struct llm_request){.model = play->route,
                                         .messages = &play->message,
                                         .message_count = 1,
                                         .stream = play->result->is_streamed,
                                         .stream_usage = true};
    buf_init(&play->text, TEXT_BYTES_MAX);
}

static void start_next(struct selftest *selftest)
{
    if (selftest->started == selftest->count)
        return;
    struct play *play = &selftest->plays[selftest->started++];
    play->began_ms = clock_monotonic_ms();
    begin_request(play);
}

/* ---- All of them ----------------------------------------------------------------------------- */

static void report(void *user)
{
    struct selftest *selftest = user;
    fprintf(stderr, "%zu of %zu played\n", selftest->done, selftest->count);
    loop_timer_set(selftest->loop, &selftest->report_timer, selftest->options.report_ms, report,
                   selftest);
}

void selftest_run(struct selftest *selftest)
{
    loop_timer_set(selftest->loop, &selftest->report_timer, selftest->options.report_ms, report,
                   selftest);
    for (size_t i = 0; i < selftest->options.at_once && i < selftest->count; i++)
        start_next(selftest);
    loop_run(selftest->loop);
    loop_timer_cancel(selftest->loop, &selftest->report_timer);
}

static enum err listen_fake(struct selftest *selftest, struct error *error)
{
    enum err code = listener_probe("127.0.0.1", 0, &selftest->port, error);
    if (code != ERR_OK)
        return code;
    selftest->fake = fake_server_new(selftest->loop, &(struct fake_server_options){.quiet = true});
    return listener_new_tcp(selftest->loop, "127.0.0.1", selftest->port, fake_server_accept,
                            selftest->fake, &selftest->listener, error);
}

static void make_router(struct selftest *selftest)
{
    selftest->client = http_client_new(selftest->loop, &(struct http_client_options){0});
    selftest->cells = cells_new();
    selftest->registry = registry_new(selftest->log, selftest->cells);
    selftest->metrics = metric_registry_new();
    selftest->router = router_new(&(struct router_options){.loop = selftest->loop,
                                                           .client = selftest->client,
                                                           .registry = selftest->registry,
                                                           .metrics = selftest->metrics,
                                                           .log = selftest->log});
}

enum err selftest_new(const struct selftest_options *options, struct selftest **ret_selftest,
                      struct error *error)
{
    struct selftest *selftest = calloc(1, sizeof *selftest);
    ASSERT(selftest);
    selftest->options = *options;
    selftest->arena = arena_new(SIZE_MAX);
    selftest->log = log_new(-1, LOG_ERROR, LOG_FORMAT_TEXT); /* faults are no news here */
    selftest->loop = loop_new(0, selftest->log);
    list_results(selftest);
    make_router(selftest);
    enum err code = listen_fake(selftest, error);
    if (code == ERR_OK)
        code = configure(selftest, error);
    if (code != ERR_OK) {
        selftest_free(selftest);
        return code;
    }
    selftest->plays = ARENA_NEW_ARRAY(selftest->arena, selftest->count, struct play);
    for (size_t i = 0; i < selftest->count; i++)
        init_play(selftest, i);
    *ret_selftest = selftest;
    return ERR_OK;
}

void selftest_free(struct selftest *selftest)
{
    if (!selftest)
        return;
    for (size_t i = 0; selftest->plays && i < selftest->count; i++)
        buf_done(&selftest->plays[i].text);
    router_free(selftest->router);
    registry_free(selftest->registry);
    http_client_free(selftest->client);
    listener_close(selftest->listener);
    if (selftest->fake)
        fake_server_free(selftest->fake);
    loop_free(selftest->loop);
    cells_free(selftest->cells);
    metric_registry_free(selftest->metrics);
    log_free(selftest->log);
    arena_free(selftest->arena);
    free(selftest);
}

const struct selftest_result *selftest_results(const struct selftest *selftest, size_t *ret_count)
{
    *ret_count = selftest->count;
    return selftest->results;
}
