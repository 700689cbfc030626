/* Count: one question of how many tokens a request has, asked of a provider that counts, for doors.
 * Where none does, or none answers, it is our own estimate. It belongs to a loop's router. */
#pragma once

#include "llm/counting.h"
#include "route/governor.h"
#include "route/memo.h"
#include "route/router.h"

struct count; /* a call; dead after `done` */

struct count_request {
    const struct governor_origin *origin; /* borrowed during the start */
    const struct counting_form *form;     /* of `body` */
    const struct llm_request *asked;      /* what `body` says, with its model */
    struct str body;                      /* both must live until the end */
    const struct http_headers *headers;   /* the caller's, likewise; NULL: none */
    const struct str *chain;              /* of further models, borrowed during the start */
    size_t chain_count;
    bool strict;         /* what cannot be carried is an error */
    uint64_t timeout_ms; /* for all of it: then it is the estimate; 0: 10 seconds */
    /* Counts are looked up and kept for `keep_seconds`, for whoever `keeper` names, which lives until
     * the end. NULL or 0: they are not. */
    struct memo *memo;
    struct str keeper;
    uint64_t keep_seconds;
};

enum count_source { COUNT_ESTIMATE, COUNT_PROVIDER, COUNT_CACHED };

struct count_result {
    const struct llm_error *error; /* not NULL: there is no answer, and this is why */
    int64_t tokens;
    enum count_source source;
    struct str target; /* whose count it is; empty: nobody's */
    int attempts;
    struct str dropped; /* names of what that target's form could not carry */
};
/* Once; what the result shows is valid during it. */
typedef void count_done_fn(void *user, const struct count_result *result);

/* The contract of every start; errors: those of relay_start. What a provider says against it is no
 * error, but gives the estimate; what is: a scope that does not allow the model, a key that is not
 * valid any more, and with `strict` what no target's form can carry. */
MUST_USE enum err count_start(struct router *router, const struct count_request *request,
                              count_done_fn *done, void *user, struct count **ret_count,
                              struct error *error);
/* Nothing is heard after it returns. Not inside `done`. */
void count_cancel(struct count *count);
