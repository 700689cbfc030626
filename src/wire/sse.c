/* Server-sent events.
 *
 * Bytes are cut into lines (LF, CR LF or CR; a CR ends its line at once and swallows one LF that
 * follows), lines into fields, fields gathered until the blank line. Only new bytes are scanned. */
#include "wire/sse.h"

#include <string.h>

void sse_parser_init(struct sse_parser *parser, size_t event_bytes_max,
                     void (*on_event)(void *user, const struct sse_event *event), void *user)
{
    *parser = (struct sse_parser){.on_event = on_event, .user = user};
    buf_init(&parser->line, event_bytes_max);
    buf_init(&parser->data, event_bytes_max);
    buf_init(&parser->type, 1024);
    buf_init(&parser->id, 1024);
}

void sse_parser_done(struct sse_parser *parser)
{
    buf_done(&parser->line);
    buf_done(&parser->data);
    buf_done(&parser->type);
    buf_done(&parser->id);
}

static void dispatch(struct sse_parser *parser)
{
    if (parser->data_lines) {
        struct sse_event event = {buf_str(&parser->type), buf_str(&parser->data),
                                  buf_str(&parser->id)};
        parser->on_event(parser->user, &event);
    }
    buf_clear(&parser->data);
    buf_clear(&parser->type);
    parser->data_lines = 0;
}

static void add_data(struct sse_parser *parser, struct str value)
{
    if (parser->data_lines++)
        buf_append_char(&parser->data, '\n');
    buf_append(&parser->data, value);
}

static void set_field(struct buf *buf, struct str value)
{
    buf_clear(buf);
    buf_append(buf, value);
    if (!buf_ok(buf)) /* a name or id of over a kilobyte is nobody's */
        buf_clear(buf);
}

/* An event of its own, beside the one being gathered: errors that are not framed as events. */
static void deliver_bare(struct sse_parser *parser, struct str type, struct str data)
{
    struct sse_event event = {type, data, buf_str(&parser->id)};
    parser->on_event(parser->user, &event);
}

static void take_line(struct sse_parser *parser, struct str line)
{
    if (line.len == 0) {
        dispatch(parser);
        return;
    }
    if (line.data[0] == '{' || line.data[0] == '[') {
        deliver_bare(parser, STR(""), line);
        return;
    }
    size_t colon = str_find_char(line, ':');
    if (colon == 0)
        return;
    struct str name = str_slice(line, 0, colon);
    struct str value = colon == SIZE_MAX ? STR("") : str_skip(line, colon + 1);
    if (value.len && value.data[0] == ' ')
        value = str_skip(value, 1);
    if (str_eq(name, STR("data")))
        add_data(parser, value);
    else if (str_eq(name, STR("event")))
        set_field(&parser->type, value);
    else if (str_eq(name, STR("id")) && str_find_char(value, '\0') == SIZE_MAX)
        set_field(&parser->id, value);
    else if (str_eq(name, STR("error")) && value.len && value.data[0] == '{')
        deliver_bare(parser, STR("error"), value);
}

/* Drops a byte-order mark at the very start, however it is cut. Returns what is left of `bytes`. */
static struct str skip_bom(struct sse_parser *parser, struct str bytes)
{
    static const char bom[] = "\xEF\xBB\xBF";
    while (parser->bom_seen < 3 && bytes.len && bytes.data[0] == bom[parser->bom_seen]) {
        parser->bom_seen++;
        bytes = str_skip(bytes, 1);
    }
    if (parser->bom_seen < 3 && bytes.len) { /* it was none: its beginning was text */
        buf_append(&parser->line, STR_FROM(bom, parser->bom_seen));
        parser->bom_seen = 4;
    }
    if (parser->bom_seen == 3)
        parser->bom_seen = 4;
    return bytes;
}

/* Length of the line that begins `bytes`, or SIZE_MAX when it does not end there. */
static size_t line_end(struct str bytes)
{
    size_t lf = str_find_char(bytes, '\n');
    size_t cr = str_find_char(str_slice(bytes, 0, lf), '\r');
    return cr != SIZE_MAX ? cr : lf;
}

enum err sse_parser_feed(struct sse_parser *parser, struct str bytes)
{
    if (parser->bom_seen < 4)
        bytes = skip_bom(parser, bytes);
    while (bytes.len) {
        if (parser->last_was_cr && bytes.data[0] == '\n') {
            parser->last_was_cr = false;
            bytes = str_skip(bytes, 1);
            continue;
        }
        parser->last_was_cr = false;
        size_t end = line_end(bytes);
        struct str piece = str_slice(bytes, 0, end);
        if (end == SIZE_MAX || parser->line.len || piece.len > parser->line.bytes_max)
            buf_append(&parser->line, piece);
        if (!buf_ok(&parser->line) || !buf_ok(&parser->data))
            return ERR_TOO_BIG;
        if (end == SIZE_MAX)
            return ERR_OK;
        parser->last_was_cr = bytes.data[end] == '\r';
        take_line(parser, parser->line.len ? buf_str(&parser->line) : piece);
        buf_clear(&parser->line);
        bytes = str_skip(bytes, end + 1);
    }
    return buf_ok(&parser->data) ? ERR_OK : ERR_TOO_BIG;
}

enum err sse_parser_finish(struct sse_parser *parser)
{
    if (!buf_ok(&parser->line) || !buf_ok(&parser->data))
        return ERR_TOO_BIG;
    if (parser->line.len) {
        take_line(parser, buf_str(&parser->line));
        buf_clear(&parser->line);
    }
    struct str data = str_trim(buf_str(&parser->data));
    bool looks_whole = str_starts_with(data, STR("[DONE]")) ||
                       (data.len > 1 && data.data[0] == '{' && data.data[data.len - 1] == '}');
    if (looks_whole)
        dispatch(parser);
    return buf_ok(&parser->data) ? ERR_OK : ERR_TOO_BIG;
}

void sse_write(struct buf *out, struct str type, struct str id, struct str data)
{
    if (type.len) {
        buf_append(out, STR("event: "));
        buf_append(out, type);
        buf_append_char(out, '\n');
    }
    if (id.len) {
        buf_append(out, STR("id: "));
        buf_append(out, id);
        buf_append_char(out, '\n');
    }
    do {
        struct str line = str_next(&data, '\n');
        buf_append(out, STR("data: "));
        buf_append(out, line);
        buf_append_char(out, '\n');
    } while (data.data);
    buf_append_char(out, '\n');
}
