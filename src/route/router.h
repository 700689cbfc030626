/* Router: takes a canonical request to a target and brings the answer back. One per loop. */
#pragma once

#include "base/metric.h"
#include "route/catalog.h"

struct router;
struct route_call;

struct router_options {
    struct loop *loop;
    struct http_client *client;
    struct registry *registry;
    struct metric_registry *metrics;
    struct log *log;
};

struct router *router_new(const struct router_options *options);
/* After all its calls have ended. */
void router_free(struct router *router);

struct route_request {
    const struct llm_request
        *request; /* borrowed until END or cancel; its model picks the target */
    /* The caller's own bytes and their dialect: forwarded unchanged but for the model when the
     * target speaks the same one. Borrowed likewise; STR_NONE when there are none. */
    struct str raw_body;
    const struct dialect *raw_dialect;
    struct str request_id; /* for the log */
};

struct route_events {
    /* As llm_call_events.on_event. */
    void (*on_event)(void *user, const struct llm_event *event);
    /* Only when the answer passes through unchanged: its bytes. May be NULL (then nothing does). */
    void (*on_raw)(void *user, struct str content_type, struct str bytes);
};

/* Who answers. */
struct route_target {
    struct str id; /* "provider/model" */
    struct str provider;
    bool passes_through;
};

/* Starts; the contract of every start. Errors: those of catalog_resolve, or the request cannot be
 * encoded for its target. */
MUST_USE enum err route_start(struct router *router, const struct route_request *request,
                              const struct route_events *events, void *user,
                              struct route_call **ret_call, struct error *error);
/* Nothing is heard after it returns; ret_usage may be NULL. Allowed inside callbacks. */
void route_cancel(struct route_call *call, struct llm_usage *ret_usage);
void route_pause(struct route_call *call);
void route_resume(struct route_call *call);
/* Valid until END. */
const struct route_target *route_target(const struct route_call *call);
/* What the encoding lost, for the x-parley-dropped header. Valid until END. */
const struct llm_losses *route_losses(const struct route_call *call);
