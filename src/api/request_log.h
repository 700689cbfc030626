/* Request log: what a key that keeps its bodies asks and hears, for debugging, until its lifetime is
 * over. Off unless the key says so. Bodies only: no headers, so no credentials. */
#pragma once

#include "api/request.h"

enum {
    REQUEST_LOG_BODY_BYTES_MAX = 256 * 1024,      /* of each body; the rest is cut */
    REQUEST_LOG_KEY_BYTES_MAX = 256 * 1024 * 1024 /* of a key's: the oldest go */
};

/* Looks on, when the caller's policy wants it, until the exchange ends; then stores what it saw. */
void request_log_begin(struct api_request *request);
