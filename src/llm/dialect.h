/* Dialect: one provider family's wire format, as a pure codec both ways. Used by our doors and by
 * providers alike. No descriptors, no clock. Facts come from the providers' documents (see each
 * dialect's file). */
#pragma once

#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "llm/losses.h"
#include "llm/request.h"
#include "llm/response.h"
#include "net/http.h"

/* Deviations of a provider from its dialect; a set of bits in its row. */
enum llm_quirk {
    LLM_QUIRK_MAX_TOKENS = 1 << 0, /* chat: send max_tokens, not max_completion_tokens */
    LLM_QUIRK_NO_DEVELOPER_ROLE = 1
                                  << 1, /* chat: system, never developer (all but api.openai.com) */
    LLM_QUIRK_NO_STREAM_OPTIONS = 1 << 2, /* chat: refuses stream_options */
    LLM_QUIRK_MISTRAL = 1 << 3,        /* 9-character call ids, random_seed, "any", strict fields */
    LLM_QUIRK_REASONING_BACK = 1 << 4, /* DeepSeek: reasoning_content on turns with calls */
    LLM_QUIRK_NO_SAMPLING = 1 << 5,    /* Anthropic 2026-10-21: no temperature, top_p, top_k */
    LLM_QUIRK_NO_NAME = 1 << 6,        /* Groq: messages[].name is a 400 */
    LLM_QUIRK_STORE_FALSE = 1 << 7 /* responses: send store:false, ask for encrypted reasoning */
};

/* What an encoder must know of where the request goes. */
struct dialect_target {
    struct str model;           /* as the provider names it */
    unsigned quirks;            /* set of llm_quirk */
    int64_t max_output_default; /* for dialects that need one (Anthropic); 0: 8192 */
    bool is_counted; /* the request is not answered: it has no such bound, and all room it wants */
};

/* Gives one event to whoever decodes; views are valid during the call. */
typedef void llm_emit_fn(void *user, const struct llm_event *event);

/* A model as a provider's list names it. Unknown numbers are 0. */
struct llm_model_info {
    struct str id;
    struct str display_name;
    int64_t context_tokens;
    int64_t output_tokens_max;
};

enum dialect_framing { DIALECT_SSE, DIALECT_NDJSON };

struct dialect_progress {
    unsigned malformed; /* frames that were skipped so far: they were not of this protocol */
    bool is_complete;   /* the answer's end was told, and only the end of the stream is to come:
                           decode_end would make it a whole answer */
};

struct dialect_decoder; /* of one streamed answer; in an arena; each dialect has its own */
struct dialect_encoder;

struct dialect {
    const char *name; /* "openai_chat", "openai_responses", "anthropic", "gemini", "ollama",
                         "ollama_generate" */
    enum dialect_framing framing; /* of its streams */
    bool errors_name_field;       /* its errors have a place for the field that is wrong */
    bool model_in_path;           /* a request's body has none */
    bool ends_with_body;          /* its streams have no mark of their end but the body's */
    /* Headers of a caller that speaks the same dialect which go on to the provider beside its
     * bytes; ends with NULL; NULL: none. */
    const char *const *forwarded;
    /* A further form of that dialect, which only doors speak: no provider has it for its own (nor an
     * encode_request), but those of that dialect take its bytes at this path. NULL: it is one. */
    const struct dialect *asked_of;
    const char *asked_path;

    /* ---- requests -------------------------------------------------------------------------------- */
    /* Appends the JSON body. What cannot be carried is noted in `losses` (may be NULL). The model
     * sent is target->model. request->stream decides the body's stream member where there is one.
     */
    enum err (*encode_request)(struct arena *arena, const struct llm_request *request,
                               const struct dialect_target *target, struct buf *out,
                               struct llm_losses *losses, struct error *error);
    /* Appends the body with marks for the provider to keep the prompt, see prompt_marks.h. NULL: its
     * providers keep prompts unasked, or not at all. */
    void (*mark_prompt)(struct str body, struct buf *out);
    /* From a parsed body (its values are only read during the call, its strings must live as long
     * as the arena: json_read_split). Strict: wrong types are ERR_INVALID with the path of the
     * field. For dialects whose body has no model or stream (Gemini: both are in the path) the
     * caller sets them afterwards. */
    enum err (*decode_request)(struct arena *arena, yyjson_val *root,
                               struct llm_request *ret_request, struct error *error);

    /* ---- whole answers --------------------------------------------------------------------------- */
    /* Appends the JSON body of a complete answer. `created_ms`: wall clock, for dialects that show
     * it. */
    void (*encode_response)(struct arena *arena, const struct llm_response *response,
                            int64_t created_ms, struct buf *out, struct llm_losses *losses);
    /* Tolerant: what providers really send. A body that is an error, or not an answer at all, gives
     * its class, with *ret_error filled. */
    enum err (*decode_response)(struct arena *arena, struct str body,
                                struct llm_response *ret_response, struct llm_error *ret_error);

    /* ---- streamed answers ------------------------------------------------------------------------ */
    struct dialect_decoder *(*decoder_new)(struct arena *arena);
    /* One frame: an SSE event (type may be empty) or an NDJSON line (type empty). Emits START
     * first, then whatever the frame holds. A malformed frame is skipped (the decoder counts them
     * and fails with ERR_SERVER after 16). After END or ERROR nothing more is emitted. `scratch` is
     * the decoder's to use during the call and may be reset afterwards; what it keeps is in its own
     * arena. For frame_shape.h: the text of a TEXT event is one string of the frame, on which nothing
     * else depends (but for its being empty), and of an object that gave one TEXT twice, and that has
     * no member named for calls, the decoder learns nothing more the third time. */
    void (*decode_frame)(struct dialect_decoder *decoder, struct arena *scratch, struct str type,
                         struct str data, llm_emit_fn *emit, void *user);
    /* The stream has ended. A complete answer ends with USAGE (if any), FINISH, END; an incomplete
     * one with ERROR (ERR_SERVER, "the answer was cut off") and END. Nothing if END came already.
     */
    void (*decode_end)(struct dialect_decoder *decoder, llm_emit_fn *emit, void *user);
    /* How far the decoder has got. */
    struct dialect_progress (*progress)(const struct dialect_decoder *decoder);

    struct dialect_encoder *(*encoder_new)(struct arena *arena, int64_t created_ms,
                                           bool include_usage);
    /* Appends the bytes (whole frames, with their framing) that this event becomes, perhaps none.
     * END appends the sentinel where there is one. An ERROR becomes the dialect's in-stream error.
     */
    void (*encode_event)(struct dialect_encoder *encoder, const struct llm_event *event,
                         struct buf *out, struct llm_losses *losses);

    /* The answer that an encoder has written so far; NULL where encoders do not build it beside. */
    const struct llm_response *(*encoded)(const struct dialect_encoder *encoder);

    /* ---- errors ---------------------------------------------------------------------------------- */
    /* Classifies a non-2xx answer (mapping.md section 8 as a table) from status, headers and body
     * (any bytes). */
    void (*decode_error)(struct arena *arena, int status, const struct http_headers *headers,
                         struct str body, struct llm_error *ret_error);
    /* Appends the JSON body of an error in this dialect's shape; returns the HTTP status it goes
     * with. */
    int (*encode_error)(const struct llm_error *error, struct buf *out);

    /* ---- models ---------------------------------------------------------------------------------- */
    enum err (*decode_models)(struct arena *arena, struct str body,
                              struct llm_model_info **ret_models, size_t *ret_count);
};

extern const struct dialect dialect_openai_chat;
extern const struct dialect dialect_openai_responses;
extern const struct dialect dialect_anthropic;
extern const struct dialect dialect_gemini;
extern const struct dialect dialect_ollama;
extern const struct dialect dialect_ollama_generate; /* a door's only */

/* All of them, NULL-terminated; for tables and tests. */
extern const struct dialect *const dialects[];
/* By name, or NULL. */
const struct dialect *dialect_find(struct str name);

/* ---- Shared by the dialects (dialect.c) ------------------------------------------------------ */
/* The retry hint of an answer in milliseconds, or -1: retry-after-ms, retry-after (seconds or date
 * relative to the Date header), x-ratelimit-reset-* (Go durations, seconds, RFC 3339), "try again
 * in 1.5s" in `message`. Capped at one day. */
int64_t dialect_retry_after_ms(const struct http_headers *headers, struct str message);
/* Parses "1.5s", "20ms", "6m0s", "1h2m3s": milliseconds, or -1. */
int64_t dialect_parse_duration_ms(struct str text);
/* The class by HTTP status alone, where nothing better is known. */
enum err dialect_class_of_status(int status);
/* Finds a message in any of the error shapes that servers send (error.message, error as a string,
 * message, detail[0].msg, detail, [{error}], raw text cut) and sets message (never empty, what
 * looks like a credential is masked), type, code and field. Class, retry_after_ms and request_id
 * stay untouched; http_status too, unless it is 0 or 200 and the code is a status (400 to 599). */
void dialect_fill_error(struct arena *arena, struct str body, struct llm_error *ret_error);
/* The same from a value that was parsed already: the object with the member "error", or the error
 * itself. */
void dialect_fill_error_value(struct arena *arena, yyjson_val *value, struct llm_error *ret_error);
/* Sets the header-borne fields of an error: http_status, retry_after_ms (with the hint in
 * ret_error->message), request_id (x-request-id, request-id, apim-request-id, ...). */
void dialect_fill_headers(int status, const struct http_headers *headers,
                          struct llm_error *ret_error);
/* An error of our own making, without anything else set. */
void dialect_error_set(struct llm_error *ret_error, enum err class, const char *message);
/* The error of an HTTP call that broke off: `status` of an answer that had begun, or 0. */
void dialect_error_of_transport(const struct error *error, int status, struct llm_error *ret_error);
/* Hides what looks like a credential, or names whose it is, in a text of any bytes: its length stays
 * the same. */
void dialect_mask_credentials(char *text, size_t len);
/* Builds the effective class from text that every family shares ("maximum context length", ...), or
 * ERR_OK when it says nothing. */
enum err dialect_class_of_text(struct str message);
/* For one pass over an object instead of a search for each member: keeps the value when its key is
 * `name` and none was kept before (the first one counts, as for json_get). */
static inline void dialect_take(yyjson_val **slot, struct str name, yyjson_val *key,
                                yyjson_val *value)
{
    if (unsafe_yyjson_get_len(key) == name.len && !*slot &&
        memcmp(unsafe_yyjson_get_str(key), name.data, name.len) == 0)
        *slot = value;
}
/* A made-up tool call id: "call_" and 24 of [A-Za-z0-9], derived from a counter and 64 random bits.
 */
struct str dialect_make_call_id(struct arena *arena);
