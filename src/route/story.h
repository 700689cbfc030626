/* Story: what there is to tell of a request beside who answered it: attempts that failed, and where
 * another target went on. Inside route only. */
#pragma once

#include "base/json.h"
#include "route/flow.h"

/* Everything that makes the story longer counts; 0: nothing has failed, there is none. */
size_t story_length(const struct flow *flow);
/* As route_write_story. */
void story_write(const struct flow *flow, size_t text_before, struct json_writer *w);
