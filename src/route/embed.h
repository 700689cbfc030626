/* Embed: one request for vectors, asked of any provider that makes some, for doors and for lines of
 * batches. It belongs to a loop's router. */
#pragma once

#include "base/buf.h"
#include "llm/embedding.h"
#include "route/catalog.h"
#include "route/governor.h"
#include "route/memo.h"
#include "route/router.h"

struct embed; /* a call; dead after `done` */

struct embed_request {
    const struct governor_origin *origin;  /* borrowed during the start */
    const struct embedding_codec *form;    /* of `body` and of the answer */
    const struct embedding_request *asked; /* what `body` says, of at least one input */
    struct str body;                       /* both must live until the end */
    const struct str *chain;               /* of further models, borrowed during the start */
    size_t chain_count;
    bool strict; /* what cannot be carried is an error */
    enum cell_priority priority;
    /* Vectors are looked up and kept for `keep_seconds`, for whoever `keeper` names, which lives
     * until the end. NULL or 0: they are not. */
    struct memo *memo;
    struct str keeper;
    uint64_t keep_seconds;
};

enum embed_kept { EMBED_UNKEPT, EMBED_MISS, EMBED_PARTIAL, EMBED_HIT };

struct embed_result {
    const struct llm_error *error; /* not NULL: there is no answer, and this is why */
    struct buf *body;              /* the answer, in the form of who asked; may be swapped out */
    struct str target;             /* id of the newest one; empty: none */
    int attempts;
    struct str dropped; /* names of what that target's form could not carry */
    enum embed_kept kept;
    const struct limiter_view *limits; /* NULL: there are none */
};
/* Once; what the result shows is valid during it. */
typedef void embed_done_fn(void *user, const struct embed_result *result);

/* The contract of every start; errors: those of relay_start, but for a model that makes no vectors,
 * which is ERR_INVALID and names those providers that do. */
MUST_USE enum err embed_start(struct router *router, const struct embed_request *request,
                              embed_done_fn *done, void *user, struct embed **ret_embed,
                              struct error *error);
/* Nothing is heard after it returns. Not inside `done`. */
void embed_cancel(struct embed *embed);
