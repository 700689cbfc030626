/* Seam: how much of a second answer, which was asked to go on behind a first one, only repeats what
 * the first one said. Pure text, all of it valid UTF-8. The rules are on top of seam.c. */
#pragma once

#include <stdbool.h>

#include "base/str.h"

enum {
    SEAM_END_BYTES_MAX = 4096, /* longest end of a first answer that is recognised when it is
                                  repeated without the whole */
    SEAM_END_BYTES_MIN = 8,    /* shortest one, but for whole words and lines */
    SEAM_OVER_BYTES_MIN = 64   /* of a beginning that comes again, but for a whole answer */
};

/* A first answer, looked at once. Borrows it. */
struct seam_text {
    struct str sent;
    size_t start; /* of what is not white space; sent.len when there is nothing */
    size_t end;   /* of it */
    /* A code block that is still open: its number of backticks (0: none is), the language behind
     * them, and whether nothing but white space follows. */
    size_t fence_ticks;
    struct str fence_language;
    bool fence_is_fresh;
    size_t line_ticks; /* the last line is nothing but so many backticks; 0: it is not */
};
void seam_text_init(struct seam_text *text, struct str sent);

enum seam_verdict {
    SEAM_NONE,  /* for rules: not my case */
    SEAM_MORE,  /* more of the second answer must be seen */
    SEAM_OVER,  /* the same, and so far it has been the first answer once more */
    SEAM_FOUND, /* drop that much */
};

struct seam {
    enum seam_verdict verdict;
    size_t drop;    /* bytes of the second answer's beginning */
    size_t matched; /* bytes of the first answer that they repeat */
};

/* Judges how the second answer begins. A verdict of SEAM_FOUND stays the same whatever follows.
 * `is_all`: nothing more will be looked at; the verdict is SEAM_FOUND then, which drops nothing
 * when nothing is repeated. */
struct seam seam_find(const struct seam_text *text, struct str begun, bool is_all);
