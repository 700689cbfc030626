/* Ledger restore: at the start, the limiter learns from the ledger's sums what was used in the
 * current day, week and month. */
#pragma once

#include "route/limiter.h"

struct store;

/* Reads the sums of keys, people, groups, models as asked for, and tags, and hands them to
 * limiter_restore. After ledger_recover. Blocks. */
MUST_USE enum err ledger_restore(struct store *store, struct limiter *limiter, int64_t wall_ms,
                                 struct error *error);
/* The first day (since 1970-01-01) of the period of the UTC calendar that `wall_ms` is in. */
int64_t ledger_period_day(enum quota_period period, int64_t wall_ms);
