/* Simulation: the real flow, cells and joints through days that go wrong. A day is drawn from its
 * seed: targets, policy, callers, and what providers do when; it is played on a clock of its own,
 * and after every event what must always hold is checked. The same seed plays the same day. */
#pragma once

#include <stdio.h>

#include "route/flow.h"

/* What must always hold. */
enum invariant {
    INVARIANT_NONE,
    INVARIANT_ONE_END,     /* one terminal event per request */
    INVARIANT_ORDER,       /* START, content, FINISH or ERROR, END */
    INVARIANT_SILENCE,     /* nothing is heard and nothing begins after a cancel or END */
    INVARIANT_WHOLE,       /* a finished answer is a whole one: nothing lost, doubled, cut off */
    INVARIANT_TOOLS,       /* tool calls come from one attempt, all of them, once */
    INVARIANT_PARTIAL,     /* who goes on with an answer is given exactly what was shown */
    INVARIANT_USAGE,       /* a finished answer says its usage */
    INVARIANT_ATTEMPTS,    /* no more attempts than configured */
    INVARIANT_FITS,        /* only targets that can take the request are asked */
    INVARIANT_BREAKER,     /* an open target is not asked, but by the single probe */
    INVARIANT_BENCH,       /* a benched target is not asked */
    INVARIANT_RETRY_AFTER, /* nor is one that said when to come back, before that */
    INVARIANT_CONCURRENCY, /* not more calls at once than the target takes */
    INVARIANT_PACE,        /* not more requests a minute than it takes */
    INVARIANT_LEASES,      /* a cell counts exactly the calls that are under way */
    INVARIANT_LEDGER,      /* one row for every attempt begun, none else */
    INVARIANT_DEADLINE,    /* every admitted request ends by its deadline */
    INVARIANT_PROGRESS,    /* time goes on: nobody turns in a circle */
    INVARIANT_STARVED,     /* every target that is well gets its share, and its probe */
    INVARIANT_GIVEN_UP,    /* no request fails while somebody who could answer was not asked */
    INVARIANT_COUNT
};
const char *invariant_name(enum invariant invariant);

struct simulation_totals {
    uint64_t days;
    uint64_t requests;
    uint64_t attempts;
    uint64_t answered;
    uint64_t rescued; /* answered, after at least one attempt that failed */
    uint64_t cancelled;
    uint64_t refused; /* by flow_begin */
    uint64_t hedges;
    uint64_t events;
    uint64_t failed[ERR_COUNT];
    uint64_t recovered[ROUTE_CONTINUE + 1]; /* answers, by the rung that brought their end */
};

struct simulation_options {
    uint64_t seed;
    const struct flow_ops *ops; /* NULL: the simulation's own; planted bugs stand between */
    int plant;                  /* which of them; 0: none */
    FILE *trace;                /* what happens, line by line; NULL: nowhere */
    int trace_request;          /* only this one's lines; -1: all */
    bool is_fresh; /* memory of its own for every request, so that a sanitizer sees its end */
};

struct simulation_result {
    uint64_t hash; /* over all that happened */
    enum invariant broken;
    int request; /* in which it broke; -1: none in particular */
    uint64_t at_us;
    char message[256];
};

struct simulation;

struct simulation *simulation_new(void);
void simulation_free(struct simulation *simulation);
/* Plays a day, up to its end or until an invariant breaks: false. Totals add up. */
bool simulation_day(struct simulation *simulation, const struct simulation_options *options,
                    struct simulation_result *ret_result);
const struct simulation_totals *simulation_totals(const struct simulation *simulation);
