/* Anthropic: the canonical request as the body of POST /v1/messages. Facts: the Messages API of
 * 2023-06-01 and 2026-10-21 (which takes no sampling parameters: LLM_QUIRK_NO_SAMPLING). */
#include <string.h>

#include "llm/dialect_anthropic.h"
#include "llm/encoder.h"

enum { MAX_TOKENS_DEFAULT = 8192, BUDGET_MIN = 1024 };

/* How a family of models is made to think. */
enum thinking { THINKING_ADAPTIVE, THINKING_BUDGET, THINKING_NONE };

struct family {
    struct str prefix; /* from "claude-" on; the first that fits counts */
    enum thinking thinking;
    bool has_formats; /* structured outputs */
};

/* Only what is older; everything else is as the newest ones are. */
static const struct family families[] = {
    {STR_INIT("claude-instant"), THINKING_NONE, false},
    {STR_INIT("claude-2"), THINKING_NONE, false},
    {STR_INIT("claude-3-7"), THINKING_BUDGET, false},
    {STR_INIT("claude-3.7"), THINKING_BUDGET, false},
    {STR_INIT("claude-3"), THINKING_NONE, false},
    {STR_INIT("claude-opus-4-5"), THINKING_BUDGET, true},
    {STR_INIT("claude-opus-4-1"), THINKING_BUDGET, true},
    {STR_INIT("claude-sonnet-4-5"), THINKING_BUDGET, true},
    {STR_INIT("claude-haiku-4-5"), THINKING_BUDGET, true},
    {STR_INIT("claude-opus-4-0"), THINKING_BUDGET, false},
    {STR_INIT("claude-opus-4-2"), THINKING_BUDGET, false},
    {STR_INIT("claude-opus-4@"), THINKING_BUDGET, false},
    {STR_INIT("claude-sonnet-4-0"), THINKING_BUDGET, false},
    {STR_INIT("claude-sonnet-4-2"), THINKING_BUDGET, false},
    {STR_INIT("claude-sonnet-4@"), THINKING_BUDGET, false},
    {STR_INIT("claude-"), THINKING_ADAPTIVE, true},
};

static const struct family newest = {STR_INIT(""), THINKING_ADAPTIVE, true};

/* What an effort is called, and the budget that stands for it on older models. */
struct effort {
    const char *name; /* NULL: `nearest` is sent instead */
    enum llm_effort nearest;
    int64_t budget;
};

static const struct effort efforts[] = {
    [LLM_EFFORT_MINIMAL] = {NULL, LLM_EFFORT_LOW, 1024},
    [LLM_EFFORT_LOW] = {"low", LLM_EFFORT_LOW, 2048},
    [LLM_EFFORT_MEDIUM] = {"medium", LLM_EFFORT_MEDIUM, 8192},
    [LLM_EFFORT_HIGH] = {"high", LLM_EFFORT_HIGH, 16384},
    [LLM_EFFORT_XHIGH] = {"xhigh", LLM_EFFORT_XHIGH, 24576},
    [LLM_EFFORT_MAX] = {"max", LLM_EFFORT_MAX, 32000},
};

/* Everything that one encoding needs. */
struct encoding {
    struct arena *arena;
    const struct llm_request *request;
    const struct dialect_target *target;
    struct llm_losses *losses;
    struct json_writer w;
    struct anthropic_plan plan;
    const struct family *family;
    int64_t max_tokens;
    const char *effort_name;   /* for output_config, or NULL */
    const char *thinking_type; /* or NULL: not sent */
    int64_t budget;
};

static void lose(struct encoding *encoding, enum llm_field field)
{
    llm_losses_add(encoding->losses, field, -1, -1);
}

/* ---- Decisions ------------------------------------------------------------------------------- */

enum llm_effort anthropic_effort_of_budget(int64_t budget)
{
    enum llm_effort effort = LLM_EFFORT_MAX;
    while (effort > LLM_EFFORT_MINIMAL && budget < efforts[effort].budget)
        effort--;
    return effort;
}

bool anthropic_effort_from_name(struct str name, enum llm_effort *ret)
{
    for (enum llm_effort effort = LLM_EFFORT_MINIMAL; effort <= LLM_EFFORT_MAX; effort++) {
        if (!efforts[effort].name || !str_eq(name, str_from_cstr(efforts[effort].name)))
            continue;
        *ret = effort;
        return true;
    }
    return false;
}

static const struct family *family_of(struct str model)
{
    size_t at = str_find(model, STR("claude-"));
    for (size_t i = 0; at != SIZE_MAX && i < sizeof families / sizeof *families; i++)
        if (str_starts_with(str_skip(model, at), families[i].prefix))
            return &families[i];
    return &newest;
}

static int64_t max_tokens_of(struct encoding *encoding)
{
    struct llm_int wanted = encoding->request->max_output_tokens;
    if (wanted.is_set && wanted.value >= 0)
        return wanted.value;
    if (encoding->target->is_counted)
        return INT64_MAX;
    lose(encoding, LLM_FIELD_MAX_OUTPUT_TOKENS);
    int64_t preset = encoding->target->max_output_default;
    return preset > 0 ? preset : MAX_TOKENS_DEFAULT;
}

static bool forces_a_tool(const struct llm_request *request)
{
    return request->tool_count && (request->tool_choice == LLM_TOOL_CHOICE_REQUIRED ||
                                   request->tool_choice == LLM_TOOL_CHOICE_NAMED);
}

/* With a budget the API wants an answered turn of calls to begin with its thinking; that is gone
 * when another model made the turn. */
static bool answers_without_thinking(const struct anthropic_plan *plan)
{
    if (plan->turn_count < 2 || !plan->turns[plan->turn_count - 1].results.count)
        return false;
    const struct anthropic_items *turn = &plan->turns[plan->turn_count - 2].others;
    return turn->items[0].part->kind != LLM_PART_REASONING;
}

static void decide_budget(struct encoding *encoding)
{
    int64_t wanted = efforts[encoding->request->effort].budget;
    int64_t room = encoding->max_tokens - BUDGET_MIN;
    int64_t budget = wanted < room ? wanted : room;
    if (budget < BUDGET_MIN || forces_a_tool(encoding->request) ||
        answers_without_thinking(&encoding->plan)) {
        lose(encoding, LLM_FIELD_EFFORT);
        return;
    }
    if (budget != wanted)
        lose(encoding, LLM_FIELD_EFFORT);
    encoding->thinking_type = "enabled";
    encoding->budget = budget;
}

/* A forced tool and thinking exclude each other: then the effort goes alone. */
static void decide_adaptive(struct encoding *encoding)
{
    enum llm_effort nearest = efforts[encoding->request->effort].nearest;
    if (nearest != encoding->request->effort)
        lose(encoding, LLM_FIELD_EFFORT);
    encoding->effort_name = efforts[nearest].name;
    if (!forces_a_tool(encoding->request))
        encoding->thinking_type = "adaptive";
}

static void decide_thinking(struct encoding *encoding)
{
    enum llm_effort effort = encoding->request->effort;
    if (effort == LLM_EFFORT_UNSET)
        return;
    if (encoding->family->thinking == THINKING_NONE)
        lose(encoding, LLM_FIELD_EFFORT);
    else if (effort == LLM_EFFORT_NONE)
        encoding->thinking_type = "disabled";
    else if (encoding->family->thinking == THINKING_BUDGET)
        decide_budget(encoding);
    else
        decide_adaptive(encoding);
}

/* ---- Messages -------------------------------------------------------------------------------- */

static void write_items(struct encoding *encoding, const struct anthropic_items *items)
{
    for (size_t i = 0; i < items->count; i++)
        anthropic_write_item(&encoding->w, encoding->arena, encoding->target, &items->items[i]);
}

static void write_messages(struct encoding *encoding)
{
    struct json_writer *w = &encoding->w;
    const struct anthropic_plan *plan = &encoding->plan;
    if (plan->system.count) {
        json_key_array(w, "system");
        write_items(encoding, &plan->system);
        json_end_array(w);
    }
    json_key_array(w, "messages");
    for (size_t i = 0; i < plan->turn_count; i++) {
        if (plan->turns[i].is_user)
            json_open_piece(w, STR("{\"role\":\"user\",\"content\":["));
        else
            json_open_piece(w, STR("{\"role\":\"assistant\",\"content\":["));
        write_items(encoding, &plan->turns[i].results);
        write_items(encoding, &plan->turns[i].others);
        json_close_piece(w, STR("]}"));
    }
    json_end_array(w);
}

/* ---- Tools ----------------------------------------------------------------------------------- */

/* A schema must be an object that says it is one. */
static void write_schema(struct encoding *encoding, int index)
{
    struct json_writer *w = &encoding->w;
    struct str text = encoding->request->tools[index].schema;
    if (str_starts_with(text, STR("{\"type\":"))) { /* as nearly all begin: not read once more */
        json_key_raw(w, "input_schema", text);
        return;
    }
    yyjson_val *schema = anthropic_arguments(encoding->arena, text);
    if (schema && json_get(schema, "type")) {
        json_key_raw(w, "input_schema", text);
        return;
    }
    llm_losses_add(encoding->losses, LLM_FIELD_TOOL_SCHEMA, index, -1);
    json_key_object(w, "input_schema");
    json_key_str(w, "type", STR("object"));
    yyjson_obj_iter iter = yyjson_obj_iter_with(schema);
    for (yyjson_val *key; (key = yyjson_obj_iter_next(&iter));) {
        json_key(w, json_str(key));
        json_put_raw(w, json_text(encoding->arena, yyjson_obj_iter_get_val(key)));
    }
    json_end_object(w);
}

static void write_tool(struct encoding *encoding, int index)
{
    struct json_writer *w = &encoding->w;
    const struct llm_tool *tool = &encoding->request->tools[index];
    json_begin_object(w);
    json_key_str(w, "name", tool->name);
    if (tool->description.len)
        json_key_str(w, "description", tool->description);
    write_schema(encoding, index);
    if (tool->strict != LLM_UNSET)
        json_key_bool(w, "strict", tool->strict == LLM_TRUE);
    json_end_object(w);
}

static void write_tool_choice(struct encoding *encoding)
{
    static const char *const types[] = {[LLM_TOOL_CHOICE_UNSET] = "auto",
                                        [LLM_TOOL_CHOICE_AUTO] = "auto",
                                        [LLM_TOOL_CHOICE_NONE] = "none",
                                        [LLM_TOOL_CHOICE_REQUIRED] = "any",
                                        [LLM_TOOL_CHOICE_NAMED] = "tool"};
    struct json_writer *w = &encoding->w;
    const struct llm_request *request = encoding->request;
    bool is_unset = request->tool_choice == LLM_TOOL_CHOICE_UNSET;
    bool has_parallel = request->parallel_tool_calls != LLM_UNSET;
    if (has_parallel && request->tool_choice == LLM_TOOL_CHOICE_NONE) {
        lose(encoding, LLM_FIELD_PARALLEL_TOOL_CALLS);
        has_parallel = false;
    }
    if (is_unset && !has_parallel)
        return;
    if (is_unset) /* needed as the place of the other one */
        lose(encoding, LLM_FIELD_TOOL_CHOICE);
    json_key_object(w, "tool_choice");
    json_key_str(w, "type", str_from_cstr(types[request->tool_choice]));
    if (request->tool_choice == LLM_TOOL_CHOICE_NAMED)
        json_key_str(w, "name", request->tool_choice_name);
    if (has_parallel)
        json_key_bool(w, "disable_parallel_tool_use", request->parallel_tool_calls == LLM_FALSE);
    json_end_object(w);
}

static void write_tools(struct encoding *encoding)
{
    const struct llm_request *request = encoding->request;
    if (!request->tool_count) { /* a choice without tools is refused */
        llm_lose_tool_choice(encoding->losses, request);
        return;
    }
    json_key_array(&encoding->w, "tools");
    for (int i = 0; i < (int)request->tool_count; i++)
        write_tool(encoding, i);
    json_end_array(&encoding->w);
    write_tool_choice(encoding);
}

/* ---- Parameters ------------------------------------------------------------------------------ */

static bool format_fits(struct encoding *encoding)
{
    const struct llm_request *request = encoding->request;
    if (request->format == LLM_FORMAT_UNSET)
        return false;
    if (request->format != LLM_FORMAT_SCHEMA || !encoding->family->has_formats ||
        !anthropic_arguments(encoding->arena, request->format_schema)) {
        lose(encoding, LLM_FIELD_FORMAT);
        return false;
    }
    llm_lose_format_words(encoding->losses, request);
    return true;
}

static void write_output_config(struct encoding *encoding)
{
    struct json_writer *w = &encoding->w;
    bool has_format = format_fits(encoding);
    if (!has_format && !encoding->effort_name)
        return;
    json_key_object(w, "output_config");
    if (encoding->effort_name)
        json_key_str(w, "effort", str_from_cstr(encoding->effort_name));
    if (has_format) {
        json_key_object(w, "format");
        json_key_str(w, "type", STR("json_schema"));
        json_key_raw(w, "schema", encoding->request->format_schema);
        json_end_object(w);
    }
    json_end_object(w);
}

static void write_thinking(struct encoding *encoding)
{
    struct json_writer *w = &encoding->w;
    if (!encoding->thinking_type)
        return;
    json_key_object(w, "thinking");
    json_key_str(w, "type", str_from_cstr(encoding->thinking_type));
    if (encoding->budget)
        json_key_int(w, "budget_tokens", encoding->budget);
    json_end_object(w);
}

/* While it thinks a model takes no temperature and no top_k, and top_p from 0.95 on only. */
static void write_sampling(struct encoding *encoding)
{
    const struct llm_request *request = encoding->request;
    bool none = encoding->target->quirks & LLM_QUIRK_NO_SAMPLING;
    bool thinks = encoding->thinking_type && strcmp(encoding->thinking_type, "disabled") != 0;
    double value = request->temperature.value;
    double temperature = value < 0 ? 0 : value > 1 ? 1 : value;
    bool has_temperature = request->temperature.is_set && !none && !(thinks && temperature != 1);
    bool has_top_p = request->top_p.is_set && !none && !(thinks && request->top_p.value < 0.95);
    bool has_top_k = request->top_k.is_set && !none && !thinks;
    if (has_temperature)
        json_key_double(&encoding->w, "temperature", temperature);
    if (request->temperature.is_set && (!has_temperature || temperature != value))
        lose(encoding, LLM_FIELD_TEMPERATURE);
    if (has_top_p)
        json_key_double(&encoding->w, "top_p", request->top_p.value);
    else if (request->top_p.is_set)
        lose(encoding, LLM_FIELD_TOP_P);
    if (has_top_k)
        json_key_int(&encoding->w, "top_k", request->top_k.value);
    else if (request->top_k.is_set)
        lose(encoding, LLM_FIELD_TOP_K);
}

/* A stop of white space only is refused. */
static void write_stops(struct encoding *encoding)
{
    bool is_begun = false;
    for (size_t i = 0; i < encoding->request->stop_count; i++) {
        struct str stop = encoding->request->stops[i];
        if (!str_trim(stop).len) {
            lose(encoding, LLM_FIELD_STOPS);
            continue;
        }
        if (!is_begun)
            json_key_array(&encoding->w, "stop_sequences");
        is_begun = true;
        json_put_str(&encoding->w, stop);
    }
    if (is_begun)
        json_end_array(&encoding->w);
}

static void lose_absent(struct encoding *encoding)
{
    const struct llm_request *request = encoding->request;
    if (request->seed.is_set)
        lose(encoding, LLM_FIELD_SEED);
    if (request->frequency_penalty.is_set)
        lose(encoding, LLM_FIELD_FREQUENCY_PENALTY);
    if (request->presence_penalty.is_set)
        lose(encoding, LLM_FIELD_PRESENCE_PENALTY);
    if (request->stream_usage)
        lose(encoding, LLM_FIELD_STREAM_USAGE);
}

static void write_parameters(struct encoding *encoding)
{
    struct json_writer *w = &encoding->w;
    write_thinking(encoding);
    write_output_config(encoding);
    write_sampling(encoding);
    write_stops(encoding);
    if (encoding->request->user.len) {
        json_key_object(w, "metadata");
        json_key_str(w, "user_id", encoding->request->user);
        json_end_object(w);
    }
    if (encoding->request->stream)
        json_key_bool(w, "stream", true);
    lose_absent(encoding);
}

enum err anthropic_encode_request(struct arena *arena, const struct llm_request *request,
                                  const struct dialect_target *target, struct buf *out,
                                  struct llm_losses *losses, struct error *error)
{
    struct encoding encoding = {.arena = arena,
                                .request = request,
                                .target = target,
                                .losses = losses,
                                .family = family_of(target->model)};
    anthropic_plan_make(&encoding.plan, arena, request, target, losses);
    encoding.max_tokens = max_tokens_of(&encoding);
    decide_thinking(&encoding);
    json_writer_init(&encoding.w, out);
    json_begin_object(&encoding.w);
    json_key_str(&encoding.w, "model", target->model);
    if (!target->is_counted)
        json_key_int(&encoding.w, "max_tokens", encoding.max_tokens);
    write_messages(&encoding);
    write_tools(&encoding);
    write_parameters(&encoding);
    json_end_object(&encoding.w);
    if (buf_ok(out))
        return ERR_OK;
    return error_set(error, ERR_TOO_BIG, NULL, "the request is larger than %zu bytes",
                     out->bytes_max);
}
