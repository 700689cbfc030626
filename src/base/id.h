/* Identifiers: 128 bits, time first, as 26 characters; they sort by the time they were made. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum { ID_LENGTH = 26 };

/* 48 bits of wall-clock milliseconds and 80 random bits in Crockford's base 32, lower case (the
 * layout of the ULID specification). NUL-terminated. An all-NUL id is "none". */
struct id {
    char text[ID_LENGTH + 1];
};

struct id id_new(int64_t wall_ms);
/* Whether `s` has an id's length and alphabet; then *ret is it. */
bool id_parse(struct str s, struct id *ret);
static inline struct str id_str(const struct id *id)
{
    return id->text[0] ? STR_FROM(id->text, ID_LENGTH) : STR_NONE;
}
static inline bool id_is_none(const struct id *id)
{
    return !id->text[0];
}
bool id_eq(const struct id *a, const struct id *b);
/* The time it was made at, in wall-clock milliseconds. */
int64_t id_wall_ms(const struct id *id);
