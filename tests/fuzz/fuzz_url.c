/* Fuzzes URLs: the parts lie inside the text and say the same again, decoding undoes encoding. */
#include <string.h>

#include "base/assert.h"
#include "wire/url.h"

static void check_inside(struct str whole, struct str part)
{
    ASSERT(part.len == 0 ||
           (part.data >= whole.data && part.data + part.len <= whole.data + whole.len));
}

static void check_parts(struct arena *arena, struct str text, const struct url *url)
{
    struct url again;
    check_inside(text, url->host);
    check_inside(text, url->path);
    check_inside(text, url->query);
    ASSERT(url->host.len > 0 && url->host.len <= 255 && url->port != 0);
    ASSERT(str_eq(url->scheme, url->tls ? STR("https") : STR("http")));
    ASSERT(url->path.len == 0 || url->path.data[0] == '/');
    for (size_t i = 0; i < url->host.len; i++)
        ASSERT(url->host.data[i] > ' ' && !strchr("@/?#[]%\\", url->host.data[i]));
    struct str put =
        arena_printf(arena, "%.*s://%s%.*s%s:%u%.*s?%.*s", STR_ARG(url->scheme),
                     url->host_is_ipv6 ? "[" : "", STR_ARG(url->host), url->host_is_ipv6 ? "]" : "",
                     url->port, STR_ARG(url->path), STR_ARG(url->query));
    ASSERT(url_parse(put, &again, NULL) == ERR_OK);
    ASSERT(str_eq(again.host, url->host) && str_eq(again.path, url->path));
    ASSERT(str_eq(again.query, url->query) && again.port == url->port && again.tls == url->tls);
}

static void check_coding(struct arena *arena, struct str text)
{
    struct buf out;
    struct str decoded;
    buf_init(&out, SIZE_MAX);
    url_encode(&out, text);
    bool has_nul = str_find_char(text, '\0') != SIZE_MAX;
    ASSERT(url_decode(arena, buf_str(&out), &decoded) == !has_nul);
    ASSERT(has_nul || str_eq(decoded, text));
    if (url_decode(arena, text, &decoded))
        ASSERT(decoded.len <= text.len && str_find_char(decoded, '\0') == SIZE_MAX);
    /* As the value of a parameter behind another one. */
    struct str query = arena_printf(arena, "a=1&b=%.*s", STR_ARG(buf_str(&out)));
    struct str value = url_query_get(arena, query, STR("b"));
    ASSERT(has_nul ? !value.data : value.data && str_eq(value, text));
    url_query_get(arena, text, STR("b"));
    buf_done(&out);
}

/* Decoded, no segment of a contained path leads upwards, however often it is decoded. */
static void check_contained(struct arena *arena, struct str path)
{
    struct str decoded;
    if (!url_path_is_contained(path))
        return;
    ASSERT(url_decode(arena, path, &decoded) && decoded.data[0] == '/');
    ASSERT(str_find_char(decoded, '%') == SIZE_MAX && str_find_char(decoded, '?') == SIZE_MAX);
    while (decoded.data) {
        struct str segment = str_next(&decoded, '/');
        ASSERT(!str_eq(segment, STR("..")) && !str_eq(segment, STR(".")));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new(SIZE_MAX);
    struct str text = STR_FROM((const char *)data, size);
    struct url url;
    struct error error;
    if (url_parse(text, &url, &error) == ERR_OK)
        check_parts(arena, text, &url);
    if (size)
        check_coding(arena, text);
    check_contained(arena, text);
    arena_free(arena);
    return 0;
}
