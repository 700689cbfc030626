/* What a call over HTTP and a call inside the process share; for llm/call*.c only. */
#pragma once

#include "llm/call.h"

/* The two ways a call can be made. */
struct llm_call_ops {
    /* The caller has heard END or has cancelled: free it, or let it end by itself. */
    void (*finish)(struct llm_call *call);
    void (*pause)(struct llm_call *call, bool paused);
};

struct llm_call {
    const struct llm_call_ops *ops;
    struct loop *loop;
    struct provider *provider;
    struct llm_call_events events;
    void *user;
    struct loop_timer silence; /* first content, then content idle */
    uint64_t first_content_timeout_ms;
    uint64_t content_idle_timeout_ms;
    uint64_t content_ms; /* when content last came, or the start */
    struct llm_usage usage;
    int emitting; /* depth of callbacks under way: freeing waits for 0 */
    bool has_content;
    bool paused;
    bool ended;  /* END was said, or it was cancelled */
    bool failed; /* ERROR was said */
    bool cancelled;
};

void llm_call_init(struct llm_call *call, struct loop *loop, const struct llm_call_request *request,
                   const struct llm_call_events *events, void *user);
/* Starts the first-content timer. */
void llm_call_watch(struct llm_call *call);
/* An llm_emit_fn whose user is the call. */
void llm_call_emit(void *user, const struct llm_event *event);
/* Says ERROR and END; the call is dead when it returns (unless callbacks are under way above). */
void llm_call_fail(struct llm_call *call, const struct llm_error *error);
/* To be called when a callback from below is about to return: frees the call if it has ended. */
void llm_call_settle(struct llm_call *call);

enum err llm_call_start_http(struct http_client *client, struct loop *loop,
                             const struct llm_call_request *request,
                             const struct llm_call_events *events, void *user,
                             struct llm_call **ret_call, struct error *error);
enum err llm_call_start_eliza(struct loop *loop, const struct llm_call_request *request,
                              const struct llm_call_events *events, void *user,
                              struct llm_call **ret_call, struct error *error);
