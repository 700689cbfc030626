/* One batch, from its turn to its end.
 *
 *   WAITING --open--> OPENING --on_opened, on_started--> RUNNING --end--> ENDING --on_ended--> gone
 *      ^                 |                                  ^               |
 *      \-- storage fails-/-- its input is no good: fail --> on_ended        |
 *                                                           \-storage fails-/
 *   OPENING --on_started: it may be handed on--> HANDED (batch_hand.c)
 *   HANDED --batch_run_go_on--> RUNNING
 *          \--batch_run_refuse: fail--> ENDING --storage fails--> REFUSED --fail--> ENDING
 *   any --batch_run_stop--> STOPPED
 *
 * A line: begin_line -> batch_call (or at once: it is wrong, or may not be asked) -> take_answer
 *   -> save -> on_saved: done; or put_back: it is tried again later. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/clock.h"
#include "chat/batch_hand.h"
#include "chat/batch_internal.h"
#include "chat/batch_maker.h"

enum {
    OPEN_MAX = 8,   /* inputs in memory */
    TRIES_MAX = 10, /* of a line whose failures pass */
    DOUBLINGS_MAX = 9,
    STORAGE_RETRY_MS = 5000,
    RESULT_BYTES_MAX = 128 * 1024 * 1024
};
static const uint64_t hold_max_ms = 10 * 60 * 1000;

/* One line under way. */
struct line_work {
    struct list link; /* first */
    struct batch_run *run;
    struct batch_line *line;
    struct batch_call *call; /* NULL: it has ended */
    struct store_job job;
    bool is_saving;
    bool is_failure;
    struct buf result;
};

static struct loop *loop_of(const struct batch_run *run)
{
    return run->queue->options.loop;
}

static void set_state(struct batch_run *run, enum batch_state state)
{
    run->state = state;
}

static bool is_cancelled(const struct batch_run *run)
{
    return run->batch.cancelling_ms != 0;
}

static bool is_over(const struct batch_run *run)
{
    return is_cancelled(run) || run->is_expired || run->undone == 0;
}

/* ---- Waiting for a while --------------------------------------------------------------------- */

static void on_hold_over(void *user)
{
    struct batch_run *run = user;
    run->waits_for_storage = false;
    batch_queue_wake(run->queue);
}

static void hold(struct batch_run *run, uint64_t delay_ms)
{
    loop_timer_set(loop_of(run), &run->hold, delay_ms > hold_max_ms ? hold_max_ms : delay_ms,
                   on_hold_over, run);
}

/* Nothing is done before: it would fail alike. */
static void wait_for_storage(struct batch_run *run)
{
    run->waits_for_storage = true;
    hold(run, STORAGE_RETRY_MS);
}

/* ---- A line's end ---------------------------------------------------------------------------- */

static void work_free(struct line_work *work)
{
    struct batch_queue *queue = work->run->queue;
    list_remove(&work->link);
    buf_done(&work->result);
    queue->line_count--;
    free(work);
    batch_queue_wake(queue);
}

static void put_back(struct line_work *work)
{
    struct batch_run *run = work->run;
    run->again[run->again_count++] = (size_t)(work->line - run->input.lines);
    work_free(work);
}

static enum err run_save(struct store_tx *tx, void *user, struct error *error)
{
    struct line_work *work = user;
    const struct store_batch_line line = {
        .owner = work->run->batch.owner,
        .batch = work->run->batch.id,
        .line = work->line->number,
        .is_failure = work->is_failure,
        .result = buf_str(&work->result),
    };
    return store_batch_line_insert(tx, &line, error);
}

static void on_saved(void *user, enum err code, const struct error *error)
{
    struct line_work *work = user;
    struct batch_run *run = work->run;
    if (code != ERR_OK) {
        log_error(run->queue->options.log, "a batch's result was not stored",
                  LOG_STR("batch", id_str(&run->batch.id)),
                  LOG_CSTR("error", error_message(error)));
        wait_for_storage(run);
        put_back(work);
        return;
    }
    work->line->is_done = true;
    run->undone--;
    work_free(work);
}

static void save(struct line_work *work)
{
    struct batch_queue *queue = work->run->queue;
    work->is_saving = true;
    work->job = (struct store_job){.run = run_save, .done = on_saved, .user = work};
    store_write(queue->options.store, queue->options.loop, &work->job);
}

/* ---- What came of it ------------------------------------------------------------------------- */

/* Whether it may be well later. What only a limit keeps back is tried until the batch expires. */
static bool passes(const struct batch_run *run, const struct line_work *work,
                   const struct llm_error *error)
{
    enum err class = error->class;
    bool is_limit = class == ERR_RATE_LIMITED || class == ERR_OVERLOADED ||
                    (class == ERR_QUOTA_EXHAUSTED && error->retry_after_ms > 0); /* a budget */
    bool is_fault = class == ERR_SERVER || class == ERR_TIMEOUT || class == ERR_NETWORK ||
                    class == ERR_UNAVAILABLE;
    return is_limit || (is_fault && run->tries[work->line - run->input.lines] < TRIES_MAX);
}

/* After a failure that passes the whole batch waits: the next line would fail alike. */
static void try_later(struct line_work *work, const struct llm_error *error)
{
    struct batch_run *run = work->run;
    uint64_t delay_ms = run->queue->options.retry_ms << run->failures;
    unsigned char *tries = &run->tries[work->line - run->input.lines];
    if (run->failures < DOUBLINGS_MAX)
        run->failures++;
    if (*tries < TRIES_MAX)
        (*tries)++;
    if (error->retry_after_ms > 0 && (uint64_t)error->retry_after_ms > delay_ms)
        delay_ms = (uint64_t)error->retry_after_ms;
    hold(run, delay_ms);
    put_back(work);
}

static void take_answer(void *user, const struct batch_answer *answer)
{
    struct line_work *work = user;
    struct batch_run *run = work->run;
    work->call = NULL;
    if (answer->error && passes(run, work, answer->error)) {
        try_later(work, answer->error);
        return;
    }
    if (!answer->error)
        run->failures = 0;
    work->is_failure = answer->error != NULL;
    batch_write_answer(&work->result, run->endpoint, id_str(&run->batch.id), work->line, answer);
    save(work);
}

static void take_refusal(struct line_work *work, enum err code, const struct error *error)
{
    struct llm_error refusal = {.class = code, .retry_after_ms = -1};
    str_copy(str_from_cstr(error->field), refusal.field, sizeof refusal.field);
    if (error->field[0] && !work->run->endpoint->dialect->errors_name_field)
        snprintf(refusal.message, sizeof refusal.message, "%s: %s", error->field,
                 error_message(error));
    else
        str_copy(str_from_cstr(error_message(error)), refusal.message, sizeof refusal.message);
    take_answer(work, &(struct batch_answer){.error = &refusal, .request_id = STR("")});
}

/* ---- A line's beginning ---------------------------------------------------------------------- */

static enum err ask(struct line_work *work, struct error *error)
{
    struct batch_run *run = work->run;
    const struct batch_options *options = &run->queue->options;
    char name[64];
    int len =
        snprintf(name, sizeof name, "%s-%lld", run->batch.id.text, (long long)work->line->number);
    struct batch_call_request request = {
        .endpoint = run->endpoint,
        .line = work->line,
        .name = STR_FROM(name, (size_t)len),
        .tenant = id_str(&run->batch.owner),
        .address = run->batch.maker_address,
    };
    enum err code = batch_maker_policy(options->account, &run->batch, &request.policy, error);
    if (code != ERR_OK)
        return code;
    code = batch_call_start(options->router, &request, take_answer, work, &work->call, error);
    policy_unref(request.policy);
    return code;
}

static void begin_line(struct batch_run *run, struct batch_line *line)
{
    struct line_work *work = calloc(1, sizeof *work);
    struct error error = {0};
    ASSERT(work);
    work->run = run;
    work->line = line;
    buf_init(&work->result, RESULT_BYTES_MAX);
    list_append(&run->lines, &work->link);
    run->queue->line_count++;
    if (line->wrong) {
        work->is_failure = true;
        batch_write_wrong(&work->result, run->endpoint, id_str(&run->batch.id), line);
        save(work);
        return;
    }
    enum err code = ask(work, &error);
    if (code != ERR_OK)
        take_refusal(work, code, &error);
}

/* The next one without a result, or NULL. */
static struct batch_line *next_line(struct batch_run *run)
{
    if (run->again_count)
        return &run->input.lines[run->again[--run->again_count]];
    while (run->next < run->input.count && run->input.lines[run->next].is_done)
        run->next++;
    return run->next < run->input.count ? &run->input.lines[run->next++] : NULL;
}

/* What is being stored is not stopped: it is done. */
static void cancel_lines(struct batch_run *run)
{
    LIST_EACH (&run->lines, link) {
        struct line_work *work = LIST_ENTRY(link, struct line_work, link);
        if (!work->call)
            continue;
        batch_call_cancel(work->call);
        put_back(work);
    }
}

/* ---- The end --------------------------------------------------------------------------------- */

void batch_run_release(struct batch_run *run)
{
    run->queue->open_count -= run->is_counted;
    if (run->is_counted)
        batch_queue_wake(run->queue);
    run->is_counted = false;
}

static void close_input(struct batch_run *run)
{
    run->queue->open_count -= run->is_counted;
    run->is_counted = false;
    free(run->tries);
    free(run->again);
    run->tries = NULL;
    run->again = NULL;
    blob_unmap(&run->blob);
}

/* Rows of results have no limit: the work is done and paid for. */
static enum err insert_file(struct store_tx *tx, const struct store_file *file, struct error *error)
{
    static const struct store_file_limits none = {INT64_MAX, INT64_MAX, INT64_MAX};
    return id_is_none(&file->id) ? ERR_OK : store_file_insert(tx, file, &none, error);
}

static enum err run_end(struct store_tx *tx, void *user, struct error *error)
{
    struct batch_run *run = user;
    enum err code = insert_file(tx, &run->output, error);
    if (code == ERR_OK)
        code = insert_file(tx, &run->failures_file, error);
    return code == ERR_OK ? store_batch_end(tx, &run->batch, error) : code;
}

static void on_ended(void *user, enum err code, const struct error *error)
{
    struct batch_run *run = user;
    struct log *log = run->queue->options.log;
    run->is_busy = false;
    if (code == ERR_OK || code == ERR_NOT_FOUND) {
        log_info(log, "batch ended", LOG_STR("batch", id_str(&run->batch.id)),
                 LOG_INT("lines", run->batch.total), LOG_INT("status", run->batch.status));
        batch_queue_forget(run);
        return;
    }
    log_error(log, "a batch's end was not stored", LOG_STR("batch", id_str(&run->batch.id)),
              LOG_CSTR("error", error_message(error)));
    if (run->state != BATCH_STOPPED)
        set_state(run, run->is_refused ? BATCH_REFUSED
                       : run->tries    ? BATCH_RUNNING
                                       : BATCH_WAITING);
    wait_for_storage(run);
    batch_queue_wake(run->queue);
}

static void store_end(struct batch_run *run, enum store_batch_status status)
{
    run->batch.status = status;
    run->batch.output = run->output.id;
    run->batch.failures = run->failures_file.id;
    run->batch.ended_ms = clock_wall_ms();
    run->is_busy = true;
    run->job = (struct store_job){.run = run_end, .done = on_ended, .user = run};
    store_write(run->queue->options.store, loop_of(run), &run->job);
}

static void on_written(void *user)
{
    struct batch_run *run = user;
    run->is_busy = false;
    if (run->code != ERR_OK || run->state == BATCH_STOPPED) {
        if (run->state != BATCH_STOPPED)
            on_ended(run, run->code, &run->error);
        batch_queue_wake(run->queue);
        return;
    }
    store_end(run, run->undone == 0    ? STORE_BATCH_COMPLETED
                   : is_cancelled(run) ? STORE_BATCH_CANCELLED
                                       : STORE_BATCH_EXPIRED);
}

static enum err run_finalize(struct store_tx *tx, void *user, struct error *error)
{
    struct batch_run *run = user;
    return store_batch_finalize(tx, &run->batch, error);
}

/* Whether or not it could be stored: it only shows how far the batch is. */
static void on_finalized(void *user, enum err code, const struct error *error)
{
    (void)code, (void)error;
    struct batch_run *run = user;
    run->is_busy = run->state != BATCH_STOPPED;
    if (run->is_busy)
        loop_work_start(loop_of(run), &run->pool, batch_pool_write, on_written, run);
    else
        batch_queue_wake(run->queue);
}

static void end(struct batch_run *run)
{
    set_state(run, BATCH_ENDING);
    run->is_busy = true;
    if (!run->batch.finalizing_ms)
        run->batch.finalizing_ms = clock_wall_ms();
    run->job = (struct store_job){.run = run_finalize, .done = on_finalized, .user = run};
    store_write(run->queue->options.store, loop_of(run), &run->job);
}

/* As a whole, before any of its lines was asked here. */
static void fail(struct batch_run *run)
{
    struct buf out;
    struct json_writer w;
    buf_init(&out, 4096);
    json_writer_init(&w, &out);
    json_begin_array(&w);
    json_begin_object(&w);
    json_key_str(&w, "code", str_from_cstr(err_info(run->code)->name));
    json_key_null(&w, "line");
    json_key_str(&w, "message", str_from_cstr(error_message(&run->error)));
    json_key_str(&w, "param", STR("input_file_id"));
    json_end_object(&w);
    json_end_array(&w);
    run->batch.errors = arena_str(run->arena, buf_str(&out));
    buf_done(&out);
    set_state(run, BATCH_ENDING);
    store_end(run, STORE_BATCH_FAILED);
}

/* ---- At its provider ------------------------------------------------------------------------- */

void batch_run_go_on(struct batch_run *run)
{
    set_state(run, BATCH_RUNNING);
    batch_queue_wake(run->queue);
}

void batch_run_refuse(struct batch_run *run)
{
    run->is_refused = true;
    fail(run);
}

/* It was handed on before, or is to be. */
static void begin_asking(struct batch_run *run)
{
    bool is_handed =
        run->batch.hand != STORE_BATCH_HERE && (run->batch.provider.len || !is_over(run));
    set_state(run, is_handed ? BATCH_HANDED : BATCH_RUNNING);
    if (is_handed)
        run->hand = batch_hand_new(run);
}

/* ---- The beginning --------------------------------------------------------------------------- */

static enum err run_start(struct store_tx *tx, void *user, struct error *error)
{
    struct batch_run *run = user;
    return store_batch_start(tx, &run->batch, error);
}

static void on_started(void *user, enum err code, const struct error *error)
{
    struct batch_run *run = user;
    run->is_busy = false;
    if (code != ERR_OK)
        log_error(run->queue->options.log, "a batch's beginning was not stored",
                  LOG_STR("batch", id_str(&run->batch.id)),
                  LOG_CSTR("error", error_message(error)));
    if (run->state == BATCH_OPENING)
        begin_asking(run);
    if (code != ERR_OK)
        wait_for_storage(run);
    batch_queue_wake(run->queue);
}

static void prepare(struct batch_run *run)
{
    size_t count = run->input.count;
    run->tries = calloc(count, 1);
    run->again = calloc(count, sizeof *run->again);
    ASSERT(run->tries && run->again);
    run->undone = 0;
    for (size_t i = 0; i < count; i++)
        run->undone += !run->input.lines[i].is_done;
    run->batch.total = (int64_t)count;
    if (!run->batch.started_ms)
        run->batch.started_ms = clock_wall_ms();
}

static void on_opened(void *user)
{
    struct batch_run *run = user;
    run->is_busy = false;
    if (run->code == ERR_OK)
        prepare(run);
    else
        batch_run_release(run);
    if (run->state == BATCH_STOPPED) {
        batch_queue_wake(run->queue);
    } else if (run->code == ERR_OK) {
        run->is_busy = true;
        run->job = (struct store_job){.run = run_start, .done = on_started, .user = run};
        store_write(run->queue->options.store, loop_of(run), &run->job);
    } else if (run->code == ERR_CONFLICT) { /* it has ended: what was listed was old */
        batch_queue_forget(run);
    } else if (run->code == ERR_STORAGE) {
        on_ended(run, run->code, &run->error);
    } else {
        fail(run);
    }
}

static void open_input(struct batch_run *run)
{
    set_state(run, BATCH_OPENING);
    run->queue->open_count++;
    run->is_counted = true;
    run->is_busy = true;
    loop_work_start(loop_of(run), &run->pool, batch_pool_open, on_opened, run);
}

bool batch_run_step(struct batch_run *run)
{
    bool is_held = loop_timer_is_set(&run->hold);
    if (run->waits_for_storage || (is_held && !(run->state == BATCH_RUNNING && is_over(run))))
        return false;
    if (run->state == BATCH_WAITING && run->queue->open_count < OPEN_MAX)
        open_input(run);
    if (run->state == BATCH_REFUSED)
        fail(run);
    if (run->state != BATCH_RUNNING)
        return false;
    if (is_over(run)) {
        if (list_is_empty(&run->lines))
            end(run);
        return false;
    }
    struct batch_line *line = next_line(run);
    if (line)
        begin_line(run, line);
    return line != NULL;
}

/* ---- Life ------------------------------------------------------------------------------------ */

static void on_expiry(void *user)
{
    struct batch_run *run = user;
    if (run->batch.provider.len) /* which says when it expires */
        return;
    run->is_expired = true;
    cancel_lines(run);
    if (run->state == BATCH_HANDED)
        batch_hand_cancel(run->hand);
    batch_queue_wake(run->queue);
}

static void copy_batch(struct batch_run *run, const struct store_batch *batch)
{
    run->batch = *batch;
    run->batch.dialect = arena_str(run->arena, batch->dialect);
    run->batch.endpoint = arena_str(run->arena, batch->endpoint);
    run->batch.metadata = arena_str(run->arena, batch->metadata);
    run->batch.errors = arena_str(run->arena, batch->errors);
    run->batch.maker_address = arena_str(run->arena, batch->maker_address);
    run->batch.provider = arena_str(run->arena, batch->provider);
    run->batch.provider_batch = arena_str(run->arena, batch->provider_batch);
}

struct batch_run *batch_run_new(struct batch_queue *queue, const struct store_batch *batch)
{
    struct batch_run *run = calloc(1, sizeof *run);
    int64_t left_ms = batch->expires_ms - clock_wall_ms();
    ASSERT(run);
    run->queue = queue;
    run->arena = arena_new(SIZE_MAX);
    list_init(&run->lines);
    copy_batch(run, batch);
    run->endpoint = batch_endpoint_find(batch_form_of(batch->dialect), batch->endpoint);
    loop_timer_set(queue->options.loop, &run->expiry, left_ms > 0 ? (uint64_t)left_ms : 0,
                   on_expiry, run);
    return run;
}

void batch_run_free(struct batch_run *run)
{
    ASSERT(list_is_empty(&run->lines) && !run->is_busy);
    batch_hand_free(run->hand);
    loop_timer_cancel(loop_of(run), &run->hold);
    loop_timer_cancel(loop_of(run), &run->expiry);
    close_input(run);
    arena_free(run->arena);
    free(run);
}

void batch_run_update(struct batch_run *run, const struct store_batch *batch)
{
    if (!batch->cancelling_ms || is_cancelled(run) || run->state == BATCH_ENDING)
        return; /* while it ends, the pool reads this */
    run->batch.cancelling_ms = batch->cancelling_ms;
    cancel_lines(run);
    if (run->state == BATCH_HANDED)
        batch_hand_cancel(run->hand);
    batch_queue_wake(run->queue);
}

void batch_run_stop(struct batch_run *run)
{
    if (run->state == BATCH_HANDED)
        batch_hand_stop(run->hand);
    set_state(run, BATCH_STOPPED);
    cancel_lines(run);
}

bool batch_run_is_idle(const struct batch_run *run)
{
    return list_is_empty(&run->lines) && !run->is_busy &&
           (!run->hand || batch_hand_is_idle(run->hand));
}
