/* llhttp's callbacks fill one message; feeding pauses at its end. Used by the fake provider for
 * requests and by the load generator for responses. */
#include "raw_http.h"

#include <string.h>

enum { FIELD_BYTES_MAX = 64 * 1024, ARENA_BYTES_MAX = 1024 * 1024 };

static int append(struct buf *buf, const char *data, size_t len)
{
    buf_append(buf, STR_FROM(data, len));
    return buf_ok(buf) ? 0 : -1;
}

static int on_url(llhttp_t *parser, const char *data, size_t len)
{
    struct raw_http *http = parser->data;
    return append(&http->target, data, len);
}

static int on_name(llhttp_t *parser, const char *data, size_t len)
{
    struct raw_http *http = parser->data;
    return http->keep_headers ? append(&http->name, data, len) : 0;
}

static int on_value(llhttp_t *parser, const char *data, size_t len)
{
    struct raw_http *http = parser->data;
    return http->keep_headers ? append(&http->value, data, len) : 0;
}

static int on_value_complete(llhttp_t *parser)
{
    struct raw_http *http = parser->data;
    if (!http->keep_headers)
        return 0;
    http_headers_add(&http->headers, http->arena, buf_str(&http->name), buf_str(&http->value));
    buf_clear(&http->name);
    buf_clear(&http->value);
    return arena_exceeded(http->arena) ? -1 : 0;
}

static int on_headers_complete(llhttp_t *parser)
{
    if (parser->type == HTTP_REQUEST)
        parser->upgrade = 0; /* an offer nobody takes: what follows is HTTP */
    return 0;
}

static int on_body_bytes(llhttp_t *parser, const char *data, size_t len)
{
    struct raw_http *http = parser->data;
    if (!http->on_body)
        return append(&http->body, data, len);
    http->on_body(http->user, STR_FROM(data, len));
    return 0;
}

static int on_complete(llhttp_t *parser)
{
    struct raw_http *http = parser->data;
    http->complete = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body_bytes,
    .on_message_complete = on_complete,
};

void raw_http_init(struct raw_http *http, enum raw_http_kind kind, bool keep_headers,
                   void (*on_body)(void *user, struct str data), void *user)
{
    *http = (struct raw_http){.keep_headers = keep_headers, .on_body = on_body, .user = user};
    llhttp_init(&http->parser, kind == RAW_HTTP_REQUESTS ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
    http->parser.data = http;
    if (keep_headers)
        http->arena = arena_new(ARENA_BYTES_MAX);
    buf_init(&http->target, FIELD_BYTES_MAX);
    buf_init(&http->name, FIELD_BYTES_MAX);
    buf_init(&http->value, FIELD_BYTES_MAX);
    buf_init(&http->body, RAW_HTTP_BODY_BYTES_MAX);
}

void raw_http_done(struct raw_http *http)
{
    arena_free(http->arena);
    buf_done(&http->target);
    buf_done(&http->name);
    buf_done(&http->value);
    buf_done(&http->body);
}

size_t raw_http_feed(struct raw_http *http, struct str bytes)
{
    llhttp_errno_t code = llhttp_execute(&http->parser, bytes.data, bytes.len);
    if (code == HPE_OK)
        return bytes.len;
    if (code == HPE_PAUSED)
        return (size_t)(llhttp_get_error_pos(&http->parser) - bytes.data);
    /* An upgrade that was agreed to: what follows is not HTTP. */
    if (code == HPE_PAUSED_UPGRADE)
        return (size_t)(llhttp_get_error_pos(&http->parser) - bytes.data);
    return SIZE_MAX;
}

void raw_http_finish(struct raw_http *http)
{
    if (!http->complete)
        llhttp_finish(&http->parser);
}

void raw_http_next(struct raw_http *http)
{
    if (llhttp_get_errno(&http->parser) == HPE_PAUSED)
        llhttp_resume(&http->parser);
    if (http->arena)
        arena_reset(http->arena);
    http->headers = (struct http_headers){0};
    http->complete = false;
    buf_clear(&http->target);
    buf_clear(&http->name);
    buf_clear(&http->value);
    buf_clear(&http->body);
}

struct str raw_http_method(const struct raw_http *http)
{
    return str_from_cstr(llhttp_method_name(llhttp_get_method((llhttp_t *)&http->parser)));
}

int raw_http_status(const struct raw_http *http)
{
    return llhttp_get_status_code((llhttp_t *)&http->parser);
}

bool raw_http_keep_alive(const struct raw_http *http)
{
    return llhttp_should_keep_alive(&http->parser) != 0;
}
