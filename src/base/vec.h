/* A growable array inside an arena, for decoders that do not know the count beforehand. */
#pragma once

#include <stddef.h>

#include "base/arena.h"

/* Makes room for one more element at the end of an arena array.
 * items: the array, or NULL; count: elements in use; *capacity: elements there is room for.
 * Returns the (possibly moved) array, whose element [count] is zeroed. */
void *vec_grow(struct arena *arena, void *items, size_t count, size_t *capacity, size_t item_size);

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
