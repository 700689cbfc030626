/* Replay: tells a kept answer again, on its caller's loop: from the next turn on, as fast as it is
 * read. Inside route only. */
#pragma once

#include "net/loop.h"
#include "route/block.h"
#include "route/cache.h"

struct replay;

struct replay_listener {
    void (*on_event)(void *user, const struct llm_event *event);
    /* Only called for bytes that pass through, whole frames of a stream. */
    void (*on_raw)(void *user, struct str content_type, struct str bytes);
    void *user;
};

/* Takes over the answer. `is_raw`: its bytes are told, too; else its
 * events alone. `overhead_us`: what it took to find it. Give it back with replay_end. */
struct replay *replay_start(struct loop *loop, const struct cache_answer *answer, bool is_raw,
                            uint64_t overhead_us, const struct replay_listener *listener);
/* Nothing is heard after it returns. Also after END, and inside callbacks. NULL is allowed. */
void replay_end(struct replay *replay);
void replay_pause(struct replay *replay);
void replay_resume(struct replay *replay);
/* What the asking functions of its call answer. */
const struct facts *replay_facts(const struct replay *replay);
