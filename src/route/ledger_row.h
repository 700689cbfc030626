/* Ledger row: a row as bytes, in the journal and in the database, and back. Pure; any bytes are
 * safe to read. Little endian, whatever the machine:
 *
 *     what is fixed, its version first | numbers, u64 each: the start, then what may be unknown, -1
 *                                      | the request's id, its length u8 in front | texts
 *
 * Rows of a caller that ended alike have the same fixed bytes and texts. */
#pragma once

#include "base/str.h"
#include "route/ledger.h"

enum {
    LEDGER_TEXT_BYTES_MAX = 128,   /* of each text; longer ones are cut */
    LEDGER_LOSSES_BYTES_MAX = 255, /* of losses */
    LEDGER_ROW_BYTES_MIN = 89,
    LEDGER_ROW_BYTES_MAX = 3072,
    LEDGER_ROW_FIXED_BYTES = 8,
    LEDGER_ROW_NUMBERS = 9,
    /* More is a lie of a provider, and would spoil the sums of honest ones. */
    LEDGER_TOKENS_MAX = 1000000000,
};
#define LEDGER_COST_NANO_MAX INT64_C(100000000000000) /* $100,000 */

/* Writes a row, returns its length. */
size_t ledger_row_pack(const struct ledger_row *row, char ret[LEDGER_ROW_BYTES_MAX]);

/* The same for an attempt that begins, as its row is to be when the program ends before it does:
 * INTERRUPTED. Of `row` the fields up to is_batch are read. */
size_t ledger_row_pack_begun(const struct ledger_row *row, char ret[LEDGER_ROW_BYTES_MAX]);
/* Writes into the latter how the attempt ended. False, and nothing is changed, when some of its
 * texts are new: it is to be packed whole. */
bool ledger_row_end(const struct ledger_row *row, char *packed);

/* Where the lists of a row that was read are. */
struct ledger_row_space {
    struct id groups[LEDGER_GROUPS_MAX];
    struct str tags[LEDGER_TAGS_MAX];
};
/* Reads exactly one row: false when `bytes` is not one, or of a newer version. Its texts are views
 * of `bytes`, its lists are in `space`. */
bool ledger_row_unpack(struct str bytes, struct ledger_row_space *space, struct ledger_row *ret);

/* What a row says for itself, however much else it has in common with others; counts are -1 when they
 * are unknown. */
struct ledger_numbers {
    int64_t start_ms;
    int64_t input; /* tokens, as in struct llm_usage */
    int64_t cache_read;
    int64_t cache_write;
    int64_t output;
    int64_t reasoning;
    int64_t cost_nano;
    uint64_t first_content_us;
    uint64_t duration_us;
};
/* Reads only these: false when they, or the request's id behind them, cannot be those of a row. */
bool ledger_row_unpack_numbers(struct str bytes, struct ledger_numbers *ret);

/* Notes in the bytes of a row that the provider has seen it. */
void ledger_row_set_reached(char *packed);
