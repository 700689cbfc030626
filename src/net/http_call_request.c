/* Requests on their way out. Stands under http_client.c: everything that could smuggle a line into
 * a request is refused here. */
#include "net/http_call_request.h"

#include <sys/un.h>

enum { UNIX_PATH_BYTES_MAX = sizeof(((struct sockaddr_un *)0)->sun_path) - 1 };

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

static enum err parse_target(struct str text, struct http_call_target *target, struct error *error)
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
    static const struct str own[] = {
        {"host", 4},
        {"content-length", 14},
        {"transfer-encoding", 17},
        {"connection", 10},
        {"keep-alive", 10},
        {"proxy-connection", 16},
        {"upgrade", 7},
        {"trailer", 7},
        {"te", 2},
        {"expect", 6},
        {"proxy-authorization", 19},
    };
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if (http_name_eq(name, own[i]))
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

enum err http_call_request_check(const struct http_call_request *request,
                                 struct http_call_target *ret_target, struct error *error)
{
    if (request->method >= HTTP_METHOD_OTHER)
        return error_set(error, ERR_INVALID, "method", "this method cannot be sent");
    enum err code = parse_target(request->url, ret_target, error);
    if (code == ERR_OK && request->headers.count > HTTP_HEADER_COUNT_MAX)
        code =
            error_set(error, ERR_TOO_BIG, "headers", "more than %d headers", HTTP_HEADER_COUNT_MAX);
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

static void write_field(struct buf *out, struct str name, struct str value)
{
    buf_append(out, name);
    buf_append(out, STR(": "));
    buf_append(out, value);
    buf_append(out, STR("\r\n"));
}

static void write_line(struct buf *out, const struct http_call_request *request,
                       const struct http_call_target *target, struct str authority, bool absolute)
{
    buf_append(out, http_method_name(request->method));
    buf_append_char(out, ' ');
    if (absolute) {
        buf_append(out, STR("http://"));
        buf_append(out, authority);
    }
    buf_append(out, target->path);
    if (target->url.query.len) {
        buf_append_char(out, '?');
        buf_append(out, target->url.query);
    }
    buf_append(out, STR(" HTTP/1.1\r\n"));
}

void http_call_request_write_head(struct buf *out, const struct http_call_request *request,
                                  const struct http_call_target *target, struct str authority,
                                  const struct http_proxy *proxy)
{
    bool absolute = proxy && !target->url.tls;
    bool has_body = request->body.len || request->method == HTTP_POST ||
                    request->method == HTTP_PUT || request->method == HTTP_PATCH;
    write_line(out, request, target, authority, absolute);
    write_field(out, STR("Host"), authority);
    for (size_t i = 0; i < request->headers.count; i++)
        write_field(out, request->headers.items[i].name, request->headers.items[i].value);
    if (absolute && proxy->authorization.len)
        write_field(out, STR("Proxy-Authorization"), proxy->authorization);
    if (has_body) {
        char number[STR_U64_BYTES_MAX];
        size_t len = str_from_u64(request->body.len, number);
        write_field(out, STR("Content-Length"), STR_FROM(number, len));
    }
    buf_append(out, STR("\r\n"));
}
