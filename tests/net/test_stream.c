/* Streams over socketpairs and TCP on 127.0.0.1, against a raw socket at the other end. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/un.h>

#include "helper_loop.h"
#include "net/stream_internal.h"

struct fixture {
    struct loop *loop;
    struct heard heard;
    int peer; /* raw */
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture->loop = loop_new(0, NULL);
    fixture->peer = -1;
    heard_init(&fixture->heard);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    helper_close_fd(&fixture->peer);
    if (fixture->heard.stream && !fixture->heard.closes)
        stream_abort(fixture->heard.stream);
    loop_free(fixture->loop);
    buf_done(&fixture->heard.data);
    free(fixture);
    return 0;
}

/* A stream whose peer is fixture->peer, already open. */
static struct stream *accept_unix(struct fixture *fixture)
{
    int fds[2];
    assert_return_code(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), errno);
    fixture->peer = fds[1];
    helper_nonblock(fds[1]);
    fixture->heard.stream =
        stream_accept(fixture->loop, fds[0], NULL, &heard_events, &fixture->heard);
    TURN_UNTIL(fixture->loop, fixture->heard.opens);
    return fixture->heard.stream;
}

static int listen_tcp(struct sockaddr_in *ret_address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t length = sizeof *ret_address;
    *ret_address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_return_code(bind(fd, (struct sockaddr *)ret_address, length), errno);
    assert_return_code(listen(fd, 8), errno);
    assert_return_code(getsockname(fd, (struct sockaddr *)ret_address, &length), errno);
    return fd;
}

/* The same over TCP. */
static struct stream *connect_tcp(struct fixture *fixture)
{
    struct sockaddr_in address;
    int listener = listen_tcp(&address);
    fixture->heard.stream =
        stream_connect(fixture->loop, (struct sockaddr *)&address, sizeof address, NULL, NULL,
                       &heard_events, &fixture->heard, NULL);
    assert_non_null(fixture->heard.stream);
    assert_int_equal(fixture->heard.opens, 0);
    TURN_UNTIL(fixture->loop, fixture->heard.opens);
    fixture->peer = accept(listener, NULL, NULL);
    assert_return_code(fixture->peer, errno);
    helper_nonblock(fixture->peer);
    close(listener);
    return fixture->heard.stream;
}

static void reset_peer(struct fixture *fixture)
{
    struct linger linger = {.l_onoff = 1};
    setsockopt(fixture->peer, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    helper_close_fd(&fixture->peer);
}

static void test_echo_and_peer_end(void **state)
{
    struct fixture *fixture = *state;
    struct stream *stream = accept_unix(fixture);
    assert_string_equal(stream_peer_address(stream), "unix");
    assert_false(stream_is_tls(stream));
    assert_ptr_equal(stream_loop(stream), fixture->loop);
    assert_int_equal(write(fixture->peer, "hello", 5), 5);
    TURN_UNTIL(fixture->loop, fixture->heard.data.len == 5);
    shutdown(fixture->peer, SHUT_WR);
    TURN_UNTIL(fixture->loop, fixture->heard.ends);
    stream_write(stream, "still here", 10);
    helper_turn(fixture->loop);
    char text[32];
    assert_int_equal(read(fixture->peer, text, sizeof text), 10);
    assert_int_equal(fixture->heard.closes, 0);
    stream_close(stream);
    assert_int_equal(fixture->heard.closes, 0);
    TURN_UNTIL(fixture->loop, fixture->heard.closes);
    assert_int_equal(fixture->heard.code, ERR_OK);
    assert_int_equal(read(fixture->peer, text, sizeof text), 0);
    assert_int_equal(fixture->heard.ends, 1);
}

static void test_one_write_a_turn(void **state)
{
    struct fixture *fixture = *state;
    int fds[2];
    assert_return_code(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), errno);
    fixture->peer = fds[1];
    helper_nonblock(fds[1]);
    struct stream *stream =
        stream_accept(fixture->loop, fds[0], NULL, &heard_events, &fixture->heard);
    fixture->heard.stream = stream;
    stream_write(stream, "ab", 2); /* before on_open too */
    buf_append(stream_output(stream), STR("cd"));
    stream_flush_later(stream);
    stream_write(stream, "e", 1);
    assert_int_equal(stream_pending_bytes(stream), 5);
    char text[16];
    assert_int_equal(read(fixture->peer, text, sizeof text), -1);
    helper_turn(fixture->loop);
    assert_int_equal(read(fixture->peer, text, sizeof text), 5);
    assert_memory_equal(text, "abcde", 5);
    assert_int_equal(stream_pending_bytes(stream), 0);
    assert_null(stream->output.bytes.data); /* nothing kept while idle */
}

static void test_slow_reader_drains(void **state)
{
    struct fixture *fixture = *state;
    struct stream *stream = accept_unix(fixture);
    size_t size = 4 * 1024 * 1024, got = 0;
    char *block = malloc(size), *copy = malloc(size);
    for (size_t i = 0; i < size; i++)
        block[i] = (char)(i * 31 + (i >> 9));
    stream_write(stream, block, size);
    helper_turn(fixture->loop);
    assert_true(stream_pending_bytes(stream) > STREAM_HIGH_BYTES);
    assert_int_equal(fixture->heard.drains, 0);
    while (got < size) {
        ssize_t part = read(fixture->peer, copy + got, size - got);
        if (part > 0)
            got += (size_t)part;
        helper_turn(fixture->loop);
    }
    assert_memory_equal(block, copy, size);
    assert_int_equal(fixture->heard.drains, 1);
    free(block);
    free(copy);
}

static void test_too_much_output(void **state)
{
    struct fixture *fixture = *state;
    struct stream *stream = accept_unix(fixture);
    size_t size = 8 * 1024 * 1024;
    char *block = calloc(1, size);
    for (int i = 0; i < 9; i++)
        stream_write(stream, block, size);
    free(block);
    assert_int_equal(fixture->heard.closes, 0);
    TURN_UNTIL(fixture->loop, fixture->heard.closes);
    assert_int_equal(fixture->heard.code, ERR_TOO_BIG);
}

static void test_close_drains_first(void **state)
{
    struct fixture *fixture = *state;
    struct stream *stream = connect_tcp(fixture);
    assert_string_equal(stream_peer_address(stream), "127.0.0.1");
    size_t size = 16 * 1024 * 1024, got = 0;
    char *block = calloc(1, size);
    stream_write(stream, block, size);
    stream_close(stream);
    stream_write(stream, "late", 4);
    assert_int_equal(write(fixture->peer, "unread", 6), 6); /* must not reset what is on its way */
    for (;;) {
        ssize_t part = read(fixture->peer, block, size);
        if (part == 0)
            break;
        assert_true(part > 0 || errno == EAGAIN);
        if (part > 0)
            got += (size_t)part;
        helper_turn(fixture->loop);
    }
    assert_int_equal(got, size);
    assert_int_equal(fixture->heard.closes, 0); /* lingers for the peer's end */
    helper_close_fd(&fixture->peer);
    TURN_UNTIL(fixture->loop, fixture->heard.closes);
    assert_int_equal(fixture->heard.code, ERR_OK);
    assert_int_equal(fixture->heard.datas, 0);
    free(block);
}

static void test_reset_is_noticed(void **state)
{
    struct fixture *fixture = *state;
    connect_tcp(fixture);
    assert_int_equal(write(fixture->peer, "last words", 10), 10);
    TURN_UNTIL(fixture->loop, fixture->heard.data.len == 10);
    reset_peer(fixture);
    TURN_UNTIL(fixture->loop, fixture->heard.closes);
    assert_int_equal(fixture->heard.code, ERR_NETWORK);
    assert_int_equal(fixture->heard.ends, 0);
}

static void test_reset_while_paused(void **state)
{
    struct fixture *fixture = *state;
    stream_pause(connect_tcp(fixture));
    reset_peer(fixture);
    TURN_UNTIL(fixture->loop, fixture->heard.closes);
    assert_int_equal(fixture->heard.code, ERR_NETWORK);
}

static void test_leaving_while_output_streams(void **state)
{
    struct fixture *fixture = *state;
    struct stream *stream = connect_tcp(fixture);
    size_t size = 16 * 1024 * 1024;
    char *block = calloc(1, size);
    stream_write(stream, block, size);
    free(block);
    helper_turn(fixture->loop);
    assert_true(stream_pending_bytes(stream) > 0);
    helper_close_fd(&fixture->peer); /* with unread bytes: a reset */
    TURN_UNTIL(fixture->loop, fixture->heard.closes);
    assert_int_equal(fixture->heard.code, ERR_NETWORK);
}

static void test_end_while_output_streams(void **state)
{
    struct fixture *fixture = *state;
    struct stream *stream = connect_tcp(fixture);
    size_t size = 16 * 1024 * 1024;
    char *block = calloc(1, size);
    stream_write(stream, block, size);
    free(block);
    helper_turn(fixture->loop);
    assert_true(stream_pending_bytes(stream) > 0);
    shutdown(fixture->peer, SHUT_WR);
    TURN_UNTIL(fixture->loop, fixture->heard.ends);
}

/* What the peer said before it left is not lost to back-pressure. */
static void test_pause_keeps_what_came(void **state)
{
    struct fixture *fixture = *state;
    struct stream *stream = accept_unix(fixture);
    stream_pause(stream);
    assert_int_equal(write(fixture->peer, "kept", 4), 4);
    helper_close_fd(&fixture->peer);
    for (int i = 0; i < 20; i++)
        helper_turn(fixture->loop);
    assert_int_equal(fixture->heard.datas, 0);
    assert_int_equal(fixture->heard.closes, 0);
    stream_resume(stream);
    TURN_UNTIL(fixture->loop, fixture->heard.ends);
    assert_int_equal(fixture->heard.data.len, 4);
    TURN_UNTIL(fixture->loop, fixture->heard.closes); /* gone altogether, not only its side */
}

/* An early refusal of an upload is read although sending failed. */
static void test_answer_before_reset(void **state)
{
    struct fixture *fixture = *state;
    struct stream *stream = accept_unix(fixture);
    assert_int_equal(write(fixture->peer, "413", 3), 3);
    helper_close_fd(&fixture->peer);
    stream_write(stream, "upload", 6);
    TURN_UNTIL(fixture->loop, fixture->heard.closes);
    assert_int_equal(fixture->heard.data.len, 3);
    assert_int_equal(fixture->heard.code, ERR_NETWORK);
}

static void test_urgent_data_does_not_spin(void **state)
{
    struct fixture *fixture = *state;
    struct stream *stream = connect_tcp(fixture);
    stream_pause(stream);
    assert_int_equal(send(fixture->peer, "!", 1, MSG_OOB), 1);
    for (int i = 0; i < 5; i++)
        helper_turn(fixture->loop);
    assert_int_equal(fixture->heard.closes, 0);
    stream_resume(stream);
    assert_int_equal(write(fixture->peer, "plain", 5), 5);
    TURN_UNTIL(fixture->loop, fixture->heard.data.len >= 5);
}

static void test_refused(void **state)
{
    struct fixture *fixture = *state;
    struct sockaddr_in address;
    close(listen_tcp(&address));
    fixture->heard.stream =
        stream_connect(fixture->loop, (struct sockaddr *)&address, sizeof address, NULL, NULL,
                       &heard_events, &fixture->heard, NULL);
    assert_int_equal(fixture->heard.closes, 0);
    TURN_UNTIL(fixture->loop, fixture->heard.closes);
    assert_int_equal(fixture->heard.code, ERR_NETWORK);
    assert_string_equal(fixture->heard.detail, "connection refused");
    assert_int_equal(fixture->heard.opens, 0);
}

static void test_unix_connect(void **state)
{
    struct fixture *fixture = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    /* abstract, named by the kernel */
    assert_return_code(bind(listener, (struct sockaddr *)&address, sizeof(sa_family_t)), errno);
    assert_return_code(listen(listener, 1), errno);
    socklen_t length = sizeof address;
    assert_return_code(getsockname(listener, (struct sockaddr *)&address, &length), errno);
    fixture->heard.stream = stream_connect(fixture->loop, (struct sockaddr *)&address, length, NULL,
                                           NULL, &heard_events, &fixture->heard, NULL);
    assert_int_equal(fixture->heard.opens, 0);
    stream_write(fixture->heard.stream, "early", 5);
    TURN_UNTIL(fixture->loop, fixture->heard.opens);
    fixture->peer = accept(listener, NULL, NULL);
    char text[8];
    TURN_UNTIL(fixture->loop, recv(fixture->peer, text, sizeof text, MSG_DONTWAIT) == 5);
    assert_int_equal(fixture->heard.opens, 1);
    close(listener);
}

static void abort_in_data(void *user, char *data, size_t len)
{
    struct heard *heard = user;
    heard_data(user, data, len);
    stream_abort(heard->stream);
}

static void test_abort_inside_callback(void **state)
{
    struct fixture *fixture = *state;
    struct stream *stream = accept_unix(fixture);
    struct stream_events events = heard_events;
    events.on_data = abort_in_data;
    stream_set_events(stream, &events, &fixture->heard);
    assert_int_equal(write(fixture->peer, "x", 1), 1);
    TURN_UNTIL(fixture->loop, fixture->heard.datas);
    helper_turn(fixture->loop);
    assert_int_equal(fixture->heard.closes, 0);
    char text[8];
    assert_int_equal(read(fixture->peer, text, sizeof text), 0);
    fixture->heard.stream = NULL;
}

static void test_abort_resets(void **state)
{
    struct fixture *fixture = *state;
    stream_abort(connect_tcp(fixture));
    fixture->heard.stream = NULL;
    char text[8];
    assert_int_equal(read(fixture->peer, text, sizeof text), -1);
    assert_int_equal(errno, ECONNRESET);
}

/* A descriptor that cannot be watched is reported, never returned as NULL. */
static void test_bad_descriptor(void **state)
{
    struct fixture *fixture = *state;
    fixture->heard.stream = stream_accept(fixture->loop, open("/dev/null", O_RDWR), NULL,
                                          &heard_events, &fixture->heard);
    assert_non_null(fixture->heard.stream);
    stream_write(fixture->heard.stream, "x", 1);
    TURN_UNTIL(fixture->loop, fixture->heard.closes);
    assert_int_equal(fixture->heard.code, ERR_NETWORK);
}

/* Refill on every on_drain against a fast reader: others must still get their turn. */
static void refill(void *user)
{
    struct heard *heard = user;
    static const char block[STREAM_HIGH_BYTES + 1];
    heard->drains++;
    stream_write(heard->stream, block, sizeof block);
}

static void test_drain_is_fair(void **state)
{
    struct fixture *fixture = *state;
    struct stream *stream = connect_tcp(fixture);
    struct stream_events events = heard_events;
    events.on_drain = refill;
    stream_set_events(stream, &events, &fixture->heard);
    refill(&fixture->heard);
    int before = fixture->heard.drains;
    helper_turn(fixture->loop);
    assert_in_range(fixture->heard.drains - before, 0, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_echo_and_peer_end),
        TEST(test_one_write_a_turn),
        TEST(test_slow_reader_drains),
        TEST(test_too_much_output),
        TEST(test_close_drains_first),
        TEST(test_reset_is_noticed),
        TEST(test_reset_while_paused),
        TEST(test_leaving_while_output_streams),
        TEST(test_end_while_output_streams),
        TEST(test_pause_keeps_what_came),
        TEST(test_answer_before_reset),
        TEST(test_urgent_data_does_not_spin),
        TEST(test_refused),
        TEST(test_unix_connect),
        TEST(test_abort_inside_callback),
        TEST(test_abort_resets),
        TEST(test_bad_descriptor),
        TEST(test_drain_is_fair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
