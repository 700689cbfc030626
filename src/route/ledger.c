/* The ledger of one loop. All on the loop's thread, but for ledger_block_store, which runs on the
 * store's, and on_stored, which only posts back through the gate.
 *
 *                ledger_begin (BEGIN)          ledger_end (END)          seal
 *     attempt: ------------------------> open -------------------> row --------> block waiting
 *                                                                                  | submit
 *                        a failure: again, later                                   v
 *                  waiting <----------------------- on_answer <--------------- in the store
 *                                                       | committed
 *                                                       v
 *                                                     freed
 *
 * In the journal an interest is an epoch: what this ledger wrote within a minute or so.
 *
 *                 begin_epoch             carry                            release_epochs
 *     CURRENT ---------------> CLOSED ------------> EMPTIED ------------------------------> gone
 *                                (attempts still open are written      (all blocks that its ENDs
 *                                 again, into the current epoch)        are in are committed)
 *
 * An epoch is released a whole epoch after it was carried: what was written again has long been
 * synced by then. */
#include "route/ledger.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/metric.h"
#include "route/ledger_block.h"
#include "route/ledger_internal.h"
#include "store/store.h"

enum {
    FLUSH_DEFAULT_MS = 1000,
    EPOCH_DEFAULT_MS = 60 * 1000,
    EPOCH_BYTES_MAX = 16 * 1024 * 1024,
    BLOCK_BYTES_MAX = 1024 * 1024,
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
    char *bytes; /* of block.rows */
    size_t row_count;
    struct store_job job;
    struct gate *gate;
    struct ledger *ledger; /* valid while the gate is open */
    struct loop_task task;
    enum err code;
};

struct ledger_open {
    struct list link; /* in ledger.opens: those with the oldest record first */
    uint64_t serial;
    int64_t block;  /* that was being filled when it began */
    uint64_t epoch; /* of its newest BEGIN */
    size_t length;
    char packed[]; /* the row of its BEGIN */
};

enum epoch_state { EPOCH_CURRENT, EPOCH_CLOSED, EPOCH_EMPTIED };
struct epoch {
    struct list link;
    struct id id;
    uint64_t number;
    enum epoch_state state;
    uint64_t begun_ms;
    size_t bytes;
    int64_t last_block; /* of its ENDs; -1: none */
    bool kept;          /* some of its rows are nowhere else: until the next start */
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
    struct list opens;
    struct list epochs; /* oldest first; the last is the current one */
    uint64_t epoch_number;
    struct buf rows; /* of the block being filled */
    size_t row_count;
    int64_t number;       /* of that block */
    uint64_t first_epoch; /* of the first END in it */
    struct list waiting;  /* sealed blocks, oldest first */
    size_t waiting_bytes;
    bool in_store;    /* the first of them */
    int64_t answered; /* blocks up to this one are committed, or given up */
    bool failing;
    bool journal_failing;
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
    "parley_ledger_waiting_rows", "Rows of the ledger that are not in the database yet.",
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

/* ---- Epochs ------------------------------------------------------------------------------------ */

static struct epoch *epoch_of(struct list *link)
{
    return LIST_ENTRY(link, struct epoch, link);
}

static struct epoch *current_epoch(struct ledger *ledger)
{
    return epoch_of(ledger->epochs.previous);
}

static void begin_epoch(struct ledger *ledger)
{
    struct epoch *epoch = calloc(1, sizeof *epoch);
    ASSERT(epoch);
    if (!list_is_empty(&ledger->epochs))
        current_epoch(ledger)->state = EPOCH_CLOSED;
    epoch->id = id_new(clock_wall_ms());
    epoch->number = ++ledger->epoch_number;
    epoch->begun_ms = loop_now_ms(ledger->options.loop);
    epoch->last_block = -1;
    list_append(&ledger->epochs, &epoch->link);
}

static void drop_epoch(struct ledger *ledger, struct epoch *epoch, bool release)
{
    if (release && epoch->bytes)
        journal_release(ledger->options.journal, &epoch->id);
    list_remove(&epoch->link);
    free(epoch);
}

static void note_journal(struct ledger *ledger, enum err code)
{
    bool failing = code != ERR_OK;
    if (failing && !ledger->journal_failing)
        log_error(ledger->options.log,
                  "the ledger's journal cannot be written: rows are in memory only until they are "
                  "in the database",
                  LOG_CSTR("error", err_info(code)->name));
    ledger->journal_failing = failing;
}

static bool journal_put(struct ledger *ledger, enum journal_kind kind, uint64_t serial,
                        int64_t block, struct str packed)
{
    char payload[LEDGER_RECORD_HEAD_BYTES + LEDGER_ROW_BYTES_MAX];
    struct epoch *epoch = current_epoch(ledger);
    ledger_record_put_head(payload, &ledger->id, serial, block);
    if (packed.len)
        memcpy(payload + LEDGER_RECORD_HEAD_BYTES, packed.data, packed.len);
    const struct journal_record record = {
        .kind = (uint16_t)kind,
        .id = epoch->id,
        .sequence = serial,
        .payload = STR_FROM(payload, LEDGER_RECORD_HEAD_BYTES + packed.len)};
    enum err code = journal_append(ledger->options.journal, &record);
    if (code != ERR_OK || ledger->journal_failing)
        note_journal(ledger, code);
    if (code != ERR_OK)
        return false;
    epoch->bytes += record.payload.len;
    return true;
}

/* What is still open of epochs up to `number` is written again. */
static bool carry(struct ledger *ledger, uint64_t number)
{
    LIST_EACH (&ledger->opens, link) {
        struct ledger_open *open = LIST_ENTRY(link, struct ledger_open, link);
        if (open->epoch > number)
            break;
        if (!journal_put(ledger, JOURNAL_LEDGER_BEGIN, open->serial, open->block,
                         STR_FROM(open->packed, open->length)))
            return false;
        open->epoch = current_epoch(ledger)->number;
        list_remove(&open->link);
        list_append(&ledger->opens, &open->link);
    }
    return true;
}

static void release_epochs(struct ledger *ledger)
{
    LIST_EACH (&ledger->epochs, link) {
        struct epoch *epoch = epoch_of(link);
        if (epoch->state == EPOCH_EMPTIED && !epoch->kept && epoch->last_block <= ledger->answered)
            drop_epoch(ledger, epoch, true);
    }
}

static bool has_old_epochs(const struct ledger *ledger)
{
    LIST_EACH (&ledger->epochs, link)
        if (epoch_of(link)->state != EPOCH_CURRENT && !epoch_of(link)->kept)
            return true;
    return false;
}

/* Every epoch one state further. */
static void roll(struct ledger *ledger)
{
    release_epochs(ledger);
    uint64_t closed = 0;
    LIST_EACH (&ledger->epochs, link)
        if (epoch_of(link)->state == EPOCH_CLOSED)
            closed = epoch_of(link)->number;
    if (current_epoch(ledger)->bytes)
        begin_epoch(ledger);
    current_epoch(ledger)->begun_ms = loop_now_ms(ledger->options.loop);
    if (!carry(ledger, closed))
        return; /* the journal takes nothing just now: at the next roll */
    LIST_EACH (&ledger->epochs, link)
        if (epoch_of(link)->number <= closed)
            epoch_of(link)->state = EPOCH_EMPTIED;
}

static void roll_when_due(struct ledger *ledger)
{
    const struct epoch *current = current_epoch(ledger);
    uint64_t age_ms = loop_now_ms(ledger->options.loop) - current->begun_ms;
    if (!ledger->options.journal || (!current->bytes && !has_old_epochs(ledger)))
        return;
    if (age_ms >= ledger->options.epoch_ms || current->bytes >= EPOCH_BYTES_MAX)
        roll(ledger);
}

/* ---- Blocks ------------------------------------------------------------------------------------ */

static struct sealed *sealed_of(struct list *link)
{
    return LIST_ENTRY(link, struct sealed, link);
}

static void sealed_free(struct sealed *sealed)
{
    gate_unref(sealed->gate);
    free(sealed->bytes);
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
    bool journaled = ledger->options.journal && !ledger->journal_failing;
    LIST_EACH (&ledger->epochs, link)
        if (epoch_of(link)->number >= ledger->first_epoch)
            epoch_of(link)->kept = true;
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
    size_t length;
    sealed->bytes = buf_take(&ledger->rows, &length);
    sealed->row_count = ledger->row_count;
    sealed->ledger = ledger;
    sealed->gate = ledger->gate;
    atomic_fetch_add(&ledger->gate->references, 1);
    sealed->block = (struct ledger_block){
        .ledger = ledger->id, .number = ledger->number++, .rows = STR_FROM(sealed->bytes, length)};
    if (ledger->forgot_day != now_ms / DAY_MS)
        sealed->block.forget_ms = now_ms;
    ledger->forgot_day = now_ms / DAY_MS;
    ledger->row_count = 0;
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

static void note_success(struct ledger *ledger, struct sealed *sealed)
{
    if (ledger->failing)
        log_warning(ledger->options.log, "the database takes the ledger's rows again");
    ledger->failing = false;
    ledger->answered = sealed->block.number;
    ledger->waiting_bytes -= sealed->block.rows.len;
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
    seal(ledger);
    if (!ledger->failing || loop_now_ms(ledger->options.loop) >= ledger->retry_at_ms)
        submit(ledger);
    roll_when_due(ledger);
    arm(ledger);
}

/* Set while there is something to do. */
static void arm(struct ledger *ledger)
{
    bool busy = ledger->row_count || !list_is_empty(&ledger->waiting) ||
                !list_is_empty(&ledger->opens) || current_epoch(ledger)->bytes ||
                has_old_epochs(ledger);
    if (busy && !loop_timer_is_set(&ledger->timer))
        loop_timer_set(ledger->options.loop, &ledger->timer, ledger->options.flush_ms, on_timer,
                       ledger);
}

/* ---- Attempts ---------------------------------------------------------------------------------- */

/* The row as it is to be when the program ends before the attempt does. */
static size_t pack_begin(const struct ledger_row *row, char packed[LEDGER_ROW_BYTES_MAX])
{
    const struct ledger_row begun = {.start_ms = row->start_ms,
                                     .origin = row->origin,
                                     .number = row->number,
                                     .target = row->target,
                                     .mode = row->mode,
                                     .outcome = LEDGER_INTERRUPTED,
                                     .is_streamed = row->is_streamed,
                                     .is_hedge = row->is_hedge,
                                     .is_batch = row->is_batch,
                                     .usage = LLM_USAGE_UNKNOWN,
                                     .cost_nano = -1};
    return ledger_row_pack(&begun, packed);
}

struct ledger_open *ledger_begin(struct ledger *ledger, const struct ledger_row *row)
{
    char packed[LEDGER_ROW_BYTES_MAX];
    size_t length = ledger->options.journal ? pack_begin(row, packed) : 0;
    struct ledger_open *open = malloc(sizeof *open + length);
    ASSERT(open);
    *open = (struct ledger_open){.serial = ++ledger->serial,
                                 .block = ledger->number,
                                 .epoch = ledger->epoch_number,
                                 .length = length};
    memcpy(open->packed, packed, length);
    if (length)
        journal_put(ledger, JOURNAL_LEDGER_BEGIN, open->serial, open->block,
                    STR_FROM(packed, length));
    list_append(&ledger->opens, &open->link);
    arm(ledger);
    return open;
}

void ledger_reached(struct ledger *ledger, struct ledger_open *open)
{
    if (!ledger->options.journal)
        return;
    ledger_row_set_reached(open->packed);
    journal_put(ledger, JOURNAL_LEDGER_REACHED, open->serial, open->block, STR_NONE);
}

static void add_row(struct ledger *ledger, uint64_t serial, const struct ledger_row *row)
{
    char packed[LEDGER_ROW_BYTES_MAX];
    struct str bytes = STR_FROM(packed, ledger_row_pack(row, packed));
    struct epoch *epoch = current_epoch(ledger);
    if (!ledger->row_count)
        ledger->first_epoch = epoch->number;
    if (ledger->options.journal &&
        journal_put(ledger, JOURNAL_LEDGER_END, serial, ledger->number, bytes))
        epoch->last_block = ledger->number;
    ledger_entry_append(&ledger->rows, serial, bytes);
    ledger->row_count++;
    count(ledger->waits, 1);
    if (ledger->row_count >= LEDGER_BLOCK_ROWS_MAX || ledger->rows.len >= BLOCK_BYTES_MAX) {
        seal(ledger);
        if (!ledger->failing)
            submit(ledger);
    }
    arm(ledger);
}

void ledger_end(struct ledger *ledger, struct ledger_open *open, const struct ledger_row *row)
{
    add_row(ledger, open->serial, row);
    list_remove(&open->link);
    free(open);
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
    list_init(&ledger->opens);
    list_init(&ledger->epochs);
    list_init(&ledger->waiting);
    list_init(&ledger->waiters);
    buf_init(&ledger->rows, BLOCK_BYTES_MAX + LEDGER_ENTRY_HEADER_BYTES + LEDGER_ROW_BYTES_MAX);
    find_metrics(ledger);
    begin_epoch(ledger);
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

static void free_epochs(struct ledger *ledger, bool all_written)
{
    LIST_EACH (&ledger->epochs, link)
        drop_epoch(ledger, epoch_of(link), all_written && !epoch_of(link)->kept);
}

void ledger_free(struct ledger *ledger)
{
    if (!ledger)
        return;
    seal(ledger);
    bool all_written = list_is_empty(&ledger->waiting) && list_is_empty(&ledger->opens);
    leave_to_store(ledger);
    free_epochs(ledger, all_written);
    loop_timer_cancel(ledger->options.loop, &ledger->timer);
    LIST_EACH (&ledger->waiters, link) {
        list_remove(link);
        free(LIST_ENTRY(link, struct waiter, link));
    }
    LIST_EACH (&ledger->opens, link) {
        list_remove(link);
        free(LIST_ENTRY(link, struct ledger_open, link));
    }
    buf_done(&ledger->rows);
    free(ledger);
}
