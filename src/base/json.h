/* JSON: reading on yyjson with an arena, and writing straight into a buffer. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <yyjson.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

/* ---- Reading ---------------------------------------------------------------------------------
 * Values are yyjson's own immutable values (const access through the helpers below), valid as
 * long as the arena. */

enum { JSON_DEPTH_MAX = 64 };

/* Parses all of `text` (one JSON value, RFC 8259, UTF-8 checked, a byte-order mark refused).
 * Duplicate keys: the first one is found. Nesting over JSON_DEPTH_MAX is refused.
 * On ERR_INVALID `error` (may be NULL) says what and at which byte offset. The document copies
 * what it needs: `text` may go. */
MUST_USE enum err json_read(struct arena *arena, struct str text, yyjson_val **ret_root,
                            struct error *error);

/* The same with the values in another arena than the strings: for decoders that keep views of
 * strings and no values, so that the values, which are larger, can go at once. */
MUST_USE enum err json_read_split(struct arena *strings, struct arena *values, struct str text,
                                  yyjson_val **ret_root, struct error *error);
/* As json_read; *ret_copy: the strings of the values, keys too, are views of a copy of `text` that begins
 * here: each begins where it stands in `text`, behind its quote. */
MUST_USE enum err json_read_placed(struct arena *arena, struct str text, yyjson_val **ret_root,
                                   const char **ret_copy, struct error *error);

/* Lookups that accept NULL and wrong types, so that they can be chained. `key` is a C literal. */
yyjson_val *json_find(yyjson_val *object, struct str key);
static inline yyjson_val *json_get(yyjson_val *object, const char *key)
{
    return json_find(object, STR_FROM(key, strlen(key)));
}
/* The string's bytes, or STR_NONE when absent or not a string. */
struct str json_str(yyjson_val *value);
struct str json_get_str(yyjson_val *object, const char *key);
/* Integers also accept floats with an integral value; false when absent, or not a number, or out
 * of int64 range. */
bool json_int(yyjson_val *value, int64_t *ret);
bool json_get_int(yyjson_val *object, const char *key, int64_t *ret);
bool json_get_double(yyjson_val *object, const char *key, double *ret);
bool json_get_bool(yyjson_val *object, const char *key, bool *ret);
/* The value as compact JSON text in the arena ("null" for NULL). Numbers keep their value. */
struct str json_text(struct arena *arena, yyjson_val *value);

/* ---- Writing ---------------------------------------------------------------------------------
 * Writes compact JSON into a buf. Commas are put by the writer; nesting is the caller's duty.
 * Whether everything fitted: buf_ok(out) once at the end. */
struct json_writer {
    struct buf *out;
    bool comma; /* the next value or key needs a comma in front */
};

void json_writer_init(struct json_writer *w, struct buf *out);
void json_begin_object(struct json_writer *w);
void json_end_object(struct json_writer *w);
void json_begin_array(struct json_writer *w);
void json_end_array(struct json_writer *w);
void json_key(struct json_writer *w, struct str key);
/* Invalid UTF-8 is replaced by U+FFFD, control characters are escaped. STR_NONE writes null. */
void json_put_str(struct json_writer *w, struct str value);
void json_put_int(struct json_writer *w, int64_t value);
/* Shortest form that reads back to the same double; non-finite writes null. */
void json_put_double(struct json_writer *w, double value);
/* Shortest form that reads back to the same float, also by way of a double; non-finite writes null. */
void json_put_float(struct json_writer *w, float value);
void json_put_bool(struct json_writer *w, bool value);
void json_put_null(struct json_writer *w);
/* `text` is already one JSON value; an empty one writes null. */
void json_put_raw(struct json_writer *w, struct str text);
void json_put_val(struct json_writer *w, yyjson_val *value);

/* Several string parts as one JSON string value: begin, any number of parts, end. */
void json_begin_str(struct json_writer *w);
void json_str_part(struct json_writer *w, struct str part);
/* Base64 (RFC 4648, padded) of bytes, inside a string being written. */
void json_str_base64(struct json_writer *w, struct str bytes);
void json_end_str(struct json_writer *w);

/* A key of ours in one piece: plain text, in which nothing needs escaping. */
void json_literal_key(struct json_writer *w, struct str key);
/* Several steps in one piece, a literal of ours: from where a value or key begins, with the comma that it
 * may need in front, up to where another one begins; and one that ends what was begun so. */
static inline void json_open_piece(struct json_writer *w, struct str piece)
{
    if (w->comma)
        buf_append_char(w->out, ',');
    buf_append(w->out, piece);
    w->comma = false;
}
static inline void json_close_piece(struct json_writer *w, struct str piece)
{
    buf_append(w->out, piece);
    w->comma = true;
}
/* Key and value in one. `key` is a C literal: inline, so that its length is known. */
static inline void json_key_str(struct json_writer *w, const char *key, struct str value)
{
    json_literal_key(w, STR_FROM(key, strlen(key)));
    json_put_str(w, value);
}
static inline void json_key_int(struct json_writer *w, const char *key, int64_t value)
{
    json_literal_key(w, STR_FROM(key, strlen(key)));
    json_put_int(w, value);
}
static inline void json_key_double(struct json_writer *w, const char *key, double value)
{
    json_literal_key(w, STR_FROM(key, strlen(key)));
    json_put_double(w, value);
}
static inline void json_key_bool(struct json_writer *w, const char *key, bool value)
{
    json_literal_key(w, STR_FROM(key, strlen(key)));
    json_put_bool(w, value);
}
static inline void json_key_null(struct json_writer *w, const char *key)
{
    json_literal_key(w, STR_FROM(key, strlen(key)));
    json_put_null(w);
}
static inline void json_key_raw(struct json_writer *w, const char *key, struct str text)
{
    json_literal_key(w, STR_FROM(key, strlen(key)));
    json_put_raw(w, text);
}
static inline void json_key_object(struct json_writer *w, const char *key)
{
    json_literal_key(w, STR_FROM(key, strlen(key)));
    json_begin_object(w);
}
static inline void json_key_array(struct json_writer *w, const char *key)
{
    json_literal_key(w, STR_FROM(key, strlen(key)));
    json_begin_array(w);
}
/* RFC 3339 in UTC with milliseconds; 0 (never) writes null. */
void json_key_time(struct json_writer *w, const char *key, int64_t wall_ms);

/* Appends `s` to `out` escaped for the inside of a JSON string, without the quotes. */
void json_escape(struct buf *out, struct str s);
/* Whether json_escape leaves `s` as it is: then it means itself inside a JSON string. */
bool json_is_plain(struct str s);
