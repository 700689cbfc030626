/* Request log: what a key that keeps its bodies asks and hears, for debugging, until its lifetime is
 * over. Off unless the key says so. Bodies only: no headers, so no credentials. */
#pragma once

#include "api/request.h"

enum {
    REQUEST_LOG_BODY_BYTES_MAX = 256 * 1024,      /* of each body; the rest is cut */
    REQUEST_LOG_KEY_BYTES_MAX = 256 * 1024 * 1024 /* of a key's: the oldest go */
};

struct request_log;
/* Of one loop. `bytes_max` [64 MiB]: of what waits for the database; what comes beyond is dropped,
 * counted, and said once in the log. Metrics and log are borrowed, and outlive the store's closing. */
struct request_log *request_log_new(size_t bytes_max, struct metric_registry *metrics,
                                    struct log *log);
/* What waits is still stored. */
void request_log_free(struct request_log *owner);

/* Looks on, when the caller's policy wants it, until the exchange ends; then stores what it saw. */
void request_log_begin(struct api_request *request);
