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

enum err http_call_start(struct http_client *client, const struct http_call_request *request,
                         const struct http_call_events *events, void *user,
                         struct http_call **ret_call, struct error *error)
{
    struct http_call_target target;
    struct http_origin *origin;
    enum err code = http_call_request_check(request, &target, error);
    if (code == ERR_OK)
        code = find_origin(client, &target, &origin, error);
    if (code == ERR_OK)
        *ret_call = http_call_new(client, origin, request, &target, events, user);
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
    http_pool_free(client->pool);
    resolver_free(client->resolver);
    http_proxy_rules_free(client->proxies);
    tls_context_unref(client->tls);
    buf_done(&client->head);
    free(client->ca_path);
    free(client);
}
