/* Lines of a batch: read once when it begins, for their names, and each again when it is asked. */
#include "chat/batch_input.h"

#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "base/vec.h"
#include "llm/foreign.h"

enum { LINE_BYTES_MAX = 64 * 1024 * 1024, LINE_ARENA_BYTES_MAX = 1024 * 1024 * 1024 };

static const struct batch_endpoint endpoints[] = {
    {"/v1/chat/completions", BATCH_OPENAI, &dialect_openai_chat, "chatcmpl-", NULL},
    {"/v1/responses", BATCH_OPENAI, &dialect_openai_responses, "resp_", NULL},
    {"/v1/embeddings", BATCH_OPENAI, &dialect_openai_chat, "", &embedding_openai},
    {"/v1/messages", BATCH_ANTHROPIC, &dialect_anthropic, "msg_", NULL},
    {"generateContent", BATCH_GEMINI, &dialect_gemini, "", NULL},
};

/* How the lines of a form look. */
static const struct form_row {
    const char *name;
    const char *custom_id; /* the member that is the line's name */
    const char *body;      /* the member that is the request */
    bool has_url;          /* method and url stand beside it */
    bool needs_id; /* each line has a name of its own; else what it has is only told again */
    size_t custom_id_bytes_max;
} forms[] = {
    [BATCH_OPENAI] = {"openai", "custom_id", "body", true, true, BATCH_CUSTOM_ID_BYTES_MAX},
    [BATCH_ANTHROPIC] = {"anthropic", "custom_id", "params", false, true, 64},
    [BATCH_GEMINI] = {"gemini", "key", "request", false, false, BATCH_CUSTOM_ID_BYTES_MAX},
};
enum { FORM_COUNT = sizeof forms / sizeof forms[0] };

const struct batch_endpoint *batch_endpoint_find(enum batch_form form, struct str url)
{
    for (size_t i = 0; i < sizeof endpoints / sizeof endpoints[0]; i++)
        if (endpoints[i].form == form && str_eq(url, str_from_cstr(endpoints[i].url)))
            return &endpoints[i];
    return NULL;
}

struct str batch_form_name(enum batch_form form)
{
    return str_from_cstr(forms[form].name);
}

enum batch_form batch_form_of(struct str name)
{
    enum batch_form form = FORM_COUNT - 1;
    while (form > BATCH_OPENAI && !str_eq(name, batch_form_name(form)))
        form--;
    return form;
}

/* ---- One line -------------------------------------------------------------------------------- */

static const char *complaint_about_body(yyjson_val *body)
{
    bool is_streamed = false, is_background = false;
    if (!yyjson_is_obj(body))
        return "its request must be an object";
    if (json_get_bool(body, "stream", &is_streamed) && is_streamed)
        return "answers of a batch are not streamed";
    if (json_get_bool(body, "background", &is_background) && is_background)
        return "a batch is in the background already";
    if (json_get(body, "models") || json_get(body, "fallbacks"))
        return "further models are not tried in batches: name a route";
    if (json_get_str(body, "previous_response_id").data || json_get(body, "conversation"))
        return "a batch has no answers from before: send the whole conversation";
    if (llm_refuse_redirections(body, NULL) != ERR_OK)
        return "a request may not say where it is sent or with which key";
    return NULL;
}

/* A line may repeat the model of its batch. */
static bool is_other_model(struct str model, struct str asked)
{
    if (str_starts_with(asked, STR("models/")))
        asked = str_skip(asked, 7);
    return model.len && asked.len && !str_eq(model, asked);
}

static const char *complaint(const struct batch_endpoint *endpoint, yyjson_val *root,
                             struct str custom_id, struct str model)
{
    const struct form_row *form = &forms[endpoint->form];
    yyjson_val *body = json_get(root, form->body);
    if (!yyjson_is_obj(root))
        return "it is not a JSON object";
    if (custom_id.len == 0 && form->needs_id)
        return "custom_id is missing";
    if (custom_id.len > form->custom_id_bytes_max)
        return form->needs_id ? "custom_id is too long" : "key is too long";
    if (is_other_model(model, json_get_str(body, "model")))
        return "all lines ask the model of their batch";
    if (form->has_url && !str_eq(json_get_str(root, "method"), STR("POST")))
        return "method must be POST";
    if (form->has_url && !str_eq(json_get_str(root, "url"), str_from_cstr(endpoint->url)))
        return "url must be the batch's endpoint";
    return complaint_about_body(body);
}

/* What lines have been called so far, and what is needed while one is read. */
struct reading {
    struct arena *arena;   /* of what is kept */
    struct arena *scratch; /* of one line */
    const struct batch_endpoint *endpoint;
    struct str model; /* of all lines; none: each has its own */
    struct map *names;
};

static void read_line(struct reading *reading, struct batch_line *line)
{
    yyjson_val *root = NULL;
    arena_reset(reading->scratch);
    if (line->text.len > LINE_BYTES_MAX) {
        line->wrong = "it is too long";
        return;
    }
    if (json_read(reading->scratch, line->text, &root, NULL) != ERR_OK) {
        line->wrong = "it is not JSON";
        return;
    }
    const struct form_row *form = &forms[reading->endpoint->form];
    struct str custom_id = json_get_str(root, form->custom_id);
    line->wrong = complaint(reading->endpoint, root, custom_id, reading->model);
    if (!form->needs_id && yyjson_is_obj(json_get(root, "metadata")))
        line->metadata =
            arena_str(reading->arena, json_text(reading->scratch, json_get(root, "metadata")));
    if (custom_id.len == 0 || custom_id.len > BATCH_CUSTOM_ID_BYTES_MAX)
        return;
    line->custom_id = arena_str(reading->arena, custom_id);
    if (form->needs_id && map_set(reading->names, line->custom_id, line))
        line->wrong = "custom_id was used by a line before";
}

static enum err read_lines(struct reading *reading, struct str content, struct batch_input *ret,
                           struct error *error)
{
    size_t capacity = 0;
    if (str_starts_with(content, STR("\xEF\xBB\xBF")))
        content = str_skip(content, 3);
    for (int64_t number = 1; content.data && content.len; number++) {
        struct str text = str_trim(str_next(&content, '\n'));
        if (!text.len)
            continue;
        if (ret->count == BATCH_LINES_MAX)
            return error_set(error, ERR_TOO_BIG, "input_file_id", "more than %d lines",
                             BATCH_LINES_MAX);
        struct batch_line *line = VEC_PUSH(reading->arena, ret->lines, ret->count, capacity);
        line->number = number;
        line->text = text;
        line->model = reading->model;
        read_line(reading, line);
    }
    if (ret->count == 0)
        return error_set(error, ERR_INVALID, "input_file_id", "there is no line in it");
    return ERR_OK;
}

enum err batch_input_read(struct arena *arena, const struct batch_endpoint *endpoint,
                          struct str content, struct str model, struct batch_input *ret_input,
                          struct error *error)
{
    struct reading reading = {.arena = arena,
                              .scratch = arena_new(LINE_ARENA_BYTES_MAX),
                              .endpoint = endpoint,
                              .model = endpoint->dialect->model_in_path ? model : STR_NONE,
                              .names = map_new()};
    struct batch_input input = {0};
    enum err code = read_lines(&reading, content, &input, error);
    map_free(reading.names);
    arena_free(reading.scratch);
    if (code == ERR_OK)
        *ret_input = input;
    return code;
}

/* As text, without the members of that name. */
static struct str text_without(struct arena *arena, yyjson_val *object, struct str name)
{
    size_t index, max;
    yyjson_val *key, *value;
    struct json_writer w;
    struct buf out;
    buf_init(&out, LINE_BYTES_MAX);
    json_writer_init(&w, &out);
    json_begin_object(&w);
    yyjson_obj_foreach (object, index, max, key, value) {
        if (str_eq(json_str(key), name))
            continue;
        json_key(&w, json_str(key));
        json_put_val(&w, value);
    }
    json_end_object(&w);
    struct str text = buf_ok(&out) ? arena_str(arena, buf_str(&out)) : STR_NONE;
    buf_done(&out);
    return text;
}

enum err batch_line_body(struct arena *arena, const struct batch_endpoint *endpoint,
                         const struct batch_line *line, yyjson_val **ret_body, struct str *ret_text,
                         struct error *error)
{
    yyjson_val *root;
    enum err code = json_read(arena, line->text, &root, error);
    if (code != ERR_OK)
        return code;
    *ret_body = json_get(root, forms[endpoint->form].body);
    bool has_model = endpoint->dialect->model_in_path && json_get(*ret_body, "model");
    *ret_text =
        has_model ? text_without(arena, *ret_body, STR("model")) : json_text(arena, *ret_body);
    return has_model ? json_read(arena, *ret_text, ret_body, error) : ERR_OK;
}

/* ---- Anthropic's requests -------------------------------------------------------------------- */

static enum err check_request(yyjson_val *request, size_t index, struct map *names,
                              struct error *error)
{
    char field[64];
    struct str custom_id = json_get_str(request, "custom_id");
    const char *wrong = NULL;
    snprintf(field, sizeof field, "requests[%zu].custom_id", index);
    if (custom_id.len == 0 || custom_id.len > forms[BATCH_ANTHROPIC].custom_id_bytes_max)
        wrong = "must be a string of 1 to 64 characters";
    else if (map_set(names, custom_id, request))
        wrong = "was used by a request before";
    if (wrong)
        return error_set(error, ERR_INVALID, field, "%s", wrong);
    snprintf(field, sizeof field, "requests[%zu].params", index);
    if (!yyjson_is_obj(json_get(request, "params")))
        return error_set(error, ERR_INVALID, field, "must be an object");
    return ERR_OK;
}

static void write_request(yyjson_val *request, struct buf *out)
{
    struct json_writer w;
    json_writer_init(&w, out);
    json_begin_object(&w);
    json_key_str(&w, "custom_id", json_get_str(request, "custom_id"));
    json_key(&w, STR("params"));
    json_put_val(&w, json_get(request, "params"));
    json_end_object(&w);
    buf_append_char(out, '\n');
}

static enum err write_anthropic(void *user, yyjson_val *request, size_t index, struct buf *out,
                                struct error *error)
{
    enum err code = check_request(request, index, user, error);
    if (code == ERR_OK)
        write_request(request, out);
    return code;
}

enum err batch_input_of_list(yyjson_val *requests, const char *field, batch_write_line_fn *write,
                             void *user, struct buf *out, struct error *error)
{
    size_t index = 0;
    enum err code = ERR_OK;
    if (!yyjson_is_arr(requests) || yyjson_arr_size(requests) == 0)
        return error_set(error, ERR_INVALID, field, "must be a list of requests");
    if (yyjson_arr_size(requests) > BATCH_LINES_MAX)
        return error_set(error, ERR_TOO_BIG, field, "must be %d at most", BATCH_LINES_MAX);
    yyjson_arr_iter iter = yyjson_arr_iter_with(requests);
    for (yyjson_val *request; code == ERR_OK && (request = yyjson_arr_iter_next(&iter)); index++)
        code = write(user, request, index, out, error);
    if (code == ERR_OK && !buf_ok(out))
        return error_set(error, ERR_TOO_BIG, field, "is too long");
    return code;
}

enum err batch_input_of_requests(struct arena *arena, struct str body, struct buf *out,
                                 struct error *error)
{
    yyjson_val *root;
    enum err code = json_read(arena, body, &root, error);
    if (code != ERR_OK)
        return code;
    struct map *names = map_new();
    code = batch_input_of_list(json_get(root, "requests"), "requests", write_anthropic, names, out,
                               error);
    map_free(names);
    return code;
}
