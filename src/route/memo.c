/* Memo: a map and a list in the order of use, under one short lock. Keys are hashes that nobody can
 * make collide, so that long texts need not be kept. Used by calls for vectors and counts. */
#include "route/memo.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/crypto.h"
#include "base/list.h"
#include "base/map.h"

enum { ENTRY_COST = 160, SHARE_MAX = 16 }; /* with its place in the map */

struct entry {
    struct list link;
    struct memo_key key;
    uint64_t until_ms;
    size_t len;
    char value[];
};

struct memo {
    pthread_mutex_t lock;
    struct map *entries;
    struct list by_use; /* the newest first */
    size_t bytes;
    size_t bytes_max;
};

/* The lengths go in too, so that no two lists of parts look alike. */
struct memo_key memo_key_of(const struct str *parts, size_t count)
{
    struct memo_key key;
    struct buf all;
    buf_init(&all, SIZE_MAX / 2); /* what is asked for is bounded */
    for (size_t i = 0; i < count; i++) {
        uint64_t len = parts[i].len;
        buf_append(&all, STR_FROM((const char *)&len, sizeof len));
        buf_append(&all, parts[i]);
    }
    sha256(buf_str(&all), key.bytes);
    buf_done(&all);
    return key;
}

static struct str key_str(const struct memo_key *key)
{
    return STR_FROM((const char *)key->bytes, sizeof key->bytes);
}

struct memo *memo_new(size_t bytes_max)
{
    struct memo *memo = calloc(1, sizeof *memo);
    ASSERT(memo);
    pthread_mutex_init(&memo->lock, NULL);
    memo->entries = map_new();
    memo->bytes_max = bytes_max;
    list_init(&memo->by_use);
    return memo;
}

static size_t cost_of(const struct entry *entry)
{
    return sizeof *entry + entry->len + ENTRY_COST;
}

static void drop(struct memo *memo, struct entry *entry)
{
    map_remove(memo->entries, key_str(&entry->key));
    list_remove(&entry->link);
    memo->bytes -= cost_of(entry);
    free(entry);
}

void memo_free(struct memo *memo)
{
    if (!memo)
        return;
    LIST_EACH (&memo->by_use, link)
        drop(memo, LIST_ENTRY(link, struct entry, link));
    map_free(memo->entries);
    pthread_mutex_destroy(&memo->lock);
    free(memo);
}

bool memo_get(struct memo *memo, const struct memo_key *key, uint64_t now_ms, struct arena *arena,
              struct str *ret_value)
{
    bool is_found = false;
    if (!memo)
        return false;
    pthread_mutex_lock(&memo->lock);
    struct entry *entry = map_get(memo->entries, key_str(key));
    if (entry && now_ms >= entry->until_ms) {
        drop(memo, entry);
    } else if (entry) {
        list_remove(&entry->link);
        list_prepend(&memo->by_use, &entry->link);
        *ret_value = arena_str(arena, STR_FROM(entry->value, entry->len));
        is_found = true;
    }
    pthread_mutex_unlock(&memo->lock);
    return is_found;
}

static void make_room(struct memo *memo, size_t bytes)
{
    while (memo->bytes + bytes > memo->bytes_max)
        drop(memo, LIST_ENTRY(memo->by_use.previous, struct entry, link));
}

void memo_put(struct memo *memo, const struct memo_key *key, struct str value, uint64_t now_ms,
              uint64_t lives_ms)
{
    if (!memo || sizeof(struct entry) + value.len + ENTRY_COST > memo->bytes_max / SHARE_MAX)
        return;
    struct entry *entry = malloc(sizeof *entry + value.len);
    ASSERT(entry);
    *entry = (struct entry){.key = *key, .until_ms = now_ms + lives_ms, .len = value.len};
    if (value.len)
        memcpy(entry->value, value.data, value.len);
    pthread_mutex_lock(&memo->lock);
    struct entry *before = map_get(memo->entries, key_str(key));
    if (before)
        drop(memo, before);
    make_room(memo, cost_of(entry));
    map_set(memo->entries, key_str(key), entry);
    list_prepend(&memo->by_use, &entry->link);
    memo->bytes += cost_of(entry);
    pthread_mutex_unlock(&memo->lock);
}

size_t memo_bytes(struct memo *memo)
{
    pthread_mutex_lock(&memo->lock);
    size_t bytes = memo->bytes;
    pthread_mutex_unlock(&memo->lock);
    return bytes;
}
