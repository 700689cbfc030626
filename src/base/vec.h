/* A growable array inside an arena, for decoders that do not know the count beforehand. */
#pragma once

#include <stddef.h>
#include <string.h>

#include "base/arena.h"

void *vec_grow_slow(struct arena *arena, void *items, size_t *capacity,
                    size_t item_size); /* vec_grow's case of no room */
/* Makes room for one more element at the end of an arena array.
 * items: the array, or NULL; count: elements in use; *capacity: elements there is room for.
 * Returns the (possibly moved) array, whose element [count] is zeroed. */
static inline void *vec_grow(struct arena *arena, void *items, size_t count, size_t *capacity,
                             size_t item_size)
{
    if (count == *capacity)
        items = vec_grow_slow(arena, items, capacity, item_size);
    memset((char *)items + count * item_size, 0, item_size);
    return items;
}

/* VEC_PUSH(arena, items, count, capacity): grows `items` and gives a pointer to the new, zeroed
 * last element; count is increased. */
#define VEC_PUSH(arena, items, count, capacity)                                                    \
    ((items) = vec_grow((arena), (items), (count), &(capacity), sizeof *(items)),                  \
     &(items)[(count)++])

/* VEC_RESERVE(arena, items, count, capacity, more): room for `more` elements at once, when how many
 * come is known beforehand: what was outgrown stays in an arena. */
void *vec_reserve(struct arena *arena, void *items, size_t count, size_t *capacity,
                  size_t item_size, size_t more);
#define VEC_RESERVE(arena, items, count, capacity, more)                                           \
    ((items) = vec_reserve((arena), (items), (count), &(capacity), sizeof *(items), (more)))
