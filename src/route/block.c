/* Block: copies of events, and of what a call can be asked. Below coalesce. */
#include "route/block.h"

#include <stdlib.h>

#include "base/assert.h"

enum { STORY_BYTES_MAX = 64 * 1024 };

/* ---- Facts ----------------------------------------------------------------------------------- */

static struct facts *facts_new(struct route_target target)
{
    struct arena *arena = arena_new_sized(SIZE_MAX, 512);
    struct facts *facts = ARENA_NEW(arena, struct facts);
    facts->references = 1;
    facts->arena = arena;
    facts->target =
        (struct route_target){arena_str(arena, target.id), arena_str(arena, target.provider)};
    llm_losses_init(&facts->losses, arena);
    return facts;
}

struct facts *facts_of_plan(const struct route_plan *plan)
{
    const struct target *target = plan->groups[0].targets[0];
    return facts_new((struct route_target){target->id, target->provider->name});
}

/* The story of the call; STR_NONE when it has none. */
static struct str story_of(const struct route_call *call, struct buf *out)
{
    struct json_writer w;
    if (!route_has_story(call))
        return STR_NONE;
    json_writer_init(&w, out);
    route_write_story(call, 0, &w);
    return buf_ok(out) ? buf_str(out) : STR_NONE;
}

static bool has_changed(const struct facts *facts, const struct route_call *call, struct str story)
{
    return facts->attempts != route_attempts(call) ||
           facts->overhead_us != route_overhead_us(call) || facts->is_raw != route_is_raw(call) ||
           facts->losses.count != route_losses(call)->count || !str_eq(facts->story, story) ||
           !str_eq(facts->target.id, route_target(call).id);
}

static void copy_losses(struct facts *facts, const struct llm_loss *losses, size_t count)
{
    for (size_t i = 0; i < count; i++)
        llm_losses_add(&facts->losses, losses[i].field, losses[i].message, losses[i].part);
}

struct facts *facts_of_call(const struct route_call *call, struct facts *before)
{
    struct buf out;
    buf_init(&out, STORY_BYTES_MAX);
    struct str story = story_of(call, &out);
    struct facts *facts = before;
    if (has_changed(before, call, story)) {
        facts = facts_new(route_target(call));
        facts->attempts = route_attempts(call);
        facts->overhead_us = route_overhead_us(call);
        facts->is_raw = route_is_raw(call);
        facts->story = arena_str(facts->arena, story);
        copy_losses(facts, route_losses(call)->items, route_losses(call)->count);
    } else {
        facts_ref(facts);
    }
    buf_done(&out);
    return facts;
}

struct facts *facts_of_kept(const struct cache_answer *answer, bool is_raw, uint64_t overhead_us)
{
    struct facts *facts = facts_new((struct route_target){answer->target, answer->provider});
    facts->overhead_us = overhead_us;
    facts->is_raw = is_raw;
    copy_losses(facts, answer->losses, answer->loss_count);
    return facts;
}

struct facts *facts_ref(struct facts *facts)
{
    atomic_fetch_add(&facts->references, 1);
    return facts;
}

void facts_unref(struct facts *facts)
{
    if (facts && atomic_fetch_sub(&facts->references, 1) == 1)
        arena_free(facts->arena);
}

/* ---- Blocks ---------------------------------------------------------------------------------- */

/* With room for `bytes` behind it, which *ret_room points to. */
static struct block *block_new(struct facts *facts, size_t bytes, char **ret_room)
{
    size_t size = sizeof(struct block) + bytes;
    struct block *block = malloc(size);
    ASSERT(block);
    *block = (struct block){.references = 1, .facts = facts, .size = size};
    *ret_room = (char *)(block + 1);
    return block;
}

static struct str copy_str(char **room, struct str text)
{
    if (!text.len)
        return text.data ? STR("") : STR_NONE;
    struct str copy = STR_FROM(memcpy(*room, text.data, text.len), text.len);
    *room += text.len;
    return copy;
}

struct block *block_of_event(struct facts *facts, const struct llm_event *event)
{
    struct llm_event copy = *event;
    copy.is_whole = false; /* it is told by and by */
    size_t bytes = event->error ? sizeof *event->error : 0;
    char *room;
    for (size_t i = 0; i < EVENT_TEXTS; i++)
        bytes += event_text(&copy, i)->len;
    struct block *block = block_new(facts, bytes, &room);
    if (event->error) { /* first: it is aligned there */
        copy.error = memcpy(room, event->error, sizeof *event->error);
        room += sizeof *event->error;
    }
    for (size_t i = 0; i < EVENT_TEXTS; i++)
        *event_text(&copy, i) = copy_str(&room, *event_text(&copy, i));
    block->event = copy;
    return block;
}

struct block *block_of_bytes(struct facts *facts, struct str content_type, struct str bytes)
{
    char *room;
    struct block *block = block_new(facts, content_type.len + bytes.len, &room);
    block->has_bytes = true;
    block->content_type = copy_str(&room, content_type);
    block->bytes = copy_str(&room, bytes);
    return block;
}

void block_append(struct block *last, struct block *next)
{
    next->end_bytes = last->end_bytes + next->size;
    atomic_store(&last->next, block_ref(next));
}

struct block *block_ref(struct block *block)
{
    atomic_fetch_add(&block->references, 1);
    return block;
}

void block_unref(struct block *block)
{
    while (block && atomic_fetch_sub(&block->references, 1) == 1) {
        struct block *next = atomic_load(&block->next);
        facts_unref(block->facts);
        free(block);
        block = next;
    }
}
