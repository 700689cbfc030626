/* Tape: what an answer said, events and bytes in their order, in one compact text. Pure. Inside route
 * only. */
#pragma once

#include "base/buf.h"
#include "llm/response.h"

struct tape {
    struct buf bytes;
    size_t from;             /* of the buffer; what is before it is its owner's */
    struct str content_type; /* of the bytes so far; a view into the room */
    char content_type_room[128];
};

/* `bytes_max`: what it takes at most; over it tape_is_whole is false. */
void tape_init(struct tape *tape, size_t bytes_max);
/* What its owner has put into its buffer until now stands before the tape, in the same memory. */
void tape_begin(struct tape *tape);
void tape_done(struct tape *tape);
/* Any event but an ERROR. */
void tape_add_event(struct tape *tape, const struct llm_event *event);
/* Bytes that pass through. A content type is cut to 128 bytes. */
void tape_add_bytes(struct tape *tape, struct str content_type, struct str bytes);
bool tape_is_whole(const struct tape *tape);
/* What was recorded: for tape_next, any number of times. */
struct str tape_text(const struct tape *tape);

/* Where a reader is; zeroed: at the beginning. */
struct tape_place {
    size_t at;
    struct str content_type;
};

/* One thing that was said. Views into the text. */
struct tape_item {
    bool has_bytes; /* it is bytes that passed through, else an event */
    struct llm_event event;
    struct str content_type;
    struct str bytes;
};

/* The next one; false at the end. `text`: whole, as tape_text gave it. */
bool tape_next(struct str text, struct tape_place *place, struct tape_item *ret_item);
