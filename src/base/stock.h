/* Stock: memory in pieces, which go from one short-lived thing to the next: what every request takes
 * and gives back again, and malloc would join with its neighbours and cut anew each time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct stock;

/* Whether what was given back is kept at all: a sanitizer sees who still uses it only when malloc
 * gets it back. */
#ifdef __has_feature /* clang's */
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
enum { STOCK_KEEPS = false };
#else
enum { STOCK_KEEPS = true };
#endif

enum { STOCK_PIECE_BYTES = 64, STOCK_BYTES_MAX = 64 * STOCK_PIECE_BYTES };

/* Keeps at most `bytes_max` of what was given back. One thread at a time. */
struct stock *stock_new(size_t bytes_max);
/* When all that was taken was given back. NULL is allowed. */
void stock_free(struct stock *stock);

/* Memory for *size bytes, aligned for any type, not initialised; *size becomes what there is (a
 * multiple of STOCK_PIECE_BYTES, up to STOCK_BYTES_MAX; larger ones are malloc's). Out of memory
 * aborts. With stock NULL it is malloc's, and *size stays. */
void *stock_take(struct stock *stock, size_t *size) __attribute__((returns_nonnull));
/* Gives it back; `size` as stock_take left it. */
void stock_give(struct stock *stock, void *memory, size_t size);
