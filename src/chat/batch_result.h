/* Batch result: one line of what a batch answers, in the form of its dialect. Pure. For the chat
 * floor only. */
#pragma once

#include "chat/batch_input.h"
#include "llm/response.h"

/* What came of a line. */
struct batch_answer {
    struct str body;               /* the answer, one JSON value without line feeds */
    const struct llm_error *error; /* not NULL: none, and this is why */
    struct str request_id;         /* ours */
    struct str dropped;            /* what the target's form could not carry, for people */
};

/* Each appends one line with its line feed; to `out` whether the batch lives on it or not. `name`: of
 * the batch, for ids. */
void batch_write_answer(struct buf *out, const struct batch_endpoint *endpoint, struct str name,
                        const struct batch_line *line, const struct batch_answer *answer);
/* What a provider's own batch said of it, a line of its results, with our names around it. */
void batch_write_handed(struct buf *out, const struct batch_endpoint *endpoint, struct str name,
                        const struct batch_line *line, yyjson_val *result);
/* A line that is wrong in itself. */
void batch_write_wrong(struct buf *out, const struct batch_endpoint *endpoint, struct str name,
                       const struct batch_line *line);
/* One that was never asked, or not to its end: the batch was cancelled, or expired. */
void batch_write_undone(struct buf *out, const struct batch_endpoint *endpoint, struct str name,
                        const struct batch_line *line, bool is_expired);
