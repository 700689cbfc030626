/* A growable array inside an arena. */
#include "base/vec.h"

enum { LARGE_ITEM_BYTES = 128 };

void *vec_grow_slow(struct arena *arena, void *items, size_t *capacity, size_t item_size)
{
    /* Large elements are mostly alone: the parts of a message. */
    size_t larger = *capacity ? *capacity * 2 : item_size > LARGE_ITEM_BYTES ? 1 : 4;
    items = *capacity ? arena_realloc(arena, items, *capacity * item_size, larger * item_size)
                      : arena_alloc(arena, larger * item_size);
    *capacity = larger;
    return items;
}

void *vec_reserve(struct arena *arena, void *items, size_t count, size_t *capacity,
                  size_t item_size, size_t more)
{
    if (more <= *capacity - count)
        return items;
    items = arena_realloc(arena, items, *capacity * item_size, (count + more) * item_size);
    *capacity = count + more;
    return items;
}
