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

static bool ends_frame(const struct cache_entry *entry, size_t at)
{
    const char *end = entry->tape.data + at;
    if (entry->dialect->framing == DIALECT_NDJSON)
        return end[-1] == '\n';
    if (end[-1] == '\r')
        return end[-2] == '\r';
    return end[-1] == '\n' && (end[-2] == '\n' || (end[-2] == '\r' && end[-3] == '\n'));
}

/* Where a piece of about TURN_BYTES_MAX ends, behind a frame. */
static size_t end_of_piece(const struct cache_entry *entry, size_t from)
{
    size_t len = entry->tape.len, at = from + TURN_BYTES_MAX;
    if (!entry->is_streamed || len - from <= TURN_BYTES_MAX)
        return len;
    while (at < len && !ends_frame(entry, at))
        at++;
    return at;
}

static void tell_bytes(struct replay *replay)
{
    const struct cache_entry *entry = replay->entry;
    size_t end = end_of_piece(entry, replay->place.at);
    struct str piece = str_slice(entry->tape, replay->place.at, end - replay->place.at);
    replay->place.at = end;
    if (replay->is_raw)
        replay->listener.on_raw(replay->listener.user, entry->content_type, piece);
    if (replay->is_over)
        return;
    answer_reader_feed(&replay->reader, piece);
    if (replay->place.at == entry->tape.len)
        answer_reader_finish(&replay->reader);
}

static void tell_events(struct replay *replay)
{
    size_t turn_end = replay->place.at + TURN_BYTES_MAX;
    struct llm_event event;
    while (!replay->is_over && !replay->is_paused && replay->place.at < turn_end &&
           tape_next(replay->entry->tape, &replay->place, &event))
        tell(replay, &event);
}

static void run(void *user)
{
    struct replay *replay = user;
    replay->is_telling = true;
    if (!replay->is_paused && replay->entry->is_raw)
        tell_bytes(replay);
    else
        tell_events(replay);
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
