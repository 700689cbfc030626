/* Traits: what is known of a model beforehand: how much it takes, and what it can be given. Pure,
 * any thread. What is not known is UNSET or 0 and forbids nothing. */
#pragma once

#include <stdint.h>

#include "llm/provider.h"
#include "llm/request.h"

struct llm_traits {
    int64_t context_tokens; /* input window; 0: unknown */
    int64_t output_tokens_max;
    enum llm_tristate images;
    enum llm_tristate documents;
    enum llm_tristate audio;
    enum llm_tristate tools;
    enum llm_tristate prefill; /* a last assistant message is continued, not answered */
};

/* Looks the model up in the table; `context_tokens` is what the provider lists (0: nothing), which
 * wins over the table's. */
void llm_traits_find(const struct provider_kind *kind, struct str model, int64_t context_tokens,
                     struct llm_traits *ret_traits);

/* What a request needs of whoever answers it. */
struct llm_needs {
    int64_t input_tokens;  /* estimated */
    int64_t output_tokens; /* asked for at most; 0: not said */
    bool images;
    bool documents;
    bool audio;
    bool tools;
};
void llm_needs_of(const struct llm_request *request, struct llm_needs *ret_needs);
/* Whether such a request can be sent there as far as known. NULL in *ret_lacks (may be NULL) when
 * it can, else what is lacking, for a person: "images", "a context of 200000 tokens", ... (a string
 * that lives for ever). */
bool llm_traits_fit(const struct llm_traits *traits, const struct llm_needs *needs,
                    const char **ret_lacks);
