/* Journal: an append-only file per loop for what must survive kill -9 before it is in the database:
 * the events of running answers. Appending costs one write a loop turn; fdatasync runs in the pool
 * on a stated interval, so a power cut loses at most that much.
 *
 * A segment is DATA_DIR/journal/<loop>-<generation>.log; a record is
 *   length u32 | crc32c u32 | generation u64 | kind u16 | key id u16 | reserved u32 | id 26 bytes |
 *   sequence u64 | payload
 * in little endian, the checksum over everything behind it. A torn tail ends the segment. */
#pragma once

#include "base/err.h"
#include "base/id.h"
#include "net/loop.h"

struct journal;

struct journal_options {
    const char *directory;      /* DATA_DIR; "journal" is made below it */
    uint64_t sync_interval_ms;  /* [1,000]; 0: never by itself */
    uint64_t segment_bytes_max; /* [64 MiB] a new segment begins beyond it */
    int (*sync)(int fd);        /* for tests only: in place of fdatasync */
};

/* Who writes what: every kind there is, so that each reader knows what is not its own. */
enum journal_kind {
    JOURNAL_RUN_BEGIN = 1, /* chat/run.h */
    JOURNAL_RUN_EVENT = 2,
    JOURNAL_LEDGER_BEGIN = 16, /* only read: route/ledger_recover.c */
    JOURNAL_LEDGER_REACHED = 17,
    JOURNAL_LEDGER_END = 18,
    JOURNAL_LEDGER_BEGUN = 19, /* route/ledger_journal.c */
    JOURNAL_LEDGER_ENDED = 20
};

struct journal_record {
    uint16_t kind;      /* of journal_kind, not 0 */
    struct id id;       /* of what it belongs to: the run, the ledger's epoch */
    uint64_t sequence;  /* within that id */
    struct str payload; /* at most JOURNAL_PAYLOAD_BYTES_MAX */
};
enum { JOURNAL_PAYLOAD_BYTES_MAX = 16 * 1024 * 1024 };

/* Begins a new segment for this loop, with a generation above every one found. */
MUST_USE enum err journal_open(struct loop *loop, const struct journal_options *options,
                               struct journal **ret_journal, struct error *error);
/* Writes and syncs what is pending (blocks shortly), closes; removes the segments in which nothing
 * is still needed. Before loop_free. NULL is allowed. */
void journal_close(struct journal *journal);

/* Appends; written before any stream of the loop sends again, at the end of this turn at the latest
 * (loop_defer_record). A record begins an interest in its id: the segment is
 * kept until journal_release(id). After a failed write or sync (disk full) ERR_STORAGE comes from
 * here until writing works again, which each call and each interval tries; what was appended
 * before stays valid. ERR_TOO_BIG: the payload is over its maximum. */
MUST_USE enum err journal_append(struct journal *journal, const struct journal_record *record);
/* What `id` wrote is in the database now: segments that nobody needs are removed. */
void journal_release(struct journal *journal, const struct id *id);

/* Reads every record of every segment found in `directory`, segment by segment in order of
 * generation, before any journal is opened. Torn or damaged tails are ignored and counted. The
 * callback may return an error to stop. */
struct journal_replay_result {
    size_t segments;
    size_t records;
    size_t damaged; /* segments that ended in a torn or damaged record */
};
MUST_USE enum err journal_replay(
    const char *directory, enum err (*on_record)(void *user, const struct journal_record *record),
    void *user, struct journal_replay_result *ret_result, struct error *error);
/* Removes every segment: after a replay whose results are committed. */
MUST_USE enum err journal_remove_all(const char *directory, struct error *error);
