/* Who asks: the cookie of a browser, the key of a program, or the Unix socket of the command line.
 */
#include "api/request.h"
#include "net/websocket.h"

enum { SESSION_SECONDS = 30 * 24 * 3600 };

static const struct str cookie_name = {"parley_session", 14};

struct str api_cookie_token(const struct http_request *http)
{
    struct str rest = http_headers_get(&http->headers, "cookie");
    while (rest.data) {
        struct str pair = str_trim(str_next(&rest, ';'));
        struct str name = str_next(&pair, '=');
        if (pair.data && str_eq(name, cookie_name))
            return pair;
    }
    return STR_NONE;
}

void api_set_cookie(struct api_request *request, struct str token)
{
    struct str cookie =
        arena_printf(request->arena, "%.*s=%.*s; Path=/; HttpOnly; SameSite=Strict; Max-Age=%d%s",
                     STR_ARG(cookie_name), STR_ARG(token), token.len ? SESSION_SECONDS : 0,
                     request->http->is_tls ? "; Secure" : "");
    http_respond_header(request->exchange, "set-cookie", cookie);
}

/* Where the clients of the doors put it: OpenAI's and Ollama's, Anthropic's, Google's. */
static struct str presented_key(const struct http_request *http)
{
    static const char *const names[] = {"x-api-key", "x-goog-api-key"};
    struct str value = http_headers_get(&http->headers, "authorization");
    if (str_starts_with_nocase(value, STR("bearer ")))
        return str_trim(str_skip(value, 7));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        value = http_headers_get(&http->headers, names[i]);
        if (value.len)
            return value;
    }
    return STR_NONE;
}

static struct str key_of(const struct api_request *request)
{
    return request->path_key.len ? request->path_key : presented_key(request->http);
}

void api_credential_of(const struct api_request *request, struct api_credential *ret)
{
    *ret = (struct api_credential){
        .kind = request->who.kind, .door = api_door(request), .who = request->who};
    str_copy(str_from_cstr(request->http->peer_address), ret->address, sizeof ret->address);
    if (ret->kind == PRINCIPAL_KEY)
        str_copy(key_of(request), ret->text, sizeof ret->text);
    else if (ret->kind == PRINCIPAL_SESSION)
        str_copy(api_cookie_token(request->http), ret->text, sizeof ret->text);
}

enum err api_check_scope(const struct policy *policy, struct str door, struct str address,
                         struct error *error)
{
    if (!policy_allows_door(policy, door))
        return error_set(error, ERR_FORBIDDEN, NULL, "this key may not use the door '%.*s'",
                         STR_ARG(door));
    if (!policy_allows_address(policy, address))
        return error_set(error, ERR_FORBIDDEN, NULL, "this key may not be used from %.*s",
                         STR_ARG(address));
    return ERR_OK;
}

static enum err use_key(struct api *api, struct str key, struct principal *ret_who,
                        struct policy **ret_policy)
{
    return account_authenticate_key(api->options.account, api->key_memo, key,
                                    loop_wall_ms(api->options.loop), ret_who, ret_policy);
}

static enum err find_holder(struct api *api, const struct api_credential *credential,
                            struct principal *ret_who)
{
    struct account *account = api->options.account;
    struct str text = str_from_cstr(credential->text);
    switch (credential->kind) {
    case PRINCIPAL_KEY:
        *ret_who = credential->who;
        return text.len ? use_key(api, text, ret_who, NULL) : ERR_OK;
    case PRINCIPAL_SESSION:
        return account_authenticate_session(account, text, ret_who);
    case PRINCIPAL_LOCAL:
        *ret_who = (struct principal){.kind = PRINCIPAL_LOCAL, .role = ROLE_ADMIN};
        return ERR_OK;
    case PRINCIPAL_ANONYMOUS:
        break;
    }
    return ERR_UNAUTHENTICATED;
}

enum err api_credential_check(struct api *api, const struct api_credential *credential,
                              struct principal *ret_who, struct error *error)
{
    struct principal who;
    struct policy *policy = NULL;
    if (find_holder(api, credential, &who) != ERR_OK ||
        account_policy(api->options.account, &who, &policy) != ERR_OK)
        return error_set(error, ERR_UNAUTHENTICATED, NULL, "not signed in any more");
    struct str address = str_from_cstr(credential->address);
    enum err code = who.kind == PRINCIPAL_KEY
                        ? api_check_scope(policy, credential->door, address, error)
                        : ERR_OK;
    policy_unref(policy);
    *ret_who = who;
    return code;
}

bool api_credential_is_good(struct api *api, const struct api_credential *credential)
{
    struct principal who;
    return api_credential_check(api, credential, &who, NULL) == ERR_OK;
}

static bool is_safe(enum http_method method)
{
    return method == HTTP_GET || method == HTTP_HEAD || method == HTTP_OPTIONS;
}

/* A cookie is sent by the browser whoever made it send: what changes something must come from our
 * own page. A foreign page must not sign anybody in or out either. */
static enum err check_origin(struct api_request *request, struct error *error)
{
    const struct http_request *http = request->http;
    bool has_origin = http_headers_get(&http->headers, "origin").len > 0;
    bool has_session = request->who.kind == PRINCIPAL_SESSION;
    bool is_ours = has_origin ? websocket_origin_ok(http, request->api->options.allowed_origins)
                              : !has_session;
    if (is_safe(http->method) || is_ours)
        return ERR_OK;
    error_set(error, ERR_FORBIDDEN, "origin", "this request does not come from Parley's own page");
    error_remedy(error, "Behind a proxy, pass the Host header on, or set server.allowed_origins.");
    return ERR_FORBIDDEN;
}

/* Who comes through a proxy or from a browser's page, or presents anything at all, is not who the
 * address stands for. */
static bool is_plain_caller(const struct http_request *http)
{
    static const char *const names[] = {
        "authorization", "x-api-key", "x-goog-api-key",  "cookie",    "origin", "sec-fetch-site",
        "forwarded",     "via",       "x-forwarded-for", "x-real-ip",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (http_headers_get(&http->headers, names[i]).data)
            return false;
    return true;
}

/* At the doors of dialects, whose clients may have no place for a key. */
static bool act_by_address(struct api_request *request)
{
    const struct api *api = request->api;
    if (api->address_keys.count == 0 || !request->endpoint || !request->endpoint->dialect ||
        !is_plain_caller(request->http))
        return false;
    const struct id *key =
        address_keys_find(&api->address_keys, str_from_cstr(request->http->peer_address));
    return key && account_act_as_key(api->options.account, key, &request->who) == ERR_OK;
}

enum err api_authenticate(struct api_request *request, struct error *error)
{
    struct account *account = request->api->options.account;
    request->who = PRINCIPAL_NOBODY;
    if (request->is_local) {
        request->who = (struct principal){.kind = PRINCIPAL_LOCAL, .role = ROLE_ADMIN};
        return ERR_OK;
    }
    struct str key = key_of(request);
    if (key.len) {
        struct policy *policy;
        if (use_key(request->api, key, &request->who, &policy) == ERR_OK) {
            api_keep_policy(request, policy);
            return ERR_OK;
        }
        error_set(error, ERR_UNAUTHENTICATED, NULL, "this API key is not valid");
        error_remedy(error, "Make one with `parley key create` or in the settings.");
        return ERR_UNAUTHENTICATED;
    }
    if (act_by_address(request))
        return ERR_OK;
    struct str token = api_cookie_token(request->http);
    if (!token.len || account_authenticate_session(account, token, &request->who) != ERR_OK)
        request->who = PRINCIPAL_NOBODY;
    return check_origin(request, error);
}
