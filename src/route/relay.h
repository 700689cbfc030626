/* Relay: one HTTP request handed to a provider that is no chat: embeddings, images, audio, files, or
 * anything under /p/. It has the same breaker, pace, limits and rows as a chat; the answer's bytes
 * come as they are. Of several targets the next is asked when one fails before the head of its
 * answer, by the rules of attribution. One per loop: the router's. */
#pragma once

#include "net/http_client.h"
#include "route/governor.h"
#include "route/router.h"

struct relay; /* a call; dead after on_end */

/* What one attempt sends. Filled by relay_request.prepare, with zeroed defaults. */
struct relay_attempt {
    const struct target *target; /* NULL: the provider as a whole */
    const struct provider *provider;
    enum http_method method;
    struct str path; /* and query, behind the provider's base URL */
    struct str body;
    struct str content_type;            /* empty: none */
    const struct http_headers *headers; /* more of them; NULL: none. Never credentials: the relay
                                           signs */
};

struct relay_request {
    const struct governor_origin *origin;
    /* Who may be asked, in this order: a model's name as in catalog_plan; or, without one, the
     * provider of that name as a whole. */
    struct str model;
    struct str provider;
    int64_t input_tokens;    /* estimated; 0: unknown */
    uint64_t body_bytes_max; /* of an answer; 0: 64 MiB */
    bool is_retried;         /* it may be sent to another target, or again, when it failed */
    /* Makes what is sent to this target, in `scratch`, kept until on_sent or the next attempt. An
     * error (the target's form cannot say it) goes on to the next target. */
    enum err (*prepare)(void *user, struct arena *scratch, struct relay_attempt *attempt,
                        struct error *error);
    /* What an answer with a 2xx status used, from its whole body (NULL: nothing is read, and of
     * streams nothing is kept). `body` is at most 1 MiB, else it is not called. */
    void (*usage_of)(void *user, const struct relay_attempt *attempt, struct str body,
                     struct llm_usage *ret_usage);
};

struct relay_events {
    /* The head of the answer that is handed on, valid during the call. Then bytes, then on_end. */
    void (*on_head)(void *user, const struct relay_attempt *attempt, int status,
                    const struct http_headers *headers);
    void (*on_body)(void *user, struct str bytes);
    /* Once, last. `error`: nobody answered (then there was no on_head), or the answer broke off. */
    void (*on_end)(void *user, const struct llm_error *error);
};

/* The contract of every start. Errors: those of catalog_plan, and ERR_NOT_FOUND for a provider that
 * is not configured. A refusal by limits comes by on_end. */
MUST_USE enum err relay_start(struct router *router, const struct relay_request *request,
                              const struct relay_events *events, void *user,
                              struct relay **ret_relay, struct error *error);
/* Nothing is heard after it returns. */
void relay_cancel(struct relay *relay);
void relay_pause(struct relay *relay);
void relay_resume(struct relay *relay);
/* For the headers of limits. */
const struct limiter_view *relay_view(const struct relay *relay);
