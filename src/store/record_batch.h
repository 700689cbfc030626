/* Records of batches: work that is queued, and what came of each line of it. To be called inside a
 * transaction, as records.h says. */
#pragma once

#include "store/records.h"

/* In this order: what is below STORE_BATCH_COMPLETED is unfinished. The numbers are stored. */
enum store_batch_status {
    STORE_BATCH_VALIDATING,
    STORE_BATCH_IN_PROGRESS,
    STORE_BATCH_CANCELLING,
    STORE_BATCH_FINALIZING,
    STORE_BATCH_COMPLETED,
    STORE_BATCH_FAILED, /* as a whole: `errors` says why */
    STORE_BATCH_EXPIRED,
    STORE_BATCH_CANCELLED
};

/* Whether the provider's own batches run it. The numbers are stored. */
enum store_batch_hand {
    STORE_BATCH_HERE,
    STORE_BATCH_HAND_IF, /* where its lines fit that */
    STORE_BATCH_HAND     /* or it fails */
};

struct store_batch {
    struct id owner;
    struct id id;
    struct str dialect;  /* whose form its object, its lines and its results have */
    struct str endpoint; /* "/v1/chat/completions" */
    struct id input;     /* file */
    struct id output;    /* file of the answers; none: there is none, or not yet */
    struct id failures;  /* file of the lines that failed, where the dialect has one */
    enum store_batch_status status;
    int64_t total; /* lines */
    int64_t completed;
    int64_t failed;
    struct str metadata;    /* JSON object, or empty */
    struct str errors;      /* JSON array of the dialect's, or empty */
    int64_t output_seconds; /* lifetime of its files; 0: for ever */
    /* Who made it, and from where: asked again for every line. */
    int64_t maker_kind; /* enum principal_kind */
    struct id maker_key;
    struct str maker_address;
    enum store_batch_hand hand;
    struct str provider;       /* that it is handed on to; empty: not, or not yet */
    struct str provider_batch; /* its id there; empty with a provider: it was being made */
    int64_t created_ms;
    int64_t expires_ms;
    int64_t started_ms; /* these: 0 when it has not happened */
    int64_t finalizing_ms;
    int64_t cancelling_ms;
    int64_t ended_ms;
};

static inline bool store_batch_is_ended(const struct store_batch *batch)
{
    return batch->status >= STORE_BATCH_COMPLETED;
}

/* ERR_RATE_LIMITED: the owner has `unfinished_max` unfinished ones already. */
MUST_USE enum err store_batch_insert(struct store_tx *tx, const struct store_batch *batch,
                                     int64_t unfinished_max, struct error *error);
MUST_USE enum err store_batch_get(struct store_tx *tx, struct arena *arena, const struct id *owner,
                                  const struct id *id, struct store_batch *ret,
                                  struct error *error);
/* Those of one dialect, newest first, older than `before` (none: from the newest on); with
 * `is_reversed` oldest first, newer than it. */
struct store_batch_page {
    struct str dialect;
    struct id before;
    bool is_reversed;
    size_t limit;
};
MUST_USE enum err store_batch_list(struct store_tx *tx, struct arena *arena, const struct id *owner,
                                   const struct store_batch_page *page, struct store_batch **ret,
                                   size_t *ret_count, bool *ret_has_more, struct error *error);
/* Everybody's unfinished ones, oldest first, at most `limit`. */
MUST_USE enum err store_batch_list_unfinished(struct store_tx *tx, struct arena *arena,
                                              size_t limit, struct store_batch **ret,
                                              size_t *ret_count, struct error *error);
/* VALIDATING to IN_PROGRESS, with its total and started_ms; any other status stays as it is. */
MUST_USE enum err store_batch_start(struct store_tx *tx, const struct store_batch *batch,
                                    struct error *error);
/* VALIDATING or IN_PROGRESS to CANCELLING; what is further stays as it is. Then reads it. */
MUST_USE enum err store_batch_cancel(struct store_tx *tx, struct arena *arena,
                                     const struct id *owner, const struct id *id, int64_t now_ms,
                                     struct store_batch *ret, struct error *error);
/* IN_PROGRESS to FINALIZING, with finalizing_ms; any other status stays as it is. */
MUST_USE enum err store_batch_finalize(struct store_tx *tx, const struct store_batch *batch,
                                       struct error *error);
/* What is known of one that is handed on: hand, provider, provider_batch, expires_ms, and its counts
 * as the provider tells them. ERR_NOT_FOUND: it has ended. */
MUST_USE enum err store_batch_note(struct store_tx *tx, const struct store_batch *batch,
                                   struct error *error);
/* Its counts are those of its stored lines from now on. */
MUST_USE enum err store_batch_recount(struct store_tx *tx, const struct store_batch *batch,
                                      struct error *error);
/* Its end: status, files, errors, ended_ms. ERR_NOT_FOUND: it had ended. */
MUST_USE enum err store_batch_end(struct store_tx *tx, const struct store_batch *batch,
                                  struct error *error);
/* An ended one: ERR_CONFLICT: it has not. */
MUST_USE enum err store_batch_delete(struct store_tx *tx, const struct id *owner,
                                     const struct id *id, struct error *error);

/* ---- Lines: kept until the batch has ended ---------------------------------------------------- */
struct store_batch_line {
    struct id owner;
    struct id batch;
    int64_t line; /* 1, 2, ... of the input */
    bool is_failure;
    struct str result; /* a line of the file that it will stand in */
};

/* Keeps it and counts it (but for a batch that a provider runs, whose counts are told), both or
 * none; one that is there already stays, and is not counted again.
 * ERR_NOT_FOUND: the batch is gone, or has ended. */
MUST_USE enum err store_batch_line_insert(struct store_tx *tx, const struct store_batch_line *line,
                                          struct error *error);
/* The numbers of all that are there, in order. */
MUST_USE enum err store_batch_line_numbers(struct store_tx *tx, struct arena *arena,
                                           const struct id *owner, const struct id *batch,
                                           int64_t **ret, size_t *ret_count, struct error *error);
/* In order from behind `after` on, until `bytes` are together or none is left. */
MUST_USE enum err store_batch_line_list(struct store_tx *tx, struct arena *arena,
                                        const struct id *owner, const struct id *batch,
                                        int64_t after, size_t bytes, struct store_batch_line **ret,
                                        size_t *ret_count, struct error *error);
/* Deletes up to `limit` lines of batches that have ended. */
MUST_USE enum err store_batch_line_clean(struct store_tx *tx, int64_t limit, int64_t *ret_deleted,
                                         struct error *error);
