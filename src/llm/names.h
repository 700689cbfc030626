/* Names of models: whether what a provider calls a model is one that a table of ours knows. Pure,
 * any thread. */
#pragma once

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
