/* Parts: one text that stands in several places, looked at without putting it together. Pure. */
#pragma once

#include "base/str.h"

/* Views, borrowed. Parts may be empty. */
struct parts {
    const struct str *items;
    size_t count;
};

/* Bytes of all together. */
size_t parts_len(struct parts parts);
/* How many bytes they have in common with a text, at the beginnings and at the ends. */
size_t parts_shared_prefix(struct parts parts, struct str text);
size_t parts_shared_suffix(struct parts parts, struct str text);
/* Whether `text` stands at that place. */
bool parts_have(struct parts parts, size_t at, struct str text);
/* Copies `len` bytes from `from` on to `to`, which has room for them; all of them must be there. */
void parts_copy(struct parts parts, size_t from, size_t len, char *to);
