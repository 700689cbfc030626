/* The canonical answer: events while it streams, a response once it is whole, its usage and its
 * errors. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "llm/request.h"

/* Why an answer ended. */
enum llm_finish {
    LLM_FINISH_NONE, /* it did not end yet */
    LLM_FINISH_STOP,
    LLM_FINISH_LENGTH,
    LLM_FINISH_TOOL_CALLS,
    LLM_FINISH_CONTENT_FILTERED,
    LLM_FINISH_PAUSED,
    LLM_FINISH_ERROR,
    LLM_FINISH_OTHER,
    LLM_FINISH_COUNT
};

/* "stop", "length", ... for our own protocol and storage; and back (LLM_FINISH_OTHER if unknown).
 */
const char *llm_finish_name(enum llm_finish finish);
enum llm_finish llm_finish_from_name(struct str name);

/* Token counts. read and write are parts of input_total, reasoning of output_total. -1: unknown. */
struct llm_usage {
    int64_t input_total;
    int64_t input_cache_read;
    int64_t input_cache_write;
    int64_t output_total;
    int64_t output_reasoning;
    bool is_estimated; /* the provider gave none: counted by us */
};
#define LLM_USAGE_UNKNOWN ((struct llm_usage){-1, -1, -1, -1, -1, false})

/* What a provider did wrong, or said was wrong. Never holds a credential. */
struct llm_error {
    enum err class;  /* one of the provider classes of enum err, or ERR_INVALID, ERR_NETWORK, ... */
    int http_status; /* what the provider answered; 0 when there was no answer */
    int64_t retry_after_ms; /* its hint, or -1 */
    char type[64];          /* its own words, for the log and for a door of the same dialect */
    char code[64];
    char field[128];    /* the parameter it names, or "" */
    char message[1024]; /* its text, cut, UTF-8 */
    char request_id[96];
};

/* Of that class, with nothing else said; does not touch all of its bytes. */
static inline void llm_error_init(struct llm_error *error, enum err class)
{
    error->class = class;
    error->http_status = 0;
    error->retry_after_ms = -1;
    error->type[0] = error->code[0] = error->field[0] = '\0';
    error->message[0] = error->request_id[0] = '\0';
}

enum llm_event_kind {
    LLM_EVENT_START,          /* id, model: once, first; usage: when is_whole */
    LLM_EVENT_TEXT,           /* text: an increment of the answer */
    LLM_EVENT_REASONING,      /* text: an increment of the reasoning */
    LLM_EVENT_REFUSAL,        /* text: an increment of a refusal */
    LLM_EVENT_OPAQUE,         /* opaque: belongs to the part that is being built (see below) */
    LLM_EVENT_TOOL_START,     /* index, id (made if the provider gave none), name */
    LLM_EVENT_TOOL_ARGUMENTS, /* index, text: an increment of the arguments' JSON text */
    LLM_EVENT_TOOL_END,       /* index: its arguments are whole */
    LLM_EVENT_USAGE,          /* usage: replaces what was known */
    LLM_EVENT_FINISH,         /* finish, finish_raw: once */
    LLM_EVENT_ERROR,          /* error: the answer failed; nothing but END follows */
    LLM_EVENT_END             /* once, last: after FINISH (a whole answer) or ERROR */
};

/* One thing that happened in an answer. Views are valid during the callback. */
struct llm_event {
    enum llm_event_kind kind;
    int index; /* TOOL_*: 0, 1, ... in order of their start */
    struct str text;
    struct str id;    /* START: the provider's id of the answer; TOOL_START: the call's */
    struct str name;  /* TOOL_START */
    struct str item;  /* TEXT: the provider's id of the item that holds it, where it has items */
    struct str model; /* START: the model that answers, as the provider names it; may be empty */
    struct llm_opaque opaque;
    struct llm_usage usage;
    enum llm_finish finish;
    struct str finish_raw; /* the provider's word */
    struct str extension; /* FINISH: a JSON object of Parley's own to be shown beside it, or none */
    const struct llm_error *error;
    /* The answer has come whole: the views of all its events are valid until END has been told, and
     * its START has the usage too. */
    bool is_whole;
};

/* Whether an event of this kind is content: something of the answer itself, which pings, starts and
 * counts are not. */
bool llm_event_is_content(enum llm_event_kind kind);

/* Parts are built from events by llm_builder so: TEXT, REASONING, REFUSAL append to the last part
 * when it has that kind and no opaque came since, else begin a new one (an empty text may begin
 * one). TOOL_START begins a TOOL_CALL part. OPAQUE is added to: the tool call `index` when opaque
 * is for a call (index >= 0; so set -1 when it is not), else the last part when it is TEXT or
 * REASONING, else to a new REASONING part without text. The cursor below is that rule. */

/* Says for each event of an answer to which part of the response it belongs; for encoders that
 * report losses by part. Zero-initialise with the arena. */
struct llm_cursor {
    struct arena *arena;
    int part; /* the newest one; part_count - 1 */
    int part_count;
    enum llm_part_kind kind; /* of the newest */
    bool closed;             /* an opaque came: the next text begins a new part */
    int *calls;              /* part of each tool call, by index; -1: none */
    size_t call_count;
    size_t call_capacity;
};
void llm_cursor_init(struct llm_cursor *cursor, struct arena *arena);
/* The part that `event` belongs to, or -1 (START, USAGE, an unknown call, ...). *ret_begins (may be
 * NULL): whether the event begins it. */
int llm_cursor_add(struct llm_cursor *cursor, const struct llm_event *event, bool *ret_begins);

/* A whole answer. */
struct llm_response {
    struct str id;
    struct str model;
    struct llm_part *parts; /* of the assistant's message */
    size_t part_count;
    enum llm_finish finish;
    struct str finish_raw;
    struct llm_usage usage;
    struct str extension; /* as an event's; no part of the answer itself */
};

/* Same meaning, as llm_request_equal. */
bool llm_response_equal(struct arena *arena, const struct llm_response *a,
                        const struct llm_response *b);

/* ---- Builder: events to a response ----------------------------------------------------------- */
struct llm_builder;
/* What each part and each opaque counts beside its texts. */
enum { LLM_BUILDER_ITEM_COST = 256 };
/* In the arena; `bytes_max` bounds the sum of all texts, with LLM_BUILDER_ITEM_COST for each part
 * and opaque: over it llm_builder_add gives ERR_TOO_BIG (also over LLM_CALLS_MAX tool calls). */
struct llm_builder *llm_builder_new(struct arena *arena, size_t bytes_max);
MUST_USE enum err llm_builder_add(struct llm_builder *builder, const struct llm_event *event);
/* The same for an event whose views live for as long as the response is used: they are not copied. */
MUST_USE enum err llm_builder_add_view(struct llm_builder *builder, const struct llm_event *event);
/* What was built so far (also in mid-answer); views into the arena, parts may be added later. */
const struct llm_response *llm_builder_response(struct llm_builder *builder);
/* Takes text back: of the answer's text only the first `text_bytes` bytes stay (at a character's
 * end), and nothing that came behind them. */
void llm_builder_rewind(struct llm_builder *builder, size_t text_bytes);
/* The error that came, or NULL. */
const struct llm_error *llm_builder_error(const struct llm_builder *builder);

/* More tool calls than this in one answer are an error (ERR_TOO_BIG). */
enum { LLM_CALLS_MAX = 1024 };

/* The reverse: calls `emit` with the events of a whole response: START, its parts in order (each
 * text as one increment), USAGE if known, FINISH, END. All are `is_whole`. */
void llm_response_replay(const struct llm_response *response,
                         void (*emit)(void *user, const struct llm_event *event), void *user);
