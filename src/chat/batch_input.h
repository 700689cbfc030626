/* Batch input: what a batch is to do, as lines: JSON objects with a name each, which is told again
 * beside its answer. Pure: for a thread of the pool, since an input may be large. For the chat floor
 * and the doors that make batches. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "llm/embedding.h"

enum { BATCH_LINES_MAX = 50000, BATCH_CUSTOM_ID_BYTES_MAX = 512 };
#define BATCH_INPUT_BYTES_MAX ((uint64_t)200 * 1024 * 1024)

/* The form of a batch and of all that it answers. */
enum batch_form { BATCH_OPENAI, BATCH_ANTHROPIC, BATCH_GEMINI };

/* What a batch's lines may ask for. A new one is a row here. */
struct batch_endpoint {
    const char *url;
    enum batch_form form;
    const struct dialect *dialect;           /* of a line's request and answer */
    const char *id_prefix;                   /* of an answer's id when the provider gave none */
    const struct embedding_codec *embedding; /* of request and answer, which are vectors; NULL: a
                                                chat's */
};
/* NULL: batches cannot ask for that. */
const struct batch_endpoint *batch_endpoint_find(enum batch_form form, struct str url);
/* What is stored of it: "openai", "anthropic", "gemini"; also the name of its door in scopes. */
struct str batch_form_name(enum batch_form form);
enum batch_form batch_form_of(struct str name);

struct batch_line {
    int64_t number;  /* of the line in the file: 1, 2, ... */
    struct str text; /* a view of the input */
    struct str
        custom_id; /* in the arena; STR_NONE: it has none. Gemini's key, which several may have */
    struct str
        metadata;      /* Gemini's, told again beside the answer: JSON text in the arena, or none */
    struct str model;  /* of the whole batch; none: the line's own body names it */
    const char *wrong; /* what is wrong with it, so that it fails alone; NULL: nothing */
    bool is_done;      /* its result is stored */
};

struct batch_input {
    struct batch_line *lines; /* blank ones left out */
    size_t count;
};

/* Reads all lines of `content`, which must outlive them, like `model`: that all of them ask, where the
 * endpoint's dialect has it in the path. ERR_INVALID: there is none; ERR_TOO_BIG: more than
 * BATCH_LINES_MAX. */
MUST_USE enum err batch_input_read(struct arena *arena, const struct batch_endpoint *endpoint,
                                   struct str content, struct str model,
                                   struct batch_input *ret_input, struct error *error);

/* The request of a line that is right: the parsed value, in the arena, and its text. Where the model is
 * in the path, there is none in it. */
MUST_USE enum err batch_line_body(struct arena *arena, const struct batch_endpoint *endpoint,
                                  const struct batch_line *line, yyjson_val **ret_body,
                                  struct str *ret_text, struct error *error);
/* The model that it asks. */
static inline struct str batch_line_model(const struct batch_line *line, yyjson_val *body)
{
    return line->model.len ? line->model : json_get_str(body, "model");
}

/* Anthropic's form of making a batch, {"requests": [{"custom_id", "params"}]}, as lines in `out`.
 * ERR_INVALID names the field that is wrong: what has no name of its own cannot fail alone. */
MUST_USE enum err batch_input_of_requests(struct arena *arena, struct str body, struct buf *out,
                                          struct error *error);

/* Any such list, each request written by `write` as one line. `field` names the list in errors. */
typedef enum err batch_write_line_fn(void *user, yyjson_val *request, size_t index, struct buf *out,
                                     struct error *error);
MUST_USE enum err batch_input_of_list(yyjson_val *requests, const char *field,
                                      batch_write_line_fn *write, void *user, struct buf *out,
                                      struct error *error);
