/* Encoder: see encoder.h. Used by the encode functions of dialects. */
#include "llm/encoder.h"

#include <string.h>

void llm_lose_tool_choice(struct llm_losses *losses, const struct llm_request *request)
{
    if (request->tool_choice != LLM_TOOL_CHOICE_UNSET)
        llm_losses_add(losses, LLM_FIELD_TOOL_CHOICE, -1, -1);
    if (request->parallel_tool_calls != LLM_UNSET)
        llm_losses_add(losses, LLM_FIELD_PARALLEL_TOOL_CALLS, -1, -1);
}

void llm_lose_format_words(struct llm_losses *losses, const struct llm_request *request)
{
    if (request->format_name.len)
        llm_losses_add(losses, LLM_FIELD_FORMAT_NAME, -1, -1);
    if (request->format_description.len)
        llm_losses_add(losses, LLM_FIELD_FORMAT_DESCRIPTION, -1, -1);
    if (request->format_strict != LLM_UNSET)
        llm_losses_add(losses, LLM_FIELD_FORMAT_STRICT, -1, -1);
}

enum { DROPPED_BYTES_MAX = 4000 };

void llm_put_extension(struct json_writer *w, struct str extension, struct llm_losses *losses)
{
    bool has_members = extension.len > 2;
    if (losses && losses->is_told) {
        llm_losses_drop(losses, LLM_FIELD_RESPONSE_FINISH_RAW);
        llm_losses_drop(losses, LLM_FIELD_RESPONSE_ID);
    }
    bool has_losses = losses && losses->is_told && losses->count;
    if (!has_members && !has_losses)
        return;
    json_key(w, STR("parley"));
    if (!has_losses) {
        json_put_raw(w, extension);
        return;
    }
    struct buf names;
    buf_init(&names, 2 * DROPPED_BYTES_MAX);
    llm_losses_write(losses, &names, DROPPED_BYTES_MAX);
    json_begin_object(w);
    if (has_members)
        json_put_raw(w, str_slice(extension, 1, extension.len - 2)); /* its members */
    json_key_str(w, "dropped", buf_str(&names));
    json_end_object(w);
    buf_done(&names);
}

void llm_encode_event(struct dialect_encoder *encoder, struct llm_ending *ending,
                      struct arena *arena, const struct llm_encoder_table *table,
                      const struct llm_event *event)
{
    switch (event->kind) {
    case LLM_EVENT_START:
        table->start(encoder, event);
        break;
    case LLM_EVENT_USAGE:
        ending->usage = event->usage;
        break;
    case LLM_EVENT_FINISH:
        ending->finish = event->finish;
        ending->finish_raw = arena_str(arena, event->finish_raw);
        ending->extension = arena_str(arena, event->extension);
        break;
    case LLM_EVENT_ERROR:
        table->failure(encoder, event->error);
        ending->is_ended = true;
        break;
    case LLM_EVENT_END:
        table->end(encoder);
        ending->is_ended = true;
        break;
    default:
        table->part(encoder, event);
    }
}

void llm_text_append(struct arena *arena, struct str *text, size_t *capacity, struct str increment)
{
    size_t needed = text->len + increment.len;
    if (needed > *capacity || !text->data) {
        size_t larger = *capacity * 2 > needed ? *capacity * 2 : needed + 64;
        text->data = arena_realloc(arena, (char *)(uintptr_t)text->data, *capacity, larger);
        *capacity = larger;
    }
    if (increment.len)
        memcpy((char *)(uintptr_t)text->data + text->len, increment.data, increment.len);
    text->len = needed;
}
