/* Names of models: whether what a provider calls a model is one that a table of ours knows. Pure,
 * any thread. */
#pragma once

#include <stdbool.h>

#include "base/str.h"

enum llm_name_match {
    LLM_NAME_OTHER,
    LLM_NAME_SIMILAR, /* the known one, dated, tagged or behind a vendor's name */
    LLM_NAME_SAME
};

/* Similar is a known name (with '.' and '-' for the same thing) after an optional "vendor/", with
 * any of "-latest", "-preview", "-DATE", "@DATE" and ":tag" behind it: "openai/gpt-5.5-2026-05-01",
 * "claude-sonnet-5@20260601", "anthropic/claude-sonnet-4.6:beta". A further number is another
 * model: "claude-sonnet-5-5" is not "claude-sonnet-5". */
enum llm_name_match llm_name_match(struct str model, struct str known);

/* For walking a table: the bytes that a known name must begin with to be a model's at all. */
struct llm_name_firsts {
    char of_all;       /* the model's first; 0: it is empty */
    char behind_slash; /* the first behind its first slash; 0: there is none */
};
struct llm_name_firsts llm_name_firsts(struct str model);
static inline bool llm_name_may_match(struct llm_name_firsts firsts, const char *known)
{
    return known[0] == firsts.of_all || known[0] == firsts.behind_slash;
}
