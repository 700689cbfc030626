/* Idle WebSockets: opened some at a time, then held, answering pings, until SIGTERM. Frames are
 * read and written here by hand (RFC 6455 section 5): few kinds matter to a client that only
 * listens. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "load.h"

enum {
    OPENING_MAX = 64, /* handshakes at once */
    FRAME_BYTES_MAX = 1024 * 1024,
    OPCODE_CLOSE = 8,
    OPCODE_PING = 9
};

struct sockets {
    struct load_run run;
    const struct load_options *options;
    struct buf handshake;
    struct socket *list;
    size_t started, open, failed, pings;
    int bad_status;
    char failure[128];
};

struct socket {
    struct sockets *all;
    struct load_client client;
    struct buf input;
};

static void open_next(struct sockets *all)
{
    if (all->started == all->options->connections || all->run.over)
        return;
    struct socket *socket = &all->list[all->started++];
    load_client_send(&socket->client, buf_str(&all->handshake));
}

static void print(const struct sockets *all)
{
    printf("{\"open\":%zu,\"failed\":%zu,\"bad_status\":%d,\"failure\":\"%s\",\"pings\":%zu,"
           "\"seconds\":%.3f}\n",
           all->open, all->failed, all->bad_status, all->failure, all->pings,
           load_run_seconds(&all->run));
    fflush(stdout);
}

/* One more handshake has come to its end. */
static void settle(struct sockets *all)
{
    all->run.progress++;
    open_next(all);
    if (all->open + all->failed == all->options->connections)
        print(all);
    if (all->failed == all->options->connections)
        load_run_end(&all->run);
}

static void on_response(void *user, int status)
{
    struct socket *socket = user;
    if (status == 101) {
        socket->all->open++;
    } else {
        socket->all->failed++;
        socket->all->bad_status = status;
    }
    settle(socket->all);
}

static void on_failure(void *user, const char *detail)
{
    struct socket *socket = user;
    socket->all->failed++;
    str_copy(str_from_cstr(detail), socket->all->failure, sizeof socket->all->failure);
    settle(socket->all);
}

/* Length of header and payload of the frame at the start, or 0 when the header is not whole. */
static size_t frame_length(struct str input, size_t *ret_header)
{
    const unsigned char *bytes = (const unsigned char *)input.data;
    if (input.len < 2)
        return 0;
    size_t length = bytes[1] & 0x7f;
    size_t extended = length == 126 ? 2 : length == 127 ? 8 : 0;
    *ret_header = 2 + extended;
    if (input.len < *ret_header)
        return 0;
    if (extended)
        length = 0;
    for (size_t i = 0; i < extended; i++)
        length = length << 8 | bytes[2 + i];
    return *ret_header + length;
}

/* Clients mask: with zeros, which leaves the payload as it is. */
static void send_pong(struct socket *socket, struct str payload)
{
    char head[6] = {(char)0x8a, (char)(0x80 | payload.len)};
    load_client_send_raw(&socket->client, STR_FROM(head, sizeof head));
    load_client_send_raw(&socket->client, payload);
}

static void on_raw(void *user, struct str data)
{
    struct socket *socket = user;
    size_t header, length;
    buf_append(&socket->input, data);
    while ((length = frame_length(buf_str(&socket->input), &header)) &&
           length <= socket->input.len) {
        int opcode = socket->input.data[0] & 0x0f;
        if (opcode == OPCODE_PING && length - header <= 125) {
            send_pong(socket, str_slice(buf_str(&socket->input), header, length - header));
            socket->all->pings++;
        }
        buf_consume(&socket->input, length);
    }
    if (!socket->input.len)
        buf_release(&socket->input);
}

static const struct load_client_events events = {NULL, on_response, on_failure, on_raw};

static void write_handshake(struct buf *out, const struct load_options *options)
{
    buf_printf(out,
               "GET %.*s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nConnection: Upgrade\r\n"
               "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
               STR_ARG(options->url.path), options->url.port);
    if (options->bearer.len)
        buf_printf(out, "Authorization: Bearer %.*s\r\n", STR_ARG(options->bearer));
    buf_append(out, STR("\r\n"));
}

int load_sockets(const struct load_options *options)
{
    struct sockets all = {.options = options};
    all.list = calloc(options->connections, sizeof *all.list);
    buf_init(&all.handshake, 16 * 1024);
    write_handshake(&all.handshake, options);
    load_run_init(&all.run, options);
    loop_timer_cancel(all.run.loop, &all.run.watchdog); /* idle is what they are for */
    for (size_t i = 0; i < options->connections; i++) {
        all.list[i].all = &all;
        buf_init(&all.list[i].input, FRAME_BYTES_MAX);
        load_client_init(&all.list[i].client, all.run.loop, &options->target, &events,
                         &all.list[i]);
    }
    for (int i = 0; i < OPENING_MAX; i++)
        open_next(&all);
    load_run_go(&all.run);
    bool incomplete = all.failed || all.open < options->connections;
    if (incomplete)
        print(&all);
    for (size_t i = 0; i < options->connections; i++) {
        load_client_done(&all.list[i].client);
        buf_done(&all.list[i].input);
    }
    load_run_done(&all.run);
    buf_done(&all.handshake);
    free(all.list);
    return incomplete;
}
