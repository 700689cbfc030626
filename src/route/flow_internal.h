/* What the files of the flow share: flow.c (what happens), flow_choose.c (whom to ask, and when),
 * flow_join.c (what of a second answer is shown). */
#pragma once

#include "llm/estimate.h"
#include "route/attribution.h"
#include "route/flow.h"

enum flow_state {
    FLOW_NEW,
    FLOW_TRYING,  /* one attempt or two are under way, nothing of them is shown */
    FLOW_WAITING, /* for a backoff, a place or a pace */
    FLOW_SHOWING, /* an answer is being shown */
    FLOW_ENDED
};

/* A target of the plan, as this request knows it. */
struct flow_candidate {
    const struct target *target;
    uint64_t not_before_us; /* its backoff */
    uint8_t group;
    uint8_t attempts;
    bool out;             /* for the rest of this request */
    bool prefill_refused; /* in this request */
    bool was_stale;       /* a kept connection to it was dead: once, that may be no attempt */
};

/* An event that came before the first content. */
struct flow_held {
    struct flow_held *next;
    struct llm_event event;
};

/* One attempt. */
struct flow_attempt {
    bool active;
    bool is_hedge;
    bool is_probe;
    bool has_failed; /* ERROR came: flow->error; END follows */
    bool was_shown;  /* something of it */
    bool has_usage;
    bool has_start;
    bool is_whole;      /* its answer, which comes at once */
    bool is_raw;        /* its bytes pass through, up to now */
    bool raw_has_ended; /* what comes next has no bytes: what is held has */
    uint8_t candidate;
    enum route_mode mode;
    int number;
    struct cell_lease lease;
    uint64_t start_us;
    uint64_t content_us; /* after start; 0: none came */
    struct llm_usage usage;
    struct llm_estimate output; /* what it wrote, counted: without what flow->sent has of it */
    struct str start_id;        /* of its START */
    struct str start_model;
    struct flow_held *held_first;
    struct flow_held *held_last;
    size_t held_bytes;
    struct buf raw; /* bytes that came before the first content */
    struct str raw_type;
};

struct flow {
    struct flow_request request;
    const struct flow_ops *ops;
    void *user;
    enum flow_state state;
    const struct route_policy *policy;
    uint64_t start_us;
    uint64_t deadline_us;
    uint64_t mark_us; /* since when it is busy itself; 0: it waits for others */
    uint64_t overhead_us;
    uint64_t queue_until_us; /* 0: it has not waited for a place yet */
    uint64_t wait_until_us;  /* WAITING: when to look again; 0: by a wake alone */
    uint64_t hedge_us;       /* when to hedge; 0: never */
    struct flow_candidate *candidates;
    size_t candidate_count;
    struct flow_attempt *attempts[FLOW_SLOTS]; /* the second: NULL until there was a hedge */
    int newest;                                /* slot of the newest attempt */
    int shown;                                 /* slot whose answer is shown, -1: none */
    int attempt_count;
    int recovery_count;
    bool beginning;  /* within flow_begin: giving up is a return value */
    bool committed;  /* something was shown */
    bool finished;   /* FINISH was shown */
    bool broken;     /* what was shown has broken off: what follows is joined to it */
    bool unjoinable; /* something was shown that no second answer can be joined to */
    bool reasoning_shown;
    uint8_t last_failed; /* candidate */
    bool has_differed;   /* a splice found another text */
    bool too_long;       /* the text that was shown is too long to be joined to */
    struct buf sent;     /* text that was shown, when it may have to be joined */
    struct join *join;   /* NULL: nothing was ever joined */
    bool join_active;
    bool joint_pending;      /* the next text that is shown makes a joint */
    bool trims;              /* prefill: white space at its beginning was shown already */
    struct llm_error *error; /* the newest failure; NULL: none yet */
    const struct target *broke_target;
    enum err broke_class;
    int64_t cost_nano; /* of all attempts so far */
    struct cell_waiter waiter;
    struct flow_joint *joints; /* room for FLOW_JOINTS_MAX, or NULL while there are none */
    size_t joint_count;
    struct flow_failure *failures; /* likewise */
    size_t failure_count;
};

static inline bool flow_is_active(const struct flow *flow, int slot)
{
    return flow->attempts[slot] && flow->attempts[slot]->active;
}

/* Changes the state and the timer that goes with it. */
void flow_set_state(struct flow *flow, enum flow_state state);
/* Hands an event to the caller. */
void flow_tell(struct flow *flow, const struct llm_event *event);

/* flow_choose.c: the next attempt, a wait, or giving up. */
void flow_next(struct flow *flow);
/* Begins a second attempt beside the one that is under way, if one may be. */
void flow_hedge(struct flow *flow);
/* Ends the flow with flow->error, or, when nothing has failed yet, with the class and message. */
void flow_give_up(struct flow *flow);
/* Rules out what the request cannot be sent to; false, with flow->error set, when nothing is left. */
bool flow_rule_out_unfit(struct flow *flow);

/* flow.c: it waits for others from now on. */
void flow_become_idle(struct flow *flow);
/* flow_end.c: sets flow->error to a provider's, or to one of our own. */
void flow_keep_error(struct flow *flow, const struct llm_error *error);
void flow_set_error(struct flow *flow, enum err class, const char *code, int64_t retry_after_ms,
                    const char *format, ...) __attribute__((format(printf, 5, 6)));
/* flow_end.c: ends an attempt that has an end of its own, or (is_cancelled) by cancelling it, writes
 * its row, and gives its place back; the cell hears what `attribution` says (NULL: nothing). */
void flow_end_attempt(struct flow *flow, int slot, enum flow_outcome outcome, bool is_cancelled,
                      const struct attribution *attribution);
/* flow_end.c: keeps text that was shown, if it may have to be joined. */
void flow_note_text(struct flow *flow, struct str text);
/* flow_end.c: counts what an event, which was not shown yet, says. */
void flow_count_output(const struct flow *flow, struct flow_attempt *attempt,
                       const struct llm_event *event);
/* Fills in our own counts where the provider gave none but has worked. Of an answer that has not
 * ended it may have told a count from its beginning. */
void flow_complete_usage(const struct flow *flow, struct flow_attempt *attempt,
                         enum flow_outcome outcome);

/* flow_join.c */
/* Whether what was shown can be gone on with at all. */
bool flow_can_recover(const struct flow *flow);
/* The rung for a candidate; ROUTE_WHOLE: none is left. */
enum route_mode flow_recovery_mode(const struct flow *flow, const struct flow_candidate *candidate);
/* Sets up the joining for an attempt of that mode. */
void flow_join_begin(struct flow *flow, enum route_mode mode);
/* An event of an attempt whose answer is joined to what was shown. */
void flow_show_joined(struct flow *flow, int slot, const struct llm_event *event);
/* The counts of an answer that was joined. */
struct llm_usage flow_joined_usage(const struct flow *flow, const struct flow_attempt *attempt,
                                   bool has_ended);
