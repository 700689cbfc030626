/* Ledger row: a row as bytes, in the journal and in the database, and back. Pure; any bytes are
 * safe to read. Little endian, whatever the machine; the first byte is the version.
 *
 * A block is a sequence of entries: length of the row u16 | serial u64 | row. The serial is the
 * attempt's number within its ledger. */
#pragma once

#include "base/buf.h"
#include "route/ledger.h"

enum {
    LEDGER_TEXT_BYTES_MAX = 128,   /* of each text; longer ones are cut */
    LEDGER_LOSSES_BYTES_MAX = 255, /* of losses */
    LEDGER_ROW_BYTES_MAX = 3072,
    LEDGER_ENTRY_HEADER_BYTES = 10,
    /* More is a lie of a provider, and would spoil the sums of honest ones. */
    LEDGER_TOKENS_MAX = 1000000000,
};
#define LEDGER_COST_NANO_MAX INT64_C(100000000000000) /* $100,000 */

/* Writes a row, returns its length. */
size_t ledger_row_pack(const struct ledger_row *row, char ret[LEDGER_ROW_BYTES_MAX]);

/* Where the lists of a row that was read are. */
struct ledger_row_space {
    struct id groups[LEDGER_GROUPS_MAX];
    struct str tags[LEDGER_TAGS_MAX];
};
/* Reads exactly one row: false when `bytes` is not one, or of a newer version. Its texts are views
 * of `bytes`, its lists are in `space`. */
bool ledger_row_unpack(struct str bytes, struct ledger_row_space *space, struct ledger_row *ret);
/* The numbers alone, and the request's id: in *ret_rest is all that is behind it. Rows that have the
 * same there, and as many groups and tags, have the same in everything else. */
bool ledger_row_unpack_numbers(struct str bytes, struct ledger_row *ret, struct str *ret_rest);
/* Notes in the bytes of a row that the provider has seen it. */
void ledger_row_set_reached(char *packed);

/* Appends an entry. */
void ledger_entry_append(struct buf *out, uint64_t serial, struct str packed);
/* Takes the next entry from the front of *block; false at the end, or at what is not one. */
bool ledger_entry_next(struct str *block, uint64_t *ret_serial, struct str *ret_packed);
