/* Writing heads into room that is known to be large enough; for net/http_*.c, and doors that write
 * lines of their own. */
#pragma once

#include <stdint.h>
#include <string.h>

#include "base/str.h"

/* All return the end of what they wrote. */
static inline char *http_put(char *at, struct str text)
{
    if (text.len)
        memcpy(at, text.data, text.len);
    return at + text.len;
}

/* At most STR_U64_BYTES_MAX bytes. */
static inline char *http_put_number(char *at, uint64_t number)
{
    return at + str_from_u64(number, at);
}

/* A field whose name and colon are `prefix`, and the end of its line. */
static inline char *http_put_field(char *at, struct str prefix, struct str value)
{
    return http_put(http_put(http_put(at, prefix), value), STR("\r\n"));
}
