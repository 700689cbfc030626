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

static void put(struct tape *tape, const void *data, size_t size)
{
    buf_append(&tape->bytes, STR_FROM((const char *)data, size));
}

static void put_text(struct tape *tape, struct str text)
{
    uint32_t len = (uint32_t)text.len; /* what is longer does not fit anyway */
    put(tape, &len, sizeof len);
    buf_append(&tape->bytes, text);
}

void tape_add_event(struct tape *tape, const struct llm_event *event)
{
    struct llm_event copy = *event;
    struct head head = {
        .kind = (uint8_t)event->kind, .finish = (uint8_t)event->finish, .index = event->index};
    ASSERT(event->kind != LLM_EVENT_ERROR);
    for (size_t i = 0; i < EVENT_TEXTS; i++)
        if (event_text(&copy, i)->data)
            head.texts |= (uint16_t)(1u << i);
    put(tape, &head, sizeof head);
    for (size_t i = 0; i < EVENT_TEXTS; i++)
        if (event_text(&copy, i)->data)
            put_text(tape, *event_text(&copy, i));
    if (event->kind == LLM_EVENT_USAGE)
        put(tape, &event->usage, sizeof event->usage);
}

static void put_record(struct tape *tape, uint8_t kind, struct str text)
{
    const struct head head = {.kind = kind};
    put(tape, &head, sizeof head);
    put_text(tape, text);
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
