/* The literal replies: files under lab/replies/<dialect>/, written by hand from the protocols' own
 * documents, with a few @NAMES@ for what depends on the request. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

struct replies;

/* Reads every file of every dialect's folder under `directory`. Free with replies_free. */
MUST_USE enum err replies_load(const char *directory, struct replies **ret, struct error *error);
void replies_free(struct replies *replies);
/* The bytes of `folder`/`name` as they stand in the file, or STR_NONE. Borrowed. */
struct str replies_get(const struct replies *replies, const char *folder, const char *name);

/* What the names in a reply stand for. */
struct reply_values {
    struct str model;       /* @MODEL@ */
    struct str text;        /* @TEXT@: this event's piece */
    struct str all;         /* @ALL@: the whole text */
    uint64_t retry_after_s; /* @RETRY@ */
    uint64_t sequence;      /* @SEQ@: counts up with every use */
    uint64_t limit;         /* @LIMIT@ */
    uint64_t remaining;     /* @REMAINING@ */
    uint64_t reset_ms;      /* @RESET_MS@ */
    struct str reset_date;  /* @RESET_DATE@ */
};

/* Appends `reply` with its names replaced; texts are escaped for the inside of a JSON string. */
void reply_render(struct buf *out, struct str reply, struct reply_values *values);
