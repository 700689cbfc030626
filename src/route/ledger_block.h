/* Ledger block: rows on their way into the database, with the sums made of them. On a thread of the
 * store's, but for struct ledger_block itself. */
#pragma once

#include "base/buf.h"
#include "base/id.h"
#include "store/usage.h"

/* What an interrupted ledger's attempts without an end are put into; see ledger_recover. */
enum { LEDGER_BLOCK_INTERRUPTED = -1 };
/* Tags are what callers write: of one person's on one day so many count by themselves (those with a
 * quota anyway), all others as LEDGER_TAG_OTHER, which no tag can be named, for they have a colon. */
enum { LEDGER_TAGS_A_DAY_MAX = 1000 };
#define LEDGER_TAG_OTHER "other"
enum { LEDGER_BLOCK_ROWS_MAX = 4096, LEDGER_MINUTES_KEPT = 30 * 24 * 60 };

struct ledger_block {
    struct id ledger;
    int64_t number;    /* within the ledger: decides whether it is in already */
    struct str rows;   /* entries, as it was filled: see ledger_entries.h */
    int64_t forget_ms; /* the wall clock, when old minutes are to be forgotten too; else 0 */
};

/* Puts the block and its sums into the database, in the caller's transaction; a block that is in
 * changes nothing. */
MUST_USE enum err ledger_block_store(struct store_tx *tx, const struct ledger_block *block,
                                     struct error *error);

/* The day and minute (UTC) of a row's start: which sums it is in. */
int64_t ledger_day(int64_t wall_ms);
int64_t ledger_minute(int64_t wall_ms);
