/* Intrusive binary heap of 64-bit keys, smallest first: the timers of a loop. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* A member of each element; zeroed while in no heap. */
struct heap_node {
    uint64_t key;
    size_t index; /* 1-based place in the heap; 0: not in it */
};

/* Keys are compared here: the elements lie all over the memory. */
struct heap_place {
    uint64_t key; /* the node's */
    struct heap_node *node;
};

struct heap {
    struct heap_place *places;
    size_t count;
    size_t capacity;
};

/* Zeroed is empty; release the memory (not the elements) with heap_done. */
void heap_done(struct heap *heap);
/* Adds it, or moves it when it is in the heap already. */
void heap_set(struct heap *heap, struct heap_node *node, uint64_t key);
/* Takes it out; nothing happens when it is not in. */
void heap_remove(struct heap *heap, struct heap_node *node);
/* The element with the smallest key, or NULL. */
struct heap_node *heap_first(const struct heap *heap);
