/* Replay: between the cache and a call of the router that has no flow.
 *
 *   replay_start --run--> TELLING --run: END--> OVER
 *                           |  ^                  ^
 *              replay_pause |  | replay_resume    | replay_end, at any time
 *                           v  |                  |
 *                          PAUSED ----------------/
 *
 * Where it stands is a place on the tape of the entry, which it holds. */
#include "route/replay.h"

#include <stdlib.h>

#include "base/assert.h"
#include "route/tape.h"

/* So much is told before others of this loop have their turn; without a pause they would not. */
enum { TURN_BYTES_MAX = 256 * 1024, PAUSE_MS = 1 };

struct replay {
    struct loop *loop;
    struct cache_entry *entry;
    struct facts *facts;
    struct replay_listener listener;
    struct tape_place place;
    bool is_raw;
    bool is_paused;
    bool is_telling; /* run is on the stack */
    bool is_over;
    struct loop_task first_task;
    struct loop_timer timer; /* goes on in a later turn */
};

static void replay_free(struct replay *replay)
{
    cache_entry_unref(replay->entry);
    facts_unref(replay->facts);
    free(replay);
}

static void tell(struct replay *replay, const struct tape_item *item)
{
    const struct replay_listener *listener = &replay->listener;
    if (!item->has_bytes)
        listener->on_event(listener->user, &item->event);
    else if (replay->is_raw)
        listener->on_raw(listener->user, item->content_type, item->bytes);
}

static void run(void *user)
{
    struct replay *replay = user;
    struct tape_item item;
    size_t turn_end = replay->place.at + TURN_BYTES_MAX;
    replay->is_telling = true;
    while (!replay->is_over && !replay->is_paused && replay->place.at < turn_end &&
           tape_next(replay->entry->tape, &replay->place, &item))
        tell(replay, &item);
    replay->is_telling = false;
    if (replay->is_over)
        replay_free(replay);
    else if (!replay->is_paused && replay->place.at < replay->entry->tape.len)
        loop_timer_set(replay->loop, &replay->timer, PAUSE_MS, run, replay);
}

struct replay *replay_start(struct loop *loop, struct cache_entry *entry, bool is_raw,
                            uint64_t overhead_us, const struct replay_listener *listener)
{
    struct replay *replay = calloc(1, sizeof *replay);
    ASSERT(replay);
    replay->loop = loop;
    replay->entry = entry;
    replay->facts = facts_of_kept(entry->facts, is_raw, overhead_us);
    replay->listener = *listener;
    replay->is_raw = is_raw;
    loop_defer(loop, &replay->first_task, run, replay);
    return replay;
}

void replay_end(struct replay *replay)
{
    if (!replay)
        return;
    replay->is_over = true;
    loop_task_cancel(&replay->first_task);
    loop_timer_cancel(replay->loop, &replay->timer);
    if (!replay->is_telling)
        replay_free(replay);
}

void replay_pause(struct replay *replay)
{
    replay->is_paused = true;
}

void replay_resume(struct replay *replay)
{
    if (!replay->is_paused)
        return;
    replay->is_paused = false;
    if (!replay->is_telling)
        loop_timer_set(replay->loop, &replay->timer, 0, run, replay);
}

const struct facts *replay_facts(const struct replay *replay)
{
    return replay->facts;
}
