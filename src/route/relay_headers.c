/* Relay's headers: two lists of what is allowed, and where a redirect may lead. */
#include "route/relay_headers.h"

#include <string.h>

#include "llm/dialect.h"
#include "wire/url.h"

/* A name; one that ends in '-' stands for all that begin so. */
static const char *const forwarded[] = {"content-encoding",  "accept",         "accept-language",
                                        "anthropic-version", "anthropic-beta", "idempotency-key",
                                        "openai-",           "x-goog-",        "range",
                                        "if-match",          "if-none-match",  NULL};
static const char *const answered[] = {"content-type",     "content-disposition",
                                       "content-language", "content-range",
                                       "accept-ranges",    "etag",
                                       "last-modified",    "retry-after",
                                       "retry-after-ms",   "x-should-retry",
                                       "request-id",       "x-request-id",
                                       "x-ratelimit-",     "anthropic-",
                                       "openai-",          NULL};
/* Words in a name that these lists would let through otherwise: keys, and whose they are. */
static const char *const refused[] = {"key",          "token-",  "iam-", "auth",
                                      "organization", "project", NULL};

static bool is_listed(const char *const *list, struct str name)
{
    for (; *list; list++) {
        struct str entry = str_from_cstr(*list);
        bool is_prefix = entry.data[entry.len - 1] == '-';
        if (is_prefix ? str_starts_with_nocase(name, entry) : str_eq_nocase(name, entry))
            return true;
    }
    return false;
}

static bool is_refused(struct str name)
{
    bool is_limit = str_find_nocase(name, STR("ratelimit")) != SIZE_MAX ||
                    str_eq_nocase(name, STR("idempotency-key"));
    for (const char *const *word = refused; *word && !is_limit; word++)
        if (str_find_nocase(name, str_from_cstr(*word)) != SIZE_MAX)
            return true;
    return false;
}

void relay_headers_forward(struct arena *arena, const struct http_headers *from,
                           struct http_headers *to)
{
    for (size_t i = 0; from && i < from->count; i++) {
        const struct http_header *header = &from->items[i];
        if (is_listed(forwarded, header->name) && !is_refused(header->name))
            http_headers_add_view(to, arena, header->name, header->value);
    }
}

/* What of an address stands behind the provider's base URL; STR_NONE: it leads elsewhere. */
static struct str behind_base(const struct provider *provider, struct str location)
{
    struct str base = provider->base_url;
    struct url url;
    if (location.len && location.data[0] == '/') { /* on the same host, when it is not "//host" */
        if (str_starts_with(location, STR("//")) || url_parse(base, &url, NULL) != ERR_OK)
            return STR_NONE;
        base = url.path;
    }
    if (!str_starts_with(location, base))
        return STR_NONE;
    struct str rest = str_skip(location, base.len);
    struct str path = str_slice(rest, 0, str_find_char(rest, '?'));
    return url_path_is_contained(path) ? rest : STR_NONE;
}

void relay_headers_answer(struct arena *arena, const struct provider *provider,
                          const struct http_headers *from, struct http_headers *to)
{
    for (size_t i = 0; i < from->count; i++) {
        const struct http_header *header = &from->items[i];
        bool is_location = str_eq_nocase(header->name, STR("location"));
        struct str value = is_location ? behind_base(provider, header->value) : header->value;
        bool passes =
            is_location || (is_listed(answered, header->name) && !is_refused(header->name));
        if (passes && value.data && http_header_is_valid(header->name, value))
            http_headers_add(to, arena, header->name, value);
    }
}

void relay_mask(const struct provider *provider, char *text, size_t len)
{
    enum { KEY_BYTES_MIN = 8 }; /* less would hide words */
    struct str key = provider->api_key;
    if (!len)
        return;
    dialect_mask_credentials(text, len);
    for (size_t at = 0; key.len >= KEY_BYTES_MIN && at < len;) {
        size_t found = str_find(STR_FROM(text + at, len - at), key);
        if (found == SIZE_MAX)
            break;
        memset(text + at + found, '*', key.len);
        at += found + key.len;
    }
}
