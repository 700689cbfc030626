/* The doors that programs know already: the paths of OpenAI, Anthropic, Gemini and Ollama, each in
 * its own dialect, to every model. Lists of models are models_door.c's. */
#include "api/completion.h"
#include "api/counts.h"
#include "api/embeddings.h"
#include "api/gemini_batches.h"
#include "base/clock.h"

#define EVENT_STREAM "text/event-stream"
#define NDJSON       "application/x-ndjson"

/* ---- OpenAI ---------------------------------------------------------------------------------- */

void api_openai_chat(struct api_request *request)
{
    static const struct completion_form form = {
        .dialect = &dialect_openai_chat, .stream_type = EVENT_STREAM, .id_prefix = "chatcmpl-"};
    completion_start(request, &form);
}

void api_openai_responses(struct api_request *request)
{
    static const struct completion_form form = {.dialect = &dialect_openai_responses,
                                                .stream_type = EVENT_STREAM,
                                                .id_prefix = "resp_",
                                                .has_usage = true,
                                                .follows_raw = true,
                                                .keeps = true};
    completion_start(request, &form);
}

/* ---- Anthropic ------------------------------------------------------------------------------- */

/* Where tokens are counted it is not needed, so the dialect's decoder does not insist. */
static enum err need_max_tokens(struct api_request *request, struct llm_request *llm,
                                struct error *error)
{
    (void)request;
    if (llm->max_output_tokens.is_set)
        return ERR_OK;
    return error_set(error, ERR_INVALID, "max_tokens", "is required");
}

void api_anthropic_messages(struct api_request *request)
{
    static const struct completion_form form = {.dialect = &dialect_anthropic,
                                                .stream_type = EVENT_STREAM,
                                                .id_prefix = "msg_",
                                                .add_path = need_max_tokens,
                                                .has_usage = true,
                                                .follows_raw = true};
    completion_start(request, &form);
}

void api_anthropic_count(struct api_request *request)
{
    counts_start(request, &dialect_anthropic, STR_NONE);
}

/* ---- Gemini: the path says model and method -------------------------------------------------- */

/* "provider/model:method" in its two parts; without a method *ret_method is empty. */
static struct str split_method(struct str rest, struct str *ret_method)
{
    size_t colon = rest.len;
    while (colon > 0 && rest.data[colon - 1] != ':' && rest.data[colon - 1] != '/')
        colon--;
    bool has = colon > 0 && rest.data[colon - 1] == ':';
    *ret_method = has ? str_skip(rest, colon) : STR("");
    return has ? str_slice(rest, 0, colon - 1) : rest;
}

static enum err add_gemini_path(struct api_request *request, struct llm_request *llm,
                                struct error *error)
{
    struct str method;
    (void)error;
    llm->model = split_method(request->parameters[0], &method);
    llm->stream = str_eq(method, STR("streamGenerateContent")) &&
                  str_eq(api_query(request, "alt"), STR("sse"));
    return ERR_OK;
}

void api_gemini_model(struct api_request *request)
{
    static const struct completion_form plain = {.dialect = &dialect_gemini,
                                                 .stream_type = EVENT_STREAM,
                                                 .id_prefix = "",
                                                 .has_usage = true,
                                                 .add_path = add_gemini_path};
    static const struct completion_form array = {.dialect = &dialect_gemini,
                                                 .stream_type = EVENT_STREAM,
                                                 .id_prefix = "",
                                                 .has_usage = true,
                                                 .add_path = add_gemini_path,
                                                 .is_array = true};
    struct str method;
    struct str model = split_method(request->parameters[0], &method);
    bool is_stream = str_eq(method, STR("streamGenerateContent"));
    if (str_eq(method, STR("generateContent")))
        completion_start(request, &plain);
    else if (is_stream)
        completion_start(request, str_eq(api_query(request, "alt"), STR("sse")) ? &plain : &array);
    else if (str_eq(method, STR("countTokens")))
        counts_start(request, &dialect_gemini, model);
    else if (str_eq(method, STR("embedContent")))
        embeddings_start(request, &embedding_gemini_single, model);
    else if (str_eq(method, STR("batchEmbedContents")))
        embeddings_start(request, &embedding_gemini, model);
    else if (str_eq(method, STR("batchGenerateContent")))
        gemini_post_batch(request, model);
    else
        api_fail(request, ERR_NOT_FOUND, NULL);
}

/* POST: a method of provider/model. */
void api_gemini_slash(struct api_request *request)
{
    request->parameters[0] =
        arena_printf(request->arena, "%.*s/%.*s", STR_ARG(request->parameters[0]),
                     STR_ARG(request->parameters[1]));
    api_gemini_model(request);
}

/* ---- Ollama ---------------------------------------------------------------------------------- */

void api_ollama_chat(struct api_request *request)
{
    static const struct completion_form form = {
        .dialect = &dialect_ollama, .stream_type = NDJSON, .has_usage = true};
    completion_start(request, &form);
}

/* A request without a prompt loads the model: here they are always loaded. */
static void answer_loaded(struct api_request *request, struct str model, bool is_stream)
{
    const struct catalog *catalog = registry_acquire(request->api->options.registry);
    struct llm_response response = {.model = model,
                                    .finish = LLM_FINISH_OTHER,
                                    .finish_raw = STR("load"),
                                    .usage = LLM_USAGE_UNKNOWN};
    struct error error = {0};
    struct buf out;
    enum err code = catalog_check(catalog, model, &error);
    catalog_unref(catalog);
    if (api_failed(request, code, &error))
        return;
    buf_init(&out, 64 * 1024);
    dialect_ollama_generate.encode_response(request->arena, &response, clock_wall_ms(), &out, NULL);
    if (is_stream)
        buf_append_char(&out, '\n');
    http_respond(request->exchange, 200, is_stream ? NDJSON : "application/json", buf_str(&out));
    buf_done(&out);
}

/* Whether the body is right and asks nothing; then its model. */
static bool is_load(struct api_request *request, struct arena *scratch, struct str *ret_model,
                    bool *ret_stream)
{
    struct llm_request llm = {0};
    yyjson_val *root;
    if (json_read(scratch, request->http->body, &root, NULL) != ERR_OK ||
        json_get_str(root, "prompt").len ||
        dialect_ollama_generate.decode_request(scratch, root, &llm, NULL) != ERR_OK ||
        (llm.message_count && llm.messages[llm.message_count - 1].role == LLM_USER))
        return false;
    *ret_model = arena_str(request->arena, llm.model);
    *ret_stream = llm.stream;
    return true;
}

void api_ollama_generate(struct api_request *request)
{
    static const struct completion_form form = {
        .dialect = &dialect_ollama_generate, .stream_type = NDJSON, .has_usage = true};
    struct loop *loop = request->api->options.loop;
    struct arena *scratch = loop_scratch_borrow(loop);
    struct str model;
    bool is_stream, loads = is_load(request, scratch, &model, &is_stream);
    loop_scratch_return(loop, scratch);
    if (loads)
        answer_loaded(request, model, is_stream);
    else
        completion_start(request, &form);
}
