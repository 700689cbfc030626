/* Completion: one call of a model through a door that speaks a provider's dialect. For the api floor
 * only. */
#pragma once

#include "api/request.h"

/* How a door speaks. */
struct completion_form {
    const struct dialect *dialect;
    const char *stream_type; /* content type of its streams */
    const char *id_prefix; /* of an answer's id when the provider gave none; NULL: none is needed */
    bool has_usage;        /* its streams tell the usage unasked */
    /* Adds what the path says and the body does not (Gemini: model and stream), refuses what this
     * door does not take. May be NULL. */
    enum err (*add_path)(struct api_request *request, struct llm_request *llm, struct error *error);
    bool is_array; /* a whole answer stands in an array: a stream of one */
    /* The encoder must know all that was said, should it have to go on with an answer that passed
     * through: its events have numbers. */
    bool follows_raw;
    bool keeps; /* answers, for whoever goes on from them: see keeping.h */
};

/* Answers the request, in this form. `form` lives for ever. */
void completion_start(struct api_request *request, const struct completion_form *form);
