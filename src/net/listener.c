/* Listener: bound sockets whose connections are handed up as plain descriptors.
 *
 * TCP listeners share their port by SO_REUSEPORT, one per loop; the kernel spreads the connections.
 * accept4 on uv_poll, because a descriptor is all that is wanted. When the process has no
 * descriptor left the listener rests for a moment: the queue would stay readable and keep the loop
 * spinning. */
#include "net/listener.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/assert.h"

enum {
    BACKLOG = 4096,         /* the kernel cuts it to net.core.somaxconn */
    ACCEPTS_PER_TURN = 256, /* then the connections there are have their turn */
    ACCEPTS_AT_CLOSE = 2 * BACKLOG,
    REST_MS = 100
};

struct listener {
    uv_poll_t poll;
    struct loop *loop;
    listener_accept_fn *on_accept;
    void *user;
    struct loop_timer rest;
    int fd;
    bool closed;
    char *path; /* Unix: to remove, when it is still the file that was made */
    dev_t device;
    ino_t inode;
};

/* ---- Accepting ------------------------------------------------------------------------------- */

static void on_readable(uv_poll_t *handle, int status, int events);

static void on_rested(void *user)
{
    struct listener *listener = user;
    uv_poll_start(&listener->poll, UV_READABLE, on_readable);
}

static bool is_shortage(int number)
{
    return number == EMFILE || number == ENFILE || number == ENOBUFS || number == ENOMEM;
}

/* Takes up to `count` connections from the queue; returns 0, or errno of what stopped it. */
static int accept_some(struct listener *listener, int count)
{
    while (count-- > 0) {
        int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            listener->on_accept(listener->user, fd);
        else if (errno == EAGAIN || is_shortage(errno))
            return errno;
        /* else that connection has failed already: the next one */
        if (listener->fd < 0)
            return 0; /* closed from inside on_accept */
    }
    return 0;
}

static void on_readable(uv_poll_t *handle, int status, int events)
{
    (void)status, (void)events;
    struct listener *listener = handle->data;
    loop_enter(listener->loop);
    int number = accept_some(listener, ACCEPTS_PER_TURN);
    loop_leave(listener->loop);
    if (!is_shortage(number) || listener->closed)
        return;
    log_warning(loop_log(listener->loop), "cannot accept connections for now",
                LOG_CSTR("reason", strerror(number)));
    uv_poll_stop(&listener->poll);
    loop_timer_set(listener->loop, &listener->rest, REST_MS, on_rested, listener);
}

/* ---- Making and closing ---------------------------------------------------------------------- */

static void on_handle_closed(uv_handle_t *handle)
{
    struct listener *listener = handle->data;
    free(listener->path);
    free(listener);
}

static enum err system_error(struct error *error, const char *what, const char *where)
{
    int number = errno;
    if (number == EADDRINUSE) {
        error_set(error, ERR_CONFLICT, NULL, "%s is in use by another program", where);
        error_remedy(error, "stop the other program, or listen elsewhere");
        return ERR_CONFLICT;
    }
    return error_set(error, ERR_NETWORK, NULL, "cannot %s %s: %s", what, where, strerror(number));
}

/* Listens on the bound `fd`, which it takes over, also on failure. */
static enum err start_listening(struct loop *loop, int fd, const char *where,
                                listener_accept_fn *on_accept, void *user,
                                struct listener **ret_listener, struct error *error)
{
    struct listener *listener = calloc(1, sizeof *listener);
    ASSERT(listener);
    int failure = listen(fd, BACKLOG);
    if (!failure && (failure = uv_poll_init(loop_uv(loop), &listener->poll, fd)))
        errno = -failure;
    if (failure) {
        enum err code = system_error(error, "listen on", where);
        close(fd);
        free(listener);
        return code;
    }
    listener->poll.data = listener;
    listener->loop = loop;
    listener->on_accept = on_accept;
    listener->user = user;
    listener->fd = fd;
    uv_poll_start(&listener->poll, UV_READABLE, on_readable);
    *ret_listener = listener;
    return ERR_OK;
}

static void remove_own_file(const struct listener *listener)
{
    struct stat found;
    if (listener->path && lstat(listener->path, &found) == 0 && found.st_dev == listener->device &&
        found.st_ino == listener->inode)
        unlink(listener->path);
}

void listener_close(struct listener *listener)
{
    if (!listener || listener->closed)
        return;
    listener->closed = true;
    remove_own_file(listener); /* from here on nobody new finds it */
    loop_timer_cancel(listener->loop, &listener->rest);
    accept_some(listener, ACCEPTS_AT_CLOSE);
    uv_close((uv_handle_t *)&listener->poll, on_handle_closed);
    close(listener->fd);
    listener->fd = -1;
}

/* ---- TCP ------------------------------------------------------------------------------------- */

static void describe(const char *host, uint16_t port, char ret[300])
{
    snprintf(ret, 300, strchr(host, ':') ? "[%.255s]:%u" : "%.255s:%u", host, port);
}

static void set_option(int fd, int level, int name, int value)
{
    (void)setsockopt(fd, level, name, &value, sizeof value);
}

/* A socket bound to one address, or -1 with errno. SO_REUSEADDR lets a restart bind although old
 * connections linger, and still refuses an address that somebody listens on. */
static int bind_address(const struct addrinfo *address, bool is_shared)
{
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (address->ai_family == AF_INET6)
        set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0); /* "::" means everything */
    if (is_shared)
        set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (bind(fd, address->ai_addr, address->ai_addrlen) == 0)
        return fd;
    int number = errno;
    close(fd);
    errno = number;
    return -1;
}

/* Binds to the first address of `host` that can be bound. */
static enum err bind_tcp(const char *host, uint16_t port, bool is_shared, int *ret_fd,
                         struct error *error)
{
    char service[8], where[300];
    snprintf(service, sizeof service, "%u", port);
    describe(host, port, where);
    struct addrinfo *addresses,
        hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    int failure = getaddrinfo(host, service, &hints, &addresses);
    if (failure)
        return error_set(error, ERR_INVALID, NULL, "cannot listen on %s: %s", where,
                         gai_strerror(failure));
    int fd = -1;
    for (const struct addrinfo *address = addresses; address && fd < 0; address = address->ai_next)
        fd = bind_address(address, is_shared);
    enum err code = fd < 0 ? system_error(error, "listen on", where) : ERR_OK;
    freeaddrinfo(addresses);
    if (!code)
        *ret_fd = fd;
    return code;
}

static uint16_t bound_port(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;
    getsockname(fd, (struct sockaddr *)&address, &length);
    return ntohs(address.ss_family == AF_INET6
                     ? ((struct sockaddr_in6 *)(void *)&address)->sin6_port
                     : ((struct sockaddr_in *)(void *)&address)->sin_port);
}

enum err listener_probe(const char *host, uint16_t port, uint16_t *ret_port, struct error *error)
{
    int fd;
    enum err code = bind_tcp(host, port, false, &fd, error);
    if (code)
        return code;
    *ret_port = bound_port(fd);
    close(fd);
    return ERR_OK;
}

enum err listener_new_tcp(struct loop *loop, const char *host, uint16_t port,
                          listener_accept_fn *on_accept, void *user, struct listener **ret_listener,
                          struct error *error)
{
    int fd;
    char where[300];
    describe(host, port, where);
    enum err code = bind_tcp(host, port, true, &fd, error);
    if (code)
        return code;
    return start_listening(loop, fd, where, on_accept, user, ret_listener, error);
}

/* ---- Unix sockets ---------------------------------------------------------------------------- */

/* Whether the file is a socket that nobody listens on any more. */
static bool is_dead_socket(const struct sockaddr_un *address)
{
    struct stat found;
    if (lstat(address->sun_path, &found) != 0 || !S_ISSOCK(found.st_mode))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool dead = connect(fd, (const struct sockaddr *)address, sizeof *address) != 0 &&
                errno == ECONNREFUSED;
    close(fd);
    return dead;
}

static int bind_unix(int fd, const struct sockaddr_un *address)
{
    if (bind(fd, (const struct sockaddr *)address, sizeof *address) == 0)
        return 0;
    if (errno != EADDRINUSE)
        return -1;
    if (is_dead_socket(address) && unlink(address->sun_path) == 0)
        return bind(fd, (const struct sockaddr *)address, sizeof *address);
    errno = EADDRINUSE;
    return -1;
}

/* The mode is set before the file exists (no moment is open to others), and after (the umask). */
static int bind_unix_with_mode(const struct sockaddr_un *address, int mode)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (fchmod(fd, (mode_t)mode) == 0 && bind_unix(fd, address) == 0 &&
        chmod(address->sun_path, (mode_t)mode) == 0)
        return fd;
    int number = errno;
    close(fd);
    errno = number;
    return -1;
}

static enum err unix_error(struct error *error, const char *path)
{
    int number = errno;
    struct stat found;
    if (number == EADDRINUSE && lstat(path, &found) == 0 && !S_ISSOCK(found.st_mode))
        return error_set(error, ERR_CONFLICT, NULL, "%s exists and is not a socket", path);
    errno = number;
    return system_error(error, "make the socket", path);
}

enum err listener_new_unix(struct loop *loop, const char *path, int mode,
                           listener_accept_fn *on_accept, void *user,
                           struct listener **ret_listener, struct error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!*path || strlen(path) >= sizeof address.sun_path)
        return error_set(error, ERR_INVALID, NULL, "socket path %s: must have 1 to %zu characters",
                         path, sizeof address.sun_path - 1);
    strcpy(address.sun_path, path);
    int fd = bind_unix_with_mode(&address, mode);
    if (fd < 0)
        return unix_error(error, path);
    struct listener *listener;
    enum err code = start_listening(loop, fd, path, on_accept, user, &listener, error);
    if (code)
        return code;
    struct stat made;
    listener->path = strdup(path);
    ASSERT(listener->path);
    if (lstat(path, &made) == 0) {
        listener->device = made.st_dev;
        listener->inode = made.st_ino;
    }
    *ret_listener = listener;
    return ERR_OK;
}
