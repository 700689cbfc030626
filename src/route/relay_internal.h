/* What the files of the relay share: relay.c (its life, and whom to ask), relay_attempt.c (one
 * attempt). */
#pragma once

#include "route/relay.h"
#include "route/relay_targets.h"
#include "route/router_internal.h"

enum relay_state { RELAY_CHOOSING, RELAY_WAITING, RELAY_ASKING, RELAY_SHOWING, RELAY_FAILING };

struct relay {
    struct router *router;
    struct arena *arena;
    struct arena *scratch; /* what the newest attempt sends */
    struct relay_request request;
    struct relay_events events;
    void *user;
    struct str request_id;
    const struct catalog *catalog; /* referenced */
    struct route_plan plan;
    bool is_whole; /* the target is a provider as a whole */
    struct relay_targets targets;
    struct charge *charge; /* NULL: nobody governs */
    enum relay_state state;
    /* The newest attempt. */
    struct relay_attempt attempt;
    struct relay_candidate *candidate;
    struct cell_lease lease; /* its place; cell NULL: it has ended */
    struct http_call *http;
    uint64_t start_us;
    uint64_t content_us; /* after start; 0: none came */
    int status;
    struct http_headers headers; /* RELAY_FAILING: as they came */
    struct buf body; /* RELAY_FAILING: for on_head's sake; RELAY_SHOWING: for usage_of */
    bool is_read;    /* RELAY_SHOWING: the body is kept for usage_of */
    bool has_answer; /* an answer that failed is kept, to be handed on */
    bool has_error;
    struct llm_error error; /* the newest failure */
    struct loop_timer timer;
    struct loop_task begun_task;
    struct wake *wake;
    bool is_paused;
    bool is_over; /* on_end was told, or it was cancelled */
    int depth;    /* of callbacks that will come back here */
};

static inline struct loop *relay_loop(const struct relay *relay)
{
    return relay->router->options.loop;
}

static inline uint64_t relay_now_us(const struct relay *relay)
{
    return loop_now_us(relay_loop(relay));
}

/* relay.c: around everything that comes from outside. */
void relay_enter(struct relay *relay);
void relay_leave(struct relay *relay);
/* Changes the state, and stops the timer. */
void relay_set_state(struct relay *relay, enum relay_state state);
void relay_tell_end(struct relay *relay, const struct llm_error *error);
/* An attempt has failed, and nothing of it was shown: relay->error says why. */
void relay_failed(struct relay *relay);

/* relay_attempt.c: begins one, with a place at relay->candidate. False: it cannot be begun there. */
bool relay_begin_attempt(struct relay *relay);
/* Gives its place back, and writes its row. */
void relay_end_attempt(struct relay *relay, enum flow_outcome outcome,
                       const struct llm_usage *usage);
/* Ends one that is under way, for its caller has left. */
void relay_cancel_attempt(struct relay *relay);
/* Hands the answer that failed on. */
void relay_show_failure(struct relay *relay);
/* (Re)starts the timer of a silent answer. */
void relay_watch_silence(struct relay *relay);
