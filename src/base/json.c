/* JSON: reading on yyjson with an arena, writing straight into a buffer. */
#include "base/json.h"

#include <float.h>
#include <math.h>
#include <stdalign.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "base/clock.h"
#include "base/crypto.h"
#include "base/utf8.h"

enum { WRITE_ROOM_BYTES = 8192 };

/* ---- Reading --------------------------------------------------------------------------------- */

static void *arena_malloc(void *context, size_t size)
{
    return arena_alloc(context, size);
}

static void *arena_grow(void *context, void *ptr, size_t old_size, size_t size)
{
    return arena_realloc(context, ptr, old_size, size);
}

static void arena_keep(void *context, void *ptr)
{
    (void)context;
    (void)ptr;
}

static yyjson_alc arena_allocator(struct arena *arena)
{
    return (yyjson_alc){arena_malloc, arena_grow, arena_keep, arena};
}

/* yyjson stores a document's values in one array, a container directly before its content and
 * with the distance to its next sibling: so nesting is measured without recursion. */
static bool depth_ok(yyjson_doc *doc)
{
    yyjson_val *ends[JSON_DEPTH_MAX];
    size_t depth = 0;
    yyjson_val *value = yyjson_doc_get_root(doc);
    yyjson_val *end = value + yyjson_doc_get_val_count(doc);
    for (; value < end; value++) {
        if (!yyjson_is_ctn(value))
            continue;
        while (depth && value >= ends[depth - 1])
            depth--;
        if (depth == JSON_DEPTH_MAX)
            return false;
        ends[depth++] = unsafe_yyjson_get_next(value);
    }
    return true;
}

static enum err read_copy(char *copy, struct arena *values, struct str text, yyjson_val **ret_root,
                          struct error *error)
{
    yyjson_alc allocator = arena_allocator(values);
    yyjson_read_err detail = {.msg = ""};
    if (text.len)
        memcpy(copy, text.data, text.len);
    memset(copy + text.len, 0, YYJSON_PADDING_SIZE);
    yyjson_doc *doc = yyjson_read_opts(copy, text.len, YYJSON_READ_INSITU, &allocator, &detail);
    if (!doc)
        return error_set(error, ERR_INVALID, NULL, "not valid JSON: %s at byte %zu",
                         text.len ? detail.msg : "the body is empty", detail.pos);
    if (!depth_ok(doc))
        return error_set(error, ERR_INVALID, NULL, "JSON nested deeper than %d levels",
                         JSON_DEPTH_MAX);
    *ret_root = yyjson_doc_get_root(doc);
    return ERR_OK;
}

enum err json_read_split(struct arena *strings, struct arena *values, struct str text,
                         yyjson_val **ret_root, struct error *error)
{
    char *copy = arena_alloc(strings, text.len + YYJSON_PADDING_SIZE);
    return read_copy(copy, values, text, ret_root, error);
}

enum err json_read_placed(struct arena *arena, struct str text, yyjson_val **ret_root,
                          const char **ret_copy, struct error *error)
{
    char *copy = arena_alloc(arena, text.len + YYJSON_PADDING_SIZE);
    *ret_copy = copy;
    return read_copy(copy, arena, text, ret_root, error);
}

enum err json_read(struct arena *arena, struct str text, yyjson_val **ret_root, struct error *error)
{
    return json_read_split(arena, arena, text, ret_root, error);
}

yyjson_val *json_get(yyjson_val *object, const char *key)
{
    return yyjson_obj_get(object, key);
}

struct str json_str(yyjson_val *value)
{
    return yyjson_is_str(value) ? STR_FROM(yyjson_get_str(value), yyjson_get_len(value)) : STR_NONE;
}

struct str json_get_str(yyjson_val *object, const char *key)
{
    return json_str(json_get(object, key));
}

bool json_int(yyjson_val *value, int64_t *ret)
{
    if (yyjson_is_uint(value) && yyjson_get_uint(value) <= INT64_MAX) {
        *ret = (int64_t)yyjson_get_uint(value);
        return true;
    }
    if (yyjson_is_sint(value)) {
        *ret = yyjson_get_sint(value);
        return true;
    }
    double real = yyjson_is_real(value) ? yyjson_get_real(value) : NAN;
    if (!(real > -0x1p63 && real < 0x1p63) || floor(real) != real)
        return false;
    *ret = (int64_t)real;
    return true;
}

bool json_get_int(yyjson_val *object, const char *key, int64_t *ret)
{
    return json_int(json_get(object, key), ret);
}

bool json_get_double(yyjson_val *object, const char *key, double *ret)
{
    yyjson_val *value = json_get(object, key);
    if (!yyjson_is_num(value))
        return false;
    *ret = yyjson_get_num(value);
    return true;
}

bool json_get_bool(yyjson_val *object, const char *key, bool *ret)
{
    yyjson_val *value = json_get(object, key);
    if (!yyjson_is_bool(value))
        return false;
    *ret = yyjson_get_bool(value);
    return true;
}

struct str json_text(struct arena *arena, yyjson_val *value)
{
    if (!value)
        return STR("null");
    yyjson_alc allocator;
    alignas(max_align_t) char room[WRITE_ROOM_BYTES];
    size_t len = 0;
    /* yyjson guesses the length, generously: in the arena, only a text that is too long for here. */
    yyjson_alc_pool_init(&allocator, room, sizeof room);
    char *text =
        yyjson_val_write_opts(value, YYJSON_WRITE_ALLOW_INVALID_UNICODE, &allocator, &len, NULL);
    if (text)
        return arena_str(arena, STR_FROM(text, len));
    allocator = arena_allocator(arena);
    text = yyjson_val_write_opts(value, YYJSON_WRITE_ALLOW_INVALID_UNICODE, &allocator, &len, NULL);
    return text ? STR_FROM(text, len) : STR("null");
}

/* ---- Writing --------------------------------------------------------------------------------- */

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
    before_value(w);
    buf_append_char(w->out, bracket);
    w->comma = false;
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

/* Whether none of the next PLAIN_BYTES bytes needs a closer look: all are 0x20 to 0x7E, no quote, no
 * backslash. */
#if defined(__SSE2__)
enum { PLAIN_BYTES = 16 };

/* Which of these 16 bytes are not plain. */
static __m128i not_plain(const char *bytes)
{
    const __m128i text = _mm_loadu_si128((const __m128i *)(const void *)bytes);
    /* Signed: bytes over 0x7F are below too. */
    const __m128i low = _mm_cmplt_epi8(text, _mm_set1_epi8(0x20));
    const __m128i quote = _mm_cmpeq_epi8(text, _mm_set1_epi8('"'));
    const __m128i backslash = _mm_cmpeq_epi8(text, _mm_set1_epi8('\\'));
    const __m128i delete = _mm_cmpeq_epi8(text, _mm_set1_epi8(0x7F));
    return _mm_or_si128(_mm_or_si128(low, quote), _mm_or_si128(backslash, delete));
}

static bool are_plain(const char *bytes)
{
    return _mm_movemask_epi8(not_plain(bytes)) == 0;
}

/* Four times as many with one test: most of what is written is long plain text. */
static bool are_plain_four(const char *bytes)
{
    const __m128i first = _mm_or_si128(not_plain(bytes), not_plain(bytes + PLAIN_BYTES));
    const __m128i last =
        _mm_or_si128(not_plain(bytes + 2 * PLAIN_BYTES), not_plain(bytes + 3 * PLAIN_BYTES));
    return _mm_movemask_epi8(_mm_or_si128(first, last)) == 0;
}
#else
enum { PLAIN_BYTES = 8 };

/* Each term has the high bit of a byte set when that byte is one of those; a borrow from it may only
 * set more. */
static bool are_plain(const char *bytes)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    uint64_t quote = word ^ ones * '"', backslash = word ^ ones * '\\', delete = word ^ ones * 0x7F;
    uint64_t special = (word - ones * 0x20) | (quote - ones) | (backslash - ones) | (delete - ones);
    return !((special | word) & highs);
}

static bool are_plain_four(const char *bytes)
{
    return are_plain(bytes) && are_plain(bytes + PLAIN_BYTES) &&
           are_plain(bytes + 2 * PLAIN_BYTES) && are_plain(bytes + 3 * PLAIN_BYTES);
}
#endif

/* Offset of the first byte from `at` on that is not plain, or s.len. */
static size_t skip_plain(struct str s, size_t at)
{
    while (s.len - at >= 4 * PLAIN_BYTES && are_plain_four(s.data + at))
        at += 4 * PLAIN_BYTES;
    while (s.len - at >= PLAIN_BYTES && are_plain(s.data + at))
        at += PLAIN_BYTES;
    /* The rest once more together with what is before it, rather than byte by byte. */
    if (at < s.len && s.len - at < PLAIN_BYTES && s.len >= PLAIN_BYTES &&
        are_plain(s.data + s.len - PLAIN_BYTES))
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

void json_escape(struct buf *out, struct str s)
{
    for (size_t at = 0, from = 0; at <= s.len;) {
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

void json_put_str(struct json_writer *w, struct str value)
{
    if (!value.data) {
        json_put_null(w);
        return;
    }
    json_begin_str(w);
    json_escape(w->out, value);
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

void json_literal_key(struct json_writer *w, struct str key)
{
    size_t len = key.len, at = w->comma;
    char *room = buf_reserve(w->out, at + len + 3);
    if (!room)
        return;
    if (w->comma)
        room[0] = ',';
    room[at] = '"';
    memcpy(room + at + 1, key.data, len);
    memcpy(room + at + 1 + len, "\":", 2);
    buf_commit(w->out, at + len + 3);
    w->comma = false;
}

void json_key_time(struct json_writer *w, const char *key, int64_t wall_ms)
{
    char text[25];
    clock_format_rfc3339(wall_ms, text);
    json_key_str(w, key, wall_ms ? str_from_cstr(text) : STR_NONE);
}
