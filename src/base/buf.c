/* Growable byte buffer with a maximum from birth. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

enum { CAPACITY_MIN = 256 };

void buf_init(struct buf *buf, size_t bytes_max)
{
    *buf = (struct buf){.bytes_max = bytes_max};
}

void buf_done(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf){.bytes_max = buf->bytes_max};
}

void buf_clear(struct buf *buf)
{
    buf->len = 0;
    buf->overflowed = false;
}

void buf_release(struct buf *buf)
{
    buf_done(buf);
}

static void resize(struct buf *buf, size_t capacity)
{
    if (!buf->len) { /* nothing to take along */
        free(buf->data);
        buf->data = NULL;
    }
    char *data = realloc(buf->data, capacity ? capacity : 1);
    ASSERT(data);
    buf->data = data;
    buf->capacity = capacity;
}

char *buf_reserve_slow(struct buf *buf, size_t size)
{
    if (buf->overflowed || size > buf->bytes_max - buf->len) {
        buf->overflowed = true;
        return NULL;
    }
    size_t needed = buf->len + size;
    if (needed > buf->capacity || !buf->data) {
        size_t capacity = buf->capacity ? buf->capacity * 2 : CAPACITY_MIN;
        if (capacity < needed)
            capacity = needed;
        if (capacity > buf->bytes_max)
            capacity = buf->bytes_max;
        resize(buf, capacity);
    }
    return buf->data + buf->len;
}

void buf_expect(struct buf *buf, size_t size)
{
    if (size <= buf->bytes_max - buf->len)
        buf_reserve(buf, size);
}

void buf_expect_exactly(struct buf *buf, size_t size)
{
    if (size <= buf->bytes_max - buf->len && size > buf->capacity - buf->len)
        resize(buf, buf->len + size);
}

void buf_append_slow(struct buf *buf, struct str s)
{
    if (s.len == 0)
        return;
    char *room = buf_reserve(buf, s.len);
    if (!room)
        return;
    memcpy(room, s.data, s.len);
    buf->len += s.len;
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    va_list again;
    va_copy(again, arguments);
    char small[512];
    int length = vsnprintf(small, sizeof small, format, arguments);
    va_end(arguments);
    ASSERT(length >= 0);
    if ((size_t)length < sizeof small) {
        buf_append(buf, STR_FROM(small, (size_t)length));
    } else {
        char *large = malloc((size_t)length + 1);
        ASSERT(large);
        vsnprintf(large, (size_t)length + 1, format, again);
        buf_append(buf, STR_FROM(large, (size_t)length));
        free(large);
    }
    va_end(again);
}

void buf_consume(struct buf *buf, size_t count)
{
    ASSERT(count <= buf->len);
    buf->len -= count;
    if (buf->len && count)
        memmove(buf->data, buf->data + count, buf->len);
}

void buf_truncate(struct buf *buf, size_t len)
{
    ASSERT(len <= buf->len);
    buf->len = len;
}

void buf_swap(struct buf *a, struct buf *b)
{
    struct buf c = *a;
    *a = *b;
    *b = c;
}

char *buf_take(struct buf *buf, size_t *ret_len)
{
    char *data = buf->data;
    *ret_len = buf->len;
    *buf = (struct buf){.bytes_max = buf->bytes_max};
    return data;
}
