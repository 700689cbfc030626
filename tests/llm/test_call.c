/* Calls: one attempt at a provider over real sockets, with a server that is driven by hand; and the
 * one that answers in process. */
#include "helper_heard.h"

#include "llm/dialect.h"

/* ---- Answers --------------------------------------------------------------------------------- */

static void test_a_stream(void **state)
{
    struct call_fixture *f = *state;
    struct heard_llm heard = {0};
    start(f, &heard, true);
    int fd = call_accept(f);
    struct str request = buf_str(&f->request);
    assert_true(str_starts_with(request, STR("POST /v1/chat/completions HTTP/1.1\r\n")));
    assert_true(str_find_nocase(request, STR("authorization: Bearer secret-key\r\n")) != SIZE_MAX);
    assert_true(str_find_nocase(request, STR("accept-encoding: identity\r\n")) != SIZE_MAX);
    assert_true(str_find(request, STR("\"model\":\"m\"")) != SIZE_MAX);
    assert_true(str_find(request, STR("\"stream\":true")) != SIZE_MAX);
    call_send(f, fd, STREAM CHUNK("Hel"));
    TURN_UNTIL(f->loop, heard.texts == 1);
    expect_text(&heard, "Hel"); /* each as it comes */
    call_send(f, fd, CHUNK("lo") FINISH);
    expect_whole(f, &heard, "Hello");
    assert_int_equal(heard.usage.input_total, 7);
    assert_int_equal(heard.usage.output_total, 2);
    close(fd);
    heard_done(&heard);
}

static void test_a_whole_answer(void **state)
{
    struct call_fixture *f = *state;
    struct heard_llm heard = {0};
    start(f, &heard, false);
    int fd = call_accept(f);
    assert_true(str_find(buf_str(&f->request), STR("\"stream\":true")) == SIZE_MAX);
    call_reply(f, fd, "200 OK", "application/json", WHOLE);
    expect_whole(f, &heard, "Hello");
    assert_int_equal(heard.usage.input_total, 7);
    close(fd);
    heard_done(&heard);
}

static void test_json_in_place_of_a_stream(void **state)
{
    struct call_fixture *f = *state;
    struct heard_llm heard = {0}, second = {0};
    start(f, &heard, true);
    int fd = call_accept(f);
    call_reply(f, fd, "200 OK", "application/json; charset=utf-8", WHOLE);
    expect_whole(f, &heard, "Hello");
    start(f, &second, true);
    server_read_request(&f->server, fd, &f->request, 0); /* the same connection again */
    call_reply(f, fd, "200 OK", "application/json",
               "{\"error\":{\"message\":\"no luck\",\"type\":\"server_error\"}}");
    expect_error(f, &second, ERR_SERVER, "no luck");
    close(fd);
    heard_done(&heard);
    heard_done(&second);
}

static void test_lines(void **state)
{
    struct call_fixture *f = *state;
    struct heard_llm heard = {0};
    call_provider(f, "ollama", (struct provider_options){0});
    start(f, &heard, true);
    int fd = call_accept(f);
    assert_true(str_starts_with(buf_str(&f->request), STR("POST /v1/api/chat ")));
    call_send(f, fd,
              "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n\r\n"
              "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"Hi\"},\"done\":"
              "false}\n");
    TURN_UNTIL(f->loop, heard.texts == 1);
    /* The last line lacks its end: it counts all the same. */
    call_send(
        f, fd,
        "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,"
        "\"done_reason\":\"stop\",\"prompt_eval_count\":11,\"eval_count\":18}");
    close(fd);
    expect_whole(f, &heard, "Hi");
    assert_int_equal(heard.usage.output_total, 18);
    heard_done(&heard);
}

/* ---- Failures -------------------------------------------------------------------------------- */

static void test_error_statuses(void **state)
{
    struct call_fixture *f = *state;
    static const struct {
        const char *status;
        enum err class;
    } rows[] = {
        {"400 Bad Request", ERR_INVALID},    {"401 Unauthorized", ERR_AUTHENTICATION},
        {"403 Forbidden", ERR_PERMISSION},   {"404 Not Found", ERR_MODEL_NOT_FOUND},
        {"429 Too Many", ERR_RATE_LIMITED},  {"500 Internal", ERR_SERVER},
        {"503 Unavailable", ERR_OVERLOADED}, {"302 Found", ERR_SERVER},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct heard_llm heard = {0};
        start(f, &heard, true);
        int fd = call_accept(f);
        char head[128];
        snprintf(head, sizeof head,
                 "HTTP/1.1 %s\r\nConnection: close\r\nRetry-After: 3\r\nContent-Length: 33\r\n\r\n",
                 rows[i].status);
        call_send(f, fd, head);
        call_send(f, fd, "{\"error\":{\"message\":\"told so\"}}  ");
        TURN_UNTIL(f->loop, heard.ends);
        if (strncmp(rows[i].status, "404", 3) != 0 && strncmp(rows[i].status, "503", 3) != 0)
            assert_string_equal(err_info(heard.error.class)->name, err_info(rows[i].class)->name);
        assert_int_equal(heard.error.http_status, atoi(rows[i].status));
        assert_non_null(strstr(heard.error.message, "told so"));
        close(fd);
        heard_done(&heard);
    }
}

static void test_a_long_error_is_cut_not_lost(void **state)
{
    struct call_fixture *f = *state;
    struct heard_llm heard = {0};
    char *body = malloc(300000);
    memset(body, 'x', 299999);
    body[299999] = '\0';
    start(f, &heard, true);
    int fd = call_accept(f);
    call_reply(f, fd, "500 Internal", "text/plain", body);
    expect_error(f, &heard, ERR_SERVER, "xxxx");
    close(fd);
    free(body);
    heard_done(&heard);
}

static void test_a_cut_stream(void **state)
{
    struct call_fixture *f = *state;
    struct heard_llm heard = {0}, reset = {0}, chunked = {0};
    start(f, &heard, true);
    int fd = call_accept(f);
    call_send(f, fd, STREAM CHUNK("Hel"));
    close(fd);
    expect_error(f, &heard, ERR_SERVER, "cut off");
    expect_text(&heard, "Hel");

    start(f, &reset, true);
    fd = call_accept(f);
    call_send(f, fd, STREAM CHUNK("Hel"));
    TURN_UNTIL(f->loop, reset.texts == 1);
    server_reset(&fd);
    expect_error(f, &reset, ERR_NETWORK, "127.0.0.1");

    start(f, &chunked, true);
    fd = call_accept(f);
    call_send(f, fd, STREAM_HEAD "Transfer-Encoding: chunked\r\n\r\n4\r\ndata");
    close(fd);
    expect_error(f, &chunked, ERR_NETWORK, "");
    heard_done(&heard);
    heard_done(&reset);
    heard_done(&chunked);
}

static void test_not_an_answer(void **state)
{
    struct call_fixture *f = *state;
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n",
    };
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct heard_llm heard = {0};
        start(f, &heard, i % 2);
        int fd = call_accept(f);
        call_send(f, fd, answers[i]);
        close(fd);
        expect_error(f, &heard, ERR_SERVER, "");
        assert_true(heard.error.message[0]);
        heard_done(&heard);
        turn(f, 3); /* the connection that was kept has ended */
    }
}

static void test_nobody_listens(void **state)
{
    struct call_fixture *f = *state;
    struct heard_llm heard = {0};
    helper_close_fd(&f->server.fd);
    start(f, &heard, true);
    expect_error(f, &heard, ERR_NETWORK, "127.0.0.1");
    heard_done(&heard);
}

static void test_start_refuses(void **state)
{
    struct call_fixture *f = *state;
    struct heard_llm heard = {0};
    struct error error = {0};
    char *model = malloc(20000);
    memset(model, '/', 20000);
    call_provider(f, "gemini", (struct provider_options){0});
    const struct llm_call_request request = {
        .provider = f->provider, .request = hello(true), .model = STR_FROM(model, 20000)};
    assert_int_equal(
        llm_call_start(f->client, f->loop, &request, &call_events, &heard, &heard.call, &error),
        ERR_INVALID);
    assert_string_equal(error.field, "model");
    turn(f, 3);
    assert_int_equal(heard.errors + heard.ends, 0);
    free(model);
}

/* ---- Timers ---------------------------------------------------------------------------------- */

static void test_first_content_is_waited_for(void **state)
{
    struct call_fixture *f = *state;
    struct heard_llm heard = {0};
    call_provider(f, NULL, (struct provider_options){.first_content_timeout_ms = 40});
    start(f, &heard, true);
    int fd = call_accept(f);
    call_send(f, fd, STREAM);
    /* Pings, and an event without content, do not count. */
    uint64_t begin = clock_monotonic_ms();
    while (!heard.ends && clock_monotonic_ms() < begin + 5000)
        call_send(f, fd, heard.ends ? "" : ": ping\n\n" CHUNK(""));
    expect_error(f, &heard, ERR_TIMEOUT, "fake sent no content for 40 ms");
    assert_string_equal(heard.error.code, "first_content");
    server_wait_end(&f->server, fd);
    close(fd);
    heard_done(&heard);
}

static void test_content_may_not_stop(void **state)
{
    struct call_fixture *f = *state;
    struct heard_llm heard = {0};
    call_provider(
        f, NULL,
        (struct provider_options){.first_content_timeout_ms = 5000, .content_idle_timeout_ms = 40});
    start(f, &heard, true);
    int fd = call_accept(f);
    call_send(f, fd, STREAM);
    uint64_t begin = clock_monotonic_ms();
    while (clock_monotonic_ms() < begin + 80) /* content again and again: no timer */
        call_send(f, fd, CHUNK("a"));
    assert_int_equal(heard.errors, 0);
    while (!heard.ends && clock_monotonic_ms() < begin + 5000)
        call_send(f, fd, ": ping\n\n");
    expect_error(f, &heard, ERR_TIMEOUT, "no further content for 40 ms");
    assert_string_equal(heard.error.code, "content_idle");
    close(fd);
    heard_done(&heard);
}

static void test_total_and_headers_timers(void **state)
{
    struct call_fixture *f = *state;
    struct heard_llm total = {0}, headers = {0};
    call_provider(f, NULL, (struct provider_options){.total_timeout_ms = 50});
    start(f, &total, true);
    int fd = call_accept(f);
    call_send(f, fd, STREAM);
    while (!total.ends)
        call_send(f, fd, CHUNK("a"));
    expect_error(f, &total, ERR_TIMEOUT, "");
    close(fd);
    call_provider(f, NULL, (struct provider_options){.headers_timeout_ms = 30});
    start(f, &headers, true);
    fd = call_accept(f);
    expect_error(f, &headers, ERR_TIMEOUT, "");
    close(fd);
    heard_done(&total);
    heard_done(&headers);
}

static void test_a_pause_stops_the_timers(void **state)
{
    struct call_fixture *f = *state;
    struct heard_llm heard = {.at = LLM_EVENT_TEXT, .action = PAUSE};
    call_provider(
        f, NULL,
        (struct provider_options){.first_content_timeout_ms = 30, .content_idle_timeout_ms = 30});
    start(f, &heard, true);
    int fd = call_accept(f);
    call_send(f, fd, STREAM CHUNK("a"));
    TURN_UNTIL(f->loop, heard.texts == 1);
    heard.action = NOTHING;
    uint64_t begin = clock_monotonic_ms();
    call_send(f, fd, CHUNK("b"));
    while (clock_monotonic_ms() < begin + 90)
        turn(f, 1);
    assert_int_equal(heard.texts, 1);
    assert_int_equal(heard.errors, 0);
    llm_call_resume(heard.call);
    TURN_UNTIL(f->loop, heard.texts == 2);
    expect_error(f, &heard, ERR_TIMEOUT, "30 ms"); /* and now they run again */
    close(fd);
    heard_done(&heard);
}

static void test_pause_and_resume_inside(void **state)
{
    struct call_fixture *f = *state;
    for (int at = LLM_EVENT_START; at <= LLM_EVENT_END; at++) {
        struct heard_llm heard = {.at = (enum llm_event_kind)at, .action = PAUSE_RESUME};
        start(f, &heard, true);
        int fd = call_accept(f);
        call_send(f, fd, STREAM CHUNK("Hel"));
        call_send(f, fd, CHUNK("lo") FINISH);
        expect_whole(f, &heard, "Hello");
        close(fd);
        heard_done(&heard);
    }
}

/* ---- Cancelling ------------------------------------------------------------------------------ */

static void test_cancel_in_every_state(void **state)
{
    struct call_fixture *f = *state;
    static const char *const sent[] = {"",
                                       STREAM,
                                       STREAM CHUNK("a"),
                                       STREAM CHUNK("a") "data: {",
                                       "HTTP/1.1 500 Oh\r\nContent-Length: 99\r\n\r\nhalf",
                                       ("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                                        "Content-Length: 99\r\n\r\n{")};
    struct heard_llm at_once = {0};
    start(f, &at_once, true);
    llm_call_cancel(at_once.call, NULL);
    turn(f, 3);
    assert_int_equal(at_once.starts + at_once.errors + at_once.ends, 0);
    heard_done(&at_once);
    int stale = server_try_accept(&f->server);
    helper_close_fd(&stale);
    for (size_t i = 0; i < sizeof sent / sizeof sent[0]; i++) {
        struct heard_llm heard = {0};
        start(f, &heard, true);
        int fd = call_accept(f);
        call_send(f, fd, sent[i]);
        turn(f, 3);
        heard.cancelled = true;
        llm_call_cancel(heard.call, &heard.usage);
        server_wait_end(&f->server, fd); /* the provider learns of it */
        assert_int_equal(heard.ends + heard.errors, 0);
        assert_int_equal(heard.usage.input_total, -1);
        close(fd);
        heard_done(&heard);
    }
}

static void test_cancel_inside_every_event(void **state)
{
    struct call_fixture *f = *state;
    static const enum llm_event_kind kinds[] = {LLM_EVENT_START, LLM_EVENT_TEXT, LLM_EVENT_USAGE,
                                                LLM_EVENT_FINISH, LLM_EVENT_ERROR};
    for (size_t i = 0; i < 2 * sizeof kinds / sizeof kinds[0]; i++) {
        struct heard_llm heard = {.at = kinds[i / 2], .action = CANCEL};
        bool fails = heard.at == LLM_EVENT_ERROR;
        start(f, &heard, i % 2);
        int fd = call_accept(f);
        if (fails)
            call_reply(f, fd, "500 Oh", "text/plain", "no");
        else if (i % 2)
            call_send(f, fd, STREAM CHUNK("a") CHUNK("b") FINISH);
        else
            call_reply(f, fd, "200 OK", "application/json", WHOLE);
        TURN_UNTIL(f->loop, heard.cancelled);
        turn(f, 3);
        assert_int_equal(heard.ends, 0);
        assert_int_equal(heard.usage.input_total,
                         heard.at == LLM_EVENT_USAGE || heard.at == LLM_EVENT_FINISH ? 7 : -1);
        close(fd);
        turn(f, 3);
        heard_done(&heard);
    }
}

/* ---- Connections ----------------------------------------------------------------------------- */

static void test_the_rest_is_drained_and_the_connection_used_again(void **state)
{
    struct call_fixture *f = *state;
    struct heard_llm first = {0}, second = {0};
    start(f, &first, true);
    int fd = call_accept(f);
    char body[2048];
    snprintf(body, sizeof body, "%s", CHUNK("one") FINISH);
    char head[128];
    snprintf(head, sizeof head, STREAM_HEAD "Content-Length: %zu\r\n\r\n", strlen(body) + 4);
    call_send(f, fd, head);
    call_send(f, fd, body);
    expect_whole(f, &first, "one"); /* END does not wait for the rest */
    call_send(f, fd, "\n\n\n\n");
    turn(f, 5);
    start(f, &second, false);
    TURN_UNTIL(f->loop, (buf_clear(&f->request), server_read(fd, &f->request), f->request.len > 0));
    assert_int_equal(server_try_accept(&f->server), -1);
    call_reply(f, fd, "200 OK", "application/json", WHOLE);
    expect_whole(f, &second, "Hello");
    close(fd);
    heard_done(&first);
    heard_done(&second);
}

static void test_draining_ends_when_the_server_does_not(void **state)
{
    struct call_fixture *f = *state;
    struct heard_llm heard = {.at = LLM_EVENT_FINISH, .action = PAUSE};
    start(f, &heard, true);
    int fd = call_accept(f);
    call_send(f, fd, STREAM CHUNK("one") FINISH); /* paused at the end, and left open */
    expect_whole(f, &heard, "one");
    server_wait_end(&f->server, fd); /* a second later */
    close(fd);
    heard_done(&heard);
}

/* ---- In process ------------------------------------------------------------------------------ */

static void test_eliza_answers(void **state)
{
    struct call_fixture *f = *state;
    for (int delay = 0; delay < 2; delay++) {
        struct heard_llm heard = {0};
        call_provider(f, "parley",
                      (struct provider_options){.eliza_delay_ms = (uint64_t)delay,
                                                .content_idle_timeout_ms = 1000});
        start(f, &heard, true);
        TURN_UNTIL(f->loop, heard.ends);
        assert_int_equal(heard.errors, 0);
        assert_int_equal(heard.finishes, 1);
        assert_true(heard.texts > 1);
        assert_true(heard.usage.is_estimated && heard.usage.output_total > 0);
        heard_done(&heard);
    }
}

static void test_eliza_can_be_stopped_and_held(void **state)
{
    struct call_fixture *f = *state;
    call_provider(f, "parley", (struct provider_options){0});
    for (int at = LLM_EVENT_START; at < LLM_EVENT_END; at++) {
        struct heard_llm heard = {.at = (enum llm_event_kind)at, .action = CANCEL};
        start(f, &heard, true);
        TURN_UNTIL(f->loop, heard.cancelled || heard.ends);
        turn(f, 3);
        assert_int_equal(heard.ends, !heard.cancelled);
        heard_done(&heard);
    }
    struct heard_llm held = {.at = LLM_EVENT_TEXT, .action = PAUSE}, early = {0};
    start(f, &held, true);
    TURN_UNTIL(f->loop, held.texts == 1);
    turn(f, 5);
    assert_int_equal(held.texts, 1);
    held.action = PAUSE_RESUME;
    llm_call_resume(held.call);
    TURN_UNTIL(f->loop, held.ends);
    heard_done(&held);
    start(f, &early, true);
    llm_call_cancel(early.call, NULL);
    turn(f, 3);
    assert_int_equal(early.starts, 0);
    heard_done(&early);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, call_setup, call_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_stream),
        TEST(test_a_whole_answer),
        TEST(test_json_in_place_of_a_stream),
        TEST(test_lines),
        TEST(test_error_statuses),
        TEST(test_a_long_error_is_cut_not_lost),
        TEST(test_a_cut_stream),
        TEST(test_not_an_answer),
        TEST(test_nobody_listens),
        TEST(test_start_refuses),
        TEST(test_first_content_is_waited_for),
        TEST(test_content_may_not_stop),
        TEST(test_total_and_headers_timers),
        TEST(test_a_pause_stops_the_timers),
        TEST(test_pause_and_resume_inside),
        TEST(test_cancel_in_every_state),
        TEST(test_cancel_inside_every_event),
        TEST(test_the_rest_is_drained_and_the_connection_used_again),
        TEST(test_draining_ends_when_the_server_does_not),
        TEST(test_eliza_answers),
        TEST(test_eliza_can_be_stopped_and_held),
    };
    return cmocka_run_group_tests_name("llm/call", tests, NULL, NULL);
}
