/* Call: one attempt at one provider, over HTTP or inside the process. It encodes, signs, sends,
 * decodes to canonical events, and watches content: first-content and content-idle timers run here,
 * above bytes, because pings and comments are not content. No retry: that is route's. */
#pragma once

#include "llm/limits.h"
#include "llm/provider.h"
#include "net/http_client.h"

struct llm_call;
struct passthrough_members; /* see passthrough.h */

/* Milliseconds; 0: the provider's own. */
struct llm_timeouts {
    uint64_t connect_ms;
    uint64_t headers_ms;
    uint64_t first_content_ms;
    uint64_t content_idle_ms;
    uint64_t final_ms; /* how long a complete answer waits for the end of its stream [1 s] */
};

struct llm_call_request {
    struct provider *provider;         /* a reference is taken */
    const struct llm_request *request; /* only read during llm_call_start */
    struct str model;                  /* as the provider names it; borrowed likewise */
    /* When not STR_NONE: the body to send instead of encoding `request`, unchanged but for its
     * model (same dialect in and out). Only read during llm_call_start. */
    struct str raw_body;
    const struct passthrough_members *raw_members; /* of raw_body; NULL: not known. Likewise */
    const char *raw_path; /* where it goes, when not to the kind's own path; lives for ever */
    const struct http_headers *raw_headers; /* that came with it; NULL: none. Likewise */
    struct llm_losses *losses;              /* what encoding lost is noted here; may be NULL */
    bool strict;       /* a loss is an error (ERR_INVALID), and nothing is sent; needs `losses` */
    bool marks_prompt; /* so that a provider which must be told keeps it: the body's only edit
                               beside its model, where it is sent as it is */
    size_t body_bytes_hint; /* about how large the body will be; 0: unknown */
    struct llm_timeouts timeouts;
};

/* What the head of a provider's answer says beside the answer. */
struct llm_call_head {
    int status;
    uint64_t connect_ms; /* 0 when a kept connection was used */
    struct llm_limits limits;
};

/* What the caller hears: START, ..., FINISH or ERROR, then END, as in llm_event_kind; END is the
 * terminal event. */
struct llm_call_events {
    void (*on_event)(void *user, const struct llm_event *event);
    /* Only with raw_body, and only for 2xx answers: the answer's bytes as they came. Of a stream in
     * whole frames, without those that were not understood or say an error; a frame's bytes may
     * come after its content events, but come before FINISH and END. Empty `bytes`: no more come,
     * and the events that follow had none (the stream lacked its own end). A whole answer comes at
     * once, before its events. `content_type` is the provider's. May be NULL. */
    void (*on_raw)(void *user, struct str content_type, struct str bytes);
    /* The head of an answer has come. May be NULL. */
    void (*on_head)(void *user, const struct llm_call_head *head);
};

/* Starts one. The contract of every start: a failing one calls nothing (ERR_INVALID: the request
 * cannot be encoded for this provider), a good one calls nothing before it returns. */
MUST_USE enum err llm_call_start(struct http_client *client, struct loop *loop,
                                 const struct llm_call_request *request,
                                 const struct llm_call_events *events, void *user,
                                 struct llm_call **ret_call, struct error *error);
/* Ends it; nothing is heard after it returns; the provider is told by closing the connection.
 * ret_usage (may be NULL): what was known of the usage. Allowed inside callbacks. */
void llm_call_cancel(struct llm_call *call, struct llm_usage *ret_usage);
/* Back-pressure for stateless doors whose only reader is slow: no more is read, and the timers of
 * silence stand still. From inside a callback, events of bytes that had come already still follow.
 */
void llm_call_pause(struct llm_call *call);
void llm_call_resume(struct llm_call *call);

/* ---- Asking what a provider offers ----------------------------------------------------------- */
struct llm_listing;
/* Lists the models, which also checks address and key. For the built-in provider and for those that
 * cannot list: the configured names. `done` comes once: code, the provider's error when it is not
 * ERR_OK, and the models, valid during the call. */
typedef void llm_listing_done_fn(void *user, enum err code, const struct llm_error *error,
                                 const struct llm_model_info *models, size_t count);
MUST_USE enum err llm_listing_start(struct http_client *client, struct loop *loop,
                                    struct provider *provider, llm_listing_done_fn *done,
                                    void *user, struct llm_listing **ret_listing,
                                    struct error *error);
void llm_listing_cancel(struct llm_listing *listing);
