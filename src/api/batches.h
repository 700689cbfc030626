/* Batches: what the doors of OpenAI's and of Anthropic's batches share. For the api floor only. */
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
    struct store_batch batch;
    struct file_work file; /* of the input, where the door makes it */
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
/* By id, parameter 0: answers with it. */
void batches_get(struct batches_call *call);
void batches_cancel(struct batches_call *call);
/* By call->page: `write_page` ends the answer. */
void batches_list(struct batches_call *call,
                  void (*write_page)(struct json_writer *w, const struct batches_call *call));
