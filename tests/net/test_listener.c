/* Listeners: sharing a port, probing it, Unix sockets and their files, closing without a loss. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "helper_loop.h"
#include "net/listener.h"

struct fixture {
    struct loop *loop;
    struct listener *listener, *second;
    int accepted, accepted_second;
    int last_fd;
    bool close_inside;
    char folder[64];
    char path[96];
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture->loop = loop_new(0, NULL);
    fixture->last_fd = -1;
    strcpy(fixture->folder, "/tmp/parley-test-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    snprintf(fixture->path, sizeof fixture->path, "%s/socket", fixture->folder);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    listener_close(fixture->listener);
    listener_close(fixture->second);
    loop_free(fixture->loop);
    helper_close_fd(&fixture->last_fd);
    unlink(fixture->path);
    assert_return_code(rmdir(fixture->folder), errno);
    free(fixture);
    return 0;
}

static void on_accept(void *user, int fd)
{
    struct fixture *fixture = user;
    helper_close_fd(&fixture->last_fd);
    fixture->last_fd = fd;
    fixture->accepted++;
    if (fixture->close_inside) {
        listener_close(fixture->listener);
        fixture->listener = NULL;
    }
}

static void on_accept_second(void *user, int fd)
{
    struct fixture *fixture = user;
    fixture->accepted_second++;
    close(fd);
}

static int connect_to(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int failure = connect(fd, (struct sockaddr *)&address, sizeof address);
    int number = errno;
    if (!failure)
        return fd;
    close(fd);
    errno = number;
    return -1;
}

static int connect_to_path(const char *path)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, path);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    close(fd);
    return -1;
}

static uint16_t listen_somewhere(struct fixture *fixture)
{
    uint16_t port = 0;
    assert_int_equal(listener_probe("127.0.0.1", 0, &port, NULL), ERR_OK);
    assert_int_not_equal(port, 0);
    assert_int_equal(listener_new_tcp(fixture->loop, "127.0.0.1", port, on_accept, fixture,
                                      &fixture->listener, NULL),
                     ERR_OK);
    return port;
}

static void test_accept(void **state)
{
    struct fixture *fixture = *state;
    int client = connect_to(listen_somewhere(fixture));
    assert_return_code(client, errno);
    TURN_UNTIL(fixture->loop, fixture->accepted);
    assert_int_equal(write(client, "x", 1), 1);
    char c;
    assert_int_equal(read(fixture->last_fd, &c, 1), 1);
    assert_int_equal(fcntl(fixture->last_fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    assert_int_equal(fcntl(fixture->last_fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    close(client);
}

static void test_two_share_a_port(void **state)
{
    struct fixture *fixture = *state;
    uint16_t port = listen_somewhere(fixture);
    assert_int_equal(listener_new_tcp(fixture->loop, "127.0.0.1", port, on_accept_second, fixture,
                                      &fixture->second, NULL),
                     ERR_OK);
    int clients[32];
    for (int i = 0; i < 32; i++)
        clients[i] = connect_to(port);
    TURN_UNTIL(fixture->loop, fixture->accepted + fixture->accepted_second == 32);
    assert_true(fixture->accepted > 0 && fixture->accepted_second > 0);
    for (int i = 0; i < 32; i++)
        close(clients[i]);
}

static void test_probe_sees_who_listens(void **state)
{
    struct fixture *fixture = *state;
    uint16_t port = listen_somewhere(fixture), again = 7;
    struct error error;
    assert_int_equal(listener_probe("127.0.0.1", port, &again, &error), ERR_CONFLICT);
    assert_int_equal(again, 7);
    assert_non_null(strstr(error.message, "127.0.0.1"));
    assert_string_not_equal(error_remedy_text(&error), "");
    assert_int_equal(listener_probe("not a host", port, &again, &error), ERR_INVALID);
    assert_int_equal(listener_probe("192.0.2.1", port, &again, &error), ERR_NETWORK);
}

/* Connections that had reached the kernel's queue are handed up, then nobody gets in. */
static void test_close_drains(void **state)
{
    struct fixture *fixture = *state;
    uint16_t port = listen_somewhere(fixture);
    int clients[8];
    for (int i = 0; i < 8; i++) {
        clients[i] = connect_to(port);
        assert_return_code(clients[i], errno);
    }
    assert_int_equal(fixture->accepted, 0);
    listener_close(fixture->listener);
    fixture->listener = NULL;
    assert_int_equal(fixture->accepted, 8);
    assert_int_equal(connect_to(port), -1);
    assert_int_equal(errno, ECONNREFUSED);
    for (int i = 0; i < 8; i++)
        close(clients[i]);
}

static void test_close_inside_accept(void **state)
{
    struct fixture *fixture = *state;
    uint16_t port = listen_somewhere(fixture);
    int first = connect_to(port), second = connect_to(port);
    fixture->close_inside = true;
    TURN_UNTIL(fixture->loop, fixture->accepted == 2);
    helper_turn(fixture->loop);
    close(first);
    close(second);
}

/* No descriptors left: it neither spins nor gives up. */
static void test_shortage(void **state)
{
    struct fixture *fixture = *state;
    int client = connect_to(listen_somewhere(fixture));
    struct rlimit limit, tight;
    getrlimit(RLIMIT_NOFILE, &limit);
    tight = limit;
    tight.rlim_cur = 0;
    setrlimit(RLIMIT_NOFILE, &tight);
    for (int i = 0; i < 5; i++)
        helper_turn(fixture->loop);
    setrlimit(RLIMIT_NOFILE, &limit);
    assert_int_equal(fixture->accepted, 0);
    TURN_UNTIL(fixture->loop, fixture->accepted == 1);
    close(client);
}

static void test_unix(void **state)
{
    struct fixture *fixture = *state;
    mode_t mask = umask(077);
    assert_int_equal(listener_new_unix(fixture->loop, fixture->path, 0660, on_accept, fixture,
                                       &fixture->listener, NULL),
                     ERR_OK);
    umask(mask);
    struct stat found;
    assert_return_code(stat(fixture->path, &found), errno);
    assert_int_equal(found.st_mode & 07777, 0660);
    int client = connect_to_path(fixture->path);
    assert_return_code(client, errno);
    TURN_UNTIL(fixture->loop, fixture->accepted);
    close(client);
    listener_close(fixture->listener);
    fixture->listener = NULL;
    assert_int_equal(stat(fixture->path, &found), -1);
}

static void test_unix_replaces_the_dead(void **state)
{
    struct fixture *fixture = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, fixture->path);
    int dead = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_return_code(bind(dead, (struct sockaddr *)&address, sizeof address), errno);
    close(dead);
    assert_int_equal(listener_new_unix(fixture->loop, fixture->path, 0600, on_accept, fixture,
                                       &fixture->listener, NULL),
                     ERR_OK);
    struct error error;
    assert_int_equal(listener_new_unix(fixture->loop, fixture->path, 0600, on_accept, fixture,
                                       &fixture->second, &error),
                     ERR_CONFLICT);
    assert_null(fixture->second);
    assert_non_null(strstr(error.message, "/socket"));
}

static void test_unix_spares_other_files(void **state)
{
    struct fixture *fixture = *state;
    int file = open(fixture->path, O_CREAT | O_WRONLY, 0600);
    assert_int_equal(write(file, "precious", 8), 8);
    close(file);
    assert_int_equal(listener_new_unix(fixture->loop, fixture->path, 0600, on_accept, fixture,
                                       &fixture->listener, NULL),
                     ERR_CONFLICT);
    struct stat found;
    assert_return_code(stat(fixture->path, &found), errno);
    assert_int_equal(found.st_size, 8);
    char nowhere[160], too_long[200];
    snprintf(nowhere, sizeof nowhere, "%s/none/socket", fixture->folder);
    assert_int_equal(listener_new_unix(fixture->loop, nowhere, 0600, on_accept, fixture,
                                       &fixture->listener, NULL),
                     ERR_NETWORK);
    memset(too_long, 'x', sizeof too_long);
    too_long[sizeof too_long - 1] = '\0';
    assert_int_equal(listener_new_unix(fixture->loop, too_long, 0600, on_accept, fixture,
                                       &fixture->listener, NULL),
                     ERR_INVALID);
}

/* A file that another program has put there meanwhile is not ours to remove. */
static void test_unix_close_spares_a_successor(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(listener_new_unix(fixture->loop, fixture->path, 0600, on_accept, fixture,
                                       &fixture->listener, NULL),
                     ERR_OK);
    char other[128];
    snprintf(other, sizeof other, "%s.other", fixture->path);
    close(open(other, O_CREAT | O_WRONLY, 0600));
    assert_return_code(rename(other, fixture->path), errno);
    listener_close(fixture->listener);
    fixture->listener = NULL;
    assert_return_code(access(fixture->path, F_OK), errno);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_accept),
        TEST(test_two_share_a_port),
        TEST(test_probe_sees_who_listens),
        TEST(test_close_drains),
        TEST(test_close_inside_accept),
        TEST(test_shortage),
        TEST(test_unix),
        TEST(test_unix_replaces_the_dead),
        TEST(test_unix_spares_other_files),
        TEST(test_unix_close_spares_a_successor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
