/* Coalesce, inside: what coalesce.c and follower.c share. */
#pragma once

#include <pthread.h>

#include "base/map.h"
#include "route/coalesce.h"

struct coalescer {
    pthread_mutex_t lock;
    struct map *shares; /* key -> struct share, those that can be joined */
    struct metric *joined;
};

struct share {
    _Atomic int references; /* the home's until it is over, each follower's, each message's */
    struct arena *arena;    /* it is in it itself; changes no more after it was made */
    struct coalescer *coalescer;
    struct str key;
    struct str raw_body; /* the end of the key */
    struct str model;
    struct str request_id; /* of the request that came first */
    const struct dialect *dialect;
    bool is_streamed;
    bool takes_raw;
    /* Under the lock. */
    struct list followers;
    size_t follower_count;
    struct block *first; /* the log: what follows it; NULL: nobody joins any more */
    struct facts *facts; /* the newest */
    /* Of the home loop. */
    struct loop *loop;
    struct list link; /* of its home */
    struct route_call *call;
    struct block *last;
    struct loop_task task;
    /* Any thread. */
    _Atomic bool is_posted; /* task */
    _Atomic bool is_paused;
    _Atomic bool is_over;
};

struct follower {
    _Atomic int references; /* its caller's, each message's */
    struct share *share;
    struct loop *loop;
    struct list link; /* of the share's followers; under the lock */
    bool has_joined;
    struct loop_task task;
    /* Any thread. */
    _Atomic bool is_posted; /* task */
    _Atomic bool is_paused;
    _Atomic bool is_cut;
    _Atomic uint64_t told_bytes; /* end_bytes of its place */
    /* Of its own loop. */
    struct block *place; /* the last block it was told */
    struct facts *facts;
    void (*on_event)(void *user, const struct llm_event *event);
    void (*on_raw)(void *user, struct str content_type, struct str bytes);
    void *user;
    struct llm_usage usage;
    bool is_gone;
};

void share_unref(struct share *share);
/* Its home is to look at it: somebody has left, is paused or not any more, or has caught up. Any
 * thread. */
void share_call_home(struct share *share);
/* Nobody joins any more. Under the lock; what is returned is to be given back outside it. */
struct block *share_close_log(struct share *share);

/* Its loop is to look at it. Any thread. */
void follower_wake(struct follower *follower);
/* Takes it out of its share, if it still is in there. Under the lock. */
void follower_forget(struct follower *follower);
