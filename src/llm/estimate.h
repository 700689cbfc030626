/* Estimate: how many tokens a text has, without any model's vocabulary: good to some 15 % for prose
 * and code, which is enough for pacing, picking and for usage that a provider did not give. Pure,
 * any thread. */
#pragma once

#include <stdint.h>

#include "base/str.h"
#include "llm/request.h"

/* A running count, for streams. Zeroed is empty. In sixteenths of a token, so that pieces of a text
 * add up to about what the whole gives. */
struct llm_estimate {
    int64_t sixteenths;
};
void llm_estimate_add(struct llm_estimate *estimate, struct str text);
/* Tokens, rounded up. */
int64_t llm_estimate_tokens(const struct llm_estimate *estimate);
int64_t llm_estimate_text(struct str text);
/* The whole input: messages with their overhead, tools, schemas; images and documents by a fixed
 * allowance or their size. */
int64_t llm_estimate_request(const struct llm_request *request);
