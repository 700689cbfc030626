/* Hash map from byte strings to pointers, hardened against chosen keys (SipHash, secret seed). */
#pragma once

#include <stddef.h>

#include "base/str.h"

struct map;

/* An empty map; keys are copied, values are borrowed. Free with map_free (values are the
 * caller's). One thread at a time. */
struct map *map_new(void);
void map_free(struct map *map);
/* The value under `key`, or NULL. A map that is NULL is an empty one. */
void *map_get(const struct map *map, struct str key);
/* Sets it (value not NULL) and returns the value that was there, or NULL. */
void *map_set(struct map *map, struct str key, void *value);
/* Removes it and returns the value that was there, or NULL. */
void *map_remove(struct map *map, struct str key);
size_t map_count(const struct map *map);
/* Walks all entries in no order: start with *position = 0; returns NULL at the end. The map must
 * not be changed meanwhile. ret_key (may be NULL) is borrowed until the map changes. */
void *map_next(const struct map *map, size_t *position, struct str *ret_key);
