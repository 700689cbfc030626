/* Proxy rules. Stands beside http_client.c, which asks once per origin. */
#include "net/http_proxy.h"

#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/assert.h"
#include "base/crypto.h"
#include "wire/url.h"

enum { CREDENTIALS_BYTES_MAX = 2048 };

/* ---- One proxy ------------------------------------------------------------------------------- */

static enum err refuse(struct error *error, const char *what)
{
    return error_set(error, ERR_INVALID, NULL, "the proxy's URL is not usable: %s", what);
}

/* "Basic " and base64 of the decoded user:password. */
static enum err parse_credentials(struct str text, struct arena *arena, struct str *ret,
                                  struct error *error)
{
    struct str user, password;
    struct str rest = text;
    struct str user_text = str_next(&rest, ':');
    if (!url_decode(arena, user_text, &user) ||
        !url_decode(arena, rest.data ? rest : STR(""), &password))
        return refuse(error, "its user or password is not percent-encoded correctly");
    if (text.len > CREDENTIALS_BYTES_MAX)
        return refuse(error, "its user and password are too long");
    struct str plain = arena_printf(arena, "%.*s:%.*s", STR_ARG(user), STR_ARG(password));
    char *encoded = arena_alloc(arena, 6 + base64_length(plain.len));
    memcpy(encoded, "Basic ", 6);
    *ret = STR_FROM(encoded, 6 + base64_encode(plain, encoded + 6));
    return ERR_OK;
}

/* Where the '@' behind user and password is, or SIZE_MAX. A password may contain one. */
static size_t find_last_at(struct str text)
{
    for (size_t i = text.len; i > 0; i--)
        if (text.data[i - 1] == '@')
            return i - 1;
    return SIZE_MAX;
}

enum err http_proxy_parse(struct str text, struct arena *arena, struct http_proxy *ret_proxy,
                          struct error *error)
{
    struct http_proxy proxy = {0};
    struct str rest = str_trim(text);
    if (str_starts_with_nocase(rest, STR("http://")))
        rest = str_skip(rest, 7);
    else if (str_find(rest, STR("://")) != SIZE_MAX)
        return refuse(error, "only http:// proxies are supported");
    if (rest.len && rest.data[rest.len - 1] == '/')
        rest.len--;
    size_t at = find_last_at(rest);
    if (at != SIZE_MAX) {
        enum err code =
            parse_credentials(str_slice(rest, 0, at), arena, &proxy.authorization, error);
        if (code != ERR_OK)
            return code;
        rest = str_skip(rest, at + 1);
    }
    struct url url;
    struct str plain = arena_printf(arena, "http://%.*s", STR_ARG(rest));
    if (url_parse(plain, &url, NULL) != ERR_OK || url.path.len || url.query.len)
        return refuse(error, "it must be http://[user:password@]host:port");
    proxy.host = url.host;
    proxy.port = url.port;
    *ret_proxy = proxy;
    return ERR_OK;
}

/* ---- NO_PROXY -------------------------------------------------------------------------------- */

static bool name_matches(struct str entry, struct str host)
{
    if (str_starts_with(entry, STR("*.")))
        entry = str_skip(entry, 2);
    else if (str_starts_with(entry, STR(".")))
        entry = str_skip(entry, 1);
    if (entry.len == 0 || host.len < entry.len)
        return false;
    size_t from = host.len - entry.len;
    return str_eq_nocase(str_skip(host, from), entry) && (from == 0 || host.data[from - 1] == '.');
}

/* Cuts ":port" off the entry; false when that is another port than `port`. An entry with several
 * colons and no brackets is an IPv6 address. */
static bool cut_port(struct str *entry, uint16_t port)
{
    size_t from = entry->len && entry->data[0] == '[' ? str_find_char(*entry, ']') : 0;
    struct str tail = from == SIZE_MAX ? STR_NONE : str_skip(*entry, from);
    size_t colon = str_find_char(tail, ':');
    uint64_t wanted;
    if (colon == SIZE_MAX ||
        (from == 0 && str_find_char(str_skip(tail, colon + 1), ':') != SIZE_MAX))
        return true;
    if (!str_to_u64(str_skip(tail, colon + 1), &wanted) || wanted != port)
        return false;
    entry->len = from + colon;
    return true;
}

/* `host_address` is NULL when the host is a name. */
static bool entry_matches(struct str entry, struct str host, const struct address *host_address,
                          uint16_t port)
{
    struct address_range range;
    if (str_eq(entry, STR("*")))
        return true;
    if (str_find_char(entry, '/') == SIZE_MAX && !cut_port(&entry, port))
        return false;
    if (!host_address)
        return name_matches(entry, host);
    return address_range_parse(entry, &range) && address_range_has(&range, host_address);
}

static bool is_loopback(struct str host, const struct address *address)
{
    static const struct address_range ranges[] = {
        {.network = {.bytes = {127}, .bits = 32}, .bits = 8},
        {.network = {.bytes = {[15] = 1}, .bits = 128}, .bits = 128},
    };
    if (!address)
        return name_matches(STR("localhost"), host);
    return address_range_has(&ranges[0], address) || address_range_has(&ranges[1], address);
}

bool http_proxy_is_exempt(struct str no_proxy, struct str host, uint16_t port)
{
    if (host.len && host.data[host.len - 1] == '.')
        host.len--;
    struct address parsed;
    const struct address *address = address_parse(host, &parsed) ? &parsed : NULL;
    if (is_loopback(host, address))
        return true;
    while (no_proxy.data) {
        struct str part = str_next(&no_proxy, ',');
        while (part.data) {
            struct str entry = str_trim(str_next(&part, ' '));
            if (entry.len && entry_matches(entry, host, address, port))
                return true;
        }
    }
    return false;
}

/* ---- The rules of a client ------------------------------------------------------------------- */

/* One of the two settings. */
struct rule {
    bool is_set;
    enum err code; /* not ERR_OK: what is wrong with it stands in `error` */
    struct http_proxy proxy;
    struct error error;
};

struct http_proxy_rules {
    struct arena *arena;
    struct rule rules[2]; /* by whether the origin has TLS */
    struct str no_proxy;
};

static void parse_rule(struct rule *rule, struct str text, struct arena *arena)
{
    text = str_trim(text);
    rule->is_set = text.len > 0;
    if (rule->is_set)
        rule->code = http_proxy_parse(text, arena, &rule->proxy, &rule->error);
}

struct http_proxy_rules *http_proxy_rules_new(struct str https_proxy, struct str http_proxy,
                                              struct str no_proxy)
{
    struct http_proxy_rules *rules = calloc(1, sizeof *rules);
    ASSERT(rules);
    rules->arena = arena_new(1024 * 1024);
    rules->no_proxy = arena_str(rules->arena, no_proxy);
    parse_rule(&rules->rules[false], http_proxy, rules->arena);
    parse_rule(&rules->rules[true], https_proxy, rules->arena);
    return rules;
}

void http_proxy_rules_free(struct http_proxy_rules *rules)
{
    if (!rules)
        return;
    arena_free(rules->arena);
    free(rules);
}

enum err http_proxy_select(const struct http_proxy_rules *rules, bool tls, struct str host,
                           uint16_t port, const struct http_proxy **ret_proxy, struct error *error)
{
    const struct rule *rule = &rules->rules[tls];
    bool direct = !rule->is_set || http_proxy_is_exempt(rules->no_proxy, host, port);
    if (!direct && rule->code != ERR_OK)
        return error_set(error, rule->code, NULL, "%s: %s", tls ? "HTTPS_PROXY" : "HTTP_PROXY",
                         rule->error.message);
    *ret_proxy = direct ? NULL : &rule->proxy;
    return ERR_OK;
}
