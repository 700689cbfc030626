/* Passthrough: /p/{provider}/... hands a request through to a provider as it is: below its base URL,
 * with its credentials, limits and ledger. What the request says of a model is read for the scope and
 * the ledger only where the path says that it counts; elsewhere it says no more than a price. */
#include "api/relay_door.h"
#include "llm/estimate.h"
#include "llm/foreign.h"
#include "wire/url.h"

struct passthrough {
    struct relay_door door; /* first */
    struct str path;        /* and query, behind the base URL */
};

/* ---- The address ----------------------------------------------------------------------------- */

/* Names of parameters that carry a key. */
static bool is_credential(struct arena *arena, struct str pair)
{
    static const char *const names[] = {"key", "api_key", "api-key", "apikey", "access_token"};
    struct str name;
    if (!url_decode(arena, str_slice(pair, 0, str_find_char(pair, '=')), &name))
        return true; /* who knows */
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (str_eq_nocase(name, str_from_cstr(names[i])))
            return true;
    return false;
}

/* What stands behind "/p/{provider}", as it was sent, with the query but for keys. */
static struct str address_of(struct api_request *request)
{
    struct str rest = str_skip(request->path, 3);
    struct str query = request->http->query;
    struct buf out;
    char mark = '?';
    buf_init(&out, 2 * HTTP_TARGET_BYTES_MAX);
    buf_append(&out, str_skip(rest, str_find_char(rest, '/')));
    while (query.len) {
        struct str pair = str_next(&query, '&');
        if (!pair.len || is_credential(request->arena, pair))
            continue;
        buf_append_char(&out, mark);
        buf_append(&out, pair);
        mark = '&';
    }
    struct str address = arena_str(request->arena, buf_str(&out));
    buf_done(&out);
    return address;
}

/* ---- What it is about ------------------------------------------------------------------------ */

/* Paths, as they are or below /v1, whose body names the one model that is asked, and the dialect of
 * those that are chats. The whole path counts: below others the same words mean other things (a
 * deployment in the path goes before the body's model, messages are a thread's). */
static const struct {
    const char *path;
    const struct dialect *dialect; /* NULL: no chat */
} known[] = {
    {"/chat/completions", &dialect_openai_chat},
    {"/responses", &dialect_openai_responses},
    {"/messages", &dialect_anthropic},
    {"/messages/count_tokens", NULL},
    {"/api/chat", &dialect_ollama},
    {"/api/generate", NULL},
    {"/api/embed", NULL},
    {"/completions", NULL},
    {"/embeddings", NULL},
    {"/rerank", NULL},
    {"/moderations", NULL},
    {"/images/generations", NULL},
    {"/audio/speech", NULL},
};

/* The model of a body; none when it says two, of which nobody knows which one counts. */
static struct str model_of_body(struct arena *arena, yyjson_val *root)
{
    struct str found = STR_NONE;
    size_t index, count;
    yyjson_val *key, *value;
    if (!yyjson_is_obj(root))
        return STR_NONE;
    yyjson_obj_foreach (root, index, count, key, value) {
        if (!str_eq_nocase(json_str(key), STR("model")))
            continue;
        if (found.data)
            return STR_NONE;
        found = json_str(value);
    }
    return arena_str(arena, found);
}

/* Without the version that some base URLs leave to the path. */
static struct str without_version(struct str path)
{
    static const struct str versions[] = {{"/v1beta/", 8}, {"/v1/", 4}};
    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++)
        if (str_starts_with(path, versions[i]))
            return str_skip(path, versions[i].len - 1);
    return path;
}

/* "/models/{model}:{method}" of Gemini. */
static struct str model_of_path(struct arena *arena, struct str path,
                                const struct dialect **ret_dialect)
{
    static const char *const methods[] = {"generateContent", "streamGenerateContent", "countTokens",
                                          "embedContent", "batchEmbedContents"};
    struct str model = STR_NONE;
    if (!str_starts_with(path, STR("/models/")))
        return STR_NONE;
    struct str rest = str_skip(path, 8);
    size_t colon = str_find_char(rest, ':');
    struct str method = colon == SIZE_MAX ? STR_NONE : str_skip(rest, colon + 1);
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (!str_eq(method, str_from_cstr(methods[i])))
            continue;
        if (i < 2)
            *ret_dialect = &dialect_gemini;
        if (url_decode(arena, str_slice(rest, 0, colon), &model))
            return model;
    }
    return STR_NONE;
}

static bool is_json(const struct api_request *request)
{
    struct str type = http_headers_get(&request->http->headers, "content-type");
    return str_find_nocase(type, STR("json")) != SIZE_MAX;
}

/* Some readers take an object for one whatever the type says. */
static bool may_be_object(struct str body)
{
    return str_starts_with(str_trim(body), STR("{"));
}

/* What it may use, as for a chat at another door; of what is none the text of the body counts. */
static void estimate(struct passthrough *p, struct arena *scratch, yyjson_val *root,
                     struct relay_request *ask)
{
    const struct dialect *dialect = p->door.dialect;
    struct llm_request llm;
    struct error ignored;
    if (!root)
        return;
    if (dialect && dialect->decode_request(scratch, root, &llm, &ignored) == ERR_OK) {
        ask->input_tokens = llm_estimate_request(&llm);
        ask->output_tokens = llm.max_output_tokens.is_set ? llm.max_output_tokens.value : 0;
        return;
    }
    struct llm_estimate text = {0};
    llm_estimate_add_long(&text, p->door.request->http->body);
    ask->input_tokens = llm_estimate_tokens(&text);
}

/* Reads what can be read, in `scratch`. A body that is no JSON goes on as it is. */
static enum err read_request(struct passthrough *p, struct arena *scratch,
                             struct relay_request *ask, yyjson_val **ret_root, struct error *error)
{
    struct api_request *request = p->door.request;
    struct str path = without_version(str_slice(p->path, 0, str_find_char(p->path, '?')));
    *ret_root = NULL;
    ask->model = model_of_path(request->arena, path, &p->door.dialect);
    if (may_be_object(request->http->body) &&
        json_read(scratch, request->http->body, ret_root, NULL) != ERR_OK)
        *ret_root = NULL;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (request->http->method != HTTP_POST || !str_eq(path, str_from_cstr(known[i].path)))
            continue;
        p->door.dialect = known[i].dialect;
        ask->model = is_json(request) ? model_of_body(request->arena, *ret_root) : STR_NONE;
        break;
    }
    if (!ask->model.len)
        ask->priced_as = model_of_body(request->arena, *ret_root);
    estimate(p, scratch, *ret_root, ask);
    return llm_refuse_redirections(*ret_root, error);
}

/* ---- Handing it through ---------------------------------------------------------------------- */

static enum err prepare(void *user, struct arena *scratch, struct relay_attempt *attempt,
                        struct error *error)
{
    struct passthrough *p = user;
    const struct http_request *http = p->door.request->http;
    (void)scratch;
    (void)error;
    attempt->method = http->method;
    attempt->path = p->path;
    attempt->body = http->body;
    attempt->content_type = http_headers_get(&http->headers, "content-type");
    attempt->headers = &http->headers;
    return ERR_OK;
}

static bool is_safe(enum http_method method)
{
    return method == HTTP_GET || method == HTTP_HEAD;
}

static void start(struct passthrough *p, struct arena *scratch)
{
    struct api_request *request = p->door.request;
    struct error error = {0};
    yyjson_val *root;
    struct relay_request ask = {
        .provider = request->parameters[0],
        .is_retried = is_safe(request->http->method),
        .body_bytes_max = UINT64_MAX,
        .prepare = prepare,
    };
    enum err code = read_request(p, scratch, &ask, &root, &error);
    if (!api_failed(request, code, &error))
        relay_door_start(&p->door, &ask, root);
}

static void hand_through(struct api_request *request)
{
    struct passthrough *p = ARENA_NEW(request->arena, struct passthrough);
    struct loop *loop = request->api->options.loop;
    struct error error = {0};
    p->door.request = request;
    p->door.reads_any = true;
    p->path = address_of(request);
    p->door.location = arena_printf(request->arena, "/p/%.*s", STR_ARG(request->parameters[0]));
    if (!url_path_is_contained(str_slice(p->path, 0, str_find_char(p->path, '?')))) {
        error_set(&error, ERR_NOT_FOUND, NULL, "a path may not lead elsewhere");
        api_fail(request, ERR_NOT_FOUND, &error);
        return;
    }
    struct arena *scratch = loop_scratch_borrow(loop);
    start(p, scratch);
    loop_scratch_return(loop, scratch);
}

#define PATTERN "/p/{provider}/{rest...}"
#define OPENAI  &dialect_openai_chat

const struct endpoint passthrough_endpoints[] = {
    {HTTP_GET, PATTERN, VERB_CHAT, OPENAI, hand_through, NULL, 0,
     "Hands a request through to a provider as it is."},
    {HTTP_POST, PATTERN, VERB_CHAT, OPENAI, hand_through, NULL, API_BODY_LARGE,
     "The same, with a body of any kind."},
    {HTTP_PUT, PATTERN, VERB_CHAT, OPENAI, hand_through, NULL, API_BODY_LARGE, "The same."},
    {HTTP_PATCH, PATTERN, VERB_CHAT, OPENAI, hand_through, NULL, API_BODY_LARGE, "The same."},
    {HTTP_DELETE, PATTERN, VERB_CHAT, OPENAI, hand_through, NULL, API_BODY_SMALL, "The same."},
    {0},
};
