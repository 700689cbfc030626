/* The canonical response: the names of its ends, comparing, replaying it as events. What builds it
 * from events is builder.c. */
#include "llm/response.h"

static const char *const finish_names[LLM_FINISH_COUNT] = {
    [LLM_FINISH_NONE] = "none",
    [LLM_FINISH_STOP] = "stop",
    [LLM_FINISH_LENGTH] = "length",
    [LLM_FINISH_TOOL_CALLS] = "tool_calls",
    [LLM_FINISH_CONTENT_FILTERED] = "content_filtered",
    [LLM_FINISH_PAUSED] = "paused",
    [LLM_FINISH_ERROR] = "error",
    [LLM_FINISH_OTHER] = "other",
};

const char *llm_finish_name(enum llm_finish finish)
{
    return (unsigned)finish < LLM_FINISH_COUNT ? finish_names[finish] : "other";
}

enum llm_finish llm_finish_from_name(struct str name)
{
    for (int i = 0; i < LLM_FINISH_COUNT; i++)
        if (str_eq(name, str_from_cstr(finish_names[i])))
            return (enum llm_finish)i;
    return LLM_FINISH_OTHER;
}

static bool usage_equal(const struct llm_usage *a, const struct llm_usage *b)
{
    return a->input_total == b->input_total && a->input_cache_read == b->input_cache_read &&
           a->input_cache_write == b->input_cache_write && a->output_total == b->output_total &&
           a->output_reasoning == b->output_reasoning && a->is_estimated == b->is_estimated;
}

bool llm_response_equal(struct arena *arena, const struct llm_response *a,
                        const struct llm_response *b)
{
    return str_eq(a->id, b->id) && str_eq(a->model, b->model) && a->finish == b->finish &&
           str_eq(a->finish_raw, b->finish_raw) && usage_equal(&a->usage, &b->usage) &&
           llm_parts_equal(arena, a->parts, a->part_count, b->parts, b->part_count);
}

/* ---- Replay ---------------------------------------------------------------------------------- */

struct replay {
    void (*emit)(void *user, const struct llm_event *event);
    void *user;
    int calls; /* replayed so far */
};

static void replay_opaque(struct replay *replay, const struct llm_part *part, int index)
{
    for (size_t i = 0; i < part->opaque_count; i++) {
        struct llm_event event = {
            .kind = LLM_EVENT_OPAQUE, .index = index, .opaque = part->opaque[i], .is_whole = true};
        replay->emit(replay->user, &event);
    }
}

static void replay_text(struct replay *replay, const struct llm_part *part,
                        enum llm_event_kind kind)
{
    struct llm_event event = {.kind = kind, .text = part->text, .is_whole = true};
    replay->emit(replay->user, &event);
    replay_opaque(replay, part, -1);
}

static void replay_call(struct replay *replay, const struct llm_part *part)
{
    struct llm_event event = {.kind = LLM_EVENT_TOOL_START,
                              .index = replay->calls++,
                              .id = part->call_id,
                              .name = part->name,
                              .is_whole = true};
    replay->emit(replay->user, &event);
    replay_opaque(replay, part, event.index);
    if (part->arguments.len) {
        event.kind = LLM_EVENT_TOOL_ARGUMENTS;
        event.text = part->arguments;
        replay->emit(replay->user, &event);
    }
    struct llm_event end = {.kind = LLM_EVENT_TOOL_END, .index = event.index, .is_whole = true};
    replay->emit(replay->user, &end);
}

static void replay_part(struct replay *replay, const struct llm_part *part)
{
    switch (part->kind) {
    case LLM_PART_TEXT:
        replay_text(replay, part, LLM_EVENT_TEXT);
        break;
    case LLM_PART_REASONING:
        replay_text(replay, part, LLM_EVENT_REASONING);
        break;
    case LLM_PART_REFUSAL:
        replay_text(replay, part, LLM_EVENT_REFUSAL);
        break;
    case LLM_PART_TOOL_CALL:
        replay_call(replay, part);
        break;
    default: /* media and results have no event: an answer that streams has none */
        break;
    }
}

static bool usage_is_known(const struct llm_usage *usage)
{
    return usage->input_total >= 0 || usage->output_total >= 0;
}

void llm_response_replay(const struct llm_response *response,
                         void (*emit)(void *user, const struct llm_event *event), void *user)
{
    struct replay replay = {.emit = emit, .user = user};
    struct llm_event event = {.kind = LLM_EVENT_START,
                              .id = response->id,
                              .model = response->model,
                              .usage = response->usage,
                              .is_whole = true};
    emit(user, &event);
    for (size_t i = 0; i < response->part_count; i++)
        replay_part(&replay, &response->parts[i]);
    event = (struct llm_event){.kind = LLM_EVENT_USAGE, .usage = response->usage, .is_whole = true};
    if (usage_is_known(&response->usage))
        emit(user, &event);
    event.kind = LLM_EVENT_FINISH;
    event.finish = response->finish;
    event.finish_raw = response->finish_raw;
    emit(user, &event);
    event = (struct llm_event){.kind = LLM_EVENT_END, .is_whole = true};
    emit(user, &event);
}

bool llm_event_is_content(enum llm_event_kind kind)
{
    return kind == LLM_EVENT_TEXT || kind == LLM_EVENT_REASONING || kind == LLM_EVENT_REFUSAL ||
           kind == LLM_EVENT_TOOL_START || kind == LLM_EVENT_TOOL_ARGUMENTS;
}
