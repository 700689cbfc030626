/* TLS between two streams of one loop, with certificates made here: whom it trusts, whom it does
 * not, and how it tells an end from a cut. */
#include "helper_certificate.h"
#include "net/tls_session.h"

struct fixture {
    struct helper_authority authority;
    struct loop *loop;
    struct tls_context *server_context, *client_context;
    struct heard server, client;
    int client_fd; /* a duplicate, to do to the socket what a stream would not */
};

enum { HOUR = 3600 };

static struct tls_context *server_context(struct fixture *fixture, const char *name)
{
    char certificate_name[64], key_name[64], certificate[PATH_MAX], key[PATH_MAX];
    snprintf(certificate_name, sizeof certificate_name, "%s.pem", name);
    snprintf(key_name, sizeof key_name, "%s.key", name);
    struct tls_context *context = NULL;
    struct error error = {0};
    enum err code =
        tls_context_new_server(helper_path(&fixture->authority, certificate_name, certificate),
                               helper_path(&fixture->authority, key_name, key), &context, &error);
    assert_string_equal(error.message, "");
    assert_int_equal(code, ERR_OK);
    return context;
}

static int setup(void **state)
{
    char path[PATH_MAX];
    struct fixture *fixture = calloc(1, sizeof *fixture);
    *state = fixture;
    helper_authority_init(&fixture->authority);
    helper_issue(&fixture->authority, "good", "DNS:good.test,DNS:*.wild.test,IP:127.0.0.1", -HOUR,
                 HOUR);
    fixture->loop = loop_new(0, NULL);
    fixture->client_fd = -1;
    heard_init(&fixture->server);
    heard_init(&fixture->client);
    fixture->server_context = server_context(fixture, "good");
    assert_int_equal(tls_context_new_client(helper_path(&fixture->authority, "ca.pem", path),
                                            &fixture->client_context, NULL),
                     ERR_OK);
    return 0;
}

static void heard_done(struct heard *heard)
{
    if (heard->stream && !heard->closes)
        stream_abort(heard->stream);
    buf_done(&heard->data);
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    heard_done(&fixture->server);
    heard_done(&fixture->client);
    tls_context_unref(fixture->server_context);
    tls_context_unref(fixture->client_context);
    helper_close_fd(&fixture->client_fd);
    loop_free(fixture->loop);
    helper_authority_done(&fixture->authority);
    free(fixture);
    return 0;
}

static void use_server_certificate(struct fixture *fixture, const char *name)
{
    tls_context_unref(fixture->server_context);
    fixture->server_context = server_context(fixture, name);
}

static void open_server(struct fixture *fixture, int *ret_client_fd)
{
    int fds[2];
    assert_return_code(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), errno);
    fixture->server.stream = stream_accept(fixture->loop, fds[0], fixture->server_context,
                                           &heard_events, &fixture->server);
    fixture->client_fd = dup(fds[1]);
    *ret_client_fd = fds[1];
}

/* The client begins as a plain stream, as behind a proxy. */
static void start(struct fixture *fixture, const char *server_name)
{
    int fd;
    open_server(fixture, &fd);
    fixture->client.stream =
        stream_accept(fixture->loop, fd, NULL, &heard_events, &fixture->client);
    TURN_UNTIL(fixture->loop, fixture->client.opens);
    fixture->client.opens = 0;
    stream_start_tls(fixture->client.stream, fixture->client_context, server_name);
}

static void start_well(struct fixture *fixture)
{
    start(fixture, "good.test");
    TURN_UNTIL(fixture->loop, fixture->client.opens && fixture->server.opens);
}

static void expect_refusal(struct fixture *fixture, const char *server_name, const char *reason)
{
    start(fixture, server_name);
    TURN_UNTIL(fixture->loop, fixture->client.closes && fixture->server.closes);
    assert_int_equal(fixture->client.opens, 0);
    assert_int_equal(fixture->client.code, ERR_NETWORK);
    assert_int_equal(fixture->server.code, ERR_NETWORK);
    if (!strstr(fixture->client.detail, reason))
        fail_msg("expected \"%s\" in \"%s\"", reason, fixture->client.detail);
}

static void test_talk_and_end(void **state)
{
    struct fixture *fixture = *state;
    start_well(fixture);
    assert_true(stream_is_tls(fixture->client.stream));
    stream_write(fixture->client.stream, "question", 8);
    TURN_UNTIL(fixture->loop, fixture->server.data.len == 8);
    stream_write(fixture->server.stream, "answer", 6);
    stream_close(fixture->server.stream);
    TURN_UNTIL(fixture->loop, fixture->client.ends);
    assert_memory_equal(fixture->client.data.data, "answer", 6);
    assert_int_equal(fixture->client.closes, 0);
    stream_close(fixture->client.stream);
    helper_close_fd(&fixture->client_fd);
    TURN_UNTIL(fixture->loop, fixture->client.closes && fixture->server.closes);
    assert_int_equal(fixture->client.code, ERR_OK);
    assert_int_equal(fixture->server.code, ERR_OK);
}

static void test_names(void **state)
{
    struct fixture *fixture = *state;
    const char *names[] = {"127.0.0.1", "a.wild.test", "GOOD.test"};
    for (size_t i = 0; i < 3; i++) {
        start(fixture, names[i]);
        TURN_UNTIL(fixture->loop, fixture->client.opens && fixture->server.opens);
        heard_done(&fixture->server);
        heard_done(&fixture->client);
        heard_init(&fixture->server);
        heard_init(&fixture->client);
        helper_close_fd(&fixture->client_fd);
    }
}

static void test_wrong_name(void **state)
{
    expect_refusal(*state, "bad.test", "hostname mismatch");
}

static void test_wrong_address(void **state)
{
    expect_refusal(*state, "127.0.0.2", "IP address mismatch");
}

static void test_expired(void **state)
{
    struct fixture *fixture = *state;
    helper_issue(&fixture->authority, "expired", "DNS:good.test", -2 * HOUR, -HOUR);
    use_server_certificate(fixture, "expired");
    expect_refusal(fixture, "good.test", "expired");
}

static void test_untrusted(void **state)
{
    struct fixture *fixture = *state;
    struct helper_authority ours = fixture->authority;
    helper_authority_init(&fixture->authority);
    helper_issue(&fixture->authority, "good", "DNS:good.test", -HOUR, HOUR);
    use_server_certificate(fixture, "good");
    helper_authority_done(&fixture->authority);
    fixture->authority = ours;
    expect_refusal(fixture, "good.test", "certificate");
}

static void test_no_name_is_refused(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, "");
    TURN_UNTIL(fixture->loop, fixture->client.closes);
    assert_int_equal(fixture->client.code, ERR_NETWORK);
}

/* The peer's side ends without close_notify: never taken for an orderly end. */
static void test_truncation(void **state)
{
    struct fixture *fixture = *state;
    start_well(fixture);
    stream_write(fixture->client.stream, "half", 4);
    TURN_UNTIL(fixture->loop, fixture->server.data.len == 4);
    shutdown(fixture->client_fd, SHUT_WR);
    TURN_UNTIL(fixture->loop, fixture->server.closes);
    assert_int_equal(fixture->server.code, ERR_NETWORK);
    assert_int_equal(fixture->server.ends, 0);
    assert_non_null(strstr(fixture->server.detail, "close_notify"));
}

static void test_leaving_in_handshake(void **state)
{
    struct fixture *fixture = *state;
    int fd;
    open_server(fixture, &fd);
    close(fd);
    helper_close_fd(&fixture->client_fd);
    TURN_UNTIL(fixture->loop, fixture->server.closes);
    assert_int_equal(fixture->server.code, ERR_NETWORK);
    assert_int_equal(fixture->server.opens, 0);
}

static void test_not_tls(void **state)
{
    struct fixture *fixture = *state;
    int fd;
    open_server(fixture, &fd);
    assert_int_equal(write(fd, "GET / HTTP/1.1\r\n\r\n", 18), 18);
    TURN_UNTIL(fixture->loop, fixture->server.closes);
    assert_int_equal(fixture->server.code, ERR_NETWORK);
    assert_non_null(strstr(fixture->server.detail, "http request"));
    close(fd);
}

/* Records that are damaged on the way end the stream; nothing of them is delivered. */
static void test_damaged_record(void **state)
{
    struct fixture *fixture = *state;
    start_well(fixture);
    const char record[] = "\x17\x03\x03\x00\x20garbagegarbagegarbagegarbage1234";
    assert_int_equal(write(fixture->client_fd, record, sizeof record - 1), sizeof record - 1);
    TURN_UNTIL(fixture->loop, fixture->server.closes);
    assert_int_equal(fixture->server.datas, 0);
    assert_int_equal(fixture->server.code, ERR_NETWORK);
}

static void test_much_data_early_close(void **state)
{
    struct fixture *fixture = *state;
    size_t size = 3 * 1024 * 1024 + 5;
    char *block = malloc(size);
    for (size_t i = 0; i < size; i++)
        block[i] = (char)(i * 7 + (i >> 11));
    start(fixture, "good.test");
    stream_write(fixture->server.stream, block, size); /* before the handshake is done */
    stream_close(fixture->server.stream);
    TURN_UNTIL(fixture->loop, fixture->client.ends);
    assert_int_equal(fixture->client.data.len, size);
    assert_memory_equal(fixture->client.data.data, block, size);
    free(block);
}

static void pause_in_data(void *user, char *data, size_t len)
{
    struct heard *heard = user;
    heard_data(user, data, len);
    stream_pause(heard->stream);
}

static void test_pause_between_records(void **state)
{
    struct fixture *fixture = *state;
    start_well(fixture);
    struct stream_events events = heard_events;
    events.on_data = pause_in_data;
    stream_set_events(fixture->client.stream, &events, &fixture->client);
    char block[40 * 1024] = {0}; /* three records */
    stream_write(fixture->server.stream, block, sizeof block);
    stream_close(fixture->server.stream);
    TURN_UNTIL(fixture->loop, fixture->client.datas == 1);
    for (int i = 0; i < 5; i++)
        helper_turn(fixture->loop);
    assert_int_equal(fixture->client.datas, 1);
    for (int i = 2; i <= 3; i++) {
        stream_resume(fixture->client.stream);
        assert_int_equal(fixture->client.datas, i - 1); /* not from inside the call */
        TURN_UNTIL(fixture->loop, fixture->client.datas == i);
    }
    assert_int_equal(fixture->client.data.len, sizeof block);
    assert_int_equal(fixture->client.ends, 0);
    stream_resume(fixture->client.stream);
    TURN_UNTIL(fixture->loop, fixture->client.ends);
}

static void test_wrong_files(void **state)
{
    struct fixture *fixture = *state;
    char good[PATH_MAX], key[PATH_MAX], other[PATH_MAX], missing[PATH_MAX];
    helper_issue(&fixture->authority, "other", "DNS:other.test", -HOUR, HOUR);
    helper_path(&fixture->authority, "good.pem", good);
    helper_path(&fixture->authority, "good.key", key);
    helper_path(&fixture->authority, "other.key", other);
    helper_path(&fixture->authority, "missing.pem", missing);
    struct tls_context *context = NULL;
    struct error error;
    assert_int_equal(tls_context_new_server(missing, key, &context, &error), ERR_INVALID);
    assert_non_null(strstr(error.message, "missing.pem: cannot be read"));
    assert_int_equal(tls_context_new_server(good, other, &context, &error), ERR_INVALID);
    assert_non_null(strstr(error.message, "other.key: key values mismatch"));
    assert_int_equal(tls_context_new_server(key, key, &context, &error), ERR_INVALID);
    assert_non_null(strstr(error.message, "TLS certificate"));
    assert_int_equal(tls_context_new_client(missing, &context, &error), ERR_INVALID);
    assert_null(context);
    tls_context_unref(NULL);
    assert_null(tls_context_ref(NULL));
}

/* Roots that are no PEM fail every connection, not the program. */
static void test_roots_that_are_none(void **state)
{
    struct fixture *fixture = *state;
    char path[PATH_MAX];
    tls_context_unref(fixture->client_context);
    assert_int_equal(tls_context_new_client(helper_path(&fixture->authority, "good.key", path),
                                            &fixture->client_context, NULL),
                     ERR_OK);
    start(fixture, "good.test");
    TURN_UNTIL(fixture->loop, fixture->client.closes);
    assert_int_equal(fixture->client.code, ERR_NETWORK);
    assert_non_null(strstr(fixture->client.detail, "roots"));
}

static void test_only_tls_1_2_and_up(void **state)
{
    struct fixture *fixture = *state;
    SSL_CTX *context = tls_context_ssl(fixture->client_context);
    assert_int_equal(SSL_CTX_get_min_proto_version(context), TLS1_2_VERSION);
    SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
    start_well(fixture);
    SSL_CTX_set_min_proto_version(context, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(context, TLS1_1_VERSION);
    heard_done(&fixture->server);
    heard_done(&fixture->client);
    heard_init(&fixture->server);
    heard_init(&fixture->client);
    helper_close_fd(&fixture->client_fd);
    start(fixture, "good.test");
    TURN_UNTIL(fixture->loop, fixture->client.closes);
    assert_int_equal(fixture->client.code, ERR_NETWORK);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_talk_and_end),
        TEST(test_names),
        TEST(test_wrong_name),
        TEST(test_wrong_address),
        TEST(test_expired),
        TEST(test_untrusted),
        TEST(test_no_name_is_refused),
        TEST(test_truncation),
        TEST(test_leaving_in_handshake),
        TEST(test_not_tls),
        TEST(test_damaged_record),
        TEST(test_much_data_early_close),
        TEST(test_pause_between_records),
        TEST(test_wrong_files),
        TEST(test_roots_that_are_none),
        TEST(test_only_tls_1_2_and_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
