/* Batch maker: whoever made a batch, and whether that one may still ask. For the chat floor only. */
#pragma once

#include "account/account.h"
#include "store/record_batch.h"

/* Asked again before every line: ERR_UNAUTHENTICATED when the key was revoked or the person is not
 * welcome any more. Memory only. */
MUST_USE enum err batch_maker_check(struct account *account, const struct store_batch *batch,
                                    struct error *error);
