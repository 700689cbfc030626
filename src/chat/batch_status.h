/* Batch status: google.rpc.Status, in which Gemini's batches say why a request failed: a number where an
 * answer's error has the name of it. Pure. For the chat floor only. */
#pragma once

#include "base/json.h"
#include "llm/response.h"

/* `status`: an object; anything else gives ERR_SERVER. */
void batch_status_read(struct arena *arena, yyjson_val *status, struct llm_error *ret_error);
/* Writes the object. */
void batch_status_put(struct json_writer *w, const struct llm_error *error);
