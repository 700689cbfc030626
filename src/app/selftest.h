/* Selftest: every fault of the list, played by the fake provider of the lab on 127.0.0.1, through
 * the real router with a given policy. Own loop, own providers; no data is touched and nobody else
 * is asked. */
#pragma once

#include "base/json.h"
#include "route/route.h"

/* What must become of a fault. */
enum selftest_expected {
    SELFTEST_RESCUED,   /* the whole answer, from whomever */
    SELFTEST_TOLERATED, /* the same; the piece that nobody could read may be missing */
    SELFTEST_TOLD,      /* the provider's error reaches the caller, and nobody else is asked */
    SELFTEST_FILTERED,  /* what was said before the filter, and that it was the filter */
    SELFTEST_RETURNS    /* rescued again and again, until the first target answers again */
};

/* A row of the list. */
struct selftest_fault {
    const char *name;
    const char *first;  /* a model of the lab (lab/README.md), first of the route's two targets */
    const char *second; /* the other one; NULL: one that is well */
    enum selftest_expected expected;
    bool streamed_only;
    bool second_is_anthropic; /* whose models are known to continue an answer; else as the first */
    bool is_late;             /* `first` ends with how late, which depends on the policy */
    enum route_mode rung; /* streamed, only a policy that goes so far can rescue it; WHOLE: any */
    const char *text;     /* the whole answer; NULL: what most say */
};
extern const struct selftest_fault selftest_faults[]; /* the end has name NULL */

enum { SELFTEST_DIALECTS = 4 };
/* "openai", ...: also the name of the provider's kind. */
extern const char *const selftest_dialects[SELFTEST_DIALECTS];

enum selftest_outcome {
    SELFTEST_NONE, /* it has not ended */
    SELFTEST_WHOLE,
    SELFTEST_TRUNCATED, /* not all of it, but it ended as if it were */
    SELFTEST_ERROR
};

/* What became of one fault on one dialect. */
struct selftest_result {
    const struct selftest_fault *fault;
    int dialect;
    bool is_streamed;
    bool passed;
    enum selftest_outcome outcome;
    enum err class; /* ERROR */
    int answered;   /* by the 1st or 2nd target; 0: nobody was asked */
    int attempts;
    int requests;     /* 1 but for RETURNS; the rest is of the last one */
    const char *rung; /* of the last joint; NULL: none */
    uint64_t ms;
    const char *complaint; /* NULL when passed */
};

struct selftest;

struct selftest_options {
    struct route_policy policy; /* its timeouts are all set */
    size_t at_once;
    uint64_t report_ms; /* how often progress is told, on standard error */
};

/* Errors: no port. */
MUST_USE enum err selftest_new(const struct selftest_options *options,
                               struct selftest **ret_selftest, struct error *error);
void selftest_free(struct selftest *selftest);
/* Plays all; returns when the last has ended. */
void selftest_run(struct selftest *selftest);
/* In the list's order: fault, streamed before whole, dialect. */
const struct selftest_result *selftest_results(const struct selftest *selftest, size_t *ret_count);

/* What is expected of a result, and whether it is so: sets passed and complaint. */
void selftest_judge(struct selftest_result *result, const struct route_policy *policy);
/* The whole text of a fault's answer. */
struct str selftest_text(const struct selftest_fault *fault);

/* A table for people; the same as JSON. `failed` of them did not pass. */
void selftest_print(const struct selftest_result *results, size_t count);
void selftest_write(const struct selftest_result *results, size_t count, struct json_writer *w);
