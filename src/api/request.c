/* Request: answers and small readers shared by all handlers. */
#include "api/request.h"

#include <stdio.h>

#include <string.h>

#include "wire/url.h"

enum { REPLY_BYTES_MAX = 256 * 1024 * 1024 };

void api_reply_begin(struct api_reply *reply)
{
    buf_init(&reply->out, REPLY_BYTES_MAX);
    json_writer_init(&reply->w, &reply->out);
    json_begin_object(&reply->w);
}

void api_reply(struct api_request *request, int status, struct api_reply *reply)
{
    json_end_object(&reply->w);
    http_respond_header(request->exchange, "cache-control", STR("no-store"));
    if (buf_ok(&reply->out))
        http_respond(request->exchange, status, "application/json", buf_str(&reply->out));
    else
        api_fail(request, ERR_TOO_BIG, NULL);
    buf_done(&reply->out);
}

void api_reply_nothing(struct api_request *request)
{
    http_respond(request->exchange, 204, NULL, STR(""));
}

void api_on_done(void *user, enum err code, const struct error *error)
{
    struct api_request *request = user;
    if (!api_failed(request, code, error))
        api_reply_nothing(request);
}

void api_write_error(struct json_writer *w, enum err code, const struct error *error,
                     struct str request_id)
{
    const struct error none = {.code = code};
    struct error full = error ? *error : none;
    full.code = code;
    json_begin_object(w);
    json_key_str(w, "code", str_from_cstr(err_info(code)->name));
    json_key_str(w, "message", str_from_cstr(error_message(&full)));
    json_key_str(w, "field", str_from_cstr(full.field));
    json_key_str(w, "remedy", str_from_cstr(error_remedy_text(&full)));
    json_key_str(w, "request_id", request_id);
    json_end_object(w);
}

/* A chat's path is of one dialect; what else lies under OpenAI's paths others ask for as well. */
static const struct dialect *dialect_of(const struct api_request *request)
{
    const struct endpoint *endpoint = request->endpoint;
    if (!endpoint)
        return NULL;
    bool is_shared = endpoint->dialect == &dialect_openai_chat && endpoint->verb != VERB_CHAT;
    return is_shared ? api_asker_dialect(request) : endpoint->dialect;
}

struct str api_door(const struct api_request *request)
{
    static const struct {
        const struct dialect *dialect;
        struct str door;
    } rows[] = {
        {&dialect_openai_chat, {"openai", 6}},  {&dialect_openai_responses, {"openai", 6}},
        {&dialect_anthropic, {"anthropic", 9}}, {&dialect_gemini, {"gemini", 6}},
        {&dialect_ollama, {"ollama", 6}},
    };
    const struct endpoint *endpoint = request->endpoint;
    const struct dialect *dialect = dialect_of(request);
    if (endpoint && str_starts_with(str_from_cstr(endpoint->pattern), STR("/p/")))
        return STR("provider");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (dialect == rows[i].dialect)
            return rows[i].door;
    return STR("parley");
}

void api_drop_policy(struct api_request *request)
{
    policy_unref(request->policy);
    request->policy = NULL;
}

static void release_policy(void *user)
{
    api_drop_policy(user);
}

void api_keep_policy(struct api_request *request, struct policy *policy)
{
    api_drop_policy(request);
    request->policy = policy;
    if (policy)
        http_exchange_on_release(request->exchange, release_policy, request);
}

struct policy *api_policy(struct api_request *request)
{
    struct policy *policy = request->policy;
    if (policy && policy_is_current(policy, loop_wall_ms(request->api->options.loop)))
        return policy;
    if (account_policy(request->api->options.account, &request->who, &policy) != ERR_OK)
        policy = NULL;
    api_keep_policy(request, policy);
    return policy;
}

struct policy *api_need_policy(struct api_request *request)
{
    struct policy *policy = api_policy(request);
    api_failed(request, policy ? ERR_OK : ERR_UNAUTHENTICATED, NULL);
    return policy;
}

/* Only OpenAI's form has a place for the field that clients show: elsewhere the message names it.
 */
static void fail_in_dialect(struct api_request *request, int status, enum err code,
                            const struct error *error)
{
    struct llm_error wrong = {.class = code, .retry_after_ms = -1};
    const struct error none = {.code = code};
    struct buf out;
    buf_init(&out, 64 * 1024);
    const char *message = error_message(error ? error : &none);
    if (error && error->field[0] && !dialect_of(request)->errors_name_field)
        snprintf(wrong.message, sizeof wrong.message, "%s: %s", error->field, message);
    else
        str_copy(str_from_cstr(message), wrong.message, sizeof wrong.message);
    str_copy(str_from_cstr(error ? error->field : ""), wrong.field, sizeof wrong.field);
    int usual = dialect_of(request)->encode_error(&wrong, &out);
    http_respond(request->exchange, status ? status : usual, "application/json", buf_str(&out));
    buf_done(&out);
}

void api_fail_llm(struct api_request *request, const struct llm_error *error)
{
    struct buf out;
    if (error->retry_after_ms >= 0)
        http_respond_header(
            request->exchange, "retry-after",
            arena_printf(request->arena, "%lld", (long long)(error->retry_after_ms + 999) / 1000));
    buf_init(&out, 64 * 1024);
    int status = dialect_of(request)->encode_error(error, &out);
    http_respond(request->exchange, error->class == ERR_UNSUPPORTED ? 400 : status,
                 "application/json", buf_str(&out));
    buf_done(&out);
}

void api_fail(struct api_request *request, enum err code, const struct error *error)
{
    api_fail_status(request, 0, code, error);
}

bool api_failed(struct api_request *request, enum err code, const struct error *error)
{
    if (code != ERR_OK)
        api_fail(request, code, error);
    return code != ERR_OK;
}

void api_fail_status(struct api_request *request, int status, enum err code,
                     const struct error *error)
{
    struct error named = {0};
    if (error && !error->message[0]) { /* the table's words for the code that is told */
        named = *error;
        named.code = code;
        error = &named;
    }
    if (dialect_of(request)) {
        fail_in_dialect(request, status, code, error);
        return;
    }
    struct api_reply reply;
    api_reply_begin(&reply);
    json_key(&reply.w, STR("error"));
    api_write_error(&reply.w, code, error, http_exchange_id(request->exchange));
    api_reply(request, status ? status : err_info(code)->http_status, &reply);
}

bool api_parameter_id(struct api_request *request, int index, struct id *ret)
{
    if (id_parse(request->parameters[index], ret))
        return true;
    api_fail(request, ERR_NOT_FOUND, NULL);
    return false;
}

struct id api_body_id(struct api_request *request, const char *name)
{
    struct id id = {0};
    id_parse(json_get_str(request->body, name), &id);
    return id;
}

struct str api_body_str(struct api_request *request, const char *name)
{
    return json_get_str(request->body, name);
}

struct str api_query(struct api_request *request, const char *name)
{
    return url_query_get(request->arena, request->http->query, str_from_cstr(name));
}
