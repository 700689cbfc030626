/* Relay: requests handed through, on real sockets: who is asked, what goes there, what comes back,
 * and what is written down of it. */
#include "../llm/helper_call.h"

#include <sys/stat.h>

#include "helper_governor.h"
#include "route/relay.h"
#include "route/relay_headers.h"

struct fixture {
    struct call_fixture *net;
    struct server other; /* of provider "second" */
    struct provider *second;
    struct cells *cells;
    struct registry *registry;
    struct metric_registry *metrics;
    struct log *log;
    struct governor governor;
    struct router *router;
};

struct heard_relay {
    struct relay *relay;
    struct buf body;
    struct http_headers headers;
    struct arena *arena;
    struct llm_error error;
    char target[64];
    int heads, status, ends, failures, prepared, usages, attempts;
    size_t usage_bytes;
    enum { NEVER, AT_HEAD, AT_BODY, AT_END } cancels;
    const char *path;
    const struct http_headers *send;
    const char *refuses_model; /* prepare fails for it */
    bool has_kept;             /* prepare says that it is answered */
};

static void configure(struct fixture *f, int attempts_max)
{
    const struct registry_entry entries[] = {
        {.provider = f->net->provider, .name = STR("fake"), .source = "file"},
        {.provider = f->second, .name = STR("second"), .source = "file"},
        {.name = STR("broken"), .error = STR("no key"), .source = "file"},
    };
    static const struct str targets[] = {{"fake/m", 6}, {"second/m", 8}};
    struct route_policy policy = route_policy_default;
    policy.attempts_max = attempts_max;
    policy.backoff_us = 1000;
    policy.queue_wait_us = 20 * 1000;
    policy.timeouts.content_idle_ms = 60;
    const struct registry_route both = {.name = STR("both"),
                                        .source = "file",
                                        .policy = policy,
                                        .strategy = ROUTE_PRIORITY,
                                        .targets = targets,
                                        .target_count = 2};
    registry_configure(f->registry, &(struct registry_configuration){.entries = entries,
                                                                     .entry_count = 3,
                                                                     .routes = &both,
                                                                     .route_count = 1,
                                                                     .policy = &policy});
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    char url[64];
    call_setup((void **)&f->net);
    server_listen(&f->other, f->net->loop);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/v1", f->other.port);
    assert_int_equal(provider_new(&(struct provider_options){.name = STR("second"),
                                                             .kind = STR("openai-compatible"),
                                                             .base_url = str_from_cstr(url),
                                                             .api_key = STR("second-key")},
                                  &f->second, NULL),
                     ERR_OK);
    f->cells = cells_new();
    f->registry = registry_new(NULL, f->cells);
    f->metrics = metric_registry_new();
    f->log = log_new(-1, LOG_ERROR, LOG_FORMAT_JSON);
    f->router = router_new(&(struct router_options){.loop = f->net->loop,
                                                    .client = f->net->client,
                                                    .registry = f->registry,
                                                    .governor = &f->governor,
                                                    .metrics = f->metrics,
                                                    .log = f->log});
    configure(f, 1);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(f->governor.opens, f->governor.closes);
    assert_int_equal(f->governor.begins, f->governor.row_count);
    router_free(f->router);
    registry_free(f->registry);
    cells_free(f->cells);
    metric_registry_free(f->metrics);
    log_free(f->log);
    provider_unref(f->second);
    server_close(&f->other);
    call_teardown((void **)&f->net);
    free(f);
    return 0;
}

/* ---- A caller -------------------------------------------------------------------------------- */

static enum err prepare(void *user, struct arena *scratch, struct relay_attempt *attempt,
                        struct error *error)
{
    struct heard_relay *heard = user;
    heard->prepared++;
    if (heard->refuses_model && str_eq(attempt->target->id, str_from_cstr(heard->refuses_model)))
        return error_set(error, ERR_UNSUPPORTED, "model", "cannot do that");
    attempt->method = HTTP_POST;
    attempt->path = str_from_cstr(heard->path ? heard->path : "/images/generations?x=1");
    attempt->body = arena_printf(scratch, "{\"model\":\"%.*s\"}", STR_ARG(attempt->target->model));
    attempt->content_type = STR("application/json");
    attempt->headers = heard->send;
    attempt->is_answered = heard->has_kept;
    return ERR_OK;
}

static void usage_of(void *user, const struct relay_attempt *attempt, struct str body,
                     struct llm_usage *ret_usage)
{
    struct heard_relay *heard = user;
    assert_non_null(attempt->target);
    heard->usages++;
    heard->usage_bytes = body.len;
    ret_usage->input_total = 11;
    ret_usage->output_total = 0;
}

static void cancel_at(struct heard_relay *heard, int when)
{
    if ((int)heard->cancels == when)
        relay_cancel(heard->relay);
}

static void on_head(void *user, const struct relay_attempt *attempt, int status,
                    const struct http_headers *headers)
{
    struct heard_relay *heard = user;
    assert_int_equal(heard->heads++, 0);
    heard->status = status;
    str_copy(attempt->target->id, heard->target, sizeof heard->target);
    for (size_t i = 0; i < headers->count; i++)
        http_headers_add(&heard->headers, heard->arena, headers->items[i].name,
                         headers->items[i].value);
    cancel_at(heard, AT_HEAD);
}

static void on_body(void *user, struct str bytes)
{
    struct heard_relay *heard = user;
    assert_int_equal(heard->heads, 1);
    buf_append(&heard->body, bytes);
    cancel_at(heard, AT_BODY);
}

static void on_end(void *user, const struct llm_error *error)
{
    struct heard_relay *heard = user;
    assert_int_equal(heard->ends++, 0);
    heard->failures += error != NULL;
    heard->attempts = relay_attempts(heard->relay);
    if (error)
        heard->error = *error;
    cancel_at(heard, AT_END);
}

static void caller_init(struct heard_relay *heard)
{
    buf_init(&heard->body, 64 * 1024 * 1024);
    heard->arena = arena_new(SIZE_MAX);
}

static void caller_done(struct heard_relay *heard)
{
    buf_done(&heard->body);
    arena_free(heard->arena);
}

static enum err try_start(struct fixture *f, struct heard_relay *heard, struct relay_request ask,
                          struct error *error)
{
    static const struct relay_events events = {on_head, on_body, on_end};
    static const struct governor_origin origin = {.request_id = {"r1", 2}};
    caller_init(heard);
    ask.origin = &origin;
    ask.prepare = prepare;
    ask.usage_of = usage_of;
    return relay_start(f->router, &ask, &events, heard, &heard->relay, error);
}

static void start(struct fixture *f, struct heard_relay *heard, const char *model)
{
    const struct relay_request ask = {.model = str_from_cstr(model), .is_retried = true};
    assert_int_equal(try_start(f, heard, ask, NULL), ERR_OK);
    assert_int_equal(heard->prepared, 0);
}

static void start_whole(struct fixture *f, struct heard_relay *heard)
{
    const struct relay_request ask = {.provider = STR("fake")};
    assert_int_equal(try_start(f, heard, ask, NULL), ERR_OK);
}

static void wait_end(struct fixture *f, struct heard_relay *heard)
{
    TURN_UNTIL(f->net->loop, heard->ends);
}

static bool has_sent(struct fixture *f, const char *part)
{
    return str_find_nocase(buf_str(&f->net->request), str_from_cstr(part)) != SIZE_MAX;
}

/* Answers the second provider's next request. */
static int accept_second(struct fixture *f)
{
    int fd = server_accept(&f->other);
    server_read_request(&f->other, fd, &f->net->request, 0);
    return fd;
}

static void expect_row(struct fixture *f, int index, const char *target, enum flow_outcome outcome,
                       enum err class)
{
    assert_true(index < f->governor.row_count);
    assert_string_equal(f->governor.rows[index].target, target);
    assert_int_equal(f->governor.rows[index].outcome, outcome);
    assert_int_equal(f->governor.rows[index].class, class);
    assert_int_equal(f->governor.rows[index].number, index + 1);
}

/* ---- What goes there and comes back ---------------------------------------------------------- */

static void test_an_answer_as_it_is(void **state)
{
    struct fixture *f = *state;
    struct http_header sent[] = {{STR("Authorization"), STR("Bearer sk-parley-mine")},
                                 {STR("X-Api-Key"), STR("mine")},
                                 {STR("x-goog-api-key"), STR("mine")},
                                 {STR("Cookie"), STR("a=mine")},
                                 {STR("Host"), STR("mine")},
                                 {STR("Connection"), STR("close")},
                                 {STR("User-Agent"), STR("mine")},
                                 {STR("OpenAI-Organization"), STR("mine")},
                                 {STR("OpenAI-Beta"), STR("assistants=v2")},
                                 {STR("Accept"), STR("audio/mpeg")},
                                 {STR("Idempotency-Key"), STR("once")}};
    struct http_headers headers = {.items = sent, .count = sizeof sent / sizeof sent[0]};
    struct heard_relay heard = {.send = &headers};
    start_whole(f, &heard);
    int fd = call_accept(f->net);
    assert_true(has_sent(f, "POST /v1/images/generations?x=1 HTTP/1.1\r\n"));
    assert_true(has_sent(f, "authorization: Bearer secret-key\r\n"));
    assert_true(has_sent(f, "openai-beta: assistants=v2\r\n"));
    assert_true(has_sent(f, "accept: audio/mpeg\r\n"));
    assert_true(has_sent(f, "idempotency-key: once\r\n"));
    assert_true(has_sent(f, "accept-encoding: identity\r\n"));
    assert_false(has_sent(f, "mine"));
    call_send(f->net, fd,
              "HTTP/1.1 206 Partial Content\r\nContent-Type: audio/mpeg\r\nContent-Length: 5\r\n"
              "Set-Cookie: a=b\r\nOpenAI-Organization: owner\r\nOpenAI-Processing-Ms: 12\r\n"
              "Connection: keep-alive\r\nX-RateLimit-Remaining-Tokens: 9\r\nServer: x\r\n"
              "Location: http://elsewhere.example/v1/a\r\nx-request-id: req_1\r\n\r\na\001\377bc");
    wait_end(f, &heard);
    assert_int_equal(heard.status, 206);
    assert_int_equal(heard.failures, 0);
    assert_true(str_eq(buf_str(&heard.body), STR("a\001\377bc")));
    assert_int_equal(heard.headers.count, 4);
    assert_true(str_eq(http_headers_get(&heard.headers, "content-type"), STR("audio/mpeg")));
    assert_true(str_eq(http_headers_get(&heard.headers, "x-request-id"), STR("req_1")));
    assert_true(http_headers_get(&heard.headers, "openai-processing-ms").len);
    assert_true(http_headers_get(&heard.headers, "x-ratelimit-remaining-tokens").len);
    assert_string_equal(heard.target, "fake/*");
    expect_row(f, 0, "fake/*", FLOW_ANSWERED, ERR_OK);
    assert_int_equal(f->governor.rows[0].input, 11);
    assert_int_equal(f->governor.rows[0].cost_nano, -1);
    assert_int_equal(heard.usage_bytes, 5);
    assert_int_equal(f->governor.last_status, 206);
    close(fd);
    caller_done(&heard);
}

/* Nothing is sent, and the place is given back. */
static void test_what_is_kept(void **state)
{
    struct fixture *f = *state;
    struct heard_relay heard = {.has_kept = true};
    start(f, &heard, "fake/m");
    wait_end(f, &heard);
    assert_int_equal(heard.prepared, 1);
    assert_int_equal(heard.heads, 0);
    assert_int_equal(heard.failures, 0);
    assert_int_equal(heard.attempts, 0);
    assert_int_equal(f->governor.begins, 0);
    assert_int_equal(f->governor.notes, 1);
    assert_int_equal(f->governor.closes, 1);
    caller_done(&heard);
}

static void test_streams_are_not_kept(void **state)
{
    struct fixture *f = *state;
    struct heard_relay heard = {0};
    start(f, &heard, "fake/m");
    int fd = call_accept(f->net);
    assert_true(has_sent(f, "{\"model\":\"m\"}"));
    call_reply(f->net, fd, "200 OK", "text/event-stream", "data: {}\n\n");
    wait_end(f, &heard);
    assert_true(str_eq(buf_str(&heard.body), STR("data: {}\n\n")));
    assert_int_equal(heard.usages, 1);
    assert_int_equal(heard.usage_bytes, 0);
    close(fd);
    caller_done(&heard);
}

static void test_paths_stay_with_the_provider(void **state)
{
    struct fixture *f = *state;
    static const char *const paths[] = {
        "@evil.example/", "/../admin", "/a/%2e%2e/b", "/a%2fb", "//evil.example", "/a\\..\\b", ""};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct heard_relay heard = {.path = paths[i]};
        start_whole(f, &heard);
        wait_end(f, &heard);
        assert_int_equal(heard.error.class, ERR_INVALID);
        assert_int_equal(heard.heads, 0);
        caller_done(&heard);
    }
    assert_int_equal(server_try_accept(&f->net->server), -1);
}

static void test_locations(void **state)
{
    struct fixture *f = *state;
    struct arena *arena = arena_new(SIZE_MAX);
    char base[64];
    snprintf(base, sizeof base, "%.*s", STR_ARG(f->net->provider->base_url));
    const struct {
        struct str location;
        const char *kept; /* NULL: dropped */
    } rows[] = {
        {arena_printf(arena, "%s/files/a?b=1", base), "/files/a?b=1"},
        {STR("/v1/files/a"), "/files/a"},
        {STR("/v2/files/a"), NULL},
        {STR("//evil.example/v1/files"), NULL},
        {arena_printf(arena, "%s.evil.example/v1/x", base), NULL},
        {arena_printf(arena, "%s/../x", base), NULL},
        {STR("https://evil.example/v1/files"), NULL},
        {STR("files/a"), NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct http_header item = {STR("Location"), rows[i].location};
        struct http_headers from = {.items = &item, .count = 1}, to = {0};
        relay_headers_answer(arena, f->net->provider, &from, &to);
        assert_true(str_eq(http_headers_get(&to, "location"), str_from_cstr(rows[i].kept)));
        assert_int_equal(to.count, rows[i].kept != NULL);
    }
    arena_free(arena);
}

/* ---- Failures -------------------------------------------------------------------------------- */

static void test_the_next_target(void **state)
{
    struct fixture *f = *state;
    struct heard_relay heard = {0};
    start(f, &heard, "both");
    int fd = call_accept(f->net);
    call_reply(f->net, fd, "503 Busy", "application/json", "{\"error\":{\"message\":\"busy\"}}");
    int other = accept_second(f);
    assert_true(has_sent(f, "authorization: Bearer second-key"));
    call_reply(f->net, other, "200 OK", "application/json", "{}");
    wait_end(f, &heard);
    assert_int_equal(heard.status, 200);
    assert_string_equal(heard.target, "second/m");
    assert_int_equal(heard.prepared, 2);
    expect_row(f, 0, "fake/m", FLOW_FAILED, ERR_OVERLOADED);
    expect_row(f, 1, "second/m", FLOW_ANSWERED, ERR_OK);
    assert_int_equal(f->governor.reached, 2);
    close(fd);
    close(other);
    caller_done(&heard);
}

static void test_a_chain(void **state)
{
    struct fixture *f = *state;
    struct heard_relay heard = {0};
    const struct str chain[] = {STR("second/other")};
    const struct relay_request ask = {
        .model = STR("fake/m"), .chain = chain, .chain_count = 1, .is_retried = true};
    assert_int_equal(try_start(f, &heard, ask, NULL), ERR_OK);
    assert_int_equal(f->governor.chain_count, 1);
    int fd = call_accept(f->net);
    call_reply(f->net, fd, "503 Busy", "text/plain", "busy");
    int other = accept_second(f);
    call_reply(f->net, other, "200 OK", "text/plain", "");
    wait_end(f, &heard);
    assert_string_equal(heard.target, "second/other");
    close(fd);
    close(other);
    caller_done(&heard);
}

static bool is_second(void *user, const struct target *target)
{
    assert_non_null(user);
    return str_eq(target->provider->name, STR("second"));
}

static bool is_nobody(void *user, const struct target *target)
{
    (void)user, (void)target;
    return false;
}

static void test_who_can(void **state)
{
    struct fixture *f = *state;
    struct heard_relay heard = {0}, nobody = {0};
    assert_int_equal(try_start(f, &heard,
                               (struct relay_request){.model = STR("both"), .may_ask = is_second},
                               NULL),
                     ERR_OK);
    int other = accept_second(f);
    call_reply(f->net, other, "200 OK", "text/plain", "");
    wait_end(f, &heard);
    assert_int_equal(heard.prepared, 1);
    assert_int_equal(try_start(f, &nobody,
                               (struct relay_request){.model = STR("both"), .may_ask = is_nobody},
                               NULL),
                     ERR_OK);
    wait_end(f, &nobody);
    assert_int_equal(nobody.error.class, ERR_UNSUPPORTED);
    assert_int_equal(nobody.prepared, 0);
    f->governor.refuses = true; /* that is said first */
    caller_done(&nobody);
    nobody = (struct heard_relay){0};
    assert_int_equal(try_start(f, &nobody,
                               (struct relay_request){.model = STR("both"), .may_ask = is_nobody},
                               NULL),
                     ERR_OK);
    wait_end(f, &nobody);
    assert_int_equal(nobody.error.class, ERR_RATE_LIMITED);
    close(other);
    caller_done(&heard);
    caller_done(&nobody);
}

/* Neither bench nor breaker nor pace: who was asked aside is asked as before. */
static void test_aside(void **state)
{
    struct fixture *f = *state;
    struct heard_relay aside, chat = {0};
    const struct relay_request ask = {.model = STR("both"), .is_retried = true, .is_aside = true};
    configure(f, 3);
    for (int i = 0; i < 10; i++) {
        aside = (struct heard_relay){0};
        assert_int_equal(try_start(f, &aside, ask, NULL), ERR_OK);
        int fd = call_accept(f->net);
        call_send(f->net, fd,
                  i % 2 ? "HTTP/1.1 401 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
                        : "HTTP/1.1 400 Bad\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        int other = accept_second(f);
        call_send(f->net, other,
                  "HTTP/1.1 429 Slow\r\nRetry-After: 99\r\nConnection: close\r\nContent-Length: "
                  "0\r\n\r\n");
        wait_end(f, &aside);
        assert_int_equal(aside.status, 429);
        assert_int_equal(aside.attempts, 2);
        f->governor.row_count = f->governor.begins = 0;
        close(fd);
        close(other);
        caller_done(&aside);
    }
    assert_int_equal(f->governor.frees, 10);
    start(f, &chat, "both");
    int fd = call_accept(f->net);
    call_reply(f->net, fd, "200 OK", "text/plain", "");
    wait_end(f, &chat);
    assert_string_equal(chat.target, "fake/m");
    close(fd);
    caller_done(&chat);
}

static void test_the_callers_fault_is_handed_on(void **state)
{
    struct fixture *f = *state;
    struct heard_relay heard = {0};
    start(f, &heard, "both");
    int fd = call_accept(f->net);
    call_reply(f->net, fd, "400 Bad", "application/json",
               "{\"error\":{\"message\":\"no, secret-key sk-abcdefghijkl org-abcdefghijklmnop\"}}");
    wait_end(f, &heard);
    assert_int_equal(heard.status, 400);
    assert_int_equal(heard.failures, 0);
    assert_true(
        str_eq(buf_str(&heard.body), STR("{\"error\":{\"message\":\"no, ********** sk-abcd******** "
                                         "org-****************\"}}")));
    expect_row(f, 0, "fake/m", FLOW_FAILED, ERR_INVALID);
    assert_int_equal(heard.usages, 0);
    close(fd);
    caller_done(&heard);
}

static void test_the_last_answer_is_handed_on(void **state)
{
    struct fixture *f = *state;
    struct heard_relay heard = {.refuses_model = "second/m"};
    start(f, &heard, "both");
    int fd = call_accept(f->net);
    call_send(f->net, fd, "HTTP/1.1 429 Slow\r\nRetry-After: 99\r\nContent-Length: 4\r\n\r\nslow");
    wait_end(f, &heard);
    assert_int_equal(heard.status, 429);
    assert_string_equal(heard.target, "fake/m");
    assert_true(str_eq(http_headers_get(&heard.headers, "retry-after"), STR("99")));
    assert_true(str_eq(buf_str(&heard.body), STR("slow")));
    assert_int_equal(heard.prepared, 2);
    close(fd);
    caller_done(&heard);
}

static void test_the_same_once_more(void **state)
{
    struct fixture *f = *state;
    struct heard_relay heard = {0};
    configure(f, 2);
    start(f, &heard, "fake/m");
    int fd = call_accept(f->net);
    call_reply(f->net, fd, "500 Oh", "text/plain", "oh");
    TURN_UNTIL(f->net->loop, heard.prepared == 2);
    server_read_request(&f->net->server, fd, &f->net->request, 0);
    call_reply(f->net, fd, "500 Oh", "text/plain", "again");
    wait_end(f, &heard);
    assert_int_equal(heard.status, 500);
    assert_true(str_eq(buf_str(&heard.body), STR("again")));
    assert_int_equal(heard.attempts, 2);
    assert_int_equal(f->governor.row_count, 2);
    close(fd);
    caller_done(&heard);
}

static void test_not_again_what_may_not(void **state)
{
    struct fixture *f = *state;
    struct heard_relay heard = {0};
    configure(f, 3);
    start_whole(f, &heard);
    int fd = call_accept(f->net);
    call_reply(f->net, fd, "500 Oh", "text/plain", "oh");
    wait_end(f, &heard);
    assert_int_equal(heard.status, 500);
    assert_int_equal(f->governor.row_count, 1);
    close(fd);
    caller_done(&heard);
}

static void test_a_dead_connection(void **state)
{
    struct fixture *f = *state;
    struct heard_relay first = {0}, second = {0}, third = {0};
    start(f, &first, "fake/m");
    int fd = call_accept(f->net);
    call_reply(f->net, fd, "200 OK", "text/plain", "");
    wait_end(f, &first);
    start(f, &second, "fake/m");
    TURN_UNTIL(f->net->loop, second.prepared == 1);
    server_read_request(&f->net->server, fd, &f->net->request, 0);
    close(fd); /* without a byte: the same again, although one attempt is all that is allowed */
    fd = call_accept(f->net);
    call_reply(f->net, fd, "200 OK", "text/plain", "");
    wait_end(f, &second);
    assert_int_equal(second.status, 200);
    start_whole(f, &third); /* but not what may not be repeated */
    TURN_UNTIL(f->net->loop, third.prepared == 1);
    server_read_request(&f->net->server, fd, &f->net->request, 0);
    close(fd);
    wait_end(f, &third);
    assert_int_equal(third.error.class, ERR_NETWORK);
    caller_done(&first);
    caller_done(&second);
    caller_done(&third);
}

static void test_an_answer_that_breaks_off(void **state)
{
    struct fixture *f = *state;
    struct heard_relay cut = {0}, silent = {0};
    start(f, &cut, "both");
    int fd = call_accept(f->net);
    call_send(f->net, fd, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
    TURN_UNTIL(f->net->loop, cut.body.len == 3);
    close(fd);
    wait_end(f, &cut);
    assert_int_equal(cut.heads + cut.failures, 2);
    assert_int_equal(cut.error.class, ERR_NETWORK);
    expect_row(f, 0, "fake/m", FLOW_CUT, ERR_NETWORK);
    start(f, &silent, "fake/m");
    fd = call_accept(f->net);
    call_send(f->net, fd, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
    wait_end(f, &silent);
    assert_int_equal(silent.error.class, ERR_TIMEOUT);
    close(fd);
    caller_done(&cut);
    caller_done(&silent);
}

static void test_a_refused_key(void **state)
{
    struct fixture *f = *state;
    struct heard_relay whole = {0}, again = {0}, model = {0}, rests = {0};
    start_whole(f, &whole);
    int fd = call_accept(f->net);
    call_reply(f->net, fd, "401 No", "application/json", "{\"error\":{\"message\":\"no\"}}");
    wait_end(f, &whole);
    assert_int_equal(whole.status, 401);
    start_whole(f, &again); /* it takes nobody out: the path may be at fault */
    TURN_UNTIL(f->net->loop, again.prepared);
    relay_cancel(again.relay);
    close(fd);
    start(f, &model, "fake/m");
    fd = call_accept(f->net);
    call_reply(f->net, fd, "401 No", "application/json", "{\"error\":{\"message\":\"no\"}}");
    wait_end(f, &model);
    start(f, &rests, "fake/m");
    wait_end(f, &rests);
    assert_int_equal(rests.error.class, ERR_UNAVAILABLE);
    close(fd);
    caller_done(&whole);
    caller_done(&again);
    caller_done(&model);
    caller_done(&rests);
}

static void test_large_errors_are_cut(void **state)
{
    struct fixture *f = *state;
    struct heard_relay heard = {0};
    char piece[1001];
    memset(piece, 'x', 1000);
    piece[1000] = '\0';
    start_whole(f, &heard);
    int fd = call_accept(f->net);
    call_send(f->net, fd, "HTTP/1.1 404 No\r\nContent-Length: 100000\r\n\r\n");
    for (int i = 0; i < 100; i++)
        call_send(f->net, fd, piece);
    wait_end(f, &heard);
    assert_int_equal(heard.status, 404);
    assert_int_equal(heard.body.len, 65536);
    close(fd);
    caller_done(&heard);
}

/* ---- Limits ---------------------------------------------------------------------------------- */

static void test_refusals(void **state)
{
    struct fixture *f = *state;
    struct heard_relay refused = {0}, narrowed = {0};
    f->governor.refuses = true;
    start(f, &refused, "fake/m");
    assert_int_equal(refused.ends, 0);
    assert_ptr_equal(relay_view(refused.relay), &f->governor.view);
    wait_end(f, &refused);
    assert_int_equal(refused.error.class, ERR_RATE_LIMITED);
    assert_int_equal(refused.error.retry_after_ms, 7000);
    f->governor.refuses = false;
    f->governor.denied = "second/m";
    start(f, &narrowed, "both");
    int fd = call_accept(f->net);
    call_reply(f->net, fd, "500 Oh", "text/plain", "oh");
    wait_end(f, &narrowed);
    assert_int_equal(narrowed.error.class, ERR_FORBIDDEN);
    assert_int_equal(narrowed.heads, 0);
    close(fd);
    caller_done(&refused);
    caller_done(&narrowed);
}

static void test_a_narrowed_scope_goes_on_to_the_next(void **state)
{
    struct fixture *f = *state;
    struct heard_relay heard = {0}, revoked = {0};
    f->governor.denied = "fake/m"; /* the first of both */
    start(f, &heard, "both");
    int fd = accept_second(f);
    call_reply(f->net, fd, "200 OK", "application/json", "{}");
    wait_end(f, &heard);
    assert_int_equal(heard.status, 200);
    assert_int_equal(heard.error.class, ERR_OK);
    assert_int_equal(f->governor.row_count, 1);
    assert_string_equal(f->governor.rows[0].target, "second/m");
    close(fd);
    f->governor.checks = 0;
    f->governor.is_revoked = true; /* a key that is gone may ask nobody else */
    start(f, &revoked, "both");
    wait_end(f, &revoked);
    assert_int_equal(revoked.error.class, ERR_UNAUTHENTICATED);
    assert_int_equal(revoked.heads, 0);
    assert_int_equal(f->governor.checks, 1);
    f->governor.is_revoked = false;
    caller_done(&heard);
    caller_done(&revoked);
}

static void test_what_cannot_start(void **state)
{
    struct fixture *f = *state;
    static const struct {
        struct relay_request ask;
        enum err code;
    } rows[] = {
        {{.provider = {"nobody", 6}}, ERR_NOT_FOUND},
        {{.provider = {"broken", 6}}, ERR_UNAVAILABLE},
        {{.model = {"nonsense", 8}}, ERR_MODEL_NOT_FOUND},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct heard_relay heard = {0};
        assert_int_equal(try_start(f, &heard, rows[i].ask, NULL), rows[i].code);
        helper_turn(f->net->loop);
        assert_int_equal(heard.ends + heard.prepared, 0);
        caller_done(&heard);
    }
    assert_int_equal(f->governor.opens, 0);
}

static void test_a_target_that_rests(void **state)
{
    struct fixture *f = *state;
    struct heard_relay heard = {0};
    cell_bench(cells_get(f->cells, STR("fake/*")), UINT64_MAX, "it is late");
    start_whole(f, &heard);
    wait_end(f, &heard);
    assert_int_equal(heard.error.class, ERR_UNAVAILABLE);
    assert_non_null(strstr(heard.error.message, "fake/* rests: it is late"));
    caller_done(&heard);
}

static void set_concurrency(struct fixture *f)
{
    const struct registry_entry entry = {.provider = f->net->provider,
                                         .name = STR("fake"),
                                         .source = "file",
                                         .limits = {.concurrency_max = 1, .waiters_max = 4}};
    struct route_policy policy = route_policy_default;
    policy.queue_wait_us = 30 * 1000;
    registry_configure(f->registry, &(struct registry_configuration){
                                        .entries = &entry, .entry_count = 1, .policy = &policy});
}

static void test_a_queue(void **state)
{
    struct fixture *f = *state;
    struct heard_relay first = {0}, second = {0}, third = {0};
    set_concurrency(f);
    start_whole(f, &first);
    int fd = call_accept(f->net);
    start_whole(f, &second);
    wait_end(f, &second);
    assert_int_equal(second.error.class, ERR_RATE_LIMITED);
    start_whole(f, &third);
    helper_turn(f->net->loop);
    assert_int_equal(third.prepared, 0);
    call_reply(f->net, fd, "200 OK", "text/plain", "");
    wait_end(f, &first);
    TURN_UNTIL(f->net->loop, third.prepared == 1); /* woken by the place that became free */
    server_read_request(&f->net->server, fd, &f->net->request, 0);
    call_reply(f->net, fd, "200 OK", "text/plain", "");
    wait_end(f, &third);
    assert_int_equal(third.status, 200);
    close(fd);
    caller_done(&first);
    caller_done(&second);
    caller_done(&third);
}

/* ---- Leaving, and being slow ----------------------------------------------------------------- */

static void test_cancelling(void **state)
{
    struct fixture *f = *state;
    for (int when = NEVER; when <= AT_END; when++) {
        struct heard_relay heard = {.cancels = when};
        start(f, &heard, "fake/m");
        if (when == NEVER) /* before anything was begun */
            relay_cancel(heard.relay);
        int fd = when == NEVER ? -1 : call_accept(f->net);
        if (fd >= 0)
            call_send(f->net, fd,
                      "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nab");
        if (when == AT_END)
            wait_end(f, &heard);
        else if (fd >= 0)
            TURN_UNTIL(f->net->loop, f->governor.row_count == when);
        assert_int_equal(heard.ends, when == AT_END);
        if (fd >= 0)
            close(fd);
        caller_done(&heard);
    }
    struct heard_relay asked = {0};
    start(f, &asked, "fake/m");
    int fd = call_accept(f->net);
    relay_cancel(asked.relay);
    server_wait_end(&f->net->server, fd);
    close(fd);
    expect_row(f, 0, "fake/m", FLOW_CANCELLED, ERR_OK);
    assert_int_equal(f->governor.rows[3].outcome, FLOW_CANCELLED);
    caller_done(&asked);
}

static void test_pausing(void **state)
{
    struct fixture *f = *state;
    struct heard_relay heard = {0};
    start(f, &heard, "fake/m");
    relay_pause(heard.relay);
    int fd = call_accept(f->net);
    call_send(f->net, fd, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
    TURN_UNTIL(f->net->loop, heard.heads);
    for (int i = 0; i < 100; i++) /* longer than silence may last */
        helper_turn(f->net->loop);
    assert_int_equal(heard.body.len + (size_t)heard.ends, 0);
    relay_resume(heard.relay);
    wait_end(f, &heard);
    assert_int_equal(heard.body.len, 3);
    assert_int_equal(heard.failures, 0);
    close(fd);
    caller_done(&heard);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_an_answer_as_it_is),
        TEST(test_what_is_kept),
        TEST(test_streams_are_not_kept),
        TEST(test_paths_stay_with_the_provider),
        TEST(test_locations),
        TEST(test_the_next_target),
        TEST(test_a_chain),
        TEST(test_who_can),
        TEST(test_aside),
        TEST(test_the_callers_fault_is_handed_on),
        TEST(test_the_last_answer_is_handed_on),
        TEST(test_the_same_once_more),
        TEST(test_not_again_what_may_not),
        TEST(test_a_dead_connection),
        TEST(test_an_answer_that_breaks_off),
        TEST(test_a_refused_key),
        TEST(test_large_errors_are_cut),
        TEST(test_refusals),
        TEST(test_a_narrowed_scope_goes_on_to_the_next),
        TEST(test_what_cannot_start),
        TEST(test_a_target_that_rests),
        TEST(test_a_queue),
        TEST(test_cancelling),
        TEST(test_pausing),
    };
    return cmocka_run_group_tests_name("route/relay", tests, NULL, NULL);
}
