/* Borrowed byte strings. */
#include "base/str.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

struct str str_from_cstr(const char *text)
{
    return text ? (struct str){text, strlen(text)} : STR_NONE;
}

/* Whether eight bytes are the same but for the case of letters. Each sum has the high bit of a byte
 * set when that byte, made small, is at least 'a', or above 'z'; none carries into the next. */
static bool is_same_word(uint64_t a, uint64_t b)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x80 * ones, cases = 0x20 * ones;
    uint64_t unlike = a ^ b;
    if (!unlike)
        return true;
    uint64_t low = (a | cases) & ~highs;
    uint64_t from_a = low + ones * (0x80 - 'a'), over_z = low + ones * (0x7F - 'z');
    uint64_t letters = from_a & ~over_z & ~a & highs;
    return !(unlike & ~cases) && !((unlike << 2) & ~letters);
}

static uint64_t load(const char *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

/* Fewer than eight bytes, but one, as a word: some of them twice. */
static uint64_t load_few(const char *bytes, size_t len)
{
    uint32_t first, last;
    if (len < sizeof first)
        return (uint64_t)(unsigned char)bytes[0] | (uint64_t)(unsigned char)bytes[len / 2] << 8 |
               (uint64_t)(unsigned char)bytes[len - 1] << 16;
    memcpy(&first, bytes, sizeof first);
    memcpy(&last, bytes + len - sizeof last, sizeof last);
    return (uint64_t)first << 32 | last;
}

bool str_eq_nocase(struct str a, struct str b)
{
    const size_t step = sizeof(uint64_t), len = a.len;
    if (len != b.len || len == 0)
        return len == b.len;
    if (len < step)
        return is_same_word(load_few(a.data, len), load_few(b.data, len));
    for (size_t at = 0; at + step < len; at += step)
        if (!is_same_word(load(a.data + at), load(b.data + at)))
            return false;
    /* Some of the last word has been seen. */
    return is_same_word(load(a.data + len - step), load(b.data + len - step));
}

bool str_starts_with_nocase(struct str s, struct str prefix)
{
    return s.len >= prefix.len && str_eq_nocase(STR_FROM(s.data, prefix.len), prefix);
}

bool str_ends_with(struct str s, struct str suffix)
{
    return s.len >= suffix.len &&
           (suffix.len == 0 || str_eq(str_skip(s, s.len - suffix.len), suffix));
}

int str_compare(struct str a, struct str b)
{
    size_t shared = a.len < b.len ? a.len : b.len;
    int order = shared ? memcmp(a.data, b.data, shared) : 0;
    if (order == 0)
        order = a.len < b.len ? -1 : a.len > b.len;
    return order < 0 ? -1 : order > 0;
}

enum { STRIDE = 256, WORD = sizeof(uint64_t) };

static bool same_word(const char *a, const char *b)
{
    uint64_t of_a, of_b;
    memcpy(&of_a, a, WORD);
    memcpy(&of_b, b, WORD);
    return of_a == of_b;
}

size_t str_shared_prefix(struct str a, struct str b)
{
    size_t len = a.len < b.len ? a.len : b.len, at = 0;
    while (len - at >= STRIDE && memcmp(a.data + at, b.data + at, STRIDE) == 0)
        at += STRIDE;
    while (len - at >= WORD && same_word(a.data + at, b.data + at))
        at += WORD;
    while (at < len && a.data[at] == b.data[at])
        at++;
    return at;
}

size_t str_shared_suffix(struct str a, struct str b)
{
    size_t len = a.len < b.len ? a.len : b.len, left = len;
    struct str of_a = str_skip(a, a.len - len), of_b = str_skip(b, b.len - len);
    while (left >= STRIDE &&
           memcmp(of_a.data + left - STRIDE, of_b.data + left - STRIDE, STRIDE) == 0)
        left -= STRIDE;
    while (left >= WORD && same_word(of_a.data + left - WORD, of_b.data + left - WORD))
        left -= WORD;
    while (left && of_a.data[left - 1] == of_b.data[left - 1])
        left--;
    return len - left;
}

size_t str_find(struct str haystack, struct str needle)
{
    if (needle.len == 0)
        return 0;
    if (haystack.len < needle.len)
        return SIZE_MAX;
    const char *at = memmem(haystack.data, haystack.len, needle.data, needle.len);
    return at ? (size_t)(at - haystack.data) : SIZE_MAX;
}

size_t str_find_nocase(struct str haystack, struct str needle)
{
    if (needle.len == 0)
        return 0;
    for (size_t i = 0; i + needle.len <= haystack.len; i++)
        if (str_eq_nocase(STR_FROM(haystack.data + i, needle.len), needle))
            return i;
    return SIZE_MAX;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

struct str str_trim(struct str s)
{
    while (s.len && is_space(s.data[0])) {
        s.data++;
        s.len--;
    }
    while (s.len && is_space(s.data[s.len - 1]))
        s.len--;
    return s;
}

struct str str_next(struct str *s, char separator)
{
    struct str whole = *s;
    size_t at = str_find_char(whole, separator);
    if (at == SIZE_MAX) {
        *s = STR_NONE;
        return whole;
    }
    *s = str_skip(whole, at + 1);
    return STR_FROM(whole.data, at);
}

bool str_to_u64(struct str s, uint64_t *ret)
{
    if (s.len == 0 || s.len > 20)
        return false;
    uint64_t value = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] < '0' || s.data[i] > '9')
            return false;
        if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(s.data[i] - '0'), &value))
            return false;
    }
    *ret = value;
    return true;
}

bool str_to_i64(struct str s, int64_t *ret)
{
    bool negative = s.len && s.data[0] == '-';
    uint64_t magnitude;
    if (!str_to_u64(negative ? str_skip(s, 1) : s, &magnitude))
        return false;
    if (magnitude > (uint64_t)INT64_MAX + negative)
        return false;
    *ret = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return true;
}

static size_t count_digits(uint64_t value)
{
    size_t count = 1;
    for (; value >= 10000; value /= 10000)
        count += 4;
    return count + (value >= 10) + (value >= 100) + (value >= 1000);
}

/* From the end to the begin, but where they belong: a copy of what was just written byte by byte
 * would wait for each of them. */
size_t str_from_u64(uint64_t value, char *ret)
{
    static const char pairs[] = "0001020304050607080910111213141516171819202122232425262728293031"
                                "3233343536373839404142434445464748495051525354555657585960616263"
                                "6465666768697071727374757677787980818283848586878889909192939495"
                                "96979899";
    size_t length = count_digits(value);
    char *at = ret + length;
    for (; value >= 100; value /= 100)
        memcpy(at -= 2, pairs + value % 100 * 2, 2);
    if (value >= 10)
        memcpy(at - 2, pairs + value * 2, 2);
    else
        at[-1] = (char)('0' + value);
    return length;
}

bool str_to_double(struct str s, double *ret)
{
    char text[64];
    if (s.len == 0 || s.len >= sizeof text || is_space(s.data[0]))
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!strchr("0123456789+-.eE", s.data[i]) || !s.data[i])
            return false;
    memcpy(text, s.data, s.len);
    text[s.len] = '\0';
    char *end;
    double value = strtod(text, &end);
    if (*end != '\0' || !isfinite(value))
        return false;
    *ret = value;
    return true;
}

bool str_copy(struct str s, char *ret, size_t size)
{
    size_t len = s.len < size ? s.len : utf8_cut(s, size - 1);
    if (len)
        memcpy(ret, s.data, len);
    ret[len] = '\0';
    return len == s.len;
}

uint64_t str_hash(struct str s)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a, 64 bits */
    for (size_t i = 0; i < s.len; i++)
        hash = (hash ^ (unsigned char)s.data[i]) * 1099511628211u;
    return hash;
}

size_t str_distance(struct str a, struct str b)
{
    enum { LENGTH_MAX = 64 };
    if (a.len > LENGTH_MAX || b.len > LENGTH_MAX)
        return SIZE_MAX;
    size_t row[LENGTH_MAX + 1];
    for (size_t j = 0; j <= b.len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t best = diagonal + (a.data[i - 1] != b.data[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[b.len];
}

struct str_nearest str_nearest_begin(struct str wanted, size_t limit)
{
    return (struct str_nearest){wanted, STR_NONE, limit};
}

void str_nearest_try(struct str_nearest *nearest, struct str candidate)
{
    size_t distance = str_distance(nearest->wanted, candidate);
    if (distance < nearest->distance) {
        nearest->distance = distance;
        nearest->found = candidate;
    }
}
