/* Stored sweep: removes stored responses, requests of the request log and rows of the ledger whose
 * time is over, at the start and hourly, in small transactions between everybody else's. One for the
 * program, on one loop. */
#pragma once

#include "store/records.h"

/* Embedded by its owner, who must outlive the store's closing. */
struct stored_sweep {
    struct store *store;
    struct loop *loop;
    struct log *log;
    struct loop_timer timer;
    struct store_job job;
    int64_t ledger_keep_days; /* 0: for ever */
    int removed;              /* by the last job: responses */
    int removed_blocks;       /* and the ledger's */
    int64_t total;            /* of this sweep: responses */
    int64_t total_blocks;
    bool is_over; /* no more begins */
};

/* Sweeps now, and every hour from then on. All three are borrowed. The ledger's rows are kept for whole
 * days (UTC) behind the present one, or for ever (0). */
void stored_sweep_begin(struct stored_sweep *sweep, struct store *store, struct loop *loop,
                        struct log *log, int64_t ledger_keep_days);
/* On the loop, before it stops. A job that is under way ends by itself. Also of one never begun. */
void stored_sweep_end(struct stored_sweep *sweep);
