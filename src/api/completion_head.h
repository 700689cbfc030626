/* The head of an answer through a door of a dialect: who answered, after how many attempts, from the
 * cache or not, what is left of the limits, and what was lost. For the api floor only. */
#pragma once

#include "api/request.h"
#include "route/router.h"

/* Before http_respond or http_respond_begin. `unmapped`: names of members that only a provider of the
 * caller's form understands. `has_failed`: before anything was answered. */
void completion_write_head(struct api_request *request, struct route_call *call,
                           struct str unmapped, bool has_failed);
