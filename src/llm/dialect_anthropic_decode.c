/* Anthropic: the body of POST /v1/messages as a canonical request, strictly; for our door. Messages
 * are read by dialect_anthropic_decode_message.c. */
#include "llm/dialect_anthropic_decode.h"
#include "base/vec.h"

/* ---- Tools ----------------------------------------------------------------------------------- */

struct tool {
    struct llm_tool tool;
    struct str type;
};

static const struct llm_member tool_members[] = {
    {"type", llm_read_str, offsetof(struct tool, type)},
    {"name", llm_read_str, offsetof(struct tool, tool.name)},
    {"description", llm_read_str, offsetof(struct tool, tool.description)},
    {"input_schema", llm_read_json, offsetof(struct tool, tool.schema)},
    {"strict", llm_read_tristate, offsetof(struct tool, tool.strict)},
};

static enum err read_tool(struct llm_reader *reader, yyjson_val *value, void *target)
{
    struct anthropic_decoding *decoding = target;
    struct str type = json_get_str(value, "type");
    if (type.len && !str_eq(type, STR("custom"))) { /* one that runs at the provider */
        llm_reader_unmapped(reader);
        return ERR_OK;
    }
    struct tool tool = {0};
    enum err status = LLM_READ_OBJECT(reader, value, tool_members, &tool);
    if (status)
        return status;
    NEED(reader, "name", tool.tool.name);
    NEED(reader, "input_schema", tool.tool.schema);
    *VEC_PUSH(reader->arena, decoding->request.tools, decoding->request.tool_count,
              decoding->tool_capacity) = tool.tool;
    return ERR_OK;
}

static enum err read_tools(struct llm_reader *reader, yyjson_val *value, void *target)
{
    return llm_read_array(reader, value, read_tool, target);
}

struct choice {
    struct str type;
    struct str name;
    enum llm_tristate disable_parallel;
};

static const struct llm_member choice_members[] = {
    {"type", llm_read_str, offsetof(struct choice, type)},
    {"name", llm_read_str, offsetof(struct choice, name)},
    {"disable_parallel_tool_use", llm_read_tristate, offsetof(struct choice, disable_parallel)},
};

static enum err read_tool_choice(struct llm_reader *reader, yyjson_val *value, void *target)
{
    static const char *const types[] = {[LLM_TOOL_CHOICE_AUTO] = "auto",
                                        [LLM_TOOL_CHOICE_NONE] = "none",
                                        [LLM_TOOL_CHOICE_REQUIRED] = "any",
                                        [LLM_TOOL_CHOICE_NAMED] = "tool"};
    struct llm_request *request = &((struct anthropic_decoding *)target)->request;
    struct choice choice = {0};
    enum err status = LLM_READ_OBJECT(reader, value, choice_members, &choice);
    if (status)
        return status;
    NEED(reader, "type", choice.type);
    for (size_t i = LLM_TOOL_CHOICE_AUTO; i < COUNT_OF(types); i++)
        if (str_eq(choice.type, str_from_cstr(types[i])))
            request->tool_choice = (enum llm_tool_choice)i;
    if (request->tool_choice == LLM_TOOL_CHOICE_UNSET)
        return llm_reader_fail_member(reader, "type", "must be auto, any, tool or none");
    if (request->tool_choice == LLM_TOOL_CHOICE_NAMED) {
        NEED(reader, "name", choice.name);
        request->tool_choice_name = choice.name;
    }
    if (choice.disable_parallel != LLM_UNSET)
        request->parallel_tool_calls = choice.disable_parallel == LLM_TRUE ? LLM_FALSE : LLM_TRUE;
    return ERR_OK;
}

/* ---- Parameters ------------------------------------------------------------------------------ */

struct thinking {
    struct str type;
    struct llm_int budget_tokens;
};

static const struct llm_member thinking_parameter_members[] = {
    {"type", llm_read_str, offsetof(struct thinking, type)},
    {"budget_tokens", llm_read_int, offsetof(struct thinking, budget_tokens)},
};

static enum err read_thinking(struct llm_reader *reader, yyjson_val *value, void *target)
{
    struct anthropic_decoding *decoding = target;
    struct thinking thinking = {0};
    enum err status = LLM_READ_OBJECT(reader, value, thinking_parameter_members, &thinking);
    if (status)
        return status;
    NEED(reader, "type", thinking.type);
    if (str_eq(thinking.type, STR("adaptive"))) {
        decoding->is_thinking_adaptive = true;
    } else if (str_eq(thinking.type, STR("disabled"))) {
        decoding->request.effort = LLM_EFFORT_NONE;
        decoding->is_thinking_fixed = true;
    } else if (!str_eq(thinking.type, STR("enabled"))) {
        llm_reader_unmapped(reader);
    } else if (!thinking.budget_tokens.is_set) {
        return llm_reader_fail_member(reader, "budget_tokens", "is required");
    } else {
        decoding->request.effort = anthropic_effort_of_budget(thinking.budget_tokens.value);
        decoding->is_thinking_fixed = true;
    }
    return ERR_OK;
}

static enum err read_effort(struct llm_reader *reader, yyjson_val *value, void *target)
{
    struct anthropic_decoding *decoding = target;
    if (!anthropic_effort_from_name(json_str(value), &decoding->effort))
        return llm_reader_fail(reader, "must be low, medium, high, xhigh or max");
    return ERR_OK;
}

struct format {
    struct str type;
    struct str schema;
};

static const struct llm_member format_members[] = {
    {"type", llm_read_str, offsetof(struct format, type)},
    {"schema", llm_read_json, offsetof(struct format, schema)},
};

static enum err read_format(struct llm_reader *reader, yyjson_val *value, void *target)
{
    struct anthropic_decoding *decoding = target;
    struct format format = {0};
    enum err status = LLM_READ_OBJECT(reader, value, format_members, &format);
    if (status)
        return status;
    if (!str_eq(format.type, STR("json_schema")))
        return llm_reader_fail_member(reader, "type", "must be json_schema");
    NEED(reader, "schema", format.schema);
    decoding->request.format = LLM_FORMAT_SCHEMA;
    decoding->request.format_schema = format.schema;
    return ERR_OK;
}

static const struct llm_member output_members[] = {
    {"effort", read_effort, 0},
    {"format", read_format, 0},
};

static enum err read_output_config(struct llm_reader *reader, yyjson_val *value, void *target)
{
    return LLM_READ_OBJECT(reader, value, output_members, target);
}

static const struct llm_member metadata_members[] = {
    {"user_id", llm_read_str, offsetof(struct anthropic_decoding, request.user)},
};

static enum err read_metadata(struct llm_reader *reader, yyjson_val *value, void *target)
{
    return LLM_READ_OBJECT(reader, value, metadata_members, target);
}

static const struct llm_member request_members[] = {
    {"model", llm_read_str, offsetof(struct anthropic_decoding, request.model)},
    {"max_tokens", llm_read_int, offsetof(struct anthropic_decoding, request.max_output_tokens)},
    {"messages", anthropic_read_messages, 0},
    {"system", anthropic_read_system, 0},
    {"stop_sequences", llm_read_strings, offsetof(struct anthropic_decoding, stops)},
    {"stream", llm_read_bool, offsetof(struct anthropic_decoding, request.stream)},
    {"temperature", llm_read_amount, offsetof(struct anthropic_decoding, request.temperature)},
    {"top_p", llm_read_amount, offsetof(struct anthropic_decoding, request.top_p)},
    {"top_k", llm_read_int, offsetof(struct anthropic_decoding, request.top_k)},
    {"tools", read_tools, 0},
    {"tool_choice", read_tool_choice, 0},
    {"thinking", read_thinking, 0},
    {"output_config", read_output_config, 0},
    {"metadata", read_metadata, 0},
};

/* Thinking says whether, output_config how hard; adaptive thinking alone is as hard as "high". */
static void settle_effort(struct llm_reader *reader, struct anthropic_decoding *decoding)
{
    if (decoding->is_thinking_fixed) {
        if (decoding->effort != LLM_EFFORT_UNSET)
            llm_reader_unmapped_member(reader, "output_config.effort");
        return;
    }
    decoding->request.effort = decoding->effort;
    if (decoding->effort == LLM_EFFORT_UNSET && decoding->is_thinking_adaptive)
        decoding->request.effort = LLM_EFFORT_HIGH;
}

static enum err check_required(struct llm_reader *reader, yyjson_val *root,
                               const struct llm_request *request)
{
    yyjson_val *messages = json_get(root, "messages");
    NEED(reader, "model", request->model);
    if (request->max_output_tokens.is_set && request->max_output_tokens.value < 0)
        return llm_reader_fail_member(reader, "max_tokens", "must not be negative");
    if (!messages || yyjson_is_null(messages))
        return llm_reader_fail_member(reader, "messages", "is required");
    return ERR_OK;
}

enum err anthropic_decode_request(struct arena *arena, yyjson_val *root,
                                  struct llm_request *ret_request, struct error *error)
{
    struct anthropic_decoding decoding = {.parts = {.origin = LLM_ORIGIN_TYPED}};
    struct llm_request *request = &decoding.request;
    struct llm_reader reader;
    llm_reader_init(&reader, arena, request, error);
    enum err status = LLM_READ_OBJECT(&reader, root, request_members, &decoding);
    if (status == ERR_OK)
        status = check_required(&reader, root, request);
    if (status)
        return status;
    settle_effort(&reader, &decoding);
    request->stops = decoding.stops.items;
    request->stop_count = decoding.stops.count;
    llm_request_name_results(request);
    *ret_request = *request;
    return ERR_OK;
}
