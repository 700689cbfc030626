/* Ask: one small question to a provider, whose answer is wanted as a whole: what the calls that ask for
 * vectors and counts have alike. Between them and the relay. Inside route only. */
#pragma once

#include "base/buf.h"
#include "route/relay.h"

enum { ASK_ANSWER_BYTES_MAX = 64 * 1024 * 1024, ASK_REQUEST_BYTES_MAX = 256 * 1024 * 1024 };

struct ask;
/* Once, last: `error` says why there is no answer, in the provider's own words or ours. NULL: body has
 * it, or (status 0) nothing was sent, for the asker's prepare said is_answered. */
typedef void ask_end_fn(struct ask *ask, const struct llm_error *error);

/* First member of the asker's own struct, which is in the arena and is what relay_request's callbacks
 * get as their user. */
struct ask {
    struct arena *arena;
    struct router *router;
    struct relay *relay;
    ask_end_fn *end;
    bool is_strict; /* what cannot be carried is an error */
    /* Of the newest attempt. */
    struct str target;       /* its id */
    struct str target_model; /* as the provider names it */
    const struct provider_kind *kind;
    struct str dropped; /* names of what was left out */
    /* Its answer. */
    int status;
    struct http_headers headers;
    struct buf body;
};

/* The arena is the ask's from now on. */
void ask_init(struct ask *ask, struct arena *arena, struct router *router, ask_end_fn *end);
/* Errors: those of relay_start. */
MUST_USE enum err ask_start(struct ask *ask, const struct relay_request *request,
                            struct error *error);
/* Frees all of it, and the asker with the arena; with ask_cancel, nothing is heard after that. */
void ask_free(struct ask *ask);
void ask_cancel(struct ask *ask);

/* ---- For the asker's prepare, in this order -------------------------------------------------- */
/* Notes whose turn it is. */
void ask_turn(struct ask *ask, const struct relay_attempt *attempt);
/* What it sends, and where: a POST of JSON. `body` is taken, whatever comes of it. */
MUST_USE enum err ask_send(struct ask *ask, struct arena *scratch, struct relay_attempt *attempt,
                           const char *path, struct buf *body, struct error *error);
/* Names of what its form cannot carry, which ERR_INVALID refuses to leave out when that is strict. */
MUST_USE enum err ask_drop(struct ask *ask, struct str names, struct error *error);
/* Whether an error is that. */
bool ask_is_strict_error(const struct llm_error *error);
