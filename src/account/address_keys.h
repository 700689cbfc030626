/* Address keys: which key a caller acts as who comes from a listed address and presents nothing.
 * For clients that cannot send a key, in networks that are trusted. */
#pragma once

#include "base/address.h"
#include "base/arena.h"
#include "base/err.h"
#include "base/id.h"

enum { ADDRESS_KEYS_MAX = 256 };

struct address_key {
    struct address_range range;
    struct id key;
};
struct address_keys {
    const struct address_key *items;
    size_t count;
};

/* From "10.1.0.0/16=KEY ID, 192.0.2.7=KEY ID"; empty: none. ERR_INVALID names the entry. */
MUST_USE enum err address_keys_parse(struct arena *arena, struct str text, struct address_keys *ret,
                                     struct error *error);
/* The first entry's that has the address (as http_request.peer_address has it); NULL: none. */
const struct id *address_keys_find(const struct address_keys *keys, struct str address);
