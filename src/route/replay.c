/* Replay: between the cache and a call of the router that has no flow.
 *
 *   replay_start --run--> TELLING --run: END--> OVER
 *                           |  ^                  ^
 *              replay_pause |  | replay_resume    | replay_end, at any time
 *                           v  |                  |
 *                          PAUSED ----------------/
 *
 * Where it stands is a place on the tape of the entry, which it holds. Bytes are read again, for what
 * they say: their caller may want it in another form, and their row says what was used. */
#include "route/replay.h"

#include <stdlib.h>

#include "base/assert.h"
#include "llm/answer_reader.h"
#include "route/tape.h"

/* So much is told before others of this loop have their turn; without a pause they would not. */
enum { TURN_BYTES_MAX = 256 * 1024, PAUSE_MS = 1 };

struct replay {
    struct loop *loop;
    struct cache_entry *entry;
    struct facts *facts;
    struct replay_listener listener;
    struct tape_place place;     /* of the tape */
    struct answer_reader reader; /* of bytes */
    bool is_raw;
    bool is_paused;
    bool is_telling; /* run is on the stack */
    bool has_ended;  /* END was told */
    bool is_over;
    struct loop_task first_task;
    struct loop_timer timer; /* goes on in a later turn */
};

static void replay_free(struct replay *replay)
{
    if (replay->entry->is_raw)
        answer_reader_done(&replay->reader);
    cache_entry_unref(replay->entry);
    facts_unref(replay->facts);
    free(replay);
}

static void tell(struct replay *replay, const struct llm_event *event)
{
    if (replay->is_over || replay->has_ended)
        return;
    replay->has_ended = event->kind == LLM_EVENT_END;
    replay->listener.on_event(replay->listener.user, event);
}

/* The usage that was told may be better than what the bytes say: it comes in its place. */
static void on_read(void *user, const struct llm_event *event)
{
    struct replay *replay = user;
    if (event->kind == LLM_EVENT_USAGE)
        return;
    if (event->kind == LLM_EVENT_FINISH && replay->entry->usage.output_total >= 0)
        tell(replay, &(struct llm_event){.kind = LLM_EVENT_USAGE, .usage = replay->entry->usage});
    tell(replay, event);
}

/* So many bytes, or somewhat more: whole chunks are told. */
static void tell_bytes(struct replay *replay)
{
    const struct cache_entry *entry = replay->entry;
    for (size_t told = 0;
         replay->place.chunk && told < TURN_BYTES_MAX && !replay->is_over && !replay->is_paused;
         replay->place.chunk = replay->place.chunk->next) {
        struct str bytes = STR_FROM(replay->place.chunk->bytes, replay->place.chunk->len);
        told += bytes.len;
        if (replay->is_raw)
            replay->listener.on_raw(replay->listener.user, entry->content_type, bytes);
        if (!replay->is_over)
            answer_reader_feed(&replay->reader, bytes);
    }
    if (!replay->place.chunk && !replay->is_over)
        answer_reader_finish(&replay->reader);
}

static void tell_events(struct replay *replay)
{
    size_t told = 0;
    struct llm_event event;
    while (!replay->is_over && !replay->is_paused && told < TURN_BYTES_MAX &&
           tape_next(&replay->place, &event)) {
        told += event.text.len;
        tell(replay, &event);
    }
}

static void run(void *user)
{
    struct replay *replay = user;
    replay->is_telling = true;
    if (replay->entry->is_raw)
        tell_bytes(replay);
    else
        tell_events(replay);
    replay->is_telling = false;
    if (replay->is_over)
        replay_free(replay);
    else if (!replay->is_paused && !replay->has_ended)
        loop_timer_set(replay->loop, &replay->timer, PAUSE_MS, run, replay);
}

struct replay *replay_start(struct loop *loop, struct cache_entry *entry, bool is_raw,
                            uint64_t overhead_us, const struct replay_listener *listener)
{
    struct replay *replay = calloc(1, sizeof *replay);
    ASSERT(replay);
    replay->loop = loop;
    replay->entry = entry;
    replay->place.chunk = entry->tape;
    replay->facts = facts_of_kept(entry, is_raw, overhead_us);
    replay->listener = *listener;
    replay->is_raw = is_raw;
    if (entry->is_raw)
        answer_reader_init(&replay->reader, entry->dialect, entry->is_streamed, on_read, replay);
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
