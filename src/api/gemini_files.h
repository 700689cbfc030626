/* Gemini's files: under /v1 their path is shared, so that files.c hands its clients over. For the api
 * floor only. */
#pragma once

#include "api/request.h"

void gemini_list_files(struct api_request *request);
void gemini_get_file(struct api_request *request);
void gemini_delete_file(struct api_request *request);
