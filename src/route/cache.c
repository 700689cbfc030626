/* Cache: a table by a keyed hash of the whole key, which nobody outside can aim at, and a list by
 * last use. The hash alone proves nothing: keys are compared byte by byte. Two keys of one hash push
 * each other out.
 *
 * One lock guards table and list and is held for neither hashing, comparing nor freeing: entries never
 * change and are counted. */
#include "route/cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/crypto.h"
#include "base/map.h"
#include "base/random.h"
#include "route/block.h"

static const struct metric_definition metric_requests = {
    "parley_cache_requests_total", "Requests that the response cache could have answered.",
    METRIC_COUNTER, NULL, 0};
static const struct metric_definition metric_evictions = {
    "parley_cache_evictions_total", "Answers that left the response cache for want of room.",
    METRIC_COUNTER, NULL, 0};
static const struct metric_definition metric_bytes = {
    "parley_cache_bytes", "Memory of the answers in the response cache.", METRIC_GAUGE, NULL, 0};

struct cache {
    pthread_mutex_t lock;
    struct map *entries; /* by the bytes of their hash; each holds a reference */
    struct list by_use;  /* the newest first */
    size_t bytes;
    size_t bytes_max;
    unsigned char secret[FAST_HASH_SECRET_BYTES];
    struct metric *hits;
    struct metric *misses;
    struct metric *evictions;
    struct metric *shown_bytes;
};

struct cache *cache_new(size_t bytes_max, struct metric_registry *metrics)
{
    struct cache *cache = calloc(1, sizeof *cache);
    ASSERT(cache);
    ASSERT(pthread_mutex_init(&cache->lock, NULL) == 0);
    cache->entries = map_new();
    list_init(&cache->by_use);
    cache->bytes_max = bytes_max;
    random_bytes(cache->secret, sizeof cache->secret);
    cache->hits = metric_get(metrics, &metric_requests, "result=\"hit\"");
    cache->misses = metric_get(metrics, &metric_requests, "result=\"miss\"");
    cache->evictions = metric_get(metrics, &metric_evictions, "");
    cache->shown_bytes = metric_get(metrics, &metric_bytes, "");
    return cache;
}

static struct str name_of(const uint64_t *hash)
{
    return STR_FROM((const char *)hash, sizeof *hash);
}

/* Takes an entry out, into the list of what is to be given back outside the lock. */
static void take_out(struct cache *cache, struct cache_entry *entry, struct list *gone)
{
    map_remove(cache->entries, name_of(&entry->hash));
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
    map_free(cache->entries);
    pthread_mutex_destroy(&cache->lock);
    free(cache);
}

void cache_entry_unref(struct cache_entry *entry)
{
    if (!entry || atomic_fetch_sub(&entry->references, 1) != 1)
        return;
    facts_unref(entry->facts);
    free(entry->text);
    free((char *)entry->tape.data);
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
    struct cache_entry *entry = map_get(cache->entries, name_of(&hash));
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

static struct cache_entry *entry_new(const struct cache_entry *from)
{
    struct cache_entry *entry = malloc(sizeof *entry);
    ASSERT(entry);
    *entry = *from;
    entry->references = 1;
    entry->link = (struct list){0};
    entry->size = sizeof *from + from->key.len + from->flags.len + from->content_type.len +
                  from->tape.len + facts_size(from->facts);
    return entry;
}

/* Makes room for an entry and puts it in; under the lock. */
static void put(struct cache *cache, struct cache_entry *entry, struct list *gone)
{
    struct cache_entry *before = map_get(cache->entries, name_of(&entry->hash));
    if (before)
        take_out(cache, before, gone);
    while (cache->bytes + entry->size > cache->bytes_max) {
        take_out(cache, LIST_ENTRY(cache->by_use.previous, struct cache_entry, link), gone);
        metric_add(cache->evictions, 1);
    }
    map_set(cache->entries, name_of(&entry->hash), entry);
    list_prepend(&cache->by_use, &entry->link);
    cache->bytes += entry->size;
    metric_set(cache->shown_bytes, (int64_t)cache->bytes);
}

void cache_keep(struct cache *cache, const struct cache_entry *entry)
{
    struct list gone;
    struct cache_entry *kept = entry_new(entry);
    if (entry->key.len + entry->tape.len > CACHE_ENTRY_BYTES_MAX || kept->size > cache->bytes_max) {
        cache_entry_unref(kept);
        return;
    }
    list_init(&gone);
    pthread_mutex_lock(&cache->lock);
    put(cache, kept, &gone);
    pthread_mutex_unlock(&cache->lock);
    give_back(&gone);
}
