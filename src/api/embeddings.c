/* Embeddings: the doors that make vectors of texts, in the forms of OpenAI, Gemini and Ollama, through
 * the relay to any provider that makes some. Whoever speaks the caller's own form gets the caller's own
 * bytes, and its answer goes back as it came; for the others both are translated. Vectors that are kept
 * (memo.h) are not asked for again: only what is missing is, and the answer put together in order.
 *
 *   embeddings_start --relay_start--> ASKING --on_end: answer_whole, fail--> ended
 *                                       |  ^ prepare: one target after the other
 *                                       \--prepare: everything is kept--> on_end
 *
 * The client's leaving cancels it. */
#include "api/embeddings.h"

#include <string.h>

#include "api/origin.h"
#include "base/clock.h"
#include "llm/foreign.h"
#include "llm/passthrough.h"
#include "route/memo.h"
#include "route/relay.h"

enum {
    ANSWER_BYTES_MAX = 64 * 1024 * 1024,
    REQUEST_BYTES_MAX = 256 * 1024 * 1024,
    ARENA_BYTES_MAX = 512 * 1024 * 1024,
    SECONDS_DEFAULT = 24 * 3600, /* vectors of a model do not change */
    SECONDS_MAX = 30 * 24 * 3600
};

struct embedding_call {
    struct api_request *request;
    const struct embedding_codec *form; /* the door's */
    struct arena *arena;                /* of all that is below; the call itself is in it */
    struct relay *relay;
    struct embedding_request asked;
    bool strict;
    uint64_t keep_seconds; /* 0: nothing is looked up nor kept */
    /* Of the newest attempt. */
    struct str target;       /* its id */
    struct str target_model; /* as the provider names it */
    const struct provider_kind *kind;
    const struct embedding_codec *codec; /* how the provider is asked */
    bool is_raw;                         /* with the caller's bytes */
    struct str dropped;                  /* names of what was left out */
    struct str *kept;                    /* for each input its vector's bytes, or none */
    size_t missing_count;
    /* Its answer. */
    int status;
    struct http_headers headers;
    struct buf body;
    bool is_read; /* body was looked at */
    bool is_good; /* and is an answer to what was asked */
    struct embedding_answer answer;
};

static void call_free(struct embedding_call *call)
{
    buf_done(&call->body);
    arena_free(call->arena);
}

/* ---- What is kept ---------------------------------------------------------------------------- */

/* Who decides how long vectors are kept: the header of the request alone. `x-parley-cache` is a number
 * of seconds, true or false. */
static enum err read_keep_seconds(const struct api_request *request, uint64_t *ret_seconds,
                                  struct error *error)
{
    struct str value = http_headers_get(&request->http->headers, "x-parley-cache");
    uint64_t seconds = 0;
    if (str_eq_nocase(value, STR("true")))
        seconds = SECONDS_DEFAULT;
    else if (value.len && !str_eq_nocase(value, STR("false")) && !str_to_u64(value, &seconds))
        return error_set(error, ERR_INVALID, "x-parley-cache",
                         "must be a number of seconds, true or false");
    *ret_seconds = seconds < SECONDS_MAX ? seconds : SECONDS_MAX;
    return ERR_OK;
}

/* Members that we do not know may change what comes back. */
static bool may_keep(const struct embedding_call *call)
{
    return call->keep_seconds && call->request->api->options.memo && !call->asked.unmapped_count;
}

/* All of which a vector is a function, and whose it is. */
static struct memo_key key_of(const struct embedding_call *call, size_t index)
{
    const struct embedding_input *input = &call->asked.inputs[index];
    int64_t truncate = call->asked.truncate;
    const struct str parts[] = {
        id_str(&call->request->who.user),
        call->target,
        input->text,
        STR_FROM((const char *)input->tokens, input->token_count * sizeof *input->tokens),
        input->task,
        input->title,
        STR_FROM((const char *)&input->dimensions, sizeof input->dimensions),
        STR_FROM((const char *)&truncate, sizeof truncate),
    };
    return memo_key_of(parts, sizeof parts / sizeof *parts);
}

static void look_up(struct embedding_call *call)
{
    struct memo *memo = call->request->api->options.memo;
    uint64_t now_ms = clock_monotonic_ns() / 1000000;
    call->kept = ARENA_NEW_ARRAY(call->arena, call->asked.input_count, struct str);
    call->missing_count = call->asked.input_count;
    for (size_t i = 0; may_keep(call) && i < call->asked.input_count; i++) {
        struct memo_key key = key_of(call, i);
        if (memo_get(memo, &key, now_ms, call->arena, &call->kept[i]))
            call->missing_count--;
    }
}

static void keep(struct embedding_call *call)
{
    struct memo *memo = call->request->api->options.memo;
    uint64_t now_ms = clock_monotonic_ns() / 1000000;
    for (size_t i = 0, next = 0; may_keep(call) && i < call->asked.input_count; i++) {
        if (call->kept[i].data)
            continue;
        struct embedding_vector vector = call->answer.vectors[next++];
        struct memo_key key = key_of(call, i);
        char *bytes = arena_alloc(call->arena, vector.count * 4);
        embedding_pack(vector, bytes);
        memo_put(memo, &key, STR_FROM(bytes, vector.count * 4), now_ms, call->keep_seconds * 1000);
    }
}

/* ---- What is sent ---------------------------------------------------------------------------- */

static struct embedding_request missing_of(const struct embedding_call *call, struct arena *scratch)
{
    struct embedding_request missing = call->asked;
    missing.inputs = ARENA_NEW_ARRAY(scratch, call->missing_count, struct embedding_input);
    missing.input_count = 0;
    for (size_t i = 0; i < call->asked.input_count; i++)
        if (!call->kept[i].data)
            missing.inputs[missing.input_count++] = call->asked.inputs[i];
    return missing;
}

static void write_dropped(struct embedding_call *call, unsigned losses)
{
    struct buf names;
    buf_init(&names, 8192);
    embedding_losses_write(losses, &names);
    for (size_t i = 0; i < call->asked.unmapped_count && names.len < 4000; i++)
        buf_printf(&names, "%s%.*s", names.len ? ", " : "", STR_ARG(call->asked.unmapped[i]));
    call->dropped = arena_str(call->arena, buf_str(&names));
    buf_done(&names);
}

/* In the provider's form, and only what is not kept. */
static enum err translate(struct embedding_call *call, struct arena *scratch, struct buf *out,
                          struct error *error)
{
    unsigned losses = 0;
    struct embedding_request missing = missing_of(call, scratch);
    enum err code = call->codec->encode_request(&missing, call->target_model, out, &losses, error);
    if (code != ERR_OK)
        return code;
    write_dropped(call, losses);
    if (call->strict && call->dropped.len)
        return error_set(
            error, ERR_INVALID, "x-parley-strict", "%.*s cannot carry: %.*s", STR_ARG(call->target),
            (int)(call->dropped.len < 200 ? call->dropped.len : 200), call->dropped.data);
    return ERR_OK;
}

/* The caller's own bytes, but for the model, which Gemini's have in several places. */
static void forward(const struct embedding_call *call, struct arena *scratch, struct buf *out)
{
    struct str body = call->request->http->body;
    struct str model = call->target_model;
    if (call->form->dialect == &dialect_gemini)
        model = arena_printf(scratch, "models/%.*s", STR_ARG(model));
    if (call->form == &embedding_gemini)
        passthrough_with_model_in(body, STR("requests"), model, out);
    else
        passthrough_with_model(body, model, out);
}

static enum err write_body(struct embedding_call *call, struct arena *scratch,
                           struct relay_attempt *attempt, struct error *error)
{
    struct buf out;
    enum err code = ERR_OK;
    buf_init(&out, REQUEST_BYTES_MAX);
    call->dropped = STR_NONE;
    if (call->is_raw)
        forward(call, scratch, &out);
    else
        code = translate(call, scratch, &out, error);
    if (code == ERR_OK && !buf_ok(&out))
        code = error_set(error, ERR_TOO_BIG, NULL, "the request is too large for a provider");
    if (code == ERR_OK)
        attempt->body = arena_str(scratch, buf_str(&out));
    buf_done(&out);
    return code;
}

static enum err prepare(void *user, struct arena *scratch, struct relay_attempt *attempt,
                        struct error *error)
{
    struct embedding_call *call = user;
    const struct provider_kind *kind = attempt->provider->kind;
    const struct embedding_codec *codec =
        kind->path_embeddings ? embedding_codec_of(kind->dialect) : NULL;
    if (!codec)
        return ERR_UNSUPPORTED; /* told with who can: on_end */
    call->kind = kind;
    call->codec = codec;
    call->target = arena_str(call->arena, attempt->target->id);
    call->target_model = arena_str(call->arena, attempt->target->model);
    look_up(call);
    call->is_raw =
        codec->dialect == call->form->dialect && call->missing_count == call->asked.input_count;
    attempt->is_answered = call->missing_count == 0;
    if (attempt->is_answered)
        return ERR_OK;
    const char *path = call->is_raw && call->form->path ? call->form->path : kind->path_embeddings;
    attempt->method = HTTP_POST;
    attempt->path = provider_path(scratch, path, call->target_model);
    attempt->content_type = STR("application/json");
    if (!attempt->path.data)
        return error_set(error, ERR_INVALID, "model", "is too long");
    return write_body(call, scratch, attempt, error);
}

/* ---- The answer ------------------------------------------------------------------------------ */

static void write_head(struct embedding_call *call)
{
    struct http_exchange *exchange = call->request->exchange;
    size_t count = call->asked.input_count;
    char number[STR_U64_BYTES_MAX];
    if (call->target.len && http_header_is_valid(STR("x-parley-target"), call->target))
        http_respond_header(exchange, "x-parley-target", call->target);
    size_t len = str_from_u64(call->relay ? (uint64_t)relay_attempts(call->relay) : 0, number);
    http_respond_header(exchange, "x-parley-attempts", STR_FROM(number, len));
    if (call->dropped.len && http_header_is_valid(STR("x-parley-dropped"), call->dropped))
        http_respond_header(exchange, "x-parley-dropped", call->dropped);
    if (call->kept && may_keep(call))
        http_respond_header(exchange, "x-parley-cache",
                            call->missing_count == 0       ? STR("hit")
                            : call->missing_count == count ? STR("miss")
                                                           : STR("partial"));
    http_respond_header(exchange, "cache-control", STR("no-cache"));
    if (call->relay)
        api_write_limits(call->request, relay_view(call->relay));
}

/* Ends the exchange, and the call. */
static void fail(struct embedding_call *call, const struct llm_error *error)
{
    struct api_request *request = call->request;
    write_head(call);
    call_free(call);
    api_fail_llm(request, error);
}

static void fail_with(struct embedding_call *call, enum err class, const char *message)
{
    struct llm_error error;
    dialect_error_set(&error, class, message);
    error.retry_after_ms = -1;
    fail(call, &error);
}

/* No target of what was asked for makes vectors: names those providers that do. */
static void fail_unsupported(struct embedding_call *call)
{
    const struct catalog *catalog = registry_acquire(call->request->api->options.registry);
    struct llm_error error;
    struct buf names;
    buf_init(&names, 400);
    for (size_t i = 0; i < catalog->provider_count; i++) {
        const struct provider *provider = catalog->providers[i].provider;
        if (provider && provider->kind->path_embeddings)
            buf_printf(&names, "%s%.*s", names.len ? ", " : "", STR_ARG(provider->name));
    }
    dialect_error_set(&error, ERR_INVALID, "");
    error.retry_after_ms = -1;
    str_copy(STR("model"), error.field, sizeof error.field);
    snprintf(error.message, sizeof error.message,
             "'%.*s' makes no embeddings; providers here that can: %.*s",
             (int)(call->asked.model.len < 300 ? call->asked.model.len : 300),
             call->asked.model.data, STR_ARG(names.len ? buf_str(&names) : STR("none")));
    buf_done(&names);
    catalog_unref(catalog);
    fail(call, &error);
}

/* Its body, once: whoever asks first. */
static void read_answer(struct embedding_call *call)
{
    yyjson_val *root = NULL;
    if (call->is_read)
        return;
    call->is_read = true;
    struct arena *values = arena_new(SIZE_MAX); /* the body is bounded */
    call->is_good = buf_ok(&call->body) &&
                    json_read(values, buf_str(&call->body), &root, NULL) == ERR_OK &&
                    call->codec->decode_answer(call->arena, root, &call->answer) == ERR_OK &&
                    call->answer.count == call->missing_count;
    if (call->is_good)
        call->answer.model = arena_str(call->arena, call->answer.model);
    arena_free(values);
}

/* Providers that tell no count get ours. */
static struct llm_usage usage_told(struct embedding_call *call)
{
    struct llm_usage usage = call->answer.usage;
    struct embedding_request missing = missing_of(call, call->arena);
    if (usage.input_total < 0) {
        usage.input_total = embedding_estimate(&missing);
        usage.is_estimated = true;
    }
    usage.output_total = 0;
    return usage;
}

static void usage_of(void *user, const struct relay_attempt *attempt, struct str body,
                     struct llm_usage *ret_usage)
{
    struct embedding_call *call = user;
    (void)attempt, (void)body; /* read along */
    read_answer(call);
    if (call->is_good)
        *ret_usage = usage_told(call);
}

/* All vectors in order, of which some were kept. */
static struct embedding_answer whole_of(struct embedding_call *call)
{
    size_t count = call->asked.input_count, next = 0;
    struct embedding_answer whole = {
        .model = call->answer.model.len ? call->answer.model : call->target_model,
        .vectors = ARENA_NEW_ARRAY(call->arena, count, struct embedding_vector),
        .count = count,
        .usage = LLM_USAGE_UNKNOWN,
    };
    if (call->missing_count)
        whole.usage = usage_told(call);
    else if (count)
        whole.usage.input_total = 0; /* nothing was asked */
    for (size_t i = 0; i < count; i++)
        whole.vectors[i] = call->kept && call->kept[i].data
                               ? embedding_unpack(call->arena, call->kept[i])
                               : call->answer.vectors[next++];
    return whole;
}

/* Ends the exchange, and the call. */
static void answer_whole(struct embedding_call *call)
{
    struct api_request *request = call->request;
    struct buf out;
    buf_init(&out, ANSWER_BYTES_MAX * 2);
    write_head(call);
    if (call->is_raw && call->missing_count) {
        buf_swap(&out, &call->body);
    } else {
        struct embedding_answer whole = whole_of(call);
        unsigned losses = 0; /* of the model and the count: the ledger has both */
        call->form->encode_answer(&whole, call->asked.encoding, &out, &losses);
    }
    call_free(call);
    if (buf_ok(&out))
        http_respond(request->exchange, 200, "application/json", buf_str(&out));
    else
        api_fail(request, ERR_TOO_BIG, NULL);
    buf_done(&out);
}

/* ---- What the relay tells -------------------------------------------------------------------- */

static void on_head(void *user, const struct relay_attempt *attempt, int status,
                    const struct http_headers *headers)
{
    struct embedding_call *call = user;
    (void)attempt;
    call->status = status;
    for (size_t i = 0; i < headers->count; i++)
        http_headers_add(&call->headers, call->arena, headers->items[i].name,
                         headers->items[i].value);
}

static void on_body(void *user, struct str bytes)
{
    struct embedding_call *call = user;
    buf_append(&call->body, bytes);
}

/* The provider's own words. */
static void fail_by_answer(struct embedding_call *call)
{
    struct llm_error error = {.retry_after_ms = -1};
    call->kind->dialect->decode_error(call->arena, call->status, &call->headers,
                                      buf_str(&call->body), &error);
    fail(call, &error);
}

static void on_end(void *user, const struct llm_error *error)
{
    struct embedding_call *call = user;
    bool is_kept = call->codec && call->kept && call->missing_count == 0;
    if (error && error->class == ERR_UNSUPPORTED) {
        fail_unsupported(call);
    } else if (error) {
        fail(call, error);
    } else if (is_kept) {
        answer_whole(call);
    } else if (call->status < 200 || call->status > 299) {
        fail_by_answer(call);
    } else {
        read_answer(call);
        if (call->is_good) {
            keep(call);
            answer_whole(call);
        } else {
            fail_with(call, ERR_SERVER, "the provider's answer is not its protocol");
        }
    }
}

static void on_abort(void *user)
{
    struct embedding_call *call = user;
    struct http_exchange *exchange = call->request->exchange;
    relay_cancel(call->relay);
    call_free(call);
    http_respond_break(exchange);
}

/* ---- The request ----------------------------------------------------------------------------- */

/* Vectors of several models do not fit together, and the relay has no such list: a route has. */
static enum err refuse_chains(yyjson_val *root, struct error *error)
{
    static const char *const members[] = {"models", "fallbacks"};
    for (size_t i = 0; i < 2; i++)
        if (json_get(root, members[i]))
            return error_set(error, ERR_INVALID, members[i],
                             "is not taken for embeddings: name a route as the model");
    return ERR_OK;
}

/* Strings live as long as the call, values only in `values`. */
static enum err decode(struct embedding_call *call, struct str model, struct arena *values,
                       yyjson_val **ret_root, struct error *error)
{
    enum err code =
        json_read_split(call->arena, values, call->request->http->body, ret_root, error);
    if (code == ERR_OK)
        code = llm_refuse_redirections(*ret_root, error);
    if (code == ERR_OK)
        code = refuse_chains(*ret_root, error);
    if (code == ERR_OK)
        code = call->form->decode_request(call->arena, *ret_root, &call->asked, error);
    if (code == ERR_OK)
        code = read_keep_seconds(call->request, &call->keep_seconds, error);
    if (code == ERR_OK && model.data)
        call->asked.model = model;
    return code;
}

static enum err ask(struct embedding_call *call, yyjson_val *root, struct error *error)
{
    static const struct relay_events events = {on_head, on_body, on_end};
    struct api_request *request = call->request;
    struct api_origin origin;
    enum err code = api_origin_open(request, root, call->arena, &origin, error);
    const struct relay_request relay = {
        .origin = &origin.governor,
        .model = call->asked.model,
        .input_tokens = embedding_estimate(&call->asked),
        .body_bytes_max = ANSWER_BYTES_MAX,
        .is_retried = true,
        .prepare = prepare,
        .usage_of = usage_of,
    };
    if (code == ERR_OK)
        code =
            relay_start(request->api->options.router, &relay, &events, call, &call->relay, error);
    api_origin_close(&origin);
    return code;
}

/* Nothing to embed is no error where the form allows it, for a model that is there. */
static void answer_nothing(struct embedding_call *call)
{
    struct api_request *request = call->request;
    const struct catalog *catalog = registry_acquire(request->api->options.registry);
    struct error error = {0};
    enum err code = catalog_check(catalog, call->asked.model, &error);
    catalog_unref(catalog);
    if (code == ERR_OK) {
        call->target_model = call->asked.model;
        answer_whole(call);
        return;
    }
    call_free(call);
    api_fail(request, code, &error);
}

static void call_init(struct embedding_call *call, struct api_request *request,
                      const struct embedding_codec *form)
{
    call->request = request;
    call->form = form;
    call->answer.usage = LLM_USAGE_UNKNOWN;
    call->strict =
        str_eq_nocase(http_headers_get(&request->http->headers, "x-parley-strict"), STR("true"));
    buf_init(&call->body, ANSWER_BYTES_MAX);
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
    call_init(call, request, form);
    enum err code = decode(call, model, values, &root, &error);
    bool is_empty = code == ERR_OK && !call->asked.input_count;
    if (code == ERR_OK && !is_empty)
        code = ask(call, root, &error);
    arena_free(values);
    if (is_empty) {
        answer_nothing(call);
    } else if (code == ERR_UNSUPPORTED) {
        fail_unsupported(call);
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
