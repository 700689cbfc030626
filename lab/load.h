/* What the three kinds of load share: where to, what to send, how to end, what to print. */
#pragma once

#include <netinet/in.h>
#include <signal.h>

#include "base/buf.h"
#include "load_client.h"
#include "samples.h"
#include "wire/url.h"

struct load_options {
    struct url url;
    struct load_target target;
    struct str body;     /* borrowed */
    struct buf request;  /* head and body, as they are sent: see load_next */
    struct str counter;  /* digits in it that count up; empty: all are the same */
    size_t connections;  /* at once: connections, streams, or sockets */
    uint64_t requests;   /* in all; 0: as long as `seconds` says */
    uint64_t seconds;    /* 0: until the requests are done */
    struct str marker;   /* streams: an event with it in its data is content */
    bool hold;           /* streams: keep them open once each has had content, until SIGTERM */
    struct str bearer;   /* sockets and requests: the key, or empty */
    uint64_t ramp_ms;    /* streams: the first ones start spread over so long */
    uint64_t patience_s; /* nothing for so long ends the run as failed */
};

/* One run on a loop of its own; prints one line of JSON. Returns the exit status. */
int load_requests(const struct load_options *options);
int load_streams(const struct load_options *options);
int load_sockets(const struct load_options *options);

/* The request to be sent now: the one before, counted up. Valid until the next call. */
struct str load_next(const struct load_options *options);

/* What every run has: a loop that signals and a clock end. */
struct load_run {
    struct loop *loop;
    uv_signal_t signals[2];
    struct loop_timer deadline;
    struct loop_timer watchdog;
    uint64_t patience_ms;
    uint64_t progress, progress_seen; /* anything that grows while work is done */
    uint64_t start_ns;
    bool over, stalled;
};
void load_run_init(struct load_run *run, const struct load_options *options);
/* Runs until load_run_end, a signal, or a time-out. */
void load_run_go(struct load_run *run);
void load_run_end(struct load_run *run);
void load_run_done(struct load_run *run);
double load_run_seconds(const struct load_run *run);
