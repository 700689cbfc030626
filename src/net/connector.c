/* Connector. Stands between http_client.c, which wants a stream, and resolver, streams and proxy.
 *
 *   connector_start --> RESOLVING --on_resolved--> RACING --on_attempt_open--> proceed
 *                                                                                 |
 *      proceed --(proxy, not asked yet: ask_proxy)--> TUNNELLING --on_reply_headers--> proceed
 *      proceed --(TLS, not done yet: stream_start_tls)--> SECURING --on_chosen_open--> proceed
 *      proceed --(nothing left)--> succeed: on_connected, freed
 *
 *   from anywhere:  a failure or on_deadline --> fail: on_failed, freed;  connector_cancel -->
 * freed
 *
 * The race: the first address at once, the next one when nothing has connected for a quarter of a
 * second or as soon as one has failed; the first that connects wins and the others are aborted. */
#include "net/connector.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "net/http_response.h"

enum phase { PHASE_RESOLVING, PHASE_RACING, PHASE_TUNNELLING, PHASE_SECURING };

static const char *const phase_names[] = {
    [PHASE_RESOLVING] = "resolving the name",
    [PHASE_RACING] = "connecting",
    [PHASE_TUNNELLING] = "asking the proxy",
    [PHASE_SECURING] = "the TLS handshake",
};

/* One address of the race. */
struct attempt {
    struct connector *connector;
    struct stream *stream;
    struct resolver_address address;
};

struct connector {
    struct loop *loop;
    struct connector_target target;
    const struct connector_events *events;
    void *user;
    enum phase phase;
    bool tunnelled;
    bool secured;
    uint64_t timeout_ms;
    struct loop_timer deadline;
    struct loop_timer stagger;
    struct loop_task begin; /* a Unix socket's address is known at once */
    struct resolver_query query;
    struct attempt *attempts; /* as many as there are addresses */
    size_t attempt_count;
    size_t next; /* attempt to begin */
    size_t open_count;
    struct stream *stream;      /* the winner */
    struct http_response reply; /* the proxy's */
    bool reply_begun;
    int reply_status;
    char detail[160]; /* how the last attempt failed */
};

/* ---- The end --------------------------------------------------------------------------------- */

static void abort_attempts(struct connector *connector)
{
    for (size_t i = 0; i < connector->next; i++)
        if (connector->attempts[i].stream)
            stream_abort(connector->attempts[i].stream);
    connector->next = 0;
}

/* Frees it, and the stream unless that was handed over. */
static void release(struct connector *connector)
{
    resolver_cancel(&connector->query);
    loop_task_cancel(&connector->begin);
    loop_timer_cancel(connector->loop, &connector->deadline);
    loop_timer_cancel(connector->loop, &connector->stagger);
    abort_attempts(connector);
    if (connector->stream)
        stream_abort(connector->stream);
    if (connector->reply_begun)
        http_response_done(&connector->reply);
    free(connector->attempts);
    free(connector);
}

void connector_cancel(struct connector *connector)
{
    release(connector);
}

static void report(struct connector *connector, const struct error *error)
{
    const struct connector_events *events = connector->events;
    void *user = connector->user;
    release(connector);
    events->on_failed(user, error);
}

static const char *target_name(const struct connector *connector)
{
    return connector->target.unix_path.len ? "unix socket" : connector->target.host.data;
}

static void fail(struct connector *connector, const char *detail)
{
    struct error error = {0};
    const struct http_proxy *proxy = connector->target.proxy;
    if (proxy && connector->phase != PHASE_SECURING)
        (void)error_set(&error, ERR_NETWORK, NULL, "%s: %s failed (proxy %.*s:%u): %s",
                        target_name(connector), phase_names[connector->phase], STR_ARG(proxy->host),
                        proxy->port, detail);
    else
        (void)error_set(&error, ERR_NETWORK, NULL, "%s: %s failed: %s", target_name(connector),
                        phase_names[connector->phase], detail);
    report(connector, &error);
}

static void on_deadline(void *user)
{
    struct connector *connector = user;
    struct error error = {0};
    (void)error_set(&error, ERR_TIMEOUT, "connect", "%s: connect timeout: %s took over %llu ms",
                    target_name(connector), phase_names[connector->phase],
                    (unsigned long long)connector->timeout_ms);
    report(connector, &error);
}

static void succeed(struct connector *connector)
{
    const struct connector_events *events = connector->events;
    void *user = connector->user;
    struct stream *stream = connector->stream;
    connector->stream = NULL;
    release(connector);
    events->on_connected(user, stream);
}

/* ---- After the race: tunnel and TLS ---------------------------------------------------------- */

static void proceed(struct connector *connector);

static bool on_reply_headers(void *user, int status, const struct http_headers *headers)
{
    struct connector *connector = user;
    (void)headers;
    connector->reply_status = status;
    return true;
}

static void ask_proxy(struct connector *connector)
{
    static const struct http_response_options options = {.header_bytes_max = HTTP_HEADER_BYTES_MAX,
                                                         .headers_only = true};
    static const struct http_response_events events = {.on_headers = on_reply_headers};
    const struct connector_target *target = &connector->target;
    bool is_ipv6 = str_find_char(target->host, ':') != SIZE_MAX;
    const char *open = is_ipv6 ? "[" : "", *close = is_ipv6 ? "]" : "";
    struct buf *out = stream_output(connector->stream);
    for (int i = 0; i < 2; i++)
        buf_printf(out, "%s%s%.*s%s:%u%s\r\n", i ? "Host: " : "CONNECT ", open,
                   STR_ARG(target->host), close, target->port, i ? "" : " HTTP/1.1");
    if (target->proxy->authorization.len)
        buf_printf(out, "Proxy-Authorization: %.*s\r\n", STR_ARG(target->proxy->authorization));
    buf_append(out, STR("\r\n"));
    stream_flush_later(connector->stream);
    http_response_init(&connector->reply, &options, &events, connector);
    connector->reply_begun = true;
}

static void on_chosen_data(void *user, char *data, size_t len)
{
    struct connector *connector = user;
    if (connector->phase != PHASE_TUNNELLING)
        return;
    size_t used;
    switch (http_response_feed(&connector->reply, data, len, &used)) {
    case HTTP_RESPONSE_COMPLETE:
        if (connector->reply_status == 407)
            fail(connector, "it wants a user and password, or refuses those given");
        else if (connector->reply_status >= 300)
            fail(connector, "it refuses to connect");
        else if (used < len)
            fail(connector, "it sends data before the TLS handshake");
        else
            proceed(connector);
        return;
    case HTTP_RESPONSE_FAILED:
        fail(connector, "its answer is not valid HTTP");
        return;
    case HTTP_RESPONSE_MORE:
    case HTTP_RESPONSE_STOPPED:
        return;
    }
}

static void on_chosen_open(void *user)
{
    proceed(user);
}

static void on_chosen_end(void *user)
{
    fail(user, "the connection was closed");
}

static void on_chosen_close(void *user, enum err code, const char *detail)
{
    struct connector *connector = user;
    (void)code;
    connector->stream = NULL;
    fail(connector, detail);
}

static void proceed(struct connector *connector)
{
    const struct connector_target *target = &connector->target;
    if (target->tunnel && !connector->tunnelled) {
        connector->tunnelled = true;
        connector->phase = PHASE_TUNNELLING;
        ask_proxy(connector);
    } else if (target->tls && !connector->secured) {
        connector->secured = true;
        connector->phase = PHASE_SECURING;
        stream_start_tls(connector->stream, target->tls, target->host.data);
    } else {
        succeed(connector);
    }
}

/* ---- The race -------------------------------------------------------------------------------- */

static void race_on(void *user);

static void on_attempt_open(void *user)
{
    static const struct stream_events events = {.on_open = on_chosen_open,
                                                .on_data = on_chosen_data,
                                                .on_end = on_chosen_end,
                                                .on_close = on_chosen_close};
    struct attempt *attempt = user;
    struct connector *connector = attempt->connector;
    connector->stream = attempt->stream;
    attempt->stream = NULL;
    abort_attempts(connector);
    loop_timer_cancel(connector->loop, &connector->stagger);
    stream_set_events(connector->stream, &events, connector);
    proceed(connector);
}

static void on_attempt_close(void *user, enum err code, const char *detail)
{
    struct attempt *attempt = user;
    struct connector *connector = attempt->connector;
    (void)code;
    attempt->stream = NULL;
    connector->open_count--;
    str_copy(str_from_cstr(detail), connector->detail, sizeof connector->detail);
    race_on(connector);
}

/* Tries the next address; one for which there is not even a socket counts as failed. */
static void race_on(void *user)
{
    static const struct stream_events events = {.on_open = on_attempt_open,
                                                .on_close = on_attempt_close};
    struct connector *connector = user;
    while (connector->next < connector->attempt_count) {
        struct attempt *attempt = &connector->attempts[connector->next++];
        const struct resolver_address *address = &attempt->address;
        struct error error = {0};
        attempt->stream = stream_connect(connector->loop, &address->any, address->length, NULL,
                                         NULL, &events, attempt, &error);
        if (attempt->stream) {
            connector->open_count++;
            break;
        }
        str_copy(str_from_cstr(error.message), connector->detail, sizeof connector->detail);
    }
    if (connector->next < connector->attempt_count)
        loop_timer_set(connector->loop, &connector->stagger, CONNECTOR_STAGGER_MS, race_on,
                       connector);
    else
        loop_timer_cancel(connector->loop, &connector->stagger);
    if (connector->open_count == 0)
        fail(connector, connector->detail);
}

static void set_addresses(struct connector *connector, const struct resolver_address *addresses,
                          size_t count)
{
    connector->attempts = calloc(count, sizeof *connector->attempts);
    ASSERT(connector->attempts);
    connector->attempt_count = count;
    for (size_t i = 0; i < count; i++) {
        connector->attempts[i].connector = connector;
        connector->attempts[i].address = addresses[i];
    }
}

static void begin_race(void *user)
{
    struct connector *connector = user;
    connector->phase = PHASE_RACING;
    race_on(connector);
}

static void on_resolved(void *user, const struct resolver_addresses *addresses,
                        const struct error *error)
{
    struct connector *connector = user;
    if (error) {
        fail(connector, error->message);
        return;
    }
    set_addresses(connector, addresses->items, addresses->count);
    begin_race(connector);
}

struct connector *connector_start(struct loop *loop, struct resolver *resolver,
                                  const struct connector_target *target, uint64_t timeout_ms,
                                  const struct connector_events *events, void *user)
{
    struct connector *connector = calloc(1, sizeof *connector);
    ASSERT(connector);
    connector->loop = loop;
    connector->target = *target;
    connector->events = events;
    connector->user = user;
    connector->timeout_ms = timeout_ms;
    if (timeout_ms)
        loop_timer_set(loop, &connector->deadline, timeout_ms, on_deadline, connector);
    if (target->unix_path.len) {
        struct resolver_address address;
        ASSERT(resolver_unix_address(target->unix_path, &address));
        set_addresses(connector, &address, 1);
        loop_defer(loop, &connector->begin, begin_race, connector);
    } else {
        struct str host = target->proxy ? target->proxy->host : target->host;
        uint16_t port = target->proxy ? target->proxy->port : target->port;
        resolver_start(resolver, &connector->query, host, port, on_resolved, connector);
    }
    return connector;
}
