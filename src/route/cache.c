/* Cache: a table by a keyed hash of the whole key, which nobody outside can aim at, and a list by
 * last use. The hash alone proves nothing: keys are compared byte by byte. Two keys of one hash push
 * each other out.
 *
 * One lock guards table and list and is held for neither hashing, comparing, copying nor freeing:
 * entries never change and are counted. */
#include "route/cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/aside.h"
#include "base/assert.h"
#include "base/crypto.h"
#include "base/random.h"

static const struct metric_definition metric_requests = {
    "parley_cache_requests_total", "Requests that the response cache could have answered.",
    METRIC_COUNTER, NULL, 0};
static const struct metric_definition metric_evictions = {
    "parley_cache_evictions_total", "Answers that left the response cache for want of room.",
    METRIC_COUNTER, NULL, 0};
static const struct metric_definition metric_bytes = {
    "parley_cache_bytes", "Memory of the answers in the response cache.", METRIC_GAUGE, NULL, 0};

/* A table of so many entries' size that chains stay short, made at once. */
enum { BYTES_PER_BUCKET = 1024, BUCKETS_MAX = 1024 * 1024 };

struct cache {
    pthread_mutex_t lock;
    struct cache_entry **buckets; /* chains; each entry is referenced once */
    size_t bucket_count;          /* a power of two */
    struct list by_use;           /* the newest first */
    size_t bytes;
    size_t bytes_max;
    unsigned char secret[FAST_HASH_SECRET_BYTES];
    struct metric *hits;
    struct metric *misses;
    struct metric *evictions;
    struct metric *shown_bytes;
};

static size_t buckets_for(size_t bytes_max)
{
    size_t count = 1;
    while (count < BUCKETS_MAX && count < bytes_max / BYTES_PER_BUCKET)
        count *= 2;
    return count;
}

struct cache *cache_new(size_t bytes_max, struct metric_registry *metrics)
{
    struct cache *cache = calloc(1, sizeof *cache);
    ASSERT(cache);
    ASSERT(pthread_mutex_init(&cache->lock, NULL) == 0);
    cache->bucket_count = buckets_for(bytes_max);
    cache->buckets = calloc(cache->bucket_count, sizeof(struct cache_entry *));
    ASSERT(cache->buckets);
    list_init(&cache->by_use);
    cache->bytes_max = bytes_max;
    random_bytes(cache->secret, sizeof cache->secret);
    cache->hits = metric_get(metrics, &metric_requests, "result=\"hit\"");
    cache->misses = metric_get(metrics, &metric_requests, "result=\"miss\"");
    cache->evictions = metric_get(metrics, &metric_evictions, "");
    cache->shown_bytes = metric_get(metrics, &metric_bytes, "");
    return cache;
}

/* What points to the entry of that hash, or to NULL where it would be. */
static struct cache_entry **slot_of(struct cache *cache, uint64_t hash)
{
    struct cache_entry **slot = &cache->buckets[hash & (cache->bucket_count - 1)];
    while (*slot && (*slot)->hash != hash)
        slot = &(*slot)->next;
    return slot;
}

/* Takes an entry out, into the list of what is to be given back outside the lock. */
static void take_out(struct cache *cache, struct cache_entry *entry, struct list *gone)
{
    *slot_of(cache, entry->hash) = entry->next;
    list_remove(&entry->link);
    cache->bytes -= entry->size;
    list_append(gone, &entry->link);
}

static void give_back(struct list *gone)
{
    while (!list_is_empty(gone)) {
        struct cache_entry *entry = LIST_ENTRY(gone->next, struct cache_entry, link);
        list_remove(&entry->link);
        cache_entry_unref(entry);
    }
}

void cache_free(struct cache *cache)
{
    if (!cache)
        return;
    give_back(&cache->by_use);
    free(cache->buckets);
    pthread_mutex_destroy(&cache->lock);
    free(cache);
}

void cache_entry_unref(struct cache_entry *entry)
{
    if (!entry || atomic_fetch_sub(&entry->references, 1) != 1)
        return;
    free(entry);
}

void cache_count(struct cache *cache, bool was_hit)
{
    metric_add(was_hit ? cache->hits : cache->misses, 1);
}

/* ---- Finding --------------------------------------------------------------------------------- */

static uint64_t age_ms(const struct cache_entry *entry, uint64_t now_ms)
{
    return now_ms > entry->kept_ms ? now_ms - entry->kept_ms : 0;
}

/* The entry of that hash, as the one that was used last; under the lock. */
static struct cache_entry *use(struct cache *cache, uint64_t hash, uint64_t now_ms,
                               struct list *gone)
{
    struct cache_entry *entry = *slot_of(cache, hash);
    if (!entry)
        return NULL;
    if (age_ms(entry, now_ms) >= entry->lives_ms) {
        take_out(cache, entry, gone);
        metric_set(cache->shown_bytes, (int64_t)cache->bytes);
        return NULL;
    }
    list_remove(&entry->link);
    list_prepend(&cache->by_use, &entry->link);
    atomic_fetch_add(&entry->references, 1);
    return entry;
}

uint64_t cache_hash(const struct cache *cache, struct str key)
{
    return fast_hash(cache->secret, key);
}

struct cache_entry *cache_find(struct cache *cache, struct str key, uint64_t hash, uint64_t now_ms,
                               uint64_t age_max_ms)
{
    struct list gone;
    list_init(&gone);
    pthread_mutex_lock(&cache->lock);
    struct cache_entry *entry = use(cache, hash, now_ms, &gone);
    pthread_mutex_unlock(&cache->lock);
    give_back(&gone);
    if (!entry || (str_eq(entry->key, key) && age_ms(entry, now_ms) <= age_max_ms))
        return entry;
    cache_entry_unref(entry);
    return NULL;
}

/* ---- Keeping --------------------------------------------------------------------------------- */

static struct str put(char **at, struct str text)
{
    copy_aside(*at, text.data, text.len);
    struct str copy = STR_FROM(*at, text.len);
    *at += text.len;
    return copy;
}

enum { CHUNK_ALIGN = _Alignof(struct tape_chunk) };
/* Sizes are rounded, so that a new entry often fits the memory of the one that goes for it. */
enum { SIZE_STEP = 512 };

static size_t size_of_chunk(const struct tape_chunk *chunk)
{
    return (sizeof *chunk + chunk->len + CHUNK_ALIGN - 1) / CHUNK_ALIGN * CHUNK_ALIGN;
}

static size_t size_of(const struct cache_entry *entry)
{
    size_t size = sizeof *entry + entry->loss_count * sizeof *entry->losses + entry->key.len +
                  entry->flags.len + entry->content_type.len + entry->target.len +
                  entry->provider.len + CHUNK_ALIGN;
    for (const struct tape_chunk *chunk = entry->tape; chunk; chunk = chunk->next)
        size += size_of_chunk(chunk);
    return (size + SIZE_STEP - 1) / SIZE_STEP * SIZE_STEP;
}

/* The chunks one behind the other, without the room that they have left. */
static const struct tape_chunk *put_tape(char **at, const struct tape_chunk *from)
{
    struct tape_chunk *first = NULL, **link = &first;
    for (; from; from = from->next) {
        struct tape_chunk *chunk = (struct tape_chunk *)(void *)*at;
        *chunk = (struct tape_chunk){.len = from->len, .capacity = from->len};
        copy_aside(chunk->bytes, from->bytes, from->len);
        *link = chunk;
        link = &chunk->next;
        *at += size_of_chunk(from);
    }
    return first;
}

/* What must be aligned stands first. `room`: memory of that size. */
static struct cache_entry *put_entry(void *room, const struct cache_entry *from, size_t size)
{
    const struct str losses = {(const char *)from->losses, from->loss_count * sizeof *from->losses};
    struct cache_entry *entry = room;
    char *at = (char *)(entry + 1);
    *entry = *from;
    entry->references = 1;
    entry->link = (struct list){0};
    entry->size = size;
    entry->tape = put_tape(&at, from->tape);
    entry->losses = (const struct llm_loss *)(const void *)put(&at, losses).data;
    entry->key = put(&at, from->key);
    entry->flags = put(&at, from->flags);
    entry->content_type = put(&at, from->content_type);
    entry->target = put(&at, from->target);
    entry->provider = put(&at, from->provider);
    return entry;
}

/* One that goes soon is not in the processor's caches. */
static void expect_to_go(const struct list *link)
{
    const char *entry = (const char *)LIST_ENTRY(link, struct cache_entry, link);
    __builtin_prefetch(entry, 1);
    __builtin_prefetch(entry + 64, 1);
}

/* Under the lock. */
static void make_room(struct cache *cache, size_t size, struct list *gone)
{
    while (cache->bytes + size > cache->bytes_max) {
        take_out(cache, LIST_ENTRY(cache->by_use.previous, struct cache_entry, link), gone);
        metric_add(cache->evictions, 1);
    }
}

/* Memory for an entry: of one that has gone, if it fits and nobody reads it. */
static void *find_memory(struct cache *cache, size_t size)
{
    void *memory = NULL;
    struct list gone;
    list_init(&gone);
    pthread_mutex_lock(&cache->lock);
    make_room(cache, size, &gone);
    pthread_mutex_unlock(&cache->lock);
    while (!list_is_empty(&gone)) {
        struct cache_entry *entry = LIST_ENTRY(gone.next, struct cache_entry, link);
        list_remove(&entry->link);
        if (atomic_fetch_sub(&entry->references, 1) != 1)
            continue;
        if (!memory && entry->size == size)
            memory = entry;
        else
            free(entry);
    }
    if (!memory)
        memory = malloc(size);
    ASSERT(memory);
    return memory;
}

/* Under the lock: others may have taken the room meanwhile. */
static void insert(struct cache *cache, struct cache_entry *entry, struct list *gone)
{
    struct cache_entry *before = *slot_of(cache, entry->hash);
    if (before)
        take_out(cache, before, gone);
    make_room(cache, entry->size, gone);
    struct cache_entry **slot = &cache->buckets[entry->hash & (cache->bucket_count - 1)];
    entry->next = *slot;
    *slot = entry;
    list_prepend(&cache->by_use, &entry->link);
    cache->bytes += entry->size;
    expect_to_go(cache->by_use.previous->previous);
    metric_set(cache->shown_bytes, (int64_t)cache->bytes);
}

void cache_keep(struct cache *cache, const struct cache_entry *entry)
{
    struct list gone;
    size_t size = size_of(entry);
    if (size > CACHE_ENTRY_BYTES_MAX || size > cache->bytes_max)
        return;
    struct cache_entry *kept = put_entry(find_memory(cache, size), entry, size);
    list_init(&gone);
    pthread_mutex_lock(&cache->lock);
    insert(cache, kept, &gone);
    pthread_mutex_unlock(&cache->lock);
    give_back(&gone);
}
