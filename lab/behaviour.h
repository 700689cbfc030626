/* What a model of the fake provider does: its name is the order. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

/* What it says. */
enum content {
    CONTENT_COUNT,     /* "1 ", "2 ", ... */
    CONTENT_ECHO,      /* "You said: " and the last user text, in small pieces */
    CONTENT_FIXED,     /* event_count pieces of event_bytes */
    CONTENT_UNICODE,   /* a sentence in many scripts */
    CONTENT_RECORDING, /* a recorded stream: `recording` */
};

/* When the next event is sent. */
enum pace {
    PACE_TURN,  /* in the next turn of the loop: in a packet of its own */
    PACE_BURST, /* all at once */
    PACE_TIMED, /* pace_ms later */
};

/* How it ends. */
enum ending {
    ENDING_WHOLE,
    ENDING_CUT,         /* the connection is closed (FIN) after ending_at events */
    ENDING_CUT_BYTE,    /* ... after ending_at bytes of the body */
    ENDING_RESET,       /* the connection is reset (RST) after ending_at events */
    ENDING_STALL,       /* nothing more comes after ending_at events, the connection stays */
    ENDING_NO_SENTINEL, /* the end marker is missing */
    ENDING_NO_FINISH,   /* the finish, usage and end marker are missing */
    ENDING_ERROR,       /* an error inside the stream after ending_at events */
    ENDING_ENDLESS,     /* events without end */
    ENDING_HUGE_LINE,   /* one line without end */
    ENDING_PINGS,       /* keep-alives every ending_at ms after the head, never content */
    ENDING_OPEN,        /* the end marker is missing, and the connection stays */
};

/* What kind of answer it is at all. */
enum answer {
    ANSWER_REPLY,
    ANSWER_ERROR,   /* the recorded error `recording` */
    ANSWER_GARBAGE, /* 200 with HTML */
    ANSWER_JSON,    /* the whole JSON, although a stream was asked for */
    ANSWER_SILENT,  /* not one byte */
    ANSWER_RESET,   /* RST instead of an answer */
    ANSWER_HEADERS, /* headers without end */
};

struct behaviour {
    enum content content;
    size_t event_count;
    size_t event_bytes;
    enum pace pace;
    uint64_t pace_ms;
    uint64_t delay_ms; /* before the first byte of the answer */
    uint64_t late_ms;  /* before the first event of content */
    enum ending ending;
    uint64_t ending_at;
    enum answer answer;
    const char *recording; /* behind "stream." or "error." */
    uint64_t retry_after_s;
    uint64_t malformed_at; /* 1-based event that is broken JSON; 0: none */
    uint64_t fail_first;   /* so many requests for this model get a 503 first */
    uint64_t differs_at;   /* 1-based event from which an answer says something else; 0: none */
    uint64_t repeats;      /* bytes said again of what is continued */
    uint64_t limits[3];    /* told in headers: limit, remaining, milliseconds to the reset */
    uint64_t times;        /* of a stage: so many requests [1] */
    uint64_t for_ms;       /* of a stage: so long since the first request; 0: `times` holds */
    uint64_t tag;          /* makes a name its own, and the id of some answers; 0: none */
    bool prefills;         /* goes on behind a last message of the assistant */
    bool continues;        /* goes on behind the assistant's message before the last user's */
    bool rejects_prefill;  /* a last message of the assistant is an error */
    bool has_limits;
    bool cuts_each; /* CUT_BYTE: ending_at is to be taken modulo the places there are */
    bool split;     /* every byte in a chunk and a packet of its own */
    bool crlf;      /* lines end with CR LF */
};

/* What has been asked of a model so far. */
struct behaviour_history {
    uint64_t requests; /* before this one */
    uint64_t first_ms; /* since the first of them; 0 when this is it */
};

/* Parses a name: words joined by "+" ("count-20+slow-50+cut-3"), later ones win; stages joined by
 * "+then+", of which the history says which one is played. False when a word is not known, or a
 * number is over its bound, in any stage. The words are in lab/README.md. */
bool behaviour_parse(struct str name, const struct behaviour_history *history,
                     struct behaviour *ret);
