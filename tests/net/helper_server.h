/* For tests of the HTTP client: a raw listening socket and its connections, driven by hand from the
 * test, turn by turn of the client's loop. */
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/un.h>

#include "helper_loop.h"

struct server {
    struct loop *loop;
    int fd;
    uint16_t port;
    char path[64]; /* of a Unix socket, or "" */
};

static inline void server_listen(struct server *server, struct loop *loop)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    *server = (struct server){.loop = loop, .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    assert_return_code(bind(server->fd, (struct sockaddr *)&address, length), errno);
    assert_return_code(listen(server->fd, 16), errno);
    assert_return_code(getsockname(server->fd, (struct sockaddr *)&address, &length), errno);
    server->port = ntohs(address.sin_port);
    helper_nonblock(server->fd);
}

static inline void server_listen_unix(struct server *server, struct loop *loop)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    *server = (struct server){.loop = loop, .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    snprintf(server->path, sizeof server->path, "/tmp/parley-test-%d.sock", (int)getpid());
    unlink(server->path);
    str_copy(str_from_cstr(server->path), address.sun_path, sizeof address.sun_path);
    assert_return_code(bind(server->fd, (struct sockaddr *)&address, sizeof address), errno);
    assert_return_code(listen(server->fd, 16), errno);
    helper_nonblock(server->fd);
}

static inline void server_close(struct server *server)
{
    helper_close_fd(&server->fd);
    if (server->path[0])
        unlink(server->path);
}

/* A connection that is waiting, or -1. */
static inline int server_try_accept(struct server *server)
{
    return accept4(server->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

/* Waits for a connection. */
static inline int server_accept(struct server *server)
{
    int fd;
    TURN_UNTIL(server->loop, (fd = server_try_accept(server)) >= 0);
    return fd;
}

static inline void server_send(struct server *server, int fd, struct str data)
{
    while (data.len) {
        ssize_t sent = send(fd, data.data, data.len, MSG_NOSIGNAL);
        if (sent > 0)
            data = str_skip(data, (size_t)sent);
        else
            assert_true(errno == EAGAIN);
        helper_turn(server->loop);
    }
}

/* What has arrived is appended; true once the peer has ended or reset. */
static inline bool server_read(int fd, struct buf *data)
{
    char room[65536];
    ssize_t got;
    while ((got = recv(fd, room, sizeof room, 0)) > 0)
        buf_append(data, STR_FROM(room, (size_t)got));
    return got == 0 || errno != EAGAIN;
}

/* Waits until `len` bytes have been read in all. */
static inline void server_read_bytes(struct server *server, int fd, struct buf *data, size_t len)
{
    TURN_UNTIL(server->loop, (server_read(fd, data), data->len >= len));
}

/* Waits for a request's head and `body_bytes` behind it. */
static inline void server_read_request(struct server *server, int fd, struct buf *data,
                                       size_t body_bytes)
{
    size_t end;
    buf_clear(data);
    TURN_UNTIL(server->loop, (server_read(fd, data),
                              (end = str_find(buf_str(data), STR("\r\n\r\n"))) != SIZE_MAX &&
                                  data->len >= end + 4 + body_bytes));
}

static inline void server_wait_end(struct server *server, int fd)
{
    struct buf ignored;
    buf_init(&ignored, 64 * 1024 * 1024);
    TURN_UNTIL(server->loop, server_read(fd, &ignored));
    buf_done(&ignored);
}

/* The next close(fd) sends a reset. */
static inline void server_reset(int *fd)
{
    struct linger linger = {.l_onoff = 1};
    setsockopt(*fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    helper_close_fd(fd);
}
