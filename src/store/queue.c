/* Between the loops and the threads of the store: one queue for the writer, one shared by the
 * readers. First in, first out, which keeps the jobs of one loop in their order. */
#include "store/queue.h"

#include <string.h>

void queue_init(struct queue *queue)
{
    memset(queue, 0, sizeof *queue);
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->filled, NULL);
}

void queue_done(struct queue *queue)
{
    pthread_cond_destroy(&queue->filled);
    pthread_mutex_destroy(&queue->lock);
}

void queue_put(struct queue *queue, struct loop *loop, struct store_job *job)
{
    job->next = NULL;
    job->loop = loop;
    job->task = (struct loop_task){0};
    job->code = ERR_OK;
    job->error = (struct error){0};
    pthread_mutex_lock(&queue->lock);
    bool open = !queue->closing;
    if (open) {
        if (queue->last)
            queue->last->next = job;
        else
            queue->first = job;
        queue->last = job;
        pthread_cond_signal(&queue->filled);
    }
    pthread_mutex_unlock(&queue->lock);
    if (open)
        return;
    job->code = error_set(&job->error, ERR_UNAVAILABLE, NULL, "the database is being closed");
    job_finish(job);
}

static struct store_job *cut_off(struct queue *queue, int count_max)
{
    struct store_job *first = queue->first, *last = first;
    for (int count = 1; last && last->next && count < count_max; count++)
        last = last->next;
    if (!last)
        return NULL;
    queue->first = last->next;
    if (!queue->first)
        queue->last = NULL;
    last->next = NULL;
    return first;
}

struct store_job *queue_take(struct queue *queue, int count_max, bool wait, bool *ret_closing)
{
    pthread_mutex_lock(&queue->lock);
    while (wait && !queue->first && !queue->closing && !queue->prodded)
        pthread_cond_wait(&queue->filled, &queue->lock);
    queue->prodded = false;
    struct store_job *jobs = cut_off(queue, count_max);
    *ret_closing = queue->closing && !jobs;
    pthread_mutex_unlock(&queue->lock);
    return jobs;
}

void queue_prod(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->prodded = true;
    pthread_cond_signal(&queue->filled);
    pthread_mutex_unlock(&queue->lock);
}

void queue_close(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->closing = true;
    pthread_cond_broadcast(&queue->filled);
    pthread_mutex_unlock(&queue->lock);
}

static void deliver(void *user)
{
    struct store_job *job = user;
    job->done(job->user, job->code, &job->error);
}

void job_finish(struct store_job *job)
{
    job->error.code = job->code;
    if (!job->loop)
        deliver(job);
    else
        loop_post(job->loop, &job->task, deliver, job); /* a closed loop has nobody to tell */
}

void job_run(struct store_job *job, struct store_tx *tx)
{
    job->code = job->run(tx, job->user, &job->error);
    if (job->code == ERR_OK)
        job->error = (struct error){0};
    else if (job->error.code != job->code) /* the job did not say more than its code */
        error_set(&job->error, job->code, NULL, "%s", err_info(job->code)->message);
}
