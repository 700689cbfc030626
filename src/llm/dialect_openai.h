/* What OpenAI's two dialects share. For their files only. */
#pragma once

#include "llm/dialect.h"
#include "llm/reader.h"

/* ---- Words ---------------------------------------------------------------------------------- */
/* "none" ... "max"; NULL for UNSET. */
const char *openai_effort_name(enum llm_effort effort);
enum err openai_read_effort(struct llm_reader *reader, yyjson_val *value, void *field);

/* ---- JSON ----------------------------------------------------------------------------------- */
/* Whether the text may be embedded as it is where the API wants an object. */
bool openai_is_json_object(struct arena *arena, struct str text);
void openai_key_tristate(struct json_writer *w, const char *key, enum llm_tristate value);
void openai_key_double(struct json_writer *w, const char *key, struct llm_double value);

/* ---- Media ---------------------------------------------------------------------------------- */
/* Writes "data:<mime>;base64,<data>" as a string value. */
void openai_put_data_url(struct json_writer *w, const struct llm_media *media);
/* Reads a data: URL into mime and data; ERR_INVALID when it is not base64. */
enum err openai_read_data_url(struct llm_reader *reader, struct str url, struct llm_media *media);
/* A URL that may be a data: URL (field: struct llm_media). */
enum err openai_read_image_url(struct llm_reader *reader, yyjson_val *value, void *field);
/* "low", "high", "auto"; the Responses API also takes "original". */
bool openai_detail_ok(struct str detail, bool allow_original);

/* ---- Parts ---------------------------------------------------------------------------------- */
/* Growing arrays of a message that is being read. */
struct openai_parts {
    struct llm_part *items;
    size_t count, capacity;
};
struct llm_part *openai_part_add(struct llm_reader *reader, struct openai_parts *parts,
                                 enum llm_part_kind kind);
struct openai_messages {
    struct llm_message *items;
    size_t count, capacity;
};
/* A new message with these parts. */
void openai_message_add(struct llm_reader *reader, struct openai_messages *messages,
                        enum llm_role role, struct str name, const struct openai_parts *parts);
/* Appends a tool result to the tool message at the end, or a new one. */
struct llm_part *openai_result_add(struct llm_reader *reader, struct openai_messages *messages,
                                   size_t *capacity);

/* The place that PART_MOVED in losses.h speaks of. */
int openai_part_rank(enum llm_part_kind kind);
/* Reports PART_MOVED for each kept part that stands behind one of higher rank. */
void openai_note_order(struct llm_losses *losses, int message, const struct llm_part *parts,
                       size_t count, const bool *kept);

/* ---- Usage ---------------------------------------------------------------------------------- */
/* The members of one API's usage object. */
struct openai_usage_names {
    const char *input, *output, *input_details, *output_details;
};
extern const struct openai_usage_names openai_chat_usage;
extern const struct openai_usage_names openai_responses_usage;
bool openai_usage_is_known(const struct llm_usage *usage);
/* The usage object; unknown totals are written as 0. */
void openai_put_usage(struct json_writer *w, const struct openai_usage_names *names,
                      const struct llm_usage *usage);
void openai_note_usage(const struct llm_usage *usage, struct llm_losses *losses);
/* Tolerant; false when there is none. */
bool openai_get_usage(yyjson_val *object, const struct openai_usage_names *names,
                      struct llm_usage *ret_usage);

/* ---- Errors and models: the same in both ------------------------------------------------------
 */
/* Sets class from type, code, http_status and message. */
void openai_classify(struct llm_error *error);
/* The error in a parsed body or frame, classified; http_status from its code where it has one. */
void openai_error_of_value(struct arena *arena, yyjson_val *value, struct llm_error *ret_error);
/* The members of {"error":{...}}'s inner object, without braces: message, type, param, code. */
void openai_put_error(struct json_writer *w, const struct llm_error *error);
void openai_decode_error(struct arena *arena, int status, const struct http_headers *headers,
                         struct str body, struct llm_error *ret_error);
int openai_encode_error(const struct llm_error *error, struct buf *out);
enum err openai_decode_models(struct arena *arena, struct str body,
                              struct llm_model_info **ret_models, size_t *ret_count);
