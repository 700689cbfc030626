/* Server-sent events: bytes to events and back (WHATWG HTML, "server-sent events", with the
 * tolerances that language-model servers need). Pure: no clock, no descriptor. */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

/* One event, or a keep-alive. Views are valid during the callback only. */
struct sse_event {
    struct str type; /* of the event field; empty when there was none */
    struct str data; /* data lines joined by LF; {"...", 0} for a bare `data`. Always UTF-8:
                      * wrong bytes have become U+FFFD */
    struct str id;   /* last event id; empty when none */
};

struct sse_parser {
    struct buf line; /* an unfinished line */
    struct buf data;
    struct buf type;
    struct buf id;
    size_t data_lines;
    size_t bom_seen; /* bytes of a leading byte-order mark seen so far, or 4: decided */
    bool last_was_cr;
    size_t fed; /* bytes of the current feed up to behind the line that is being read: within
                   on_event, where the event ends */
    void (*on_event)(void *user, const struct sse_event *event);
    void *user;
};

/* `event_bytes_max`: the longest line and the longest joined data. `on_event` gets each event as
 * soon as its last byte is fed. Release with sse_parser_done. */
void sse_parser_init(struct sse_parser *parser, size_t event_bytes_max,
                     void (*on_event)(void *user, const struct sse_event *event), void *user);
void sse_parser_done(struct sse_parser *parser);
/* Feeds the next bytes, cut anywhere. ERR_TOO_BIG: a line or event over the maximum; feed no
 * more. A field named `error` whose value begins with `{` is delivered as an event of type
 * "error" (builds of llama.cpp send errors so); a line beginning with `{` or `[` is delivered as
 * data of type "" (JSON without a data: prefix). The callback must not free the parser. */
MUST_USE enum err sse_parser_feed(struct sse_parser *parser, struct str bytes);
/* At the end of the stream: delivers a pending event without its blank line if its data is
 * `[DONE]` or looks like complete JSON; else drops it, as the standard says. */
MUST_USE enum err sse_parser_finish(struct sse_parser *parser);

/* Appends one event: `event: type` (unless type is empty), `id:` (unless empty), the data with
 * one `data:` line per line (ended by LF, CR LF or CR), and the blank line. Of a type or id only
 * the first line is written. */
void sse_write(struct buf *out, struct str type, struct str id, struct str data);
