/* A small queue in front of the pool. Whoever ends starts the next, on the next one's own loop. */
#include "account/hasher.h"

void hasher_init(struct hasher *hasher)
{
    pthread_mutex_init(&hasher->lock, NULL);
    hasher->running = hasher->waiting_count = 0;
    list_init(&hasher->waiting);
}

void hasher_done(struct hasher *hasher)
{
    pthread_mutex_destroy(&hasher->lock);
}

static void run_job(void *user)
{
    struct hash_job *job = user;
    job->run(job->user);
}

static void end_job(void *user);

static void start_job(void *user)
{
    struct hash_job *job = user;
    loop_work_start(job->loop, &job->work, run_job, end_job, job);
}

/* The next one keeps the place that became free; without one the place is given up. */
static struct hash_job *take_next(struct hasher *hasher)
{
    struct hash_job *next = NULL;
    pthread_mutex_lock(&hasher->lock);
    if (list_is_empty(&hasher->waiting)) {
        hasher->running--;
    } else {
        next = LIST_ENTRY(hasher->waiting.next, struct hash_job, link);
        list_remove(&next->link);
        hasher->waiting_count--;
    }
    pthread_mutex_unlock(&hasher->lock);
    return next;
}

static void end_job(void *user)
{
    struct hash_job *job = user, *next;
    while ((next = take_next(job->hasher)) && !loop_post(next->loop, &next->task, start_job, next))
        next->abandon(next->user);
    job->done(job->user);
}

bool hasher_start(struct hasher *hasher, struct hash_job *job)
{
    job->hasher = hasher;
    pthread_mutex_lock(&hasher->lock);
    bool now = hasher->running < HASHER_RUNNING_MAX;
    bool later = !now && hasher->waiting_count < HASHER_WAITING_MAX;
    if (now)
        hasher->running++;
    if (later) {
        hasher->waiting_count++;
        list_append(&hasher->waiting, &job->link);
    }
    pthread_mutex_unlock(&hasher->lock);
    if (now)
        start_job(job);
    return now || later;
}
