/* Flow: one request's way through its plan: which target, how often, how long, and how an answer
 * that broke off goes on. A pure state machine: time, chance and transport are given; events come
 * in by the flow_on_ functions, actions go out by flow_ops. No memory of its own but the arena's.
 *
 * Contract: an action is taken during the call that caused it; none calls back into the flow but
 * flow_ops.event, .raw and .rewind, during which the caller may flow_cancel. Everything on one
 * thread, but for the cells, which all flows share. */
#pragma once

#include "base/random.h"
#include "llm/response.h"
#include "route/join.h"
#include "route/pick.h"

enum { FLOW_SLOTS = 2 }; /* attempts at once: a first one and its hedge */

/* An attempt to begin. */
struct flow_start {
    int slot;
    const struct target *target;
    enum route_mode mode;
    struct str partial; /* PREFILL, CONTINUE: the text that was shown; valid during the call */
    uint64_t total_us;  /* until the request's deadline */
    int number;         /* of this request's attempts: 1, 2, ... */
    bool is_hedge;
    bool passes_through; /* set by the start: its bytes will come by flow_on_raw */
};

/* How an attempt ended. */
enum flow_outcome {
    FLOW_ANSWERED,  /* with the end of the answer, or of its own part of it */
    FLOW_FAILED,    /* nothing of it was shown */
    FLOW_CUT,       /* something of it was shown, then it failed */
    FLOW_CANCELLED, /* the caller left */
    FLOW_LOST,      /* a hedge, or what was hedged: the other one was faster */
    FLOW_DIFFERED   /* a splice whose text was not the same */
};
const char *flow_outcome_name(enum flow_outcome outcome);

/* One row of the ledger: one attempt, also one that nobody paid for. Views are valid during the
 * call. */
struct flow_row {
    int slot;
    const struct target *target;
    int number; /* of this request's attempts: 1, 2, ... */
    enum route_mode mode;
    enum flow_outcome outcome;
    bool is_hedge;
    bool is_probe;
    const struct llm_error *error; /* FAILED and CUT; else NULL */
    struct llm_usage usage;        /* estimated where the provider gave none but answered */
    int64_t cost_nano;             /* nano-dollars; -1: no price is known */
    uint64_t start_us;
    uint64_t first_content_us; /* after start; 0: none came */
    uint64_t end_us;           /* after start */
};

/* Where another target took over an answer that had begun. */
struct flow_joint {
    size_t text_bytes; /* of the answer, in front of it */
    enum route_mode mode;
    const struct target *from;
    const struct target *to;
    enum err class; /* what had gone wrong */
};
enum { FLOW_JOINTS_MAX = 8 };

struct flow_ops {
    /* The time of what happens now; grows only. */
    uint64_t (*now_us)(void *user);
    /* The same clock at this very moment, which may be later: for what the flow itself takes. */
    uint64_t (*moment_us)(void *user);
    /* Begins an attempt; its events come later, by flow_on_event. An error (the request cannot be
     * put into that target's form, no address): *ret_error filled, nothing comes of it. */
    enum err (*start)(void *user, struct flow_start *start, struct llm_error *ret_error);
    /* Ends one; nothing comes of it afterwards. */
    void (*cancel)(void *user, int slot, struct llm_usage *ret_usage);
    /* Calls flow_on_timer at that time or later; replaces the one before; 0: no more. */
    void (*timer)(void *user, uint64_t at_us);
    /* A place may be free: called on any thread, must only post, so that flow_on_wake is called on
     * the flow's own. `wake_user`: what wake_user() gave, which outlives the flow. */
    void (*wake)(void *wake_user);
    void *(*wake_user)(void *user);
    /* To the caller: START, content, USAGE, FINISH or ERROR, END. After END the flow is dead, and
     * may be freed in the call. */
    void (*event)(void *user, const struct llm_event *event);
    /* To the caller: bytes that pass through (see llm_call_events.on_raw). */
    void (*raw)(void *user, struct str content_type, struct str bytes);
    /* The text of the answer is only its first `text_bytes` bytes; what follows comes now. NULL
     * when the caller cannot take anything back. */
    void (*rewind)(void *user, size_t text_bytes);
    void (*ledger)(void *user, const struct flow_row *row);
};

struct flow_request {
    const struct route_plan *plan; /* borrowed for the flow's life */
    const struct llm_needs *needs; /* likewise */
    enum cell_priority priority;
    bool is_streamed;
    struct arena *arena;   /* of the request; the flow's own things are in it */
    struct random *random; /* borrowed: the loop's */
};

struct flow;

/* A flow in request->arena, which does nothing before flow_begin. flow_done gives back what is not
 * in the arena; it cancels nothing: the flow must have ended or been cancelled. */
struct flow *flow_new(const struct flow_request *request, const struct flow_ops *ops, void *user);
void flow_done(struct flow *flow);

/* Begins: takes the first action. ERR_OK: it is under way, or waits; then END will come, later.
 * Else nothing has happened and nothing comes: no target fits the request (ERR_INVALID or
 * ERR_CONTEXT_LENGTH, which says what is lacking), all are out (ERR_UNAVAILABLE, *ret_error says
 * for how long), the queue is full (ERR_RATE_LIMITED), or none could be started. */
MUST_USE enum err flow_begin(struct flow *flow, struct llm_error *ret_error);

/* ---- What happens ---------------------------------------------------------------------------- */
void flow_on_event(struct flow *flow, int slot, const struct llm_event *event);
/* As llm_call_events.on_raw. */
void flow_on_raw(struct flow *flow, int slot, struct str content_type, struct str bytes);
/* The provider's headers: `connect_us` 0 when a kept connection was used. */
void flow_on_head(struct flow *flow, int slot, uint64_t connect_us,
                  const struct llm_limits *limits);
void flow_on_timer(struct flow *flow);
void flow_on_wake(struct flow *flow);

/* Ends it: the attempts are cancelled, nothing is heard any more. ret_usage (may be NULL): of the
 * answer so far. Not after END. */
void flow_cancel(struct flow *flow, struct llm_usage *ret_usage);

/* ---- Asking ---------------------------------------------------------------------------------- */
/* Who answers, or is asked now, or was asked last; never NULL after flow_begin. */
const struct target *flow_target(const struct flow *flow);
/* Whether the answer passes through as bytes now: then its content events are told twice. */
bool flow_is_raw(const struct flow *flow);
/* The slot of the attempt whose answer is shown, or of the newest one. */
int flow_slot(const struct flow *flow);
int flow_attempts(const struct flow *flow);
/* Time that was not spent waiting for a provider, a place or a backoff, up to the first content (or
 * now). */
uint64_t flow_overhead_us(const struct flow *flow);
size_t flow_joints(const struct flow *flow, const struct flow_joint **ret_joints);
/* What went wrong before somebody answered: the failed attempts in order, at most
 * FLOW_JOINTS_MAX. */
struct flow_failure {
    const struct target *target;
    enum err class;
};
size_t flow_failures(const struct flow *flow, const struct flow_failure **ret_failures);
