/* Segment: the files of the journal by name, and one record as bytes. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "store/journal.h"

enum {
    SEGMENT_HEADER_BYTES = 58,
    SEGMENT_RECORD_BYTES_MAX = SEGMENT_HEADER_BYTES + JOURNAL_PAYLOAD_BYTES_MAX,
    SEGMENT_NAME_BYTES = 40
};

struct segment_name {
    char text[SEGMENT_NAME_BYTES]; /* "<loop>-<generation>.log" */
    uint64_t loop;
    uint64_t generation;
};

struct segment_name segment_name_make(uint64_t loop, uint64_t generation);
/* The segments in `directory` (DATA_DIR/journal), by generation, then loop; other files are left
 * alone. No directory: none. */
MUST_USE enum err segment_list(const char *directory, struct arena *arena,
                               struct segment_name **ret_names, size_t *ret_count,
                               struct error *error);

/* Appends the bytes of a record, without its checksum. */
void segment_encode(struct buf *out, uint64_t generation, const struct journal_record *record);

/* Writes the checksums of such records, before they go anywhere. For many at once: what was written
 * byte by byte a moment ago is slow to read. */
void segment_check(struct buf *records);

enum segment_decoded {
    SEGMENT_RECORD,  /* *ret_record is set (the payload borrowed from `bytes`), and its size */
    SEGMENT_MORE,    /* a record may begin here, but does not end here */
    SEGMENT_DAMAGED, /* no record of this generation */
};
/* Reads the record at the beginning of `bytes`. Pure; any input is safe. */
enum segment_decoded segment_decode(struct str bytes, uint64_t generation,
                                    struct journal_record *ret_record, size_t *ret_size);
