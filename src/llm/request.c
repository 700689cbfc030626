/* The canonical request: comparing, and pairing tool results with their calls. */
#include "llm/request.h"

#include "base/json.h"
#include "base/map.h"

/* ---- Comparing ------------------------------------------------------------------------------- */

/* JSON texts mean the same when their values do; what is not JSON compares as text. */
static bool json_text_equal(struct arena *arena, struct str a, struct str b)
{
    if (str_eq(a, b))
        return true;
    yyjson_val *value_a, *value_b;
    if (json_read(arena, a, &value_a, NULL) || json_read(arena, b, &value_b, NULL))
        return false;
    return yyjson_equals(value_a, value_b);
}

static bool media_equal(const struct llm_media *a, const struct llm_media *b)
{
    return str_eq(a->mime, b->mime) && str_eq(a->data, b->data) && str_eq(a->url, b->url) &&
           str_eq(a->file_id, b->file_id) && str_eq(a->filename, b->filename) &&
           str_eq(a->detail, b->detail);
}

static bool opaque_equal(const struct llm_part *a, const struct llm_part *b)
{
    if (a->opaque_count != b->opaque_count)
        return false;
    for (size_t i = 0; i < a->opaque_count; i++) {
        const struct llm_opaque *x = &a->opaque[i], *y = &b->opaque[i];
        bool same_model = !x->model.len || !y->model.len || str_eq(x->model, y->model);
        if (!same_model || !str_eq(x->dialect, y->dialect) || !str_eq(x->kind, y->kind) ||
            !str_eq(x->data, y->data))
            return false;
    }
    return true;
}

/* All but the parts inside a tool result. */
static bool part_equal_flat(struct arena *arena, const struct llm_part *a, const struct llm_part *b)
{
    return a->kind == b->kind && str_eq(a->text, b->text) && media_equal(&a->media, &b->media) &&
           str_eq(a->call_id, b->call_id) && str_eq(a->name, b->name) &&
           a->is_error == b->is_error && a->content_count == b->content_count &&
           opaque_equal(a, b) && json_text_equal(arena, a->arguments, b->arguments);
}

bool llm_parts_equal(struct arena *arena, const struct llm_part *a, size_t a_count,
                     const struct llm_part *b, size_t b_count)
{
    if (a_count != b_count)
        return false;
    for (size_t i = 0; i < a_count; i++) {
        if (!part_equal_flat(arena, &a[i], &b[i]))
            return false;
        for (size_t j = 0; j < a[i].content_count; j++)
            if (!part_equal_flat(arena, &a[i].content[j], &b[i].content[j]))
                return false;
    }
    return true;
}

bool llm_message_equal(struct arena *arena, const struct llm_message *a,
                       const struct llm_message *b)
{
    return a->role == b->role && str_eq(a->name, b->name) &&
           llm_parts_equal(arena, a->parts, a->part_count, b->parts, b->part_count);
}

static bool messages_equal(struct arena *arena, const struct llm_request *a,
                           const struct llm_request *b)
{
    if (a->message_count != b->message_count)
        return false;
    for (size_t i = 0; i < a->message_count; i++)
        if (!llm_message_equal(arena, &a->messages[i], &b->messages[i]))
            return false;
    return true;
}

static bool tools_equal(struct arena *arena, const struct llm_request *a,
                        const struct llm_request *b)
{
    if (a->tool_count != b->tool_count)
        return false;
    for (size_t i = 0; i < a->tool_count; i++) {
        const struct llm_tool *x = &a->tools[i], *y = &b->tools[i];
        if (!str_eq(x->name, y->name) || !str_eq(x->description, y->description) ||
            x->strict != y->strict || !json_text_equal(arena, x->schema, y->schema))
            return false;
    }
    return true;
}

static bool int_equal(struct llm_int a, struct llm_int b)
{
    return a.is_set == b.is_set && (!a.is_set || a.value == b.value);
}

static bool double_equal(struct llm_double a, struct llm_double b)
{
    return a.is_set == b.is_set && (!a.is_set || a.value == b.value);
}

static bool numbers_equal(const struct llm_request *a, const struct llm_request *b)
{
    return int_equal(a->max_output_tokens, b->max_output_tokens) && int_equal(a->seed, b->seed) &&
           int_equal(a->top_k, b->top_k) && double_equal(a->temperature, b->temperature) &&
           double_equal(a->top_p, b->top_p) &&
           double_equal(a->frequency_penalty, b->frequency_penalty) &&
           double_equal(a->presence_penalty, b->presence_penalty);
}

static bool format_equal(struct arena *arena, const struct llm_request *a,
                         const struct llm_request *b)
{
    return a->format == b->format && str_eq(a->format_name, b->format_name) &&
           str_eq(a->format_description, b->format_description) &&
           a->format_strict == b->format_strict &&
           json_text_equal(arena, a->format_schema, b->format_schema);
}

static bool stops_equal(const struct llm_request *a, const struct llm_request *b)
{
    if (a->stop_count != b->stop_count)
        return false;
    for (size_t i = 0; i < a->stop_count; i++)
        if (!str_eq(a->stops[i], b->stops[i]))
            return false;
    return true;
}

bool llm_request_equal(struct arena *arena, const struct llm_request *a,
                       const struct llm_request *b)
{
    return str_eq(a->model, b->model) && messages_equal(arena, a, b) && tools_equal(arena, a, b) &&
           a->tool_choice == b->tool_choice && str_eq(a->tool_choice_name, b->tool_choice_name) &&
           a->parallel_tool_calls == b->parallel_tool_calls && format_equal(arena, a, b) &&
           a->effort == b->effort && numbers_equal(a, b) && stops_equal(a, b) &&
           str_eq(a->user, b->user) && a->stream == b->stream && a->stream_usage == b->stream_usage;
}

/* ---- Names of tool results ------------------------------------------------------------------- */

void llm_call_names_note(struct map **names, const struct llm_part *part)
{
    if (part->kind != LLM_PART_TOOL_CALL || !part->call_id.len)
        return;
    if (!*names)
        *names = map_new();
    map_set(*names, part->call_id, (void *)(uintptr_t)part);
}

struct str llm_call_names_find(const struct map *names, struct str call_id)
{
    const struct llm_part *call = call_id.len ? map_get(names, call_id) : NULL;
    return call ? call->name : STR_NONE;
}

void llm_request_name_results(struct llm_request *request)
{
    struct map *names = NULL;
    for (size_t m = 0; m < request->message_count; m++) {
        struct llm_message *message = &request->messages[m];
        for (size_t p = 0; p < message->part_count; p++) {
            struct llm_part *part = &message->parts[p];
            llm_call_names_note(&names, part);
            if (part->kind == LLM_PART_TOOL_RESULT && !part->name.len)
                part->name = llm_call_names_find(names, part->call_id);
        }
    }
    map_free(names);
}
