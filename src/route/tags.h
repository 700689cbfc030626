/* Tags: what a request's body says of whom it is for. Pure. */
#pragma once

#include "base/json.h"
#include "route/ledger.h"

/* "user:NAME" of the body's `user` (in Anthropic's form metadata.user_id), and "KEY:VALUE" of each
 * text in its `metadata`: the first LEDGER_TAGS_MAX, made in `arena`. Returns how many. A body of NULL
 * has none. */
size_t tags_read(struct arena *arena, yyjson_val *body, struct str ret_tags[LEDGER_TAGS_MAX]);
