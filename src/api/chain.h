/* Chain: a request's own fallbacks, the same in every provider-compatible door: "models" and
 * "fallbacks", arrays of models' or routes' names beside "model". */
#pragma once

#include "base/json.h"

struct api_chain {
    struct str *names; /* tried after the request's model, in this order */
    size_t count;
    size_t count_max;
};

/* Reads both from a request's body: first "models", then "fallbacks". Without a model of its own
 * the request's is the first of "models". Strings are views of the values. ERR_INVALID names what
 * is no array of names, or too long. */
MUST_USE enum err api_chain_read(struct arena *arena, yyjson_val *root, struct str *model,
                                 struct api_chain *ret_chain, struct error *error);
/* How many of these names stay, in their order, when those two are taken out of them: they are no
 * provider's. */
size_t api_chain_unmapped(struct str *unmapped, size_t count);

/* ---- Name by name, for what is no JSON ------------------------------------------------------- */
/* "models" and "fallbacks", in the order in which they are read. */
enum { API_CHAIN_MEMBERS = 2 };
extern const char *const api_chain_members[API_CHAIN_MEMBERS];
/* Room for the chain behind `model`, which may be empty. */
void api_chain_begin(struct arena *arena, struct str model, struct api_chain *ret_chain);
/* ERR_INVALID as above; `member` is which of the two it is. */
MUST_USE enum err api_chain_add(struct api_chain *chain, const char *member, struct str name,
                                struct error *error);
/* An empty model becomes the first of the chain. ERR_INVALID: there is none. */
MUST_USE enum err api_chain_end(struct api_chain *chain, struct str *model, struct error *error);
