/* Stored responses: an answer of the OpenAI responses door as it is kept, and the conversation that a
 * chain of them holds, for whoever goes on from one by its id. Pure but for the load. */
#pragma once

#include "llm/dialect.h"
#include "store/records.h"

enum { STORED_TURNS_MAX = 200 };

/* ---- Keeping one ------------------------------------------------------------------------------- */
/* What an exchange was. Everything is borrowed during stored_response_make. */
struct stored_exchange {
    struct id owner;
    yyjson_val *request; /* the body, an object: input, previous_response_id, model, ... */
    struct str answer;   /* JSON: the response object that the client was given */
    /* The answer in the canonical form; NULL: a provider of this dialect made it, and it is read
     * from `answer`. Else members that the client asked with (tools, metadata, ...) are put in place
     * of ours in the object. */
    const struct llm_response *built;
    int64_t now_ms;
    int64_t keep_ms;
};
/* Into the arena. ERR_INVALID: the answer is no response object, or has no id. */
MUST_USE enum err stored_response_make(struct arena *arena, const struct stored_exchange *exchange,
                                       struct store_response *ret);

/* The conversation that a request names, as a text or as an object with an id; or STR_NONE. */
struct str stored_thread_named(yyjson_val *request);
/* The items of an input (a text is one message) as they are kept: a JSON list, each with an id, which
 * is made of `name` where it has none. In the arena. */
struct str stored_items(struct arena *arena, struct str name, yyjson_val *input);

/* ---- Going on from one ------------------------------------------------------------------------- */
struct stored_chain {
    struct store_response *turns; /* oldest first, in the arena of the load */
    size_t count;
};
/* Whether its answer is still being written, or was when a crash ended it: it has no parts then. */
bool stored_response_is_under_way(const struct store_response *response);
/* The response `id` and those before it, inside a transaction. ERR_INVALID: it has no answer yet;
 * ERR_NOT_FOUND: it or one before it is
 * not there (error->message names it); ERR_TOO_BIG: over STORED_TURNS_MAX turns, or the maximum of the
 * arena. */
MUST_USE enum err stored_chain_load(struct store_tx *tx, struct arena *arena,
                                    const struct id *owner, struct str id, int64_t now_ms,
                                    struct stored_chain *ret, struct error *error);
/* Puts the chain's messages in front of those of `request`, which was decoded from `body`; behind its
 * instructions: those of earlier turns do not count. ERR_CORRUPT: what is stored cannot be read. */
MUST_USE enum err stored_chain_prepend(const struct stored_chain *chain, struct arena *arena,
                                       yyjson_val *body, struct llm_request *request,
                                       struct error *error);
/* The same for a provider that speaks this dialect: appends the body with the chain's items in front
 * of its own and without previous_response_id, conversation and background, all other members as
 * they are. Reasoning goes along
 * where it is encrypted and was made for the same model. `scratch`: may be reset afterwards. */
MUST_USE enum err stored_chain_expand(const struct stored_chain *chain, struct arena *scratch,
                                      yyjson_val *body, struct buf *out, struct error *error);

/* ---- References: items of an input that name one of an answer instead of repeating it ------------ */
/* The ids of the answers of ours whose items are named, each once, STORED_TURNS_MAX at most. An
 * answer that a provider made has ids that do not say where they belong: those are the provider's to
 * know. */
struct stored_references {
    struct str *responses;
    size_t count, capacity;
};
struct stored_references stored_references_find(yyjson_val *body, struct arena *arena);
/* Those of the answers that are there, inside a transaction. ERR_TOO_BIG as above. */
MUST_USE enum err stored_references_load(struct store_tx *tx, struct arena *arena,
                                         const struct id *owner,
                                         const struct stored_references *references, int64_t now_ms,
                                         struct stored_chain *ret, struct error *error);
/* Appends the body with what is named in place of the names; a name that leads nowhere stays. */
MUST_USE enum err stored_references_resolve(const struct stored_chain *answers,
                                            struct arena *scratch, yyjson_val *body,
                                            struct buf *out, struct error *error);

/* ---- Showing one ------------------------------------------------------------------------------- */
struct stored_page {
    bool is_descending;
    int limit;
    struct str after; /* id of an item; empty: from the beginning */
};
/* Writes the list object of its input items. ERR_NOT_FOUND: there is no item `after`. */
MUST_USE enum err stored_response_write_items(const struct store_response *response,
                                              struct arena *scratch, const struct stored_page *page,
                                              struct json_writer *w, struct error *error);
