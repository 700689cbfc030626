/* Limiter: counts what everybody uses against their quotas, in memory, for all loops, under one
 * short lock. A request reserves in all its subjects or in none, before it is sent; what it really
 * used is charged when it has ended. What is reserved is held outside the buckets, so that it
 * neither refills nor counts twice. Any thread; time is given. */
#pragma once

#include "route/quota.h"

struct limiter;

struct limiter_subject {
    enum quota_kind kind;
    struct str id;
};
enum { LIMITER_SUBJECTS_MAX = 40, LIMITER_NODES_MAX = 262144 };

/* Both clocks of one moment. */
struct limiter_time {
    uint64_t monotonic_us; /* for buckets: grows only */
    int64_t wall_ms;       /* for the calendar */
};

struct limiter *limiter_new(void);
void limiter_free(struct limiter *limiter);

/* ---- Rules ----------------------------------------------------------------------------------- */
/* Sets, replaces or (NULL) removes a subject's quota. What it used already stays counted. The new
 * rates hold from the last use of the limiter on. */
void limiter_set(struct limiter *limiter, struct limiter_subject subject,
                 const struct quota *quota);
/* False when it has none of its own. */
bool limiter_get(struct limiter *limiter, struct limiter_subject subject, struct quota *ret_quota);
/* All of them, by kind and id: `each` is called under the lock, and must not call back. */
void limiter_each(struct limiter *limiter,
                  void (*each)(void *user, struct limiter_subject subject,
                               const struct quota *quota),
                  void *user);
/* Adds what was used in the current periods without being reserved: before the start (from the
 * ledger), or by a provider on its own (batches). After its quota has
 * been set: what has none is not counted. */
void limiter_restore(struct limiter *limiter, struct limiter_subject subject,
                     enum quota_period period, int64_t requests, int64_t tokens, int64_t cost_nano,
                     int64_t wall_ms);

/* ---- Use ------------------------------------------------------------------------------------- */
struct limiter_ask {
    const struct limiter_subject *subjects;
    size_t count;
    int64_t tokens;    /* estimated, input and output */
    int64_t cost_nano; /* estimated; 0: free, and then no budget refuses it */
    struct limiter_time now;
};

/* Whether anybody has a quota: while nobody has, there is nothing to reserve. Without the lock. */
bool limiter_has_rules(const struct limiter *limiter);

/* What is held; with a count of 0 nothing is. Given back by limiter_settle, exactly once. */
struct limiter_held {
    struct limiter_node *node; /* the limiter's own */
    uint64_t mark;             /* likewise: see bucket_take */
};
struct limiter_lease {
    size_t count;
    int64_t tokens;
    int64_t cost_nano;
    struct limiter_held held[LIMITER_SUBJECTS_MAX];
};
/* What of it is used when so many subjects ask: room for the rest is not needed. */
static inline size_t limiter_lease_bytes(size_t subjects)
{
    return offsetof(struct limiter_lease, held) + subjects * sizeof(struct limiter_held);
}

/* Why not, and when. */
struct limiter_refusal {
    enum quota_kind kind;
    char id[128];     /* of the subject, cut */
    const char *what; /* "requests per minute", "budget per month", ...: lives for ever */
    bool is_budget;   /* money: waiting is of no use before the period ends */
    bool is_never;    /* the request alone is larger than the limit: no wait helps */
    int64_t limit;    /* in its unit: requests, tokens, streams, nano-dollars */
    /* When it could be admitted at the earliest. A guess of 1 s where requests under way are in the
     * way: streams, and what is held against a calendar limit. 0: is_never. */
    uint64_t retry_after_ms;
};

/* How much is left, for headers: of the subject where it is least. -1: no such limit. A limit per
 * minute is told as the size of its bucket; it goes before one per day. */
struct limiter_view {
    int64_t requests_limit;
    int64_t requests_remaining;
    uint64_t requests_reset_ms; /* until it is whole again */
    int64_t tokens_limit;
    int64_t tokens_remaining;
    uint64_t tokens_reset_ms;
};

/* Takes a place in all or none. False: *ret_refusal says why (of several, the longest wait).
 * *ret_view (may be NULL) is filled either way. *ret_soft (may be NULL): a soft budget has just been
 * passed, once each period and subject: what, as a text for an administrator; "" otherwise. */
bool limiter_reserve(struct limiter *limiter, const struct limiter_ask *ask,
                     struct limiter_lease *ret_lease, struct limiter_refusal *ret_refusal,
                     struct limiter_view *ret_view, char ret_soft[256]);
/* It has ended, and used so much: input and output of all its attempts. Empties the lease. */
void limiter_settle(struct limiter *limiter, struct limiter_lease *lease, int64_t tokens,
                    int64_t cost_nano, struct limiter_time now);

/* What a subject used in a period, for people. */
struct limiter_used {
    int64_t requests;
    int64_t tokens;
    int64_t cost_nano;
};
bool limiter_used(struct limiter *limiter, struct limiter_subject subject, enum quota_period period,
                  int64_t wall_ms, struct limiter_used *ret_used);

/* What a subject may still use now, and its requests under way. False when nothing is counted for
 * it. */
bool limiter_look(struct limiter *limiter, struct limiter_subject subject, struct limiter_time now,
                  int64_t *ret_streams, struct limiter_view *ret_view);

/* ---- How long answers are --------------------------------------------------------------------- */
/* The output of a request is estimated as the lesser of what it asks for at most and the 95th
 * percentile of what that model gave lately. A fixed number of models is remembered. */
void limiter_note_output(struct limiter *limiter, struct str model, int64_t tokens);
/* 0: nothing is known of it, or of fewer than 20 answers. */
int64_t limiter_output_p95(struct limiter *limiter, struct str model);
