/* Batch call: one line of a batch asked of the router, whole, its answer in the line's dialect. For
 * the chat floor only. */
#pragma once

#include "chat/batch_result.h"
#include "route/governor.h"
#include "route/router.h"

struct batch_call;

struct batch_call_request {
    const struct batch_endpoint *endpoint; /* lives for ever */
    const struct batch_line *line;         /* one that is right; must live until the end */
    struct str name;                       /* for ids: unique to this line; copied */
    struct str tenant;                     /* who asks; borrowed during the start */
    struct policy *policy;                 /* of who asks; a reference is taken */
    struct str address;                    /* that it was made from; borrowed during the start */
};

/* `done` comes once, and the call is gone after it; what the answer shows is valid during it. */
typedef void batch_call_done_fn(void *user, const struct batch_answer *answer);

/* The contract of every start: an error (the line cannot be read in its dialect, there is no such
 * model) calls nothing. */
MUST_USE enum err batch_call_start(struct router *router, const struct batch_call_request *request,
                                   batch_call_done_fn *done, void *user,
                                   struct batch_call **ret_call, struct error *error);
/* Nothing is heard after it returns. */
void batch_call_cancel(struct batch_call *call);
