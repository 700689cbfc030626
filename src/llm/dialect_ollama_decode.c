/* Ollama: the bodies of POST /api/chat and /api/generate as a canonical request, strictly; for our
 * doors. */
#include "base/vec.h"
#include "llm/dialect_ollama.h"
#include "llm/reader.h"

#define COUNT_OF(table) (sizeof(table) / sizeof *(table))

/* The request while it grows. */
struct decoding {
    struct llm_request request;
    size_t message_capacity;
    size_t tool_capacity;
    size_t result_capacity; /* of the parts of the newest message, when it is one of results */
    struct llm_part *calls; /* those that results without an id may answer */
    size_t call_count;
    bool *is_answered; /* beside them */
    struct llm_strings stops;
    struct str system; /* of generate, as are the next two */
    struct str prompt;
    struct llm_strings images;
};

/* ---- Messages -------------------------------------------------------------------------------- */

struct message {
    struct str role;
    struct str content;
    struct str thinking;
    struct str tool_name;
    struct str tool_call_id;
    struct llm_strings images;
    struct llm_part *calls;
    size_t call_count;
    size_t call_capacity;
};

struct call {
    struct str id;
    struct str name;
    struct str arguments;
    struct llm_int index;
};

static const struct llm_member function_members[] = {
    {"index", llm_read_int, offsetof(struct call, index)},
    {"name", llm_read_str, offsetof(struct call, name)},
    {"arguments", llm_read_json, offsetof(struct call, arguments)},
};

static enum err read_function(struct llm_reader *reader, yyjson_val *value, void *target)
{
    return LLM_READ_OBJECT(reader, value, function_members, target);
}

static enum err read_type(struct llm_reader *reader, yyjson_val *value, void *target)
{
    (void)target;
    if (!str_eq(json_str(value), STR("function")))
        return llm_reader_fail(reader, "must be function");
    return ERR_OK;
}

static const struct llm_member call_members[] = {
    {"id", llm_read_str, offsetof(struct call, id)},
    {"type", read_type, 0},
    {"function", read_function, 0},
};

static enum err read_call(struct llm_reader *reader, yyjson_val *value, void *target)
{
    struct message *message = target;
    struct call call = {0};
    enum err status = LLM_READ_OBJECT(reader, value, call_members, &call);
    if (status)
        return status;
    if (!call.name.len)
        return llm_reader_fail(reader, "must have a function with a name");
    *VEC_PUSH(reader->arena, message->calls, message->call_count, message->call_capacity) =
        (struct llm_part){.kind = LLM_PART_TOOL_CALL,
                          .call_id = call.id.len ? call.id : dialect_make_call_id(reader->arena),
                          .name = call.name,
                          .arguments = call.arguments.data ? call.arguments : STR("{}")};
    return ERR_OK;
}

static enum err read_calls(struct llm_reader *reader, yyjson_val *value, void *target)
{
    return llm_read_array(reader, value, read_call, target);
}

static const struct llm_member message_members[] = {
    {"role", llm_read_str, offsetof(struct message, role)},
    {"content", llm_read_str, offsetof(struct message, content)},
    {"thinking", llm_read_str, offsetof(struct message, thinking)},
    {"images", llm_read_strings, offsetof(struct message, images)},
    {"tool_calls", read_calls, 0},
    {"tool_name", llm_read_str, offsetof(struct message, tool_name)},
    {"tool_call_id", llm_read_str, offsetof(struct message, tool_call_id)},
};

static struct llm_message *push_message(struct llm_reader *reader, struct decoding *decoding,
                                        enum llm_role role)
{
    struct llm_message *message =
        VEC_PUSH(reader->arena, decoding->request.messages, decoding->request.message_count,
                 decoding->message_capacity);
    message->role = role;
    return message;
}

/* Thinking, content, images, calls: the order that ollama_note_parts() knows of. */
static void add_message(struct llm_reader *reader, struct decoding *decoding, enum llm_role role,
                        const struct message *message)
{
    size_t count = 2 + message->images.count + message->call_count, used = 0;
    struct llm_part *parts = ARENA_NEW_ARRAY(reader->arena, count, struct llm_part);
    if (message->thinking.len)
        parts[used++] = (struct llm_part){.kind = LLM_PART_REASONING, .text = message->thinking};
    if (message->content.len)
        parts[used++] = (struct llm_part){.kind = LLM_PART_TEXT, .text = message->content};
    for (size_t i = 0; i < message->images.count; i++) {
        struct str data = message->images.items[i];
        parts[used++] = (struct llm_part){.kind = LLM_PART_IMAGE,
                                          .media = {.mime = ollama_image_mime(data), .data = data}};
    }
    for (size_t i = 0; i < message->call_count; i++)
        parts[used++] = message->calls[i];
    struct llm_message *canonical = push_message(reader, decoding, role);
    canonical->parts = parts;
    canonical->part_count = used;
    if (!message->call_count)
        return;
    size_t calls = message->call_count < LLM_CALLS_MAX ? message->call_count : LLM_CALLS_MAX;
    decoding->calls = message->calls;
    decoding->call_count = calls;
    decoding->is_answered = ARENA_NEW_ARRAY(reader->arena, calls, bool);
}

/* The call that a result answers: by its id, else the first one without an answer that has the
 * name, else the first one without an answer. call_count: there is none. */
static size_t find_call(const struct decoding *decoding, const struct message *message)
{
    size_t i = 0;
    for (; i < decoding->call_count; i++) {
        const struct llm_part *call = &decoding->calls[i];
        bool is_it = message->tool_call_id.len ? str_eq(call->call_id, message->tool_call_id)
                     : message->tool_name.len  ? str_eq(call->name, message->tool_name)
                                               : true;
        if (is_it && !decoding->is_answered[i])
            break;
    }
    return i;
}

static struct str result_id(struct llm_reader *reader, struct decoding *decoding,
                            const struct message *message)
{
    size_t index = find_call(decoding, message);
    bool is_found = index < decoding->call_count;
    if (is_found)
        decoding->is_answered[index] = true;
    if (message->tool_call_id.len)
        return message->tool_call_id;
    return is_found ? decoding->calls[index].call_id : dialect_make_call_id(reader->arena);
}

/* Neighbouring results are one message. */
static void add_result(struct llm_reader *reader, struct decoding *decoding,
                       const struct message *message)
{
    struct llm_request *request = &decoding->request;
    bool goes_on =
        request->message_count && request->messages[request->message_count - 1].role == LLM_TOOL;
    if (!goes_on) {
        push_message(reader, decoding, LLM_TOOL);
        decoding->result_capacity = 0;
    }
    struct llm_message *results = &request->messages[request->message_count - 1];
    struct llm_part *part =
        VEC_PUSH(reader->arena, results->parts, results->part_count, decoding->result_capacity);
    part->kind = LLM_PART_TOOL_RESULT;
    part->origin = LLM_ORIGIN_TOOL;
    part->call_id = result_id(reader, decoding, message);
    part->name = message->tool_name;
    if (!message->content.len)
        return;
    part->content = ARENA_NEW(reader->arena, struct llm_part);
    *part->content = (struct llm_part){
        .kind = LLM_PART_TEXT, .origin = LLM_ORIGIN_TOOL, .text = message->content};
    part->content_count = 1;
}

static enum err read_message(struct llm_reader *reader, yyjson_val *value, void *target)
{
    static const char *const roles[] = {[LLM_SYSTEM] = "system",
                                        [LLM_USER] = "user",
                                        [LLM_ASSISTANT] = "assistant",
                                        [LLM_TOOL] = "tool"};
    struct message message = {0};
    enum err status = LLM_READ_OBJECT(reader, value, message_members, &message);
    if (status)
        return status;
    for (enum llm_role role = LLM_SYSTEM; role <= LLM_TOOL; role++) {
        if (!str_eq_nocase(message.role, str_from_cstr(roles[role])))
            continue;
        if (role == LLM_TOOL)
            add_result(reader, target, &message);
        else
            add_message(reader, target, role, &message);
        return ERR_OK;
    }
    return llm_reader_fail_member(reader, "role", "must be system, user, assistant or tool");
}

static enum err read_messages(struct llm_reader *reader, yyjson_val *value, void *target)
{
    return llm_read_array(reader, value, read_message, target);
}

/* ---- Tools ----------------------------------------------------------------------------------- */

static const struct llm_member tool_function_members[] = {
    {"name", llm_read_str, offsetof(struct llm_tool, name)},
    {"description", llm_read_str, offsetof(struct llm_tool, description)},
    {"parameters", llm_read_json, offsetof(struct llm_tool, schema)},
};

static enum err read_tool_function(struct llm_reader *reader, yyjson_val *value, void *target)
{
    return LLM_READ_OBJECT(reader, value, tool_function_members, target);
}

static const struct llm_member tool_members[] = {
    {"type", read_type, 0},
    {"function", read_tool_function, 0},
};

static enum err read_tool(struct llm_reader *reader, yyjson_val *value, void *target)
{
    struct decoding *decoding = target;
    struct llm_tool tool = {0};
    enum err status = LLM_READ_OBJECT(reader, value, tool_members, &tool);
    if (status)
        return status;
    if (!tool.name.len)
        return llm_reader_fail(reader, "must have a function with a name");
    *VEC_PUSH(reader->arena, decoding->request.tools, decoding->request.tool_count,
              decoding->tool_capacity) = tool;
    return ERR_OK;
}

static enum err read_tools(struct llm_reader *reader, yyjson_val *value, void *target)
{
    return llm_read_array(reader, value, read_tool, target);
}

/* ---- Parameters ------------------------------------------------------------------------------ */

static enum err read_format(struct llm_reader *reader, yyjson_val *value, void *target)
{
    struct llm_request *request = &((struct decoding *)target)->request;
    struct str word = json_str(value);
    if (yyjson_is_obj(value)) {
        request->format = LLM_FORMAT_SCHEMA;
        request->format_schema = json_text(reader->arena, value);
    } else if (str_eq(word, STR("json"))) {
        request->format = LLM_FORMAT_JSON;
    } else if (!word.data || word.len) { /* "" is none */
        return llm_reader_fail(reader, "must be \"json\" or a JSON Schema");
    }
    return ERR_OK;
}

static enum err read_think(struct llm_reader *reader, yyjson_val *value, void *target)
{
    static const struct {
        const char *word;
        enum llm_effort effort;
    } words[] = {{"low", LLM_EFFORT_LOW},
                 {"medium", LLM_EFFORT_MEDIUM},
                 {"high", LLM_EFFORT_HIGH},
                 {"max", LLM_EFFORT_MAX}};
    struct llm_request *request = &((struct decoding *)target)->request;
    struct str word = json_str(value);
    if (yyjson_is_bool(value))
        request->effort = yyjson_get_bool(value) ? LLM_EFFORT_MEDIUM : LLM_EFFORT_NONE;
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (str_eq(word, str_from_cstr(words[i].word)))
            request->effort = words[i].effort;
    if (request->effort == LLM_EFFORT_UNSET)
        return llm_reader_fail(reader, "must be true, false, low, medium, high or max");
    return ERR_OK;
}

#define OPTION(name, kind, member)                                                                 \
    {                                                                                              \
        name, kind, offsetof(struct decoding, member)                                              \
    }

static const struct llm_member option_members[] = {
    OPTION("num_predict", llm_read_int, request.max_output_tokens),
    OPTION("seed", llm_read_int, request.seed),
    OPTION("top_k", llm_read_int, request.top_k),
    OPTION("temperature", llm_read_amount, request.temperature),
    OPTION("top_p", llm_read_amount, request.top_p),
    OPTION("frequency_penalty", llm_read_double, request.frequency_penalty),
    OPTION("presence_penalty", llm_read_double, request.presence_penalty),
    OPTION("stop", llm_read_strings, stops),
};

static enum err read_options(struct llm_reader *reader, yyjson_val *value, void *target)
{
    struct decoding *decoding = target;
    enum err status = LLM_READ_OBJECT(reader, value, option_members, decoding);
    if (status)
        return status;
    if (decoding->request.max_output_tokens.value < 0) /* without a limit */
        decoding->request.max_output_tokens = (struct llm_int){false, 0};
    return ERR_OK;
}

#define COMMON_MEMBERS                                                                             \
    OPTION("model", llm_read_str, request.model), OPTION("stream", llm_read_bool, request.stream), \
        {"format", read_format, 0}, {"think", read_think, 0},                                      \
    {                                                                                              \
        "options", read_options, 0                                                                 \
    }

static const struct llm_member request_members[] = {
    {"messages", read_messages, 0},
    {"tools", read_tools, 0},
    COMMON_MEMBERS,
};

/* A prompt, perhaps with a system's; the rest is for the server's own templates and models. */
static const struct llm_member generate_members[] = {
    OPTION("prompt", llm_read_str, prompt),
    OPTION("system", llm_read_str, system),
    OPTION("images", llm_read_strings, images),
    COMMON_MEMBERS,
};

static void add_prompt(struct llm_reader *reader, struct decoding *decoding)
{
    const struct message system = {.content = decoding->system};
    const struct message prompt = {.content = decoding->prompt, .images = decoding->images};
    if (decoding->system.len)
        add_message(reader, decoding, LLM_SYSTEM, &system);
    if (decoding->prompt.len || decoding->images.count)
        add_message(reader, decoding, LLM_USER, &prompt);
}

static enum err decode(struct arena *arena, yyjson_val *root, const struct llm_member *members,
                       size_t count, struct llm_request *ret_request, struct error *error)
{
    struct decoding decoding = {.request.stream = true}; /* what the API does by default */
    struct llm_request *request = &decoding.request;
    struct llm_reader reader;
    llm_reader_init(&reader, arena, request, error);
    enum err status = llm_read_object(&reader, root, members, count, &decoding);
    if (status == ERR_OK && !request->model.len)
        status = llm_reader_fail_member(&reader, "model", "is required");
    if (status)
        return status;
    add_prompt(&reader, &decoding);
    request->stops = decoding.stops.items;
    request->stop_count = decoding.stops.count;
    llm_request_name_results(request);
    *ret_request = *request;
    return ERR_OK;
}

enum err ollama_decode_request(struct arena *arena, yyjson_val *root,
                               struct llm_request *ret_request, struct error *error)
{
    return decode(arena, root, request_members, COUNT_OF(request_members), ret_request, error);
}

enum err ollama_generate_decode_request(struct arena *arena, yyjson_val *root,
                                        struct llm_request *ret_request, struct error *error)
{
    return decode(arena, root, generate_members, COUNT_OF(generate_members), ret_request, error);
}
