/* OpenAI Chat Completions: what the files of this dialect share. For them only. */
#pragma once

#include "llm/dialect_openai.h"

/* dialect_openai_chat_encode.c, _decode.c: requests */
enum err openai_chat_encode_request(struct arena *arena, const struct llm_request *request,
                                    const struct dialect_target *target, struct buf *out,
                                    struct llm_losses *losses, struct error *error);
enum err openai_chat_decode_request(struct arena *arena, yyjson_val *root,
                                    struct llm_request *ret_request, struct error *error);

/* dialect_openai_chat_stream.c: the tolerant reader of answers, whole or in pieces */
struct dialect_decoder *openai_chat_decoder_new(struct arena *arena);
void openai_chat_decode_frame(struct dialect_decoder *decoder, struct arena *scratch,
                              struct str type, struct str data, llm_emit_fn *emit, void *user);
void openai_chat_decode_end(struct dialect_decoder *decoder, llm_emit_fn *emit, void *user);
struct dialect_progress openai_chat_progress(const struct dialect_decoder *decoder);
enum err openai_chat_decode_response(struct arena *arena, struct str body,
                                     struct llm_response *ret_response,
                                     struct llm_error *ret_error);
/* What a finish_reason means beside what the answer holds; LLM_FINISH_ERROR when the provider gave
 * up (then *ret_error, which may be NULL, is its class). */
enum llm_finish openai_chat_finish(struct str reason, bool has_calls, bool has_refusal,
                                   enum err *ret_error);

/* dialect_openai_chat_write.c: answers, whole or in chunks */
void openai_chat_encode_response(struct arena *arena, const struct llm_response *response,
                                 int64_t created_ms, struct buf *out, struct llm_losses *losses);
struct dialect_encoder *openai_chat_encoder_new(struct arena *arena, int64_t created_ms,
                                                bool include_usage);
void openai_chat_encode_event(struct dialect_encoder *encoder, const struct llm_event *event,
                              struct buf *out, struct llm_losses *losses);
