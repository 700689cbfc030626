/* Estimate: how many tokens a text has, without any model's vocabulary: good to some 15 % for prose
 * and code, which is enough for pacing, picking and for usage that a provider did not give. Pure,
 * any thread. */
#pragma once

#include <stdint.h>

#include "base/str.h"
#include "llm/request.h"

enum { LLM_ESTIMATE_PARTS = 1024 };

/* A running count, for streams: the pieces of a text add up to exactly what the whole gives.
 * Zeroed is empty. */
struct llm_estimate {
    int64_t parts;    /* LLM_ESTIMATE_PARTS to a token */
    uint8_t previous; /* the kind of the last byte */
};
void llm_estimate_add(struct llm_estimate *estimate, struct str text);
/* The same for a text that may be long: of a long one only samples are looked at. */
void llm_estimate_add_long(struct llm_estimate *estimate, struct str text);
/* Tokens, rounded up. */
int64_t llm_estimate_tokens(const struct llm_estimate *estimate);
int64_t llm_estimate_text(struct str text);
/* The whole input: messages with their overhead, tools, schemas; images and documents by a fixed
 * allowance or their size. */
int64_t llm_estimate_request(const struct llm_request *request);
