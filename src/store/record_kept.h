/* How much is kept for a key or person of what comes by itself: bodies of the request log, answers of
 * /v1/responses, and its conversations. */
#pragma once

#include "store/records.h"

enum kept_kind {
    KEPT_REQUEST,  /* the owner is a key */
    KEPT_RESPONSE, /* a person */
    KEPT_THREAD    /* likewise */
};

/* About how many bytes. */
MUST_USE enum err store_kept_bytes(struct store_tx *tx, enum kept_kind kind, const struct id *owner,
                                   int64_t *ret_bytes, struct error *error);
/* Deletes the owner's oldest until no more than `bytes_max` are left, or a thousand are deleted. */
MUST_USE enum err store_kept_make_room(struct store_tx *tx, enum kept_kind kind,
                                       const struct id *owner, int64_t bytes_max,
                                       struct error *error);
