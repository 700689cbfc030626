/* Gemini's batches: made by a method of a model (doors.c); under /v1 their other paths are OpenAI's, too,
 * whose door hands Gemini's clients over. For the api floor only. */
#pragma once

#include "api/request.h"

/* POST of the method batchGenerateContent. */
void gemini_post_batch(struct api_request *request, struct str model);
void gemini_list_batches(struct api_request *request);
void gemini_get_batch(struct api_request *request);
