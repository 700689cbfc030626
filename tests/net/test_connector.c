/* The connector: the race over addresses, the deadline, Unix sockets, tunnels. */
#include "helper_server.h"

#include "net/connector.h"

struct fixture {
    struct loop *loop;
    struct resolver *resolver;
    struct server server;
    struct buf data;
    struct connector *connector;
    struct stream *stream;
    int connects, failures;
    struct error error;
};

static void on_connected(void *user, struct stream *stream)
{
    static const struct stream_events nothing = {0};
    struct fixture *fixture = user;
    fixture->connects++;
    fixture->stream = stream;
    stream_set_events(stream, &nothing, NULL);
}

static void on_failed(void *user, const struct error *error)
{
    struct fixture *fixture = user;
    fixture->failures++;
    fixture->error = *error;
}

static const struct connector_events events = {on_connected, on_failed};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture->loop = loop_new(0, NULL);
    fixture->resolver = resolver_new(fixture->loop, 1000);
    server_listen(&fixture->server, fixture->loop);
    buf_init(&fixture->data, 65536);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    assert_true(fixture->connects + fixture->failures <= 1);
    if (fixture->stream)
        stream_abort(fixture->stream);
    resolver_free(fixture->resolver);
    server_close(&fixture->server);
    loop_free(fixture->loop);
    buf_done(&fixture->data);
    free(fixture);
    return 0;
}

static void start(struct fixture *fixture, const struct connector_target *target,
                  uint64_t timeout_ms)
{
    fixture->connector =
        connector_start(fixture->loop, fixture->resolver, target, timeout_ms, &events, fixture);
    assert_int_equal(fixture->connects + fixture->failures, 0);
}

/* many.example has these addresses, all with the port that is asked for. */
static void pin(struct fixture *fixture, const char *const *texts, size_t count)
{
    struct resolver_addresses addresses = {.count = count};
    for (size_t i = 0; i < count; i++)
        assert_true(resolver_parse_literal(str_from_cstr(texts[i]), &addresses.items[i]));
    resolver_pin(fixture->resolver, STR("many.example"), &addresses);
}

static struct connector_target target_of(const struct fixture *fixture, const char *host)
{
    return (struct connector_target){.host = str_from_cstr(host), .port = fixture->server.port};
}

static void test_plain(void **state)
{
    struct fixture *fixture = *state;
    struct connector_target target = target_of(fixture, "127.0.0.1");
    start(fixture, &target, 5000);
    TURN_UNTIL(fixture->loop, fixture->connects);
    int fd = server_accept(&fixture->server);
    assert_string_equal(stream_peer_address(fixture->stream), "127.0.0.1");
    helper_close_fd(&fd);
}

/* Nobody listens on the other loopback addresses: each refusal leads to the next at once. */
static void test_race_past_refusals(void **state)
{
    struct fixture *fixture = *state;
    static const char *const addresses[] = {"127.0.0.2", "::1", "127.0.0.3", "127.0.0.1"};
    pin(fixture, addresses, 4);
    struct connector_target target = target_of(fixture, "many.example");
    start(fixture, &target, 5000);
    uint64_t begin = clock_monotonic_ms();
    TURN_UNTIL(fixture->loop, fixture->connects);
    assert_true(clock_monotonic_ms() - begin < 3 * CONNECTOR_STAGGER_MS);
    assert_string_equal(stream_peer_address(fixture->stream), "127.0.0.1");
}

static void test_all_refuse(void **state)
{
    struct fixture *fixture = *state;
    static const char *const addresses[] = {"127.0.0.2", "127.0.0.3", "127.0.0.4"};
    pin(fixture, addresses, 3);
    struct connector_target target = target_of(fixture, "many.example");
    start(fixture, &target, 5000);
    TURN_UNTIL(fixture->loop, fixture->failures);
    assert_int_equal(fixture->error.code, ERR_NETWORK);
    assert_non_null(strstr(fixture->error.message, "many.example"));
    assert_non_null(strstr(fixture->error.message, "connecting"));
    assert_non_null(strstr(fixture->error.message, "refused"));
}

/* A port whose queue of connections is full answers nothing: a silent address. Linux lets one more
 * in than the backlog says, then drops what comes. */
static void fill_queue(struct server *server, int fds[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(server->port),
                                  .sin_addr.s_addr = inet_addr("127.0.0.9")};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_return_code(bind(fd, (struct sockaddr *)&address, sizeof address), errno);
    assert_return_code(listen(fd, 0), errno);
    fds[0] = fd;
    fds[1] = socket(AF_INET, SOCK_STREAM, 0);
    assert_return_code(connect(fds[1], (struct sockaddr *)&address, sizeof address), errno);
}

static void test_silent_address_is_overtaken(void **state)
{
    struct fixture *fixture = *state;
    static const char *const addresses[] = {"127.0.0.9", "127.0.0.1"};
    int fds[2];
    fill_queue(&fixture->server, fds);
    pin(fixture, addresses, 2);
    struct connector_target target = target_of(fixture, "many.example");
    start(fixture, &target, 5000);
    TURN_UNTIL(fixture->loop, fixture->connects);
    assert_string_equal(stream_peer_address(fixture->stream), "127.0.0.1");
    close(fds[0]);
    close(fds[1]);
}

static void test_deadline_while_connecting(void **state)
{
    struct fixture *fixture = *state;
    int fds[2];
    fill_queue(&fixture->server, fds);
    struct connector_target target = target_of(fixture, "127.0.0.9");
    start(fixture, &target, 30);
    TURN_UNTIL(fixture->loop, fixture->failures);
    assert_int_equal(fixture->error.code, ERR_TIMEOUT);
    assert_non_null(strstr(fixture->error.message, "connect timeout"));
    close(fds[0]);
    close(fds[1]);
}

static void test_unix(void **state)
{
    struct fixture *fixture = *state;
    server_close(&fixture->server);
    server_listen_unix(&fixture->server, fixture->loop);
    struct connector_target target = {.unix_path = str_from_cstr(fixture->server.path)};
    start(fixture, &target, 5000);
    TURN_UNTIL(fixture->loop, fixture->connects);
    assert_string_equal(stream_peer_address(fixture->stream), "unix");
}

static void test_unix_absent(void **state)
{
    struct fixture *fixture = *state;
    struct connector_target target = {.unix_path = STR("/tmp/parley-test-absent.sock")};
    start(fixture, &target, 5000);
    TURN_UNTIL(fixture->loop, fixture->failures);
    assert_int_equal(fixture->error.code, ERR_NETWORK);
}

static void test_cancel_in_every_phase(void **state)
{
    struct fixture *fixture = *state;
    static const char *const addresses[] = {"127.0.0.2", "127.0.0.1"};
    pin(fixture, addresses, 2);
    struct http_proxy proxy = {.host = STR("127.0.0.1"), .port = fixture->server.port};
    struct connector_target target = target_of(fixture, "many.example");
    for (int turns = 0; turns < 3; turns++) { /* resolving, racing */
        start(fixture, &target, 5000);
        for (int i = 0; i < turns && !fixture->connects; i++)
            helper_turn(fixture->loop);
        if (!fixture->connects)
            connector_cancel(fixture->connector);
        else if (fixture->stream)
            stream_abort(fixture->stream);
        fixture->stream = NULL;
        fixture->connects = 0;
        int fd = server_try_accept(&fixture->server);
        helper_close_fd(&fd);
    }
    target.proxy = &proxy;
    target.tunnel = true;
    start(fixture, &target, 5000);
    int fd = server_accept(&fixture->server);
    server_read_request(&fixture->server, fd, &fixture->data, 0);
    connector_cancel(fixture->connector); /* asking the proxy */
    server_wait_end(&fixture->server, fd);
    assert_int_equal(fixture->connects + fixture->failures, 0);
    helper_close_fd(&fd);
}

/* Starts a tunnel; the proxy's end of it is returned once it has read the CONNECT. */
static int start_tunnel(struct fixture *fixture, const struct http_proxy *proxy, const char *host,
                        uint64_t timeout_ms)
{
    struct connector_target target = {
        .host = str_from_cstr(host), .port = 443, .proxy = proxy, .tunnel = true};
    start(fixture, &target, timeout_ms);
    int fd = server_accept(&fixture->server);
    server_read_request(&fixture->server, fd, &fixture->data, 0);
    return fd;
}

static void test_tunnel(void **state)
{
    struct fixture *fixture = *state;
    struct http_proxy proxy = {
        .host = STR("127.0.0.1"), .port = fixture->server.port, .authorization = STR("Basic eDp5")};
    int fd = start_tunnel(fixture, &proxy, "api.example", 5000);
    assert_true(str_eq(buf_str(&fixture->data),
                       STR("CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\n"
                           "Proxy-Authorization: Basic eDp5\r\n\r\n")));
    server_send(&fixture->server, fd, STR("HTTP/1.1 200 Connec"));
    assert_int_equal(fixture->connects, 0);
    server_send(&fixture->server, fd, STR("tion established\r\nX: y\r\n\r\n"));
    TURN_UNTIL(fixture->loop, fixture->connects);
    helper_close_fd(&fd);
}

static void test_tunnel_to_ipv6(void **state)
{
    struct fixture *fixture = *state;
    struct http_proxy proxy = {.host = STR("127.0.0.1"), .port = fixture->server.port};
    int fd = start_tunnel(fixture, &proxy, "2001:db8::1", 5000);
    assert_true(str_eq(buf_str(&fixture->data), STR("CONNECT [2001:db8::1]:443 HTTP/1.1\r\n"
                                                    "Host: [2001:db8::1]:443\r\n\r\n")));
    helper_close_fd(&fd);
    TURN_UNTIL(fixture->loop, fixture->failures);
}

static void test_tunnel_deadline(void **state)
{
    struct fixture *fixture = *state;
    struct http_proxy proxy = {.host = STR("127.0.0.1"), .port = fixture->server.port};
    int fd = start_tunnel(fixture, &proxy, "api.example", 40);
    TURN_UNTIL(fixture->loop, fixture->failures);
    assert_int_equal(fixture->error.code, ERR_TIMEOUT);
    assert_non_null(strstr(fixture->error.message, "asking the proxy"));
    helper_close_fd(&fd);
}

static void check_tunnel_fails(struct fixture *fixture, const char *reply)
{
    struct http_proxy proxy = {.host = STR("127.0.0.1"),
                               .port = fixture->server.port,
                               .authorization = STR("Basic c2VjcmV0")};
    int fd = start_tunnel(fixture, &proxy, "api.example", 5000);
    server_send(&fixture->server, fd, str_from_cstr(reply));
    helper_close_fd(&fd);
    TURN_UNTIL(fixture->loop, fixture->failures);
    assert_int_equal(fixture->error.code, ERR_NETWORK);
    assert_non_null(strstr(fixture->error.message, "api.example"));
    assert_non_null(strstr(fixture->error.message, "proxy"));
    assert_null(strstr(fixture->error.message, "c2VjcmV0"));
    fixture->failures = 0;
}

static void test_tunnel_refused(void **state)
{
    struct fixture *fixture = *state;
    check_tunnel_fails(fixture, "HTTP/1.1 407 Who\r\nContent-Length: 3\r\n\r\nno!");
    assert_non_null(strstr(fixture->error.message, "password"));
    check_tunnel_fails(fixture, "HTTP/1.1 403 No\r\n\r\n");
    check_tunnel_fails(fixture, "HTTP/1.1 200 OK\r\n\r\nearly");
    check_tunnel_fails(fixture, "SSH-2.0\r\n");
    check_tunnel_fails(fixture, "HTTP/1.1 200 O");
    check_tunnel_fails(fixture, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_plain, setup, teardown),
        cmocka_unit_test_setup_teardown(test_race_past_refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_all_refuse, setup, teardown),
        cmocka_unit_test_setup_teardown(test_silent_address_is_overtaken, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deadline_while_connecting, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unix, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unix_absent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancel_in_every_phase, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tunnel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tunnel_to_ipv6, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tunnel_deadline, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tunnel_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
