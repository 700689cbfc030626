/* Arena: memory that is given back all at once. One per request, run or call. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/stock.h"
#include "base/str.h"

struct arena;

/* A new, empty arena. `bytes_max`: how much it should ever hand out; see arena_exceeded. It takes
 * no memory beyond its head until the first allocation. Free with arena_free. One thread at a
 * time. */
struct arena *arena_new(size_t bytes_max);
/* The same with a first block of `first_bytes` (a multiple of 16): for an arena that is reset and
 * filled again and again. */
struct arena *arena_new_sized(size_t bytes_max, size_t first_bytes);
/* The same with memory from a stock, to which it goes back, and which must outlive it: for what begins
 * and ends with every request. Its head and the first block of `first_bytes` (more than 0) are taken
 * at once. */
struct arena *arena_new_from(struct stock *stock, size_t bytes_max, size_t first_bytes);
/* Another maximum from now on. */
void arena_set_max(struct arena *arena, size_t bytes_max);
/* Gives everything back. NULL is allowed. */
void arena_free(struct arena *arena);
/* Forgets every allocation and keeps the first block for reuse. */
void arena_reset(struct arena *arena);

/* Memory for `size` bytes, aligned for any type, not initialised; size 0 gives a valid pointer.
 * Never NULL: out of memory aborts. Going over the arena's maximum still succeeds, and is noted:
 * whoever loops over input asks arena_exceeded() and refuses. What is allocated is in proportion
 * to the input, which is bounded itself, so the overshoot is bounded too. */
void *arena_alloc(struct arena *arena, size_t size) __attribute__((malloc, returns_nonnull));
/* The same, zeroed; count * size is checked for overflow. */
void *arena_alloc_zero(struct arena *arena, size_t count, size_t size)
    __attribute__((malloc, returns_nonnull));
/* Grows or shrinks an allocation of old_size bytes (ptr may be NULL with old_size 0). In place
 * when it is the newest, else a copy. */
void *arena_realloc(struct arena *arena, void *ptr, size_t old_size, size_t new_size)
    __attribute__((returns_nonnull));

/* A copy that lives as long as the arena; data is NUL-terminated behind len. STR_NONE stays so. */
struct str arena_str(struct arena *arena, struct str s);
char *arena_cstr(struct arena *arena, struct str s);
/* printf into the arena. */
struct str arena_printf(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3), nonnull(2)));

/* Bytes handed out so far. */
size_t arena_used(const struct arena *arena);
/* Whether more than bytes_max was handed out. Stays true until reset. */
bool arena_exceeded(const struct arena *arena);

#define ARENA_NEW(arena, type) ((type *)arena_alloc_zero((arena), 1, sizeof(type)))
#define ARENA_NEW_ARRAY(arena, count, type)                                                        \
    ((type *)arena_alloc_zero((arena), (count), sizeof(type)))
