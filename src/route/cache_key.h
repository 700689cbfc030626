/* Cache key: all that has to be the same for two requests to have the same answer, and what of a body
 * says only how the answer is brought. Pure. Inside route only. */
#pragma once

#include "account/policy.h"
#include "base/buf.h"
#include "llm/dialect.h"
#include "llm/passthrough.h"
#include "route/route.h"

struct cache_key {
    struct str tenant;
    const struct policy *policy; /* its scope counts; NULL: none */
    const struct dialect *door;
    const struct route_plan *plan; /* its name, and who may be asked by it today */
    struct str model;              /* as it was asked for */
    const struct str *chain;
    size_t chain_count;
    uint64_t routes_version;     /* of the catalog */
    uint64_t guardrails_version; /* of what looks at answers */
    bool strict;
    const struct http_headers
        *headers; /* of which those count that the door forwards; NULL: none */
};

/* Appends the key but for the body, which comes last: each part behind its length. */
void cache_key_write(const struct cache_key *key, struct buf *out);

/* The flags of a body (`stream` and `stream_options`; one of a door whose path decides that has none),
 * by where they stand in it. */
struct cache_flags {
    struct passthrough_cut cuts[PASSTHROUGH_CUTS_MAX];
    size_t count;
};
/* `members`: of the body; NULL: they are looked for. False: it has more than fit. */
bool cache_flags_find(const struct dialect *door, struct str body,
                      const struct passthrough_members *members, struct cache_flags *ret);
/* The body without its flags, in parts of it. Returns how many. */
enum { CACHE_BODY_PARTS_MAX = PASSTHROUGH_CUTS_MAX + 1 };
size_t cache_flags_split(const struct cache_flags *flags, struct str body,
                         struct str ret_parts[CACHE_BODY_PARTS_MAX]);
/* Appends the flags as they stand in the body, a comma behind each. */
void cache_flags_write(const struct cache_flags *flags, struct str body, struct buf *out);
