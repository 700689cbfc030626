/* What OpenAI's two dialects share. For their files only. */
#pragma once

#include "llm/dialect.h"
#include "llm/reader.h"

/* ---- Words ---------------------------------------------------------------------------------- */
/* "none" ... "max"; NULL for UNSET. */
const char *openai_effort_name(enum llm_effort effort);
enum err openai_read_effort(struct llm_reader *reader, yyjson_val *value, void *field);

/* auto, none, required or (Mistral) any. */
enum err openai_read_choice_word(struct llm_reader *reader, struct str word,
                                 struct llm_request *request);
/* text, json_object or json_schema, into a struct llm_request. */
enum err openai_read_format_type(struct llm_reader *reader, yyjson_val *value, void *target);

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
/* A new part at the end of the last message if it has this role, else of a new message. *capacity:
 * of the last message's parts, kept by the caller for one role. */
struct llm_part *openai_tail_part(struct llm_reader *reader, struct openai_messages *messages,
                                  enum llm_role role, enum llm_part_kind kind, size_t *capacity);

/* The place that PART_MOVED in losses.h speaks of. */
int openai_part_rank(enum llm_part_kind kind);
/* Reports PART_MOVED for each kept part that stands behind one of higher rank. */
void openai_note_order(struct llm_losses *losses, int message, const struct llm_part *parts,
                       size_t count, const bool *kept);

/* Keeps book of the parts of a written answer whose reader builds parts from events: what has no
 * byte is gone, and neighbours of one kind become one unless opaque that is carried stands between.
 * Zero-initialise; begin each part, then its texts and opaque, then end. */
struct openai_book {
    bool is_open, is_empty, is_joined, is_closed; /* of the part that is being written */
    int part;
    enum llm_part_kind kind;
    bool has_head, head_is_closed; /* the part that a reader is at, before this one */
    int head;
    enum llm_part_kind head_kind;
};
void openai_book_begin(struct openai_book *book, int part, enum llm_part_kind kind,
                       struct llm_losses *losses);
void openai_book_text(struct openai_book *book, size_t bytes, struct llm_losses *losses);
/* carried: it is on the wire, and belongs to the part being written. */
void openai_book_opaque(struct openai_book *book, int part, bool carried,
                        struct llm_losses *losses);
void openai_book_end(struct openai_book *book, struct llm_losses *losses);

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

/* ---- Whole answers, read through the decoder of streams ---------------------------------------
 */
struct openai_collector {
    struct llm_builder *builder;
    enum err code;
};
/* An llm_emit_fn; user: the collector. */
void openai_collect(void *user, const struct llm_event *event);
/* What decode_response returns once the decoder has ended. */
enum err openai_collected(struct openai_collector *collector, struct llm_response *ret_response,
                          struct llm_error *ret_error);
/* A body that is no answer at all: fills *ret_error, returns its class. */
enum err openai_not_an_answer(struct arena *arena, struct str body, struct llm_error *ret_error);

/* ---- Errors and models: the same in both ------------------------------------------------------
 */
/* Sets class from type, code, http_status and message. */
void openai_classify(struct llm_error *error);
/* The error in a parsed body or frame, classified; http_status from its code where it has one. */
void openai_error_of_value(struct arena *arena, yyjson_val *value, struct llm_error *ret_error);
/* The members of {"error":{...}}'s inner object, without braces: message, type, param, code. */
void openai_put_error(struct json_writer *w, const struct llm_error *error);
/* The same for an object whose `type` says already that it is an error: without type. */
void openai_put_error_flat(struct json_writer *w, const struct llm_error *error);
void openai_decode_error(struct arena *arena, int status, const struct http_headers *headers,
                         struct str body, struct llm_error *ret_error);
int openai_encode_error(const struct llm_error *error, struct buf *out);
enum err openai_decode_models(struct arena *arena, struct str body,
                              struct llm_model_info **ret_models, size_t *ret_count);
