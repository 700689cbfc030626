/* What the fake provider saw: one record a request, kept for GET /_log. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "net/http.h"

struct fake_log;

enum { FAKE_LOG_RECORDS_MAX = 16384, FAKE_LOG_BODY_BYTES_MAX = 16 * 1024, FAKE_NO_RECORD = 0 };

/* How a request ended, as the provider saw it. */
enum fake_outcome {
    FAKE_OPEN,        /* still being answered */
    FAKE_DONE,        /* as ordered: whole, or cut on purpose */
    FAKE_CLIENT_GONE, /* the client left before the end */
};

/* What is noted of a request. Values of headers are not, because keys are among them. */
struct fake_seen {
    struct str method, target, model, body;
    bool stream, credentials;
    const struct http_headers *headers;
    uint64_t connection; /* which one it came on, from 1 */
    int64_t wall_ms;     /* when it was whole */
};

/* Keeps the last FAKE_LOG_RECORDS_MAX. Free with fake_log_free. */
struct fake_log *fake_log_new(void);
void fake_log_free(struct fake_log *log);
/* Notes a request and gives its number, from 1. The path is kept without its query. */
uint64_t fake_log_add(struct fake_log *log, const struct fake_seen *seen);
/* How it ended, `after_ms` after it had come, and how many bytes of body had been sent. Nothing
 * happens when the record has gone, or has ended already. */
void fake_log_end(struct fake_log *log, uint64_t number, enum fake_outcome outcome, int status,
                  uint64_t body_bytes, uint64_t after_ms);
/* Forgets all records and the last body; numbers go on. */
void fake_log_clear(struct fake_log *log);
/* Appends one line of JSON for every record, oldest first. */
void fake_log_write(const struct fake_log *log, struct buf *out);
/* The body of one request, or STR_NONE when it was larger than FAKE_LOG_BODY_BYTES_MAX or its
 * record has gone. Borrowed until the next fake_log_add. */
struct str fake_log_body(const struct fake_log *log, uint64_t number);
/* The bytes of the last body noted. Borrowed until the next. */
struct str fake_log_last_body(const struct fake_log *log);
