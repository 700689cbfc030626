/* Pass-through: the caller's own bytes for a provider of the same dialect. Pure. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

/* Appends `body` (valid JSON, an object) to `out` with the value of its top-level member "model"
 * replaced by `model`, or that member added, and without its top-level members "models" and
 * "fallbacks", which are for Parley; every other byte stays as it was. A body that names
 * the member more than once gets all of them replaced: nobody can tell which one a provider reads.
 With `model` STR_NONE the body's model is left alone.
 */
void passthrough_with_model(struct str body, struct str model, struct buf *out);

/* Appends `body` (valid JSON) to `out` without its top-level members of those names (plain ASCII),
 * however often and however written; every other byte stays as it was. What was taken out goes to
 * `ret_cut`, as it stood. False when the body is no object that can be cut: then both are of no use. */
bool passthrough_without(struct str body, const struct str *names, size_t count, struct buf *out,
                         struct buf *ret_cut);
/* The same in each object of the list that is the top-level member `list` (plain ASCII), and nowhere
 * else. */
void passthrough_with_model_in(struct str body, struct str list, struct str model, struct buf *out);
