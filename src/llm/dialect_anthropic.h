/* What the files of the Anthropic dialect share. Private to dialect_anthropic*.c. */
#pragma once

#include "llm/dialect.h"

/* ---- The plan of a request's turns (dialect_anthropic_plan.c) -------------------------------- */

/* One content block to be written. */
struct anthropic_item {
    const struct llm_part *part; /* NULL: a made-up error result for the call `id` */
    int message;                 /* where it came from; -1 when made up */
    int index;
    struct str id;  /* TOOL_CALL and TOOL_RESULT: as it goes on the wire */
    bool is_marked; /* text of a later system message: goes into the marker */
};

struct anthropic_items {
    struct anthropic_item *items;
    size_t count;
    size_t capacity;
};

struct anthropic_turn {
    bool is_user;
    struct anthropic_items results; /* tool results: first in a user turn */
    struct anthropic_items others;
};

struct anthropic_plan {
    struct arena *arena;
    const struct llm_request *request;
    const struct dialect_target *target;
    struct llm_losses *losses;
    struct anthropic_items system;
    struct anthropic_turn *turns;
    size_t turn_count;
    size_t turn_capacity;
    struct anthropic_call *calls; /* in the order of the conversation */
    size_t call_count;
    size_t call_capacity;
    size_t calls_of_turn; /* the first call of the newest assistant turn */
    struct map *call_by_id;
    struct map *wire_ids; /* how often each wire id was used as a base */
};

/* Arranges the messages as turns that the API accepts, and notes every change. */
void anthropic_plan_make(struct anthropic_plan *plan, struct arena *arena,
                         const struct llm_request *request, const struct dialect_target *target,
                         struct llm_losses *losses);

/* ---- Blocks (dialect_anthropic_block.c) ------------------------------------------------------ */

/* Whether a part of a message of `role` can be carried; notes what of it, or all of it, is lost. */
bool anthropic_part_fits(const struct anthropic_plan *plan, int message, int index);
/* Writes a user's or assistant's item as content block(s). */
void anthropic_write_item(struct json_writer *w, struct arena *arena,
                          const struct dialect_target *target, const struct anthropic_item *item);
/* The opaque data of `kind` ("signature", "redacted") that this model understands, or NULL. */
const struct llm_opaque *anthropic_opaque(const struct llm_part *part, struct str kind,
                                          struct str model);
/* The arguments as a JSON object, or NULL when they are not one. */
yyjson_val *anthropic_arguments(struct arena *arena, struct str text);

/* "low" to "max"; false: another word. */
bool anthropic_effort_from_name(struct str name, enum llm_effort *ret);
/* The effort that a thinking budget stands for. */
enum llm_effort anthropic_effort_of_budget(int64_t budget);

/* ---- Answers (dialect_anthropic_response.c, _stream.c, _error.c) ----------------------------- */

/* Usage as the wire has it; -1: not given. */
struct anthropic_usage {
    int64_t input;
    int64_t cache_read;
    int64_t cache_write;
    int64_t output;
    int64_t thinking;
};
#define ANTHROPIC_USAGE_UNKNOWN ((struct anthropic_usage){-1, -1, -1, -1, -1})

/* Takes over what a usage object gives; null and absent keep what was known. */
void anthropic_usage_read(struct anthropic_usage *usage, yyjson_val *object);
struct llm_usage anthropic_usage_to_canonical(const struct anthropic_usage *usage);
/* Writes the usage object as the value of "usage". */
void anthropic_usage_write(struct json_writer *w, const struct llm_usage *usage,
                           struct llm_losses *losses);

enum llm_finish anthropic_finish(struct str stop_reason);
/* The stop reason to send; notes what it does not say. */
struct str anthropic_stop_reason(enum llm_finish finish, struct str raw, struct llm_losses *losses);

/* Where events go while a frame is decoded. */
struct anthropic_sink {
    struct arena *scratch;
    llm_emit_fn *emit;
    void *user;
};

/* The members of a message, or of the delta that ends one. */
struct anthropic_message {
    yyjson_val *id, *model, *content, *usage, *stop_reason, *stop_details;
};
struct anthropic_message anthropic_scan_message(yyjson_val *object);

/* The steps of a stream; whole answers take them too. A block of a whole answer is its own frame.
 */
void anthropic_take_start(struct dialect_decoder *decoder, const struct anthropic_sink *sink,
                          const struct anthropic_message *message);
void anthropic_block_start(struct dialect_decoder *decoder, const struct anthropic_sink *sink,
                           yyjson_val *frame);
void anthropic_block_stop(struct dialect_decoder *decoder, const struct anthropic_sink *sink,
                          yyjson_val *frame);
void anthropic_take_refusal(const struct anthropic_sink *sink,
                            const struct anthropic_message *message);
void anthropic_take_reason(struct dialect_decoder *decoder,
                           const struct anthropic_message *message);
void anthropic_take_stop(struct dialect_decoder *decoder, const struct anthropic_sink *sink,
                         yyjson_val *frame);

void anthropic_encode_response(struct arena *arena, const struct llm_response *response,
                               int64_t created_ms, struct buf *out, struct llm_losses *losses);
enum err anthropic_decode_response(struct arena *arena, struct str body,
                                   struct llm_response *ret_response, struct llm_error *ret_error);

struct dialect_decoder *anthropic_decoder_new(struct arena *arena);
void anthropic_decode_frame(struct dialect_decoder *decoder, struct arena *scratch, struct str type,
                            struct str data, llm_emit_fn *emit, void *user);
void anthropic_decode_end(struct dialect_decoder *decoder, llm_emit_fn *emit, void *user);
struct dialect_progress anthropic_progress(const struct dialect_decoder *decoder);
struct dialect_encoder *anthropic_encoder_new(struct arena *arena, int64_t created_ms,
                                              bool include_usage);
void anthropic_encode_event(struct dialect_encoder *encoder, const struct llm_event *event,
                            struct buf *out, struct llm_losses *losses);

enum err anthropic_encode_request(struct arena *arena, const struct llm_request *request,
                                  const struct dialect_target *target, struct buf *out,
                                  struct llm_losses *losses, struct error *error);
enum err anthropic_decode_request(struct arena *arena, yyjson_val *root,
                                  struct llm_request *ret_request, struct error *error);

void anthropic_decode_error(struct arena *arena, int status, const struct http_headers *headers,
                            struct str body, struct llm_error *ret_error);
/* All that a parsed error envelope says; `status` 0: there was none. */
void anthropic_error_read(struct arena *arena, yyjson_val *root, int status,
                          struct llm_error *ret_error);
int anthropic_encode_error(const struct llm_error *error, struct buf *out);
enum err anthropic_decode_models(struct arena *arena, struct str body,
                                 struct llm_model_info **ret_models, size_t *ret_count);
