/* Usage reader: how many tokens an answer used that is handed through as it is. */
#pragma once

#include "llm/dialect.h"
#include "llm/estimate.h"
#include "net/loop.h"
#include "wire/ndjson.h"
#include "wire/sse.h"

/* Reads along with a stream. Zeroed reads nothing. */
struct usage_reader {
    struct loop *loop;
    struct arena *arena; /* NULL: it reads nothing (any more) */
    const struct dialect *dialect;
    struct dialect_decoder *decoder;
    union {
        struct sse_parser sse;
        struct ndjson_parser ndjson;
    } parser;
    struct llm_usage usage;
    struct llm_estimate said; /* what the answer says, for one that does not count itself */
    bool has_finished;
};

void usage_reader_begin(struct usage_reader *reader, struct loop *loop,
                        const struct dialect *dialect);
void usage_reader_feed(struct usage_reader *reader, struct str bytes);
/* What it used: as the stream says; what it does not say, or not to the end, is estimated once it has
 * said anything. `input_tokens`: estimated of the request; 0: unknown. */
struct llm_usage usage_reader_result(const struct usage_reader *reader, int64_t input_tokens);
/* Any number of times. */
void usage_reader_done(struct usage_reader *reader);

/* Of a whole answer: of a chat in that dialect, or (NULL, or it is none) from a member "usage" as
 * OpenAI's other endpoints have it. Untouched when nothing is found. */
void usage_read(struct loop *loop, const struct dialect *dialect, struct str body,
                struct llm_usage *ret);
