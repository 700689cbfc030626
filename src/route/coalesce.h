/* Coalesce: identical requests of one tenant that come together share one answer, fanned out live
 * to callers on all loops. See coalesce.c for how. Inside route only, but for the coalescer, of
 * which a program has one.
 *
 * A request is the same when these are: tenant, plan, model, chain, dialect, streaming, priority,
 * whether bytes may pass through, and every byte of its body. */
#pragma once

#include "base/list.h"
#include "base/log.h"
#include "net/loop.h"
#include "route/block.h"

struct coalescer; /* what can be joined, of all loops */
struct share;     /* one answer; its home is the loop of the request that came first */
struct follower;  /* one caller of a share, on its own loop */

/* `metrics` is borrowed. Freed after all routers that have it; NULL is allowed. */
struct coalescer *coalescer_new(struct metric_registry *metrics);
void coalescer_free(struct coalescer *coalescer);

enum {
    COALESCE_SHARES_MAX = 256,            /* that can be joined at a time; more are not shared */
    COALESCE_FOLLOWERS_MAX = 1024,        /* of one answer; further requests ask for themselves */
    COALESCE_KEY_BYTES_MAX = 1024 * 1024, /* a body larger than about that is not shared */
    COALESCE_LOG_BYTES_MAX = 1024 * 1024, /* of an answer that somebody may still join */
    COALESCE_BEHIND_BYTES_MAX = 4 * 1024 * 1024 /* that wait for a follower */
};

/* The part of one router. */
struct coalesce_home {
    struct coalescer *coalescer; /* NULL: nothing is shared */
    struct loop *loop;
    struct log *log;
    struct list shares; /* whose home is here */
};
/* Borrows all three. */
void coalesce_home_init(struct coalesce_home *home, struct coalescer *coalescer, struct loop *loop,
                        struct log *log);
/* Ends the answers whose home is here; their followers elsewhere are told an error. */
void coalesce_home_done(struct coalesce_home *home);

/* Whether this request may share an answer: its route says so, it has a tenant and a body to compare
 * (a run has none), and its caller takes nothing back. */
bool coalesce_applies(const struct coalesce_home *home, const struct route_request *request,
                      const struct route_plan *plan, const struct route_events *events);

/* Joins the answer to the same request, or begins a new one: then *ret_new is set, and
 * share_begin must follow. NULL: there is no room, the request asks for itself. Give it back with
 * follower_leave. */
struct follower *coalesce_join(struct coalesce_home *home, const struct route_request *request,
                               const struct route_plan *plan, const struct route_events *events,
                               struct share **ret_new);

/* ---- The shared call ------------------------------------------------------------------------- */
/* What the shared call's request becomes: what it borrows is the share's, so that it outlives the
 * request that came first. */
void share_adopt(struct share *share, struct route_request *request);
/* Its events, with the share as their user. on_raw when the callers take bytes. */
struct route_events share_events(const struct share *share);
/* The call has been started. `first`: the follower that came with it. */
void share_begin(struct share *share, struct route_call *call, struct follower *first);

/* ---- A follower, on its own loop ------------------------------------------------------------- */
/* Who hears it, from the next turn on. */
void follower_listen(struct follower *follower,
                     void (*on_event)(void *user, const struct llm_event *event),
                     void (*on_raw)(void *user, struct str content_type, struct str bytes),
                     void *user);
/* Nothing is heard after it returns. Also after END. Allowed inside callbacks. The last one to leave
 * an answer that has not ended cancels it. */
void follower_leave(struct follower *follower);
void follower_pause(struct follower *follower);
void follower_resume(struct follower *follower);
/* Whether it joined an answer that was under way. */
bool follower_has_joined(const struct follower *follower);
/* Borrowed until the next event. */
const struct facts *follower_facts(const struct follower *follower);
/* The newest that it has heard of. */
struct llm_usage follower_usage(const struct follower *follower);
