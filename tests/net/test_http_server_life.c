/* Connections of the HTTP server over time: timeouts, bodies on disk, clients that leave, drain,
 * upgrades. Timeouts are shrunk to a few milliseconds. */
#include "helper_http_server.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/resource.h>

/* ---- Timeouts ----------------------------------------------------------------------------------
 */

static void slow_headers_and_bodies(void **state)
{
    (void)state;
    static const struct {
        const char *request, *field;
    } cases[] = {
        {"G", "headers"},
        {"GET / HTTP/1.1\r\nHost: h\r\n", "headers"},
        {"GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b", "headers"},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhell", "body"},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", "body"},
    };
    struct fixture f;
    struct http_server_options options = {.header_timeout_ms = 100, .body_timeout_ms = 20};
    fixture_init(&f, &options);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture_send_text(&f, cases[i].request);
        EXPECT(&f, "HTTP/1.1 504 ");
        EXPECT_END(&f);
        assert_int_equal(f.refused, ERR_TIMEOUT);
        assert_string_equal(f.refused_field, cases[i].field);
        fixture_reconnect(&f);
    }
    fixture_done(&f);
}

/* Progress keeps a body alive, but not headers. */
static void dripping(void **state)
{
    (void)state;
    struct fixture f;
    struct http_server_options options = {.header_timeout_ms = 200, .body_timeout_ms = 200};
    fixture_init(&f, &options);
    fixture_send_text(&f, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 150\r\n\r\n");
    for (int i = 0; i < 150; i++) {
        fixture_send_text(&f, "x");
        helper_turn(f.loop);
        helper_turn(f.loop);
    }
    fixture_expect(&f, 200, NULL);
    fixture_send_text(&f, "GET / HTTP/1.1\r\nA: b");
    while (!f.refusals) {
        fixture_send_text(&f, "b");
        helper_turn(f.loop);
        helper_turn(f.loop); /* nothing comes: a millisecond passes */
    }
    assert_int_equal(f.refused, ERR_TIMEOUT);
    fixture_done(&f);
}

static void idle_connections_are_closed(void **state)
{
    (void)state;
    struct fixture f;
    struct http_server_options options = {.header_timeout_ms = 10, .idle_timeout_ms = 5};
    fixture_init(&f, &options);
    EXPECT_END(&f); /* never said a word */
    fixture_reconnect(&f);
    fixture_send_text(&f, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    fixture_expect(&f, 200, NULL);
    EXPECT_END(&f);
    assert_int_equal(f.got.len, 0);
    assert_int_equal(f.refusals, 0);
    fixture_done(&f);
}

static void nobody_takes_the_response(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, &(struct http_server_options){.write_timeout_ms = 20});
    fixture_send_text(&f, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
    TURN_UNTIL(f.loop, f.held_count == 1);
    http_respond_write(f.held[0], STR_FROM(f.static_body, FIXTURE_STATIC_BYTES));
    assert_true(http_respond_pending_bytes(f.held[0]) >= FIXTURE_STATIC_BYTES);
    TURN_UNTIL(f.loop, f.aborts == 1);
    assert_int_equal(http_respond_pending_bytes(f.held[0]), 0);
    http_respond_write(f.held[0], STR("to nobody"));
    http_respond_end(f.held[0]);
    fixture_done(&f);
}

/* A handler that thinks, and a stream that is silent, are no reason to time out. */
static void silence_of_ours_is_no_timeout(void **state)
{
    (void)state;
    struct fixture f;
    struct http_server_options options = {.header_timeout_ms = 100,
                                          .body_timeout_ms = 2,
                                          .idle_timeout_ms = 1000,
                                          .write_timeout_ms = 4};
    fixture_init(&f, &options);
    fixture_send_text(&f, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT(&f, "chunked");
    uint64_t later = clock_monotonic_ms() + 130;
    TURN_UNTIL(f.loop, clock_monotonic_ms() > later);
    assert_int_equal(f.aborts + f.refusals, 0);
    http_respond_end(f.held[0]);
    EXPECT(&f, "0\r\n\r\n");
    fixture_done(&f);
}

/* ---- Bodies on disk ----------------------------------------------------------------------------
 */

static void large_bodies_go_through_a_file(void **state)
{
    (void)state;
    enum { BODY_BYTES = 900 * 1024 };
    struct fixture f;
    struct http_server_options options = {.body_memory_bytes = 1000, .spill_directory = "/tmp"};
    fixture_init(&f, &options);
    char head[200];
    for (int chunked = 0; chunked < 2; chunked++) {
        snprintf(head, sizeof head, "POST /hold HTTP/1.1\r\nHost: h\r\n%s%d\r\n\r\n",
                 chunked ? "Transfer-Encoding: chunked\r\nX: " : "Content-Length: ", BODY_BYTES);
        fixture_send_text(&f, head);
        for (size_t at = 0; at < BODY_BYTES; at += 900) {
            fixture_send_text(&f, chunked ? "384\r\n" : "");
            fixture_send(
                &f, STR_FROM(f.static_body + at, at + 900 > BODY_BYTES ? BODY_BYTES - at : 900));
            fixture_send_text(&f, chunked ? "\r\n" : "");
        }
        fixture_send_text(&f, chunked ? "0\r\n\r\n" : "");
        fixture_send_text(&f, "GET /after HTTP/1.1\r\nHost: h\r\n\r\n");
        TURN_UNTIL(f.loop, f.held_count == chunked + 1);
        struct str body = http_exchange_request(f.held[chunked])->body;
        assert_int_equal(body.len, BODY_BYTES);
        assert_memory_equal(body.data, f.static_body, BODY_BYTES);
        http_respond(f.held[chunked], 200, NULL, STR("kept"));
        fixture_expect(&f, 200, "kept");
        fixture_expect(&f, 200, "GET /after? 0:");
    }
    fixture_done(&f);
}

static void send_upload(struct fixture *f, size_t bytes)
{
    char head[128];
    snprintf(head, sizeof head, "POST /u HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n",
             bytes);
    fixture_send_text(f, head);
    fixture_send(f, STR_FROM(f->static_body, bytes));
}

static void a_disk_that_fails(void **state)
{
    (void)state;
    struct fixture f;
    struct http_server_options options = {.body_memory_bytes = 1000,
                                          .spill_directory = "/tmp/no/such/directory"};
    fixture_init(&f, &options);
    send_upload(&f, 100000);
    EXPECT_END(&f);
    assert_int_equal(f.refused, ERR_STORAGE);
    fixture_done(&f);

    struct rlimit before, small = {.rlim_cur = 50000};
    signal(SIGXFSZ, SIG_IGN);
    assert_return_code(getrlimit(RLIMIT_FSIZE, &before), errno);
    small.rlim_max = before.rlim_max;
    assert_return_code(setrlimit(RLIMIT_FSIZE, &small), errno);
    options.spill_directory = "/tmp";
    fixture_init(&f, &options);
    send_upload(&f, 900000);
    EXPECT_END(&f);
    assert_return_code(setrlimit(RLIMIT_FSIZE, &before), errno);
    assert_int_equal(f.refused, ERR_STORAGE);
    assert_string_equal(f.refused_field, "body");
    fixture_done(&f);
}

static void no_directory_no_large_bodies(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, &(struct http_server_options){.body_memory_bytes = 1000});
    send_upload(&f, 1000);
    fixture_expect(&f, 200, NULL);
    send_upload(&f, 1001);
    EXPECT_END(&f);
    assert_int_equal(f.refused, ERR_TOO_BIG);
    fixture_done(&f);
}

/* The pool still writes when nobody wants the body any more. */
static void leaving_during_an_upload(void **state)
{
    (void)state;
    struct fixture f;
    struct http_server_options options = {.body_memory_bytes = 1000, .spill_directory = "/tmp"};
    fixture_init(&f, &options);
    fixture_send_text(&f, "POST /u HTTP/1.1\r\nHost: h\r\nContent-Length: 9000\r\n\r\n");
    fixture_send(&f, STR_FROM(f.static_body, 8000));
    helper_turn(f.loop);
    helper_close_fd(&f.fd);
    TURN_UNTIL(f.loop, http_server_connection_count(f.server) == 0);
    assert_int_equal(f.requests + f.refusals, 0);
    fixture_done(&f);
}

/* ---- Clients that leave ------------------------------------------------------------------------
 */

static void leaving_is_noticed(void **state)
{
    (void)state;
    static const char *const requests[] = {"GET /hold HTTP/1.1\r\nHost: h\r\n\r\n",
                                           "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n"};
    struct fixture f;
    fixture_init(&f, NULL);
    for (int i = 0; i < 2; i++) {
        fixture_send_text(&f, requests[i]);
        TURN_UNTIL(f.loop, f.held_count == i + 1);
        assert_false(http_exchange_is_aborted(f.held[i]));
        helper_close_fd(&f.fd);
        TURN_UNTIL(f.loop, f.aborts == i + 1);
        assert_true(http_exchange_is_aborted(f.held[i]));
        assert_int_equal(http_server_connection_count(f.server), 0);
        assert_string_equal(http_exchange_request(f.held[i])->peer_address, "unix");
        fixture_reconnect(&f);
    }
    http_respond_header(f.held[0], "x", STR("y"));
    http_respond(f.held[0], 200, NULL, STR("late"));
    http_respond_write(f.held[1], STR("late"));
    http_respond_break(f.held[1]);
    assert_int_equal(f.aborts, 2);
    fixture_done(&f);
}

static void ending_half_way_is_leaving(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, NULL);
    fixture_send_text(&f, "GET /now HTTP/1.1\r\nHost: h\r\n\r\n");
    shutdown(f.fd, SHUT_WR); /* as nc -N does: what is answered at once is still sent */
    fixture_expect(&f, 200, "GET /now? 0:");
    EXPECT_END(&f);
    assert_int_equal(f.aborts, 0);
    fixture_done(&f);
}

static void the_server_is_freed_first(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, NULL);
    fixture_send_text(&f,
                      "GET /hold HTTP/1.1\r\nHost: h\r\n\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    TURN_UNTIL(f.loop, f.held_count == 1);
    http_server_free(f.server);
    f.server = NULL;
    assert_int_equal(f.aborts, 1);
    http_respond(f.held[0], 200, NULL, STR("late"));
    fixture_done(&f);
}

static void breaking_off(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, NULL);
    fixture_send_text(&f,
                      "GET /break HTTP/1.1\r\nHost: h\r\n\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_END(&f);
    assert_false(fixture_got(&f, "0\r\n\r\n"));
    assert_false(fixture_got(&f, "GET /a"));
    assert_int_equal(http_server_connection_count(f.server), 0);
    fixture_done(&f);
}

static void slow_readers_drain(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, NULL);
    fixture_send_text(&f, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
    TURN_UNTIL(f.loop, f.held_count == 1);
    http_respond_write(f.held[0], STR_FROM(f.static_body, FIXTURE_STATIC_BYTES));
    fixture_settle(&f);
    TURN_UNTIL(f.loop, fixture_read(&f) && f.drains == 1);
    http_respond_end(f.held[0]);
    EXPECT(&f, "\r\n0\r\n\r\n");
    fixture_done(&f);
}

/* A client that sends requests and never reads gets no more answers than it can take. */
static void answers_wait_for_the_reader(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, NULL);
    for (int i = 0; i < 10; i++)
        fixture_send_text(&f, "GET /static HTTP/1.1\r\nHost: h\r\n\r\n");
    for (int i = 0; i < 20; i++)
        helper_turn(f.loop);
    assert_int_equal(f.requests, 1);
    int status = 0;
    struct buf body;
    buf_init(&body, 4 * FIXTURE_STATIC_BYTES);
    for (int i = 0; i < 10; i++) {
        TURN_UNTIL(f.loop, fixture_take(&f, &status, &body));
        assert_int_equal(body.len, FIXTURE_STATIC_BYTES);
    }
    buf_done(&body);
    fixture_done(&f);
}

/* ---- Many, and the end -------------------------------------------------------------------------
 */

static void too_many_connections(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, &(struct http_server_options){.connections_max = 1});
    int first = f.fd;
    f.fd = fixture_connect(&f);
    EXPECT(&f, "HTTP/1.1 503 ");
    EXPECT_END(&f);
    assert_int_equal(f.refused, ERR_UNAVAILABLE);
    helper_close_fd(&first);
    helper_close_fd(&f.fd);
    TURN_UNTIL(f.loop, http_server_connection_count(f.server) == 0);
    fixture_reconnect(&f);
    fixture_send_text(&f, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    fixture_expect(&f, 200, NULL);
    fixture_done(&f);
}

static void draining(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, NULL);
    fixture_send_text(
        &f, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\nGET /never HTTP/1.1\r\nHost: h\r\n\r\n");
    TURN_UNTIL(f.loop, f.held_count == 1);
    int busy = f.fd;
    f.fd = fixture_connect(&f);
    http_server_drain(f.server, fixture_on_drained, &f);
    EXPECT_END(&f); /* the idle one */
    helper_close_fd(&f.fd);
    f.fd = busy;
    f.at_end = false;
    fixture_settle(&f);
    assert_int_equal(f.drained, 0);
    http_respond(f.held[0], 200, NULL, STR("last"));
    EXPECT(&f, "last");
    EXPECT_END(&f);
    assert_true(fixture_got(&f, "Connection: close\r\n"));
    helper_close_fd(&f.fd);
    TURN_UNTIL(f.loop, f.drained == 1);
    assert_int_equal(f.requests, 1);
    assert_int_equal(http_server_connection_count(f.server), 0);
    http_server_drain(f.server, fixture_on_drained, &f); /* with nothing left: a turn later */
    assert_int_equal(f.drained, 1);
    TURN_UNTIL(f.loop, f.drained == 2);
    fixture_done(&f);
}

/* ---- Upgrades ----------------------------------------------------------------------------------
 */

#define UPGRADE(path, version)                                                                     \
    "GET " path " HTTP/" version "\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\n"              \
    "Upgrade: test\r\n\r\n"

static void upgrade_hands_over(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, NULL);
    fixture_send_text(&f, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n" UPGRADE("/upgrade", "1.1") "early");
    fixture_expect(&f, 200, "GET /a? 0:");
    EXPECT(&f, "HTTP/1.1 101 Switching Protocols\r\nDate: ");
    assert_true(fixture_got(&f, "Connection: upgrade\r\nUpgrade: test\r\n\r\n"));
    assert_false(fixture_got(&f, "Content-Length"));
    assert_non_null(f.upgraded);
    assert_int_equal(f.early_len, 5);
    assert_memory_equal(f.early, "early", 5);
    assert_int_equal(http_server_connection_count(f.server), 0);
    stream_write(f.upgraded, "mine", 4);
    EXPECT(&f, "\r\n\r\nmine");
    fixture_done(&f);
}

static void upgrade_later(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, NULL);
    fixture_send_text(&f, UPGRADE("/hold", "1.1"));
    TURN_UNTIL(f.loop, f.held_count == 1);
    send_upload(&f, 100000); /* other bytes of that protocol: over the mark, reading pauses */
    fixture_settle(&f);
    fixture_upgrade(&f, f.held[0]);
    assert_non_null(f.upgraded);
    assert_true(f.early_len > HTTP_TARGET_BYTES_MAX);
    assert_memory_equal(f.early, "POST /u", 7);
    fixture_done(&f);
}

static void upgrade_declined_or_impossible(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, NULL);
    fixture_send_text(&f, UPGRADE("/plain", "1.1") "GET /next HTTP/1.1\r\nHost: h\r\n\r\n");
    fixture_expect(&f, 200, "GET /plain? 0:");
    fixture_expect(&f, 200, "GET /next? 0:");
    fixture_send_text(&f, UPGRADE("/upgrade", "1.0"));
    fixture_expect(&f, 400, "");
    EXPECT_END(&f);
    fixture_reconnect(&f);
    fixture_send_text(&f, "GET /upgrade HTTP/1.1\r\nHost: h\r\n\r\n");
    fixture_expect(&f, 400, "");
    fixture_reconnect(&f);
    fixture_send_text(&f, UPGRADE("/hold", "1.1"));
    TURN_UNTIL(f.loop, f.held_count == 1);
    helper_close_fd(&f.fd);
    TURN_UNTIL(f.loop, f.aborts == 1);
    fixture_upgrade(&f, f.held[0]);
    assert_null(f.upgraded);
    fixture_done(&f);
}

static void connect_is_a_request_like_any_other(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, NULL);
    fixture_send_text(&f, "CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\nGET /a HTTP/1.1\r\n\r\n");
    EXPECT(&f, "OTHER ");
    EXPECT_END(&f);
    assert_int_equal(f.requests, 1);
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slow_headers_and_bodies),
        cmocka_unit_test(dripping),
        cmocka_unit_test(idle_connections_are_closed),
        cmocka_unit_test(nobody_takes_the_response),
        cmocka_unit_test(silence_of_ours_is_no_timeout),
        cmocka_unit_test(large_bodies_go_through_a_file),
        cmocka_unit_test(a_disk_that_fails),
        cmocka_unit_test(no_directory_no_large_bodies),
        cmocka_unit_test(leaving_during_an_upload),
        cmocka_unit_test(leaving_is_noticed),
        cmocka_unit_test(ending_half_way_is_leaving),
        cmocka_unit_test(the_server_is_freed_first),
        cmocka_unit_test(breaking_off),
        cmocka_unit_test(slow_readers_drain),
        cmocka_unit_test(answers_wait_for_the_reader),
        cmocka_unit_test(too_many_connections),
        cmocka_unit_test(draining),
        cmocka_unit_test(upgrade_hands_over),
        cmocka_unit_test(upgrade_later),
        cmocka_unit_test(upgrade_declined_or_impossible),
        cmocka_unit_test(connect_is_a_request_like_any_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
