/* Borrowed byte strings: a pointer and a length, never owned, not NUL-terminated. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A view of `len` bytes. An absent string is {NULL, 0}; an empty one has len 0 and any data. */
struct str {
    const char *data;
    size_t len;
};

#define STR(literal) ((struct str)STR_INIT(literal))
/* The same where a constant is needed: in tables. */
#define STR_INIT(literal)                                                                          \
    {                                                                                              \
        "" literal, sizeof(literal) - 1                                                            \
    }
#define STR_NONE            ((struct str){NULL, 0})
#define STR_FROM(data, len) ((struct str){(data), (len)})
/* For printf's "%.*s". */
#define STR_ARG(s) (int)(s).len, ((s).data ? (s).data : "")

/* What is short and used at every frame and field is inline: comparing with a literal becomes a
 * comparison of words. */

/* A view of a NUL-terminated string; NULL gives STR_NONE. */
struct str str_from_cstr(const char *text);

static inline bool str_eq(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}
/* ASCII letters compare equal in either case (HTTP header names, schemes). */
bool str_eq_nocase(struct str a, struct str b);
static inline bool str_starts_with(struct str s, struct str prefix)
{
    return s.len >= prefix.len && str_eq(STR_FROM(s.data, prefix.len), prefix);
}
bool str_starts_with_nocase(struct str s, struct str prefix);
bool str_ends_with(struct str s, struct str suffix);
/* memcmp order, shorter first on a tie: -1, 0, 1. */
int str_compare(struct str a, struct str b);
/* How many bytes two texts have in common, at their beginnings and at their ends. */
size_t str_shared_prefix(struct str a, struct str b);
size_t str_shared_suffix(struct str a, struct str b);

/* Offset of the first occurrence, or SIZE_MAX. An empty needle is found at 0. */
size_t str_find(struct str haystack, struct str needle);
size_t str_find_nocase(struct str haystack, struct str needle);
static inline size_t str_find_char(struct str haystack, char c)
{
    const char *at = haystack.len ? memchr(haystack.data, c, haystack.len) : NULL;
    return at ? (size_t)(at - haystack.data) : SIZE_MAX;
}

/* The bytes from `from` (clamped) on, at most `len` of them. */
static inline struct str str_slice(struct str s, size_t from, size_t len)
{
    if (from > s.len)
        from = s.len;
    if (len > s.len - from)
        len = s.len - from;
    return s.data ? STR_FROM(s.data + from, len) : s;
}
static inline struct str str_skip(struct str s, size_t count)
{
    return str_slice(s, count, SIZE_MAX);
}
/* Without ASCII white space at both ends. */
struct str str_trim(struct str s);

/* Cuts *s at the first `separator`: returns the part before, *s becomes the part after.
 * Without one, returns all of it and *s becomes STR_NONE. Loop while (s.data). */
struct str str_next(struct str *s, char separator);

/* All of `s` as a decimal number; false (and *ret untouched) on anything else or overflow. */
bool str_to_u64(struct str s, uint64_t *ret);
bool str_to_i64(struct str s, int64_t *ret);
/* All of `s` as a finite number in JSON's grammar or a plain decimal. */
bool str_to_double(struct str s, double *ret);

enum { STR_U64_BYTES_MAX = 20 };
/* Writes `value` in decimal to ret (room for STR_U64_BYTES_MAX, no NUL) and returns its length. */
size_t str_from_u64(uint64_t value, char *ret);

/* Copies to `ret` (size bytes with the NUL); cuts what does not fit at a character border.
 * Returns false when it was cut. */
bool str_copy(struct str s, char *ret, size_t size);

/* A 64-bit hash for tables of trusted keys (not hardened against collisions). */
uint64_t str_hash(struct str s);

/* Levenshtein distance of bytes, capped: anything over 64 bytes counts as far (SIZE_MAX).
 * Used to name the nearest right word in an error. */
size_t str_distance(struct str a, struct str b);

/* The nearest of several words to a wrong one: begin, try each, then `found` is it, or STR_NONE
 * when none is nearer than `limit`. All borrowed. */
struct str_nearest {
    struct str wanted;
    struct str found;
    size_t distance; /* of found; at first the limit */
};
struct str_nearest str_nearest_begin(struct str wanted, size_t limit);
void str_nearest_try(struct str_nearest *nearest, struct str candidate);
