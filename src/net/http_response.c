/* HTTP/1.1 response parser: llhttp with our limits around it. Stands under http_client.c (answers)
 * and connector.c (a proxy's reply to CONNECT).
 *
 * Header fields gather in one buffer as "name NUL value NUL": neither can contain a NUL, so one
 * walk at the end makes the list, and a response needs one growing allocation however it was cut
 * into reads. */
#include "net/http_response.h"

#include <string.h>

static struct http_response *response_of(llhttp_t *parser)
{
    return parser->data;
}

static int fail(struct http_response *response, enum err code, const char *reason)
{
    response->failure = code;
    response->failure_reason = reason;
    return HPE_USER;
}

static int append_field(llhttp_t *parser, const char *at, size_t length)
{
    struct http_response *response = response_of(parser);
    if (!response->has_headers) /* else a trailer: not wanted, and counted as quiet bytes */
        buf_append(&response->fields, STR_FROM(at, length));
    return 0;
}

static int on_field_complete(llhttp_t *parser)
{
    return append_field(parser, "", 1);
}

static int on_value_complete(llhttp_t *parser)
{
    struct http_response *response = response_of(parser);
    if (response->has_headers)
        return 0;
    if (++response->field_count > HTTP_HEADER_COUNT_MAX)
        return fail(response, ERR_TOO_BIG, "too many header fields");
    return append_field(parser, "", 1);
}

/* Cuts the gathered fields into the list; false when names and values do not pair up. */
static bool list_fields(const struct http_response *response, struct http_headers *headers)
{
    struct str rest = buf_str(&response->fields);
    for (size_t i = 0; i < response->field_count; i++) {
        size_t name = str_find_char(rest, '\0');
        struct str after = name == SIZE_MAX ? STR_NONE : str_skip(rest, name + 1);
        size_t value = str_find_char(after, '\0');
        if (value == SIZE_MAX)
            return false;
        headers->items[headers->count++] = (struct http_header){
            .name = str_slice(rest, 0, name), .value = str_trim(str_slice(after, 0, value))};
        rest = str_skip(after, value + 1);
    }
    return rest.len == 0;
}

static int deliver_headers(struct http_response *response, int status)
{
    struct http_header items[HTTP_HEADER_COUNT_MAX];
    struct http_headers headers = {.items = items, .capacity = HTTP_HEADER_COUNT_MAX};
    if (!buf_ok(&response->fields) || !list_fields(response, &headers))
        return fail(response, ERR_SERVER, "its header fields are malformed");
    response->has_headers = true;
    response->quiet_bytes = 0;
    bool go_on = response->events->on_headers(response->user, status, &headers);
    buf_release(&response->fields);
    /* 1 tells llhttp that no body follows. It then runs into on_message_complete, which stops too,
     * so the owner's wish to stop is met either way. */
    if (response->options.headers_only)
        return 1;
    return go_on ? 0 : HPE_PAUSED;
}

static int on_headers_complete(llhttp_t *parser)
{
    struct http_response *response = response_of(parser);
    int status = llhttp_get_status_code(parser);
    if (llhttp_get_http_major(parser) != 1)
        return fail(response, ERR_SERVER, "it does not speak HTTP/1.1");
    if (status < 100 || status == 101)
        return fail(response, ERR_SERVER, "its status is not one that was asked for");
    if (status < 200) {
        buf_clear(&response->fields);
        response->field_count = 0;
        return 1; /* no body, whatever its headers say */
    }
    return deliver_headers(response, status);
}

static int on_body(llhttp_t *parser, const char *at, size_t length)
{
    struct http_response *response = response_of(parser);
    if (length == 0)
        return 0;
    if (length > response->options.body_bytes_max - response->body_bytes)
        return fail(response, ERR_TOO_BIG, "its answer is longer than allowed");
    response->body_bytes += length;
    response->quiet_bytes = 0;
    char *piece = response->input + (at - response->input);
    if (response->body_len)
        memmove(response->body + response->body_len, piece, length);
    else
        response->body = piece;
    response->body_len += length;
    return 0;
}

/* What came of the body, if anything did; false when its owner wants no more. */
static bool deliver_body(struct http_response *response)
{
    struct str body = STR_FROM(response->body, response->body_len);
    response->body_len = 0;
    return !body.len || response->events->on_body(response->user, body);
}

static int on_message_complete(llhttp_t *parser)
{
    struct http_response *response = response_of(parser);
    if (!response->has_headers)
        return 0; /* a 1xx: the real one follows */
    response->complete = true;
    response->keep_alive = llhttp_should_keep_alive(parser);
    return HPE_PAUSED; /* what follows is not ours to parse */
}

static const llhttp_settings_t parser_settings = {
    .on_header_field = append_field,
    .on_header_field_complete = on_field_complete,
    .on_header_value = append_field,
    .on_header_value_complete = on_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

void http_response_init(struct http_response *response, const struct http_response_options *options,
                        const struct http_response_events *events, void *user)
{
    *response = (struct http_response){.events = events, .user = user, .options = *options};
    llhttp_init(&response->parser, HTTP_RESPONSE, &parser_settings);
    response->parser.data = response;
    /* Terminators come on top of the counted bytes. */
    buf_init(&response->fields, options->header_bytes_max + 2 * (HTTP_HEADER_COUNT_MAX + 1));
}

void http_response_done(struct http_response *response)
{
    buf_done(&response->fields);
}

static enum http_response_result result_of(struct http_response *response, llhttp_errno_t code)
{
    if (code == HPE_OK)
        return HTTP_RESPONSE_MORE;
    if (code == HPE_PAUSED) {
        llhttp_resume(&response->parser);
        return response->complete ? HTTP_RESPONSE_COMPLETE : HTTP_RESPONSE_STOPPED;
    }
    if (response->failure == ERR_OK)
        fail(response, ERR_SERVER, "its answer is not valid HTTP");
    return HTTP_RESPONSE_FAILED;
}

/* One call of llhttp, on no more than the headers may still take. A stream of small chunks costs its
 * receivers one call for all that a read brings. */
static enum http_response_result feed_piece(struct http_response *response, char *data, size_t len,
                                            size_t *ret_used)
{
    size_t room = response->options.header_bytes_max - response->quiet_bytes;
    if (!response->has_headers && len > room)
        len = room;
    response->quiet_bytes += len; /* set back by what is heard meanwhile */
    response->input = data;
    llhttp_errno_t code = llhttp_execute(&response->parser, data, len);
    *ret_used = code == HPE_OK ? len : (size_t)(llhttp_get_error_pos(&response->parser) - data);
    enum http_response_result result = result_of(response, code);
    bool go_on = deliver_body(response);
    return go_on || result == HTTP_RESPONSE_COMPLETE ? result : HTTP_RESPONSE_STOPPED;
}

enum http_response_result http_response_feed(struct http_response *response, char *data, size_t len,
                                             size_t *ret_used)
{
    *ret_used = 0;
    if (response->complete)
        return HTTP_RESPONSE_COMPLETE;
    if (response->failure != ERR_OK) /* told after a stop */
        return HTTP_RESPONSE_FAILED;
    enum http_response_result result;
    do {
        size_t used;
        result = feed_piece(response, data + *ret_used, len - *ret_used, &used);
        *ret_used += used;
        if (result == HTTP_RESPONSE_MORE &&
            response->quiet_bytes >= response->options.header_bytes_max) {
            fail(response, ERR_TOO_BIG, "its headers are longer than allowed");
            result = HTTP_RESPONSE_FAILED;
        }
    } while (result == HTTP_RESPONSE_MORE && *ret_used < len);
    return result;
}

enum http_response_result http_response_finish(struct http_response *response)
{
    if (response->complete)
        return HTTP_RESPONSE_COMPLETE;
    enum http_response_result result = result_of(response, llhttp_finish(&response->parser));
    if (response->complete)
        return HTTP_RESPONSE_COMPLETE;
    if (result != HTTP_RESPONSE_FAILED || response->failure == ERR_SERVER)
        fail(response, ERR_NETWORK, "the connection ended in the middle of the answer");
    return HTTP_RESPONSE_FAILED;
}

enum err http_response_failure(const struct http_response *response, const char **ret_reason)
{
    *ret_reason = response->failure_reason;
    return response->failure;
}

bool http_response_keep_alive(const struct http_response *response)
{
    return response->complete && response->keep_alive;
}
