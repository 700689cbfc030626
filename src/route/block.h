/* Block: one thing that an answer said, copied so that callers on any thread can hear it too, with
 * what could be asked of its call at that time. Neither changes; both are counted references, to be
 * taken and given back on any thread. Inside route only. */
#pragma once

#include <stdatomic.h>
#include <stddef.h>

#include "llm/losses.h"
#include "route/cache.h"
#include "route/router.h"

/* What the asking functions of route_call answer. */
struct facts {
    _Atomic int references;
    struct arena *arena; /* it is in it itself */
    struct route_target target;
    struct llm_losses losses;
    int attempts;
    uint64_t overhead_us;
    bool is_raw;
    struct str story; /* JSON; STR_NONE: there is none */
};

/* Of a call that does not ask anybody yet: who will be asked first, as a rule. */
struct facts *facts_of_plan(const struct route_plan *plan);
/* Of the call now; `before` itself, with a reference more, when nothing has changed. */
struct facts *facts_of_call(const struct route_call *call, struct facts *before);
/* Of an answer that is told again from the cache: nobody was asked. */
struct facts *facts_of_kept(const struct cache_answer *answer, bool is_raw, uint64_t overhead_us);
struct facts *facts_ref(struct facts *facts);
void facts_unref(struct facts *facts);

/* The texts of an event, one by one: 0 to EVENT_TEXTS - 1. */
enum { EVENT_TEXTS = 11 }; /* `text` is the first */
static const size_t event_texts[EVENT_TEXTS] = {
    offsetof(struct llm_event, text),           offsetof(struct llm_event, id),
    offsetof(struct llm_event, name),           offsetof(struct llm_event, model),
    offsetof(struct llm_event, opaque.dialect), offsetof(struct llm_event, opaque.model),
    offsetof(struct llm_event, opaque.kind),    offsetof(struct llm_event, opaque.data),
    offsetof(struct llm_event, item),           offsetof(struct llm_event, finish_raw),
    offsetof(struct llm_event, extension),
};
static inline struct str *event_text(struct llm_event *event, size_t index)
{
    return (struct str *)(void *)((char *)event + event_texts[index]);
}
static inline const struct str *event_text_of(const struct llm_event *event, size_t index)
{
    return (const struct str *)(const void *)((const char *)event + event_texts[index]);
}

/* Blocks form a chain: each holds a reference to the next one, so that who holds one holds all that
 * came later. */
struct block {
    _Atomic int references;
    struct block *_Atomic next; /* set once */
    struct facts *facts;
    size_t size;        /* of its memory */
    uint64_t end_bytes; /* sizes of the chain's blocks up to this one */
    bool has_bytes;     /* it is bytes that pass through, else an event */
    struct llm_event event;
    struct str content_type;
    struct str bytes;
};

/* A copy. Takes over one reference of `facts`. */
struct block *block_of_event(struct facts *facts, const struct llm_event *event);
struct block *block_of_bytes(struct facts *facts, struct str content_type, struct str bytes);
/* Puts `next` behind `last`, which nothing follows yet. One thread at a time for a chain; others may
 * read it meanwhile. */
void block_append(struct block *last, struct block *next);
struct block *block_ref(struct block *block);
/* NULL is allowed. */
void block_unref(struct block *block);
