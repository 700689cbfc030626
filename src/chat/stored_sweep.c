/* Stored sweep: begin --job--> removed some? --yes--> the next job
 *                                  \--no--> an hour's pause --timer--> job */
#include "chat/stored_sweep.h"

#include "base/clock.h"
#include "store/record_thread.h"
#include "store/usage.h"

enum { BATCH = 200, BLOCKS = 50, PAUSE_MS = 3600 * 1000, DAY_MS = 24 * 3600 * 1000 };

static enum err forget_blocks(struct store_tx *tx, struct stored_sweep *sweep, int64_t now_ms,
                              struct error *error)
{
    int64_t first_day = now_ms / DAY_MS - sweep->ledger_keep_days;
    sweep->removed_blocks = 0;
    return sweep->ledger_keep_days
               ? store_block_forget(tx, first_day * DAY_MS, BLOCKS, &sweep->removed_blocks, error)
               : ERR_OK;
}

static enum err run_batch(struct store_tx *tx, void *user, struct error *error)
{
    struct stored_sweep *sweep = user;
    int64_t now_ms = clock_wall_ms();
    int threads = 0;
    enum err code = store_request_delete_expired(tx, now_ms, error);
    if (code == ERR_OK)
        code = store_response_expire(tx, now_ms, BATCH, &sweep->removed, error);
    if (code == ERR_OK)
        code = store_thread_expire(tx, now_ms, BATCH, &threads, error);
    sweep->removed += threads;
    return code == ERR_OK ? forget_blocks(tx, sweep, now_ms, error) : code;
}

static void begin_batch(struct stored_sweep *sweep);

static void on_timer(void *user)
{
    struct stored_sweep *sweep = user;
    sweep->total = sweep->total_blocks = 0;
    begin_batch(sweep);
}

static void on_batch(void *user, enum err code, const struct error *error)
{
    struct stored_sweep *sweep = user;
    if (sweep->is_over)
        return;
    if (code != ERR_OK)
        log_warning(sweep->log, "what has expired was not removed",
                    LOG_CSTR("error", error_message(error)));
    if (code == ERR_OK) {
        sweep->total += sweep->removed;
        sweep->total_blocks += sweep->removed_blocks;
        if (sweep->removed >= BATCH || sweep->removed_blocks == BLOCKS) {
            begin_batch(sweep);
            return;
        }
    }
    if (sweep->total)
        log_info(sweep->log, "removed expired responses and conversations",
                 LOG_INT("count", sweep->total));
    if (sweep->total_blocks)
        log_info(sweep->log, "removed old rows of the ledger",
                 LOG_INT("blocks", sweep->total_blocks));
    loop_timer_set(sweep->loop, &sweep->timer, PAUSE_MS, on_timer, sweep);
}

static void begin_batch(struct stored_sweep *sweep)
{
    sweep->job = (struct store_job){.run = run_batch, .done = on_batch, .user = sweep};
    store_write(sweep->store, sweep->loop, &sweep->job);
}

void stored_sweep_begin(struct stored_sweep *sweep, struct store *store, struct loop *loop,
                        struct log *log, int64_t ledger_keep_days)
{
    *sweep = (struct stored_sweep){
        .store = store, .loop = loop, .log = log, .ledger_keep_days = ledger_keep_days};
    begin_batch(sweep);
}

void stored_sweep_end(struct stored_sweep *sweep)
{
    sweep->is_over = true;
    if (sweep->loop)
        loop_timer_cancel(sweep->loop, &sweep->timer);
}
