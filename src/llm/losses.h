/* What an encoder could not carry over: named exactly, never silently. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "llm/request.h"

/* What was lost. Exactly so: whoever takes x and applies the losses that encode(x) reported, in
 * the order below, has decode(encode(x)); and none is reported that changes nothing. Each row of
 * the table in losses.c has the name that the caller sees.
 *
 * A field loss means: that field may have any value afterwards. The structural ones are applied
 * to the messages in this order, each step in the order of the original messages and parts:
 *  1. MESSAGE, PART: it is gone. They cover what else is lost in there (llm_losses_add forgets
 *     and ignores that), and a message that has no part left must be gone itself.
 *  2. MESSAGE_ROLE: it is a user's message now; its texts may stand inside a marker.
 *     PART_KIND: the refusal is a text part now.
 *  3. MESSAGE_MOVED: a system message goes to the front, behind the system messages that stand
 *     there; a tool message goes before the user messages directly before it.
 *  4. MESSAGE_BOUNDARY: its parts are appended to the message before it, which has the same role
 *     by now. A name of its own is lost too: report it.
 *  5. PART_ADDED: `part` is a tool call without result; an error result was made up for it, in
 *     the tool message behind it (a new one if there is none).
 *  6. PART_MOVED: it goes before the first part of its message that ranks higher: tool results,
 *     reasoning, then text, then media, then refusals, then tool calls. Tool results among
 *     themselves: a tool message with a PART_MOVED or PART_ADDED has its results in any order.
 *  7. PART_BOUNDARY: the text of a text, reasoning or refusal part is appended to the part before
 *     it, which is of the same kind by now. Opaque data of its own is lost too: report it.
 * The same holds for the parts of a response (5 does not occur there). */
enum llm_field {
    /* of the request */
    LLM_FIELD_TOOLS,       /* all tools (choice NONE where the dialect has no "none") */
    LLM_FIELD_TOOL_CHOICE, /* with its name */
    LLM_FIELD_PARALLEL_TOOL_CALLS,
    LLM_FIELD_FORMAT, /* all of the response format: kind, name, schema, ...; covers the next three
                       */
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
    LLM_FIELD_MESSAGE_MOVED,
    LLM_FIELD_MESSAGE_ROLE, /* it is a user's message now */
    LLM_FIELD_MESSAGE_NAME,
    /* of a part */
    LLM_FIELD_PART,          /* the whole part is gone */
    LLM_FIELD_PART_BOUNDARY, /* its text was appended to the part before it */
    LLM_FIELD_PART_MOVED,
    LLM_FIELD_PART_KIND,      /* a refusal became a text */
    LLM_FIELD_PART_OPAQUE,    /* some or all of it */
    LLM_FIELD_PART_NAME,      /* of a tool result */
    LLM_FIELD_PART_CALL_ID,   /* replaced by a mapped or made one */
    LLM_FIELD_PART_ARGUMENTS, /* not a JSON object, or empty: {} was sent */
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
    LLM_FIELD_RESPONSE_USAGE, /* all of it: unknown where the dialect must give numbers, or no
                                 place; covers the rest */
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
    int part;    /* of that message; of the response, as llm_builder counts its parts */
};

/* The list; one per encoding, in an arena. */
struct llm_losses {
    struct arena *arena;
    struct llm_loss *items;
    size_t count;
    size_t capacity;
    bool is_told; /* who encodes an answer says at its end what it holds: see llm_put_extension */
};

/* More are not noted: only a hostile request has so many. */
enum { LLM_LOSSES_MAX = 4096 };

void llm_losses_init(struct llm_losses *losses, struct arena *arena);
/* Notes a loss; the same one twice is kept once, and what a MESSAGE, PART, TOOLS, FORMAT or
 * RESPONSE_USAGE covers is not kept beside it. `losses` may be NULL (nobody asks). */
void llm_losses_add(struct llm_losses *losses, enum llm_field field, int message, int part);
/* Forgets every loss of that field: somebody makes up for it. */
void llm_losses_drop(struct llm_losses *losses, enum llm_field field);
/* Whether exactly this one was noted. */
bool llm_losses_has(const struct llm_losses *losses, enum llm_field field, int message, int part);
/* Appends the names, comma-separated, in the order noted: "seed, messages[2].name". Bounded by
 * `bytes_max` with ", ..." at the end: it goes into a header. */
void llm_losses_write(const struct llm_losses *losses, struct buf *out, size_t bytes_max);
/* Appends the names of the members that the request's decoder had no place for, behind what `out`
 * holds already, until that has `bytes_max`. */
void llm_unmapped_write(const struct llm_request *request, struct buf *out, size_t bytes_max);
