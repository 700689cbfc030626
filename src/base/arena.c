/* Arena: a list of blocks, the newest first; allocation is a pointer bump. */
#include "base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

enum {
    BLOCK_BYTES_MIN = 960, /* with its head: what malloc keeps at hand for each thread */
    BLOCK_BYTES_MAX = 4096,
    LARGE_BYTES = BLOCK_BYTES_MIN / 2, /* over it an allocation does not begin a shared block */
    ALIGNMENT = alignof(max_align_t)
};

struct block {
    struct block *next;
    size_t size; /* of data */
    size_t used;
    alignas(max_align_t) char data[];
};

struct arena {
    struct stock *stock; /* NULL: blocks are malloc's */
    struct block *newest;
    struct block *first; /* of the shared ones; NULL: none yet */
    size_t used;
    size_t bytes_max;
    size_t first_bytes;  /* size of the first block */
    size_t shared_bytes; /* sizes of all blocks but the large ones */
    size_t own_bytes;    /* of a stock: the arena's own piece, with the first block in it; or 0 */
};

struct arena *arena_new_sized(size_t bytes_max, size_t first_bytes)
{
    struct arena *arena = malloc(sizeof *arena); /* calloc passes by what malloc keeps at hand */
    ASSERT(arena);
    *arena = (struct arena){.bytes_max = bytes_max, .first_bytes = first_bytes};
    return arena;
}

struct arena *arena_new(size_t bytes_max)
{
    return arena_new_sized(bytes_max, BLOCK_BYTES_MIN);
}

struct arena *arena_new_from(struct stock *stock, size_t bytes_max, size_t first_bytes)
{
    const size_t heads = sizeof(struct arena) + sizeof(struct block);
    _Static_assert(sizeof(struct arena) % ALIGNMENT == 0, "the first block stands behind it");
    size_t size = heads + first_bytes;
    struct arena *arena = stock_take(stock, &size);
    struct block *first = (struct block *)(void *)(arena + 1);
    *first = (struct block){.size = size - heads};
    *arena = (struct arena){.stock = stock,
                            .newest = first,
                            .first = first,
                            .bytes_max = bytes_max,
                            .first_bytes = first->size,
                            .shared_bytes = first->size,
                            .own_bytes = size};
    return arena;
}

void arena_set_max(struct arena *arena, size_t bytes_max)
{
    arena->bytes_max = bytes_max;
}

static void free_blocks(const struct arena *arena, const struct block *kept)
{
    struct block *block = arena->newest;
    while (block) {
        struct block *next = block->next;
        if (block != kept)
            stock_give(arena->stock, block, sizeof *block + block->size);
        block = next;
    }
}

void arena_free(struct arena *arena)
{
    if (!arena)
        return;
    free_blocks(arena, arena->own_bytes ? arena->first : NULL);
    stock_give(arena->stock, arena, arena->own_bytes);
}

/* The first shared block has the size that was asked for, whatever came in between. */
void arena_reset(struct arena *arena)
{
    struct block *first = arena->first;
    if (arena->newest != first || (first && first->next))
        free_blocks(arena, first);
    arena->newest = first;
    arena->shared_bytes = arena->used = 0;
    if (!first)
        return;
    arena->shared_bytes = first->size;
    first->next = NULL;
    first->used = 0;
}

static struct block *new_block(const struct arena *arena, size_t size)
{
    size_t whole = sizeof(struct block) + size;
    struct block *block = stock_take(arena->stock, &whole);
    block->size = whole - sizeof *block;
    block->used = 0;
    return block;
}

/* A block is a quarter as large as all before it together, within bounds: a long-lived arena is one
 * per stream, and about a fifth of it is empty at most once it is larger than a few blocks. */
static void add_block(struct arena *arena)
{
    size_t size = arena->first_bytes;
    if (arena->first) {
        size = arena->shared_bytes / 4 & ~(size_t)(ALIGNMENT - 1);
        size = size < BLOCK_BYTES_MIN ? BLOCK_BYTES_MIN : size;
        size = size > BLOCK_BYTES_MAX ? BLOCK_BYTES_MAX : size;
    }
    struct block *block = new_block(arena, size);
    arena->shared_bytes += block->size;
    if (!arena->first)
        arena->first = block;
    block->next = arena->newest;
    arena->newest = block;
}

/* A large allocation gets a block of its own behind the newest, which goes on being filled. */
static void *alloc_large(struct arena *arena, size_t size)
{
    struct block *block = new_block(arena, size);
    struct block **behind = arena->newest ? &arena->newest->next : &arena->newest;
    block->used = size;
    block->next = *behind;
    *behind = block;
    return block->data;
}

static bool is_large(const struct arena *arena, size_t size)
{
    return size > (arena->first ? (size_t)LARGE_BYTES : arena->first_bytes);
}

/* Not inline: so that arena_alloc itself has nothing to save. */
__attribute__((noinline)) static void *alloc_in_new_block(struct arena *arena, size_t size)
{
    if (is_large(arena, size))
        return alloc_large(arena, size);
    add_block(arena);
    arena->newest->used = size;
    return arena->newest->data;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    struct block *block = arena->newest;
    ASSERT(size < SIZE_MAX / 4);
    size = size ? (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1) : ALIGNMENT;
    arena->used += size;
    if (!block || block->size - block->used < size)
        return alloc_in_new_block(arena, size);
    void *memory = block->data + block->used;
    block->used += size;
    return memory;
}

void *arena_alloc_zero(struct arena *arena, size_t count, size_t size)
{
    size_t total;
    ASSERT(!__builtin_mul_overflow(count, size, &total));
    void *memory = arena_alloc(arena, total);
    memset(memory, 0, total);
    return memory;
}

void *arena_realloc(struct arena *arena, void *ptr, size_t old_size, size_t new_size)
{
    if (ptr && new_size <= old_size)
        return ptr;
    struct block *block = arena->newest;
    size_t old_rounded = (old_size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    size_t new_rounded = (new_size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    if (ptr && old_size && block && (char *)ptr + old_rounded == block->data + block->used &&
        new_rounded - old_rounded <= block->size - block->used) {
        block->used += new_rounded - old_rounded;
        arena->used += new_rounded - old_rounded;
        return ptr;
    }
    void *memory = arena_alloc(arena, new_size);
    if (ptr && old_size)
        memcpy(memory, ptr, old_size);
    return memory;
}

char *arena_cstr(struct arena *arena, struct str s)
{
    char *copy = arena_alloc(arena, s.len + 1);
    if (s.len)
        memcpy(copy, s.data, s.len);
    copy[s.len] = '\0';
    return copy;
}

struct str arena_str(struct arena *arena, struct str s)
{
    return s.data ? STR_FROM(arena_cstr(arena, s), s.len) : STR_NONE;
}

struct str arena_printf(struct arena *arena, const char *format, ...)
{
    char small[256];
    va_list arguments;
    va_start(arguments, format);
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(small, sizeof small, format, arguments);
    va_end(arguments);
    ASSERT(length >= 0);
    char *text = arena_alloc(arena, (size_t)length + 1);
    if ((size_t)length < sizeof small)
        memcpy(text, small, (size_t)length + 1);
    else
        vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    return STR_FROM(text, (size_t)length);
}

size_t arena_used(const struct arena *arena)
{
    return arena->used;
}

bool arena_exceeded(const struct arena *arena)
{
    return arena->used > arena->bytes_max;
}
