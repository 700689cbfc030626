/* Tape: what an answer said, in one compact text: its bytes as they came, or its events. In chunks, so
 * that what is written stays where it is. Of bytes, a piece that is mostly the same as one before, as
 * the frames of a stream are, is kept as what differs. Pure. Inside route only. */
#pragma once

#include "base/buf.h"
#include "base/stock.h"
#include "llm/response.h"

/* Holds whole pieces, or whole records of events. */
struct tape_chunk {
    struct tape_chunk *next;
    size_t len;
    size_t capacity;
    char bytes[];
};

struct tape {
    struct stock *stock; /* of the chunks */
    struct tape_chunk *first;
    struct tape_chunk *last;
    size_t size; /* of the chunks' memory */
    size_t size_max;
    size_t record; /* where in the last chunk the record begins that pieces are put in; SIZE_MAX: in
                        none */
    struct str base;       /* the newest piece of bytes that stands whole in a chunk */
    size_t before, behind; /* how much of it the last one had that was compared with it */
    unsigned likes;        /* that had as much since */
    unsigned bases;        /* that there were */
    bool overflowed;
};

/* `stock`: where memory comes from and goes to; NULL: malloc. `size_max`: the memory that it takes at
 * most; over it tape_is_whole is false. */
void tape_init(struct tape *tape, struct stock *stock, size_t size_max);
void tape_done(struct tape *tape);
/* Any event but an ERROR. */
void tape_add_event(struct tape *tape, const struct llm_event *event);
/* Bytes that pass through: not on a tape of events. */
void tape_add_bytes(struct tape *tape, struct str bytes);
bool tape_is_whole(const struct tape *tape);
/* Where a reader is. Begin with only `chunk` set, to the first. */
struct tape_place {
    const struct tape_chunk *chunk; /* NULL: at the end */
    size_t at;                      /* of it */
    size_t pieces_end;              /* of the record it is in; 0: it is in none */
    struct llm_event piece;
    struct str base; /* as the tape's */
};

/* The next event of a tape of events, views into its chunks. False at the end. */
bool tape_next(struct tape_place *place, struct llm_event *ret_event);
/* Appends the next bytes of a tape of bytes, some 16 KiB, or one longer piece. False at the end. */
bool tape_next_bytes(struct tape_place *place, struct buf *out);
