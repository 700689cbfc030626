/* What OpenAI's two dialects share. For their files only. */
#pragma once

#include "base/map.h"
#include "llm/dialect.h"
#include "llm/encoder.h"
#include "llm/reader.h"

/* ---- Words ----------------------------------------------------------------------------------- */
/* "none" ... "max"; NULL for UNSET. */
const char *openai_effort_name(enum llm_effort effort);
enum err openai_read_effort(struct llm_reader *reader, yyjson_val *value, void *field);

/* auto, none, required or (Mistral) any. */
enum err openai_read_choice_word(struct llm_reader *reader, struct str word,
                                 struct llm_request *request);
/* text, json_object or json_schema, into a struct llm_request. */
enum err openai_read_format_type(struct llm_reader *reader, yyjson_val *value, void *target);

/* ---- JSON ------------------------------------------------------------------------------------ */
/* Whether the text may be embedded as it is where the API wants an object. */
bool openai_is_json_object(struct arena *arena, struct str text);
void openai_key_tristate(struct json_writer *w, const char *key, enum llm_tristate value);
void openai_key_double(struct json_writer *w, const char *key, struct llm_double value);

/* ---- Media ----------------------------------------------------------------------------------- */
/* Writes "data:<mime>;base64,<data>" as a string value. */
void openai_put_data_url(struct json_writer *w, const struct llm_media *media);
/* Reads a data: URL into mime and data; ERR_INVALID when it is not base64. */
enum err openai_read_data_url(struct llm_reader *reader, struct str url, struct llm_media *media);
/* A URL that may be a data: URL (field: struct llm_media). */
enum err openai_read_image_url(struct llm_reader *reader, yyjson_val *value, void *field);
/* "low", "high", "auto"; the Responses API also takes "original". */
bool openai_detail_ok(struct str detail, bool allow_original);

/* ---- Parts ----------------------------------------------------------------------------------- */
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

/* ---- Bodies of requests, written (dialect_openai_body.c) --------------------------------------
 */
/* One request on its way to a body. */
struct openai_encoder {
    struct arena *arena;
    struct json_writer w;
    const struct llm_request *request;
    const struct dialect_target *target;
    struct llm_losses *losses;
    struct map *names; /* of tool calls, by id */
};
/* What encode_request does around the members: put_members writes all but the model. */
enum err openai_put_body(struct openai_encoder *e, struct buf *out,
                         void (*put_members)(struct openai_encoder *e), struct error *error);
/* Whether the target has any of them. */
bool openai_has_quirk(const struct openai_encoder *e, unsigned quirks);
/* Notes a loss of the request as a whole; of a part. */
void openai_lose(struct openai_encoder *e, enum llm_field field);
void openai_lose_part(struct openai_encoder *e, enum llm_field field, int message, int part);
/* "" for an absent text. */
struct str openai_some(struct str text);
/* {"type":type,key:text} */
void openai_put_text_part(struct openai_encoder *e, const char *type, const char *key,
                          struct str text);
/* Notes the calls of a message, for the results that follow. */
void openai_note_calls(struct openai_encoder *e, const struct llm_message *message);
/* What a tool result loses in either API: a name that is not its call's, the mark of an error. */
void openai_note_result(struct openai_encoder *e, const struct llm_part *result, int message,
                        int part);
/* tools, tool_choice, parallel_tool_calls; the last two are refused where there are no tools. */
void openai_put_tools(struct openai_encoder *e,
                      void (*put_tool)(struct openai_encoder *e, const struct llm_tool *tool,
                                       int index),
                      void (*put_choice)(struct openai_encoder *e));
/* The word for a tool choice; NULL for UNSET and NAMED. */
const char *openai_choice_word(enum llm_tool_choice choice);
/* Of an object of type json_schema: name, description, schema, strict. */
void openai_put_schema(struct openai_encoder *e);

/* ---- Bodies of requests, read (dialect_openai_body.c) -----------------------------------------
 */
/* What is being read; what one API has beside it follows in a larger struct. */
struct openai_body {
    struct llm_request request; /* first: offsets of its members are those of the body */
    struct openai_messages messages;
    size_t tool_capacity;
    struct str legacy_user;
};
/* The members of a body; ERR_INVALID when there is no model. */
enum err openai_read_body(struct llm_reader *reader, yyjson_val *root,
                          const struct llm_member *members, size_t count, struct openai_body *body);
/* Hands the request over, once everything was read. */
void openai_body_done(struct openai_body *body, struct llm_request *ret_request);

/* A kind of part, by its type. */
struct openai_part_type {
    const char *type;
    enum err (*read)(struct llm_reader *reader, yyjson_val *value, struct openai_parts *parts);
};
/* A part through the row of its type; others are noted as unmapped. */
enum err openai_read_part(struct llm_reader *reader, yyjson_val *value, struct openai_parts *parts,
                          const struct openai_part_type *types, size_t count);
/* A part whose text is the member `key`, which the table reads into a struct llm_part. */
enum err openai_read_text_part(struct llm_reader *reader, yyjson_val *value,
                               struct openai_parts *parts, enum llm_part_kind kind,
                               const struct llm_member *members, size_t count, const char *key);
enum err openai_read_refusal_part(struct llm_reader *reader, yyjson_val *value,
                                  struct openai_parts *parts);
/* A data: URL (field: struct llm_media). */
enum err openai_read_file_data(struct llm_reader *reader, yyjson_val *value, void *field);
/* Whether a tool or a call is a function, as it is without type; others are noted as unmapped. */
bool openai_is_function(struct llm_reader *reader, yyjson_val *value);
struct llm_tool *openai_tool_add(struct llm_reader *reader, struct openai_body *body);
/* A word, or a function's name: in the object, or in its member "function". */
enum err openai_read_tool_choice(struct llm_reader *reader, yyjson_val *value,
                                 struct llm_request *request, bool is_nested);
/* Rows for the members that openai_put_schema writes; of a struct llm_request. */
#define OPENAI_SCHEMA_MEMBERS                                                                      \
    {"name", llm_read_str, offsetof(struct llm_request, format_name)},                             \
        {"description", llm_read_str, offsetof(struct llm_request, format_description)},           \
        {"schema", llm_read_json, offsetof(struct llm_request, format_schema)},                    \
    {                                                                                              \
        "strict", llm_read_tristate, offsetof(struct llm_request, format_strict)                   \
    }

/* ---- Usage ----------------------------------------------------------------------------------- */
/* The members of one API's usage object: to be read, and what is written up to each of them. */
struct openai_usage_names {
    struct str input, output, input_details, output_details;
    struct str to_input, to_input_details, to_output, to_output_details;
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
