/* Calls whose bytes pass through, how a stream may end, what a head says, and whose timeouts hold. */
#include "helper_heard.h"

/* ---- Bytes ----------------------------------------------------------------------------------- */

static void test_raw_bytes_pass(void **state)
{
    struct call_fixture *f = *state;
    struct heard_llm heard = {0};
    static const char body[] = "{\"model\":\"m\" , \"stream\":true,\"odd\":[1 ,2]}";
    start_with(f, &heard, true, str_from_cstr(body));
    int fd = call_accept(f);
    assert_true(str_ends_with(buf_str(&f->request), str_from_cstr(body)));
    call_send(f, fd, STREAM ": comment\n\n" CHUNK("Hel") "event: x\n" CHUNK("lo") FINISH);
    expect_whole(f, &heard, "Hello");
    assert_true(str_eq(buf_str(&heard.raw),
                       STR(": comment\n\n" CHUNK("Hel") "event: x\n" CHUNK("lo") FINISH)));
    assert_true(str_eq(buf_str(&heard.raw_type), STR("text/event-stream")));
    close(fd);
    heard_done(&heard);
}

/* As much of an answer as came before an error, never the error itself: that is not yet the
 * caller's. */
static void test_an_error_inside_a_raw_stream(void **state)
{
    struct call_fixture *f = *state;
    struct heard_llm heard = {0};
    start_with(f, &heard, true, STR("{\"model\":\"m\"}"));
    int fd = call_accept(f);
    call_send(f, fd,
              STREAM CHUNK("Hel") CHUNK("lo") "data: {\"error\":{\"message\":\"oh dear\","
                                              "\"type\":\"server_error\"}}\n\ndata: [DONE]\n\n");
    expect_error(f, &heard, ERR_SERVER, "oh dear");
    assert_true(str_eq(buf_str(&heard.raw), STR(CHUNK("Hel") CHUNK("lo"))));
    close(fd);
    heard_done(&heard);
}

static void test_a_malformed_frame_is_left_out(void **state)
{
    struct call_fixture *f = *state;
    for (int in_pieces = 0; in_pieces < 2; in_pieces++) {
        struct heard_llm heard = {0};
        start_with(f, &heard, true, STR("{\"model\":\"m\"}"));
        int fd = call_accept(f);
        call_send(f, fd, STREAM CHUNK("Hel") "data: {\"id\":\"c1\",\"cho");
        if (in_pieces)
            turn(f, 3);
        call_send(f, fd, "\n\n" CHUNK("lo"));
        call_send(f, fd, FINISH);
        expect_whole(f, &heard, "Hello");
        assert_true(str_eq(buf_str(&heard.raw), STR(CHUNK("Hel") CHUNK("lo") FINISH)));
        close(fd);
        turn(f, 3); /* a kept connection has ended */
        heard_done(&heard);
    }
}

#define LAST                                                                                       \
    "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"lo\"},"               \
    "\"finish_reason\":\"stop\"}]}"

/* It is understood without; whoever gets its bytes gets one. */
static void test_a_last_frame_without_its_blank_line(void **state)
{
    struct call_fixture *f = *state;
    struct heard_llm heard = {0};
    start_with(f, &heard, true, STR("{\"model\":\"m\"}"));
    int fd = call_accept(f);
    call_send(f, fd, STREAM CHUNK("Hel") LAST);
    close(fd);
    expect_whole(f, &heard, "Hello");
    assert_true(str_eq(buf_str(&heard.raw), STR(CHUNK("Hel") LAST "\n\n")));
    assert_true(heard.raw_is_over);
    assert_int_equal(heard.texts_behind_raw, 0);
    heard_done(&heard);
}

/* Gemini's streams have no other end than the body's: its bytes have told it. */
static void test_a_stream_that_ends_with_its_body(void **state)
{
    static const char frames[] = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":"
                                 "\"Hello\"}]},\"finishReason\":\"STOP\"}]}\r\n\r\n";
    static const char cut[] = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":"
                              "\"Hel\"}]}}]}\r\n\r\n";
    struct call_fixture *f = *state;
    struct heard_llm whole = {0}, half = {0};
    call_provider(f, "gemini", (struct provider_options){0});
    start_with(f, &whole, true, STR("{}"));
    int fd = call_accept(f);
    call_send(f, fd, STREAM);
    call_send(f, fd, frames);
    close(fd);
    expect_whole(f, &whole, "Hello");
    assert_true(str_eq(buf_str(&whole.raw), str_from_cstr(frames)));
    assert_false(whole.raw_is_over);
    start_with(f, &half, true, STR("{}"));
    fd = call_accept(f);
    call_send(f, fd, STREAM);
    call_send(f, fd, cut);
    close(fd);
    TURN_UNTIL(f->loop, half.ends);
    assert_int_equal(half.errors, 1);
    assert_true(half.raw_is_over);
    heard_done(&whole);
    heard_done(&half);
}

static void test_a_whole_answers_bytes_come_first(void **state)
{
    struct call_fixture *f = *state;
    struct heard_llm heard = {.raw_action = CANCEL}, bad = {0};
    start_with(f, &heard, false, STR("{\"model\":\"m\"}"));
    int fd = call_accept(f);
    call_reply(f, fd, "200 OK", "application/json", WHOLE);
    TURN_UNTIL(f->loop, heard.cancelled);
    assert_int_equal(heard.starts, 0);
    assert_true(str_eq(buf_str(&heard.raw), STR(WHOLE)));
    close(fd);
    turn(f, 3); /* the kept connection has ended */
    start_with(f, &bad, false, STR("{\"model\":\"m\"}"));
    fd = call_accept(f);
    call_reply(f, fd, "200 OK", "application/json", "{\"error\":{\"message\":\"no luck\"}}");
    expect_error(f, &bad, ERR_SERVER, "no luck");
    assert_int_equal(bad.raws, 0); /* nor any that were not understood */
    close(fd);
    heard_done(&heard);
    heard_done(&bad);
}

static void test_raw_errors_are_events(void **state)
{
    struct call_fixture *f = *state;
    struct heard_llm heard = {0};
    start_with(f, &heard, true, STR("{\"model\":\"m\"}"));
    int fd = call_accept(f);
    call_reply(f, fd, "401 Unauthorized", "application/json", "{\"error\":{\"message\":\"bad\"}}");
    expect_error(f, &heard, ERR_AUTHENTICATION, "bad");
    assert_int_equal(heard.raws, 0);
    close(fd);
    heard_done(&heard);
}

static void test_cancel_inside_raw(void **state)
{
    struct call_fixture *f = *state;
    struct heard_llm heard = {.raw_action = CANCEL};
    start_with(f, &heard, true, STR("{\"model\":\"m\"}"));
    int fd = call_accept(f);
    call_send(f, fd, STREAM CHUNK("a"));
    server_wait_end(&f->server, fd);
    assert_int_equal(heard.raws, 1);
    assert_int_equal(heard.finishes + heard.errors + heard.ends, 0);
    close(fd);
    heard_done(&heard);
}

/* ---- The end of a stream --------------------------------------------------------------------- */

/* All but [DONE]. */
#define COMPLETE                                                                                   \
    "data: {\"id\":\"c1\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},"                 \
    "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2,"         \
    "\"total_tokens\":9}}\n\n"

static void test_a_complete_answer_does_not_wait_for_its_end(void **state)
{
    struct call_fixture *f = *state;
    struct heard_llm heard = {.timeouts = {.final_ms = 20}}, raw = {.timeouts = {.final_ms = 20}};
    start(f, &heard, true);
    int fd = call_accept(f);
    call_send(f, fd, STREAM CHUNK("Hello"));
    uint64_t begin = clock_monotonic_ms();
    while (clock_monotonic_ms() < begin + 40) /* what is not complete is waited for */
        turn(f, 1);
    assert_int_equal(heard.ends, 0);
    call_send(f, fd, COMPLETE);
    expect_whole(f, &heard, "Hello"); /* the connection is left open */
    assert_int_equal(heard.usage.output_total, 2);
    close(fd);
    turn(f, 3); /* the kept connection has ended */
    start_with(f, &raw, true, STR("{\"model\":\"m\"}"));
    fd = call_accept(f);
    call_send(f, fd, STREAM CHUNK("Hello") COMPLETE);
    expect_whole(f, &raw, "Hello");
    assert_true(str_eq(buf_str(&raw.raw), STR(CHUNK("Hello") COMPLETE)));
    assert_true(raw.raw_is_over); /* [DONE] is the door's to write */
    close(fd);
    heard_done(&heard);
    heard_done(&raw);
}

static void test_a_reset_behind_a_complete_answer_is_none(void **state)
{
    struct call_fixture *f = *state;
    struct heard_llm heard = {0};
    start(f, &heard, true);
    int fd = call_accept(f);
    call_send(f, fd, STREAM_HEAD "Transfer-Encoding: chunked\r\n\r\n");
    char piece[1024];
    snprintf(piece, sizeof piece, "%zx\r\n%s\r\n", strlen(CHUNK("Hello") COMPLETE),
             CHUNK("Hello") COMPLETE);
    call_send(f, fd, piece);
    TURN_UNTIL(f->loop, heard.texts == 1);
    server_reset(&fd);
    expect_whole(f, &heard, "Hello");
    heard_done(&heard);
}

/* ---- Heads and timeouts ---------------------------------------------------------------------- */

static void test_the_head_is_told(void **state)
{
    struct call_fixture *f = *state;
    struct heard_llm heard = {0}, failing = {0}, silent = {0};
    start(f, &heard, true);
    int fd = call_accept(f);
    call_send(f, fd,
              STREAM_HEAD "x-ratelimit-limit-requests: 60\r\nx-ratelimit-remaining-requests: 59\r\n"
                          "x-ratelimit-reset-requests: 1s\r\nConnection: close\r\n\r\n");
    TURN_UNTIL(f->loop, heard.heads == 1);
    assert_int_equal(heard.head.status, 200);
    assert_int_equal(heard.head.limits.requests.limit, 60);
    assert_int_equal(heard.head.limits.requests.remaining, 59);
    assert_int_equal(heard.head.limits.requests.reset_ms, 1000);
    assert_int_equal(heard.head.limits.tokens.limit, -1);
    call_send(f, fd, CHUNK("Hello") FINISH);
    expect_whole(f, &heard, "Hello");
    assert_int_equal(heard.heads, 1);
    close(fd);
    turn(f, 3); /* the kept connection has ended */
    start(f, &failing, true);
    fd = call_accept(f);
    call_reply(f, fd, "429 Slow", "text/plain", "slow down");
    expect_error(f, &failing, ERR_RATE_LIMITED, "slow down");
    assert_int_equal(failing.head.status, 429);
    assert_int_equal(failing.head.limits.requests.limit, -1);
    close(fd);
    turn(f, 3); /* the kept connection has ended */
    silent.head_action = CANCEL;
    start(f, &silent, true);
    fd = call_accept(f);
    call_send(f, fd, STREAM CHUNK("Hello") FINISH);
    TURN_UNTIL(f->loop, silent.cancelled);
    turn(f, 3);
    assert_int_equal(silent.starts + silent.ends, 0);
    close(fd);
    heard_done(&heard);
    heard_done(&failing);
    heard_done(&silent);
}

static void test_timeouts_of_the_request_go_before_the_providers(void **state)
{
    struct call_fixture *f = *state;
    struct heard_llm first = {.timeouts = {.first_content_ms = 30}};
    struct heard_llm idle = {.timeouts = {.content_idle_ms = 31}};
    struct heard_llm headers = {.timeouts = {.headers_ms = 32}};
    call_provider(f, NULL,
                  (struct provider_options){.headers_timeout_ms = 60000,
                                            .first_content_timeout_ms = 60000,
                                            .content_idle_timeout_ms = 60000});
    start(f, &first, true);
    int fd = call_accept(f);
    call_send(f, fd, STREAM);
    expect_error(f, &first, ERR_TIMEOUT, "no content for 30 ms");
    assert_int_equal(first.error.http_status, 0);
    close(fd);
    turn(f, 3); /* the kept connection has ended */
    start(f, &idle, true);
    fd = call_accept(f);
    call_send(f, fd, STREAM CHUNK("a"));
    expect_error(f, &idle, ERR_TIMEOUT, "no further content for 31 ms");
    close(fd);
    turn(f, 3); /* the kept connection has ended */
    start(f, &headers, true);
    fd = call_accept(f);
    expect_error(f, &headers, ERR_TIMEOUT, "");
    assert_string_equal(headers.error.code, "headers");
    close(fd);
    heard_done(&first);
    heard_done(&idle);
    heard_done(&headers);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, call_setup, call_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_raw_bytes_pass),
        TEST(test_an_error_inside_a_raw_stream),
        TEST(test_a_malformed_frame_is_left_out),
        TEST(test_a_last_frame_without_its_blank_line),
        TEST(test_a_stream_that_ends_with_its_body),
        TEST(test_a_whole_answers_bytes_come_first),
        TEST(test_raw_errors_are_events),
        TEST(test_cancel_inside_raw),
        TEST(test_a_complete_answer_does_not_wait_for_its_end),
        TEST(test_a_reset_behind_a_complete_answer_is_none),
        TEST(test_the_head_is_told),
        TEST(test_timeouts_of_the_request_go_before_the_providers),
    };
    return cmocka_run_group_tests_name("llm/call_raw", tests, NULL, NULL);
}
