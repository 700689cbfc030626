/* Ledger journal: what the ledger of one loop has in the loop's journal: the records of its attempts,
 * by epochs, and the attempts under way themselves. Private to the ledger; all on the loop's thread.
 */
#pragma once

#include "route/ledger_entries.h"
#include "route/ledger_internal.h"

struct ledger_open {
    struct list link;    /* in ledger_journal.opens: those with the oldest record first */
    struct list reached; /* in ledger_journal.reached, or in none */
    uint64_t serial;
    uint64_t epoch; /* of its newest BEGIN */
    size_t bytes;   /* of all of this, from the loop's stock */
    size_t length;
    char packed[]; /* its row as it began, in the end as it ended; none without a journal */
};

static inline struct str ledger_open_row(const struct ledger_open *open)
{
    return STR_FROM(open->packed, open->length);
}

/* Zeroed but for the first members, which its owner sets, then ledger_journal_init. */
struct ledger_journal {
    struct journal *journal; /* NULL: nothing is recorded */
    struct loop *loop;
    struct log *log;
    struct id ledger;
    uint64_t epoch_ms;
    int64_t block;              /* that is being filled */
    struct ledger_writer begun; /* rows of this turn, not recorded yet: the payload, or nothing */
    struct ledger_writer ended;
    struct loop_task record;
    struct list opens;
    struct list epochs; /* oldest first; the last is the current one */
    uint64_t epoch_number;
    struct list reached; /* opens of which that is not recorded yet */
    bool failing;
};

void ledger_journal_init(struct ledger_journal *journal);
/* Forgets the attempts under way, whose records stay, as all do unless `all_written`. */
void ledger_journal_done(struct ledger_journal *journal, bool all_written);

/* An attempt begins: `packed` is its row as it is to be when nothing more is heard of it; empty
 * without a journal. */
struct ledger_open *ledger_journal_begin(struct ledger_journal *journal, uint64_t serial,
                                         struct str packed);
/* Recorded at the end of the turn, unless the attempt has ended by then. */
void ledger_journal_reached(struct ledger_journal *journal, struct ledger_open *open);
/* An attempt, or what is none, has ended, in the block that is being filled: records its row when
 * that is possible. */
void ledger_journal_end(struct ledger_journal *journal, uint64_t serial, struct str packed);
/* From now on this block is being filled. */
void ledger_journal_begin_block(struct ledger_journal *journal, int64_t block);
/* `open` is over, and gone. */
void ledger_journal_close(struct ledger_journal *journal, struct ledger_open *open);

/* The epoch in which records are written now. */
uint64_t ledger_journal_epoch(const struct ledger_journal *journal);
/* What was written from this epoch on is nowhere else: until the next start. */
void ledger_journal_keep(struct ledger_journal *journal, uint64_t epoch);
/* Gives back what is not needed when it is time; blocks up to `answered` are committed or given up.
 */
void ledger_journal_roll(struct ledger_journal *journal, int64_t answered);
/* Whether there will be something to give back. */
bool ledger_journal_is_busy(const struct ledger_journal *journal);
