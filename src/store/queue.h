/* Queue: jobs on their way to a thread of the store, and their results on the way back. */
#pragma once

#include <pthread.h>

#include "store/store.h"

struct queue {
    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t filled;
    struct store_job *first;
    struct store_job *last;
    bool closing; /* no more comes in; what is in is still taken out */
    bool prodded; /* queue_take returns once without a job */
};

void queue_init(struct queue *queue);
void queue_done(struct queue *queue);
/* Adds a job, or finishes it with ERR_UNAVAILABLE when closing. Any thread. */
void queue_put(struct queue *queue, struct loop *loop, struct store_job *job);
/* The oldest jobs, up to `count_max`, linked by `next`; NULL when closing and empty, when prodded,
 * or, without `wait`, when empty. *ret_closing: the first of these. */
struct store_job *queue_take(struct queue *queue, int count_max, bool wait, bool *ret_closing);
/* Wakes one queue_take without a job. */
void queue_prod(struct queue *queue);
void queue_close(struct queue *queue);

/* Sends the result, which is in job->code and job->error, home. The job is the caller's again. */
void job_finish(struct store_job *job);
/* Runs job->run with `tx`, and keeps its result in the job. */
void job_run(struct store_job *job, struct store_tx *tx);
