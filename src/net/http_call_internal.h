/* What http_call.c (life) and http_call_drain.c (the end that nobody waits for) share. For these two
 * only. */
#pragma once

#include "net/http_call.h"
#include "net/http_response.h"

#define HTTP_CALL_NEVER UINT64_MAX

enum call_state { CALL_CONNECTING, CALL_WAITING, CALL_BODY, CALL_ENDED };

struct http_call {
    struct list link; /* among those that drain */
    struct http_client *client;
    struct stock *stock; /* the loop's, which outlives the client */
    struct http_origin *origin;
    struct http_call_events events;
    void *user;
    enum call_state state;
    int depth; /* frames that may call the owner */
    struct connector *connector;
    struct http_upstream *upstream;
    struct http_response response;
    struct http_call_timing timing;
    uint64_t connect_started_ms;
    struct str body;
    size_t body_written;
    uint64_t connect_timeout_ms, headers_timeout_ms, total_timeout_ms;
    uint64_t headers_due_ms, total_due_ms; /* HTTP_CALL_NEVER */
    struct loop_timer timer;               /* for the earlier of the two, or earlier still */
    struct loop_task resume_task;
    struct list gathered; /* in client.gathered, while the request waits to leave with others */
    struct buf held;
    bool answered; /* a byte of the answer has come */
    bool paused;
    bool holding; /* the stream is paused, `held` and the end below wait */
    bool stream_paused;
    bool whole; /* the response is whole, on_done waits for resume */
    bool peer_ended;
    bool never_replays;
    char lost[96];     /* how the stream died while holding, or "" */
    struct str head;   /* of the request, while that may still be written */
    size_t head_bytes; /* of the stock's, that hold it; 0: it is the client's scratch */
    size_t own_bytes;  /* of the call */
};

/* Notes whether the kernel has all of the request. */
void http_call_note_sent(struct http_call *call);
