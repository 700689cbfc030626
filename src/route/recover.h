/* Recover: the requests that make another target go on with an answer that broke off. Pure. */
#pragma once

#include "llm/request.h"
#include "route/route.h"

/* The request for a mode, in the arena; shares everything unchanged with `request`. `partial`: the
 * text that was shown (borrowed). WHOLE and SPLICE: `request` itself. PREFILL: with the partial
 * answer as the last, unfinished, message of the assistant, without white space at its end (some
 * providers refuse it). CONTINUE: with the partial answer as a message of the assistant and a
 * user's message behind it that asks to go on exactly there, quoting its last words. A format asked for is left
 * out: the rest of a JSON document is none. An output limit is lowered by what `partial` took already (never below 1). */
const struct llm_request *recover_request(struct arena *arena, const struct llm_request *request,
                                          enum route_mode mode, struct str partial);
