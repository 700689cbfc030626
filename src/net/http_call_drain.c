/* Draining: the owner of a call is gone, the answer has not ended. What is left of it is read for a
 * while, so that the connection can be used again. Beside http_call.c, with the diagram of a call. */
#include "net/http_call_internal.h"

static void ignore_headers(void *user, int status, const struct http_headers *headers)
{
    (void)user, (void)status, (void)headers;
}

static void ignore_body(void *user, struct str data)
{
    (void)user, (void)data;
}

static void ignore_done(void *user)
{
    (void)user;
}

static void ignore_error(void *user, const struct error *error)
{
    (void)user, (void)error;
}

static void on_drain_late(void *user)
{
    http_call_cancel(user);
}

void http_call_drain(struct http_call *call, uint64_t limit_ms)
{
    static const struct http_call_events ignore = {ignore_headers, ignore_body, ignore_done,
                                                   ignore_error, NULL};
    if (call->state == CALL_ENDED)
        return;
    http_call_note_sent(call);
    if (!call->answered || !call->timing.request_sent) {
        http_call_cancel(call); /* the body of the request would still be needed */
        return;
    }
    call->events = ignore;
    call->user = NULL;
    list_append(&call->client->draining, &call->link);
    loop_timer_set(call->client->loop, &call->timer, limit_ms, on_drain_late, call);
    http_call_resume(call);
}

void http_call_end_draining(struct http_client *client)
{
    LIST_EACH (&client->draining, link)
        http_call_cancel(LIST_ENTRY(link, struct http_call, link));
}
