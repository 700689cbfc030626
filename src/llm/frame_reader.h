/* Frame reader: the bytes of a streamed answer to the frames of its dialect: SSE events, or lines of
 * NDJSON. Pure. */
#pragma once

#include "llm/dialect.h"
#include "wire/ndjson.h"
#include "wire/sse.h"

/* Of one stream. Zeroed: none yet. */
struct frame_reader {
    bool is_ready;
    enum dialect_framing framing;
    union {
        struct sse_parser sse;
        struct ndjson_parser ndjson;
    } parser;
    void (*on_frame)(void *user, struct str type, struct str data);
    void *user;
};

/* `frame_bytes_max`: of one frame. `on_frame` gets each as soon as its last byte is fed: its type
 * (empty: it has none) and what it says, views valid during the call; it must not free the reader. */
void frame_reader_init(struct frame_reader *reader, enum dialect_framing framing,
                       size_t frame_bytes_max,
                       void (*on_frame)(void *user, struct str type, struct str data), void *user);
/* Also of a zeroed one. */
void frame_reader_done(struct frame_reader *reader);
/* The next bytes, cut anywhere. ERR_TOO_BIG: a frame over the maximum; feed no more. */
MUST_USE enum err frame_reader_feed(struct frame_reader *reader, struct str bytes);
/* No more come: tells a last frame that lacks its end, if it can be told. */
MUST_USE enum err frame_reader_finish(struct frame_reader *reader);
/* Within on_frame: where in the bytes that are fed the frame ends. */
size_t frame_reader_fed(const struct frame_reader *reader);
/* The bytes that end a frame, which count as fed: for a last one that lacks them. */
struct str frame_reader_close(struct frame_reader *reader);
