/* Import: the configuration of a LiteLLM proxy as ours, and what of it has no equivalent here. Pure
 * but for the environment that it asks. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

struct import_environment {
    /* The value of a variable, or NULL. Asked for addresses only: keys are never read. */
    const char *(*get)(void *user, const char *name);
    void *user;
};

/* Appends our parley.yaml to `out`, and to `notes` a line for everything that is not in it or not the
 * same: the place in their file, why, and what to do. Neither ever holds a secret of theirs: where a
 * key is needed that no variable of ours brings, a placeholder stands. Errors: those of
 * yaml_tree_read, and ERR_INVALID when it is no such configuration. */
MUST_USE enum err import_litellm(struct str text, const struct import_environment *environment,
                                 struct buf *out, struct buf *notes, struct error *error);
