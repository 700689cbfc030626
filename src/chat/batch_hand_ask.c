/* What every step of a hand needs: waiting, storing, failing, and one exchange with the provider, through
 * the relay. */
#include "chat/batch_hand_internal.h"

enum { DOUBLINGS_MAX = 9 };
static const uint64_t wait_max_ms = 10 * 60 * 1000;

/* ---- Waiting --------------------------------------------------------------------------------- */

static void on_timer(void *user)
{
    struct batch_hand *hand = user;
    hand->next(hand);
}

void hand_later(struct batch_hand *hand, uint64_t delay_ms, void (*next)(struct batch_hand *hand))
{
    if (hand->is_stopping)
        return;
    hand->next = next;
    loop_timer_set(hand_options(hand)->loop, &hand->timer, delay_ms, on_timer, hand);
}

/* After a failure that passes. */
void hand_again(struct batch_hand *hand, int64_t retry_after_ms,
                void (*next)(struct batch_hand *hand))
{
    uint64_t delay_ms = hand_options(hand)->retry_ms << hand->failures;
    if (hand->failures < DOUBLINGS_MAX)
        hand->failures++;
    if (retry_after_ms > 0 && (uint64_t)retry_after_ms > delay_ms)
        delay_ms = (uint64_t)retry_after_ms;
    hand_later(hand, delay_ms < wait_max_ms ? delay_ms : wait_max_ms, next);
}

bool hand_passes(const struct llm_error *error)
{
    enum err class = error->class;
    return class == ERR_RATE_LIMITED || class == ERR_OVERLOADED || class == ERR_SERVER ||
           class == ERR_TIMEOUT || class == ERR_NETWORK || class == ERR_UNAVAILABLE ||
           (class == ERR_QUOTA_EXHAUSTED && error->retry_after_ms > 0);
}

/* ---- Storing --------------------------------------------------------------------------------- */

/* The loop is back: false when nothing more may be begun. */
bool hand_is_back(struct batch_hand *hand)
{
    hand->is_busy = false;
    if (hand->is_stopping)
        batch_queue_wake(hand->run->queue);
    return !hand->is_stopping;
}

void hand_log_storage(struct batch_hand *hand, const struct error *error)
{
    log_error(hand_options(hand)->log, "a batch that is handed on was not stored",
              LOG_STR("batch", id_str(&hand->run->batch.id)),
              LOG_CSTR("error", error_message(error)));
}

static enum err run_note(struct store_tx *tx, void *user, struct error *error)
{
    struct batch_hand *hand = user;
    return store_batch_note(tx, &hand->run->batch, error);
}

void hand_start_job(struct batch_hand *hand,
                    enum err (*run)(struct store_tx *tx, void *user, struct error *error),
                    void (*done)(void *user, enum err code, const struct error *error))
{
    hand->is_busy = true;
    hand->job = (struct store_job){.run = run, .done = done, .user = hand};
    store_write(hand_options(hand)->store, hand_options(hand)->loop, &hand->job);
}

void hand_note(struct batch_hand *hand,
               void (*done)(void *user, enum err code, const struct error *error))
{
    hand_start_job(hand, run_note, done);
}

/* ---- Failing --------------------------------------------------------------------------------- */

/* Anthropic's batches cannot fail as a whole: each line does. */
void hand_refuse(struct batch_hand *hand, enum err code, const char *message)
{
    struct batch_run *run = hand->run;
    log_warning(hand_options(hand)->log, "a batch was not handed on",
                LOG_STR("batch", id_str(&run->batch.id)), LOG_CSTR("error", message));
    run->code = code;
    error_set(&run->error, code, NULL, "%s", message);
    if (hand->run->endpoint->form != BATCH_ANTHROPIC) {
        batch_run_refuse(run);
        return;
    }
    hand->is_refused = true;
    dialect_error_set(&hand->refusal, code, message);
    hand->refusal.retry_after_ms = -1;
    hand_read_results(hand);
}

void hand_refuse_by(struct batch_hand *hand, const struct llm_error *error)
{
    char message[sizeof error->message + 64];
    snprintf(message, sizeof message, "the provider did not take the batch: %s", error->message);
    hand_refuse(hand, error->class, message);
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

void hand_ask(struct batch_hand *hand, const struct hand_ask *ask)
{
    static const struct relay_events events = {on_head, on_body, on_end};
    struct batch_run *run = hand->run;
    struct error error = {0};
    const struct governor_origin origin = {
        .policy = ask->is_makers ? hand->policy : NULL,
        .address = ask->is_makers ? run->batch.maker_address : STR_NONE,
        .door = batch_form_name(run->endpoint->form),
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
        relay_start(hand_options(hand)->router, &request, &events, hand, &hand->relay, &error);
    if (code != ERR_OK)
        answer_with(hand, code, error_message(&error));
}

yyjson_val *hand_read_answer(struct batch_hand *hand)
{
    yyjson_val *root = NULL;
    arena_reset(hand->scratch);
    return json_read(hand->scratch, buf_str(&hand->answer), &root, NULL) == ERR_OK ? root : NULL;
}
