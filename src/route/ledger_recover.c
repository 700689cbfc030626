/* After a crash: what the journals hold of the ledgers goes into the database.
 *
 * The records of one ledger come in the order in which they were written, so a block is whole once
 * a row of a later one ENDED; it is then stored under its own number, which changes nothing when it
 * is in already. What BEGUN, and of which nothing more was heard, becomes a row of the ledger's last
 * block, LEDGER_BLOCK_INTERRUPTED, unless its end is in a block of the database after all: the part
 * of the journal with the end may be gone, or may have been lost with the power. So a crash in
 * between repeats all of it with the same result, until chat_recover removes the journals. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/map.h"
#include "route/ledger_block.h"
#include "route/ledger_entries.h"
#include "route/ledger_internal.h"
#include "store/store.h"

enum { READY_BYTES_MAX = 4 * 1024 * 1024, ROWS_BYTES_MAX = 1024 * 1024 * 1024 };
enum { KEY_BYTES = ID_LENGTH + 8 };

/* An attempt without an end, so far. */
struct begun {
    struct id ledger;
    uint64_t serial;
    int64_t block;
    size_t length;
    char packed[];
};

struct block {
    struct list link; /* in recovery.ready, once it is whole */
    int64_t number;
    struct id ledger;
    struct buf rows;
};

/* What one row in the journal says. */
struct record {
    struct id ledger;
    uint64_t serial;
    int64_t block;
    struct str packed;
};

/* One ledger of which there are records. */
struct past {
    struct id id;
    struct block *filling; /* NULL: none yet */
    int64_t oldest;        /* block in which an attempt without an end began; -1: there is none */
    struct block *interrupted;
};

struct recovery {
    struct store *store;
    struct error *error;
    struct map *pasts;    /* id -> struct past */
    struct map *attempts; /* ledger and serial -> struct begun */
    struct list ready;
    size_t ready_bytes;
    size_t ended;
    size_t interrupted;
};

/* ---- Blocks ------------------------------------------------------------------------------------ */

static struct block *block_new(const struct id *ledger, int64_t number)
{
    struct block *block = calloc(1, sizeof *block);
    ASSERT(block);
    block->ledger = *ledger;
    block->number = number;
    buf_init(&block->rows, ROWS_BYTES_MAX);
    return block;
}

static void block_free(struct block *block)
{
    if (!block)
        return;
    buf_done(&block->rows);
    free(block);
}

static enum err store_ready(struct store_tx *tx, void *user, struct error *error)
{
    struct recovery *recovery = user;
    enum err code = ERR_OK;
    LIST_EACH (&recovery->ready, link) {
        struct block *block = LIST_ENTRY(link, struct block, link);
        const struct ledger_block stored = {
            .ledger = block->ledger, .number = block->number, .rows = buf_str(&block->rows)};
        if (code == ERR_OK)
            code = ledger_block_store(tx, &stored, error);
    }
    return code;
}

static void forget_ready(struct recovery *recovery)
{
    LIST_EACH (&recovery->ready, link) {
        list_remove(link);
        block_free(LIST_ENTRY(link, struct block, link));
    }
    recovery->ready_bytes = 0;
}

static enum err write_ready(struct recovery *recovery)
{
    if (list_is_empty(&recovery->ready))
        return ERR_OK;
    enum err code = store_write_now(recovery->store, store_ready, recovery, recovery->error);
    forget_ready(recovery);
    return code;
}

static enum err make_ready(struct recovery *recovery, struct block *block)
{
    if (!block)
        return ERR_OK;
    list_append(&recovery->ready, &block->link);
    recovery->ready_bytes += block->rows.len;
    return recovery->ready_bytes > READY_BYTES_MAX ? write_ready(recovery) : ERR_OK;
}

/* ---- Records ----------------------------------------------------------------------------------- */

static struct str attempt_key(const struct id *ledger, uint64_t serial, char space[KEY_BYTES])
{
    memcpy(space, ledger->text, ID_LENGTH);
    memcpy(space + ID_LENGTH, &serial, sizeof serial);
    return STR_FROM(space, KEY_BYTES);
}

static struct past *past_of(struct recovery *recovery, const struct id *ledger)
{
    struct past *past = map_get(recovery->pasts, id_str(ledger));
    if (past)
        return past;
    past = calloc(1, sizeof *past);
    ASSERT(past);
    past->id = *ledger;
    past->oldest = -1;
    map_set(recovery->pasts, id_str(ledger), past);
    return past;
}

static void take_begin(struct recovery *recovery, const struct record *record)
{
    char space[KEY_BYTES];
    struct begun *begun = malloc(sizeof *begun + record->packed.len);
    ASSERT(begun);
    begun->ledger = record->ledger;
    begun->serial = record->serial;
    begun->block = record->block;
    begun->length = record->packed.len;
    memcpy(begun->packed, record->packed.data, record->packed.len);
    /* One that was written again replaces the first. */
    free(map_set(recovery->attempts, attempt_key(&record->ledger, record->serial, space), begun));
}

static void forget_attempt(struct recovery *recovery, const struct id *ledger, uint64_t serial)
{
    char space[KEY_BYTES];
    free(map_remove(recovery->attempts, attempt_key(ledger, serial, space)));
}

static void take_reached(struct recovery *recovery, const struct record *record)
{
    char space[KEY_BYTES];
    struct begun *begun =
        map_get(recovery->attempts, attempt_key(&record->ledger, record->serial, space));
    if (begun)
        ledger_row_set_reached(begun->packed);
}

static enum err take_end(struct recovery *recovery, const struct record *record)
{
    struct past *past = past_of(recovery, &record->ledger);
    enum err code = ERR_OK;
    if (past->filling && past->filling->number != record->block) {
        code = make_ready(recovery, past->filling);
        past->filling = NULL;
    }
    if (!past->filling)
        past->filling = block_new(&record->ledger, record->block);
    ledger_entry_append(&past->filling->rows, record->serial, record->packed);
    forget_attempt(recovery, &record->ledger, record->serial);
    recovery->ended++;
    return code;
}

static enum err take(struct recovery *recovery, enum journal_kind kind, const struct record *record)
{
    struct ledger_row_space space;
    struct ledger_row row;
    if (!ledger_row_unpack(record->packed, &space, &row))
        return ERR_OK; /* of another version */
    if (kind == JOURNAL_LEDGER_ENDED)
        return take_end(recovery, record);
    take_begin(recovery, record);
    return ERR_OK;
}

/* Everything that BEGUN or ENDED within a turn. */
static enum err take_rows(struct recovery *recovery, const struct journal_record *journaled)
{
    struct record record;
    struct ledger_reader reader;
    struct str rows = journaled->payload;
    enum err code = ERR_OK;
    if (!ledger_record_read_head(&rows, &record.ledger, &record.block))
        return ERR_OK;
    ledger_reader_init(&reader, rows);
    while (code == ERR_OK && ledger_reader_next(&reader, &record.serial, &record.packed))
        code = take(recovery, (enum journal_kind)journaled->kind, &record);
    return code;
}

/* As it was written until there were records of several rows: ledger 26 | serial u64 | block u64 |
 * row, but for REACHED. */
static enum err take_one(struct recovery *recovery, const struct journal_record *journaled)
{
    struct record record;
    struct str head, rest = journaled->payload;
    if (!bytes_take(&rest, ID_LENGTH + 16, &head) ||
        !id_parse(str_slice(head, 0, ID_LENGTH), &record.ledger))
        return ERR_OK;
    record.serial = bytes_get_u64(head.data + ID_LENGTH);
    record.block = (int64_t)bytes_get_u64(head.data + ID_LENGTH + 8);
    record.packed = rest;
    if (record.block < 0)
        return ERR_OK;
    if (journaled->kind == JOURNAL_LEDGER_REACHED) {
        take_reached(recovery, &record);
        return ERR_OK;
    }
    bool ended = journaled->kind == JOURNAL_LEDGER_END;
    return take(recovery, ended ? JOURNAL_LEDGER_ENDED : JOURNAL_LEDGER_BEGUN, &record);
}

static enum err on_record(void *user, const struct journal_record *journaled)
{
    switch (journaled->kind) {
    case JOURNAL_LEDGER_BEGIN:
    case JOURNAL_LEDGER_REACHED:
    case JOURNAL_LEDGER_END:
        return take_one(user, journaled);
    case JOURNAL_LEDGER_BEGUN:
    case JOURNAL_LEDGER_ENDED:
        return take_rows(user, journaled);
    default:
        return ERR_OK; /* a run's, or of another version */
    }
}

/* ---- Attempts without an end ------------------------------------------------------------------- */

static void find_oldest(struct recovery *recovery)
{
    size_t position = 0;
    struct begun *begun;
    while ((begun = map_next(recovery->attempts, &position, NULL))) {
        struct past *past = past_of(recovery, &begun->ledger);
        if (past->oldest < 0 || begun->block < past->oldest)
            past->oldest = begun->block;
    }
}

struct check {
    struct recovery *recovery;
    struct past *past;
};

static void check_block(void *user, struct str data)
{
    struct check *check = user;
    struct ledger_reader reader;
    uint64_t serial;
    struct str packed;
    ledger_reader_init(&reader, data);
    while (ledger_reader_next(&reader, &serial, &packed))
        forget_attempt(check->recovery, &check->past->id, serial);
}

static enum err check_pasts(struct store_tx *tx, void *user, struct error *error)
{
    struct recovery *recovery = user;
    size_t position = 0;
    enum err code = ERR_OK;
    struct past *past;
    while (code == ERR_OK && (past = map_next(recovery->pasts, &position, NULL)))
        if (past->oldest >= 0)
            code = store_block_each(tx, &past->id, past->oldest, check_block,
                                    &(struct check){recovery, past}, error);
    return code;
}

static enum err store_interrupted(struct recovery *recovery)
{
    size_t position = 0;
    enum err code = ERR_OK;
    struct begun *begun;
    struct past *past;
    while ((begun = map_next(recovery->attempts, &position, NULL))) {
        past = past_of(recovery, &begun->ledger);
        if (!past->interrupted)
            past->interrupted = block_new(&begun->ledger, LEDGER_BLOCK_INTERRUPTED);
        ledger_entry_append(&past->interrupted->rows, begun->serial,
                            STR_FROM(begun->packed, begun->length));
        recovery->interrupted++;
    }
    position = 0;
    while (code == ERR_OK && (past = map_next(recovery->pasts, &position, NULL))) {
        code = make_ready(recovery, past->interrupted);
        past->interrupted = NULL;
    }
    return code == ERR_OK ? write_ready(recovery) : code;
}

/* ---- The whole --------------------------------------------------------------------------------- */

static enum err store_ended(struct recovery *recovery)
{
    size_t position = 0;
    enum err code = ERR_OK;
    struct past *past;
    while (code == ERR_OK && (past = map_next(recovery->pasts, &position, NULL))) {
        code = make_ready(recovery, past->filling);
        past->filling = NULL;
    }
    return code == ERR_OK ? write_ready(recovery) : code;
}

static void recovery_done(struct recovery *recovery)
{
    size_t position = 0;
    struct past *past;
    struct begun *begun;
    forget_ready(recovery);
    while ((past = map_next(recovery->pasts, &position, NULL))) {
        block_free(past->filling);
        block_free(past->interrupted);
        free(past);
    }
    position = 0;
    while ((begun = map_next(recovery->attempts, &position, NULL)))
        free(begun);
    map_free(recovery->pasts);
    map_free(recovery->attempts);
}

enum err ledger_recover(struct store *store, const char *directory, struct log *log,
                        struct error *error)
{
    struct recovery recovery = {
        .store = store, .error = error, .pasts = map_new(), .attempts = map_new()};
    struct journal_replay_result result = {0};
    list_init(&recovery.ready);
    enum err code = journal_replay(directory, on_record, &recovery, &result, error);
    if (code == ERR_OK)
        code = store_ended(&recovery);
    find_oldest(&recovery);
    if (code == ERR_OK)
        code = store_read_now(store, check_pasts, &recovery, error);
    if (code == ERR_OK)
        code = store_interrupted(&recovery);
    if (code == ERR_OK && (recovery.ended || recovery.interrupted))
        log_info(log, "the ledger took from the journal what the last stop had left there",
                 LOG_INT("ended", recovery.ended), LOG_INT("interrupted", recovery.interrupted));
    recovery_done(&recovery);
    return code;
}
