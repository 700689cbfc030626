/* What the encoders of dialects have in common: the losses that several of them report alike, and
 * the events of a stream that only say what its end will be. */
#pragma once

#include "base/json.h"
#include "llm/losses.h"
#include "llm/request.h"
#include "llm/response.h"

struct dialect_encoder;

/* ---- Requests: what is lost ------------------------------------------------------------------ */
/* The choice of tools and whether calls may be parallel, where set. */
void llm_lose_tool_choice(struct llm_losses *losses, const struct llm_request *request);
/* Name, description and strictness of an answer's format, where set: only its schema goes along. */
void llm_lose_format_words(struct llm_losses *losses, const struct llm_request *request);

/* ---- Answers: what is said at their end ------------------------------------------------------- */
/* Puts the member "parley" into the last object of an answer: the object `extension` (STR_NONE:
 * none), with the names of `losses` (if they are to be told) as its member "dropped"; nothing when
 * there is neither. A provider's own word for why it ended, and its id, are not told: nobody who
 * speaks another form could use them. */
void llm_put_extension(struct json_writer *w, struct str extension, struct llm_losses *losses);

/* ---- Streams --------------------------------------------------------------------------------- */
/* What a stream's end tells; embedded by encoders that write it all at once. */
struct llm_ending {
    struct llm_usage usage;
    enum llm_finish finish;
    struct str finish_raw; /* in the arena */
    struct str extension;  /* likewise */
    bool is_ended;         /* END or ERROR was written: nothing follows */
};
/* What one dialect writes of a stream. `part`: the events that llm_cursor knows. */
struct llm_encoder_table {
    void (*start)(struct dialect_encoder *encoder, const struct llm_event *event);
    void (*part)(struct dialect_encoder *encoder, const struct llm_event *event);
    void (*failure)(struct dialect_encoder *encoder, const struct llm_error *error);
    void (*end)(struct dialect_encoder *encoder);
};
/* Gives the event to the function it is for; USAGE and FINISH are kept for the end. */
void llm_encode_event(struct dialect_encoder *encoder, struct llm_ending *ending,
                      struct arena *arena, const struct llm_encoder_table *table,
                      const struct llm_event *event);

/* Appends to a text that grows in the arena, doubling its room. */
void llm_text_append(struct arena *arena, struct str *text, size_t *capacity, struct str increment);
