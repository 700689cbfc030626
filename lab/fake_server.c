/* Connections of the fake provider. Bytes in are read by raw_http, bytes out are a script's,
 * written straight onto the stream: Parley's own HTTP server has no part in it.
 *
 *             request whole (answer)          delay over (play)
 *   READING ------------------------> WAITING -----------------> PLAYING --- paced: step_later
 *      ^                                                            |
 *      +------------ finish: SCRIPT_END_WHOLE, keep-alive ----------+-- CUT, RESET: closed
 *                                                                   +-- STALL: until the client
 * goes
 */
#include "fake_server.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/map.h"
#include "behaviour.h"
#include "fake_dialect.h"
#include "fake_log.h"
#include "net/stream.h"
#include "raw_http.h"
#include "script.h"

enum {
    PENDING_BYTES_MAX = 1024 * 1024, /* read ahead of the request being answered */
    REQUEST_ARENA_BYTES_MAX = 256 * 1024 * 1024,
    ASKED_MAX = 65536, /* models whose requests are counted */
    REPEAT_AT_ONCE = 8 /* pieces of an endless body, every millisecond */
};

enum state { STATE_READING, STATE_WAITING, STATE_PLAYING };

struct fake_server {
    struct loop *loop;
    struct fake_server_options options;
    struct fake_log *log;
    struct list connections;
    struct map *asked;       /* model to uintptr_t: how many requests it has had */
    struct map *first_asked; /* ... and the loop's milliseconds of the first, plus one */
    uint64_t accepted;       /* connections */
};

struct connection {
    struct list link;
    struct fake_server *server;
    struct stream *stream;
    uint64_t number; /* from 1 */
    struct raw_http http;
    struct buf pending; /* bytes behind the request being answered */
    enum state state;
    struct arena *arena;
    struct script script;
    size_t next; /* frame to play */
    struct loop_timer timer;
    uint64_t record;     /* in the log */
    uint64_t start_ms;   /* the request was whole */
    uint64_t sent_bytes; /* of the body */
    size_t content_played;
    uint64_t due_ms; /* timed pace: when the last event should have been sent */
};

static void read_pending(struct connection *connection);
static void play(void *user);

/* ---- Ends --------------------------------------------------------------------------------------
 */

static int status_of(const struct script *script)
{
    uint64_t status = 0;
    str_to_u64(str_slice(buf_str(&script->head), 9, 3), &status);
    return (int)status;
}

static void end_request(struct connection *connection, enum fake_outcome outcome)
{
    struct fake_server *server = connection->server;
    if (connection->state == STATE_READING)
        return;
    loop_timer_cancel(server->loop, &connection->timer);
    fake_log_end(server->log, connection->record, outcome, status_of(&connection->script),
                 connection->sent_bytes, loop_now_ms(server->loop) - connection->start_ms);
    script_done(&connection->script);
    arena_reset(connection->arena);
    connection->state = STATE_READING;
}

static void connection_free(struct connection *connection)
{
    end_request(connection, FAKE_CLIENT_GONE);
    list_remove(&connection->link);
    raw_http_done(&connection->http);
    buf_done(&connection->pending);
    arena_free(connection->arena);
    free(connection);
}

static void close_now(struct connection *connection, bool reset)
{
    struct stream *stream = connection->stream;
    if (reset) {
        stream_abort(stream);
    } else {
        stream_set_events(stream, &(struct stream_events){0}, NULL);
        stream_close(stream);
    }
    connection_free(connection);
}

/* What the script says happens behind its last frame. */
static void finish(struct connection *connection)
{
    enum script_end end = connection->script.end;
    if (end == SCRIPT_END_STALL)
        return;
    if (end == SCRIPT_END_WHOLE && connection->script.chunked)
        stream_write(connection->stream, "0\r\n\r\n", 5);
    bool keep = end == SCRIPT_END_WHOLE && raw_http_keep_alive(&connection->http);
    end_request(connection, FAKE_DONE);
    if (!keep) {
        close_now(connection, end == SCRIPT_END_RESET);
        return;
    }
    raw_http_next(&connection->http);
    read_pending(connection);
}

/* ---- Playing -----------------------------------------------------------------------------------
 */

static void write_piece(struct connection *connection, struct str piece)
{
    struct buf *out = stream_output(connection->stream);
    if (connection->script.chunked)
        buf_printf(out, "%zx\r\n", piece.len);
    buf_append(out, piece);
    if (connection->script.chunked)
        buf_append(out, STR("\r\n"));
    stream_flush_later(connection->stream);
    connection->sent_bytes += piece.len;
}

static void write_head(struct connection *connection)
{
    struct script *script = &connection->script;
    if (!script->head.len)
        return;
    buf_append(&script->head, script->chunked ? STR("Transfer-Encoding: chunked\r\n") : STR(""));
    if (!script->chunked)
        buf_printf(&script->head, "Content-Length: %zu\r\n", script->length);
    if (!raw_http_keep_alive(&connection->http))
        buf_append(&script->head, STR("Connection: close\r\n"));
    buf_append(&script->head, STR("\r\n"));
    stream_write(connection->stream, script->head.data, script->head.len);
}

static void step_later(struct connection *connection, uint64_t delay_ms)
{
    loop_timer_set(connection->server->loop, &connection->timer, delay_ms, play, connection);
}

/* Whether a wait belongs in front of the next frame; then it has begun. */
static bool waits(struct connection *connection)
{
    const struct script *script = &connection->script;
    if (!script->frames[connection->next].is_content)
        return false;
    uint64_t now_ms = loop_now_ms(connection->server->loop);
    if (connection->content_played++ == 0) {
        connection->due_ms = now_ms + script->late_ms;
        if (script->late_ms)
            step_later(connection, script->late_ms);
        return script->late_ms > 0;
    }
    if (script->pace == PACE_BURST)
        return false;
    connection->due_ms += script->pace_ms; /* from when it was due: lateness does not add up */
    bool is_late = script->pace == PACE_TURN || connection->due_ms < now_ms;
    step_later(connection, is_late ? 0 : connection->due_ms - now_ms);
    return true;
}

static void repeat(struct connection *connection)
{
    const struct script *script = &connection->script;
    if (stream_pending_bytes(connection->stream) > STREAM_HIGH_BYTES)
        return; /* on_drain goes on */
    if (connection->next++ == script->frame_count && script->repeat_ms) {
        step_later(connection, script->repeat_ms);
        return;
    }
    write_piece(connection, script->repeat);
    if (script->repeat_ms) {
        step_later(connection, script->repeat_ms);
        return;
    }
    for (int i = 1; i < REPEAT_AT_ONCE; i++)
        write_piece(connection, script->repeat);
    step_later(connection,
               1); /* never 0: it would come round before the client's leaving is heard */
}

/* Plays frames until one has to be waited for. Timers lead here again: behind the wait. */
static void play_on(struct connection *connection, bool waited)
{
    struct script *script = &connection->script;
    while (connection->next < script->frame_count) {
        if (!waited && waits(connection))
            return;
        waited = false;
        const struct script_frame *frame = &script->frames[connection->next++];
        if (frame->len)
            write_piece(connection, str_slice(buf_str(&script->bytes), frame->at, frame->len));
    }
    if (script->end == SCRIPT_END_REPEAT)
        repeat(connection);
    else
        finish(connection);
}

static void play(void *user)
{
    struct connection *connection = user;
    bool is_first = connection->state == STATE_WAITING;
    if (is_first)
        write_head(connection);
    connection->state = STATE_PLAYING;
    play_on(connection, !is_first);
}

/* ---- Requests ----------------------------------------------------------------------------------
 */

static void note_asked(struct fake_server *server, struct str model, struct behaviour_history *ret)
{
    uint64_t now_ms = loop_now_ms(server->loop);
    uintptr_t asked = (uintptr_t)map_get(server->asked, model);
    *ret = (struct behaviour_history){.requests = asked};
    if (asked)
        ret->first_ms = now_ms + 1 - (uintptr_t)map_get(server->first_asked, model);
    else if (map_count(server->asked) >= ASKED_MAX)
        return;
    else
        map_set(server->first_asked, model, (void *)(uintptr_t)(now_ms + 1));
    map_set(server->asked, model, (void *)(asked + 1));
}

static void forget_asked(struct fake_server *server)
{
    map_free(server->asked);
    map_free(server->first_asked);
    server->asked = server->first_asked = NULL;
}

static void choose_script(struct connection *connection, const struct fake_request *request,
                          bool key_is_wrong)
{
    struct behaviour behaviour;
    struct behaviour_history history;
    const char *error = NULL;
    note_asked(connection->server, request->model, &history);
    if (request->bad_json)
        error = "500";
    else if (key_is_wrong)
        error = "401";
    else if (!behaviour_parse(request->model, &history, &behaviour))
        error = "404";
    else if (history.requests < behaviour.fail_first)
        error = "503";
    if (error)
        script_init_error(&connection->script, connection->arena, request, error, 1);
    else
        script_init(&connection->script, connection->arena, request, &behaviour);
}

static bool is_head(const struct connection *connection)
{
    return str_eq(raw_http_method(&connection->http), STR("HEAD"));
}

static void answer_provider(struct connection *connection, struct str target)
{
    struct fake_server *server = connection->server;
    struct raw_http *http = &connection->http;
    struct fake_request request;
    struct str key;
    struct str method = is_head(connection) ? STR("GET") : raw_http_method(http);
    fake_request_read(connection->arena, method, target, &http->headers, buf_str(&http->body),
                      &request);
    request.wall_ms = clock_wall_ms();
    bool has_key = fake_request_key(connection->arena, target, &http->headers, &key);
    bool key_is_wrong = server->options.key.len && !str_eq(key, server->options.key);
    if (!server->options.quiet)
        connection->record =
            fake_log_add(server->log, &(struct fake_seen){.method = raw_http_method(http),
                                                          .target = target,
                                                          .model = request.model,
                                                          .body = buf_str(&http->body),
                                                          .stream = request.stream,
                                                          .credentials = has_key,
                                                          .headers = &http->headers,
                                                          .connection = connection->number,
                                                          .wall_ms = request.wall_ms});
    if (request.route == FAKE_ROUTE_NONE)
        script_init_plain(&connection->script, connection->arena, 404, "text/plain",
                          STR("no such route"));
    else if (request.route != FAKE_ROUTE_FILE || key_is_wrong)
        choose_script(connection, &request, key_is_wrong);
    else
        script_init_plain(&connection->script, connection->arena, 200,
                          request.type ? request.type : "application/json",
                          reply_find(request.dialect->folder, request.file));
}

/* "/_body/N" */
static void answer_body(struct connection *connection, struct str number_text)
{
    uint64_t number;
    struct str body = STR_NONE;
    if (str_to_u64(number_text, &number))
        body = fake_log_body(connection->server->log, number);
    script_init_plain(&connection->script, connection->arena, body.data ? 200 : 404,
                      "application/octet-stream", body);
}

/* The paths that are the lab's own. False when it is none of them. */
static bool answer_lab(struct connection *connection, struct str target)
{
    struct fake_server *server = connection->server;
    struct script *script = &connection->script;
    struct str method = raw_http_method(&connection->http);
    struct buf lines;
    buf_init(&lines, PENDING_BYTES_MAX * 64);
    bool is_known = true;
    if (str_eq(target, STR("/")))
        script_init_plain(script, connection->arena, 200, "text/plain", STR("Ollama is running"));
    else if (str_eq(target, STR("/_log"))) {
        fake_log_write(server->log, &lines);
        script_init_plain(script, connection->arena, 200, "application/x-ndjson", buf_str(&lines));
    } else if (str_eq(target, STR("/_last_body"))) {
        script_init_plain(script, connection->arena, 200, "application/octet-stream",
                          fake_log_last_body(server->log));
    } else if (str_starts_with(target, STR("/_body/"))) {
        answer_body(connection, str_skip(target, 7));
    } else if (str_eq(target, STR("/_reset")) && str_eq(method, STR("POST"))) {
        fake_log_clear(server->log);
        forget_asked(server);
        server->asked = map_new();
        server->first_asked = map_new();
        script_init_plain(script, connection->arena, 200, "text/plain", STR("forgotten\n"));
    } else {
        is_known = false;
    }
    buf_done(&lines);
    return is_known;
}

static void answer(struct connection *connection)
{
    struct str target = buf_str(&connection->http.target);
    connection->record = FAKE_NO_RECORD;
    connection->start_ms = loop_now_ms(connection->server->loop);
    connection->next = connection->content_played = 0;
    connection->sent_bytes = 0;
    if (!answer_lab(connection, target))
        answer_provider(connection, target);
    if (is_head(connection))
        connection->script.frame_count = 0;
    connection->state = STATE_WAITING;
    if (connection->script.delay_ms)
        step_later(connection, connection->script.delay_ms);
    else
        play(connection);
}

/* ---- Connections -------------------------------------------------------------------------------
 */

static void read_pending(struct connection *connection)
{
    if (connection->state != STATE_READING || !connection->pending.len)
        return;
    size_t used = raw_http_feed(&connection->http, buf_str(&connection->pending));
    if (used == SIZE_MAX) {
        close_now(connection, true);
        return;
    }
    buf_consume(&connection->pending, used);
    if (connection->http.complete)
        answer(connection);
}

static void on_data(void *user, char *data, size_t len)
{
    struct connection *connection = user;
    buf_append(&connection->pending, STR_FROM(data, len));
    if (buf_ok(&connection->pending))
        read_pending(connection);
    else
        close_now(connection, true);
}

static void on_end(void *user)
{
    struct connection *connection = user;
    close_now(connection, false);
}

static void on_drain(void *user)
{
    struct connection *connection = user;
    if (connection->state == STATE_PLAYING && connection->script.end == SCRIPT_END_REPEAT)
        repeat(connection);
}

static void on_close(void *user, enum err code, const char *detail)
{
    (void)code, (void)detail;
    connection_free(user);
}

static const struct stream_events events = {NULL, on_data, on_end, on_drain, on_close};

void fake_server_accept(void *user, int fd)
{
    struct fake_server *server = user;
    struct connection *connection = calloc(1, sizeof *connection);
    connection->server = server;
    connection->arena = arena_new(REQUEST_ARENA_BYTES_MAX);
    connection->number = ++server->accepted;
    raw_http_init(&connection->http, RAW_HTTP_REQUESTS, true, NULL, NULL);
    buf_init(&connection->pending, PENDING_BYTES_MAX);
    list_append(&server->connections, &connection->link);
    connection->stream = stream_accept(server->loop, fd, server->options.tls, &events, connection);
}

struct fake_server *fake_server_new(struct loop *loop, const struct fake_server_options *options)
{
    struct fake_server *server = calloc(1, sizeof *server);
    server->loop = loop;
    server->options = *options;
    server->log = fake_log_new();
    server->asked = map_new();
    server->first_asked = map_new();
    list_init(&server->connections);
    return server;
}

void fake_server_free(struct fake_server *server)
{
    LIST_EACH (&server->connections, link)
        close_now(LIST_ENTRY(link, struct connection, link), true);
    forget_asked(server);
    fake_log_free(server->log);
    free(server);
}
