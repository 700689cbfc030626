/* The shape of a streamed frame: see frame_shape.h. Stands between a call and its dialect's decoder,
 * and knows nothing of dialects.
 *
 *            keep                        confirm                       cut_text
 *   none ------------> seen once (1) --------------> relied on (2) ---------------+
 *     ^                     |                          |     ^                    |
 *     +---------------------+------ forget ------------+     +--------------------+
 *
 * Why a frame that is cut gives the events that the decoder would give:
 *  - The kept frame was an object without any backslash in which the text, in quotes, stood once.
 *    So that place is the string that the decoder took the text from, and the only one.
 *  - Between the same bytes now stand others without quote, backslash or control byte, not none,
 *    and valid UTF-8. So the frame is valid JSON if the kept one was, and differs in that one
 *    string alone. Decoders look at a text for being empty, and at nothing else of it.
 *  - The decoder is as it was: no frame of another shape came between. What a frame of text says
 *    beside it (a finish reason, counts) is set, or set once; after the second time it has been.
 *    Only calls are counted without an event, so a frame that names them is not kept.
 * tests/llm/test_frame_shape.c and tests/fuzz/fuzz_frame_shape.c hold both ways against each other. */
#include "llm/frame_shape.h"

#include "base/json.h"

enum {
    SHAPE_BYTES_MAX = 704,
    TEXT_BYTES_MAX = 4096, /* of the text a shape is kept by: a token has few */
    DISAPPOINTED_MAX = 8   /* streams whose frames all differ (a clock, noise) are left alone */
};

/* What the events of one frame go through on their way up. */
struct tap {
    struct frame_shape *shape;
    struct str type, data;
    size_t events;
    bool is_text; /* so was the last event, and it was the first */
    llm_emit_fn *emit;
    void *user;
};

void frame_shape_init(struct frame_shape *shape)
{
    *shape = (struct frame_shape){0};
    buf_init(&shape->bytes, SHAPE_BYTES_MAX);
}

void frame_shape_done(struct frame_shape *shape)
{
    buf_done(&shape->bytes);
}

/* ---- Looking --------------------------------------------------------------------------------- */

/* What stands where the text stood, or STR_NONE when the frame has another shape. */
static struct str find_middle(const struct frame_shape *shape, struct str type, struct str data)
{
    struct str bytes = buf_str(&shape->bytes);
    struct str before = str_slice(bytes, shape->type_len, shape->before_len);
    struct str behind = str_skip(bytes, shape->type_len + shape->before_len);
    if (!shape->frames || data.len <= before.len + behind.len ||
        !str_eq(type, str_slice(bytes, 0, shape->type_len)) || !str_starts_with(data, before) ||
        !str_eq(str_skip(data, data.len - behind.len), behind))
        return STR_NONE;
    return str_slice(data, before.len, data.len - before.len - behind.len);
}

/* Whether the middle is one string's inside, even if it has escapes. */
static bool is_inside(struct str middle)
{
    return middle.len && str_find_char(middle, '"') == SIZE_MAX &&
           middle.data[middle.len - 1] != '\\';
}

/* ---- Keeping --------------------------------------------------------------------------------- */

/* Where `text` stands in quotes, or SIZE_MAX unless that is at exactly one place. */
static size_t find_quoted(struct str data, struct str text)
{
    char room[TEXT_BYTES_MAX + 2];
    struct str quoted = STR_FROM(room, text.len + 2);
    room[0] = room[quoted.len - 1] = '"';
    memcpy(room + 1, text.data, text.len);
    size_t at = str_find(data, quoted);
    if (at == SIZE_MAX || str_find(str_skip(data, at + 1), quoted) != SIZE_MAX)
        return SIZE_MAX;
    return at + 1;
}

static void forget(struct frame_shape *shape)
{
    shape->frames = 0;
}

static bool names_calls(struct str part)
{
    return str_find(part, STR("call")) != SIZE_MAX;
}

static void keep(struct frame_shape *shape, const struct tap *tap, const struct llm_event *event)
{
    struct str data = tap->data, text = event->text;
    forget(shape);
    if (shape->disappointed >= DISAPPOINTED_MAX || !text.len || text.len > TEXT_BYTES_MAX ||
        !str_starts_with(data, STR("{")) || str_find_char(data, '\\') != SIZE_MAX)
        return;
    size_t at = find_quoted(data, text);
    if (at == SIZE_MAX)
        return;
    struct str before = str_slice(data, 0, at), behind = str_skip(data, at + text.len);
    if (names_calls(before) || names_calls(behind))
        return;
    shape->disappointed++;
    shape->index = event->index;
    shape->type_len = tap->type.len;
    shape->before_len = before.len;
    buf_clear(&shape->bytes);
    buf_append(&shape->bytes, tap->type);
    buf_append(&shape->bytes, before);
    buf_append(&shape->bytes, behind);
    shape->frames = buf_ok(&shape->bytes);
}

/* Escapes let a shape stay as sure as it was, and no surer. */
static bool confirm(struct frame_shape *shape, const struct tap *tap, const struct llm_event *event)
{
    struct str middle = find_middle(shape, tap->type, tap->data);
    if (!is_inside(middle) || event->index != shape->index)
        return false;
    if (str_find_char(middle, '\\') != SIZE_MAX)
        return true;
    shape->frames += str_eq(middle, event->text);
    return str_eq(middle, event->text);
}

/* The text is looked at before it goes up: it may not be valid afterwards. */
static void tap_event(void *user, const struct llm_event *event)
{
    struct tap *tap = user;
    tap->events++;
    tap->is_text = event->kind == LLM_EVENT_TEXT && tap->events == 1;
    if (tap->is_text && !confirm(tap->shape, tap, event))
        keep(tap->shape, tap, event);
    tap->emit(tap->user, event);
}

/* ---- Decoding -------------------------------------------------------------------------------- */

static bool cut_text(struct frame_shape *shape, struct str type, struct str data, llm_emit_fn *emit,
                     void *user)
{
    if (shape->frames < FRAME_SHAPE_SURE)
        return false;
    struct llm_event event = {.kind = LLM_EVENT_TEXT, .index = shape->index};
    event.text = find_middle(shape, type, data);
    if (!event.text.len || !json_is_plain(event.text))
        return false;
    shape->disappointed = 0;
    emit(user, &event);
    return true;
}

void frame_shape_decode(struct frame_shape *shape, const struct dialect *dialect,
                        struct dialect_decoder *decoder, struct arena *scratch, struct str type,
                        struct str data, llm_emit_fn *emit, void *user)
{
    struct tap tap = {.shape = shape, .type = type, .data = data, .emit = emit, .user = user};
    if (cut_text(shape, type, data, emit, user))
        return;
    dialect->decode_frame(decoder, scratch, type, data, tap_event, &tap);
    if (tap.events != 1 || !tap.is_text)
        forget(shape);
}
