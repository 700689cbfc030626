/* For tests of the HTTP client: a recorder of what a call says, and a fixture of client and
 * server. */
#pragma once

#include "helper_server.h"

#include "net/http_client.h"

enum call_action { ACTION_NONE, ACTION_CANCEL, ACTION_PAUSE, ACTION_PAUSE_RESUME };

/* What a call said, and what to do while it speaks. */
struct heard_call {
    struct http_call *call;
    int headers, bodies, dones, errors, sents;
    char *overwrite; /* the body of the request, made unreadable when it may go; or NULL */
    size_t overwrite_bytes;
    int status;
    struct buf fields; /* "name=value|" of each */
    struct buf body;
    struct error error;
    struct http_call_timing timing; /* at the terminal event */
    enum call_action at_headers, at_body, at_end;
    void (*then)(void *user); /* at on_done */
    void *then_user;
};

static inline void heard_call_act(struct heard_call *heard, enum call_action action)
{
    if (action == ACTION_CANCEL)
        http_call_cancel(heard->call);
    if (action == ACTION_PAUSE || action == ACTION_PAUSE_RESUME)
        http_call_pause(heard->call);
    if (action == ACTION_PAUSE_RESUME)
        http_call_resume(heard->call);
}

static inline void heard_call_headers(void *user, int status, const struct http_headers *headers)
{
    struct heard_call *heard = user;
    assert_int_equal(heard->dones + heard->errors + heard->headers + heard->bodies, 0);
    heard->headers++;
    heard->status = status;
    for (size_t i = 0; i < headers->count; i++)
        buf_printf(&heard->fields, "%.*s=%.*s|", STR_ARG(headers->items[i].name),
                   STR_ARG(headers->items[i].value));
    heard_call_act(heard, heard->at_headers);
}

static inline void heard_call_body(void *user, struct str data)
{
    struct heard_call *heard = user;
    assert_int_equal(heard->headers, 1);
    assert_int_equal(heard->dones + heard->errors, 0);
    heard->bodies++;
    buf_append(&heard->body, data);
    heard_call_act(heard, heard->at_body);
}

static inline void heard_call_done(void *user)
{
    struct heard_call *heard = user;
    assert_int_equal(heard->headers, 1);
    assert_int_equal(heard->dones + heard->errors, 0);
    heard->dones++;
    heard->timing = *http_call_timing(heard->call);
    heard_call_act(heard, heard->at_end);
    if (heard->then)
        heard->then(heard->then_user);
}

static inline void heard_call_error(void *user, const struct error *error)
{
    struct heard_call *heard = user;
    assert_int_equal(heard->dones + heard->errors, 0);
    heard->errors++;
    heard->error = *error;
    heard->timing = *http_call_timing(heard->call);
    heard_call_act(heard, heard->at_end);
}

static inline void heard_call_sent(void *user)
{
    struct heard_call *heard = user;
    assert_int_equal(heard->dones + heard->errors + heard->sents, 0);
    heard->sents++;
    if (heard->overwrite)
        memset(heard->overwrite, 0, heard->overwrite_bytes);
}

static const struct http_call_events heard_call_events = {
    heard_call_headers, heard_call_body, heard_call_done, heard_call_error, heard_call_sent};

static inline void heard_call_init(struct heard_call *heard)
{
    buf_done(&heard->fields);
    buf_done(&heard->body);
    *heard = (struct heard_call){0};
    buf_init(&heard->fields, 1024 * 1024);
    buf_init(&heard->body, 64 * 1024 * 1024);
}

static inline bool heard_call_over(const struct heard_call *heard)
{
    return heard->dones + heard->errors > 0;
}

struct client_fixture {
    struct loop *loop;
    struct http_client *client;
    struct server server;
    struct heard_call heard;
    struct buf request; /* what the server has read */
    char url[256];      /* of the server, "http://127.0.0.1:port/path?query" */
};

static inline void client_fixture_make(struct client_fixture *fixture,
                                       const struct http_client_options *options)
{
    http_client_free(fixture->client);
    fixture->client = http_client_new(fixture->loop, options);
}

static inline int client_setup(void **state)
{
    struct client_fixture *fixture = calloc(1, sizeof *fixture);
    fixture->loop = loop_new(0, NULL);
    server_listen(&fixture->server, fixture->loop);
    client_fixture_make(fixture, &(struct http_client_options){0});
    heard_call_init(&fixture->heard);
    buf_init(&fixture->request, 64 * 1024 * 1024);
    snprintf(fixture->url, sizeof fixture->url, "http://127.0.0.1:%u/path?query",
             fixture->server.port);
    *state = fixture;
    return 0;
}

static inline int client_teardown(void **state)
{
    struct client_fixture *fixture = *state;
    http_client_free(fixture->client);
    server_close(&fixture->server);
    loop_free(fixture->loop);
    buf_done(&fixture->heard.fields);
    buf_done(&fixture->heard.body);
    buf_done(&fixture->request);
    free(fixture);
    return 0;
}

/* Starts a call that is recorded afresh in `heard`. */
static inline void client_start(struct client_fixture *fixture, struct heard_call *heard,
                                const struct http_call_request *request)
{
    struct error error = {0};
    heard_call_init(heard);
    enum err code =
        http_call_start(fixture->client, request, &heard_call_events, heard, &heard->call, &error);
    assert_string_equal(error.message, "");
    assert_int_equal(code, ERR_OK);
    assert_int_equal(heard->headers + heard->dones + heard->errors + heard->sents, 0);
}

static inline void client_get(struct client_fixture *fixture)
{
    struct http_call_request request = {.url = str_from_cstr(fixture->url)};
    client_start(fixture, &fixture->heard, &request);
}

/* Accepts, and reads the request. */
static inline int client_accept(struct client_fixture *fixture, size_t body_bytes)
{
    int fd = server_accept(&fixture->server);
    server_read_request(&fixture->server, fd, &fixture->request, body_bytes);
    return fd;
}

/* A whole exchange up to the request; the server's end is returned. */
static inline int client_get_accept(struct client_fixture *fixture)
{
    client_get(fixture);
    return client_accept(fixture, 0);
}
