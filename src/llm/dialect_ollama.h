/* What the files of the Ollama dialect share. Private to dialect_ollama*.c. */
#pragma once

#include "llm/dialect.h"

/* ---- Messages (dialect_ollama_message.c): an assistant's stands in requests and in answers ----
 */

/* The one order in which a message reads back: thinking, content, images, calls. Notes what of the
 * parts is lost (message -1: of a response) and returns how many are carried. */
size_t ollama_note_parts(struct arena *arena, const struct llm_part *parts, size_t count,
                         enum llm_role role, int message, struct llm_losses *losses);
/* Writes a message that is no tool result: {"role":...,"content":...,...}. */
void ollama_write_message(struct json_writer *w, struct arena *arena, struct str role,
                          const struct llm_part *parts, size_t count);
/* Writes the members of an assistant's message as generate has them, in the answer itself:
 * "response":...,... */
void ollama_write_generated(struct json_writer *w, struct arena *arena,
                            const struct llm_part *parts, size_t count);
/* Writes one element of tool_calls; the arguments on one line, {} when they are no object. */
void ollama_write_call(struct json_writer *w, struct arena *arena, const struct llm_part *part,
                       int index);
/* Whether the text is a JSON object. */
bool ollama_is_object(struct arena *arena, struct str text);
/* The type of an image by its first bytes (as base64), or STR_NONE. */
struct str ollama_image_mime(struct str data);

/* ---- Answers --------------------------------------------------------------------------------- */

enum llm_finish ollama_finish(struct str done_reason, bool has_calls);
/* Writes done, done_reason and the counts. */
void ollama_write_done(struct json_writer *w, enum llm_finish finish, struct str raw,
                       bool has_calls, const struct llm_usage *usage, struct llm_losses *losses);
/* Writes model and created_at. */
void ollama_write_head(struct json_writer *w, struct str model, int64_t created_ms);
/* An error text as {"error":...} has it; `status` 0: in a stream. */
void ollama_error_read(struct arena *arena, yyjson_val *root, int status,
                       struct llm_error *ret_error);

enum err ollama_encode_request(struct arena *arena, const struct llm_request *request,
                               const struct dialect_target *target, struct buf *out,
                               struct llm_losses *losses, struct error *error);
enum err ollama_decode_request(struct arena *arena, yyjson_val *root,
                               struct llm_request *ret_request, struct error *error);
void ollama_encode_response(struct arena *arena, const struct llm_response *response,
                            int64_t created_ms, struct buf *out, struct llm_losses *losses);
/* The same for POST /api/generate, whose answers have the message's members in themselves. */
enum err ollama_generate_decode_request(struct arena *arena, yyjson_val *root,
                                        struct llm_request *ret_request, struct error *error);
void ollama_generate_encode_response(struct arena *arena, const struct llm_response *response,
                                     int64_t created_ms, struct buf *out,
                                     struct llm_losses *losses);
/* Of either, as are the lines of streams. */
enum err ollama_decode_response(struct arena *arena, struct str body,
                                struct llm_response *ret_response, struct llm_error *ret_error);
struct dialect_decoder *ollama_decoder_new(struct arena *arena);
void ollama_decode_frame(struct dialect_decoder *decoder, struct arena *scratch, struct str type,
                         struct str data, llm_emit_fn *emit, void *user);
/* The same for a line that is parsed already. */
void ollama_decode_value(struct dialect_decoder *decoder, struct arena *scratch, yyjson_val *root,
                         llm_emit_fn *emit, void *user);
void ollama_decode_end(struct dialect_decoder *decoder, llm_emit_fn *emit, void *user);
struct dialect_progress ollama_progress(const struct dialect_decoder *decoder);
struct dialect_encoder *ollama_encoder_new(struct arena *arena, int64_t created_ms,
                                           bool include_usage);
struct dialect_encoder *ollama_generate_encoder_new(struct arena *arena, int64_t created_ms,
                                                    bool include_usage);
void ollama_encode_event(struct dialect_encoder *encoder, const struct llm_event *event,
                         struct buf *out, struct llm_losses *losses);
