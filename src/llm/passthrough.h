/* Pass-through: the caller's own bytes for a provider of the same dialect. Pure. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"

/* A top-level member that has to do with passing through, and where it stands in its body. */
struct passthrough_member {
    enum passthrough_name {
        PASSTHROUGH_OTHER,
        PASSTHROUGH_MODEL,
        PASSTHROUGH_OWN, /* "models", "fallbacks": they are for Parley */
        PASSTHROUGH_FLAG /* "stream", "stream_options": how the answer is brought */
    } name;
    size_t index; /* among all members of the body */
    size_t start; /* behind the brace or comma in front of it */
    size_t end;   /* at the comma or brace behind it */
    size_t from;  /* the value's span */
    size_t to;
};

/* Those of a body, in their order, however often and however written; and how many there are with
 * all others. */
struct passthrough_members {
    const struct passthrough_member *items;
    size_t count;
    size_t total;
};

/* Finds them in a body that was read already: `root` and `copy` are what json_read_placed gave for
 * it. What is found is in `arena`. None when the body is no object. */
void passthrough_find(struct arena *arena, struct str body, yyjson_val *root, const char *copy,
                      struct passthrough_members *ret);

/* Appends `body` (valid JSON, an object) to `out` with the value of its top-level member "model"
 * replaced by `model`, or that member added, and without its top-level members "models" and
 * "fallbacks", which are for Parley; every other byte stays as it was. A body that names
 * the member more than once gets all of them replaced: nobody can tell which one a provider reads.
 * With `model` STR_NONE the body's model is left alone. `members`: of the body; NULL: they are looked
 * for. */
void passthrough_with_model(struct str body, const struct passthrough_members *members,
                            struct str model, struct buf *out);
/* The same of the object that is the top-level member of that name (plain ASCII), or of each one in the
 * list that is; of the whole body only "models" and "fallbacks" go. */
void passthrough_with_model_in(struct str body, struct str member_name, struct str model,
                               struct buf *out);

/* A span that is not there. */
struct passthrough_cut {
    size_t from; /* what goes, with its comma */
    size_t to;
    size_t start; /* the member, without it */
    size_t end;
};
enum { PASSTHROUGH_CUTS_MAX = 4 };
/* Which spans `body` loses by going without its flags; every other byte stays. ret_cuts: room for
 * PASSTHROUGH_CUTS_MAX. Returns how many; PASSTHROUGH_CUTS_MAX + 1: there are more. */
size_t passthrough_cuts(struct str body, const struct passthrough_members *members,
                        struct passthrough_cut *ret_cuts);
