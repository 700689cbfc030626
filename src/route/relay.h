/* Relay: one HTTP request handed to a provider that is no chat: embeddings, images, audio, files, or
 * anything under /p/. It has the same breaker, pace, limits and rows as a chat; the answer's bytes
 * come as they are. Of several targets the next is asked when one fails before the head of its
 * answer, by the rules of attribution. It belongs to a loop's router. */
#pragma once

#include "net/http_client.h"
#include "route/governor.h"
#include "route/router.h"

struct relay; /* a call; dead after on_end */

/* What one attempt sends. Filled by relay_request.prepare, with zeroed defaults but for target and
 * provider. */
struct relay_attempt {
    const struct target
        *target; /* of a provider as a whole: its name, a slash and a star. Not NULL */
    const struct provider *provider;
    enum http_method method;
    struct str path; /* and query, behind the provider's base URL. A path that would leave it
                        (url_path_is_contained) is ERR_INVALID */
    struct str body;
    struct str content_type;            /* empty: none */
    const struct http_headers *headers; /* the caller's, of which what is safe goes on
                                           (relay_headers.h); NULL: none. The relay signs */
    bool is_answered; /* by something kept: nothing is sent, a row says LEDGER_CACHED, and on_end
                         comes without on_head */
};

struct relay_request {
    const struct governor_origin *origin; /* borrowed during the start */
    /* Who may be asked, in this order: a model's name as in catalog_plan; or, with `provider`, that
     * one alone: for the model that it calls `model`, or (empty) as a whole, for which only a scope
     * that allows everything of it is enough. */
    struct str model;
    const struct str *chain; /* further names, asked after it; borrowed during the start */
    size_t chain_count;
    struct str provider;
    enum cell_priority priority;
    /* For a provider as a whole: the model by whose price its answers count, if it has one; says
     * nothing of the scope. Empty: no price is known. */
    struct str priced_as;
    int64_t input_tokens;    /* estimated; 0: unknown */
    int64_t output_tokens;   /* at most, as asked for; 0: not said */
    uint64_t body_bytes_max; /* of an answer; 0: 64 MiB */
    bool is_own;     /* it is about something that this caller made there, as governor_ask's */
    bool is_retried; /* it may be sent to another target, or again, when it failed */
    /* It costs nothing, and how it goes says nothing of how the target answers other requests: limits
     * and budgets do not count it; breaker, bench, pace and times do not hear of it. Each target is
     * asked once, the next one whatever the failure was. */
    bool is_aside;
    /* Which targets can do it at all; the others are left out. When none is left (ERR_UNSUPPORTED) is
     * told in on_end, as limits are. NULL: all. */
    bool (*may_ask)(void *user, const struct target *target);
    /* Makes what is sent to this target, in `scratch`. What it gives is kept until it has been sent,
     * or the next attempt. An error (the target's form cannot say it) goes on to the next target.
     * Called for each attempt, never during relay_start. */
    enum err (*prepare)(void *user, struct arena *scratch, struct relay_attempt *attempt,
                        struct error *error);
    /* What an answer with a 2xx status used. `body`: the whole of it; STR_NONE when it was larger
     * than 1 MiB, or a stream (SSE, NDJSON): for who has read along. Called before on_end, and
     * during a relay_cancel of an answer that had begun (with STR_NONE). NULL: nothing is kept.
     * *ret_usage is LLM_USAGE_UNKNOWN before. */
    void (*usage_of)(void *user, const struct relay_attempt *attempt, struct str body,
                     struct llm_usage *ret_usage);
};

/* Of `attempt` only target, provider and method are to be read here. */
struct relay_events {
    /* The head of the answer that is handed on, valid during the call. Then bytes, then on_end. Of
     * the provider's headers what is safe (relay_headers.h); a Location is what stands behind the
     * provider's base URL. An error of the provider is handed on like this too, at most 64 KiB of
     * it, with what looks like a credential masked, when no other target can be asked. */
    void (*on_head)(void *user, const struct relay_attempt *attempt, int status,
                    const struct http_headers *headers);
    void (*on_body)(void *user, struct str bytes);
    /* Once, last. `error`: nobody answered (then there was no on_head), or the answer broke off.
     * NULL without on_head: prepare said is_answered. */
    void (*on_end)(void *user, const struct llm_error *error);
};

/* The contract of every start. Errors: those of catalog_plan, ERR_NOT_FOUND for a provider that
 * is not configured, ERR_UNAVAILABLE for one that is not usable, ERR_UNSUPPORTED for the built-in
 * one. A refusal by limits comes by on_end. */
MUST_USE enum err relay_start(struct router *router, const struct relay_request *request,
                              const struct relay_events *events, void *user,
                              struct relay **ret_relay, struct error *error);
/* Nothing is heard after it returns. Allowed inside callbacks. */
void relay_cancel(struct relay *relay);
void relay_pause(struct relay *relay);
void relay_resume(struct relay *relay);
/* For the headers of limits; NULL: there are none. Until on_end has returned. */
const struct limiter_view *relay_view(const struct relay *relay);
/* How many attempts there were so far. */
int relay_attempts(const struct relay *relay);
