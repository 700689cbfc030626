/* What the files of the Gemini dialect share. Internal to src/llm/dialect_gemini*.c. */
#pragma once

#include "llm/dialect.h"

/* The name that its opaque data carries, and the one kind of it. */
#define GEMINI_NAME      STR("gemini")
#define GEMINI_SIGNATURE STR("thought_signature")
/* Stands in for a signature that was lost: Gemini 3 then does not insist. */
#define GEMINI_SENTINEL STR("skip_thought_signature_validator")

/* ---- dialect_gemini.c: reading, and parts, which requests and answers have in common --------- */

/* The member under its camelCase name or, as proto-JSON allows, under its snake_case name. */
yyjson_val *gemini_get(yyjson_val *object, const char *camel);
struct str gemini_get_str(yyjson_val *object, const char *camel);
/* "models/gemini-3" -> "gemini-3". */
struct str gemini_model_id(struct str name);
/* `text` when it is a JSON object (on one line: it may go into a frame), else STR_NONE. */
struct str gemini_object_text(struct arena *arena, struct str text);

/* Whether it is a signature of ours, made by `model` (empty: by any). */
bool gemini_is_signature(const struct llm_opaque *opaque, struct str model);
/* The first such of the part, or NULL. */
const struct llm_opaque *gemini_signature(const struct llm_part *part, struct str model);

/* Where losses of a part are noted. */
struct gemini_place {
    struct llm_losses *losses;
    int message; /* -1 in answers */
    int part;
};
void gemini_lose(const struct gemini_place *place, enum llm_field field);

/* What a reader makes of the texts of an answer: those of one kind run together, until a signature
 * comes. Writers of answers tell it what they write, and it notes which borders are lost. */
struct gemini_run {
    int kind; /* of the part that the reader builds, or -1 */
    int head; /* our part that it began with */
    int part; /* our part that went in last */
    bool is_sealed;
};
#define GEMINI_RUN_NONE ((struct gemini_run){-1, -1, -1, false})
void gemini_run_text(struct gemini_run *run, const struct gemini_place *place,
                     enum llm_part_kind kind);
void gemini_run_signature(struct gemini_run *run, const struct gemini_place *place,
                          enum llm_part_kind kind);

/* Writes {"text":...,"thought":true?,"thoughtSignature":...?}. */
void gemini_put_text(struct json_writer *w, struct str text, bool is_thought, struct str signature);
/* Writes {"functionCall":{...},"thoughtSignature":...?}; arguments that are no object become {},
 * and are noted. */
void gemini_put_call(struct arena *arena, struct json_writer *w, const struct llm_part *part,
                     struct str signature, const struct gemini_place *place);

/* ---- dialect_gemini_request.c, dialect_gemini_decode.c, dialect_gemini_schema.c -------------- */

enum err gemini_encode_request(struct arena *arena, const struct llm_request *request,
                               const struct dialect_target *target, struct buf *out,
                               struct llm_losses *losses, struct error *error);
/* The content list of the request (systemInstruction and contents): dialect_gemini_turns.c. */
void gemini_put_turns(struct arena *arena, struct json_writer *w, const struct llm_request *request,
                      const struct dialect_target *target, struct llm_losses *losses);
/* The effort that a thinkingConfig asks for. */
enum llm_effort gemini_effort_of_budget(int64_t budget);
enum llm_effort gemini_effort_of_level(struct str level);
/* Whether the model is of the third generation or newer: it insists on signatures. */
bool gemini_wants_signatures(struct str model);

enum err gemini_decode_request(struct arena *arena, yyjson_val *root,
                               struct llm_request *ret_request, struct error *error);
/* A schema in Gemini's own subset of OpenAPI 3.0 (upper-case types, nullable) as JSON Schema. */
struct str gemini_schema_text(struct arena *arena, yyjson_val *schema);

/* ---- dialect_gemini_response.c --------------------------------------------------------------- */

/* The canonical reason behind a finishReason; a STOP after calls means the calls. */
enum llm_finish gemini_finish(struct str word, bool has_calls);
/* The word to send for it: the provider's own when it is one of ours, else the nearest. Notes what
 * is lost. */
struct str gemini_finish_word(enum llm_finish finish, struct str raw, bool has_calls,
                              struct llm_losses *losses);
void gemini_usage_read(yyjson_val *metadata, struct llm_usage *usage);
bool gemini_usage_is_known(const struct llm_usage *usage);
/* Writes the member usageMetadata, unless nothing is known. */
void gemini_put_usage(struct json_writer *w, const struct llm_usage *usage,
                      struct llm_losses *losses);
/* Writes modelVersion and responseId. */
void gemini_put_names(struct json_writer *w, struct str model, struct str id);

void gemini_encode_response(struct arena *arena, const struct llm_response *response,
                            int64_t created_ms, struct buf *out, struct llm_losses *losses);
enum err gemini_decode_response(struct arena *arena, struct str body,
                                struct llm_response *ret_response, struct llm_error *ret_error);

/* ---- dialect_gemini_stream.c ----------------------------------------------------------------- */

struct dialect_decoder *gemini_decoder_new(struct arena *arena);
void gemini_decode_frame(struct dialect_decoder *decoder, struct arena *scratch, struct str type,
                         struct str data, llm_emit_fn *emit, void *user);
void gemini_decode_end(struct dialect_decoder *decoder, llm_emit_fn *emit, void *user);
struct dialect_progress gemini_progress(const struct dialect_decoder *decoder);
/* As gemini_decode_frame, for a value that is parsed already. */
void gemini_decode_value(struct dialect_decoder *decoder, struct arena *scratch, yyjson_val *root,
                         llm_emit_fn *emit, void *user);
/* A whole answer may lack its finishReason (an unspecified one is not written): it counts as one
 * of unknown reason instead of as cut off. */
void gemini_decoder_is_whole(struct dialect_decoder *decoder);
struct dialect_encoder *gemini_encoder_new(struct arena *arena, int64_t created_ms,
                                           bool include_usage);
void gemini_encode_event(struct dialect_encoder *encoder, const struct llm_event *event,
                         struct buf *out, struct llm_losses *losses);

/* ---- dialect_gemini_error.c ------------------------------------------------------------------ */

void gemini_decode_error(struct arena *arena, int status, const struct http_headers *headers,
                         struct str body, struct llm_error *ret_error);
/* Classifies a parsed error body; `status` 0: take the one that the error states. */
void gemini_read_error(struct arena *arena, int status, const struct http_headers *headers,
                       yyjson_val *error, struct llm_error *ret_error);
/* The error object in a body, which may be wrapped in a one-element array; NULL: there is none. */
yyjson_val *gemini_find_error(yyjson_val *root);
int gemini_encode_error(const struct llm_error *error, struct buf *out);
enum err gemini_decode_models(struct arena *arena, struct str body,
                              struct llm_model_info **ret_models, size_t *ret_count);
