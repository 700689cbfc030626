/* A hand whose batch is at the provider: how far it is, and in the end what came of it. The steps are
 * those on top of batch_hand.c. */
#include "base/clock.h"
#include "chat/batch_hand_internal.h"
#include "chat/batch_maker.h"

enum { SAVE_ROWS_MAX = 500, SAVE_BYTES_MAX = 4 * 1024 * 1024 };
static const int64_t grace_ms = 24 * 3600 * 1000; /* behind its expiry: then nobody waits for it */

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
        .door = batch_form_name(run->endpoint->form),
        .request_id = STR_FROM(name, (size_t)len),
    };
    const struct governor_ask asked = {.origin = &origin, .model = row->model, .is_batch = true};
    const struct flow_row flow = {.target = &row->target,
                                  .number = 1,
                                  .mode = ROUTE_WHOLE,
                                  .outcome = FLOW_ANSWERED,
                                  .usage = row->usage,
                                  .cost_nano = row->cost_nano};
    if (row->is_used && hand_options(hand)->governor)
        governor_record(hand_options(hand)->governor, &asked, &flow);
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
    may_go_on = hand_is_back(hand);
    if (code != ERR_OK)
        hand_log_storage(hand, error);
    if (!may_go_on)
        return;
    if (code != ERR_OK)
        hand_later(hand, HAND_STORAGE_RETRY_MS, save);
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
    hand_start_job(hand, run_save, on_saved);
}

static void on_read(void *user)
{
    struct batch_hand *hand = user;
    buf_done(&hand->results);
    buf_init(&hand->results, HAND_RESULTS_BYTES_MAX);
    if (hand_is_back(hand))
        save(hand);
}

void hand_read_results(struct batch_hand *hand)
{
    hand->is_busy = true;
    loop_work_start(hand_options(hand)->loop, &hand->pool, hand_pool_read, on_read, hand);
}

static void fetch(struct batch_hand *hand);

static bool is_too_late(const struct batch_hand *hand)
{
    return clock_wall_ms() > hand->run->batch.expires_ms + grace_ms;
}

static void on_fetched(struct batch_hand *hand, const struct llm_error *error)
{
    if (error && (!hand_passes(error) || is_too_late(hand))) {
        hand_refuse_by(hand, error);
    } else if (error) {
        hand_again(hand, error->retry_after_ms, fetch);
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
        hand_read_results(hand);
        return;
    }
    if (hand->file_index == 2) {
        hand_refuse(hand, ERR_TOO_BIG, "the provider's results are too large");
        return;
    }
    hand_ask(hand, &(struct hand_ask){.method = HTTP_GET,
                                      .path = hand->form->results_path(
                                          hand->arena, hand->run->batch.provider_batch,
                                          hand->end.files[hand->file_index]),
                                      .is_retried = true,
                                      .answer_bytes_max = HAND_RESULTS_BYTES_MAX,
                                      .answered = on_fetched});
}

/* ---- How far it is --------------------------------------------------------------------------- */

static void ask_status(struct batch_hand *hand);

static void on_cancelled(struct batch_hand *hand, const struct llm_error *error)
{
    hand->has_cancelled = !error || !hand_passes(error); /* what it refuses to cancel has ended */
    ask_status(hand);                                    /* else it is told again the next time */
}

static void cancel_there(struct batch_hand *hand)
{
    hand->has_tried = true;
    hand_ask(hand, &(struct hand_ask){.method = HTTP_POST,
                                      .path = hand_path(hand->arena, hand->form,
                                                        hand->run->batch.provider_batch,
                                                        hand->form->cancel),
                                      .is_retried = true,
                                      .answer_bytes_max = HAND_STATUS_BYTES_MAX,
                                      .answered = on_cancelled});
}

void hand_rest(struct batch_hand *hand)
{
    batch_run_release(hand->run);
    if (hand->wants_cancel && !hand->has_tried)
        cancel_there(hand);
    else
        hand_later(hand, hand_options(hand)->poll_ms, hand_poll);
}

static void on_noted(void *user, enum err code, const struct error *error)
{
    struct batch_hand *hand = user;
    if (code != ERR_OK) /* it only shows how far it is */
        hand_log_storage(hand, error);
    if (hand_is_back(hand))
        hand_rest(hand);
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
        hand_rest(hand);
    else
        hand_note(hand, on_noted);
}

static void take_end(struct batch_hand *hand, const struct hand_status *status)
{
    hand->end = *status;
    for (int i = 0; i < 2; i++)
        hand->end.files[i] = arena_str(hand->arena, status->files[i]);
    hand->file_index = 0;
    if (hand->form->results_path) {
        fetch(hand);
        return;
    }
    buf_swap(&hand->answer, &hand->results);
    hand_read_results(hand);
}

static void refuse_by_status(struct batch_hand *hand, const struct hand_status *status)
{
    char message[300];
    snprintf(message, sizeof message, "the provider refused the batch: %.*s",
             (int)(status->message.len < 200 ? status->message.len : 200), status->message.data);
    hand_refuse(hand, ERR_INVALID, message);
}

static void refuse_lost(struct batch_hand *hand, const struct llm_error *error)
{
    char message[sizeof error->message + 64];
    snprintf(message, sizeof message, "the provider does not tell of the batch any more: %s",
             error->message);
    hand_refuse(hand, error->class, message);
}

static void on_status_read(void *user)
{
    struct batch_hand *hand = user;
    if (!hand_is_back(hand))
        return;
    hand->failures = 0;
    if (!hand->is_told)
        hand_again(hand, -1, hand_poll);
    else if (hand->told.progress == HAND_FAILED)
        refuse_by_status(hand, &hand->told);
    else if (hand->told.progress == HAND_ENDED)
        take_end(hand, &hand->told);
    else
        note(hand, &hand->told);
}

/* On a thread of the pool: some tell all results with it. */
static void pool_read_status(void *user)
{
    struct batch_hand *hand = user;
    yyjson_val *root = hand_read_answer(hand);
    hand->is_told = root && hand->form->read_status(hand->scratch, root, &hand->told);
}

static void on_told(struct batch_hand *hand, const struct llm_error *error)
{
    if (error && (is_too_late(hand) || error->class == ERR_NOT_FOUND ||
                  error->class == ERR_MODEL_NOT_FOUND)) {
        refuse_lost(hand, error);
        return;
    }
    if (error) { /* also a key that is refused: it may be put right */
        hand_again(hand, error->retry_after_ms, hand_poll);
        return;
    }
    hand->is_busy = true;
    loop_work_start(hand_options(hand)->loop, &hand->pool, pool_read_status, on_status_read, hand);
}

/* Whoever made it may not ask any more: then it is cancelled. */
static void ask_maker(struct batch_hand *hand)
{
    struct policy *policy = NULL;
    struct error error = {0};
    enum err code =
        batch_maker_policy(hand_options(hand)->account, &hand->run->batch, &policy, &error);
    if (code == ERR_OK) {
        policy_unref(hand->policy);
        hand->policy = policy;
    } else if (!hand->wants_cancel) {
        hand->run->batch.cancelling_ms = clock_wall_ms();
        hand->wants_cancel = true;
    }
}

static void ask_status(struct batch_hand *hand)
{
    hand_ask(hand, &(struct hand_ask){.method = HTTP_GET,
                                      .path = hand_path(hand->arena, hand->form,
                                                        hand->run->batch.provider_batch, ""),
                                      .is_retried = true,
                                      .answer_bytes_max = hand->form->status_bytes_max,
                                      .answered = on_told});
}

void hand_poll(struct batch_hand *hand)
{
    if (!hand->wants_cancel)
        ask_maker(hand);
    if (hand->wants_cancel && !hand->has_cancelled)
        cancel_there(hand);
    else
        ask_status(hand);
}
