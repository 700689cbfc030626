/* Records of files: whose they are and what they are for. Their contents are blobs (blob.h). To be
 * called inside a transaction, as records.h says. */
#pragma once

#include "store/records.h"

struct store_file {
    struct id owner;
    struct id id;
    struct str purpose;
    struct str name;
    struct str mime;
    struct str sha256; /* hexadecimal; empty while it is begun */
    int64_t bytes;     /* begun: as announced */
    int64_t created_ms;
    int64_t expires_ms; /* 0: never */
    bool is_begun;      /* it is being uploaded: nobody but store_file_get_begun sees it */
};

struct store_file_limits {
    int64_t total_bytes_max; /* of everybody's files together */
    int64_t owner_bytes_max; /* of one owner's */
    int64_t count_max;       /* of one owner's */
};

/* ERR_TOO_BIG when a limit is reached. */
MUST_USE enum err store_file_insert(struct store_tx *tx, const struct store_file *file,
                                    const struct store_file_limits *limits, struct error *error);
/* A begun one is whole: bytes, sha256, expires_ms. */
MUST_USE enum err store_file_finish(struct store_tx *tx, const struct store_file *file,
                                    struct error *error);
/* Of this owner; what has expired by `now_ms` is not there. */
MUST_USE enum err store_file_get(struct store_tx *tx, struct arena *arena, const struct id *owner,
                                 const struct id *id, int64_t now_ms, struct store_file *ret,
                                 struct error *error);
MUST_USE enum err store_file_get_begun(struct store_tx *tx, struct arena *arena,
                                       const struct id *owner, const struct id *id, int64_t now_ms,
                                       struct store_file *ret, struct error *error);
MUST_USE enum err store_file_delete(struct store_tx *tx, const struct id *owner,
                                    const struct id *id, struct error *error);

/* It is not there from then on, and its content goes. What is not there stays so. */
MUST_USE enum err store_file_end(struct store_tx *tx, const struct id *owner, const struct id *id,
                                 int64_t expires_ms, struct error *error);

struct store_file_page {
    struct str purpose; /* empty: any */
    struct id after;    /* in this order; none: from its beginning */
    bool is_ascending;  /* oldest first; else newest first */
    size_t limit;
    int64_t now_ms;
};
MUST_USE enum err store_file_list(struct store_tx *tx, struct arena *arena, const struct id *owner,
                                  const struct store_file_page *page, struct store_file **ret_files,
                                  size_t *ret_count, bool *ret_has_more, struct error *error);
/* Deletes the rows of up to `limit` files that have expired, of everybody, but for the inputs of batches
 * that have not ended: the ids of contents to delete then. */
MUST_USE enum err store_file_expire(struct store_tx *tx, struct arena *arena, int64_t now_ms,
                                    size_t limit, struct id **ret_ids, size_t *ret_count,
                                    struct error *error);
/* Whether there is a row, begun or whole, of anybody. */
MUST_USE enum err store_file_exists(struct store_tx *tx, const struct id *id, bool *ret_exists,
                                    struct error *error);
