/* Ledger entries: a block of rows as bytes. There are two forms.
 *
 * As it is filled, every entry is whole: length of the row u16 | serial u64 | row. The serial is the
 * attempt's number within its ledger.
 *
 * As the database keeps it, rows of one kind, which say the same but for their numbers and the
 * request's id, refer to what they share:
 *
 *     version u16 | entries: slot u8 | length of the kind | kind, unless its length is 0
 *                            | serial, start, the other numbers
 *                            | bytes of the id that are as before u8 | length of the rest u8 | rest
 *
 * A kind that comes is put into its slot, in place of what was there; a length of 0 stands for what
 * is there. Its length and numbers take seven bits a byte, the last of which has its top bit clear;
 * serial and start are differences to the entry before. Databases also hold blocks of the first
 * form: those begin with the length of a row, which is never as small as the version. */
#pragma once

#include "base/buf.h"
#include "base/crypto.h"
#include "route/ledger_row.h"

enum { LEDGER_ENTRY_HEADER_BYTES = 10, LEDGER_SLOTS = 256 };

/* ---- As it is filled ---------------------------------------------------------------------------- */
void ledger_entry_append(struct buf *out, uint64_t serial, struct str packed);
/* Takes the next entry from the front of *block; false at the end, or at what is not one. */
bool ledger_entry_next(struct str *block, uint64_t *ret_serial, struct str *ret_packed);

/* ---- As it is kept ------------------------------------------------------------------------------ */
struct ledger_kind {
    uint64_t fixed; /* the first bytes of its rows */
    uint64_t block; /* whose kind it is: of an earlier one it is none */
    uint32_t at;    /* where in `out` its texts are */
    uint32_t length;
};

struct ledger_writer {
    struct buf out;
    struct ledger_kind kinds[LEDGER_SLOTS];
    /* Of several kinds with one slot the latest has it: a hash that somebody has aimed at costs only
     * bytes. */
    unsigned char secret[FAST_HASH_SECRET_BYTES];
    uint64_t block; /* its number */
    unsigned slot;  /* of the row before, as the others */
    uint64_t serial;
    uint64_t start_ms;
    unsigned char id_length;
    char id[UINT8_MAX];
};
/* `filled`: the most that all entries of a block are as it was filled; below 2 GiB. */
void ledger_writer_init(struct ledger_writer *writer, size_t filled);
void ledger_writer_done(struct ledger_writer *writer);
/* Begins a block, in `out`, behind what the caller has put there. */
void ledger_writer_begin(struct ledger_writer *writer);
/* Adds a row that ledger_row_unpack_numbers has read. Returns the slot of its kind; *ret_known: the
 * last row of that slot was of the same. */
unsigned ledger_writer_add(struct ledger_writer *writer, uint64_t serial, struct str packed,
                           bool *ret_known);

struct ledger_reader {
    struct str rest; /* of the block: empty when the end was reached */
    bool is_whole;   /* it is of the first form */
    struct str kinds[LEDGER_SLOTS];
    uint64_t serial;
    uint64_t start_ms;
    char row[LEDGER_ROW_BYTES_MAX]; /* with the id of the row before */
};
/* Goes through a block of either form, whose bytes may be any; they are the caller's. */
void ledger_reader_init(struct ledger_reader *reader, struct str block);
/* The next entry; false at the end, or at what is not one. The row is valid until the next call, and
 * may be none: see ledger_row_unpack. */
bool ledger_reader_next(struct ledger_reader *reader, uint64_t *ret_serial, struct str *ret_packed);
