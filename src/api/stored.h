/* Stored: what the doors of files and batches share: ids with the prefixes of their dialects, pages,
 * addresses of our own, and a file's content as an answer. For the api floor only. */
#pragma once

#include "api/request.h"
#include "chat/files.h"
#include "chat/stored_response.h"

/* Parameter `index` as an id, with or without one of the prefixes that the dialects write in front
 * of it ("file-", "file_", "files/", "batch_", "msgbatch_", "batches/"); fails the request (ERR_NOT_FOUND) and returns
 * false when it is none. */
bool stored_parameter_id(struct api_request *request, int index, struct id *ret);
/* The same of any text: false when it is none. */
bool stored_id(struct str text, struct id *ret);

/* A query's number within 1 to `maximum`; `fallback` when absent. Fails the request and returns
 * false when it is anything else. */
bool stored_query_limit(struct api_request *request, uint64_t fallback, uint64_t maximum,
                        size_t *ret);
/* The same of Gemini's pageSize, where more than `maximum` means that. */
bool stored_query_page_size(struct api_request *request, uint64_t fallback, uint64_t maximum,
                            size_t *ret);
/* A query's id; absent: none. Likewise. */
bool stored_query_id(struct api_request *request, const char *name, struct id *ret);

/* ?limit= (20; 1 to 100), ?order= (desc) and ?after= of a list of items. */
MUST_USE enum err stored_read_page(struct api_request *request, struct stored_page *ret,
                                   struct error *error);
/* A member of up to 16 texts, as JSON of up to 16 KiB; when absent or null *ret stays as it is. */
MUST_USE enum err stored_read_metadata(struct arena *arena, yyjson_val *metadata, struct str *ret,
                                       struct error *error);

/* The address that the caller reached us by: "https://host:port", in the request's arena. */
struct str stored_origin(struct api_request *request);
/* A time as a number of seconds, as OpenAI writes it; 0 (never) writes null. */
void stored_key_seconds(struct json_writer *w, const char *key, int64_t wall_ms);

/* Answers with the content of a file, in pieces, as fast as the client takes them. */
void stored_send(struct api_request *request, const struct store_file *file,
                 const char *content_type);
/* The same for a file of the caller's that is still to be found. */
void stored_send_by_id(struct api_request *request, const struct id *id, const char *content_type);
