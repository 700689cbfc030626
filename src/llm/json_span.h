/* JSON spans: where the parts of a JSON text stand in it, so that one can be replaced or cut out and
 * every other byte stays. Pure. The text must be valid JSON (json_read took it); of anything else the
 * spans are of no use, but nothing outside the text is read. Inside llm only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

/* Offset of the first byte at or behind `at` that is no white space. */
size_t json_span_skip_space(struct str text, size_t at);

/* A member of an object. */
struct json_span_member {
    struct str key; /* as it stands between its quotes */
    size_t start;   /* behind the brace or comma in front of it */
    size_t end;     /* at the comma or brace behind it */
    size_t from;    /* the value's span */
    size_t to;
};
/* The member at or behind *at, which is inside the object at first and moves on to the next. False:
 * there is none; then *at is at the brace. */
bool json_span_member(struct str text, size_t *at, struct json_span_member *ret);
/* Of the member whose key has its quote at `at`: key and from. False: nothing follows the key. */
bool json_span_key(struct str text, size_t at, struct json_span_member *ret);
/* Whether a key, as it stands between its quotes, reads `wanted` (plain ASCII): a letter may be
 * written as an escape. */
bool json_span_key_is(struct str key, struct str wanted);

/* The span of the array's element at or behind *at, likewise. */
bool json_span_element(struct str text, size_t *at, size_t *ret_from, size_t *ret_to);
