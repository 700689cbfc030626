/* Rows and blocks of the ledger: any bytes are read or refused, and what is read as a row packs to
 * the same bytes again, unless it was written by somebody who does not cut as we do. */
#include <stdlib.h>
#include <string.h>

#include "route/ledger_row.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was cut once is not cut again. */
static void check_again(const struct ledger_row *row)
{
    char first[LEDGER_ROW_BYTES_MAX], second[LEDGER_ROW_BYTES_MAX];
    struct ledger_row_space space;
    struct ledger_row again;
    size_t length = ledger_row_pack(row, first);
    if (length > sizeof first || !ledger_row_unpack(STR_FROM(first, length), &space, &again))
        abort();
    if (ledger_row_pack(&again, second) != length || memcmp(first, second, length) != 0)
        abort();
}

static void read_row(struct str packed)
{
    struct ledger_row_space space;
    struct ledger_row row;
    if (ledger_row_unpack(packed, &space, &row))
        check_again(&row);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = STR_FROM((const char *)data, size), packed;
    uint64_t serial;
    read_row(rest);
    while (ledger_entry_next(&rest, &serial, &packed))
        read_row(packed);
    return 0;
}
