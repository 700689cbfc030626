/* Attribution: one table from the class of a failure to what follows. */
#include "route/attribution.h"

#include <string.h>

static const struct attribution by_class[ERR_COUNT] = {
    [ERR_RATE_LIMITED] = {.retries = true, .counts = true},
    [ERR_OVERLOADED] = {.retries = true, .counts = true},
    [ERR_SERVER] = {.retries = true, .counts = true},
    [ERR_NETWORK] = {.retries = true, .counts = true},
    [ERR_TIMEOUT] = {.retries = true, .counts = true},
    [ERR_AUTHENTICATION] = {.leaves = true, .benches = true},
    [ERR_QUOTA_EXHAUSTED] = {.leaves = true, .benches = true},
    [ERR_PERMISSION] = {.leaves = true},
    [ERR_MODEL_NOT_FOUND] = {.leaves = true},
    [ERR_CONTEXT_LENGTH] = {.leaves = true, .enlarges = true},
};

/* A timer of ours that fired in silence: a silent provider is left, not asked again. A connection
 * that took too long, or a gateway that says 504, may be. */
static bool is_silence(const struct llm_error *error)
{
    return error->class == ERR_TIMEOUT && error->http_status == 0 &&
           strcmp(error->code, "connect") != 0;
}

/* Before any byte of the answer, and no word about how the target is. */
static bool is_stale(const struct llm_error *error)
{
    return error->class == ERR_NETWORK && strcmp(error->code, "reused") == 0;
}

struct attribution attribution_of(const struct llm_error *error)
{
    if ((unsigned)error->class >= ERR_COUNT)
        return (struct attribution){0};
    struct attribution attribution = by_class[error->class];
    if (is_silence(error)) {
        attribution.retries = false;
        attribution.leaves = true;
    }
    if (is_stale(error)) {
        attribution.counts = false;
        attribution.is_stale = true;
    }
    return attribution;
}
