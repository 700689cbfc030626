/* The literal replies: files under lab/replies/<dialect>/, written by hand from the protocols' own
 * documents, with a few @NAMES@ for what depends on the request. They are built into the program. */
#pragma once

#include "base/buf.h"

/* One file, as it stands in the folder. */
struct reply {
    const char *path; /* "openai-chat/whole" */
    const char *bytes;
    size_t len;
};
/* All of them, sorted by path: made by embed-replies.sh. */
extern const struct reply reply_table[];
extern const size_t reply_count;

/* The bytes of `folder`/`name`, or STR_NONE. */
struct str reply_find(const char *folder, const char *name);

/* What the names in a reply stand for. */
struct reply_values {
    struct str model;       /* @MODEL@ */
    struct str text;        /* @TEXT@: this event's piece */
    struct str all;         /* @ALL@: the whole text */
    uint64_t retry_after_s; /* @RETRY@ */
    uint64_t sequence;      /* @SEQ@: counts up with every use */
    uint64_t tag;           /* @TAG@: of the answer's id */
    uint64_t limit;         /* @LIMIT@ */
    uint64_t remaining;     /* @REMAINING@ */
    uint64_t reset_ms;      /* @RESET_MS@ */
    struct str reset_date;  /* @RESET_DATE@ */
};

/* Appends `reply` with its names replaced; texts are escaped for the inside of a JSON string. */
void reply_render(struct buf *out, struct str reply, struct reply_values *values);
