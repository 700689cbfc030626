/* Request log: between dispatch and the store. What is kept is copied while it passes; the store
 * writes it when the exchange has ended, and nobody waits for that. While the database takes nothing,
 * so many bytes wait; what comes then is dropped. */
#include "api/request_log.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "account/policy.h"
#include "base/assert.h"
#include "base/clock.h"
#include "store/record_kept.h"

enum { LIST_DEFAULT = 50, LIST_MAX = 200 };
enum { WAITING_BYTES_DEFAULT = 64 << 20, ENTRY_OVERHEAD_BYTES = 4096 };

/* Of one loop; freed with the last entry, which the store may have when the loop is gone. */
struct request_log {
    _Atomic int references;
    _Atomic size_t waiting_bytes; /* given to the store and not written yet */
    _Atomic bool dropping;        /* the log has said so */
    size_t bytes_max;
    struct log *log;
    struct metric *dropped_total; /* NULL: nobody counts */
};

/* One request being kept; its own from here until it is stored. */
struct entry {
    struct store *store;
    struct request_log *owner;
    size_t bytes; /* while it waits for the store */
    struct store_job job;
    struct arena *arena; /* of the row's texts; the entry is in it */
    struct store_request row;
    struct buf answer;
    uint64_t start_ns;
};

static const struct metric_definition metric_dropped = {
    "parley_request_log_dropped_total",
    "Requests that were not kept, for too many waited for the database.", METRIC_COUNTER, NULL, 0};

struct request_log *request_log_new(size_t bytes_max, struct metric_registry *metrics,
                                    struct log *log)
{
    struct request_log *owner = calloc(1, sizeof *owner);
    ASSERT(owner);
    owner->references = 1;
    owner->bytes_max = bytes_max ? bytes_max : WAITING_BYTES_DEFAULT;
    owner->log = log;
    if (metrics)
        owner->dropped_total = metric_get(metrics, &metric_dropped, "");
    return owner;
}

void request_log_free(struct request_log *owner)
{
    if (owner && atomic_fetch_sub(&owner->references, 1) == 1)
        free(owner);
}

static struct str cut(struct str body)
{
    return str_slice(body, 0, REQUEST_LOG_BODY_BYTES_MAX);
}

static void on_status(void *user, int status)
{
    struct entry *entry = user;
    entry->row.status = status;
}

static void on_bytes(void *user, struct str bytes)
{
    struct entry *entry = user;
    size_t room = REQUEST_LOG_BODY_BYTES_MAX - entry->answer.len;
    entry->row.answer_bytes += (int64_t)bytes.len;
    buf_append(&entry->answer, str_slice(bytes, 0, room));
}

/* On a store thread. */
static enum err run(struct store_tx *tx, void *user, struct error *error)
{
    const struct entry *entry = user;
    enum err code = store_request_delete_expired(tx, clock_wall_ms(), error);
    if (code == ERR_OK)
        code = store_request_insert(tx, &entry->row, error);
    return code == ERR_OK ? store_kept_make_room(tx, KEPT_REQUEST, &entry->row.key,
                                                 REQUEST_LOG_KEY_BYTES_MAX, error)
                          : code;
}

static void entry_free(struct entry *entry)
{
    request_log_free(entry->owner);
    buf_done(&entry->answer);
    arena_free(entry->arena); /* the entry is in it */
}

/* Whether there is room for it among those that wait; then it waits. */
static bool take_room(struct entry *entry)
{
    struct request_log *owner = entry->owner;
    entry->bytes = ENTRY_OVERHEAD_BYTES + entry->row.request.len + entry->row.answer.len;
    size_t before = atomic_fetch_add(&owner->waiting_bytes, entry->bytes);
    if (before + entry->bytes <= owner->bytes_max)
        return true;
    atomic_fetch_sub(&owner->waiting_bytes, entry->bytes);
    return false;
}

static void drop(struct entry *entry)
{
    struct request_log *owner = entry->owner;
    if (owner->dropped_total)
        metric_add(owner->dropped_total, 1);
    if (!atomic_exchange(&owner->dropping, true))
        log_warning(owner->log, "requests are not kept: too many wait for the database",
                    LOG_INT("bytes", owner->bytes_max));
    entry_free(entry);
}

/* On a thread of the store's. What was dropped is told again once half of the others are gone. */
static void on_stored(void *user, enum err code, const struct error *error)
{
    struct entry *entry = user;
    struct request_log *owner = entry->owner;
    size_t left = atomic_fetch_sub(&owner->waiting_bytes, entry->bytes) - entry->bytes;
    if (code != ERR_OK)
        log_warning(owner->log, "a request was not kept", LOG_CSTR("error", error_message(error)));
    else if (left < owner->bytes_max / 2)
        atomic_store(&owner->dropping, false);
    entry_free(entry);
}

static void on_end(void *user)
{
    struct entry *entry = user;
    entry->row.answer = buf_str(&entry->answer);
    entry->row.duration_ms = (int64_t)((clock_monotonic_ns() - entry->start_ns) / 1000000);
    entry->job = (struct store_job){.run = run, .done = on_stored, .user = entry};
    if (take_room(entry))
        store_write(entry->store, NULL, &entry->job);
    else
        drop(entry);
}

static struct entry *entry_new(struct api_request *request, const struct policy *policy)
{
    const struct http_request *http = request->http;
    struct arena *arena = arena_new(SIZE_MAX);
    struct entry *entry = ARENA_NEW(arena, struct entry);
    int64_t now_ms = clock_wall_ms();
    entry->arena = arena;
    entry->store = request->api->options.store;
    entry->owner = request->api->request_log;
    atomic_fetch_add(&entry->owner->references, 1);
    entry->start_ns = clock_monotonic_ns();
    buf_init(&entry->answer, REQUEST_LOG_BODY_BYTES_MAX);
    entry->row = (struct store_request){
        .key = policy->who.key,
        .id = id_new(now_ms),
        .owner = policy->who.user,
        .request_id = arena_str(arena, http_exchange_id(request->exchange)),
        .expires_ms = now_ms + (int64_t)policy->keep_bodies_hours * 3600 * 1000,
        .method = http_method_name(http->method),
        .path = arena_str(arena, request->path),
        .request = arena_str(arena, cut(http->body)),
        .request_bytes = (int64_t)http->body.len,
    };
    return entry;
}

void request_log_begin(struct api_request *request)
{
    static const struct http_witness witness = {on_status, on_bytes, on_end};
    if (request->who.kind != PRINCIPAL_KEY || !request->endpoint->dialect)
        return;
    const struct policy *policy = api_policy(request);
    if (policy && policy->keeps_bodies)
        http_exchange_set_witness(request->exchange, &witness, entry_new(request, policy));
}

/* ---- Reading --------------------------------------------------------------------------------- */

struct reading {
    struct api_request *request;
    struct store_job job;
    struct id key;
    struct id id; /* none: a list */
    struct str before;
    int limit;
    struct store_request one;
    struct store_request *list;
    size_t count;
};

static enum err read_one(struct store_tx *tx, void *user, struct error *error)
{
    struct reading *reading = user;
    return store_request_get(tx, reading->request->arena, &reading->key, &reading->id,
                             clock_wall_ms(), &reading->one, error);
}

static enum err read_list(struct store_tx *tx, void *user, struct error *error)
{
    struct reading *reading = user;
    return store_request_list(tx, reading->request->arena, &reading->key, reading->before,
                              clock_wall_ms(), reading->limit, &reading->list, &reading->count,
                              error);
}

static void write_row(struct json_writer *w, const struct store_request *row)
{
    json_key_str(w, "id", id_str(&row->id));
    json_key_str(w, "key", id_str(&row->key));
    json_key_str(w, "request_id", row->request_id);
    json_key_time(w, "expires_at", row->expires_ms);
    json_key_str(w, "method", row->method);
    json_key_str(w, "path", row->path);
    json_key_int(w, "status", row->status);
    json_key_int(w, "duration_ms", row->duration_ms);
    json_key_int(w, "request_bytes", row->request_bytes);
    json_key_int(w, "answer_bytes", row->answer_bytes);
}

static void on_one(void *user, enum err code, const struct error *error)
{
    struct reading *reading = user;
    struct api_reply reply;
    if (api_failed(reading->request, code, error))
        return;
    api_reply_begin(&reply);
    write_row(&reply.w, &reading->one);
    json_key_str(&reply.w, "request", reading->one.request);
    json_key_str(&reply.w, "answer", reading->one.answer);
    api_reply(reading->request, 200, &reply);
}

static void on_list(void *user, enum err code, const struct error *error)
{
    struct reading *reading = user;
    struct api_reply reply;
    if (api_failed(reading->request, code, error))
        return;
    api_reply_begin(&reply);
    json_key_array(&reply.w, "requests");
    for (size_t i = 0; i < reading->count; i++) {
        json_begin_object(&reply.w);
        write_row(&reply.w, &reading->list[i]);
        json_end_object(&reply.w);
    }
    json_end_array(&reply.w);
    api_reply(reading->request, 200, &reply);
}

static void start_reading(struct reading *reading)
{
    const struct api_options *options = &reading->request->api->options;
    bool is_list = id_is_none(&reading->id);
    reading->job = (struct store_job){
        .run = is_list ? read_list : read_one, .done = is_list ? on_list : on_one, .user = reading};
    store_read(options->store, options->loop, &reading->job);
}

static void get_list(struct api_request *request)
{
    struct reading *reading = ARENA_NEW(request->arena, struct reading);
    uint64_t limit = LIST_DEFAULT;
    reading->request = request;
    reading->before = api_query(request, "before");
    struct store_key key;
    if (!api_find_key(request, &key))
        return;
    reading->key = key.id;
    struct str wished = api_query(request, "limit");
    if (wished.data && (!str_to_u64(wished, &limit) || limit == 0 || limit > LIST_MAX)) {
        struct error error = {0};
        error_set(&error, ERR_INVALID, "limit", "must be from 1 to %d", LIST_MAX);
        api_fail(request, ERR_INVALID, &error);
        return;
    }
    reading->limit = (int)limit;
    start_reading(reading);
}

static void get_one(struct api_request *request)
{
    struct reading *reading = ARENA_NEW(request->arena, struct reading);
    reading->request = request;
    struct store_key key;
    if (!api_find_key(request, &key) || !api_parameter_id(request, 1, &reading->id))
        return;
    reading->key = key.id;
    start_reading(reading);
}

const struct endpoint request_log_endpoints[] = {
    {HTTP_GET, "/api/v1/keys/{id}/requests", VERB_KEY_MANAGE, NULL, get_list, NULL, 0,
     "What a key that keeps its bodies has asked, newest first (?limit=, ?before=)."},
    {HTTP_GET, "/api/v1/keys/{id}/requests/{request_id}", VERB_KEY_MANAGE, NULL, get_one, NULL, 0,
     "One of them, with its bodies."},
    {0},
};
