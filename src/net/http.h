/* What the HTTP server and the HTTP client share: methods, headers, limits. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/str.h"

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_PATCH,
    HTTP_DELETE,
    HTTP_OPTIONS,
    HTTP_METHOD_OTHER,
    HTTP_METHOD_COUNT
};

struct str http_method_name(enum http_method method);
enum http_method http_method_from_name(struct str name);

/* One header field. Names compare without case. */
struct http_header {
    struct str name;
    struct str value;
};

/* A list of header fields in order. */
struct http_headers {
    struct http_header *items;
    size_t count;
    size_t capacity;
};

/* Whether two names of header fields are the same. */
bool http_name_eq(struct str a, struct str b);
/* The first value of `name`, or STR_NONE. */
struct str http_headers_get(const struct http_headers *headers, const char *name);
/* Appends; name and value are copied into the arena. */
void http_headers_add(struct http_headers *headers, struct arena *arena, struct str name,
                      struct str value);
/* Appends views as they are: name and value must live as long as the list is used. */
void http_headers_add_view(struct http_headers *headers, struct arena *arena, struct str name,
                           struct str value);
/* Whether a comma-separated header lists `token` (without case): Connection, Upgrade, ... */
bool http_headers_has_token(const struct http_headers *headers, const char *name,
                            const char *token);
/* Whether name and value may be sent: a token, and no control characters (RFC 9110 section 5). */
bool http_header_is_valid(struct str name, struct str value);

/* "Not Found" for 404; "Unknown" for what has no name. */
const char *http_status_reason(int status);

enum {
    HTTP_HEADER_BYTES_MAX = 64 * 1024, /* all header fields together */
    HTTP_HEADER_COUNT_MAX = 128,
    HTTP_TARGET_BYTES_MAX = 8 * 1024
};
