/* Fuzzes the parser of event streams. The first bytes choose where the rest is cut into reads:
 * whatever comes, the same events must be heard as from one read, and they must be UTF-8. */
#include "base/assert.h"
#include "base/utf8.h"
#include "wire/sse.h"

enum { EVENT_BYTES_MAX = 300, CUTS = 8, SCRIPT_BYTES_MAX = 1 << 24 };

static void note_part(struct buf *script, struct str part)
{
    buf_printf(script, "%zu:", part.len);
    buf_append(script, part);
}

static void note(void *user, const struct sse_event *event)
{
    struct buf *script = user;
    ASSERT(event->data.data && utf8_valid(event->data, NULL));
    ASSERT(event->data.len <= 3 * EVENT_BYTES_MAX); /* U+FFFD has three bytes */
    note_part(script, event->type);
    note_part(script, event->data);
    note_part(script, event->id);
}

/* Feeds reads whose lengths are `steps` in turn (0: all that is left). */
static enum err run(struct str stream, const uint8_t *steps, size_t step_count, struct buf *script)
{
    struct sse_parser parser;
    enum err code = ERR_OK;
    sse_parser_init(&parser, EVENT_BYTES_MAX, note, script);
    for (size_t i = 0; code == ERR_OK && stream.len; i++) {
        size_t step = step_count ? steps[i % step_count] % 32u : 0;
        struct str piece = str_slice(stream, 0, step ? step : stream.len);
        code = sse_parser_feed(&parser, piece);
        stream = str_skip(stream, piece.len);
    }
    if (code == ERR_OK)
        code = sse_parser_finish(&parser);
    sse_parser_done(&parser);
    return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t single[] = {1};
    struct buf whole, cut;
    if (size < CUTS)
        return 0;
    struct str stream = STR_FROM((const char *)data + CUTS, size - CUTS);
    buf_init(&whole, SCRIPT_BYTES_MAX);
    buf_init(&cut, SCRIPT_BYTES_MAX);
    enum err code = run(stream, NULL, 0, &whole);
    ASSERT(code == ERR_OK || code == ERR_TOO_BIG);
    ASSERT(run(stream, data, CUTS, &cut) == code);
    ASSERT(str_eq(buf_str(&whole), buf_str(&cut)));
    buf_clear(&cut);
    ASSERT(run(stream, single, 1, &cut) == code);
    ASSERT(str_eq(buf_str(&whole), buf_str(&cut)));
    buf_done(&whole);
    buf_done(&cut);
    return 0;
}
