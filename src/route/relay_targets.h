/* Relay's targets: which of a plan's targets is asked next, and when. A smaller flow_choose.h: no
 * hedges, no recovery. Pure but for the cells. Inside route only. */
#pragma once

#include "route/attribution.h"
#include "route/route.h"

struct relay_candidate {
    const struct target *target;
    uint64_t not_before_us; /* its backoff */
    int attempts;
    bool out; /* for the rest of this request */
    bool was_stale;
};

struct relay_targets {
    struct relay_candidate *items; /* in the order in which they are asked */
    size_t count;
    const struct route_policy *policy;
    struct random *random;
    enum cell_priority priority;
    int64_t tokens;
    int attempts;     /* begun so far */
    int attempts_max; /* of all together */
    bool is_aside;    /* each once, whatever the failure was */
    uint64_t deadline_us;
    uint64_t queue_until_us; /* 0: it has not waited for a place yet */
    struct cell_waiter waiter;
};

/* Orders the plan's targets, each group by its strategy. What it needs is in `arena`. */
void relay_targets_init(struct relay_targets *targets, struct arena *arena,
                        const struct route_plan *plan, enum cell_priority priority, int64_t tokens,
                        bool is_retried, struct random *random, uint64_t now_us);
/* Out of any queue. */
void relay_targets_done(struct relay_targets *targets);

enum relay_verdict {
    RELAY_GO,   /* ask this one */
    RELAY_WAIT, /* until that time, or a wake */
    RELAY_NONE  /* nobody is left */
};
struct relay_choice {
    enum relay_verdict verdict;
    struct relay_candidate *candidate; /* GO */
    struct cell_lease lease;           /* GO */
    uint64_t until_us;                 /* WAIT; 0: a wake comes */
    struct llm_error why;              /* NONE: when nothing has failed that says it better */
};
/* `wake` and `wake_user` as in cell_wait. */
void relay_targets_next(struct relay_targets *targets, uint64_t now_us, void (*wake)(void *user),
                        void *wake_user, struct relay_choice *ret);
/* An attempt there has begun. */
void relay_targets_begun(struct relay_targets *targets, struct relay_candidate *candidate);
/* It has failed: what that means for asking again. False: for nobody, the failure is final. */
bool relay_targets_failed(struct relay_targets *targets, struct relay_candidate *candidate,
                          const struct llm_error *error, uint64_t now_us);
