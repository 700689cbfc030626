/* Cache: whole answers that were given before, of all loops: found by the bytes of their key; those
 * that were not used for long go when there is no room. See cache_key.h for what a key is, and
 * router_cache.c for who looks and who keeps. Any thread. Inside route only, but for the cache itself,
 * of which a program has one. */
#pragma once

#include "base/metric.h"
#include "llm/losses.h"
#include "llm/response.h"
#include "route/cache_stem.h"
#include "route/tape.h"

struct cache;
struct cache_client;
struct dialect;

enum { CACHE_ANSWER_BYTES_MAX = 4 * 1024 * 1024 }; /* of one, with its key */

/* Never changes. */
struct cache_answer {
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
};

/* `metrics` is borrowed. Freed after all clients and answers of it were; NULL is allowed. */
struct cache *cache_new(size_t bytes_max, struct metric_registry *metrics);
void cache_free(struct cache *cache);

/* A loop's way to the cache, which it must not outlive: one thread at a time. Free with
 * cache_client_free; NULL is allowed there. */
struct cache_client *cache_client_new(struct cache *cache);
void cache_client_free(struct cache_client *client);

/* The hash of a key, or of the part of it that makes the family, in this cache: taken once for finding
 * and keeping. */
uint64_t cache_hash(struct cache_client *client, struct parts key);

/* Something of that hash is looked for soon: where it is found may not be in the processor's caches. */
void cache_expect(const struct cache_client *client, uint64_t hash);

/* What an answer is kept under. Keys of one family are expected to have much in common. */
struct cache_id {
    struct parts key;
    uint64_t hash, family; /* by cache_hash */
};
struct cache_wanted {
    struct cache_id id;
    uint64_t now_ms;
    uint64_t age_max_ms; /* older ones are left */
};
/* The answer under that key, which is not older than it may live: it stays for whoever has it, until
 * cache_let_go. NULL: there is none, and *ret_name is the name that one should be kept under, in the
 * arena, or all zero. `ret_name`: NULL when none will be kept. */
const struct cache_answer *cache_find(struct cache_client *client,
                                      const struct cache_wanted *wanted, struct arena *arena,
                                      struct cache_name *ret_name);
/* NULL is allowed. */
void cache_let_go(const struct cache_answer *answer);
/* Keeps an answer in place of the one that was there, and lets others go for it. It is copied with all
 * its texts, losses and tape. `name`: from cache_find, taken over; or all zero. One that is too large is
 * not kept. */
void cache_keep(struct cache_client *client, const struct cache_id *id, struct cache_name name,
                const struct cache_answer *answer);

/* Counts a request that could have been answered out of the cache, and whether it was. */
void cache_count(struct cache *cache, bool was_hit);
