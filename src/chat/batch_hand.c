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

/* ---- Making it there ------------------------------------------------------------------------- */

static void make(struct batch_hand *hand);
static void mark(struct batch_hand *hand);
static void keep(struct batch_hand *hand);

static void on_kept(void *user, enum err code, const struct error *error)
{
    struct batch_hand *hand = user;
    bool may_go_on = hand_is_back(hand);
    if (code != ERR_OK)
        hand_log_storage(hand, error);
    if (may_go_on && code != ERR_OK)
        hand_later(hand, HAND_STORAGE_RETRY_MS, keep);
    else if (may_go_on)
        hand_rest(hand);
}

static void keep(struct batch_hand *hand)
{
    hand_note(hand, on_kept);
}

static void on_unmarked(void *user, enum err code, const struct error *error)
{
    struct batch_hand *hand = user;
    if (code != ERR_OK)
        hand_log_storage(hand, error);
    if (!hand_is_back(hand))
        return;
    hand->run->is_expired |= clock_wall_ms() > hand->run->batch.expires_ms;
    if (hand->wants_cancel || hand->run->is_expired)
        batch_run_go_on(hand->run);
    else
        hand_again(hand, -1, mark);
}

static void unmark(struct batch_hand *hand)
{
    hand->run->batch.provider = STR_NONE;
    hand_note(hand, on_unmarked);
}

/* Only a provider that says so has not taken it: after anything else it may have. */
static bool is_refusal_that_passes(const struct llm_error *error)
{
    return (error->class == ERR_RATE_LIMITED || error->class == ERR_OVERLOADED ||
            error->class == ERR_QUOTA_EXHAUSTED) &&
           hand_passes(error);
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
        hand_refuse_by(hand, error);
        return;
    }
    if (!hand->form->read_status(hand->scratch, hand_read_answer(hand), &status)) {
        hand_refuse(hand, ERR_SERVER, "the provider's answer about the batch is not its protocol");
        return;
    }
    hand->failures = 0;
    buf_done(&hand->content);
    buf_init(&hand->content, BATCH_INPUT_BYTES_MAX * 2);
    batch->provider_batch = arena_str(hand->run->arena, status.id);
    if (status.expires_ms)
        batch->expires_ms = status.expires_ms;
    log_info(hand_options(hand)->log, "batch handed on", LOG_STR("batch", id_str(&batch->id)),
             LOG_STR("provider", batch->provider), LOG_STR("id", batch->provider_batch));
    keep(hand);
}

static void make(struct batch_hand *hand)
{
    struct str body = buf_str(&hand->content);
    if (hand->form->upload_path) {
        struct buf out;
        buf_init(&out, 4096);
        hand->form->write_making(hand->run->endpoint, hand->file, id_str(&hand->run->batch.id),
                                 &out);
        body = arena_str(hand->arena, buf_str(&out));
        buf_done(&out);
    }
    hand_ask(hand, &(struct hand_ask){
                       .method = HTTP_POST,
                       .path = provider_path(hand->arena, hand->form->make_path, hand->model),
                       .body = body,
                       .type = STR("application/json"),
                       .is_makers = true,
                       .answer_bytes_max = HAND_STATUS_BYTES_MAX,
                       .answered = on_made});
}

static void on_marked(void *user, enum err code, const struct error *error)
{
    struct batch_hand *hand = user;
    bool may_go_on = hand_is_back(hand);
    if (code != ERR_OK)
        hand_log_storage(hand, error);
    if (code != ERR_OK)
        hand->run->batch.provider = STR_NONE;
    if (may_go_on && code != ERR_OK)
        hand_later(hand, HAND_STORAGE_RETRY_MS, mark);
    else if (may_go_on && hand->wants_cancel)
        unmark(hand);
    else if (may_go_on)
        make(hand);
}

static void mark(struct batch_hand *hand)
{
    hand->run->batch.provider = arena_str(hand->run->arena, hand->provider);
    hand_note(hand, on_marked);
}

static void upload(struct batch_hand *hand);

static void on_uploaded(struct batch_hand *hand, const struct llm_error *error)
{
    if (error && hand_passes(error)) {
        hand_again(hand, error->retry_after_ms, upload);
        return;
    }
    if (error) {
        hand_refuse_by(hand, error);
        return;
    }
    hand->failures = 0;
    hand->file = arena_str(hand->arena, hand_read_id(hand_read_answer(hand), "id"));
    if (hand->file.len)
        mark(hand);
    else
        hand_refuse(hand, ERR_SERVER, "the provider's answer about the file is not its protocol");
}

static void upload(struct batch_hand *hand)
{
    if (!hand->form->upload_path) {
        mark(hand);
        return;
    }
    hand_ask(hand, &(struct hand_ask){.method = HTTP_POST,
                                      .path = str_from_cstr(hand->form->upload_path),
                                      .body = buf_str(&hand->content),
                                      .type = arena_printf(hand->arena,
                                                           "multipart/form-data; boundary=%.*s",
                                                           STR_ARG(hand->boundary)),
                                      .is_makers = true,
                                      .is_retried = true,
                                      .answer_bytes_max = HAND_STATUS_BYTES_MAX,
                                      .answered = on_uploaded});
}

/* ---- Whether it fits ------------------------------------------------------------------------- */

static void decline(struct batch_hand *hand);

static void on_declined(void *user, enum err code, const struct error *error)
{
    struct batch_hand *hand = user;
    bool may_go_on = hand_is_back(hand);
    if (code != ERR_OK)
        hand_log_storage(hand, error);
    if (may_go_on && code != ERR_OK)
        hand_later(hand, HAND_STORAGE_RETRY_MS, decline);
    else if (may_go_on)
        batch_run_go_on(hand->run);
}

/* For good: lines that were asked here must not be handed on after a restart. */
static void decline(struct batch_hand *hand)
{
    hand->run->batch.hand = STORE_BATCH_HERE;
    hand_note(hand, on_declined);
}

static void on_chosen(void *user)
{
    struct batch_hand *hand = user;
    if (!hand_is_back(hand))
        return;
    if (hand->wants_cancel)
        batch_run_go_on(hand->run);
    else if (hand->code == ERR_OK)
        upload(hand);
    else if (hand->run->batch.hand == STORE_BATCH_HAND_IF)
        decline(hand);
    else
        hand_refuse(hand, hand->code, error_message(&hand->error));
}

/* It was handed on before this start. */
static void go_on(struct batch_hand *hand)
{
    const struct catalog *catalog = registry_acquire(hand->run->queue->options.registry);
    const struct catalog_provider *row = catalog_find_provider(catalog, hand->provider);
    if (row && row->provider)
        hand->form = hand_form_find(row->provider->kind);
    catalog_unref(catalog);
    if (hand->form)
        hand_poll(hand);
    else
        hand_refuse(hand, ERR_NOT_FOUND,
                    "the provider that has the batch is not configured any more");
}

static void begin(struct batch_hand *hand)
{
    struct batch_run *run = hand->run;
    struct error error = {0};
    if (hand_is_made(hand)) {
        go_on(hand);
        return;
    }
    if (batch_hand_is_out(hand)) {
        hand_refuse(
            hand, ERR_SERVER,
            "Parley ended while the batch was being made at its provider: whether it is there "
            "nobody here knows");
        return;
    }
    enum err code =
        batch_maker_policy(hand_options(hand)->account, &run->batch, &hand->policy, &error);
    if (code != ERR_OK) {
        hand_refuse(hand, code, error_message(&error));
        return;
    }
    hand->is_busy = true;
    loop_work_start(hand_options(hand)->loop, &hand->pool, hand_pool_choose, on_chosen, hand);
}

/* ---- Life ------------------------------------------------------------------------------------ */

bool batch_hand_is_out(const struct batch_hand *hand)
{
    return hand->run->batch.provider.len > 0;
}

bool batch_hand_is_idle(const struct batch_hand *hand)
{
    return !hand->is_busy;
}

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
    buf_init(&hand->answer, HAND_STATUS_BYTES_MAX);
    buf_init(&hand->results, HAND_RESULTS_BYTES_MAX);
    hand_later(hand, 0, begin);
    return hand;
}

void batch_hand_free(struct batch_hand *hand)
{
    if (!hand)
        return;
    ASSERT(!hand->is_busy && !hand->relay);
    loop_timer_cancel(hand_options(hand)->loop, &hand->timer);
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
        loop_timer_cancel(hand_options(hand)->loop, &hand->timer);
        batch_run_go_on(hand->run);
    } else if (hand_is_made(hand) && loop_timer_is_set(&hand->timer) && hand->next == hand_poll) {
        loop_timer_cancel(hand_options(hand)->loop, &hand->timer);
        hand_poll(hand);
    }
}

void batch_hand_stop(struct batch_hand *hand)
{
    hand->is_stopping = true;
    drop_relay(hand);
    loop_timer_cancel(hand_options(hand)->loop, &hand->timer);
}
