/* UTF-8, after RFC 3629's table of well-formed sequences. */
#include "base/utf8.h"

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

size_t utf8_length_at(struct str s, size_t at)
{
    if (at >= s.len)
        return 0;
    unsigned char lead = (unsigned char)s.data[at];
    if (lead < 0x80)
        return 1;
    size_t length = lead >= 0xC2 && lead <= 0xDF   ? 2
                    : (lead & 0xF0) == 0xE0        ? 3
                    : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                   : 0;
    if (length == 0 || s.len - at < length)
        return 0;
    if (!second_byte_ok(lead, (unsigned char)s.data[at + 1]))
        return 0;
    for (size_t i = 2; i < length; i++)
        if (!is_continuation((unsigned char)s.data[at + i]))
            return 0;
    return length;
}

bool utf8_valid(struct str s, size_t *ret_at)
{
    for (size_t at = 0; at < s.len;) {
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

size_t utf8_cut(struct str s, size_t max)
{
    if (max >= s.len)
        return s.len;
    size_t at = max;
    while (at > 0 && max - at < 3 && is_continuation((unsigned char)s.data[at]))
        at--;
    return is_continuation((unsigned char)s.data[at]) ? max : at;
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
