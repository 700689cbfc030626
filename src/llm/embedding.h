/* Embedding: texts as vectors of numbers. The canonical question and answer, free of any provider's
 * form, and one codec for each form, pure both ways. No descriptors, no clock. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "llm/dialect.h"

enum { EMBEDDING_INPUTS_MAX = 2048, EMBEDDING_DIMENSIONS_MAX = 65536 };

/* What one vector is asked for. */
struct embedding_input {
    struct str text;
    const uint32_t *tokens; /* in place of a text, when there are any */
    size_t token_count;
    struct str task; /* "RETRIEVAL_QUERY", ...; empty: none */
    struct str title;
    int64_t dimensions; /* 0: the model's own */
    bool is_foreign;    /* it holds more than text (pictures): only its own bytes can say it */
};

/* How an answer's numbers are written. Who asked gets the answer so: no form has to carry it. */
enum embedding_encoding { EMBEDDING_FLOAT, EMBEDDING_BASE64 };

struct embedding_request {
    struct str model;
    struct embedding_input *inputs;
    size_t input_count; /* at most EMBEDDING_INPUTS_MAX; 0: only where the form allows it */
    enum embedding_encoding encoding;
    enum llm_tristate truncate; /* whether an input that is too long is cut */
    struct str user;            /* opaque id of the end user */
    struct str *unmapped;       /* as in llm_request */
    size_t unmapped_count;
};

struct embedding_vector {
    const float *values; /* finite */
    size_t count;        /* at most EMBEDDING_DIMENSIONS_MAX */
};

struct embedding_answer {
    struct str model; /* may be empty */
    struct embedding_vector *vectors;
    size_t count;
    struct llm_usage usage;
};

/* What an encoder left out; a set of bits. Where a field of inputs is lost, it is lost of all. */
enum embedding_loss {
    EMBEDDING_LOSS_DIMENSIONS = 1 << 0,
    EMBEDDING_LOSS_TASK = 1 << 1,
    EMBEDDING_LOSS_TITLE = 1 << 2,
    EMBEDDING_LOSS_TRUNCATE = 1 << 3,
    EMBEDDING_LOSS_USER = 1 << 4,
    EMBEDDING_LOSS_ANSWER_MODEL = 1 << 5,
    EMBEDDING_LOSS_ANSWER_USAGE = 1 << 6 /* the count of the input; where there must be one: 0 */
};

struct embedding_codec {
    const char *name;
    const struct dialect *dialect; /* in whose form errors are told */
    bool is_single;                /* one input a request */
    /* Behind a provider's base URL, where it is not the kind's path_embeddings; "{model}" is
     * replaced. NULL: it is that. */
    const char *path;
    /* Appends the JSON body for `model`. An input that this form cannot say (a list of tokens, more
     * than text, several where one may be) is ERR_INVALID with its place. *losses grows. */
    enum err (*encode_request)(const struct embedding_request *request, struct str model,
                               struct buf *out, unsigned *losses, struct error *error);
    /* Strict, as dialect.decode_request; but without a model it is empty. Gemini's caller sets it: it
     * is in the path. */
    enum err (*decode_request)(struct arena *arena, yyjson_val *root,
                               struct embedding_request *ret_request, struct error *error);
    void (*encode_answer)(const struct embedding_answer *answer, enum embedding_encoding encoding,
                          struct buf *out, unsigned *losses);
    /* Tolerant: floats and base64, in any order that is told. ERR_SERVER: it is not this protocol. */
    enum err (*decode_answer)(struct arena *arena, yyjson_val *root,
                              struct embedding_answer *ret_answer);
};

extern const struct embedding_codec embedding_openai;
extern const struct embedding_codec embedding_gemini;        /* :batchEmbedContents */
extern const struct embedding_codec embedding_gemini_single; /* :embedContent */
extern const struct embedding_codec embedding_ollama;        /* /api/embed */
extern const struct embedding_codec embedding_ollama_single; /* /api/embeddings, the older one */

/* All of them, NULL-terminated. */
extern const struct embedding_codec *const embedding_codecs[];
/* How a provider of that dialect is asked, or NULL: it cannot be. */
const struct embedding_codec *embedding_codec_of(const struct dialect *dialect);

/* Tokens of all inputs by our own estimate. */
int64_t embedding_estimate(const struct embedding_request *request);
/* Appends the names of what was lost, comma-separated, behind what `out` holds already. */
void embedding_losses_write(unsigned losses, struct buf *out);
/* The numbers as little-endian bytes, which OpenAI's base64 holds and the memo keeps: room for four
 * of each; and back, into the arena (a rest of less than four is left out). */
void embedding_pack(struct embedding_vector vector, char *ret);
struct embedding_vector embedding_unpack(struct arena *arena, struct str bytes);
