/* HTTP/1.1 messages of either direction, read by llhttp alone. The lab has its own reader and
 * writes its own bytes, so that a mistake in Parley's client or server cannot cancel itself out. */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"
#include "net/http.h"

/* Behind http.h: it renames the methods that both headers call the same. */
#include "net/http_llhttp.h"

enum raw_http_kind { RAW_HTTP_REQUESTS, RAW_HTTP_RESPONSES };

enum { RAW_HTTP_BODY_BYTES_MAX = 64 * 1024 * 1024 };

struct raw_http {
    llhttp_t parser;
    struct arena *arena; /* of the message being read; reset by the next */
    struct buf target;
    struct buf name, value;
    struct buf body; /* empty when `on_body` takes it */
    struct http_headers headers;
    bool keep_headers;
    bool complete; /* a whole message is here; raw_http_next goes on */
    void (*on_body)(void *user, struct str data);
    void *user;
};

/* `keep_headers`: whether fields are remembered. `on_body` may be NULL: then the body gathers in
 * `body`. Release with raw_http_done. */
void raw_http_init(struct raw_http *http, enum raw_http_kind kind, bool keep_headers,
                   void (*on_body)(void *user, struct str data), void *user);
void raw_http_done(struct raw_http *http);
/* Feeds bytes; stops behind the end of a message (`complete`). Returns how many were used, or
 * SIZE_MAX when they are not HTTP. */
size_t raw_http_feed(struct raw_http *http, struct str bytes);
/* The sender has closed: completes a response that ends with its connection. */
void raw_http_finish(struct raw_http *http);
/* Forgets the complete message and is ready for the next. */
void raw_http_next(struct raw_http *http);

/* Valid from `complete` to raw_http_next. */
struct str raw_http_method(const struct raw_http *http);
int raw_http_status(const struct raw_http *http);
bool raw_http_keep_alive(const struct raw_http *http);
