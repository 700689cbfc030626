/* Rows and blocks of the ledger: any bytes are read or refused; what is read as a row packs to the
 * same bytes again, unless it was written by somebody who does not cut as we do; and what a block is
 * filled with is read of what is kept of it, byte for byte. */
#include <stdlib.h>
#include <string.h>

#include "route/ledger_entries.h"

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

static bool next_row(struct str *filled, uint64_t *ret_serial, struct str *ret_packed)
{
    struct ledger_numbers numbers;
    while (ledger_entry_next(filled, ret_serial, ret_packed))
        if (ledger_row_unpack_numbers(*ret_packed, &numbers))
            return true;
    return false;
}

static void check_kept(struct str filled)
{
    struct ledger_writer writer;
    struct ledger_reader reader;
    struct str rest = filled, packed, read;
    uint64_t serial, number;
    bool known;
    ledger_writer_init(&writer, filled.len);
    ledger_writer_begin(&writer);
    while (next_row(&rest, &serial, &packed))
        ledger_writer_add(&writer, serial, packed, &known);
    ledger_reader_init(&reader, buf_str(&writer.out));
    while (next_row(&filled, &serial, &packed))
        if (!ledger_reader_next(&reader, &number, &read) || number != serial ||
            !str_eq(packed, read))
            abort();
    if (!buf_ok(&writer.out) || reader.rest.len)
        abort();
    ledger_writer_done(&writer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ledger_reader reader;
    struct str all = STR_FROM((const char *)data, size), packed;
    uint64_t serial;
    read_row(all);
    ledger_reader_init(&reader, all);
    while (ledger_reader_next(&reader, &serial, &packed))
        read_row(packed);
    check_kept(all);
    return 0;
}
