/* The journal's records: any bytes are decoded or refused, and what is decoded encodes to the same
 * bytes again. Each input is tried as it is, and once more with the length and checksum it would
 * need, without which nothing behind them is ever reached. */
#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "store/segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decode_all(struct str bytes)
{
    struct journal_record record;
    size_t used;
    uint64_t generation = 0;
    if (bytes.len >= 16)
        memcpy(&generation, bytes.data + 8, 8); /* its own, so that more is reached */
    while (segment_decode(bytes, generation, &record, &used) == SEGMENT_RECORD) {
        struct buf again;
        buf_init(&again, SEGMENT_RECORD_BYTES_MAX);
        segment_encode(&again, generation, &record);
        segment_check(&again);
        if (!str_eq(buf_str(&again), str_slice(bytes, 0, used)))
            abort();
        buf_done(&again);
        bytes = str_skip(bytes, used);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    decode_all(STR_FROM((const char *)data, size));
    if (size < SEGMENT_HEADER_BYTES)
        return 0;
    char *repaired = malloc(size);
    if (!repaired)
        return 0;
    memcpy(repaired, data, size);
    uint32_t length = (uint32_t)size - 8, checksum = crc32c(0, data + 8, size - 8);
    memcpy(repaired, &length, 4); /* a little-endian machine's */
    memcpy(repaired + 4, &checksum, 4);
    decode_all(STR_FROM(repaired, size));
    free(repaired);
    return 0;
}
