/* The journal's records: any bytes are decoded or refused, and what is decoded encodes to the same
 * bytes again. */
#include <stdlib.h>
#include <string.h>

#include "store/segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str bytes = STR_FROM((const char *)data, size);
    struct journal_record record;
    size_t used;
    uint64_t generation = 0;
    if (size >= 16)
        memcpy(&generation, data + 8, 8); /* its own, so that more is reached */
    while (segment_decode(bytes, generation, &record, &used) == SEGMENT_RECORD) {
        struct buf again;
        buf_init(&again, SEGMENT_RECORD_BYTES_MAX);
        segment_encode(&again, generation, &record);
        if (!str_eq(buf_str(&again), str_slice(bytes, 0, used)))
            abort();
        buf_done(&again);
        bytes = str_skip(bytes, used);
    }
    return 0;
}
