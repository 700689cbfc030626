/* Run reader: a run's log as server-sent events, for as long as its client, its credential and the run
 * last. For the api floor only. */
#pragma once

#include "api/request.h"

/* Answers the request with what the log has after number `after`, and goes on as more comes; takes
 * over a reference to the log. */
void run_reader_start(struct api_request *request, struct run_log *log, uint64_t after);
