/* Answer reader: the events of an answer out of its bytes, which were a good one when they came:
 * those of a stream, or of a whole answer. Pure. */
#pragma once

#include "llm/frame_reader.h"
#include "llm/frame_shape.h"

/* Of one answer. */
struct answer_reader {
    const struct dialect *dialect;
    struct arena *arena;   /* the decoder's; NULL: of a whole answer */
    struct arena *scratch; /* of one frame, or of the answer */
    struct dialect_decoder *decoder;
    struct frame_reader frames;
    struct frame_shape shape;
    llm_emit_fn *emit;
    void *user;
};

/* `emit` hears all that llm_call would tell of these bytes; it must not release the reader, which is
 * done with answer_reader_done. */
void answer_reader_init(struct answer_reader *reader, const struct dialect *dialect,
                        bool is_streamed, llm_emit_fn *emit, void *user);
void answer_reader_done(struct answer_reader *reader);
/* The next bytes; a whole answer at once. Bytes that are no answer: ERROR and END. */
void answer_reader_feed(struct answer_reader *reader, struct str bytes);
/* No more come: END, if it was not told yet. */
void answer_reader_finish(struct answer_reader *reader);
