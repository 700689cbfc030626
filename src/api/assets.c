/* Serving the web app: its files by path, and its page for every address that it knows itself. */
#include "api/assets.h"

#include "api/request.h"

/* Model output is shown on this page: nothing may run or be fetched but our own files. */
static const char content_security_policy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; font-src 'self'; manifest-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'";

static const struct asset *find_asset(struct str path)
{
    for (const struct asset *asset = assets; asset->path; asset++)
        if (str_eq(path, str_from_cstr(asset->path)))
            return asset;
    return NULL;
}

/* Addresses of pages inside the app. */
static bool is_page(struct str path)
{
    static const char *const pages[] = {"/", "/settings", "/setup", "/signin"};
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++)
        if (str_eq(path, str_from_cstr(pages[i])))
            return true;
    return str_starts_with(path, STR("/c/"));
}

static void add_headers(struct api_request *request, const struct asset *asset)
{
    struct http_exchange *exchange = request->exchange;
    http_respond_header(exchange, "etag", str_from_cstr(asset->etag));
    http_respond_header(exchange, "cache-control", str_from_cstr(asset->cache_control));
    http_respond_header(exchange, "vary", STR("accept-encoding"));
    http_respond_header(exchange, "content-security-policy",
                        str_from_cstr(content_security_policy));
    http_respond_header(exchange, "x-content-type-options", STR("nosniff"));
    http_respond_header(exchange, "referrer-policy", STR("no-referrer"));
}

/* Whether the client has it already. Proxies that compress make an entity tag weak. */
static bool is_known(const struct http_headers *headers, const char *etag)
{
    struct str rest = http_headers_get(headers, "if-none-match");
    while (rest.data) {
        struct str tag = str_trim(str_next(&rest, ','));
        if (str_starts_with(tag, STR("W/")))
            tag = str_skip(tag, 2);
        if (str_eq(tag, str_from_cstr(etag)) || str_eq(tag, STR("*")))
            return true;
    }
    return false;
}

void api_get_asset(struct api_request *request)
{
    const struct http_headers *headers = &request->http->headers;
    struct str path = request->http->path;
    const struct asset *asset = find_asset(path);
    if (!asset && is_page(path))
        asset = find_asset(STR("/index.html"));
    if (!asset) {
        api_fail(request, ERR_NOT_FOUND, NULL);
        return;
    }
    add_headers(request, asset);
    if (is_known(headers, asset->etag)) {
        http_respond(request->exchange, 304, NULL, STR(""));
        return;
    }
    struct str body = STR_FROM((const char *)asset->data, asset->len);
    if (asset->gzip_len && http_headers_has_token(headers, "accept-encoding", "gzip")) {
        http_respond_header(request->exchange, "content-encoding", STR("gzip"));
        body = STR_FROM((const char *)asset->gzip, asset->gzip_len);
    }
    http_respond_static(request->exchange, 200, asset->content_type, body);
}
