/* The canonical request: what a person or a program asks of a model, free of any provider's form.
 * Every dialect decodes into it and encodes from it. All views live as long as the arena (or the
 * bytes) they were decoded from. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

enum llm_role { LLM_SYSTEM, LLM_USER, LLM_ASSISTANT, LLM_TOOL };

/* Where a part came from: guardrails treat them differently. Never sent to a provider, so no codec
 * carries it: decoding gives LLM_ORIGIN_TYPED (tool results: LLM_ORIGIN_TOOL), comparing ignores
 * it. */
enum llm_origin { LLM_ORIGIN_TYPED, LLM_ORIGIN_ATTACHED, LLM_ORIGIN_TOOL, LLM_ORIGIN_WEB };

enum llm_part_kind {
    LLM_PART_TEXT,
    LLM_PART_IMAGE,
    LLM_PART_DOCUMENT,
    LLM_PART_AUDIO,
    LLM_PART_REASONING,
    LLM_PART_TOOL_CALL,
    LLM_PART_TOOL_RESULT,
    LLM_PART_REFUSAL
};

/* Opaque data that only the dialect which made it understands: signatures, redacted or encrypted
 * reasoning. Kept verbatim, sent back to the same dialect and model only. */
struct llm_opaque {
    struct str dialect; /* name of the dialect it came from: "anthropic", "gemini", ... */
    struct str model;   /* the model that made it, or empty when unknown */
    struct str kind;    /* "signature", "redacted", "encrypted_content", "thought_signature", ... */
    struct str data;    /* text as it stood on the wire */
};

/* An image, document or sound. Exactly one of data, url and file_id is set. */
struct llm_media {
    struct str mime;     /* "image/png"; may be empty for url and file_id */
    struct str data;     /* standard base64 text, padded, without white space or a data: prefix */
    struct str url;      /* http(s) */
    struct str file_id;  /* of the provider's own file store */
    struct str filename; /* may be empty */
    struct str detail;   /* images: "low", "high", "auto", "original" or empty */
};

struct llm_part {
    enum llm_part_kind kind;
    enum llm_origin origin;
    struct str text;          /* TEXT, REASONING (may be empty beside opaque), REFUSAL */
    struct llm_media media;   /* IMAGE, DOCUMENT, AUDIO */
    struct str call_id;       /* TOOL_CALL, TOOL_RESULT */
    struct str name;          /* TOOL_CALL; TOOL_RESULT: may be empty when unknown */
    struct str arguments;     /* TOOL_CALL: JSON text exactly as made, perhaps not valid */
    struct llm_part *content; /* TOOL_RESULT: TEXT, IMAGE and DOCUMENT parts */
    size_t content_count;
    bool is_error;             /* TOOL_RESULT */
    struct llm_opaque *opaque; /* REASONING, TOOL_CALL, TEXT */
    size_t opaque_count;
};

struct llm_message {
    enum llm_role role;
    struct str name; /* of the participant; usually empty */
    struct llm_part *parts;
    size_t part_count;
};

/* A value that may be absent. */
struct llm_int {
    bool is_set;
    int64_t value;
};
struct llm_double {
    bool is_set;
    double value;
};
enum llm_tristate { LLM_UNSET, LLM_FALSE, LLM_TRUE };

struct llm_tool {
    struct str name;
    struct str description; /* may be empty */
    struct str schema;      /* JSON Schema of the parameters as JSON text; empty: none */
    enum llm_tristate strict;
};

enum llm_tool_choice {
    LLM_TOOL_CHOICE_UNSET,
    LLM_TOOL_CHOICE_AUTO,
    LLM_TOOL_CHOICE_NONE,
    LLM_TOOL_CHOICE_REQUIRED,
    LLM_TOOL_CHOICE_NAMED /* tool_choice_name */
};

enum llm_format { LLM_FORMAT_UNSET, LLM_FORMAT_TEXT, LLM_FORMAT_JSON, LLM_FORMAT_SCHEMA };

/* How hard to think. Ordered. */
enum llm_effort {
    LLM_EFFORT_UNSET,
    LLM_EFFORT_NONE,
    LLM_EFFORT_MINIMAL,
    LLM_EFFORT_LOW,
    LLM_EFFORT_MEDIUM,
    LLM_EFFORT_HIGH,
    LLM_EFFORT_XHIGH,
    LLM_EFFORT_MAX
};

struct llm_request {
    struct str model;
    struct llm_message *messages; /* the system's among them, in order */
    size_t message_count;
    struct llm_tool *tools;
    size_t tool_count;
    enum llm_tool_choice tool_choice;
    struct str tool_choice_name;
    enum llm_tristate parallel_tool_calls;
    enum llm_format format;
    struct str format_name;        /* FORMAT_SCHEMA; may be empty */
    struct str format_description; /* FORMAT_SCHEMA; may be empty */
    struct str format_schema;      /* FORMAT_SCHEMA: JSON text */
    enum llm_tristate format_strict;
    enum llm_effort effort;
    struct llm_int max_output_tokens;
    struct llm_int seed;
    struct llm_int top_k;
    struct llm_double temperature;
    struct llm_double top_p;
    struct llm_double frequency_penalty;
    struct llm_double presence_penalty;
    struct str *stops;
    size_t stop_count;
    struct str user; /* opaque id of the end user */
    bool stream;
    bool stream_usage; /* OpenAI chat doors: the caller asked for usage in the stream */

    /* Paths of members that the decoder saw and the canonical model has no place for
     * ("logit_bias", "messages[2].audio"): lost unless the same dialect is passed through. */
    struct str *unmapped;
    size_t unmapped_count;
};

/* Whether two requests mean the same: every field but origin and unmapped; JSON texts (schemas,
 * arguments) compare as JSON values, or as text when not valid; an opaque's empty (unknown) model
 * equals any. Scratch memory from `arena`. */
bool llm_request_equal(struct arena *arena, const struct llm_request *a,
                       const struct llm_request *b);
bool llm_message_equal(struct arena *arena, const struct llm_message *a,
                       const struct llm_message *b);
bool llm_parts_equal(struct arena *arena, const struct llm_part *a, size_t a_count,
                     const struct llm_part *b, size_t b_count);

/* ---- Canonical form of tool results ----------------------------------------------------------
 * Tool results stand in messages of role LLM_TOOL, which hold nothing else; decoders put the
 * results of one turn into one such message (they join neighbours), and what a user says beside
 * them into a message of its own behind it. Where a wire form has no name at a result, decoders
 * take it from the call with the same id, so an encoder loses LLM_FIELD_PART_NAME only when the
 * part's name differs from that. */

/* Which call id has which name: a map that is fed the parts in order (they are borrowed by it), NULL at
 * first; most requests have no calls. A later call with the same id wins. Free with map_free. */
struct map;
void llm_call_names_note(struct map **names, const struct llm_part *part);
/* The name of the latest call with that id, or STR_NONE. */
struct str llm_call_names_find(const struct map *names, struct str call_id);
/* Gives every tool result without a name that of its call, if the call came before it. */
void llm_request_name_results(struct llm_request *request);
