/* Router, inside: what the parts of a router share. */
#pragma once

#include "route/block.h"
#include "route/books.h"
#include "route/coalesce.h"
#include "route/governor.h"
#include "route/replay.h"
#include "route/wake.h"

struct router {
    struct router_options options;
    const struct catalog *catalog; /* of the last call; NULL: there was none */
    struct books *books;
    struct coalesce_home sharing;
    struct random random;
    struct cache_client *cache; /* NULL: no answers are kept */
};

/* One attempt's call. */
struct slot {
    struct route_call *call;
    struct llm_call *llm;
    struct llm_losses losses;
};

struct route_call {
    struct router *router;
    struct arena *arena;
    bool is_streamed;
    const struct catalog *catalog; /* referenced: the plan's targets live in it */
    struct route_plan plan;
    struct llm_needs needs;
    struct flow *flow;
    struct flow_ops ops;
    struct route_request request;
    struct route_events events;
    void *user;
    struct charge *charge;       /* NULL: nobody asks */
    struct limiter_view *limits; /* without a charge: of whom another call asks for; NULL: none */
    enum route_cached cached;
    uint64_t cached_age_ms;
    struct recording *recording; /* the answer, to be kept; NULL: it is not */
    struct replay *replay;       /* not NULL: it has no flow, and nothing of what follows */
    struct follower *follower;   /* likewise */
    struct facts *facts;         /* not NULL: it was refused, and has no flow either */
    struct slot slots[FLOW_SLOTS];
    struct loop_timer timer;
    uint64_t timer_at_us;
    struct loop_task begun_task; /* says what happened within the start */
    struct llm_error *failed;
    struct wake *wake; /* NULL: it never waited for a place */
    size_t story_told; /* how long the story was when on_story was called */
    bool is_paused;
    bool is_over; /* END was heard, or it was cancelled */
    int depth;    /* of callbacks that will come back here */
};

/* ---- Life of a call (router.c) --------------------------------------------------------------- */
/* Around every callback into a call: its memory goes when the last one has returned. */
void router_enter(struct route_call *call);
void router_leave(struct route_call *call);

/* ---- Kept answers (router_cache.c) ----------------------------------------------------------- */
/* Names what is looked for next, if anything is, so that where it is kept is at hand by then: the call's
 * plan is made, and can only become shorter meanwhile. */
void router_expect_look_up(struct route_call *call);
/* Looks whether the answer to the call is kept: then call->replay tells it from the next turn on. Else it
 * is recorded, where that was asked for. ERR_TIMEOUT: only a kept one was asked for. */
MUST_USE enum err router_look_up(struct route_call *call, struct error *error);
/* What the caller is told, before it is; keeps the answer at its end. */
void router_record_event(struct route_call *call, const struct llm_event *event);
void router_record_bytes(struct route_call *call, struct str content_type, struct str bytes);
/* It is not kept. Nothing happens when it was not recorded. */
void router_drop_recording(struct route_call *call);
/* Hears what another call said before or says elsewhere: of a replay, of a follower. */
void router_on_retold_event(void *user, const struct llm_event *event);
void router_on_retold_raw(void *user, struct str content_type, struct str bytes);

/* ---- The flow's world (router_world.c) ------------------------------------------------------- */
/* What the flow of a call does; its user is the call. */
extern const struct flow_ops router_world;
/* As the flow's own words, to the caller. */
void router_tell_event(struct route_call *call, const struct llm_event *event);
void router_tell_raw(struct route_call *call, struct str content_type, struct str bytes);
