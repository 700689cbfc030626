/* Requests in the Gemini dialect, writing: tools, generationConfig, and how hard each family of
 * models can be told to think. The conversation is in dialect_gemini_turns.c. */
#include "llm/dialect_gemini.h"
#include "llm/encoder.h"

#include <math.h>

enum { STOPS_MAX = 5 };

static void lose(struct llm_losses *losses, enum llm_field field)
{
    llm_losses_add(losses, field, -1, -1);
}

/* ---- Thinking -------------------------------------------------------------------------------- */

/* By effort: what is sent for it. A family knows levels (third generation) or budgets in tokens
 * (2.5), or has no say in it. */
struct thinking_row {
    const char *prefix; /* of the model's name; the first row that fits counts */
    const char *const *levels;
    const int *budgets;
};

#define LEVELS(none, minimal, low, medium, high)                                                   \
    {                                                                                              \
        [LLM_EFFORT_NONE] = (none), [LLM_EFFORT_MINIMAL] = (minimal), [LLM_EFFORT_LOW] = (low),    \
        [LLM_EFFORT_MEDIUM] = (medium), [LLM_EFFORT_HIGH] = (high), [LLM_EFFORT_XHIGH] = (high),   \
        [LLM_EFFORT_MAX] = (high),                                                                 \
    }
#define BUDGETS(none, max)                                                                         \
    {                                                                                              \
        [LLM_EFFORT_NONE] = (none), [LLM_EFFORT_MINIMAL] = 512, [LLM_EFFORT_LOW] = 1024,           \
        [LLM_EFFORT_MEDIUM] = 8192, [LLM_EFFORT_HIGH] = 24576, [LLM_EFFORT_XHIGH] = 24576,         \
        [LLM_EFFORT_MAX] = (max),                                                                  \
    }
static const char *const levels_all[] = LEVELS("MINIMAL", "MINIMAL", "LOW", "MEDIUM", "HIGH");
static const char *const levels_from_low[] = LEVELS("LOW", "LOW", "LOW", "MEDIUM", "HIGH");
static const char *const levels_low_high[] = LEVELS("LOW", "LOW", "LOW", "HIGH", "HIGH");
static const int budgets_flash[] = BUDGETS(0, 24576);
static const int budgets_pro[] = BUDGETS(128, 32768); /* it cannot be told not to think */

static const struct thinking_row thinking_rows[] = {
    {"gemini-1", NULL, NULL},
    {"gemini-2.0", NULL, NULL},
    {"gemini-2.5-pro", NULL, budgets_pro},
    {"gemini-2.5", NULL, budgets_flash},
    {"gemini-3-pro", levels_low_high, NULL},
    {"gemini-3-flash", levels_all, NULL},
    {"gemini-3.1-flash", levels_all, NULL},
    {"gemini-3.5-flash", levels_all, NULL},
    {"gemini-", levels_from_low, NULL}, /* LOW and up is what all the newer ones take */
    {"", NULL, NULL},
};

static const struct thinking_row *find_thinking(struct str model)
{
    const struct thinking_row *row = thinking_rows;
    while (!str_starts_with(model, str_from_cstr(row->prefix)))
        row++;
    return row;
}

bool gemini_wants_signatures(struct str model)
{
    return find_thinking(model)->levels != NULL;
}

enum llm_effort gemini_effort_of_budget(int64_t budget)
{
    static const struct {
        int64_t up_to;
        enum llm_effort effort;
    } rows[] = {
        {-1, LLM_EFFORT_UNSET}, /* as much as the model thinks fit, which is its default */
        {0, LLM_EFFORT_NONE},       {768, LLM_EFFORT_MINIMAL}, {4096, LLM_EFFORT_LOW},
        {16384, LLM_EFFORT_MEDIUM}, {24576, LLM_EFFORT_HIGH},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (budget <= rows[i].up_to)
            return rows[i].effort;
    return LLM_EFFORT_MAX;
}

enum llm_effort gemini_effort_of_level(struct str level)
{
    static const char *const names[] = {
        [LLM_EFFORT_MINIMAL] = "MINIMAL",
        [LLM_EFFORT_LOW] = "LOW",
        [LLM_EFFORT_MEDIUM] = "MEDIUM",
        [LLM_EFFORT_HIGH] = "HIGH",
    };
    for (int i = LLM_EFFORT_MINIMAL; i <= LLM_EFFORT_HIGH; i++)
        if (str_eq_nocase(level, str_from_cstr(names[i])))
            return (enum llm_effort)i;
    return LLM_EFFORT_UNSET;
}

static void put_thinking(struct json_writer *w, enum llm_effort effort, struct str model,
                         struct llm_losses *losses)
{
    const struct thinking_row *row = find_thinking(model);
    if (!row->levels && !row->budgets) {
        lose(losses, LLM_FIELD_EFFORT);
        return;
    }
    json_key_object(w, "thinkingConfig");
    if (effort != LLM_EFFORT_NONE)
        json_key_bool(w, "includeThoughts", true);
    enum llm_effort sent;
    if (row->levels) {
        struct str level = str_from_cstr(row->levels[effort]);
        json_key_str(w, "thinkingLevel", level);
        sent = gemini_effort_of_level(level);
    } else {
        json_key_int(w, "thinkingBudget", row->budgets[effort]);
        sent = gemini_effort_of_budget(row->budgets[effort]);
    }
    if (sent != effort)
        lose(losses, LLM_FIELD_EFFORT);
    json_end_object(w);
}

/* ---- generationConfig ------------------------------------------------------------------------ */

static bool config_is_empty(const struct llm_request *request)
{
    return request->format == LLM_FORMAT_UNSET && request->effort == LLM_EFFORT_UNSET &&
           !request->max_output_tokens.is_set && !request->seed.is_set && !request->top_k.is_set &&
           !request->temperature.is_set && !request->top_p.is_set &&
           !request->frequency_penalty.is_set && !request->presence_penalty.is_set &&
           !request->stop_count;
}

static void put_int(struct json_writer *w, const char *key, struct llm_int value,
                    struct llm_losses *losses, enum llm_field field)
{
    if (value.is_set && (value.value < INT32_MIN || value.value > INT32_MAX))
        lose(losses, field); /* they are 32 bits wide there */
    else if (value.is_set)
        json_key_int(w, key, value.value);
}

static void put_double(struct json_writer *w, const char *key, struct llm_double value,
                       struct llm_losses *losses, enum llm_field field)
{
    if (value.is_set && !isfinite(value.value))
        lose(losses, field);
    else if (value.is_set)
        json_key_double(w, key, value.value);
}

static void put_stops(struct json_writer *w, const struct llm_request *request,
                      struct llm_losses *losses)
{
    if (!request->stop_count)
        return;
    json_key_array(w, "stopSequences");
    for (size_t i = 0; i < request->stop_count && i < STOPS_MAX; i++)
        json_put_str(w, request->stops[i]);
    json_end_array(w);
    if (request->stop_count > STOPS_MAX)
        lose(losses, LLM_FIELD_STOPS);
}

static void put_schema_format(struct arena *arena, struct json_writer *w,
                              const struct llm_request *request, struct llm_losses *losses)
{
    struct str schema = gemini_object_text(arena, request->format_schema);
    if (!schema.len) {
        lose(losses, LLM_FIELD_FORMAT);
        return;
    }
    json_key_str(w, "responseMimeType", STR("application/json"));
    json_key_raw(w, "responseJsonSchema", schema);
    llm_lose_format_words(losses, request);
}

static void put_format(struct arena *arena, struct json_writer *w,
                       const struct llm_request *request, struct llm_losses *losses)
{
    if (request->format == LLM_FORMAT_TEXT)
        json_key_str(w, "responseMimeType", STR("text/plain"));
    else if (request->format == LLM_FORMAT_JSON)
        json_key_str(w, "responseMimeType", STR("application/json"));
    else if (request->format == LLM_FORMAT_SCHEMA)
        put_schema_format(arena, w, request, losses);
}

static void put_config(struct arena *arena, struct json_writer *w,
                       const struct llm_request *request, struct str model,
                       struct llm_losses *losses)
{
    if (config_is_empty(request))
        return;
    json_key_object(w, "generationConfig");
    put_double(w, "temperature", request->temperature, losses, LLM_FIELD_TEMPERATURE);
    put_double(w, "topP", request->top_p, losses, LLM_FIELD_TOP_P);
    put_int(w, "topK", request->top_k, losses, LLM_FIELD_TOP_K);
    put_int(w, "maxOutputTokens", request->max_output_tokens, losses, LLM_FIELD_MAX_OUTPUT_TOKENS);
    put_stops(w, request, losses);
    put_int(w, "seed", request->seed, losses, LLM_FIELD_SEED);
    put_double(w, "presencePenalty", request->presence_penalty, losses, LLM_FIELD_PRESENCE_PENALTY);
    put_double(w, "frequencyPenalty", request->frequency_penalty, losses,
               LLM_FIELD_FREQUENCY_PENALTY);
    put_format(arena, w, request, losses);
    if (request->effort != LLM_EFFORT_UNSET)
        put_thinking(w, request->effort, model, losses);
    json_end_object(w);
}

/* ---- Tools ----------------------------------------------------------------------------------- */

static void put_tool(struct arena *arena, struct json_writer *w, const struct llm_tool *tool,
                     int index, struct llm_losses *losses)
{
    struct str schema = gemini_object_text(arena, tool->schema);
    json_begin_object(w);
    json_key_str(w, "name", tool->name.data ? tool->name : STR(""));
    if (tool->description.len)
        json_key_str(w, "description", tool->description);
    if (schema.len)
        json_key_raw(w, "parametersJsonSchema", schema);
    else if (tool->schema.len)
        llm_losses_add(losses, LLM_FIELD_TOOL_SCHEMA, index, -1);
    if (tool->strict != LLM_UNSET)
        llm_losses_add(losses, LLM_FIELD_TOOL_STRICT, index, -1);
    json_end_object(w);
}

static void put_tools(struct arena *arena, struct json_writer *w, const struct llm_request *request,
                      struct llm_losses *losses)
{
    if (!request->tool_count)
        return;
    json_key_array(w, "tools");
    json_begin_object(w);
    json_key_array(w, "functionDeclarations");
    for (size_t i = 0; i < request->tool_count; i++)
        put_tool(arena, w, &request->tools[i], (int)i, losses);
    json_end_array(w);
    json_end_object(w);
    json_end_array(w);
}

/* Without functions the configuration of their calling is an error. */
static void put_tool_choice(struct json_writer *w, const struct llm_request *request,
                            struct llm_losses *losses)
{
    static const char *const modes[] = {
        [LLM_TOOL_CHOICE_AUTO] = "AUTO",
        [LLM_TOOL_CHOICE_NONE] = "NONE",
        [LLM_TOOL_CHOICE_REQUIRED] = "ANY",
        [LLM_TOOL_CHOICE_NAMED] = "ANY",
    };
    if (request->tool_choice == LLM_TOOL_CHOICE_UNSET)
        return;
    if (!request->tool_count) {
        lose(losses, LLM_FIELD_TOOL_CHOICE);
        return;
    }
    json_key_object(w, "toolConfig");
    json_key_object(w, "functionCallingConfig");
    json_key_str(w, "mode", str_from_cstr(modes[request->tool_choice]));
    if (request->tool_choice == LLM_TOOL_CHOICE_NAMED) {
        json_key_array(w, "allowedFunctionNames");
        json_put_str(w, request->tool_choice_name);
        json_end_array(w);
    }
    json_end_object(w);
    json_end_object(w);
}

enum err gemini_encode_request(struct arena *arena, const struct llm_request *request,
                               const struct dialect_target *target, struct buf *out,
                               struct llm_losses *losses, struct error *error)
{
    struct json_writer w;
    json_writer_init(&w, out);
    json_begin_object(&w);
    gemini_put_turns(arena, &w, request, target, losses);
    put_tools(arena, &w, request, losses);
    put_tool_choice(&w, request, losses);
    put_config(arena, &w, request, gemini_model_id(target->model), losses);
    json_end_object(&w);
    if (request->parallel_tool_calls != LLM_UNSET)
        lose(losses, LLM_FIELD_PARALLEL_TOOL_CALLS);
    if (request->user.len)
        lose(losses, LLM_FIELD_USER);
    if (request->stream_usage)
        lose(losses, LLM_FIELD_STREAM_USAGE);
    if (!buf_ok(out))
        return error_set(error, ERR_TOO_BIG, NULL, "the request is too long for the provider");
    return ERR_OK;
}
