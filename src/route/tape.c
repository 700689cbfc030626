/* Tape: for the cache, which keeps many answers of thousands of small pieces each. Below cache and
 * replay.
 *
 * The record of an event is its head, then its texts, each behind its length, then the usage if it is
 * one. Increments of one text that follow each other are one record: its head, a length, and each
 * piece behind a length of its own, so that a piece takes two bytes beside its own.
 *
 * The record of bytes is one piece: how much of it is as in the base (the newest piece before it that
 * stands whole) at the beginning and at the end, and what stands between. Frames of one stream differ
 * in a few words, so a tape of them is about as long as the text that they bring. */
#include "route/tape.h"

#include <string.h>

#include "base/assert.h"
#include "route/block.h"

/* Of chunks: many tapes are written at once, some for minutes, so they begin small. */
enum { CHUNK_BYTES_MIN = 512, CHUNK_BYTES_MAX = STOCK_BYTES_MAX - sizeof(struct tape_chunk) };
/* Of bytes: a longer piece is no base, so that what is read at once is bounded. */
enum { BASE_BYTES_MAX = 4096, STEP_BYTES = 16 * 1024 };
/* So many are taken to have no more in common with the base than the one before, if they have that. */
enum { LIKES_MAX = 16 };
/* So many are tried before one is taken for good that has little in common with what follows. */
enum { BASES_TRIED = 16 };

struct head {
    uint8_t kind; /* llm_event_kind */
    uint8_t finish;
    uint16_t texts; /* which ones there are, by bits */
    int32_t index;
};
enum { PIECES = 1 << 15 }; /* in place of texts */
_Static_assert(EVENT_TEXTS < 16, "they have a bit each, beside it");

struct piece {
    uint16_t before, behind; /* as in the base; both 0: it stands whole */
    uint32_t len;            /* of what stands between */
};
_Static_assert(BASE_BYTES_MAX <= UINT16_MAX, "what is as in the base fits");

void tape_init(struct tape *tape, struct stock *stock, size_t size_max)
{
    *tape = (struct tape){.stock = stock, .size_max = size_max, .record = SIZE_MAX};
}

void tape_done(struct tape *tape)
{
    for (struct tape_chunk *next, *chunk = tape->first; chunk; chunk = next) {
        next = chunk->next;
        stock_give(tape->stock, chunk, sizeof *chunk + chunk->capacity);
    }
    tape_init(tape, tape->stock, tape->size_max);
}

bool tape_is_whole(const struct tape *tape)
{
    return !tape->overflowed;
}

/* ---- Writing --------------------------------------------------------------------------------- */

/* A chunk that takes so many bytes at least, behind the others; false: it does not fit. */
static bool add_chunk(struct tape *tape, size_t capacity_min)
{
    size_t capacity = tape->last ? tape->last->capacity * 2 : CHUNK_BYTES_MIN;
    if (capacity > CHUNK_BYTES_MAX)
        capacity = CHUNK_BYTES_MAX;
    if (capacity < capacity_min)
        capacity = capacity_min;
    tape->overflowed |=
        capacity > tape->size_max || tape->size + sizeof *tape->last > tape->size_max - capacity;
    if (tape->overflowed)
        return false;
    size_t size = sizeof(struct tape_chunk) + capacity;
    struct tape_chunk *chunk = stock_take(tape->stock, &size);
    *chunk = (struct tape_chunk){.capacity = size - sizeof *chunk};
    *(tape->last ? &tape->last->next : &tape->first) = chunk;
    tape->last = chunk;
    tape->size += size;
    tape->record = SIZE_MAX;
    return true;
}

static bool has_room(const struct tape *tape, size_t size)
{
    return tape->last && size <= tape->last->capacity - tape->last->len;
}

/* Room for so many bytes, which count as written; NULL: it does not fit. */
static char *reserve(struct tape *tape, size_t size)
{
    if (tape->overflowed || (!has_room(tape, size) && !add_chunk(tape, size)))
        return NULL;
    char *room = tape->last->bytes + tape->last->len;
    tape->last->len += size;
    return room;
}

static char *put(char *at, const void *data, size_t size)
{
    memcpy(at, data, size);
    return at + size;
}

static char *put_text(char *at, struct str text)
{
    uint32_t len = (uint32_t)text.len; /* what is longer does not fit anyway */
    at = put(at, &len, sizeof len);
    return text.len ? put(at, text.data, text.len) : at;
}

/* Which texts an event has, by bits; *size grows by what they take. */
static uint16_t texts_of(const struct llm_event *event, size_t *size)
{
    unsigned texts = 0;
    for (size_t i = 0; i < EVENT_TEXTS; i++) {
        const struct str *text = event_text_of(event, i);
        texts |= (unsigned)(text->data != NULL) << i;
        *size += text->data ? sizeof(uint32_t) + text->len : 0;
    }
    return (uint16_t)texts;
}

static bool is_piece(const struct llm_event *event)
{
    bool is_increment = event->kind == LLM_EVENT_TEXT || event->kind == LLM_EVENT_TOOL_ARGUMENTS;
    return is_increment && event->text.data && !event->item.data && event->text.len <= UINT16_MAX;
}

/* Whether the newest record is of pieces which this is one more of. */
static bool continues(const struct tape *tape, const struct llm_event *event)
{
    struct head head;
    if (tape->record == SIZE_MAX || !has_room(tape, sizeof(uint16_t) + event->text.len))
        return false;
    memcpy(&head, tape->last->bytes + tape->record, sizeof head);
    return head.kind == (uint8_t)event->kind && head.index == event->index;
}

static void begin_pieces(struct tape *tape, const struct llm_event *event)
{
    const struct head head = {.kind = (uint8_t)event->kind, .texts = PIECES, .index = event->index};
    const uint32_t len = 0;
    const size_t size = sizeof head + sizeof len;
    if (!has_room(tape, size + sizeof(uint16_t) + event->text.len) &&
        !add_chunk(tape, size + sizeof(uint16_t) + event->text.len))
        return;
    tape->record = tape->last->len;
    put(put(reserve(tape, size), &head, sizeof head), &len, sizeof len);
}

static void add_piece(struct tape *tape, struct str text)
{
    const uint16_t piece_len = (uint16_t)text.len;
    const size_t size = sizeof piece_len + text.len;
    uint32_t len;
    char *at = reserve(tape, size); /* there is room */
    at = put(at, &piece_len, sizeof piece_len);
    if (text.len)
        put(at, text.data, text.len);
    char *record_len = tape->last->bytes + tape->record + sizeof(struct head);
    memcpy(&len, record_len, sizeof len);
    len += (uint32_t)size;
    put(record_len, &len, sizeof len);
}

static void add_record(struct tape *tape, const struct llm_event *event)
{
    bool has_usage = event->kind == LLM_EVENT_USAGE;
    size_t size = sizeof(struct head) + (has_usage ? sizeof event->usage : 0);
    const struct head head = {.kind = (uint8_t)event->kind,
                              .finish = (uint8_t)event->finish,
                              .texts = texts_of(event, &size),
                              .index = event->index};
    char *at = reserve(tape, size);
    if (!at)
        return;
    at = put(at, &head, sizeof head);
    for (unsigned left = head.texts; left; left &= left - 1)
        at = put_text(at, *event_text_of(event, (size_t)__builtin_ctz(left)));
    if (has_usage)
        put(at, &event->usage, sizeof event->usage);
}

void tape_add_event(struct tape *tape, const struct llm_event *event)
{
    ASSERT(event->kind != LLM_EVENT_ERROR);
    if (!is_piece(event)) {
        add_record(tape, event);
        tape->record = SIZE_MAX;
        return;
    }
    if (!continues(tape, event))
        begin_pieces(tape, event);
    if (tape_is_whole(tape))
        add_piece(tape, event->text);
}

/* A frame with the empty line behind it, or all there is: as what is hardly longer than the base. */
static struct str first_piece(const struct tape *tape, struct str bytes)
{
    const char *at = bytes.data, *end = bytes.data + bytes.len;
    if (bytes.len <= tape->base.len + tape->base.len / 2)
        return bytes;
    while ((at = memchr(at, '\n', (size_t)(end - at))) && ++at < end)
        if (*at == '\n')
            return str_slice(bytes, 0, (size_t)(at + 1 - bytes.data));
    return bytes;
}

/* Whether it has as much of the base as the last one. */
static bool is_alike(const struct tape *tape, struct str bytes)
{
    size_t shared = tape->before + tape->behind;
    const char *behind = tape->base.data + tape->base.len - tape->behind;
    return shared && bytes.len >= shared &&
           memcmp(bytes.data, tape->base.data, tape->before) == 0 &&
           memcmp(bytes.data + bytes.len - tape->behind, behind, tape->behind) == 0;
}

/* How much of a piece has to be in the base, or it becomes one: three quarters, as in most frames the text
 * is all that differs; one quarter, where no base had as much. */
static size_t shared_min(const struct tape *tape, size_t len)
{
    return tape->bases < BASES_TRIED ? len - len / 4 : len / 4;
}

static void compare(struct tape *tape, struct str bytes)
{
    if (tape->likes++ % LIKES_MAX && is_alike(tape, bytes))
        return;
    tape->before = str_shared_prefix(bytes, tape->base);
    tape->behind =
        str_shared_suffix(str_skip(bytes, tape->before), str_skip(tape->base, tape->before));
    tape->likes = 1;
    if (tape->before + tape->behind < shared_min(tape, bytes.len))
        tape->before = tape->behind = 0;
}

static void put_bytes(struct tape *tape, struct piece piece, struct str middle)
{
    char *at = reserve(tape, sizeof piece + middle.len);
    if (!at)
        return;
    at = put(at, &piece, sizeof piece);
    if (middle.len)
        put(at, middle.data, middle.len);
    if (piece.before || piece.behind || middle.len > BASE_BYTES_MAX)
        return;
    tape->base = STR_FROM(at, middle.len);
    tape->bases++;
    tape->before = tape->behind = 0;
    tape->likes = 0;
}

static void add_bytes(struct tape *tape, struct str bytes)
{
    compare(tape, bytes);
    size_t before = tape->before, behind = tape->behind;
    size_t len = bytes.len - before - behind;
    put_bytes(tape, (struct piece){(uint16_t)before, (uint16_t)behind, (uint32_t)len},
              str_slice(bytes, before, len));
}

void tape_add_bytes(struct tape *tape, struct str bytes)
{
    while (bytes.len && !tape->overflowed) {
        struct str piece = first_piece(tape, bytes);
        add_bytes(tape, piece);
        bytes = str_skip(bytes, piece.len);
    }
}

/* ---- Reading --------------------------------------------------------------------------------- */

static void take(struct str text, size_t *at, void *ret, size_t size)
{
    ASSERT(size <= text.len - *at);
    memcpy(ret, text.data + *at, size);
    *at += size;
}

static struct str take_text(struct str text, size_t *at)
{
    uint32_t len;
    take(text, at, &len, sizeof len);
    ASSERT(len <= text.len - *at);
    struct str taken = str_slice(text, *at, len);
    *at += len;
    return taken;
}

static void take_event(struct str text, size_t *at, const struct head *head,
                       struct llm_event *ret_event)
{
    *ret_event = (struct llm_event){.kind = (enum llm_event_kind)head->kind,
                                    .index = head->index,
                                    .finish = (enum llm_finish)head->finish,
                                    .usage = LLM_USAGE_UNKNOWN};
    for (size_t i = 0; i < EVENT_TEXTS; i++)
        if (head->texts >> i & 1)
            *event_text(ret_event, i) = take_text(text, at);
    if (ret_event->kind == LLM_EVENT_USAGE)
        take(text, at, &ret_event->usage, sizeof ret_event->usage);
}

static void take_piece(struct str text, struct tape_place *place, struct llm_event *ret_event)
{
    uint16_t len;
    take(text, &place->at, &len, sizeof len);
    ASSERT(len <= place->pieces_end - place->at);
    *ret_event = place->piece;
    ret_event->text = str_slice(text, place->at, len);
    place->at += len;
    if (place->at == place->pieces_end)
        place->pieces_end = 0;
}

/* A record of pieces has one at least. */
static void enter_pieces(struct str text, struct tape_place *place, const struct head *head)
{
    uint32_t len;
    take(text, &place->at, &len, sizeof len);
    ASSERT(len && len <= text.len - place->at);
    place->pieces_end = place->at + len;
    place->piece = (struct llm_event){
        .kind = (enum llm_event_kind)head->kind, .index = head->index, .usage = LLM_USAGE_UNKNOWN};
}

/* The chunk that the next record is in; STR_NONE at the end. */
static struct str enter_chunk(struct tape_place *place)
{
    if (place->chunk && place->at == place->chunk->len) {
        place->chunk = place->chunk->next;
        place->at = 0;
    }
    return place->chunk ? STR_FROM(place->chunk->bytes, place->chunk->len) : STR_NONE;
}

bool tape_next(struct tape_place *place, struct llm_event *ret_event)
{
    struct head head;
    struct str text = enter_chunk(place);
    if (!text.data)
        return false;
    if (!place->pieces_end) {
        take(text, &place->at, &head, sizeof head);
        if (head.texts != PIECES) {
            take_event(text, &place->at, &head, ret_event);
            return true;
        }
        enter_pieces(text, place, &head);
    }
    take_piece(text, place, ret_event);
    return true;
}

static void take_bytes(struct str text, struct tape_place *place, struct buf *out)
{
    struct piece piece;
    take(text, &place->at, &piece, sizeof piece);
    ASSERT(piece.len <= text.len - place->at && piece.before + piece.behind <= place->base.len);
    struct str middle = str_slice(text, place->at, piece.len);
    place->at += piece.len;
    buf_append(out, str_slice(place->base, 0, piece.before));
    buf_append(out, middle);
    buf_append(out, str_skip(place->base, place->base.len - piece.behind));
    if (!piece.before && !piece.behind && piece.len <= BASE_BYTES_MAX)
        place->base = middle;
}

bool tape_next_bytes(struct tape_place *place, struct buf *out)
{
    struct str text = enter_chunk(place);
    if (!text.data)
        return false;
    for (size_t end = out->len + STEP_BYTES; text.data && out->len < end; text = enter_chunk(place))
        take_bytes(text, place, out);
    return true;
}
