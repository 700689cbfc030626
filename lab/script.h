/* Script: the exact bytes of one answer, in the pieces and with the faults that the behaviour
 * orders. Pure: from a request to frames; fake_provider.c plays them. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "behaviour.h"
#include "fake_dialect.h"
#include "replies.h"

/* What happens behind the last frame. */
enum script_end {
    SCRIPT_END_WHOLE, /* the body is complete */
    SCRIPT_END_CUT,   /* FIN in the middle of it */
    SCRIPT_END_RESET, /* RST */
    SCRIPT_END_STALL, /* nothing more */
    SCRIPT_END_REPEAT /* `repeat` without end */
};

/* A piece of the body: a chunk, and a packet when it is waited for. */
struct script_frame {
    size_t at, len;  /* in `bytes` */
    bool is_content; /* an event that the pace counts */
};

struct script {
    struct buf head;  /* status line and headers, without framing and the blank line */
    struct buf bytes; /* the body, all frames behind each other */
    struct script_frame *frames;
    size_t frame_count, frame_capacity;
    struct arena *arena;
    bool chunked; /* else with Content-Length */
    enum script_end end;
    size_t length;     /* Content-Length: more than `bytes` has when it is cut */
    struct str repeat; /* in the arena */
    uint64_t repeat_ms;
    enum pace pace;
    uint64_t pace_ms;
    uint64_t delay_ms;
    uint64_t late_ms; /* before the first frame of content */
};

/* Builds the answer to `request`. `arena` must outlive it. Release with script_done. */
void script_init(struct script *script, struct arena *arena, const struct fake_request *request,
                 const struct behaviour *behaviour);
/* A recorded error ("401") in the request's dialect. */
void script_init_error(struct script *script, struct arena *arena,
                       const struct fake_request *request, const char *name,
                       uint64_t retry_after_s);
/* Any body. */
void script_init_plain(struct script *script, struct arena *arena, int status,
                       const char *content_type, struct str body);
void script_done(struct script *script);
