/* Resolver: host names to lists of socket addresses, off the loop (getaddrinfo in the pool), with
 * a small cache of short life. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/un.h>

#include "base/err.h"
#include "net/loop.h"

struct resolver;

/* An address to connect to. */
struct resolver_address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
    };
    socklen_t length;
};

enum { RESOLVER_ADDRESSES_MAX = 16 };

struct resolver_addresses {
    struct resolver_address items[RESOLVER_ADDRESSES_MAX];
    size_t count;
};

/* The answer: exactly one of `addresses` (at least one of them, in the order to try them) and
 * `error` is given, valid during the call. */
typedef void resolver_done_fn(void *user, const struct resolver_addresses *addresses,
                              const struct error *error);

/* One question; a member of whoever asks. Zeroed is idle; the members are the resolver's. */
struct resolver_query {
    struct list link; /* among those waiting for the same name */
    struct loop_task task;
    struct resolver_address literal;
    uint16_t port;
    resolver_done_fn *on_done;
    void *user;
};

/* `lifetime_ms`: how long an answer is used again. Free when no query is under way, not from
 * inside an answer; look-ups nobody waits for any more may still run, and end by themselves. */
struct resolver *resolver_new(struct loop *loop, uint64_t lifetime_ms);
void resolver_free(struct resolver *resolver);

/* Asks for `host`, an IP literal (without brackets) or a name. The answer never comes before this
 * returns; after it the query may be freed. */
void resolver_start(struct resolver *resolver, struct resolver_query *query, struct str host,
                    uint16_t port, resolver_done_fn *on_done, void *user);
/* Nothing is heard after it returns. Nothing happens when the query is idle. */
void resolver_cancel(struct resolver_query *query);
/* Sets the answer for `host` from now on (the ports in it do not matter). */
void resolver_pin(struct resolver *resolver, struct str host,
                  const struct resolver_addresses *addresses);

/* An IP literal as an address (port 0); false when it is none. */
bool resolver_parse_literal(struct str host, struct resolver_address *ret_address);
/* The address of a Unix socket; false when the path is empty, too long or has a NUL. */
bool resolver_unix_address(struct str path, struct resolver_address *ret_address);
/* Puts the families in turn, beginning with that of the first address, otherwise keeping the order
 * (RFC 8305 section 4). */
void resolver_interleave(struct resolver_addresses *addresses);
