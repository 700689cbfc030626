/* Stem: see cache.c for who has them. */
#include "route/cache_stem.h"

size_t cache_stem_size(size_t len)
{
    return sizeof(struct cache_stem) + len;
}

struct cache_stem *cache_stem_write(struct cache_block *block, struct parts key)
{
    struct cache_stem *stem = (struct cache_stem *)block;
    stem->len = parts_len(key);
    parts_copy(key, 0, stem->len, stem->bytes);
    return stem;
}

struct cache_stem *cache_stem_pin(struct cache_stem *stem)
{
    if (stem)
        atomic_fetch_add(&stem->block.pins, 1);
    return stem;
}

void cache_stem_unpin(struct cache_stem *stem)
{
    if (stem)
        atomic_fetch_sub(&stem->block.pins, 1);
}

static struct str bytes_of(const struct cache_stem *stem)
{
    return stem ? STR_FROM(stem->bytes, stem->len) : STR_NONE;
}

/* The middle of a key of `len` bytes. */
static struct str copy_middle(struct parts key, size_t before, size_t len, struct arena *arena)
{
    char *middle = arena_alloc(arena, len);
    parts_copy(key, before, len, middle);
    return STR_FROM(middle, len);
}

struct cache_name cache_name_by(struct cache_stem *stem, struct parts key, struct arena *arena)
{
    if (!stem)
        return (struct cache_name){0};
    size_t len = parts_len(key), before = parts_shared_prefix(key, bytes_of(stem));
    size_t behind = parts_shared_suffix(key, str_skip(bytes_of(stem), before));
    if (behind > len - before)
        behind = len - before;
    if (before + behind >= len / 2)
        return (struct cache_name){stem, before, behind,
                                   copy_middle(key, before, len - before - behind, arena)};
    cache_stem_unpin(stem);
    return (struct cache_name){0};
}

bool cache_name_is(const struct cache_name *name, struct parts key)
{
    struct str stem = bytes_of(name->stem);
    size_t end = name->before + name->middle.len;
    return parts_len(key) == end + name->behind &&
           parts_have(key, 0, str_slice(stem, 0, name->before)) &&
           parts_have(key, name->before, name->middle) &&
           parts_have(key, end, str_skip(stem, stem.len - name->behind));
}
