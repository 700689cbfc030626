/* Batch: the queue of work that nobody waits for. One for the program, on one loop; doors on every
 * loop write batches into the store and ring its bell. Each line goes to the router like any other
 * request, with the least priority, in the name of whoever made the batch; that one's rights are
 * asked again for every line. Results are in the store before they are counted: after a crash it goes
 * on where it was, no line is answered twice or lost (one that was under way is asked again). */
#pragma once

#include "account/account.h"
#include "chat/files.h"
#include "route/router.h"
#include "store/record_batch.h"

/* ---- The bell: any thread --------------------------------------------------------------------- */
struct batch_bell;
struct batch_bell *batch_bell_new(void);
/* After every queue and everybody who rings. NULL is allowed. */
void batch_bell_free(struct batch_bell *bell);
/* There is a new batch in the store, or one to be cancelled. Without a queue nothing happens. */
void batch_bell_ring(struct batch_bell *bell);

/* ---- The queue: its loop ---------------------------------------------------------------------- */
struct batch_queue;

struct batch_options {
    struct loop *loop;
    struct router *router;
    struct account *account;
    struct store *store;
    struct files *files;
    struct batch_bell *bell; /* at most one queue listens to it */
    struct log *log;
    int concurrency;   /* lines at once, of all batches */
    uint64_t retry_ms; /* first wait after a failure that passes; it doubles */
    /* For batches that are handed on to providers. */
    struct registry *registry;
    struct governor *governor; /* the loop's; NULL: no rows are written */
    uint64_t poll_ms;          /* how often a provider is asked how far it is */
};

/* Begins with what the store has of unfinished batches. */
struct batch_queue *batch_queue_new(const struct batch_options *options);
/* No more lines are begun, those under way are ended (and asked again at the next start).
 * `on_stopped` comes once, when nothing is under way any more, never in this call. */
void batch_queue_stop(struct batch_queue *queue, void (*on_stopped)(void *user), void *user);
/* After batch_queue_stop has said so, or before the loop ran. NULL is allowed. */
void batch_queue_free(struct batch_queue *queue);
