/* Eliza: a conversation partner that needs no provider, after the program that Joseph Weizenbaum
 * described in 1966: keywords with ranks, patterns that take a sentence apart, templates that put
 * it together again with the persons exchanged, and a memory for when nothing else fits. It is
 * there so that Parley answers on the first start; asked what it is, it says so. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "llm/request.h"

enum {
    ELIZA_ANSWER_BYTES_MAX = 1024,
    ELIZA_TURNS_MAX = 32,          /* of the user, the newest ones: older ones are forgotten */
    ELIZA_MESSAGE_BYTES_MAX = 2000 /* of each message; what is behind is not read */
};

/* The answer to the last user message of `request`, in the arena: valid UTF-8, never empty. The
 * same conversation always gets the same answer; its earlier turns are replayed for the memory and
 * so that it does not repeat itself. Any thread. */
void eliza_answer(struct arena *arena, const struct llm_request *request, struct str *ret_text);

/* Cuts an answer into words, each with the white space behind it, for streaming. */
struct eliza_pieces {
    struct str rest;
};
void eliza_pieces_init(struct eliza_pieces *pieces, struct str text);
/* The next one, a view into the text; false when there is none. */
bool eliza_pieces_next(struct eliza_pieces *pieces, struct str *ret_piece);
