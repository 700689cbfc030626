/* Quotas: the limiter's rules as they are stored, and the one way of changing them. */
#pragma once

#include "route/limiter.h"
#include "store/store.h"

/* Sets all that are stored. Blocks; at the start. ERR_CORRUPT names one that cannot be read: to go on
 * without it would lift a limit. */
MUST_USE enum err quotas_load(struct limiter *limiter, struct store *store, struct error *error);

typedef void quotas_done_fn(void *user, enum err code, const struct error *error);
/* Stores a subject's quota (NULL: removes it), then sets it in the limiter, in the order of the
 * commits, then says so on `loop`: once, never before this returns; `error` is NULL with ERR_OK.
 * Removing what is not there is ERR_NOT_FOUND. What is handed in is copied. The limiter and the
 * store outlive the answer. */
void quotas_change(struct limiter *limiter, struct store *store, struct loop *loop,
                   struct limiter_subject subject, const struct quota *quota, quotas_done_fn *done,
                   void *user);
