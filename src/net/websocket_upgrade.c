/* WebSocket handshake (RFC 6455 section 4.2): from an HTTP exchange to a websocket on its stream.
 */
#include <openssl/evp.h>
#include <string.h>

#include "base/assert.h"
#include "base/crypto.h"
#include "net/http_server.h"
#include "net/websocket.h"

enum { SHA1_BYTES = 20, KEY_TEXT_BYTES = 24 };

/* 16 bytes in base64: 22 characters and two of padding. */
static bool is_key(struct str key)
{
    if (key.len != KEY_TEXT_BYTES || !str_ends_with(key, STR("==")))
        return false;
    unsigned char bytes[KEY_TEXT_BYTES];
    return EVP_DecodeBlock(bytes, (const unsigned char *)key.data, KEY_TEXT_BYTES) == 18;
}

bool websocket_is_upgrade(const struct http_request *request)
{
    const struct http_headers *headers = &request->headers;
    return request->method == HTTP_GET &&
           http_headers_has_token(headers, "connection", "upgrade") &&
           http_headers_has_token(headers, "upgrade", "websocket") &&
           str_eq(http_headers_get(headers, "sec-websocket-version"), STR("13")) &&
           is_key(http_headers_get(headers, "sec-websocket-key"));
}

static bool is_own_origin(struct str origin, const struct http_request *request)
{
    struct str scheme = request->is_tls ? STR("https://") : STR("http://");
    struct str host = http_headers_get(&request->headers, "host");
    return host.len && str_starts_with_nocase(origin, scheme) &&
           str_eq_nocase(str_skip(origin, scheme.len), host);
}

bool websocket_origin_ok(const struct http_request *request, struct str allowed)
{
    struct str origin = http_headers_get(&request->headers, "origin");
    if (!origin.data || is_own_origin(origin, request))
        return true;
    while (allowed.data) {
        struct str item = str_trim(str_next(&allowed, ','));
        if (item.len && str_eq_nocase(item, origin))
            return true;
    }
    return false;
}

void websocket_accept_key(struct str key, char ret[29])
{
    static const char suffix[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    unsigned char digest[EVP_MAX_MD_SIZE];
    char text[KEY_TEXT_BYTES + sizeof suffix];
    ASSERT(key.len == KEY_TEXT_BYTES);
    memcpy(text, key.data, key.len);
    memcpy(text + key.len, suffix, sizeof suffix);
    ASSERT(EVP_Digest(text, sizeof text - 1, digest, NULL, EVP_sha1(), NULL));
    size_t length = base64_encode(STR_FROM((const char *)digest, SHA1_BYTES), ret);
    ret[length] = '\0';
}

struct websocket *websocket_accept(struct http_exchange *exchange, const char *protocol,
                                   const struct websocket_options *options,
                                   const struct websocket_events *events, void *user)
{
    const struct http_request *request = http_exchange_request(exchange);
    char accept_key[29];
    websocket_accept_key(http_headers_get(&request->headers, "sec-websocket-key"), accept_key);
    http_respond_header(exchange, "Upgrade", STR("websocket"));
    http_respond_header(exchange, "Sec-WebSocket-Accept", str_from_cstr(accept_key));
    if (protocol)
        http_respond_header(exchange, "Sec-WebSocket-Protocol", str_from_cstr(protocol));
    char *early;
    size_t early_len;
    struct stream *stream = http_respond_upgrade(exchange, &early, &early_len);
    if (!stream)
        return NULL;
    return websocket_on_stream(stream, early, early_len, options, events, user);
}
