/* URLs. */
#include "wire/url.h"

#include <string.h>

static enum err refuse(struct error *error, const char *what)
{
    return error_set(error, ERR_INVALID, "url", "not a usable URL: %s", what);
}

static bool has_forbidden_bytes(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.data[i] <= ' ' || text.data[i] == 0x7F || text.data[i] == '\\')
            return true;
    return false;
}

static bool parse_scheme(struct str *rest, struct url *url)
{
    static const struct {
        const char *prefix;
        const char *scheme;
        uint16_t port;
        bool tls;
    } schemes[] = {
        {"http://", "http", 80, false},
        {"https://", "https", 443, true},
        {"ws://", "http", 80, false},
        {"wss://", "https", 443, true},
    };
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        struct str prefix = str_from_cstr(schemes[i].prefix);
        if (!str_starts_with_nocase(*rest, prefix))
            continue;
        *rest = str_skip(*rest, prefix.len);
        url->scheme = str_from_cstr(schemes[i].scheme);
        url->port = schemes[i].port;
        url->tls = schemes[i].tls;
        return true;
    }
    return false;
}

static bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Names and IPv4 addresses: what DNS and Host header agree on. International names come as
 * punycode. */
static bool is_name(struct str host)
{
    for (size_t i = 0; i < host.len; i++)
        if (!is_letter_or_digit(host.data[i]) && !(host.data[i] && strchr("-._", host.data[i])))
            return false;
    return true;
}

/* Without zones: they mean nothing to another machine. */
static bool is_ipv6(struct str host)
{
    for (size_t i = 0; i < host.len; i++)
        if (!host.data[i] || !strchr("0123456789abcdefABCDEF:.", host.data[i]))
            return false;
    return str_find_char(host, ':') != SIZE_MAX;
}

static enum err parse_port(struct str text, struct url *url, struct error *error)
{
    uint64_t port;
    if (text.len == 0)
        return ERR_OK;
    if (!str_to_u64(text, &port) || port == 0 || port > 65535)
        return refuse(error, "the port must be 1 to 65535");
    url->port = (uint16_t)port;
    return ERR_OK;
}

static enum err parse_authority(struct str authority, struct url *url, struct error *error)
{
    if (str_find_char(authority, '@') != SIZE_MAX)
        return refuse(error, "it must not contain a user name or password");
    if (authority.len && authority.data[0] == '[') {
        size_t end = str_find_char(authority, ']');
        struct str after = end == SIZE_MAX ? STR_NONE : str_skip(authority, end + 1);
        if (end == SIZE_MAX || (after.len && after.data[0] != ':'))
            return refuse(error, "the IPv6 address is not closed by ]");
        url->host = str_slice(authority, 1, end - 1);
        url->host_is_ipv6 = true;
        authority = after;
    } else {
        url->host = str_slice(authority, 0, str_find_char(authority, ':'));
        authority = str_skip(authority, url->host.len);
    }
    if (url->host.len == 0 || url->host.len > 255)
        return refuse(error, "there is no host");
    if (!(url->host_is_ipv6 ? is_ipv6(url->host) : is_name(url->host)))
        return refuse(error, "the host is neither a name nor an address");
    return parse_port(authority.len ? str_skip(authority, 1) : STR(""), url, error);
}

enum err url_parse(struct str text, struct url *ret_url, struct error *error)
{
    struct url url = {0};
    struct str rest = text;
    if (has_forbidden_bytes(text))
        return refuse(error, "it contains spaces, control characters or backslashes");
    if (!parse_scheme(&rest, &url))
        return refuse(error, "it must begin with http:// or https://");
    if (str_find_char(rest, '#') != SIZE_MAX)
        return refuse(error, "it must not contain a fragment (#)");
    size_t end = 0;
    while (end < rest.len && rest.data[end] != '/' && rest.data[end] != '?')
        end++;
    enum err code = parse_authority(str_slice(rest, 0, end), &url, error);
    if (code != ERR_OK)
        return code;
    rest = str_skip(rest, end);
    size_t question = str_find_char(rest, '?');
    url.path = str_slice(rest, 0, question);
    url.query = question == SIZE_MAX ? STR("") : str_skip(rest, question + 1);
    *ret_url = url;
    return ERR_OK;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool url_decode(struct arena *arena, struct str text, struct str *ret)
{
    char *out = arena_alloc(arena, text.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c == '%') {
            int high = i + 2 < text.len ? hex_value(text.data[i + 1]) : -1;
            int low = high >= 0 ? hex_value(text.data[i + 2]) : -1;
            if (low < 0)
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (c == '\0')
            return false;
        out[len++] = c;
    }
    out[len] = '\0';
    *ret = STR_FROM(out, len);
    return true;
}

static bool is_unreserved(char c)
{
    return is_letter_or_digit(c) || (c && strchr("-._~", c));
}

void url_encode(struct buf *out, struct str text)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (is_unreserved((char)c))
            buf_append_char(out, (char)c);
        else
            buf_append(out, STR_FROM(((char[]){'%', digits[c >> 4], digits[c & 15]}), 3));
    }
}

/* The same with plus for a space, as forms and queries have it. */
static bool decode_form(struct arena *arena, struct str text, struct str *ret)
{
    char *copy = arena_cstr(arena, text);
    for (size_t i = 0; i < text.len; i++)
        if (copy[i] == '+')
            copy[i] = ' ';
    return url_decode(arena, STR_FROM(copy, text.len), ret);
}

struct str url_query_get(struct arena *arena, struct str query, struct str name)
{
    while (query.len) {
        struct str pair = str_next(&query, '&');
        size_t equals = str_find_char(pair, '=');
        struct str key, value = equals == SIZE_MAX ? STR("") : str_skip(pair, equals + 1);
        if (decode_form(arena, str_slice(pair, 0, equals), &key) && str_eq(key, name))
            return decode_form(arena, value, &value) ? value : STR_NONE;
    }
    return STR_NONE;
}

/* The character at *at, decoded; *at moves behind it. 0: none that may stand in such a path. */
static char contained_char(struct str path, size_t *at)
{
    char c = path.data[(*at)++];
    bool is_escape = c == '%';
    if (is_escape) {
        int high = *at + 2 <= path.len ? hex_value(path.data[*at]) : -1;
        int low = high >= 0 ? hex_value(path.data[*at + 1]) : -1;
        if (low < 0)
            return '\0';
        c = (char)(high << 4 | low);
        *at += 2;
    }
    bool is_forbidden = (unsigned char)c < ' ' || c == 0x7F || strchr("\\?#%", c) != NULL;
    bool is_raw_only = (is_escape && c == '/') || (!is_escape && c == ' ');
    return is_forbidden || is_raw_only ? '\0' : c;
}

bool url_path_is_contained(struct str path)
{
    size_t dots = 0; /* of a segment that has nothing else up to now */
    bool is_dots = true;
    if (path.len == 0 || path.data[0] != '/' || str_starts_with(path, STR("//")))
        return false;
    for (size_t at = 1; at < path.len;) {
        char c = contained_char(path, &at);
        bool ends = c == '/' || c == ';'; /* some servers cut parameters off a segment */
        if (!c || (ends && is_dots && (dots == 1 || dots == 2)))
            return false;
        is_dots = c == '/' || (is_dots && (c == '.' || c == ';'));
        dots = c == '/' ? 0 : dots + (c == '.');
    }
    return !(is_dots && (dots == 1 || dots == 2));
}
