/* Stock: a list of spare pieces for each size, within a bound for all. */
#include "base/stock.h"

#include <stdlib.h>

#include "base/assert.h"

enum { SIZES = STOCK_BYTES_MAX / STOCK_PIECE_BYTES };

struct spare {
    struct spare *next;
};

struct stock {
    struct spare *spares[SIZES + 1]; /* by size in pieces */
    size_t bytes;                    /* of the spares */
    size_t bytes_max;
    size_t taken; /* how many are out */
};

struct stock *stock_new(size_t bytes_max)
{
    struct stock *stock = calloc(1, sizeof *stock);
    ASSERT(stock);
    stock->bytes_max = STOCK_KEEPS ? bytes_max : 0;
    return stock;
}

void stock_free(struct stock *stock)
{
    if (!stock)
        return;
    ASSERT(stock->taken == 0);
    for (size_t i = 0; i <= SIZES; i++) {
        while (stock->spares[i]) {
            struct spare *spare = stock->spares[i];
            stock->spares[i] = spare->next;
            free(spare);
        }
    }
    free(stock);
}

static void *allocate(size_t size)
{
    void *memory = malloc(size);
    ASSERT(memory);
    return memory;
}

void *stock_take(struct stock *stock, size_t *size)
{
    ASSERT(*size > 0);
    if (!stock)
        return allocate(*size);
    stock->taken++;
    if (*size > STOCK_BYTES_MAX)
        return allocate(*size);
    size_t pieces = (*size + STOCK_PIECE_BYTES - 1) / STOCK_PIECE_BYTES;
    struct spare *spare = stock->spares[pieces];
    *size = pieces * STOCK_PIECE_BYTES;
    if (!spare)
        return allocate(*size);
    stock->spares[pieces] = spare->next;
    stock->bytes -= *size;
    return spare;
}

void stock_give(struct stock *stock, void *memory, size_t size)
{
    if (stock)
        stock->taken--;
    if (!stock || size > STOCK_BYTES_MAX || size > stock->bytes_max - stock->bytes) {
        free(memory);
        return;
    }
    struct spare *spare = memory;
    struct spare **first = &stock->spares[size / STOCK_PIECE_BYTES];
    spare->next = *first;
    *first = spare;
    stock->bytes += size;
}
