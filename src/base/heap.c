/* Intrusive binary heap. */
#include "base/heap.h"

#include <stdlib.h>

#include "base/assert.h"

void heap_done(struct heap *heap)
{
    free(heap->nodes);
    *heap = (struct heap){0};
}

static void place(struct heap *heap, size_t index, struct heap_node *node)
{
    heap->nodes[index - 1] = node;
    node->index = index;
}

static void sift_up(struct heap *heap, struct heap_node *node, size_t index)
{
    while (index > 1 && heap->nodes[index / 2 - 1]->key > node->key) {
        place(heap, index, heap->nodes[index / 2 - 1]);
        index /= 2;
    }
    place(heap, index, node);
}

static void sift_down(struct heap *heap, struct heap_node *node, size_t index)
{
    for (;;) {
        size_t child = index * 2;
        if (child > heap->count)
            break;
        if (child < heap->count && heap->nodes[child]->key < heap->nodes[child - 1]->key)
            child++;
        if (heap->nodes[child - 1]->key >= node->key)
            break;
        place(heap, index, heap->nodes[child - 1]);
        index = child;
    }
    place(heap, index, node);
}

void heap_set(struct heap *heap, struct heap_node *node, uint64_t key)
{
    uint64_t before = node->key;
    node->key = key;
    if (node->index) {
        if (key < before)
            sift_up(heap, node, node->index);
        else
            sift_down(heap, node, node->index);
        return;
    }
    if (heap->count == heap->capacity) {
        heap->capacity = heap->capacity ? heap->capacity * 2 : 64;
        heap->nodes = realloc(heap->nodes, heap->capacity * sizeof(struct heap_node *));
        ASSERT(heap->nodes);
    }
    heap->count++;
    sift_up(heap, node, heap->count);
}

void heap_remove(struct heap *heap, struct heap_node *node)
{
    if (!node->index)
        return;
    size_t index = node->index;
    struct heap_node *last = heap->nodes[--heap->count];
    node->index = 0;
    if (last == node)
        return;
    if (index > 1 && heap->nodes[index / 2 - 1]->key > last->key)
        sift_up(heap, last, index);
    else
        sift_down(heap, last, index);
}

struct heap_node *heap_first(const struct heap *heap)
{
    return heap->count ? heap->nodes[0] : NULL;
}
