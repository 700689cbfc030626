/* Transit: chunks straight from the kernel, filled in order, counted, never picked apart. */
#include "base/transit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/assert.h"

enum { CHUNK_BYTES = 128 * 1024, SPARES_MAX = 3, ALIGNMENT = 16 };

struct chunk {
    struct chunk *next; /* among the spares */
    struct transit *transit;
    size_t used;
    size_t count; /* of what is in it */
};

/* Stands before each copy. */
struct item {
    struct chunk *chunk;
    char data[];
};

struct transit {
    struct chunk *current; /* NULL: none yet */
    struct chunk *spares;
    size_t spare_count;
    size_t count; /* of all copies */
};

struct transit *transit_new(void)
{
    struct transit *transit = calloc(1, sizeof *transit);
    ASSERT(transit);
    return transit;
}

static void chunk_free(struct chunk *chunk)
{
    munmap(chunk, CHUNK_BYTES);
}

static struct chunk *chunk_new(struct transit *transit)
{
    struct chunk *chunk =
        mmap(NULL, CHUNK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT(chunk != MAP_FAILED);
    *chunk = (struct chunk){.transit = transit, .used = sizeof *chunk};
    return chunk;
}

void transit_free(struct transit *transit)
{
    if (!transit)
        return;
    ASSERT(transit->count == 0);
    if (transit->current)
        chunk_free(transit->current);
    while (transit->spares) {
        struct chunk *spare = transit->spares;
        transit->spares = spare->next;
        chunk_free(spare);
    }
    free(transit);
}

static struct chunk *chunk_with_room(struct transit *transit, size_t size)
{
    struct chunk *chunk = transit->current;
    if (chunk && CHUNK_BYTES - chunk->used >= size)
        return chunk; /* else something is in it still: the last to go brings it back */
    chunk = transit->spares;
    if (chunk) {
        transit->spares = chunk->next;
        transit->spare_count--;
    } else {
        chunk = chunk_new(transit);
    }
    transit->current = chunk;
    return chunk;
}

struct str transit_put(struct transit *transit, struct str bytes)
{
    ASSERT(bytes.len <= TRANSIT_BYTES_MAX);
    size_t size = (sizeof(struct item) + bytes.len + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    struct chunk *chunk = chunk_with_room(transit, size);
    struct item *item = (struct item *)(void *)((char *)chunk + chunk->used);
    item->chunk = chunk;
    if (bytes.len)
        memcpy(item->data, bytes.data, bytes.len);
    chunk->used += size;
    chunk->count++;
    transit->count++;
    return STR_FROM(item->data, bytes.len);
}

void transit_drop(struct str *bytes)
{
    if (!bytes->data)
        return;
    const struct item *item = (const void *)(bytes->data - sizeof(struct item));
    struct chunk *chunk = item->chunk;
    struct transit *transit = chunk->transit;
    *bytes = STR_NONE;
    transit->count--;
    if (--chunk->count > 0)
        return;
    chunk->used = sizeof *chunk;
    if (chunk == transit->current)
        return;
    if (transit->spare_count == SPARES_MAX) {
        chunk_free(chunk);
        return;
    }
    chunk->next = transit->spares;
    transit->spares = chunk;
    transit->spare_count++;
}
