/* Requests on their way out. Stands under http_client.c: everything that could smuggle a line into
 * a request is refused here. */
#include "net/http_call_request.h"

#include <sys/un.h>

#include "net/http_put.h"

enum {
    UNIX_PATH_BYTES_MAX = sizeof(((struct sockaddr_un *)0)->sun_path) - 1,
    HEAD_BYTES_BESIDE = 256, /* of a head: what is not counted in head_bytes */
    FIELD_BYTES_BESIDE = 4
};

/* "http://unix:/path/to/socket:/target": url_parse takes it for a host "unix" with an empty port.
 * The socket's path ends at the first colon. */
static enum err split_unix_path(struct http_call_target *target, struct error *error)
{
    size_t colon = str_find_char(target->url.path, ':');
    target->unix_path = str_slice(target->url.path, 0, colon);
    target->path = colon == SIZE_MAX ? STR("") : str_skip(target->url.path, colon + 1);
    if (target->url.tls)
        return error_set(error, ERR_INVALID, "url", "a Unix socket must be http://");
    if (target->unix_path.len > UNIX_PATH_BYTES_MAX)
        return error_set(error, ERR_INVALID, "url", "the path of a Unix socket is at most %d bytes",
                         UNIX_PATH_BYTES_MAX);
    if (target->path.len && target->path.data[0] != '/')
        return error_set(error, ERR_INVALID, "url",
                         "what follows the path of a Unix socket must begin with /");
    return ERR_OK;
}

enum err http_call_target_parse(struct str text, struct http_call_target *target,
                                struct error *error)
{
    enum err code = url_parse(text, &target->url, error);
    if (code != ERR_OK)
        return code;
    struct str authority = str_skip(text, str_find(text, STR("://")) + 3);
    target->unix_path = STR("");
    target->path = target->url.path;
    if (str_starts_with_nocase(authority, STR("unix:/")))
        code = split_unix_path(target, error);
    if (code == ERR_OK && target->path.len + target->url.query.len > HTTP_TARGET_BYTES_MAX)
        code = error_set(error, ERR_TOO_BIG, "url", "the URL is longer than %d bytes",
                         HTTP_TARGET_BYTES_MAX);
    if (target->path.len == 0)
        target->path = STR("/");
    return code;
}

/* Framing, connection and proxy are the client's own: a second opinion in the headers is how
 * requests are smuggled. */
static bool is_own_header(struct str name)
{
    enum { LENGTH_MAX = 19, SAME_LENGTH = 2 };
    static const char *const own[LENGTH_MAX + 1][SAME_LENGTH] = {
        [2] = {"te"},
        [4] = {"host"},
        [6] = {"expect"},
        [7] = {"upgrade", "trailer"},
        [10] = {"connection", "keep-alive"},
        [14] = {"content-length"},
        [16] = {"proxy-connection"},
        [17] = {"transfer-encoding"},
        [19] = {"proxy-authorization"},
    };
    for (size_t i = 0; name.len <= LENGTH_MAX && i < SAME_LENGTH && own[name.len][i]; i++)
        if (str_eq_nocase(name, STR_FROM(own[name.len][i], name.len)))
            return true;
    return false;
}

static enum err check_header(const struct http_header *header, struct error *error)
{
    if (!http_header_is_valid(header->name, header->value))
        return error_set(error, ERR_INVALID, "headers",
                         "a header has a name or value that cannot be sent");
    if (is_own_header(header->name))
        return error_set(error, ERR_INVALID, "headers", "the header %.*s cannot be set",
                         STR_ARG(header->name));
    return ERR_OK;
}

enum err http_call_request_check(const struct http_call_request *request, struct error *error)
{
    enum err code = ERR_OK;
    if (request->method >= HTTP_METHOD_OTHER)
        return error_set(error, ERR_INVALID, "method", "this method cannot be sent");
    if (request->headers.count > HTTP_HEADER_COUNT_MAX)
        return error_set(error, ERR_TOO_BIG, "headers", "more than %d headers",
                         HTTP_HEADER_COUNT_MAX);
    size_t bytes = 0;
    for (size_t i = 0; code == ERR_OK && i < request->headers.count; i++) {
        bytes += request->headers.items[i].name.len + request->headers.items[i].value.len;
        code = bytes > HTTP_HEADER_BYTES_MAX
                   ? error_set(error, ERR_TOO_BIG, "headers", "more than %d bytes of headers",
                               HTTP_HEADER_BYTES_MAX)
                   : check_header(&request->headers.items[i], error);
    }
    return code;
}

/* Of a head: an upper bound. */
static size_t head_bytes(const struct http_call_request *request,
                         const struct http_call_target *target, struct str authority,
                         const struct http_proxy *proxy)
{
    size_t bytes = HEAD_BYTES_BESIDE + 2 * authority.len + target->path.len + target->url.query.len;
    for (size_t i = 0; i < request->headers.count; i++)
        bytes += request->headers.items[i].name.len + request->headers.items[i].value.len +
                 FIELD_BYTES_BESIDE;
    return proxy ? bytes + proxy->authorization.len : bytes;
}

static char *put_line(char *at, const struct http_call_request *request,
                      const struct http_call_target *target, struct str authority, bool absolute)
{
    at = http_put(http_put(at, http_method_name(request->method)), STR(" "));
    if (absolute)
        at = http_put(http_put(at, STR("http://")), authority);
    at = http_put(at, target->path);
    if (target->url.query.len)
        at = http_put(http_put(at, STR("?")), target->url.query);
    return http_put(at, STR(" HTTP/1.1\r\n"));
}

void http_call_request_write_head(struct buf *out, const struct http_call_request *request,
                                  const struct http_call_target *target, struct str authority,
                                  const struct http_proxy *proxy)
{
    bool absolute = proxy && !target->url.tls;
    bool has_body = request->body.len || request->method == HTTP_POST ||
                    request->method == HTTP_PUT || request->method == HTTP_PATCH;
    char *start = buf_reserve(out, head_bytes(request, target, authority, proxy)), *at = start;
    if (!start)
        return;
    at = put_line(at, request, target, authority, absolute);
    at = http_put_field(at, STR("Host: "), authority);
    for (size_t i = 0; i < request->headers.count; i++) {
        const struct http_header *header = &request->headers.items[i];
        at = http_put_field(http_put(at, header->name), STR(": "), header->value);
    }
    if (absolute && proxy->authorization.len)
        at = http_put_field(at, STR("Proxy-Authorization: "), proxy->authorization);
    if (has_body)
        at = http_put(http_put_number(http_put(at, STR("Content-Length: ")), request->body.len),
                      STR("\r\n"));
    at = http_put(at, STR("\r\n"));
    buf_commit(out, (size_t)(at - start));
}
