/* URLs (RFC 3986, the parts that HTTP uses), percent coding, queries. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

/* An absolute http(s), ws(s) or unix URL, cut into views of the text it was parsed from. */
struct url {
    struct str scheme; /* "http" or "https" (matched without case, given in lower case) */
    struct str host;   /* without brackets for IPv6 */
    struct str path;   /* begins with "/" or is empty */
    struct str query;  /* without "?", or empty */
    uint16_t port;     /* the scheme's default when absent */
    bool tls;
    bool host_is_ipv6; /* was written in brackets */
};

/* Parses `text`. Refused: other schemes, user information, fragments, control characters, spaces,
 * bad ports, hosts that are empty, over 255 bytes, or neither a name (letters, digits, "-._") nor
 * an IPv6 address in brackets. */
MUST_USE enum err url_parse(struct str text, struct url *ret_url, struct error *error);

/* Percent-decodes into the arena; false on a broken escape or on a NUL byte. */
bool url_decode(struct arena *arena, struct str text, struct str *ret);
/* Appends `text` with everything but unreserved characters percent-encoded. */
void url_encode(struct buf *out, struct str text);
/* The decoded value of `name` in a query string ("a=1&b=2", plus is a space), in the arena;
 * STR_NONE when absent or broken. The first one counts. */
struct str url_query_get(struct arena *arena, struct str query, struct str name);
/* Whether a path (as it is sent, without a query) stays below what it is appended to, whoever reads
 * it: it begins with one slash, and has no segment "." or "..", no backslash, control character,
 * query, fragment or broken escape, and no escape that hides one of these, a slash or a percent sign
 * (which somebody on the way may decode twice). */
bool url_path_is_contained(struct str path);
