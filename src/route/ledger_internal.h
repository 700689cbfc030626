/* What the writing side (ledger_journal.c) and the reading side (ledger_recover.c) know of the ledger's
 * records in the journal. A row that BEGUN is as it is to be when nothing more is heard of its
 * attempt: INTERRUPTED. */
#pragma once

#include "base/bytes.h"
#include "route/ledger_row.h"
#include "store/journal.h"

/* ledger 26 | block u64 | rows as a block of the database has them, see ledger_entries.h.
 * The block is the one that was being filled: rows that ENDED are in it, attempts that BEGUN end in
 * that one or a later one. */
enum { LEDGER_RECORD_HEAD_BYTES = ID_LENGTH + 8 };

static inline void ledger_record_put_head(char *at, const struct id *ledger, int64_t block)
{
    memcpy(at, ledger->text, ID_LENGTH);
    bytes_put_u64(at + ID_LENGTH, (uint64_t)block);
}

static inline bool ledger_record_read_head(struct str *rest, struct id *ret_ledger,
                                           int64_t *ret_block)
{
    struct str head;
    if (!bytes_take(rest, LEDGER_RECORD_HEAD_BYTES, &head) ||
        !id_parse(str_slice(head, 0, ID_LENGTH), ret_ledger))
        return false;
    *ret_block = (int64_t)bytes_get_u64(head.data + ID_LENGTH);
    return *ret_block >= 0;
}
