/* The bytes of a block: rows are taken apart when it is stored and put together again, byte for
 * byte, when it is read, so that whoever makes or reads a row knows nothing of it. A row of 200
 * bytes, most of them the same in all rows of a caller, becomes one of 20 to 50. */
#include "route/ledger_entries.h"

#include "base/bytes.h"
#include "base/random.h"

enum { VERSION = 2, VERSION_BYTES = 2 };
enum { FIXED = LEDGER_ROW_FIXED_BYTES, NUMBERS = LEDGER_ROW_NUMBERS };
enum { AT_ID = FIXED + 8 * NUMBERS, ID_BYTES_MAX = 1 + UINT8_MAX };
enum { NUMBER_BYTES_MAX = 10 }; /* 64 bits, seven at a time */
/* But for the kind, whose bytes are those of the row. */
enum { ENTRY_BYTES_MAX = 1 + NUMBER_BYTES_MAX * (2 + NUMBERS) + 1 + ID_BYTES_MAX };
/* An entry is never twice as long as its row: only the numbers and its own lengths may grow. */
_Static_assert(ENTRY_BYTES_MAX - ID_BYTES_MAX - 8 * NUMBERS < (int)AT_ID, "so it is");
_Static_assert((int)VERSION < (int)LEDGER_ROW_BYTES_MIN, "no length of a row is the version");
_Static_assert((int)LEDGER_ROW_BYTES_MIN > (int)AT_ID, "every row has an id");

static char *put_bytes(char *at, struct str bytes)
{
    memcpy(at, bytes.data, bytes.len);
    return at + bytes.len;
}

/* ---- As it is filled --------------------------------------------------------------------------- */

void ledger_entry_append(struct buf *out, uint64_t serial, struct str packed)
{
    char *at = buf_reserve(out, LEDGER_ENTRY_HEADER_BYTES + packed.len);
    if (!at)
        return; /* over the buffer's maximum: its owner seals blocks before that */
    bytes_put_u16(at, (uint16_t)packed.len);
    bytes_put_u64(at + 2, serial);
    memcpy(at + LEDGER_ENTRY_HEADER_BYTES, packed.data, packed.len);
    buf_commit(out, LEDGER_ENTRY_HEADER_BYTES + packed.len);
}

bool ledger_entry_next(struct str *block, uint64_t *ret_serial, struct str *ret_packed)
{
    struct str header, rest = *block;
    if (!bytes_take(&rest, LEDGER_ENTRY_HEADER_BYTES, &header) ||
        !bytes_take(&rest, bytes_get_u16(header.data), ret_packed))
        return false;
    *ret_serial = bytes_get_u64(header.data + 2);
    *block = rest;
    return true;
}

/* ---- Numbers ----------------------------------------------------------------------------------- */

static char *put_number(char *at, uint64_t number)
{
    for (; number >= 0x80; number >>= 7)
        *at++ = (char)(number | 0x80);
    *at++ = (char)number;
    return at;
}

static bool take_number(struct str *rest, uint64_t *ret)
{
    *ret = 0;
    for (unsigned i = 0; i < NUMBER_BYTES_MAX && i < rest->len; i++) {
        unsigned char byte = (unsigned char)rest->data[i];
        if (i == NUMBER_BYTES_MAX - 1 && byte > 1)
            return false; /* more than 64 bits */
        *ret |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *rest = str_skip(*rest, i + 1);
            return true;
        }
    }
    return false;
}

/* What is a little before *previous is as short as what is a little behind it. */
static char *put_difference(char *at, uint64_t *previous, uint64_t value)
{
    uint64_t difference = value - *previous;
    *previous = value;
    return put_number(at, difference << 1 ^ -(difference >> 63));
}

static bool take_difference(struct str *rest, uint64_t *previous)
{
    uint64_t folded;
    if (!take_number(rest, &folded))
        return false;
    *previous += folded >> 1 ^ -(folded & 1);
    return true;
}

/* ---- Writing ----------------------------------------------------------------------------------- */

void ledger_writer_init(struct ledger_writer *writer, size_t filled)
{
    memset(writer->kinds, 0, sizeof writer->kinds);
    writer->block = 0;
    writer->slot = 0;
    random_bytes(writer->secret, sizeof writer->secret);
    buf_init(&writer->out, 2 * filled + ENTRY_BYTES_MAX + LEDGER_ROW_BYTES_MAX);
}

void ledger_writer_begin(struct ledger_writer *writer)
{
    char version[VERSION_BYTES];
    writer->block++;
    writer->serial = writer->start_ms = 0;
    writer->id_length = 0;
    bytes_put_u16(version, VERSION);
    buf_append(&writer->out, STR_FROM(version, sizeof version));
}

void ledger_writer_done(struct ledger_writer *writer)
{
    buf_done(&writer->out);
}

/* -1, of what is unknown, is as short as a count. */
static char *put_numbers(struct ledger_writer *writer, char *at, const char *numbers)
{
    at = put_difference(at, &writer->start_ms, bytes_get_u64(numbers));
    for (size_t i = 1; i < NUMBERS; i++)
        at = put_number(at, bytes_get_u64(numbers + 8 * i) + 1);
    return at;
}

/* Ids of requests are numbered: most differ from the one before at their end. */
static char *put_id(struct ledger_writer *writer, char *at, struct str id)
{
    size_t same = 0, most = id.len < writer->id_length ? id.len : writer->id_length;
    const char *before = writer->id;
    while (most - same >= 8 && bytes_get_u64(id.data + same) == bytes_get_u64(before + same))
        same += 8;
    while (same < most && id.data[same] == before[same])
        same++;
    struct str rest = str_skip(id, same);
    writer->id_length = (unsigned char)id.len;
    put_bytes(writer->id + same, rest);
    *at++ = (char)same;
    *at++ = (char)rest.len;
    return put_bytes(at, rest);
}

/* Whether the kind in `slot` is this one. */
static bool is_kind(const struct ledger_writer *writer, uint64_t fixed, struct str texts)
{
    const struct ledger_kind *kind = &writer->kinds[writer->slot];
    return kind->block == writer->block && kind->fixed == fixed && kind->length == texts.len &&
           memcmp(writer->out.data + kind->at, texts.data, texts.len) == 0;
}

/* Sets `slot` to that of the kind: most often it is that of the row before. Returns whether it is in
 * there. */
static bool find_kind(struct ledger_writer *writer, uint64_t fixed, struct str texts)
{
    if (is_kind(writer, fixed, texts))
        return true;
    uint64_t hash = fast_hash(writer->secret, texts) ^ fixed * UINT64_C(0x9e3779b97f4a7c15);
    writer->slot = (unsigned)(hash >> 56) % LEDGER_SLOTS;
    return is_kind(writer, fixed, texts);
}

static char *put_kind(struct ledger_writer *writer, char *at, const char *fixed, struct str texts)
{
    at = put_number(at, FIXED + texts.len);
    at = put_bytes(at, STR_FROM(fixed, FIXED));
    writer->kinds[writer->slot] =
        (struct ledger_kind){bytes_get_u64(fixed), writer->block, (uint32_t)(at - writer->out.data),
                             (uint32_t)texts.len};
    return put_bytes(at, texts);
}

unsigned ledger_writer_add(struct ledger_writer *writer, uint64_t serial, struct str packed,
                           bool *ret_known)
{
    struct str id = STR_FROM(packed.data + AT_ID + 1, (unsigned char)packed.data[AT_ID]);
    struct str texts = str_skip(packed, AT_ID + 1 + id.len);
    *ret_known = find_kind(writer, bytes_get_u64(packed.data), texts);
    char *begin = buf_reserve(&writer->out, ENTRY_BYTES_MAX + packed.len), *at = begin;
    *at++ = (char)writer->slot;
    at = *ret_known ? put_number(at, 0) : put_kind(writer, at, packed.data, texts);
    at = put_difference(at, &writer->serial, serial);
    at = put_numbers(writer, at, packed.data + FIXED);
    at = put_id(writer, at, id);
    buf_commit(&writer->out, (size_t)(at - begin));
    return writer->slot;
}

/* ---- Reading ----------------------------------------------------------------------------------- */

void ledger_reader_init(struct ledger_reader *reader, struct str block)
{
    memset(reader->kinds, 0, sizeof reader->kinds);
    reader->serial = reader->start_ms = 0;
    reader->row[AT_ID] = 0;
    /* One of a newer version is taken for one of the first form, whose first row is too short to be
     * any. */
    bool is_ours = block.len >= VERSION_BYTES && bytes_get_u16(block.data) == VERSION;
    reader->is_whole = !is_ours;
    reader->rest = is_ours ? str_skip(block, VERSION_BYTES) : block;
}

static bool take_kind(struct ledger_reader *reader, struct str *ret)
{
    struct str slot;
    uint64_t length;
    if (!bytes_take(&reader->rest, 1, &slot) || !take_number(&reader->rest, &length) ||
        length > LEDGER_ROW_BYTES_MAX)
        return false;
    struct str *kept = &reader->kinds[(unsigned char)slot.data[0]];
    if (length && !bytes_take(&reader->rest, length, kept))
        return false;
    *ret = *kept;
    return ret->len >= FIXED;
}

static bool take_numbers(struct ledger_reader *reader, char *ret)
{
    uint64_t number;
    if (!take_difference(&reader->rest, &reader->serial) ||
        !take_difference(&reader->rest, &reader->start_ms))
        return false;
    bytes_put_u64(ret, reader->start_ms);
    for (size_t i = 1; i < NUMBERS; i++) {
        if (!take_number(&reader->rest, &number))
            return false;
        bytes_put_u64(ret + 8 * i, number - 1);
    }
    return true;
}

/* Behind the id of the row before, in its place. */
static bool take_id(struct ledger_reader *reader, size_t *ret_length)
{
    struct str lengths, rest;
    size_t before = (unsigned char)reader->row[AT_ID];
    if (!bytes_take(&reader->rest, 2, &lengths) ||
        !bytes_take(&reader->rest, (unsigned char)lengths.data[1], &rest))
        return false;
    size_t same = (unsigned char)lengths.data[0];
    *ret_length = same + rest.len;
    if (same > before || *ret_length > UINT8_MAX)
        return false;
    reader->row[AT_ID] = (char)*ret_length;
    put_bytes(reader->row + AT_ID + 1 + same, rest);
    return true;
}

static bool take_entry(struct ledger_reader *reader, struct str *ret_packed)
{
    struct str kind;
    size_t id;
    if (!take_kind(reader, &kind) || !take_numbers(reader, reader->row + FIXED) ||
        !take_id(reader, &id) || AT_ID + 1 + id + kind.len - FIXED > LEDGER_ROW_BYTES_MAX)
        return false;
    put_bytes(reader->row, str_slice(kind, 0, FIXED));
    char *end = put_bytes(reader->row + AT_ID + 1 + id, str_skip(kind, FIXED));
    *ret_packed = STR_FROM(reader->row, (size_t)(end - reader->row));
    return true;
}

bool ledger_reader_next(struct ledger_reader *reader, uint64_t *ret_serial, struct str *ret_packed)
{
    if (reader->is_whole)
        return ledger_entry_next(&reader->rest, ret_serial, ret_packed);
    struct str before = reader->rest;
    if (!take_entry(reader, ret_packed)) {
        reader->rest = before;
        return false;
    }
    *ret_serial = reader->serial;
    return true;
}
