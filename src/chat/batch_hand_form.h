/* Batch hand form: what is said to providers that have batches of their own, and what they say. Pure.
 * For the chat floor only. */
#pragma once

#include "chat/batch_input.h"
#include "llm/provider.h"

/* Whether providers of that kind run batches whose lines have this form. */
bool hand_kind_fits(const struct provider_kind *kind, enum batch_form form);
/* Whether lines are a file of their own, before the batch is made of it; else they are in its body. */
bool hand_has_upload(enum batch_form form);

/* What is uploaded or made, piece by piece: `boundary` parts the pieces of an upload. */
void hand_write_begin(enum batch_form form, struct str boundary, struct buf *out);
/* `body`: of the request, with the model as the provider names it. */
void hand_write_line(const struct batch_endpoint *endpoint, const struct batch_line *line,
                     struct str body, bool is_first, struct buf *out);
void hand_write_end(enum batch_form form, struct str boundary, struct buf *out);
/* The body that makes a batch of an uploaded file. */
void hand_write_making(const struct batch_endpoint *endpoint, struct str file, struct str name,
                       struct buf *out);

/* Behind the provider's base URL. `id`: of the batch there; empty: of them all. */
struct str hand_path(struct arena *arena, enum batch_form form, struct str id, const char *action);
struct str hand_results_path(struct arena *arena, enum batch_form form, struct str batch,
                             struct str file);
#define HAND_UPLOAD_PATH "/files"

enum hand_progress { HAND_UNDER_WAY, HAND_ENDED, HAND_FAILED };
struct hand_status {
    struct str id;
    enum hand_progress progress;
    bool is_expired;
    bool is_cancelled;
    int64_t completed;
    int64_t failed;
    int64_t expires_ms;  /* 0: not told */
    struct str files[2]; /* of results: Anthropic has one, which needs no name */
    struct str message;  /* FAILED */
};
/* An answer's body; views of `root` and the arena. False: it is not this protocol. */
bool hand_read_status(struct arena *arena, enum batch_form form, yyjson_val *root,
                      struct hand_status *ret);
/* An id that may stand in a path, or STR_NONE. */
struct str hand_read_id(yyjson_val *root);

/* One line of results. */
enum hand_outcome { HAND_DONE, HAND_FAILURE, HAND_EXPIRED, HAND_CANCELLED };
struct hand_result {
    struct str custom_id;
    enum hand_outcome outcome;
    yyjson_val *body; /* DONE: the answer */
};
bool hand_read_result(enum batch_form form, yyjson_val *root, struct hand_result *ret);
