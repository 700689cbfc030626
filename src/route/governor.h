/* Governor: what a request may do, and what it did. Between whoever asks providers (router, relay)
 * and policy, limiter and ledger: reserves before the first attempt, checks the scope before each
 * one, writes a row for each, and settles when all have ended. One per loop. */
#pragma once

#include "account/policy.h"
#include "route/flow.h"
#include "route/ledger.h"
#include "route/limiter.h"

struct governor;

struct governor_options {
    struct loop *loop;       /* whose time it is */
    struct account *account; /* NULL: nobody has a policy */
    struct limiter *limiter; /* the program's; NULL: no limits */
    struct ledger *ledger;   /* the loop's; NULL: no rows */
    struct log *log;
};

/* Who asks, from where, for what. */
struct governor_origin {
    struct policy *policy;  /* a reference is taken; NULL: Parley itself, which nothing limits */
    struct str address;     /* of the caller; empty: none */
    struct str door;        /* of policy_doors */
    const struct str *tags; /* "user:NAME", "KEY:VALUE"; at most LEDGER_TAGS_MAX count */
    size_t tag_count;
    struct str request_id;
};

/* What is about to be asked. Borrowed during governor_open, as is the origin. */
struct governor_ask {
    const struct governor_origin *origin;
    struct str model;        /* as it was asked for; empty: none (handing through) */
    const struct str *chain; /* further names */
    size_t chain_count;
    int64_t input_tokens;  /* estimated */
    int64_t output_tokens; /* at most, as asked for; 0: not said */
    bool is_own; /* about something that is the caller's: no scope of models counts any more */
    bool is_streamed;
    bool is_batch; /* its lines cost the batch price */
    bool is_free;  /* nothing is reserved: no limit counts it */
};

struct charge; /* of one request */

struct governor *governor_new(const struct governor_options *options);
void governor_free(struct governor *governor);

/* Reserves what the dearest costs, and takes out of `plan` (NULL: none) what the scope does not allow
 * or no budget pays, each by its own price: its lists are then copied into `arena`, in which the charge
 * is too, and charge_is_narrowed. ERR_FORBIDDEN, ERR_RATE_LIMITED, ERR_QUOTA_EXHAUSTED (a budget) with
 * retry_after_ms, or ERR_UNAUTHENTICATED: *ret_error is filled, a row says REFUSED, and *ret_charge is
 * set all the same, for its view: close it. */
MUST_USE enum err governor_open(struct governor *governor, const struct governor_ask *ask,
                                struct arena *arena, struct route_plan *plan,
                                struct charge **ret_charge, struct llm_error *ret_error);
/* All attempts have ended: settles. NULL is allowed. Before the targets and the arena go. */
void governor_close(struct charge *charge);

/* ---- Attempts -------------------------------------------------------------------------------- */
/* Whether it may still be made: keys are revoked and scopes narrowed while requests go on. */
MUST_USE enum err governor_check(struct charge *charge, const struct target *target,
                                 struct llm_error *ret_error);
/* It begins, in a slot of FLOW_SLOTS. */
void governor_begin(struct charge *charge, int slot, const struct target *target, int number,
                    enum route_mode mode, bool is_hedge);
/* The provider has seen it. */
void governor_reached(struct charge *charge, int slot, int http_status);
/* It has ended. Without a governor_begin (it could not be started): only a row. */
void governor_end(struct charge *charge, int slot, const struct flow_row *row);
/* A row for an answer without an attempt: LEDGER_CACHED, LEDGER_SHARED. */
void governor_note(struct charge *charge, enum ledger_outcome outcome, struct str target,
                   uint64_t duration_us);
/* Names of what the caller's form could not carry of the answer, for the row of the last attempt.
 * Copied. */
void governor_lost(struct charge *charge, struct str names);

/* ---- What was used already -------------------------------------------------------------------- */
/* A line of a batch that a provider has run: a row, and its tokens and money count for all periods;
 * nothing is refused, and what holds for a minute is not touched. */
void governor_record(struct governor *governor, const struct governor_ask *ask,
                     const struct flow_row *row);

/* ---- Asking ---------------------------------------------------------------------------------- */
/* NULL: none. */
const struct policy *charge_policy(const struct charge *charge);
/* Whether something was taken out of the plan: who asks for the same may get another answer. */
bool charge_is_narrowed(const struct charge *charge);
/* What is left, for headers. */
const struct limiter_view *charge_view(const struct charge *charge);
