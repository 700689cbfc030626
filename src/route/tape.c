/* Tape: for the cache, which keeps many answers of thousands of small pieces each: a piece takes a
 * dozen bytes beside its own. Below cache and replay.
 *
 * A record is its head, then its texts, each behind its length, then the usage if it is one. */
#include "route/tape.h"

#include <string.h>

#include "base/assert.h"
#include "route/block.h"

/* Records that are no events. */
enum { RECORD_TYPE = 100, RECORD_BYTES };

/* Many tapes are written at once, some for minutes: they grow by less than buffers do, by so many bytes
 * and a part of what is on them. */
enum { GROWTH_MIN = 512, GROWTH_PART = 4 };

struct head {
    uint8_t kind; /* llm_event_kind, or a RECORD_ */
    uint8_t finish;
    uint16_t texts; /* which ones there are, by bits */
    int32_t index;
};
_Static_assert(EVENT_TEXTS <= 16, "they have a bit each");

void tape_init(struct tape *tape, size_t bytes_max)
{
    buf_init(&tape->bytes, bytes_max);
    tape->from = 0;
    tape->content_type = STR_NONE;
}

void tape_begin(struct tape *tape)
{
    tape->from = tape->bytes.len;
}

void tape_done(struct tape *tape)
{
    buf_done(&tape->bytes);
}

bool tape_is_whole(const struct tape *tape)
{
    return buf_ok(&tape->bytes);
}

struct str tape_text(const struct tape *tape)
{
    return str_skip(buf_str(&tape->bytes), tape->from);
}

/* ---- Writing --------------------------------------------------------------------------------- */

/* Room for a record of so many bytes; NULL: it does not fit. */
static char *begin_record(struct tape *tape, size_t size)
{
    struct buf *bytes = &tape->bytes;
    if (size > bytes->capacity - bytes->len) {
        size_t more = GROWTH_MIN + (bytes->len - tape->from) / GROWTH_PART;
        size_t left = bytes->bytes_max - bytes->len;
        if (more > left)
            more = left;
        buf_expect_exactly(bytes, size > more ? size : more);
    }
    return buf_reserve(bytes, size);
}

static void end_record(struct tape *tape, const char *end)
{
    buf_commit(&tape->bytes, (size_t)(end - tape->bytes.data) - tape->bytes.len);
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

/* Which texts an event has, by bits; *size grows by what they take. The many, increments, have but
 * two. */
static uint16_t texts_of(const struct llm_event *event, size_t *size)
{
    bool is_increment = event->kind == LLM_EVENT_TEXT || event->kind == LLM_EVENT_TOOL_ARGUMENTS;
    unsigned texts = 0;
    for (size_t i = 0; i < EVENT_TEXTS; i += is_increment ? EVENT_TEXT_ITEM : 1) {
        const struct str *text = event_text_of(event, i);
        texts |= (unsigned)(text->data != NULL) << i;
        *size += text->data ? sizeof(uint32_t) + text->len : 0;
    }
    return (uint16_t)texts;
}

void tape_add_event(struct tape *tape, const struct llm_event *event)
{
    bool has_usage = event->kind == LLM_EVENT_USAGE;
    size_t size = sizeof(struct head) + (has_usage ? sizeof event->usage : 0);
    ASSERT(event->kind != LLM_EVENT_ERROR);
    const struct head head = {.kind = (uint8_t)event->kind,
                              .finish = (uint8_t)event->finish,
                              .texts = texts_of(event, &size),
                              .index = event->index};
    char *at = begin_record(tape, size);
    if (!at)
        return;
    at = put(at, &head, sizeof head);
    for (unsigned left = head.texts; left; left &= left - 1)
        at = put_text(at, *event_text_of(event, (size_t)__builtin_ctz(left)));
    if (has_usage)
        at = put(at, &event->usage, sizeof event->usage);
    end_record(tape, at);
}

static void put_record(struct tape *tape, uint8_t kind, struct str text)
{
    const struct head head = {.kind = kind};
    char *at = begin_record(tape, sizeof head + sizeof(uint32_t) + text.len);
    if (at)
        end_record(tape, put_text(put(at, &head, sizeof head), text));
}

void tape_add_bytes(struct tape *tape, struct str content_type, struct str bytes)
{
    content_type = str_slice(content_type, 0, sizeof tape->content_type_room);
    if (!tape->content_type.data || !str_eq(tape->content_type, content_type)) {
        if (content_type.len)
            memcpy(tape->content_type_room, content_type.data, content_type.len);
        tape->content_type = STR_FROM(tape->content_type_room, content_type.len);
        put_record(tape, RECORD_TYPE, content_type);
    }
    put_record(tape, RECORD_BYTES, bytes);
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

bool tape_next(struct str text, struct tape_place *place, struct tape_item *ret_item)
{
    struct head head = {.kind = RECORD_TYPE};
    while (head.kind == RECORD_TYPE) {
        if (place->at == text.len)
            return false;
        take(text, &place->at, &head, sizeof head);
        if (head.kind == RECORD_TYPE)
            place->content_type = take_text(text, &place->at);
    }
    *ret_item = (struct tape_item){.has_bytes = head.kind == RECORD_BYTES,
                                   .content_type = place->content_type};
    if (ret_item->has_bytes)
        ret_item->bytes = take_text(text, &place->at);
    else
        take_event(text, &place->at, &head, &ret_item->event);
    return true;
}
