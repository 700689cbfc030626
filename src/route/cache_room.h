/* Room: the memory of the cache, one piece, in blocks that are taken one behind the other, round after
 * round; what stands where the next one goes has to go, unless it stays for a reason. So what comes and
 * goes with every request neither scatters over the heap nor tears holes into it.
 *
 * The whole room is always tiled by blocks; those that nobody needs are joined by the next round. Not
 * for several threads at once, but for pins. Inside route only; below cache. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cache_block_kind { CACHE_BLOCK_FREE, CACHE_BLOCK_STEM, CACHE_BLOCK_ENTRY };

/* What every block begins with. */
struct cache_block {
    uint32_t lines; /* its size, in lines of CACHE_LINE_BYTES */
    enum cache_block_kind kind;
    _Atomic int
        pins; /* by those who look at it: it stays where it is. Any thread may give one back. */
};

enum { CACHE_LINE_BYTES = 64 };

struct cache_room;

/* `size` bytes, rounded up to lines, and in front of them a table of `table_size` zeroed bytes; memory is
 * used as it is written. Free with cache_room_free. */
struct cache_room *cache_room_new(size_t size, size_t table_size);
void *cache_room_table(const struct cache_room *room);
/* NULL is allowed. */
void cache_room_free(struct cache_room *room);

/* It is the turn of a block: says whether it may go; if so, only pins refer to it any more, with which it
 * stays for this round. Of one that is free nobody is asked. */
typedef bool cache_room_may_go(void *user, struct cache_block *block);
/* A block for `size` bytes, CACHE_LINE_BYTES aligned, with one pin, its kind set. NULL: too much stays. */
struct cache_block *cache_room_take(struct cache_room *room, size_t size,
                                    enum cache_block_kind kind, cache_room_may_go *may_go,
                                    void *user);
/* The block that is the next to go; NULL: none, or it is not known yet. The one behind it is fetched, to be
 * at hand when it is the next. */
const struct cache_block *cache_room_next(const struct cache_room *room);
/* Where a block is, as a number of 32 bits, which is never 0; and back. */
uint32_t cache_room_place(const struct cache_room *room, const struct cache_block *block);
struct cache_block *cache_room_at(const struct cache_room *room, uint32_t place);
/* The bytes of a block. */
size_t cache_block_size(const struct cache_block *block);
