/* Which proxy for which URL: HTTP_PROXY, HTTPS_PROXY and NO_PROXY. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

/* One HTTP proxy. */
struct http_proxy {
    struct str host; /* without brackets for IPv6 */
    uint16_t port;
    struct str authorization; /* value of Proxy-Authorization ("Basic ..."), or empty */
};

/* Parses "http://[user:password@]host[:port]" (the scheme may be missing, the port is 80 then and
 * by default; user and password may be percent-encoded) into the arena. Errors never contain the
 * text, which may hold a password. */
MUST_USE enum err http_proxy_parse(struct str text, struct arena *arena,
                                   struct http_proxy *ret_proxy, struct error *error);

/* Whether `no_proxy` exempts host:port. Its entries, separated by commas or spaces: "*"; a name,
 * which covers the names below it too (so do ".name" and "*.name"); an address, an IPv6 one with
 * or without brackets; a network as address/bits; each but the network may end in ":port".
 * Loopback ("localhost", names below it, loopback addresses) is always exempt. */
bool http_proxy_is_exempt(struct str no_proxy, struct str host, uint16_t port);

/* The rules of one client; immutable. */
struct http_proxy_rules;
/* Texts as in http_client_options, copied. A wrong one is reported by http_proxy_select for the
 * URLs it would apply to: going round a proxy in silence would be worse. */
struct http_proxy_rules *http_proxy_rules_new(struct str https_proxy, struct str http_proxy,
                                              struct str no_proxy);
void http_proxy_rules_free(struct http_proxy_rules *rules);
/* Sets *ret_proxy to the proxy for that origin (borrowed from the rules), or NULL: none. */
MUST_USE enum err http_proxy_select(const struct http_proxy_rules *rules, bool tls, struct str host,
                                    uint16_t port, const struct http_proxy **ret_proxy,
                                    struct error *error);
