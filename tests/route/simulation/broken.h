/* Broken: what a broken flow calls in place of the right function; see test_broken.c. */
#pragma once

#include "route/attribution.h"
#include "route/cell.h"
#include "route/join.h"

/* Nothing is a repetition. */
struct str broken_join_add(struct join *join, struct str piece);
/* Everything may be tried again. */
struct attribution broken_attribution_of(const struct llm_error *error);
/* The breaker never opens. */
void broken_cell_fail(struct cell_lease *lease, const struct breaker_policy *policy,
                      uint64_t now_us, int64_t tokens, enum err class, const char *message,
                      uint64_t retry_after_us, struct random *random);
