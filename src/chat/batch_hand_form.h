/* Batch hand form: what is said to providers that have batches of their own, and what they say. A form
 * is a row of operations; which one a provider speaks, its kind says. Pure. For the chat floor only. */
#pragma once

#include "chat/batch_input.h"
#include "llm/provider.h"

enum hand_progress { HAND_UNDER_WAY, HAND_ENDED, HAND_FAILED };
struct hand_status {
    struct str id; /* as it may stand in a path */
    enum hand_progress progress;
    bool is_expired;
    bool is_cancelled;
    int64_t completed;
    int64_t failed;
    int64_t expires_ms;  /* 0: not told */
    struct str files[2]; /* of results */
    struct str message;  /* FAILED */
};

/* What came of one line. */
enum hand_outcome { HAND_DONE, HAND_FAILURE, HAND_EXPIRED, HAND_CANCELLED };
struct hand_result {
    struct str name; /* that the line was handed on by */
    enum hand_outcome outcome;
    yyjson_val *body; /* DONE: the answer; FAILURE of a form with a dialect: the error */
};

/* One line as it is handed on. */
struct hand_line {
    const struct batch_endpoint *endpoint;
    struct str name;
    struct str
        body; /* of the request, with the model as the provider names it, where bodies name it */
    bool is_first;
};

typedef void hand_each_fn(void *user, yyjson_val *result);

struct hand_form {
    /* Lines are encoded by it and answers decoded, whatever form the batch has; they all ask one
     * model. NULL: lines and results go as they are, so that the batch's form must be `takes`. */
    const struct dialect *dialect;
    enum batch_form takes;
    uint64_t content_bytes_max; /* of what is uploaded or made */
    size_t status_bytes_max;    /* of the answer to how far it is */
    /* Behind the provider's base URL. */
    const char *upload_path; /* lines become a file there first; NULL: they make the batch */
    const char *make_path;   /* "{model}" is replaced */
    const char *batch_path;  /* a slash and the id follow */
    const char *cancel;      /* behind the id */
    /* What is uploaded or made, piece by piece: `boundary` parts the pieces of an upload, `name` is
     * our batch's. */
    void (*write_begin)(struct str boundary, struct str name, struct buf *out);
    void (*write_line)(const struct hand_line *line, struct buf *out);
    void (*write_end)(struct str boundary, struct buf *out);
    /* The body that makes a batch of an uploaded file; NULL without one. */
    void (*write_making)(const struct batch_endpoint *endpoint, struct str file, struct str name,
                         struct buf *out);
    /* An answer's body; views of `root` and the arena. False: it is not this protocol. */
    bool (*read_status)(struct arena *arena, yyjson_val *root, struct hand_status *ret);
    /* Where a file of results is; NULL: the results stand in the answer that said it has ended. */
    struct str (*results_path)(struct arena *arena, struct str batch, struct str file);
    /* Gives every result in `text` that is JSON, valid during the call; `arena` is its to use. */
    void (*each_result)(struct arena *arena, struct str text, hand_each_fn *each, void *user);
    bool (*read_result)(yyjson_val *root, struct hand_result *ret);
    /* The error of a FAILURE; of forms with a dialect. */
    void (*read_failure)(struct arena *arena, yyjson_val *body, struct llm_error *ret);
};

extern const struct hand_form hand_form_openai;
extern const struct hand_form hand_form_anthropic;
extern const struct hand_form hand_form_gemini;

/* What providers of that kind speak; NULL: they have no batches, or none that is known here. */
const struct hand_form *hand_form_find(const struct provider_kind *kind);
/* Whether batches of that endpoint can be said in it. */
bool hand_form_takes(const struct hand_form *form, const struct batch_endpoint *endpoint);
/* By what name a line is handed on: its own, or (where lines need none, or may share one) its number's,
 * in the arena. */
struct str hand_line_name(struct arena *arena, const struct hand_form *form,
                          const struct batch_line *line);
/* Of a batch there. */
struct str hand_path(struct arena *arena, const struct hand_form *form, struct str id,
                     const char *action);

/* ---- For the forms --------------------------------------------------------------------------- */
/* A member that is an id which may stand in a path, or STR_NONE. */
struct str hand_read_id(yyjson_val *root, const char *member);
bool hand_is_id(struct str text);
/* A count, also one written as a text; 0 when it is none. */
int64_t hand_read_count(yyjson_val *counts, const char *member);
/* Results that are lines. */
void hand_each_line(struct arena *arena, struct str text, hand_each_fn *each, void *user);
