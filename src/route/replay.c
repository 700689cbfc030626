/* Replay: between the cache and a call of the router that has no flow.
 *
 *   replay_start --run--> TELLING --run: END--> OVER
 *                           |  ^                  ^
 *              replay_pause |  | replay_resume    | replay_end, at any time
 *                           v  |                  |
 *                          PAUSED ----------------/
 *
 * Where it stands is a place on the tape of the answer, which it holds. Bytes are read again, for what
 * they say: their caller may want it in another form, and their row says what was used. */
#include "route/replay.h"

#include <stdlib.h>

#include "base/assert.h"
#include "llm/answer_reader.h"
#include "route/tape.h"

/* So much is told before others of this loop have their turn; without a pause they would not. */
enum { TURN_BYTES_MAX = 256 * 1024, PAUSE_MS = 1 };
/* Read at once: the longest piece, and what came before it. */
enum { BYTES_MAX = 2 * CACHE_ANSWER_BYTES_MAX };

struct replay {
    struct loop *loop;
    const struct cache_answer *answer;
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
    if (replay->answer->is_raw)
        answer_reader_done(&replay->reader);
    cache_let_go(replay->answer);
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
    if (event->kind == LLM_EVENT_FINISH && replay->answer->usage.output_total >= 0)
        tell(replay, &(struct llm_event){.kind = LLM_EVENT_USAGE, .usage = replay->answer->usage});
    tell(replay, event);
}

/* So many bytes, or somewhat more. */
static void tell_bytes(struct replay *replay)
{
    const struct replay_listener *listener = &replay->listener;
    struct buf bytes;
    size_t told = 0;
    buf_init(&bytes, BYTES_MAX);
    while (told < TURN_BYTES_MAX && !replay->is_over && !replay->is_paused &&
           tape_next_bytes(&replay->place, &bytes)) {
        told += bytes.len;
        if (replay->is_raw)
            listener->on_raw(listener->user, replay->answer->content_type, buf_str(&bytes));
        if (!replay->is_over)
            answer_reader_feed(&replay->reader, buf_str(&bytes));
        buf_clear(&bytes);
    }
    buf_done(&bytes);
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
    if (replay->answer->is_raw)
        tell_bytes(replay);
    else
        tell_events(replay);
    replay->is_telling = false;
    if (replay->is_over)
        replay_free(replay);
    else if (!replay->is_paused && !replay->has_ended)
        loop_timer_set(replay->loop, &replay->timer, PAUSE_MS, run, replay);
}

struct replay *replay_start(struct loop *loop, const struct cache_answer *answer, bool is_raw,
                            uint64_t overhead_us, const struct replay_listener *listener)
{
    struct replay *replay = calloc(1, sizeof *replay);
    ASSERT(replay);
    replay->loop = loop;
    replay->answer = answer;
    replay->place.chunk = answer->tape;
    replay->facts = facts_of_kept(answer, is_raw, overhead_us);
    replay->listener = *listener;
    replay->is_raw = is_raw;
    if (answer->is_raw)
        answer_reader_init(&replay->reader, answer->dialect, answer->is_streamed, on_read, replay);
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
