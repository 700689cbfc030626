/* Frames of nearly one shape to any dialect, with the shape relied on and without: the same events.
 * The first byte chooses the dialect, the first line is the type of the events, the second a frame
 * with a hole (0x02). Each line that follows is put into the hole, or is a frame itself when it
 * begins with 0x03, or a new frame with a hole when it begins with 0x04. */
#include "base/assert.h"
#include "llm/frame_shape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BYTES_MAX = 1 << 24, HOLE = 2, FRAME = 3, FRAME_WITH_HOLE = 4 };

/* One stream, read in one of the two ways. */
struct reading {
    const struct dialect *dialect;
    struct dialect_decoder *decoder;
    struct arena *arena, *scratch;
    struct frame_shape *shape; /* NULL: without */
    struct buf events;
};

static void on_event(void *user, const struct llm_event *event)
{
    struct buf *out = user;
    buf_append_char(out, (char)('a' + event->kind));
    buf_printf(out, "%d %d:", event->index, (int)event->finish);
    buf_append(out, event->text);
    buf_append(out, event->name);
    buf_append(out, event->model);
    buf_append(out, event->finish_raw);
    buf_append(out, event->opaque.data);
    buf_append_char(out, '\n');
}

static void read_frame(struct reading *reading, struct str type, struct str frame)
{
    if (reading->shape)
        frame_shape_decode(reading->shape, reading->dialect, reading->decoder, reading->scratch,
                           type, frame, on_event, &reading->events);
    else
        reading->dialect->decode_frame(reading->decoder, reading->scratch, type, frame, on_event,
                                       &reading->events);
    arena_reset(reading->scratch);
}

static void fill(struct str frame, struct str text, struct buf *out)
{
    buf_clear(out);
    for (size_t i = 0; i < frame.len; i++) {
        if (frame.data[i] == HOLE)
            buf_append(out, text);
        else
            buf_append_char(out, frame.data[i]);
    }
}

static void play(struct reading *reading, struct str lines)
{
    struct buf filled;
    struct str type = str_next(&lines, '\n'), frame = str_next(&lines, '\n');
    buf_init(&filled, BYTES_MAX);
    while (lines.data) {
        struct str line = str_next(&lines, '\n');
        char kind = line.len ? line.data[0] : 0;
        if (kind == FRAME_WITH_HOLE) {
            frame = str_skip(line, 1);
            continue;
        }
        fill(frame, line, &filled);
        read_frame(reading, type, kind == FRAME ? str_skip(line, 1) : buf_str(&filled));
    }
    buf_done(&filled);
}

static void read_stream(const struct dialect *dialect, struct frame_shape *shape, struct str lines,
                        struct buf *ret_events)
{
    struct reading reading = {.dialect = dialect,
                              .arena = arena_new(BYTES_MAX),
                              .scratch = arena_new(BYTES_MAX),
                              .shape = shape};
    reading.decoder = dialect->decoder_new(reading.arena);
    buf_init(&reading.events, BYTES_MAX);
    play(&reading, lines);
    dialect->decode_end(reading.decoder, on_event, &reading.events);
    *ret_events = reading.events;
    arena_free(reading.scratch);
    arena_free(reading.arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frame_shape shape;
    struct buf cut, read;
    size_t count = 0;
    while (dialects[count])
        count++;
    if (size == 0)
        return 0;
    struct str lines = STR_FROM((const char *)data + 1, size - 1);
    frame_shape_init(&shape);
    read_stream(dialects[data[0] % count], &shape, lines, &cut);
    read_stream(dialects[data[0] % count], NULL, lines, &read);
    ASSERT(str_eq(buf_str(&cut), buf_str(&read)));
    buf_done(&cut);
    buf_done(&read);
    frame_shape_done(&shape);
    return 0;
}
