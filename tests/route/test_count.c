/* Counts, on real sockets: who is asked what, what is told, what is kept, and what goes wrong. */
#include "../llm/helper_call.h"

#include "helper_governor.h"
#include "route/count.h"

#define BODY "{\"model\":\"x\", \"messages\":[{\"role\":\"user\",\"content\":\"hello there\"}]}"

struct fixture {
    struct call_fixture *net; /* of provider "fake", Anthropic's kind */
    struct server other;      /* of provider "second", Gemini's */
    struct provider *second;
    struct provider *plain; /* of a kind that does not count */
    struct cells *cells;
    struct registry *registry;
    struct metric_registry *metrics;
    struct log *log;
    struct governor governor;
    struct router *router;
    struct memo *memo;
};

struct heard_count {
    struct arena *arena;
    struct llm_request asked;
    struct count *count;
    int ends, attempts;
    int64_t tokens;
    enum count_source source;
    enum err class;
    char target[64], dropped[64], field[64];
};

static struct provider *provider_at(const char *name, const char *kind, uint16_t port)
{
    struct provider *provider;
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%u", port);
    assert_int_equal(provider_new(&(struct provider_options){.name = str_from_cstr(name),
                                                             .kind = str_from_cstr(kind),
                                                             .base_url = str_from_cstr(url),
                                                             .api_key = STR("second-key")},
                                  &provider, NULL),
                     ERR_OK);
    return provider;
}

static void configure(struct fixture *f)
{
    const struct registry_entry entries[] = {
        {.provider = f->net->provider, .name = STR("fake"), .source = "file"},
        {.provider = f->second, .name = STR("second"), .source = "file"},
        {.provider = f->plain, .name = STR("plain"), .source = "file"},
    };
    static const struct str targets[] = {{"plain/m", 7}, {"fake/m", 6}, {"second/m", 8}};
    struct route_policy policy = route_policy_default;
    policy.attempts_max = 3;
    policy.backoff_us = 1000;
    policy.breaker.failures_max = 1;
    const struct registry_route all = {.name = STR("all"),
                                       .source = "file",
                                       .policy = policy,
                                       .strategy = ROUTE_PRIORITY,
                                       .targets = targets,
                                       .target_count = 3};
    registry_configure(f->registry, &(struct registry_configuration){.entries = entries,
                                                                     .entry_count = 3,
                                                                     .routes = &all,
                                                                     .route_count = 1,
                                                                     .policy = &policy});
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    call_setup((void **)&f->net);
    call_provider(f->net, "anthropic", (struct provider_options){0});
    server_listen(&f->other, f->net->loop);
    f->second = provider_at("second", "gemini", f->other.port);
    f->plain = provider_at("plain", "openai-compatible", f->other.port);
    f->cells = cells_new();
    f->registry = registry_new(NULL, f->cells);
    f->metrics = metric_registry_new();
    f->log = log_new(-1, LOG_ERROR, LOG_FORMAT_JSON);
    f->memo = memo_new(65536);
    f->router = router_new(&(struct router_options){.loop = f->net->loop,
                                                    .client = f->net->client,
                                                    .registry = f->registry,
                                                    .governor = &f->governor,
                                                    .metrics = f->metrics,
                                                    .log = f->log});
    configure(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(f->governor.opens, f->governor.closes);
    assert_int_equal(f->governor.begins, f->governor.row_count);
    assert_int_equal(f->governor.opens, f->governor.frees);
    router_free(f->router);
    registry_free(f->registry);
    cells_free(f->cells);
    metric_registry_free(f->metrics);
    log_free(f->log);
    memo_free(f->memo);
    provider_unref(f->second);
    provider_unref(f->plain);
    server_close(&f->other);
    call_teardown((void **)&f->net);
    free(f);
    return 0;
}

/* ---- A caller -------------------------------------------------------------------------------- */

static void on_done(void *user, const struct count_result *result)
{
    struct heard_count *heard = user;
    assert_int_equal(heard->ends++, 0);
    heard->tokens = result->tokens;
    heard->source = result->source;
    heard->attempts = result->attempts;
    heard->class = result->error ? result->error->class : ERR_OK;
    str_copy(result->target, heard->target, sizeof heard->target);
    str_copy(result->dropped, heard->dropped, sizeof heard->dropped);
    if (result->error)
        str_copy(str_from_cstr(result->error->field), heard->field, sizeof heard->field);
}

static enum err try_start(struct fixture *f, struct heard_count *heard, const char *model,
                          struct count_request request)
{
    static const struct governor_origin origin = {.request_id = {"r1", 2}};
    const struct counting_form *form = counting_form_of(&dialect_anthropic);
    yyjson_val *root;
    *heard = (struct heard_count){.arena = arena_new(1024 * 1024)};
    if (!request.body.data)
        request.body = STR(BODY);
    assert_int_equal(json_read(heard->arena, request.body, &root, NULL), ERR_OK);
    assert_int_equal(counting_decode_request(form, heard->arena, root, &heard->asked, NULL),
                     ERR_OK);
    heard->asked.model = str_from_cstr(model);
    request.origin = &origin;
    request.form = form;
    request.asked = &heard->asked;
    request.memo = f->memo;
    request.keeper = STR("user");
    return count_start(f->router, &request, on_done, heard, &heard->count, NULL);
}

static void start(struct fixture *f, struct heard_count *heard, const char *model,
                  struct count_request request)
{
    assert_int_equal(try_start(f, heard, model, request), ERR_OK);
    assert_int_equal(heard->ends, 0);
}

static void expect(struct fixture *f, struct heard_count *heard, enum count_source source,
                   int64_t tokens, const char *target, int attempts)
{
    TURN_UNTIL(f->net->loop, heard->ends);
    assert_int_equal(heard->class, ERR_OK);
    assert_int_equal(heard->source, source);
    if (source == COUNT_ESTIMATE)
        assert_in_range(heard->tokens, 1, 20);
    else
        assert_int_equal(heard->tokens, tokens);
    assert_string_equal(heard->target, target);
    assert_int_equal(heard->attempts, attempts);
    arena_free(heard->arena);
}

static bool has_sent(struct fixture *f, const char *part)
{
    return str_find_nocase(buf_str(&f->net->request), str_from_cstr(part)) != SIZE_MAX;
}

/* And never on this connection again. */
static void reply(struct fixture *f, int fd, const char *status, const char *body)
{
    char text[256];
    snprintf(text, sizeof text,
             "HTTP/1.1 %s\r\nContent-Type: application/json\r\nConnection: close\r\n"
             "Content-Length: %zu\r\n\r\n%s",
             status, strlen(body), body);
    call_send(f->net, fd, text);
    close(fd);
}

static void answer_first(struct fixture *f, const char *status, const char *body)
{
    reply(f, call_accept(f->net), status, body);
}

static void answer_second(struct fixture *f, const char *status, const char *body)
{
    int fd = server_accept(&f->other);
    server_read_request(&f->other, fd, &f->net->request, 0);
    reply(f, fd, status, body);
}

/* ---- Asking ---------------------------------------------------------------------------------- */

static void the_callers_bytes(void **state)
{
    struct fixture *f = *state;
    struct http_header sent[] = {{STR("Authorization"), STR("Bearer mine")},
                                 {STR("X-Api-Key"), STR("mine")},
                                 {STR("x-goog-user"), STR("mine")},
                                 {STR("Anthropic-Beta"), STR("b-1")}};
    const struct http_headers headers = {.items = sent, .count = 4};
    struct heard_count heard;
    start(f, &heard, "fake/m", (struct count_request){.headers = &headers});
    answer_first(f, "200 OK", "{\"input_tokens\":2095}");
    assert_true(has_sent(f, "POST /v1/v1/messages/count_tokens HTTP/1.1\r\n"));
    assert_true(has_sent(f, "x-api-key: secret-key\r\n"));
    assert_true(has_sent(f, "anthropic-beta: b-1\r\n"));
    assert_true(has_sent(f, "{\"model\":\"m\", \"messages\":[{"));
    assert_false(has_sent(f, "mine"));
    expect(f, &heard, COUNT_PROVIDER, 2095, "fake/m", 1);
    assert_int_equal(f->governor.rows[0].outcome, FLOW_ANSWERED);
    assert_int_equal(f->governor.rows[0].input, 0);
}

static void another_form(void **state)
{
    struct fixture *f = *state;
    struct heard_count heard;
    start(f, &heard, "second/m", (struct count_request){.strict = true});
    answer_second(f, "200 OK", "{\"totalTokens\":31}");
    assert_true(has_sent(f, "POST /models/m:countTokens HTTP/1.1\r\n"));
    assert_true(has_sent(f, "x-goog-api-key: second-key\r\n"));
    expect(f, &heard, COUNT_PROVIDER, 31, "second/m", 1);
}

static void who_does_not_count_is_not_asked(void **state)
{
    struct fixture *f = *state;
    struct heard_count heard;
    start(f, &heard, "plain/m", (struct count_request){.strict = true});
    expect(f, &heard, COUNT_ESTIMATE, 0, "", 0);
    assert_int_equal(f->governor.begins, 0);
    start(f, &heard, "all", (struct count_request){0});
    answer_first(f, "200 OK", "{\"input_tokens\":1}");
    expect(f, &heard, COUNT_PROVIDER, 1, "fake/m", 1);
    const struct str chain[] = {STR("second/m")};
    start(f, &heard, "plain/m", (struct count_request){.chain = chain, .chain_count = 1});
    answer_second(f, "200 OK", "{\"totalTokens\":2}");
    expect(f, &heard, COUNT_PROVIDER, 2, "second/m", 1);
}

/* ---- What goes wrong ------------------------------------------------------------------------- */

static void the_next_one_whatever_it_was(void **state)
{
    struct fixture *f = *state;
    static const char *const statuses[] = {"400 Bad", "401 No", "404 Gone", "429 Slow", "500 Oh"};
    struct heard_count heard;
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        start(f, &heard, "all", (struct count_request){0});
        answer_first(f, statuses[i], "{}"); /* though it failed before: it says nothing of it */
        answer_second(f, "200 OK", "{\"totalTokens\":31}");
        expect(f, &heard, COUNT_PROVIDER, 31, "second/m", 2);
    }
    assert_int_equal(f->governor.rows[0].outcome, FLOW_FAILED);
}

static void the_estimate_when_nobody_can(void **state)
{
    struct fixture *f = *state;
    static const char *const answers[][2] = {{"500 Oh", "{}"},
                                             {"400 Bad", "{}"},
                                             {"200 OK", "<html>"},
                                             {"200 OK", "{\"input_tokens\":-3}"},
                                             {"302 Found", ""}};
    struct heard_count heard;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        start(f, &heard, "fake/m", (struct count_request){.keep_seconds = 60});
        answer_first(f, answers[i][0], answers[i][1]);
        expect(f, &heard, COUNT_ESTIMATE, 0, "", 1);
    }
    assert_int_equal(memo_bytes(f->memo), 0);
}

static void the_estimate_when_it_takes_too_long(void **state)
{
    struct fixture *f = *state;
    struct heard_count heard;
    start(f, &heard, "fake/m", (struct count_request){.timeout_ms = 20});
    int fd = call_accept(f->net);
    expect(f, &heard, COUNT_ESTIMATE, 0, "", 1);
    server_wait_end(&f->net->server, fd);
    assert_int_equal(f->governor.rows[0].outcome, FLOW_CANCELLED);
    close(fd);
}

static void leaving(void **state)
{
    struct fixture *f = *state;
    struct heard_count heard;
    start(f, &heard, "fake/m", (struct count_request){.timeout_ms = 30});
    int fd = call_accept(f->net);
    count_cancel(heard.count);
    server_wait_end(&f->net->server, fd);
    for (int i = 0; i < 50; i++)
        helper_turn(f->net->loop);
    assert_int_equal(heard.ends, 0);
    arena_free(heard.arena);
    close(fd);
}

static void expect_error(struct fixture *f, struct heard_count *heard, enum err class,
                         const char *field)
{
    TURN_UNTIL(f->net->loop, heard->ends);
    assert_int_equal(heard->class, class);
    assert_string_equal(heard->field, field);
    arena_free(heard->arena);
}

static void refusals_are_errors(void **state)
{
    struct fixture *f = *state;
    struct heard_count heard;
    f->governor.denied = "fake/m";
    start(f, &heard, "fake/m", (struct count_request){0});
    expect_error(f, &heard, ERR_FORBIDDEN, "");
    const struct count_request odd = {.strict = true,
                                      .body = STR("{\"model\":\"x\",\"odd\":1,\"messages\":[]}")};
    start(f, &heard, "second/m", odd);
    expect_error(f, &heard, ERR_INVALID, "x-parley-strict");
    assert_int_equal(try_start(f, &heard, "nobody/x", odd), ERR_MODEL_NOT_FOUND);
    arena_free(heard.arena);
    assert_int_equal(f->governor.begins, 0);
}

/* ---- What is kept ---------------------------------------------------------------------------- */

static void once_for_all_that_is_the_same(void **state)
{
    struct fixture *f = *state;
    struct heard_count heard;
    const struct count_request kept = {
        .keep_seconds = 60,
        .body = STR(
            "{\"model\":\"x\",\"odd\":1,\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}")};
    start(f, &heard, "second/m", kept);
    answer_second(f, "200 OK", "{\"totalTokens\":31}");
    expect(f, &heard, COUNT_PROVIDER, 31, "second/m", 1);
    start(f, &heard, "second/m", kept);
    expect(f, &heard, COUNT_CACHED, 31, "second/m", 0);
    assert_string_equal(heard.dropped, "odd");
    assert_int_equal(f->governor.notes, 1);
    const struct count_request unkept = {.body = kept.body};
    start(f, &heard, "second/m", unkept);
    answer_second(f, "200 OK", "{\"totalTokens\":32}");
    expect(f, &heard, COUNT_PROVIDER, 32, "second/m", 1);
    start(f, &heard, "fake/m", kept);
    answer_first(f, "200 OK", "{\"input_tokens\":5}");
    expect(f, &heard, COUNT_PROVIDER, 5, "fake/m", 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_callers_bytes),
        TEST(another_form),
        TEST(who_does_not_count_is_not_asked),
        TEST(the_next_one_whatever_it_was),
        TEST(the_estimate_when_nobody_can),
        TEST(the_estimate_when_it_takes_too_long),
        TEST(leaving),
        TEST(refusals_are_errors),
        TEST(once_for_all_that_is_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
