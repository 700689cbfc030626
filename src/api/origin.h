/* Origin: who asks through a door, from where, and for whom, as limits and the ledger want it. */
#pragma once

#include "api/request.h"
#include "route/governor.h"

/* Filled by api_origin_open; views live as long as its arguments and the request. */
struct api_origin {
    struct governor_origin governor;
    struct str tags[LEDGER_TAGS_MAX];
};

/* Finds the caller's policy (borrowed), and the tags of a body (NULL: none): "user:NAME" of its `user` (in
 * Anthropic's form metadata.user_id), and "KEY:VALUE" of each text in its `metadata`; the first
 * LEDGER_TAGS_MAX count. ERR_UNAUTHENTICATED when the key has just been revoked. Texts are made in
 * `arena`. Nothing is to be given back. */
MUST_USE enum err api_origin_open(struct api_request *request, yyjson_val *body,
                                  struct arena *arena, struct api_origin *ret_origin,
                                  struct error *error);

/* Headers that say whom a request was asked of (empty: nobody), how often, and what was left out. */
void api_write_asked(struct api_request *request, struct str target, int attempts,
                     struct str dropped);
/* Headers that say what is left of the caller's limits, in the words of the dialect of the door.
 * NULL: none. */
void api_write_limits(struct api_request *request, const struct limiter_view *view);
