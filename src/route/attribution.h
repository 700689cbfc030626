/* Attribution: whose fault a failure is, and what follows from it. Every failure gets its class
 * before anything counts it. Pure. */
#pragma once

#include <stdbool.h>

#include "llm/response.h"

struct attribution {
    bool retries;  /* the same target may be asked again, after a wait */
    bool leaves;   /* the target is out for this request; another may be asked */
    bool counts;   /* it is the target's fault: the breaker hears of it */
    bool benches;  /* it will not pass by itself: the target is taken out for long */
    bool enlarges; /* only a target with a larger context can help */
    bool is_stale; /* a kept connection was dead: the same again, at once */
};
/* All false: the caller's own fault, or final for another reason: the caller hears it at once. */

struct attribution attribution_of(const struct llm_error *error);
