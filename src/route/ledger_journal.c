/* The records of a ledger: see ledger_journal.h. In the journal an interest is an epoch: what this
 * ledger wrote within a minute or so.
 *
 *                 begin_epoch             carry                            release_epochs
 *     CURRENT ---------------> CLOSED ------------> EMPTIED ------------------------------> gone
 *                                (attempts still open are written      (all blocks that its rows
 *                                 again, into the current epoch)        ended in are committed)
 *
 * An epoch is released a whole epoch after it was carried: what was written again has long been
 * synced by then.
 *
 * Rows are recorded at the end of the turn, or before somebody hears of them: all that begin in one
 * record, all that end in another, each in the form of a block, in which they share what they have in
 * common. That an attempt was reached is recorded by its row as it began, once more; most answers that
 * are not streamed come whole with their head, and are at their end by then. */
#include "route/ledger_journal.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/clock.h"

enum { EPOCH_BYTES_MAX = 16 * 1024 * 1024 };
enum { ROWS_BYTES_MAX = 256 * 1024, ROWS_BYTES_KEPT = 64 * 1024 }; /* of one record */

enum epoch_state { EPOCH_CURRENT, EPOCH_CLOSED, EPOCH_EMPTIED };
struct epoch {
    struct list link;
    struct id id;
    uint64_t number;
    enum epoch_state state;
    uint64_t begun_ms;
    size_t bytes;
    int64_t last_block; /* that rows of it ended in; -1: none */
    bool kept;          /* some of its rows are nowhere else: until the next start */
};

static struct epoch *epoch_of(struct list *link)
{
    return LIST_ENTRY(link, struct epoch, link);
}

static struct epoch *current_epoch(const struct ledger_journal *journal)
{
    return epoch_of(journal->epochs.previous);
}

/* ---- Records ----------------------------------------------------------------------------------- */

static void note_failing(struct ledger_journal *journal, enum err code)
{
    bool failing = code != ERR_OK;
    if (failing && !journal->failing)
        log_error(journal->log,
                  "the ledger's journal cannot be written: rows are in memory only until they are "
                  "in the database",
                  LOG_CSTR("error", err_info(code)->name));
    journal->failing = failing;
}

static bool put(struct ledger_journal *journal, enum journal_kind kind, struct str payload)
{
    struct epoch *epoch = current_epoch(journal);
    const struct journal_record record = {
        .kind = (uint16_t)kind, .id = epoch->id, .payload = payload};
    enum err code = journal_append(journal->journal, &record);
    if (code != ERR_OK || journal->failing)
        note_failing(journal, code);
    if (code != ERR_OK)
        return false;
    epoch->bytes += payload.len;
    return true;
}

/* The rows of `writer`, none of which is in it afterwards. True also when there were none. */
static bool put_rows(struct ledger_journal *journal, enum journal_kind kind,
                     struct ledger_writer *writer)
{
    struct buf *rows = &writer->out;
    if (!rows->len)
        return true;
    bool good = put(journal, kind, buf_str(rows));
    if (good && kind == JOURNAL_LEDGER_ENDED)
        current_epoch(journal)->last_block = journal->block;
    if (rows->capacity > ROWS_BYTES_KEPT)
        buf_release(rows);
    else
        buf_clear(rows);
    return good;
}

/* What begins and ends within a turn is in this order, whatever the order was. */
static bool put_all(struct ledger_journal *journal)
{
    bool good = put_rows(journal, JOURNAL_LEDGER_BEGUN, &journal->begun);
    return put_rows(journal, JOURNAL_LEDGER_ENDED, &journal->ended) && good;
}

static void on_record(void *user);

/* False: of what waited, something is not recorded. */
static bool add_row(struct ledger_journal *journal, struct ledger_writer *writer, uint64_t serial,
                    struct str packed)
{
    bool known, good = writer->out.len < ROWS_BYTES_MAX || put_all(journal);
    if (!writer->out.len) {
        char head[LEDGER_RECORD_HEAD_BYTES];
        ledger_record_put_head(head, &journal->ledger, journal->block);
        buf_append(&writer->out, STR_FROM(head, sizeof head));
        ledger_writer_begin(writer);
    }
    ledger_writer_add(writer, serial, packed, &known);
    loop_defer_record(journal->loop, &journal->record, on_record, journal);
    return good;
}

static void on_record(void *user)
{
    struct ledger_journal *journal = user;
    LIST_EACH (&journal->reached, link) {
        struct ledger_open *open = LIST_ENTRY(link, struct ledger_open, reached);
        list_remove(link);
        add_row(journal, &journal->begun, open->serial, ledger_open_row(open));
    }
    put_all(journal);
}

struct ledger_open *ledger_journal_begin(struct ledger_journal *journal, uint64_t serial,
                                         struct str packed)
{
    size_t bytes = sizeof(struct ledger_open) + packed.len;
    struct ledger_open *open = stock_take(loop_stock(journal->loop), &bytes);
    *open = (struct ledger_open){.serial = serial,
                                 .epoch = current_epoch(journal)->number,
                                 .bytes = bytes,
                                 .length = packed.len};
    if (packed.len) {
        memcpy(open->packed, packed.data, packed.len);
        add_row(journal, &journal->begun, serial, packed);
    }
    list_append(&journal->opens, &open->link);
    return open;
}

void ledger_journal_reached(struct ledger_journal *journal, struct ledger_open *open)
{
    if (!journal->journal)
        return;
    ledger_row_set_reached(open->packed);
    if (!list_is_linked(&open->reached))
        list_append(&journal->reached, &open->reached);
    loop_defer_record(journal->loop, &journal->record, on_record, journal);
}

void ledger_journal_end(struct ledger_journal *journal, uint64_t serial, struct str packed)
{
    if (journal->journal)
        add_row(journal, &journal->ended, serial, packed);
}

void ledger_journal_begin_block(struct ledger_journal *journal, int64_t block)
{
    put_all(journal);
    journal->block = block;
}

void ledger_journal_close(struct ledger_journal *journal, struct ledger_open *open)
{
    list_remove(&open->link);
    list_remove(&open->reached);
    stock_give(loop_stock(journal->loop), open, open->bytes);
}

/* ---- Epochs ------------------------------------------------------------------------------------ */

static void begin_epoch(struct ledger_journal *journal)
{
    struct epoch *epoch = calloc(1, sizeof *epoch);
    ASSERT(epoch);
    if (!list_is_empty(&journal->epochs))
        current_epoch(journal)->state = EPOCH_CLOSED;
    epoch->id = id_new(clock_wall_ms());
    epoch->number = ++journal->epoch_number;
    epoch->begun_ms = loop_now_ms(journal->loop);
    epoch->last_block = -1;
    list_append(&journal->epochs, &epoch->link);
}

static void drop_epoch(struct ledger_journal *journal, struct epoch *epoch, bool release)
{
    if (release && epoch->bytes)
        journal_release(journal->journal, &epoch->id);
    list_remove(&epoch->link);
    free(epoch);
}

/* What is still open of epochs up to `number` is written again. */
static bool carry(struct ledger_journal *journal, uint64_t number)
{
    bool good = true;
    LIST_EACH (&journal->opens, link) {
        struct ledger_open *open = LIST_ENTRY(link, struct ledger_open, link);
        if (open->epoch > number)
            break;
        good = add_row(journal, &journal->begun, open->serial, ledger_open_row(open)) && good;
    }
    if (!put_all(journal) || !good)
        return false;
    LIST_EACH (&journal->opens, link) {
        struct ledger_open *open = LIST_ENTRY(link, struct ledger_open, link);
        if (open->epoch > number)
            break;
        open->epoch = current_epoch(journal)->number;
        list_remove(&open->link);
        list_append(&journal->opens, &open->link);
    }
    return true;
}

static void release_epochs(struct ledger_journal *journal, int64_t answered)
{
    LIST_EACH (&journal->epochs, link) {
        struct epoch *epoch = epoch_of(link);
        if (epoch->state == EPOCH_EMPTIED && !epoch->kept && epoch->last_block <= answered)
            drop_epoch(journal, epoch, true);
    }
}

static bool has_old_epochs(const struct ledger_journal *journal)
{
    LIST_EACH (&journal->epochs, link)
        if (epoch_of(link)->state != EPOCH_CURRENT && !epoch_of(link)->kept)
            return true;
    return false;
}

/* Every epoch one state further. */
static void roll(struct ledger_journal *journal, int64_t answered)
{
    put_all(journal); /* what an epoch says of itself is then true */
    release_epochs(journal, answered);
    uint64_t closed = 0;
    LIST_EACH (&journal->epochs, link)
        if (epoch_of(link)->state == EPOCH_CLOSED)
            closed = epoch_of(link)->number;
    if (current_epoch(journal)->bytes)
        begin_epoch(journal);
    current_epoch(journal)->begun_ms = loop_now_ms(journal->loop);
    if (!carry(journal, closed))
        return; /* the journal takes nothing just now: at the next roll */
    LIST_EACH (&journal->epochs, link)
        if (epoch_of(link)->number <= closed)
            epoch_of(link)->state = EPOCH_EMPTIED;
}

void ledger_journal_roll(struct ledger_journal *journal, int64_t answered)
{
    const struct epoch *current = current_epoch(journal);
    uint64_t age_ms = loop_now_ms(journal->loop) - current->begun_ms;
    if (!journal->journal || (!current->bytes && !has_old_epochs(journal)))
        return;
    if (age_ms >= journal->epoch_ms || current->bytes >= EPOCH_BYTES_MAX)
        roll(journal, answered);
}

uint64_t ledger_journal_epoch(const struct ledger_journal *journal)
{
    return current_epoch(journal)->number;
}

void ledger_journal_keep(struct ledger_journal *journal, uint64_t epoch)
{
    LIST_EACH (&journal->epochs, link)
        if (epoch_of(link)->number >= epoch)
            epoch_of(link)->kept = true;
}

bool ledger_journal_is_busy(const struct ledger_journal *journal)
{
    return !list_is_empty(&journal->opens) || current_epoch(journal)->bytes ||
           has_old_epochs(journal);
}

/* ---- Life -------------------------------------------------------------------------------------- */

void ledger_journal_init(struct ledger_journal *journal)
{
    list_init(&journal->opens);
    list_init(&journal->epochs);
    list_init(&journal->reached);
    ledger_writer_init(&journal->begun, ROWS_BYTES_MAX);
    ledger_writer_init(&journal->ended, ROWS_BYTES_MAX);
    begin_epoch(journal);
}

void ledger_journal_done(struct ledger_journal *journal, bool all_written)
{
    on_record(journal);
    loop_task_cancel(&journal->record);
    ledger_writer_done(&journal->begun);
    ledger_writer_done(&journal->ended);
    LIST_EACH (&journal->epochs, link)
        drop_epoch(journal, epoch_of(link), all_written && !epoch_of(link)->kept);
    LIST_EACH (&journal->opens, link)
        ledger_journal_close(journal, LIST_ENTRY(link, struct ledger_open, link));
}
