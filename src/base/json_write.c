/* JSON: writing straight into a buffer. json.c reads. */
#include "base/json.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "base/clock.h"
#include "base/crypto.h"
#include "base/utf8.h"

void json_writer_init(struct json_writer *w, struct buf *out)
{
    *w = (struct json_writer){.out = out};
}

static void before_value(struct json_writer *w)
{
    if (w->comma)
        buf_append_char(w->out, ',');
    w->comma = true;
}

static void begin(struct json_writer *w, char bracket)
{
    size_t comma = w->comma;
    char *at = buf_reserve(w->out, comma + 1);
    w->comma = false;
    if (!at)
        return;
    at[0] = ','; /* or the bracket in its place */
    at[comma] = bracket;
    w->out->len += comma + 1;
}

static void end(struct json_writer *w, char bracket)
{
    buf_append_char(w->out, bracket);
    w->comma = true;
}

void json_begin_object(struct json_writer *w)
{
    begin(w, '{');
}

void json_end_object(struct json_writer *w)
{
    end(w, '}');
}

void json_begin_array(struct json_writer *w)
{
    begin(w, '[');
}

void json_end_array(struct json_writer *w)
{
    end(w, ']');
}

static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x7F && c != '"' && c != '\\';
}

static void escape_one(struct buf *out, unsigned char c)
{
    static const char short_forms[32] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    if (c == '"' || c == '\\') {
        buf_append(out, STR_FROM(((char[]){'\\', (char)c}), 2));
    } else if (c < 0x20 && short_forms[c]) {
        buf_append(out, STR_FROM(((char[]){'\\', short_forms[c]}), 2));
    } else if (c < 0x20 || c == 0x7F) {
        static const char digits[] = "0123456789abcdef";
        buf_append(out,
                   STR_FROM(((char[]){'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]}), 6));
    } else {
        buf_append(out, STR("\xEF\xBF\xBD")); /* U+FFFD for a byte that is not UTF-8 */
    }
}

/* Whether none of eight bytes needs a closer look: all are 0x20 to 0x7E, no quote, no backslash. Each
 * term has the high bit of a byte set when that byte is one of those; a borrow from it may only set
 * more. */
static bool is_plain_word(uint64_t word)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    uint64_t quote = word ^ ones * '"', backslash = word ^ ones * '\\', delete = word ^ ones * 0x7F;
    uint64_t special = (word - ones * 0x20) | (quote - ones) | (backslash - ones) | (delete - ones);
    return !((special | word) & highs);
}

/* What is shorter than 16 bytes: two words or halves of one, which may overlap. */
static bool is_plain_short(struct str s)
{
    uint64_t words[2] = {0};
    uint32_t halves[2];
    if (s.len >= sizeof words[0]) {
        memcpy(&words[0], s.data, sizeof words[0]);
        memcpy(&words[1], s.data + s.len - sizeof words[1], sizeof words[1]);
        return is_plain_word(words[0]) && is_plain_word(words[1]);
    }
    if (s.len < sizeof halves[0])
        return false;
    memcpy(&halves[0], s.data, sizeof halves[0]);
    memcpy(&halves[1], s.data + s.len - sizeof halves[1], sizeof halves[1]);
    return is_plain_word((uint64_t)halves[0] << 32 | halves[1]);
}

/* How many of the next PLAIN_BYTES bytes are plain before the first that is not. */
#if defined(__SSE2__)
enum { PLAIN_BYTES = 16 };

static size_t plain_ahead(const char *bytes)
{
    const __m128i text = _mm_loadu_si128((const __m128i *)(const void *)bytes);
    /* Signed: bytes over 0x7F are below too. */
    const __m128i low = _mm_cmplt_epi8(text, _mm_set1_epi8(0x20));
    const __m128i quote = _mm_cmpeq_epi8(text, _mm_set1_epi8('"'));
    const __m128i backslash = _mm_cmpeq_epi8(text, _mm_set1_epi8('\\'));
    const __m128i delete = _mm_cmpeq_epi8(text, _mm_set1_epi8(0x7F));
    const __m128i any = _mm_or_si128(_mm_or_si128(low, quote), _mm_or_si128(backslash, delete));
    return (size_t)__builtin_ctz((unsigned)_mm_movemask_epi8(any) | 1u << PLAIN_BYTES);
}
#else
enum { PLAIN_BYTES = 8 };

static size_t plain_ahead(const char *bytes)
{
    uint64_t word;
    size_t count = 0;
    memcpy(&word, bytes, sizeof word);
    if (is_plain_word(word))
        return PLAIN_BYTES;
    while (count < PLAIN_BYTES && is_plain((unsigned char)bytes[count]))
        count++;
    return count;
}
#endif

#if defined(__x86_64__)
/* Whether twice 32 bytes are plain, where the processor can. Signed, and one up: so what is below 0x21 is
 * controls, 0x7F and all over it. */
__attribute__((target("avx2"))) static bool are_plain_wide(const char *first, const char *last)
{
    const __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)first);
    const __m256i b = _mm256_loadu_si256((const __m256i *)(const void *)last);
    const __m256i one = _mm256_set1_epi8(1), space = _mm256_set1_epi8(0x20);
    const __m256i quote = _mm256_set1_epi8('"'), backslash = _mm256_set1_epi8('\\');
    const __m256i in_range = _mm256_and_si256(_mm256_cmpgt_epi8(_mm256_add_epi8(a, one), space),
                                              _mm256_cmpgt_epi8(_mm256_add_epi8(b, one), space));
    const __m256i quotes =
        _mm256_or_si256(_mm256_cmpeq_epi8(a, quote), _mm256_cmpeq_epi8(b, quote));
    const __m256i backslashes =
        _mm256_or_si256(_mm256_cmpeq_epi8(a, backslash), _mm256_cmpeq_epi8(b, backslash));
    const __m256i escaped = _mm256_or_si256(quotes, backslashes);
    return _mm256_movemask_epi8(_mm256_andnot_si256(escaped, in_range)) == -1;
}

/* For at least 64 bytes. It ends within 64 bytes of what is not plain, or at the end. */
__attribute__((target("avx2"))) static size_t skip_plain_wide(struct str s, size_t at)
{
    const size_t step = sizeof(__m256i), last = s.len - 2 * step;
    while (at < s.len) {
        size_t from = at < last ? at : last; /* the rest together with what is before it */
        if (!are_plain_wide(s.data + from, s.data + from + step))
            break;
        at = from + 2 * step;
    }
    return at;
}
#endif

/* Offset of the first byte from `at` on that is not plain, or s.len. */
static size_t skip_plain(struct str s, size_t at)
{
    if (s.len < PLAIN_BYTES && at == 0 && is_plain_short(s))
        return s.len;
#if defined(__x86_64__)
    if (s.len - at >= 4 * PLAIN_BYTES && __builtin_cpu_supports("avx2"))
        at = skip_plain_wide(s, at);
#endif
    while (s.len - at >= PLAIN_BYTES) {
        size_t count = plain_ahead(s.data + at);
        at += count;
        if (count < PLAIN_BYTES)
            return at;
    }
    /* The rest once more together with what is before it, rather than byte by byte. */
    if (at < s.len && s.len >= PLAIN_BYTES &&
        plain_ahead(s.data + s.len - PLAIN_BYTES) == PLAIN_BYTES)
        return s.len;
    while (at < s.len && is_plain((unsigned char)s.data[at]))
        at++;
    return at;
}

bool json_is_plain(struct str s)
{
    size_t at, length;
    for (at = 0; (at = skip_plain(s, at)) < s.len; at += length)
        if ((unsigned char)s.data[at] < 0x80 || !(length = utf8_length_at(s, at)))
            return false;
    return true;
}

/* What is before `at` is plain. */
static void escape_from(struct buf *out, struct str s, size_t at)
{
    for (size_t from = 0; at <= s.len;) {
        at = skip_plain(s, at);
        size_t length = at < s.len && (unsigned char)s.data[at] >= 0x80 ? utf8_length_at(s, at) : 0;
        if (length) {
            at += length;
            continue;
        }
        buf_append(out, str_slice(s, from, at - from));
        if (at < s.len)
            escape_one(out, (unsigned char)s.data[at]);
        from = ++at;
    }
}

void json_escape(struct buf *out, struct str s)
{
    escape_from(out, s, 0);
}

void json_key(struct json_writer *w, struct str key)
{
    before_value(w);
    buf_append_char(w->out, '"');
    json_escape(w->out, key);
    buf_append(w->out, STR("\":"));
    w->comma = false;
}

void json_begin_str(struct json_writer *w)
{
    before_value(w);
    buf_append_char(w->out, '"');
}

void json_str_part(struct json_writer *w, struct str part)
{
    json_escape(w->out, part);
}

void json_str_base64(struct json_writer *w, struct str bytes)
{
    char *room = buf_reserve(w->out, base64_length(bytes.len));
    if (room)
        buf_commit(w->out, base64_encode(bytes, room));
}

void json_end_str(struct json_writer *w)
{
    buf_append_char(w->out, '"');
}

/* What means itself, in one piece. */
static void put_plain(struct json_writer *w, struct str value)
{
    size_t comma = w->comma, size = comma + value.len + 2;
    char *at = buf_reserve(w->out, size);
    if (!at)
        return;
    at[0] = ','; /* or the quote in its place */
    at += comma;
    *at++ = '"';
    memcpy(at, value.data, value.len);
    at[value.len] = '"';
    w->out->len += size;
    w->comma = true;
}

void json_put_str(struct json_writer *w, struct str value)
{
    if (!value.data) {
        json_put_null(w);
        return;
    }
    size_t plain = skip_plain(value, 0);
    if (plain == value.len) {
        put_plain(w, value);
        return;
    }
    json_begin_str(w);
    escape_from(w->out, value, plain);
    json_end_str(w);
}

void json_put_raw(struct json_writer *w, struct str text)
{
    before_value(w);
    buf_append(w->out, text.len ? text : STR("null"));
}

void json_put_int(struct json_writer *w, int64_t value)
{
    char text[1 + STR_U64_BYTES_MAX] = {'-'};
    bool negative = value < 0;
    size_t len = str_from_u64(negative ? 0 - (uint64_t)value : (uint64_t)value, text + negative);
    json_put_raw(w, STR_FROM(text, len + negative));
}

/* The usual numbers of people (0.7, 1, 0.25) without printf: the least count of decimals for which
 * digits / 10^decimals is the value. Both are exact and the division rounds as reading does, so
 * this is what %.15g finds as well. Returns the length, or 0 when it is none of these. */
static size_t write_short_decimal(double value, char *text)
{
    uint64_t scale = 1;
    for (size_t decimals = 0; decimals <= 6; decimals++, scale *= 10) {
        uint64_t digits = (uint64_t)(value * (double)scale + 0.5);
        if ((double)digits / (double)scale != value)
            continue;
        size_t len = str_from_u64(digits / scale, text);
        if (!decimals)
            return len;
        text[len++] = '.';
        for (uint64_t place = scale / 10; place; place /= 10)
            text[len++] = (char)('0' + digits / place % 10);
        return len;
    }
    return 0;
}

static size_t write_any_double(double value, char *text, size_t size)
{
    /* 15 digits survive in every normal number, and %g drops zeros behind them. */
    for (int digits = fabs(value) < DBL_MIN ? 1 : 15;; digits++) {
        size_t len = (size_t)snprintf(text, size, "%.*g", digits, value);
        double again;
        if (digits == 17 || (str_to_double(STR_FROM(text, len), &again) && again == value))
            return len;
    }
}

void json_put_double(struct json_writer *w, double value)
{
    char text[40];
    size_t len = 0;
    if (!isfinite(value)) {
        json_put_null(w);
        return;
    }
    if (value >= 1e-4 && value < 1e8)
        len = write_short_decimal(value, text);
    if (!len)
        len = write_any_double(value, text, sizeof text);
    /* "-0" would be read as the integer, which has no sign. */
    json_put_raw(w, value == 0 && signbit(value) ? STR("-0.0") : STR_FROM(text, len));
}

/* digits / 10^decimals, without an exponent. */
static size_t write_decimal(uint64_t digits, size_t decimals, char *text)
{
    char all[STR_U64_BYTES_MAX];
    size_t count = str_from_u64(digits, all), len = 0;
    if (count > decimals) {
        memcpy(text, all, len = count - decimals);
    } else {
        text[len++] = '0';
    }
    if (!decimals)
        return len;
    text[len++] = '.';
    for (size_t zeros = count; zeros < decimals; zeros++)
        text[len++] = '0';
    size_t rest = count < decimals ? count : decimals;
    memcpy(text + len, all + count - rest, rest);
    return len + rest;
}

/* Vectors of embeddings have thousands of numbers: no printf for those of usual size. What a reader
 * makes of digits / scale is what is computed here, for both are exact. */
static size_t write_short_float(double value, char *text)
{
    static const double scales[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    int exponent = (int)floor(log10(value));
    for (int wanted = 6; wanted <= 9; wanted++) {
        int decimals = wanted - 1 - exponent;
        if (decimals < 0 || decimals >= (int)(sizeof scales / sizeof *scales))
            continue;
        uint64_t digits = (uint64_t)(value * scales[decimals] + 0.5);
        if ((float)((double)digits / scales[decimals]) != (float)value)
            continue;
        for (; decimals && digits % 10 == 0; decimals--)
            digits /= 10;
        return write_decimal(digits, (size_t)decimals, text);
    }
    return 0;
}

/* Nine digits are always enough. */
static size_t write_any_float(float value, char *text, size_t size)
{
    for (int digits = 1;; digits++) {
        size_t len = (size_t)snprintf(text, size, "%.*g", digits, fabs((double)value));
        double again;
        if (digits == 9 ||
            (str_to_double(STR_FROM(text, len), &again) && (float)again == fabsf(value)))
            return len;
    }
}

void json_put_float(struct json_writer *w, float value)
{
    char text[40] = "-";
    size_t sign = signbit(value) ? 1 : 0, len = 0;
    double size = fabs((double)value);
    if (!isfinite(value)) {
        json_put_null(w);
        return;
    }
    if (size > 0)
        len = write_short_float(size, text + sign);
    if (!len && size > 0)
        len = write_any_float(value, text + sign, sizeof text - sign);
    if (size > 0)
        json_put_raw(w, STR_FROM(text, sign + len));
    else
        json_put_raw(w, sign ? STR("-0.0") : STR("0"));
}

void json_put_bool(struct json_writer *w, bool value)
{
    json_put_raw(w, value ? STR("true") : STR("false"));
}

void json_put_null(struct json_writer *w)
{
    json_put_raw(w, STR("null"));
}

void json_put_val(struct json_writer *w, yyjson_val *value)
{
    if (!value) {
        json_put_null(w);
        return;
    }
    struct arena *scratch = arena_new(SIZE_MAX);
    json_put_raw(w, json_text(scratch, value));
    arena_free(scratch);
}

/* Keys are short: most are two words that may overlap, which is less than a call. */
static inline void copy_short(char *to, const char *from, size_t len)
{
    uint32_t half[2];
    uint64_t word[2];
    if (len >= sizeof half[0] && len <= sizeof half) {
        memcpy(&half[0], from, sizeof half[0]);
        memcpy(&half[1], from + len - sizeof half[1], sizeof half[1]);
        memcpy(to, &half[0], sizeof half[0]);
        memcpy(to + len - sizeof half[1], &half[1], sizeof half[1]);
    } else if (len > sizeof half && len <= sizeof word) {
        memcpy(&word[0], from, sizeof word[0]);
        memcpy(&word[1], from + len - sizeof word[1], sizeof word[1]);
        memcpy(to, &word[0], sizeof word[0]);
        memcpy(to + len - sizeof word[1], &word[1], sizeof word[1]);
    } else {
        memcpy(to, from, len);
    }
}

void json_literal_key(struct json_writer *w, struct str key)
{
    size_t comma = w->comma, size = comma + key.len + 3;
    char *at = buf_reserve(w->out, size);
    if (!at)
        return;
    at[0] = ','; /* or the quote in its place */
    at += comma;
    *at++ = '"';
    copy_short(at, key.data, key.len);
    memcpy(at + key.len, "\":", 2);
    w->out->len += size;
    w->comma = false;
}

void json_key_time(struct json_writer *w, const char *key, int64_t wall_ms)
{
    char text[25];
    clock_format_rfc3339(wall_ms, text);
    json_key_str(w, key, wall_ms ? str_from_cstr(text) : STR_NONE);
}
