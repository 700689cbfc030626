/* Cache: a table by a keyed hash of the whole key, which nobody outside can aim at. The hash alone
 * proves nothing: keys are compared byte by byte. Two keys of one hash push each other out. A key is
 * kept by its stem: of each family, the last key that was kept whole is one.
 *
 * Entries and stems are blocks of one room: when a new one needs the place, those that were written
 * longest ago go, but for those that were used since it was last their turn.
 *
 * One lock guards all of it and is held for neither hashing nor comparing: what has a pin stays and never
 * changes. It is held for copying an entry, which is a few KiB. */
#include "route/cache.h"

#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

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

/* The table has a bucket for so much room, made at once. */
enum { BYTES_PER_BUCKET = 2048, BUCKETS_MAX = 1024 * 1024, SLOTS = 8 };
/* Families share places. Shorter keys are not worth it; longer ones than this, or than one part of the
 * room in so many, would take it from answers. */
enum { STEMS = 64, STEM_BYTES_MIN = 256, STEM_BYTES_MAX = 64 * 1024, ROOM_PARTS = 4 * STEMS };

struct cache_entry {
    struct cache_block block;
    bool is_in_table; /* or it is only read to its end */
    bool was_used;    /* since it was last its turn to go */

    uint64_t hash; /* of the key */
    struct cache_name name;
    struct cache_answer answer;
};

/* One line of memory says whether a key is there: entries, which are scattered, are looked at only when
 * they are it. */
struct bucket {
    struct slot {
        uint32_t tag;   /* of the entry's hash, what does not choose the bucket */
        uint32_t place; /* of its block; 0: the slot is free */
    } slots[SLOTS];
};
_Static_assert(sizeof(struct bucket) == CACHE_LINE_BYTES, "a bucket is a line");

struct cache {
    pthread_mutex_t lock;
    struct bucket *buckets;
    size_t bucket_count; /* a power of two */
    struct cache_room *room;
    struct cache_stem *stems[STEMS]; /* by family; NULL: none */
    size_t stem_bytes_max;
    size_t bytes; /* of the entries in the table */
    unsigned char secret[FAST_HASH_SECRET_BYTES];
    struct metric *hits;
    struct metric *misses;
    struct metric *evictions;
    struct metric *shown_bytes;
};

struct cache_client {
    struct cache *cache;
    struct fast_hasher *hasher;
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
    cache->room = cache_room_new(bytes_max, cache->bucket_count * sizeof(struct bucket));
    cache->buckets = cache_room_table(cache->room);
    cache->stem_bytes_max =
        bytes_max / ROOM_PARTS < STEM_BYTES_MAX ? bytes_max / ROOM_PARTS : STEM_BYTES_MAX;
    random_bytes(cache->secret, sizeof cache->secret);
    cache->hits = metric_get(metrics, &metric_requests, "result=\"hit\"");
    cache->misses = metric_get(metrics, &metric_requests, "result=\"miss\"");
    cache->evictions = metric_get(metrics, &metric_evictions, "");
    cache->shown_bytes = metric_get(metrics, &metric_bytes, "");
    return cache;
}

void cache_free(struct cache *cache)
{
    if (!cache)
        return;
    cache_room_free(cache->room);

    pthread_mutex_destroy(&cache->lock);
    free(cache);
}

struct cache_client *cache_client_new(struct cache *cache)
{
    struct cache_client *client = malloc(sizeof *client);
    ASSERT(client);
    *client = (struct cache_client){cache, fast_hasher_new(cache->secret)};
    return client;
}

void cache_client_free(struct cache_client *client)
{
    if (!client)
        return;
    fast_hasher_free(client->hasher);
    free(client);
}

void cache_count(struct cache *cache, bool was_hit)
{
    metric_add(was_hit ? cache->hits : cache->misses, 1);
}

uint64_t cache_hash(struct cache_client *client, struct parts key)
{
    return fast_hash_parts(client->hasher, key);
}

/* ---- The table, under the lock --------------------------------------------------------------- */

static struct bucket *bucket_of(const struct cache *cache, uint64_t hash)
{
    return &cache->buckets[hash & (cache->bucket_count - 1)];
}

static uint32_t tag_of(uint64_t hash)
{
    return (uint32_t)(hash >> 32);
}

static struct cache_entry *entry_at(const struct cache *cache, const struct slot *slot)
{
    return (struct cache_entry *)cache_room_at(cache->room, slot->place);
}

/* The slot of the entry of that hash; NULL: there is none. */
static struct slot *slot_of(const struct cache *cache, uint64_t hash)
{
    struct bucket *bucket = bucket_of(cache, hash);
    for (struct slot *slot = bucket->slots; slot < bucket->slots + SLOTS; slot++)
        if (slot->place && slot->tag == tag_of(hash) && entry_at(cache, slot)->hash == hash)
            return slot;
    return NULL;
}

static void take_out(struct cache *cache, struct slot *slot);

/* Where an entry of that hash goes: another has to go for it where all slots are taken. */
static struct slot *free_slot(struct cache *cache, uint64_t hash)
{
    struct bucket *bucket = bucket_of(cache, hash);
    for (struct slot *slot = bucket->slots; slot < bucket->slots + SLOTS; slot++)
        if (!slot->place)
            return slot;
    struct slot *slot = &bucket->slots[tag_of(hash) % SLOTS];
    take_out(cache, slot);
    metric_add(cache->evictions, 1);
    return slot;
}

static void insert(struct cache *cache, struct cache_entry *entry)
{
    *free_slot(cache, entry->hash) =
        (struct slot){tag_of(entry->hash), cache_room_place(cache->room, &entry->block)};
    entry->is_in_table = true;
    cache->bytes += cache_block_size(&entry->block);
    metric_set(cache->shown_bytes, (int64_t)cache->bytes);
}

/* Its block stays until its turn comes. */
static void take_out(struct cache *cache, struct slot *slot)
{
    struct cache_entry *entry = entry_at(cache, slot);
    slot->place = 0;
    entry->is_in_table = false;
    cache->bytes -= cache_block_size(&entry->block);
    metric_set(cache->shown_bytes, (int64_t)cache->bytes);
    cache_stem_unpin(entry->name.stem);
    entry->name.stem = NULL;
}

/* ---- Finding --------------------------------------------------------------------------------- */

static uint64_t age_ms(const struct cache_answer *answer, uint64_t now_ms)
{
    return now_ms > answer->kept_ms ? now_ms - answer->kept_ms : 0;
}

/* The entry of that hash, pinned; under the lock. */
static struct cache_entry *use(struct cache *cache, uint64_t hash, uint64_t now_ms)
{
    struct slot *slot = slot_of(cache, hash);
    if (!slot)
        return NULL;
    struct cache_entry *entry = entry_at(cache, slot);
    if (age_ms(&entry->answer, now_ms) >= entry->answer.lives_ms) {
        take_out(cache, slot);
        return NULL;
    }
    entry->was_used = true;
    atomic_fetch_add(&entry->block.pins, 1);
    return entry;
}

static void unpin(struct cache_entry *entry)
{
    atomic_fetch_sub(&entry->block.pins, 1);
}

void cache_let_go(const struct cache_answer *answer)
{
    if (answer)
        unpin((struct cache_entry *)((char *)answer - offsetof(struct cache_entry, answer)));
}

void cache_expect(const struct cache_client *client, uint64_t hash)
{
    __builtin_prefetch(bucket_of(client->cache, hash), 1);
}

/* Whether it is what is wanted. What it was named by when it was found has pins. */
static bool is_wanted(const struct cache_entry *entry, const struct cache_name *name,
                      const struct cache_wanted *wanted)
{
    return cache_name_is(name, wanted->id.key) &&
           age_ms(&entry->answer, wanted->now_ms) <= wanted->age_max_ms;
}

const struct cache_answer *cache_find(struct cache_client *client,
                                      const struct cache_wanted *wanted, struct arena *arena,
                                      struct cache_name *ret_name)
{
    struct cache *cache = client->cache;
    struct cache_name name = {0};
    pthread_mutex_lock(&cache->lock);
    struct cache_entry *entry = use(cache, wanted->id.hash, wanted->now_ms);
    if (entry)
        name = entry->name;
    else if (ret_name)
        name.stem = cache->stems[wanted->id.family % STEMS];
    cache_stem_pin(name.stem);
    pthread_mutex_unlock(&cache->lock);
    if (ret_name)
        *ret_name =
            entry ? (struct cache_name){0} : cache_name_by(name.stem, wanted->id.key, arena);
    if (!entry)
        return NULL;
    bool is_it = is_wanted(entry, &name, wanted);
    cache_stem_unpin(name.stem);
    if (!is_it)
        unpin(entry);
    return is_it ? &entry->answer : NULL;
}

/* ---- Keeping, under the lock ----------------------------------------------------------------- */

/* An entry that is read, or was used since it was last its turn, stays this time. */
static bool entry_may_go(struct cache *cache, struct cache_entry *entry)
{
    if (!entry->is_in_table)
        return true;
    if (entry->was_used || atomic_load(&entry->block.pins)) {
        entry->was_used = false;
        return false;
    }
    take_out(cache, slot_of(cache, entry->hash));
    metric_add(cache->evictions, 1);
    return true;
}

/* No key is kept by it any more, so that it follows those that are: stems that stayed for good would cut
 * the room to pieces. */
static void retire_stem(struct cache *cache, const struct cache_stem *stem)
{
    for (struct cache_stem **place = cache->stems; place < cache->stems + STEMS; place++)
        if (*place == stem) {
            cache_stem_unpin(*place);
            *place = NULL;
        }
}

static bool may_go(void *user, struct cache_block *block)
{
    if (block->kind != CACHE_BLOCK_STEM)
        return entry_may_go(user, (struct cache_entry *)block);
    retire_stem(user, (const struct cache_stem *)block);
    return true;
}

/* What goes next is out of the processor's caches: its place in the table is fetched, too. */
static struct cache_block *take(struct cache *cache, size_t size, enum cache_block_kind kind)
{
    struct cache_block *block = cache_room_take(cache->room, size, kind, may_go, cache);
    const struct cache_block *next = cache_room_next(cache->room);
    if (next && next->kind == CACHE_BLOCK_ENTRY)
        __builtin_prefetch(bucket_of(cache, ((const struct cache_entry *)next)->hash), 1);
    return block;
}

static bool makes_stem(const struct cache *cache, size_t key_len)
{
    return key_len >= STEM_BYTES_MIN && key_len <= cache->stem_bytes_max;
}

/* The key becomes the stem of its family, and its own name. No stem: there is no room. */
static struct cache_name new_stem(struct cache *cache, const struct cache_id *id)
{
    struct cache_stem **place = &cache->stems[id->family % STEMS];
    size_t len = parts_len(id->key);
    struct cache_block *block = take(cache, cache_stem_size(len), CACHE_BLOCK_STEM);
    if (!block)
        return (struct cache_name){0};
    cache_stem_unpin(*place);
    *place = cache_stem_write(block, id->key);
    return (struct cache_name){cache_stem_pin(*place), len, 0, STR_NONE};
}

static struct str put(char **at, struct str text)
{
    if (text.len)
        memcpy(*at, text.data, text.len);
    struct str copy = STR_FROM(*at, text.len);
    *at += text.len;
    return copy;
}

enum { CHUNK_ALIGN = _Alignof(struct tape_chunk) };

static size_t size_of_chunk(const struct tape_chunk *chunk)
{
    return (sizeof *chunk + chunk->len + CHUNK_ALIGN - 1) / CHUNK_ALIGN * CHUNK_ALIGN;
}

/* Of an entry with `key_len` bytes of its key. */
static size_t size_of(const struct cache_answer *answer, size_t key_len)
{
    size_t size = sizeof(struct cache_entry) + answer->loss_count * sizeof *answer->losses +
                  answer->flags.len + answer->content_type.len + answer->target.len +
                  answer->provider.len + key_len;
    for (const struct tape_chunk *chunk = answer->tape; chunk; chunk = chunk->next)
        size += size_of_chunk(chunk);
    return size;
}

/* The chunks one behind the other, without the room that they have left. */
static const struct tape_chunk *put_tape(char **at, const struct tape_chunk *from)
{
    struct tape_chunk *first = NULL, **link = &first;
    for (; from; from = from->next) {
        struct tape_chunk *chunk = (struct tape_chunk *)(void *)*at;
        *chunk = (struct tape_chunk){.len = from->len, .capacity = from->len};
        memcpy(chunk->bytes, from->bytes, from->len);
        *link = chunk;
        link = &chunk->next;
        *at += size_of_chunk(from);
    }
    return first;
}

/* What must be aligned stands first. Returns where the rest begins. */
static char *put_answer(struct cache_entry *entry, const struct cache_answer *from)
{
    const struct str losses = {(const char *)from->losses, from->loss_count * sizeof *from->losses};
    char *at = (char *)(entry + 1);
    entry->answer = *from;
    entry->answer.tape = put_tape(&at, from->tape);
    entry->answer.losses = (const struct llm_loss *)(const void *)put(&at, losses).data;
    entry->answer.flags = put(&at, from->flags);
    entry->answer.content_type = put(&at, from->content_type);
    entry->answer.target = put(&at, from->target);
    entry->answer.provider = put(&at, from->provider);
    return at;
}

/* An entry with `key_len` bytes of its key, and where they go. NULL: there is no room. */
static struct cache_entry *new_entry(struct cache *cache, uint64_t hash,
                                     const struct cache_answer *answer, size_t key_len,
                                     char **ret_key)
{
    size_t size = size_of(answer, key_len);
    if (size > CACHE_ANSWER_BYTES_MAX)
        return NULL;
    struct cache_entry *entry = (struct cache_entry *)take(cache, size, CACHE_BLOCK_ENTRY);
    if (!entry)
        return NULL;
    entry->is_in_table = entry->was_used = false;
    entry->hash = hash;
    entry->name = (struct cache_name){0};
    *ret_key = put_answer(entry, answer);
    return entry;
}

/* Under a name that it has, under all of its key, or under a new stem: which is written behind the
 * entry, so that it goes after it. */
static struct cache_entry *write_entry(struct cache *cache, const struct cache_id *id,
                                       struct cache_name name, const struct cache_answer *answer)
{
    size_t len = parts_len(id->key);
    bool is_new_stem = !name.stem && makes_stem(cache, len);
    struct parts middle = name.stem ? (struct parts){&name.middle, 1} : id->key;
    if (is_new_stem)
        middle.count = 0;
    char *key;
    struct cache_entry *entry = new_entry(cache, id->hash, answer, parts_len(middle), &key);
    if (!entry) {
        cache_stem_unpin(name.stem);
        return NULL;
    }
    parts_copy(middle, 0, parts_len(middle), key);
    name.middle = STR_FROM(key, parts_len(middle));
    entry->name = is_new_stem ? new_stem(cache, id) : name;
    return entry;
}

static void keep(struct cache *cache, const struct cache_id *id, struct cache_name name,
                 const struct cache_answer *answer)
{
    struct slot *before = slot_of(cache, id->hash);
    if (before)
        take_out(cache, before);
    struct cache_entry *entry = write_entry(cache, id, name, answer);
    if (!entry)
        return;
    if (entry->name.stem || entry->name.middle.len == parts_len(id->key))
        insert(cache, entry);
    unpin(entry);
}

void cache_keep(struct cache_client *client, const struct cache_id *id, struct cache_name name,
                const struct cache_answer *answer)
{
    pthread_mutex_lock(&client->cache->lock);
    keep(client->cache, id, name, answer);
    pthread_mutex_unlock(&client->cache->lock);
}
