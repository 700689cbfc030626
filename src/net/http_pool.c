/* Pool of kept-alive connections. Stands between http_client.c, which takes and gives, and the
 * streams.
 *
 *   http_upstream_new --> in use --http_upstream_keep--> idle --http_pool_take--> in use
 *                             |                               |
 *             http_upstream_close        on_idle_data, on_idle_end, on_idle_close, on_expiry,
 *                             |                       too many idle
 *                             +------------> freed <----------+
 *
 * Every idle connection waits equally long, so one list by age and one timer serve them all. */
#include "net/http_pool.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/map.h"

enum {
    HOST_BYTES_MAX = 255,
    AUTHORITY_BYTES_MAX = HOST_BYTES_MAX + 8, /* brackets, colon, port */
    KEY_BYTES_MAX = AUTHORITY_BYTES_MAX + 1,
    IDLE_ALL_MAX = 1024 /* over all origins: the oldest gives way */
};

struct http_pool {
    struct loop *loop;
    size_t idle_max;
    uint64_t idle_timeout_ms;
    struct map *origins; /* struct http_origin by key */
    struct list by_age;  /* struct http_upstream, the longest idle first */
    size_t idle_count;
    struct loop_timer expiry;
};

/* An origin and the texts it points to. */
struct origin_memory {
    struct http_origin origin;
    struct str key;
    char host[HOST_BYTES_MAX + 1];
    char authority[AUTHORITY_BYTES_MAX + 1];
    char key_text[KEY_BYTES_MAX + 1];
};

struct http_pool *http_pool_new(struct loop *loop, size_t idle_max, uint64_t idle_timeout_ms)
{
    struct http_pool *pool = calloc(1, sizeof *pool);
    ASSERT(pool);
    pool->loop = loop;
    pool->idle_max = idle_max;
    pool->idle_timeout_ms = idle_timeout_ms;
    pool->origins = map_new();
    list_init(&pool->by_age);
    return pool;
}

void http_pool_free(struct http_pool *pool)
{
    if (!pool)
        return;
    LIST_EACH (&pool->by_age, link)
        http_upstream_close(LIST_ENTRY(link, struct http_upstream, by_age), false);
    ASSERT(map_count(pool->origins) == 0);
    loop_timer_cancel(pool->loop, &pool->expiry);
    map_free(pool->origins);
    free(pool);
}

size_t http_pool_idle_count(const struct http_pool *pool)
{
    return pool->idle_count;
}

/* ---- Origins --------------------------------------------------------------------------------- */

/* By hand, for every request has one: 's' with TLS, 'h' without, 'u' for a Unix socket; then the authority or the path. */
static struct str write_key(char ret_key[KEY_BYTES_MAX + 1], bool tls, struct str host,
                            bool host_is_ipv6, uint16_t port, struct str unix_path)
{
    char *at = ret_key;
    *at++ = unix_path.len ? 'u' : tls ? 's' : 'h';
    ASSERT(host.len <= HOST_BYTES_MAX && unix_path.len < KEY_BYTES_MAX);
    if (unix_path.len) {
        memcpy(at, unix_path.data, unix_path.len);
        return STR_FROM(ret_key, 1 + unix_path.len);
    }
    if (host_is_ipv6)
        *at++ = '[';
    for (size_t i = 0; i < host.len; i++) {
        char c = host.data[i];
        *at++ = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
    }
    if (host_is_ipv6)
        *at++ = ']';
    *at++ = ':';
    at += str_from_u64(port, at);
    return STR_FROM(ret_key, (size_t)(at - ret_key));
}

/* Fills the texts from the key: all of them are parts of it. */
static void describe_origin(struct origin_memory *memory, struct str host, bool host_is_ipv6,
                            bool is_unix)
{
    struct http_origin *origin = &memory->origin;
    struct str rest = str_skip(memory->key, 1);
    if (is_unix) {
        origin->unix_path = rest;
        origin->host = STR("");
        origin->authority = STR("localhost");
        return;
    }
    str_copy(str_slice(rest, host_is_ipv6, host.len), memory->host, sizeof memory->host);
    origin->host = str_from_cstr(memory->host);
    bool is_default = origin->port == (origin->tls ? 443 : 80);
    size_t length = host.len + (host_is_ipv6 ? 2 : 0);
    str_copy(is_default ? str_slice(rest, 0, length) : rest, memory->authority,
             sizeof memory->authority);
    origin->authority = str_from_cstr(memory->authority);
}

struct http_origin *http_pool_origin(struct http_pool *pool, bool tls, struct str host,
                                     bool host_is_ipv6, uint16_t port, struct str unix_path)
{
    char key_text[KEY_BYTES_MAX + 1];
    struct str key = write_key(key_text, tls, host, host_is_ipv6, port, unix_path);
    struct origin_memory *memory = map_get(pool->origins, key);
    if (memory)
        return http_origin_ref(&memory->origin);
    memory = calloc(1, sizeof *memory);
    ASSERT(memory);
    memory->origin = (struct http_origin){.pool = pool, .references = 1, .tls = tls, .port = port};
    list_init(&memory->origin.idle);
    memcpy(memory->key_text, key_text, key.len);
    memory->key = STR_FROM(memory->key_text, key.len);
    describe_origin(memory, host, host_is_ipv6, unix_path.len > 0);
    map_set(pool->origins, key, memory);
    return &memory->origin;
}

struct http_origin *http_origin_ref(struct http_origin *origin)
{
    origin->references++;
    return origin;
}

void http_origin_unref(struct http_origin *origin)
{
    ASSERT(origin->references > 0);
    if (--origin->references > 0)
        return;
    struct origin_memory *memory = LIST_ENTRY(origin, struct origin_memory, origin);
    map_remove(origin->pool->origins, memory->key);
    free(memory);
}

/* ---- Connections ----------------------------------------------------------------------------- */

struct http_upstream *http_upstream_new(struct http_origin *origin, struct stream *stream)
{
    struct http_upstream *upstream = calloc(1, sizeof *upstream);
    ASSERT(upstream);
    upstream->origin = http_origin_ref(origin);
    upstream->stream = stream;
    return upstream;
}

static void take_out(struct http_upstream *upstream)
{
    struct http_origin *origin = upstream->origin;
    if (!list_is_linked(&upstream->by_origin))
        return;
    list_remove(&upstream->by_origin);
    list_remove(&upstream->by_age);
    origin->idle_count--;
    origin->pool->idle_count--;
}

void http_upstream_close(struct http_upstream *upstream, bool politely)
{
    static const struct stream_events nothing = {0};
    take_out(upstream);
    if (upstream->stream && politely) {
        stream_set_events(upstream->stream, &nothing, NULL);
        stream_close(upstream->stream);
    } else if (upstream->stream) {
        stream_abort(upstream->stream);
    }
    http_origin_unref(upstream->origin);
    free(upstream);
}

static void on_idle_data(void *user, char *data, size_t len)
{
    (void)data;
    (void)len;
    http_upstream_close(user, false);
}

static void on_idle_end(void *user)
{
    http_upstream_close(user, true);
}

static void on_idle_close(void *user, enum err code, const char *detail)
{
    struct http_upstream *upstream = user;
    (void)code;
    (void)detail;
    upstream->stream = NULL;
    http_upstream_close(upstream, true);
}

static struct http_upstream *oldest(const struct http_pool *pool)
{
    if (list_is_empty(&pool->by_age))
        return NULL;
    return LIST_ENTRY(pool->by_age.next, struct http_upstream, by_age);
}

static void on_expiry(void *user)
{
    struct http_pool *pool = user;
    uint64_t now_ms = loop_now_ms(pool->loop);
    struct http_upstream *upstream;
    while ((upstream = oldest(pool))) {
        uint64_t due_ms = upstream->idle_since_ms + pool->idle_timeout_ms;
        if (due_ms > now_ms) {
            loop_timer_set(pool->loop, &pool->expiry, due_ms - now_ms, on_expiry, pool);
            return;
        }
        http_upstream_close(upstream, true);
    }
}

struct http_upstream *http_pool_take(struct http_origin *origin)
{
    if (list_is_empty(&origin->idle))
        return NULL;
    struct http_upstream *upstream = LIST_ENTRY(origin->idle.next, struct http_upstream, by_origin);
    take_out(upstream);
    return upstream;
}

void http_pool_drop_idle(struct http_origin *origin)
{
    LIST_EACH (&origin->idle, link)
        http_upstream_close(LIST_ENTRY(link, struct http_upstream, by_origin), true);
}

void http_upstream_keep(struct http_upstream *upstream)
{
    static const struct stream_events events = {
        .on_data = on_idle_data, .on_end = on_idle_end, .on_close = on_idle_close};
    struct http_origin *origin = upstream->origin;
    struct http_pool *pool = origin->pool;
    stream_set_events(upstream->stream, &events, upstream);
    upstream->idle_since_ms = loop_now_ms(pool->loop);
    list_prepend(&origin->idle, &upstream->by_origin);
    list_append(&pool->by_age, &upstream->by_age);
    origin->idle_count++;
    pool->idle_count++;
    if (origin->idle_count > pool->idle_max)
        http_upstream_close(LIST_ENTRY(origin->idle.previous, struct http_upstream, by_origin),
                            true);
    else if (pool->idle_count > IDLE_ALL_MAX)
        http_upstream_close(oldest(pool), true);
    /* Set ahead of need it finds nothing due and sets itself again: cheaper than moving it. */
    if (!loop_timer_is_set(&pool->expiry))
        loop_timer_set(pool->loop, &pool->expiry, pool->idle_timeout_ms, on_expiry, pool);
}
