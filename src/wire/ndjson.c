/* Newline-delimited JSON: bytes to lines. */
#include "wire/ndjson.h"

#include <string.h>

void ndjson_parser_init(struct ndjson_parser *parser, size_t line_bytes_max,
                        void (*on_line)(void *user, struct str line), void *user)
{
    *parser = (struct ndjson_parser){.on_line = on_line, .user = user};
    buf_init(&parser->line, line_bytes_max);
}

void ndjson_parser_done(struct ndjson_parser *parser)
{
    buf_done(&parser->line);
}

static void deliver(struct ndjson_parser *parser, struct str line)
{
    if (!parser->started && str_starts_with(line, STR("\xEF\xBB\xBF")))
        line = str_skip(line, 3);
    parser->started = true;
    if (line.len && line.data[line.len - 1] == '\r')
        line.len--;
    if (str_trim(line).len)
        parser->on_line(parser->user, line);
}

enum err ndjson_parser_feed(struct ndjson_parser *parser, struct str bytes)
{
    size_t all = bytes.len;
    while (bytes.len) {
        size_t end = str_find_char(bytes, '\n');
        struct str piece = str_slice(bytes, 0, end);
        if (end == SIZE_MAX || parser->line.len || piece.len > parser->line.bytes_max)
            buf_append(&parser->line, piece);
        if (!buf_ok(&parser->line))
            return ERR_TOO_BIG;
        if (end == SIZE_MAX)
            return ERR_OK;
        parser->fed = all - bytes.len + end + 1;
        deliver(parser, parser->line.len ? buf_str(&parser->line) : piece);
        buf_clear(&parser->line);
        bytes = str_skip(bytes, end + 1);
    }
    return ERR_OK;
}

enum err ndjson_parser_finish(struct ndjson_parser *parser)
{
    if (!buf_ok(&parser->line))
        return ERR_TOO_BIG;
    if (parser->line.len)
        deliver(parser, buf_str(&parser->line));
    buf_clear(&parser->line);
    return ERR_OK;
}
