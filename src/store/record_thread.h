/* Records of threads: the conversations of the responses door, which a program makes, fills with items
 * and names in its requests (those of the web application are records.h's). To be called inside a
 * transaction, as records.h says. One expires as a whole; items are counted and deleted with it. */
#pragma once

#include "store/records.h"

/* Items of one thread. */
enum { STORE_THREAD_ITEMS_MAX = 10000 };

struct store_thread {
    struct id owner;
    struct id id;
    int64_t created_ms;
    int64_t expires_ms;  /* moves on with every item that comes */
    struct str metadata; /* JSON object */
};

struct store_thread_item {
    struct str id;       /* as its client sees it; not always unique */
    struct str model;    /* that was asked when it was answered; empty: a client wrote it */
    struct str response; /* the answer that it is of; empty: likewise */
    struct str item;     /* JSON object */
};

MUST_USE enum err store_thread_insert(struct store_tx *tx, const struct store_thread *thread,
                                      struct error *error);
/* Here and below: of this owner only, and not expired by `now_ms`, else ERR_NOT_FOUND. */
MUST_USE enum err store_thread_get(struct store_tx *tx, struct arena *arena, const struct id *owner,
                                   const struct id *id, int64_t now_ms, struct store_thread *ret,
                                   struct error *error);
MUST_USE enum err store_thread_set_metadata(struct store_tx *tx, const struct id *owner,
                                            const struct id *id, int64_t now_ms,
                                            struct str metadata, struct error *error);
MUST_USE enum err store_thread_delete(struct store_tx *tx, const struct id *owner,
                                      const struct id *id, int64_t now_ms, struct error *error);
/* Removes up to `limit` of everybody's that had expired by `now_ms`, and says how many. */
MUST_USE enum err store_thread_expire(struct store_tx *tx, int64_t now_ms, int limit,
                                      int *ret_removed, struct error *error);

/* ---- Items ----------------------------------------------------------------------------------- */
/* Behind all others; the thread expires at `expires_ms` from now on. ERR_TOO_BIG: there would be more
 * than STORE_THREAD_ITEMS_MAX. */
MUST_USE enum err store_thread_append(struct store_tx *tx, const struct id *owner,
                                      const struct id *id, int64_t now_ms, int64_t expires_ms,
                                      const struct store_thread_item *items, size_t count,
                                      struct error *error);
struct store_thread_page {
    bool is_descending;
    struct str after; /* id of an item; empty: from the beginning */
    int limit;        /* so many at most */
};
/* Into the arena. ERR_NOT_FOUND also: there is no item `after`. */
MUST_USE enum err store_thread_list(struct store_tx *tx, struct arena *arena,
                                    const struct id *owner, const struct id *id, int64_t now_ms,
                                    const struct store_thread_page *page,
                                    struct store_thread_item **ret_items, size_t *ret_count,
                                    struct error *error);
/* The first one of this id. */
MUST_USE enum err store_thread_item_get(struct store_tx *tx, struct arena *arena,
                                        const struct id *owner, const struct id *id, int64_t now_ms,
                                        struct str item, struct store_thread_item *ret,
                                        struct error *error);
/* All of this id. */
MUST_USE enum err store_thread_item_delete(struct store_tx *tx, const struct id *owner,
                                           const struct id *id, int64_t now_ms, struct str item,
                                           struct error *error);
