/* HTTP/1.1 client: what the calls of one loop share (names, pool, proxies, trust), and the start of
 * a call. The llm floor stands on it; http_call.c is what happens next. */
#include "net/http_client.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "net/http_call.h"

enum {
    IDLE_PER_ORIGIN_DEFAULT = 64,
    IDLE_TIMEOUT_DEFAULT_MS = 55 * 1000,
    NAMES_LIFETIME_MS = 30 * 1000,
    HEAD_BYTES_MAX = HTTP_HEADER_BYTES_MAX + HTTP_TARGET_BYTES_MAX + 8192
};

/* Finds the origin, with its proxy and what TLS needs. */
static enum err find_origin(struct http_client *client, const struct http_call_target *target,
                            struct http_origin **ret_origin, struct error *error)
{
    const struct url *url = &target->url;
    if (url->tls && !client->tls) {
        enum err code = tls_context_new_client(client->ca_path, &client->tls, error);
        if (code != ERR_OK)
            return code;
    }
    struct http_origin *origin = http_pool_origin(client->pool, url->tls, url->host,
                                                  url->host_is_ipv6, url->port, target->unix_path);
    enum err code = ERR_OK;
    if (!origin->proxy_known && !target->unix_path.len)
        code = http_proxy_select(client->proxies, url->tls, url->host, url->port, &origin->proxy,
                                 error);
    if (code != ERR_OK) {
        http_origin_unref(origin);
        return code;
    }
    origin->proxy_known = true;
    *ret_origin = origin;
    return ERR_OK;
}

static void forget_target(struct known_target *known)
{
    if (!known->url.data)
        return;
    http_origin_unref(known->origin);
    free((char *)known->url.data);
    *known = (struct known_target){0};
}

/* Puts it in place of another. */
static enum err learn_target(struct http_client *client, struct str url, struct known_target *known,
                             struct error *error)
{
    struct known_target learnt;
    char *copy = malloc(url.len + 1);
    ASSERT(copy);
    if (url.len)
        memcpy(copy, url.data, url.len);
    learnt.url = STR_FROM(copy, url.len);
    enum err code = http_call_target_parse(learnt.url, &learnt.target, error);
    if (code == ERR_OK)
        code = find_origin(client, &learnt.target, &learnt.origin, error);
    if (code != ERR_OK) {
        free(copy);
        return code;
    }
    forget_target(known);
    *known = learnt;
    return ERR_OK;
}

/* Word by word, for every request has one; what is left at the end is a path, and mostly the same. */
static size_t place_of(struct str url)
{
    uint64_t hash = url.len, word;
    for (; url.len >= sizeof word; url = str_skip(url, sizeof word)) {
        memcpy(&word, url.data, sizeof word);
        hash = (hash ^ word) * 0x9E3779B97F4A7C15u;
        hash ^= hash >> 32;
    }
    return hash % HTTP_KNOWN_TARGETS;
}

enum err http_call_start(struct http_client *client, const struct http_call_request *request,
                         const struct http_call_events *events, void *user,
                         struct http_call **ret_call, struct error *error)
{
    struct known_target *known = &client->known[place_of(request->url)];
    enum err code = http_call_request_check(request, error);
    if (code == ERR_OK && (!known->url.data || !str_eq(known->url, request->url)))
        code = learn_target(client, request->url, known, error);
    if (code == ERR_OK)
        *ret_call = http_call_new(client, http_origin_ref(known->origin), request, &known->target,
                                  events, user);
    return code;
}

struct http_client *http_client_new(struct loop *loop, const struct http_client_options *options)
{
    struct http_client *client = calloc(1, sizeof *client);
    ASSERT(client);
    client->loop = loop;
    list_init(&client->draining);
    list_init(&client->gathered);
    client->resolver = resolver_new(loop, NAMES_LIFETIME_MS);
    client->pool = http_pool_new(
        loop, options->idle_per_origin_max ? options->idle_per_origin_max : IDLE_PER_ORIGIN_DEFAULT,
        options->idle_timeout_ms ? options->idle_timeout_ms : IDLE_TIMEOUT_DEFAULT_MS);
    client->proxies =
        http_proxy_rules_new(options->https_proxy, options->http_proxy, options->no_proxy);
    client->ca_path = options->ca_path ? strdup(options->ca_path) : NULL;
    ASSERT(!options->ca_path || client->ca_path);
    buf_init(&client->head, HEAD_BYTES_MAX);
    return client;
}

void http_client_free(struct http_client *client)
{
    if (!client)
        return;
    http_call_end_draining(client);
    ASSERT(client->call_count == 0);
    loop_task_cancel(&client->gathered_task);
    for (size_t i = 0; i < HTTP_KNOWN_TARGETS; i++)
        forget_target(&client->known[i]);
    http_pool_free(client->pool);
    resolver_free(client->resolver);
    http_proxy_rules_free(client->proxies);
    tls_context_unref(client->tls);
    buf_done(&client->head);
    free(client->ca_path);
    free(client);
}
