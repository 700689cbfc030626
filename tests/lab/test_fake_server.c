/* The fake provider on a socket pair: framing, faults on the wire, the log. */
#include "../net/helper_loop.h"

#include "fake_server.h"

struct fixture {
    struct loop *loop;
    struct fake_server *server;
    int fd;
    struct buf got;
    bool at_end;
};

static void connect_client(struct fixture *fixture)
{
    int pair[2];
    assert_return_code(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), errno);
    helper_nonblock(pair[0]);
    helper_nonblock(pair[1]);
    helper_close_fd(&fixture->fd);
    fixture->fd = pair[0];
    fixture->at_end = false;
    buf_clear(&fixture->got);
    fake_server_accept(fixture->server, pair[1]);
}

static void init(struct fixture *fixture, const char *key)
{
    *fixture = (struct fixture){.loop = loop_new(0, NULL), .fd = -1};
    struct fake_server_options options = {.key = str_from_cstr(key)};
    fixture->server = fake_server_new(fixture->loop, &options);
    buf_init(&fixture->got, 64 * 1024 * 1024);
    connect_client(fixture);
}

static void done(struct fixture *fixture)
{
    helper_close_fd(&fixture->fd);
    fake_server_free(fixture->server);
    loop_free(fixture->loop);
    buf_done(&fixture->got);
}

static void say(struct fixture *fixture, struct str bytes)
{
    assert_int_equal(send(fixture->fd, bytes.data, bytes.len, MSG_NOSIGNAL), bytes.len);
}

static void ask(struct fixture *fixture, const char *model, bool stream)
{
    char body[256], request[512];
    int length = snprintf(body, sizeof body, "{\"model\":\"%s\",\"stream\":%s}", model,
                          stream ? "true" : "false");
    int all =
        snprintf(request, sizeof request,
                 "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer k\r\n"
                 "Content-Length: %d\r\n\r\n%s",
                 length, body);
    buf_clear(&fixture->got);
    say(fixture, STR_FROM(request, (size_t)all));
}

static bool got(struct fixture *fixture, const char *needle)
{
    char bytes[65536];
    ssize_t count;
    while (!fixture->at_end && (count = recv(fixture->fd, bytes, sizeof bytes, 0)) != -1) {
        fixture->at_end = count == 0;
        buf_append(&fixture->got, STR_FROM(bytes, (size_t)count));
    }
    if (!fixture->at_end && errno != EAGAIN)
        fixture->at_end = true;
    return str_find(buf_str(&fixture->got), str_from_cstr(needle)) != SIZE_MAX;
}

#define EXPECT(fixture, text) TURN_UNTIL((fixture)->loop, got((fixture), (text)))
#define EXPECT_END(fixture)   TURN_UNTIL((fixture)->loop, (got((fixture), ""), (fixture)->at_end))

static void expect_log(struct fixture *fixture, const char *text)
{
    connect_client(fixture);
    say(fixture, STR("GET /_log HTTP/1.0\r\n\r\n"));
    EXPECT_END(fixture);
    assert_true(got(fixture, text));
}

static void test_answers_on_one_connection(void **state)
{
    (void)state;
    struct fixture fixture;
    init(&fixture, NULL);
    ask(&fixture, "count-3", false);
    EXPECT(&fixture, "\"content\":\"1 2 3 \"");
    assert_true(got(&fixture, "Content-Length: "));
    ask(&fixture, "count-3", true);
    EXPECT(&fixture, "data: [DONE]\n\n\r\n0\r\n\r\n");
    assert_true(got(&fixture, "Transfer-Encoding: chunked"));
    ask(&fixture, "no-such-model", true);
    EXPECT(&fixture, "model_not_found");
    assert_false(fixture.at_end);
    done(&fixture);
}

static void test_requests_sent_ahead(void **state)
{
    (void)state;
    struct fixture fixture;
    init(&fixture, NULL);
    say(&fixture, STR("GET /_last_body HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"
                      "HEAD /api/tags HTTP/1.1\r\nHost: h\r\n\r\n"
                      "GET /nowhere HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
    EXPECT_END(&fixture);
    assert_true(got(&fixture, "Ollama is running"));
    assert_false(got(&fixture, "latest"));
    assert_true(got(&fixture, "HTTP/1.1 404 "));
    done(&fixture);
}

static void test_cut_and_reset(void **state)
{
    (void)state;
    struct fixture fixture;
    init(&fixture, NULL);
    ask(&fixture, "cut-3", true);
    EXPECT_END(&fixture);
    assert_true(got(&fixture, "\"3 \""));
    assert_false(got(&fixture, "\"4 \""));
    assert_false(got(&fixture, "\r\n0\r\n\r\n"));
    connect_client(&fixture);
    ask(&fixture, "reset", true);
    EXPECT_END(&fixture);
    assert_int_equal(fixture.got.len, 0);
    connect_client(&fixture);
    say(&fixture, STR("this is not HTTP\r\n\r\n"));
    EXPECT_END(&fixture);
    done(&fixture);
}

static void test_the_log_knows_who_left(void **state)
{
    (void)state;
    struct fixture fixture;
    init(&fixture, NULL);
    ask(&fixture, "stall-1", true);
    EXPECT(&fixture, "\"1 \"");
    expect_log(&fixture, "\"outcome\":\"client_gone\"");
    assert_true(got(&fixture, "\"model\":\"stall-1\",\"stream\":true,\"credentials\":true"));
    connect_client(&fixture);
    say(&fixture, STR("GET /_last_body HTTP/1.0\r\n\r\n"));
    EXPECT(&fixture, "\r\n\r\n{\"model\":\"stall-1\",\"stream\":true}");
    connect_client(&fixture);
    say(&fixture, STR("POST /_reset HTTP/1.0\r\n\r\n"));
    EXPECT(&fixture, "forgotten");
    expect_log(&fixture, "Content-Length: 0\r\n");
    done(&fixture);
}

static void test_failing_first(void **state)
{
    (void)state;
    struct fixture fixture;
    init(&fixture, NULL);
    for (int i = 0; i < 2; i++) {
        ask(&fixture, "count-2+fail-2", false);
        EXPECT(&fixture, "server_is_overloaded");
    }
    ask(&fixture, "count-2+fail-2", false);
    EXPECT(&fixture, "\"content\":\"1 2 \"");
    done(&fixture);
}

static void test_stages(void **state)
{
    (void)state;
    struct fixture fixture;
    init(&fixture, NULL);
    ask(&fixture, "429-after-7+then+500+then+count-2", false);
    EXPECT(&fixture, "retry-after: 7");
    ask(&fixture, "429-after-7+then+500+then+count-2", false);
    EXPECT(&fixture, "server_error");
    ask(&fixture, "429-after-7+then+500+then+count-2", false);
    EXPECT(&fixture, "\"content\":\"1 2 \"");
    ask(&fixture, "503+for-30+then+count-2", false);
    EXPECT(&fixture, "server_is_overloaded");
    TURN_UNTIL(fixture.loop,
               (ask(&fixture, "503+for-30+then+count-2", false), helper_turn(fixture.loop),
                helper_turn(fixture.loop), got(&fixture, "\"content\":\"1 2 \"")));
    done(&fixture);
}

static void test_a_body_of_the_log(void **state)
{
    (void)state;
    struct fixture fixture;
    init(&fixture, NULL);
    ask(&fixture, "count-1", false);
    EXPECT(&fixture, "\"1 \"");
    ask(&fixture, "count-2", false);
    EXPECT(&fixture, "\"1 2 \"");
    buf_clear(&fixture.got);
    say(&fixture, STR("GET /_body/1 HTTP/1.1\r\nHost: h\r\n\r\n"));
    EXPECT(&fixture, "{\"model\":\"count-1\",\"stream\":false}");
    say(&fixture, STR("GET /_body/x HTTP/1.1\r\nHost: h\r\n\r\n"));
    EXPECT(&fixture, "HTTP/1.1 404 ");
    done(&fixture);
}

static void test_wrong_key(void **state)
{
    (void)state;
    struct fixture fixture;
    init(&fixture, "another");
    ask(&fixture, "echo", false);
    EXPECT(&fixture, "HTTP/1.1 401 ");
    say(&fixture, STR("GET /api/tags HTTP/1.1\r\nHost: h\r\n\r\n"));
    EXPECT(&fixture, "signin_url");
    done(&fixture);
}

static void test_paces(void **state)
{
    (void)state;
    struct fixture fixture;
    init(&fixture, NULL);
    ask(&fixture, "paced-5x20-1+delay-1", true);
    EXPECT(&fixture, "[DONE]");
    assert_true(got(&fixture, "word-00004 the quick"));
    ask(&fixture, "count-2+late-3+burst", true);
    EXPECT(&fixture, "[DONE]");
    ask(&fixture, "unicode-split", true);
    EXPECT(&fixture, "1\r\n\n\r\n0\r\n\r\n");
    ask(&fixture, "pings-1", true);
    EXPECT(&fixture, ": keep-alive\n\n\r\ne\r\n: keep-alive");
    done(&fixture);
}

/* More than the peer reads is not made: what waits is bounded. */
static void test_endless_waits_for_its_reader(void **state)
{
    (void)state;
    struct fixture fixture;
    init(&fixture, NULL);
    ask(&fixture, "huge-line", true);
    for (int i = 0; i < 200; i++)
        helper_turn(fixture.loop);
    EXPECT(&fixture, "xxxxxxxx");
    assert_true(fixture.got.len < 2 * 1024 * 1024);
    size_t before = fixture.got.len;
    TURN_UNTIL(fixture.loop, (got(&fixture, "x"), fixture.got.len > before + 1024 * 1024));
    connect_client(&fixture);
    ask(&fixture, "endless-headers", true);
    EXPECT(&fixture, "HTTP/1.1 200 OK\r\nX-Filler: xxxx");
    TURN_UNTIL(fixture.loop, (got(&fixture, "X-Filler"), fixture.got.len > 1024 * 1024));
    assert_false(got(&fixture, "\r\n\r\n"));
    done(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_on_one_connection),
        cmocka_unit_test(test_requests_sent_ahead),
        cmocka_unit_test(test_cut_and_reset),
        cmocka_unit_test(test_the_log_knows_who_left),
        cmocka_unit_test(test_failing_first),
        cmocka_unit_test(test_stages),
        cmocka_unit_test(test_a_body_of_the_log),
        cmocka_unit_test(test_wrong_key),
        cmocka_unit_test(test_paces),
        cmocka_unit_test(test_endless_waits_for_its_reader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
