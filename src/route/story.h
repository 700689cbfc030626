/* Story: what there is to tell of a request beside who answered it: attempts that failed, and where
 * another target went on. Inside route only. */
#pragma once

#include "base/json.h"
#include "route/flow.h"

bool story_is_any(const struct flow *flow);
/* As route_write_story. */
void story_write(const struct flow *flow, struct json_writer *w);
