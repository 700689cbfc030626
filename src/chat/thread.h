/* Thread: the items of a conversation of the responses door, between what programs write and read and
 * the records of store; and the chain that they are for the next request. */
#pragma once

#include "chat/stored_response.h"
#include "store/record_thread.h"

enum { THREAD_ITEMS_AT_ONCE_MAX = 20 };

struct thread_items {
    struct store_thread_item *items; /* in the arena that they were made in */
    size_t count, capacity;
};

/* "conv_..." as an id; false: it is none. */
bool thread_parse_id(struct str text, struct id *ret);
/* In the arena. */
struct str thread_name(struct arena *arena, const struct id *id);
/* The ERR_NOT_FOUND that names it, as OpenAI says it. */
enum err thread_not_found(struct str name, struct error *error);

/* The items of a list that a client adds, checked as those of an input are; each gets an id. At most
 * THREAD_ITEMS_AT_ONCE_MAX. */
MUST_USE enum err thread_items_read(struct arena *arena, yyjson_val *list, struct thread_items *ret,
                                    struct error *error);
/* What an answer that was kept adds: its input and its output. None when it did not end well. */
MUST_USE enum err thread_items_of(struct arena *arena, const struct store_response *response,
                                  struct thread_items *ret);

/* All items as turns, inside a transaction; an answer that is still kept as it was brings what only
 * its provider needs again. ERR_NOT_FOUND; ERR_TOO_BIG: over the maximum of the arena. */
MUST_USE enum err thread_load(struct store_tx *tx, struct arena *arena, const struct id *owner,
                              const struct id *id, int64_t now_ms, struct stored_chain *ret,
                              struct error *error);

/* ---- Adding ---------------------------------------------------------------------------------- */
struct thread_addition {
    struct id owner;
    struct id thread; /* none: nothing is added */
    struct thread_items items;
    int64_t now_ms, expires_ms;
    int64_t bytes_max; /* of all that its owner has: then the oldest conversations go */
};
/* What an answer that is kept for `keep_ms` from now on adds, see thread_items_of. `thread` may be none.
 * In the arena. */
MUST_USE enum err thread_addition_of(struct arena *arena, const struct store_response *response,
                                     const struct id *thread, int64_t keep_ms, int64_t bytes_max,
                                     struct thread_addition *ret);
MUST_USE enum err thread_add(struct store_tx *tx, const struct thread_addition *addition,
                             struct error *error);
/* The same behind an answer: a conversation that is not there any more, or full, is none of its
 * faults. */
MUST_USE enum err thread_add_answer(struct store_tx *tx, const struct thread_addition *addition,
                                    struct error *error);
