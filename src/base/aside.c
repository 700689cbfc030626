/* Aside: stores that are written through, line by line. */
#include "base/aside.h"

#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

enum { ASIDE_BYTES_MIN = 512, LINE_BYTES = 64 };

#if defined(__SSE2__)
/* Whole lines, to where a line begins. */
static void copy_lines(char *to, const char *from, size_t lines)
{
    enum { WORD = sizeof(__m128i) };
    for (; lines; lines--, to += LINE_BYTES, from += LINE_BYTES)
        for (size_t i = 0; i < LINE_BYTES; i += WORD)
            _mm_stream_si128((__m128i *)(void *)(to + i),
                             _mm_loadu_si128((const __m128i *)(const void *)(from + i)));
    _mm_sfence();
}

void copy_aside(void *to, const void *from, size_t size)
{
    size_t head = -(uintptr_t)to % LINE_BYTES;
    if (size < ASIDE_BYTES_MIN) {
        if (size)
            memcpy(to, from, size);
        return;
    }
    size_t lines = (size - head) / LINE_BYTES, done = head + lines * LINE_BYTES;
    memcpy(to, from, head);
    copy_lines((char *)to + head, (const char *)from + head, lines);
    memcpy((char *)to + done, (const char *)from + done, size - done);
}
#else
void copy_aside(void *to, const void *from, size_t size)
{
    if (size)
        memcpy(to, from, size);
}
#endif
