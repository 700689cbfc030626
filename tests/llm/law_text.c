/* Canonical values as lines of text: for golden files, and to show what a broken law is about. */
#include <string.h>

#include "base/json.h"
#include "law.h"

static void put_text(struct buf *out, const char *label, struct str text)
{
    buf_printf(out, " %s\"", label);
    json_escape(out, text);
    buf_append_char(out, '"');
}

static void put_some(struct buf *out, const char *label, struct str text)
{
    if (text.len)
        put_text(out, label, text);
}

static void put_count(struct buf *out, const char *label, int64_t count)
{
    if (count >= 0)
        buf_printf(out, " %s=%lld", label, (long long)count);
}

static void put_usage(struct buf *out, const struct llm_usage *usage)
{
    put_count(out, "in", usage->input_total);
    put_count(out, "read", usage->input_cache_read);
    put_count(out, "write", usage->input_cache_write);
    put_count(out, "out", usage->output_total);
    put_count(out, "reasoning", usage->output_reasoning);
    buf_append(out, usage->is_estimated ? STR(" estimated") : STR(""));
}

static void put_error(struct buf *out, const struct llm_error *error)
{
    buf_printf(out, " %s", err_info(error->class)->name);
    put_count(out, "status", error->http_status ? error->http_status : -1);
    put_count(out, "retry_ms", error->retry_after_ms);
    put_some(out, "type=", str_from_cstr(error->type));
    put_some(out, "code=", str_from_cstr(error->code));
    put_some(out, "field=", str_from_cstr(error->field));
    put_some(out, "request=", str_from_cstr(error->request_id));
    put_text(out, "", str_from_cstr(error->message));
}

static void put_call_id(struct buf *out, struct str id, struct str known)
{
    bool made = known.data && id.len == 29 && str_starts_with(id, STR("call_")) &&
                str_find(known, id) == SIZE_MAX;
    put_text(out, "id=", made ? STR("(made)") : id);
}

static void put_opaque(struct buf *out, const struct llm_opaque *opaque)
{
    put_text(out, "dialect=", opaque->dialect);
    put_some(out, "model=", opaque->model);
    put_text(out, "kind=", opaque->kind);
    put_text(out, "", opaque->data);
}

void law_event_text(const struct llm_event *event, struct str known, struct buf *out)
{
    static const char *const names[] = {"start",  "text",       "reasoning", "refusal",
                                        "opaque", "tool_start", "tool_args", "tool_end",
                                        "usage",  "finish",     "error",     "end"};
    enum llm_event_kind kind = event->kind;
    buf_append(out, str_from_cstr(names[kind]));
    if (kind == LLM_EVENT_START) {
        put_text(out, "id=", event->id);
        put_text(out, "model=", event->model);
    } else if (kind == LLM_EVENT_OPAQUE) {
        put_count(out, "index", event->index);
        put_opaque(out, &event->opaque);
    } else if (kind == LLM_EVENT_USAGE) {
        put_usage(out, &event->usage);
    } else if (kind == LLM_EVENT_FINISH) {
        buf_printf(out, " %s", llm_finish_name(event->finish));
        put_some(out, "raw=", event->finish_raw);
    } else if (kind == LLM_EVENT_ERROR) {
        put_error(out, event->error);
    } else if (kind != LLM_EVENT_END) {
        if (kind >= LLM_EVENT_TOOL_START && kind <= LLM_EVENT_TOOL_END)
            buf_printf(out, " %d", event->index);
        if (kind == LLM_EVENT_TOOL_START)
            put_call_id(out, event->id, known);
        if (kind == LLM_EVENT_TOOL_START)
            put_text(out, "name=", event->name);
        else if (kind != LLM_EVENT_TOOL_END)
            put_text(out, "", event->text);
    }
    buf_append_char(out, '\n');
}

/* ---- Whole values ---------------------------------------------------------------------------- */

static void put_part(struct buf *out, const struct llm_part *part, const char *indent)
{
    static const char *const kinds[] = {"text",      "image",     "document",    "audio",
                                        "reasoning", "tool_call", "tool_result", "refusal"};
    const struct llm_media *media = &part->media;
    buf_printf(out, "%s%s", indent, kinds[part->kind]);
    put_some(out, "", part->text);
    put_some(out, "mime=", media->mime);
    put_some(out, "data=", media->data);
    put_some(out, "url=", media->url);
    put_some(out, "file_id=", media->file_id);
    put_some(out, "filename=", media->filename);
    put_some(out, "detail=", media->detail);
    put_some(out, "call_id=", part->call_id);
    put_some(out, "name=", part->name);
    put_some(out, "arguments=", part->arguments);
    buf_append(out, part->is_error ? STR(" is_error\n") : STR("\n"));
    for (size_t i = 0; i < part->opaque_count; i++) {
        buf_printf(out, "%s  opaque", indent);
        put_opaque(out, &part->opaque[i]);
        buf_append_char(out, '\n');
    }
    for (size_t i = 0; i < part->content_count; i++)
        put_part(out, &part->content[i], "      ");
}

static void put_int(struct buf *out, const char *label, struct llm_int value)
{
    if (value.is_set)
        buf_printf(out, " %s=%lld", label, (long long)value.value);
}

static void put_double(struct buf *out, const char *label, struct llm_double value)
{
    if (value.is_set)
        buf_printf(out, " %s=%.17g", label, value.value);
}

static void put_parameters(struct buf *out, const struct llm_request *request)
{
    buf_printf(out, "  choice=%d parallel=%d effort=%d stream=%d stream_usage=%d",
               request->tool_choice, request->parallel_tool_calls, request->effort, request->stream,
               request->stream_usage);
    put_some(out, "choice_name=", request->tool_choice_name);
    buf_printf(out, " format=%d strict=%d", request->format, request->format_strict);
    put_some(out, "format_name=", request->format_name);
    put_some(out, "format_description=", request->format_description);
    put_some(out, "format_schema=", request->format_schema);
    put_int(out, "max_output_tokens", request->max_output_tokens);
    put_int(out, "seed", request->seed);
    put_int(out, "top_k", request->top_k);
    put_double(out, "temperature", request->temperature);
    put_double(out, "top_p", request->top_p);
    put_double(out, "frequency_penalty", request->frequency_penalty);
    put_double(out, "presence_penalty", request->presence_penalty);
    for (size_t i = 0; i < request->stop_count; i++)
        put_text(out, "stop=", request->stops[i]);
    put_some(out, "user=", request->user);
    buf_append_char(out, '\n');
}

void law_request_text(const struct llm_request *request, struct buf *out)
{
    static const char *const roles[] = {"system", "user", "assistant", "tool"};
    buf_append(out, STR("request"));
    put_text(out, "model=", request->model);
    buf_append_char(out, '\n');
    for (size_t i = 0; i < request->message_count; i++) {
        const struct llm_message *message = &request->messages[i];
        buf_printf(out, "  %s", roles[message->role]);
        put_some(out, "name=", message->name);
        buf_append_char(out, '\n');
        for (size_t p = 0; p < message->part_count; p++)
            put_part(out, &message->parts[p], "    ");
    }
    for (size_t i = 0; i < request->tool_count; i++) {
        const struct llm_tool *tool = &request->tools[i];
        buf_printf(out, "  definition strict=%d", tool->strict);
        put_text(out, "name=", tool->name);
        put_some(out, "description=", tool->description);
        put_some(out, "schema=", tool->schema);
        buf_append_char(out, '\n');
    }
    put_parameters(out, request);
    for (size_t i = 0; i < request->unmapped_count; i++)
        buf_printf(out, "  unmapped %.*s\n", STR_ARG(request->unmapped[i]));
}

void law_response_text(const struct llm_response *response, struct buf *out)
{
    buf_append(out, STR("response"));
    put_text(out, "id=", response->id);
    put_text(out, "model=", response->model);
    buf_printf(out, " finish=%s", llm_finish_name(response->finish));
    put_some(out, "raw=", response->finish_raw);
    put_usage(out, &response->usage);
    buf_append_char(out, '\n');
    for (size_t p = 0; p < response->part_count; p++)
        put_part(out, &response->parts[p], "    ");
}
