/* Relay door: the answer of a relay as the answer of an exchange. Shared by what hands requests
 * through. */
#pragma once

#include "api/request.h"
#include "api/usage_reader.h"
#include "route/relay.h"

/* First member of a handler's own struct, in the request's arena; zeroed but for what is said to be
 * the handler's. It is what relay_request's callbacks get as their user. */
struct relay_door {
    struct api_request *request; /* the handler's */
    struct str location; /* the handler's: what stands before a Location; empty: none is given */
    const struct dialect *dialect; /* the handler's: of a chat that is handed through; NULL: none */
    bool
        reads_any; /* the handler's: without that, counts are looked for in the provider's dialect */
    /* The handler's: a 2xx answer is not handed on while it comes, but given to it as a whole; it
     * ends with relay_door_answer, or another answer. NULL: it is handed on. */
    void (*on_whole)(void *user, struct str body);
    struct relay *relay;
    struct usage_reader usage;
    const struct dialect *reads; /* in which counts are looked for; NULL: none */
    int64_t input_tokens;        /* estimated of the request; 0: unknown */
    struct str provider;         /* who answers, from on_whole on */
    struct buf whole;
    int status;
    const char *content_type; /* NULL: none */
    bool has_begun;
};

/* Starts it; fails the request when it cannot be. Of `ask` origin and usage_of are set here. `body`:
 * of which tags are read (api_origin_open); NULL: none. Both are borrowed. */
void relay_door_start(struct relay_door *door, struct relay_request *ask, yyjson_val *body);
/* api_fail, but what nobody can do is a 400. */
void relay_door_fail(struct api_request *request, enum err code, const struct error *error);
/* Hands on what on_whole got. */
void relay_door_answer(struct relay_door *door);
