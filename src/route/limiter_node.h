/* Node: what one subject of the limiter has used, holds, and may still use. Private to the limiter,
 * which locks it and knows its quota. */
#pragma once

#include "base/list.h"
#include "route/limiter.h"
#include "route/limiter_bucket.h"

struct limiter_counter {
    int64_t index; /* of the period, see calendar_index */
    int64_t requests;
    int64_t tokens;
    int64_t cost_nano;
    bool soft_told;
};

struct limiter_node {
    struct list link; /* of the limiter */
    enum quota_kind kind;
    struct quota *own; /* NULL: what "*" says */
    int64_t streams;   /* leases, each of one request */
    int64_t held_tokens;
    int64_t held_nano;
    struct bucket requests; /* a request is charged at once and never given back */
    struct bucket tokens;
    struct limiter_counter counters[QUOTA_PERIODS];
    int64_t day_start_ms; /* of the day counted in: within it nothing is over */
    size_t id_length;
    char id[];
};

/* What is left, where it is least. Zeroed: no limit. */
struct limiter_left {
    const struct limiter_node *node; /* whose limit it is; NULL: no limit */
    const struct bucket *bucket;     /* is_minute: its own */
    int64_t per_minute;
    bool is_minute;
    bool is_whole; /* nothing is taken */
    int64_t limit;
    int64_t remaining;
};
struct limiter_scarce {
    struct limiter_left requests;
    struct limiter_left tokens;
};

struct limiter_node *limiter_node_new(enum quota_kind kind, struct str id);
void limiter_node_free(struct limiter_node *node);
static inline struct str limiter_node_id(const struct limiter_node *node)
{
    return STR_FROM(node->id, node->id_length);
}

/* Refills the buckets at the quota's rates: before anything else at a time, and before the quota
 * changes. */
void limiter_node_refill(struct limiter_node *node, const struct quota *quota, uint64_t now_us);
/* Begins new periods where the old ones are over. */
void limiter_node_turn(struct limiter_node *node, int64_t wall_ms);

/* The rest want both of these done. */

/* Whether the ask fits; else *worst becomes the refusal with the longest wait of it and these (with
 * `what` NULL it is none yet). */
bool limiter_node_fits(const struct limiter_node *node, const struct quota *quota,
                       const struct limiter_ask *ask, struct limiter_refusal *worst);
/* Holds it; returns the mark of its tokens. */
uint64_t limiter_node_take(struct limiter_node *node, const struct quota *quota,
                           const struct limiter_ask *ask);
void limiter_node_settle(struct limiter_node *node, const struct quota *quota, uint64_t mark,
                         const struct limiter_lease *held, int64_t tokens, int64_t cost_nano);
/* Adds to what a period has used. */
void limiter_node_charge(struct limiter_node *node, enum quota_period period, int64_t requests,
                         int64_t tokens, int64_t cost_nano);
/* Whether a soft budget has been passed and not yet been told of: says so, once. */
bool limiter_node_tells(struct limiter_node *node, const struct quota *quota, char ret_soft[256]);
/* Takes over what is scarcer here; a limit per minute goes before one per day. */
void limiter_node_view(const struct limiter_node *node, const struct quota *quota,
                       struct limiter_scarce *scarce);
/* Until it is whole again. */
uint64_t limiter_left_reset_ms(const struct limiter_left *left, int64_t wall_ms);
/* Whether it would be the same if it were made anew: nothing held or owed, and nothing counted that
 * `quota` (NULL: none) looks at. */
bool limiter_node_is_idle(const struct limiter_node *node, const struct quota *quota);
