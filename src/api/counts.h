/* Counts: how many tokens a request has, through a door that speaks a provider's form. For the api floor
 * only. */
#pragma once

#include "api/request.h"

/* Answers the request, in this dialect's form (of counting_form_of). `model`: what the path says, which
 * lives as long as the exchange; STR_NONE: the body says it. */
void counts_start(struct api_request *request, const struct dialect *dialect, struct str model);
