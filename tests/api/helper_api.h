/* For tests of the api floor: the doors behind a real HTTP server on a loop, with a real store and
 * accounts, asked over sockets. */
#pragma once

#include "../chat/helper_chat.h"

#include "account/api_key.h"
#include "api/request.h"
#include "net/listener.h"
#include "route/limiter.h"

struct api_fixture {
    struct chat_fixture *chat;
    struct account *account;
    struct limiter *limiter;
    struct api *api;
    struct http_server *server;
    struct http_server *local;
    struct api_host host;
    struct buf answer;
    char token[200]; /* of a session */
    char key[200];
};

static inline bool api_is_ready(void *user)
{
    (void)user;
    return true;
}

static inline void api_on_user(void *user, enum err code, const struct error *error,
                               const struct store_user *created)
{
    struct api_fixture *f = user;
    assert_int_equal(code, ERR_OK);
    assert_null(error);
    f->chat->owner = created->id;
    f->chat->drained = true;
}

static inline void api_on_session(void *user, enum err code, const struct error *error,
                                  const struct store_user *person, struct str token)
{
    struct api_fixture *f = user;
    assert_int_equal(code, ERR_OK);
    assert_null(error);
    assert_non_null(person);
    str_copy(token, f->token, sizeof f->token);
}

static inline void api_on_key(void *user, enum err code, const struct error *error,
                              const struct store_key *key, struct str secret)
{
    struct api_fixture *f = user;
    assert_int_equal(code, ERR_OK);
    assert_null(error);
    assert_non_null(key);
    str_copy(secret, f->key, sizeof f->key);
}

static inline void api_people(struct api_fixture *f)
{
    struct loop *loop = f->chat->net->loop;
    f->chat->drained = false;
    account_create_user(f->account, loop, STR("user@example.com"), STR(""), STR("U"), ROLE_USER,
                        STR_NONE, api_on_user, f);
    TURN_UNTIL(loop, f->chat->drained);
    account_begin_session(f->account, loop, &f->chat->owner, api_on_session, f);
    account_create_key(f->account, loop, &f->chat->owner,
                       &(struct account_key_change){.name = STR("k")}, api_on_key, f);
    TURN_UNTIL(loop, f->token[0] && f->key[0]);
}

static inline int api_setup(void **state)
{
    struct api_fixture *f = calloc(1, sizeof *f);
    chat_setup((void **)&f->chat);
    struct chat_fixture *chat = f->chat;
    assert_int_equal(
        account_open(&(struct account_options){.store = chat->store}, &f->account, NULL), ERR_OK);
    api_people(f);
    f->host.is_ready = api_is_ready;
    f->limiter = limiter_new();
    f->api = api_new(&(struct api_options){.loop = chat->net->loop,
                                           .store = chat->store,
                                           .account = f->account,
                                           .limiter = f->limiter,
                                           .registry = chat->registry,
                                           .router = chat->router,
                                           .chat = chat->chat,
                                           .hub = chat->hub,
                                           .metrics = chat->metrics,
                                           .host = &f->host,
                                           .allowed_origins = STR("https://app.example"),
                                           .body_bytes_max = 1024 * 1024});
    const struct http_server_handler open_door = api_handler(f->api, false);
    const struct http_server_handler local_door = api_handler(f->api, true);
    const struct http_server_options options = {.header_timeout_ms = 60};
    f->server = http_server_new(chat->net->loop, &options, &open_door);
    f->local = http_server_new(chat->net->loop, &options, &local_door);
    buf_init(&f->answer, 16 * 1024 * 1024);
    *state = f;
    return 0;
}

static inline int api_teardown(void **state)
{
    struct api_fixture *f = *state;
    http_server_free(f->server);
    http_server_free(f->local);
    api_free(f->api);
    for (int i = 0; i < 3; i++)
        helper_turn(f->chat->net->loop);
    account_close(f->account);
    chat_teardown((void **)&f->chat);
    limiter_free(f->limiter);
    buf_done(&f->answer);
    free(f);
    return 0;
}

/* Sends a whole request on a connection of its own and reads the whole answer. */
static inline void api_ask_at(struct api_fixture *f, struct http_server *server, struct str request)
{
    int pair[2];
    struct loop *loop = f->chat->net->loop;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    http_server_accept(server, pair[1], NULL);
    buf_clear(&f->answer);
    uint64_t deadline = clock_monotonic_ms() + 10000;
    bool over = false;
    while (!over) {
        ssize_t sent = request.len ? send(pair[0], request.data, request.len, MSG_NOSIGNAL) : 0;
        if (sent > 0)
            request = str_skip(request, (size_t)sent);
        helper_turn(loop);
        over = server_read(pair[0], &f->answer);
        assert_true(clock_monotonic_ms() < deadline);
    }
    close(pair[0]);
}

/* `head`: the request line and header lines, each ended by CR LF; Host and Connection are added. */
static inline void api_ask(struct api_fixture *f, const char *head, const char *body)
{
    struct buf request;
    buf_init(&request, 16 * 1024 * 1024);
    buf_append(&request, str_from_cstr(head));
    buf_append(&request, STR("Host: h.example\r\nConnection: close\r\n"));
    if (body)
        buf_printf(&request, "Content-Length: %zu\r\n", strlen(body));
    buf_append(&request, STR("\r\n"));
    buf_append(&request, str_from_cstr(body ? body : ""));
    api_ask_at(f, f->server, buf_str(&request));
    buf_done(&request);
}

static inline bool answer_has(const struct api_fixture *f, const char *part)
{
    return str_find_nocase(buf_str(&f->answer), str_from_cstr(part)) != SIZE_MAX;
}

static inline void expect_status(const struct api_fixture *f, int status, const char *part)
{
    char line[32];
    snprintf(line, sizeof line, "HTTP/1.1 %d ", status);
    if (!str_starts_with(buf_str(&f->answer), str_from_cstr(line)) || !answer_has(f, part))
        fail_msg("not %d with %s: %.*s", status, part,
                 STR_ARG(str_slice(buf_str(&f->answer), 0, 2000)));
}

static inline struct str answer_body(const struct api_fixture *f)
{
    size_t end = str_find(buf_str(&f->answer), STR("\r\n\r\n"));
    assert_true(end != SIZE_MAX);
    return str_skip(buf_str(&f->answer), end + 4);
}
