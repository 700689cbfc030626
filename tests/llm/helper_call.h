/* For tests of what calls providers: a scripted HTTP server, a client, a provider that points to
 * the server, and a recorder of events. */
#pragma once

#include "../net/helper_server.h"

#include "llm/call.h"

struct call_fixture {
    struct loop *loop;
    struct http_client *client;
    struct server server;
    struct provider *provider;
    struct buf request; /* what the server has read */
};

/* Timeouts that are 0 are off. `kind` NULL: openai-compatible. */
static inline void call_provider(struct call_fixture *f, const char *kind,
                                 struct provider_options options)
{
    char url[64];
    provider_unref(f->provider);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/v1", f->server.port);
    options.name = STR("fake");
    options.kind = kind ? str_from_cstr(kind) : STR("openai-compatible");
    options.base_url = str_eq(options.kind, STR("parley")) ? STR("") : str_from_cstr(url);
    options.api_key = STR("secret-key");
    struct error error = {0};
    if (provider_new(&options, &f->provider, &error) != ERR_OK)
        fail_msg("provider_new: %s", error.message);
}

static inline int call_setup(void **state)
{
    struct call_fixture *f = calloc(1, sizeof *f);
    f->loop = loop_new(0, NULL);
    server_listen(&f->server, f->loop);
    f->client = http_client_new(f->loop, &(struct http_client_options){0});
    buf_init(&f->request, 64 * 1024 * 1024);
    call_provider(f, NULL, (struct provider_options){0});
    *state = f;
    return 0;
}

static inline int call_teardown(void **state)
{
    struct call_fixture *f = *state;
    http_client_free(f->client);
    server_close(&f->server);
    provider_unref(f->provider);
    loop_free(f->loop);
    buf_done(&f->request);
    free(f);
    return 0;
}

/* Accepts and reads a request with its whole body. */
static inline int call_accept(struct call_fixture *f)
{
    int fd = server_accept(&f->server);
    size_t end;
    server_read_request(&f->server, fd, &f->request, 0);
    end = str_find(buf_str(&f->request), STR("\r\n\r\n"));
    size_t at = str_find_nocase(buf_str(&f->request), STR("content-length: "));
    if (at != SIZE_MAX && at < end) {
        struct str rest = str_skip(buf_str(&f->request), at + 16);
        uint64_t length = 0;
        assert_true(str_to_u64(str_slice(rest, 0, str_find_char(rest, '\r')), &length));
        server_read_bytes(&f->server, fd, &f->request, end + 4 + length);
    }
    return fd;
}

static inline void call_send(struct call_fixture *f, int fd, const char *text)
{
    server_send(&f->server, fd, str_from_cstr(text));
}

/* A whole answer with its length. */
static inline void call_reply(struct call_fixture *f, int fd, const char *status, const char *type,
                              const char *body)
{
    char head[256];
    snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n",
             status, type, strlen(body));
    call_send(f, fd, head);
    call_send(f, fd, body);
}
