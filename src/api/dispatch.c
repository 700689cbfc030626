/* Dispatch: from a request to its endpoint's handler.
 *
 *   on_request -> find (404, 405) -> api_authenticate -> authorise -> body (fields) -> handle
 */
#include <stdlib.h>
#include <string.h>

#include "api/request.h"
#include "api/request_log.h"
#include "api/socket.h"
#include "base/assert.h"
#include "wire/url.h"

/* What an http_server_handler's user is: the api, and whether the listener is the local one. */
struct door {
    struct api *api;
    bool is_local;
};

/* Whether `path` is `pattern`; its "{...}" segments are given, not yet decoded. One that ends in
 * "...}" is all the rest. */
static bool match(const char *pattern_text, struct str path, struct str parameters[2])
{
    struct str pattern = str_from_cstr(pattern_text);
    int count = 0;
    while (pattern.data && path.data) {
        struct str expected = str_next(&pattern, '/');
        if (str_ends_with(expected, STR("...}"))) {
            parameters[count] = path;
            return path.len > 0;
        }
        struct str actual = str_next(&path, '/');
        if (expected.len && expected.data[0] == '{') {
            if (actual.len == 0)
                return false;
            parameters[count++] = actual;
        } else if (!str_eq(expected, actual)) {
            return false;
        }
    }
    return !pattern.data && !path.data;
}

static bool method_fits(enum http_method asked, enum http_method offered)
{
    return asked == offered || (asked == HTTP_HEAD && offered == HTTP_GET);
}

/* Whether walking the rows would stop at this one for its own pattern, which says nothing of others. */
static bool is_found_first(const struct api *api, size_t index)
{
    const struct endpoint *row = api->endpoints[index];
    struct str path = str_from_cstr(row->pattern), ignored[2];
    if (str_find_char(path, '{') != SIZE_MAX)
        return false;
    for (size_t i = 0; i < index; i++)
        if (method_fits(row->method, api->endpoints[i]->method) &&
            match(api->endpoints[i]->pattern, path, ignored))
            return false;
    return true;
}

/* The rows without parameters, by method and path: what most requests ask for. */
static void make_paths(struct api *api)
{
    for (int method = 0; method < HTTP_METHOD_COUNT; method++)
        api->paths[method] = map_new();
    for (size_t i = 0; i < api->endpoint_count; i++) {
        struct endpoint *row = (struct endpoint *)api->endpoints[i];
        if (is_found_first(api, i))
            map_set(api->paths[row->method], str_from_cstr(row->pattern), row);
    }
}

/* Sets the request's endpoint, or NULL; *ret_other tells whether the path exists with another
 * method. A key in the path is for the doors of clients that cannot send one otherwise. */
static void find(struct api_request *request, const struct endpoint **ret_other)
{
    const struct api *api = request->api;
    *ret_other = NULL;
    const struct endpoint *known = map_get(api->paths[request->http->method], request->path);
    if (known && (known->dialect || !request->path_key.len))
        request->endpoint = known;
    for (size_t i = 0; i < api->endpoint_count && !request->endpoint; i++) {
        const struct endpoint *row = api->endpoints[i];
        struct str found[2] = {{0}, {0}};
        if (!match(row->pattern, request->path, found) || (request->path_key.len && !row->dialect))
            continue;
        *ret_other = row;
        if (!method_fits(request->http->method, row->method))
            continue;
        request->parameters[0] = found[0];
        request->parameters[1] = found[1];
        request->endpoint = row;
    }
}

/* "/k/KEY/rest" is "/rest" with that key, where that is allowed. */
static void take_path_key(struct api_request *request)
{
    struct str rest = request->http->path;
    request->path = rest;
    if (!request->api->options.keys_in_path || !str_starts_with(rest, STR("/k/")))
        return;
    rest = str_skip(rest, 3);
    size_t slash = str_find_char(rest, '/');
    if (slash == SIZE_MAX)
        return;
    request->path_key = str_slice(rest, 0, slash);
    request->path = str_skip(rest, slash);
}

static bool decode_parameters(struct api_request *request)
{
    for (int i = 0; i < 2; i++)
        if (request->parameters[i].data &&
            !url_decode(request->arena, request->parameters[i], &request->parameters[i]))
            return false;
    return true;
}

static enum err read_body(struct api_request *request, struct error *error)
{
    const struct endpoint *endpoint = request->endpoint;
    struct str body = request->http->body;
    if (!endpoint->fields)
        return ERR_OK;
    if (body.len == 0)
        body = STR("{}");
    enum err code = json_read(request->arena, body, &request->body, error);
    return code == ERR_OK ? api_check_fields(request->body, endpoint->fields, error) : code;
}

/* In place of an earlier one of the same exchange (body_limit's), whose findings are old by now. */
static struct api_request *request_new(struct door *door, struct http_exchange *exchange)
{
    struct arena *arena = http_exchange_arena(exchange);
    struct api_request *request = ARENA_NEW(arena, struct api_request);
    struct api_request *earlier = http_exchange_user(exchange);
    if (earlier)
        api_drop_policy(earlier);
    http_exchange_set_user(exchange, request);
    request->api = door->api;
    request->exchange = exchange;
    request->http = http_exchange_request(exchange);
    request->arena = arena;
    request->is_local = door->is_local;
    take_path_key(request);
    return request;
}

/* The methods that the path does take (RFC 9110 section 15.5.6 wants them said). */
static void add_allow(struct api_request *request)
{
    struct buf allow;
    buf_init(&allow, 1024);
    for (size_t i = 0; i < request->api->endpoint_count; i++) {
        const struct endpoint *row = request->api->endpoints[i];
        struct str ignored[2];
        if (!match(row->pattern, request->path, ignored))
            continue;
        buf_printf(&allow, "%s%.*s", allow.len ? ", " : "", STR_ARG(http_method_name(row->method)));
        if (row->method == HTTP_GET)
            buf_append(&allow, STR(", HEAD"));
    }
    http_respond_header(request->exchange, "allow", buf_str(&allow));
    buf_done(&allow);
}

/* In whose form it is told that nothing is here; NULL: Parley's own. */
static const struct endpoint *nowhere(struct str path)
{
    static const struct endpoint shared = {.dialect = &dialect_openai_chat};
    static const struct endpoint ollama = {.dialect = &dialect_ollama};
    if (str_starts_with(path, STR("/v1")))
        return &shared;
    bool is_own = !str_starts_with(path, STR("/api/")) || str_starts_with(path, STR("/api/v1"));
    return is_own ? NULL : &ollama;
}

/* No endpoint: the web app's files, a method that does not exist here, or nothing. */
static void handle_other(struct api_request *request, const struct endpoint *other)
{
    struct str path = request->path;
    bool is_api = str_starts_with(path, STR("/api/")) || str_starts_with(path, STR("/v1"));
    request->endpoint = other;
    if (other) {
        struct error error = {0};
        error_set(&error, ERR_UNSUPPORTED, NULL, "this address does not take that method");
        add_allow(request);
        api_fail(request, ERR_UNSUPPORTED, &error);
    } else if (!is_api && method_fits(request->http->method, HTTP_GET)) {
        api_get_asset(request);
    } else {
        request->endpoint = nowhere(path);
        api_fail(request, ERR_NOT_FOUND, NULL);
    }
}

/* Only keys have a scope. */
static enum err check_scope(struct api_request *request, struct error *error)
{
    if (request->who.kind != PRINCIPAL_KEY || request->endpoint->verb == VERB_PUBLIC)
        return ERR_OK;
    const struct policy *policy = api_policy(request);
    struct str address = str_from_cstr(request->http->peer_address);
    return policy ? api_check_scope(policy, api_door(request), address, error)
                  : ERR_UNAUTHENTICATED;
}

/* Who asks, and whether such a one may ask for this at all. */
static enum err check_caller(struct api_request *request, struct error *error)
{
    enum err code = api_authenticate(request, error);
    if (code == ERR_OK)
        code =
            authorise(&request->who, request->endpoint->verb, (struct authorise_object){0}, error);
    return code == ERR_OK ? check_scope(request, error) : code;
}

/* What body_limit has found out in this very turn: nearly every body arrives with its headers. When
 * it took longer, NULL: whether the caller is still welcome is asked again. */
static struct api_request *checked_request(struct api *api, struct http_exchange *exchange)
{
    struct api_request *request = http_exchange_user(exchange);
    return request && request->checked_ms == loop_now_ms(api->options.loop) ? request : NULL;
}

static void on_request(void *user, struct http_exchange *exchange)
{
    struct door *door = user;
    struct api_request *checked = checked_request(door->api, exchange);
    struct api_request *request = checked ? checked : request_new(door, exchange);
    const struct endpoint *other = NULL;
    struct error error = {0};
    if (!checked)
        find(request, &other);
    if (!request->endpoint) {
        handle_other(request, other);
        return;
    }
    enum err code = decode_parameters(request) ? ERR_OK : ERR_NOT_FOUND;
    if (code == ERR_OK && !checked)
        code = check_caller(request, &error);
    if (code == ERR_OK)
        code = read_body(request, &error);
    if (api_failed(request, code, &error))
        return;
    request_log_begin(request);
    request->endpoint->handle(request);
}

static uint64_t body_limit(void *user, struct http_exchange *exchange)
{
    struct api_request *request = request_new(user, exchange);
    const struct endpoint *other;
    find(request, &other);
    if (!request->endpoint)
        return 0;
    uint64_t limit = request->endpoint->body_bytes_max;
    if (limit == API_BODY_LARGE)
        limit = request->api->options.body_bytes_max;
    if (limit <= API_BODY_SMALL)
        return limit;
    if (check_caller(request, NULL) != ERR_OK)
        return API_BODY_SMALL; /* a stranger does not fill our disk */
    request->checked_ms = loop_now_ms(request->api->options.loop);
    return limit;
}

/* What the HTTP server refuses by itself: the status where it is not that of the error's code. */
static int refusal_status(const struct error *error)
{
    static const struct {
        enum err code;
        const char *field; /* NULL: any */
        int status;
    } rows[] = {
        {ERR_TIMEOUT, NULL, 408},
        {ERR_TOO_BIG, "target", 414},
        {ERR_TOO_BIG, "headers", 431},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].code == error->code &&
            (!rows[i].field || strcmp(rows[i].field, error->field) == 0))
            return rows[i].status;
    return 0;
}

static void on_refuse(void *user, struct http_exchange *exchange, const struct error *error)
{
    struct api_request *request = request_new(user, exchange);
    const struct endpoint *other;
    struct error why = {0};
    find(request, &other);
    bool is_body = error->code == ERR_TOO_BIG && strcmp(error->field, "body") == 0;
    if (!request->endpoint && is_body) { /* too large because nothing is here to take it */
        handle_other(request, other);
        return;
    }
    if (request->endpoint && is_body && api_failed(request, check_caller(request, &why), &why))
        return;
    api_fail_status(request, refusal_status(error), error->code, error);
}

struct http_server_handler api_handler(struct api *api, bool is_local)
{
    struct door *door = ARENA_NEW(api->arena, struct door);
    *door = (struct door){api, is_local};
    return (struct http_server_handler){body_limit, on_request, on_refuse, door};
}

/* The setting was checked when it was loaded; what it names may be gone. */
static void read_address_keys(struct api *api)
{
    struct address_keys *keys = &api->address_keys;
    struct error error = {0};
    if (address_keys_parse(api->arena, api->options.address_keys, keys, &error) != ERR_OK)
        log_error(api->options.log, "server.address_keys cannot be read",
                  LOG_CSTR("reason", error_message(&error)));
    for (size_t i = 0; i < keys->count; i++) {
        const struct principal who = {.kind = PRINCIPAL_KEY, .key = keys->items[i].key};
        struct policy *policy = NULL;
        if (account_policy(api->options.account, &who, &policy) != ERR_OK)
            log_warning(api->options.log, "server.address_keys names a key that is not valid",
                        LOG_STR("key", id_str(&keys->items[i].key)));
        policy_unref(policy);
    }
}

struct api *api_new(const struct api_options *options)
{
    struct arena *arena = arena_new(SIZE_MAX);
    struct api *api = ARENA_NEW(arena, struct api);
    api->arena = arena;
    api->options = *options;
    endpoints_list(arena, &api->endpoints, &api->endpoint_count);
    make_paths(api);
    api->key_memo = key_memo_new();
    list_init(&api->sockets);
    read_address_keys(api);
    api->request_log =
        request_log_new(options->request_log_bytes_max, options->metrics, options->log);
    return api;
}

void api_close_sockets(struct api *api, void (*on_closed)(void *user), void *user)
{
    api->on_sockets_closed = on_closed;
    api->sockets_user = user;
    socket_close_all(api, 1001, "restarting");
    if (list_is_empty(&api->sockets))
        on_closed(user);
}

void api_abort_sockets(struct api *api)
{
    api->on_sockets_closed = NULL;
    socket_abort_all(api);
}

void api_free(struct api *api)
{
    if (!api)
        return;
    api_abort_sockets(api);
    for (int method = 0; method < HTTP_METHOD_COUNT; method++)
        map_free(api->paths[method]);
    request_log_free(api->request_log);
    key_memo_free(api->key_memo);
    arena_free(api->arena);
}
