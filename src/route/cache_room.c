/* Room: a hand goes round.
 *
 *      0           at              swept                        size
 *      | blocks ... | what has gone | blocks, the oldest first ... |
 *
 * A block is taken at `at`; while there is too little, the block at `swept` goes, or stays and `at`
 * begins again behind it. What is left of it then, or before the end, is a free block. */
#include "route/cache_room.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "base/assert.h"

/* Larger rooms are in pages of this size, where the system has them: an answer is on a page of its own
 * otherwise, and finding pages is slow. */
enum { HUGE_PAGE_BYTES = 2 * 1024 * 1024 };
/* Fetched behind what was taken: the next will be about as large. */
enum { FETCHED_MAX = 8 * 1024 };
/* One may leave all that was used since the last, and one may be in the middle of what it needs. */
enum { ROUNDS_MAX = 3 };

struct cache_room {
    char *table;
    char *memory;
    size_t size;
    size_t at, swept;
    void *mapping;
    size_t mapping_size;
};

static size_t round_up(size_t size, size_t step)
{
    return (size + step - 1) / step * step;
}

struct cache_room *cache_room_new(size_t size, size_t table_size)
{
    struct cache_room *room = calloc(1, sizeof *room);
    ASSERT(room);
    room->size = round_up(size, CACHE_LINE_BYTES);
    ASSERT(room->size / CACHE_LINE_BYTES < UINT32_MAX);
    room->swept = room->size;
    table_size = round_up(table_size, CACHE_LINE_BYTES);
    room->mapping_size = table_size + room->size + HUGE_PAGE_BYTES;
    room->mapping = mmap(NULL, room->mapping_size, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ASSERT(room->mapping != MAP_FAILED);
    room->table = (char *)room->mapping + -(uintptr_t)room->mapping % HUGE_PAGE_BYTES;
    room->memory = room->table + table_size;
    if (room->size >= HUGE_PAGE_BYTES)
        madvise(room->table, table_size + room->size, MADV_HUGEPAGE); /* or it is as it is */
    return room;
}

void cache_room_free(struct cache_room *room)
{
    if (!room)
        return;
    munmap(room->mapping, room->mapping_size);
    free(room);
}

void *cache_room_table(const struct cache_room *room)
{
    return room->table;
}

size_t cache_block_size(const struct cache_block *block)
{
    return (size_t)block->lines * CACHE_LINE_BYTES;
}

static struct cache_block *block_at(const struct cache_room *room, size_t at)
{
    return (struct cache_block *)(void *)(room->memory + at);
}

/* What is left before a block that stays, or before the end. */
static void leave_rest(struct cache_room *room)
{
    size_t rest = room->swept - room->at;
    if (rest)
        *block_at(room, room->at) = (struct cache_block){
            .lines = (uint32_t)(rest / CACHE_LINE_BYTES), .kind = CACHE_BLOCK_FREE};
}

/* The block at `swept` goes, or stays. */
static void sweep(struct cache_room *room, cache_room_may_go *may_go, void *user)
{
    struct cache_block *block = block_at(room, room->swept);
    size_t size = cache_block_size(block);
    bool goes =
        block->kind == CACHE_BLOCK_FREE || (may_go(user, block) && atomic_load(&block->pins) == 0);
    if (!goes) {
        leave_rest(room);
        room->at = room->swept + size;
    }
    room->swept += size;
}

static void fetch(const struct cache_room *room, size_t size)
{
    size_t end = room->at + (size < FETCHED_MAX ? size : FETCHED_MAX);
    for (size_t at = room->at; at < end && at < room->size; at += CACHE_LINE_BYTES)
        __builtin_prefetch(room->memory + at, 1);
}

struct cache_block *cache_room_take(struct cache_room *room, size_t size,
                                    enum cache_block_kind kind, cache_room_may_go *may_go,
                                    void *user)
{
    size = round_up(size, CACHE_LINE_BYTES);
    if (size > room->size)
        return NULL;
    for (int rounds = 0; room->swept - room->at < size;) {
        if (room->swept < room->size) {
            sweep(room, may_go, user);
            continue;
        }
        leave_rest(room);
        room->at = room->swept = 0;
        if (++rounds > ROUNDS_MAX)
            return NULL;
    }
    struct cache_block *block = block_at(room, room->at);
    *block =
        (struct cache_block){.lines = (uint32_t)(size / CACHE_LINE_BYTES), .kind = kind, .pins = 1};
    room->at += size;
    fetch(room, size);
    return block;
}

const struct cache_block *cache_room_next(const struct cache_room *room)
{
    if (room->swept == room->size)
        return NULL;
    const struct cache_block *next = block_at(room, room->swept);
    const char *behind = (const char *)next + cache_block_size(next);
    __builtin_prefetch(behind, 1);
    __builtin_prefetch(behind + CACHE_LINE_BYTES, 1);
    return next;
}

uint32_t cache_room_place(const struct cache_room *room, const struct cache_block *block)
{
    return (uint32_t)((size_t)((const char *)block - room->memory) / CACHE_LINE_BYTES + 1);
}

struct cache_block *cache_room_at(const struct cache_room *room, uint32_t place)
{
    return block_at(room, (size_t)(place - 1) * CACHE_LINE_BYTES);
}
