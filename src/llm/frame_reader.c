/* Frame reader: one of two parsers. Below call_http and answer_reader. */
#include "llm/frame_reader.h"

static void on_sse(void *user, const struct sse_event *event)
{
    const struct frame_reader *reader = user;
    reader->on_frame(reader->user, event->type, event->data);
}

static void on_line(void *user, struct str line)
{
    const struct frame_reader *reader = user;
    reader->on_frame(reader->user, STR(""), line);
}

void frame_reader_init(struct frame_reader *reader, enum dialect_framing framing,
                       size_t frame_bytes_max,
                       void (*on_frame)(void *user, struct str type, struct str data), void *user)
{
    reader->is_ready = true;
    reader->framing = framing;
    reader->on_frame = on_frame;
    reader->user = user;
    if (framing == DIALECT_SSE)
        sse_parser_init(&reader->parser.sse, frame_bytes_max, on_sse, reader);
    else
        ndjson_parser_init(&reader->parser.ndjson, frame_bytes_max, on_line, reader);
}

void frame_reader_done(struct frame_reader *reader)
{
    if (!reader->is_ready)
        return;
    if (reader->framing == DIALECT_SSE)
        sse_parser_done(&reader->parser.sse);
    else
        ndjson_parser_done(&reader->parser.ndjson);
}

enum err frame_reader_feed(struct frame_reader *reader, struct str bytes)
{
    return reader->framing == DIALECT_SSE ? sse_parser_feed(&reader->parser.sse, bytes)
                                          : ndjson_parser_feed(&reader->parser.ndjson, bytes);
}

enum err frame_reader_finish(struct frame_reader *reader)
{
    return reader->framing == DIALECT_SSE ? sse_parser_finish(&reader->parser.sse)
                                          : ndjson_parser_finish(&reader->parser.ndjson);
}

static size_t *fed_of(struct frame_reader *reader)
{
    return reader->framing == DIALECT_SSE ? &reader->parser.sse.fed : &reader->parser.ndjson.fed;
}

size_t frame_reader_fed(const struct frame_reader *reader)
{
    return *fed_of((struct frame_reader *)reader);
}

struct str frame_reader_close(struct frame_reader *reader)
{
    struct str end = reader->framing == DIALECT_SSE ? STR("\n\n") : STR("\n");
    *fed_of(reader) = end.len;
    return end;
}
