/* UTF-8, after RFC 3629's table of well-formed sequences. */
#include "base/utf8.h"

#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

static bool is_continuation(unsigned char c)
{
    return (c & 0xC0) == 0x80;
}

/* The lowest and highest second byte allowed after lead byte `c` (RFC 3629, section 4). */
static bool second_byte_ok(unsigned char c, unsigned char second)
{
    switch (c) {
    case 0xE0:
        return second >= 0xA0 && second <= 0xBF;
    case 0xED:
        return second >= 0x80 && second <= 0x9F;
    case 0xF0:
        return second >= 0x90 && second <= 0xBF;
    case 0xF4:
        return second >= 0x80 && second <= 0x8F;
    default:
        return is_continuation(second);
    }
}

/* The length that a lead byte promises; 0 for what begins no character. */
static size_t promised_length(unsigned char lead)
{
    if (lead < 0x80)
        return 1;
    if (lead >= 0xC2 && lead <= 0xDF)
        return 2;
    if ((lead & 0xF0) == 0xE0)
        return 3;
    return lead >= 0xF0 && lead <= 0xF4 ? 4 : 0;
}

size_t utf8_length_at(struct str s, size_t at)
{
    if (at >= s.len)
        return 0;
    unsigned char lead = (unsigned char)s.data[at];
    size_t length = promised_length(lead);
    if (length < 2 || s.len - at < length)
        return length == 1;
    if (!second_byte_ok(lead, (unsigned char)s.data[at + 1]))
        return 0;
    for (size_t i = 2; i < length; i++)
        if (!is_continuation((unsigned char)s.data[at + i]))
            return 0;
    return length;
}

/* Offset of the first byte from `at` on that may not be ASCII: many are looked at together, for every
 * byte of a stream comes by here. */
static size_t skip_ascii(struct str s, size_t at)
{
#if defined(__SSE2__)
    enum { STEP = 2 * sizeof(__m128i) };
    for (; s.len - at >= STEP; at += STEP) {
        const __m128i *bytes = (const __m128i *)(const void *)(s.data + at);
        if (_mm_movemask_epi8(_mm_or_si128(_mm_loadu_si128(bytes), _mm_loadu_si128(bytes + 1))))
            break;
    }
#endif
    for (uint64_t word; s.len - at >= sizeof word; at += sizeof word) {
        memcpy(&word, s.data + at, sizeof word);
        if (word & 0x8080808080808080u)
            break;
    }
    while (at < s.len && (unsigned char)s.data[at] < 0x80)
        at++;
    return at;
}

bool utf8_valid(struct str s, size_t *ret_at)
{
    for (size_t at = 0; (at = skip_ascii(s, at)) < s.len;) {
        size_t length = utf8_length_at(s, at);
        if (length == 0) {
            if (ret_at)
                *ret_at = at;
            return false;
        }
        at += length;
    }
    return true;
}

void utf8_repair(struct buf *out, struct str s)
{
    size_t at;
    for (; !utf8_valid(s, &at); s = str_skip(s, at + 1)) {
        buf_append(out, str_slice(s, 0, at));
        buf_append(out, STR("\xEF\xBF\xBD"));
    }
    buf_append(out, s);
}

size_t utf8_cut(struct str s, size_t max)
{
    size_t end = max < s.len ? max : s.len;
    for (size_t back = 1; back <= 3 && back <= end; back++) {
        unsigned char c = (unsigned char)s.data[end - back];
        if (!is_continuation(c))
            return promised_length(c) > back ? end - back : end;
    }
    return end;
}

size_t utf8_count(struct str s)
{
    size_t count = 0;
    for (size_t i = 0; i < s.len; i++)
        count += !is_continuation((unsigned char)s.data[i]);
    return count;
}

size_t utf8_encode(uint32_t code_point, char ret[4])
{
    if (code_point > 0x10FFFF || (code_point >= 0xD800 && code_point <= 0xDFFF))
        code_point = 0xFFFD;
    if (code_point < 0x80) {
        ret[0] = (char)code_point;
        return 1;
    }
    if (code_point < 0x800) {
        ret[0] = (char)(0xC0 | code_point >> 6);
        ret[1] = (char)(0x80 | (code_point & 0x3F));
        return 2;
    }
    if (code_point < 0x10000) {
        ret[0] = (char)(0xE0 | code_point >> 12);
        ret[1] = (char)(0x80 | (code_point >> 6 & 0x3F));
        ret[2] = (char)(0x80 | (code_point & 0x3F));
        return 3;
    }
    ret[0] = (char)(0xF0 | code_point >> 18);
    ret[1] = (char)(0x80 | (code_point >> 12 & 0x3F));
    ret[2] = (char)(0x80 | (code_point >> 6 & 0x3F));
    ret[3] = (char)(0x80 | (code_point & 0x3F));
    return 4;
}
