/* Counts: Anthropic's count_tokens and Gemini's countTokens. Whom they ask, and what is kept, is
 * route/count.h's; here a request is read and its answer sent. The client's leaving cancels it. */
#include "api/counts.h"

#include "api/cache_control.h"
#include "api/chain.h"
#include "api/origin.h"
#include "llm/foreign.h"
#include "route/count.h"

enum { ANSWER_BYTES_MAX = 1024 };

struct count_door { /* in the exchange's arena, as all that was asked */
    struct api_request *request;
    const struct counting_form *form;
    struct count *count;
    struct llm_request asked;
    struct api_chain chain;
    uint64_t keep_seconds;
};

/* ---- The answer ------------------------------------------------------------------------------ */

static void on_done(void *user, const struct count_result *result)
{
    static const char *const sources[] = {
        [COUNT_ESTIMATE] = "estimate", [COUNT_PROVIDER] = "provider", [COUNT_CACHED] = "cached"};
    struct count_door *door = user;
    struct api_request *request = door->request;
    struct buf out;
    if (result->error) {
        api_fail_llm(request, result->error);
        return;
    }
    api_write_asked(request, result->target, result->attempts, result->dropped);
    http_respond_header(request->exchange, "x-parley-count",
                        str_from_cstr(sources[result->source]));
    if (result->source == COUNT_ESTIMATE)
        http_respond_header(request->exchange, "x-parley-estimated", STR("true"));
    buf_init(&out, ANSWER_BYTES_MAX);
    counting_encode_answer(door->form, result->tokens, &out);
    http_respond(request->exchange, 200, "application/json", buf_str(&out));
    buf_done(&out);
}

static void on_abort(void *user)
{
    struct count_door *door = user;
    count_cancel(door->count);
    http_respond_break(door->request->exchange);
}

/* ---- The request ----------------------------------------------------------------------------- */

static enum err decode(struct count_door *door, struct str model, yyjson_val **ret_root,
                       struct error *error)
{
    struct api_request *request = door->request;
    struct llm_request *asked = &door->asked;
    enum err code = json_read(request->arena, request->http->body, ret_root, error);
    if (code == ERR_OK)
        code = llm_refuse_redirections(*ret_root, error);
    if (code == ERR_OK)
        code = counting_decode_request(door->form, request->arena, *ret_root, asked, error);
    door->keep_seconds = request->api->options.count_seconds;
    if (code == ERR_OK)
        code = api_keep_seconds_read(&request->http->headers, door->keep_seconds,
                                     &door->keep_seconds, error);
    if (code != ERR_OK)
        return code;
    if (model.data)
        asked->model = model;
    asked->unmapped_count = api_chain_unmapped(asked->unmapped, asked->unmapped_count);
    return api_chain_read(request->arena, *ret_root, &asked->model, &door->chain, error);
}

static enum err ask(struct count_door *door, yyjson_val *root, struct error *error)
{
    struct api_request *request = door->request;
    const struct http_headers *headers = &request->http->headers;
    struct api_origin origin;
    enum err code = api_origin_open(request, root, request->arena, &origin, error);
    const struct count_request count = {
        .origin = &origin.governor,
        .form = door->form,
        .asked = &door->asked,
        .body = request->http->body,
        .headers = headers,
        .chain = door->chain.names,
        .chain_count = door->chain.count,
        .strict = str_eq_nocase(http_headers_get(headers, "x-parley-strict"), STR("true")),
        .memo = request->api->options.count_memo,
        .keeper = id_str(&request->who.user),
        .keep_seconds = door->keep_seconds,
    };
    if (code == ERR_OK)
        code =
            count_start(request->api->options.router, &count, on_done, door, &door->count, error);
    return code;
}

void counts_start(struct api_request *request, const struct dialect *dialect, struct str model)
{
    struct count_door *door = ARENA_NEW(request->arena, struct count_door);
    struct error error = {0};
    yyjson_val *root = NULL;
    *door = (struct count_door){.request = request, .form = counting_form_of(dialect)};
    enum err code = decode(door, model, &root, &error);
    if (code == ERR_OK)
        code = ask(door, root, &error);
    if (!api_failed(request, code, &error))
        http_exchange_on_abort(request->exchange, on_abort, door);
}
