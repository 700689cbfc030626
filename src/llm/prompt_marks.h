/* Prompt marks: tells a provider that keeps prompts only when told (Anthropic) what of a request is
 * worth being kept: the tools, the system prompt, and the conversation so far. Works on the body's
 * bytes, so that it is the same for a request that was encoded here and for one that passes through.
 * Pure. */
#pragma once

#include "base/buf.h"

/* Appends `body` (a valid request in Anthropic's form) to `out` with a mark ({"cache_control":
 * {"type": "ephemeral"}}) at the last tool, the last block of the system prompt, and the last block
 * of the last message of the user; every other byte stays. A text that cannot carry one becomes a
 * block with that text. A body with any mark of its caller's own stays as it is. */
void prompt_marks_add(struct str body, struct buf *out);
