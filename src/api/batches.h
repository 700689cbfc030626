/* Batches: what the doors of OpenAI's, Anthropic's and Gemini's batches share. For the api floor only. */
#pragma once

#include "api/stored.h"
#include "chat/batch.h"
#include "chat/batch_input.h"

/* One request about batches. In the exchange's arena. */
struct batches_call {
    struct api_request *request;
    enum batch_form form;
    void (*write)(struct api_request *request, struct json_writer *w,
                  const struct store_batch *batch); /* the members of one */
    const char *input_field;                        /* that names the file of the input */
    const char *list_member;                        /* in which a list is */
    struct store_batch batch;
    struct file_work file; /* of the input, where the door makes it */
    struct buf lines;      /* likewise */
    enum err (*make_lines)(struct batches_call *call, struct arena *scratch, struct buf *out,
                           struct error *error);
    struct store_job job;
    struct store_batch_page page;
    struct store_batch *batches;
    size_t count;
    bool has_more;
};

struct batches_call *batches_call_new(struct api_request *request, enum batch_form form);
/* A new batch of the caller's in call->batch: what is said of it is still to be set. ERR_INVALID: its
 * header x-parley-batch is neither "provider" nor "here". */
MUST_USE enum err batches_prepare(struct batches_call *call, const struct batch_endpoint *endpoint,
                                  struct error *error);
/* Stores it, rings the bell, answers with it. */
void batches_insert(struct batches_call *call);
/* The same after storing its input, which `make_lines` makes of the request's body, on a thread of the
 * pool, in `out`: input and results live for `lifetime_seconds`. It may set what is still to be said of
 * the batch, in the request's arena. */
void batches_make(struct batches_call *call, int64_t lifetime_seconds,
                  enum err (*make_lines)(struct batches_call *call, struct arena *scratch,
                                         struct buf *out, struct error *error));
/* By id, parameter 0: answers with it. */
void batches_get(struct batches_call *call);
void batches_cancel(struct batches_call *call);
/* One that has ended, with its results, and its input if that was made by batches_make. */
void batches_delete(struct batches_call *call);
/* In a transaction: call->batch is read by its id; ERR_NOT_FOUND when it has another form. */
MUST_USE enum err batches_read(struct store_tx *tx, struct batches_call *call, struct error *error);
/* By call->page: `write_page` writes what stands behind the list. */
void batches_list(struct batches_call *call,
                  void (*write_page)(struct json_writer *w, const struct batches_call *call));
