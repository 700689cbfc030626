/* Router: which provider gets what, what is passed through, and the books that are kept. */
#include "../llm/helper_call.h"

#include <sys/stat.h>

#include "llm/losses.h"
#include "route/router.h"

#define STREAM                                                                                     \
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"              \
    "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":"        \
    "\"Hi\"}}]}\n\ndata: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},"                    \
    "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2}}\n\n"    \
    "data: [DONE]\n\n"

struct fixture {
    struct call_fixture *net;
    struct cells *cells;
    struct registry *registry;
    struct metric_registry *metrics;
    struct log *log;
    int log_fds[2];
    struct router *router;
};

struct heard_route {
    struct route_call *call;
    struct buf text, raw;
    struct llm_usage usage; /* of a cancel */
    struct llm_usage told;
    int ends, errors;
    bool cancel_at_text, cancel_at_end;
};

static void on_event(void *user, const struct llm_event *event)
{
    struct heard_route *heard = user;
    assert_int_equal(heard->ends, 0);
    heard->ends += event->kind == LLM_EVENT_END;
    heard->errors += event->kind == LLM_EVENT_ERROR;
    if (event->kind == LLM_EVENT_TEXT)
        buf_append(&heard->text, event->text);
    if (event->kind == LLM_EVENT_USAGE)
        heard->told = event->usage;
    if ((event->kind == LLM_EVENT_TEXT && heard->cancel_at_text) ||
        (event->kind == LLM_EVENT_END && heard->cancel_at_end))
        route_cancel(heard->call, &heard->usage);
}

static void on_raw(void *user, struct str content_type, struct str bytes)
{
    struct heard_route *heard = user;
    assert_true(content_type.len > 0);
    buf_append(&heard->raw, bytes);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct provider *parley = NULL;
    call_setup((void **)&f->net);
    f->cells = cells_new();
    f->registry = registry_new(NULL, f->cells);
    f->metrics = metric_registry_new();
    assert_int_equal(pipe2(f->log_fds, O_NONBLOCK | O_CLOEXEC), 0);
    f->log = log_new(f->log_fds[1], LOG_INFO, LOG_FORMAT_JSON);
    f->router = router_new(&(struct router_options){.loop = f->net->loop,
                                                    .client = f->net->client,
                                                    .registry = f->registry,
                                                    .metrics = f->metrics,
                                                    .log = f->log});
    assert_int_equal(provider_new(&(struct provider_options){.name = STR("parley")}, &parley, NULL),
                     ERR_OK);
    const struct registry_entry entries[] = {
        {.provider = f->net->provider, .name = STR("fake"), .source = "file"},
        {.provider = parley, .name = STR("parley"), .source = "default"}};
    struct route_policy policy = route_policy_default;
    policy.attempts_max = 1; /* what fails ends at once: when to ask again is the flow's */
    registry_configure(f->registry, &(struct registry_configuration){
                                        .entries = entries, .entry_count = 2, .policy = &policy});
    provider_unref(parley);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    router_free(f->router);
    router_free(NULL);
    registry_free(f->registry);
    cells_free(f->cells);
    metric_registry_free(f->metrics);
    log_free(f->log);
    close(f->log_fds[0]);
    close(f->log_fds[1]);
    call_teardown((void **)&f->net);
    free(f);
    return 0;
}

static enum err try_start(struct fixture *f, struct heard_route *heard, const char *model,
                          struct str raw_body, bool wants_raw, struct error *error)
{
    static struct llm_part part = {.kind = LLM_PART_TEXT, .text = {"hello", 5}};
    static struct llm_message message = {.role = LLM_USER, .parts = &part, .part_count = 1};
    static struct llm_request request;
    const struct route_events events = {.on_event = on_event, .on_raw = wants_raw ? on_raw : NULL};
    request = (struct llm_request){
        .model = str_from_cstr(model), .messages = &message, .message_count = 1, .stream = true};
    buf_init(&heard->text, 65536);
    buf_init(&heard->raw, 65536);
    return route_start(f->router,
                       &(struct route_request){.request = &request,
                                               .raw_body = raw_body,
                                               .raw_dialect = &dialect_openai_chat,
                                               .request_id = STR("r1")},
                       &events, heard, &heard->call, error);
}

static void start(struct fixture *f, struct heard_route *heard, const char *model)
{
    assert_int_equal(try_start(f, heard, model, STR_NONE, false, NULL), ERR_OK);
    assert_int_equal(heard->ends, 0);
}

static void heard_done(struct heard_route *heard)
{
    buf_done(&heard->text);
    buf_done(&heard->raw);
}

/* What has been logged since the last time. */
static void read_log(struct fixture *f, struct buf *out)
{
    char room[4096];
    ssize_t got;
    buf_clear(out);
    while ((got = read(f->log_fds[0], room, sizeof room)) > 0)
        buf_append(out, STR_FROM(room, (size_t)got));
}

static void expect_one_record(struct fixture *f, const char *part)
{
    struct buf log;
    buf_init(&log, 65536);
    read_log(f, &log);
    assert_true(str_find_char(buf_str(&log), '\n') + 1 == log.len);
    if (str_find(buf_str(&log), str_from_cstr(part)) == SIZE_MAX)
        fail_msg("no %s in %.*s", part, STR_ARG(buf_str(&log)));
    assert_true(str_find(buf_str(&log), STR("\"request\":\"r1\"")) != SIZE_MAX);
    assert_true(str_find(buf_str(&log), STR("secret-key")) == SIZE_MAX);
    buf_done(&log);
}

static void expect_metric(struct fixture *f, const char *line)
{
    struct buf text;
    buf_init(&text, 1024 * 1024);
    metric_registry_write(f->metrics, &text);
    if (str_find(buf_str(&text), str_from_cstr(line)) == SIZE_MAX)
        fail_msg("no %s in\n%.*s", line, STR_ARG(buf_str(&text)));
    buf_done(&text);
}

static void test_a_call_and_its_books(void **state)
{
    struct fixture *f = *state;
    for (int i = 1; i <= 2; i++) {
        struct heard_route heard = {0};
        char line[128];
        start(f, &heard, "fake/some/model");
        assert_true(str_eq(route_target(heard.call).id, STR("fake/some/model")));
        assert_true(str_eq(route_target(heard.call).provider, STR("fake")));
        assert_int_equal(route_losses(heard.call)->count, 0);
        int fd = call_accept(f->net);
        assert_true(str_find(buf_str(&f->net->request), STR("\"some/model\"")) != SIZE_MAX);
        route_pause(heard.call);
        route_resume(heard.call);
        call_send(f->net, fd, STREAM);
        TURN_UNTIL(f->net->loop, heard.ends);
        assert_true(str_eq(buf_str(&heard.text), STR("Hi")));
        expect_one_record(f, "\"outcome\":\"answered\",\"class\":\"ok\"");
        snprintf(line, sizeof line,
                 "parley_provider_calls_total{provider=\"fake\",outcome=\"ok\"} %d\n", i);
        expect_metric(f, line);
        snprintf(line, sizeof line,
                 "parley_tokens_total{provider=\"fake\",direction=\"input\"} %d\n", 7 * i);
        expect_metric(f, line);
        snprintf(line, sizeof line,
                 "parley_provider_first_content_seconds_count{provider=\"fake\"} %d\n", i);
        expect_metric(f, line);
        close(fd);
        heard_done(&heard);
    }
}

static void test_a_failure_is_counted_by_its_class(void **state)
{
    struct fixture *f = *state;
    struct heard_route heard = {0};
    start(f, &heard, "fake/m");
    int fd = call_accept(f->net);
    call_reply(f->net, fd, "429 Slow", "text/plain", "slow down");
    TURN_UNTIL(f->net->loop, heard.ends);
    assert_int_equal(heard.errors, 1);
    expect_one_record(f, "\"class\":\"rate_limited\",\"status\":429");
    expect_metric(f, "{provider=\"fake\",outcome=\"rate_limited\"} 1\n");
    close(fd);
    heard_done(&heard);
}

static void test_the_built_in_one(void **state)
{
    struct fixture *f = *state;
    struct heard_route heard = {.cancel_at_end = true};
    start(f, &heard, "eliza");
    assert_true(str_eq(route_target(heard.call).id, STR("parley/eliza")));
    TURN_UNTIL(f->net->loop, heard.ends);
    assert_true(heard.text.len > 0);
    assert_true(heard.told.output_total > 0);
    assert_int_equal(heard.usage.output_total, -1); /* the cancel came too late to say anything */
    expect_one_record(f, "\"target\":\"parley/eliza\"");
    heard_done(&heard);
}

static void test_passing_through(void **state)
{
    struct fixture *f = *state;
    struct heard_route heard = {0}, other = {0}, not_wanted = {0};
    static const char body[] = "{ \"model\": \"fake/m\" , \"odd\":[1 , 2],\"stream\":true}";
    assert_int_equal(try_start(f, &heard, "fake/m", str_from_cstr(body), true, NULL), ERR_OK);
    assert_false(route_is_raw(heard.call)); /* not yet known */
    int fd = call_accept(f->net);
    assert_true(str_ends_with(buf_str(&f->net->request),
                              STR("{ \"model\": \"m\" , \"odd\":[1 , 2],\"stream\":true}")));
    call_send(f->net, fd, STREAM);
    TURN_UNTIL(f->net->loop, heard.ends);
    assert_true(str_starts_with(buf_str(&heard.raw), STR("data: {\"id\"")));
    assert_true(str_ends_with(buf_str(&heard.raw), STR("data: [DONE]\n\n")));
    close(fd);
    /* Another dialect, or nobody who takes bytes: not passed through. */
    assert_int_equal(try_start(f, &other, "eliza", str_from_cstr(body), true, NULL), ERR_OK);
    TURN_UNTIL(f->net->loop, other.ends);
    assert_int_equal(other.raw.len, 0);
    assert_int_equal(try_start(f, &not_wanted, "fake/m", str_from_cstr(body), false, NULL), ERR_OK);
    route_cancel(not_wanted.call, NULL);
    heard_done(&heard);
    heard_done(&other);
    heard_done(&not_wanted);
}

static void test_cancelling(void **state)
{
    struct fixture *f = *state;
    struct heard_route outside = {0}, inside = {.cancel_at_text = true};
    start(f, &outside, "fake/m");
    int fd = call_accept(f->net);
    route_cancel(outside.call, &outside.usage);
    server_wait_end(&f->net->server, fd);
    close(fd);
    assert_int_equal(outside.ends + outside.errors, 0);
    assert_true(outside.usage.input_total > 0); /* counted: it had been sent */
    assert_true(outside.usage.is_estimated);
    expect_one_record(f, "\"outcome\":\"cancelled\",\"class\":\"cancelled\"");
    start(f, &inside, "fake/m");
    fd = call_accept(f->net);
    call_send(f->net, fd, STREAM);
    server_wait_end(&f->net->server, fd);
    close(fd);
    assert_int_equal(inside.ends, 0);
    expect_one_record(f, "\"outcome\":\"cancelled\",\"class\":\"cancelled\"");
    expect_metric(f, "{provider=\"fake\",outcome=\"cancelled\"} 2\n");
    heard_done(&outside);
    heard_done(&inside);
}

static void test_what_cannot_start(void **state)
{
    struct fixture *f = *state;
    struct heard_route heard = {0};
    struct error error = {0};
    struct buf log;
    assert_int_equal(try_start(f, &heard, "elisa", STR_NONE, false, &error), ERR_MODEL_NOT_FOUND);
    assert_non_null(strstr(error.remedy, "parley/eliza"));
    for (int i = 0; i < 3; i++)
        helper_turn(f->net->loop);
    assert_int_equal(heard.ends + heard.errors, 0);
    buf_init(&log, 65536);
    read_log(f, &log);
    assert_int_equal(log.len, 0);
    buf_done(&log);
    heard_done(&heard);
}

static void test_a_snapshot_lives_as_long_as_its_calls(void **state)
{
    struct fixture *f = *state;
    struct heard_route heard = {0};
    start(f, &heard, "fake/m");
    registry_configure(f->registry, &(struct registry_configuration){0});
    int fd = call_accept(f->net);
    call_send(f->net, fd, STREAM);
    TURN_UNTIL(f->net->loop, heard.ends);
    expect_one_record(f, "\"target\":\"fake/m\"");
    close(fd);
    heard_done(&heard);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_call_and_its_books),
        TEST(test_a_failure_is_counted_by_its_class),
        TEST(test_the_built_in_one),
        TEST(test_passing_through),
        TEST(test_cancelling),
        TEST(test_what_cannot_start),
        TEST(test_a_snapshot_lives_as_long_as_its_calls),
    };
    return cmocka_run_group_tests_name("route/router", tests, NULL, NULL);
}
