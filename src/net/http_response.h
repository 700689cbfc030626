/* HTTP/1.1 response parser: the bytes of a connection to one final status, headers and body. No
 * sockets, no clock; used by the client for answers and by the connector for a proxy's reply. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "net/http.h"
#include "net/http_llhttp.h"

/* What the owner hears, from inside http_response_feed. Returning false makes the feed return after
 * this event; feeding what was left goes on where it stopped. */
struct http_response_events {
    /* The final status and headers, valid during the call; 1xx are skipped. */
    bool (*on_headers)(void *user, int status, const struct http_headers *headers);
    /* Body bytes without transfer coding, valid during the call; never empty. What one feed brings
     * comes at once, however many chunks it was sent in. */
    bool (*on_body)(void *user, struct str data);
};

struct http_response_options {
    size_t header_bytes_max; /* everything up to the end of the final headers, 1xx included */
    uint64_t body_bytes_max;
    bool headers_only; /* no body follows whatever the headers say (HEAD, CONNECT) */
};

/* Embed it; the members are the parser's own. */
struct http_response {
    llhttp_t parser;
    const struct http_response_events *events;
    void *user;
    struct http_response_options options;
    struct buf fields; /* "name NUL value NUL" of each header until they are complete */
    char *input;       /* while feeding: the bytes that are parsed */
    char *body;        /* of them: the body's, moved together */
    size_t body_len;
    size_t field_count;
    size_t quiet_bytes; /* since the start, the headers or the last of the body */
    uint64_t body_bytes;
    bool has_headers;
    bool complete;
    bool keep_alive;
    enum err failure;
    const char *failure_reason;
};

enum http_response_result {
    HTTP_RESPONSE_MORE,     /* all was taken, and more is needed */
    HTTP_RESPONSE_STOPPED,  /* an event asked to stop; feed the rest (even if empty) to go on */
    HTTP_RESPONSE_COMPLETE, /* the response is whole; bytes not taken are not part of it */
    HTTP_RESPONSE_FAILED    /* see http_response_failure; feed no more */
};

/* `events` is borrowed for the life of the parser. Release with http_response_done. */
void http_response_init(struct http_response *response, const struct http_response_options *options,
                        const struct http_response_events *events, void *user);
void http_response_done(struct http_response *response);
/* Parses `len` bytes and sets *ret_used to how many were taken. Those it has taken are written over:
 * chunks are moved together. */
enum http_response_result http_response_feed(struct http_response *response, char *data, size_t len,
                                             size_t *ret_used);
/* The connection ended in order: completes a body that is delimited by that, else fails. */
enum http_response_result http_response_finish(struct http_response *response);
/* After FAILED: ERR_TOO_BIG or ERR_SERVER, and why in *ret_reason (a literal). */
enum err http_response_failure(const struct http_response *response, const char **ret_reason);
/* After COMPLETE: whether the server keeps the connection open for another request. */
bool http_response_keep_alive(const struct http_response *response);
