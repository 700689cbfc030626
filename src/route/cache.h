/* Cache: whole answers that were given before, of all loops: found by the bytes of their key, those
 * that were not used for longest go when there is no room. See cache_key.h for what a key is, and
 * router_cache.c for who looks and who keeps. Any thread. Inside route only, but for the cache itself,
 * of which a program has one. */
#pragma once

#include <stdatomic.h>

#include "base/list.h"
#include "base/metric.h"
#include "llm/losses.h"
#include "llm/response.h"
#include "route/tape.h"

struct cache;
struct dialect;

enum { CACHE_ENTRY_BYTES_MAX = 4 * 1024 * 1024 }; /* of one answer with its key */

/* An answer; never changes. One piece of memory. A counted reference, so that it can be told to its
 * end whatever becomes of the cache. */
struct cache_entry {
    _Atomic int references;
    struct list link;         /* the cache's, by last use */
    struct cache_entry *next; /* of the same bucket */
    uint64_t hash;            /* of the key */
    struct str key;
    struct str flags;              /* of the request: its bytes fit only a request with the same */
    struct str content_type;       /* of its bytes */
    const struct tape_chunk *tape; /* of bytes (is_raw) or of events */
    struct str target;             /* who answered: "provider/model" */
    struct str provider;
    const struct llm_loss *losses; /* of the encoding of its request */
    size_t loss_count;
    const struct dialect *dialect; /* of its bytes */
    struct llm_usage usage;        /* that was told beside its bytes, perhaps our estimate */
    bool is_streamed;              /* so it was asked for */
    bool is_raw;                   /* its provider speaks the door's dialect: bytes were kept */
    uint64_t kept_ms;              /* when, by the monotonic clock */
    uint64_t lives_ms;
    size_t size; /* of its memory */
};

/* `metrics` is borrowed. Freed after all routers that have it; NULL is allowed. */
struct cache *cache_new(size_t bytes_max, struct metric_registry *metrics);
void cache_free(struct cache *cache);

/* The hash of a key, in this cache: taken once for finding and keeping. */
uint64_t cache_hash(const struct cache *cache, struct str key);
/* The answer under that key of that hash, which is not older than it may live nor than `age_max_ms`; referenced.
 * NULL: there is none. */
struct cache_entry *cache_find(struct cache *cache, struct str key, uint64_t hash, uint64_t now_ms,
                               uint64_t age_max_ms);
/* Keeps an answer in place of the one that was there, and lets others go for it. `entry` is copied with
 * all its texts, losses and tape; references, link, next and size are not read. One that is too large is not
 * kept. */
void cache_keep(struct cache *cache, const struct cache_entry *entry);
/* NULL is allowed. */
void cache_entry_unref(struct cache_entry *entry);

/* Counts a request that could have been answered out of the cache, and whether it was. */
void cache_count(struct cache *cache, bool was_hit);
