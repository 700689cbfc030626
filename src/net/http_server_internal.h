/* Shared by the files that make up the HTTP server; nobody else includes it.
 *
 *   http_server.c      the server and its connections: bytes in, timers, drain, the end
 *   http_request.c     bytes to requests (llhttp), limits, refusals
 *   http_exchange.c    the life of an exchange, and what its owner asks about it
 *   http_respond.c     responses to bytes, upgrades
 *   http_spill.c       a large body on its way to a file */
#pragma once

#include "base/buf.h"
#include "base/list.h"
#include "net/http_llhttp.h"
#include "net/http_server.h"
#include "net/http_spill.h"
#include "net/loop.h"

enum {
    HTTP_HELD_PAUSE_BYTES = 64 * 1024, /* bytes read ahead, not parsed: over it reading pauses */
    HTTP_HELD_BYTES_MAX = 256 * 1024,
    HTTP_SPARE_EXCHANGES_MAX = 64,
    HTTP_SPARE_ARENA_BYTES_MAX = 16 * 1024, /* what an exchange kept for reuse may hold */
    HTTP_SPARE_HEAD_BYTES_MAX = 4 * 1024,
    HTTP_ID_BYTES_MAX = 64,
};
#define HTTP_NEVER UINT64_MAX

struct http_server {
    struct loop *loop;
    struct http_server_options options; /* defaults filled in; spill_directory is a copy */
    struct http_server_handler handler;
    struct list connections;
    size_t connection_count;
    struct list spares; /* exchanges for reuse */
    size_t spare_count;
    char id_prefix[16]; /* of request ids: random, per server */
    uint64_t id_next;
    char date[30]; /* the Date header's value, until date_until_ms of the loop */
    uint64_t date_until_ms;
    bool draining;
    void (*on_drained)(void *user);
    void *drained_user;
    struct loop_task drained_task;
};

/* An idle one holds this struct and nothing else. */
struct http_connection {
    struct http_server *server;
    struct stream *stream; /* NULL: gone; freed when the outermost call leaves */
    struct list link;
    struct list exchanges;         /* in the order of arrival; the first is being answered */
    struct http_exchange *parsing; /* the last of them, while it is incomplete */
    struct loop_timer timer;       /* for the earlier of the two deadlines */
    struct loop_task advance;
    llhttp_t parser;
    struct buf held;            /* bytes that wait to be parsed */
    struct str input;           /* while running: what is left to parse */
    struct str static_rest;     /* of a static body on its way */
    uint64_t input_deadline_ms; /* header, body or idle timeout; HTTP_NEVER */
    uint64_t write_check_ms;    /* when to look whether output moves; HTTP_NEVER */
    uint64_t queued_bytes;      /* ever written to the stream */
    uint64_t taken_bytes;       /* of those, what the kernel had taken */
    uint64_t taken_ms;          /* when that last grew */
    size_t exchange_count;
    unsigned depth;  /* calls under way that will look at the connection again */
    bool running;    /* inside run: `input` is valid */
    bool over_limit; /* one too many: answered with ERR_UNAVAILABLE */
    bool input_done; /* no further request is read */
    bool closing;    /* stream_close was called */
    bool paused;     /* stream_pause was called */
    bool greeted;    /* a first byte has come */
    bool idle;       /* input_deadline_ms is the idle timeout */
};

enum http_exchange_state {
    EXCHANGE_READING,
    EXCHANGE_SPILLING,
    EXCHANGE_READY,
    EXCHANGE_DELIVERED,
    EXCHANGE_BEGUN,
    EXCHANGE_SENDING
};

enum http_framing {
    HTTP_FRAMING_NONE,    /* no body, and no header that announces one */
    HTTP_FRAMING_LENGTH,  /* Content-Length */
    HTTP_FRAMING_CHUNKED, /* Transfer-Encoding: chunked */
    HTTP_FRAMING_CLOSE,   /* ends with the connection (HTTP/1.0) */
    HTTP_FRAMING_UPGRADE  /* 101: what follows is another protocol */
};

struct http_exchange {
    struct list link;
    struct http_connection *connection; /* NULL: the client has gone */
    struct loop *loop;
    struct arena *arena;
    struct buf head; /* header fields of the response, encoded */
    enum http_exchange_state state;
    enum http_framing framing;
    struct http_request request;
    struct error *refusal; /* in the arena; NULL: a good request */
    struct str id;
    struct str target;
    struct buf body;
    struct http_spill *spill;
    uint64_t body_limit;
    uint64_t body_bytes;
    uint64_t start_ms;
    size_t header_bytes;
    size_t extension_bytes; /* of chunks */
    void *user;
    void (*on_abort)(void *user);
    void *abort_user;
    void (*on_drain)(void *user);
    void *drain_user;
    void (*on_release)(void *user);
    void *release_user;
    const struct http_witness *witness; /* NULL: nobody looks on */
    void *witness_user;
    bool field_open;     /* parsing: within the name or value of the last header */
    bool headers_done;   /* parsing: what comes is the body, or trailers */
    bool is_http10;      /* the client's version */
    bool keep_alive;     /* the client allows it */
    bool is_upgrade;     /* the request asks for another protocol */
    bool wants_continue; /* 100 Continue is owed */
    bool closes;         /* the response says Connection: close */
    bool is_bodyless;    /* HEAD, 204, 304 */
    char id_text[32];
};

/* ---- http_server.c --------------------------------------------------------------------------- */

/* Looks at the connection again after this callback: something was ended or became ready. */
void http_connection_wake(struct http_connection *connection);
/* Closes in order: what is queued is still sent; requests not yet delivered are forgotten. */
void http_connection_close(struct http_connection *connection);
/* Forgets a connection whose stream is dead or was handed over; aborts its exchanges. */
void http_connection_drop(struct http_connection *connection);
/* `count` bytes were written to the stream: somebody must take them in time. */
void http_connection_wrote(struct http_connection *connection, size_t count);
/* Queues more of a static body; true when all of it is queued. */
bool http_connection_send_static(struct http_connection *connection);
/* The value of the Date header, at most a second old. */
struct str http_server_date(struct http_server *server);

/* ---- http_request.c -------------------------------------------------------------------------- */

void http_request_parser_init(struct http_connection *connection);
/* Parses connection->input up to the end of a request at most. */
void http_request_parse(struct http_connection *connection);
/* Ends reading from this connection: `exchange` (NULL: a new one) is answered by on_refuse. */
void http_request_refuse(struct http_connection *connection, struct http_exchange *exchange,
                         enum err code, const char *field, const char *message);
/* 100 Continue, when it is owed. */
void http_request_continue(struct http_exchange *exchange);

/* ---- http_exchange.c ------------------------------------------------------------------------- */

/* A new exchange at the end of the connection's. */
struct http_exchange *http_exchange_new(struct http_connection *connection);
void http_exchange_set_state(struct http_exchange *exchange, enum http_exchange_state state);
/* Gives the request to the handler. */
void http_exchange_deliver(struct http_exchange *exchange);
/* The response is complete: the exchange is freed, and the connection goes on or closes. */
void http_exchange_complete(struct http_exchange *exchange);
/* Takes it out of its connection and frees it. */
void http_exchange_release(struct http_exchange *exchange);
/* The connection is gone: tells the handler if it holds the exchange, else frees it. */
void http_exchange_orphan(struct http_exchange *exchange);
void http_exchange_free(struct http_exchange *exchange);

/* ---- http_respond.c -------------------------------------------------------------------------- */

/* Whether `id` may be kept as a request id. */
bool http_request_id_is_valid(struct str id);
