/* One batch at its provider.
 *
 *   choose (pool) --on_chosen: it does not fit--> kept here, or refused
 *      \--> upload --on_uploaded--> mark (store) --on_marked--> make --on_made--> keep (store)
 *   keep --on_kept--> rest --poll_ms--> ask --on_told: under way--> note (store) --on_noted--> rest
 *   ask --on_told: it has ended--> fetch, each file --on_fetched--> read (pool) --on_read-->
 *      save (store, some rows at once) --on_saved: all are--> handed
 *   rest, or on_told, when it is to be cancelled: cancel --on_cancelled--> rest
 *   upload, make, ask, fetch --it fails for a while--> the same again, later and later
 *   any --it fails--> refuse: as a whole (OpenAI), or each line (Anthropic): read, save, handed
 *
 * A row with a provider and no id of the batch there says that it was being made when the program
 * ended: nobody knows whether it was, and it is refused rather than paid for twice. */
#include "chat/batch_hand.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/clock.h"
#include "chat/batch_hand_internal.h"
#include "chat/batch_maker.h"

enum {
    DOUBLINGS_MAX = 9,
    SAVE_ROWS_MAX = 500,
    SAVE_BYTES_MAX = 4 * 1024 * 1024,
    STATUS_BYTES_MAX = 1024 * 1024,
    STORAGE_RETRY_MS = 5000
};
static const uint64_t wait_max_ms = 10 * 60 * 1000;
static const int64_t grace_ms = 24 * 3600 * 1000; /* behind its expiry: then nobody waits for it */
#define RESULTS_BYTES_MAX ((size_t)1024 * 1024 * 1024)

static const struct batch_options *options_of(const struct batch_hand *hand)
{
    return &hand->run->queue->options;
}

static enum batch_form form_of(const struct batch_hand *hand)
{
    return hand->run->endpoint->form;
}

static bool is_made(const struct batch_hand *hand)
{
    return hand->run->batch.provider_batch.len > 0;
}

bool batch_hand_is_out(const struct batch_hand *hand)
{
    return hand->run->batch.provider.len > 0;
}

bool batch_hand_is_idle(const struct batch_hand *hand)
{
    return !hand->is_busy;
}

/* ---- Waiting --------------------------------------------------------------------------------- */

static void on_timer(void *user)
{
    struct batch_hand *hand = user;
    hand->next(hand);
}

static void later(struct batch_hand *hand, uint64_t delay_ms, void (*next)(struct batch_hand *hand))
{
    if (hand->is_stopping)
        return;
    hand->next = next;
    loop_timer_set(options_of(hand)->loop, &hand->timer, delay_ms, on_timer, hand);
}

/* After a failure that passes. */
static void again(struct batch_hand *hand, int64_t retry_after_ms,
                  void (*next)(struct batch_hand *hand))
{
    uint64_t delay_ms = options_of(hand)->retry_ms << hand->failures;
    if (hand->failures < DOUBLINGS_MAX)
        hand->failures++;
    if (retry_after_ms > 0 && (uint64_t)retry_after_ms > delay_ms)
        delay_ms = (uint64_t)retry_after_ms;
    later(hand, delay_ms < wait_max_ms ? delay_ms : wait_max_ms, next);
}

static bool passes(const struct llm_error *error)
{
    enum err class = error->class;
    return class == ERR_RATE_LIMITED || class == ERR_OVERLOADED || class == ERR_SERVER ||
           class == ERR_TIMEOUT || class == ERR_NETWORK || class == ERR_UNAVAILABLE ||
           (class == ERR_QUOTA_EXHAUSTED && error->retry_after_ms > 0);
}

/* ---- Storing --------------------------------------------------------------------------------- */

/* The loop is back: false when nothing more may be begun. */
static bool is_back(struct batch_hand *hand)
{
    hand->is_busy = false;
    if (hand->is_stopping)
        batch_queue_wake(hand->run->queue);
    return !hand->is_stopping;
}

static void log_storage(struct batch_hand *hand, const struct error *error)
{
    log_error(options_of(hand)->log, "a batch that is handed on was not stored",
              LOG_STR("batch", id_str(&hand->run->batch.id)),
              LOG_CSTR("error", error_message(error)));
}

static enum err run_note(struct store_tx *tx, void *user, struct error *error)
{
    struct batch_hand *hand = user;
    return store_batch_note(tx, &hand->run->batch, error);
}

static void start_job(struct batch_hand *hand,
                      enum err (*run)(struct store_tx *tx, void *user, struct error *error),
                      void (*done)(void *user, enum err code, const struct error *error))
{
    hand->is_busy = true;
    hand->job = (struct store_job){.run = run, .done = done, .user = hand};
    store_write(options_of(hand)->store, options_of(hand)->loop, &hand->job);
}

/* ---- Failing --------------------------------------------------------------------------------- */

static void read_results(struct batch_hand *hand);

/* Anthropic's batches cannot fail as a whole: each line does. */
static void refuse(struct batch_hand *hand, enum err code, const char *message)
{
    struct batch_run *run = hand->run;
    log_warning(options_of(hand)->log, "a batch was not handed on",
                LOG_STR("batch", id_str(&run->batch.id)), LOG_CSTR("error", message));
    run->code = code;
    error_set(&run->error, code, NULL, "%s", message);
    if (form_of(hand) == BATCH_OPENAI) {
        batch_run_refuse(run);
        return;
    }
    hand->is_refused = true;
    dialect_error_set(&hand->refusal, code, message);
    hand->refusal.retry_after_ms = -1;
    read_results(hand);
}

static void refuse_by(struct batch_hand *hand, const struct llm_error *error)
{
    char message[sizeof error->message + 64];
    snprintf(message, sizeof message, "the provider did not take the batch: %s", error->message);
    refuse(hand, error->class, message);
}

/* ---- Asking the provider --------------------------------------------------------------------- */

static enum err prepare(void *user, struct arena *scratch, struct relay_attempt *attempt,
                        struct error *error)
{
    struct batch_hand *hand = user;
    (void)scratch, (void)error;
    attempt->method = hand->method;
    attempt->path = hand->path;
    attempt->body = hand->body;
    attempt->content_type = hand->type;
    return ERR_OK;
}

static void on_head(void *user, const struct relay_attempt *attempt, int status,
                    const struct http_headers *headers)
{
    struct batch_hand *hand = user;
    (void)headers;
    hand->kind = attempt->provider->kind;
    hand->status = status;
}

static void on_body(void *user, struct str bytes)
{
    struct batch_hand *hand = user;
    buf_append(&hand->answer, bytes);
}

static void answer_with(struct batch_hand *hand, enum err code, const char *message)
{
    struct llm_error error;
    dialect_error_set(&error, code, message);
    error.retry_after_ms = -1;
    hand->answered(hand, &error);
}

static void on_end(void *user, const struct llm_error *error)
{
    struct batch_hand *hand = user;
    const struct http_headers none = {0};
    struct llm_error failure = {.retry_after_ms = -1};
    hand->relay = NULL;
    if (!error && (hand->status < 200 || hand->status > 299)) {
        hand->kind->dialect->decode_error(hand->scratch, hand->status, &none,
                                          buf_str(&hand->answer), &failure);
        error = &failure;
    }
    if (!error && !buf_ok(&hand->answer))
        answer_with(hand, ERR_TOO_BIG, "the provider's answer is too long");
    else
        hand->answered(hand, error);
}

struct ask {
    enum http_method method;
    struct str path; /* lives in the hand's arena */
    struct str body; /* lives until the answer */
    struct str type;
    bool is_makers; /* it counts for whoever made the batch; else it is Parley's own */
    bool is_retried;
    size_t answer_bytes_max;
    void (*answered)(struct batch_hand *hand, const struct llm_error *error);
};

static void ask(struct batch_hand *hand, const struct ask *ask)
{
    static const struct relay_events events = {on_head, on_body, on_end};
    struct batch_run *run = hand->run;
    struct error error = {0};
    const struct governor_origin origin = {
        .policy = ask->is_makers ? hand->policy : NULL,
        .address = ask->is_makers ? run->batch.maker_address : STR_NONE,
        .door = batch_form_name(form_of(hand)),
        .request_id = id_str(&run->batch.id),
    };
    const struct relay_request request = {
        .origin = &origin,
        .provider = hand->provider,
        .model = ask->is_makers ? hand->model : STR_NONE,
        .priority = CELL_BATCH,
        .body_bytes_max = ask->answer_bytes_max,
        .is_retried = ask->is_retried,
        .prepare = prepare,
    };
    hand->method = ask->method;
    hand->path = ask->path;
    hand->body = ask->body;
    hand->type = ask->type;
    hand->answered = ask->answered;
    buf_done(&hand->answer);
    buf_init(&hand->answer, ask->answer_bytes_max);
    enum err code =
        relay_start(options_of(hand)->router, &request, &events, hand, &hand->relay, &error);
    if (code != ERR_OK)
        answer_with(hand, code, error_message(&error));
}

static yyjson_val *read_answer(struct batch_hand *hand)
{
    yyjson_val *root = NULL;
    arena_reset(hand->scratch);
    return json_read(hand->scratch, buf_str(&hand->answer), &root, NULL) == ERR_OK ? root : NULL;
}

/* ---- Its end --------------------------------------------------------------------------------- */

static void record(struct batch_hand *hand, const struct hand_row *row)
{
    struct batch_run *run = hand->run;
    char name[64];
    int len =
        snprintf(name, sizeof name, "%s-%lld", run->batch.id.text, (long long)row->line->number);
    const struct governor_origin origin = {
        .policy = hand->policy,
        .address = run->batch.maker_address,
        .door = batch_form_name(form_of(hand)),
        .request_id = STR_FROM(name, (size_t)len),
    };
    const struct governor_ask asked = {.origin = &origin, .model = row->model, .is_batch = true};
    const struct flow_row flow = {.target = &row->target,
                                  .number = 1,
                                  .mode = ROUTE_WHOLE,
                                  .outcome = FLOW_ANSWERED,
                                  .usage = row->usage,
                                  .cost_nano = row->cost_nano};
    if (row->is_used && options_of(hand)->governor)
        governor_record(options_of(hand)->governor, &asked, &flow);
}

static enum err run_save(struct store_tx *tx, void *user, struct error *error)
{
    struct batch_hand *hand = user;
    const struct store_batch *batch = &hand->run->batch;
    enum err code = ERR_OK;
    for (size_t i = hand->saved; code == ERR_OK && i < hand->saving; i++) {
        const struct hand_row *row = &hand->rows[i];
        const struct store_batch_line line = {.owner = batch->owner,
                                              .batch = batch->id,
                                              .line = row->line->number,
                                              .is_failure = row->is_failure,
                                              .result = row->result};
        code = store_batch_line_insert(tx, &line, error);
    }
    if (code == ERR_OK && hand->saving == hand->row_count)
        code = store_batch_recount(tx, batch, error);
    return code;
}

static void save(struct batch_hand *hand);

static void finish(struct batch_hand *hand)
{
    struct batch_run *run = hand->run;
    run->is_expired |= hand->end.is_expired;
    if (hand->end.is_cancelled && !run->batch.cancelling_ms && !run->is_expired)
        run->batch.cancelling_ms = clock_wall_ms();
    batch_run_go_on(run);
}

/* Rows of the ledger come behind the results: after a crash in between, those of the newest results
 * are missing, and none is there twice. */
static void on_saved(void *user, enum err code, const struct error *error)
{
    struct batch_hand *hand = user;
    bool may_go_on;
    for (; code == ERR_OK && hand->saved < hand->saving; hand->saved++) {
        hand->rows[hand->saved].line->is_done = true;
        hand->run->undone--;
        record(hand, &hand->rows[hand->saved]);
    }
    may_go_on = is_back(hand);
    if (code != ERR_OK)
        log_storage(hand, error);
    if (!may_go_on)
        return;
    if (code != ERR_OK)
        later(hand, STORAGE_RETRY_MS, save);
    else if (hand->saved < hand->row_count)
        save(hand);
    else
        finish(hand);
}

static void save(struct batch_hand *hand)
{
    size_t bytes = 0;
    hand->saving = hand->saved;
    while (hand->saving < hand->row_count && hand->saving < hand->saved + SAVE_ROWS_MAX &&
           bytes < SAVE_BYTES_MAX)
        bytes += hand->rows[hand->saving++].result.len;
    start_job(hand, run_save, on_saved);
}

static void on_read(void *user)
{
    struct batch_hand *hand = user;
    buf_done(&hand->results);
    buf_init(&hand->results, RESULTS_BYTES_MAX);
    if (is_back(hand))
        save(hand);
}

static void read_results(struct batch_hand *hand)
{
    hand->is_busy = true;
    loop_work_start(options_of(hand)->loop, &hand->pool, hand_pool_read, on_read, hand);
}

static void fetch(struct batch_hand *hand);

static bool is_too_late(const struct batch_hand *hand)
{
    return clock_wall_ms() > hand->run->batch.expires_ms + grace_ms;
}

static void on_fetched(struct batch_hand *hand, const struct llm_error *error)
{
    if (error && (!passes(error) || is_too_late(hand))) {
        refuse_by(hand, error);
    } else if (error) {
        again(hand, error->retry_after_ms, fetch);
    } else {
        hand->failures = 0;
        buf_append(&hand->results, buf_str(&hand->answer));
        buf_append_char(&hand->results, '\n');
        buf_clear(&hand->answer);
        hand->file_index++;
        fetch(hand);
    }
}

/* Each file of results, then what is in them. */
static void fetch(struct batch_hand *hand)
{
    while (hand->file_index < 2 && !hand->end.files[hand->file_index].len)
        hand->file_index++;
    if (hand->file_index == 2 && buf_ok(&hand->results)) {
        read_results(hand);
        return;
    }
    if (hand->file_index == 2) {
        refuse(hand, ERR_TOO_BIG, "the provider's results are too large");
        return;
    }
    ask(hand, &(struct ask){.method = HTTP_GET,
                            .path = hand_results_path(hand->arena, form_of(hand),
                                                      hand->run->batch.provider_batch,
                                                      hand->end.files[hand->file_index]),
                            .is_retried = true,
                            .answer_bytes_max = RESULTS_BYTES_MAX,
                            .answered = on_fetched});
}

/* ---- How far it is --------------------------------------------------------------------------- */

static void poll(struct batch_hand *hand);

static void on_cancelled(struct batch_hand *hand, const struct llm_error *error)
{
    hand->has_cancelled = !error || !passes(error);
    if (hand->has_cancelled)
        poll(hand); /* what it refuses to cancel has ended */
    else
        later(hand, options_of(hand)->poll_ms, poll);
}

static void cancel_there(struct batch_hand *hand)
{
    ask(hand, &(struct ask){.method = HTTP_POST,
                            .path = hand_path(hand->arena, form_of(hand),
                                              hand->run->batch.provider_batch, "/cancel"),
                            .is_retried = true,
                            .answer_bytes_max = STATUS_BYTES_MAX,
                            .answered = on_cancelled});
}

static void rest(struct batch_hand *hand)
{
    batch_run_release(hand->run);
    if (hand->wants_cancel && !hand->has_cancelled)
        cancel_there(hand);
    else
        later(hand, options_of(hand)->poll_ms, poll);
}

static void on_noted(void *user, enum err code, const struct error *error)
{
    struct batch_hand *hand = user;
    if (code != ERR_OK) /* it only shows how far it is */
        log_storage(hand, error);
    if (is_back(hand))
        rest(hand);
}

static void note(struct batch_hand *hand, const struct hand_status *status)
{
    struct store_batch *batch = &hand->run->batch;
    bool is_same = batch->completed == status->completed && batch->failed == status->failed &&
                   (!status->expires_ms || batch->expires_ms == status->expires_ms);
    batch->completed = status->completed;
    batch->failed = status->failed;
    if (status->expires_ms)
        batch->expires_ms = status->expires_ms;
    if (is_same)
        rest(hand);
    else
        start_job(hand, run_note, on_noted);
}

static void take_end(struct batch_hand *hand, const struct hand_status *status)
{
    hand->end = *status;
    for (int i = 0; i < 2; i++)
        hand->end.files[i] = arena_str(hand->arena, status->files[i]);
    hand->file_index = 0;
    fetch(hand);
}

static void refuse_by_status(struct batch_hand *hand, const struct hand_status *status)
{
    char message[300];
    snprintf(message, sizeof message, "the provider refused the batch: %.*s",
             (int)(status->message.len < 200 ? status->message.len : 200), status->message.data);
    refuse(hand, ERR_INVALID, message);
}

static void refuse_lost(struct batch_hand *hand, const struct llm_error *error)
{
    char message[sizeof error->message + 64];
    snprintf(message, sizeof message, "the provider does not tell of the batch any more: %s",
             error->message);
    refuse(hand, error->class, message);
}

static void on_told(struct batch_hand *hand, const struct llm_error *error)
{
    struct hand_status status;
    if (error && (is_too_late(hand) || error->class == ERR_NOT_FOUND ||
                  error->class == ERR_MODEL_NOT_FOUND)) {
        refuse_lost(hand, error);
        return;
    }
    if (error) { /* also a key that is refused: it may be put right */
        again(hand, error->retry_after_ms, poll);
        return;
    }
    hand->failures = 0;
    if (!hand_read_status(hand->scratch, form_of(hand), read_answer(hand), &status))
        again(hand, -1, poll);
    else if (status.progress == HAND_FAILED)
        refuse_by_status(hand, &status);
    else if (status.progress == HAND_ENDED)
        take_end(hand, &status);
    else
        note(hand, &status);
}

/* Whoever made it may not ask any more: then it is cancelled. */
static void ask_maker(struct batch_hand *hand)
{
    struct policy *policy = NULL;
    struct error error = {0};
    enum err code =
        batch_maker_policy(options_of(hand)->account, &hand->run->batch, &policy, &error);
    if (code == ERR_OK) {
        policy_unref(hand->policy);
        hand->policy = policy;
    } else if (!hand->wants_cancel) {
        hand->run->batch.cancelling_ms = clock_wall_ms();
        hand->wants_cancel = true;
    }
}

static void poll(struct batch_hand *hand)
{
    if (!hand->wants_cancel)
        ask_maker(hand);
    if (hand->wants_cancel && !hand->has_cancelled) {
        cancel_there(hand);
        return;
    }
    ask(hand, &(struct ask){.method = HTTP_GET,
                            .path = hand_path(hand->arena, form_of(hand),
                                              hand->run->batch.provider_batch, ""),
                            .is_retried = true,
                            .answer_bytes_max = STATUS_BYTES_MAX,
                            .answered = on_told});
}

/* ---- Making it there ------------------------------------------------------------------------- */

static void make(struct batch_hand *hand);
static void mark(struct batch_hand *hand);
static void keep(struct batch_hand *hand);

static void on_kept(void *user, enum err code, const struct error *error)
{
    struct batch_hand *hand = user;
    bool may_go_on = is_back(hand);
    if (code != ERR_OK)
        log_storage(hand, error);
    if (may_go_on && code != ERR_OK)
        later(hand, STORAGE_RETRY_MS, keep);
    else if (may_go_on)
        rest(hand);
}

static void keep(struct batch_hand *hand)
{
    start_job(hand, run_note, on_kept);
}

static void on_unmarked(void *user, enum err code, const struct error *error)
{
    struct batch_hand *hand = user;
    if (code != ERR_OK)
        log_storage(hand, error);
    if (!is_back(hand))
        return;
    hand->run->is_expired |= clock_wall_ms() > hand->run->batch.expires_ms;
    if (hand->wants_cancel || hand->run->is_expired)
        batch_run_go_on(hand->run);
    else
        again(hand, -1, mark);
}

static void unmark(struct batch_hand *hand)
{
    hand->run->batch.provider = STR_NONE;
    start_job(hand, run_note, on_unmarked);
}

/* Only a provider that says so has not taken it: after anything else it may have. */
static bool is_refusal_that_passes(const struct llm_error *error)
{
    return (error->class == ERR_RATE_LIMITED || error->class == ERR_OVERLOADED ||
            error->class == ERR_QUOTA_EXHAUSTED) &&
           passes(error);
}

static void on_made(struct batch_hand *hand, const struct llm_error *error)
{
    struct store_batch *batch = &hand->run->batch;
    struct hand_status status;
    if (error && is_refusal_that_passes(error)) {
        unmark(hand);
        return;
    }
    if (error) {
        refuse_by(hand, error);
        return;
    }
    if (!hand_read_status(hand->scratch, form_of(hand), read_answer(hand), &status)) {
        refuse(hand, ERR_SERVER, "the provider's answer about the batch is not its protocol");
        return;
    }
    hand->failures = 0;
    buf_done(&hand->content);
    buf_init(&hand->content, BATCH_INPUT_BYTES_MAX * 2);
    batch->provider_batch = arena_str(hand->run->arena, status.id);
    if (status.expires_ms)
        batch->expires_ms = status.expires_ms;
    log_info(options_of(hand)->log, "batch handed on", LOG_STR("batch", id_str(&batch->id)),
             LOG_STR("provider", batch->provider), LOG_STR("id", batch->provider_batch));
    keep(hand);
}

static void make(struct batch_hand *hand)
{
    struct str body = buf_str(&hand->content);
    if (hand_has_upload(form_of(hand))) {
        struct buf out;
        buf_init(&out, 4096);
        hand_write_making(hand->run->endpoint, hand->file, id_str(&hand->run->batch.id), &out);
        body = arena_str(hand->arena, buf_str(&out));
        buf_done(&out);
    }
    ask(hand, &(struct ask){.method = HTTP_POST,
                            .path = hand_path(hand->arena, form_of(hand), STR_NONE, ""),
                            .body = body,
                            .type = STR("application/json"),
                            .is_makers = true,
                            .answer_bytes_max = STATUS_BYTES_MAX,
                            .answered = on_made});
}

static void on_marked(void *user, enum err code, const struct error *error)
{
    struct batch_hand *hand = user;
    bool may_go_on = is_back(hand);
    if (code != ERR_OK)
        log_storage(hand, error);
    if (code != ERR_OK)
        hand->run->batch.provider = STR_NONE;
    if (may_go_on && code != ERR_OK)
        later(hand, STORAGE_RETRY_MS, mark);
    else if (may_go_on && hand->wants_cancel)
        unmark(hand);
    else if (may_go_on)
        make(hand);
}

static void mark(struct batch_hand *hand)
{
    hand->run->batch.provider = arena_str(hand->run->arena, hand->provider);
    start_job(hand, run_note, on_marked);
}

static void upload(struct batch_hand *hand);

static void on_uploaded(struct batch_hand *hand, const struct llm_error *error)
{
    if (error && passes(error)) {
        again(hand, error->retry_after_ms, upload);
        return;
    }
    if (error) {
        refuse_by(hand, error);
        return;
    }
    hand->failures = 0;
    hand->file = arena_str(hand->arena, hand_read_id(read_answer(hand)));
    if (hand->file.len)
        mark(hand);
    else
        refuse(hand, ERR_SERVER, "the provider's answer about the file is not its protocol");
}

static void upload(struct batch_hand *hand)
{
    if (!hand_has_upload(form_of(hand))) {
        mark(hand);
        return;
    }
    ask(hand, &(struct ask){.method = HTTP_POST,
                            .path = STR(HAND_UPLOAD_PATH),
                            .body = buf_str(&hand->content),
                            .type = arena_printf(hand->arena, "multipart/form-data; boundary=%.*s",
                                                 STR_ARG(hand->boundary)),
                            .is_makers = true,
                            .is_retried = true,
                            .answer_bytes_max = STATUS_BYTES_MAX,
                            .answered = on_uploaded});
}

/* ---- Whether it fits ------------------------------------------------------------------------- */

static void decline(struct batch_hand *hand);

static void on_declined(void *user, enum err code, const struct error *error)
{
    struct batch_hand *hand = user;
    bool may_go_on = is_back(hand);
    if (code != ERR_OK)
        log_storage(hand, error);
    if (may_go_on && code != ERR_OK)
        later(hand, STORAGE_RETRY_MS, decline);
    else if (may_go_on)
        batch_run_go_on(hand->run);
}

/* For good: lines that were asked here must not be handed on after a restart. */
static void decline(struct batch_hand *hand)
{
    hand->run->batch.hand = STORE_BATCH_HERE;
    start_job(hand, run_note, on_declined);
}

static void on_chosen(void *user)
{
    struct batch_hand *hand = user;
    if (!is_back(hand))
        return;
    if (hand->wants_cancel)
        batch_run_go_on(hand->run);
    else if (hand->code == ERR_OK)
        upload(hand);
    else if (hand->run->batch.hand == STORE_BATCH_HAND_IF)
        decline(hand);
    else
        refuse(hand, hand->code, error_message(&hand->error));
}

static void begin(struct batch_hand *hand)
{
    struct batch_run *run = hand->run;
    struct error error = {0};
    if (is_made(hand)) {
        poll(hand);
        return;
    }
    if (batch_hand_is_out(hand)) {
        refuse(hand, ERR_SERVER,
               "Parley ended while the batch was being made at its provider: whether it is there "
               "nobody here knows");
        return;
    }
    enum err code =
        batch_maker_policy(options_of(hand)->account, &run->batch, &hand->policy, &error);
    if (code != ERR_OK) {
        refuse(hand, code, error_message(&error));
        return;
    }
    hand->is_busy = true;
    loop_work_start(options_of(hand)->loop, &hand->pool, hand_pool_choose, on_chosen, hand);
}

/* ---- Life ------------------------------------------------------------------------------------ */

struct batch_hand *batch_hand_new(struct batch_run *run)
{
    struct batch_hand *hand = calloc(1, sizeof *hand);
    ASSERT(hand);
    hand->run = run;
    hand->arena = arena_new(SIZE_MAX); /* all that comes is bounded */
    hand->scratch = arena_new(SIZE_MAX);
    hand->provider = run->batch.provider;
    hand->wants_cancel = run->batch.cancelling_ms != 0;
    buf_init(&hand->content, BATCH_INPUT_BYTES_MAX * 2);
    buf_init(&hand->answer, STATUS_BYTES_MAX);
    buf_init(&hand->results, RESULTS_BYTES_MAX);
    later(hand, 0, begin);
    return hand;
}

void batch_hand_free(struct batch_hand *hand)
{
    if (!hand)
        return;
    ASSERT(!hand->is_busy && !hand->relay);
    loop_timer_cancel(options_of(hand)->loop, &hand->timer);
    policy_unref(hand->policy);
    buf_done(&hand->content);
    buf_done(&hand->answer);
    buf_done(&hand->results);
    arena_free(hand->scratch);
    arena_free(hand->arena);
    free(hand);
}

static void drop_relay(struct batch_hand *hand)
{
    if (hand->relay)
        relay_cancel(hand->relay);
    hand->relay = NULL;
}

void batch_hand_cancel(struct batch_hand *hand)
{
    hand->wants_cancel = true;
    if (hand->is_busy) /* what comes back sees it */
        return;
    if (!batch_hand_is_out(hand)) {
        drop_relay(hand);
        loop_timer_cancel(options_of(hand)->loop, &hand->timer);
        batch_run_go_on(hand->run);
    } else if (is_made(hand) && loop_timer_is_set(&hand->timer) && hand->next == poll) {
        loop_timer_cancel(options_of(hand)->loop, &hand->timer);
        poll(hand);
    }
}

void batch_hand_stop(struct batch_hand *hand)
{
    hand->is_stopping = true;
    drop_relay(hand);
    loop_timer_cancel(options_of(hand)->loop, &hand->timer);
}
