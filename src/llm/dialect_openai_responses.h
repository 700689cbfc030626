/* OpenAI Responses: what the files of this dialect share. For them only. */
#pragma once

#include "llm/dialect_openai.h"

/* The one opaque kind of this dialect: a reasoning item's encrypted_content. */
#define RESPONSES_NAME      STR("openai_responses")
#define RESPONSES_ENCRYPTED STR("encrypted_content")

/* The encrypted content that a part may take along to `model` (empty: to anyone), or NULL. Only
 * the first one of a part can go. */
const struct llm_opaque *openai_responses_encrypted(const struct llm_part *part, struct str model);

/* dialect_openai_responses_encode.c, _decode.c: requests */
enum err openai_responses_encode_request(struct arena *arena, const struct llm_request *request,
                                         const struct dialect_target *target, struct buf *out,
                                         struct llm_losses *losses, struct error *error);
enum err openai_responses_decode_request(struct arena *arena, yyjson_val *root,
                                         struct llm_request *ret_request, struct error *error);

/* dialect_openai_responses_stream.c: reading answers */
struct dialect_decoder *openai_responses_decoder_new(struct arena *arena);
void openai_responses_decode_frame(struct dialect_decoder *decoder, struct arena *scratch,
                                   struct str type, struct str data, llm_emit_fn *emit, void *user);
void openai_responses_decode_end(struct dialect_decoder *decoder, llm_emit_fn *emit, void *user);
struct dialect_progress openai_responses_progress(const struct dialect_decoder *decoder);
enum err openai_responses_decode_response(struct arena *arena, struct str body,
                                          struct llm_response *ret_response,
                                          struct llm_error *ret_error);
/* The finish that a status means beside what the output holds. */
enum llm_finish openai_responses_finish(struct str status, struct str reason, bool has_calls,
                                        bool has_refusal);

/* dialect_openai_responses_write.c: the response object; _events.c: the stream around it */
struct openai_responses_head {
    struct str id, model;
    int64_t created_s;
    /* A message item that was begun in a provider's own bytes keeps the id it has there. */
    struct str item_id;
    int64_t item_number;
    struct llm_losses *losses; /* told at the end; may be NULL */
};
enum openai_responses_status { RESPONSES_IN_PROGRESS, RESPONSES_ENDED, RESPONSES_FAILED };
/* The response object as one value. IN_PROGRESS: without output; FAILED: with error. */
void openai_responses_put(struct json_writer *w, const struct openai_responses_head *head,
                          const struct llm_response *response, enum openai_responses_status status,
                          const struct llm_error *error);
/* "completed" or "incomplete", and the reason of the latter (or empty). */
struct str openai_responses_status_word(enum llm_finish finish, struct str *ret_reason);
void openai_responses_note_finish(enum llm_finish finish, struct str raw, bool has_calls,
                                  bool has_refusal, struct llm_losses *losses);
/* The members of one item's inside, for streams: see _write.c. `number`: the output index. */
void openai_responses_put_message_head(struct json_writer *w,
                                       const struct openai_responses_head *head, int64_t number,
                                       bool is_done);
void openai_responses_put_message_part(struct json_writer *w, enum llm_part_kind kind,
                                       struct str text);
void openai_responses_put_reasoning(struct json_writer *w, const struct openai_responses_head *head,
                                    int64_t number, const struct llm_part *part, bool is_done);
void openai_responses_put_call(struct json_writer *w, const struct openai_responses_head *head,
                               int64_t number, const struct llm_part *part, bool is_done);
void openai_responses_put_item_id(struct json_writer *w, const char *key,
                                  const struct openai_responses_head *head, enum llm_part_kind kind,
                                  int64_t number);
void openai_responses_encode_response(struct arena *arena, const struct llm_response *response,
                                      int64_t created_ms, struct buf *out,
                                      struct llm_losses *losses);
struct dialect_encoder *openai_responses_encoder_new(struct arena *arena, int64_t created_ms,
                                                     bool include_usage);
void openai_responses_encode_event(struct dialect_encoder *encoder, const struct llm_event *event,
                                   struct buf *out, struct llm_losses *losses);
const struct llm_response *openai_responses_encoded(const struct dialect_encoder *encoder);
