/* Socket: one WebSocket of docs/protocol.md.
 *
 * A message is parsed, who sends it and that one's scope asked anew, its type found in one table, its
 * fields checked, the caller authorised, its handler called. Attached runs wake the socket, which pulls their events while the client takes
 * them: a slow client slows nobody, it is given a snapshot once the log has moved on. */
#include "api/socket.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "net/websocket.h"

enum {
    MESSAGE_BYTES_MAX = 1024 * 1024,
    FRAME_BYTES_MAX = 256 * 1024 * 1024,
    ATTACHMENTS_MAX = 32,
    ASKS_MAX = 8, /* not yet answered */
    ID_BYTES_MAX = 64,
    SOCKETS_PER_LOOP_MAX = 100000
};

struct socket {
    struct list link;
    struct api *api;
    struct websocket *websocket; /* NULL once closed: only asks under way keep the rest */
    struct principal who;
    struct api_credential credential;
    struct watcher *watcher;
    struct list attachments;
    int attachment_count;
    int asks;
};

/* A run that this socket listens to. */
struct attachment {
    struct list link;
    struct socket *socket;
    struct id run;
    struct run_listener *listener;
};

/* A message being handled. */
struct message {
    struct socket *socket;
    struct arena *arena;
    yyjson_val *body;
    struct str id; /* the client's, or STR_NONE */
};

/* ---- Sending --------------------------------------------------------------------------------- */

/* Begins a frame of `type` answering `id` (STR_NONE: none). */
static void frame_begin(struct api_reply *frame, const char *type, struct str id)
{
    buf_init(&frame->out, FRAME_BYTES_MAX);
    json_writer_init(&frame->w, &frame->out);
    json_begin_object(&frame->w);
    json_key_str(&frame->w, "type", str_from_cstr(type));
    if (id.data)
        json_key_str(&frame->w, "id", id);
}

static void frame_send(struct socket *socket, struct api_reply *frame)
{
    json_end_object(&frame->w);
    if (buf_ok(&frame->out) && socket->websocket)
        websocket_send(socket->websocket, buf_str(&frame->out));
    buf_done(&frame->out);
}

static void send_error(struct socket *socket, struct str id, enum err code,
                       const struct error *error)
{
    struct api_reply frame;
    frame_begin(&frame, "error", id);
    if (!id.data)
        json_key_null(&frame.w, "id");
    json_key(&frame.w, STR("error"));
    api_write_error(&frame.w, code, error, STR(""));
    frame_send(socket, &frame);
}

/* ---- Runs ------------------------------------------------------------------------------------ */

static void detach(struct attachment *attachment)
{
    list_remove(&attachment->link);
    attachment->socket->attachment_count--;
    run_log_detach(attachment->listener);
    free(attachment);
}

static void send_event(struct attachment *attachment, uint64_t sequence, struct str json)
{
    struct api_reply frame;
    frame_begin(&frame, "event", STR_NONE);
    json_key_str(&frame.w, "run_id", id_str(&attachment->run));
    json_key_int(&frame.w, "seq", (int64_t)sequence);
    json_key_raw(&frame.w, "event", json);
    frame_send(attachment->socket, &frame);
}

static void close_unwelcome(struct socket *socket)
{
    websocket_close(socket->websocket, 1008, "not signed in any more");
}

/* Whether who opened it may still use it; tells it to go otherwise. Asked before anything is said to
 * it unasked. */
static bool is_welcome(struct socket *socket)
{
    if (api_credential_is_good(socket->api, &socket->credential))
        return true;
    close_unwelcome(socket);
    return false;
}

static void pump(void *user)
{
    struct attachment *attachment = user;
    struct websocket *websocket = attachment->socket->websocket;
    struct buf json;
    uint64_t sequence;
    const char *type;
    enum run_pull pull = RUN_PULL_EMPTY;
    buf_init(&json, FRAME_BYTES_MAX);
    bool welcome = is_welcome(attachment->socket);
    while (welcome && websocket_pending_bytes(websocket) <= STREAM_HIGH_BYTES) {
        buf_clear(&json);
        pull = run_log_pull(attachment->listener, &sequence, &type, &json);
        if (pull != RUN_PULL_EVENT)
            break;
        send_event(attachment, sequence, buf_str(&json));
    }
    buf_done(&json);
    if (pull == RUN_PULL_END)
        detach(attachment);
}

static struct attachment *find_attachment(struct socket *socket, const struct id *run)
{
    LIST_EACH (&socket->attachments, link) {
        struct attachment *attachment = LIST_ENTRY(link, struct attachment, link);
        if (id_eq(&attachment->run, run))
            return attachment;
    }
    return NULL;
}

static void attach(struct socket *socket, const struct hub_run *run, uint64_t after)
{
    struct attachment *attachment = find_attachment(socket, &run->id);
    if (attachment)
        detach(attachment);
    else if (socket->attachment_count >= ATTACHMENTS_MAX) /* the oldest makes room */
        detach(LIST_ENTRY(socket->attachments.next, struct attachment, link));
    attachment = calloc(1, sizeof *attachment);
    ASSERT(attachment);
    attachment->socket = socket;
    attachment->run = run->id;
    list_append(&socket->attachments, &attachment->link);
    socket->attachment_count++;
    attachment->listener =
        run_log_attach(run->log, socket->api->options.loop, after, pump, attachment);
}

/* The run of the message, if it is this person's; the caller gives its log back. */
static bool find_run(struct message *message, enum verb verb, struct hub_run *ret_run)
{
    struct socket *socket = message->socket;
    struct error error = {0};
    struct id id = {0};
    id_parse(json_get_str(message->body, "run_id"), &id);
    enum err code = hub_find_run(socket->api->options.hub, &id, ret_run);
    if (code == ERR_OK) {
        code = authorise(&socket->who, verb, (struct authorise_object){&ret_run->owner}, NULL);
        if (code == ERR_OK)
            return true;
        run_log_unref(ret_run->log);
    }
    error_set(&error, code, "run_id", "this answer is not being written (any more)");
    error_remedy(&error, "Load the conversation: a finished answer is in it.");
    send_error(socket, message->id, code, &error);
    return false;
}

static void handle_attach(struct message *message)
{
    struct hub_run run;
    struct api_reply frame;
    int64_t after = 0;
    json_get_int(message->body, "after", &after);
    if (!find_run(message, VERB_RUN_READ, &run))
        return;
    frame_begin(&frame, "attached", message->id);
    json_key_str(&frame.w, "run_id", id_str(&run.id));
    json_key_str(&frame.w, "conversation_id", id_str(&run.conversation));
    json_key_str(&frame.w, "message_id", id_str(&run.message));
    json_key_int(&frame.w, "last_seq", (int64_t)run_log_last_sequence(run.log));
    frame_send(message->socket, &frame);
    attach(message->socket, &run, (uint64_t)after);
    run_log_unref(run.log);
}

static void handle_detach(struct message *message)
{
    struct id run = {0};
    id_parse(json_get_str(message->body, "run_id"), &run);
    struct attachment *attachment = find_attachment(message->socket, &run);
    if (attachment)
        detach(attachment);
}

static void handle_stop(struct message *message)
{
    struct hub_run run;
    struct api_reply frame;
    if (!find_run(message, VERB_RUN_STOP, &run))
        return;
    run_log_unref(run.log);
    enum err code = chat_stop(message->socket->api->options.chat, &run.owner, &run.id);
    if (code != ERR_OK) {
        send_error(message->socket, message->id, code, NULL);
        return;
    }
    frame_begin(&frame, "stopped", message->id);
    json_key_str(&frame.w, "run_id", id_str(&run.id));
    frame_send(message->socket, &frame);
}

static void handle_ping(struct message *message)
{
    struct api_reply frame;
    frame_begin(&frame, "pong", message->id);
    frame_send(message->socket, &frame);
}

/* ---- Asking for an answer -------------------------------------------------------------------- */

/* Outlives the message, and keeps the socket's memory until it is answered. */
struct pending_ask {
    struct socket *socket;
    char id[ID_BYTES_MAX + 1];
    bool has_id;
};

static void socket_release(struct socket *socket);

static void on_accepted(void *user, enum err code, const struct error *error,
                        const struct chat_accepted *accepted)
{
    struct pending_ask *pending = user;
    struct socket *socket = pending->socket;
    struct str id = pending->has_id ? str_from_cstr(pending->id) : STR_NONE;
    struct hub_run run;
    struct api_reply frame;
    if (code != ERR_OK) {
        send_error(socket, id, code, error);
    } else {
        frame_begin(&frame, "accepted", id);
        chat_write_accepted(&frame.w, accepted);
        frame_send(socket, &frame);
        if (socket->websocket &&
            hub_find_run(socket->api->options.hub, &accepted->run, &run) == ERR_OK) {
            attach(socket, &run, 0);
            run_log_unref(run.log);
        }
    }
    socket->asks--;
    socket_release(socket);
    free(pending);
}

static void start_ask(struct message *message, struct chat_ask *ask)
{
    struct socket *socket = message->socket;
    struct pending_ask *pending = calloc(1, sizeof *pending);
    ASSERT(pending);
    pending->socket = socket;
    pending->has_id = str_copy(message->id, pending->id, sizeof pending->id) && message->id.data;
    ask->owner = socket->who.user;
    ask->who = socket->who;
    ask->address = str_from_cstr(socket->credential.address);
    ask->model = json_get_str(message->body, "model");
    ask->arena = message->arena; /* it goes with the run: on_message must not free it */
    ask->asker = socket->watcher;
    message->arena = NULL;
    socket->asks++;
    chat_ask(socket->api->options.chat, ask, on_accepted, pending);
}

static bool may_ask(struct message *message)
{
    if (message->socket->asks < ASKS_MAX)
        return true;
    struct error error = {0};
    error_set(&error, ERR_RATE_LIMITED, NULL, "%d messages of this connection are being stored",
              ASKS_MAX);
    send_error(message->socket, message->id, ERR_RATE_LIMITED, &error);
    return false;
}

static void handle_send(struct message *message)
{
    struct chat_ask ask = {.kind = CHAT_SEND};
    struct error error = {0};
    if (!may_ask(message))
        return;
    enum err code = content_parse(message->arena, json_get(message->body, "content"), &ask.parts,
                                  &ask.part_count, &error);
    if (code != ERR_OK) {
        send_error(message->socket, message->id, code, &error);
        return;
    }
    id_parse(json_get_str(message->body, "conversation_id"), &ask.conversation);
    id_parse(json_get_str(message->body, "parent_id"), &ask.parent);
    start_ask(message, &ask);
}

static void ask_about_message(struct message *message, enum chat_ask_kind kind)
{
    struct chat_ask ask = {.kind = kind};
    if (!may_ask(message))
        return;
    id_parse(json_get_str(message->body, "conversation_id"), &ask.conversation);
    id_parse(json_get_str(message->body, "message_id"), &ask.message);
    start_ask(message, &ask);
}

static void handle_answer(struct message *message)
{
    ask_about_message(message, CHAT_ANSWER);
}

static void handle_continue(struct message *message)
{
    ask_about_message(message, CHAT_CONTINUE);
}

/* ---- Messages -------------------------------------------------------------------------------- */

#define COMMON                                                                                     \
    {"type", API_STRING, true, false, 32, ""},                                                     \
    {                                                                                              \
        "id", API_STRING, false, true, ID_BYTES_MAX, ""                                            \
    }

static const struct api_field send_fields[] = {
    COMMON,
    {"conversation_id", API_ID, false, true, 0, ""},
    {"parent_id", API_ID, false, true, 0, ""},
    {"content", API_ANY, true, false, 0, ""},
    {"model", API_STRING, false, true, 300, ""},
    {0},
};
static const struct api_field ask_fields[] = {
    COMMON,
    {"conversation_id", API_ID, true, false, 0, ""},
    {"message_id", API_ID, true, false, 0, ""},
    {"model", API_STRING, false, true, 300, ""},
    {0},
};
static const struct api_field attach_fields[] = {
    COMMON,
    {"run_id", API_ID, true, false, 0, ""},
    {"after", API_INTEGER, false, true, 0, ""},
    {0},
};
static const struct api_field run_fields[] = {COMMON, {"run_id", API_ID, true, false, 0, ""}, {0}};
static const struct api_field ping_fields[] = {COMMON, {0}};

static const struct message_type {
    const char *type;
    enum verb verb;
    const struct api_field *fields;
    void (*handle)(struct message *message);
} message_types[] = {
    {"send", VERB_MESSAGE_SEND, send_fields, handle_send},
    {"answer", VERB_MESSAGE_SEND, ask_fields, handle_answer},
    {"continue", VERB_MESSAGE_SEND, ask_fields, handle_continue},
    {"attach", VERB_RUN_READ, attach_fields, handle_attach},
    {"detach", VERB_RUN_READ, run_fields, handle_detach},
    {"stop", VERB_RUN_STOP, run_fields, handle_stop},
    {"ping", VERB_MESSAGE_SEND, ping_fields, handle_ping},
};
enum { MESSAGE_TYPE_COUNT = sizeof message_types / sizeof message_types[0] };

static const struct message_type *find_type(struct str type)
{
    for (size_t i = 0; i < MESSAGE_TYPE_COUNT; i++)
        if (str_eq(type, str_from_cstr(message_types[i].type)))
            return &message_types[i];
    return NULL;
}

static enum err check_message(struct message *message, const struct message_type **ret_type,
                              struct error *error)
{
    *ret_type = find_type(json_get_str(message->body, "type"));
    if (!yyjson_is_obj(message->body))
        return error_set(error, ERR_INVALID, NULL, "a message must be a JSON object");
    if (!*ret_type)
        return error_set(error, ERR_INVALID, "type",
                         "must be send, answer, continue, attach, detach, stop or ping");
    enum err code = api_check_fields(message->body, (*ret_type)->fields, error);
    if (code != ERR_OK)
        return code;
    return authorise(&message->socket->who, (*ret_type)->verb, (struct authorise_object){0}, error);
}

static void on_message(void *user, struct str text)
{
    struct socket *socket = user;
    struct error error = {0};
    enum err scope = api_credential_check(socket->api, &socket->credential, &socket->who, &error);
    if (scope == ERR_UNAUTHENTICATED) {
        close_unwelcome(socket);
        return;
    }
    struct message message = {.socket = socket,
                              .arena = arena_new(8 * text.len + 64 * 1024 * 1024)};
    const struct message_type *type = NULL;
    enum err code = json_read(message.arena, text, &message.body, scope == ERR_OK ? &error : NULL);
    if (code == ERR_OK) {
        message.id = json_get_str(message.body, "id");
        if (message.id.len > ID_BYTES_MAX)
            message.id = STR_NONE;
    }
    if (scope != ERR_OK)
        code = scope;
    else if (code == ERR_OK)
        code = check_message(&message, &type, &error);
    if (code == ERR_OK)
        type->handle(&message);
    else
        send_error(socket, message.id, code, &error);
    arena_free(message.arena);
}

/* ---- Life
 * -------------------------------------------------------------------------------------------------
 */

static void socket_release(struct socket *socket)
{
    if (!socket->websocket && socket->asks == 0)
        free(socket);
}

static void let_go(struct socket *socket)
{
    socket->websocket = NULL;
    LIST_EACH (&socket->attachments, link)
        detach(LIST_ENTRY(link, struct attachment, link));
    hub_unwatch(socket->watcher);
    socket->watcher = NULL;
    list_remove(&socket->link);
    socket_release(socket);
}

static void on_close(void *user, uint16_t code)
{
    struct socket *socket = user;
    struct api *api = socket->api;
    (void)code;
    let_go(socket);
    if (api->on_sockets_closed && list_is_empty(&api->sockets))
        api->on_sockets_closed(api->sockets_user);
}

static void on_drain(void *user)
{
    struct socket *socket = user;
    LIST_EACH (&socket->attachments, link)
        pump(LIST_ENTRY(link, struct attachment, link));
}

static void on_changed(void *user, const struct id *conversation)
{
    struct api_reply frame;
    if (!is_welcome(user))
        return;
    frame_begin(&frame, "changed", STR_NONE);
    json_key_str(&frame.w, "conversation_id", id_str(conversation));
    frame_send(user, &frame);
}

static void send_welcome(struct socket *socket)
{
    struct api_reply frame;
    frame_begin(&frame, "welcome", STR_NONE);
    json_key_int(&frame.w, "protocol", 1);
    json_key_str(&frame.w, "version", STR(PARLEY_VERSION));
    json_key_str(&frame.w, "user_id", id_str(&socket->who.user));
    frame_send(socket, &frame);
}

/* Browsers always say where a page comes from; with a cookie nobody may leave it out. */
static bool may_connect(const struct api_request *request)
{
    bool has_origin = http_headers_get(&request->http->headers, "origin").len > 0;
    return (has_origin || request->who.kind != PRINCIPAL_SESSION) &&
           websocket_origin_ok(request->http, request->api->options.allowed_origins);
}

void api_socket(struct api_request *request)
{
    static const struct websocket_events events = {on_message, on_drain, on_close};
    static const struct websocket_options options = {.message_bytes_max = MESSAGE_BYTES_MAX};
    struct error error = {0};
    if (!websocket_is_upgrade(request->http)) {
        error_set(&error, ERR_INVALID, "upgrade", "this address speaks WebSocket only");
        api_fail(request, ERR_INVALID, &error);
        return;
    }
    if (!may_connect(request)) {
        error_set(&error, ERR_FORBIDDEN, "origin", "a foreign page may not connect");
        api_fail(request, ERR_FORBIDDEN, &error);
        return;
    }
    bool named =
        http_headers_has_token(&request->http->headers, "sec-websocket-protocol", "parley.v1");
    struct socket *socket = calloc(1, sizeof *socket);
    ASSERT(socket);
    socket->api = request->api;
    socket->who = request->who;
    api_credential_of(request, &socket->credential);
    list_init(&socket->attachments);
    socket->websocket =
        websocket_accept(request->exchange, named ? "parley.v1" : NULL, &options, &events, socket);
    if (!socket->websocket) {
        free(socket);
        return;
    }
    socket->watcher = hub_watch(socket->api->options.hub, socket->api->options.loop,
                                &socket->who.user, on_changed, socket);
    list_append(&socket->api->sockets, &socket->link);
    send_welcome(socket);
}

void socket_close_all(struct api *api, uint16_t code, const char *reason)
{
    LIST_EACH (&api->sockets, link)
        websocket_close(LIST_ENTRY(link, struct socket, link)->websocket, code, reason);
}

void socket_abort_all(struct api *api)
{
    LIST_EACH (&api->sockets, link) {
        struct socket *socket = LIST_ENTRY(link, struct socket, link);
        websocket_abort(socket->websocket);
        let_go(socket);
    }
}
