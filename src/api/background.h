/* Background: a request of the responses door whose answer is written whoever leaves. For the api floor
 * only. */
#pragma once

#include "api/request.h"
#include "chat/response_run.h"

/* Asks, and answers the request as soon as that is kept: with the queued object, or with the stream of
 * its events. Takes over the arenas of `ask` and fills in who owns it and how it is kept. On an error
 * nothing was answered. */
MUST_USE enum err background_start(struct api_request *request, struct response_ask *ask,
                                   struct error *error);

/* The answer of a kept response as it is to be shown now: one that is under way and that nobody writes
 * any more has failed. Into the arena; with a reference to the log of its run, while that is known,
 * or NULL. */
struct str background_shown(struct api_request *request, const struct store_response *response,
                            struct run_log **ret_log);
/* Cancels the response of this id, if it is written in the background now. */
void background_cancel(struct api_request *request, struct str id);
