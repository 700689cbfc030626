/* Embeddings: the doors that make vectors of texts, in the forms of OpenAI, Gemini and Ollama. Whom
 * they ask, and what is kept, is route/embed.h's; here a request is read and its answer sent. The
 * client's leaving cancels it. */
#include "api/embeddings.h"

#include "api/cache_control.h"
#include "api/chain.h"
#include "api/origin.h"
#include "llm/foreign.h"
#include "route/embed.h"

enum {
    ANSWER_BYTES_MAX = 1024 * 1024, /* of nothing */
    ARENA_BYTES_MAX = 512 * 1024 * 1024,
    SECONDS_DEFAULT = 24 * 3600 /* vectors of a model do not change */
};

struct embedding_call {
    struct api_request *request;
    const struct embedding_codec *form; /* the door's */
    struct arena *arena;                /* of what was asked; the call itself is in it */
    struct embed *embed;
    struct embedding_request asked;
    struct api_chain chain;
    uint64_t keep_seconds; /* as the request says alone; 0: nothing is looked up nor kept */
};

static void call_free(struct embedding_call *call)
{
    arena_free(call->arena);
}

/* ---- The answer ------------------------------------------------------------------------------ */

static void write_head(struct api_request *request, const struct embed_result *result)
{
    static const char *const kept[] = {
        [EMBED_MISS] = "miss", [EMBED_PARTIAL] = "partial", [EMBED_HIT] = "hit"};
    api_write_asked(request, result->target, result->attempts, result->dropped);
    if (result->kept != EMBED_UNKEPT)
        http_respond_header(request->exchange, "x-parley-cache", str_from_cstr(kept[result->kept]));
    if (result->limits)
        api_write_limits(request, result->limits);
}

static void on_done(void *user, const struct embed_result *result)
{
    struct embedding_call *call = user;
    struct api_request *request = call->request;
    call_free(call);
    write_head(request, result);
    if (result->error)
        api_fail_llm(request, result->error);
    else
        http_respond(request->exchange, 200, "application/json", buf_str(result->body));
}

static void on_abort(void *user)
{
    struct embedding_call *call = user;
    struct http_exchange *exchange = call->request->exchange;
    embed_cancel(call->embed);
    call_free(call);
    http_respond_break(exchange);
}

/* ---- The request ----------------------------------------------------------------------------- */

/* Strings live as long as the call, values only in `values`. */
static enum err decode(struct embedding_call *call, struct str model, struct arena *values,
                       yyjson_val **ret_root, struct error *error)
{
    struct embedding_request *asked = &call->asked;
    enum err code =
        json_read_split(call->arena, values, call->request->http->body, ret_root, error);
    if (code == ERR_OK)
        code = llm_refuse_redirections(*ret_root, error);
    if (code == ERR_OK)
        code = call->form->decode_request(call->arena, *ret_root, asked, error);
    if (code == ERR_OK)
        code = api_keep_seconds_read(&call->request->http->headers, SECONDS_DEFAULT,
                                     &call->keep_seconds, error);
    if (code != ERR_OK)
        return code;
    if (model.data)
        asked->model = model;
    asked->unmapped_count = api_chain_unmapped(asked->unmapped, asked->unmapped_count);
    code = api_chain_read(call->arena, *ret_root, &asked->model, &call->chain, error);
    if (code == ERR_OK && !asked->model.len)
        code = error_set(error, ERR_INVALID, "model", "is required");
    return code;
}

static enum err ask(struct embedding_call *call, yyjson_val *root, struct error *error)
{
    struct api_request *request = call->request;
    struct str strict = http_headers_get(&request->http->headers, "x-parley-strict");
    struct api_origin origin;
    enum err code = api_origin_open(request, root, call->arena, &origin, error);
    const struct embed_request embed = {
        .origin = &origin.governor,
        .form = call->form,
        .asked = &call->asked,
        .chain = call->chain.names,
        .chain_count = call->chain.count,
        .body = request->http->body,
        .strict = str_eq_nocase(strict, STR("true")),
        .memo = request->api->options.memo,
        .keeper = id_str(&request->who.user),
        .keep_seconds = call->keep_seconds,
    };
    if (code == ERR_OK)
        code =
            embed_start(request->api->options.router, &embed, on_done, call, &call->embed, error);
    return code;
}

/* Nothing to embed is no error where the form allows it, for a model that is there. */
static void answer_nothing(struct embedding_call *call)
{
    struct api_request *request = call->request;
    const struct embedding_answer nothing = {.model = call->asked.model,
                                             .usage = LLM_USAGE_UNKNOWN};
    const struct catalog *catalog = registry_acquire(request->api->options.registry);
    struct error error = {0};
    struct buf out;
    unsigned losses = 0;
    enum err code = catalog_check(catalog, call->asked.model, &error);
    catalog_unref(catalog);
    buf_init(&out, ANSWER_BYTES_MAX);
    call->form->encode_answer(&nothing, call->asked.encoding, &out, &losses);
    call_free(call);
    if (!api_failed(request, code, &error)) {
        write_head(request, &(struct embed_result){.target = STR_NONE});
        http_respond(request->exchange, 200, "application/json", buf_str(&out));
    }
    buf_done(&out);
}

void embeddings_start(struct api_request *request, const struct embedding_codec *form,
                      struct str model)
{
    struct arena *arena = arena_new(ARENA_BYTES_MAX);
    struct arena *values = arena_new(SIZE_MAX); /* the body is bounded */
    struct embedding_call *call = ARENA_NEW(arena, struct embedding_call);
    struct error error = {0};
    yyjson_val *root = NULL;
    call->arena = arena;
    call->request = request;
    call->form = form;
    enum err code = decode(call, model, values, &root, &error);
    bool is_empty = code == ERR_OK && !call->asked.input_count;
    if (code == ERR_OK && !is_empty)
        code = ask(call, root, &error);
    arena_free(values);
    if (is_empty) {
        answer_nothing(call);
    } else if (code != ERR_OK) {
        call_free(call);
        api_fail(request, code, &error);
    } else {
        http_exchange_on_abort(request->exchange, on_abort, call);
    }
}

/* ---- The doors: Gemini's are api_gemini_model's ---------------------------------------------- */

static void post_openai(struct api_request *request)
{
    embeddings_start(request, &embedding_openai, STR_NONE);
}

static void post_ollama(struct api_request *request)
{
    embeddings_start(request, &embedding_ollama, STR_NONE);
}

static void post_ollama_single(struct api_request *request)
{
    embeddings_start(request, &embedding_ollama_single, STR_NONE);
}

const struct endpoint embedding_endpoints[] = {
    {HTTP_POST, "/v1/embeddings", VERB_CHAT, &dialect_openai_chat, post_openai, NULL,
     API_BODY_LARGE, "OpenAI embeddings, as floats or base64, of any provider that makes some."},
    {HTTP_POST, "/api/embed", VERB_CHAT, &dialect_ollama, post_ollama, NULL, API_BODY_LARGE,
     "Ollama embeddings, of any provider that makes some."},
    {HTTP_POST, "/api/embeddings", VERB_CHAT, &dialect_ollama, post_ollama_single, NULL,
     API_BODY_LARGE, "Ollama: the older form, of one prompt."},
    {0},
};
