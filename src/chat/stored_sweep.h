/* Stored sweep: removes stored responses and requests of the request log whose time is over, at the
 * start and hourly, in small transactions between everybody else's. One for the program, on one loop. */
#pragma once

#include "store/records.h"

/* Embedded by its owner, who must outlive the store's closing. */
struct stored_sweep {
    struct store *store;
    struct loop *loop;
    struct log *log;
    struct loop_timer timer;
    struct store_job job;
    int removed;   /* by the last job */
    int64_t total; /* of this sweep */
    bool is_over;  /* no more begins */
};

/* Sweeps now, and every hour from then on. All three are borrowed. */
void stored_sweep_begin(struct stored_sweep *sweep, struct store *store, struct loop *loop,
                        struct log *log);
/* On the loop, before it stops. A job that is under way ends by itself. Also of one never begun. */
void stored_sweep_end(struct stored_sweep *sweep);
