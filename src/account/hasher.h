/* Hasher: passwords are hashed in the pool, a few at a time, because each takes 19 MiB and tens of
 * milliseconds of a core: somebody who tries many may not take the pool from everybody else. */
#pragma once

#include <pthread.h>

#include "base/list.h"
#include "net/loop.h"

enum { HASHER_RUNNING_MAX = 2, HASHER_WAITING_MAX = 128 };

struct hasher {
    pthread_mutex_t lock; /* guards everything below */
    int running;
    int waiting_count;
    struct list waiting;
};

/* A member of its owner, zeroed; lives until done or abandon. */
struct hash_job {
    struct loop *loop;
    void (*run)(void *user);     /* on a pool thread */
    void (*done)(void *user);    /* on the loop */
    void (*abandon)(void *user); /* on any thread: the loop was freed before its turn came */
    void *user;
    /* The hasher's own. */
    struct hasher *hasher;
    struct list link;
    struct loop_task task;
    struct loop_work work;
};

void hasher_init(struct hasher *hasher);
void hasher_done(struct hasher *hasher);
/* On job->loop's thread. False when too many wait already: nothing will come. */
bool hasher_start(struct hasher *hasher, struct hash_job *job);
