/* The shape of a streamed frame: what stands before and behind its text.
 *
 * Most frames of an answer differ from the one before in their text alone, and parsing their JSON
 * again says nothing new. Once two frames in a row of one shape have each given one TEXT and
 * nothing else, the frames of that shape that follow are not parsed: their text is cut out. */
#pragma once

#include "llm/dialect.h"

/* Of one stream. Begin with frame_shape_init; release with frame_shape_done. */
struct frame_shape {
    struct buf bytes; /* the frame's type, what is before the text, what is behind it */
    size_t type_len, before_len;
    unsigned frames;       /* in a row that had it: from FRAME_SHAPE_SURE on it is relied on */
    unsigned disappointed; /* how often in a row a shape was kept and no text cut out of it */
    int index;             /* of the TEXT events */
};
/* Below, frames are read by the decoder. One would not do: what says its text once and never again
 * (a whole item of Responses, the start of a block of Anthropic) looks the same the first time. */
enum { FRAME_SHAPE_SURE = 2 };

void frame_shape_init(struct frame_shape *shape);
void frame_shape_done(struct frame_shape *shape);

/* Does what dialect->decode_frame does, with the same events. Every frame of the stream must come
 * this way. Neither `shape` nor `decoder` may be freed by `emit`. */
void frame_shape_decode(struct frame_shape *shape, const struct dialect *dialect,
                        struct dialect_decoder *decoder, struct arena *scratch, struct str type,
                        struct str data, llm_emit_fn *emit, void *user);
