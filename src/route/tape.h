/* Tape: what an answer said, in one compact text: its bytes as they came, or its events. Pure. Inside
 * route only. */
#pragma once

#include "base/buf.h"
#include "llm/response.h"

struct tape {
    struct buf bytes;
    size_t last; /* where the record of the newest event begins; SIZE_MAX: none can follow it */
};

/* `bytes_max`: what it takes at most; over it tape_is_whole is false. */
void tape_init(struct tape *tape, size_t bytes_max);
void tape_done(struct tape *tape);
/* Any event but an ERROR. */
void tape_add_event(struct tape *tape, const struct llm_event *event);
/* Bytes that pass through: not on a tape of events. */
void tape_add_bytes(struct tape *tape, struct str bytes);
bool tape_is_whole(const struct tape *tape);
/* What was recorded: for tape_next, any number of times. */
struct str tape_text(const struct tape *tape);

/* Where a reader of events is; zeroed: at the beginning. */
struct tape_place {
    size_t at;
    size_t pieces_end; /* of the record it is in; 0: it is in none */
    struct llm_event piece;
};

/* The next event of a tape of events, views into its text: whole, as tape_text gave it. False at the
 * end. */
bool tape_next(struct str text, struct tape_place *place, struct llm_event *ret_event);
