/* Embeddings: one request for vectors through a door that speaks a provider's form. For the api floor
 * only. */
#pragma once

#include "api/request.h"
#include "llm/embedding.h"

/* Answers the request, in this form. `model`: what the path says, which lives as long as the exchange;
 * STR_NONE: the body says it. */
void embeddings_start(struct api_request *request, const struct embedding_codec *form,
                      struct str model);
