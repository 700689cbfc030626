/* Response run: one answer in the background.
 *
 *   response_run_start --> ASKED --begin--> BEGINNING --on_begun--> RUNNING
 *                            |                  |                     |  on_event END, stop
 *                            |                  \---- END, stop ----\ v
 *                            |                                      SAVING --on_saved--> ENDED
 *                            \--refused at once (refuse)--> ENDED     ^  |
 *                                                                     \--/ storage fails: a timer
 *
 * Its row is in the database before the asker hears of it, and replaced when it has ended: after a
 * crash the row says that it is under way, and no run is known (the doors tell it as failed). */
#include "chat/response_run.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/clock.h"
#include "chat/chat_internal.h"
#include "chat/response_frames.h"
#include "chat/thread.h"
#include "store/record_kept.h"

enum {
    ANSWER_BYTES_MAX = 64 * 1024 * 1024,
    SAVE_AGAIN_MS = 2000,
    SAVES_MAX = 150,
    LINGER_MS = 60 * 1000
};

enum response_state {
    RESPONSE_ASKED,
    RESPONSE_BEGINNING,
    RESPONSE_RUNNING,
    RESPONSE_SAVING,
    RESPONSE_ENDED
};

struct response_run {
    struct list link;
    struct chat *chat;
    enum response_state state;
    struct response_ask ask;
    struct id id;
    struct response_words words;
    struct run_log *log;
    size_t log_bytes;
    int64_t sequence; /* of the next frame */
    struct route_call *call;
    struct dialect_encoder *encoder;
    struct sse_parser parser; /* of a provider's own frames */
    struct buf out;           /* of one moment */
    struct buf whole;         /* a provider's own answer that is no stream */
    bool is_started;          /* START was told to the encoder */
    bool is_raw;              /* the answer's end is a provider's own bytes */
    bool is_too_big;
    bool is_stopped;
    struct llm_error *error; /* in the arena; NULL: none came */
    struct str answer;       /* the response object of the last frame, in the arena */
    response_accepted_fn *accepted;
    void *user;
    struct loop_task begin_task;
    struct loop_timer timer; /* saving again; then lingering */
    struct store_job begin_job, save_job;
    struct store_response begun, row;
    struct thread_addition addition;
    struct str queued;        /* the object as the asker is told of it */
    struct llm_losses losses; /* of the answer: what the form cannot carry */
    struct limiter_view limits;
    bool has_limits;
    int saves;
};

struct list *response_run_link(struct response_run *run)
{
    return &run->link;
}

struct response_run *response_run_of_link(struct list *link)
{
    return LIST_ENTRY(link, struct response_run, link);
}

const struct id *response_run_id(const struct response_run *run)
{
    return &run->id;
}

static struct loop *loop_of(const struct response_run *run)
{
    return run->chat->options.loop;
}

static void set_state(struct response_run *run, enum response_state state)
{
    run->state = state;
}

/* ---- The end --------------------------------------------------------------------------------- */

void response_run_free(struct response_run *run)
{
    ASSERT(run->state == RESPONSE_ENDED);
    loop_timer_cancel(loop_of(run), &run->timer);
    hub_remove_run(run->chat->options.hub, &run->id);
    run_log_unref(run->log);
    list_remove(&run->link);
    free(run);
}

static void on_linger_over(void *user)
{
    response_run_free(user);
}

/* Nothing will come any more; who listens still hears what there is, and who comes late for a while. */
static void end(struct response_run *run)
{
    set_state(run, RESPONSE_ENDED);
    run_log_close(run->log);
    loop_task_cancel(&run->begin_task);
    sse_parser_done(&run->parser);
    buf_done(&run->out);
    buf_done(&run->whole);
    arena_free(run->ask.chain_arena);
    arena_free(run->ask.arena);
    loop_timer_set(loop_of(run), &run->timer, run->chat->draining ? 0 : LINGER_MS, on_linger_over,
                   run);
    chat_note_saved(run->chat);
}

static void tell(struct response_run *run, const struct response_accepted *accepted)
{
    response_accepted_fn *fn = run->accepted;
    run->accepted = NULL;
    if (fn)
        fn(run->user, accepted);
}

/* Nobody was told that it is under way, and nothing is kept. */
static void refuse(struct response_run *run, enum err code)
{
    const struct response_accepted refused = {
        .code = code,
        .error = run->error,
        .limits = run->call ? route_limits(run->call) : NULL,
    };
    tell(run, &refused);
    end(run);
}

/* ---- The log --------------------------------------------------------------------------------- */

/* What is too much for listeners is left out: the last event has it all. */
static void append(struct response_run *run, struct str frame, bool is_last)
{
    if (!is_last && run->log_bytes + frame.len > RUN_LOG_WHOLE_BYTES_MAX)
        return;
    run->log_bytes += frame.len;
    run->sequence++;
    run_log_append(run->log, NULL, frame);
}

static void append_whole(struct response_run *run, struct str type, struct str response,
                         bool is_last)
{
    struct buf frame;
    buf_init(&frame, RUN_LOG_EVENT_BYTES_MAX);
    response_put_whole(&frame, type, response, run->sequence);
    if (buf_ok(&frame))
        append(run, buf_str(&frame), is_last);
    buf_done(&frame);
}

/* ---- Saving ---------------------------------------------------------------------------------- */

static enum err make_room(struct store_tx *tx, const struct response_run *run, struct error *error)
{
    return store_kept_make_room(tx, KEPT_RESPONSE, &run->ask.owner, run->ask.bytes_max, error);
}

static enum err run_save(struct store_tx *tx, void *user, struct error *error)
{
    struct response_run *run = user;
    enum err code = store_response_replace(tx, &run->row, error);
    if (code == ERR_OK)
        code = thread_add_answer(tx, &run->addition, error);
    return code == ERR_OK ? make_room(tx, run, error) : code;
}

static void save(void *user);

static void on_saved(void *user, enum err code, const struct error *error)
{
    struct response_run *run = user;
    struct str status = STR("");
    yyjson_val *answer;
    if (code != ERR_OK && code != ERR_NOT_FOUND && run->saves < SAVES_MAX) {
        loop_timer_set(loop_of(run), &run->timer, SAVE_AGAIN_MS, save, run);
        return;
    }
    if (code != ERR_OK && code != ERR_NOT_FOUND)
        log_error(run->chat->options.log, "an answer in the background was not kept",
                  LOG_STR("id", run->words.id), LOG_CSTR("error", error_message(error)));
    if (json_read(run->ask.arena, run->row.answer, &answer, NULL) == ERR_OK)
        status = json_get_str(answer, "status");
    append_whole(run, response_last_type(status), run->row.answer, true);
    end(run);
}

static void begin_saving(struct response_run *run)
{
    if (thread_addition_of(run->ask.arena, &run->row, &run->ask.thread, run->ask.keep_ms,
                           run->ask.bytes_max, &run->addition) != ERR_OK)
        run->addition = (struct thread_addition){0};
    save(run);
}

static void save(void *user)
{
    struct response_run *run = user;
    run->saves++;
    run->save_job = (struct store_job){.run = run_save, .done = on_saved, .user = run};
    store_write(run->chat->options.store, loop_of(run), &run->save_job);
}

/* Everything in the run's arena. False: `answer` is no response object. */
static bool make_row(struct response_run *run, struct str answer, const struct llm_response *built,
                     struct store_response *ret_row)
{
    struct arena *arena = run->ask.arena;
    struct stored_exchange exchange = {.owner = run->ask.owner,
                                       .answer = answer,
                                       .built = built,
                                       .now_ms = run->words.created_s * 1000,
                                       .keep_ms = run->ask.keep_ms};
    return json_read(arena, run->ask.body, &exchange.request, NULL) == ERR_OK &&
           stored_response_make(arena, &exchange, ret_row) == ERR_OK;
}

/* ---- The answer ------------------------------------------------------------------------------ */

/* Its beginning is ours and told already; its end is told when it is kept. */
static void take_event(void *user, yyjson_val *event)
{
    struct response_run *run = user;
    struct str type = json_get_str(event, "type");
    if (str_eq(type, STR("response.created")) || str_eq(type, STR("response.queued")) ||
        str_eq(type, STR("response.in_progress")))
        return;
    if (response_is_last_type(type)) {
        run->answer = response_in_words(run->ask.arena, json_get(event, "response"), &run->words);
        return;
    }
    buf_clear(&run->out);
    response_put_frame(&run->out, event, &run->words, run->sequence);
    if (buf_ok(&run->out))
        append(run, buf_str(&run->out), false);
}

static void take_frame(void *user, const struct sse_event *frame)
{
    struct response_run *run = user;
    struct arena *scratch = loop_scratch_borrow(loop_of(run));
    yyjson_val *event;
    if (json_read(scratch, frame->data, &event, NULL) == ERR_OK && yyjson_is_obj(event))
        take_event(run, event);
    loop_scratch_return(loop_of(run), scratch);
}

static void take_bytes(struct response_run *run, struct str bytes)
{
    if (!run->is_too_big && sse_parser_feed(&run->parser, bytes) != ERR_OK)
        run->is_too_big = true;
}

/* Tells the encoder; `is_told`: nobody else has told the listeners. */
static void encode(struct response_run *run, const struct llm_event *event, bool is_told)
{
    struct buf frames;
    buf_init(&frames, ANSWER_BYTES_MAX + ANSWER_BYTES_MAX / 4);
    dialect_openai_responses.encode_event(run->encoder, event, &frames,
                                          is_told ? &run->losses : NULL);
    if (is_told)
        take_bytes(run, buf_str(&frames));
    buf_done(&frames);
}

static void begin_encoding(struct response_run *run, struct str model, bool is_told)
{
    if (run->is_started)
        return;
    run->is_started = true;
    encode(run, &(struct llm_event){.kind = LLM_EVENT_START, .id = run->words.id, .model = model},
           is_told);
}

static void note_error(struct response_run *run, const struct llm_error *error)
{
    if (run->error)
        return;
    run->error = ARENA_NEW(run->ask.arena, struct llm_error);
    *run->error = *error;
    begin_encoding(run, run->begun.model, true);
    encode(run, &(struct llm_event){.kind = LLM_EVENT_ERROR, .error = run->error}, true);
}

static void fail(struct response_run *run, enum err class, const char *message)
{
    struct llm_error error = {.class = class, .retry_after_ms = -1};
    str_copy(str_from_cstr(message), error.message, sizeof error.message);
    note_error(run, &error);
}

/* What there is of an answer that was cancelled, or that it has only begun. */
static struct str cancelled_answer(struct response_run *run)
{
    run->words.status = STR("cancelled");
    begin_encoding(run, run->begun.model, false);
    return response_of(run->ask.arena, dialect_openai_responses.encoded(run->encoder), &run->words);
}

/* A body that is too long is none. */
static struct str whole_answer(struct response_run *run)
{
    struct str body = buf_ok(&run->whole) ? buf_str(&run->whole) : STR("");
    return response_text_in_words(run->ask.arena, body, &run->words);
}

/* An answer that cannot be kept fails; that it failed can be kept. */
static void finish(struct response_run *run)
{
    bool is_whole = run->is_raw && !run->ask.is_streamed && !run->error && !run->is_stopped;
    run->call = NULL;
    set_state(run, RESPONSE_SAVING);
    if (run->is_stopped)
        run->answer = cancelled_answer(run);
    else if (is_whole)
        run->answer = whole_answer(run);
    const struct llm_response *built = dialect_openai_responses.encoded(run->encoder);
    bool is_own = run->is_raw && !run->error && !run->is_stopped;
    if (!run->answer.len || run->answer.len > 2 * (size_t)ANSWER_BYTES_MAX || run->is_too_big ||
        !make_row(run, run->answer, is_own ? NULL : built, &run->row)) {
        run->is_too_big = false;
        fail(run, ERR_SERVER, "the answer is too long, or is none");
        encode(run, &(struct llm_event){.kind = LLM_EVENT_END}, true);
        if (!make_row(run, run->answer, built, &run->row))
            run->row = run->begun;
    }
    begin_saving(run);
}

/* ---- What the router tells ------------------------------------------------------------------- */

/* The answer's end says what it lost; so does the row of its last attempt. */
static void note_losses(struct response_run *run)
{
    struct buf names;
    if (!run->losses.count)
        return;
    buf_init(&names, 8192);
    llm_losses_write(&run->losses, &names, 1000);
    route_lost(run->call, buf_str(&names));
    buf_done(&names);
}

static void on_end(struct response_run *run)
{
    note_losses(run);
    if (run->error && run->state == RESPONSE_ASKED) {
        refuse(run, ERR_OK);
        return;
    }
    if (run->error)
        encode(run, &(struct llm_event){.kind = LLM_EVENT_END}, true);
    finish(run);
}

static void begin(void *user);

/* An answer that was kept comes before the turn is over. */
static void begin_now(struct response_run *run)
{
    if (run->state != RESPONSE_ASKED)
        return;
    loop_task_cancel(&run->begin_task);
    begin(run);
}

static void on_event(void *user, const struct llm_event *event)
{
    struct response_run *run = user;
    bool is_raw = route_is_raw(run->call);
    if (!run->error && event->kind != LLM_EVENT_ERROR)
        begin_now(run);
    if (event->kind == LLM_EVENT_ERROR) {
        run->is_raw = false;
        note_error(run, event->error);
    } else if (event->kind == LLM_EVENT_START) {
        begin_encoding(run, event->model, !is_raw);
    } else if (event->kind != LLM_EVENT_END || !run->error) {
        struct llm_event extended = *event;
        run->is_raw = is_raw;
        if (event->kind == LLM_EVENT_FINISH && !is_raw)
            extended.extension = response_extension(run->ask.arena, event->extension,
                                                    route_losses(run->call), run->ask.unmapped);
        encode(run, &extended, !is_raw);
    }
    if (event->kind == LLM_EVENT_END)
        on_end(run);
}

static void on_raw(void *user, struct str content_type, struct str bytes)
{
    (void)content_type;
    struct response_run *run = user;
    begin_now(run);
    if (run->ask.is_streamed)
        take_bytes(run, bytes);
    else
        buf_append(&run->whole, bytes);
}

/* ---- The beginning --------------------------------------------------------------------------- */

static enum err run_begin(struct store_tx *tx, void *user, struct error *error)
{
    struct response_run *run = user;
    enum err code = store_response_put(tx, &run->begun, error);
    return code == ERR_OK ? make_room(tx, run, error) : code;
}

static void give_up(struct response_run *run, enum err code)
{
    if (run->call)
        route_cancel(run->call, NULL);
    run->call = NULL;
    run->error = NULL;
    refuse(run, code);
}

/* Its end may be on its way to the database already: jobs of one loop keep their order. */
static void on_begun(void *user, enum err code, const struct error *error)
{
    struct response_run *run = user;
    if (code == ERR_OK) {
        tell(run, &(struct response_accepted){
                      .limits = run->has_limits ? &run->limits : NULL,
                      .answer = run->queued,
                      .log = run->log,
                  });
        if (run->state == RESPONSE_BEGINNING)
            set_state(run, RESPONSE_RUNNING);
        return;
    }
    log_error(run->chat->options.log, "an answer in the background cannot be kept",
              LOG_STR("id", run->words.id), LOG_CSTR("error", error_message(error)));
    if (run->state == RESPONSE_SAVING)
        tell(run, &(struct response_accepted){.code = code}); /* on_saved ends it */
    else
        give_up(run, code);
}

/* What there is of it until it ends: without parts. */
static bool make_begun(struct response_run *run)
{
    const struct llm_response nothing = {.usage = LLM_USAGE_UNKNOWN};
    struct store_response queued;
    struct arena *arena = run->ask.arena;
    struct str model = run->ask.route->request->model;
    run->words.status = STR("queued");
    bool is_good = make_row(run, response_begun(arena, model, &run->words), &nothing, &queued);
    run->words.status = STR("in_progress");
    is_good =
        is_good && make_row(run, response_begun(arena, model, &run->words), &nothing, &run->begun);
    run->words.status = STR("");
    run->begun.parts = STR("");
    run->queued = queued.answer;
    return is_good;
}

/* A turn after the start: what was refused at once was refused by now. */
static void begin(void *user)
{
    struct response_run *run = user;
    const struct limiter_view *limits = route_limits(run->call);
    set_state(run, RESPONSE_BEGINNING);
    run->has_limits = limits != NULL;
    if (limits)
        run->limits = *limits;
    append_whole(run, STR("response.created"), run->queued, false);
    append_whole(run, STR("response.queued"), run->queued, false);
    append_whole(run, STR("response.in_progress"), run->begun.answer, false);
    run->begin_job = (struct store_job){.run = run_begin, .done = on_begun, .user = run};
    store_write(run->chat->options.store, loop_of(run), &run->begin_job);
}

/* ---- Life ------------------------------------------------------------------------------------ */

static struct response_run *create(struct chat *chat, const struct response_ask *ask)
{
    struct response_run *run = calloc(1, sizeof *run);
    int64_t now_ms = clock_wall_ms();
    ASSERT(run);
    run->chat = chat;
    run->ask = *ask;
    run->id = id_new(now_ms);
    run->words.id = arena_printf(ask->arena, "resp_%.*s", STR_ARG(id_str(&run->id)));
    run->words.created_s = now_ms / 1000;
    run->log = run_log_new(chat->options.loop, NULL, NULL);
    llm_losses_init(&run->losses, ask->arena);
    run->losses.is_told = true;
    run->encoder = dialect_openai_responses.encoder_new(ask->arena, now_ms, true);
    sse_parser_init(&run->parser, 2 * (size_t)ANSWER_BYTES_MAX, take_frame, run);
    buf_init(&run->out, 2 * (size_t)ANSWER_BYTES_MAX);
    buf_init(&run->whole, ANSWER_BYTES_MAX);
    list_append(&chat->responses, &run->link);
    chat_note_unsaved(chat);
    return run;
}

static enum err enter(struct response_run *run, struct error *error)
{
    const struct hub_run entry = {.id = run->id,
                                  .owner = run->ask.owner,
                                  .loop = loop_of(run),
                                  .home = run->chat,
                                  .log = run->log,
                                  .is_response = true};
    if (run->chat->draining)
        return error_set(error, ERR_UNAVAILABLE, NULL, "the server is shutting down");
    if (hub_add_response(run->chat->options.hub, &entry, run->ask.at_once_max) != ERR_OK)
        return error_set(error, ERR_RATE_LIMITED, NULL,
                         "%zu answers are written in the background for you already: wait for one "
                         "or cancel it",
                         run->ask.at_once_max);
    return make_begun(run) ? ERR_OK
                           : error_set(error, ERR_INVALID, NULL, "the request cannot be kept");
}

enum err response_run_start(struct chat *chat, const struct response_ask *ask,
                            response_accepted_fn *accepted, void *user,
                            struct response_run **ret_run, struct error *error)
{
    static const struct route_events events = {.on_event = on_event, .on_raw = on_raw};
    struct response_run *run = create(chat, ask);
    enum err code = enter(run, error);
    if (code == ERR_OK)
        code = route_start(chat->options.router, ask->route, &events, run, &run->call, error);
    if (code != ERR_OK) {
        end(run);
        response_run_free(run);
        return code;
    }
    run->ask.route = NULL;
    run->accepted = accepted;
    run->user = user;
    loop_defer(loop_of(run), &run->begin_task, begin, run);
    *ret_run = run;
    return ERR_OK;
}

void response_run_forget(struct response_run *run)
{
    run->accepted = NULL;
}

/* ---- Ending it early ------------------------------------------------------------------------- */

static bool is_under_way(const struct response_run *run)
{
    return run->state == RESPONSE_BEGINNING || run->state == RESPONSE_RUNNING;
}

void response_run_stop(struct response_run *run)
{
    if (!is_under_way(run))
        return;
    route_cancel(run->call, NULL);
    run->is_stopped = true;
    finish(run);
}

void response_run_interrupt(struct response_run *run)
{
    if (run->state == RESPONSE_ASKED) {
        give_up(run, ERR_UNAVAILABLE);
        return;
    }
    run->saves = SAVES_MAX;
    if (loop_timer_is_set(&run->timer) && run->state == RESPONSE_SAVING) {
        loop_timer_cancel(loop_of(run), &run->timer);
        save(run);
    }
    if (!is_under_way(run))
        return;
    route_cancel(run->call, NULL);
    fail(run, ERR_UNAVAILABLE, "the server was stopped before the answer was whole");
    encode(run, &(struct llm_event){.kind = LLM_EVENT_END}, true);
    finish(run);
}
