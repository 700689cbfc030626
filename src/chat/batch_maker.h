/* Batch maker: whoever made a batch, and whether that one may still ask. For the chat floor only. */
#pragma once

#include "account/policy.h"
#include "store/record_batch.h"

/* The policy in force of a batch's maker, referenced; asked again before every line: it is narrowed
 * while a batch goes on, and a key that was rotated goes over to its successor (account_key_in_force). ERR_UNAUTHENTICATED: the key was revoked or has expired, or the person is
 * not welcome any more; ERR_FORBIDDEN: the key's scope lacks that door, or the address that the batch
 * was made from. Models are checked where targets are chosen. Memory only. */
MUST_USE enum err batch_maker_policy(struct account *account, const struct store_batch *batch,
                                     struct policy **ret_policy, struct error *error);
