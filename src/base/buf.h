/* Growable byte buffer with a maximum from birth. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/assert.h"
#include "base/str.h"

/* Embed it; initialise with buf_init. The bytes are data[0..len); data is NULL while empty. */
struct buf {
    char *data;
    size_t len;
    size_t capacity;
    size_t bytes_max;
    bool overflowed; /* something did not fit: sticky, what came after was dropped too */
};

/* `bytes_max`: the most it will hold. Takes no memory yet. Release with buf_done. */
void buf_init(struct buf *buf, size_t bytes_max);
void buf_done(struct buf *buf);
/* Empties it, keeps the memory, clears overflowed. */
void buf_clear(struct buf *buf);
/* Empties it and gives the memory back (an idle connection holds none). */
void buf_release(struct buf *buf);

/* Append. What would go over bytes_max is dropped whole and sets overflowed; ask buf_ok once at
 * the end. Out of memory aborts. */
void buf_append_slow(struct buf *buf, struct str s); /* buf_append's case of too little room */
static inline void buf_append(struct buf *buf, struct str s)
{
    if (s.len == 0 || s.len > buf->capacity - buf->len || buf->overflowed) {
        buf_append_slow(buf, s);
        return;
    }
    memcpy(buf->data + buf->len, s.data, s.len);
    buf->len += s.len;
}
static inline void buf_append_char(struct buf *buf, char c)
{
    buf_append(buf, STR_FROM(&c, 1));
}
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Room for `size` more bytes to write directly; NULL when that goes over bytes_max. Commit what
 * was written with buf_commit. */
char *buf_reserve_slow(struct buf *buf, size_t size); /* buf_reserve's case of too little room */
static inline char *buf_reserve(struct buf *buf, size_t size)
{
    if (size == 0 || size > buf->capacity - buf->len || buf->overflowed)
        return buf_reserve_slow(buf, size);
    return buf->data + buf->len;
}
static inline void buf_commit(struct buf *buf, size_t size)
{
    ASSERT(size <= buf->capacity - buf->len);
    buf->len += size;
}
/* Makes room at once for what is known to come, in place of growing to it step by step. A hint: what
 * goes over bytes_max is refused when it comes. */
void buf_expect(struct buf *buf, size_t size);
/* The same with no byte to spare: for what is kept for long, whose owner says by how much it grows. */
void buf_expect_exactly(struct buf *buf, size_t size);

/* Drops the first `count` bytes (moves the rest down). */
void buf_consume(struct buf *buf, size_t count);
void buf_truncate(struct buf *buf, size_t len);

/* Swaps the contents of two buffers. */
void buf_swap(struct buf *a, struct buf *b);

/* Hands the memory to the caller (free with free()); the buffer is empty afterwards. */
char *buf_take(struct buf *buf, size_t *ret_len);

static inline bool buf_ok(const struct buf *buf)
{
    return !buf->overflowed;
}

static inline struct str buf_str(const struct buf *buf)
{
    return STR_FROM(buf->data ? buf->data : "", buf->len);
}
