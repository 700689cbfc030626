/* Server-sent events.
 *
 * Bytes are cut into lines (LF, CR LF or CR; a CR ends its line at once and swallows one LF that
 * follows), lines into fields, fields gathered until the blank line. Only new bytes are scanned. */
#include "wire/sse.h"

#include <string.h>

#include "base/utf8.h"

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

/* Data that is not UTF-8 is repaired here, once for the whole event: never cut by a read. */
static void deliver(struct sse_parser *parser, struct str type, struct str data)
{
    struct buf repaired;
    buf_init(&repaired, data.len * 3); /* U+FFFD has three bytes */
    if (!utf8_valid(data, NULL)) {
        utf8_repair(&repaired, data);
        data = buf_str(&repaired);
    }
    struct sse_event event = {type, data, buf_str(&parser->id)};
    parser->on_event(parser->user, &event);
    buf_done(&repaired);
}

static void dispatch(struct sse_parser *parser)
{
    if (parser->data_lines)
        deliver(parser, buf_str(&parser->type), buf_str(&parser->data));
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

static bool is_data_line(struct str line)
{
    return str_starts_with(line, STR("data:"));
}

static struct str value_behind(struct str line, size_t colon)
{
    struct str value = colon == SIZE_MAX ? STR("") : str_skip(line, colon + 1);
    return str_skip(value, value.len && value.data[0] == ' ');
}

static void take_line(struct sse_parser *parser, struct str line)
{
    if (line.len == 0) {
        dispatch(parser);
        return;
    }
    /* Errors that are not framed as events: each one of its own, beside the one being gathered. */
    if (line.data[0] == '{' || line.data[0] == '[') {
        deliver(parser, STR(""), line);
        return;
    }
    bool is_data = is_data_line(line); /* as a rule */
    size_t colon = is_data ? strlen("data") : str_find_char(line, ':');
    if (colon == 0)
        return;
    struct str name = str_slice(line, 0, colon);
    struct str value = value_behind(line, colon);
    if (is_data || str_eq(name, STR("data")))
        add_data(parser, value);
    else if (str_eq(name, STR("event")))
        set_field(&parser->type, value);
    else if (str_eq(name, STR("id")) && str_find_char(value, '\0') == SIZE_MAX)
        set_field(&parser->id, value);
    else if (str_eq(name, STR("error")) && value.len && value.data[0] == '{')
        deliver(parser, STR("error"), value);
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
    /* Looked at in pieces: a stream whose lines end in only one of the two must not be scanned to
     * its end for the other, at every line. */
    enum { PIECE_BYTES = 256 };
    for (size_t from = 0; from < bytes.len; from += PIECE_BYTES) {
        struct str piece = str_slice(bytes, from, PIECE_BYTES);
        size_t lf = str_find_char(piece, '\n');
        size_t cr = str_find_char(str_slice(piece, 0, lf), '\r');
        if (cr != SIZE_MAX || lf != SIZE_MAX)
            return from + (cr != SIZE_MAX ? cr : lf);
    }
    return SIZE_MAX;
}

/* The same, for one line after the other: CR, which hardly any stream has, is looked for once and
 * not at every line. *from_cr: how many bytes there are from the next CR to the end; SIZE_MAX at
 * first. */
static size_t next_line_end(struct str bytes, size_t *from_cr)
{
    if (*from_cr > bytes.len)
        *from_cr = bytes.len - str_slice(bytes, 0, str_find_char(bytes, '\r')).len;
    size_t cr = bytes.len - *from_cr;
    size_t lf = str_find_char(str_slice(bytes, 0, cr), '\n');
    return lf == SIZE_MAX && *from_cr ? cr : lf;
}

/* Whether the line that ends there is all the data of its event, which ends behind it: as in nearly
 * every stream, whose data need not be gathered then. */
static bool is_whole_event(const struct sse_parser *parser, struct str bytes, size_t end)
{
    return !parser->line.len && !parser->data_lines && bytes.len - end > 1 &&
           bytes.data[end] == '\n' && bytes.data[end + 1] == '\n' && is_data_line(bytes);
}

enum err sse_parser_feed(struct sse_parser *parser, struct str bytes)
{
    size_t all = bytes.len;
    size_t from_cr = SIZE_MAX;
    if (parser->bom_seen < 4)
        bytes = skip_bom(parser, bytes);
    while (bytes.len) {
        if (parser->last_was_cr && bytes.data[0] == '\n') {
            parser->last_was_cr = false;
            bytes = str_skip(bytes, 1);
            continue;
        }
        parser->last_was_cr = false;
        size_t end = next_line_end(bytes, &from_cr);
        struct str piece = str_slice(bytes, 0, end);
        if (end == SIZE_MAX || parser->line.len || piece.len > parser->line.bytes_max)
            buf_append(&parser->line, piece);
        if (!buf_ok(&parser->line) || !buf_ok(&parser->data))
            return ERR_TOO_BIG;
        if (end == SIZE_MAX)
            return ERR_OK;
        if (is_whole_event(parser, bytes, end)) {
            parser->fed = all - bytes.len + end + 2;
            deliver(parser, buf_str(&parser->type), value_behind(piece, strlen("data")));
            buf_clear(&parser->type);
            bytes = str_skip(bytes, end + 2);
            continue;
        }
        parser->last_was_cr = bytes.data[end] == '\r';
        parser->fed = all - bytes.len + end + 1;
        take_line(parser, parser->line.len ? buf_str(&parser->line) : piece);
        buf_clear(&parser->line);
        bytes = str_skip(bytes, end + 1);
    }
    return buf_ok(&parser->data) ? ERR_OK : ERR_TOO_BIG;
}

/* Whether `text` has the outside of a JSON object or array. */
static bool looks_whole(struct str text)
{
    return text.len > 1 && ((text.data[0] == '{' && text.data[text.len - 1] == '}') ||
                            (text.data[0] == '[' && text.data[text.len - 1] == ']'));
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
    if (str_starts_with(data, STR("[DONE]")) || looks_whole(data))
        dispatch(parser);
    return buf_ok(&parser->data) ? ERR_OK : ERR_TOO_BIG;
}

/* Writes one field with `value` up to its first line break. Returns how much of it that was, with
 * the line break; 0 when there is none. */
static size_t write_line(struct buf *out, struct str name, struct str value)
{
    size_t end = line_end(value);
    buf_append(out, name);
    buf_append(out, str_slice(value, 0, end));
    buf_append_char(out, '\n');
    if (end == SIZE_MAX)
        return 0;
    return str_starts_with(str_skip(value, end), STR("\r\n")) ? end + 2 : end + 1;
}

void sse_write(struct buf *out, struct str type, struct str id, struct str data)
{
    if (type.len)
        write_line(out, STR("event: "), type);
    if (id.len)
        write_line(out, STR("id: "), id);
    for (size_t used = 0;; data = str_skip(data, used)) {
        used = write_line(out, STR("data: "), data);
        if (used == 0)
            break;
    }
    buf_append_char(out, '\n');
}
