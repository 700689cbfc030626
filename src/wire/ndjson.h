/* Newline-delimited JSON: bytes to lines. Pure. */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

struct ndjson_parser {
    struct buf line;
    bool started; /* a byte-order mark can no longer come */
    size_t fed;   /* bytes of the current feed up to behind the line that is being told */
    void (*on_line)(void *user, struct str line);
    void *user;
};

/* `on_line` gets each non-blank line without its terminator (LF or CR LF), valid during the
 * callback. Release with ndjson_parser_done. */
void ndjson_parser_init(struct ndjson_parser *parser, size_t line_bytes_max,
                        void (*on_line)(void *user, struct str line), void *user);
void ndjson_parser_done(struct ndjson_parser *parser);
/* Feeds the next bytes, cut anywhere. ERR_TOO_BIG: a line over the maximum. */
MUST_USE enum err ndjson_parser_feed(struct ndjson_parser *parser, struct str bytes);
/* At the end: a last line without its LF is delivered. */
MUST_USE enum err ndjson_parser_finish(struct ndjson_parser *parser);
