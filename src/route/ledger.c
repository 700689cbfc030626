/* The ledger of one loop. All on the loop's thread, but for ledger_block_store, which runs on the
 * store's, and on_stored, which only posts back through the gate.
 *
 *                ledger_begin (BEGUN)         ledger_end (ENDED)         seal
 *     attempt: ------------------------> open -------------------> row --------> block waiting
 *                                                                                  | submit
 *                        a failure: again, later                                   v
 *                  waiting <----------------------- on_answer <--------------- in the store
 *                                                       | committed
 *                                                       v
 *                                                     freed
 *
 * What it has in the journal is ledger_journal.c's. */
#include "route/ledger.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/metric.h"
#include "route/ledger_block.h"
#include "route/ledger_entries.h"
#include "route/ledger_journal.h"
#include "store/store.h"

enum {
    FLUSH_DEFAULT_MS = 1000,
    EPOCH_DEFAULT_MS = 60 * 1000,
    BLOCK_BYTES_MAX = 1024 * 1024,
    ROWS_BYTES_MAX = BLOCK_BYTES_MAX + LEDGER_ENTRY_HEADER_BYTES + LEDGER_ROW_BYTES_MAX,
    WAITING_BYTES_DEFAULT = 64 * 1024 * 1024,
    RETRY_MAX_MS = 30 * 1000,
    DAY_MS = 24 * 3600 * 1000,
};

/* Between the ledger and its jobs in the store, which may end when the ledger is gone. */
struct gate {
    pthread_mutex_t lock; /* guards loop */
    struct loop *loop;    /* NULL: the ledger is gone */
    _Atomic int references;
};

/* Rows that are no longer added to. */
struct sealed {
    struct list link; /* in ledger.waiting, until it is committed */
    struct ledger_block block;
    struct buf rows; /* of the block */
    size_t row_count;
    struct store_job job;
    struct gate *gate;
    struct ledger *ledger; /* valid while the gate is open */
    struct loop_task task;
    enum err code;
};

struct waiter {
    struct list link;
    int64_t block; /* until this one is answered */
    void (*done)(void *user);
    void *user;
    struct loop_task task;
};

struct ledger {
    struct ledger_options options;
    struct id id;
    struct gate *gate;
    uint64_t serial;
    struct ledger_journal journal;
    struct buf rows;  /* of the block being filled */
    struct buf spare; /* memory for the next ones, while there are many: new memory is slow */
    size_t row_count;
    int64_t number;       /* of that block */
    uint64_t first_epoch; /* of the first row in it */
    struct list waiting;  /* sealed blocks, oldest first */
    size_t waiting_bytes;
    bool in_store;    /* the first of them */
    int64_t answered; /* blocks up to this one are committed, or given up */
    bool failing;
    uint64_t retry_ms;
    uint64_t retry_at_ms;
    int64_t forgot_day;
    struct list waiters;
    struct loop_timer timer;
    struct metric *rows_total;
    struct metric *waits;
    struct metric *lost_total;
};

static const struct metric_definition metric_rows = {
    "parley_ledger_rows_total", "Rows of the ledger that were committed.", METRIC_COUNTER, NULL, 0};
static const struct metric_definition metric_waits = {
    "parley_ledger_waiting_rows",
    "Rows of the ledger that are not in the database yet, but for those of the last second.",
    METRIC_GAUGE, NULL, 0};
static const struct metric_definition metric_lost = {
    "parley_ledger_lost_rows_total",
    "Rows for which there was room neither in the database, in memory nor in the journal.",
    METRIC_COUNTER, NULL, 0};

static void count(struct metric *metric, int64_t amount)
{
    if (metric)
        metric_add(metric, amount);
}

/* ---- The gate ---------------------------------------------------------------------------------- */

static struct gate *gate_new(struct loop *loop)
{
    struct gate *gate = calloc(1, sizeof *gate);
    ASSERT(gate);
    pthread_mutex_init(&gate->lock, NULL);
    gate->loop = loop;
    atomic_init(&gate->references, 1);
    return gate;
}

static void gate_unref(struct gate *gate)
{
    if (atomic_fetch_sub(&gate->references, 1) != 1)
        return;
    pthread_mutex_destroy(&gate->lock);
    free(gate);
}

static void gate_close(struct gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->loop = NULL;
    pthread_mutex_unlock(&gate->lock);
    gate_unref(gate);
}

/* ---- Blocks ------------------------------------------------------------------------------------ */

static struct sealed *sealed_of(struct list *link)
{
    return LIST_ENTRY(link, struct sealed, link);
}

static void sealed_free(struct sealed *sealed)
{
    gate_unref(sealed->gate);
    buf_done(&sealed->rows);
    free(sealed);
}

static void answer_waiters(struct ledger *ledger, int64_t number)
{
    while (!list_is_empty(&ledger->waiters)) {
        struct waiter *waiter = LIST_ENTRY(ledger->waiters.next, struct waiter, link);
        if (waiter->block > number)
            return;
        list_remove(&waiter->link);
        waiter->done(waiter->user);
        free(waiter);
    }
}

/* There is no room for it in memory: it stays in the journal, for the next start. */
static void give_up(struct ledger *ledger, struct sealed *sealed)
{
    bool journaled = ledger->options.journal && !ledger->journal.failing;
    ledger_journal_keep(&ledger->journal, ledger->first_epoch);
    if (!journaled)
        count(ledger->lost_total, (int64_t)sealed->row_count);
    count(ledger->waits, -(int64_t)sealed->row_count);
    sealed_free(sealed);
}

/* The block that was being filled waits for the store from now on. */
static void seal(struct ledger *ledger)
{
    if (!ledger->row_count)
        return;
    struct sealed *sealed = calloc(1, sizeof *sealed);
    ASSERT(sealed);
    int64_t now_ms = clock_wall_ms();
    size_t length = ledger->rows.len;
    sealed->rows = ledger->rows;
    ledger->rows = ledger->spare;
    buf_init(&ledger->spare, ROWS_BYTES_MAX);
    sealed->row_count = ledger->row_count;
    count(ledger->waits, (int64_t)ledger->row_count); /* not one by one: others count there too */
    sealed->ledger = ledger;
    sealed->gate = ledger->gate;
    atomic_fetch_add(&ledger->gate->references, 1);
    sealed->block = (struct ledger_block){
        .ledger = ledger->id, .number = ledger->number++, .rows = buf_str(&sealed->rows)};
    if (ledger->forgot_day != now_ms / DAY_MS)
        sealed->block.forget_ms = now_ms;
    ledger->forgot_day = now_ms / DAY_MS;
    ledger->row_count = 0;
    ledger_journal_begin_block(&ledger->journal, ledger->number);
    if (ledger->waiting_bytes + length > ledger->options.waiting_bytes_max) {
        give_up(ledger, sealed);
        return;
    }
    ledger->waiting_bytes += length;
    list_append(&ledger->waiting, &sealed->link);
}

static enum err run_job(struct store_tx *tx, void *user, struct error *error)
{
    struct sealed *sealed = user;
    return ledger_block_store(tx, &sealed->block, error);
}

static void submit(struct ledger *ledger);
static void arm(struct ledger *ledger);

static void note_failure(struct ledger *ledger, enum err code)
{
    uint64_t again_ms = ledger->failing ? ledger->retry_ms * 2 : ledger->options.flush_ms;
    if (!ledger->failing)
        log_error(ledger->options.log,
                  "the ledger waits: the database takes no rows; they are kept in memory and in "
                  "the journal",
                  LOG_CSTR("error", err_info(code)->name));
    ledger->failing = true;
    ledger->retry_ms = again_ms < RETRY_MAX_MS ? again_ms : RETRY_MAX_MS;
    ledger->retry_at_ms = loop_now_ms(ledger->options.loop) + ledger->retry_ms;
    answer_waiters(ledger, ledger->number);
}

/* Of a block that was full enough. */
static void keep_memory(struct ledger *ledger, struct sealed *sealed)
{
    if (ledger->spare.data || sealed->rows.len < sealed->rows.capacity / 4)
        return;
    buf_swap(&ledger->spare, &sealed->rows);
    buf_clear(&ledger->spare);
}

static void note_success(struct ledger *ledger, struct sealed *sealed)
{
    if (ledger->failing)
        log_warning(ledger->options.log, "the database takes the ledger's rows again");
    ledger->failing = false;
    ledger->answered = sealed->block.number;
    ledger->waiting_bytes -= sealed->block.rows.len;
    keep_memory(ledger, sealed);
    count(ledger->rows_total, (int64_t)sealed->row_count);
    count(ledger->waits, -(int64_t)sealed->row_count);
    list_remove(&sealed->link);
    /* What was given up behind the last one is not waited for. */
    bool all = list_is_empty(&ledger->waiting);
    answer_waiters(ledger, all ? ledger->number : ledger->answered);
}

/* Back on the loop. */
static void on_answer(void *user)
{
    struct sealed *sealed = user;
    struct ledger *ledger = sealed->gate->loop ? sealed->ledger : NULL;
    if (!ledger) { /* it went meanwhile */
        sealed_free(sealed);
        return;
    }
    ledger->in_store = false;
    if (sealed->code != ERR_OK) {
        note_failure(ledger, sealed->code);
    } else {
        note_success(ledger, sealed);
        sealed_free(sealed);
        submit(ledger);
    }
    arm(ledger);
}

/* On the store's thread. */
static void on_stored(void *user, enum err code, const struct error *error)
{
    (void)error;
    struct sealed *sealed = user;
    struct gate *gate = sealed->gate;
    sealed->code = code;
    pthread_mutex_lock(&gate->lock);
    bool posted = gate->loop && loop_post(gate->loop, &sealed->task, on_answer, sealed);
    pthread_mutex_unlock(&gate->lock);
    if (!posted)
        sealed_free(sealed);
}

static void give_to_store(struct ledger *ledger, struct sealed *sealed)
{
    sealed->job = (struct store_job){.run = run_job, .done = on_stored, .user = sealed};
    store_write(ledger->options.store, NULL, &sealed->job);
}

/* One at a time, in order: a failure of one is then the failure of all that follow. */
static void submit(struct ledger *ledger)
{
    if (ledger->in_store || list_is_empty(&ledger->waiting))
        return;
    ledger->in_store = true;
    give_to_store(ledger, sealed_of(ledger->waiting.next));
}

/* ---- Time -------------------------------------------------------------------------------------- */

static void on_timer(void *user)
{
    struct ledger *ledger = user;
    if (!ledger->row_count)
        buf_release(&ledger->spare); /* nobody asks just now */
    seal(ledger);
    if (!ledger->failing || loop_now_ms(ledger->options.loop) >= ledger->retry_at_ms)
        submit(ledger);
    ledger_journal_roll(&ledger->journal, ledger->answered);
    arm(ledger);
}

/* Set while there is something to do. */
static void arm(struct ledger *ledger)
{
    if (loop_timer_is_set(&ledger->timer))
        return;
    if (ledger->row_count || !list_is_empty(&ledger->waiting) ||
        ledger_journal_is_busy(&ledger->journal))
        loop_timer_set(ledger->options.loop, &ledger->timer, ledger->options.flush_ms, on_timer,
                       ledger);
}

/* ---- Attempts ---------------------------------------------------------------------------------- */

struct ledger_open *ledger_begin(struct ledger *ledger, const struct ledger_row *row)
{
    char packed[LEDGER_ROW_BYTES_MAX];
    size_t length = ledger->options.journal ? ledger_row_pack_begun(row, packed) : 0;
    struct ledger_open *open =
        ledger_journal_begin(&ledger->journal, ++ledger->serial, STR_FROM(packed, length));
    arm(ledger);
    return open;
}

void ledger_reached(struct ledger *ledger, struct ledger_open *open)
{
    ledger_journal_reached(&ledger->journal, open);
}

static void add_packed(struct ledger *ledger, uint64_t serial, struct str packed)
{
    if (!ledger->row_count)
        ledger->first_epoch = ledger_journal_epoch(&ledger->journal);
    ledger_journal_end(&ledger->journal, serial, packed);
    ledger_entry_append(&ledger->rows, serial, packed);
    ledger->row_count++;
    if (ledger->row_count >= LEDGER_BLOCK_ROWS_MAX || ledger->rows.len >= BLOCK_BYTES_MAX) {
        seal(ledger);
        if (!ledger->failing)
            submit(ledger);
    }
    arm(ledger);
}

static void add_row(struct ledger *ledger, uint64_t serial, const struct ledger_row *row)
{
    char packed[LEDGER_ROW_BYTES_MAX];
    add_packed(ledger, serial, STR_FROM(packed, ledger_row_pack(row, packed)));
}

/* Its row as it began becomes the one as it ended, if it can. */
void ledger_end(struct ledger *ledger, struct ledger_open *open, const struct ledger_row *row)
{
    if (open->length && ledger_row_end(row, open->packed))
        add_packed(ledger, open->serial, ledger_open_row(open));
    else
        add_row(ledger, open->serial, row);
    ledger_journal_close(&ledger->journal, open);
}

void ledger_note(struct ledger *ledger, const struct ledger_row *row)
{
    add_row(ledger, ++ledger->serial, row);
}

static void nothing_to_flush(void *user)
{
    struct waiter *waiter = user;
    waiter->done(waiter->user);
    free(waiter);
}

void ledger_flush(struct ledger *ledger, void (*done)(void *user), void *user)
{
    seal(ledger);
    submit(ledger);
    if (!done)
        return;
    struct waiter *waiter = calloc(1, sizeof *waiter);
    ASSERT(waiter);
    waiter->done = done;
    waiter->user = user;
    waiter->block = ledger->number - 1;
    if (list_is_empty(&ledger->waiting))
        loop_defer(ledger->options.loop, &waiter->task, nothing_to_flush, waiter);
    else
        list_append(&ledger->waiters, &waiter->link);
}

/* ---- Life -------------------------------------------------------------------------------------- */

static void find_metrics(struct ledger *ledger)
{
    struct metric_registry *metrics = ledger->options.metrics;
    if (!metrics)
        return;
    ledger->rows_total = metric_get(metrics, &metric_rows, "");
    ledger->waits = metric_get(metrics, &metric_waits, "");
    ledger->lost_total = metric_get(metrics, &metric_lost, "");
}

struct ledger *ledger_new(const struct ledger_options *options)
{
    struct ledger *ledger = calloc(1, sizeof *ledger);
    ASSERT(ledger);
    ledger->options = *options;
    if (!ledger->options.flush_ms)
        ledger->options.flush_ms = FLUSH_DEFAULT_MS;
    if (!ledger->options.epoch_ms)
        ledger->options.epoch_ms = EPOCH_DEFAULT_MS;
    if (!ledger->options.waiting_bytes_max)
        ledger->options.waiting_bytes_max = WAITING_BYTES_DEFAULT;
    ledger->id = id_new(clock_wall_ms());
    ledger->gate = gate_new(options->loop);
    ledger->answered = -1;
    ledger->forgot_day = -1;
    list_init(&ledger->waiting);
    list_init(&ledger->waiters);
    buf_init(&ledger->rows, ROWS_BYTES_MAX);
    buf_init(&ledger->spare, ROWS_BYTES_MAX);
    find_metrics(ledger);
    ledger->journal = (struct ledger_journal){.journal = options->journal,
                                              .loop = options->loop,
                                              .log = options->log,
                                              .ledger = ledger->id,
                                              .epoch_ms = ledger->options.epoch_ms};
    ledger_journal_init(&ledger->journal);
    return ledger;
}

/* Nobody hears of it any more; the store still writes it, as the last things it does. */
static void leave_to_store(struct ledger *ledger)
{
    struct list rest;
    list_init(&rest);
    LIST_EACH (&ledger->waiting, link) {
        list_remove(link);
        count(ledger->waits, -(int64_t)sealed_of(link)->row_count);
        if (ledger->in_store)
            ledger->in_store = false; /* the first: the store has it, and it may be gone at once */
        else
            list_append(&rest, link);
    }
    gate_close(ledger->gate);
    LIST_EACH (&rest, link) {
        list_remove(link);
        give_to_store(ledger, sealed_of(link));
    }
}

void ledger_free(struct ledger *ledger)
{
    if (!ledger)
        return;
    seal(ledger);
    bool all_written = list_is_empty(&ledger->waiting) && list_is_empty(&ledger->journal.opens);
    leave_to_store(ledger);
    ledger_journal_done(&ledger->journal, all_written);
    loop_timer_cancel(ledger->options.loop, &ledger->timer);
    LIST_EACH (&ledger->waiters, link) {
        list_remove(link);
        free(LIST_ENTRY(link, struct waiter, link));
    }
    buf_done(&ledger->rows);
    buf_done(&ledger->spare);
    free(ledger);
}
