/* Limits: what a provider says of its rate limits in the headers of an answer. Pure. Facts:
 * x-ratelimit-* (OpenAI and those compatible with it), anthropic-ratelimit-* (Anthropic). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "net/http.h"

/* One bucket of the provider's. -1: it did not say. */
struct llm_limit {
    int64_t limit;
    int64_t remaining;
    int64_t reset_ms; /* from now until it is full again */
};

struct llm_limits {
    struct llm_limit requests;
    struct llm_limit tokens;
};
#define LLM_LIMITS_UNKNOWN ((struct llm_limits){{-1, -1, -1}, {-1, -1, -1}})

/* Reads them. `wall_ms`: the time of now, for resets given as a date. False (and
 * LLM_LIMITS_UNKNOWN) when there are none; nonsense (negative, not a number, a reset of a day or
 * more) counts as not said. */
bool llm_limits_read(const struct http_headers *headers, int64_t wall_ms,
                     struct llm_limits *ret_limits);
