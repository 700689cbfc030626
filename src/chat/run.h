/* Run: one answer being written. It belongs to its chat's loop, outlives every socket, and tells
 * its log what happens. For the chat floor only. */
#pragma once

#include "chat/chat.h"

struct run;

/* An answer's texts in all, with what it held already when it is continued. */
enum { RUN_ANSWER_BYTES_MAX = 16 * 1024 * 1024 };

struct run_options {
    struct id id;
    struct arena *arena;                    /* taken over */
    const struct llm_request *request;      /* in the arena */
    struct store_conversation conversation; /* strings in the arena */
    struct store_message message;           /* the answer's row; strings in the arena */
    struct llm_part *base; /* what the answer holds already (continuing), in the arena */
    size_t base_count;
    struct str request_id; /* in the arena */
    struct principal who;
    struct str address; /* in the arena */
};

/* How records of a run look in the journal (journal_record.kind). */
enum run_record {
    RUN_RECORD_BEGIN =
        JOURNAL_RUN_BEGIN, /* payload: {"owner", "conversation", "message", "text_bytes"}: the last
                             one is what the message held already, which events are counted with */
    RUN_RECORD_EVENT = JOURNAL_RUN_EVENT /* payload: the event's JSON object */
};

/* Begins it; always succeeds: what cannot be started ends as a failed answer. */
struct run *run_new(struct chat *chat, const struct run_options *options);
/* Ends it as stopped; nothing happens when it has ended. */
void run_stop(struct run *run);
/* For shutting down: ends it as interrupted, and tries to save it once more at most. */
void run_interrupt(struct run *run);
/* Frees it at once; the chat calls this at the end. It must have been saved or given up. */
void run_free(struct run *run);
/* Whether its end is in the database. */
bool run_is_saved(const struct run *run);

/* Appends `parts` to `base`: a text that goes on is one part. The result is in the arena. */
void run_merge_parts(struct arena *arena, const struct llm_part *base, size_t base_count,
                     const struct llm_part *parts, size_t part_count, struct llm_part **ret_parts,
                     size_t *ret_count);
