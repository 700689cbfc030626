/* What an encoder could not carry: a list without duplicates, and its form for people. */
#include "llm/losses.h"

#include "base/vec.h"

/* What the indices of a loss mean. */
enum scope { SCOPE_REQUEST, SCOPE_TOOL, SCOPE_MESSAGE, SCOPE_PART, SCOPE_RESPONSE };

struct row {
    enum scope scope;
    const char *name; /* as the caller sees it, behind the place; "" is the place itself */
};

static const struct row rows[LLM_FIELD_COUNT] = {
    [LLM_FIELD_TOOLS] = {SCOPE_REQUEST, "tools"},
    [LLM_FIELD_TOOL_CHOICE] = {SCOPE_REQUEST, "tool_choice"},
    [LLM_FIELD_PARALLEL_TOOL_CALLS] = {SCOPE_REQUEST, "parallel_tool_calls"},
    [LLM_FIELD_FORMAT] = {SCOPE_REQUEST, "format"},
    [LLM_FIELD_FORMAT_NAME] = {SCOPE_REQUEST, "format.name"},
    [LLM_FIELD_FORMAT_DESCRIPTION] = {SCOPE_REQUEST, "format.description"},
    [LLM_FIELD_FORMAT_STRICT] = {SCOPE_REQUEST, "format.strict"},
    [LLM_FIELD_EFFORT] = {SCOPE_REQUEST, "effort"},
    [LLM_FIELD_MAX_OUTPUT_TOKENS] = {SCOPE_REQUEST, "max_output_tokens"},
    [LLM_FIELD_SEED] = {SCOPE_REQUEST, "seed"},
    [LLM_FIELD_TOP_K] = {SCOPE_REQUEST, "top_k"},
    [LLM_FIELD_TEMPERATURE] = {SCOPE_REQUEST, "temperature"},
    [LLM_FIELD_TOP_P] = {SCOPE_REQUEST, "top_p"},
    [LLM_FIELD_FREQUENCY_PENALTY] = {SCOPE_REQUEST, "frequency_penalty"},
    [LLM_FIELD_PRESENCE_PENALTY] = {SCOPE_REQUEST, "presence_penalty"},
    [LLM_FIELD_STOPS] = {SCOPE_REQUEST, "stops"},
    [LLM_FIELD_USER] = {SCOPE_REQUEST, "user"},
    [LLM_FIELD_STREAM_USAGE] = {SCOPE_REQUEST, "stream_usage"},
    [LLM_FIELD_TOOL_DESCRIPTION] = {SCOPE_TOOL, "description"},
    [LLM_FIELD_TOOL_SCHEMA] = {SCOPE_TOOL, "schema"},
    [LLM_FIELD_TOOL_STRICT] = {SCOPE_TOOL, "strict"},
    [LLM_FIELD_MESSAGE] = {SCOPE_MESSAGE, ""},
    [LLM_FIELD_MESSAGE_BOUNDARY] = {SCOPE_MESSAGE, "boundary"},
    [LLM_FIELD_MESSAGE_MOVED] = {SCOPE_MESSAGE, "position"},
    [LLM_FIELD_MESSAGE_ROLE] = {SCOPE_MESSAGE, "role"},
    [LLM_FIELD_MESSAGE_NAME] = {SCOPE_MESSAGE, "name"},
    [LLM_FIELD_PART] = {SCOPE_PART, ""},
    [LLM_FIELD_PART_BOUNDARY] = {SCOPE_PART, "boundary"},
    [LLM_FIELD_PART_MOVED] = {SCOPE_PART, "position"},
    [LLM_FIELD_PART_KIND] = {SCOPE_PART, "kind"},
    [LLM_FIELD_PART_OPAQUE] = {SCOPE_PART, "opaque"},
    [LLM_FIELD_PART_NAME] = {SCOPE_PART, "name"},
    [LLM_FIELD_PART_CALL_ID] = {SCOPE_PART, "call_id"},
    [LLM_FIELD_PART_ARGUMENTS] = {SCOPE_PART, "arguments"},
    [LLM_FIELD_PART_IS_ERROR] = {SCOPE_PART, "is_error"},
    [LLM_FIELD_PART_CONTENT] = {SCOPE_PART, "content"},
    [LLM_FIELD_PART_MIME] = {SCOPE_PART, "mime"},
    [LLM_FIELD_PART_FILENAME] = {SCOPE_PART, "filename"},
    [LLM_FIELD_PART_DETAIL] = {SCOPE_PART, "detail"},
    [LLM_FIELD_PART_ADDED] = {SCOPE_PART, "added_result"},
    [LLM_FIELD_RESPONSE_ID] = {SCOPE_RESPONSE, "id"},
    [LLM_FIELD_RESPONSE_MODEL] = {SCOPE_RESPONSE, "model"},
    [LLM_FIELD_RESPONSE_FINISH] = {SCOPE_RESPONSE, "finish"},
    [LLM_FIELD_RESPONSE_FINISH_RAW] = {SCOPE_RESPONSE, "finish_raw"},
    [LLM_FIELD_RESPONSE_USAGE] = {SCOPE_RESPONSE, "usage"},
    [LLM_FIELD_RESPONSE_USAGE_CACHE_READ] = {SCOPE_RESPONSE, "usage.input_cache_read"},
    [LLM_FIELD_RESPONSE_USAGE_CACHE_WRITE] = {SCOPE_RESPONSE, "usage.input_cache_write"},
    [LLM_FIELD_RESPONSE_USAGE_REASONING] = {SCOPE_RESPONSE, "usage.output_reasoning"},
    [LLM_FIELD_RESPONSE_USAGE_ESTIMATED] = {SCOPE_RESPONSE, "usage.is_estimated"},
};

void llm_losses_init(struct llm_losses *losses, struct arena *arena)
{
    *losses = (struct llm_losses){.arena = arena};
}

static bool is_usage_detail(enum llm_field field)
{
    return field >= LLM_FIELD_RESPONSE_USAGE_CACHE_READ &&
           field <= LLM_FIELD_RESPONSE_USAGE_ESTIMATED;
}

static bool is_format_detail(enum llm_field field)
{
    return field >= LLM_FIELD_FORMAT_NAME && field <= LLM_FIELD_FORMAT_STRICT;
}

/* Whether `whole` says already what `loss` says: a message that is gone takes its parts along. */
static bool covers(const struct llm_loss *whole, const struct llm_loss *loss)
{
    enum scope scope = rows[loss->field].scope;
    switch (whole->field) {
    case LLM_FIELD_MESSAGE:
        return (scope == SCOPE_MESSAGE || scope == SCOPE_PART) && loss->message == whole->message;
    case LLM_FIELD_PART:
        return scope == SCOPE_PART && loss->message == whole->message && loss->part == whole->part;
    case LLM_FIELD_TOOLS:
        return scope == SCOPE_TOOL;
    case LLM_FIELD_FORMAT:
        return is_format_detail(loss->field);
    case LLM_FIELD_RESPONSE_USAGE:
        return is_usage_detail(loss->field);
    default:
        return false;
    }
}

static bool same_loss(const struct llm_loss *a, const struct llm_loss *b)
{
    return a->field == b->field && a->message == b->message && a->part == b->part;
}

/* Whether an item says this already. Encoders note in the order of the request, so what belongs
 * together is near the end, and only the few losses of the whole request are far from it. */
static bool is_noted(const struct llm_losses *losses, const struct llm_loss *loss)
{
    for (size_t i = losses->count; i-- > 0;)
        if (same_loss(&losses->items[i], loss) || covers(&losses->items[i], loss))
            return true;
    return false;
}

static void remove_covered(struct llm_losses *losses, const struct llm_loss *whole)
{
    size_t kept = 0;
    for (size_t i = 0; i < losses->count; i++)
        if (!covers(whole, &losses->items[i]))
            losses->items[kept++] = losses->items[i];
    losses->count = kept;
}

void llm_losses_add(struct llm_losses *losses, enum llm_field field, int message, int part)
{
    if (!losses || losses->count >= LLM_LOSSES_MAX)
        return;
    struct llm_loss loss = {field, message, part};
    if (is_noted(losses, &loss))
        return;
    remove_covered(losses, &loss);
    *VEC_PUSH(losses->arena, losses->items, losses->count, losses->capacity) = loss;
}

void llm_losses_drop(struct llm_losses *losses, enum llm_field field)
{
    size_t kept = 0;
    for (size_t i = 0; i < losses->count; i++)
        if (losses->items[i].field != field)
            losses->items[kept++] = losses->items[i];
    losses->count = kept;
}

bool llm_losses_has(const struct llm_losses *losses, enum llm_field field, int message, int part)
{
    struct llm_loss loss = {field, message, part};
    for (size_t i = 0; i < losses->count; i++)
        if (same_loss(&losses->items[i], &loss))
            return true;
    return false;
}

static void write_one(const struct llm_loss *loss, struct buf *out)
{
    const struct row *row = &rows[loss->field];
    bool has_place = true;
    if (row->scope == SCOPE_TOOL)
        buf_printf(out, "tools[%d]", loss->message);
    else if (row->scope == SCOPE_MESSAGE)
        buf_printf(out, "messages[%d]", loss->message);
    else if (row->scope == SCOPE_PART && loss->message >= 0)
        buf_printf(out, "messages[%d].parts[%d]", loss->message, loss->part);
    else if (row->scope == SCOPE_PART)
        buf_printf(out, "parts[%d]", loss->part);
    else
        has_place = false;
    if (has_place && row->name[0])
        buf_append_char(out, '.');
    buf_append(out, str_from_cstr(row->name));
}

void llm_losses_write(const struct llm_losses *losses, struct buf *out, size_t bytes_max)
{
    const struct str more = STR(", ...");
    size_t start = out->len;
    for (size_t i = 0; i < losses->count; i++) {
        size_t before = out->len;
        if (i)
            buf_append(out, STR(", "));
        write_one(&losses->items[i], out);
        size_t reserve = i + 1 < losses->count ? more.len : 0;
        if (out->len - start + reserve <= bytes_max)
            continue;
        buf_truncate(out, before);
        struct str tail = i ? more : str_skip(more, 2);
        if (before - start + tail.len <= bytes_max)
            buf_append(out, tail);
        return;
    }
}

void llm_unmapped_write(const struct llm_request *request, struct buf *out, size_t bytes_max)
{
    for (size_t i = 0; i < request->unmapped_count && out->len < bytes_max; i++)
        buf_printf(out, "%s%.*s", out->len ? ", " : "", STR_ARG(request->unmapped[i]));
}
