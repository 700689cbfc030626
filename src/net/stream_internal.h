/* What stream.c (life) and stream_io.c (bytes) share. For these two only. */
#pragma once

#include <netinet/in.h>

#include "net/outbox.h"
#include "net/stream.h"
#include "net/tls_session.h"

enum phase {
    PHASE_CONNECTING,
    PHASE_SHAKING,
    PHASE_OPEN,
    PHASE_SHUT,  /* our side has ended; reading on until the peer's does */
    PHASE_ENDED, /* on_close is on its way */
    PHASE_DEAD   /* nothing is heard any more; the handle is closing */
};

struct stream {
    uv_poll_t poll;
    struct loop *loop;
    struct stream_events events;
    void *user;
    struct outbox output; /* plain text */
    struct tls_session *tls;
    struct loop_task task;  /* report_later: on_open, on_close, input left over by a pause */
    struct loop_task flush; /* the write at the end of the turn */
    struct loop_timer linger;
    const char *detail; /* of on_close */
    int fd;
    int interest;    /* what `poll` watches for */
    int write_error; /* sending failed; what was received is delivered first */
    enum err code;   /* of on_close */
    enum phase phase;
    bool has_handle : 1;
    bool open_pending : 1; /* on_open is on its way */
    bool paused : 1;
    bool closing : 1;    /* stream_close was called */
    bool notified : 1;   /* close_notify is on the wire */
    bool blocked : 1;    /* the kernel takes no more for now */
    bool above_high : 1; /* on_drain is owed */
    bool ended : 1;      /* on_end was due */
    bool input_over : 1; /* recv gave 0 */
    bool hung_up : 1;    /* the peer is gone, but what it sent waits until stream_resume */
    char peer_address[INET6_ADDRSTRLEN];
};

/* ---- stream.c -------------------------------------------------------------------------------- */
/* Ends the stream by itself: notes why, and on_close comes from a deferred call. */
void stream_die(struct stream *stream, enum err code, const char *detail);
void stream_die_of_errno(struct stream *stream, int number);
/* All is sent: FIN, and waiting for the peer's. */
void stream_end_our_side(struct stream *stream);
/* The deferred call: on_close, on_open, or what a pause left over. */
void stream_report_later(void *user);

/* ---- stream_io.c ----------------------------------------------------------------------------- */
/* Makes the loop watch what the state asks for; call it after every change of state. */
void stream_update_interest(struct stream *stream);
/* The connection is there: on with the handshake, or open. */
void stream_on_connected(struct stream *stream);
/* Goes on with the handshake and decrypts what was fed, as far as the owner wants it. */
void stream_run_tls(struct stream *stream);
