/* The format of the journal on disk: shared by the writing side (journal.c) and the reading side
 * (journal_replay.c). */
#include "store/segment.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crypto.h"
#include "base/vec.h"

/* ---- Names -------------------------------------------------------------------------------------
 */
struct segment_name segment_name_make(uint64_t loop, uint64_t generation)
{
    struct segment_name name = {.loop = loop, .generation = generation};
    snprintf(name.text, sizeof name.text, "%" PRIu64 "-%" PRIu64 ".log", loop, generation);
    return name;
}

static bool parse_name(const char *text, struct segment_name *ret)
{
    struct str rest = str_from_cstr(text);
    if (!str_ends_with(rest, STR(".log")))
        return false;
    rest.len -= 4;
    uint64_t loop, generation;
    struct str number = str_next(&rest, '-');
    if (!str_to_u64(number, &loop) || !str_to_u64(rest, &generation))
        return false;
    *ret = segment_name_make(loop, generation);
    return strcmp(ret->text, text) == 0; /* no leading zeros: one name for one segment */
}

static int compare_names(const void *left, const void *right)
{
    const struct segment_name *a = left, *b = right;
    if (a->generation != b->generation)
        return a->generation < b->generation ? -1 : 1;
    return a->loop < b->loop ? -1 : a->loop > b->loop;
}

enum err segment_list(const char *directory, struct arena *arena, struct segment_name **ret_names,
                      size_t *ret_count, struct error *error)
{
    struct segment_name *names = NULL, name;
    size_t count = 0, capacity = 0;
    DIR *folder = opendir(directory);
    if (!folder && errno != ENOENT)
        return error_set(error, ERR_STORAGE, NULL, "cannot read %s: %s", directory,
                         strerror(errno));
    struct dirent *entry;
    while (folder && (entry = readdir(folder)))
        if (parse_name(entry->d_name, &name))
            *VEC_PUSH(arena, names, count, capacity) = name;
    if (folder)
        closedir(folder);
    if (count)
        qsort(names, count, sizeof *names, compare_names);
    *ret_names = names;
    *ret_count = count;
    return ERR_OK;
}

/* ---- Records -----------------------------------------------------------------------------------
 * Offsets of the header; the checksum is over everything from OFFSET_GENERATION on. */
enum {
    OFFSET_LENGTH = 0, /* of what is behind the checksum */
    OFFSET_CHECKSUM = 4,
    OFFSET_GENERATION = 8,
    OFFSET_KIND = 16,
    OFFSET_KEY_ID = 18,   /* 0: not encrypted; nothing else is written or read yet */
    OFFSET_RESERVED = 20, /* 0 */
    OFFSET_ID = 24,
    OFFSET_SEQUENCE = 50,
};
_Static_assert(OFFSET_SEQUENCE + 8 == SEGMENT_HEADER_BYTES, "the header has no gaps");
_Static_assert(OFFSET_SEQUENCE - OFFSET_ID == ID_LENGTH, "an id is text");

void segment_encode(struct buf *out, uint64_t generation, const struct journal_record *record)
{
    size_t size = SEGMENT_HEADER_BYTES + record->payload.len;
    char *at = buf_reserve(out, size);
    ASSERT(at); /* the caller keeps room */
    bytes_put_u32(at + OFFSET_LENGTH, (uint32_t)(size - OFFSET_GENERATION));
    bytes_put_u64(at + OFFSET_GENERATION, generation);
    bytes_put_u16(at + OFFSET_KIND, record->kind);
    bytes_put_u16(at + OFFSET_KEY_ID, 0);
    bytes_put_u32(at + OFFSET_RESERVED, 0);
    memcpy(at + OFFSET_ID, record->id.text, ID_LENGTH);
    bytes_put_u64(at + OFFSET_SEQUENCE, record->sequence);
    if (record->payload.len)
        memcpy(at + SEGMENT_HEADER_BYTES, record->payload.data, record->payload.len);
    bytes_put_u32(at + OFFSET_CHECKSUM, 0);
    buf_commit(out, size);
}

void segment_check(struct buf *records)
{
    size_t size;
    for (size_t from = 0; from < records->len; from += OFFSET_GENERATION + size) {
        char *at = records->data + from;
        size = bytes_get_u32(at + OFFSET_LENGTH);
        bytes_put_u32(at + OFFSET_CHECKSUM, crc32c(0, at + OFFSET_GENERATION, size));
    }
}

enum segment_decoded segment_decode(struct str bytes, uint64_t generation,
                                    struct journal_record *ret_record, size_t *ret_size)
{
    if (bytes.len < SEGMENT_HEADER_BYTES)
        return SEGMENT_MORE;
    const char *at = bytes.data;
    size_t size = (size_t)bytes_get_u32(at + OFFSET_LENGTH) + OFFSET_GENERATION;
    if (size < SEGMENT_HEADER_BYTES || size > SEGMENT_RECORD_BYTES_MAX ||
        bytes_get_u64(at + OFFSET_GENERATION) != generation)
        return SEGMENT_DAMAGED;
    if (bytes.len < size)
        return SEGMENT_MORE;
    struct journal_record record = {.kind = bytes_get_u16(at + OFFSET_KIND),
                                    .sequence = bytes_get_u64(at + OFFSET_SEQUENCE)};
    uint32_t checksum = crc32c(0, at + OFFSET_GENERATION, size - OFFSET_GENERATION);
    if (checksum != bytes_get_u32(at + OFFSET_CHECKSUM) || record.kind == 0 ||
        bytes_get_u16(at + OFFSET_KEY_ID) != 0 || bytes_get_u32(at + OFFSET_RESERVED) != 0 ||
        !id_parse(STR_FROM(at + OFFSET_ID, ID_LENGTH), &record.id))
        return SEGMENT_DAMAGED;
    record.payload = STR_FROM(at + SEGMENT_HEADER_BYTES, size - SEGMENT_HEADER_BYTES);
    *ret_record = record;
    *ret_size = size;
    return SEGMENT_RECORD;
}
