/* UTF-8: validation and cutting (RFC 3629). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

/* Length in bytes (1 to 4) of the valid character that begins at s.data[at], or 0 when the bytes
 * there are not one (overlong, surrogate, over U+10FFFF, cut off). */
size_t utf8_length_at(struct str s, size_t at);

/* Whether all of `s` is valid UTF-8. On false, *ret_at (may be NULL) is the first wrong offset. */
bool utf8_valid(struct str s, size_t *ret_at);

/* Appends `s` with U+FFFD in place of every byte that belongs to no valid character. */
void utf8_repair(struct buf *out, struct str s);

/* The largest n <= max (and <= s.len) such that s[0..n) does not end inside a character. */
size_t utf8_cut(struct str s, size_t max);

/* Number of characters in valid UTF-8 (bytes that are not continuation bytes). */
size_t utf8_count(struct str s);

/* Writes the UTF-8 form of `code_point` to ret (4 bytes room) and returns its length; surrogates
 * and values over U+10FFFF become U+FFFD. */
size_t utf8_encode(uint32_t code_point, char ret[4]);
