/* Hash map: open addressing with linear probing, deletion by moving entries back. */
#include "base/map.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/crypto.h"
#include "base/random.h"

enum { CAPACITY_MIN = 16 };

struct entry {
    char *key; /* NULL: free */
    size_t key_len;
    uint64_t hash;
    void *value;
};

struct map {
    struct entry *entries;
    size_t capacity; /* 0 or a power of two */
    size_t count;
    unsigned char seed[SIPHASH_KEY_BYTES];
};

struct map *map_new(void)
{
    struct map *map = malloc(sizeof *map); /* calloc passes by what malloc keeps at hand */
    ASSERT(map);
    *map = (struct map){0};
    return map;
}

void map_free(struct map *map)
{
    if (!map)
        return;
    for (size_t i = 0; i < map->capacity; i++)
        free(map->entries[i].key);
    free(map->entries);
    free(map);
}

static uint64_t hash_key(const struct map *map, struct str key)
{
    return siphash(map->seed, key);
}

/* The entry that holds `key`, or the free one where it would go. */
static struct entry *find(const struct map *map, struct str key, uint64_t hash)
{
    for (size_t at = hash & (map->capacity - 1);; at = (at + 1) & (map->capacity - 1)) {
        struct entry *entry = &map->entries[at];
        if (!entry->key ||
            (entry->hash == hash && str_eq(STR_FROM(entry->key, entry->key_len), key)))
            return entry;
    }
}

static void grow(struct map *map)
{
    struct map old = *map;
    if (!old.capacity) /* a map that stays empty costs no system call */
        random_bytes(map->seed, sizeof map->seed);
    map->capacity = old.capacity ? old.capacity * 2 : CAPACITY_MIN;
    map->entries = calloc(map->capacity, sizeof *map->entries);
    ASSERT(map->entries);
    for (size_t i = 0; i < old.capacity; i++) {
        struct entry *entry = &old.entries[i];
        if (entry->key)
            *find(map, STR_FROM(entry->key, entry->key_len), entry->hash) = *entry;
    }
    free(old.entries);
}

void *map_get(const struct map *map, struct str key)
{
    return map && map->count ? find(map, key, hash_key(map, key))->value : NULL;
}

void *map_set(struct map *map, struct str key, void *value)
{
    ASSERT(value);
    if (map->count * 4 >= map->capacity * 3)
        grow(map);
    uint64_t hash = hash_key(map, key);
    struct entry *entry = find(map, key, hash);
    void *before = entry->value;
    if (!entry->key) {
        entry->key = malloc(key.len + 1);
        ASSERT(entry->key);
        if (key.len)
            memcpy(entry->key, key.data, key.len);
        entry->key[key.len] = '\0';
        entry->key_len = key.len;
        entry->hash = hash;
        map->count++;
    }
    entry->value = value;
    return before;
}

void *map_remove(struct map *map, struct str key)
{
    if (map->count == 0)
        return NULL;
    struct entry *entry = find(map, key, hash_key(map, key));
    if (!entry->key)
        return NULL;
    void *value = entry->value;
    free(entry->key);
    map->count--;
    /* Close the gap: move back every following entry that may stand there. */
    size_t mask = map->capacity - 1, gap = (size_t)(entry - map->entries);
    for (size_t at = (gap + 1) & mask; map->entries[at].key; at = (at + 1) & mask) {
        size_t home = map->entries[at].hash & mask;
        if (((at - home) & mask) >= ((at - gap) & mask)) {
            map->entries[gap] = map->entries[at];
            gap = at;
        }
    }
    map->entries[gap] = (struct entry){0};
    return value;
}

size_t map_count(const struct map *map)
{
    return map->count;
}

void *map_next(const struct map *map, size_t *position, struct str *ret_key)
{
    while (*position < map->capacity) {
        struct entry *entry = &map->entries[(*position)++];
        if (!entry->key)
            continue;
        if (ret_key)
            *ret_key = STR_FROM(entry->key, entry->key_len);
        return entry->value;
    }
    return NULL;
}
