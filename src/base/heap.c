/* Intrusive binary heap. */
#include "base/heap.h"

#include <stdlib.h>

#include "base/assert.h"

void heap_done(struct heap *heap)
{
    free(heap->places);
    *heap = (struct heap){0};
}

static uint64_t key_at(const struct heap *heap, size_t index)
{
    return heap->places[index - 1].key;
}

static void put(struct heap *heap, size_t index, struct heap_place place)
{
    heap->places[index - 1] = place;
    place.node->index = index;
}

static void sift_up(struct heap *heap, struct heap_place place, size_t index)
{
    for (; index > 1 && key_at(heap, index / 2) > place.key; index /= 2)
        put(heap, index, heap->places[index / 2 - 1]);
    put(heap, index, place);
}

static void sift_down(struct heap *heap, struct heap_place place, size_t index)
{
    for (;;) {
        size_t child = index * 2;
        if (child > heap->count)
            break;
        if (child < heap->count && key_at(heap, child + 1) < key_at(heap, child))
            child++;
        if (key_at(heap, child) >= place.key)
            break;
        put(heap, index, heap->places[child - 1]);
        index = child;
    }
    put(heap, index, place);
}

void heap_set(struct heap *heap, struct heap_node *node, uint64_t key)
{
    struct heap_place place = {.key = key, .node = node};
    uint64_t before = node->key;
    node->key = key;
    if (node->index) {
        if (key < before)
            sift_up(heap, place, node->index);
        else
            sift_down(heap, place, node->index);
        return;
    }
    if (heap->count == heap->capacity) {
        heap->capacity = heap->capacity ? heap->capacity * 2 : 64;
        heap->places = realloc(heap->places, heap->capacity * sizeof(struct heap_place));
        ASSERT(heap->places);
    }
    heap->count++;
    sift_up(heap, place, heap->count);
}

void heap_remove(struct heap *heap, struct heap_node *node)
{
    if (!node->index)
        return;
    size_t index = node->index;
    struct heap_place last = heap->places[--heap->count];
    node->index = 0;
    if (last.node == node)
        return;
    if (index > 1 && key_at(heap, index / 2) > last.key)
        sift_up(heap, last, index);
    else
        sift_down(heap, last, index);
}

struct heap_node *heap_first(const struct heap *heap)
{
    return heap->count ? heap->places[0].node : NULL;
}
