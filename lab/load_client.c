/* A stream and a reader of answers. Kept alive when the answer allows; one request at a time.
 *
 *   (closed) --load_client_send--> busy --on_response--> idle --load_client_send--> busy
 *      ^                            |  \--101--> upgraded: bytes go to on_raw
 *      +---------- on_failure ------+
 */
#include "load_client.h"

static void fail(struct load_client *client, const char *detail)
{
    if (client->stream)
        stream_abort(client->stream);
    client->stream = NULL;
    bool was_busy = client->busy || client->upgraded;
    client->busy = client->upgraded = false;
    raw_http_done(&client->http);
    if (was_busy)
        client->events->on_failure(client->user, detail);
}

static void complete(struct load_client *client)
{
    int status = raw_http_status(&client->http);
    bool keep = raw_http_keep_alive(&client->http);
    client->busy = false;
    client->upgraded = status == 101;
    if (client->upgraded) {
        raw_http_done(&client->http);
    } else if (keep) {
        raw_http_next(&client->http);
    } else {
        stream_abort(client->stream);
        client->stream = NULL;
        raw_http_done(&client->http);
    }
    client->events->on_response(client->user, status);
}

static void on_data(void *user, char *data, size_t len)
{
    struct load_client *client = user;
    struct str bytes = STR_FROM(data, len);
    if (!client->upgraded) {
        size_t used = raw_http_feed(&client->http, bytes);
        if (used == SIZE_MAX) {
            fail(client, "not HTTP");
            return;
        }
        bytes = str_skip(bytes, used);
        if (client->http.complete)
            complete(client);
    }
    if (client->upgraded && bytes.len && client->events->on_raw)
        client->events->on_raw(client->user, bytes);
}

static void on_end(void *user)
{
    struct load_client *client = user;
    if (client->busy)
        raw_http_finish(&client->http);
    if (client->busy && client->http.complete)
        complete(client); /* not kept alive: the stream has gone with it */
    else
        fail(client, "the server closed the connection");
}

static void on_close(void *user, enum err code, const char *detail)
{
    (void)code;
    struct load_client *client = user;
    client->stream = NULL;
    fail(client, detail);
}

static const struct stream_events transport_events = {NULL, on_data, on_end, NULL, on_close};

static void on_body(void *user, struct str data)
{
    struct load_client *client = user;
    if (client->events->on_body)
        client->events->on_body(client->user, data);
}

void load_client_init(struct load_client *client, struct loop *loop,
                      const struct load_target *target, const struct load_client_events *events,
                      void *user)
{
    *client = (struct load_client){.loop = loop, .target = target, .events = events, .user = user};
}

void load_client_done(struct load_client *client)
{
    if (!client->stream)
        return;
    stream_abort(client->stream);
    client->stream = NULL;
    if (!client->upgraded)
        raw_http_done(&client->http);
}

void load_client_send(struct load_client *client, struct str request)
{
    struct error error = {0};
    client->busy = true;
    if (!client->stream) {
        raw_http_init(&client->http, RAW_HTTP_RESPONSES, false, on_body, client);
        client->stream = stream_connect(
            client->loop, (const void *)&client->target->address, sizeof client->target->address,
            client->target->tls, client->target->server_name, &transport_events, client, &error);
        if (!client->stream) {
            fail(client, error_message(&error));
            return;
        }
    }
    load_client_send_raw(client, request);
}

void load_client_send_raw(struct load_client *client, struct str bytes)
{
    stream_write(client->stream, bytes.data, bytes.len);
}
