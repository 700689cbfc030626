/* What an encoder could not carry over: named exactly, never silently. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"

/* What was lost. Each row of the table in losses.c has the name that the caller sees. */
enum llm_field {
    /* of the request */
    LLM_FIELD_TOOLS, /* all tools (choice NONE where the dialect has no "none") */
    LLM_FIELD_TOOL_CHOICE,
    LLM_FIELD_PARALLEL_TOOL_CALLS,
    LLM_FIELD_FORMAT, /* all of the response format */
    LLM_FIELD_FORMAT_NAME,
    LLM_FIELD_FORMAT_DESCRIPTION,
    LLM_FIELD_FORMAT_STRICT,
    LLM_FIELD_EFFORT,            /* dropped, or the nearest one taken */
    LLM_FIELD_MAX_OUTPUT_TOKENS, /* also: was absent and the dialect needs one */
    LLM_FIELD_SEED,
    LLM_FIELD_TOP_K,
    LLM_FIELD_TEMPERATURE, /* dropped or clamped */
    LLM_FIELD_TOP_P,
    LLM_FIELD_FREQUENCY_PENALTY,
    LLM_FIELD_PRESENCE_PENALTY,
    LLM_FIELD_STOPS,
    LLM_FIELD_USER,
    LLM_FIELD_STREAM_USAGE,
    /* of a tool definition: `message` is its index */
    LLM_FIELD_TOOL_DESCRIPTION,
    LLM_FIELD_TOOL_SCHEMA, /* changed */
    LLM_FIELD_TOOL_STRICT,
    /* of a message */
    LLM_FIELD_MESSAGE,          /* the whole message is gone */
    LLM_FIELD_MESSAGE_BOUNDARY, /* its parts were appended to the message before it */
    LLM_FIELD_MESSAGE_MOVED,    /* a system message went to the front, behind earlier ones moved */
    LLM_FIELD_MESSAGE_ROLE,     /* it is a user's message now */
    LLM_FIELD_MESSAGE_NAME,
    /* of a part */
    LLM_FIELD_PART,          /* the whole part is gone */
    LLM_FIELD_PART_BOUNDARY, /* a text part was appended to the text part before it */
    LLM_FIELD_PART_MOVED,    /* tool results went before the other parts of the turn */
    LLM_FIELD_PART_OPAQUE,
    LLM_FIELD_PART_NAME,      /* of a tool result */
    LLM_FIELD_PART_CALL_ID,   /* replaced by a mapped or made one */
    LLM_FIELD_PART_ARGUMENTS, /* not a JSON object: {} was sent */
    LLM_FIELD_PART_IS_ERROR,
    LLM_FIELD_PART_CONTENT, /* of a tool result: parts joined or dropped inside it */
    LLM_FIELD_PART_MIME,
    LLM_FIELD_PART_FILENAME,
    LLM_FIELD_PART_DETAIL,
    LLM_FIELD_PART_ADDED, /* a part made up by us: error result for an orphan call */
    /* of a response */
    LLM_FIELD_RESPONSE_ID,
    LLM_FIELD_RESPONSE_MODEL,
    LLM_FIELD_RESPONSE_FINISH, /* the nearest one taken */
    LLM_FIELD_RESPONSE_FINISH_RAW,
    LLM_FIELD_RESPONSE_USAGE, /* unknown, and the dialect must give numbers, or it has no place */
    LLM_FIELD_RESPONSE_USAGE_CACHE_READ,
    LLM_FIELD_RESPONSE_USAGE_CACHE_WRITE,
    LLM_FIELD_RESPONSE_USAGE_REASONING,
    LLM_FIELD_RESPONSE_USAGE_ESTIMATED,
    LLM_FIELD_COUNT
};

/* One loss. Indices are those of the value that was given to the encoder; -1: does not apply. */
struct llm_loss {
    enum llm_field field;
    int message; /* or the tool's index; -1 for the request's and response's own fields */
    int part;    /* of that message, or of the response */
};

/* The list; one per encoding, in an arena. */
struct llm_losses {
    struct arena *arena;
    struct llm_loss *items;
    size_t count;
    size_t capacity;
};

void llm_losses_init(struct llm_losses *losses, struct arena *arena);
/* Notes a loss; the same one twice is kept once. `losses` may be NULL (nobody asks). */
void llm_losses_add(struct llm_losses *losses, enum llm_field field, int message, int part);
/* Whether exactly this one was noted. */
bool llm_losses_has(const struct llm_losses *losses, enum llm_field field, int message, int part);
/* Appends the names, comma-separated, in the order noted: "seed, messages[2].name". Bounded by
 * `bytes_max` with ", ..." at the end: it goes into a header. */
void llm_losses_write(const struct llm_losses *losses, struct buf *out, size_t bytes_max);
