/* Stem: what the keys of many kept answers have in common. The requests of one program mostly differ in
 * a few words (the same instructions and tools, the same beginning of a conversation), so a key is
 * kept as what it has beside another one: its stem. Inside route only; below cache. */
#pragma once

#include "base/arena.h"
#include "base/parts.h"
#include "route/cache_room.h"

/* One whole key; never changes. Who refers to it has a pin. */
struct cache_stem {
    struct cache_block block;
    size_t len;
    char bytes[];
};

/* A key: so much of the stem's beginning, `middle`, so much of its end. */
struct cache_name {
    struct cache_stem *stem; /* pinned; NULL: the middle is all of it */
    size_t before, behind;   /* bytes */
    struct str middle;       /* borrowed */
};

/* Bytes of a stem of a key of that length. */
size_t cache_stem_size(size_t len);
/* Writes the key into a block of that size. */
struct cache_stem *cache_stem_write(struct cache_block *block, struct parts key);
/* NULL is allowed. Under the cache's lock, or by who has a pin. */
struct cache_stem *cache_stem_pin(struct cache_stem *stem);
/* NULL is allowed. Any thread. */
void cache_stem_unpin(struct cache_stem *stem);

/* The key by that stem, its middle in the arena; all zero if they have less than half in common, or if
 * stem is NULL. Takes over the pin. */
struct cache_name cache_name_by(struct cache_stem *stem, struct parts key, struct arena *arena);
bool cache_name_is(const struct cache_name *name, struct parts key);
