/* Join: puts a second answer behind the part of a first one that was shown already. Pure text;
 * `sent` and every piece are valid UTF-8 and end at a character's end. What is given never depends
 * on how the second answer was cut into pieces.
 *
 *   SPLICE    the second answer is a whole one: MATCHING --all of `sent` equalled--> PASSING
 *                                               MATCHING --a difference--> DIFFERS
 *   CONTINUE  it goes on behind `sent`, but may repeat some of it first:
 *             HOLDING (until it is clear what is repeated) --> PASSING
 *             HOLDING --JOIN_HELD_BYTES of `sent` came again from its start--> MATCHING
 *             MATCHING --all of `sent` equalled, or a difference--> PASSING
 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "route/seam.h"

/* What is held at most until it is clear what is repeated: a code block that is opened and written
 * again, say. Usually it is a few bytes, for a moment. What is passed on out of it comes together
 * with the piece that made it clear. */
enum { JOIN_HELD_BYTES = SEAM_END_BYTES_MAX };

enum join_state { JOIN_MATCHING, JOIN_HOLDING, JOIN_PASSING, JOIN_DIFFERS };

struct join {
    enum join_state state;
    bool is_splice;
    struct str sent; /* borrowed until PASSING or DIFFERS */
    size_t matched;  /* bytes of `sent` that came again, at a character's end: of its beginning, or
                        (CONTINUE) of its end */
    size_t dropped;  /* bytes of the second answer that were repetitions */
    struct seam_text text;
    struct buf held;
};

/* Begins; `is_splice`: the second answer is a whole one. Release with join_done (which a zeroed one
 * may have too). */
void join_init(struct join *join, struct str sent, bool is_splice);
void join_done(struct join *join);

/* Adds the next piece of the second answer and gives what of it is to be shown (perhaps nothing,
 * valid until the next call). CONTINUE: a beginning that repeats `sent` from its start (the model
 * began over) is dropped as far as it does, when that is all of it, or enough to be no accident;
 * else the longest end of `sent` that the second answer begins with is dropped, if it is at least 8
 * bytes or a whole line or word of them. White space at the seam is kept as the second answer has
 * it, but for a quoted beginning ("...") or a code fence opened again right at the seam. The rules
 * in full are on top of seam.c. DIFFERS: the text from the first difference on, which belongs
 * behind the first `matched` bytes of `sent`. After DIFFERS everything is passed on. */
struct str join_add(struct join *join, struct str piece);
/* The second answer is complete: gives what was still held. A SPLICE that ended before it had
 * equalled all of `sent` is JOIN_DIFFERS from here on, with `matched` set. */
struct str join_finish(struct join *join);
