/* Ledger journal: what the ledger of one loop has in the loop's journal: the records of its attempts,
 * by epochs, and the attempts under way themselves. Private to the ledger; all on the loop's thread.
 */
#pragma once

#include "route/ledger_internal.h"

struct ledger_open {
    struct list link;    /* in ledger_journal.opens: those with the oldest record first */
    struct list reached; /* in ledger_journal.reached, or in none */
    uint64_t serial;
    uint64_t epoch; /* of its newest BEGIN */
    size_t bytes;   /* of all of this, from the loop's stock */
    size_t length;
    char payload[]; /* of its BEGIN, in the end of its END; none without a journal */
};

/* Zeroed but for the first members, which its owner sets, then ledger_journal_init. */
struct ledger_journal {
    struct journal *journal; /* NULL: nothing is recorded */
    struct loop *loop;
    struct log *log;
    uint64_t epoch_ms;
    struct list opens;
    struct list epochs; /* oldest first; the last is the current one */
    uint64_t epoch_number;
    struct list reached; /* opens whose REACHED is not recorded yet */
    struct loop_task record_reached;
    bool failing;
};

void ledger_journal_init(struct ledger_journal *journal);
/* Forgets the attempts under way, whose records stay, as all do unless `all_written`. */
void ledger_journal_done(struct ledger_journal *journal, bool all_written);

/* An attempt begins: `payload` is that of its BEGIN, whole, or empty without a journal. */
struct ledger_open *ledger_journal_begin(struct ledger_journal *journal, uint64_t serial,
                                         struct str payload);
/* Recorded at the end of the turn, unless the attempt has ended by then. */
void ledger_journal_reached(struct ledger_journal *journal, struct ledger_open *open);
/* An attempt, or what is none, has ended, in this block: records it when that is possible. */
void ledger_journal_end(struct ledger_journal *journal, uint64_t serial, int64_t block,
                        struct str payload);
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
