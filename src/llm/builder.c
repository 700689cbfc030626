/* Builder: the events of an answer become a response. Used where an answer is needed whole: stored,
 * cached, sent to a door that does not stream; and by decoders of whole answers. */
#include "base/vec.h"
#include "llm/encoder.h"
#include "llm/response.h"

/* ---- Cursor: which part an event belongs to -------------------------------------------------- */

void llm_cursor_init(struct llm_cursor *cursor, struct arena *arena)
{
    *cursor = (struct llm_cursor){.arena = arena, .part = -1};
}

static int begin_part(struct llm_cursor *cursor, enum llm_part_kind kind, bool *begins)
{
    cursor->part = cursor->part_count++;
    cursor->kind = kind;
    cursor->closed = false;
    *begins = true;
    return cursor->part;
}

static int add_text(struct llm_cursor *cursor, enum llm_part_kind kind, bool *begins)
{
    bool goes_on = cursor->part >= 0 && cursor->kind == kind && !cursor->closed;
    return goes_on ? cursor->part : begin_part(cursor, kind, begins);
}

static int call_part(const struct llm_cursor *cursor, int index)
{
    return index >= 0 && (size_t)index < cursor->call_count ? cursor->calls[index] : -1;
}

static int add_call(struct llm_cursor *cursor, int index, bool *begins)
{
    if (index < 0 || index >= LLM_CALLS_MAX)
        return -1;
    while (cursor->call_count <= (size_t)index)
        *VEC_PUSH(cursor->arena, cursor->calls, cursor->call_count, cursor->call_capacity) = -1;
    if (cursor->calls[index] < 0)
        cursor->calls[index] = begin_part(cursor, LLM_PART_TOOL_CALL, begins);
    return cursor->calls[index];
}

static int add_opaque(struct llm_cursor *cursor, int index, bool *begins)
{
    int call = call_part(cursor, index);
    if (call >= 0)
        return call;
    bool fits =
        cursor->part >= 0 && (cursor->kind == LLM_PART_TEXT || cursor->kind == LLM_PART_REASONING);
    if (!fits)
        begin_part(cursor, LLM_PART_REASONING, begins);
    cursor->closed = true;
    return cursor->part;
}

int llm_cursor_add(struct llm_cursor *cursor, const struct llm_event *event, bool *ret_begins)
{
    bool ignored;
    bool *begins = ret_begins ? ret_begins : &ignored;
    *begins = false;
    switch (event->kind) {
    case LLM_EVENT_TEXT:
        return add_text(cursor, LLM_PART_TEXT, begins);
    case LLM_EVENT_REASONING:
        return add_text(cursor, LLM_PART_REASONING, begins);
    case LLM_EVENT_REFUSAL:
        return add_text(cursor, LLM_PART_REFUSAL, begins);
    case LLM_EVENT_OPAQUE:
        return add_opaque(cursor, event->index, begins);
    case LLM_EVENT_TOOL_START:
        return add_call(cursor, event->index, begins);
    case LLM_EVENT_TOOL_ARGUMENTS:
    case LLM_EVENT_TOOL_END:
        return call_part(cursor, event->index);
    default:
        return -1;
    }
}

/* ---- Builder --------------------------------------------------------------------------------- */

/* The room behind each part's growing text and opaque list. A text without any is a view. */
struct growth {
    size_t text_capacity;
    size_t opaque_capacity;
};

struct llm_builder {
    struct arena *arena;
    size_t bytes_left;
    struct llm_cursor cursor;
    struct llm_response response;
    size_t part_capacity;
    struct growth *growth; /* beside response.parts, as far as any grew */
    size_t growth_count;
    size_t growth_capacity;
    struct llm_error *error; /* NULL: none came */
    bool keeps_views;        /* of the event that is being added */
};

struct llm_builder *llm_builder_new(struct arena *arena, size_t bytes_max)
{
    struct llm_builder *builder = ARENA_NEW(arena, struct llm_builder);
    builder->arena = arena;
    builder->bytes_left = bytes_max;
    builder->response.usage = LLM_USAGE_UNKNOWN;
    llm_cursor_init(&builder->cursor, arena);
    return builder;
}

static bool take_bytes(struct llm_builder *builder, size_t count)
{
    if (count > builder->bytes_left)
        return false;
    builder->bytes_left -= count;
    return true;
}

static struct str keep(struct llm_builder *builder, struct str text)
{
    return builder->keeps_views ? text : arena_str(builder->arena, text);
}

static struct growth *growth_of(struct llm_builder *builder, size_t index)
{
    while (builder->growth_count <= index)
        VEC_PUSH(builder->arena, builder->growth, builder->growth_count, builder->growth_capacity);
    return &builder->growth[index];
}

static void new_part(struct llm_builder *builder, const struct llm_event *event)
{
    struct llm_response *response = &builder->response;
    struct llm_part *part =
        VEC_PUSH(builder->arena, response->parts, response->part_count, builder->part_capacity);
    part->kind = builder->cursor.kind;
    part->text = part->arguments = STR("");
    if (event->kind == LLM_EVENT_TOOL_START) {
        part->call_id = keep(builder, event->id);
        part->name = keep(builder, event->name);
    }
}

static void append_text(struct llm_builder *builder, size_t index, struct str *text,
                        struct str increment)
{
    if (builder->keeps_views && !text->len) { /* as a rule all of it */
        *text = increment.data ? increment : STR("");
        return;
    }
    size_t *capacity = &growth_of(builder, index)->text_capacity;
    struct str before = *text;
    if (!*capacity)
        *text = STR_NONE;
    if (!*capacity && before.len)
        llm_text_append(builder->arena, text, capacity, before);
    llm_text_append(builder->arena, text, capacity, increment);
}

static void append_opaque(struct llm_builder *builder, size_t index,
                          const struct llm_opaque *opaque)
{
    struct llm_part *part = &builder->response.parts[index];
    struct llm_opaque *copy = VEC_PUSH(builder->arena, part->opaque, part->opaque_count,
                                       growth_of(builder, index)->opaque_capacity);
    *copy = (struct llm_opaque){keep(builder, opaque->dialect), keep(builder, opaque->model),
                                keep(builder, opaque->kind), keep(builder, opaque->data)};
}

static enum err add_to_part(struct llm_builder *builder, const struct llm_event *event)
{
    const struct llm_opaque *opaque = &event->opaque;
    size_t bytes = event->text.len + event->id.len + event->name.len + opaque->dialect.len +
                   opaque->model.len + opaque->kind.len + opaque->data.len;
    bool begins;
    int index = llm_cursor_add(&builder->cursor, event, &begins);
    bool adds_item = begins || event->kind == LLM_EVENT_OPAQUE;
    if (!take_bytes(builder, bytes + (adds_item ? LLM_BUILDER_ITEM_COST : 0)))
        return ERR_TOO_BIG;
    if (index < 0)
        return event->kind == LLM_EVENT_TOOL_START ? ERR_TOO_BIG : ERR_OK;
    if (begins)
        new_part(builder, event);
    struct llm_part *part = &builder->response.parts[index];
    if (event->kind == LLM_EVENT_OPAQUE)
        append_opaque(builder, (size_t)index, opaque);
    else if (event->kind == LLM_EVENT_TOOL_ARGUMENTS)
        append_text(builder, (size_t)index, &part->arguments, event->text);
    else if (event->kind != LLM_EVENT_TOOL_START && event->kind != LLM_EVENT_TOOL_END)
        append_text(builder, (size_t)index, &part->text, event->text);
    return ERR_OK;
}

static enum err add_start(struct llm_builder *builder, const struct llm_event *event)
{
    if (!take_bytes(builder, event->id.len + event->model.len))
        return ERR_TOO_BIG;
    builder->response.id = keep(builder, event->id);
    builder->response.model = keep(builder, event->model);
    return ERR_OK;
}

static enum err add_finish(struct llm_builder *builder, const struct llm_event *event)
{
    if (!take_bytes(builder, event->finish_raw.len))
        return ERR_TOO_BIG;
    builder->response.finish = event->finish;
    builder->response.finish_raw = keep(builder, event->finish_raw);
    builder->response.extension = keep(builder, event->extension);
    return ERR_OK;
}

static void add_error(struct llm_builder *builder, const struct llm_error *error)
{
    if (!builder->error)
        builder->error = ARENA_NEW(builder->arena, struct llm_error);
    *builder->error = *error;
}

static enum err add(struct llm_builder *builder, const struct llm_event *event)
{
    switch (event->kind) {
    case LLM_EVENT_START:
        return add_start(builder, event);
    case LLM_EVENT_USAGE:
        builder->response.usage = event->usage;
        return ERR_OK;
    case LLM_EVENT_FINISH:
        return add_finish(builder, event);
    case LLM_EVENT_ERROR:
        add_error(builder, event->error);
        return ERR_OK;
    case LLM_EVENT_END:
        return ERR_OK;
    default:
        return add_to_part(builder, event);
    }
}

enum err llm_builder_add(struct llm_builder *builder, const struct llm_event *event)
{
    builder->keeps_views = false;
    return add(builder, event);
}

enum err llm_builder_add_view(struct llm_builder *builder, const struct llm_event *event)
{
    builder->keeps_views = true;
    return add(builder, event);
}

/* Only the first `count` parts stay, the last of them open for more text. */
static void keep_parts(struct llm_builder *builder, size_t count)
{
    struct llm_cursor *cursor = &builder->cursor;
    builder->response.part_count = count;
    if (builder->growth_count > count)
        builder->growth_count = count;
    cursor->part_count = (int)count;
    cursor->part = (int)count - 1;
    cursor->kind = count ? builder->response.parts[count - 1].kind : LLM_PART_TEXT;
    cursor->closed = false;
    for (size_t i = 0; i < cursor->call_count; i++)
        if (cursor->calls[i] >= cursor->part_count)
            cursor->calls[i] = -1;
}

void llm_builder_rewind(struct llm_builder *builder, size_t text_bytes)
{
    for (size_t i = 0; i < builder->response.part_count; i++) {
        struct llm_part *part = &builder->response.parts[i];
        if (part->kind != LLM_PART_TEXT)
            continue;
        if (part->text.len >= text_bytes) {
            builder->bytes_left += part->text.len - text_bytes;
            part->text.len = text_bytes;
            keep_parts(builder, i + 1);
            return;
        }
        text_bytes -= part->text.len;
    }
}

const struct llm_response *llm_builder_response(struct llm_builder *builder)
{
    return &builder->response;
}

const struct llm_error *llm_builder_error(const struct llm_builder *builder)
{
    return builder->error;
}
