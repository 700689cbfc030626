/* Two tables, of dialects and of routes, and one reader of requests for all of them. Knows nothing
 * of Parley's own decoders, on purpose. */
#include "fake_dialect.h"

#include "base/json.h"
#include "wire/url.h"

static const struct fake_dialect dialects[FAKE_DIALECT_COUNT] = {
    [FAKE_OPENAI_CHAT] = {"openai-chat", NULL, "text/event-stream; charset=utf-8", "\n\n",
                          "messages", "content", false},
    [FAKE_OPENAI_RESPONSES] = {"openai-responses", NULL, "text/event-stream; charset=utf-8", "\n\n",
                               "input", "content", false},
    [FAKE_ANTHROPIC] = {"anthropic", NULL, "text/event-stream; charset=utf-8", "\n\n", "messages",
                        "content", false},
    [FAKE_GEMINI] = {"gemini", NULL, "text/event-stream", "\n\n", "contents", "parts", false},
    [FAKE_OLLAMA] = {"ollama", NULL, "application/x-ndjson", "\n", "messages", "content", true},
    [FAKE_OLLAMA_GENERATE] = {"ollama-generate", "ollama", "application/x-ndjson", "\n", "prompt",
                              "content", true},
};

const struct fake_dialect *fake_dialect(enum fake_dialect_name name)
{
    return &dialects[name];
}

struct route {
    const char *method;
    const char *path;
    enum fake_dialect_name dialect;
    const char *file;   /* NULL: a chat */
    const char *header; /* only with this one (two providers share a path); NULL: always */
    const char *type;   /* of the file; NULL: application/json */
};

static const struct route routes[] = {
    {"POST", "/v1/chat/completions", FAKE_OPENAI_CHAT, NULL, NULL, NULL},
    {"POST", "/v1/responses", FAKE_OPENAI_RESPONSES, NULL, NULL, NULL},
    {"POST", "/v1/messages", FAKE_ANTHROPIC, NULL, NULL, NULL},
    {"POST", "/api/chat", FAKE_OLLAMA, NULL, NULL, NULL},
    {"POST", "/api/generate", FAKE_OLLAMA_GENERATE, NULL, NULL, NULL},
    {"GET", "/v1/models", FAKE_ANTHROPIC, "models", "anthropic-version", NULL},
    {"GET", "/v1/models", FAKE_OPENAI_CHAT, "models", NULL, NULL},
    {"GET", "/v1beta/models", FAKE_GEMINI, "models", NULL, NULL},
    {"GET", "/api/tags", FAKE_OLLAMA, "models", NULL, NULL},
    {"GET", "/api/version", FAKE_OLLAMA, "version", NULL, NULL},
    {"POST", "/api/show", FAKE_OLLAMA, "show", NULL, NULL},
    {"POST", "/v1/images/generations", FAKE_OPENAI_CHAT, "images", NULL, NULL},
    {"POST", "/v1/images/edits", FAKE_OPENAI_CHAT, "images", NULL, NULL},
    {"POST", "/v1/images/variations", FAKE_OPENAI_CHAT, "images", NULL, NULL},
    {"POST", "/v1/audio/transcriptions", FAKE_OPENAI_CHAT, "transcription", NULL, NULL},
    {"POST", "/v1/audio/translations", FAKE_OPENAI_CHAT, "translation", NULL, NULL},
    {"POST", "/v1/audio/speech", FAKE_OPENAI_CHAT, "speech", NULL, "audio/mpeg"},
    {"POST", "/v1/moderations", FAKE_OPENAI_CHAT, "moderation", NULL, NULL},
    {"POST", "/v1/fine_tuning/jobs", FAKE_OPENAI_CHAT, "tuning.job", NULL, NULL},
    {"GET", "/v1/fine_tuning/jobs/ftjob-abc123", FAKE_OPENAI_CHAT, "tuning.job", NULL, NULL},
    {"POST", "/v1/fine_tuning/jobs/ftjob-abc123", FAKE_OPENAI_CHAT, "tuning.job", NULL, NULL},
    {"PUT", "/v1/fine_tuning/jobs/ftjob-abc123", FAKE_OPENAI_CHAT, "tuning.job", NULL, NULL},
    {"PATCH", "/v1/fine_tuning/jobs/ftjob-abc123", FAKE_OPENAI_CHAT, "tuning.job", NULL, NULL},
    {"DELETE", "/v1/fine_tuning/jobs/ftjob-abc123", FAKE_OPENAI_CHAT, "tuning.job", NULL, NULL},
    {"POST", "/v1/fine_tuning/jobs/ftjob-abc123/pause", FAKE_OPENAI_CHAT, "tuning.job", NULL, NULL},
    {"POST", "/v1/fine_tuning/jobs/ftjob-abc123/resume", FAKE_OPENAI_CHAT, "tuning.job", NULL,
     NULL},
    {"POST", "/v1/fine_tuning/jobs/ftjob-abc123/cancel", FAKE_OPENAI_CHAT, "tuning.cancelled", NULL,
     NULL},
    {"GET", "/v1/fine_tuning/jobs/ftjob-abc123/events", FAKE_OPENAI_CHAT, "tuning.events", NULL,
     NULL},
    {"GET", "/v1/fine_tuning/jobs/ftjob-abc123/checkpoints", FAKE_OPENAI_CHAT, "tuning.checkpoints",
     NULL, NULL},
};

/* All are POST. */
static const struct embeddings_route {
    const char *path;
    enum fake_dialect_name dialect;
    const char *inputs; /* the member that has them */
    bool is_single;
} embeddings_routes[] = {
    {"/v1/embeddings", FAKE_OPENAI_CHAT, "input", false},
    {"/api/embed", FAKE_OLLAMA, "input", false},
    {"/api/embeddings", FAKE_OLLAMA, "prompt", true},
};

/* The last text of a message's content: a string, or a list of parts with a "text" each. */
static struct str content_text(yyjson_val *content)
{
    struct str text = json_str(content);
    size_t index, count;
    yyjson_val *part;
    if (yyjson_is_arr(content))
        yyjson_arr_foreach (content, index, count, part) {
            struct str piece = json_get_str(part, "text");
            if (piece.data)
                text = piece;
        }
    return text;
}

static bool is_of_assistant(struct str role)
{
    return str_eq(role, STR("assistant")) || str_eq(role, STR("model"));
}

/* What the user said last, and the answer that was begun before or behind it. */
static void read_conversation(yyjson_val *messages, struct fake_request *ret)
{
    size_t index, count, begun_at = 0;
    yyjson_val *message;
    struct str begun = STR_NONE;
    if (json_str(messages).data) /* Responses: the input may be a string */
        ret->user_text = json_str(messages);
    if (!yyjson_is_arr(messages))
        return;
    yyjson_arr_foreach (messages, index, count, message) {
        struct str role = json_get_str(message, "role");
        struct str said = content_text(json_get(message, ret->dialect->content_key));
        if (is_of_assistant(role)) {
            begun = said;
            begun_at = index;
        } else if (said.data && (!role.data || str_eq(role, STR("user")))) {
            ret->user_text = said;
        }
    }
    ret->begun_is_last = begun.data && begun_at + 1 == count;
    if (begun.data && begun_at + 2 >= count)
        ret->begun = begun;
}

/* ---- Embeddings ------------------------------------------------------------------------------ */

static uint64_t size_of(yyjson_val *input)
{
    size_t index, count;
    yyjson_val *token;
    uint64_t sum = json_str(input).len;
    if (yyjson_is_arr(input))
        yyjson_arr_foreach (input, index, count, token)
            sum += yyjson_get_uint(token);
    return sum;
}

static void add_input(struct fake_request *ret, yyjson_val *input)
{
    ret->inputs[ret->input_count++] = size_of(input);
}

/* A text, a list of tokens, or a list of either. */
static void read_inputs(struct arena *arena, yyjson_val *value, struct fake_request *ret)
{
    size_t index, count = yyjson_arr_size(value);
    yyjson_val *input;
    ret->inputs = ARENA_NEW_ARRAY(arena, count + 1, uint64_t);
    if (yyjson_is_str(value) || yyjson_is_num(yyjson_arr_get_first(value))) {
        add_input(ret, value);
        return;
    }
    yyjson_arr_foreach (value, index, count, input)
        add_input(ret, input);
}

/* The model stands in each request as well, and must be the path's. */
static void read_gemini_input(yyjson_val *item, struct fake_request *ret)
{
    struct str model = json_get_str(item, "model");
    yyjson_val *text =
        json_get(yyjson_arr_get_first(json_get(json_get(item, "content"), "parts")), "text");
    bool is_same = str_starts_with(model, STR("models/")) && str_eq(str_skip(model, 7), ret->model);
    if (!is_same || !yyjson_is_str(text))
        ret->bad_json = true;
    add_input(ret, text);
    json_get_int(item, "outputDimensionality", &ret->dimensions);
}

static void read_gemini_inputs(struct arena *arena, yyjson_val *root, struct fake_request *ret)
{
    size_t index, count;
    yyjson_val *items = json_get(root, "requests"), *item;
    ret->inputs = ARENA_NEW_ARRAY(arena, yyjson_arr_size(items) + 1, uint64_t);
    if (ret->is_single)
        read_gemini_input(root, ret);
    else
        yyjson_arr_foreach (items, index, count, item)
            read_gemini_input(item, ret);
}

static void read_embeddings(struct arena *arena, yyjson_val *root, struct fake_request *ret)
{
    if (ret->dialect == &dialects[FAKE_GEMINI])
        read_gemini_inputs(arena, root, ret);
    else
        read_inputs(arena, json_get(root, ret->inputs_member), ret);
    json_get_int(root, "dimensions", &ret->dimensions);
    ret->wants_base64 = str_eq(json_get_str(root, "encoding_format"), STR("base64"));
}

/* ---- Counts ---------------------------------------------------------------------------------- */

/* What Anthropic's form has not: it is refused as an extra input. */
static const char *const uncounted[] = {"max_tokens", "stream",         "temperature",
                                        "top_p",      "stop_sequences", "service_tier",
                                        "top_k",      "metadata"};

/* Gemini's may be inside of a request, whose model must be the path's. */
static bool is_count_of(yyjson_val *root, const struct fake_request *request)
{
    yyjson_val *inside = json_get(root, "generateContentRequest");
    struct str model = json_get_str(inside, "model");
    for (size_t i = 0; i < sizeof uncounted / sizeof *uncounted; i++)
        if (request->dialect == &dialects[FAKE_ANTHROPIC] && json_get(root, uncounted[i]))
            return false;
    if (!inside)
        return yyjson_is_arr(json_get(root, request->dialect->messages_key));
    return !json_get(root, "contents") && str_starts_with(model, STR("models/")) &&
           str_eq(str_skip(model, 7), request->model);
}

static bool read_count_route(struct str path, struct fake_request *ret)
{
    if (!str_eq(path, STR("/v1/messages/count_tokens")))
        return false;
    ret->route = FAKE_ROUTE_COUNT;
    ret->dialect = &dialects[FAKE_ANTHROPIC];
    return true;
}

/* ---- Requests -------------------------------------------------------------------------------- */

/* "/v1beta/models/{model}:{method}" */
static bool read_gemini_path(struct arena *arena, struct str path, struct fake_request *ret)
{
    struct str prefix = STR("/v1beta/models/");
    if (!str_starts_with(path, prefix))
        return false;
    path = str_skip(path, prefix.len);
    struct str model = str_next(&path, ':');
    ret->stream = str_eq(path, STR("streamGenerateContent"));
    ret->dialect = &dialects[FAKE_GEMINI];
    ret->is_single = str_eq(path, STR("embedContent"));
    bool embeds = ret->is_single || str_eq(path, STR("batchEmbedContents"));
    bool counts = str_eq(path, STR("countTokens"));
    ret->route = embeds ? FAKE_ROUTE_EMBEDDINGS : counts ? FAKE_ROUTE_COUNT : FAKE_ROUTE_CHAT;
    return (embeds || counts || ret->stream || str_eq(path, STR("generateContent"))) &&
           url_decode(arena, model, &ret->model);
}

static bool read_route(struct str method, struct str path, const struct http_headers *headers,
                       struct fake_request *ret)
{
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        const struct route *route = &routes[i];
        if (!str_eq(method, str_from_cstr(route->method)) ||
            !str_eq(path, str_from_cstr(route->path)) ||
            (route->header && !http_headers_get(headers, route->header).data))
            continue;
        ret->route = route->file ? FAKE_ROUTE_FILE : FAKE_ROUTE_CHAT;
        ret->dialect = &dialects[route->dialect];
        ret->file = route->file;
        ret->type = route->type;
        ret->stream = ret->dialect->streams_by_default;
        return true;
    }
    return false;
}

static bool read_embeddings_route(struct str path, struct fake_request *ret)
{
    for (size_t i = 0; i < sizeof embeddings_routes / sizeof *embeddings_routes; i++) {
        const struct embeddings_route *route = &embeddings_routes[i];
        if (!str_eq(path, str_from_cstr(route->path)))
            continue;
        ret->route = FAKE_ROUTE_EMBEDDINGS;
        ret->dialect = &dialects[route->dialect];
        ret->inputs_member = route->inputs;
        ret->is_single = route->is_single;
        return true;
    }
    return false;
}

static void read_body(struct arena *arena, struct str body, struct fake_request *ret)
{
    yyjson_val *root;
    if (json_read(arena, body, &root, NULL) != ERR_OK) {
        ret->bad_json = true;
        return;
    }
    struct str model = json_get_str(root, "model");
    if (model.data && ret->dialect != &dialects[FAKE_GEMINI]) /* whose path says it */
        ret->model = model;
    if (str_ends_with(ret->model, STR(":latest")))
        ret->model = str_slice(ret->model, 0, ret->model.len - STR(":latest").len);
    if (ret->route == FAKE_ROUTE_EMBEDDINGS) {
        ret->stream = false;
        read_embeddings(arena, root, ret);
        return;
    }
    if (ret->route == FAKE_ROUTE_COUNT) {
        ret->bad_json = !is_count_of(root, ret);
        return;
    }
    json_get_bool(root, "stream", &ret->stream);
    json_get_bool(json_get(root, "stream_options"), "include_usage", &ret->wants_usage);
    read_conversation(json_get(root, ret->dialect->messages_key), ret);
}

void fake_request_read(struct arena *arena, struct str method, struct str target,
                       const struct http_headers *headers, struct str body,
                       struct fake_request *ret)
{
    *ret = (struct fake_request){.user_text = STR("")};
    struct str path = str_next(&target, '?');
    bool found = read_route(method, path, headers, ret) ||
                 (str_eq(method, STR("POST")) &&
                  (read_embeddings_route(path, ret) || read_count_route(path, ret) ||
                   read_gemini_path(arena, path, ret)));
    if (!found)
        ret->route = FAKE_ROUTE_NONE;
    else if (ret->route != FAKE_ROUTE_FILE)
        read_body(arena, body, ret);
}

bool fake_request_key(struct arena *arena, struct str target, const struct http_headers *headers,
                      struct str *ret_key)
{
    static const char *const names[] = {"x-api-key", "x-goog-api-key", "api-key"};
    struct str bearer = http_headers_get(headers, "authorization");
    *ret_key = STR_NONE;
    if (str_starts_with_nocase(bearer, STR("bearer ")))
        *ret_key = str_trim(str_skip(bearer, 7));
    for (size_t i = 0; !ret_key->data && i < sizeof names / sizeof *names; i++)
        *ret_key = http_headers_get(headers, names[i]);
    if (!ret_key->data) {
        str_next(&target, '?');
        *ret_key = url_query_get(arena, target, STR("key"));
    }
    return ret_key->len > 0;
}
