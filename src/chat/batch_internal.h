/* The inside of the queue, for batch.c, batch_run.c and batch_pool.c. */
#pragma once

#include <stdatomic.h>

#include "chat/batch.h"
#include "chat/batch_call.h"
#include "store/blob.h"

struct batch_queue {
    struct batch_options options;
    struct list runs;         /* struct batch_run, by link: every unfinished batch, oldest first */
    size_t open_count;        /* those whose input is in memory, but for those at providers */
    int line_count;           /* lines under way, of all runs */
    _Atomic bool is_stopping; /* read by the pool, too */
    struct loop_task pump_task;
    struct loop_timer tidy_timer;
    struct loop_task stopped_task;
    void (*on_stopped)(void *user);
    void *stopped_user;
    /* Looking into the store for what the bell means. */
    struct store_job list_job;
    struct arena *list_arena;
    struct store_batch *list;
    size_t list_count;
    bool is_listing;
    bool rang_again;
    struct store_job clean_job; /* of lines of batches that have ended */
    int64_t cleaned;
    bool is_cleaning;
    bool clean_again;
};

enum batch_state {
    BATCH_WAITING, /* for its turn */
    BATCH_OPENING, /* the pool reads its input, then the store is told of its total */
    BATCH_RUNNING, /* lines are asked */
    BATCH_HANDED,  /* its provider's own batches run it */
    BATCH_REFUSED, /* it fails as a whole, when the storage takes that */
    BATCH_ENDING,  /* no line is under way any more; the pool writes its files */
    BATCH_STOPPED  /* the program ends: nothing is done any more */
};

/* One unfinished batch. */
struct batch_run {
    struct list link; /* first */
    struct batch_queue *queue;
    struct arena *arena;
    struct store_batch batch; /* strings in the arena */
    const struct batch_endpoint *endpoint;
    enum batch_state state;
    bool is_counted;          /* in open_count */
    struct blob blob;         /* its input, while it is open */
    struct batch_input input; /* lines of it */
    size_t next;              /* line that was never tried */
    size_t *again;            /* lines to be tried once more, the last first */
    size_t again_count;
    unsigned char *tries; /* by line */
    size_t undone;        /* lines without a stored result */
    struct list lines;    /* struct line_work, by link: those under way */
    int failures;         /* in a row that pass */
    bool is_expired;
    bool waits_for_storage; /* while `hold` is set */
    bool is_refused;        /* it was to be handed on, and failed */
    bool is_busy;           /* pool or job is under way */
    struct loop_timer hold; /* set: it waits before the next line */
    struct loop_timer expiry;
    struct loop_work pool;
    struct store_job job;
    struct batch_hand *hand; /* BATCH_HANDED; else NULL, or one that has ended */
    /* What the pool found, or is to write. */
    enum err code;
    struct error error;
    struct store_file output;
    struct store_file failures_file;
};

/* ---- batch_run.c: a run's life ----------------------------------------------------------------- */
struct batch_run *batch_run_new(struct batch_queue *queue, const struct store_batch *batch);
void batch_run_free(struct batch_run *run);
/* The store's newest row of it: perhaps it is to be cancelled. */
void batch_run_update(struct batch_run *run, const struct store_batch *batch);
/* Begins one line, or goes on to the next state, when it can; false when there is nothing to do. */
bool batch_run_step(struct batch_run *run);
/* Ends what is under way; batch_run_is_idle is true once that is over. */
void batch_run_stop(struct batch_run *run);
bool batch_run_is_idle(const struct batch_run *run);

/* ---- batch_pool.c: what blocks. On a thread of the pool, fills code and error ------------------- */
/* Maps the input, reads its lines, and marks those whose results are stored. */
void batch_pool_open(void *user);
/* Writes the files of results: a file whose id is none at the end has nothing in it. */
void batch_pool_write(void *user);

/* ---- batch.c ---------------------------------------------------------------------------------- */
/* Something may be possible now. */
void batch_queue_wake(struct batch_queue *queue);
/* A run has ended: it is freed. */
void batch_queue_forget(struct batch_run *run);
