/* What both ends of HTTP/1.1 share: names of methods and statuses, lists of header fields.
 *
 * Used by http_server and http_client, and by whoever reads a request or answers one. Everything
 * here is a pure function. */
#include "net/http.h"

#include <string.h>

#include "base/assert.h"
#include "base/vec.h"

static const struct str METHOD_NAMES[HTTP_METHOD_COUNT] = {
    [HTTP_GET] = {"GET", 3},         [HTTP_HEAD] = {"HEAD", 4},
    [HTTP_POST] = {"POST", 4},       [HTTP_PUT] = {"PUT", 3},
    [HTTP_PATCH] = {"PATCH", 5},     [HTTP_DELETE] = {"DELETE", 6},
    [HTTP_OPTIONS] = {"OPTIONS", 7}, [HTTP_METHOD_OTHER] = {"OTHER", 5},
};

enum { STATUS_MIN = 100, STATUS_COUNT = 412 };

/* RFC 9110 section 15, and what RFC 4918 (422 to 424, 507), 6585 (428 to 431, 511), 7725 (451),
 * 8297 (103) and 8470 (425) add. */
static const char *const STATUS_REASONS[STATUS_COUNT] = {
    [100 - STATUS_MIN] = "Continue",
    [101 - STATUS_MIN] = "Switching Protocols",
    [103 - STATUS_MIN] = "Early Hints",
    [200 - STATUS_MIN] = "OK",
    [201 - STATUS_MIN] = "Created",
    [202 - STATUS_MIN] = "Accepted",
    [203 - STATUS_MIN] = "Non-Authoritative Information",
    [204 - STATUS_MIN] = "No Content",
    [205 - STATUS_MIN] = "Reset Content",
    [206 - STATUS_MIN] = "Partial Content",
    [207 - STATUS_MIN] = "Multi-Status",
    [300 - STATUS_MIN] = "Multiple Choices",
    [301 - STATUS_MIN] = "Moved Permanently",
    [302 - STATUS_MIN] = "Found",
    [303 - STATUS_MIN] = "See Other",
    [304 - STATUS_MIN] = "Not Modified",
    [307 - STATUS_MIN] = "Temporary Redirect",
    [308 - STATUS_MIN] = "Permanent Redirect",
    [400 - STATUS_MIN] = "Bad Request",
    [401 - STATUS_MIN] = "Unauthorized",
    [402 - STATUS_MIN] = "Payment Required",
    [403 - STATUS_MIN] = "Forbidden",
    [404 - STATUS_MIN] = "Not Found",
    [405 - STATUS_MIN] = "Method Not Allowed",
    [406 - STATUS_MIN] = "Not Acceptable",
    [407 - STATUS_MIN] = "Proxy Authentication Required",
    [408 - STATUS_MIN] = "Request Timeout",
    [409 - STATUS_MIN] = "Conflict",
    [410 - STATUS_MIN] = "Gone",
    [411 - STATUS_MIN] = "Length Required",
    [412 - STATUS_MIN] = "Precondition Failed",
    [413 - STATUS_MIN] = "Content Too Large",
    [414 - STATUS_MIN] = "URI Too Long",
    [415 - STATUS_MIN] = "Unsupported Media Type",
    [416 - STATUS_MIN] = "Range Not Satisfiable",
    [417 - STATUS_MIN] = "Expectation Failed",
    [421 - STATUS_MIN] = "Misdirected Request",
    [422 - STATUS_MIN] = "Unprocessable Content",
    [423 - STATUS_MIN] = "Locked",
    [424 - STATUS_MIN] = "Failed Dependency",
    [425 - STATUS_MIN] = "Too Early",
    [426 - STATUS_MIN] = "Upgrade Required",
    [428 - STATUS_MIN] = "Precondition Required",
    [429 - STATUS_MIN] = "Too Many Requests",
    [431 - STATUS_MIN] = "Request Header Fields Too Large",
    [451 - STATUS_MIN] = "Unavailable For Legal Reasons",
    [500 - STATUS_MIN] = "Internal Server Error",
    [501 - STATUS_MIN] = "Not Implemented",
    [502 - STATUS_MIN] = "Bad Gateway",
    [503 - STATUS_MIN] = "Service Unavailable",
    [504 - STATUS_MIN] = "Gateway Timeout",
    [505 - STATUS_MIN] = "HTTP Version Not Supported",
    [507 - STATUS_MIN] = "Insufficient Storage",
    [511 - STATUS_MIN] = "Network Authentication Required",
};

struct str http_method_name(enum http_method method)
{
    ASSERT((unsigned)method < HTTP_METHOD_COUNT);
    return METHOD_NAMES[method];
}

enum http_method http_method_from_name(struct str name)
{
    for (unsigned i = 0; i < HTTP_METHOD_OTHER; i++) {
        if (str_eq(name, METHOD_NAMES[i]))
            return (enum http_method)i;
    }
    return HTTP_METHOD_OTHER;
}

/* Nearly all names differ in length or by their first letter: a look-up passes most of a request's
 * headers. Only bit 5 may differ there, which str_eq_nocase then looks at closely. */
bool http_name_eq(struct str a, struct str b)
{
    return a.len == b.len && (!a.len || !((a.data[0] ^ b.data[0]) & ~0x20)) && str_eq_nocase(a, b);
}

struct str http_headers_get(const struct http_headers *headers, const char *name)
{
    struct str wanted = str_from_cstr(name);
    for (size_t i = 0; i < headers->count; i++) {
        const struct http_header *item = &headers->items[i];
        if (http_name_eq(item->name, wanted))
            return item->value;
    }
    return STR_NONE;
}

void http_headers_add_view(struct http_headers *headers, struct arena *arena, struct str name,
                           struct str value)
{
    struct http_header *item = VEC_PUSH(arena, headers->items, headers->count, headers->capacity);
    item->name = name;
    item->value = value;
}

void http_headers_add(struct http_headers *headers, struct arena *arena, struct str name,
                      struct str value)
{
    http_headers_add_view(headers, arena, arena_str(arena, name), arena_str(arena, value));
}

static bool list_has_token(struct str list, struct str token)
{
    while (list.data) {
        if (str_eq_nocase(str_trim(str_next(&list, ',')), token))
            return true;
    }
    return false;
}

bool http_headers_has_token(const struct http_headers *headers, const char *name, const char *token)
{
    struct str wanted = str_from_cstr(name);
    for (size_t i = 0; i < headers->count; i++) {
        const struct http_header *item = &headers->items[i];
        if (http_name_eq(item->name, wanted) && list_has_token(item->value, str_from_cstr(token)))
            return true;
    }
    return false;
}

/* What names are made of: RFC 9110's tchar. */
/* clang-format off */
static const unsigned char is_token_char[256] = {
    /* 20 */ [0x20] = 0, 1, 0, 1, 1, 1, 1, 1, 0, 0, 1, 1, 0, 1, 1, 0,
    /* 30 */ 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0,
    /* 40 */ 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    /* 50 */ 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1,
    /* 60 */ 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    /* 70 */ 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 0, 1, 0,
};
/* clang-format on */

static bool is_token(struct str name)
{
    const unsigned char *at = (const unsigned char *)name.data, *end = at + name.len;
    unsigned char all = name.len > 0;
    for (; end - at >= 4; at += 4)
        all &= is_token_char[at[0]] & is_token_char[at[1]] & is_token_char[at[2]] &
               is_token_char[at[3]];
    while (at < end)
        all &= is_token_char[*at++];
    return all;
}

/* Eight bytes at once: whether one is below 0x20 or is 0x7F. Each term has the high bit of a byte set
 * when that byte is one of those; a borrow may set more, above it only: then they are looked at one
 * by one. */
static bool may_have_control(const char *bytes)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    uint64_t low = (word - ones * 0x20) & ~word, delete = word ^ ones * 0x7F;
    return (low | ((delete - ones) & ~delete)) & highs;
}

static bool is_value(struct str value)
{
    const size_t step = sizeof(uint64_t);
    size_t at = 0;
    while (value.len - at >= step && !may_have_control(value.data + at))
        at += step;
    /* The rest once more together with what is before it, rather than byte by byte. */
    if (value.len - at < step && value.len >= step &&
        !may_have_control(value.data + value.len - step))
        return true;
    for (; at < value.len; at++) {
        unsigned char c = (unsigned char)value.data[at];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

bool http_header_is_valid(struct str name, struct str value)
{
    return is_token(name) && is_value(value);
}

const char *http_status_reason(int status)
{
    const char *reason = NULL;
    if (status >= STATUS_MIN && status < STATUS_MIN + STATUS_COUNT)
        reason = STATUS_REASONS[status - STATUS_MIN];
    return reason ? reason : "Unknown";
}
