/* Cache key: all that has to be the same for two requests to have the same answer, and what of a body
 * says only how the answer is brought. Pure. Inside route only. */
#pragma once

#include "account/policy.h"
#include "base/buf.h"
#include "llm/dialect.h"
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
    struct str body;
};

/* Appends the key, each part behind its length, the body last and without its stream flags (`stream`
 * and `stream_options`; a door whose path decides that has none). Those go to `ret_flags` as they
 * stood. False: the body cannot be cut, or all that is larger than the buffers take. */
bool cache_key_write(const struct cache_key *key, struct buf *out, struct buf *ret_flags);
