/* IP addresses and networks, as bytes. Pure. */
#pragma once

#include <stdbool.h>

#include "base/str.h"

struct address {
    unsigned char bytes[16];
    unsigned bits; /* 32 or 128 */
};

/* "192.0.2.7", "2001:db8::1", "[2001:db8::1]". An IPv4 address in IPv6's clothes (::ffff:192.0.2.7)
 * is the IPv4 address. False, and *ret untouched: it is none. */
bool address_parse(struct str text, struct address *ret);

/* All addresses with the same first `bits`. */
struct address_range {
    struct address network;
    unsigned bits;
};

/* "10.0.0.0/8", "2001:db8::/32", or one address. */
bool address_range_parse(struct str text, struct address_range *ret);
bool address_range_has(const struct address_range *range, const struct address *address);
