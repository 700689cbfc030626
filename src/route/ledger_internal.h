/* What the writing side (ledger.c) and the reading side (ledger_recover.c) know of the ledger's
 * records in the journal: a head that says whose attempt it is, then (but for REACHED) its row. A
 * BEGIN holds the row as it is to be when nothing more is heard of the attempt: INTERRUPTED. */
#pragma once

#include "base/bytes.h"
#include "route/ledger_row.h"
#include "store/journal.h"

/* ledger 26 | serial u64 | block u64: the block that was being filled when it was written. An END
 * belongs to that block, the END of a BEGIN to that one or a later one. */
enum { LEDGER_RECORD_HEAD_BYTES = ID_LENGTH + 16 };

struct ledger_record {
    struct id ledger;
    uint64_t serial;
    int64_t block;
    struct str packed; /* the row, or empty */
};

static inline void ledger_record_put_head(char *at, const struct id *ledger, uint64_t serial,
                                          int64_t block)
{
    memcpy(at, ledger->text, ID_LENGTH);
    bytes_put_u64(at + ID_LENGTH, serial);
    bytes_put_u64(at + ID_LENGTH + 8, (uint64_t)block);
}

static inline bool ledger_record_read(struct str payload, struct ledger_record *ret)
{
    if (payload.len < LEDGER_RECORD_HEAD_BYTES ||
        !id_parse(STR_FROM(payload.data, ID_LENGTH), &ret->ledger))
        return false;
    ret->serial = bytes_get_u64(payload.data + ID_LENGTH);
    ret->block = (int64_t)bytes_get_u64(payload.data + ID_LENGTH + 8);
    ret->packed = str_skip(payload, LEDGER_RECORD_HEAD_BYTES);
    return ret->block >= 0;
}
