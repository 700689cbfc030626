/* Chain: a request's own fallbacks, the same in every provider-compatible door: "models" and
 * "fallbacks", arrays of models' or routes' names beside "model". */
#pragma once

#include "base/json.h"
#include "llm/request.h"

struct api_chain {
    struct str *names; /* tried after the request's model, in this order */
    size_t count;
};

/* Reads both from a request's body: first "models", then "fallbacks". Without a model of its own
 * the request's is the first of "models". Takes both names out of request->unmapped: they are no
 * provider's. Strings are views of the values. ERR_INVALID names what is no array of names, or too
 * long. */
MUST_USE enum err api_chain_read(struct arena *arena, yyjson_val *root, struct llm_request *request,
                                 struct api_chain *ret_chain, struct error *error);
