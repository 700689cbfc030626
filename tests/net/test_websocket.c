/* WebSocket connections against a client of raw bytes at the other end of a socketpair. */
#include <stdio.h>
#include <stdlib.h>

#include "helper_loop.h"
#include "net/websocket.h"

struct fixture {
    struct loop *loop;
    struct websocket *websocket;
    int client;
    int messages, closes, drains;
    uint16_t code;
    struct buf last;     /* message */
    struct buf received; /* by the client, raw */
    bool answer, close_inside, abort_inside;
};

enum { OPCODE_MORE, OPCODE_TEXT, OPCODE_BINARY, OPCODE_CLOSE = 8, OPCODE_PING, OPCODE_PONG };
enum { FIN = 0x80, MASKED = 0x80 };

/* ---- What the server's side hears ------------------------------------------------------------ */

static void on_message(void *user, struct str text)
{
    struct fixture *fixture = user;
    fixture->messages++;
    buf_clear(&fixture->last);
    buf_append(&fixture->last, text);
    if (fixture->answer)
        websocket_send(fixture->websocket, text);
    if (fixture->close_inside)
        websocket_close(fixture->websocket, 1000, "bye");
    if (fixture->abort_inside) {
        websocket_abort(fixture->websocket);
        fixture->websocket = NULL;
    }
}

static void on_drain(void *user)
{
    ((struct fixture *)user)->drains++;
}

static void on_close(void *user, uint16_t code)
{
    struct fixture *fixture = user;
    fixture->closes++;
    fixture->code = code;
    fixture->websocket = NULL;
}

static const struct websocket_events events = {on_message, on_drain, on_close};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture->loop = loop_new(0, NULL);
    fixture->client = -1;
    buf_init(&fixture->last, 1 << 24);
    buf_init(&fixture->received, 1 << 24);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    if (fixture->websocket)
        websocket_abort(fixture->websocket);
    helper_close_fd(&fixture->client);
    loop_free(fixture->loop);
    buf_done(&fixture->last);
    buf_done(&fixture->received);
    free(fixture);
    return 0;
}

/* `early`: bytes that came behind the handshake. */
static void open_with(struct fixture *fixture, struct websocket_options options, struct str early)
{
    int fds[2];
    static const struct stream_events none;
    assert_return_code(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), errno);
    fixture->client = fds[1];
    helper_nonblock(fds[1]);
    struct stream *stream = stream_accept(fixture->loop, fds[0], NULL, &none, NULL);
    helper_turn(fixture->loop);
    char *copy = early.data ? memcpy(malloc(early.len), early.data, early.len) : NULL;
    fixture->websocket = websocket_on_stream(stream, copy, early.len, &options, &events, fixture);
}

static void open_plain(struct fixture *fixture)
{
    open_with(fixture, (struct websocket_options){.message_bytes_max = 100000}, STR_NONE);
}

/* ---- What the client does -------------------------------------------------------------------- */

/* A masked frame as bytes. */
static void frame(struct buf *ret, int first_byte, struct str payload)
{
    static const char mask[4] = {0x11, 0x22, 0x33, 0x44};
    buf_append_char(ret, (char)first_byte);
    if (payload.len < 126) {
        buf_append_char(ret, (char)(MASKED | payload.len));
    } else if (payload.len < 65536) {
        buf_append_char(ret, (char)(MASKED | 126));
        buf_append_char(ret, (char)(payload.len >> 8));
        buf_append_char(ret, (char)payload.len);
    } else {
        buf_append_char(ret, (char)(MASKED | 127));
        for (int shift = 56; shift >= 0; shift -= 8)
            buf_append_char(ret, (char)(payload.len >> shift));
    }
    buf_append(ret, STR_FROM(mask, 4));
    for (size_t i = 0; i < payload.len; i++)
        buf_append_char(ret, (char)(payload.data[i] ^ mask[i % 4]));
}

static void send_raw(struct fixture *fixture, struct str bytes)
{
    while (bytes.len) {
        ssize_t sent = write(fixture->client, bytes.data, bytes.len);
        assert_true(sent > 0 || errno == EAGAIN);
        bytes = str_skip(bytes, sent > 0 ? (size_t)sent : 0);
        if (bytes.len)
            helper_turn(fixture->loop);
    }
}

static void send_frame(struct fixture *fixture, int first_byte, struct str payload)
{
    struct buf bytes;
    buf_init(&bytes, 1 << 24);
    frame(&bytes, first_byte, payload);
    send_raw(fixture, buf_str(&bytes));
    buf_done(&bytes);
}

static size_t take_received(struct fixture *fixture)
{
    char *room = buf_reserve(&fixture->received, 65536);
    ssize_t got = read(fixture->client, room, 65536);
    if (got > 0)
        buf_commit(&fixture->received, (size_t)got);
    return fixture->received.len;
}

/* The server's next bytes are exactly these. */
static void expect_raw(struct fixture *fixture, struct str bytes)
{
    TURN_UNTIL(fixture->loop, take_received(fixture) >= bytes.len);
    assert_memory_equal(fixture->received.data, bytes.data, bytes.len);
    buf_consume(&fixture->received, bytes.len);
}

/* The server sends a close frame with `code` and ends its side. */
static void expect_close_frame(struct fixture *fixture, uint16_t code)
{
    TURN_UNTIL(fixture->loop, take_received(fixture) >= 4);
    const unsigned char *got = (const unsigned char *)fixture->received.data;
    assert_int_equal(got[0], FIN | OPCODE_CLOSE);
    assert_int_equal(got[2] << 8 | got[3], code);
    assert_int_equal(fixture->received.len, 2u + got[1]);
    buf_clear(&fixture->received);
}

static void expect_failure(struct fixture *fixture, uint16_t code)
{
    expect_close_frame(fixture, code);
    assert_int_equal(fixture->messages, 0);
    helper_close_fd(&fixture->client);
    TURN_UNTIL(fixture->loop, fixture->closes);
    assert_int_equal(fixture->code, code);
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void test_echo_of_all_lengths(void **state)
{
    struct fixture *fixture = *state;
    static char text[70000];
    const size_t lengths[] = {0, 1, 125, 126, 65535, 65536, sizeof text};
    memset(text, 'a', sizeof text);
    open_plain(fixture);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        send_frame(fixture, FIN | OPCODE_TEXT, STR_FROM(text, lengths[i]));
        TURN_UNTIL(fixture->loop, fixture->messages == (int)i + 1);
        assert_int_equal(fixture->last.len, lengths[i]);
        websocket_send(fixture->websocket, buf_str(&fixture->last));
        size_t header = lengths[i] < 126 ? 2 : lengths[i] < 65536 ? 4 : 10;
        TURN_UNTIL(fixture->loop, take_received(fixture) >= header + lengths[i]);
        assert_int_equal(fixture->received.len, header + lengths[i]);
        assert_int_equal((unsigned char)fixture->received.data[0], FIN | OPCODE_TEXT);
        assert_int_equal((unsigned char)fixture->received.data[1], header == 2   ? lengths[i]
                                                                   : header == 4 ? 126
                                                                                 : 127);
        buf_clear(&fixture->received);
    }
}

static void test_fragments_with_a_ping_between(void **state)
{
    struct fixture *fixture = *state;
    open_plain(fixture);
    send_frame(fixture, OPCODE_TEXT, STR("snow: \xe2\x98")); /* cut inside a character */
    send_frame(fixture, FIN | OPCODE_PING, STR("?"));
    send_frame(fixture, OPCODE_MORE, STR("\x83"));
    assert_int_equal(fixture->messages, 0);
    expect_raw(fixture, STR("\x8a\x01?"));
    send_frame(fixture, FIN | OPCODE_MORE, STR("!"));
    TURN_UNTIL(fixture->loop, fixture->messages);
    assert_int_equal(fixture->last.len, 10);
    assert_memory_equal(fixture->last.data, "snow: \xe2\x98\x83!", 10);
    send_frame(fixture, FIN | OPCODE_TEXT, STR("next"));
    TURN_UNTIL(fixture->loop, fixture->messages == 2);
    assert_memory_equal(fixture->last.data, "next", 4);
}

static void test_byte_by_byte(void **state)
{
    struct fixture *fixture = *state;
    struct buf bytes;
    buf_init(&bytes, 1000);
    open_plain(fixture);
    frame(&bytes, FIN | OPCODE_TEXT, STR("slow"));
    frame(&bytes, FIN | OPCODE_TEXT, STR("and steady"));
    for (size_t i = 0; i < bytes.len; i++) {
        send_raw(fixture, STR_FROM(bytes.data + i, 1));
        helper_turn(fixture->loop);
    }
    TURN_UNTIL(fixture->loop, fixture->messages == 2);
    assert_memory_equal(fixture->last.data, "and steady", 10);
    buf_done(&bytes);
}

static void test_early_bytes(void **state)
{
    struct fixture *fixture = *state;
    struct buf bytes;
    buf_init(&bytes, 1000);
    frame(&bytes, FIN | OPCODE_TEXT, STR("first"));
    frame(&bytes, FIN | OPCODE_TEXT, STR("second"));
    size_t half = bytes.len - 5;
    open_with(fixture, (struct websocket_options){0}, STR_FROM(bytes.data, half));
    assert_int_equal(fixture->messages, 0);
    send_raw(fixture, STR_FROM(bytes.data + half, 5));
    TURN_UNTIL(fixture->loop, fixture->messages == 2);
    assert_memory_equal(fixture->last.data, "second", 6);
    buf_done(&bytes);
}

static void test_too_big(void **state)
{
    struct fixture *fixture = *state;
    open_plain(fixture);
    /* Refused by its header; wslay tells of it with the first byte of the payload. */
    send_raw(fixture, STR("\x81\xff\x00\x00\x00\x00\x00\x01\x86\xa1\x01\x02\x03\x04!"));
    expect_failure(fixture, 1009);
}

static void test_too_big_in_fragments(void **state)
{
    struct fixture *fixture = *state;
    static char text[60000];
    memset(text, 'a', sizeof text);
    open_plain(fixture);
    send_frame(fixture, OPCODE_TEXT, STR_FROM(text, sizeof text));
    send_frame(fixture, OPCODE_MORE, STR_FROM(text, sizeof text));
    expect_failure(fixture, 1009);
}

static void test_violations(void **state)
{
    const struct {
        struct str bytes;
        uint16_t code;
    } rows[] = {
        {STR("\x81\x02hi"), 1002},                                       /* not masked */
        {STR("\xc1\x80\x01\x02\x03\x04"), 1002},                         /* a reserved bit */
        {STR("\x83\x80\x01\x02\x03\x04"), 1002},                         /* a reserved opcode */
        {STR("\x80\x80\x01\x02\x03\x04"), 1002},                         /* nothing to continue */
        {STR("\x09\x80\x01\x02\x03\x04"), 1002},                         /* a fragmented ping */
        {STR("\x89\xfe\x00\x7e\x01\x02\x03\x04"), 1002},                 /* a long ping */
        {STR("\x01\x80\x01\x02\x03\x04\x01\x80\x01\x02\x03\x04"), 1002}, /* text within text */
        {STR("\x81\xfe\x00\x01\x01\x02\x03\x04!"), 1002},    /* a length longer than need be */
        {STR("\x82\x80\x01\x02\x03\x04"), 1003},             /* binary */
        {STR("\x81\x82\x00\x00\x00\x00\xc0\x80"), 1007},     /* overlong */
        {STR("\x81\x83\x00\x00\x00\x00\xed\xa0\x80"), 1007}, /* a surrogate */
        {STR("\x81\x81\x00\x00\x00\x00\xe2"), 1007},         /* cut off at the end */
        {STR("\x88\x81\x00\x00\x00\x00\x03"), 1002},         /* half a close code */
        {STR("\x88\x82\x00\x00\x00\x00\x03\xed"), 1002},     /* 1005 is never sent */
        {STR("\x88\x83\x00\x00\x00\x00\x03\xe8\xff"), 1007}, /* the reason is not UTF-8 */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fixture *fixture = *state;
        open_plain(fixture);
        send_raw(fixture, rows[i].bytes);
        expect_failure(fixture, rows[i].code);
        teardown(state);
        setup(state);
    }
}

static void test_peer_closes(void **state)
{
    struct fixture *fixture = *state;
    open_plain(fixture);
    websocket_send(fixture->websocket, STR("last"));
    send_frame(fixture, FIN | OPCODE_CLOSE, STR("\x03\xe9gone"));
    expect_raw(fixture, STR("\x81\x04last\x88"));
    TURN_UNTIL(fixture->loop, take_received(fixture) >= 3);
    assert_memory_equal(fixture->received.data + 1, "\x03\xe9", 2);
    assert_int_equal(fixture->closes, 0);
    helper_close_fd(&fixture->client);
    TURN_UNTIL(fixture->loop, fixture->closes);
    assert_int_equal(fixture->code, 1001);
}

static void test_peer_closes_without_code(void **state)
{
    struct fixture *fixture = *state;
    open_plain(fixture);
    send_frame(fixture, FIN | OPCODE_CLOSE, STR(""));
    TURN_UNTIL(fixture->loop, take_received(fixture) >= 2);
    helper_close_fd(&fixture->client);
    TURN_UNTIL(fixture->loop, fixture->closes);
    assert_int_equal(fixture->code, 1005);
}

/* wslay checks the reason of a close frame only when it comes in one read. */
static void test_bad_reason_in_pieces(void **state)
{
    struct fixture *fixture = *state;
    const char bytes[] = "\x88\x89\0\0\0\0\x03\xe8\x88\x08\x0c\x8b\x8a\x8d\xe5";
    open_plain(fixture);
    for (size_t i = 0; i < sizeof bytes - 1; i++) {
        send_raw(fixture, STR_FROM(bytes + i, 1));
        helper_turn(fixture->loop);
    }
    expect_failure(fixture, 1007);
}

static void test_peer_leaves(void **state)
{
    struct fixture *fixture = *state;
    open_plain(fixture);
    helper_close_fd(&fixture->client);
    TURN_UNTIL(fixture->loop, fixture->closes);
    assert_int_equal(fixture->code, 1006);
}

static void test_we_close(void **state)
{
    struct fixture *fixture = *state;
    open_plain(fixture);
    websocket_close(fixture->websocket, 1012, "restart");
    websocket_close(fixture->websocket, 1000, "twice");
    websocket_send(fixture->websocket, STR("late"));
    expect_raw(fixture, STR("\x88\x09\x03\xf4restart"));
    send_frame(fixture, FIN | OPCODE_TEXT, STR("crossing"));
    send_frame(fixture, FIN | OPCODE_PING, STR(""));
    send_frame(fixture, FIN | OPCODE_CLOSE, STR("\x03\xf4"));
    char byte;
    TURN_UNTIL(fixture->loop, read(fixture->client, &byte, 1) == 0); /* nothing after our close */
    helper_close_fd(&fixture->client);
    TURN_UNTIL(fixture->loop, fixture->closes);
    assert_int_equal(fixture->code, 1012);
    assert_int_equal(fixture->messages, 0);
}

static void test_close_without_answer(void **state)
{
    struct fixture *fixture = *state;
    open_with(fixture, (struct websocket_options){.pong_timeout_ms = 20}, STR_NONE);
    char reason[201];
    memset(reason, 'r', sizeof reason);
    reason[200] = '\0';
    websocket_close(fixture->websocket, 1001, reason);
    TURN_UNTIL(fixture->loop, fixture->closes);
    assert_int_equal(fixture->code, 1001);
    assert_int_equal(take_received(fixture), 2 + 125);
}

static void test_liveness(void **state)
{
    struct fixture *fixture = *state;
    open_with(fixture, (struct websocket_options){.ping_interval_ms = 20, .pong_timeout_ms = 5000},
              STR_NONE);
    for (int i = 0; i < 3; i++) {
        expect_raw(fixture, STR("\x89\x00"));
        send_frame(fixture, FIN | OPCODE_PONG, STR(""));
        helper_turn(fixture->loop);
    }
    assert_int_equal(fixture->closes, 0);
}

static void test_no_pong(void **state)
{
    struct fixture *fixture = *state;
    open_with(fixture, (struct websocket_options){.ping_interval_ms = 10, .pong_timeout_ms = 10},
              STR_NONE);
    TURN_UNTIL(fixture->loop, fixture->closes);
    assert_int_equal(fixture->code, 1006);
    assert_int_equal(take_received(fixture), 2);
}

static void test_close_inside_message(void **state)
{
    struct fixture *fixture = *state;
    struct buf bytes;
    buf_init(&bytes, 1000);
    open_plain(fixture);
    fixture->close_inside = true;
    frame(&bytes, FIN | OPCODE_TEXT, STR("one"));
    frame(&bytes, FIN | OPCODE_TEXT, STR("two"));
    send_raw(fixture, buf_str(&bytes));
    buf_done(&bytes);
    expect_close_frame(fixture, 1000);
    assert_int_equal(fixture->messages, 1);
}

static void test_abort_inside_message(void **state)
{
    struct fixture *fixture = *state;
    struct buf bytes;
    buf_init(&bytes, 1000);
    fixture->abort_inside = true;
    frame(&bytes, FIN | OPCODE_TEXT, STR("one"));
    frame(&bytes, FIN | OPCODE_TEXT, STR("two"));
    open_with(fixture, (struct websocket_options){0}, buf_str(&bytes)); /* early, too */
    send_raw(fixture, buf_str(&bytes));
    buf_done(&bytes);
    TURN_UNTIL(fixture->loop, fixture->messages);
    helper_turn(fixture->loop);
    assert_int_equal(fixture->messages, 1);
    assert_int_equal(fixture->closes, 0);
}

/* A peer that pings and never reads makes us hold a bounded number of pongs. */
static void test_ping_flood(void **state)
{
    struct fixture *fixture = *state;
    static char payload[125];
    struct buf bytes;
    buf_init(&bytes, 1 << 20);
    for (int i = 0; i < 500; i++)
        frame(&bytes, FIN | OPCODE_PING, STR_FROM(payload, sizeof payload));
    open_plain(fixture);
    for (int i = 0; i < 40; i++) {
        send_raw(fixture, buf_str(&bytes));
        helper_turn(fixture->loop);
    }
    buf_done(&bytes);
    assert_true(websocket_pending_bytes(fixture->websocket) <
                STREAM_HIGH_BYTES + 2 * LOOP_READ_BYTES);
    assert_int_equal(fixture->closes, 0);
}

static void test_drain(void **state)
{
    struct fixture *fixture = *state;
    size_t size = 2 * 1024 * 1024;
    char *text = malloc(size);
    memset(text, 'a', size);
    open_plain(fixture);
    websocket_send(fixture->websocket, STR_FROM(text, size));
    free(text);
    helper_turn(fixture->loop);
    assert_int_equal(fixture->drains, 0);
    TURN_UNTIL(fixture->loop, take_received(fixture) == size + 10);
    TURN_UNTIL(fixture->loop, fixture->drains == 1);
    assert_int_equal(websocket_pending_bytes(fixture->websocket), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_echo_of_all_lengths),
        TEST(test_fragments_with_a_ping_between),
        TEST(test_byte_by_byte),
        TEST(test_early_bytes),
        TEST(test_too_big),
        TEST(test_too_big_in_fragments),
        TEST(test_violations),
        TEST(test_peer_closes),
        TEST(test_peer_closes_without_code),
        TEST(test_bad_reason_in_pieces),
        TEST(test_peer_leaves),
        TEST(test_we_close),
        TEST(test_close_without_answer),
        TEST(test_liveness),
        TEST(test_no_pong),
        TEST(test_close_inside_message),
        TEST(test_abort_inside_message),
        TEST(test_ping_flood),
        TEST(test_drain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
